"""Bias and limits of agreement of the measures against the phantom's analytic truth.

Limits of agreement are mean difference ± 1.96 SD (Bland & Altman 1986) over synthetic fetuses, on the truth masks and,
where the demo model is there, on its masks. The phantom is not patient data: this tests arithmetic, not a diagnosis.

Run: python Testing/benchmarks/bench_measurements.py
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import Condition, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import NotMeasurable
from FetalEchoSegLib.measurements import measure
from FetalEchoSegLib.measurements.four_chamber import FourChamberFrame, cardiac_axis
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.phantom.clip import make_clip, make_section, place
from FetalEchoSegLib.phantom.contours import area
from FetalEchoSegLib.phantom.devices import sample_device
from FetalEchoSegLib.phantom.raster import fill_centres, rasterise_labels
from FetalEchoSegLib.phantom.sector import SectorGeometry
from FetalEchoSegLib.phantom.vessels import TRANSVERSE_ARCH

CASES = 20
MODEL_CASES = 5
FRAMES, FRAME_RATE = 60, 50.0
DEMO_MODEL = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "demo-tiny"


def truth_masks(case, frames=FRAMES, frame_rate=FRAME_RATE):
    """(clip, labels, spine click) of a case without its echoes: masks from the contours, a flat sector as picture."""
    section, placement = make_section(case), place(case)
    geometry = SectorGeometry.plan(sample_device(case.seed), placement)
    times = np.arange(frames) / frame_rate
    labels = np.stack([rasterise_labels(section.layers(t), placement, geometry, t) for t in times])
    picture = np.where(geometry.visible, 60, 0).astype(np.uint8)
    cine = Cine.from_array(
        np.broadcast_to(picture, labels.shape),
        times,
        spacing=(geometry.spacing, geometry.spacing),
        calibration="phantom",
        view=case.view,
    )
    return cine, labels, spine_click(section, placement, geometry)


def spine_click(section, placement, geometry):
    """(row, column) of the vertebral body in the first frame."""
    column, row = geometry.to_pixels(placement.to_probe(section.chest.spine, 0.0))
    return float(row), float(column)


def truth(case):
    """Analytic value of each measure of a case, by name."""
    if case.view is View.FOUR_CHAMBER:
        return four_chamber_truth(case)
    values = {"heart_rate": case.heart_rate}
    if case.view is View.LVOT:
        return values | {"AscAo_diameter": case.size("AscAo")}
    names = ("AscAo", "MPA", "LPA", "RPA", "DescAo", "SVC") if case.view is View.RVOT else ("MPA", "SVC")
    values |= {f"{name}_diameter": case.size(name) for name in names}
    if case.view is View.RVOT:
        return values | {"aorta_to_pulmonary_ratio": case.size("AscAo") / case.size("MPA")}
    arch = TRANSVERSE_ARCH * case.size("AscAo")
    return values | {
        "arch_diameter": arch,
        "isthmus_diameter": min(case.size("isthmus"), arch),
        "aorta_to_pulmonary_ratio": arch / case.size("MPA"),
    }


def four_chamber_truth(case):
    """Analytic values from the contours at end-diastole, in the heart's and the body's own axes."""
    section = make_section(case)
    heart, chest, frame = section.heart, section.chest, section.frame
    contours = {layer.name: layer.contour for layer in section.layers((-case.phase % 1.0) * 60.0 / case.heart_rate)}
    outline, cavity = contours["pericardium"], contours["lungs"]
    local = frame.from_anatomy(outline)
    lv, rv, la, ra = (
        area(contours[f"{side} {part}"]) for part in ("ventricle", "atrium") for side in ("left", "right")
    )
    values = {
        "cardiothoracic_area_ratio": area(outline) / area(cavity),
        "cardiothoracic_circumference_ratio": moment_ellipse(outline) / moment_ellipse(cavity),
        "cardiothoracic_diameter_ratio": np.ptp(local[:, 1]) / np.ptp(cavity[:, 0]),
        "cardiac_circumference": moment_ellipse(outline),
        "cardiac_axis": case.axis - midline_tilt(chest),
        "cardiac_axis without a click on the spine": case.axis - midline_tilt(chest),
        "cardiac_position": 100 * (centroid(outline)[0] - centroid(cavity)[0]) / np.ptp(cavity[:, 0]),
        "ventricular_width_ratio": np.ptp(heart.rv[:, 1]) / np.ptp(heart.lv[:, 1]),
        "ventricular_area_ratio": rv / lv,
        "LV_area": lv,
        "RV_area": rv,
        "LV_fractional_area_change": 100 * case.area_change[0],
        "RV_fractional_area_change": 100 * case.area_change[1],
        "atrial_area_ratio": la / ra,
        "LA_emptying": 100 * case.atrial_emptying,
        "DescAo_diameter": case.size("DescAo"),
        "heart_rate": case.heart_rate,
    }
    for short, chamber in (("LV", heart.lv), ("RV", heart.rv)):
        length, width = np.ptp(chamber, axis=0)
        values |= {f"{short}_length": length, f"{short}_width": width, f"{short}_sphericity": length / width}
    return values


def midline_tilt(chest):
    """Degrees by which the line from the spine through the thorax centre leans to the fetal left."""
    arm = centroid(chest.cavity) - chest.spine
    return float(np.degrees(np.arctan2(arm[0], arm[1])))


def moment_ellipse(contour, step=0.05):
    """Perimeter by numerical integration of the ellipse with the area and second moments of a fine filling."""
    low = contour.min(axis=0) - 1.0
    shape = tuple(np.ceil((np.ptp(contour, axis=0) + 2.0) / step).astype(int)[::-1])
    filled = np.zeros(shape, np.uint8)
    fill_centres(filled, (contour - low) / step, 1)
    points = np.argwhere(filled) * step
    values = np.linalg.eigvalsh(np.cov(points.T))
    axes = np.sqrt(values / np.sqrt(values[0] * values[1]) * area(contour) / np.pi)
    angle = np.linspace(0.0, 2 * np.pi, 4000)
    ring = np.stack([axes[0] * np.cos(angle), axes[1] * np.sin(angle)], axis=1)
    return float(np.linalg.norm(np.diff(ring, axis=0), axis=1).sum())


def centroid(contour):
    """Centre of mass of the enclosed area."""
    following = np.roll(contour, -1, axis=0)
    cross = contour[:, 0] * following[:, 1] - following[:, 0] * contour[:, 1]
    return ((contour + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum())


def differences(cases, masks):
    """{(view, measure): (list of measured − true, number not measurable, unit)}; ratios as % of the truth."""
    found = {}
    for case in cases:
        cine, labels, spine = masks(case)
        rows = {
            r.name: r
            for r in measure(labels, cine, case.view, gestational_age=case.gestational_age, spine=spine, spine_frame=0)
        }
        for name, expected in truth(case).items():
            row = rows.get(name) or without_spine(labels, cine, rows["cardiac_axis"])
            unit = row.unit or "% of truth"
            entry = found.setdefault((case.view.short, name), ([], [], unit))
            if row.value is None:
                entry[1].append(row.reason)
            else:
                scale = 1.0 if row.unit else 100.0 / expected
                entry[0].append((row.value - expected) * scale)
    return found


def without_spine(labels, cine, marked):
    """The cardiac axis of the same frame when nobody clicks on the spine."""
    if marked.frame is None:
        return marked
    try:
        value = cardiac_axis(FourChamberFrame(labels[marked.frame], cine.spacing))
    except NotMeasurable as problem:
        return replace(marked, value=None, reason=str(problem))
    return replace(marked, value=value)


def trachea_sides(cases, masks):
    """Share of three-vessel views whose trachea lies on the true side of the arch, as a row."""
    right, count = 0, 0
    for case in cases:
        cine, labels, _ = masks(case)
        row = next(r for r in measure(labels[:1], still(cine), case.view) if r.name == "trachea_side_index")
        count += 1
        right += row.value is not None and (row.value >= 0) == (Condition.RIGHT_AORTIC_ARCH in case.conditions)
    return (
        f"truth 3VT trachea on the true side of the arch (n={count}, half right arches)",
        100.0 * right / count,
        "%",
    )


def still(cine):
    """The first frame of a clip."""
    return Cine.from_array(cine.frames[:1], spacing=cine.spacing)


def summary(found, source):
    """(name, value, unit) rows: bias and limits of agreement."""
    rows = []
    for (view, name), (errors, reasons, unit) in found.items():
        count = f"n={len(errors)}" + (f", {len(reasons)} not measurable" if reasons else "")
        if len(errors) < 2:
            rows.append((f"{source} {view} {name} ({count})", "-", unit))
            continue
        bias, spread = float(np.mean(errors)), 1.96 * float(np.std(errors, ddof=1))
        rows.append(
            (f"{source} {view} {name} ({count})", f"{bias:+.2f} [{bias - spread:+.2f}, {bias + spread:+.2f}]", unit)
        )
    return rows


def model_masks():
    """Function from a case to what the demo model makes of its clip; None without the model."""
    if not (DEMO_MODEL / "bundle.yaml").exists():
        return None
    from FetalEchoSegLib.bundle import load_bundle
    from FetalEchoSegLib.segmentation import Segmenter

    segmenter = Segmenter(load_bundle(DEMO_MODEL))

    def masks(case):
        device = sample_device(case.seed)
        made = make_clip(case, frames=30, frame_rate=30.0, device=device)
        placement = place(case)
        spine = spine_click(make_section(case), placement, SectorGeometry.plan(device, placement))
        return made.cine, segmenter.segment(made.cine, view=case.view).labels, spine

    return masks


# What the truth masks must give: (what, end of the measure's name, goal, unit).
GOALS = (
    ("area ratios", ("area_ratio",), 3.0, "% of truth"),
    ("cardiac axis with a click on the spine", ("cardiac_axis",), 3.0, "°"),
    ("vessel diameters", ("_diameter",), 0.3, "mm"),
    ("heart rate", ("heart_rate",), 2.0, "bpm"),
)


def against_goals(found):
    """Worst limit of agreement of each group of measures that has a goal, as rows."""
    rows = []
    for what, ends, goal, unit in GOALS:
        errors = [values for (_, name), (values, _, _) in found.items() if name.endswith(ends) and len(values) > 1]
        worst = max(abs(np.mean(e)) + 1.96 * np.std(e, ddof=1) for e in errors) if errors else float("nan")
        rows.append((f"truth, worst limit of agreement of {what} (goal: within {goal:g})", f"{worst:.2f}", unit))
    return rows


def speed():
    """Seconds to measure a clip of 60 frames, 512 x 512, as rows: the panel does it after every run."""
    rows = []
    for view in (View.FOUR_CHAMBER, View.THREE_VESSEL_TRACHEA):
        case = sample_case(view, 500)
        cine, labels, _ = truth_masks(case)
        began = time.perf_counter()
        measure(labels, cine, view, gestational_age=22.0)
        size = "×".join(map(str, labels.shape))
        rows.append((f"measuring {size}, {view.short}", f"{time.perf_counter() - began:.2f}", "s"))
    return rows


def run(cases=CASES, model_cases=MODEL_CASES):
    """(name, value, unit) rows; value is "bias [lower limit, upper limit]"."""
    found = differences((sample_case(v, 500 + k) for v in View for k in range(cases)), truth_masks)
    rows = speed() + against_goals(found) + summary(found, "truth")
    arches = (sample_case(View.THREE_VESSEL_TRACHEA, 700 + k, ()) for k in range(cases // 2))
    right_arches = (
        sample_case(View.THREE_VESSEL_TRACHEA, 700 + k, [Condition.RIGHT_AORTIC_ARCH]) for k in range(cases // 2)
    )
    if cases > 1:
        rows.append(trachea_sides((*arches, *right_arches), lambda case: truth_masks(case, frames=1)))
    masks = model_masks()
    if masks:
        chosen = (sample_case(v, 900 + k) for v in View for k in range(model_cases))
        rows += summary(differences(chosen, masks), "demo model")
    return rows


if __name__ == "__main__":
    for name, value, unit in run(*(int(a) for a in sys.argv[1:])):
        shown = value if isinstance(value, str) else f"{value:.1f}"
        print(f"{name:82} {shown:>24} {unit}")
