"""Nodes that hold results of a segmentation: found again by reference, so that a second time updates them in place."""

from __future__ import annotations

from typing import Any

import slicer

_PREFIX = "FetalEcho.Result."


def resultNode(masks: Any, role: str, className: str, name: str, hidden: bool = False) -> Any:
    """The node that ``masks`` keeps under ``role``, made with ``name`` at the first time.

    hidden  not offered in node selectors: helpers of a chart
    """
    node = masks.GetNodeReference(_PREFIX + role)
    if node is None or not node.IsA(className):
        node = slicer.mrmlScene.AddNewNodeByClass(className, name)
        node.SetHideFromEditors(hidden)
        masks.SetNodeReferenceID(_PREFIX + role, node.GetID())
    return node


def existingResultNode(masks: Any, role: str) -> Any:
    """The node that ``masks`` keeps under ``role``, or None."""
    return masks.GetNodeReference(_PREFIX + role)


def removeResultNode(masks: Any, role: str) -> None:
    """Remove the node under ``role`` from the scene, if there is one."""
    node = masks.GetNodeReference(_PREFIX + role)
    masks.RemoveNodeReferenceIDs(_PREFIX + role)
    if node is not None:
        slicer.mrmlScene.RemoveNode(node)


def removeResultNodes(masks: Any) -> None:
    """Remove all nodes that hold results of ``masks``; for when it is removed itself."""
    roles: list[str] = []
    masks.GetNodeReferenceRoles(roles)
    for role in roles:
        if role.startswith(_PREFIX):
            removeResultNode(masks, role.removeprefix(_PREFIX))
