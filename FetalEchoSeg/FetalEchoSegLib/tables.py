"""The tables of a result, per frame, per condition and per measure, as values and as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import HEART_UNION, N_CONDITIONS, RESEARCH_ONLY, THORAX_UNION, Condition, Structure, permitted_structures
from .cine import Cine
from .conditions import UNCALIBRATED, ConditionThreshold, Verdict, verdict
from .errors import NotMeasurable
from .output_files import write_text
from .overlay_pictures import model_line
from .prediction import Prediction

if TYPE_CHECKING:
    from .measurements import Measurement
    from .measurements.cycle import Beats

# The two rings of the exclusive label map count with their content: that is the anatomical area.
_UNIONS: dict[Structure, tuple[Structure, ...]] = {
    Structure.WHOLE_HEART: HEART_UNION,
    Structure.THORAX: THORAX_UNION,
}


@dataclass(frozen=True)
class FrameTable:
    """One row per frame of the clip.

    frames      (T,) frame numbers from 0
    seconds     (T,) seconds, NaN where frame times are unknown
    confidence  (T,) 0..1, NaN for frames that were not segmented
    areas       area (T,) of each structure the view can show, NaN for frames that were not segmented; the whole
                heart and the thorax with their content
    unit        "mm²" with a calibration, otherwise "px"
    model       which model made it, with its notice
    """

    frames: np.ndarray
    seconds: np.ndarray
    confidence: np.ndarray
    areas: dict[Structure, np.ndarray]
    unit: str
    model: str

    @property
    def time_axis(self) -> tuple[np.ndarray, str]:
        """(T,) seconds, or frame numbers where times are unknown, and what an axis calls them."""
        if np.isnan(self.seconds).any():
            return self.frames, "frame (times unknown)"
        return self.seconds, "time (s)"

    def to_csv(self, path: Path | str) -> None:
        """Write UTF-8 CSV; unknown values are empty cells. Raises UnwritableOutput."""
        unit = "mm2" if self.unit == "mm²" else "px"
        header = ["frame", "time_s", "confidence", *(f"{area_name(s)}_{unit}" for s in self.areas), "model"]
        rows = [
            [
                int(self.frames[k]),
                _number(self.seconds[k], 6),
                _number(self.confidence[k], 4),
                *(_number(area[k], 2 if unit == "mm2" else 0) for area in self.areas.values()),
                self.model,
            ]
            for k in range(len(self.frames))
        ]
        _write_csv(path, header, rows)


@dataclass(frozen=True)
class ConditionRow:
    """What is said about one condition; ``probability`` is NaN when the view cannot show it."""

    condition: Condition
    probability: float
    threshold: ConditionThreshold
    verdict: Verdict


@dataclass(frozen=True)
class ConditionTable:
    """One row per condition, in the order of ``Condition``; ``model`` says who judged, with its notice."""

    rows: tuple[ConditionRow, ...]
    model: str

    def to_csv(self, path: Path | str) -> None:
        """Write UTF-8 CSV; raises UnwritableOutput."""
        header = ["condition", "name", "probability", "threshold", "abstain_low", "abstain_high", "verdict"]
        rows = [
            [
                row.condition.short,
                row.condition.title,
                _number(row.probability, 4),
                row.threshold.threshold,
                row.threshold.low,
                row.threshold.high,
                row.verdict,
                RESEARCH_ONLY,
                self.model,
            ]
            for row in self.rows
        ]
        _write_csv(path, [*header, "note", "model"], rows)


@dataclass(frozen=True)
class MeasurementTable:
    """Every measure of the view, with a value or the reason why there is none.

    model  who drew the masks
    beats  end-diastole and end-systole, None where the masks do not show them
    """

    rows: tuple[Measurement, ...]
    model: str
    beats: Beats | None = None

    def to_csv(self, path: Path | str) -> None:
        """Write UTF-8 CSV; raises UnwritableOutput."""
        header = ["measure", "title", "value", "error", "unit", "frame", "normal_low", "normal_high", "z_score"]
        rows = [
            [
                row.name,
                row.title,
                *("" if value is None else f"{value:.4g}" for value in (row.value, row.error)),
                row.unit,
                "" if row.frame is None else row.frame,
                *("" if value is None else f"{value:.4g}" for value in (row.low, row.high)),
                "" if row.z_score is None else f"{row.z_score:.2f}",
                row.reference,
                row.reason or "",
                "; ".join(row.flags),
                self.model,
            ]
            for row in self.rows
        ]
        _write_csv(path, [*header, "reference", "not_measurable", "remarks", "model"], rows)


def area_name(structure: Structure) -> str:
    """Column name of a structure's area; the two rings say that their content is in it."""
    return f"{structure.info.short}_with_content" if structure in _UNIONS else structure.info.short


def frame_table(cine: Cine, prediction: Prediction) -> FrameTable:
    """Per-frame confidence and areas of a prediction for ``cine``."""
    done = prediction.done
    counts = np.full((len(done), 15), np.nan)
    for k in np.flatnonzero(done):
        counts[k] = np.bincount(prediction.labels[k].ravel(), minlength=15)[:15]
    pixel = 1.0 if cine.spacing is None else cine.spacing[0] * cine.spacing[1]
    areas = {
        s: counts[:, [int(part) for part in _UNIONS.get(s, (s,))]].sum(axis=1) * pixel
        for s in permitted_structures(prediction.view)
    }
    return FrameTable(
        frames=np.arange(len(done)),
        seconds=cine.times if cine.has_known_times else np.full(len(done), np.nan),
        confidence=np.where(done, prediction.confidence, np.nan),
        areas=areas,
        unit="px" if cine.spacing is None else "mm²",
        model=model_line(prediction),
    )


def condition_table(prediction: Prediction, thresholds: Sequence[ConditionThreshold] | None = None) -> ConditionTable:
    """Clip-level verdicts; ``thresholds`` in the order of ``Condition``, a wide abstain band without them."""
    thresholds = [UNCALIBRATED] * N_CONDITIONS if thresholds is None else list(thresholds)
    if len(thresholds) != N_CONDITIONS:
        raise ValueError(f"{N_CONDITIONS} thresholds are needed, got {len(thresholds)}")
    rows = []
    for condition in Condition:
        probability = float(prediction.clip_conditions[condition])
        rows.append(
            ConditionRow(condition, probability, thresholds[condition], verdict(probability, thresholds[condition]))
        )
    return ConditionTable(tuple(rows), model_line(prediction))


def measurement_table(
    cine: Cine,
    prediction: Prediction,
    gestational_age: float | None = None,
    spine: tuple[float, float] | None = None,
    spine_frame: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> MeasurementTable:
    """What the masks of a prediction measure; the options are those of ``measurements.measure``."""
    from .measurements import heart_beats, measure

    labels, view = prediction.labels, prediction.view
    rows = measure(
        labels,
        cine,
        view,
        gestational_age=gestational_age,
        spine=spine,
        spine_frame=spine_frame,
        cancelled=cancelled,
    )
    try:
        beats = heart_beats(labels, cine, view)
    except NotMeasurable:
        beats = None
    return MeasurementTable(rows, model_line(prediction), beats)


def _number(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def _write_csv(path: Path | str, header: list[str], rows: list[list]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
