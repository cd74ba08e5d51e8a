"""NRRD images and Slicer's image sequences (.seq.nrrd).

A sequence as Slicer writes it has a ``list`` axis, usually the last one, a ``vector`` or ``RGB-color`` axis first if
it is in colour, and key/values "axis N index values" with one value for every item; N is 3 even where the list is
axis 4. The unit of the list axis says whether the values are times. Slices of a volume are read as frames.

Pixel size comes from the space directions. 1 × 1 mm is what Slicer and ITK write when it is not known, and is not
believed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..anatomy import View
from ..cine import ArraySource, Cine, Origin
from ..errors import UnreadableInput
from .common import (
    MemoryLimit,
    Opened,
    assumed_times,
    believed_spacing,
    guarded,
    increasing,
    rgb_only,
    size_notes,
    to_eight_bits,
)
from .raw_values import read_values

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_COLOR_KINDS = ("vector", "3-vector", "4-vector", "rgb-color", "rgba-color", "3-color", "4-color", "color")
_MILLIMETRES = {"": 1.0, "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3}
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3}
_LARGEST_HEADER = 4 << 20


@dataclass(frozen=True)
class _Header:
    """Parsed NRRD header; axes are listed fastest first, as in the file."""

    fields: dict[str, str]
    values: dict[str, str]
    data_offset: int
    dtype: np.dtype
    sizes: tuple[int, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class _Axes:
    """Which file axis is what; -1 for none. ``frames`` are flattened, slowest last."""

    color: int
    column: int
    row: int
    frames: tuple[int, ...]


def open_nrrd(path: Path, limit: MemoryLimit) -> Opened:
    """Open a .nrrd or .seq.nrrd file; raises UnreadableInput."""
    with guarded(path, "the NRRD file"):
        header = _read_header(path)
        axes = _assign_axes(header, path)
        channels = header.sizes[axes.color] if axes.color >= 0 else 1
        count = math.prod(header.sizes[axis] for axis in axes.frames)
        rows, columns = header.sizes[axes.row], header.sizes[axes.column]
        stored = (count, rows, columns, channels) if channels > 1 else (count, rows, columns)
        # A second, 8-bit copy is made of other types.
        limit.check(path, stored, header.dtype.itemsize + (header.dtype.itemsize > 1))
        order = (*reversed(axes.frames), axes.row, axes.column, *([axes.color] if axes.color >= 0 else []))
        last = len(header.sizes) - 1
        data = _read_data(path, header).reshape(header.sizes[::-1]).transpose([last - axis for axis in order])
        frames, note = to_eight_bits(rgb_only(data.reshape(stored if channels > 1 else stored[:3])), path)
        times, timing, time_notes = _times(header, axes, count)
        spacing, calibration = _spacing(header, axes)
        view = _view(header.values)
    is_sequence = "list" in header.kinds
    notes = [*filter(None, [note]), *time_notes, *size_notes(frames.shape)]
    if not is_sequence and count > 1:
        notes.append("The slices of a volume were read as the frames of a clip.")
    cine = Cine(
        source=ArraySource(np.ascontiguousarray(frames)),
        times=times,
        timing=timing,
        spacing=spacing,
        calibration=calibration,
        view=view,
        origin=Origin(path=path),
        notes=tuple(notes),
    )
    details = (("type", header.fields["type"]), ("encoding", header.fields.get("encoding", "raw")))
    return Opened(cine, "Slicer image sequence (NRRD)" if is_sequence else "NRRD image", details)


def _read_header(path: Path) -> _Header:
    with path.open("rb") as file:
        start = file.read(_LARGEST_HEADER)
    end = re.search(rb"\r?\n\r?\n", start)
    if not re.match(rb"NRRD000[1-6]", start) or end is None:
        raise UnreadableInput(f"{path}: it is no complete NRRD file; export or copy it again.")
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    for line in start[: end.start()].decode("utf-8", errors="replace").splitlines()[1:]:
        if line.startswith("#"):
            continue
        key, separator, value = line.partition(":=")
        if separator:
            values[key.strip()] = value
            continue
        key, separator, value = line.partition(":")
        if separator:
            fields[key.strip().casefold()] = value.strip()
    missing = [name for name in ("type", "sizes") if name not in fields]
    if missing:
        raise UnreadableInput(f"{path}: its header lacks {', '.join(missing)}; export it again.")
    if "data file" in fields or "datafile" in fields:
        raise UnreadableInput(f"{path}: its pixels are in another file; save it as one .nrrd file.")
    letters = next((code for code, names in _TYPES.items() if fields["type"].casefold() in names), None)
    if letters is None:
        raise UnreadableInput(f"{path}: pixels of type '{fields['type']}' are not supported; save it as 8-bit.")
    little = fields.get("endian", "little").casefold() == "little"
    sizes = tuple(int(word) for word in fields["sizes"].split())
    if not 2 <= len(sizes) <= 6 or min(sizes) < 1:
        raise UnreadableInput(f"{path}: the sizes '{fields['sizes'][:60]}' are not those of frames; export it again.")
    kinds = tuple(word.casefold() for word in fields.get("kinds", "").split())
    if kinds and len(kinds) != len(sizes):
        raise UnreadableInput(f"{path}: it names {len(kinds)} kinds for {len(sizes)} axes; the header is damaged.")
    return _Header(
        fields, values, end.end(), np.dtype(("<" if little else ">") + letters), sizes, kinds or ("?",) * len(sizes)
    )


def _assign_axes(header: _Header, path: Path) -> _Axes:
    colors = [
        axis
        for axis, kind in enumerate(header.kinds)
        if kind in _COLOR_KINDS or (kind == "?" and _looks_like_rgb(header, axis))
    ]
    color = colors[0] if colors else -1
    if len(colors) > 1 or (color >= 0 and header.sizes[color] not in (1, 3, 4)):
        raise UnreadableInput(f"{path}: its pixels are vectors, not grey or RGB; choose an ultrasound image.")
    lists = [axis for axis, kind in enumerate(header.kinds) if kind in ("list", "time")]
    space = [axis for axis in range(len(header.sizes)) if axis != color and axis not in lists]
    if len(space) < 2:
        raise UnreadableInput(f"{path}: it has no two image axes; choose an ultrasound image.")
    return _Axes(color, space[0], space[1], (*space[2:], *lists))


def _looks_like_rgb(header: _Header, axis: int) -> bool:
    """Without kinds, a fastest axis of 3 or 4 before two larger ones can only be colour."""
    return axis == 0 and len(header.sizes) >= 3 and header.sizes[0] in (3, 4) and min(header.sizes[1:3]) > 4


def _read_data(path: Path, header: _Header) -> np.ndarray:
    """All values of the file in file order, (N,); decompression stops at the declared size."""
    count = math.prod(header.sizes)
    encoding = header.fields.get("encoding", "raw").casefold()
    skip = int(header.fields.get("byte skip", header.fields.get("byteskip", "0")))
    line_skip = int(header.fields.get("line skip", header.fields.get("lineskip", "0")))
    if skip or line_skip:
        raise UnreadableInput(f"{path}: skipped bytes or lines are not supported; save it again as .nrrd.")
    if encoding in ("raw", "gzip", "gz"):
        return read_values(path, header.data_offset, header.dtype, count, compressed=encoding != "raw")
    raise UnreadableInput(f"{path}: the encoding '{encoding[:40]}' is not supported; save it raw or gzip-compressed.")


def _quoted(text: str) -> list[str]:
    return re.findall(r'"((?:[^"\\]|\\.)*)"', text)


def _times(header: _Header, axes: _Axes, count: int) -> tuple[np.ndarray, str, list[str]]:
    unknown = "no index values in the file"
    listed = next(
        (text.split() for key, text in header.values.items() if re.fullmatch(r"axis \d+ (index|item) values", key)),
        None,
    )
    if listed is not None and count > 1:
        units = _quoted(header.fields.get("units", ""))
        unit = units[axes.frames[-1]].strip().casefold() if axes.frames and len(units) > axes.frames[-1] else ""
        try:
            numbers = np.array([float(text) for text in listed])
        except ValueError:
            numbers = np.empty(0)
        if unit not in _SECONDS:
            unknown = f"the index of the sequence is not a time (unit '{unit[:20]}')"
        elif len(numbers) != count:
            unknown = f"{len(numbers)} usable index values for {count} frames"
        else:
            times = (numbers - numbers[0]) * _SECONDS[unit]
            if increasing(times):
                return times, "sequence index", []
            unknown = "the index values do not increase"
    times, timing = assumed_times(count, unknown)
    return times, timing, [f"The frame times are unknown: {unknown}."] if count > 1 else []


def _spacing(header: _Header, axes: _Axes) -> tuple[tuple[float, float] | None, str]:
    directions = re.findall(r"none|\([^)]*\)", header.fields.get("space directions", ""))
    spacings = header.fields.get("spacings", "").split()
    if len(directions) == len(header.sizes):
        lengths = [_length(directions[axis]) for axis in (axes.row, axes.column)]
        units = _quoted(header.fields.get("space units", ""))
        axis_units = units[:2] or [""]
        source = "nrrd space directions"
    elif len(spacings) == len(header.sizes):
        lengths = [abs(float(spacings[axis])) for axis in (axes.row, axes.column)]
        named = _quoted(header.fields.get("units", ""))
        axis_units = [named[axis] for axis in (axes.row, axes.column)] if len(named) == len(header.sizes) else [""]
        source = "nrrd spacings"
    else:
        return None, "unknown: no pixel size in the file"
    factors = {_MILLIMETRES.get(unit.strip().casefold()) for unit in axis_units}
    factor = factors.pop() if len(factors) == 1 else None
    if factor is None:
        return None, f"unknown: the pixel size is given in '{axis_units[0][:20]}', not in mm"
    return believed_spacing((lengths[0] * factor, lengths[1] * factor), source)


def _length(direction: str) -> float:
    if direction == "none":
        return math.nan
    return math.hypot(*(float(word) for word in direction.strip("()").split(",")))


def _view(values: dict[str, str]) -> View | None:
    named = next((text for key, text in values.items() if key.endswith("FetalEcho.View")), None)
    try:
        return View.parse(named) if named else None
    except ValueError:
        return None
