"""FetalEcho Training: module, panel, logic and self-test."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

#
# FetalEchoTrain
#


class FetalEchoTrain(ScriptedLoadableModule):
    """Train FetalEcho models from corrected frames."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("FetalEcho Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["FetalEchoSeg"]
        self.parent.contributors = ["FetalEcho contributors"]
        self.parent.helpText = _(
            "Exports corrected frames into a data set, trains a model on it in a process of its own, and makes that"
            " model one of FetalEcho Segmentation's."
        )
        self.parent.acknowledgementText = ""


#
# FetalEchoTrainWidget
#


class FetalEchoTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Panel: sections over one shared state, and a line at the bottom that says what is going on."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.state = None
        self.footer = None
        self.sections: dict[str, Any] = {}

    def setup(self) -> None:
        """Build the panel, once, when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        # Not at the top: the module file is imported at every start of Slicer, also if nobody opens the panel.
        from FetalEchoSegLib.panel.job_footer import JobFooter
        from FetalEchoTrainLib.panel.dependencies_section import DependenciesSection
        from FetalEchoTrainLib.panel.deploy_section import DeploySection
        from FetalEchoTrainLib.panel.export_section import ExportSection
        from FetalEchoTrainLib.panel.label_next_section import LabelNextSection
        from FetalEchoTrainLib.panel.runs_section import RunsSection
        from FetalEchoTrainLib.panel.state import TrainState
        from FetalEchoTrainLib.panel.train_section import TrainSection

        footer = slicer.util.loadUI(self.resourcePath("UI/FetalEchoTrain.ui"))
        self.ui = slicer.util.childWidgetVariables(footer)
        self.logic = FetalEchoTrainLogic()
        self.state = TrainState()
        self.footer = JobFooter(self.ui, _("FetalEcho Training"), self.state.setBusy)
        for kind in (ExportSection, TrainSection, RunsSection, DeploySection, LabelNextSection, DependenciesSection):
            section = self.sections[kind.uiName] = kind(self)
            section.load(self.layout)
        self.layout.addWidget(footer)
        self.layout.addStretch(1)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        for section in self.sections.values():
            section.update()
        if self.parent.isEntered:  # reloaded while it is shown
            self.enter()

    def cleanup(self) -> None:
        """Called when the application closes or the module is reloaded; trainings go on."""
        if self.footer is None:  # setup has not been called, or has failed
            return
        self.footer.abandonJob()
        for section in self.sections.values():
            section.cleanup()
        self.removeObservers()

    def enter(self) -> None:
        """Called each time the user opens this module."""
        for section in self.sections.values():
            section.enter()

    def exit(self) -> None:
        """Called each time the user opens a different module; trainings and a running job go on."""
        for section in self.sections.values():
            section.exit()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Let go of the nodes before they are deleted."""
        self.footer.abandonJob()
        self.sections["ExportSection"].forget()
        self.sections["RunsSection"].sceneClosed()
        self.sections["DeploySection"].forget()
        self.sections["LabelNextSection"].forget()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Look at the new scene if the panel is shown."""
        if self.parent.isEntered:
            self.sections["ExportSection"].enter()
            self.sections["DeploySection"].enter()

    # jobs, for the sections: see ``FetalEchoSegLib.panel.job_footer.JobFooter``

    @property
    def job(self) -> Any:
        """The job that runs, or None."""
        return self.footer.job

    def runJob(self, *arguments: Any, **options: Any) -> Any:
        """Run work outside the user interface's thread, one job at a time."""
        return self.footer.runJob(*arguments, **options)

    def showStatus(self, text: str) -> None:
        """Say what has just happened, in the line at the bottom of the panel."""
        self.footer.showStatus(text)

    def showingErrors(self, title: str) -> Any:
        """Context that shows errors as messages."""
        return self.footer.showingErrors(title)


#
# FetalEchoTrainLogic
#


class FetalEchoTrainLogic(ScriptedLoadableModuleLogic):
    """From corrected frames to a new model, for the Python console and for scripts.

    >>> logic = FetalEchoTrainLogic()
    >>> logic.exportDataset("dataset")  # corrected and accepted frames of the scene  # doctest: +SKIP
    >>> run = logic.startTraining("demo", dataset="dataset", runs="runs")  # doctest: +SKIP
    >>> logic.status(run)  # doctest: +SKIP
    'running'
    >>> logic.deploy(run)  # once it is finished  # doctest: +SKIP
    'demo-full-0'

    Errors are FetalEchoSegLib.errors.FetalEchoError with one sentence to show.
    """

    # data

    def frames(self, masks: Any = None) -> list[Any]:
        """Frames with masks, as ``FetalEchoTrainLib.scene.frames.SceneFrame``, clip by clip in order of time.

        :param masks: a mask sequence, or a browser; None for all of the scene.
        """
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence
        from FetalEchoTrainLib.scene.frames import sceneFrames

        return sceneFrames(None if masks is None else [maskSequence(masks)])

    def correctedFrames(self) -> list[Any]:
        """Frames that a person drew or changed, or accepted: what ``exportDataset`` writes if not told otherwise."""
        return [frame for frame in self.frames() if frame.isCorrected]

    def setConditions(self, masks: Any, conditions: Sequence[Any]) -> None:
        """Say what the heart of a clip has: ``anatomy.Condition`` or their short names; kept with the scene."""
        from FetalEchoSegLib.anatomy import Condition
        from FetalEchoSegLib.errors import InvalidRequest
        from FetalEchoSegLib.scene.segmentation_nodes import maskSequence
        from FetalEchoTrainLib.scene.frames import setConditionsOf

        byName = {condition.short: condition for condition in Condition}
        unknown = [name for name in conditions if isinstance(name, str) and name not in byName]
        if unknown:
            raise InvalidRequest(f"There is no condition '{unknown[0]}': choose among {', '.join(byName)}.")
        setConditionsOf(maskSequence(masks), [byName[c] if isinstance(c, str) else Condition(c) for c in conditions])

    def exportDataset(
        self,
        dataset: str | Path,
        frames: Sequence[Any] | None = None,
        wholeClips: bool = False,
        progress: Callable[[int, int, str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        """Write frames into a data set in the FETUS layout; ``FetalEchoTrainLib.export.Export``.

        Masks are written pixel by pixel as they are in the scene. A frame exported before is replaced.

        :param dataset: folder; made if it is not there, added to if it is.
        :param frames: of ``frames``; None for all corrected and accepted ones.
        :param wholeClips: the other frames of their clips as well, without masks, as unlabelled data.
        :param progress: called with (frames done, frames in all, text).
        :param cancelled: asked now and then; once it returns True, Cancelled is raised.
        :raises FetalEchoError: InvalidRequest, InvalidDataset, UnreadableInput, UnwritableOutput, Cancelled; the data
          set is as it was then.

        >>> FetalEchoTrainLogic().exportDataset("dataset").labelled  # doctest: +SKIP
        3
        """
        from FetalEchoTrainLib.export import export_frames
        from FetalEchoTrainLib.scene.frames import clipsAround, exportFrames

        chosen = self.correctedFrames() if frames is None else list(frames)
        return export_frames(
            dataset, exportFrames(chosen, clipsAround(chosen) if wholeClips else ()), progress, cancelled
        )

    def undoExport(self, dataset: str | Path) -> Any:
        """Take the newest export into a data set back; what it was.

        :raises FetalEchoError: InvalidRequest if there is none, InvalidDataset, UnwritableOutput.
        """
        from FetalEchoTrainLib.export import undo

        return undo(dataset)

    def labelNext(self, most: int = 20, perPatient: int = 5) -> list[tuple[Any, int, float]]:
        """Which frames of the scene to correct next: (mask sequence, frame, the model's confidence), best first.

        Frames that the model doubts, unlike those corrected already, at most one for each quarter of a heartbeat.

        :param most: frames in all.
        :param perPatient: frames of one patient.
        :raises FetalEchoError: InvalidRequest without a segmented clip, UnusableBundle, UnreadableInput.
        """
        from FetalEchoTrainLib.scene.candidates import LabelQueue

        return LabelQueue(most, perPatient).run()

    # trainings

    def startTraining(
        self,
        config: str | Path = "demo",
        dataset: str | Path | None = None,
        runs: str | Path | None = None,
        changes: dict[str, Any] | None = None,
    ) -> Any:
        """Start a training as a process of its own and return at once; its ``FetalEchoTrainLib.run_folder.RunFolder``.

        It goes on when Slicer ends. On a device that another training has it waits in line.

        :param config: YAML file, or the name of one that ships: "demo", "fetus2026", "benchmark".
        :param dataset: folder of the data, in place of the configuration's.
        :param runs: folder that gets the run's folder, in place of the configuration's.
        :param changes: other values of the configuration, such as ``{"ema.epochs": 5}``.
        :raises FetalEchoError: InvalidConfig, InvalidRequest, UnwritableOutput.
        """
        from FetalEchoTrainLib.configuration import load_config
        from FetalEchoTrainLib.process import start
        from FetalEchoTrainLib.run_folder import RunFolder

        changed = dict(changes or {})
        for key, folder in (("data.folder", dataset), ("run.folder", runs)):
            if folder is not None:
                changed[key] = str(Path(folder).absolute())
        loaded = load_config(config)
        loaded = loaded.changed(changed) if changed else loaded
        run = RunFolder.of(loaded)
        start(loaded, run)
        return run

    def resumeTraining(self, run: Any) -> None:
        """Let a run go on from its newest checkpoint, or a paused one from where it is."""
        from FetalEchoTrainLib import process

        if process.status(run) == "paused":
            process.go_on(run)
        else:
            process.start(process.configuration_of(run), run, resume=True)

    def pauseTraining(self, run: Any) -> None:
        """Hold a run where it is; it keeps its memory."""
        from FetalEchoTrainLib.process import pause

        pause(run)

    def stopTraining(self, run: Any) -> None:
        """Ask a run to save itself and end, within a step."""
        from FetalEchoTrainLib.process import stop

        stop(run)

    def killTraining(self, run: Any) -> None:
        """End a run at once; what it did since its last checkpoint is lost."""
        from FetalEchoTrainLib.process import kill

        kill(run)

    def runs(self, folder: str | Path) -> list[Any]:
        """Runs below a folder, by name; those that another Slicer or a command line started as well."""
        from FetalEchoTrainLib.run_folder import RunFolder

        marks = ("config.yaml", "requested.yaml")
        folders = {path.parent for mark in marks for path in Path(folder).glob(f"*/{mark}")}
        return [RunFolder(path) for path in sorted(folders)]

    def status(self, run: Any) -> str:
        """How a run is: new, starting, waiting, running, paused, stopped, killed, failed or finished."""
        from FetalEchoTrainLib.process import status

        return status(run)

    # models

    def deploy(self, run: Any, name: str = "") -> str:
        """Make the model of a finished run one of FetalEcho Segmentation's; its name there.

        :param name: of the model; configuration, arm and seed by default.
        :raises FetalEchoError: InvalidRequest, UnusableBundle, UnwritableOutput.
        """
        from FetalEchoTrainLib.deploy import deploy

        return deploy(run, name).name

    def withdraw(self, run: Any, name: str) -> None:
        """Take a deployed model away again; the run keeps its own."""
        from FetalEchoTrainLib.deploy import withdraw

        withdraw(run, name)

    def exportRun(self, run: Any, folder: str | Path) -> Path:
        """Write what another machine needs to carry out a run, with its command lines; the folder."""
        from FetalEchoTrainLib.deploy import export_run

        return export_run(run, Path(folder))

    def importRun(self, folder: str | Path, runs: str | Path) -> Any:
        """Bring a run back that was carried out elsewhere; the run, in ``runs``."""
        from FetalEchoTrainLib.deploy import import_run

        return import_run(Path(folder), Path(runs))


#
# FetalEchoTrainTest
#


class FetalEchoTrainTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, CTest) and headless."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Called by Reload and Test."""
        self.setUp()
        self.test_correctedFramesAreFound()

    def test_correctedFramesAreFound(self) -> None:
        """The frame that was drawn is listed, the others are not."""
        import numpy as np
        from FetalEchoSegLib.cine import Cine
        from FetalEchoSegLib.scene.cine_nodes import addCineToScene
        from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

        sequence, browser = addCineToScene(Cine.from_array(np.zeros((4, 32, 32), np.uint8)), "Clip")
        masks = addEmptyMasksToScene(sequence, browser, "Masks")
        logic = FetalEchoTrainLogic()
        assert logic.correctedFrames() == []
        setFrameLabels(masks, 2, np.full((32, 32), 2, np.uint8), drawnBy="hand")
        assert [(f.index, f.drawnBy) for f in logic.correctedFrames()] == [(2, "hand")]
        self.delayDisplay("Test passed")
