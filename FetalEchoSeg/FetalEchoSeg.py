"""FetalEcho Segmentation: module, panel, logic and self-test."""

import enum
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer import vtkMRMLSequenceBrowserNode, vtkMRMLSequenceNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

#
# FetalEchoSeg
#


class FetalEchoSeg(ScriptedLoadableModule):
    """Segment and label fetal heart ultrasound."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("FetalEcho Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "Sequences", "Terminologies"]
        self.parent.contributors = ["FetalEcho contributors"]
        self.parent.helpText = _(
            "Reads a fetal heart ultrasound clip, segments its structures and gives probabilities for congenital"
            " heart disease. Research software: these probabilities are not a diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Views, structures and conditions are those of the FETUS 2026 challenge. The network follows EchoCare."
        )
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """Offer what other modules show: the structures as terminology, synthetic clips, an effect for editors."""
        from FetalEchoSegLib.scene.sample_data import registerSampleData

        loadFetalEchoTerminology()
        registerSampleData(Path(__file__).resolve().parent / "Resources" / "Icons")
        registerClickEffect()


def registerClickEffect() -> None:
    """Offer the effect SAM-Med2D in all segment editors; a Slicer without Qt has none."""
    try:
        import qt  # noqa: F401
    except ImportError:
        return
    from SegmentEditorSAMMed2DLib.SegmentEditorEffect import registerEffect

    registerEffect()


def loadFetalEchoTerminology() -> None:
    """Offer the structures of the fetal heart in Slicer's terminology selector."""
    from FetalEchoSegLib.scene.terminology import loadTerminology

    loadTerminology()


#
# FetalEchoSegParameterNode
#


class ViewChoice(enum.Enum):
    """View as chosen in the panel."""

    AUTOMATIC = "automatic"
    FOUR_CHAMBER = "4CH"
    LVOT = "LVOT"
    RVOT = "RVOT"
    THREE_VESSEL_TRACHEA = "3VT"

    def label(self) -> str:
        """Text in the panel."""
        return _("Automatic") if self is ViewChoice.AUTOMATIC else self.value


class FrameChoice(enum.Enum):
    """Frames that Apply segments."""

    ALL = "all"
    CURRENT = "current"
    RANGE = "range"

    def label(self) -> str:
        """Text in the panel."""
        return {"all": _("All frames"), "current": _("Current frame"), "range": _("Range")}[self.value]


@parameterNodeWrapper
class FetalEchoSegParameterNode:
    """What the panel keeps with the scene.

    browser         the clip
    masks           its segmentations that the panel shows
    view            its standard plane; automatic asks the file, then the model
    model           name of the bundle; empty for the default one
    refineOutlines  whether Apply refines the outlines as well
    refineModel     name of the bundle that answers clicks, by which it does; empty for the default one
    frames          which frames Apply segments
    firstFrame      of the range, counted from 0
    lastFrame       of the range, included
    gestationalAge  in weeks; 0 when it is not known
    """

    browser: vtkMRMLSequenceBrowserNode
    masks: vtkMRMLSequenceNode
    view: ViewChoice = ViewChoice.AUTOMATIC
    model: str = ""
    refineOutlines: bool = False
    refineModel: str = ""
    frames: FrameChoice = FrameChoice.ALL
    firstFrame: int = 0
    lastFrame: int = 0
    gestationalAge: float = 0.0


#
# FetalEchoSegWidget
#


class FetalEchoSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Panel: sections over one shared state, and a line at the bottom that says what is going on."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.state = None
        self.sections: dict[str, Any] = {}
        self.footer = None
        self._parameterNode = None

    def setup(self) -> None:
        """Build the panel, once, when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        # Not at the top: the module file is imported at every start of Slicer, also if nobody opens the panel.
        from FetalEchoSegLib.panel.dependencies_section import DependenciesSection
        from FetalEchoSegLib.panel.input_section import InputSection
        from FetalEchoSegLib.panel.job_footer import JobFooter
        from FetalEchoSegLib.panel.measure_section import MeasureSection
        from FetalEchoSegLib.panel.model_section import ModelSection
        from FetalEchoSegLib.panel.refine_section import RefineSection
        from FetalEchoSegLib.panel.report_section import ReportSection
        from FetalEchoSegLib.panel.result_section import ResultSection
        from FetalEchoSegLib.panel.run_section import RunSection
        from FetalEchoSegLib.panel.state import PanelState
        from FetalEchoSegLib.panel.view_section import ViewSection

        # First, as sections report errors there.
        footer = slicer.util.loadUI(self.resourcePath("UI/FetalEchoSeg.ui"))
        self.ui = slicer.util.childWidgetVariables(footer)
        self.logic = FetalEchoSegLogic()
        self.state = PanelState(self.logic)
        self.footer = JobFooter(
            self.ui, _("FetalEcho Segmentation"), self.state.setBusy, self.state.progressChanged.emit
        )
        order = (
            InputSection,
            ModelSection,
            ViewSection,
            RunSection,
            ResultSection,
            RefineSection,
            MeasureSection,
            ReportSection,
            DependenciesSection,
        )
        for kind in order:
            section = self.sections[kind.uiName] = kind(self)
            section.load(self.layout)
        self.layout.addWidget(footer)
        self.layout.addStretch(1)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded."""
        if self.state is None:  # setup has not been called, or has failed
            return
        self.abandonJob()
        self.setParameterNode(None)
        for section in self.sections.values():
            section.cleanup()
        self.state.cleanup()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        for section in self.sections.values():
            section.enter()

    def exit(self) -> None:
        """Called each time the user opens a different module; a running job goes on."""
        for section in self.sections.values():
            section.exit()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the nodes before they are deleted."""
        self.abandonJob()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Go on with the empty scene if the panel is shown."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Proxies of an opened scene are copies until they are shared, and Slicer does that only at the first edit."""
        self.logic.shareMasks()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Show the parameters of the scene."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: FetalEchoSegParameterNode | None) -> None:
        """Connect the panel to ``parameterNode``, or to none."""
        if self._parameterNode:
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
        self._parameterNode = parameterNode
        self.state.setParameterNode(parameterNode)
        for section in self.sections.values():
            section.setParameterNode(parameterNode)
        if self._parameterNode:
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)

    def _onParametersModified(self, caller: Any = None, event: Any = None) -> None:
        for section in self.sections.values():
            section.update()

    # jobs, for the sections: see ``panel.job_footer.JobFooter``

    @property
    def job(self) -> Any:
        """The job that runs, or None."""
        return self.footer.job

    def runJob(self, *arguments: Any, **options: Any) -> Any:
        """Run work outside the user interface's thread, one job at a time."""
        return self.footer.runJob(*arguments, **options)

    def abandonJob(self) -> None:
        """Stop the running job, if any, and forget it: what it works for goes away."""
        self.footer.abandonJob()

    def onCancelButton(self, checked: bool = False) -> None:
        """Stop the running job."""
        self.footer.onCancelButton()

    def showStatus(self, text: str) -> None:
        """Say what has just happened, in the line at the bottom of the panel."""
        self.footer.showStatus(text)

    def showingErrors(self, title: str) -> Any:
        """Context that shows errors as messages."""
        return self.footer.showingErrors(title)


#
# FetalEchoSegLogic
#


class FetalEchoSegLogic(ScriptedLoadableModuleLogic):
    """Everything that the panel does, for the Python console and for scripts.

    >>> logic = FetalEchoSegLogic()
    >>> browser = logic.loadCine("clip.dcm")  # doctest: +SKIP
    >>> masks = logic.segment(browser, view="4CH")  # doctest: +SKIP
    >>> labels = logic.labels(masks)  # (T, H, W) uint8, with your edits  # doctest: +SKIP
    >>> logic.saveScene("clip.mrb")  # doctest: +SKIP

    Errors are FetalEchoSegLib.errors.FetalEchoError with one sentence to show.
    """

    def getParameterNode(self) -> FetalEchoSegParameterNode:
        """Parameters of the panel in the present scene."""
        return FetalEchoSegParameterNode(super().getParameterNode())

    def models(self) -> list[str]:
        """Names of the models on this machine, the default first; empty when none can be read.

        >>> FetalEchoSegLogic().models()[0]
        'demo-tiny'
        """
        from FetalEchoSegLib.errors import FetalEchoError

        try:
            from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, list_bundles

            return sorted((bundle.name for bundle in list_bundles()), key=lambda name: name != DEFAULT_BUNDLE)
        except (ImportError, FetalEchoError):  # before the dependencies are installed
            return []

    def promptables(self) -> list[str]:
        """Names of the models on this machine that answer clicks, the default first; empty when none can be read.

        >>> isinstance(FetalEchoSegLogic().promptables(), list)
        True
        """
        from FetalEchoSegLib.errors import FetalEchoError

        try:
            from FetalEchoSegLib.promptable.bundle import DEFAULT_PROMPTABLE, list_promptables

            found = (bundle.name for bundle in list_promptables())
            return sorted(found, key=lambda name: name != DEFAULT_PROMPTABLE)
        except (ImportError, FetalEchoError):  # before the dependencies are installed
            return []

    def installModel(self, source: str | Path, sha256: str | None = None) -> str:
        """Install a model from a folder, a .zip file or an https address; its name. Mind its licence.

        :param sha256: expected hash of the .zip file; None trusts the address and checks the weights only.
        :raises FetalEchoError: UnusableBundle, UnwritableOutput; nothing is installed then.

        >>> FetalEchoSegLogic().installModel("model.zip")  # doctest: +SKIP
        """
        from FetalEchoSegLib.bundle import install_bundle

        return install_bundle(source, sha256).name

    def importModel(self, path: str | Path, name: str | None = None, kind: str = "auto") -> str:
        """Make a model of a foreign checkpoint; its name.

        :param kind: "network" (FETUS 2026 baseline), "encoder" (EchoCare), "promptable" (SAM-Med2D), or "auto".
        :raises FetalEchoError: UnusableBundle with what did not fit, InvalidRequest, UnwritableOutput.

        >>> FetalEchoSegLogic().importModel("best.pth", "baseline")  # doctest: +SKIP
        """
        from FetalEchoSegLib.bundle_import import import_model

        return import_model(path, name, kind).name

    def missingPackages(self) -> list[str]:
        """Python packages without which FetalEcho cannot segment; the panel's section Dependencies installs them.

        >>> FetalEchoSegLogic().missingPackages()
        []
        """
        from FetalEchoSegLib.dependencies import missing

        return [requirement.package for requirement in missing()]

    def devices(self) -> dict[str, str]:
        """What ``segment`` can compute on, by the name that it takes, with product and memory.

        >>> "cpu" in FetalEchoSegLogic().devices()
        True
        """
        from FetalEchoSegLib.hardware import look

        return {device.device: str(device) for device in look().usable}

    def loadCine(self, path: str | Path, name: str = "") -> vtkMRMLSequenceBrowserNode:
        """Read a clip or still from a file or folder into the scene.

        :param path: DICOM, FETUS HDF5, .seq.nrrd, .nrrd, .mha, image, video, or a folder of images.
        :param name: name of the nodes; the file's own if empty.
        :return: browser of the clip; its master sequence holds the frames.
        :raises UnreadableInput: with a sentence that names the file and what is wrong with it.

        >>> browser = FetalEchoSegLogic().loadCine("clip.dcm")  # doctest: +SKIP
        """
        from FetalEchoSegLib.readers import read_cine

        path = Path(path)
        return self.addCine(read_cine(path), name or path.name.split(".")[0])

    def addCine(self, cine: Any, name: str) -> vtkMRMLSequenceBrowserNode:
        """Put a ``FetalEchoSegLib.cine.Cine`` in the scene; its browser.

        >>> import numpy as np
        >>> from FetalEchoSegLib.cine import Cine
        >>> frames = np.zeros((10, 64, 64), dtype=np.uint8)
        >>> browser = FetalEchoSegLogic().addCine(Cine.from_array(frames, frame_rate=25), "Black")
        >>> browser.GetNumberOfItems()
        10
        """
        from FetalEchoSegLib.scene.cine_nodes import addCineToScene

        return addCineToScene(cine, name)[1]

    def cine(self, node: Any) -> Any:
        """The ``Cine`` of a browser or sequence, also of one that another module loaded.

        >>> import numpy as np
        >>> from FetalEchoSegLib.cine import Cine
        >>> logic = FetalEchoSegLogic()
        >>> browser = logic.addCine(Cine.from_array(np.zeros((10, 64, 48), np.uint8), frame_rate=25), "Black")
        >>> logic.cine(browser).frame_rate
        25.0
        """
        from FetalEchoSegLib.scene.cine_nodes import cineFromSequence

        return cineFromSequence(node)

    def segment(
        self,
        source: Any,
        view: str | None = None,
        model: str | None = None,
        frames: Sequence[int] | None = None,
        device: str = "auto",
        precision: str = "auto",
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        masks: Any = None,
        overwriteEdits: bool = False,
        refineWith: str | None = None,
    ) -> Any:
        """Segment a clip; returns the sequence of segmentations, synchronized with it.

        :param source: browser or sequence of the clip, or the path of a file to read first.
        :param view: "4CH", "LVOT", "RVOT" or "3VT"; None leaves it to the file, then to the model.
        :param model: name or folder of a bundle; None for the default one.
        :param frames: numbers of the frames to segment, from 0; None for all. In a new sequence the others get empty
          segments.
        :param device: "auto", "cpu", "cuda", "mps".
        :param precision: "auto", "fp32", "bf16", "fp16".
        :param progress: called with (steps done, steps in all): one for every frame, and one more to refine it.
        :param cancelled: asked now and then; once it returns True, what is finished is kept.
        :param masks: sequence of segmentations of this clip to write into; None makes a new one. A new one is made as
          well where frames of another view or model would stay in ``masks``.
        :param overwriteEdits: also segment frames of ``masks`` that you drew or accepted; otherwise they are kept.
        :param refineWith: name or folder of a bundle that answers clicks, see ``promptables``: it refines the outlines,
          where its answer agrees with them. None leaves them as segmented.
        :raises FetalEchoError: InvalidRequest, UnreadableInput, UnusableBundle, MissingDependency, Cancelled.

        >>> masks = FetalEchoSegLogic().segment("clip.dcm", view="4CH")  # doctest: +SKIP
        """
        browser = self.loadCine(source) if isinstance(source, (str, Path)) else self.browserOf(source)
        run = self.prepareSegmentation(browser, view, model, frames, device, precision, masks, refineWith=refineWith)
        if run.atRisk and not overwriteEdits:
            run.keepEdits()
        placement = run.place(run.run(progress, cancelled), overwriteEdits)
        if placement.reason:
            logging.info("%s A new segmentation was made.", placement.reason)
        return placement.masks

    def prepareSegmentation(
        self,
        source: Any,
        view: str | None = None,
        model: str | None = None,
        frames: Sequence[int] | None = None,
        device: str = "auto",
        precision: str = "auto",
        masks: Any = None,
        secondsPerBatch: float | None = None,
        refineWith: str | None = None,
    ) -> Any:
        """What ``segment`` does in steps, a ``FetalEchoSegLib.scene.clip_segmentation.ClipSegmentation``.

        It tells which of the user's frames are at risk, runs in a thread, and can be placed when half done.
        Parameters and errors are those of ``segment``.

        :param secondsPerBatch: how long the network may take between two reports; None for whole batches.
        """
        from FetalEchoSegLib.dependencies import require_installed

        require_installed()  # before the imports that need them
        from FetalEchoSegLib.anatomy import View
        from FetalEchoSegLib.errors import InvalidRequest
        from FetalEchoSegLib.scene.clip_segmentation import ClipSegmentation
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        try:
            wanted = View.parse(view) if view else None
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        masks = maskSequence(masks) if masks is not None else None
        browser = self.browserOf(source)
        return ClipSegmentation(
            browser, wanted, model or "", frames, device, precision, masks, secondsPerBatch, refineWith or ""
        )

    def addPrediction(self, prediction: Any, browser: Any) -> Any:
        """Put a ``FetalEchoSegLib.prediction.Prediction`` of the browser's clip in the scene; its mask sequence."""
        from FetalEchoSegLib.scene.segmentation_nodes import addPredictionToScene

        return addPredictionToScene(prediction, browser.GetMasterSequenceNode(), browser)

    def prediction(self, masks: Any) -> Any:
        """The ``Prediction`` behind a mask sequence (or browser), with the masks as they are now."""
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence, predictionFromSequence

        return predictionFromSequence(maskSequence(masks))

    def labels(self, masks: Any) -> Any:
        """Masks of all frames as they are now, edits included: (T, H, W) uint8, values of ``anatomy.Structure``.

        :param masks: what ``segment`` returned, or the browser of the clip.
        """
        from FetalEchoSegLib.scene.segmentation_nodes import labelsFromSegmentationSequence

        return labelsFromSegmentationSequence(masks)

    def setLabels(self, masks: Any, frame: int, labels: Any, drawnBy: str = "hand") -> None:
        """Replace the masks of one frame, (H, W) uint8, and of no other."""
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence, setFrameLabels

        setFrameLabels(maskSequence(masks), frame, labels, drawnBy)

    def drawnBy(self, masks: Any) -> list[str]:
        """Who drew each frame: "model", "clicks", "hand", or "" where there is no mask."""
        from FetalEchoSegLib.scene.segmentation_nodes import drawnBy, maskSequence

        masks = maskSequence(masks)
        return [drawnBy(masks, index) for index in range(masks.GetNumberOfDataNodes())]

    def framesToReview(self, masks: Any) -> list[int]:
        """Numbers of the frames that need a look, counted from 0: low confidence, or a structure that jumps.

        Frames that were accepted or corrected by a person need none. See ``FetalEchoSegLib.review``.

        :param masks: what ``segment`` returned, or the browser of the clip.

        >>> logic = FetalEchoSegLogic()
        >>> for frame in logic.framesToReview(masks):  # doctest: +SKIP
        ...     logic.acceptFrame(masks, frame)
        """
        from FetalEchoSegLib.scene.frame_review import framesToReview
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        masks = maskSequence(masks)
        return framesToReview(masks, self.confidenceFloor(masks))

    def confidenceFloor(self, masks: Any) -> float:
        """Confidence below which a frame is doubtful: of the model that made the masks, or the default."""
        from FetalEchoSegLib.errors import FetalEchoError
        from FetalEchoSegLib.review import CONFIDENCE_FLOOR
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence, predictionFromSequence

        try:
            card = self._card(predictionFromSequence(maskSequence(masks), withMasks=False).bundle.name, required=False)
        except FetalEchoError:  # drawn without a model
            card = None
        return CONFIDENCE_FLOOR if card is None or card.confidence_floor is None else card.confidence_floor

    def acceptFrame(self, masks: Any, frame: int, accepted: bool = True) -> None:
        """Say that the masks of a frame are right, or take that back; no model writes over it unasked then.

        :param masks: what ``segment`` returned, or the browser of the clip.
        :raises InvalidRequest: outside the clip.

        >>> FetalEchoSegLogic().acceptFrame(masks, 12)  # doctest: +SKIP
        """
        from FetalEchoSegLib.scene.review import setAccepted
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        setAccepted(maskSequence(masks), frame, accepted)

    def acceptedFrames(self, masks: Any) -> list[int]:
        """Numbers of the accepted frames, counted from 0."""
        from FetalEchoSegLib.scene.review import acceptedFrames
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        return acceptedFrames(maskSequence(masks))

    def refine(
        self,
        masks: Any,
        frame: int,
        structure: Any,
        points: Sequence[Sequence[float]] = (),
        box: Sequence[float] | None = None,
        model: str | None = None,
        device: str = "auto",
    ) -> Any:
        """Correct one structure in one frame by clicks; its pixels as they are then, (H, W) bool.

        What is drawn already is corrected; a ring (whole heart, thorax) is meant with what it encloses. The prompts
        are kept with the scene and shown by the Segment Editor's effect SAM-Med2D.

        :param masks: what ``segment`` returned, or the browser of the clip.
        :param structure: ``anatomy.Structure``, or its short name, title or segment id.
        :param points: (x, y) inside the structure, (x, y, False) outside of it, in pixels of the frame.
        :param box: (left, top, right, bottom) around it, in pixels.
        :param model: name or folder of a bundle that answers clicks, see ``promptables``; None for the default one.
        :raises FetalEchoError: InvalidRequest, UnusableBundle, MissingDependency; nothing is changed then.

        >>> logic = FetalEchoSegLogic()
        >>> mask = logic.refine(masks, 1, "LV", points=[(60, 52)], box=(45, 40, 75, 70))  # doctest: +SKIP
        >>> mask.any(), logic.drawnBy(masks)[1]  # doctest: +SKIP
        (np.True_, 'clicks')
        """
        from FetalEchoSegLib.dependencies import require_installed

        require_installed()  # before the imports that need them
        from FetalEchoSegLib.anatomy import Structure
        from FetalEchoSegLib.errors import InvalidRequest
        from FetalEchoSegLib.scene.click_console import refineFrame

        try:
            wanted = Structure.parse(structure) if isinstance(structure, str) else Structure(structure)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return refineFrame(masks, frame, wanted, points, box, model or "", device)

    def propagate(
        self,
        masks: Any,
        fromFrame: int,
        structure: Any,
        direction: int = 1,
        limit: int | None = None,
        model: str | None = None,
        device: str = "auto",
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        overwriteEdits: bool = False,
    ) -> Any:
        """Carry the mask of one structure in one frame to the frames after or before it, as far as they agree.

        :param masks: what ``segment`` returned, or the browser of the clip.
        :param structure: ``anatomy.Structure``, or its short name, title or segment id.
        :param direction: 1 to the frames after ``fromFrame``, -1 to those before.
        :param limit: frames at most; None for all that there are.
        :param model: name or folder of a bundle that answers clicks, see ``promptables``; None for the default one.
        :param progress: called with (frames done, frames in all).
        :param cancelled: asked now and then; once it returns True, the frames that were reached are written.
        :param overwriteEdits: also write into frames that you drew or accepted; otherwise they are kept.
        :return: a ``FetalEchoSegLib.scene.mask_propagation.PlacedMasks``: the frames that were written, why it
          stopped, and ``takeBack()``.
        :raises FetalEchoError: InvalidRequest, UnusableBundle, MissingDependency, Cancelled; nothing is written then.

        >>> placed = FetalEchoSegLogic().propagate(masks, 12, "LV", limit=10)  # doctest: +SKIP
        >>> placed.frames, placed.stopped  # doctest: +SKIP
        ((13, 14, 15), 'Stopped before frame 16: its mask agrees with the one before by 0.55 only.')
        >>> placed.takeBack()  # doctest: +SKIP
        (13, 14, 15)
        """
        propagation = self.preparePropagation(masks, fromFrame, structure, direction, limit, model, device)
        carried = propagation.run(progress, cancelled)
        return propagation.place(carried, mayReplace=propagation.frames if overwriteEdits else ())

    def preparePropagation(
        self,
        masks: Any,
        fromFrame: int,
        structure: Any,
        direction: int = 1,
        limit: int | None = None,
        model: str | None = None,
        device: str = "auto",
    ) -> Any:
        """What ``propagate`` does in steps, a ``FetalEchoSegLib.scene.mask_propagation.MaskPropagation``.

        It runs in a thread, and what it found can be looked at before it is placed. Parameters and errors are those of
        ``propagate``.
        """
        from FetalEchoSegLib.dependencies import require_installed

        require_installed()  # before the imports that need them
        from FetalEchoSegLib.anatomy import Structure
        from FetalEchoSegLib.errors import InvalidRequest
        from FetalEchoSegLib.scene.mask_propagation import MaskPropagation

        try:
            wanted = Structure.parse(structure) if isinstance(structure, str) else Structure(structure)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return MaskPropagation(masks, fromFrame, wanted, direction, limit, model or "", device)

    def conditions(self, masks: Any, model: str | None = None) -> Any:
        """What is said about each condition, as a ``FetalEchoSegLib.tables.ConditionTable``; quick.

        :param model: bundle whose thresholds decide; see ``addTables``.
        :raises InvalidRequest: when the masks do not come from a model.
        """
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence, predictionFromSequence
        from FetalEchoSegLib.tables import condition_table

        prediction = predictionFromSequence(maskSequence(masks), withMasks=False)
        return condition_table(
            prediction, self._thresholds(model or prediction.bundle.name, required=model is not None)
        )

    def calibrate(self, browser: Any, spacing: float | tuple[float, float], source: str = "user") -> None:
        """Set the pixel size of a clip; its masks and its spine mark stay where they are on the image.

        :param browser: browser or sequence of the clip.
        :param spacing: mm per pixel, one number or (row, column).
        :param source: where it comes from, for the report.
        :raises InvalidRequest: for a size that no fetal echocardiogram has; nothing is changed then.

        >>> import numpy as np
        >>> from FetalEchoSegLib.cine import Cine
        >>> logic = FetalEchoSegLogic()
        >>> browser = logic.addCine(Cine.from_array(np.zeros((2, 64, 48), np.uint8)), "Still")
        >>> logic.calibrate(browser, 0.2)
        >>> logic.cine(browser).spacing
        (0.2, 0.2)
        """
        from FetalEchoSegLib.scene.calibration import calibrateClip

        row, column = (spacing, spacing) if isinstance(spacing, (int, float)) else spacing
        calibrateClip(browser, (row, column), source)

    def browserOf(self, node: Any) -> vtkMRMLSequenceBrowserNode:
        """Browser that shows ``node`` (a sequence, a proxy or a browser).

        :raises InvalidRequest: when there is none.
        """
        from FetalEchoSegLib.errors import InvalidRequest

        if node is not None and node.IsA("vtkMRMLSequenceBrowserNode"):
            return node
        logic = slicer.modules.sequences.logic()
        browser = None
        if node is not None and node.IsA("vtkMRMLSequenceNode"):
            browser = logic.GetFirstBrowserNodeForSequenceNode(node)
        elif node is not None:
            browser = logic.GetFirstBrowserNodeForProxyNode(node)
        if browser is None:
            raise InvalidRequest("Choose a clip: the selected node belongs to no sequence browser.")
        return browser

    def shareMasks(self) -> None:
        """Let the proxies of every browser share their item's masks; for scenes that Slicer itself has opened."""
        from FetalEchoSegLib.scene.segmentation_nodes import shareProxies

        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            shareProxies(browser)

    def addTables(self, masks: Any, model: str | None = None) -> tuple[Any, Any]:
        """Tables of a segmented clip, with its masks as they are now: (one row a condition, one row a frame).

        :param masks: what ``segment`` returned, or the browser of the clip.
        :param model: bundle whose thresholds decide; None for the one that segmented the clip. Without that bundle
          on this machine the abstain band is wide, as nothing is known of how its probabilities were calibrated.
        :raises InvalidRequest: when the masks do not come from a model.

        >>> conditions, frames = FetalEchoSegLogic().addTables(masks)  # doctest: +SKIP
        """
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence
        from FetalEchoSegLib.scene.tables import addConditionTableToScene, addFrameTableToScene
        from FetalEchoSegLib.tables import condition_table, frame_table

        masks = maskSequence(masks)
        prediction = self.prediction(masks)
        cine = self.cine(self.browserOf(masks).GetMasterSequenceNode())
        thresholds = self._thresholds(model or prediction.bundle.name, required=model is not None)
        name = masks.GetName()
        return (
            addConditionTableToScene(condition_table(prediction, thresholds), f"{name} conditions", masks),
            addFrameTableToScene(frame_table(cine, prediction), f"{name} frames", masks),
        )

    def measure(
        self,
        masks: Any,
        gestationalAge: float | None = None,
        spine: tuple[float, float] | None = None,
        spineFrame: int | None = None,
    ) -> Any:
        """Table of what the masks measure as they are now: a value with its norm, or the reason why there is none.

        The areas over time become a chart beside it, see ``curves``. The next call brings both up to date.

        :param masks: what ``segment`` returned, or the browser of the clip.
        :param gestationalAge: in weeks; z-scores need it. None or 0 when it is not known.
        :param spine: (row, column) in pixels; None for the one marked by ``markSpine`` or in the panel. Without
          either, the cardiac axis is an estimate, and says so.
        :param spineFrame: frame in which the spine lies there; it follows the thorax through the clip.
        :raises InvalidRequest: when the masks do not come from a model.

        >>> table = FetalEchoSegLogic().measure(masks, gestationalAge=22.5)  # doctest: +SKIP
        """
        from FetalEchoSegLib.scene.measuring import measurementTask, showMeasurements
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        masks = maskSequence(masks)
        task = measurementTask(masks, gestationalAge, spine, spineFrame)
        measures, frames = task.run()
        shown = self.browserOf(masks).GetSelectedItemNumber()
        return showMeasurements(masks, measures, frames, task.prediction.view, shown)

    def curves(self, masks: Any) -> Any:
        """Chart node with the areas over time that ``measure`` made, or None before that.

        >>> slicer.modules.plots.logic().ShowChartInLayout(FetalEchoSegLogic().curves(masks))  # doctest: +SKIP
        """
        from FetalEchoSegLib.scene.plots import curvesChart
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence

        return curvesChart(maskSequence(masks))

    def markSpine(self, clip: Any, row: float, column: float, frame: int = 0) -> Any:
        """Mark the spine, from which ``measure`` takes the cardiac axis; the markups node.

        :param clip: browser or sequence of the clip.
        :param row: of the image, in pixels, as ``column``; ``frame`` is the one in which the spine lies there.
        :raises InvalidRequest: outside the clip.

        >>> import numpy as np
        >>> from FetalEchoSegLib.cine import Cine
        >>> logic = FetalEchoSegLogic()
        >>> browser = logic.addCine(Cine.from_array(np.zeros((10, 64, 48), np.uint8), frame_rate=25), "Black")
        >>> logic.markSpine(browser, row=60, column=20).GetNumberOfControlPoints()
        1
        """
        from FetalEchoSegLib.scene.spine import setSpine

        return setSpine(clip, row, column, frame)

    def unmarkSpine(self, clip: Any) -> None:
        """Take the mark of the spine away."""
        from FetalEchoSegLib.scene.spine import removeSpine

        removeSpine(clip)

    def writeReport(
        self,
        masks: Any,
        folder: str | Path,
        formats: Sequence[str] = ("html", "pdf", "csv"),
        gestationalAge: float | None = None,
        model: str | None = None,
        progress: Callable[[int, int, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[Path, ...]:
        """Write a report of the masks as they are now, with who drew them; returns its files.

        :param masks: what ``segment`` returned, or the browser of the clip.
        :param folder: made when it is missing; files of an earlier report there are replaced.
        :param formats: "html" and "pdf" with pictures, "csv" for three tables.
        :param gestationalAge: in weeks; z-scores need it. None or 0 when it is not known.
        :param model: bundle whose thresholds decide; None for the one that segmented the clip.
        :param progress: called with (steps done, steps in all, what comes next).
        :param cancelled: asked between the steps.
        :raises FetalEchoError: InvalidRequest, MissingDependency (for PDF), UnwritableOutput, Cancelled. No file is
          left half-written.

        >>> paths = FetalEchoSegLogic().writeReport(masks, "report", gestationalAge=22.5)  # doctest: +SKIP
        """
        return self.reportTask(masks, gestationalAge, model).run(folder, formats, progress, cancelled)

    def reportTask(self, masks: Any, gestationalAge: float | None = None, model: str | None = None) -> Any:
        """What ``writeReport`` writes, taken out of the scene: its ``run`` may be called in a thread."""
        from FetalEchoSegLib.scene.measuring import reportTask
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence, predictionFromSequence

        masks = maskSequence(masks)
        bundle = predictionFromSequence(masks, withMasks=False).bundle
        return reportTask(masks, self._thresholds(model or bundle.name, required=model is not None), gestationalAge)

    def _thresholds(self, model: str, required: bool) -> Any:
        card = self._card(model, required)
        return None if card is None else card.thresholds

    def _card(self, model: str, required: bool) -> Any:
        from FetalEchoSegLib.errors import FetalEchoError

        try:
            from FetalEchoSegLib.bundle import find_bundle

            return find_bundle(model).card
        except (ImportError, FetalEchoError):
            if required:
                raise
            return None

    def addTable(self, name: str, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
        """Table node with these rows; numeric columns where all cells are numbers.

        >>> FetalEchoSegLogic().addTable("Areas", ["Frame", "mm²"], [[0, 81.5], [1, 79.0]]).GetNumberOfRows()
        2
        """
        from FetalEchoSegLib.scene.tables import addTableToScene

        return addTableToScene(name, headers, rows)

    def saveScene(self, path: str | Path) -> Path:
        """Save the scene as one .mrb file, as a whole or not at all.

        :raises UnwritableOutput: a file that was there before is untouched then.
        """
        from FetalEchoSegLib.scene.io import saveScene

        return saveScene(path)

    def openScene(self, path: str | Path, clear: bool = True) -> None:
        """Open an .mrb file in place of the present scene, which stays if the file is damaged.

        :param clear: False adds what the file holds to the present scene.
        :raises UnreadableInput: with what is wrong.
        """
        from FetalEchoSegLib.scene.io import openScene

        openScene(path, clear)

    def saveMasks(self, path: str | Path, masks: Any) -> Path:
        """Save the masks as .seq.nrrd, which Slicer and ITK read."""
        from FetalEchoSegLib.scene.io import saveMasks

        return saveMasks(path, masks)


#
# FetalEchoSegTest
#


class FetalEchoSegTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, CTest) and headless, without network and without a model."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Called by Reload and Test."""
        self.setUp()
        self.test_editedMasksComeBack()

    def test_editedMasksComeBack(self) -> None:
        """A clip and masks go in, an edit of one frame comes out, and only there."""
        import numpy as np
        from FetalEchoSegLib.cine import Cine
        from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

        logic = FetalEchoSegLogic()
        browser = logic.addCine(Cine.from_array(np.zeros((4, 32, 32), np.uint8), frame_rate=25.0), "Clip")
        masks = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, "Masks")
        drawn = np.zeros((32, 32), np.uint8)
        drawn[8:16, 8:16] = 2
        logic.setLabels(masks, 2, drawn)
        expected = np.zeros((4, 32, 32), np.uint8)
        expected[2] = drawn
        np.testing.assert_array_equal(logic.labels(browser), expected)
        assert logic.drawnBy(browser) == ["", "", "hand", ""]
        self.delayDisplay("Test passed")
