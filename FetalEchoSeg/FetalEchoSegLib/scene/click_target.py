"""What a click is about: which image, which frame or slice of it, which segment, and where they lie in space.

An editor shows a segmentation on a source volume. The volume is the proxy of a clip's sequence, or a volume of its own,
of which one slice is looked at. Its pixels are taken out of the scene here, so that a thread may encode them.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..anatomy import Structure
from ..errors import InvalidRequest
from ..promptable.history import Target
from .segment_pixels import structureOf

FRAMES = "frames"
_AXES = "IJK"
# Cosine of the angle between view and image axis up to which a view shows a slice of a volume (about 2 degrees).
_ALIGNED = 0.9994
# Made anew when the pixels change; gone when nobody looks at the clip any more.
_sources: weakref.WeakValueDictionary[str, PixelSource] = weakref.WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class ImagePlane:
    """A slice of pixels in space.

    shape   (rows, columns)
    matrix  (4, 4) from (column x, row y, slices off the plane, 1) to RAS of the world, in mm; x and y are 0 at the
            centre of the first pixel
    """

    shape: tuple[int, int]
    matrix: np.ndarray

    def toWorld(self, positions: np.ndarray) -> np.ndarray:
        """(N, 3) RAS in mm of (N, 2) positions (x, y)."""
        positions = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
        return positions @ self.matrix[:3, :2].T + self.matrix[:3, 3]

    def fromWorld(self, ras: np.ndarray) -> tuple[float, float, float]:
        """(x, y, slices off the plane) of a point."""
        x, y, off, _ = np.linalg.solve(self.matrix, (*ras, 1.0))
        return float(x), float(y), float(off)


@dataclass(frozen=True, eq=False)
class PixelSource:
    """Frames of a clip or slices of a volume, for the Refiner and its thread.

    volume    id of the sequence or volume, and which of its slices
    modified  when the pixels changed last
    pixels    one array a frame, in the scene's own memory: (H, W) or (H, W, C) of any scalar type
    """

    volume: str
    modified: int
    pixels: list[np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def frame(self, index: int) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8."""
        from ..promptable.frames import as_frame

        return np.ascontiguousarray(as_frame(self.pixels[index]))


@dataclass(frozen=True, eq=False)
class ClickTarget:
    """One segment in one frame of a clip, or in one slice of a volume.

    segmentation  the node that shows it                 segmentId  of the segment
    plane         where its pixels lie
    source        the pixels                             frame      which of the source's
    owner         node that keeps the prompts: the sequence of masks, or the segmentation
    key           the segment's place among the owner's prompts
    masks         the sequence of masks, None for a segmentation that is in none
    item          the frame's number in ``masks``
    structure     which of the fourteen it is, None for any other
    """

    segmentation: Any
    segmentId: str
    plane: ImagePlane
    source: PixelSource
    frame: int
    owner: Any
    key: Target
    masks: Any = None
    item: int = 0
    structure: Structure | None = None
    browser: Any = None
    shownItem: int = 0

    @property
    def segment(self) -> Any:
        """The vtkSegment as it is now; None when it was removed."""
        return self.segmentation.GetSegmentation().GetSegment(self.segmentId)

    @property
    def title(self) -> str:
        """The structure's short name, or the segment's own."""
        if self.structure is not None and self.segment.GetName() == self.structure.info.title:
            return self.structure.info.short
        return self.segment.GetName()

    def of(self, segmentId: str) -> ClickTarget:
        """Another segment in the same place."""
        segment = self.segmentation.GetSegmentation().GetSegment(segmentId)
        structure = structureOf(segmentId, segment) if segment is not None else None
        return replace(self, segmentId=segmentId, key=self.key._replace(segment=segmentId), structure=structure)

    def isSame(self, other: ClickTarget | None) -> bool:
        """Whether both are the same segment of the same frame or slice, on the same pixels."""
        return (
            other is not None
            and other.owner is self.owner
            and other.key == self.key
            and (other.source.volume, other.source.modified) == (self.source.volume, self.source.modified)
        )

    def isShown(self) -> bool:
        """Whether its nodes are in the scene and its frame is the one that they show."""
        if self.segmentation.GetScene() is None or self.owner.GetScene() is None or self.segment is None:
            return False
        if self.browser is None:
            return True
        return self.browser.GetScene() is not None and self.browser.GetSelectedItemNumber() == self.shownItem


def targetOfEditor(editorNode: Any, sliceNode: Any = None) -> ClickTarget:
    """What a click means in an editor whose vtkMRMLSegmentEditorNode this is; see ``clickTarget``."""
    if editorNode is None or editorNode.GetScene() is None:
        raise InvalidRequest("There is no scene to click in: wait until it is loaded.")
    return clickTarget(
        editorNode.GetSegmentationNode(),
        editorNode.GetSelectedSegmentID() or "",
        editorNode.GetSourceVolumeNode(),
        sliceNode,
    )


def clickTarget(segmentation: Any, segmentId: str, volume: Any, sliceNode: Any = None) -> ClickTarget:
    """What a click means with this segment and source volume.

    sliceNode  the view, which tells the slice of a volume that has several
    Raises InvalidRequest with what is missing: a segmentation, a segment, an image, a view along the volume's slices.
    """
    if segmentation is None or segmentation.GetScene() is None:
        raise InvalidRequest("Choose a segmentation to click in.")
    if volume is None or volume.GetScene() is None:
        raise InvalidRequest("Choose a source volume: clicks are answered from its pixels.")
    segment = segmentation.GetSegmentation().GetSegment(segmentId) if segmentId else None
    if segment is None:
        raise InvalidRequest("Select a segment first: a click belongs to one.")
    _requireLinear(segmentation)
    imageToWorld = _imageToWorld(volume)
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        raise InvalidRequest(f"'{volume.GetName()}' has no image: load it again.")

    browser, sequence, frame = _shownItem(volume)
    if sequence is not None and image.GetDimensions()[2] == 1 and frame >= 0:
        axis, index = 2, 0
        source = sequencePixels(sequence)
        space = FRAMES
    else:
        axis, index = _sliceShown(volume, image, imageToWorld, sliceNode)
        frame = index
        source = _volumePixels(volume, image, axis)
        space = f"slices {_AXES[axis]}"
        if sequence is not None:  # a volume for every time
            space = f"{space}, frame {browser.GetSelectedItemNumber()}"
    maskBrowser, masks, item = _shownItem(segmentation)
    browser = maskBrowser if browser is None else browser
    return ClickTarget(
        segmentation=segmentation,
        segmentId=segmentId,
        plane=_plane(imageToWorld, image.GetDimensions(), axis, index),
        source=source,
        frame=frame,
        owner=segmentation if masks is None else masks,
        key=Target(space, frame, segmentId),
        masks=masks,
        item=item,
        structure=structureOf(segmentId, segment),
        browser=browser,
        shownItem=-1 if browser is None else browser.GetSelectedItemNumber(),
    )


def worldMatrix(node: Any, local: vtk.vtkMatrix4x4) -> np.ndarray:
    """(4, 4) ``local`` and then the node's transform to the world; raises InvalidRequest for a non-linear one."""
    transform = node.GetParentTransformNode()
    matrix = slicer.util.arrayFromVTKMatrix(local)
    if transform is None:
        return matrix
    _requireLinear(node)
    toWorld = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(toWorld)
    return slicer.util.arrayFromVTKMatrix(toWorld) @ matrix


def _requireLinear(node: Any) -> None:
    transform = node.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise InvalidRequest(
            f"'{node.GetName()}' is warped by a non-linear transform: harden the transform or remove it to click."
        )


def sequencePixels(sequence: Any) -> PixelSource:
    """Frames of an image sequence. Raises InvalidRequest when one has no image or another size than the first."""
    images = [sequence.GetNthDataNode(index).GetImageData() for index in range(sequence.GetNumberOfDataNodes())]
    modified = max((image.GetMTime() for image in images if image is not None), default=0)
    known = _sources.get(sequence.GetID())
    if known is not None and (known.modified, len(known)) == (modified, len(images)):
        return known
    pixels = []
    for number, image in enumerate(images):
        if image is None or image.GetPointData().GetScalars() is None:
            raise InvalidRequest(f"Frame {number} of '{sequence.GetName()}' has no image: load the clip again.")
        frame = _voxels(image)
        if len(frame) != 1 or (pixels and frame.shape[1:] != pixels[0].shape):
            raise InvalidRequest(f"The frames of '{sequence.GetName()}' differ in size: clicks need one size.")
        pixels.append(frame[0])
    _sources[sequence.GetID()] = source = PixelSource(sequence.GetID(), modified, pixels)
    return source


def _volumePixels(volume: Any, image: Any, axis: int) -> PixelSource:
    voxels = np.moveaxis(_voxels(image), 2 - axis, 0)
    return PixelSource(f"{volume.GetID()} {_AXES[axis]}", image.GetMTime(), list(voxels))


def _voxels(image: Any) -> np.ndarray:
    """(K, J, I) or (K, J, I, C) in the memory of the image."""
    scalars = image.GetPointData().GetScalars()
    columns, rows, slices = image.GetDimensions()
    components = scalars.GetNumberOfComponents()
    shape = (slices, rows, columns) if components == 1 else (slices, rows, columns, components)
    return vtk_to_numpy(scalars).reshape(shape)


def _imageToWorld(volume: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return worldMatrix(volume, matrix)


def _plane(imageToWorld: np.ndarray, dimensions: tuple[int, int, int], axis: int, index: int) -> ImagePlane:
    across, down = (a for a in range(3) if a != axis)
    toImage = np.zeros((4, 4))
    toImage[across, 0] = toImage[down, 1] = toImage[axis, 2] = toImage[3, 3] = 1
    toImage[axis, 3] = index
    return ImagePlane((dimensions[down], dimensions[across]), imageToWorld @ toImage)


def _sliceShown(volume: Any, image: Any, imageToWorld: np.ndarray, sliceNode: Any) -> tuple[int, int]:
    """Axis and number of the slice of a volume that a view shows."""
    dimensions = image.GetDimensions()
    thin = [axis for axis in (2, 1, 0) if dimensions[axis] == 1]
    if thin:  # an image: its only slice, however the view cuts it
        return thin[0], 0
    if sliceNode is None:
        raise InvalidRequest(f"'{volume.GetName()}' has many slices: click in a slice view.")
    view = slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS())
    normals = np.linalg.inv(imageToWorld)[:3, :3]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    viewNormal = np.cross(view[:3, 0], view[:3, 1])
    along = np.abs(normals @ (viewNormal / np.linalg.norm(viewNormal)))
    axis = int(along.argmax())
    if along[axis] < _ALIGNED:
        raise InvalidRequest(
            f"This view cuts '{volume.GetName()}' at an angle: rotate it to the volume's planes to click in it."
        )
    middle = view @ (*(0.5 * size for size in sliceNode.GetDimensions()[:2]), 0.0, 1.0)
    index = int(np.floor((np.linalg.inv(imageToWorld) @ middle)[axis] + 0.5))
    if not 0 <= index < dimensions[axis]:
        raise InvalidRequest(f"This view shows no slice of '{volume.GetName()}': move it into the volume.")
    return axis, index


def _shownItem(proxy: Any) -> tuple[Any, Any, int]:
    """Browser and sequence of which a node shows an item, and the number of that; (None, None, 0) for other nodes."""
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(proxy)
    sequence = browser.GetSequenceNode(proxy) if browser is not None else None
    if sequence is None or browser.GetMasterSequenceNode() is None or browser.GetSelectedItemNumber() < 0:
        return None, None, 0
    value = browser.GetMasterSequenceNode().GetNthIndexValue(browser.GetSelectedItemNumber())
    return browser, sequence, sequence.GetItemNumberFromIndexValue(value, False)
