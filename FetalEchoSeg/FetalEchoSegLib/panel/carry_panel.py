"""Carrying a corrected mask to other frames, from the panel: run, look at each frame, apply or discard."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..anatomy import Structure
from ..scene.mask_preview import MaskPreview
from ..scene.review import protectedFrames
from ..scene.segmentation_nodes import BY_CLICKS, BY_HAND, BY_MODEL
from .carried_table import CarriedRow, CarriedTable
from .click_sharing import releaseSession, retainSession
from .device_setting import deviceSetting
from .frame_list import listed

# As in Refiner.propagate, which is not imported before somebody carries something.
_AGREEMENT_FLOOR = 0.7


class CarryPanel:
    """The group of widgets in the section Refine that carries the selected structure forward and backward.

    What was found is shown over the clip before it is applied, frame by frame, and one application can be taken back.
    """

    def __init__(self, section: Any) -> None:
        """``section`` is the RefineSection whose widgets these are."""
        self._section = section
        self._ui = section.ui
        self._state = section.state
        self._structure: Structure | None = None
        self._job: Any = None
        self._propagation: Any = None
        self._carried: Any = None
        self._protected: set[int] = set()
        self._placed: Any = None
        self._note = ""
        self._preview = MaskPreview()
        self._table = CarriedTable(self._ui.carryTable, _AGREEMENT_FLOOR)
        self._table.frameClicked.connect(self._state.showFrame)
        self._table.choiceChanged.connect(self.update)
        for button, action in (
            (self._ui.carryForwardButton, self._onForward),
            (self._ui.carryBackwardButton, self._onBackward),
            (self._ui.carryCancelButton, self._onCancel),
            (self._ui.carryApplyButton, self._onApply),
            (self._ui.carryDiscardButton, self._onDiscard),
            (self._ui.carryTakeBackButton, self._onTakeBack),
        ):
            button.connect("clicked(bool)", action)
        self._state.progressChanged.connect(self._onProgress)

    @property
    def structure(self) -> Structure | None:
        """Whose mask is carried, None where nothing fitting is selected."""
        return self._structure

    def setStructure(self, structure: Structure | None) -> None:
        """Carry the mask of another structure next time."""
        self._structure = structure
        self.update()

    def reset(self) -> None:
        """Forget what was carried and placed: other masks are shown, or a model wrote over them."""
        self._forgetCarried()
        self._placed = None
        self._note = ""
        self.update()

    def hideOutline(self) -> None:
        """Take the outline out of the views and of the scene; ``showOutline`` brings it back."""
        self._preview.remove()

    def showOutline(self) -> None:
        """Draw the carried mask of the frame that is shown, if there is one."""
        frame = self._state.frame
        found = None
        if self._carried is not None and self._section.isOpen:
            found = next((carried for carried in self._carried.frames if carried.frame == frame), None)
        if found is None:
            self._preview.hide()
        else:
            self._preview.show(self._propagation.masks, self._propagation.drawn(found))
        self._table.select(frame)

    def update(self) -> None:
        """Show what is the case now."""
        ui, running = self._ui, self._job is not None
        reason = self._whyNot()
        for button, tip in (
            (ui.carryForwardButton, _("Carry the mask to the frames after this one, as far as they agree")),
            (ui.carryBackwardButton, _("Carry the mask to the frames before this one, as far as they agree")),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)
        ui.carryLimitSpinBox.setEnabled(not running)
        ui.carryLabel.setText(self._title())
        ui.carryProgressBar.setVisible(running)
        ui.carryCancelButton.setVisible(running)
        ui.carryCancelButton.setEnabled(running and not self._job.isCancelled)
        hasFrames = self._carried is not None and bool(self._carried.frames)
        ui.carryTable.setVisible(hasFrames)
        checked = len(self._table.checkedFrames()) if hasFrames else 0
        ui.carryApplyButton.setVisible(hasFrames)
        ui.carryApplyButton.setEnabled(checked > 0 and not self._state.isBusy)
        ui.carryApplyButton.setText(
            _("Apply to 1 frame") if checked == 1 else _("Apply to {n} frames").format(n=checked)
        )
        ui.carryDiscardButton.setVisible(hasFrames)
        ui.carryTakeBackButton.setVisible(self._placed is not None)
        ui.carryTakeBackButton.setEnabled(not self._state.isBusy)
        ui.carryNoteLabel.setText(self._note)
        ui.carryNoteLabel.setVisible(bool(self._note))

    def onBusyChanged(self) -> None:
        """A job has begun or ended, perhaps ours."""
        if not self._state.isBusy:
            self._job = None
        self.update()

    def _title(self) -> str:
        if self._structure is None:
            return _("Select a structure above to carry its mask to other frames.")
        return _("Carry {structure} of frame {frame} to other frames:").format(
            structure=self._structure.info.short, frame=self._state.frame
        )

    def _whyNot(self) -> str:
        """Why nothing can be carried now, "" if it can."""
        if self._structure is None:
            return _("Select a structure first")
        if not self._section.hasModel:
            return _("No model on this machine answers clicks: add one in the section Model")
        return _("Another task is running") if self._state.isBusy else ""

    # the run

    def _onForward(self, checked: bool = False) -> None:
        self._start(1)

    def _onBackward(self, checked: bool = False) -> None:
        self._start(-1)

    def _start(self, direction: int) -> None:
        panel = self._section.panel
        with panel.showingErrors(_("Carrying a mask")):
            propagation = self._section.logic.preparePropagation(
                self._state.masks,
                self._state.frame,
                self._structure,
                direction,
                self._ui.carryLimitSpinBox.value or None,
                self._section.modelName,
                deviceSetting(),
            )
            self._run(propagation)

    def _run(self, propagation: Any) -> None:
        # Texts are translated here: the thread must not ask Qt.
        refiner = self._sharedRefiner()
        loading = _("Loading the model")
        counting = _("{done} of {total} frames")

        def work(report: Any, cancelled: Any) -> Any:
            report(0, 0, loading)

            def progress(done: int, total: int) -> None:
                report(done, total, counting.format(done=done, total=total))

            return propagation.run(progress, cancelled, refiner)

        def finished(carried: Any) -> None:
            self._show(propagation, carried)

        def stopped() -> None:
            carried = propagation.carriedSoFar()
            if carried is not None:
                self._show(propagation, carried)

        title = _("Carrying {structure} from frame {frame}").format(
            structure=propagation.structure.info.short, frame=propagation.fromFrame
        )
        self._forgetCarried()
        self._placed = None
        self._note = ""
        self._ui.carryProgressBar.setRange(0, 0)
        self._job = self._section.panel.runJob(title, work, finished, stopped, cancelButton=False)
        self.update()

    def _sharedRefiner(self) -> Any:
        """The one that answers the clicks, which has encoded the frames around them; None before the first click."""
        session = retainSession(self)
        refiner = session.refiner
        releaseSession(self)
        return refiner

    def _onCancel(self, checked: bool = False) -> None:
        if self._job is not None:
            self._job.cancel()
            self.update()

    def _onProgress(self, done: int, total: int, text: str, secondsLeft: float | None) -> None:
        if self._job is not None:
            self._ui.carryProgressBar.setRange(0, total)
            self._ui.carryProgressBar.setValue(done)

    # what was found

    def _show(self, propagation: Any, carried: Any) -> None:
        if self._state.masks is not propagation.masks:  # others were chosen meanwhile
            return
        self._propagation, self._carried = propagation, carried
        self._protected = set(protectedFrames(propagation.masks))
        review = self._state.review
        rows = [
            CarriedRow(found.frame, found.agreement, self._authorOf(review, found.frame), self._isFree(found.frame))
            for found in carried.frames
        ]
        self._table.setRows(rows)
        self._note = self._foundText()
        self._section.panel.showStatus(self._note)
        self.update()
        if carried.frames and self._section.isOpen:
            self._state.showFrame(carried.frames[0].frame)
        self.showOutline()

    def _isFree(self, frame: int) -> bool:
        return frame not in self._protected

    def _authorOf(self, review: Any, frame: int) -> str:
        author = review.drawnBy[frame] if review is not None and frame < len(review) else ""
        text = {BY_MODEL: _("by the model"), BY_CLICKS: _("by clicks"), BY_HAND: _("by hand")}.get(
            author, _("no masks")
        )
        if review is not None and frame < len(review) and review.accepted[frame]:
            text = _("{author}, accepted").format(author=text)
        return text if self._isFree(frame) else _("{author}: kept unless checked").format(author=text)

    def _foundText(self) -> str:
        structure, carried = self._propagation.structure.info.title, self._carried
        reached = sorted(found.frame for found in carried.frames)
        if reached:
            text = _("{structure} reached the frames {list}. Nothing is changed yet.").format(
                structure=structure, list=listed(reached)
            )
        else:
            text = _("{structure} reached no frame.").format(structure=structure)
        return f"{text} {carried.stopped}".strip()

    def _onApply(self, checked: bool = False) -> None:
        propagation, carried = self._propagation, self._carried
        with self._section.panel.showingErrors(_("Applying carried masks")):
            frames = self._table.checkedFrames()
            # What became the user's after the table was shown was not asked about.
            placed = propagation.place(carried, frames, mayReplace=self._protected)
            self._forgetCarried()
            self._state.showFrame(propagation.fromFrame)  # from where it may be carried the other way
            self._placed = placed if placed.frames else None
            self._note = self._placedText(placed)
            self._section.panel.showStatus(self._note)
        self.update()

    def _placedText(self, placed: Any) -> str:
        parts = []
        if placed.frames:
            parts.append(
                _("{structure} was placed on the frames {list}.").format(
                    structure=placed.structure.info.title, list=listed(placed.frames)
                )
            )
        if placed.kept:
            parts.append(_("Kept as you drew or accepted them: {list}.").format(list=listed(placed.kept)))
        return " ".join(part for part in (*parts, placed.stopped) if part)

    def _onDiscard(self, checked: bool = False) -> None:
        self._state.showFrame(self._propagation.fromFrame)
        self._forgetCarried()
        self._note = _("Discarded; nothing was changed.")
        self.update()

    def _onTakeBack(self, checked: bool = False) -> None:
        with self._section.panel.showingErrors(_("Taking masks back")):
            wanted = self._placed.frames
            restored = self._placed.takeBack()
            self._placed = None
            changed = sorted(set(wanted) - set(restored))
            self._note = _("Taken back.") if restored else ""
            if changed:
                self._note = (
                    f"{self._note} "
                    + _("Changed since, and therefore left as they are: {list}.").format(list=listed(changed))
                ).strip()
            self._section.panel.showStatus(self._note)
        self.update()

    def _forgetCarried(self) -> None:
        self._propagation = self._carried = None
        self._protected = set()
        self._table.setRows(())
        self._preview.remove()
