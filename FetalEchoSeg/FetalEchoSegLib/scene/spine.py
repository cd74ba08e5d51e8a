"""The spine of a clip: one point that somebody clicked, from which the cardiac axis is measured."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..errors import InvalidRequest
from .cine_nodes import cineSequence

SPINE = "FetalEcho.Spine"
_FRAME = "FetalEcho.SpineFrame"


def spineNode(sequence: Any) -> Any:
    """Markups node with the spine of a clip, or None."""
    return cineSequence(sequence).GetNodeReference(SPINE)


def addSpineNode(sequence: Any) -> Any:
    """Markups node for the spine of a clip, without a point at first; the one that is there already is emptied."""
    sequence = cineSequence(sequence)
    node = sequence.GetNodeReference(SPINE)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Spine")
        node.CreateDefaultDisplayNodes()
        sequence.SetNodeReferenceID(SPINE, node.GetID())
    node.RemoveAllControlPoints()
    # Slicer's own limits: a second click neither adds a point nor goes on placing.
    node.SetMaximumNumberOfControlPoints(1)
    node.SetControlPointLabelFormat("%N")
    return node


def setSpine(sequence: Any, row: float, column: float, frame: int = 0) -> Any:
    """Mark the spine of a clip at (row, column) in pixels of ``frame``; returns the markups node.

    Raises InvalidRequest when the point or the frame lies outside the clip.
    """
    sequence = cineSequence(sequence)
    columns, rows, _ = sequence.GetNthDataNode(0).GetImageData().GetDimensions()
    count = sequence.GetNumberOfDataNodes()
    if not 0 <= frame < count:
        raise InvalidRequest(f"Frame {frame} is outside '{sequence.GetName()}', which has frames 0 to {count - 1}.")
    if not (0 <= row < rows and 0 <= column < columns):
        raise InvalidRequest(f"The spine at row {row:g}, column {column:g} is outside the {columns} × {rows} image.")
    node = addSpineNode(sequence)
    matrix = vtk.vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    node.AddControlPoint(vtk.vtkVector3d(*matrix.MultiplyPoint((column, row, 0.0, 1.0))[:3]), "Spine")
    rememberFrame(sequence, frame)
    return node


def rememberFrame(sequence: Any, frame: int) -> None:
    """Record that the point lies where the spine is in ``frame``."""
    node = spineNode(sequence)
    if node is not None:
        node.SetAttribute(_FRAME, str(frame))


def spineOf(sequence: Any) -> tuple[tuple[float, float], int] | None:
    """((row, column) in pixels, frame) of the spine of a clip; None when it is not marked, or outside the image."""
    sequence = cineSequence(sequence)
    node = sequence.GetNodeReference(SPINE)
    if node is None or node.GetNumberOfDefinedControlPoints() < 1:
        return None
    position = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(0, position)
    matrix = vtk.vtkMatrix4x4()
    image = sequence.GetNthDataNode(0)
    image.GetRASToIJKMatrix(matrix)
    column, row = matrix.MultiplyPoint((*position, 1.0))[:2]
    columns, rows, _ = image.GetImageData().GetDimensions()
    if not (-0.5 <= row < rows and -0.5 <= column < columns):
        return None
    frame = int(node.GetAttribute(_FRAME) or 0)
    return (float(row), float(column)), min(max(frame, 0), sequence.GetNumberOfDataNodes() - 1)


def removeSpine(sequence: Any) -> None:
    """Take the mark away; nothing happens without one."""
    sequence = cineSequence(sequence)
    node = sequence.GetNodeReference(SPINE)
    sequence.RemoveNodeReferenceIDs(SPINE)
    if node is not None:
        slicer.mrmlScene.RemoveNode(node)
