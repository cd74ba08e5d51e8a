"""Values that lie in a file as one block, plain or deflated: the pixels of NRRD and MetaImage."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from ..errors import UnreadableInput

_ANY_WRAPPER = 47  # zlib finds out itself whether a stream is gzip or zlib


def read_values(path: Path, offset: int, dtype: np.dtype, count: int, compressed: bool) -> np.ndarray:
    """``count`` values from byte ``offset`` of a file, (count,); never allocates what the file cannot hold.

    Raises UnreadableInput when the file ends before.
    """
    size = count * dtype.itemsize
    if compressed:
        return _inflate(path, offset, size).view(dtype)
    if path.stat().st_size - offset < size:
        raise _truncated(path)
    return np.fromfile(path, dtype=dtype, count=count, offset=offset)


def _inflate(path: Path, offset: int, size: int) -> np.ndarray:
    """``size`` bytes of a gzip or zlib stream, (size,) uint8, straight into their final place."""
    # Deflate cannot expand more than about 1030 times: a declared size beyond that was never compressed here.
    if size > 1040 * max(1, path.stat().st_size - offset):
        raise _truncated(path)
    result = np.empty(size, dtype=np.uint8)
    filled = 0
    decompressor = zlib.decompressobj(wbits=_ANY_WRAPPER)
    with path.open("rb") as file:
        file.seek(offset)
        while filled < size:
            if decompressor.eof:
                # Some writers join several gzip members.
                pending = decompressor.unused_data or file.read(1 << 20)
                decompressor = zlib.decompressobj(wbits=_ANY_WRAPPER)
            else:
                pending = decompressor.unconsumed_tail or file.read(1 << 20)
            if not pending:
                raise _truncated(path)
            piece = decompressor.decompress(pending, min(size - filled, 1 << 22))
            result[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
            filled += len(piece)
    return result


def _truncated(path: Path) -> UnreadableInput:
    return UnreadableInput(f"{path}: it ends before its declared size; it is truncated, export or copy it again.")
