"""Prediction to a synchronized sequence of segmentations, and edited masks back.

Every frame has its own item from the start, each with all fourteen segments under fixed ids, and changes are saved
to the item of the frame that is shown. The other ways that Slicer offers lose edits or write them into other frames
(a missing item is filled from the previous frame as soon as somebody browses there).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
import vtk

from ..anatomy import BACKGROUND, N_LABELS, Structure, View
from ..errors import InvalidRequest
from ..prediction import BundleIdentity, Prediction
from .cine_nodes import cineSequence
from .segment_pixels import readLabels, writeSegments

DRAWN_BY = "FetalEcho.DrawnBy"
BY_MODEL, BY_CLICKS, BY_HAND = "model", "clicks", "hand"
CINE_REFERENCE = "FetalEcho.Cine"
PREDICTION = "FetalEcho.Prediction"
FRAME_RESULT = "FetalEcho.FrameResult"
MASK_CHECKSUM = "FetalEcho.MaskChecksum"


def addPredictionToScene(prediction: Prediction, sequence: Any, browser: Any, name: str | None = None) -> Any:
    """Put a prediction in the scene as segmentations synchronized with its clip; returns their sequence node.

    Frames that were not segmented get an item with empty segments. The proxy that the browser shows has display
    nodes, the clip's geometry, and per-segment display that stays the same on all frames.
    Raises InvalidRequest when the clip has another number of frames or another size.
    """
    sequence = cineSequence(sequence)
    labels = prediction.labels
    columns, rows, _ = sequence.GetNthDataNode(0).GetImageData().GetDimensions()
    expected = (sequence.GetNumberOfDataNodes(), rows, columns)
    if labels.shape != expected:
        raise InvalidRequest(
            f"The prediction is {labels.shape} (frames, rows, columns), the clip '{sequence.GetName()}' {expected}."
        )
    name = name or slicer.mrmlScene.GenerateUniqueName(f"{sequence.GetName()} segmentation")
    masks = addEmptyMasksToScene(sequence, browser, name)
    writePrediction(masks, prediction, np.flatnonzero(prediction.done).tolist())
    return masks


def addEmptyMasksToScene(sequence: Any, browser: Any, name: str) -> Any:
    """Synchronized segmentations of ``sequence`` with fourteen empty segments on every frame; their sequence node."""
    sequence = cineSequence(sequence)
    cineProxy = browser.GetProxyNode(sequence)
    if cineProxy is None:
        raise InvalidRequest(f"Browser '{browser.GetName()}' does not show '{sequence.GetName()}': choose its own one.")
    template = slicer.vtkMRMLSegmentationNode()
    template.SetName(name)
    template.SetReferenceImageGeometryParameterFromVolumeNode(cineProxy)
    # Their empty pixels lie on the clip's grid already: on any other one, the first edit of the Segment Editor would be
    # right to see and would be resampled by way of that grid when it is saved.
    columns, rows, _ = sequence.GetNthDataNode(0).GetImageData().GetDimensions()
    matrix = vtk.vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    writeSegments(template.GetSegmentation(), np.zeros((rows, columns), dtype=np.uint8), matrix)

    masks = slicer.vtkMRMLSequenceNode()
    masks.SetName(name)
    masks.SetIndexName(sequence.GetIndexName())
    masks.SetIndexUnit(sequence.GetIndexUnit())
    masks.SetIndexType(sequence.GetIndexType())
    masks.SetNumericIndexValueTolerance(sequence.GetNumericIndexValueTolerance())
    for index in range(sequence.GetNumberOfDataNodes()):
        masks.SetDataNodeAtValue(template, sequence.GetNthIndexValue(index))
    slicer.mrmlScene.AddNode(masks)
    masks.SetNodeReferenceID(CINE_REFERENCE, sequence.GetID())

    browser.AddSynchronizedSequenceNode(masks)
    browser.SetSaveChanges(masks, True)
    browser.SetOverwriteProxyName(masks, False)
    shareProxies(browser)
    prepareMaskProxy(browser, masks)
    return masks


def prepareMaskProxy(browser: Any, masks: Any) -> None:
    """Give the node that shows a frame's masks its name, its display, and the clip that it lies on."""
    proxy = browser.GetProxyNode(masks)
    proxy.SetName(masks.GetName())
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    # Otherwise a frame change may drop what the user set for a segment.
    display.RemoveUnusedDisplayPropertiesOff()
    display.SetOpacity2DFill(0.35)
    # The items do not hand this reference on, and the Segment Editor takes its source image from it.
    cineProxy = browser.GetProxyNode(browser.GetMasterSequenceNode())
    if cineProxy is not None:
        proxy.SetReferenceImageGeometryParameterFromVolumeNode(cineProxy)


def writePrediction(masks: Any, prediction: Prediction, frames: Iterable[int]) -> None:
    """Write the masks of ``frames``, and the numbers of all frames and of the clip, whatever was there before.

    Whoever calls this answers for the user's work in ``frames`` and for results of another model in the others: see
    ``rerun``.
    """
    shareProxiesOf(masks)
    geometry = _geometry(_cineOf(masks), prediction.labels.shape[1:], masks)
    for index in frames:
        _writeLabels(masks, index, prediction.labels[index], geometry, BY_MODEL, tuple(Structure))
    for index in range(len(prediction.labels)):
        setFrameAttributes(masks, index, {FRAME_RESULT: json.dumps(_frameResult(prediction, index))})
    masks.SetAttribute(PREDICTION, json.dumps(_clipResult(prediction), ensure_ascii=False))
    shareProxiesOf(masks)


def predictionFromSequence(masks: Any, withMasks: bool = True) -> Prediction:
    """The prediction that ``addPredictionToScene`` was given, with the masks as they are in the scene now.

    withMasks  False leaves the masks unread, which is quick: ``labels`` is (T, 0, 0) then
    Raises InvalidRequest for segmentations that no model made.
    """
    text = masks.GetAttribute(PREDICTION)
    if not text:
        raise InvalidRequest(f"'{masks.GetName()}' does not come from a model: segment the clip first.")
    clip = json.loads(text)
    frames = [
        json.loads(masks.GetNthDataNode(i).GetAttribute(FRAME_RESULT)) for i in range(masks.GetNumberOfDataNodes())
    ]
    return Prediction(
        labels=labelsFromSegmentationSequence(masks) if withMasks else np.zeros((len(frames), 0, 0), np.uint8),
        view=View.parse(clip["view"]),
        view_probabilities=_floats(clip["viewProbabilities"]),
        view_source=clip["viewSource"],
        condition_probabilities=np.stack([_floats(frame["conditions"]) for frame in frames]),
        clip_conditions=_floats(clip["conditions"]),
        confidence=_floats([frame["confidence"] for frame in frames]),
        done=np.array([frame["done"] for frame in frames], dtype=bool),
        bundle=BundleIdentity(**clip["bundle"]),
        notes=tuple(clip["notes"]),
        # Scenes of version 0.1 have none.
        frame_views=np.stack([_floats(frame.get("views") or [None] * len(View)) for frame in frames]),
    )


def labelsFromSegmentationSequence(node: Any, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Masks of all frames as they are now, hand edits included: (T, H, W) uint8, values of ``Structure``.

    node   the sequence of segmentations, or a browser that has one
    shape  (H, W) of the clip; needed only when the clip is no longer in the scene
    Overlaps are resolved in ``OVERLAP_ORDER``; segments that are none of the fourteen structures are left out.
    """
    masks = maskSequence(node)
    geometry = _geometry(_cineOf(masks), shape, masks)
    labels = np.zeros((masks.GetNumberOfDataNodes(), *geometry[1:]), dtype=np.uint8)
    for index, frame in enumerate(labels):
        readLabels(masks.GetNthDataNode(index).GetSegmentation(), geometry, frame)
    return labels


def labelsOfFrame(masks: Any, index: int, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Masks of frame ``index`` as they are now: (H, W) uint8; see ``labelsFromSegmentationSequence``."""
    geometry = _geometry(_cineOf(masks), shape, masks)
    labels = np.zeros(geometry[1:], dtype=np.uint8)
    readLabels(itemOfFrame(masks, index).GetSegmentation(), geometry, labels)
    return labels


def setFrameLabels(
    masks: Any,
    index: int,
    labels: np.ndarray,
    drawnBy: str = BY_MODEL,
    structures: Iterable[Structure] | None = None,
) -> None:
    """Replace the masks of one frame, leaving every other frame as it is.

    labels      (H, W) uint8, 0 to 14
    drawnBy     who drew it: "model", "clicks" or "hand"
    structures  replace only these; the other segments of the frame keep their pixels except where ``labels`` puts
                one of these on top of them
    The Segment Editor's undo does not cover it: its history starts anew at this frame.
    """
    sequence = _cineOf(masks)
    geometry = _geometry(sequence, labels.shape, masks)
    if labels.shape != geometry[1:] or labels.dtype != np.uint8 or labels.max(initial=0) >= N_LABELS:
        raise InvalidRequest(
            f"Masks must be {geometry[1:]} uint8 from 0 to {N_LABELS - 1}, "
            f"got {labels.shape} {labels.dtype} up to {labels.max(initial=0)}."
        )
    shareProxiesOf(masks)
    chosen = tuple(Structure) if structures is None else tuple(structures)
    if len(chosen) < len(Structure):
        merged = labelsOfFrame(masks, index, labels.shape)
        merged[np.isin(merged, chosen)] = BACKGROUND
        replaced = np.isin(labels, chosen)
        merged[replaced] = labels[replaced]
        labels = merged
    _writeLabels(masks, index, labels, geometry, drawnBy, chosen)
    masks.Modified()  # who shows the frames looks again


def drawnBy(masks: Any, index: int, structure: Structure | None = None, labels: np.ndarray | None = None) -> str:
    """Who drew the masks of a frame, or of one structure in it: "model", "clicks", "hand", or "" for nobody.

    labels  the frame's masks, for a caller that has just read them
    Masks that differ from what was last written here were edited in the Segment Editor: the frame is "hand" then,
    unless a tool has said otherwise with ``setDrawnBy``.
    """
    item = itemOfFrame(masks, index)
    if structure is not None:
        tag = vtk.mutable("")
        segment = item.GetSegmentation().GetSegment(structure.info.segment_id)
        return str(tag) if segment is not None and segment.GetTag(DRAWN_BY, tag) else ""
    author = item.GetAttribute(DRAWN_BY) or ""
    checksum = item.GetAttribute(MASK_CHECKSUM) or maskChecksum(None)
    if maskChecksum(labelsOfFrame(masks, index) if labels is None else labels) != checksum:
        return BY_HAND
    return author


def setDrawnBy(masks: Any, index: int, author: str, structure: Structure | None = None) -> None:
    """Record that the frame's masks as they are now (or one structure of them) were drawn by ``author``."""
    item = itemOfFrame(masks, index)
    shareProxiesOf(masks)
    if structure is not None:
        item.GetSegmentation().GetSegment(structure.info.segment_id).SetTag(DRAWN_BY, author)
    setFrameAttributes(masks, index, {DRAWN_BY: author, MASK_CHECKSUM: maskChecksum(labelsOfFrame(masks, index))})


def maskChecksum(labels: np.ndarray | None) -> str:
    """Text for MASK_CHECKSUM of a frame's (H, W) masks; the same for None and for an empty frame, whatever its size."""
    if labels is None or not labels.any():
        return "empty"
    return f"{zlib.crc32(np.ascontiguousarray(labels)):08x}"


def maskSequence(node: Any) -> Any:
    """The segmentation sequence that ``node`` stands for: itself, or the first one synchronized by a browser."""
    if node is not None and node.IsA("vtkMRMLSequenceBrowserNode"):
        node = next(iter(maskSequences(node)), None)
        if node is None:
            raise InvalidRequest("This clip has no segmentation yet: segment it first.")
    if node is None or not node.IsA("vtkMRMLSequenceNode") or node.GetDataNodeClassName() != "vtkMRMLSegmentationNode":
        raise InvalidRequest("Choose a sequence of segmentations: the selected node is none.")
    return node


def maskSequences(browser: Any) -> list[Any]:
    """All segmentation sequences that a browser shows, the oldest first; none for None."""
    if browser is None:
        return []
    # The browser's own list of nodes aborts the process while one of them is being removed (Slicer 5.12).
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        if browser.IsSynchronizedSequenceNode(node) and node.GetDataNodeClassName() == "vtkMRMLSegmentationNode"
    ]


def shareProxies(browser: Any) -> None:
    """Let the browser's proxies share their item's content, so that edits land in the item at once.

    Needed after a change of items and after opening a scene, where proxies come as copies of their own.
    """
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


# Items


def _writeLabels(
    masks: Any,
    index: int,
    labels: np.ndarray,
    geometry: tuple[vtk.vtkMatrix4x4, int, int],
    author: str,
    drawn: tuple[Structure, ...],
) -> None:
    """Replace the pixels of a frame; ``drawn`` are the structures that ``author`` drew."""
    segmentation = itemOfFrame(masks, index).GetSegmentation()
    writeSegments(segmentation, labels, geometry[0])
    for structure in drawn:
        segmentation.GetSegment(structure.info.segment_id).SetTag(DRAWN_BY, author)
    setFrameAttributes(masks, index, {DRAWN_BY: author, MASK_CHECKSUM: maskChecksum(labels)})
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified)


def _geometry(
    sequence: Any, shape: tuple[int, int] | None = None, masks: Any = None
) -> tuple[vtk.vtkMatrix4x4, int, int]:
    """IJKToRAS, rows and columns of the clip's frames."""
    matrix = vtk.vtkMatrix4x4()
    if sequence is not None:
        frame = sequence.GetNthDataNode(0)
        frame.GetIJKToRASMatrix(matrix)
        columns, rows, _ = frame.GetImageData().GetDimensions()
        return matrix, rows, columns
    # The clip is gone; its grid is still known to the segmentation.
    text = (
        itemOfFrame(masks, 0)
        .GetSegmentation()
        .GetConversionParameter(slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName())
    )
    reference = slicer.vtkOrientedImageData()
    if text and slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, reference, False):
        reference.GetImageToWorldMatrix(matrix)
        extent = reference.GetExtent()
        return matrix, extent[3] + 1, extent[1] + 1
    if shape is None:
        raise InvalidRequest(f"The clip of '{masks.GetName()}' is not in the scene: its frame size is unknown.")
    return matrix, *shape


def _cineOf(masks: Any) -> Any:
    return masks.GetNodeReference(CINE_REFERENCE)


def itemOfFrame(masks: Any, index: int) -> Any:
    """The segmentation node of frame ``index`` inside the sequence; raises InvalidRequest outside the clip."""
    count = masks.GetNumberOfDataNodes()
    if not 0 <= index < count:
        raise InvalidRequest(f"Frame {index} is outside '{masks.GetName()}', which has frames 0 to {count - 1}.")
    return masks.GetNthDataNode(index)


def _browsersOf(masks: Any) -> list[Any]:
    """Browsers that show a frame of ``masks`` through a proxy."""
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return [browser for browser in browsers if browser.GetProxyNode(masks) is not None]


def shareProxiesOf(masks: Any) -> None:
    """Share content with every proxy of ``masks`` before a change of its items.

    In a scene that Slicer opened, the proxy is a copy until the first edit and would write the old masks back.
    """
    for browser in _browsersOf(masks):
        shareProxies(browser)


def setFrameAttributes(masks: Any, index: int, attributes: dict[str, str | None]) -> None:
    """Set attributes of a frame's item, and of the proxy that shows it; None takes one away.

    A change of the proxy is copied to the item with all of the proxy's attributes, so those left out there would be
    lost from the item with the next edit.
    """
    item = itemOfFrame(masks, index)
    shown = [b.GetProxyNode(masks) for b in _browsersOf(masks) if b.GetSelectedItemNumber() == index]
    for node in (*shown, item):
        # Silent: the sequence would tell that its masks were changed.
        wasSilent = node.GetDisableModifiedEvent()
        node.SetDisableModifiedEvent(True)
        for name, value in attributes.items():
            node.SetAttribute(name, value)
        node.SetDisableModifiedEvent(wasSilent)


# Numbers beside the pixels


def _clipResult(prediction: Prediction) -> dict[str, Any]:
    bundle = prediction.bundle
    return {
        "view": prediction.view.short,
        "viewProbabilities": _jsonNumbers(prediction.view_probabilities),
        "viewSource": prediction.view_source,
        "conditions": _jsonNumbers(prediction.clip_conditions),
        "bundle": {
            "name": bundle.name,
            "version": bundle.version,
            "sha256": bundle.sha256,
            "notice": bundle.notice,
        },
        "notes": list(prediction.notes),
    }


def _frameResult(prediction: Prediction, index: int) -> dict[str, Any]:
    return {
        "done": bool(prediction.done[index]),
        "confidence": _jsonNumbers(prediction.confidence[index : index + 1])[0],
        "conditions": _jsonNumbers(prediction.condition_probabilities[index]),
        "views": None if prediction.frame_views is None else _jsonNumbers(prediction.frame_views[index]),
    }


def _jsonNumbers(values: np.ndarray) -> list[float | None]:
    """float32 values as JSON numbers that give the same float32 again; NaN becomes null."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _floats(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)
