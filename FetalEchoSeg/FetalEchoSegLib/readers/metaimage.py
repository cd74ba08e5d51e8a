"""MetaImage (.mha, .mhd) through SimpleITK: a 2-D image, or a volume whose slices are frames."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from ..cine import ArraySource, Cine, Origin
from ..errors import UnreadableInput
from .common import (
    MemoryLimit,
    Opened,
    assumed_times,
    believed_spacing,
    guarded,
    rgb_only,
    size_notes,
    to_eight_bits,
    truncated,
)


def open_metaimage(path: Path, limit: MemoryLimit) -> Opened:
    """Open a MetaImage (.mha, .mhd): 2-D, or 3-D with slices as frames; raises UnreadableInput."""
    import SimpleITK as sitk

    with guarded(path, "the MetaImage"):
        reader = sitk.ImageFileReader()
        reader.SetImageIO("MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
        if not 2 <= len(size) <= 3 or channels not in (1, 3, 4):
            raise UnreadableInput(
                f"{path}: {len(size)} axes with {channels} values a pixel are no clip; save grey or RGB frames."
            )
        count = size[2] if len(size) == 3 else 1
        shape = (count, size[1], size[0]) + ((channels,) if channels > 1 else ())
        kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
        # ITK holds the file's values while they are copied.
        limit.check(path, shape, 2 * _item_size(kind))
        _check_stored_size(path, reader, math.prod(shape) * _item_size(kind))
        array = sitk.GetArrayFromImage(reader.Execute()).reshape(shape)
        frames, note = to_eight_bits(rgb_only(array), path)
        column, row = reader.GetSpacing()[:2]
        spacing, calibration = believed_spacing((row, column), "MetaImage ElementSpacing")
    times, timing = assumed_times(count, "MetaImage carries no frame times")
    notes = [*filter(None, [note]), *size_notes(frames.shape)]
    if count > 1:
        notes.append("The slices of a volume were read as the frames of a clip; their times are unknown.")
    cine = Cine(
        source=ArraySource(np.ascontiguousarray(frames)),
        times=times,
        timing=timing,
        spacing=spacing,
        calibration=calibration,
        origin=Origin(path=path),
        notes=tuple(notes),
    )
    return Opened(cine, "MetaImage", (("type", kind),))


def _item_size(kind: str) -> int:
    bits = re.search(r"(\d+)-bit", kind)
    return int(bits[1]) // 8 if bits else 8


def _check_stored_size(path: Path, reader: object, size: int) -> None:
    """Refuse a file too short for what it declares before ITK allocates it (.mha holds its pixels itself)."""
    text = path.open("rb").read(1 << 16)
    compressed = re.search(rb"CompressedData\s*=\s*True", text, re.IGNORECASE) is not None
    own = re.search(rb"ElementDataFile\s*=\s*(\S+)", text)
    if own is None or own[1].upper() != b"LOCAL":
        raise UnreadableInput(f"{path}: its pixels are in another file; save it as one .mha file.")
    if path.stat().st_size * (1040 if compressed else 1) < size:
        raise truncated(path)
