"""The Result section of the panel: frames and how sure the model was, structures, conditions."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..anatomy import STRUCTURES, permitted_structures
from ..errors import FetalEchoError
from ..review import CONFIDENCE_FLOOR
from ..scene.frame_review import FrameReview
from ..scene.review import ACCEPTED_EVENT
from ..scene.segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    BY_MODEL,
    PREDICTION,
    maskSequences,
    predictionFromSequence,
)
from .bars import BarChart
from .condition_bars import conditionBars, conditionTip, hiddenConditions
from .confidence_strip import ConfidenceStrip, StripFrame
from .section import Section
from .shortcuts import Shortcut, Shortcuts
from .structures_table import StructuresTable


class ResultSection(Section, VTKObservationMixin):
    """Step through a result, check the frames that need it, choose what is shown, read the conditions.

    Stepping reads nothing from the masks: what is known of each frame is in a ``FrameReview``, of which only edited
    frames are read again.
    """

    uiName = "ResultSection"

    def __init__(self, panel: Any) -> None:
        Section.__init__(self, panel)
        VTKObservationMixin.__init__(self)
        self._review: FrameReview | None = None
        self._prediction: Any = None
        self._result: str | None = None
        self._problem = ""
        self._browser: Any = None
        self._masks: Any = None

    def setup(self) -> None:
        """Make what the .ui file cannot hold, and connect."""
        ui, state = self.ui, self.state
        self._strip = ConfidenceStrip(ui.resultSeekWidget.slider(), self._describeFrame)
        self._strip.setObjectName("confidenceStrip")
        self._bars = BarChart()
        self._bars.setObjectName("conditionBars")
        for container, widget in ((ui.stripContainer, self._strip), (ui.barsContainer, self._bars)):
            layout = qt.QVBoxLayout(container)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.addWidget(widget)
        self._structures = StructuresTable(ui.structuresTable, ui.showAllButton, ui.hideAllButton, ui.opacitySlider)
        ui.resultPlayWidget.setRecordingControlsVisible(False)
        # Slicer's toolbar has the same keys: with both shown, neither would work.
        for shortcut in slicer.util.findChildren(ui.resultPlayWidget, className="QShortcut"):
            shortcut.setEnabled(False)

        self._strip.frameClicked.connect(state.showFrame)
        ui.masksComboBox.connect("activated(int)", self._onMasksChosen)
        ui.previousCheckButton.connect("clicked(bool)", self._onPreviousCheck)
        ui.nextCheckButton.connect("clicked(bool)", self._onNextCheck)
        ui.acceptButton.connect("clicked(bool)", self._onAccept)
        ui.correctFrameButton.connect("clicked(bool)", self._onCorrect)
        self._shortcuts = Shortcuts(
            (
                Shortcut("A", self._onPreviousFrame),
                Shortcut("D", self._onNextFrame),
                Shortcut("N", self._onNextCheck),
                Shortcut("Shift+N", self._onPreviousCheck),
                Shortcut("C", self._onAcceptAndGoOn),
            ),
            self.widget,
        )
        # Programs write many frames one after the other: look once, when they are done.
        self._refreshTimer = qt.QTimer()
        self._choicesTimer = qt.QTimer()
        for timer, action in ((self._refreshTimer, self._refresh), (self._choicesTimer, self.update)):
            timer.setSingleShot(True)
            timer.setInterval(0)
            timer.timeout.connect(action)

        state.clipChanged.connect(self._onClipChanged)
        state.masksChanged.connect(self._onMasksChanged)
        state.masksEdited.connect(self._onMasksEdited)
        state.frameChanged.connect(self._showFrame)
        state.busyChanged.connect(self._showBusy)
        self._reload()
        if self.panel.parent.isEntered:  # reloaded while it is open: Slicer does not call enter then
            self._shortcuts.install()

    def update(self) -> None:
        """Offer the masks of the clip."""
        choices = self._choices()
        combo = self.ui.masksComboBox
        combo.clear()
        for masks in choices:
            combo.addItem(masks.GetName(), masks.GetID())
        if self.state.masks in choices:
            combo.setCurrentIndex(choices.index(self.state.masks))
        self.ui.masksRow.setVisible(len(choices) > 1)

    def enter(self) -> None:
        """Let the keys work."""
        self._shortcuts.install()

    def exit(self) -> None:
        """Give the keys back."""
        self._shortcuts.remove()

    def cleanup(self) -> None:
        """Let go of everything."""
        self._shortcuts.remove()
        self._refreshTimer.stop()
        self._choicesTimer.stop()
        self._structures.cleanup()
        self._follow(None, None)
        self.removeObservers()

    # the clip and its masks

    def _choices(self) -> list[Any]:
        return maskSequences(self.state.browser) if self.state.browser is not None else []

    def _onMasksChosen(self, index: int = -1) -> None:
        choices = self._choices()
        if self.parameterNode is not None and 0 <= index < len(choices):
            self.parameterNode.masks = choices[index]

    def _follow(self, browser: Any, masks: Any) -> None:
        """Watch these nodes instead of those before, and show the browser in the widgets."""
        if browser is not self._browser:
            if self._browser is not None:
                self.removeObserver(self._browser, vtk.vtkCommand.ModifiedEvent, self._onBrowserModified)
            self._browser = browser
            if browser is not None:
                self.addObserver(browser, vtk.vtkCommand.ModifiedEvent, self._onBrowserModified)
            self.ui.resultSeekWidget.setMRMLSequenceBrowserNode(browser)
            self.ui.resultPlayWidget.setMRMLSequenceBrowserNode(browser)
        if masks is not self._masks:
            events = (vtk.vtkCommand.ModifiedEvent, ACCEPTED_EVENT)
            if self._masks is not None:
                for event in events:
                    self.removeObserver(self._masks, event, self._onMasksModified)
            self._masks = masks
            if masks is not None:
                for event in events:
                    self.addObserver(masks, event, self._onMasksModified)

    def _onClipChanged(self) -> None:
        self._reload()
        self.update()

    def _onMasksChanged(self) -> None:
        """Others, or a model wrote into these; a run tells both of its new ones, which are read once."""
        if self._review is not None and self.state.masks is self._masks:
            self._refresh()
        else:
            self._reload()

    def _onBrowserModified(self, caller: Any = None, event: Any = None) -> None:
        """Another frame is shown, or masks were added to the clip or taken away."""
        shown = [self.ui.masksComboBox.itemData(index) for index in range(self.ui.masksComboBox.count)]
        if shown != [masks.GetID() for masks in self._choices()]:
            self._choicesTimer.start()

    def _reload(self) -> None:
        """Read clip and masks anew."""
        masks = self.state.masks if self.state.masks in self._choices() else None
        self._follow(self.state.browser, masks)
        self._review = self._prediction = None
        self._problem = ""
        self._result = masks.GetAttribute(PREDICTION) if masks is not None else None
        if masks is not None:
            try:
                self._review = FrameReview(masks, self.logic.confidenceFloor(masks))
                self._prediction = predictionFromSequence(masks, withMasks=False)
            except FetalEchoError as error:  # drawn without a model, or not by this module
                self._problem = str(error) if self._review is None else ""
        self._structures.setMasks(masks, self.state.maskProxy if self._review is not None else None)
        self._showResult()

    def _onMasksModified(self, caller: Any = None, event: Any = None) -> None:
        self._refreshTimer.start()

    def _onMasksEdited(self) -> None:
        self._refresh(self.state.editedFrames)

    def _refresh(self, edited: frozenset[int] = frozenset()) -> None:
        """Read again what has changed since."""
        if self._masks is not None and self._masks.GetAttribute(PREDICTION) != self._result:
            self._reload()
        elif self._review is not None:
            self._review.refreshChanged(edited)
            self._review.refreshAccepted()
            self._showRows()
            self._showReview()

    # what is shown

    def _showResult(self) -> None:
        hasClip, hasResult = self.state.frameCount > 0, self._review is not None
        self._showHint(hasClip, hasResult)
        self.ui.framesContainer.setVisible(self.state.frameCount > 1)
        self._strip.setVisible(hasResult)
        self.ui.frameLabel.setVisible(hasClip)
        self.ui.reviewContainer.setVisible(self._prediction is not None)
        self.ui.keysLabel.setVisible(hasResult and self.state.frameCount > 1)
        self.ui.structuresGroup.setVisible(hasResult)
        self._showModel()
        self._showConditions()
        self._showRows()
        self._showReview()

    def _showHint(self, hasClip: bool, hasResult: bool) -> None:
        if not hasClip:
            text = _("No clip: open one in the section Input.")
        elif not hasResult:
            text = self._problem or _("No result yet: press Apply in the section Run.")
        elif self._prediction is None:
            text = _("These masks were drawn without a model, so there is no confidence and no condition to show.")
        else:
            text = ""
        self.ui.resultHintLabel.setText(text)
        self.ui.resultHintLabel.setVisible(bool(text))

    def _showModel(self) -> None:
        prediction = self._prediction
        self.ui.modelOfResultLabel.setVisible(prediction is not None)
        if prediction is None:
            return
        sources = {"user": _("chosen"), "file": _("from the file"), "predicted": _("found by the model")}
        first = _("{model} {version}, {view} ({source})").format(
            model=prediction.bundle.name,
            version=prediction.bundle.version,
            view=prediction.view.title,
            source=sources.get(prediction.view_source, prediction.view_source),
        )
        # The notice of the model stands with the conditions.
        notes = [note for note in prediction.notes if note != prediction.bundle.notice]
        self.ui.modelOfResultLabel.setText("\n".join([first, *notes]))

    def _showConditions(self) -> None:
        table = None
        if self._prediction is not None:
            try:
                table = self.logic.conditions(self._masks)
            except ImportError:  # a saved result is opened before the dependencies are installed
                table = None
        self.ui.conditionsGroup.setVisible(table is not None)
        if table is None:
            self._bars.setBars(())
            return
        self._bars.setBars(conditionBars(table))
        self._bars.setToolTip(conditionTip(table))
        hidden = ", ".join(row.condition.title for row in hiddenConditions(table))
        self.ui.notShownLabel.setVisible(bool(hidden))
        self.ui.notShownLabel.setText(_("Not shown by this view: {conditions}.").format(conditions=hidden))
        # Word for word anatomy.RESEARCH_ONLY, which no translator would see there.
        researchOnly = _("Research software: these probabilities are not a diagnosis.")
        self.ui.researchOnlyLabel.setText(" ".join(filter(None, (researchOnly, self._prediction.bundle.notice))))

    def _showRows(self) -> None:
        """Leave out the structures that neither the view nor any frame shows."""
        if self._review is None:
            return
        shown = self._review.presentStructures()
        if self._prediction is not None:
            shown |= set(permitted_structures(self._prediction.view))
        self._structures.setHiddenRows(
            info.segment_id for structure, info in STRUCTURES.items() if shown and structure not in shown
        )

    def _showReview(self) -> None:
        """The strip, the line and the buttons."""
        known = self._review
        self.state.setReview(known)
        if known is None:
            self._strip.setFrames((), CONFIDENCE_FLOOR)
            self._showFrame()
            return
        review, corrected = known.review, known.corrected
        self._strip.setFrames(
            [
                StripFrame(
                    float(known.confidence[k]) if known.done[k] else None,
                    bool(review.needs_look[k]),
                    bool(known.accepted[k] or corrected[k]),
                )
                for k in range(len(known))
            ],
            review.floor,
        )
        self.ui.reviewLabel.setText(self._reviewText())
        self._showFrame()

    def _reviewText(self) -> str:
        known, review = self._review, self._review.review
        total, toCheck = int(known.done.sum()), len(review.frames)
        if total and known.accepted[known.done].all():
            return _("All {total} frames are accepted.").format(total=total)
        if toCheck == 0:
            text = _("No frame needs a look.")
        elif toCheck == 1:
            text = _("1 of {total} frames needs a look.").format(total=total)
        else:
            text = _("{count} of {total} frames need a look.").format(count=toCheck, total=total)
        unmarked = review.low_confidence & ~review.needs_look & ~review.settled
        if review.is_doubtful and unmarked.any():
            text += " " + _(
                "Confidence is low on {low} frames, and only the lowest are marked: is the view right, and the model"
                " made for such images?"
            ).format(low=int(review.low_confidence.sum()))
        return text

    def _showFrame(self) -> None:
        """What depends on the frame alone; called at every step."""
        frame = self.state.frame
        self._strip.setCurrentFrame(frame)
        known = self._review if self._review is not None and 0 <= frame < len(self._review) else None
        self.ui.frameLabel.setText(", ".join(self._frameFacts(frame)) if self.state.frameCount else "")
        accepted = known is not None and bool(known.accepted[frame])
        button = self.ui.acceptButton
        button.setChecked(accepted)
        button.setText(_("Accepted") if accepted else _("Accept"))
        others = known.review.next_after(frame) is not None if known is not None else False
        self.ui.nextCheckButton.setEnabled(others)
        self.ui.previousCheckButton.setEnabled(others)
        self.ui.correctFrameButton.setEnabled(known is not None and bool(known.review.frames))
        self._showBusy()

    def _showBusy(self) -> None:
        free = not self.state.isBusy
        self.ui.masksComboBox.setEnabled(free)
        self.ui.acceptButton.setEnabled(free and self._canAccept())

    def _canAccept(self) -> bool:
        known, frame = self._review, self.state.frame
        return known is not None and 0 <= frame < len(known) and bool(known.done[frame] or known.drawnBy[frame])

    def _describeFrame(self, frame: int) -> str:
        """Tooltip of the strip."""
        return "\n".join(self._frameFacts(frame))

    def _frameFacts(self, frame: int) -> list[str]:
        cine, known = self.state.cine(), self._review
        facts = [_("Frame {frame}").format(frame=frame)]
        if cine is not None and cine.has_known_times and frame < len(cine):
            facts.append(_("{seconds:.2f} s").format(seconds=cine.times[frame]))
        if known is None or frame >= len(known):
            return facts
        if known.done[frame]:
            confidence = float(known.confidence[frame])
            text = _("confidence {confidence:.2f}").format(confidence=confidence)
            if known.review.low_confidence[frame]:
                text = _("confidence {confidence:.2f}, below {floor:.2f}").format(
                    confidence=confidence, floor=known.review.floor
                )
            facts.append(text)
            jumping = ", ".join(structure.info.short for structure in known.review.jumping(frame))
            if jumping:
                facts.append(_("unlike the frames around: {structures}").format(structures=jumping))
        authors = {
            BY_MODEL: _("drawn by the model"),
            BY_CLICKS: _("corrected by clicks"),
            BY_HAND: _("drawn by hand"),
        }
        facts.append(authors.get(known.drawnBy[frame]) or _("no masks"))
        if known.accepted[frame]:
            facts.append(_("accepted"))
        return facts

    # buttons and keys

    def _onPreviousFrame(self) -> None:
        self.state.showFrame(self.state.frame - 1)

    def _onNextFrame(self) -> None:
        self.state.showFrame(self.state.frame + 1)

    def _onNextCheck(self, checked: bool = False) -> None:
        self._goTo(self._review.review.next_after(self.state.frame) if self._review is not None else None)

    def _onPreviousCheck(self, checked: bool = False) -> None:
        self._goTo(self._review.review.previous_before(self.state.frame) if self._review is not None else None)

    def _goTo(self, frame: int | None) -> None:
        if frame is not None:
            self.state.showFrame(frame)
            self.state.frameToCheck.emit(frame)
        elif self._review is not None:
            self.panel.showStatus(_("No other frame needs a look."))

    def _onCorrect(self, checked: bool = False) -> None:
        self.state.correctionAsked.emit()

    def _onAccept(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Accept frame")):
            self.logic.acceptFrame(self._masks, self.state.frame, checked)
        self._refresh()

    def _onAcceptAndGoOn(self) -> None:
        if self.state.isBusy or not self._canAccept():
            return
        self._onAccept(True)
        self._onNextCheck()
