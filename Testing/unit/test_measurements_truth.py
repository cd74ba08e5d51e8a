"""Measures of truth masks agree with the phantom's analytic values."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Condition, Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.measurements import measure
from FetalEchoSegLib.measurements.geometry import Region, course, diameter, region, sector
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.phantom.contours import ellipse, smooth_line, tube
from FetalEchoSegLib.phantom.raster import fill_centres

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from bench_measurements import truth, truth_masks

SPACING = (0.2, 0.2)


def painted(contour, shape=(200, 200), spacing=0.2):
    mask = np.zeros(shape, np.uint8)
    fill_centres(mask, contour / spacing, 1)
    return mask


def rows_of(case, spine=True, **options):
    cine, labels, click = truth_masks(case)
    options = {"gestational_age": case.gestational_age, "spine": click if spine else None, "spine_frame": 0} | options
    return {row.name: row for row in measure(labels, cine, case.view, **options)}


# Shapes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 23.0, 61.0])
def test_ellipse_fit_gives_axes_and_perimeter(angle):
    found = region(painted(ellipse((20.3, 19.8), (9.0, 6.0), angle)), (1,), "heart", SPACING)
    assert found.ellipse.major == pytest.approx(18.0, abs=0.05)
    assert found.ellipse.minor == pytest.approx(12.0, abs=0.05)
    at = np.linspace(0, 2 * np.pi, 20001)
    exact = np.hypot(9 * np.diff(np.cos(at)), 6 * np.diff(np.sin(at))).sum()
    assert found.ellipse.perimeter == pytest.approx(exact, rel=3e-3)


def test_chords_are_not_multiples_of_a_pixel():
    for true in (3.0, 3.13, 3.27, 3.41):
        outline = tube(np.stack([np.linspace(8, 30, 80), np.full(80, 20.07)], axis=1), np.full(80, true))
        found = region(painted(outline), (1,), "vessel", SPACING)
        assert found.largest_chord(np.array([1.0, 0.0])) == pytest.approx(true, abs=0.12)


@pytest.mark.parametrize("turn", [0.0, 17.0, 45.0, 80.0])
@pytest.mark.parametrize("width", [1.2, 2.05, 3.7])
def test_width_of_a_bent_vessel(width, turn):
    bend = np.deg2rad(np.linspace(0, 120, 60) + turn)
    line = np.array([20.0, 20.0]) + 9.0 * np.stack([np.cos(bend), np.sin(bend)], axis=1)
    found = region(painted(tube(line, np.full(60, width))), (1,), "vessel", SPACING)
    assert diameter(found) == pytest.approx(width, abs=0.08)
    assert course(found).length == pytest.approx(9.0 * np.deg2rad(120), rel=0.08)


def test_width_follows_a_taper():
    line = smooth_line(np.array([(6.0, 8.0), (20.0, 14.0), (32.0, 30.0)]), 0.2)
    found = region(painted(tube(line, np.linspace(4.2, 2.4, len(line)))), (1,), "vessel", SPACING)
    along = course(found)
    ends = sorted((along.width(0.1, 0.3), along.width(0.7, 0.9)))
    assert ends == pytest.approx([4.2 - 0.8 * 1.8, 4.2 - 0.2 * 1.8], abs=0.12)


def test_pixels_that_are_not_square_change_nothing():
    outline = ellipse((20.0, 20.0), (8.0, 5.0), 30.0)
    mask = np.zeros((400, 100), np.uint8)
    fill_centres(mask, outline / np.array([0.4, 0.1]), 1)
    found = region(mask, (1,), "heart", (0.1, 0.4))
    assert (found.ellipse.major, found.ellipse.minor) == pytest.approx((16.0, 10.0), abs=0.1)
    assert found.area == pytest.approx(np.pi * 40, rel=0.01)


def test_hull_closes_a_notch():
    mask = painted(ellipse((20, 20), (12, 12)))
    mask[80:100, 150:] = 0
    notched = region(mask, (1,), "thorax", SPACING)
    assert notched.area < 0.985 * np.pi * 144
    assert notched.hull().area == pytest.approx(np.pi * 144, rel=0.015)


def test_sector_ignores_shadows_and_text():
    frame = np.zeros((200, 240), np.uint8)
    fan = painted(np.array([(110.0, 10.0), (130.0, 10.0), (220.0, 190.0), (20.0, 190.0)]), (200, 240), 1.0)
    frame[fan > 0] = 50
    frame[120:, 100:120] = 0  # a rib's shadow
    frame[5:15, 5:40] = 200  # text
    seen = sector([frame])
    assert not seen[5:15, 5:40].any()
    assert (seen == (fan > 0)).mean() > 0.97


def test_a_region_is_a_value():
    assert Region("x", np.ones((3, 3), bool), (0, 0), (1.0, 1.0)).area == 9.0


# Agreement with the truth ---------------------------------------------------------------------------------------------


TOLERANCE = {
    "cardiothoracic_area_ratio": ("relative", 0.03),
    "ventricular_area_ratio": ("relative", 0.03),
    "atrial_area_ratio": ("relative", 0.03),
    "ventricular_width_ratio": ("relative", 0.05),
    "cardiothoracic_circumference_ratio": ("relative", 0.03),
    "cardiothoracic_diameter_ratio": ("relative", 0.03),
    "aorta_to_pulmonary_ratio": ("relative", 0.05),
    "cardiac_axis": ("absolute", 3.0),
    "heart_rate": ("absolute", 2.0),
    "cardiac_circumference": ("absolute", 0.5),
    "cardiac_position": ("absolute", 1.0),
    "LV_area": ("relative", 0.03),
    "RV_area": ("relative", 0.03),
    "LV_fractional_area_change": ("absolute", 1.5),
    "RV_fractional_area_change": ("absolute", 1.5),
    "LA_emptying": ("absolute", 2.0),
    "LV_sphericity": ("relative", 0.05),
    "RV_sphericity": ("relative", 0.05),
}


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("seed", [501, 502, 503])
def test_measures_of_truth_masks_meet_the_goals(view, seed):
    case = sample_case(view, seed)
    rows, expected = rows_of(case), truth(case)
    for name, value in expected.items():
        if name not in rows:
            continue  # the benchmark's estimate without a click
        row = rows[name]
        assert row.value is not None, (name, row.reason)
        kind, limit = TOLERANCE.get(name, ("absolute", 0.3))  # diameters and lengths in mm
        off = abs(row.value - value) / (abs(value) if kind == "relative" else 1.0)
        assert off <= limit, (name, row.value, value)


def test_z_scores_are_those_of_the_fetus():
    case = sample_case(View.RVOT, 506, ())
    rows = rows_of(case)
    for name in ("AscAo", "MPA", "LPA", "RPA", "DescAo"):
        assert rows[f"{name}_diameter"].z_score == pytest.approx(case.z_scores[name], abs=0.35)
        assert rows[f"{name}_diameter"].reference == "Schneider 2005"
    krishnan = rows_of(case, reference="Krishnan 2016")["LPA_diameter"]
    assert krishnan.reference == "Krishnan 2016"
    assert krishnan.value == rows["LPA_diameter"].value
    assert krishnan.z_score < rows["LPA_diameter"].z_score - 0.5  # the references differ, so each names itself


def test_trachea_side_tells_a_right_arch():
    for seed in range(4):
        healthy = rows_of(sample_case(View.THREE_VESSEL_TRACHEA, seed, ()))["trachea_side_index"]
        case = sample_case(View.THREE_VESSEL_TRACHEA, seed, [Condition.RIGHT_AORTIC_ARCH])
        right = rows_of(case)["trachea_side_index"]
        assert healthy.value < 0
        assert not healthy.is_outside
        assert right.is_outside
        assert (right.value > 1) == case.findings.raa_with_right_duct


def test_axis_without_spine_is_an_estimate_and_says_so():
    case = sample_case(View.FOUR_CHAMBER, 502, ())
    marked, estimated = (rows_of(case, spine=s)["cardiac_axis"] for s in (True, False))
    assert not any("spine" in flag for flag in marked.flags)
    assert any("spine not marked" in flag for flag in estimated.flags)
    assert estimated.value == pytest.approx(case.axis, abs=10.0)
    assert marked.error < 2.0
    assert estimated.error > 5.0


@pytest.mark.parametrize("view", list(View))
def test_mirrored_and_turned_fetuses_give_the_same_numbers(view):
    case = sample_case(view, 507, ())
    plain = rows_of(case)
    for changed in (replace(case, mirror=-case.mirror), replace(case, rotation=case.rotation + 70.0)):
        other = rows_of(changed)
        for name, row in plain.items():
            if row.value is None or other[name].value is None:
                continue  # a turned chest may leave the sector
            if row.unit in ("°", "%"):
                assert other[name].value == pytest.approx(row.value, abs=1.5), name
            else:
                assert other[name].value == pytest.approx(row.value, rel=0.03, abs=0.06), name


def test_numbers_survive_a_flip_of_the_image():
    case = sample_case(View.FOUR_CHAMBER, 503, ())
    cine, labels, (row, column) = truth_masks(case)
    flipped = Cine.from_array(cine.frames[:, :, ::-1], cine.times, spacing=cine.spacing)
    width = labels.shape[2] - 1
    plain = measure(labels, cine, case.view, spine=(row, column))
    mirrored = measure(labels[:, :, ::-1], flipped, case.view, spine=(row, width - column))
    for a, b in zip(plain, mirrored, strict=True):
        assert (a.name, a.reason) == (b.name, b.reason)
        assert b.value == pytest.approx(a.value, rel=0.01, abs=0.02)


def test_same_masks_give_the_same_table():
    case = sample_case(View.THREE_VESSEL_TRACHEA, 504)
    cine, labels, _ = truth_masks(case, frames=40)
    before = labels.copy()
    assert measure(labels, cine, case.view) == measure(labels, cine, case.view)
    assert np.array_equal(labels, before)


def test_ring_labels_count_with_their_content():
    case = sample_case(View.FOUR_CHAMBER, 505, ())
    cine, labels, _ = truth_masks(case, frames=40)
    ring = labels.copy()
    ring[np.isin(ring, [int(Structure.LEFT_ATRIUM)])] = int(Structure.WHOLE_HEART)
    a, b = (measure(m, cine, case.view)[0] for m in (labels, ring))
    assert a.name == b.name == "cardiothoracic_area_ratio"
    assert a.value == pytest.approx(b.value, rel=1e-3)
