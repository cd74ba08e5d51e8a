"""Nodes that hold results of a segmentation: found again by reference, so that a second time updates them in place.

They refer to the mask sequence, not the other way round: a change of the sequence means that its masks were changed.
"""

from __future__ import annotations

from typing import Any

import slicer

_MASKS = "FetalEcho.Masks"
_ROLE = "FetalEcho.Result"
_CLASSES = ("vtkMRMLTableNode", "vtkMRMLPlotSeriesNode", "vtkMRMLPlotChartNode")


def resultNode(masks: Any, role: str, className: str, name: str, hidden: bool = False) -> Any:
    """The node that holds ``role`` of ``masks``, made with ``name`` at the first time.

    hidden  not offered in node selectors: helpers of a chart
    """
    node = existingResultNode(masks, role)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(className, name)
        node.SetHideFromEditors(hidden)
        node.SetAttribute(_ROLE, role)
        node.SetNodeReferenceID(_MASKS, masks.GetID())
    return node


def existingResultNode(masks: Any, role: str) -> Any:
    """The node that holds ``role`` of ``masks``, or None."""
    return next((node for node in resultNodes(masks) if node.GetAttribute(_ROLE) == role), None)


def removeResultNode(masks: Any, role: str) -> None:
    """Remove the node that holds ``role`` from the scene, if there is one."""
    node = existingResultNode(masks, role)
    if node is not None:
        slicer.mrmlScene.RemoveNode(node)


def resultNodes(masks: Any) -> list[Any]:
    """All nodes that hold results of ``masks``."""
    found = [node for name in _CLASSES for node in slicer.util.getNodesByClass(name)]
    return [node for node in found if node.GetNodeReferenceID(_MASKS) == masks.GetID()]


def removeResultNodes(masks: Any) -> None:
    """Remove all nodes that hold results of ``masks``; for when it is removed itself."""
    for node in resultNodes(masks):
        slicer.mrmlScene.RemoveNode(node)
