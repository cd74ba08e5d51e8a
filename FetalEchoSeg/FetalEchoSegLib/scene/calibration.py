"""Giving a clip of the scene its pixel size, with everything that lies on the clip."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..errors import InvalidRequest
from ..readers.common import user_spacing
from .cine_nodes import CALIBRATED, CALIBRATION, cineFromSequence, cineSequence, frameMatrix
from .segmentation_nodes import CINE_REFERENCE, shareProxies
from .spine import spineNode


def calibrateClip(node: Any, spacing: tuple[float, float], source: str) -> None:
    """Set the pixel size of a clip (browser or sequence), and move its masks and its spine mark along.

    spacing  (row, column) in mm
    source   who says so, for the report ("user: 10 mm between two points")
    The frames and masks keep their pixels. The Segment Editor's undo states still have the former pixel size: they
    are dropped when another frame is shown.
    Raises InvalidRequest, and changes nothing, for an impossible size.
    """
    sequence = cineSequence(node)
    spacing = user_spacing(spacing)
    before = vtk.vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(before)
    after = frameMatrix(spacing)
    change = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(before, change)
    vtk.vtkMatrix4x4.Multiply4x4(after, change, change)

    volumes = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
    browsers = [
        browser
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
        if browser.GetProxyNode(sequence) is not None
    ]
    for volume in (*volumes, *(browser.GetProxyNode(sequence) for browser in browsers)):
        volume.SetIJKToRASMatrix(after)
    for masks in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        if masks.GetNodeReference(CINE_REFERENCE) is sequence:
            for index in range(masks.GetNumberOfDataNodes()):
                _rescaleMasks(masks.GetNthDataNode(index), change, volumes[0])
    spine = spineNode(sequence)
    if spine is not None:
        for point in range(spine.GetNumberOfControlPoints()):
            position = change.MultiplyPoint((*spine.GetNthControlPointPosition(point), 1.0))
            spine.SetNthControlPointPosition(point, *position[:3])
    sequence.SetAttribute(CALIBRATED, "yes")
    sequence.SetAttribute(CALIBRATION, source)
    for browser in browsers:
        shareProxies(browser)


def spacingFromDistance(
    node: Any, first: tuple[float, float, float], second: tuple[float, float, float], millimeters: float
) -> tuple[float, float]:
    """Pixel size (row, column) in mm of a clip on which two points (RAS) are ``millimeters`` apart.

    Square pixels are assumed while the size is unknown; a known ratio of row to column size is kept.
    Raises InvalidRequest when the points coincide or the distance is none.
    """
    sequence = cineSequence(node)
    if not millimeters > 0:
        raise InvalidRequest("Enter the known distance between the two points in mm; it must be more than 0.")
    row, column = cineFromSequence(sequence).spacing or (1.0, 1.0)
    matrix = vtk.vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    matrix.Invert()
    ends = [matrix.MultiplyPoint((*point, 1.0)) for point in (first, second)]
    length = (((ends[0][0] - ends[1][0]) * column) ** 2 + ((ends[0][1] - ends[1][1]) * row) ** 2) ** 0.5
    if length < 3 * min(row, column):
        raise InvalidRequest("The two points are at the same place: click both ends of a known distance.")
    factor = millimeters / length
    return row * factor, column * factor


def _rescaleMasks(item: Any, change: vtk.vtkMatrix4x4, frame: Any) -> None:
    """Move the masks of one frame by ``change`` (RAS to RAS), and refer them to the frame's new grid."""
    segmentation = item.GetSegmentation()
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    layers = {}
    for number in range(segmentation.GetNumberOfSegments()):
        layer = segmentation.GetNthSegment(number).GetRepresentation(name)
        if layer is not None:
            layers[id(layer)] = layer
    for layer in layers.values():
        matrix = vtk.vtkMatrix4x4()
        layer.GetImageToWorldMatrix(matrix)
        vtk.vtkMatrix4x4.Multiply4x4(change, matrix, matrix)
        layer.SetImageToWorldMatrix(matrix)
    item.SetReferenceImageGeometryParameterFromVolumeNode(frame)
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)
