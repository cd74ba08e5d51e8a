"""The pixels of a segment in one image plane: read from a segmentation on any grid, and written by an editor.

Pixel centres are mapped, to the nearest one, through the transforms of both nodes. Only the editor writes, so that its
masking, its overwrite mode and its undo mean what they always do.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..anatomy import RING_UNIONS
from ..errors import InvalidRequest
from .click_target import ClickTarget, worldMatrix
from .segment_pixels import structureOf

_EPSILON = 1e-6


class Editor(Protocol):
    """A Segment Editor whose segmentation and selected segment are those of the target."""

    def selectedSegmentId(self) -> str:
        """Id of the segment that would be modified, "" for none."""
        ...

    def saveStateForUndo(self) -> None:
        """Remember the masks as they are."""
        ...

    def emptyLabelmap(self) -> Any:
        """Empty vtkOrientedImageData on the grid on which the editor works; None if there is no grid."""
        ...

    def selectedLabelmap(self) -> Any:
        """The selected segment on that grid, 1 where it is; its extent may be smaller."""
        ...

    def maskLabelmap(self) -> Any:
        """On that grid, not 0 where editing is not allowed; None where it is allowed everywhere."""
        ...

    def modify(self, labelmap: Any, mode: str) -> None:
        """Modify the selected segment: ``mode`` is "Set", "Add" or "Remove"."""
        ...


class LogicEditor:
    """An editor without a window, on Slicer's own vtkSlicerSegmentEditorLogic."""

    def __init__(self, editorNode: Any) -> None:
        """``editorNode`` is the vtkMRMLSegmentEditorNode that names segmentation, volume, segment and masking."""
        self.node = editorNode
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetSegmentEditorNode(editorNode)

    def selectedSegmentId(self) -> str:
        """See ``Editor``."""
        return self.node.GetSelectedSegmentID() or ""

    def saveStateForUndo(self) -> None:
        """See ``Editor``."""
        self.logic.SaveStateForUndo()

    def emptyLabelmap(self) -> Any:
        """See ``Editor``."""
        return self.logic.GetModifierLabelmap() if self.logic.ResetModifierLabelmapToDefault() else None

    def selectedLabelmap(self) -> Any:
        """See ``Editor``."""
        return self.logic.GetSelectedSegmentLabelmap() if self.logic.UpdateSelectedSegmentLabelmap() else None

    def maskLabelmap(self) -> Any:
        """See ``Editor``."""
        if self.node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere:
            return None
        return self.logic.GetMaskLabelmap() if self.logic.UpdateMaskLabelmap() else None

    def modify(self, labelmap: Any, mode: str) -> None:
        """See ``Editor``."""
        modification = getattr(self.logic, f"ModificationMode{mode}")
        segmentation = self.node.GetSegmentationNode()
        self.logic.ModifySegmentByLabelmap(segmentation, self.selectedSegmentId(), labelmap, modification, True, False)


def segmentMask(target: ClickTarget) -> np.ndarray:
    """(H, W) bool: the segment's own pixels in the target's plane."""
    return _read(target, [target.segmentId])


def contentMask(target: ClickTarget) -> np.ndarray:
    """(H, W) bool: pixels of other segments that lie inside by definition; none unless the segment is a ring.

    The masks are one exclusive map: the whole heart is the heart without its chambers, the thorax is without the heart.
    """
    inside = set(RING_UNIONS.get(target.structure, ())) - {target.structure}
    segmentation = target.segmentation.GetSegmentation()
    ids = (
        [segmentation.GetNthSegmentID(number) for number in range(segmentation.GetNumberOfSegments())] if inside else []
    )
    return _read(target, [i for i in ids if structureOf(i, segmentation.GetSegment(i)) in inside])


def writeMask(editor: Editor, target: ClickTarget, mask: np.ndarray) -> None:
    """Make ``mask``, (H, W) bool, the segment's pixels in the target's plane, as far as the editor's masking allows.

    One undo step. Raises InvalidRequest, with nothing changed, when the segmentation's grid has no pixels there.
    """
    labelmap = editor.emptyLabelmap()
    if labelmap is None:
        raise InvalidRequest(f"'{target.segmentation.GetName()}' has no image grid: specify its geometry first.")
    place, covered, values = _onGrid(target, labelmap, mask)
    if not covered.any():
        raise InvalidRequest(
            f"'{target.segmentation.GetName()}' does not reach this image: specify its geometry from the source volume."
        )
    voxels = _voxels(labelmap)
    wholeGrid = covered.size == voxels.size and covered.all()
    if wholeGrid:
        voxels[place] = values
        labelmap.Modified()
        editor.saveStateForUndo()
        editor.modify(labelmap, "Set")
        return
    # "Set" would write the segment's other slices anew as well, over what overlaps it there.
    before = np.zeros(voxels.shape, dtype=bool)
    _paste(before, editor.selectedLabelmap(), labelmap)
    removed = before[place] & covered & ~values
    locked = editor.maskLabelmap()
    if locked is not None:
        isLocked = np.zeros(voxels.shape, dtype=bool)
        _paste(isLocked, locked, labelmap)
        removed &= ~isLocked[place]
    editor.saveStateForUndo()
    for changed, mode in ((removed, "Remove"), (values, "Add")):
        if changed.any():
            voxels[...] = 0
            voxels[place] = changed
            labelmap.Modified()
            editor.modify(labelmap, mode)


def _read(target: ClickTarget, segmentIds: list[str]) -> np.ndarray:
    """(H, W) bool: pixels of any of these segments."""
    found = np.zeros(target.plane.shape, dtype=bool)
    segmentation = target.segmentation.GetSegmentation()
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    layers: dict[int, tuple[Any, list[int]]] = {}
    for segmentId in segmentIds:
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation(representation) if segment is not None else None
        if image is not None and not image.IsEmpty():
            layers.setdefault(id(image), (image, []))[1].append(segment.GetLabelValue())
    for image, labels in layers.values():
        toLayer = np.linalg.inv(_toWorld(target, image)) @ target.plane.matrix
        extent = np.array(image.GetExtent()).reshape(3, 2)
        inside, (i, j, k) = _nearest(toLayer, target.plane.shape, extent)
        values = _voxels(image)[k, j, i]
        isOne = values == labels[0] if len(labels) == 1 else np.isin(values, labels)
        found |= isOne & inside
    return found


def _nearest(matrix: np.ndarray, shape: tuple[int, int], extent: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Whether each pixel of a plane lies in a voxel, and in which, counted from the extent's start.

    Everything broadcasts to (H, W); where the grids are parallel, single rows and columns are enough.
    """
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    inside: Any = True
    indices = []
    for (x, y, _, start), (first, last) in zip(matrix[:3], extent, strict=True):
        place = np.full((1, 1), start)
        for step, counts in ((x, columns), (y, rows)):
            if abs(step) > _EPSILON:
                place = place + step * counts
        index = np.floor(place + 0.5 + _EPSILON).astype(np.intp)
        inside = inside & (index >= first) & (index <= last)
        indices.append(np.clip(index, first, last) - first)
    return inside, indices


def _onGrid(target: ClickTarget, grid: Any, mask: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray, np.ndarray]:
    """Where a plane lies in a grid of voxels (k, j, i): a block, its voxels that belong to the plane, and the mask."""
    toPlane = np.linalg.inv(target.plane.matrix) @ _toWorld(target, grid)
    # A voxel thicker than the plane's slices belongs to every slice that its middle slab meets.
    thickness = max(1.0, float(np.abs(toPlane[2, :3]).sum()))
    extent = np.array(grid.GetExtent()).reshape(3, 2)
    rows, columns = target.plane.shape
    corners = np.array(np.meshgrid([-0.5, columns - 0.5], [-0.5, rows - 0.5], [-thickness, thickness], [1.0]))
    corners = np.linalg.inv(toPlane) @ corners.reshape(4, -1)
    low = np.maximum(np.floor(corners[:3].min(1)), extent[:, 0]).astype(int)
    high = np.minimum(np.ceil(corners[:3].max(1)), extent[:, 1]).astype(int)
    high = np.maximum(high, low - 1)
    block = tuple(slice(a - first, b + 1 - first) for a, b, first in zip(low, high, extent[:, 0], strict=True))
    counts = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    i, j, k = counts[0][None, None, :], counts[1][None, :, None], counts[2][:, None, None]
    places = []
    for row in toPlane[:3]:
        place = np.full((1, 1, 1), row[3])
        for step, count in zip(row[:3], (i, j, k), strict=True):
            if abs(step) > _EPSILON:
                place = place + step * count
        places.append(place)
    x, y = (np.floor(place + 0.5 + _EPSILON).astype(np.intp) for place in places[:2])
    off = np.floor(places[2] / thickness + 0.5 + _EPSILON)
    covered = (off == 0) & (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    covered = np.broadcast_to(covered, (k.size, j.size, i.size))
    values = mask[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)] & covered
    return (block[2], block[1], block[0]), covered, values


def _toWorld(target: ClickTarget, image: Any) -> np.ndarray:
    """(4, 4) from voxels of one of the segmentation's images to the world."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return worldMatrix(target.segmentation, matrix)


def _voxels(image: Any) -> np.ndarray:
    """(K, J, I) in the memory of the image."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(tuple(reversed(image.GetDimensions())))


def _paste(voxels: np.ndarray, image: Any, grid: Any) -> None:
    """Mark in ``voxels``, which lie as those of ``grid``, where an image on the same grid is not 0."""
    if image is None or image.IsEmpty():
        return
    own, whole = np.array(image.GetExtent()).reshape(3, 2), np.array(grid.GetExtent()).reshape(3, 2)
    low, high = np.maximum(own[:, 0], whole[:, 0]), np.minimum(own[:, 1], whole[:, 1])
    if (low > high).any():
        return
    to, source = (
        tuple(slice(a - first, b + 1 - first) for a, b, first in reversed(list(zip(low, high, start, strict=True))))
        for start in (whole[:, 0], own[:, 0])
    )
    voxels[to] = _voxels(image)[source] != 0
