"""Two clicks in a slice view that mark a known distance."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .signals import Signal


class Ruler(VTKObservationMixin):
    """A line that the user places with two clicks; it lives while it is used and is never saved.

    changed  a point was placed or moved, or the line is gone
    """

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.changed = Signal()
        self._node: Any = None

    @property
    def points(self) -> tuple[tuple[float, ...], ...]:
        """The points placed so far, none to two, RAS in mm as the views have them now."""
        if self._node is None:
            return ()
        count = self._node.GetNumberOfDefinedControlPoints()
        return tuple(tuple(self._node.GetNthControlPointPosition(index)) for index in range(count))

    def start(self) -> None:
        """Let the next two clicks in a view place the line; a former line goes away."""
        self.stop()
        node = slicer.vtkMRMLMarkupsLineNode()
        node.SetName(_("Known distance"))
        node.SetSaveWithScene(False)
        self._node = slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        # Its length in "mm" means nothing before the clip is calibrated.
        node.GetDisplayNode().SetPropertiesLabelVisibility(False)
        node.GetDisplayNode().SetSaveWithScene(False)
        for event in (node.PointPositionDefinedEvent, node.PointModifiedEvent, node.PointRemovedEvent):
            self.addObserver(node, event, self._onPoints)
        application = slicer.app.applicationLogic()
        selection = application.GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsLineNode")
        selection.SetActivePlaceNodeID(node.GetID())
        application.GetInteractionNode().SwitchToSinglePlaceMode()

    def stop(self) -> None:
        """Take the line away."""
        if self._node is None:
            return
        node, self._node = self._node, None
        self.removeObservers()
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
        if node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)

    def _onPoints(self, caller: Any = None, event: Any = None) -> None:
        self.changed.emit()
