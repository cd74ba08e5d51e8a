"""The Run section of the panel."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..dependencies import require_installed
from ..errors import Cancelled, FetalEchoError
from ..scene.rerun import predictionNotes
from .device_setting import deviceSetting
from .frame_list import listed
from .promptable_chooser import PromptableChooser
from .section import Section


class RunSection(Section):
    """Which frames to segment, Apply, and what is to be known of the result.

    Frames are counted from 0, as in tables, in the console and by sequence browsers.
    """

    uiName = "RunSection"

    def setup(self) -> None:
        """Connect widgets and state signals."""
        self._job: Any = None
        self._run: Any = None
        self._messages: list[str] = []
        self._messagesOf: Any = None
        self.ui.firstFrameSpinBox.connect("valueChanged(int)", self.onFirstFrame)
        self.ui.lastFrameSpinBox.connect("valueChanged(int)", self.onLastFrame)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self._refiners = PromptableChooser(self.ui.refineModelComboBox, self._onRefineModel)
        self.state.clipChanged.connect(self.onClipChanged)
        self.state.masksChanged.connect(self.update)
        self.state.busyChanged.connect(self.onBusyChanged)
        self.state.progressChanged.connect(self.onProgress)
        self.state.modelsChanged.connect(self.onModelsChanged)

    def update(self) -> None:
        """Show what is the case now."""
        parameters = self.parameterNode
        count = self.state.frameCount
        isRange = parameters is not None and parameters.frames.value == "range"
        self.ui.rangeLabel.setVisible(isRange)
        self.ui.rangeWidget.setVisible(isRange)
        if parameters is not None and count:
            self._showRange(parameters.firstFrame, parameters.lastFrame, count)
        free = not self.state.isBusy
        for widget in (self.ui.framesComboBox, self.ui.rangeWidget):
            widget.setEnabled(free)
        self._showRefinement(free)
        running = self._job is not None
        stopping = running and self._job.isCancelled
        self.ui.applyButton.setText(_("Cancel") if running else _("Apply"))
        self.ui.applyButton.setEnabled(not stopping if running else bool(free and count and parameters is not None))
        self.ui.applyButton.setToolTip(self._applyToolTip(running, count))
        self.ui.runProgressBar.setVisible(running)
        self.ui.progressLabel.setVisible(running)
        self._showNotes()

    def onClipChanged(self) -> None:
        """Another clip: the range is the whole of it unless a part was chosen. A removed clip is not segmented on."""
        if self._run is not None and not self._run.isPlaceable:
            self.panel.abandonJob()
            self.panel.showStatus(_("The clip was removed, so its segmentation was stopped."))
        parameters = self.parameterNode
        last = self.state.frameCount - 1
        if parameters is not None and last >= 0 and not 0 <= parameters.firstFrame <= parameters.lastFrame <= last:
            parameters.firstFrame, parameters.lastFrame = 0, last
        elif parameters is not None and last > 0 and parameters.lastFrame == 0:  # never chosen
            parameters.lastFrame = last
        self.update()

    def onModelsChanged(self) -> None:
        """Models were installed or removed, perhaps some that answer clicks."""
        self._refiners.setModels(self.logic.promptables())
        self.update()

    def onFirstFrame(self, value: int = 0) -> None:
        """The first frame pushes the last one along."""
        if self.parameterNode is not None:
            self._setRange(value, max(value, self.ui.lastFrameSpinBox.value))

    def onLastFrame(self, value: int = 0) -> None:
        """The last frame pushes the first one along."""
        if self.parameterNode is not None:
            self._setRange(min(value, self.ui.firstFrameSpinBox.value), value)

    def onBusyChanged(self) -> None:
        """A job has begun or ended, perhaps ours."""
        if not self.state.isBusy:
            self._job = self._run = None
        self.update()

    def onProgress(self, done: int, total: int, text: str, secondsLeft: float | None) -> None:
        """Our job has come further."""
        if self._job is None:
            return
        self.ui.runProgressBar.setRange(0, total)
        self.ui.runProgressBar.setValue(done)
        if secondsLeft is not None and not self._job.isCancelled:
            text = _("{text}, {seconds:.0f} s left").format(text=text, seconds=secondsLeft)
        self.ui.progressLabel.setText(text)

    def onApplyButton(self, checked: bool = False) -> None:
        """Segment, or stop."""
        if self._job is None:
            with self.panel.showingErrors(_("Segmentation")):
                self._start()
        elif not self._job.isCancelled:
            self._job.cancel()
            self.ui.progressLabel.setText(_("Cancelling..."))
            self.update()

    # the run

    def _start(self) -> None:
        require_installed()  # before the import that needs them
        from ..promptable.bundle import DEFAULT_PROMPTABLE
        from ..segmentation import INTERACTIVE_SECONDS

        parameters = self.parameterNode
        run = self.logic.prepareSegmentation(
            self.state.browser,
            None if parameters.view.value == "automatic" else parameters.view.value,
            parameters.model,
            self._frames(),
            deviceSetting(),
            "auto",
            self.state.masks,
            INTERACTIVE_SECONDS,
            (self._refiners.nameOf(parameters.refineModel) or DEFAULT_PROMPTABLE)
            if parameters.refineOutlines
            else None,
        )
        if run.atRisk and not self._settleEdits(run):
            return
        # Texts are translated here: the thread must not ask Qt.
        loading = _("Loading the model")
        counting = _("{done} of {total} frames")
        refining = _("Refining outlines, {done} of {total} frames")

        def work(report: Any, cancelled: Any) -> Any:
            report(0, 0, loading)
            frames = len(run.frames)

            def progress(done: int, total: int) -> None:
                text, steps = (counting, done) if done <= frames else (refining, done - frames)
                report(done, total, text.format(done=steps, total=frames))

            return run.run(progress, cancelled)

        def finished(prediction: Any) -> None:
            self._place(run, prediction)

        def stopped() -> None:
            self._placeSoFar(run)

        def failed(error: BaseException) -> None:
            self._placeSoFar(run)

        title = _("Segmenting '{clip}'").format(clip=self.state.sequence.GetName())
        self._say([], None)
        self._run = run
        self.ui.runProgressBar.setRange(0, 0)
        self.ui.progressLabel.setText(loading)
        self._job = self.panel.runJob(title, work, finished, stopped, failed, cancelButton=False)
        if self._job is None:
            self._run = None
        self.update()

    def _settleEdits(self, run: Any) -> bool:
        """Ask what becomes of the user's frames; False to do nothing at all."""
        masks = self.state.masks
        box = qt.QMessageBox(slicer.util.mainWindow())
        box.setIcon(qt.QMessageBox.Question)
        box.setWindowTitle(_("Keep your edits?"))
        box.setText(
            _("You drew or accepted {edited} of the {total} frames to segment in '{masks}': {list}.").format(
                edited=len(run.atRisk), total=len(run.frames), masks=masks.GetName(), list=listed(run.atRisk)
            )
        )
        others = len(run.frames) - len(run.atRisk)
        keepButton = None
        if others:
            keepButton = box.addButton(_("Keep, Segment Others"), qt.QMessageBox.AcceptRole)
            keepButton.setToolTip(_("Leave your frames as they are and segment the other {n}").format(n=others))
        newButton = box.addButton(_("New Segmentation"), qt.QMessageBox.ActionRole)
        newButton.setToolTip(_("Segment all of them into a segmentation of its own; this one stays as it is"))
        cancelButton = box.addButton(qt.QMessageBox.Cancel)
        box.setDefaultButton(keepButton or newButton)
        box.setEscapeButton(cancelButton)
        box.exec_()
        clicked = box.clickedButton()
        role = box.buttonRole(clicked) if clicked is not None else qt.QMessageBox.RejectRole
        if role == qt.QMessageBox.AcceptRole:
            run.keepEdits()
        elif role == qt.QMessageBox.ActionRole:
            run.makeNew()
        else:
            return False
        return True

    def _placeSoFar(self, run: Any) -> None:
        """What was finished before a stop or a failure is not lost."""
        try:
            prediction = run.predictionSoFar()
            if prediction is not None:
                self._place(run, prediction)
        except Cancelled:
            pass
        except FetalEchoError as error:
            self.panel.showStatus(str(error))

    def _place(self, run: Any, prediction: Any) -> None:
        before = self.state.masks
        placement = run.place(prediction)
        masks = placement.masks
        if self.state.browser is run.browser:
            if placement.isNew and before is not None and before is not masks:
                self._hide(before)
            if self.parameterNode is not None:
                self.parameterNode.masks = masks
            self.state.masksModified()
        self._say(self._summary(run, placement, prediction), masks)

    def _summary(self, run: Any, placement: Any, prediction: Any) -> list[str]:
        count = len(placement.frames)
        text = (
            _("{n} frames segmented as {view} with {model}.")
            if count != 1
            else _("1 frame segmented as {view} with {model}.")
        )
        lines = [text.format(n=count, view=prediction.view.short, model=prediction.bundle.name)]
        kept = sorted({*run.spared, *placement.kept})
        if kept:
            lines.append(_("Kept as you drew or accepted them: {list}.").format(list=listed(kept)))
        if placement.reason:
            lines.append(
                _("{reason} The result is a new segmentation, '{name}'.").format(
                    reason=placement.reason, name=placement.masks.GetName()
                )
            )
        return lines

    def _hide(self, masks: Any) -> None:
        """Two segmentations on top of each other cannot be told apart."""
        proxy = self.state.browser.GetProxyNode(masks)
        if proxy is not None and proxy.GetDisplayNode() is not None:
            proxy.GetDisplayNode().SetVisibility(False)

    # what is shown

    def _frames(self) -> list[int] | None:
        choice = self.parameterNode.frames.value
        if choice == "all":
            return None
        if choice == "current":
            return [self.state.frame]
        return list(range(self.ui.firstFrameSpinBox.value, self.ui.lastFrameSpinBox.value + 1))

    def _showRefinement(self, free: bool) -> None:
        parameters = self.parameterNode
        self._refiners.show(parameters.refineModel if parameters is not None else "")
        wanted = parameters is not None and parameters.refineOutlines
        box, combo = self.ui.refineCheckBox, self.ui.refineModelComboBox
        # One that is checked can always be unchecked.
        box.setEnabled(free and parameters is not None and bool(self._refiners.models or wanted))
        combo.setEnabled(free and wanted and self._refiners.hasChoice)

    def _onRefineModel(self, name: str) -> None:
        if self.parameterNode is not None:
            self.parameterNode.refineModel = name

    def _showRange(self, first: int, last: int, count: int) -> None:
        values = (min(max(first, 0), count - 1), min(max(last, 0), count - 1))
        for spinBox, value in zip((self.ui.firstFrameSpinBox, self.ui.lastFrameSpinBox), values):  # noqa: B905
            blocked = spinBox.blockSignals(True)
            spinBox.setMaximum(count - 1)
            spinBox.setValue(value)
            spinBox.blockSignals(blocked)

    def _setRange(self, first: int, last: int) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            self.parameterNode.firstFrame = first
            self.parameterNode.lastFrame = last

    def _applyToolTip(self, running: bool, count: int) -> str:
        if running:
            return _("Stop; frames that are finished are kept")
        if not count:
            return _("Load or choose a clip first")
        if self.state.isBusy:
            return _("Another task is running")
        return _("Segment these frames; frames that you drew or accepted are never overwritten unasked")

    def _say(self, messages: list[str], masks: Any) -> None:
        """Show what a run has to say, as long as its segmentation is the shown one."""
        self._messages = messages
        self._messagesOf = masks
        if messages:
            self.panel.showStatus(messages[0])
        self._showNotes()

    def _showNotes(self) -> None:
        masks = self.state.masks
        lines = list(self._messages) if self._messagesOf is masks else []
        lines += [note for note in predictionNotes(masks) if note not in lines]
        self.ui.notesLabel.setText("\n".join(lines))
        self.ui.notesLabel.setVisible(bool(lines))
