"""The Runs section: all runs of a folder, and one of them watched and controlled."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.panel.section import Section
from slicer.i18n import tr as _

from . import rows
from .quit_question import QuitQuestion
from .run_plot import RunPlot

_LOOK_MILLISECONDS = 1000
_CURVES = ("ema/loss", "ema/validation_dsc")  # shown first, where they are there
_CONTROLS = tuple(
    f"{name}Button" for name in ("pause", "stop", "resume", "kill", "delete", "compare", "exportRun", "importRun")
)
_PICTURE_WIDTH = 320
_MOST_ROWS = 6
_MOST_READ = 3  # runs at rest, each second


class RunsSection(Section):
    """Looks at the folders once a second, so that it makes no difference who started a run, and when."""

    uiName = "RunsSection"

    def setup(self) -> None:
        """Fill in what does not change, and connect."""
        ui, state = self.ui, self.state
        self._runs: list[Any] = []
        self._statuses: list[str] = []
        self._watch: Any = None
        self._others: dict[str, Any] = {}  # watches of the runs that are selected beside the one looked at
        self._ended: dict[tuple[str, int], str] = {}  # DSC of runs at rest, by run and time of its last event
        self._pictures: list[str] = []
        self._picture = self._shownStatus = ""
        self._plot = RunPlot(ui.curvePlotWidget)
        rows.prepare(ui.runsTable, [_("Run"), _("Status"), _("Epoch"), _("DSC")])
        ui.runsTable.connect("itemSelectionChanged()", self._onSelected)
        ui.curveComboBox.connect("currentIndexChanged(int)", self._onCurve)
        for name, slot in (
            ("pauseButton", self._onPause),
            ("stopButton", self._onStop),
            ("resumeButton", self._onResume),
            ("killButton", self._onKill),
            ("deleteButton", self._onDelete),
            ("compareButton", self._onCompare),
            ("exportRunButton", self._onExportRun),
            ("importRunButton", self._onImportRun),
        ):
            getattr(ui, name).connect("clicked(bool)", slot)
        ui.samplesLabel.setAlignment(qt.Qt.AlignCenter)
        ui.samplesSlider.connect("valueChanged(int)", self._onPicture)
        self._quitQuestion = QuitQuestion(slicer.util.mainWindow(), self._alive, self.logic.stopTraining)
        self._timer = qt.QTimer(self.widget)
        self._timer.setInterval(_LOOK_MILLISECONDS)
        self._timer.timeout.connect(self.look)
        state.runsChanged.connect(self.look)
        state.runChanged.connect(self._onRun)
        self._onRun()

    def enter(self) -> None:
        """Begin to look."""
        self._timer.start()
        self.look()

    def exit(self) -> None:
        """Runs go on without being looked at."""
        self._timer.stop()

    def cleanup(self) -> None:
        """Stop looking."""
        self._timer.stop()
        self._quitQuestion.remove()
        self._plot.cleanup()

    def sceneClosed(self) -> None:
        """Forget the nodes of the chart."""
        self._plot.sceneClosed()

    def _alive(self) -> list[Any]:
        try:
            from ..process import ALIVE, status
        except ImportError:  # before the dependencies are installed
            return []
        runs = self.logic.runs(self.state.runs) if self.state.runs.is_dir() else []
        return [run for run in runs if status(run) in ALIVE]

    # looking

    def look(self) -> None:
        """Show how the runs are now."""
        try:
            from .. import process
        except ImportError:  # before the dependencies are installed
            return
        self._runs = self.logic.runs(self.state.runs) if self.state.runs.is_dir() else []
        self._statuses = [process.status(run) for run in self._runs]
        self._readEnded()
        table = self.ui.runsTable
        rows.fill(table, [self._row(run, s) for run, s in zip(self._runs, self._statuses, strict=True)])
        shown = min(max(len(self._runs), 2), _MOST_ROWS) + 1
        table.setFixedHeight(shown * table.verticalHeader().defaultSectionSize + 4)
        self._select()
        run = self.state.run
        if run is not None and not any(str(run) == str(other) for other in self._runs):
            self.state.setRun(None)
        if self._watch is not None and self._watch.look():
            self._showProgress()
        others = [other.look() for other in self._others.values()]  # every one of them reads what is new
        if any(others):
            self._onCurve()
        if run is not None:
            process.trim_log(run)
            self._showPictures()
        self._showState()

    def _readEnded(self) -> None:
        """Read the DSC of some runs at rest, a few at a time: their events are long."""
        from ..process import ALIVE
        from ..watch import Watch

        unread = [
            run
            for run, status in zip(self._runs, self._statuses, strict=True)
            if status not in ALIVE and _ending(run) not in self._ended
        ]
        for run in unread[:_MOST_READ]:
            self._ended[_ending(run)] = _lastDice(_told(Watch(run)))

    def _row(self, run: Any, status: str) -> list[str]:
        epoch, dsc = "", self._ended.get(_ending(run), "")
        if self._watch is not None and str(run) == str(self._watch.run):
            if self._watch.epochs and status != "finished":
                epoch = f"{min(self._watch.epoch + 1, self._watch.epochs)} / {self._watch.epochs}"
            dsc = _lastDice(self._watch)
        return [run.path.name, _STATUS.get(status, status), epoch, dsc]

    def _select(self) -> None:
        """Select the row of the run that is looked at, unless the user has selected several."""
        table = self.ui.runsTable
        if self.state.run is None or len(rows.selectedRows(table)) > 1:
            return
        wanted = [number for number, run in enumerate(self._runs) if str(run) == str(self.state.run)]
        if wanted and rows.selectedRows(table) != wanted:
            wasBlocked = table.blockSignals(True)
            table.selectRow(wanted[0])
            table.blockSignals(wasBlocked)

    def _onSelected(self) -> None:
        chosen = rows.selectedRows(self.ui.runsTable)
        if len(chosen) == 1:
            self.state.setRun(self._runs[chosen[0]])
        self._watchOthers([self._runs[number] for number in chosen])
        self._showState()

    def _watchOthers(self, runs: list[Any]) -> None:
        """Read the curves of the runs that are selected beside the one that is looked at."""
        from ..watch import Watch

        wanted = {str(run): run for run in runs if str(run) != str(self.state.run)}
        if wanted.keys() == self._others.keys():
            return
        self._others = {name: self._others.get(name) or _told(Watch(run)) for name, run in wanted.items()}
        self._onCurve()

    def _onRun(self) -> None:
        run = self.state.run
        self._watch, self._others, self._pictures, self._picture = None, {}, [], ""
        self._showSamples(False)
        self.ui.logTextEdit.setPlainText("")
        self.ui.curveComboBox.clear()
        self._plot.show("", {})
        if run is not None:
            from ..watch import Watch

            self._watch = _told(Watch(run))
            self._showProgress()
            self._showPictures()
        self._shownStatus = "unknown"
        self._showState()

    # showing

    def _status(self) -> str:
        from .. import process

        return str(process.status(self.state.run)) if self.state.run is not None else ""

    def _showState(self) -> None:
        ui, run = self.ui, self.state.run
        try:
            from ..process import ALIVE, why
        except ImportError:
            for name in _CONTROLS:
                getattr(ui, name).setEnabled(False)
            ui.stageProgressBar.setVisible(False)
            ui.runStateLabel.setText(_("Install the dependencies first."))
            return
        status = self._status()
        if status != self._shownStatus:
            self._shownStatus = status
            self._showFigures()
            self.state.statusChanged.emit()
        alive = status in ALIVE
        ui.pauseButton.setEnabled(status == "running")
        ui.stopButton.setEnabled(alive)
        ui.killButton.setEnabled(alive)
        ui.resumeButton.setEnabled(status in ("paused", "stopped", "killed", "failed"))
        ui.importRunButton.setEnabled(True)
        ui.deleteButton.setEnabled(run is not None and not alive)
        ui.exportRunButton.setEnabled(run is not None and not alive and status != "new")
        finished = [n for n in rows.selectedRows(ui.runsTable) if self._statuses[n : n + 1] == ["finished"]]
        ui.compareButton.setEnabled(len(finished) > 0)
        ui.stageProgressBar.setVisible(alive and self._watch is not None)
        text = _STATUS.get(status, "") if run is not None else _("Select a run.")
        if self._watch is not None and alive and self._watch.epochs:
            watch = self._watch
            text = _("{status}: {stage}, epoch {epoch} of {epochs}, step {step} of {steps}").format(
                status=text, stage=_STAGES.get(watch.stage, watch.stage), epoch=min(watch.epoch + 1, watch.epochs),
                epochs=watch.epochs, step=watch.step, steps=watch.steps,
            )  # fmt: skip
            if watch.seconds_left and status == "running":
                text += _(", {time} left").format(time=_duration(watch.seconds_left))
        elif status in ("failed", "killed") and run is not None:
            reason = why(run)
            text = _("{status}. {reason}").format(status=text, reason=reason or _("It can be resumed."))
        ui.runStateLabel.setText(text)

    def _showProgress(self) -> None:
        ui, watch = self.ui, self._watch
        ui.stageProgressBar.setRange(0, 1000)
        ui.stageProgressBar.setValue(int(1000 * watch.fraction))
        text = "\n".join(watch.lines)
        if ui.logTextEdit.plainText != text:
            ui.logTextEdit.setPlainText(text)
            ui.logTextEdit.moveCursor(qt.QTextCursor.End)
        names = sorted(watch.curves, key=lambda name: (name not in _CURVES, name))
        box = ui.curveComboBox
        if [box.itemData(n) for n in range(box.count)] != names:
            chosen = box.itemData(box.currentIndex) if box.count else None
            wasBlocked = box.blockSignals(True)
            box.clear()
            for name in names:
                box.addItem(name.replace("/", ": ").replace("_", " "), name)
            box.setCurrentIndex(max(names.index(chosen) if chosen in names else 0, 0))
            box.blockSignals(wasBlocked)
        self._onCurve()

    def _onCurve(self, index: int = 0) -> None:
        box = self.ui.curveComboBox
        name = box.itemData(box.currentIndex) if box.count else None
        watches = [self._watch, *self._others.values()] if self._watch is not None and name else []
        self._plot.show(str(name or ""), {watch.run.path.name: watch.curves.get(name, []) for watch in watches})

    def _showPictures(self) -> None:
        """Validation frames after each validation; the newest, unless the user has gone back to an earlier one."""
        pictures = [str(path) for path in sorted(self.state.run.samples.glob("*.png"))]
        if pictures == self._pictures:
            return
        slider = self.ui.samplesSlider
        isNewest = slider.value >= len(self._pictures) - 1
        self._pictures = pictures
        wasBlocked = slider.blockSignals(True)
        slider.setMaximum(max(len(pictures) - 1, 0))
        if isNewest:
            slider.setValue(slider.maximum)
        slider.blockSignals(wasBlocked)
        self._onPicture()

    def _onPicture(self, number: int = 0) -> None:
        number = self.ui.samplesSlider.value
        chosen = self._pictures[number] if number < len(self._pictures) else ""
        if chosen != self._picture:
            self._picture = chosen
            pixmap = qt.QPixmap(chosen) if chosen else qt.QPixmap()
            if not pixmap.isNull():
                self.ui.samplesLabel.setPixmap(pixmap.scaledToWidth(_PICTURE_WIDTH, qt.Qt.SmoothTransformation))
            epoch = chosen.rpartition("-")[2].partition(".")[0].lstrip("0")
            text = _("Epoch {epoch}: frame · as drawn · teacher · student").format(epoch=epoch)
            self.ui.samplesCaptionLabel.setText(text)
        self._showSamples(bool(chosen))

    def _showSamples(self, shown: bool) -> None:
        self.ui.samplesLabel.setVisible(shown)
        self.ui.samplesCaptionLabel.setVisible(shown)
        self.ui.samplesSlider.setVisible(shown and len(self._pictures) > 1)

    def _showFigures(self) -> None:
        """DSC of every structure on the test parts of a finished run."""
        run, table = self.state.run, self.ui.classesTable
        parts: dict[str, Any] = {}
        if run is not None and run.results_file.exists():
            with self.panel.showingErrors(_("The figures")):
                parts = run.results().get("parts", {})
        texts = []
        for structure in Structure:
            cells = [_class(part, int(structure) - 1) for part in parts.values()]
            if any(cells):
                texts.append([structure.info.title, *cells])
        if parts:
            means = [f"{part['dice']:.1f}" if part.get("dice") is not None else "" for part in parts.values()]
            texts.insert(0, [_("All"), *means])
            rows.prepare(table, [_("Structure"), *(_("DSC, {part}").format(part=name) for name in parts)])
        rows.fill(table, texts)
        table.setVisible(bool(texts))

    # controlling

    def _do(self, title: str, action: Any) -> None:
        with self.panel.showingErrors(title):
            action(self.state.run)
        self.look()

    def _onPause(self, checked: bool = False) -> None:
        self._do(_("Pausing"), self.logic.pauseTraining)

    def _onStop(self, checked: bool = False) -> None:
        self._do(_("Stopping"), self.logic.stopTraining)

    def _onResume(self, checked: bool = False) -> None:
        self._do(_("Resuming"), self.logic.resumeTraining)

    def _onKill(self, checked: bool = False) -> None:
        text = _("End the run at once? What it did since its last checkpoint is lost.")
        if slicer.util.confirmOkCancelDisplay(text, windowTitle=_("FetalEcho Training")):
            self._do(_("Killing"), self.logic.killTraining)

    def _onDelete(self, checked: bool = False) -> None:
        from ..process import delete

        run = self.state.run
        text = _("Delete {folder} with its model, checkpoints and log?").format(folder=run.path)
        if slicer.util.confirmOkCancelDisplay(text, windowTitle=_("FetalEcho Training")):
            self.state.setRun(None)
            with self.panel.showingErrors(_("Deleting")):
                delete(run)
            self.look()

    def _onCompare(self, checked: bool = False) -> None:
        from ..comparison import compare

        chosen = [self._runs[number] for number in rows.selectedRows(self.ui.runsTable)]
        with self.panel.showingErrors(_("The comparison")):
            text = str(compare([run for run in chosen if run.state == "finished"]))
            slicer.util.infoDisplay(text, windowTitle=_("FetalEcho Training"))

    def _onExportRun(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("An empty folder"), "")
        if folder:
            with self.panel.showingErrors(_("Exporting the run")):
                written = self.logic.exportRun(self.state.run, folder)
                self.panel.showStatus(_("Written to {folder}; its README says how to go on.").format(folder=written))

    def _onImportRun(self, checked: bool = False) -> None:
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("The folder of a run"), "")
        if folder:
            with self.panel.showingErrors(_("Importing the run")):
                self.state.setRun(self.logic.importRun(folder, self.state.runs))
            self.look()


def _ending(run: Any) -> tuple[str, int]:
    """A run and the time of its last event, 0 without any."""
    try:
        return str(run), (run.path / "events.jsonl").stat().st_mtime_ns
    except OSError:
        return str(run), 0


def _lastDice(watch: Any) -> str:
    """The last DSC on validation frames of a run that is looked at, "" before the first."""
    curve = watch.curves.get("ema/validation_dsc", ())
    return f"{curve[-1][1]:.1f}" if curve else ""


def _told(watch: Any) -> Any:
    """The watch, with all that its run has said so far."""
    while watch.look():
        pass
    return watch


def _class(part: dict[str, Any], index: int) -> str:
    values = part.get("dice_class") or []
    value = values[index] if index < len(values) else None
    return f"{value:.1f}" if isinstance(value, int | float) else ""


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return _("{seconds:.0f} s").format(seconds=seconds)
    if minutes < 60:
        return _("{minutes} min").format(minutes=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


class _Texts(dict[str, Any]):
    """Texts that are translated when they are shown: the language may be chosen later than this module is imported."""

    def get(self, key: str, default: Any = None) -> Any:
        """The text now."""
        return self[key]() if key in self else default


_STATUS = _Texts(
    new=lambda: _("not begun"),
    starting=lambda: _("starting"),
    waiting=lambda: _("waits for the device"),
    running=lambda: _("running"),
    paused=lambda: _("paused"),
    stopped=lambda: _("stopped"),
    killed=lambda: _("ended by force"),
    failed=lambda: _("failed"),
    finished=lambda: _("finished"),
)
_STAGES = _Texts(
    queue=lambda: _("in line"),
    data=lambda: _("reading data"),
    ema=lambda: _("stage 1"),
    fine_tuning=lambda: _("stage 2"),
    calibration=lambda: _("calibration"),
    test=lambda: _("testing"),
)
