"""The synthetic heart has the sizes, ratios, motion and conditions it claims."""

from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib import nomograms
from FetalEchoSegLib.anatomy import (
    HEART_UNION,
    THORAX_UNION,
    Condition,
    Structure,
    View,
    permitted_conditions,
    permitted_labels,
)
from FetalEchoSegLib.errors import InvalidRequest, NotMeasurable
from FetalEchoSegLib.phantom.cases import TEST_PREVALENCE, VISIBLE_GAP_MM, sample_case
from FetalEchoSegLib.phantom.clip import make_section, place
from FetalEchoSegLib.phantom.contours import area, ellipse, grown, tube, wrapped
from FetalEchoSegLib.phantom.four_chamber import FourChamberSection
from FetalEchoSegLib.phantom.section import Placement

SPACING = 0.19
VIEW_CONDITIONS = [(view, condition) for view in View for condition in permitted_conditions(view)]


def mask_of(section, time=0.0, placement=None, shape=512, spacing=SPACING):
    """(H, W) labels painted with plain polygon filling, independent of the renderer."""
    import cv2

    placement = placement or Placement(center=(0.0, shape / 2 * spacing), rotation=0.0)
    mask = np.zeros((shape, shape), np.uint8)
    for layer in section.layers(time):
        if layer.label is not None:
            points = placement.to_probe(layer.contour, time)
            pixels = (points + np.array([shape / 2 * spacing, 0.0])) / spacing - 0.5
            cv2.fillPoly(mask, [np.round(pixels * 16).astype(np.int32)], int(layer.label), shift=4)
    return mask


def contours_of(section, time):
    return {layer.name: layer.contour for layer in section.layers(time)}


def end_diastole(section):
    return (-section.cycle.phase % 1.0) * 60.0 / section.cycle.heart_rate


# Nomograms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reference", "expected"),
    [
        ("AscAo", nomograms.SCHNEIDER, (3.30, 3.72, 4.15)),
        ("MPA", nomograms.SCHNEIDER, (3.72, 4.23, 4.75)),
        ("LV length", nomograms.SCHNEIDER, (14.1, 15.8, 17.5)),
        ("LV area", nomograms.SCHNEIDER, (87, 109, 135)),
        ("RPA", nomograms.KRISHNAN, (2.37, 2.62, 2.88)),
        ("isthmus", nomograms.KRISHNAN, (2.27, 2.55, 2.84)),
        ("AoV", nomograms.KRISHNAN, (2.55, 2.98, 3.39)),
        ("SVC", nomograms.ZALEL, (1.86, 2.14, 2.43)),
    ],
)
def test_sizes_at_20_22_24_weeks_are_the_published_ones(name, reference, expected):
    sizes = [nomograms.size_mm(name, age, reference=reference) for age in (20, 22, 24)]
    assert sizes == pytest.approx(expected, rel=0.012)


@pytest.mark.parametrize("reference", [nomograms.SCHNEIDER, nomograms.KRISHNAN])
def test_z_score_inverts_size(reference):
    for name in nomograms.NOMOGRAMS[reference]:
        for z in (-2.5, 0.0, 1.5):
            size = nomograms.size_mm(name, 23.4, z, reference)
            assert nomograms.z_score(name, size, 23.4, reference) == pytest.approx(z, abs=1e-9)


def test_a_z_score_without_a_published_spread_is_refused():
    with pytest.raises(NotMeasurable, match="no spread"):
        nomograms.z_score("SVC", 2.1, 22, nomograms.ZALEL)
    with pytest.raises(NotMeasurable, match="outside"):
        nomograms.size_mm("MPA", 60)
    with pytest.raises(NotMeasurable, match="it has"):
        nomograms.size_mm("SVC", 22)


def test_thoracic_and_cardiac_circumference_match_the_published_table():
    assert [nomograms.thoracic_circumference_mm(a) for a in (20, 22, 24)] == pytest.approx([134, 155, 175], rel=0.01)
    assert [nomograms.cardiac_circumference_mm(a)[0] for a in (20, 22, 24)] == pytest.approx([64, 74, 84], abs=0.6)


# Contours ------------------------------------------------------------------------------------------------------------


def test_contour_areas_match_the_analytic_ones():
    assert area(ellipse((3, 4), (7, 5), 30.0)) == pytest.approx(np.pi * 35, rel=2e-3)
    assert area(grown(ellipse((0, 0), (5, 5)), 1.0)) == pytest.approx(np.pi * 36, rel=5e-3)
    line = np.stack([np.linspace(0, 10, 60), np.zeros(60)], axis=1)
    assert area(tube(line, np.full(60, 3.0), round_end=True)) == pytest.approx(30 + np.pi * 2.25 / 2, rel=2e-2)
    assert area(wrapped([(ellipse((0, 0), (6, 6)), 1.0)], 1.0)) == pytest.approx(np.pi * 49, rel=1e-2)


def test_masks_have_the_area_of_their_contours():
    section = FourChamberSection(sample_case(View.FOUR_CHAMBER, 3, ()))
    mask, contours = mask_of(section, shape=1024, spacing=0.08), contours_of(section, 0.0)
    for structure, name in (
        (Structure.LEFT_VENTRICLE, "left ventricle"),
        (Structure.RIGHT_VENTRICLE, "right ventricle"),
        (Structure.LEFT_ATRIUM, "left atrium"),
        (Structure.DESCENDING_AORTA, "descending aorta"),
    ):
        painted = (mask == structure).sum() * 0.08**2
        assert painted == pytest.approx(area(contours[name]), rel=0.06 if name == "descending aorta" else 0.03)


# Anatomy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", list(View))
def test_every_permitted_structure_is_shown_and_no_other(view):
    for seed in range(6):
        section = make_section(sample_case(view, seed))
        for time in (0.0, 0.2):
            assert set(np.unique(mask_of(section, time))) == set(permitted_labels(view))


def test_heart_fills_its_share_of_the_thorax_and_points_left():
    ratios, axes = [], []
    for seed in range(20):
        case = sample_case(View.FOUR_CHAMBER, seed, ())
        section = FourChamberSection(case)
        mask = mask_of(section, end_diastole(section))
        heart = np.isin(mask, [int(s) for s in HEART_UNION])
        thorax = np.isin(mask, [int(s) for s in THORAX_UNION])
        ratios.append(heart.sum() / thorax.sum())
        assert ratios[-1] == pytest.approx(case.area_ratio, rel=0.04)  # the spine takes a little of the thorax
        contours = contours_of(section, end_diastole(section))
        ventricles = contours["left ventricle"].mean(axis=0) + contours["right ventricle"].mean(axis=0)
        atria = contours["left atrium"].mean(axis=0) + contours["right atrium"].mean(axis=0)
        toward_apex = ventricles - atria
        axes.append(np.degrees(np.arctan2(toward_apex[0], toward_apex[1])))
    assert np.mean(ratios) == pytest.approx(0.30, abs=0.015)
    assert np.mean(axes) == pytest.approx(43.0, abs=6.0)
    assert np.std(axes) < 12.0


def test_chambers_lie_where_they_belong():
    section = FourChamberSection(sample_case(View.FOUR_CHAMBER, 8, ()))
    middle = {name: contour.mean(axis=0) for name, contour in contours_of(section, 0.0).items()}
    assert middle["left ventricle"][0] > middle["right ventricle"][0]  # left ventricle toward the fetal left
    assert middle["right ventricle"][1] == max(
        middle[n][1] for n in ("left ventricle", "right ventricle", "left atrium", "right atrium")
    )  # nearest the sternum
    spine = middle["vertebral body"]
    distance = {n: np.linalg.norm(middle[n] - spine) for n in ("left atrium", "right atrium", "left ventricle")}
    assert min(distance, key=distance.get) == "left atrium"
    assert middle["descending aorta"][0] > spine[0]
    assert section.heart.rv_base > section.heart.base  # tricuspid valve nearer the apex


def test_ventricles_are_of_similar_width():
    ratios = []
    for seed in range(30):
        heart = FourChamberSection(sample_case(View.FOUR_CHAMBER, seed, ())).heart
        ratios.append(np.ptp(heart.rv[:, 1]) / np.ptp(heart.lv[:, 1]))
    assert np.mean(ratios) == pytest.approx(1.03, abs=0.06)


def test_z_scores_are_recovered_from_contours():
    for seed in range(5):
        case = sample_case(View.FOUR_CHAMBER, seed, ())
        heart = FourChamberSection(case).heart
        for contour, axis, name in ((heart.lv, 1, "LV width"), (heart.lv, 0, "LV length"), (heart.rv, 1, "RV width")):
            z = nomograms.z_score(name, float(np.ptp(contour[:, axis])), case.gestational_age)
            assert z == pytest.approx(case.z_scores[name], abs=0.25)


def test_vessel_z_score_is_recovered_from_a_fine_mask():
    case = sample_case(View.RVOT, 4, ())
    section = make_section(case)
    times = np.arange(8) / 8 * 60 / case.heart_rate
    areas = [(mask_of(section, t, shape=1024, spacing=0.08) == Structure.ASCENDING_AORTA).sum() for t in times]
    diameter = np.mean([2 * np.sqrt(a * 0.08**2 / np.pi) for a in areas])
    assert nomograms.z_score("AscAo", diameter, case.gestational_age) == pytest.approx(case.z_scores["AscAo"], abs=0.5)


def test_aorta_and_pulmonary_artery_keep_their_ratio_in_health_only():
    def ratio(case):
        return case.size("AscAo") / case.size("MPA")

    for seed in range(40):
        assert 0.65 < ratio(sample_case(View.RVOT, seed, ())) < 1.2
        assert ratio(sample_case(View.THREE_VESSEL_TRACHEA, seed, [Condition.AORTIC_HYPOPLASIA])) < 0.72
        assert ratio(sample_case(View.RVOT, seed, [Condition.PULMONARY_VALVE_STENOSIS])) > 1.15


def test_mirror_flips_the_picture_and_nothing_else():
    section = make_section(sample_case(View.THREE_VESSEL_TRACHEA, 5, ()))
    plain = mask_of(section, 0.0, Placement((0.0, 48.64), 0.0, mirror=1))
    mirrored = mask_of(section, 0.0, Placement((0.0, 48.64), 0.0, mirror=-1))
    assert (plain != mirrored).mean() > 0.01
    assert (plain[:, ::-1] != mirrored).mean() < 2e-3


def test_trachea_lies_right_of_a_left_arch_and_left_of_a_right_arch():
    for seed in range(12):
        for conditions in ((), [Condition.RIGHT_AORTIC_ARCH]):
            contours = contours_of(make_section(sample_case(View.THREE_VESSEL_TRACHEA, seed, conditions)), 0.0)
            airway = contours["trachea"].mean(axis=0)
            arch = contours["aortic arch"]
            level = arch[np.abs(arch[:, 1] - airway[1]) < 1.0, 0]
            assert (airway[0] > level.max()) if conditions else (airway[0] < level.min())


def test_laterality_does_not_depend_on_any_other_condition():
    for view, condition in VIEW_CONDITIONS:
        plain, changed = place(sample_case(view, 9, ())), place(sample_case(view, 9, [condition]))
        assert (plain.mirror, plain.rotation, plain.center) == (changed.mirror, changed.rotation, changed.center)


# Conditions ----------------------------------------------------------------------------------------------------------

HEART_SHAPE = {"pericardium", "myocardium", "crux", "papillary muscle", "echogenic focus", "moderator band"}
MAY_CHANGE: dict[tuple[View, Condition], set[str]] = {
    (View.FOUR_CHAMBER, Condition.VSD): {"septal defect"},
    (View.LVOT, Condition.VSD): {"septal defect"},
    (View.FOUR_CHAMBER, Condition.AV_VALVE_STENOSIS): HEART_SHAPE | {"ventricle", "trabecula", "mitral", "tricuspid"},
    (View.LVOT, Condition.AORTIC_HYPOPLASIA): HEART_SHAPE | {"aort", "outflow", "ventricle", "trabecula", "mitral"},
    (View.LVOT, Condition.AORTIC_VALVE_STENOSIS): HEART_SHAPE | {"aort", "outflow", "ventricle", "mitral"},
    (View.RVOT, Condition.DORV): {"ascending aorta", "aortic", "infundibulum"},
    (View.RVOT, Condition.PULMONARY_VALVE_STENOSIS): {"pulmonary", "ascending aorta"},
    (View.THREE_VESSEL_TRACHEA, Condition.AORTIC_HYPOPLASIA): {"aortic arch", "main pulmonary artery"},
    (View.THREE_VESSEL_TRACHEA, Condition.PULMONARY_VALVE_STENOSIS): {"main pulmonary artery", "aortic arch"},
    (View.THREE_VESSEL_TRACHEA, Condition.RIGHT_AORTIC_ARCH): {
        "aortic arch", "trachea", "main pulmonary artery", "mediastinum",
    },
}  # fmt: skip


@pytest.mark.parametrize(("view", "condition"), VIEW_CONDITIONS)
def test_a_condition_changes_only_its_structures(view, condition):
    for seed in (1, 2, 7):
        healthy, ill = (make_section(sample_case(view, seed, c)) for c in ((), [condition]))
        before = {p.name: p for p in healthy.parts}
        after = {p.name: p for p in ill.parts}
        changed = before.keys() ^ after.keys()
        for name in before.keys() & after.keys():
            a, b = before[name].contour, after[name].contour
            if a.shape != b.shape or not np.allclose(a, b, atol=1e-9):
                changed.add(name)
        assert changed, "a condition that changes nothing cannot be learned"
        allowed = MAY_CHANGE[view, condition]
        assert [n for n in changed if not any(n.startswith(a) or a in n for a in allowed)] == []
        assert healthy.cycle == ill.cycle


def test_a_septal_defect_leaves_the_mask_as_it_is():
    healthy, ill = (make_section(sample_case(View.FOUR_CHAMBER, 4, c)) for c in ((), [Condition.VSD]))
    assert np.array_equal(mask_of(healthy), mask_of(ill))


def test_hypoplastic_aorta_goes_with_a_small_left_ventricle():
    ratios = []
    for seed in range(10):
        heart = make_section(sample_case(View.LVOT, seed, [Condition.AORTIC_HYPOPLASIA])).heart
        ratios.append(heart.rv_width / heart.lv_width)
    assert min(ratios) > 1.15
    assert np.mean(ratios) > 1.3


def test_some_defects_are_too_small_to_be_seen_by_design():
    gaps = {c.findings.vsd_gap: c for c in (sample_case(View.LVOT, s, [Condition.VSD]) for s in range(60))}
    hidden = [case for gap, case in gaps.items() if gap < VISIBLE_GAP_MM]
    assert 5 <= len(hidden) <= 28
    assert all(case.findings.undetermined == {Condition.VSD} for case in hidden)


def test_conditions_that_the_view_cannot_show_are_refused():
    with pytest.raises(InvalidRequest, match="cannot show RAA"):
        sample_case(View.FOUR_CHAMBER, 1, [Condition.RIGHT_AORTIC_ARCH])


def test_same_seed_gives_the_same_case_and_contours():
    for view in View:
        assert sample_case(view, 77) == sample_case(view, 77)
        first, second = (make_section(sample_case(view, 77)).layers(0.1) for _ in range(2))
        assert all(np.array_equal(a.contour, b.contour) for a, b in zip(first, second, strict=True))
    assert sample_case(View.LVOT, 1).z_scores != sample_case(View.LVOT, 2).z_scores


def test_prevalences_are_those_asked_for():
    cases = [sample_case(View.FOUR_CHAMBER, s, prevalence=TEST_PREVALENCE) for s in range(800)]
    share = np.mean([Condition.VSD in c.conditions for c in cases])
    assert share == pytest.approx(TEST_PREVALENCE[Condition.VSD], abs=0.04)


# Motion --------------------------------------------------------------------------------------------------------------


def test_areas_follow_the_prescribed_curves():
    case = sample_case(View.FOUR_CHAMBER, 6, ())
    section = FourChamberSection(case)
    times = np.arange(60) / 60 * 60 / case.heart_rate
    chambers = ("left ventricle", "right ventricle", "left atrium", "right atrium")
    curves = np.array([[area(contours_of(section, t)[n]) for n in chambers] for t in times])
    assert np.allclose(curves, [section.motion.target_areas(t) for t in times], rtol=1e-6)
    change = (curves.max(axis=0) - curves.min(axis=0)) / curves.max(axis=0)
    assert change[:3] == pytest.approx([*case.area_change, case.atrial_emptying], abs=0.01)
    assert np.corrcoef(curves[:, 0], curves[:, 2])[0, 1] < -0.8  # atria in antiphase


@pytest.mark.parametrize("seed", [1, 5, 9])
def test_heart_rate_is_recovered_from_the_ventricular_area(seed):
    case = sample_case(View.FOUR_CHAMBER, seed, ())
    section = FourChamberSection(case)
    times = np.arange(150) / 100.0
    curve = np.array([(mask_of(section, t, shape=256, spacing=0.38) == Structure.LEFT_VENTRICLE).sum() for t in times])
    curve = curve - curve.mean()
    correlation = np.correlate(curve, curve, "full")[len(curve) - 1 :] / np.arange(len(curve), 0, -1)
    low, high = int(100 * 60 / 180) - 1, int(100 * 60 / 110) + 2
    lag = low + int(correlation[low:high].argmax())
    assert 60 / (lag / 100) == pytest.approx(case.heart_rate, rel=0.03)


def test_base_descends_and_apex_stays():
    case = sample_case(View.FOUR_CHAMBER, 2, ())
    section = FourChamberSection(case)
    beat = 60 / case.heart_rate
    lengths, apex = [], []
    for share in (0.0, 0.45):
        time = end_diastole(section) + share * beat
        local = section.frame.from_anatomy(contours_of(section, time)["left ventricle"])
        lengths.append(np.ptp(local[:, 0]))
        apex.append(local[:, 0].max())
    shortening = 1 - lengths[1] / lengths[0]
    assert 0.12 < shortening < 0.25
    assert abs(apex[1] - apex[0]) < 0.35 * (lengths[0] - lengths[1])


@pytest.mark.parametrize("view", list(View))
def test_displacement_tells_where_material_came_from(view):
    section = make_section(sample_case(view, 3))
    rng = np.random.default_rng(0)
    material = rng.uniform(-16, 16, (40, 40, 2))
    for time in (0.05, 0.21, 0.33):
        weights = section.amplitudes(time)
        moved = material + np.tensordot(weights, section._sample(material), axes=1)
        found = moved - section.displacement(moved, time)
        assert np.abs(found - material).max() < 0.1
        assert np.median(np.abs(found - material)) < 0.01
    assert np.abs(section.displacement(np.array([[300.0, 0.0]]), 0.2)).max() == 0.0


@pytest.mark.parametrize("view", list(View))
def test_motion_never_folds_tissue(view):
    section = make_section(sample_case(view, 5))
    side = np.arange(-24, 24, 0.5)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)
    for time in np.linspace(0, 0.5, 7):
        moved = grid + np.tensordot(section.amplitudes(time), section._sample(grid), axes=1)
        dx, dy = np.gradient(moved, 0.5, axis=0), np.gradient(moved, 0.5, axis=1)
        assert (dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]).min() > 0.15


def test_valves_open_against_each_other():
    section = make_section(sample_case(View.LVOT, 3, ()))
    beat = 60 / section.cycle.heart_rate
    start = end_diastole(section)
    assert section.cycle.curve("semilunar_valve", start + 0.2 * beat) > 0.8
    assert section.cycle.curve("atrioventricular_valve", start + 0.2 * beat) < 0.05
    assert section.cycle.curve("semilunar_valve", start + 0.65 * beat) < 0.05
    assert section.cycle.curve("atrioventricular_valve", start + 0.65 * beat) > 0.8


def test_vessels_pulsate_by_the_stated_share():
    case = sample_case(View.RVOT, 6, ())
    section = make_section(case)
    times = np.arange(40) / 40 * 60 / case.heart_rate
    diameter = np.sqrt([area(contours_of(section, t)["descending aorta"]) for t in times])
    swing = (diameter.max() - diameter.min()) / (diameter.max() + diameter.min())
    assert swing == pytest.approx(case.pulsation, rel=0.15)
