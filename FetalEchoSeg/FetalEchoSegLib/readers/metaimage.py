"""MetaImage (.mha): a 2-D image, or a volume whose slices are frames.

Read here and not by ITK, which hangs or dies on some damaged files (found by mutation with SimpleITK 2.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
)
from .raw_values import read_values

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LARGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class _Header:
    """Keys and values of the header, and where the pixels start."""

    values: dict[str, str]
    data_offset: int

    def numbers(self, key: str) -> list[float]:
        """The numbers of a key, empty when it is absent."""
        return [float(word) for word in self.values.get(key, "").split()]

    def flag(self, *keys: str) -> bool:
        """Whether one of the keys says True."""
        return any(self.values.get(key, "").casefold() in ("true", "1") for key in keys)


def open_metaimage(path: Path, limit: MemoryLimit) -> Opened:
    """Open a MetaImage that holds its pixels itself; raises UnreadableInput."""
    with guarded(path, "the MetaImage"):
        header = _read_header(path)
        size = [int(word) for word in header.values.get("DimSize", "").split()]
        channels = int(header.values.get("ElementNumberOfChannels", "1"))
        if len(size) not in (2, 3) or channels not in (1, 3, 4):
            raise UnreadableInput(
                f"{path}: {len(size)} axes with {channels} values a pixel are no clip; save grey or RGB frames."
            )
        kind = header.values.get("ElementType", "").upper().removesuffix("_ARRAY")
        if kind not in _TYPES or not header.flag("BinaryData"):
            raise UnreadableInput(f"{path}: its pixels are neither 8-bit nor 16-bit binary values; save it again.")
        big = header.flag("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
        dtype = np.dtype((">" if big else "<") + _TYPES[kind])
        count = size[2] if len(size) == 3 else 1
        shape = (count, size[1], size[0]) + ((channels,) if channels > 1 else ())
        # A second, 8-bit copy is made of other types.
        limit.check(path, shape, dtype.itemsize + (dtype.itemsize > 1))
        values = read_values(path, header.data_offset, dtype, math.prod(shape), header.flag("CompressedData"))
        frames, note = to_eight_bits(rgb_only(values.reshape(shape)), path)
        spacing, calibration = _spacing(header)
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
    return Opened(cine, "MetaImage", (("type", kind.removeprefix("MET_").lower()),))


def _read_header(path: Path) -> _Header:
    values: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < _LARGEST_HEADER:
            line = file.readline(1 << 16)
            key, separator, value = line.decode("latin-1").partition("=")
            if not separator:
                break
            values[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":  # always the last key
                if value.strip().upper() != "LOCAL":
                    raise UnreadableInput(f"{path}: its pixels are in another file; save it as one .mha file.")
                return _Header(values, file.tell())
    raise UnreadableInput(f"{path}: it is no complete MetaImage; export or copy it again.")


def _spacing(header: _Header) -> tuple[tuple[float, float] | None, str]:
    stated = header.numbers("ElementSpacing") or header.numbers("ElementSize")
    if len(stated) < 2:
        return None, "unknown: no pixel size in the file"
    return believed_spacing((abs(stated[1]), abs(stated[0])), "MetaImage ElementSpacing")
