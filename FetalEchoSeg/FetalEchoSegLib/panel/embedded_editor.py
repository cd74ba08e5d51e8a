"""Slicer's Segment Editor inside the panel, kept on the frame that the clip shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

CLICKS = "SAM-Med2D"
EFFECTS = (CLICKS, "Paint", "Erase", "Scissors", "Islands", "Smoothing")
_NODE_TAG = "FetalEchoSeg"
_UNDO_STATES = 10


class EmbeddedEditor(VTKObservationMixin):
    """A qMRMLSegmentEditorWidget with a node of its own, which edits what it is told to.

    It takes keys and mouse only between ``take`` and ``release``: the core Segment Editor has the same keys, and two of
    one kind disable each other.
    """

    def __init__(self, container: Any, selectionChanged: Callable[[], Any]) -> None:
        """Make the widget in ``container``; ``selectionChanged`` tells that another segment or effect is chosen."""
        VTKObservationMixin.__init__(self)
        self._selectionChanged = selectionChanged
        self._selection: tuple[str, str] = ("", "")
        self._node: Any = None
        self._hasInput = False
        self.widget = slicer.qMRMLSegmentEditorWidget()
        self.widget.setObjectName("refineEditor")
        self.widget.setMaximumNumberOfUndoStates(_UNDO_STATES)
        self.widget.setEffectNameOrder(EFFECTS)
        self.widget.unorderedEffectsVisible = False  # the one property without a setter in Slicer
        # Structures, clip and masks are chosen elsewhere in the panel, and the clip is in the views already.
        self.widget.setSegmentationNodeSelectorVisible(False)
        self.widget.setSourceVolumeNodeSelectorVisible(False)
        self.widget.setAddRemoveSegmentButtonsVisible(False)
        self.widget.setShow3DButtonVisible(False)
        self.widget.setSwitchToSegmentationsButtonVisible(False)
        self.widget.setMaskingSectionVisible(False)
        self.widget.setAutoShowSourceVolumeNode(False)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._table = slicer.util.findChild(self.widget, "SegmentsTableView")
        self._table.setStatusColumnVisible(False)
        layout = qt.QVBoxLayout(container)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.widget)
        self._factory = _effectFactory()
        self._factory.connect("effectRegistered(QString)", self._onEffectRegistered)

    @property
    def segmentId(self) -> str:
        """The selected segment, "" for none."""
        return self._selection[0]

    @property
    def effectName(self) -> str:
        """The active effect, "" for none."""
        return self._selection[1]

    # what is edited

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Edit ``segmentation`` on ``volume``; the choice of segment and effect stays where it can."""
        self._follow(_editorNode())
        if self.widget.segmentationNode() is not segmentation:
            self.widget.setSegmentationNode(segmentation)
        if self.widget.sourceVolumeNode() is not volume:
            self.widget.setSourceVolumeNode(volume)
        self._onNodeModified()

    def editNothing(self) -> None:
        """Let go of the nodes; safe while the scene closes."""
        if self._node is None:
            return
        self.widget.setActiveEffect(None)
        self.widget.setSegmentationNode(None)
        self.widget.setSourceVolumeNode(None)
        self.widget.removeViewObservations()
        self._follow(None)

    def setHiddenSegments(self, segmentIds: Iterable[str]) -> None:
        """Leave these out of the list of segments."""
        self._table.setHideSegments(sorted(segmentIds))

    def use(self, effect: str, segmentId: str) -> None:
        """Select a segment ("" for the present one), let it be seen, and activate an effect if this Slicer has it."""
        if segmentId:
            self.widget.setCurrentSegmentID(segmentId)
            display = self.widget.segmentationNode().GetDisplayNode()
            if not display.GetSegmentVisibility(segmentId):
                display.SetSegmentVisibility(segmentId, True)
        if effect in self.widget.availableEffectNames():
            self.widget.setActiveEffectByName(effect)

    # keys and mouse

    def take(self) -> None:
        """Let the editor's keys work; its effects get the mouse when they are activated."""
        if not self._hasInput:
            self._hasInput = True
            self.widget.installKeyboardShortcuts()

    def release(self) -> None:
        """Give keys and mouse back."""
        if self._node is not None:
            self.widget.setActiveEffect(None)
            self.widget.removeViewObservations()
        if self._hasInput:
            self._hasInput = False
            self.widget.uninstallKeyboardShortcuts()

    def cleanup(self) -> None:
        """Let go of everything."""
        self.release()
        self.editNothing()
        self._factory.disconnect("effectRegistered(QString)", self._onEffectRegistered)

    def _follow(self, node: Any) -> None:
        if node is self._node:
            return
        self.removeObservers()
        self._node = node
        # Without a node the widget does not take up an effect that a scene was saved with.
        self.widget.setMRMLSegmentEditorNode(node)
        if node is not None:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
        self._onNodeModified()

    def _onNodeModified(self, caller: Any = None, event: Any = None) -> None:
        node = self._node
        selection = ("", "")
        if node is not None and node.GetSegmentationNode() is not None:
            selection = (node.GetSelectedSegmentID() or "", node.GetActiveEffectName() or "")
        if selection != self._selection:
            self._selection = selection
            self._selectionChanged()

    def _onEffectRegistered(self, name: str = "") -> None:
        self.widget.updateEffectList()


def _effectFactory() -> Any:
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    # The static function can only be called on an object.
    return effects.qSlicerSegmentEditorEffectFactory().instance()


def _editorNode() -> Any:
    """The editor's node, the same until the scene is closed; core and other modules have their own."""
    node = slicer.mrmlScene.GetSingletonNode(_NODE_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(_NODE_TAG)
        node = slicer.mrmlScene.AddNode(node)
    return node
