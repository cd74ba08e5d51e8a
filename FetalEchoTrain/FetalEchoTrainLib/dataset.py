"""Frames to train on: where they lie, what is known about them, and how one becomes arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.fetus_layout import read_image, read_label


@dataclass(frozen=True)
class Frame:
    """One frame on disk.

    path          image file, or clip of which it is frame ``index``
    group         patient; frames of one group never lie on two sides of a split
    part          the list or folder that names it, for messages
    digest        of its grey pixels: equal pictures have equal ones, whatever their file
    label         label file, None where nobody has drawn
    conditions    (7) 0 or 1, None without label
    structures    labels in its mask, without background
    label_digest  of mask and conditions, "" without label
    truth         label file of an unlabelled phantom frame; training reads it only to log how right it was
    """

    path: Path
    view: View
    group: str
    part: str
    digest: str
    label: Path | None = None
    conditions: tuple[int, ...] | None = None
    structures: tuple[int, ...] = ()
    label_digest: str = ""
    index: int = 0
    truth: Path | None = None

    @property
    def labelled(self) -> bool:
        """Whether somebody has drawn a mask."""
        return self.label is not None

    def __str__(self) -> str:
        return f"{self.path}, frame {self.index}" if self.index else str(self.path)


@dataclass(frozen=True)
class TrainingData:
    """Frames by what they are for; ``tests`` by the name of the part."""

    labelled: tuple[Frame, ...]
    unlabelled: tuple[Frame, ...]
    validation: tuple[Frame, ...]
    calibration: tuple[Frame, ...]
    tests: Mapping[str, tuple[Frame, ...]]

    def parts(self) -> Iterator[tuple[str, tuple[Frame, ...]]]:
        """Every part with its name, in the order of the work."""
        yield "labelled", self.labelled
        yield "unlabelled", self.unlabelled
        yield "validation", self.validation
        yield "calibration", self.calibration
        for name, frames in self.tests.items():
            yield f"test: {name}", frames

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of what every part holds, pixels and labels; files may be moved and renamed."""
        total = hashlib.sha256()
        for name, frames in self.parts():
            total.update(f"{name}\n".encode())
            for line in sorted(f"{frame.digest} {int(frame.view)} {frame.label_digest}\n" for frame in frames):
                total.update(line.encode())
        return total.hexdigest()


@dataclass(frozen=True)
class Sample:
    """A frame at the network's size.

    image       (S, S) uint8 grey
    mask        (S, S) uint8 structure ids, None without label
    view        1 to 4
    conditions  (7,) float32, 0 or 1, None without label
    """

    image: np.ndarray
    mask: np.ndarray | None
    view: int
    conditions: np.ndarray | None


def read_frame(frame: Frame, size: int) -> Sample:
    """Read a frame, grey and reduced exactly as inference does; raises InvalidDataset or UnreadableInput."""
    image = reduce_image(read_pixels(frame.path, frame.index), size)
    if frame.label is None:
        return Sample(image, None, int(frame.view), None)
    label = read_label(frame.label)
    return Sample(image, reduce_mask(label.mask, size), int(frame.view), label.label.astype(np.float32))


def read_truth(frame: Frame, size: int) -> np.ndarray | None:
    """(S, S) uint8 mask that the phantom knows of an unlabelled frame, None for any other; only for logging."""
    return None if frame.truth is None else reduce_mask(read_label(frame.truth).mask, size)


def read_pixels(path: Path, index: int = 0) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 of one frame of any file that FetalEcho opens."""
    if path.suffix == ".h5":
        return read_image(path).image
    from FetalEchoSegLib.readers import read_cine

    return read_cine(path, view_required=False).frame(index)


def digest_of(pixels: np.ndarray) -> str:
    """32 hexadecimal digits of a frame's grey pixels and size."""
    import cv2

    grey = pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    return hashlib.sha256(f"{grey.shape}".encode() + np.ascontiguousarray(grey).tobytes()).hexdigest()[:32]


def reduce_image(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W[, 3]) uint8 frame to (size, size) uint8 grey, as ``preprocessing.network_input`` has it."""
    from FetalEchoSegLib.preprocessing import network_input

    return (network_input(pixels, size) * 255 + 0.5).astype(np.uint8)


def reduce_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """(H, W) uint8 mask to (size, size), padded to a square as images are; each pixel goes to its area's majority.

    Taking every k-th pixel instead would shift edges.
    """
    from FetalEchoSegLib.preprocessing import Letterbox, resize

    square = Letterbox(*mask.shape).pad(mask)
    if square.shape[0] == size:
        return square.copy()
    best = np.full((size, size), -1, dtype=np.float32)
    reduced = np.zeros((size, size), dtype=np.uint8)
    for value in np.unique(square):
        share = resize((square == value).astype(np.float32), size)
        wins = share > best
        reduced[wins], best[wins] = value, share[wins]
    return reduced
