"""The main job from end to end: a file in, a folder with scene, masks, tables, pictures and report out.

What the command line's `segment`, `phantom` and `demo` do. Results are written beside the destination under a temporary
name and moved there at the end, so that a full disk or an interruption leaves earlier results untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .anatomy import View
from .cine import Cine
from .errors import InvalidRequest, MissingDependency
from .output_files import all_or_nothing, require_writable

if TYPE_CHECKING:
    from .conditions import ConditionThreshold
    from .phantom.clip import PhantomClip
    from .prediction import Prediction
    from .segmentation import Progress
    from .segmentation_run import SegmentationRun

    Correction = Callable[[Any, Prediction], Prediction]


@dataclass(frozen=True)
class SegmentRequest:
    """What to segment, with what, and where to; see the options of `fetalecho segment`.

    find_view        let the model find the view although the file names one
    gestational_age  weeks, for z-scores
    pdf              write the report as PDF, too
    refine_with      bundle that answers clicks, by which outlines are refined; None to leave them as segmented
    correct          see ``write_results``
    """

    input: Path
    out: Path
    view: View | None = None
    find_view: bool = False
    model: str | None = None
    frames: range | None = None
    gestational_age: float | None = None
    pdf: bool = False
    spacing: tuple[float, float] | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    refine_with: str | None = None
    correct: Correction | None = None


@dataclass(frozen=True)
class SegmentResult:
    """What was made; ``summary`` is for a terminal."""

    cine: Cine
    prediction: Prediction
    files: tuple[Path, ...]

    @property
    def summary(self) -> str:
        """What was found and where the results are, a fact a line."""
        prediction = self.prediction
        probability = prediction.view_probabilities[prediction.view.index]
        certainty = "" if np.isnan(probability) else f", model's probability {probability:.2f}"
        lines = [
            f"{int(prediction.done.sum())} of {len(self.cine)} frames segmented as {prediction.view.short} "
            f"({prediction.view_source}{certainty}) by {prediction.bundle}",
            f"calibration: {self.cine.calibration}; times: {self.cine.timing}",
            *dict.fromkeys((*self.cine.notes, *prediction.notes)),
            *(str(file) for file in self.files),
        ]
        return "\n".join(lines)


def segment_file(request: SegmentRequest, progress: Progress | None = None) -> SegmentResult:
    """Read, segment and write everything that `fetalecho segment` promises."""
    from .bundle import DEFAULT_BUNDLE, find_bundle
    from .promptable.bundle import find_promptable
    from .promptable.refined_run import RefinedRun
    from .readers import read_cine
    from .segmentation import Segmenter

    # What can fail at once fails before the minutes of work.
    require_writable(request.out)
    _require_apart(request.input, request.out)
    bundle = find_bundle(request.model or DEFAULT_BUNDLE)
    refining = find_promptable(request.refine_with) if request.refine_with else None
    cine = read_cine(
        request.input, view=request.view, view_required=not request.find_view, manual_spacing=request.spacing
    )
    if request.find_view:
        cine.view = None
    segmenter = Segmenter(bundle, request.device, request.precision, request.batch_size)
    segmenting = segmenter.start(cine, request.view, request.frames)
    run: SegmentationRun | RefinedRun = segmenting
    if refining is not None:
        run = RefinedRun(segmenting, cine, refining.build(request.device, request.precision), refining.identity())
    run.go(progress)
    prediction = run.prediction()
    files = write_results(
        cine,
        prediction,
        bundle.card.thresholds,
        request.out,
        request.input.name,
        request.gestational_age,
        request.pdf,
        request.correct,
    )
    return SegmentResult(cine, prediction, files)


def write_results(
    cine: Cine,
    prediction: Prediction,
    thresholds: Sequence[ConditionThreshold],
    out: Path,
    name: str,
    gestational_age: float | None = None,
    pdf: bool = False,
    correct: Correction | None = None,
) -> tuple[Path, ...]:
    """Scene, masks, tables, pictures and report of one clip in ``out``; returns the files.

    name             what the clip is called in the scene and in the report: a file name, never a path
    gestational_age  weeks, for z-scores
    pdf              write the report as PDF, too
    correct          corrects the masks once they are in the scene, given them and the prediction, and returns the
                     prediction with its labels as they are then; the rest is made from that
    Raises UnwritableOutput; earlier results in ``out`` are then as they were.
    """
    from .report import write_result_files
    from .tables import condition_table, frame_table, measurement_table

    slicer = _slicer()
    from .scene.cine_nodes import addCineToScene
    from .scene.io import saveMasks, saveScene
    from .scene.segmentation_nodes import addPredictionToScene
    from .scene.tables import addConditionTableToScene, addFrameTableToScene, addMeasurementTableToScene

    with all_or_nothing(out) as folder:
        slicer.mrmlScene.Clear(0)
        sequence, browser = addCineToScene(cine, name)
        masks = addPredictionToScene(prediction, sequence, browser)
        if correct is not None:
            prediction = correct(masks, prediction)
        addConditionTableToScene(condition_table(prediction, thresholds), f"{name} conditions")
        addFrameTableToScene(frame_table(cine, prediction), f"{name} frames")
        measures = measurement_table(cine, prediction, gestational_age)
        addMeasurementTableToScene(measures, f"{name} measurements")
        saveScene(folder / "scene.mrb")
        saveMasks(folder / "masks.seq.nrrd", masks)
        write_result_files(folder, cine, prediction, thresholds, name, gestational_age, pdf)
        names = sorted(file.name for file in folder.iterdir())
        # The masks of an earlier run are a clip too, and may have been the input.
        source = cine.origin.path
        if source and source.exists() and any((out / n).exists() and source.samefile(out / n) for n in names):
            raise InvalidRequest(f"The results would replace {source}, which they come from: {_ELSEWHERE}.")
    return tuple(out / file for file in names)


def write_phantom_clip(made: PhantomClip, out: Path) -> tuple[Path, ...]:
    """Clip, truth and their scene of a phantom in ``out``: clip.seq.nrrd, truth.seq.nrrd, scene.mrb, case.json."""
    from .phantom.clip import describe_case

    slicer = _slicer()
    from .scene.cine_nodes import addCineToScene
    from .scene.io import saveCine, saveMasks, saveScene
    from .scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

    with all_or_nothing(out) as folder:
        slicer.mrmlScene.Clear(0)
        sequence, browser = addCineToScene(made.cine, "Phantom")
        masks = addEmptyMasksToScene(sequence, browser, "Phantom truth")
        for index, labels in enumerate(made.labels):
            setFrameLabels(masks, index, labels, "phantom")
        saveCine(folder / "clip.seq.nrrd", sequence)
        saveMasks(folder / "truth.seq.nrrd", masks)
        saveScene(folder / "scene.mrb")
        (folder / "case.json").write_text(describe_case(made), encoding="utf-8")
        names = sorted(file.name for file in folder.iterdir())
    return tuple(out / file for file in names)


def run_demo(out: Path, frames: int, say: Callable[[str], None], progress: Progress | None = None) -> None:
    """The main job on a synthetic clip of each view and on the real 30-frame clip that the pydicom package carries."""
    from .demo_clicks import DemoClicks
    from .metrics import compare_masks, segmentation_score
    from .phantom.clip import make_named_clip

    for view in View:
        say(f"{view.short}: making a synthetic clip of {frames} frames")
        folder = out / view.short
        made = make_named_clip(view, seed=DEMO_SEED, frames=frames)
        write_phantom_clip(made, folder / "phantom")
        say(f"{view.short}: segmenting it")
        # The file names the view; finding it is part of the job all the same.
        clip, clicks = folder / "phantom" / "clip.seq.nrrd", DemoClicks(made.labels)
        result = segment_file(SegmentRequest(clip, folder, find_view=True, correct=clicks.correct), progress)
        say(result.summary)
        pairs = zip(result.prediction.labels, made.labels, strict=True)
        score = segmentation_score([compare_masks(found, truth) for found, truth in pairs])
        say(f"{view.short}: against the phantom's own truth DSC {score.dice:.1f} %, NSD {score.nsd:.1f} % (2 px)")
        say(f"{view.short}: {clicks}")
    say("real DICOM: an adult apical clip from the pydicom package")
    say(segment_file(SegmentRequest(real_clip(), out / "real-dicom"), progress).summary)


# Not used for any training set: those take their cases from other streams of seeds.
DEMO_SEED = 20261123


def real_clip() -> Path:
    """The 30-frame DICOM ultrasound clip inside the pydicom package."""
    from pydicom.data import get_testdata_file

    found = get_testdata_file("examples_ybr_color.dcm", download=False)
    if found is None:
        raise MissingDependency(
            "pydicom came without its example files: reinstall it with pip install --force pydicom."
        )
    return Path(str(found))


_ELSEWHERE = "choose another folder for the results"


def _require_apart(source: Path, out: Path) -> None:
    """Refuse to put pictures among the frames: the next run would take them for frames."""
    if source.is_dir() and out.exists() and source.samefile(out):
        raise InvalidRequest(f"{out} is the folder of the frames: {_ELSEWHERE}.")


def _slicer() -> ModuleType:
    from .scene.headless import startHeadlessSlicer

    return startHeadlessSlicer()
