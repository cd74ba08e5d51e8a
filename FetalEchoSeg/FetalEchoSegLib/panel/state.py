"""What all sections of the panel look at: the clip, its masks, the shown frame, the running job."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..errors import FetalEchoError
from ..scene.segmentation_nodes import maskSequences, prepareMaskProxy
from .signals import Signal

# Edits come in bursts (a brush stroke is many): tell of them when the hand rests.
_EDIT_PAUSE_MS = 250


class PanelState(VTKObservationMixin):
    """Follows the parameter node and the nodes it names.

    clipChanged      another clip, or none, or its calibration was changed
    masksChanged     another mask sequence, or none, or a model wrote into it
    masksEdited      somebody changed masks of the shown clip (told some time after, once for many changes);
                   ``editedFrames`` says which frames it was
    frameChanged     another frame is shown
    busyChanged      a job began or ended
    progressChanged  the job has come further: (done, total, text, seconds left or None)
    modelsChanged    the models on this machine were listed again
    reviewChanged    another ``review``, or what it says was read again
    frameToCheck     the user went to a frame that needs a look: (frame)
    correctionAsked  the user wants to correct the next frame that needs a look

    The masks are always ones of the clip: its first, if the parameter node names others or none, and None only if it
    has none. ``cine`` and ``prediction`` are kept until they change.
    """

    def __init__(self, logic: Any) -> None:
        VTKObservationMixin.__init__(self)
        self.logic = logic
        self.clipChanged = Signal()
        self.masksChanged = Signal()
        self.masksEdited = Signal()
        self.frameChanged = Signal()
        self.busyChanged = Signal()
        self.progressChanged = Signal()
        self.modelsChanged = Signal()
        self.reviewChanged = Signal()
        self.frameToCheck = Signal()
        self.correctionAsked = Signal()
        self.review: Any = None
        self.browser: Any = None
        self.masks: Any = None
        self.frame = 0
        self.editedFrames: frozenset[int] = frozenset()
        self._edited: set[int] = set()
        self._parameterNode: Any = None
        self._sequence: Any = None
        self._maskProxy: Any = None
        self._cine: Any = None
        self._prediction: Any = None
        self._busy = False
        self._editTimer = qt.QTimer()
        self._editTimer.setSingleShot(True)
        self._editTimer.setInterval(_EDIT_PAUSE_MS)
        self._editTimer.timeout.connect(self._tellEdit)
        self._choiceTimer = qt.QTimer()
        self._choiceTimer.setSingleShot(True)
        self._choiceTimer.setInterval(0)
        self._choiceTimer.timeout.connect(self._chooseMasks)

    # what is shown

    @property
    def sequence(self) -> Any:
        """Image sequence of the clip, None without one."""
        sequence = self.browser.GetMasterSequenceNode() if self.browser is not None else None
        # A browser whose image sequence was deleted goes on with the next one, which are masks.
        isMasks = sequence is not None and sequence.GetDataNodeClassName() == "vtkMRMLSegmentationNode"
        return None if isMasks else sequence

    @property
    def frameCount(self) -> int:
        """Frames of the clip; 0 without one."""
        sequence = self.sequence
        return sequence.GetNumberOfDataNodes() if sequence is not None else 0

    @property
    def cineProxy(self) -> Any:
        """Volume node that shows the frame."""
        return self.browser.GetProxyNode(self.sequence) if self.sequence is not None else None

    @property
    def maskProxy(self) -> Any:
        """Segmentation node that shows the frame's masks, None without masks."""
        return self._maskProxy

    def cine(self) -> Any:
        """The clip as ``Cine``, or None when the selected browser holds no ultrasound clip."""
        if self._cine is None and self.sequence is not None:
            try:
                self._cine = self.logic.cine(self.browser)
            except FetalEchoError:
                return None
        return self._cine

    def prediction(self) -> Any:
        """The ``Prediction`` with the masks as they are now, or None when no model segmented the clip."""
        if self._prediction is None and self.masks is not None:
            try:
                self._prediction = self.logic.prediction(self.masks)
            except FetalEchoError:
                return None
        return self._prediction

    def showFrame(self, index: int) -> None:
        """Show frame ``index`` in the views; outside the clip, its nearest end."""
        if self.frameCount:
            self.browser.SetSelectedItemNumber(min(max(int(index), 0), self.frameCount - 1))

    @property
    def isBusy(self) -> bool:
        """Whether a job runs: the clip and the masks must not be replaced meanwhile."""
        return self._busy

    def setBusy(self, busy: bool) -> None:
        """Called by the panel."""
        if busy != self._busy:
            self._busy = busy
            self.busyChanged.emit()

    def setReview(self, review: Any) -> None:
        """Called by the section that reads the frames, which is one alone: a ``FrameReview`` of the masks, or None."""
        self.review = review
        self.reviewChanged.emit()

    # following the scene

    def setParameterNode(self, parameterNode: Any) -> None:
        """Follow ``parameterNode``, or none."""
        if self._parameterNode is not None:
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
        self._onParameters()

    def clipModified(self) -> None:
        """Tell that the clip's calibration or frames were changed."""
        self._cine = self._prediction = None
        self.clipChanged.emit()

    def masksModified(self) -> None:
        """Tell that a model wrote masks or results into the shown mask sequence."""
        self._prediction = None
        self.masksChanged.emit()

    def cleanup(self) -> None:
        """Let go of everything; nothing is told."""
        self._editTimer.stop()
        self._choiceTimer.stop()
        self.removeObservers()
        self.browser = self.masks = self._maskProxy = self._parameterNode = self._cine = self._prediction = None
        self.review = None

    def _onParameters(self, caller: Any = None, event: Any = None) -> None:
        node = self._parameterNode
        browser = node.browser if node is not None else None
        if node is not None and (node.masks is not None or browser is not self.browser):
            self._chooseMasks()
        else:
            # They may be going away at this moment, and others with them.
            self._choiceTimer.start()
        masks = node.masks if node is not None else None
        # All of it is true before anybody is told of a part.
        newClip, newMasks = browser is not self.browser, masks is not self.masks
        if newClip:
            self._follow(self.browser, browser, vtk.vtkCommand.ModifiedEvent, self._onBrowser)
            self.browser = browser
            self.frame = browser.GetSelectedItemNumber() if browser is not None else 0
            self._sequence = self.sequence
            self._cine = None
        if newMasks:
            self._follow(self.masks, masks, vtk.vtkCommand.ModifiedEvent, self._onEdit)
            self.masks = masks
        if newClip or newMasks:
            self._prediction = None
            self._editTimer.stop()
            self._followMaskProxy()
        if newClip:
            self.clipChanged.emit()
        if newMasks:
            self.masksChanged.emit()
        if newClip:
            self.frameChanged.emit()

    def _chooseMasks(self) -> None:
        """Let the masks be ones of the clip: the first, if others or none are chosen."""
        node = self._parameterNode
        # A scene that is being read or closed is not whole.
        if node is None or slicer.mrmlScene.IsBatchProcessing():
            return
        candidates = maskSequences(node.browser)
        chosen = candidates[0] if candidates else None
        if node.masks not in candidates and node.masks is not chosen:
            node.masks = chosen

    def _follow(self, old: Any, new: Any, event: int, slot: Any) -> None:
        if old is not None:
            self.removeObserver(old, event, slot)
        if new is not None:
            self.addObserver(new, event, slot)

    def _followMaskProxy(self) -> None:
        proxy = self.browser.GetProxyNode(self.masks) if self.browser is not None and self.masks is not None else None
        if proxy is self._maskProxy:
            return
        for event in (slicer.vtkSegmentation.SourceRepresentationModified, slicer.vtkSegmentation.SegmentRemoved):
            self._follow(self._maskProxy, proxy, event, self._onEdit)
        self._maskProxy = proxy
        if proxy is not None and proxy.GetDisplayNode() is None:
            # The user deleted the node that shows the masks: the browser has made another one, without looks.
            prepareMaskProxy(self.browser, self.masks)

    def _onBrowser(self, caller: Any = None, event: Any = None) -> None:
        if self.sequence is not self._sequence:  # its frames were deleted
            self._sequence = self.sequence
            self.clipModified()
        self._followMaskProxy()
        # Whoever adds or removes masks is not done yet.
        self._choiceTimer.start()
        frame = self.browser.GetSelectedItemNumber()
        if frame != self.frame:
            self.frame = frame
            self.frameChanged.emit()

    def _onEdit(self, caller: Any = None, event: Any = None) -> None:
        self._prediction = None
        # Noted now: another frame may be shown when the timer tells.
        self._edited.add(self.browser.GetSelectedItemNumber())
        self._editTimer.start()

    def _tellEdit(self) -> None:
        self.editedFrames = frozenset(self._edited)
        self._edited.clear()
        self.masksEdited.emit()
