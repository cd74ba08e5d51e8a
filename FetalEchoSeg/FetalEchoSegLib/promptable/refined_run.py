"""A run that segments a clip and then refines the outlines: two parts with one progress."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .boundary import IsCancelled, Progress, refine_prediction

if TYPE_CHECKING:
    from ..cine import Cine
    from ..prediction import BundleIdentity, Prediction
    from ..segmentation_run import SegmentationRun
    from .model import PromptableModel


class RefinedRun:
    """A ``SegmentationRun`` with outlines refined afterwards; to be used in its place.

    ``go`` and ``prediction`` may be called from different threads. Until the second part has ended, or when it fails,
    the prediction has the outlines of the first, and a note says so.
    """

    def __init__(self, run: SegmentationRun, cine: Cine, model: PromptableModel, identity: BundleIdentity) -> None:
        """A run that has not begun.

        cine      the run's clip
        identity  of the promptable model
        """
        self._run = run
        self._cine = cine
        self._model = model
        self._identity = identity
        self._refined: Prediction | None = None

    @property
    def total(self) -> int:
        """How many frames were asked for."""
        return self._run.total

    @property
    def finished(self) -> int:
        """How many frames are segmented."""
        return self._run.finished

    def go(self, progress: Progress | None = None, cancelled: IsCancelled | None = None) -> None:
        """Segment, then refine, until all is done or ``cancelled()`` says yes.

        progress  called with (steps done, steps in all), where a frame is one step to segment and one to refine
        Raises what ``SegmentationRun.go`` and the promptable model do.
        """
        steps = 2 * self.total

        def told(before: int) -> Progress | None:
            return None if progress is None else lambda done, _: progress(before + done, steps)

        self._run.go(told(0), cancelled)
        if cancelled is not None and cancelled():
            return
        known = set(self._model.notes)
        coarse = self._run.prediction()
        refined = refine_prediction(
            coarse, self._cine, self._model, told(self.total), cancelled, identity=self._identity
        ).prediction
        told_by_model = tuple(note for note in self._model.notes if note not in known)
        self._refined = replace(refined, notes=(*refined.notes, *told_by_model))

    def prediction(self) -> Prediction:
        """The result as far as it is; raises Cancelled when not even one frame is segmented."""
        if self._refined is not None:
            return self._refined
        coarse = self._run.prediction()
        return replace(coarse, notes=(*coarse.notes, "Outlines are as segmented: the refinement did not come to them."))
