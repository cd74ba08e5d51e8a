"""Cine to sequence and back.

A clip is a vtkMRMLSequenceNode of one-slice volumes with a vtkMRMLSequenceBrowserNode, as Slicer's own DICOM
ultrasound plugin makes them: index "time" in s, IJKToRAS diag(-column mm, -row mm, 1), so that an axial slice view
shows the frame upright and unmirrored. Everything the scene has no place for is a ``FetalEcho.*`` attribute of the
sequence node.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..anatomy import View
from ..cine import Cine, Origin
from ..errors import InvalidRequest, UnreadableInput

CALIBRATED = "FetalEcho.Calibrated"
CALIBRATION = "FetalEcho.Calibration"
TIMING = "FetalEcho.Timing"
VIEW = "FetalEcho.View"
NOTES = "FetalEcho.Notes"
ORIGIN_UID = "FetalEcho.OriginUid"
PATIENT_HASH = "FetalEcho.PatientHash"

# vtkMRMLSequenceNode takes two index values closer than this for the same item.
_DEFAULT_TOLERANCE = 0.001
_TIME_DIGITS = 6


def addCineToScene(cine: Cine, name: str) -> tuple[Any, Any]:
    """Put a clip in the scene; returns its sequence node and its browser node.

    The nodes use the clip's own pixels rather than a second copy of them: do not write into ``cine.frames``
    afterwards. Unknown pixel size becomes 1 mm with the attribute FetalEcho.Calibrated = "no". The path of the file
    stays out of the scene, because folders are often named after patients.
    Raises InvalidRequest when two frames are less than a microsecond apart.
    """
    indexValues = [f"{time:.{_TIME_DIGITS}f}" for time in cine.times]
    if len(set(indexValues)) < len(indexValues):
        raise InvalidRequest(f"'{name}' has frames less than one microsecond apart: check its frame times.")
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(name)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetNumericIndexValueTolerance(indexTolerance(cine.times))
    for attribute, value in _attributes(cine).items():
        sequence.SetAttribute(attribute, value)

    # Items are made without pixels, which would be copied, and get them afterwards; all items first, because each
    # further item would take longer beside items that have pixels.
    template = slicer.vtkMRMLVectorVolumeNode() if cine.is_color else slicer.vtkMRMLScalarVolumeNode()
    template.SetName(name)
    template.SetIJKToRASMatrix(frameMatrix(cine.spacing))
    if cine.is_color:
        template.SetVoxelVectorType(slicer.vtkMRMLVolumeNode.VoxelVectorTypeColorRGB)
    for indexValue in indexValues:
        sequence.SetDataNodeAtValue(template, indexValue)
    if sequence.GetNumberOfDataNodes() != len(cine):
        raise InvalidRequest(f"The scene cannot hold the {len(cine)} frame times of '{name}' apart.")
    # When the Python object of an image goes before the image itself, VTK remembers it and searches all that it
    # remembers at the next such time (9.4 to 9.6): 10 000 frames took half a minute. So they go together.
    objects: list[Any] = []
    for index in range(len(cine)):
        image = imageFromArray(cine.frame(index))
        objects += [image, image.GetPointData(), image.GetPointData().GetScalars()]
        sequence.GetNthDataNode(index).SetAndObserveImageData(image)
    sequence.AddObserver("UserEvent", _Keep(objects))

    slicer.mrmlScene.AddNode(sequence)
    return sequence, _addBrowser(cine, sequence, name)


def cineFromSequence(node: Any) -> Cine:
    """Clip of a sequence or of a browser (its master sequence).

    Also reads sequences that other modules made: those of Slicer's DICOM plugin carry no FetalEcho attributes, so
    their pixel size is trusted unless it is exactly 1 mm, Slicer's default for "not known", and times are known only
    if the index is a time. Frames are read from the scene when they are used and are not kept a second time.
    Raises InvalidRequest when the node holds something else than two-dimensional images of one size.
    """
    sequence = cineSequence(node)
    source = SequenceFrames(sequence)
    times, timing = _times(sequence)
    spacing, calibration = _spacing(sequence)
    viewName = sequence.GetAttribute(VIEW)
    firstItem = sequence.GetNthDataNode(0)
    instances = (firstItem.GetAttribute("DICOM.instanceUIDs") or "").split()
    origin = Origin(
        uid=sequence.GetAttribute(ORIGIN_UID) or (instances[0] if instances else ""),
        patient_hash=sequence.GetAttribute(PATIENT_HASH) or "",
    )
    return SequenceCine(
        source=source,
        times=times,
        timing=timing,
        spacing=spacing,
        calibration=calibration,
        view=View.parse(viewName) if viewName else None,
        origin=origin,
        notes=tuple(json.loads(sequence.GetAttribute(NOTES) or "[]")),
    )


def cineSequence(node: Any) -> Any:
    """The image sequence that ``node`` stands for: itself, or the master sequence of a browser."""
    if node is not None and node.IsA("vtkMRMLSequenceBrowserNode"):
        node = node.GetMasterSequenceNode()
    if node is None or not node.IsA("vtkMRMLSequenceNode"):
        raise InvalidRequest("Choose an ultrasound sequence: the selected node is none.")
    if node.GetNumberOfDataNodes() < 1:
        raise InvalidRequest(f"'{node.GetName()}' holds no frames: load the clip again.")
    if not node.GetNthDataNode(0).IsA("vtkMRMLScalarVolumeNode"):  # vector volumes are scalar volumes, too
        raise InvalidRequest(f"'{node.GetName()}' is not an image sequence: choose the ultrasound clip.")
    return node


class SequenceFrames:
    """Frames of a sequence node, for Cine.

    shape  (T, H, W) or (T, H, W, 3)
    """

    def __init__(self, sequence: Any) -> None:
        self._sequence = sequence
        first = self._pixels(0)
        self.shape = (sequence.GetNumberOfDataNodes(), *first.shape)

    def read(self, index: int) -> np.ndarray:
        """Frame ``index``, (H, W) or (H, W, 3) uint8; grey and RGB frames share the scene's memory."""
        pixels = self._pixels(index)
        if pixels.shape != self.shape[1:]:
            raise UnreadableInput(
                f"Frame {index} of '{self._sequence.GetName()}' is {pixels.shape[1]} x {pixels.shape[0]} pixels, "
                f"the first one {self.shape[2]} x {self.shape[1]}: all frames need one size."
            )
        return pixels

    def _pixels(self, index: int) -> np.ndarray:
        name = self._sequence.GetName()
        image = self._sequence.GetNthDataNode(index).GetImageData()
        if image is None or image.GetPointData().GetScalars() is None:
            raise UnreadableInput(f"Frame {index} of '{name}' has no image: load the clip again.")
        columns, rows, slices = image.GetDimensions()
        if slices != 1:
            raise InvalidRequest(f"Frame {index} of '{name}' is a volume of {slices} slices, not a frame.")
        pixels = vtk_to_numpy(image.GetPointData().GetScalars())
        components = 1 if pixels.ndim == 1 else pixels.shape[1]
        if components not in (1, 3, 4):
            raise InvalidRequest(f"Frame {index} of '{name}' has {components} channels, not grey or RGB.")
        if pixels.dtype != np.uint8:
            # Sixteen-bit files of eight-bit images are common; anything wider has no defined grey level.
            finite = np.isfinite(pixels)
            if not finite.all() or pixels.min() < 0 or pixels.max() > 255:
                raise UnreadableInput(
                    f"Frame {index} of '{name}' is {pixels.dtype} beyond 0 to 255: convert it to 8-bit first."
                )
            pixels = pixels.astype(np.uint8)
        if components == 1:
            return pixels.reshape(rows, columns)
        return pixels.reshape(rows, columns, components)[..., :3]


class SequenceCine(Cine):
    """Clip whose frames live in the scene: they are read there each time instead of being kept here as well."""

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index`` as it is in the scene now, (H, W) or (H, W, 3) uint8."""
        return self.source.read(range(len(self))[index])

    @property
    def frames(self) -> np.ndarray:
        """All frames, (T, H, W) or (T, H, W, 3) uint8, copied out of the scene."""
        frames = np.empty(self.source.shape, dtype=np.uint8)
        for index in range(len(self)):
            frames[index] = self.frame(index)
        return frames


def frameMatrix(spacing: tuple[float, float] | None) -> vtk.vtkMatrix4x4:
    """IJKToRAS of a frame with pixels of (row, column) mm; 1 mm where it is not known."""
    rowSpacing, columnSpacing = spacing or (1.0, 1.0)
    matrix = vtk.vtkMatrix4x4()
    for axis, step in enumerate((-columnSpacing, -rowSpacing, 1.0)):
        matrix.SetElement(axis, axis, step)
    return matrix


def indexTolerance(times: np.ndarray) -> float:
    """Tolerance, in s, that keeps all ``times`` apart as items of a sequence: Slicer's own unless frames are closer."""
    smallestStep = np.diff(times).min() if len(times) > 1 else np.inf
    return float(min(_DEFAULT_TOLERANCE, smallestStep / 4))


def imageFromArray(pixels: np.ndarray) -> vtk.vtkImageData:
    """One-slice image of (H, W) or (H, W, 3) uint8 pixels that shares their memory."""
    rows, columns = pixels.shape[:2]
    components = 1 if pixels.ndim == 2 else pixels.shape[2]
    pixels = np.ascontiguousarray(pixels)
    if not pixels.flags.writeable:  # VTK takes its memory for writable
        pixels = pixels.copy()
    scalars = numpy_to_vtk(pixels.reshape(rows * columns, components), deep=False)
    scalars.SetName("ImageScalars")
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    image.GetPointData().SetScalars(scalars)
    return image


class _Keep:
    """An observer that is never called and keeps objects as long as its node lives."""

    def __init__(self, objects: list[Any]) -> None:
        self._objects = objects

    def __call__(self, caller: Any = None, event: Any = None) -> None:
        """Do nothing."""


def _addBrowser(cine: Cine, sequence: Any, name: str) -> Any:
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    if cine.frame_rate is not None:
        browser.SetPlaybackRateFps(cine.frame_rate)
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    # "name [time=0.12s]" would change under the user's eyes in every selector.
    browser.SetOverwriteProxyName(sequence, False)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    if not cine.is_color:
        # Fixed, so that brightness does not jump from frame to frame.
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(255, 127.5)
    return browser


def _attributes(cine: Cine) -> dict[str, str]:
    attributes = {
        CALIBRATED: "yes" if cine.is_calibrated else "no",
        CALIBRATION: cine.calibration,
        TIMING: cine.timing,
        NOTES: json.dumps(list(cine.notes), ensure_ascii=False),
        ORIGIN_UID: cine.origin.uid,
        PATIENT_HASH: cine.origin.patient_hash,
        VIEW: cine.view.short if cine.view is not None else "",
    }
    return {name: value for name, value in attributes.items() if value}


def _times(sequence: Any) -> tuple[np.ndarray, str]:
    count = sequence.GetNumberOfDataNodes()
    timing = sequence.GetAttribute(TIMING)
    unit = {"s": 1.0, "ms": 1e-3}.get(sequence.GetIndexUnit())
    try:
        values = np.array([float(sequence.GetNthIndexValue(index)) for index in range(count)])
    except ValueError:
        values = np.array([np.nan])
    isTime = sequence.GetIndexName() == "time" and unit is not None
    if isTime and np.isfinite(values).all() and (np.diff(values) > 0).all():
        return values * unit, timing or "index of the sequence"
    return np.arange(
        count, dtype=np.float64
    ), f"unknown: the sequence is indexed by {sequence.GetIndexName() or 'number'}"


def _spacing(sequence: Any) -> tuple[tuple[float, float] | None, str]:
    calibration = sequence.GetAttribute(CALIBRATION)
    if sequence.GetAttribute(CALIBRATED) == "no":
        return None, calibration or "unknown: not stated in the file"
    columnSpacing, rowSpacing, _ = sequence.GetNthDataNode(0).GetSpacing()
    # Nine digits: a direction matrix through a file comes back as 0.19999999999999996.
    spacing = (float(f"{rowSpacing:.9g}"), float(f"{columnSpacing:.9g}"))
    if calibration:
        return spacing, calibration
    if spacing == (1.0, 1.0):
        return None, "unknown: the sequence has 1 mm pixels, which is what Slicer writes where a file gives no size"
    return spacing, "pixel size of the sequence"
