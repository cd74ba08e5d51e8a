"""The rows of the four-chamber view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from .. import nomograms
from ..anatomy import Structure
from . import cycle, four_chamber
from .four_chamber import FourChamberFrame
from .geometry import EDGE_ERROR
from .measurement import Measurement
from .row import row
from .study import Found, Study, median

SPINE_NOT_MARKED = "estimated from the descending aorta, spine not marked"
_SHORT = {Structure.LEFT_VENTRICLE: "LV", Structure.RIGHT_VENTRICLE: "RV"}


def four_chamber_rows(study: Study) -> list[Measurement]:
    """Size and place of the heart in the chest, the ventricles at end-diastole, and their function."""

    def at_diastole(compute: Callable[[FourChamberFrame], float], flags: tuple[str, ...] = ()) -> Callable[[], Found]:
        def find() -> Found:
            frames, extra = study.diastolic_or_some()
            return median(lambda k: compute(study.four_chamber(k)), frames, flags + extra)

        return find

    def strictly_at_diastole(compute: Callable[[FourChamberFrame], float]) -> Callable[[], Found]:
        return lambda: median(lambda k: compute(study.four_chamber(k)), study.end_diastolic_frames())

    midline = () if study.spine is not None else (SPINE_NOT_MARKED,)

    def size_error(*parts: str) -> Callable[[Found], float]:
        """Relative error of a ratio of lengths from the sizes of its parts."""

        def error(found: Found) -> float:
            assert found.frame is not None
            frame = study.four_chamber(found.frame)
            sizes = [getattr(frame, part).equivalent_diameter for part in parts]
            return float(EDGE_ERROR * study.pixel * np.sqrt(sum(s**-2 for s in sizes)))

        return error

    def twice(error: Callable[[Found], float]) -> Callable[[Found], float]:
        return lambda found: 2 * error(found)

    whole = size_error("heart", "thorax")
    both = size_error("left_ventricle", "right_ventricle")
    circumference = None if study.age is None else nomograms.cardiac_circumference_mm(study.age)
    diameter = None if study.age is None else nomograms.cardiothoracic_diameter_ratio(study.age)
    none = (np.nan, np.nan)  # asks for the flag that the age is missing
    rows = [
        row(
            study, "cardiothoracic_area_ratio", "Cardiothoracic area ratio", "",
            at_diastole(four_chamber.cardiothoracic_area_ratio), limits=(0.25, 0.35),
            reference="AHA 2014; Sylwestrzak 2018: 0.30 ± 0.015", relative_error=twice(whole),
        ),
        row(
            study, "cardiothoracic_circumference_ratio", "Cardiothoracic circumference ratio", "",
            at_diastole(four_chamber.cardiothoracic_circumference_ratio), limits=(None, 0.5),
            reference="AHA 2014", relative_error=whole,
        ),
        row(
            study, "cardiothoracic_diameter_ratio", "Cardiothoracic diameter ratio", "",
            at_diastole(four_chamber.cardiothoracic_diameter_ratio), norm=diameter or none,
            reference="Sirilert 2019: 0.365 + 0.004 weeks", relative_error=whole,
        ),
        row(
            study, "cardiac_circumference", "Cardiac circumference", "mm",
            at_diastole(four_chamber.cardiac_circumference), norm=circumference or none, millimetres=True,
            reference="J Ultrasound Med 2011;30:1191: −53.11 + 6.56 weeks − 0.035 weeks²",
            relative_error=size_error("heart"),
        ),
        row(
            study, "cardiac_axis", "Cardiac axis", "°", at_diastole(four_chamber.cardiac_axis, midline),
            limits=(29.0, 57.0), reference="Shipp 1995: 43 ± 7°, above 57° abnormal",
            error=lambda found: four_chamber.axis_error(study.four_chamber(found.frame or 0)),
        ),
        row(
            study, "cardiac_position", "Heart centre left of thorax centre, in thorax widths", "%",
            at_diastole(four_chamber.cardiac_position, midline), reference="no published normal range",
        ),
        row(
            study, "posterior_point", "Posterior point (P) left of midline, in thorax widths", "%",
            at_diastole(four_chamber.posterior_point, midline), reference="no published normal range",
        ),
        row(
            study, "ventricular_width_ratio", "RV/LV width ratio", "",
            at_diastole(four_chamber.ventricular_width_ratio), limits=(0.86, 1.23),
            reference="Gabbay-Benziv 2015, 16 to 28 weeks", relative_error=both,
        ),
        row(
            study, "ventricular_area_ratio", "RV/LV area ratio", "",
            at_diastole(four_chamber.ventricular_area_ratio), reference="no published normal range",
            relative_error=twice(both),
        ),
    ]  # fmt: skip
    for ventricle, part in (
        (Structure.LEFT_VENTRICLE, "left_ventricle"),
        (Structure.RIGHT_VENTRICLE, "right_ventricle"),
    ):
        short = _SHORT[ventricle]
        own = size_error(part)
        for name, title, unit, function, nomogram, error in (
            ("area", "area", "mm²", four_chamber.ventricular_area, "area", twice(own)),
            ("length", "length", "mm", four_chamber.ventricular_length, "length", None),
            ("width", "diameter", "mm", four_chamber.ventricular_width, "width", None),
        ):
            rows.append(
                row(
                    study, f"{short}_{name}", f"{short} end-diastolic {title}", unit,
                    strictly_at_diastole(partial(function, ventricle=ventricle)), millimetres=True,
                    nomogram=f"{short} {nomogram}", relative_error=error,
                    error=None if error else lambda found: EDGE_ERROR * study.pixel,
                )
            )  # fmt: skip
        rows.append(
            row(
                study, f"{short}_sphericity", f"{short} length over width", "",
                strictly_at_diastole(partial(four_chamber.sphericity, ventricle=ventricle)),
                reference="DeVore 2018 (formula); no normal range here", relative_error=own,
            )
        )  # fmt: skip
    for ventricle in (Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE):
        short = _SHORT[ventricle]
        rows.append(
            row(
                study, f"{short}_fractional_area_change", f"{short} fractional area change", "%",
                partial(_area_change, study, ventricle), reference="DeVore 2019 (formula); no normal range here",
                square=False,
            )
        )  # fmt: skip
    rows += [
        row(
            study, "atrial_area_ratio", "LA/RA area ratio", "", at_diastole(four_chamber.atrial_area_ratio),
            reference="no published normal range", square=False,
        ),
        row(
            study, "LA_emptying", "LA emptying", "%", partial(_atrial_emptying, study),
            reference="(largest − smallest area) / largest; no normal range here", square=False,
        ),
    ]  # fmt: skip
    return rows


def _complete(study: Study, *structures: Structure) -> None:
    """NotMeasurable when a structure cannot be used in most of the clip: a cut chamber still changes its area."""
    study_frames = study.some_frames()
    for structure in structures:
        median(lambda k, s=structure: study.four_chamber(k).chamber(s).area, study_frames)  # type: ignore[misc]


def _area_change(study: Study, ventricle: Structure) -> Found:
    beats = study.require_beats()
    _complete(study, ventricle)
    changes = cycle.fractional_area_change(beats, study.area(ventricle))
    return Found(float(np.mean(changes)), beats.end_systole[0], _spread(changes))


def _atrial_emptying(study: Study) -> Found:
    beats = study.require_beats()
    _complete(study, Structure.LEFT_ATRIUM)
    times, _ = study._times()
    shares = cycle.emptying(beats, times, study.area(Structure.LEFT_ATRIUM))
    return Found(float(np.mean(shares)), beats.end_systole[0], _spread(shares))


def _spread(values: Sequence[float]) -> tuple[str, ...]:
    if len(values) < 2:
        return ("one beat only",)
    return (f"{len(values)} beats, SD {np.std(values, ddof=1):.1f} % from beat to beat",)
