"""Marking the spine with one click in a slice view."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ..scene.spine import SPINE, addSpineNode, rememberFrame, removeSpine, setSpine, spineNode, spineOf
from .signals import Signal


class SpineMarker(VTKObservationMixin):
    """Lets the user place, drag and remove the spine of a clip.

    changed         the spine was placed, moved or removed
    placingChanged  the next click in a view does, or no longer does, place the spine
    """

    def __init__(self, currentFrame: Any) -> None:
        """``currentFrame()`` tells the frame that is shown."""
        VTKObservationMixin.__init__(self)
        self.changed = Signal()
        self.placingChanged = Signal()
        self._currentFrame = currentFrame
        self._sequence: Any = None
        self._node: Any = None
        self._placing = False
        self._before: Any = None

    @property
    def isPlacing(self) -> bool:
        """Whether the next click places the spine."""
        return self._placing

    @property
    def node(self) -> Any:
        """The markups node, or None."""
        return self._node

    @property
    def spine(self) -> Any:
        """((row, column), frame) of the followed clip, or None."""
        return spineOf(self._sequence) if self._sequence is not None and not self._placing else None

    def follow(self, sequence: Any) -> None:
        """Work on this clip, or on none."""
        if sequence is not self._sequence:
            self.stop()
            self._sequence = sequence
        self._observe(spineNode(sequence) if sequence is not None else None)

    def start(self) -> None:
        """Let the next click in a view place the spine."""
        if self._sequence is None or self._placing:
            return
        self._before = spineOf(self._sequence)
        self._placing = True
        self._observe(addSpineNode(self._sequence))
        application = slicer.app.applicationLogic()
        selection, interaction = application.GetSelectionNode(), application.GetInteractionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(self._node.GetID())
        interaction.SwitchToSinglePlaceMode()
        self.addObserver(interaction, interaction.InteractionModeChangedEvent, self._onMode)
        self.placingChanged.emit()

    def stop(self) -> None:
        """End placing; the spine is where it was before, if no click came."""
        if not self._placing:
            return
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self._endPlacing()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        if self._node is None or self._node.GetNumberOfDefinedControlPoints() == 0:
            self._restore()
        self.placingChanged.emit()

    def remove(self) -> None:
        """Take the mark away."""
        self.stop()
        self._observe(None)
        if self._sequence is not None:
            removeSpine(self._sequence)
        self.changed.emit()

    def forget(self) -> None:
        """The node is being removed by somebody else."""
        if self._placing:
            self._endPlacing()
            self.placingChanged.emit()
        self._observe(None)
        if self._sequence is not None:
            self._sequence.RemoveNodeReferenceIDs(SPINE)
        self.changed.emit()

    def cleanup(self) -> None:
        """Let go of everything."""
        self.stop()
        self._sequence = self._node = None
        self.removeObservers()

    def _restore(self) -> None:
        self._observe(None)
        if self._before is None:
            removeSpine(self._sequence)
        else:
            (row, column), frame = self._before
            self._observe(setSpine(self._sequence, row, column, frame))

    def _endPlacing(self) -> None:
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        self.removeObserver(interaction, interaction.InteractionModeChangedEvent, self._onMode)
        self._placing = False

    def _observe(self, node: Any) -> None:
        if node is self._node:
            return
        events = (
            slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent,
            slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent,
            slicer.vtkMRMLMarkupsNode.PointRemovedEvent,
        )
        handlers = (self._onPlaced, self._onDragged, self._onRemoved)
        for event, handler in zip(events, handlers, strict=True):
            if self._node is not None:
                self.removeObserver(self._node, event, handler)
            if node is not None:
                self.addObserver(node, event, handler)
        self._node = node

    def _onPlaced(self, caller: Any = None, event: Any = None) -> None:
        if not self._placing:
            return
        rememberFrame(self._sequence, self._currentFrame())
        self.stop()
        self.changed.emit()

    def _onDragged(self, caller: Any = None, event: Any = None) -> None:
        if not self._placing:
            rememberFrame(self._sequence, self._currentFrame())
            self.changed.emit()

    def _onRemoved(self, caller: Any = None, event: Any = None) -> None:
        if not self._placing:
            self.changed.emit()

    def _onMode(self, caller: Any = None, event: Any = None) -> None:
        """The user pressed Escape or chose another mouse mode."""
        if caller.GetCurrentInteractionMode() != caller.Place:
            self.stop()
