"""Segmenting a clip of the scene: prepare, run in any thread, put the result in the scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..anatomy import View
from ..errors import InvalidRequest, MissingDependency
from ..prediction import Prediction
from ..segmentation import IsCancelled, Progress, cached_segmenter, frame_numbers
from ..segmentation_run import SegmentationRun
from .cine_nodes import cineSequence
from .rerun import Placement, framesAtRisk, placePrediction
from .snapshot import cineSnapshot

if TYPE_CHECKING:
    from ..promptable.refined_run import RefinedRun


class ClipSegmentation:
    """One run over a clip. Made and placed on the main thread; ``run`` touches nothing of the scene.

    frames  numbers of the frames to segment, in order
    atRisk  those of them that hold the user's work in ``masks``, which the run would replace: call ``keepEdits`` or
            ``makeNew`` first, unless they may be lost
    spared  those that ``keepEdits`` left out
    """

    def __init__(
        self,
        browser: Any,
        view: View | None = None,
        model: str = "",
        frames: Sequence[int] | None = None,
        device: str = "auto",
        precision: str = "auto",
        masks: Any = None,
        secondsPerBatch: float | None = None,
        refineWith: str = "",
    ) -> None:
        """Take the clip out of the scene as it is now.

        view             None leaves it to the file, then to the model
        model            name or folder of a bundle; "" for the default one
        frames           None for all
        masks            mask sequence that the result goes into where it can; None for a new one
        secondsPerBatch  see ``Segmenter.start``
        refineWith       name or folder of a bundle that answers clicks, which refines the outlines; "" for none
        Raises InvalidRequest for frames outside the clip, UnreadableInput, UnusableBundle, MissingDependency.
        """
        self._sequence = cineSequence(browser)
        self.browser = browser
        self.masks = masks
        self._cine = cineSnapshot(browser)
        self._view = view
        self._secondsPerBatch = secondsPerBatch
        self.frames = frame_numbers(self._cine, frames)
        bundle = _bundle(model)
        self._segmenterOptions = (bundle.path, device, precision)
        self._refiner = _promptable(refineWith) if refineWith else None
        self.atRisk = framesAtRisk(masks, self.frames, view or self._cine.view, bundle.identity())
        self.spared: list[int] = []
        self._run: SegmentationRun | RefinedRun | None = None

    @property
    def isPlaceable(self) -> bool:
        """Whether the clip is still in the scene."""
        return self.browser.GetScene() is not None and self.browser.GetMasterSequenceNode() is self._sequence

    @property
    def steps(self) -> int:
        """How many steps ``run`` counts; those after the first ``len(frames)`` refine outlines."""
        return len(self.frames) * (2 if self._refiner is not None else 1)

    def keepEdits(self) -> None:
        """Leave the user's frames out; raises InvalidRequest when no other is left."""
        if len(self.atRisk) == len(self.frames):
            raise InvalidRequest("All of these frames hold your edits, so nothing is left to segment.")
        self.frames = [index for index in self.frames if index not in self.atRisk]
        self.spared, self.atRisk = self.atRisk, []

    def makeNew(self) -> None:
        """Leave the present segmentation alone, and make another one of the result."""
        self.masks = None
        self.atRisk = []

    def run(self, progress: Progress | None = None, cancelled: IsCancelled | None = None) -> Prediction:
        """Load the models unless they are loaded, segment and refine; from any thread, once.

        progress  called with (steps done, steps in all), first as (0, steps in all) when the models are loaded: a step
                  for every frame to segment, and another one for every frame to refine
        Raises Cancelled when no frame was finished, and UnusableBundle, MissingDependency, InvalidRequest.
        """
        segmenter = cached_segmenter(*self._segmenterOptions, cancelled)
        segmenting = segmenter.start(self._cine, self._view, self.frames, self._secondsPerBatch)
        run: SegmentationRun | RefinedRun = segmenting
        if self._refiner is not None:
            from ..promptable.loading import cached_promptable
            from ..promptable.refined_run import RefinedRun

            _, device, precision = self._segmenterOptions
            model = cached_promptable(self._refiner.path, device, precision, cancelled)
            run = RefinedRun(segmenting, self._cine, model, self._refiner.identity())
        self._run = run
        if progress is not None:
            progress(0, self.steps)
        run.go(progress, cancelled)
        return run.prediction()

    def predictionSoFar(self) -> Prediction | None:
        """What is finished while ``run`` still works, or after it failed; None when that is nothing."""
        if self._run is None or not self._run.finished:
            return None
        return self._run.prediction()

    def place(self, prediction: Prediction, overwriteEdits: bool = False) -> Placement:
        """Put the prediction in the scene; frames that hold the user's work by now are spared unless told otherwise.

        Raises InvalidRequest when the clip was removed meanwhile.
        """
        if not self.isPlaceable:
            raise InvalidRequest("The clip was removed while it was segmented: load it again.")
        return placePrediction(prediction, self.browser, self.masks, overwriteEdits)


def _bundle(model: str) -> Any:
    with _namingWhatIsMissing():
        from ..bundle import DEFAULT_BUNDLE, find_bundle
    return find_bundle(model or DEFAULT_BUNDLE)


def _promptable(model: str) -> Any:
    with _namingWhatIsMissing():
        from ..promptable.bundle import find_promptable
    return find_promptable(model)


@contextmanager
def _namingWhatIsMissing() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingDependency(
            f"The Python package {error.name} is missing: install what FetalEcho needs, at the end of the panel."
        ) from error
