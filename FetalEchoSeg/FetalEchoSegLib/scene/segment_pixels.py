"""The fourteen segments of one segmentation, and their pixels on the grid of a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..anatomy import STRUCTURES, Structure
from .terminology import structureOfEntry, terminologyEntry

_LABEL_TAG = "FetalEcho.Label"

# Where segments overlap, the later one in this order is the label: the two rings give way to what lies inside
# them, and vessels, drawn last on an image, to nothing.
OVERLAP_ORDER: tuple[Structure, ...] = (
    Structure.THORAX,
    Structure.WHOLE_HEART,
    *(s for s in Structure if s not in (Structure.THORAX, Structure.WHOLE_HEART)),
)


def emptySegment(structure: Structure) -> Any:
    """A segment of a structure with its name, color and terminology, and no pixels."""
    info = structure.info
    segment = slicer.vtkSegment()
    segment.SetName(info.title)
    segment.SetColor(*(value / 255 for value in info.color))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminologyEntry(structure))
    segment.SetTag(_LABEL_TAG, str(int(structure)))
    return segment


def writeSegments(segmentation: Any, labels: np.ndarray, matrix: vtk.vtkMatrix4x4) -> None:
    """Give all fourteen segments one shared layer with a copy of ``labels``, cropped to what is drawn.

    labels  (H, W) uint8, values of ``Structure``
    matrix  image to world
    Segments that the user deleted are there again; one that the user added for a structure gives way to ours.
    """
    layer = croppedLayer(labels, matrix)
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation.SetSourceRepresentationName(representation)
    own = {info.segment_id for info in STRUCTURES.values()}
    ids = [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())]
    for segmentId in ids:
        if segmentId not in own and structureOf(segmentId, segmentation.GetSegment(segmentId)) is not None:
            segmentation.RemoveSegment(segmentId)
    for structure, info in STRUCTURES.items():
        segment = segmentation.GetSegment(info.segment_id)
        if segment is None:  # the user deleted it
            segmentation.AddSegment(emptySegment(structure), info.segment_id)
            segment = segmentation.GetSegment(info.segment_id)
        segment.RemoveAllRepresentations()
        segment.SetLabelValue(int(structure))
        segment.AddRepresentation(representation, layer)


def croppedLayer(labels: np.ndarray, matrix: vtk.vtkMatrix4x4) -> Any:
    """Labelmap image with a copy of (H, W) uint8 ``labels``, cropped to what is not 0.

    matrix  image to world
    """
    layer = slicer.vtkOrientedImageData()
    layer.SetImageToWorldMatrix(matrix)
    rows = np.flatnonzero(labels.any(axis=1))
    columns = np.flatnonzero(labels.any(axis=0))
    if len(rows):
        top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
        layer.SetExtent(left, right, top, bottom, 0, 0)
        cropped = labels[top : bottom + 1, left : right + 1]
        scalars = numpy_to_vtk(np.ascontiguousarray(cropped).ravel(), deep=True)
    else:
        layer.SetExtent(0, -1, 0, -1, 0, -1)
        scalars = vtk.vtkUnsignedCharArray()
    scalars.SetName("ImageScalars")
    layer.GetPointData().SetScalars(scalars)
    return layer


def readLabels(segmentation: Any, geometry: tuple[vtk.vtkMatrix4x4, int, int], labels: np.ndarray) -> None:
    """Write the segments on their (matrix, rows, columns) grid into ``labels``, (H, W) uint8 zeros."""
    layers = _layers(segmentation, *geometry)
    if len(layers) == 1:
        # One shared layer cannot overlap: a single look-up does.
        ((extent, values, structures),) = layers
        table = np.zeros(max(256, int(values.max(initial=0)) + 1), dtype=np.uint8)
        for structure, value in structures:
            table[value] = structure
        _paste(labels, extent, table[values], None)
        return
    for structure in OVERLAP_ORDER:
        for extent, values, structures in layers:
            for member, value in structures:
                if member is structure:
                    _paste(labels, extent, np.uint8(structure), values == value)


def _layers(
    segmentation: Any, matrix: vtk.vtkMatrix4x4, rows: int, columns: int
) -> list[tuple[tuple[int, ...], np.ndarray, list[tuple[Structure, int]]]]:
    """Labelmap layers on the clip's grid: extent, (rows, columns) values, and which value is which structure."""
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    members: dict[int, list[tuple[Structure, int]]] = {}
    images: dict[int, Any] = {}
    for number in range(segmentation.GetNumberOfSegments()):
        segmentId = segmentation.GetNthSegmentID(number)
        segment = segmentation.GetSegment(segmentId)
        structure = structureOf(segmentId, segment)
        if structure is None:
            continue
        image = segment.GetRepresentation(representation)
        if image is None or image.IsEmpty():
            continue
        key = id(image)
        images[key] = image
        members.setdefault(key, []).append((structure, int(segment.GetLabelValue())))
    layers = []
    for key, image in images.items():
        onGrid = _onGrid(image, matrix, rows, columns)
        extent = onGrid.GetExtent()
        values = vtk_to_numpy(onGrid.GetPointData().GetScalars())
        values = values.reshape(extent[3] - extent[2] + 1, extent[1] - extent[0] + 1)
        layers.append((extent, values, members[key]))
    return layers


def _onGrid(image: Any, matrix: vtk.vtkMatrix4x4, rows: int, columns: int) -> Any:
    """``image`` on the pixels of the clip; resampled (nearest neighbour) only if its own grid is another one."""
    own = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(own)
    same = all(abs(own.GetElement(i, j) - matrix.GetElement(i, j)) < 1e-6 for i in range(3) for j in range(4))
    extent = image.GetExtent()
    if same and extent[4] == extent[5] == 0:
        return image
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent(0, columns - 1, 0, rows - 1, 0, 0)
    reference.SetImageToWorldMatrix(matrix)
    reference.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    result = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, reference, result)
    return result


def structureOf(segmentId: str, segment: Any) -> Structure | None:
    """Structure of a segment: by our id, else by its terminology (a segment that a user added again)."""
    for structure, info in STRUCTURES.items():
        if segmentId == info.segment_id:
            return structure
    entry = vtk.mutable("")
    if segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry):
        return structureOfEntry(str(entry))
    return None


def _paste(labels: np.ndarray, extent: tuple[int, ...], values: Any, mask: np.ndarray | None) -> None:
    """Write ``values`` into the part of ``labels`` that ``extent`` covers; where ``mask``, or everywhere."""
    left, right, top, bottom = extent[:4]
    rows, columns = labels.shape
    target = labels[max(top, 0) : min(bottom + 1, rows), max(left, 0) : min(right + 1, columns)]
    # A layer may reach beyond the image after an edit at its border.
    inside = np.s_[max(-top, 0) : max(-top, 0) + target.shape[0], max(-left, 0) : max(-left, 0) + target.shape[1]]
    if mask is None:
        target[...] = values[inside]
    else:
        target[mask[inside]] = values
