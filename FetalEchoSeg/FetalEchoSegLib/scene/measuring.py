"""Measuring and reporting a segmented clip in three steps: take it from the scene, work, put the result there.

Only the first and the last step touch the scene; the work may run in any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cine import Cine
from ..conditions import ConditionThreshold
from ..errors import Cancelled
from ..output_files import require_writable
from ..prediction import Prediction
from ..report import FORMATS, check_formats, write_report
from ..report_content import MaskHistory, report_content
from ..report_pdf import require_pdf_writer
from ..tables import FrameTable, MeasurementTable, frame_table, measurement_table
from .plots import showCurves
from .review import acceptedFrames
from .segmentation_nodes import CINE_REFERENCE, drawnBy, maskSequence, predictionFromSequence
from .snapshot import cineSnapshot
from .spine import spineOf
from .tables import addMeasurementTableToScene

Spine = tuple[float, float]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class MeasurementTask:
    """A clip with its masks as they are now.

    gestationalAge  weeks, None when it is not known
    spine           (row, column) in pixels of ``spineFrame``, None when it is not marked
    """

    cine: Cine
    prediction: Prediction
    gestationalAge: float | None
    spine: Spine | None
    spineFrame: int | None

    def run(self, cancelled: Callable[[], bool] | None = None) -> tuple[MeasurementTable, FrameTable]:
        """Measure; raises InvalidRequest when clip and masks do not fit together, and Cancelled."""
        measures = measurement_table(
            self.cine, self.prediction, self.gestationalAge, self.spine, self.spineFrame, cancelled
        )
        return measures, frame_table(self.cine, self.prediction)


def measurementTask(
    masks: Any, gestationalAge: float | None = None, spine: Spine | None = None, spineFrame: int | None = None
) -> MeasurementTask:
    """Take a segmented clip from the scene; without ``spine`` the one marked in the scene counts.

    gestationalAge  weeks; None or 0 when it is not known
    Raises InvalidRequest for masks that no model made.
    """
    masks = maskSequence(masks)
    sequence = masks.GetNodeReference(CINE_REFERENCE)
    marked = spineOf(sequence) if spine is None else (spine, spineFrame)
    spine, spineFrame = marked or (None, None)
    return MeasurementTask(
        cineSnapshot(sequence), predictionFromSequence(masks), gestationalAge or None, spine, spineFrame
    )


def showMeasurements(masks: Any, measures: MeasurementTable, frames: FrameTable, view: Any, frame: int = 0) -> Any:
    """Table and chart of a measured clip in the scene, updated in place the next time; returns the table node."""
    masks = maskSequence(masks)
    showCurves(masks, frames, view, measures.beats, frame)
    return addMeasurementTableToScene(measures, f"{masks.GetName()} measurements", masks)


@dataclass(frozen=True)
class ReportTask:
    """What a report is written from; see ``report.report_content``."""

    measurement: MeasurementTask
    thresholds: Sequence[ConditionThreshold] | None
    history: MaskHistory
    name: str

    def run(
        self,
        folder: Path | str,
        formats: Collection[str] = FORMATS,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        stem: str = "",
    ) -> tuple[Path, ...]:
        """Write the report and return its files.

        stem       put before the name of every file
        progress   called with (steps done, steps in all, what comes next)
        cancelled  asked between the steps
        Raises InvalidRequest, MissingDependency, UnwritableOutput, and Cancelled; every file that is there then is
        whole.
        """
        wanted = [name for name in FORMATS if name in formats]
        written: list[Path] = []

        def step(done: int, text: str) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("The report was cancelled.")
            if progress is not None:
                progress(done, len(wanted) + 1, text)

        task = self.measurement
        check_formats(formats)
        require_writable(folder)
        if "pdf" in wanted:
            require_pdf_writer()
        step(0, "Measuring and drawing")
        content = report_content(
            task.cine,
            task.prediction,
            self.thresholds,
            input_name=self.name,
            gestational_age=task.gestationalAge,
            spine=task.spine,
            spine_frame=task.spineFrame,
            history=self.history,
            animated="html" in wanted,
            cancelled=cancelled,
        )
        for done, name in enumerate(wanted, 1):
            step(done, f"Writing {name.upper()}")
            written += write_report(folder, content, (name,), stem)
        return tuple(written)


def reportTask(
    masks: Any, thresholds: Sequence[ConditionThreshold] | None = None, gestationalAge: float | None = None
) -> ReportTask:
    """Take a segmented clip, and what people did to its masks, from the scene; raises as ``measurementTask``."""
    masks = maskSequence(masks)
    task = measurementTask(masks, gestationalAge)
    path = task.cine.origin.path
    name = path.name if path else masks.GetNodeReference(CINE_REFERENCE).GetName()
    authors = [drawnBy(masks, index) for index in range(masks.GetNumberOfDataNodes())]
    return ReportTask(task, thresholds, MaskHistory(authors, acceptedFrames(masks)), name)
