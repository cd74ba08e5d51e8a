"""Scenes and masks on disk: written as a whole or not at all, read back equal."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import slicer
import vtk

from ..anatomy import STRUCTURES
from ..errors import InvalidRequest, UnreadableInput, UnwritableOutput
from ..output_files import replacing
from .cine_nodes import (
    CALIBRATED,
    CALIBRATION,
    PATIENT_HASH,
    TIMING,
    VIEW,
    cineSequence,
    frameMatrix,
    imageFromArray,
)
from .headless import collectedVtkErrors
from .segmentation_nodes import (
    CINE_REFERENCE,
    PREDICTION,
    drawnBy,
    labelsFromSegmentationSequence,
    maskSequence,
    shareProxies,
)

CLASSES = "FetalEcho.Classes"
_FRAME_DRAWN_BY = "FetalEcho.DrawnBy"


def saveScene(path: Path | str) -> Path:
    """Save the whole scene as one .mrb file; returns its path.

    Raises InvalidRequest for another suffix and UnwritableOutput when the file cannot be written; a file that was
    there before is untouched then.
    """
    path = Path(path)
    if path.suffix.lower() != ".mrb":
        raise InvalidRequest(f"Scenes are saved as .mrb files: give '{path.name}' that ending.")
    with (
        replacing(path) as temporary,
        # The folder inside the bundle is named after the file, so the file needs its own name from the start.
        tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder,
    ):
        bundle = Path(folder, path.name)
        messages = slicer.vtkMRMLMessageCollection()
        with collectedVtkErrors() as errors:
            written = slicer.mrmlScene.WriteToMRB(str(bundle), None, messages)
        problem = _problem(errors, messages)
        # A full disk shows in the messages, in the result, or only in the file.
        if not written or problem or not _isWholeZip(bundle):
            reason = f" ({problem})" if problem else ""
            raise UnwritableOutput(
                f"Cannot write {path}: the disk may be full or the folder not writable{reason}; choose another folder."
            )
        bundle.replace(temporary)
    return path


def openScene(path: Path | str, clear: bool = True) -> None:
    """Open an .mrb file and make it ready for editing.

    clear  close the present scene first; it stays as it is when the file turns out to be damaged
    Raises UnreadableInput.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableInput(f"{path} does not exist or is a folder: choose a scene file (.mrb).")
    if not _isWholeZip(path, needsScene=True):
        raise UnreadableInput(f"{path} is not a Slicer scene bundle (.mrb), or it is damaged: copy it again.")
    messages = slicer.vtkMRMLMessageCollection()
    with collectedVtkErrors() as errors:
        read = slicer.mrmlScene.ReadFromMRB(str(path), clear, messages)
    problem = _problem(errors, messages)
    if not read or problem:
        raise UnreadableInput(f"{path} could not be opened completely: {problem or 'it is damaged'}.")
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
        shareProxies(browser)


def saveCine(path: Path | str, node: Any) -> Path:
    """Save the frames of a clip as a sequence of volumes; returns the path.

    path  ends in .seq.nrrd
    node  the clip's sequence or its browser
    The header also holds what FetalEcho knows of the clip (calibration, timing, view, notes). Times are indexed as in
    ``saveMasks``. Raises InvalidRequest and UnwritableOutput.
    """
    sequence = cineSequence(node)
    items = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
    template = items[0].CreateNodeInstance()
    template.CopyOrientation(items[0])
    copy = _sequenceForFile(sequence, template, [item.GetImageData() for item in items])
    for name in sequence.GetAttributeNames():
        copy.SetAttribute(name, sequence.GetAttribute(name))
    return _writeSequence(path, copy)


def saveMasks(path: Path | str, node: Any) -> Path:
    """Save the masks of a clip, as they are now, as a sequence of label maps; returns the path.

    path  ends in .seq.nrrd; Slicer reads it as a sequence, ITK as an image with one component for each frame
    node  the sequence of segmentations, or a browser that has one
    Times are the index of the sequence; the header also holds the class names (FetalEcho.Classes, JSON by label),
    who drew each frame, and the calibration. Frames less than 2 ms apart are indexed in ms, because Slicer takes
    index values closer than 0.001 for the same when it reads the file.
    Raises InvalidRequest and UnwritableOutput.
    """
    masks = maskSequence(node)
    cine = masks.GetNodeReference(CINE_REFERENCE)
    template = slicer.vtkMRMLLabelMapVolumeNode()
    if cine is None:
        template.SetIJKToRASMatrix(frameMatrix(None))
    else:
        template.CopyOrientation(cine.GetNthDataNode(0))
    sequence = _sequenceForFile(
        masks, template, [imageFromArray(frame) for frame in labelsFromSegmentationSequence(masks)]
    )
    for index in range(sequence.GetNumberOfDataNodes()):
        sequence.GetNthDataNode(index).SetAttribute(_FRAME_DRAWN_BY, drawnBy(masks, index))
    classes = {str(int(structure)): info.title for structure, info in STRUCTURES.items()}
    sequence.SetAttribute(CLASSES, json.dumps(classes))
    for node, names in ((cine, (CALIBRATED, CALIBRATION, TIMING, VIEW, PATIENT_HASH)), (masks, (PREDICTION,))):
        for name in names:
            if node is not None and node.GetAttribute(name):
                sequence.SetAttribute(name, node.GetAttribute(name))
    return _writeSequence(path, sequence)


def _sequenceForFile(source: Any, template: Any, images: list[Any]) -> Any:
    """A sequence with the index of ``source`` and an item of ``template`` for each image, outside the scene.

    Items share the images' pixels.
    """
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetIndexName(source.GetIndexName())
    sequence.SetIndexUnit(source.GetIndexUnit())
    indexValues = [source.GetNthIndexValue(index) for index in range(len(images))]
    isDense = source.GetNumericIndexValueTolerance() < sequence.GetNumericIndexValueTolerance()
    if source.GetIndexUnit() == "s" and isDense:
        sequence.SetIndexUnit("ms")
        indexValues = [f"{float(value) * 1000:.3f}" for value in indexValues]
    for index, (indexValue, image) in enumerate(zip(indexValues, images, strict=True)):
        sequence.SetDataNodeAtValue(template, indexValue)
        sequence.GetNthDataNode(index).SetAndObserveImageData(image)
    return sequence


def _writeSequence(path: Path | str, sequence: Any) -> Path:
    path = Path(path)
    if not path.name.lower().endswith(".seq.nrrd"):
        raise InvalidRequest(f"Sequences are saved as .seq.nrrd files: give '{path.name}' that ending.")
    with replacing(path) as temporary:
        temporary.touch()  # says by itself why a folder cannot be written
        storage = slicer.vtkMRMLVolumeSequenceStorageNode()
        storage.SetFileName(str(temporary))
        storage.SetUseCompression(True)
        with collectedVtkErrors() as errors:
            written = storage.WriteData(sequence)
        if not written or errors:
            raise UnwritableOutput(
                f"Cannot write {path}: {'; '.join(errors) or 'the disk may be full'}; choose another folder."
            )
    return path


def _isWholeZip(path: Path, needsScene: bool = False) -> bool:
    try:
        with zipfile.ZipFile(path) as bundle:
            names = bundle.namelist()
            return bundle.testzip() is None and (not needsScene or any(name.endswith(".mrml") for name in names))
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError):
        return False


def _problem(errors: list[str], messages: Any) -> str:
    """What went wrong, in one line; warnings do not count."""
    said = [
        " ".join(messages.GetNthMessageText(number).split())
        for number in range(messages.GetNumberOfMessages())
        if messages.GetNthMessageType(number) == vtk.vtkCommand.ErrorEvent
    ]
    return "; ".join(dict.fromkeys((*errors, *said)))
