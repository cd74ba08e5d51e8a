"""The Refine section of the panel: correct what is doubtful, accept, carry corrections to other frames."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..anatomy import STRUCTURES, Structure, permitted_structures
from ..review import doubtful_structure
from ..scene.rerun import predictionIdentity
from ..scene.segment_pixels import structureOf
from ..scene.segmentation_nodes import PREDICTION
from .carry_panel import CarryPanel
from .click_sharing import clickModelSetting
from .embedded_editor import CLICKS, EmbeddedEditor
from .section import Section

_UNFOLDING_MS = 50
_MOST_REASONS = 2  # on the button; the section Result names all


class RefineSection(Section):
    """Slicer's Segment Editor on the frame that is shown, led to what needs a look.

    The editor takes keys and mouse only while the module and this section are open and there are masks.
    """

    uiName = "RefineSection"

    def setup(self) -> None:
        """Make what the .ui file cannot hold, and connect."""
        ui, state = self.ui, self.state
        self._models: list[str] = []
        self._editor = EmbeddedEditor(ui.editorContainer, self._onSelection)
        self._carry = CarryPanel(self)
        # Slicer's own editor settles at the end of an import, after the panel has heard of it.
        self._attachTimer = qt.QTimer()
        # Only once all is unfolded is it known where the section lies.
        self._sightTimer = qt.QTimer()
        for timer, pause, action in (
            (self._attachTimer, 0, self._attach),
            (self._sightTimer, _UNFOLDING_MS, self._bringIntoSight),
        ):
            timer.setSingleShot(True)
            timer.setInterval(pause)
            timer.timeout.connect(action)
        ui.refineCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        ui.correctButton.connect("clicked(bool)", self._onCorrect)
        ui.acceptNextButton.connect("clicked(bool)", self._onAcceptAndNext)
        state.clipChanged.connect(self._onMasksChanged)
        state.masksChanged.connect(self._onMasksChanged)
        state.frameChanged.connect(self._onFrameChanged)
        state.reviewChanged.connect(self._showReview)
        state.busyChanged.connect(self._onBusyChanged)
        state.modelsChanged.connect(self._onModelsChanged)
        state.frameToCheck.connect(self._onFrameToCheck)
        state.correctionAsked.connect(self._onCorrect)

    @property
    def isOpen(self) -> bool:
        """Whether the user can work here: the module and the section are open, and there are masks."""
        return bool(self.panel.parent.isEntered and not self.ui.refineCollapsibleButton.collapsed and self._hasMasks)

    @property
    def hasModel(self) -> bool:
        """Whether this machine has a model that answers clicks."""
        return bool(self._models)

    @property
    def modelName(self) -> str:
        """The model by which masks are carried: the one that answers the clicks."""
        chosen = clickModelSetting()
        return chosen if chosen in self._models or not self._models else self._models[0]

    @property
    def _hasMasks(self) -> bool:
        return self.parameterNode is not None and self.state.masks is not None and self.state.maskProxy is not None

    def update(self) -> None:
        """Show what is the case now."""
        self._showHint()
        if self._hasMasks:
            self._attachTimer.start()
        else:
            self._letGo()
        self._showReview()

    def enter(self) -> None:
        """Let the editor work."""
        self._attach()

    def exit(self) -> None:
        """Give keys, mouse and views back."""
        self._editor.release()
        self._carry.hideOutline()

    def cleanup(self) -> None:
        """Let go of everything."""
        self._attachTimer.stop()
        self._sightTimer.stop()
        self._carry.hideOutline()
        self._editor.cleanup()

    # the editor

    def _attach(self) -> None:
        """Edit the masks of the clip while the section is open."""
        if self.isOpen:
            self._editor.edit(self.state.maskProxy, self.state.cineProxy)
            self._hideSegments()
            self._editor.take()
            self._carry.showOutline()
        else:
            self._editor.release()
            self._carry.hideOutline()

    def _letGo(self) -> None:
        self._attachTimer.stop()
        self._editor.release()
        self._editor.editNothing()

    def _hideSegments(self) -> None:
        """Leave out the structures that neither the view nor any frame shows, as the section Result does."""
        review, masks = self.state.review, self.state.masks
        shown = set(STRUCTURES)
        if review is not None and masks.GetAttribute(PREDICTION):
            shown = review.presentStructures() | set(permitted_structures(predictionIdentity(masks)[0]))
        self._editor.setHiddenSegments(
            info.segment_id for structure, info in STRUCTURES.items() if structure not in shown
        )

    def _onCollapsed(self, collapsed: bool = False) -> None:
        self._attach()

    def _onMasksChanged(self) -> None:
        self._carry.reset()
        if not self.isOpen:
            self._letGo()
        self.update()

    def _onFrameChanged(self) -> None:
        self._showReview()
        if self._hasMasks:
            self._carry.showOutline()
        self._carry.update()

    def _onSelection(self) -> None:
        self._carry.setStructure(self._selectedStructure())

    def _selectedStructure(self) -> Structure | None:
        proxy, segmentId = self.state.maskProxy, self._editor.segmentId
        segment = proxy.GetSegmentation().GetSegment(segmentId) if proxy is not None and segmentId else None
        return structureOf(segmentId, segment) if segment is not None else None

    # what needs a look

    def _onModelsChanged(self) -> None:
        self._models = self.logic.promptables()
        self._carry.update()

    def _onBusyChanged(self) -> None:
        self._carry.onBusyChanged()
        self._showReview()

    def _showHint(self) -> None:
        if self.state.frameCount == 0:
            text = _("No clip: open one in the section Input.")
        elif not self._hasMasks:
            text = _("No masks yet: press Apply in the section Run, and correct here what it got wrong.")
        else:
            text = ""
        self.ui.refineHintLabel.setText(text)
        self.ui.refineHintLabel.setVisible(bool(text))
        self.ui.refineContainer.setVisible(not text)

    def _frameToCorrect(self) -> int | None:
        """The shown frame if it needs a look, otherwise the next that does; None when there is none."""
        known, frame = self.state.review, self.state.frame
        if known is None or not 0 <= frame < len(known):
            return None
        return frame if known.review.needs_look[frame] else known.review.next_after(frame)

    def _showReview(self) -> None:
        """The buttons."""
        known, frame = self.state.review, self._frameToCorrect()
        button = self.ui.correctButton
        button.setEnabled(frame is not None)
        if frame is None:
            button.setText(_("No frame needs a look"))
        else:
            button.setText(_("Correct frame {frame}: {reason}").format(frame=frame, reason=_reason(known, frame)))
        shown = self.state.frame
        canAccept = known is not None and 0 <= shown < len(known) and bool(known.done[shown] or known.drawnBy[shown])
        self.ui.acceptNextButton.setEnabled(canAccept and not self.state.isBusy)

    def _onCorrect(self, checked: bool = False) -> None:
        frame = self._frameToCorrect()
        if frame is None:
            self.panel.showStatus(_("No frame needs a look."))
            return
        self.ui.refineCollapsibleButton.collapsed = False  # a property without a setter
        self.state.browser.SetPlaybackActive(False)  # an edit made while the clip plays is lost
        self.state.showFrame(frame)
        self._attach()
        self._editor.use(CLICKS, self._doubtfulSegment(frame))
        self._sightTimer.start()

    def _bringIntoSight(self) -> None:
        """Scroll the panel so that this section is at its top."""
        area = self.widget.parentWidget()
        while area is not None and not area.inherits("QScrollArea"):
            area = area.parentWidget()
        if area is not None:
            area.verticalScrollBar().setValue(self.widget.mapTo(area.widget(), qt.QPoint(0, 0)).y())

    def _onFrameToCheck(self, frame: int) -> None:
        """Whoever corrects finds the doubtful structure selected on the next frame, too."""
        if self.isOpen and self._editor.effectName:
            self._editor.use(self._editor.effectName, self._doubtfulSegment(frame))

    def _doubtfulSegment(self, frame: int) -> str:
        known = self.state.review
        structure = doubtful_structure(known.review, known.areas, frame) if known is not None else None
        return structure.info.segment_id if structure is not None else ""

    def _onAcceptAndNext(self, checked: bool = False) -> None:
        frame, known = self.state.frame, self.state.review
        with self.panel.showingErrors(_("Accept frame")):
            self.logic.acceptFrame(self.state.masks, frame)
        following = known.review.next_after(frame)
        if following is None:
            self.panel.showStatus(_("Frame {frame} is accepted; no other needs a look.").format(frame=frame))
            return
        self.state.showFrame(following)
        self._onFrameToCheck(following)


def _reason(known: Any, frame: int) -> str:
    """Why a frame needs a look."""
    texts = []
    for structure in known.review.jumping(frame):
        missing = not known.areas[frame, structure]
        text = _("{structure} is missing") if missing else _("{structure} jumps")
        texts.append(text.format(structure=structure.info.short))
    if len(texts) > _MOST_REASONS:
        texts = [*texts[:_MOST_REASONS], _("{n} more").format(n=len(texts) - _MOST_REASONS)]
    return ", ".join(texts) or _("confidence {confidence:.2f}").format(confidence=float(known.confidence[frame]))
