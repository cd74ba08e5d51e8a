"""The Cine: an ultrasound clip with its times, calibration and origin.

A still image is a Cine with one frame. Frames are decoded on first use and each is kept exactly once, so that
stepping, segmenting and saving a 2000-frame clip never decode it twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from .anatomy import View


class FrameSource(Protocol):
    """Where a reader's frames come from.

    shape  (T, H, W) for grey or (T, H, W, 3) for RGB; known without decoding any frame.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W) or (T, H, W, 3)."""
        ...

    def read(self, index: int) -> np.ndarray:
        """Decode frame ``index``: (H, W) or (H, W, 3) uint8; raises UnreadableInput when it is damaged."""
        ...


@dataclass(frozen=True)
class ArraySource:
    """Frames that are in memory already: (T, H, W) or (T, H, W, 3) uint8."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W) or (T, H, W, 3)."""
        return self.array.shape

    def read(self, index: int) -> np.ndarray:
        """Frame ``index``, a view."""
        return self.array[index]


@dataclass(frozen=True)
class Origin:
    """Where a clip came from, without identity.

    path          the file or folder it was read from, None for generated clips
    uid           SOP instance UID or another stable id, "" when there is none
    patient_hash  salted hash of the patient id (``hash_patient``), "" when unknown; never a name
    """

    path: Path | None = None
    uid: str = ""
    patient_hash: str = ""


def hash_patient(patient_id: str, salt: str = "FetalEcho") -> str:
    """Sixteen hexadecimal digits that group a patient's clips without naming the patient; "" for an empty id."""
    if not patient_id.strip():
        return ""
    return hashlib.sha256(f"{salt}:{patient_id.strip()}".encode()).hexdigest()[:16]


@dataclass
class Cine:
    """An ultrasound clip.

    source       decodes frames on demand; ``Cine.from_array`` wraps frames that exist already
    times        (T,) float64 seconds, strictly increasing; frame numbers times a nominal step if unknown
    timing       where ``times`` comes from ("FrameTime", "FrameTimeVector", ...); starts with "unknown" if assumed
    spacing      (row, column) in mm per pixel, or None
    calibration  where ``spacing`` comes from ("dicom region 0", "user"); starts with "unknown" if there is none
    view         the view the file or the user names, or None
    notes        sentences a user should see (a region larger than the image, an assumed frame time)
    """

    source: FrameSource
    times: np.ndarray
    timing: str
    spacing: tuple[float, float] | None = None
    calibration: str = "unknown: not stated in the file"
    view: View | None = None
    origin: Origin = field(default_factory=Origin)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.times = np.asarray(self.times, dtype=np.float64)
        shape = self.source.shape
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or min(shape) < 1:
            raise ValueError(f"frames must be (T, H, W) or (T, H, W, 3) and not empty, got {shape}")
        if self.times.shape != (shape[0],):
            raise ValueError(f"{shape[0]} frames need as many times, got {self.times.shape}")
        if not np.all(np.isfinite(self.times)) or (shape[0] > 1 and np.diff(self.times).min() <= 0):
            raise ValueError("frame times must be finite and strictly increasing")
        if self.spacing is not None and not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise ValueError(f"spacing must be positive mm per pixel, got {self.spacing}")
        # A single-array source needs no second array; others are decoded into one, frame by frame.
        self._frames: np.ndarray | None = self.source.array if isinstance(self.source, ArraySource) else None
        self._decoded = np.full(shape[0], isinstance(self.source, ArraySource))

    @classmethod
    def from_array(
        cls, frames: np.ndarray, times: np.ndarray | None = None, frame_rate: float | None = None, **fields: object
    ) -> Cine:
        """Clip from frames in memory, (T, H, W) or (T, H, W, 3) uint8; a single (H, W) image is a still.

        Times in seconds, or a frame rate in Hz; with neither, 1 s per frame and a timing that says so.
        """
        frames = np.asarray(frames)
        if frames.dtype != np.uint8:
            raise ValueError(f"frames must be uint8, got {frames.dtype}")
        if frames.ndim == 2:
            frames = frames[np.newaxis]
        count = frames.shape[0]
        if times is None:
            times = np.arange(count) / (frame_rate or 1.0)
            default = "frame rate" if frame_rate else "unknown: no frame time given"
        else:
            default = "given"
        timing = str(fields.pop("timing", default))
        return cls(source=ArraySource(frames), times=times, timing=timing, **fields)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W) or (T, H, W, 3), without decoding."""
        return self.source.shape

    @property
    def image_shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.source.shape[1], self.source.shape[2]

    @property
    def is_color(self) -> bool:
        """Whether frames carry RGB."""
        return len(self.source.shape) == 4

    @property
    def is_calibrated(self) -> bool:
        """Whether millimetres can be given."""
        return self.spacing is not None

    @property
    def has_known_times(self) -> bool:
        """Whether seconds (heart rate, curves) can be given."""
        return not self.timing.startswith("unknown")

    @property
    def frame_rate(self) -> float | None:
        """Mean frames per second, None for a still or when times are unknown."""
        if len(self) < 2 or not self.has_known_times:
            return None
        return float((len(self) - 1) / (self.times[-1] - self.times[0]))

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index``, (H, W) or (H, W, 3) uint8; a view into the clip's one array."""
        if self._frames is None:
            # Uninitialised pages cost nothing until their frame is decoded.
            self._frames = np.empty(self.source.shape, dtype=np.uint8)
        if not self._decoded[index]:
            self._frames[index] = self.source.read(range(len(self))[index])
            self._decoded[index] = True
        return self._frames[index]

    @property
    def frames(self) -> np.ndarray:
        """All frames, (T, H, W) or (T, H, W, 3) uint8, decoding those that were not used yet."""
        for index in np.flatnonzero(~self._decoded):
            self.frame(int(index))
        assert self._frames is not None
        return self._frames

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.frame(index) for index in range(len(self)))


def to_gray(frame: np.ndarray) -> np.ndarray:
    """Luma of an RGB frame, (H, W) uint8 (ITU-R BT.601, the weighting of the FETUS baseline); grey passes through."""
    if frame.ndim == 2:
        return frame
    weights = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)
    return np.clip(frame.astype(np.float32) @ weights + 0.5, 0, 255).astype(np.uint8)
