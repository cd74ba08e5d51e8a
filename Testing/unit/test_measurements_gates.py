"""Every measure has a value or a reason, whatever the masks, the calibration and the clip are."""

from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest, NotMeasurable
from FetalEchoSegLib.measurements import Measurement, heart_beats, measure
from FetalEchoSegLib.measurements.cycle import find_beats, fractional_area_change, heart_rate
from FetalEchoSegLib.phantom.cases import sample_case
from test_measurements_truth import truth_masks

AGE = 22.0
Z_ROWS = {
    "LV_area", "LV_length", "LV_width", "RV_area", "RV_length", "RV_width", "cardiac_circumference", "DescAo_diameter",
}  # fmt: skip
ALWAYS_MILLIMETRES = Z_ROWS


@pytest.fixture(scope="module")
def four_chamber():
    case = sample_case(View.FOUR_CHAMBER, 501, ())
    return case, *truth_masks(case)


@pytest.fixture(scope="module")
def three_vessel():
    case = sample_case(View.THREE_VESSEL_TRACHEA, 501, ())
    return case, *truth_masks(case)


def table(labels, cine, view=View.FOUR_CHAMBER, **options):
    return {row.name: row for row in measure(labels, cine, view, **options)}


def recut(cine, frames, **changes):
    fields = {"spacing": cine.spacing, "calibration": cine.calibration, "timing": cine.timing} | changes
    return Cine.from_array(cine.frames[frames], cine.times[frames], **fields)


def test_every_view_has_its_rows(four_chamber):
    _, cine, labels, _ = four_chamber
    counts = {view: len(measure(labels, cine, view)) for view in View}
    assert counts == {View.FOUR_CHAMBER: 23, View.LVOT: 2, View.RVOT: 8, View.THREE_VESSEL_TRACHEA: 7}


def test_without_calibration_only_ratios_remain(four_chamber):
    _, cine, labels, spine = four_chamber
    whole = table(labels, cine, spine=spine, gestational_age=AGE)
    bare = table(labels, recut(cine, slice(None), spacing=None, calibration="unknown: two regions"), spine=spine)
    for name, row in bare.items():
        if name in ALWAYS_MILLIMETRES:
            assert "no calibration: two regions" in row.reason
        else:
            assert row.value == pytest.approx(whole[name].value, rel=0.02), name
    assert any("square" in flag for flag in bare["cardiothoracic_area_ratio"].flags)


def test_an_implausible_calibration_gives_no_millimetres(four_chamber):
    _, cine, labels, _ = four_chamber
    rows = table(labels, recut(cine, slice(None), spacing=(7.0, 7.0)), gestational_age=AGE)
    assert "implausible" in rows["LV_length"].reason
    assert rows["cardiothoracic_area_ratio"].value == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(("age", "word"), [(None, "not entered"), (3.0, "outside 14 to 40"), (220.0, "outside")])
def test_missing_or_absurd_age_gives_values_without_z_scores(four_chamber, age, word):
    _, cine, labels, _ = four_chamber
    rows = table(labels, cine, gestational_age=age)
    for name in Z_ROWS | {"cardiothoracic_diameter_ratio"}:
        assert rows[name].value is not None
        assert rows[name].z_score is None
        assert (rows[name].low, rows[name].high) == (None, None)
        assert any(word in flag for flag in rows[name].flags), (name, rows[name].flags)


def test_a_wrong_calibration_gives_no_impossible_z_score(four_chamber):
    _, cine, labels, _ = four_chamber
    row = table(labels, recut(cine, slice(None), spacing=(0.9, 0.9)), gestational_age=AGE)["cardiac_circumference"]
    assert row.z_score is None
    assert any("implausible" in flag for flag in row.flags)


def test_empty_masks_say_so(four_chamber):
    _, cine, labels, _ = four_chamber
    for view in View:
        assert {row.reason for row in measure(np.zeros_like(labels), cine, view)} == {"the masks are empty"}


def test_a_wrong_view_is_noticed(four_chamber):
    _, cine, labels, _ = four_chamber
    for row in measure(labels, cine, View.RVOT):
        assert "check the view" in row.reason


def test_a_still_has_ratios_but_no_end_diastolic_sizes(four_chamber):
    _, cine, labels, spine = four_chamber
    still = recut(cine, slice(0, 1), timing="unknown: still")
    rows = table(labels[:1], still, spine=spine, gestational_age=AGE)
    assert "end-diastole not found" in rows["LV_area"].reason
    assert rows["heart_rate"].reason == "a single frame shows no heart beat"
    assert rows["LV_fractional_area_change"].value is None
    assert any("not at end-diastole" in flag for flag in rows["cardiothoracic_area_ratio"].flags)
    named = table(labels[:1], still, gestational_age=AGE, end_diastole=0)
    assert named["LV_area"].value > 50
    assert named["cardiothoracic_area_ratio"].flags == ()


def test_a_clip_shorter_than_a_beat_has_no_function(four_chamber):
    _, cine, labels, _ = four_chamber
    rows = table(labels[:15], recut(cine, slice(0, 15)), gestational_age=AGE)
    for name in ("heart_rate", "LV_fractional_area_change", "LA_emptying", "LV_width"):
        assert rows[name].value is None, name
        assert "beat" in rows[name].reason


def test_one_beat_gives_area_change_but_no_rate(four_chamber):
    case, cine, labels, _ = four_chamber
    rows = table(labels[:30], recut(cine, slice(0, 30)))
    assert "no two equal heart beats" in rows["heart_rate"].reason
    row = rows["LV_fractional_area_change"]
    assert row.value == pytest.approx(100 * case.area_change[0], abs=3.0)
    assert row.flags == ("one beat only",)


def test_unknown_times_give_area_change_but_no_rate(four_chamber):
    case, cine, labels, _ = four_chamber
    rows = table(labels, Cine.from_array(cine.frames, spacing=cine.spacing))
    assert rows["heart_rate"].reason == "the frame times are not known"
    assert rows["LV_fractional_area_change"].value == pytest.approx(100 * case.area_change[0], abs=2.0)


def test_a_structure_cut_by_the_image_border_is_not_measured(four_chamber):
    _, cine, labels, _ = four_chamber
    column = int(np.argwhere(labels[0] == Structure.LEFT_VENTRICLE)[:, 1].mean())
    cut = Cine.from_array(cine.frames[:, :, column:], cine.times, spacing=cine.spacing)
    rows = table(labels[:, :, column:], cut, gestational_age=AGE)
    for name in ("cardiothoracic_area_ratio", "cardiac_circumference"):
        assert "cut by the edge of the image" in rows[name].reason


def test_a_structure_cut_by_the_sector_is_not_measured(four_chamber):
    _, cine, labels, _ = four_chamber
    place = np.argwhere(labels[0] == Structure.RIGHT_ATRIUM).mean(axis=0)
    rows, columns = np.indices(labels.shape[1:])
    seen = (np.hypot(rows - place[0], columns - place[1]) < 100).astype(np.uint8)
    cut = Cine.from_array(60 * np.broadcast_to(seen, labels.shape), cine.times, spacing=cine.spacing)
    found = table(labels * seen, cut, gestational_age=AGE)
    assert "cut by the edge of the sector" in found["cardiothoracic_area_ratio"].reason


def test_a_structure_in_pieces_is_not_measured(three_vessel):
    _, cine, labels, _ = three_vessel
    broken = labels.copy()
    for frame in broken:
        rows = np.argwhere(frame == Structure.SUPERIOR_VENA_CAVA)
        frame[int(np.median(rows[:, 0])) - 1 : int(np.median(rows[:, 0])) + 1][
            frame[int(np.median(rows[:, 0])) - 1 : int(np.median(rows[:, 0])) + 1] == Structure.SUPERIOR_VENA_CAVA
        ] = 0
    assert "in 2 pieces" in table(broken, cine, View.THREE_VESSEL_TRACHEA)["SVC_diameter"].reason


def test_a_missing_structure_is_named(three_vessel):
    _, cine, labels, _ = three_vessel
    without = np.where(labels == Structure.TRACHEA, 0, labels).astype(np.uint8)
    rows = table(without, cine, View.THREE_VESSEL_TRACHEA)
    assert rows["trachea_side_index"].reason == "no trachea in the mask"
    assert rows["MPA_diameter"].value is not None


def test_a_covered_vessel_is_not_measured(four_chamber):
    _, cine, labels, _ = four_chamber
    covered = labels.copy()
    for frame in covered:
        aorta = np.argwhere(frame == Structure.DESCENDING_AORTA)
        half = aorta[aorta[:, 0] > aorta[:, 0].mean()]
        frame[tuple(half.T)] = Structure.LEFT_ATRIUM
    assert "partly covered by the left atrium" in table(covered, cine)["DescAo_diameter"].reason


def test_svc_names_the_only_reference_and_its_missing_spread(three_vessel):
    _, cine, labels, _ = three_vessel
    row = table(labels, cine, View.THREE_VESSEL_TRACHEA, gestational_age=AGE)["SVC_diameter"]
    assert row.value is not None
    assert row.z_score is None
    assert row.reference == "Zalel 2004"
    assert any("spread" in flag for flag in row.flags)


def test_a_few_bad_frames_change_little(four_chamber):
    case, cine, labels, _ = four_chamber
    rng = np.random.default_rng(4)
    bad = labels.copy()
    for k in rng.choice(60, 5, replace=False):
        bad[k] = 0 if k % 2 else np.where(bad[k] == Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, bad[k])
    rows = table(bad, cine)
    assert rows["heart_rate"].value == pytest.approx(case.heart_rate, abs=2.0)
    assert rows["LV_fractional_area_change"].value == pytest.approx(100 * case.area_change[0], abs=4.0)


def test_noise_and_odd_labels_never_raise(four_chamber):
    _, cine, _, _ = four_chamber
    rng = np.random.default_rng(0)
    short = recut(cine, slice(0, 12))
    shape = (12, *cine.image_shape)
    ragged = np.zeros(shape, np.uint8)
    ragged[:, 200:203, :] = 3
    ragged[:, 100:300, 77] = 9
    one = np.full(shape, 7, np.uint8)
    for labels in (rng.integers(0, 256, shape).astype(np.uint8), ragged, one, np.full(shape, 255, np.uint8)):
        for view in View:
            for row in measure(labels, short, view, gestational_age=AGE, spine=(0.0, 0.0)):
                assert isinstance(row, Measurement)
                assert row.reason or np.isfinite(row.value)


def test_random_masks_of_permitted_labels_never_raise():
    rng = np.random.default_rng(1)
    for _ in range(12):
        small = rng.integers(0, 15, (10, 6, 7))
        labels = np.kron(small, np.ones((1, 9, 9), int)).astype(np.uint8)
        cine = Cine.from_array(np.full(labels.shape, 50, np.uint8), frame_rate=25.0, spacing=(0.3, 0.2))
        for view in View:
            permitted = [int(s) for s in range(15)]
            measure(np.where(np.isin(labels, permitted), labels, 0).astype(np.uint8), cine, view, gestational_age=AGE)


def test_arguments_that_do_not_fit_are_refused(four_chamber):
    _, cine, labels, _ = four_chamber
    with pytest.raises(InvalidRequest, match="do not fit"):
        measure(labels[:5], cine, View.FOUR_CHAMBER)
    with pytest.raises(InvalidRequest, match="no reference"):
        measure(labels, cine, View.FOUR_CHAMBER, reference="Nobody 1900")
    with pytest.raises(InvalidRequest, match="frame 60"):
        measure(labels, cine, View.FOUR_CHAMBER, end_diastole=60)


def test_a_row_says_what_it_is():
    row = Measurement("cardiac_axis", "Cardiac axis", 61.26, "°", 3, 29.0, 57.0, error=1.04)
    assert (row.text, row.is_outside) == ("61.3 ± 1.0°", True)
    assert Measurement("x", "X", None, "mm", reason="no trunk").text == "not measurable: no trunk"
    with pytest.raises(ValueError, match="either"):
        Measurement("x", "X", None, "mm")


# The beat -------------------------------------------------------------------------------------------------------------


def beating(rate, seconds, frame_rate, noise=0.0, seed=0):
    times = np.arange(int(seconds * frame_rate)) / frame_rate
    phase = times * rate / 60.0
    area = 100 - 17 * (1 - np.cos(2 * np.pi * phase)) - 3 * np.sin(4 * np.pi * phase)
    return times, area * (1 + noise * np.random.default_rng(seed).normal(size=len(times)))


@pytest.mark.parametrize("rate", [70, 110, 142, 180, 230])
@pytest.mark.parametrize("frame_rate", [25.0, 50.0, 90.0])
def test_heart_rate_over_the_whole_range(rate, frame_rate):
    seconds = 2.6 * 60.0 / rate + 0.1
    assert heart_rate(*beating(rate, seconds, frame_rate, noise=0.01)) == pytest.approx(rate, rel=0.012)


def test_heart_rate_with_uneven_frame_times():
    times, _ = beating(150, 2.0, 50)
    times = times + np.random.default_rng(2).uniform(-0.006, 0.006, len(times))
    area = 100 - 17 * (1 - np.cos(2 * np.pi * times * 2.5))
    assert heart_rate(times, area) == pytest.approx(150, abs=1.0)


def test_no_rate_without_a_beat():
    times = np.arange(100) / 50
    noise = 100 + np.random.default_rng(3).normal(size=100)
    for area, word in ((np.full(100, 80.0), "hardly changes"), (noise, "beat"), (100 + 20 * times, "hardly changes")):
        with pytest.raises(NotMeasurable, match=word):
            heart_rate(times, area)
    with pytest.raises(NotMeasurable, match="missing in too many"):
        heart_rate(times, np.where(np.arange(100) % 2, 50.0, 0.0))


def test_noise_hardly_ever_looks_like_a_beat():
    rng = np.random.default_rng(5)
    found = 0
    for count in (24, 40, 60) * 10:
        try:
            heart_rate(np.arange(count) / 30.0, 100 + 5 * rng.normal(size=count))
        except NotMeasurable:
            continue
        found += 1
    assert found <= 1


def test_end_diastole_and_end_systole_of_every_beat():
    times, area = beating(120, 2.0, 50, noise=0.01)
    beats = find_beats(times, area)
    assert beats.period == pytest.approx(0.5, rel=0.01)
    clean = beating(120, 2.0, 50)[1]
    best = clean[:25].argmax() % 25, clean[:25].argmin()
    for frame in beats.end_diastole:
        assert min((frame - best[0]) % 25, (best[0] - frame) % 25) <= 2
    for frame in beats.end_systole:
        assert abs(frame % 25 - best[1]) <= 2
    assert len(beats.end_systole) == 4
    expected = 100 * (1 - clean.min() / clean.max())
    assert np.mean(fractional_area_change(beats, area)) == pytest.approx(expected, abs=2.0)


def test_the_beats_of_a_clip_are_those_of_its_rows_or_say_why_not(four_chamber):
    _, cine, labels, _ = four_chamber
    beats = heart_beats(labels, cine, View.FOUR_CHAMBER)
    area = (labels == Structure.LEFT_VENTRICLE).sum(axis=(1, 2))
    assert area[list(beats.end_diastole)].min() > area[list(beats.end_systole)].max()
    with pytest.raises(NotMeasurable, match="masks are empty"):
        heart_beats(np.zeros_like(labels), cine, View.FOUR_CHAMBER)
