"""One row of the table: a measured value with its norm, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import nomograms
from ..errors import NotMeasurable
from .measurement import Measurement
from .study import Found, Study

PLAUSIBLE_Z = 10.0  # beyond it the calibration or the gestational age is wrong, not the heart
SQUARE_PIXELS = "not calibrated, pixels taken as square"


def row(
    study: Study,
    name: str,
    title: str,
    unit: str,
    find: Callable[[], Found],
    *,
    limits: tuple[float | None, float | None] = (None, None),
    reference: str = "",
    relative_error: Callable[[Found], float] | None = None,
    error: Callable[[Found], float] | None = None,
    norm: tuple[float, float] | None = None,
    nomogram: str | None = None,
    millimetres: bool = False,
    square: bool = True,
) -> Measurement:
    """Measure one row and add its norm.

    norm         (mean, SD) at this age; nomogram names one of `nomograms` instead
    millimetres  the value needs a calibration; square: without one it needs square pixels
    """
    wanted = nomogram is not None
    table = _reference_with(nomogram, study.reference) if nomogram else None
    reference = table or reference
    try:
        if study.wrong:
            raise NotMeasurable(study.wrong)
        if millimetres and study.no_mm:
            raise NotMeasurable(study.no_mm)
        found = find()
        if not np.isfinite(found.value):
            raise NotMeasurable("the mask does not allow it")
    except NotMeasurable as problem:
        return Measurement(name, title, None, unit, reference=reference, reason=str(problem))
    flags = list(found.flags)
    if study.no_mm and square and study.cine.spacing is None:
        flags.append(SQUARE_PIXELS)
    low, high = limits
    z_score = None
    if nomogram and table:
        flags += [f"{study.reference} has no values for this structure"] * (table != study.reference)
    if (wanted or norm) and study.age is None:
        flags.append(study.age_flag)
    elif norm:
        mean, deviation = norm
        low, high, z_score = mean - 2 * deviation, mean + 2 * deviation, (found.value - mean) / deviation
    elif nomogram and table and study.age is not None:
        try:
            z_score = nomograms.z_score(nomogram, found.value, study.age, table)
            low, high = (nomograms.size_mm(nomogram, study.age, z, table) for z in (-2.0, 2.0))
        except NotMeasurable as problem:
            flags.append(f"no z-score: {problem}")
    if z_score is not None and abs(z_score) > PLAUSIBLE_Z:
        flags.append(f"a z-score of {z_score:.0f} is implausible: check calibration and gestational age")
        z_score = None
    uncertainty = None
    if error:
        uncertainty = error(found)
    elif relative_error:
        uncertainty = abs(found.value) * relative_error(found)
    return Measurement(
        name, title, found.value, unit, found.frame, low, high, z_score, reference, uncertainty, tuple(flags)
    )


def _reference_with(name: str, wanted: str) -> str:
    """The wanted reference if it has the structure, else the first that does."""
    choices = [wanted, *(r for r in nomograms.REFERENCES if r != wanted)]
    with_spread = [r for r in choices if name in nomograms.NOMOGRAMS[r] and nomograms.NOMOGRAMS[r][name].spread]
    return (with_spread or [r for r in choices if name in nomograms.NOMOGRAMS[r]])[0]
