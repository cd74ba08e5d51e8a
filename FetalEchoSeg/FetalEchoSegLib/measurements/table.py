"""All measures of a clip as one table: every row has a value or says why not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import nomograms
from ..anatomy import View
from ..cine import Cine
from ..errors import NotMeasurable
from . import cycle
from .four_chamber_rows import four_chamber_rows
from .measurement import Measurement
from .row import row
from .study import Study
from .vessel_rows import vessel_rows


def measure(
    labels: np.ndarray,
    cine: Cine,
    view: View,
    *,
    gestational_age: float | None = None,
    spine: tuple[float, float] | None = None,
    spine_frame: int | None = None,
    reference: str = nomograms.SCHNEIDER,
    end_diastole: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Measurement, ...]:
    """Every measure that ``view`` can give, as a value or as "not measurable: reason".

    labels           (T, H, W) uint8 structure ids of all frames of ``cine``; frames without labels are passed over
    gestational_age  weeks; None gives no z-scores
    spine            (row, column) in pixels of a click on the spine; without it axis and position are estimates
    spine_frame      the frame that was clicked in: the click then follows the thorax through the clip
    reference        which z-scores to use where it has the structure, see `nomograms.REFERENCES`
    end_diastole     a frame the user names as end-diastolic, which a still image cannot tell
    cancelled        asked for every frame; Cancelled is raised once it returns True
    Bad masks never raise; InvalidRequest when the arguments do not fit together.
    """
    study = Study(labels, cine, View(view), gestational_age, spine, spine_frame, reference, end_diastole, cancelled)
    rows = four_chamber_rows(study) if study.view is View.FOUR_CHAMBER else []
    return (*rows, *vessel_rows(study), _heart_rate_row(study))


def heart_beats(labels: np.ndarray, cine: Cine, view: View) -> cycle.Beats:
    """End-diastole and end-systole of a clip from its masks (T, H, W); raises NotMeasurable with the reason."""
    study = Study(labels, cine, View(view))
    if study.wrong:
        raise NotMeasurable(study.wrong)
    return study.require_beats()


def _heart_rate_row(study: Study) -> Measurement:
    return row(
        study, "heart_rate", "Heart rate", "bpm", study.heart_rate, limits=(110.0, 160.0), square=False,
        reference="baseline 110 to 160 (NICHD 2008)",
    )  # fmt: skip
