"""From a frame of any size to the square grey image a network sees, and back.

Frames are padded to a square before resizing, so that a 4:3 clip keeps its proportions: cardiac axis and vessel ratios
mean nothing in a stretched image. A square frame (FETUS 2026: 512 × 512) is untouched by the padding, and halving it
equals the bilinear resize of the official baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cine import to_gray


@dataclass(frozen=True)
class Letterbox:
    """Where a frame of (height, width) pixels lies in its square."""

    height: int
    width: int

    @property
    def side(self) -> int:
        """Pixels on a side of the square."""
        return max(self.height, self.width)

    @property
    def top(self) -> int:
        """Row of the frame's first pixel in the square."""
        return (self.side - self.height) // 2

    @property
    def left(self) -> int:
        """Column of the frame's first pixel in the square."""
        return (self.side - self.width) // 2

    def pad(self, image: np.ndarray) -> np.ndarray:
        """(H, W) to (side, side), black outside the frame."""
        if self.height == self.width:
            return image
        square = np.zeros((self.side, self.side), dtype=image.dtype)
        square[self.top : self.top + self.height, self.left : self.left + self.width] = image
        return square

    def crop(self, square: np.ndarray) -> np.ndarray:
        """(..., side, side) back to (..., H, W)."""
        return square[..., self.top : self.top + self.height, self.left : self.left + self.width]


def network_input(frame: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 in 0..1 from a (H, W) or (H, W, 3) uint8 frame."""
    gray = to_gray(frame)
    square = Letterbox(*gray.shape).pad(gray)
    return resize(square, size).astype(np.float32) / 255.0


def resize(square: np.ndarray, size: int) -> np.ndarray:
    """Resize (S, S) uint8 or float32 to (size, size): area average down, bilinear up (half-pixel centres)."""
    import cv2

    if square.shape[0] == size:
        return square
    shrinking = square.shape[0] > size
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
