"""Where each frame of a DICOM file lies, found without decoding or holding the pixel data.

Native pixel data are one block; compressed ones are fragments in items (PS3.5 A.4). A frame is usually one fragment;
otherwise the offset tables or the image start markers say which fragments belong together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UnreadableInput
from .dicom_values import value

Span = tuple[int, int]  # offset in the file, bytes

_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_LONG_FORM = (b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV")
# First bytes of a compressed image: JPEG and JPEG-LS, JPEG 2000 code stream, JP2 box.
_IMAGE_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP")


@dataclass(frozen=True)
class PixelData:
    """The pixel data element.

    vr            "OB" or "OW", as stated or as the transfer syntax implies
    encapsulated  whether it holds fragments
    spans         for every frame its pieces in the file
    surplus       bytes after the last frame, beyond padding
    """

    vr: str
    encapsulated: bool
    spans: tuple[tuple[Span, ...], ...]
    surplus: int = 0


@dataclass(frozen=True)
class Encoding:
    """Byte order and form of the data set around the pixel data."""

    little_endian: bool
    implicit: bool


def locate_frames(
    file: BinaryIO, path: Path, size: int, dataset: Any, encoding: Encoding, frames: int, native_bytes: int
) -> PixelData:
    """Find ``frames`` frames in a file that is positioned at its pixel data element.

    size          bytes of the whole file
    native_bytes  bytes of one uncompressed frame
    Raises UnreadableInput when there are no pixel data or fewer frames than declared.
    """
    vr, length = _element_header(file, path, encoding)
    start = file.tell()
    if length != _UNDEFINED:
        present = min(length, size - start)
        if present < frames * native_bytes:
            raise _truncated(path, present // native_bytes, frames)
        spans = tuple(((start + i * native_bytes, native_bytes),) for i in range(frames))
        return PixelData(vr, False, spans, max(0, present - frames * native_bytes))
    table, fragments = _fragments(file, path, size)
    groups = _group(file, table, fragments, dataset, frames)
    if len(groups) < frames:
        raise _truncated(path, len(groups), frames)
    return PixelData("OB", True, tuple(groups[:frames]), sum(n for group in groups[frames:] for _, n in group))


def _truncated(path: Path, found: int, declared: int) -> UnreadableInput:
    return UnreadableInput(
        f"{path}: it declares {declared} frame{'s' if declared > 1 else ''} and holds {found} complete; "
        "the file is truncated, export or copy it again."
    )


def _element_header(file: BinaryIO, path: Path, encoding: Encoding) -> tuple[str, int]:
    order = "<" if encoding.little_endian else ">"
    head = file.read(8)
    tag = struct.unpack(order + "HH", head[:4]) if len(head) == 8 else None
    if tag != _PIXEL_DATA:
        raise UnreadableInput(
            f"{path}: it holds no pixel data (a report or a header only, or the file is truncated); "
            "choose the image file or export it again."
        )
    if encoding.implicit:
        return "OW", struct.unpack(order + "L", head[4:8])[0]
    vr = head[4:6]
    if vr in _LONG_FORM:
        tail = file.read(4)
        if len(tail) < 4:
            raise UnreadableInput(f"{path}: the file ends before its pixel data; export or copy it again.")
        return ("OW" if vr == b"OW" else "OB"), struct.unpack(order + "L", tail)[0]
    raise UnreadableInput(f"{path}: the header of its pixel data is damaged; export or copy it again.")


def _fragments(file: BinaryIO, path: Path, size: int) -> tuple[list[int], list[Span]]:
    """Basic offset table and all fragments; encapsulated data are always little endian."""
    table: list[int] | None = None
    fragments: list[Span] = []
    while True:
        head = file.read(8)
        if len(head) < 8:
            break  # no end marker: complete fragments are good all the same
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == _SEQUENCE_END:
            break
        position = file.tell()
        if (group, element) != _ITEM or length == _UNDEFINED:
            raise UnreadableInput(f"{path}: its compressed pixel data are damaged; export or copy the file again.")
        if position + length > size:
            break  # cut inside a fragment; the count of frames tells
        if table is None:
            entries = file.read(length)
            table = [offset for (offset,) in struct.iter_unpack("<L", entries[: len(entries) // 4 * 4])]
        else:
            fragments.append((position, length))
            file.seek(position + length)
    return table or [], fragments


def _group(
    file: BinaryIO, table: list[int], fragments: list[Span], dataset: Any, frames: int
) -> list[tuple[Span, ...]]:
    if len(fragments) == frames:
        return [(fragment,) for fragment in fragments]
    if frames == 1:
        return [tuple(fragments)] if fragments else []
    extended = value(dataset, "ExtendedOffsetTable")
    if isinstance(extended, bytes) and len(extended) == 8 * frames:
        table = [offset for (offset,) in struct.iter_unpack("<Q", extended)]
    if len(table) == frames and fragments:
        # Offsets count from the first item header after the table.
        origin = fragments[0][0] - 8
        starts = [position - 8 - origin for position, _ in fragments]
        if set(table) <= set(starts) and table == sorted(set(table)):
            edges = [starts.index(offset) for offset in table] + [len(fragments)]
            return [tuple(fragments[a:b]) for a, b in pairwise(edges)]
    return _group_by_markers(file, fragments)


def _group_by_markers(file: BinaryIO, fragments: list[Span]) -> list[tuple[Span, ...]]:
    groups: list[list[Span]] = []
    for position, length in fragments:
        file.seek(position)
        if file.read(min(length, 6)).startswith(_IMAGE_STARTS):
            groups.append([])
        if not groups:
            # No markers at all (run-length coding): every fragment is a frame.
            return [(fragment,) for fragment in fragments]
        groups[-1].append((position, length))
    return [tuple(group) for group in groups]
