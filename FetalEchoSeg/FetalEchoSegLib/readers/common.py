"""What every reader shares: guarded parsing, size limits, frame times and the way to 8 bits."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..cine import Cine
from ..errors import InvalidRequest, UnreadableInput

# Frames per second assumed when a file does not say: the cine plays slowly enough to look at and is marked unknown.
ASSUMED_STEP = 0.1
# Scanners reach some hundred frames per second; a shorter step is a wrong unit (seconds written as milliseconds).
SHORTEST_STEP = 1e-3
# Pixels per side. Below, nothing can be recognised; above, no scanner makes such a frame and a header is damaged.
SMALLEST_SIDE, UNUSUAL_SIDE, LARGEST_SIDE = 8, 4096, 16384
# A header can announce any number of frames; an hour at 100 Hz is beyond every clip.
MOST_FRAMES = 360_000
# Share of the memory that is free now which one clip may take.
MEMORY_SHARE = 0.8
_MEMORY_IF_UNKNOWN = 4 << 30

# What file libraries raise on damaged bytes; which one depends on the byte that is hit. Our own errors and the
# user's interrupt are not among them.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,  # Pillow, for broken PNG and TIFF
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Opened:
    """A file that was understood: the clip, not decoded yet, and what ``describe`` adds to it.

    format   name for people ("DICOM ultrasound multi-frame")
    details  (name, value) pairs that only this format has ("transfer syntax", "JPEG Baseline")
    """

    cine: Cine
    format: str
    details: tuple[tuple[str, str], ...] = field(default=())


@contextmanager
def guarded(
    path: Path, expected: str, also: tuple[type[Exception], ...] = (), advice: str = "export or copy it again"
) -> Iterator[None]:
    """Turn whatever a file library raises on damaged bytes into one UnreadableInput that names the file.

    ``also`` are exceptions of that library which derive from none of the usual ones.
    Library warnings are muted: what matters to the user is in the clip's notes.
    """
    damage: tuple[type[Exception], ...] = (*DAMAGE, *also)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PermissionError as error:
        raise UnreadableInput(f"{path}: no permission to read it; change its access rights.") from error
    except FileNotFoundError as error:
        raise UnreadableInput(f"{path}: there is no such file or folder; check the path.") from error
    except MemoryError as error:
        raise UnreadableInput(f"{path}: {expected} does not fit in memory; cut the clip or use more memory.") from error
    except damage as error:
        # The library's text stays in the chain of causes: it may quote bytes of the file, a patient's name among them.
        raise UnreadableInput(f"{path}: {expected} cannot be read, the file is damaged; {advice}.") from error


@dataclass(frozen=True)
class MemoryLimit:
    """Bytes that one clip may take; None means 80 % of what is free when it is asked."""

    limit: int | None = None

    def check(self, path: Path, shape: tuple[int, ...], bytes_per_value: int = 1) -> None:
        """Refuse a declared shape (T, H, W[, 3]) before anything of that size is allocated.

        Raises UnreadableInput for no frames, for sides no ultrasound frame has and for more bytes than the limit.
        """
        frames, height, width = shape[:3]
        if frames < 1:
            raise UnreadableInput(f"{path}: it holds no frame; export the clip again.")
        if min(height, width) < SMALLEST_SIDE:
            raise UnreadableInput(
                f"{path}: its frames are {width} × {height} pixels, too small for an ultrasound image "
                f"(at least {SMALLEST_SIDE} × {SMALLEST_SIDE}); choose another file."
            )
        if max(height, width) > LARGEST_SIDE:
            raise UnreadableInput(
                f"{path}: its frames are {width} × {height} pixels, no ultrasound image is larger than "
                f"{LARGEST_SIDE} a side; the header is damaged or the file is no ultrasound image."
            )
        needed = int(np.prod([int(n) for n in shape], dtype=object)) * bytes_per_value
        limit = self.limit if self.limit is not None else int(MEMORY_SHARE * _available_memory())
        if needed > limit or frames > MOST_FRAMES:
            raise UnreadableInput(
                f"{path}: it declares {frames} frames of {width} × {height} pixels, {needed / 2**30:.1f} GiB, and "
                f"{limit / 2**30:.1f} GiB may be used; cut the clip, or the header is damaged."
            )


def _available_memory() -> int:
    try:
        import psutil
    except ImportError:  # a fresh Slicer before the packages were installed
        return _MEMORY_IF_UNKNOWN
    return int(psutil.virtual_memory().available)


def size_notes(shape: tuple[int, ...]) -> tuple[str, ...]:
    """A sentence about frames that are far larger than a scanner's screen, if they are."""
    if max(shape[1:3]) <= UNUSUAL_SIDE:
        return ()
    return (f"Frames of {shape[2]} × {shape[1]} pixels are unusually large; every step takes longer on them.",)


def frame_error(path: Path, index: int, count: int, reason: str) -> UnreadableInput:
    """The error for one damaged frame; frames are counted from 1 for people."""
    lines = "".join(c if c.isprintable() else " " for c in reason.strip().partition("\n")[0])
    reason = lines.rstrip(" :.")[:160] or "no reason given"
    which = f"frame {index + 1} of {count}" if count > 1 else "the image"
    return UnreadableInput(f"{path}: {which} is damaged ({reason}); export or copy the file again.")


def assumed_times(count: int, reason: str) -> tuple[np.ndarray, str]:
    """Times (T,) in s and their ``timing`` for a clip whose frame times are not known."""
    if count == 1:
        return np.zeros(1), "still"
    return np.arange(count) * ASSUMED_STEP, f"unknown: {reason}; {1 / ASSUMED_STEP:g} frames/s assumed"


def increasing(times: np.ndarray) -> bool:
    """Whether times (T,) in s are finite and at least a millisecond apart."""
    return bool(np.isfinite(times).all()) and bool((np.diff(times) >= SHORTEST_STEP * 0.999).all())


# mm; from a microscope's to a whole patient's
SMALLEST_PIXEL, LARGEST_PIXEL = 0.001, 10


def checked_spacing(row: float, column: float) -> str:
    """Why (row, column) mm per pixel cannot be those of an ultrasound image; "" if they can."""
    if not (np.isfinite(row) and np.isfinite(column)):
        return "the pixel size is not a number"
    if min(row, column) <= 0:
        return "the pixel size is zero or negative"
    if min(row, column) < SMALLEST_PIXEL or max(row, column) > LARGEST_PIXEL:
        return f"a pixel of {row:.4g} × {column:.4g} mm is impossible in an ultrasound image"
    return ""


def user_spacing(spacing: tuple[float, float]) -> tuple[float, float]:
    """The (row, column) mm per pixel the user gave, checked; raises InvalidRequest."""
    if len(spacing) != 2 or checked_spacing(float(spacing[0]), float(spacing[1])):
        raise InvalidRequest(
            f"The pixel size {' × '.join(f'{float(side):.4g}' for side in spacing)} mm is impossible: "
            f"give row and column, each from {SMALLEST_PIXEL} to {LARGEST_PIXEL} mm."
        )
    return float(spacing[0]), float(spacing[1])


def to_eight_bits(values: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """Grey or colour values of a whole clip (T, ...) as uint8, and the sentence that says how, "" if unchanged.

    The rule, chosen because files rarely say how many of their bits are in use: black stays black, and the smallest
    of 8, 10, 12, 14, 16, 24, 32 bits that holds the brightest value of the clip becomes the full range 0 to 255.
    8-bit values in a wider type are therefore unchanged. Fractions in 0..1 count as full range. Values below zero
    have no black; then the clip's minimum to maximum is the full range.
    Raises UnreadableInput naming the frame for NaN or infinite values.
    """
    if values.dtype == np.uint8:
        return values, ""
    if values.dtype == bool:
        return values.astype(np.uint8) * 255, "Black and white was stored; it is shown as 0 and 255."
    if values.dtype.kind not in "iuf":
        raise UnreadableInput(f"{path}: pixels of type {values.dtype} are no ultrasound image; export grey or RGB.")
    if values.dtype.kind == "f":
        for index, frame in enumerate(values):
            if not np.isfinite(frame).all():
                raise UnreadableInput(
                    f"{path}: frame {index + 1} of {len(values)} holds values that are not numbers "
                    "(NaN or infinite); export it as 8-bit grey or RGB."
                )
    low, high = float(values.min()), float(values.max())
    if low < 0:
        scale, offset = 255.0 / (high - low) if high > low else 0.0, low
        note = f"Values from {low:g} to {high:g} were scaled to 0 to 255."
    elif values.dtype.kind == "f" and high <= 1:
        scale, offset, note = 255.0, 0.0, "Fractions 0 to 1 were scaled to 0 to 255."
    elif high <= 255:
        scale, offset = 1.0, 0.0
        note = f"8-bit values stored as {values.dtype} were read unchanged."
    else:
        bits = next((b for b in (10, 12, 14, 16, 24, 32) if high < 2**b), None)
        top = float(2**bits - 1) if bits else high
        scale, offset = 255.0 / top, 0.0
        note = f"Values up to {high:g} were scaled from {bits or 'more than 32'} bits to 8 bits."
    result = np.empty(values.shape, dtype=np.uint8)
    for index, frame in enumerate(values):  # frame by frame: a float copy of the clip would be many times its size
        scaled = (frame.astype(np.float64) - offset) * scale
        result[index] = np.clip(np.rint(scaled), 0, 255)
    return result, note


def ignorable(path: Path) -> bool:
    """Whether a file in a folder is bookkeeping of a system or of a DICOM medium, not an image."""
    return path.name.startswith(".") or path.name.casefold() in ("thumbs.db", "desktop.ini", "dicomdir")


def believed_spacing(spacing: tuple[float, float], source: str) -> tuple[tuple[float, float] | None, str]:
    """(row, column) mm and its ``Cine.calibration``; None with the reason when it is impossible or a default.

    1 × 1 mm is what Slicer and ITK write when the size is not known, so it is not believed.
    """
    problem = checked_spacing(*spacing)
    if problem:
        return None, f"unknown: {problem} ({source})"
    if spacing == (1.0, 1.0):
        return None, f"unknown: 1 × 1 mm ({source}) is what is written when it is not known"
    return spacing, source


def rgb_only(data: np.ndarray) -> np.ndarray:
    """A clip (T, H, W) or (T, H, W, C) without its transparency channel."""
    return data[..., :3] if data.ndim == 4 else data
