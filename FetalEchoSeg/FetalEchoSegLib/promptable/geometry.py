"""From a frame of any size to the square image a promptable network sees, and masks back, without a shift.

Positions are (x, y) in pixels of the frame, 0 at the centre of its first pixel, fractions allowed. The frame is
stretched to the network's square on each axis by itself, as SAM-Med2D was trained.

Two samplings:

- ``nearest``, as SAM-Med2D is published: network pixel i shows frame pixel floor(i * W / S), and a prompt at x is given
  as x * S / W. Embedding, logits and predicted IoU equal the published implementation at any size. That implementation
  then enlarges the mask as if network pixel i showed the middle of its interval, which shifts it by half the scale
  (1.5 pixels for a frame of 1024); here it is enlarged where it was sampled.
- ``area``: average of the interval when shrinking, bilinear when enlarging, both centred; speckle does not alias.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from .configuration import PIXEL_MEAN, PIXEL_STD, PromptableConfig

Sampling = Literal["nearest", "area"]
# Logit of a pixel that belongs to a mask prompt for certain; answers of a trained network reach about as far.
MASK_PROMPT_LOGIT = 6.0


@dataclass(frozen=True)
class Geometry:
    """How a frame of (height, width) pixels lies in a network's square.

    size       pixels on a side of the image the encoder sees
    mask_size  pixels on a side of mask prompts and low-resolution answers
    """

    height: int
    width: int
    size: int
    mask_size: int
    sampling: Sampling = "nearest"

    @classmethod
    def of(cls, frame: np.ndarray, config: PromptableConfig, sampling: Sampling) -> Geometry:
        """Geometry of a (H, W) or (H, W, 3) frame in a network's square."""
        return cls(frame.shape[0], frame.shape[1], config.image_size, config.mask_size, sampling)

    def network_image(self, frame: np.ndarray) -> np.ndarray:
        """(3, S, S) float32, normalised, from a (H, W) or (H, W, 3) uint8 frame (RGB)."""
        if self.sampling == "nearest":
            rows, columns = (
                (np.arange(self.size) * (length / self.size)).astype(np.intp) for length in (self.height, self.width)
            )
            square = frame[rows[:, np.newaxis], columns].astype(np.float32)
        else:
            square = _resample(frame, self.size).astype(np.float32)
        if square.ndim == 2:
            square = np.repeat(square[:, :, np.newaxis], 3, axis=2)
        normalised = (square - np.array(PIXEL_MEAN, dtype=np.float32)) / np.array(PIXEL_STD, dtype=np.float32)
        return np.ascontiguousarray(normalised.transpose(2, 0, 1))

    def to_network(self, positions: np.ndarray) -> np.ndarray:
        """(..., 2) positions (x, y) in the frame to what the prompt encoder takes (it adds half a pixel itself)."""
        positions = np.asarray(positions, dtype=np.float64)
        scale = self.size / np.array([self.width, self.height], dtype=np.float64)
        if self.sampling == "nearest":
            return positions * scale
        return (positions + 0.5) * scale - 0.5

    def mask_prompt(self, masks: np.ndarray) -> np.ndarray:
        """(..., M, M) float32 logits from (..., H, W) bool masks: the share of each cell that the mask covers."""
        rows, columns = self._averaging(self.height), self._averaging(self.width)
        share = rows @ masks.astype(np.float32) @ columns.T
        return (2 * share - 1) * np.float32(MASK_PROMPT_LOGIT)

    def to_frame(self, logits: np.ndarray) -> np.ndarray:
        """(..., H, W) float32 logits from low-resolution ones (..., M, M); a pixel above 0 belongs to the mask."""
        rows, columns = self._enlarging(self.height), self._enlarging(self.width)
        enlarged: np.ndarray = rows @ logits.astype(np.float32, copy=False) @ columns.T
        return enlarged

    def _enlarging(self, length: int) -> np.ndarray:
        return _enlarging(length, self.size, self.mask_size, self.sampling)

    def _averaging(self, length: int) -> np.ndarray:
        return _averaging(length, self.size, self.mask_size, self.sampling)


def _resample(frame: np.ndarray, size: int) -> np.ndarray:
    import cv2

    height, width = frame.shape[:2]
    # Each axis by its own rule: a frame can be wider and lower than the square. Mostly both shrink, at once.
    if height > size and width > size:
        return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA))
    for target, length in (((width, size), height), ((size, size), width)):
        if length != size:
            frame = np.asarray(
                cv2.resize(frame, target, interpolation=cv2.INTER_AREA if length > size else cv2.INTER_LINEAR)
            )
    return frame


@lru_cache(maxsize=64)
def _enlarging(length: int, size: int, mask_size: int, sampling: Sampling) -> np.ndarray:
    """(length, M): bilinear from M to S and from S to the frame, as one matrix; borders are repeated."""
    to_square = _bilinear((np.arange(size) + 0.5) * mask_size / size - 0.5, mask_size)
    indices = np.arange(length) * (size / length)
    if sampling == "area":
        indices += 0.5 * size / length - 0.5
    return (_bilinear(indices, size) @ to_square).astype(np.float32)


def _bilinear(indices: np.ndarray, count: int) -> np.ndarray:
    """(N, count) weights that interpolate at fractional ``indices``."""
    indices = np.clip(indices, 0, count - 1)
    low = np.floor(indices).astype(np.intp)
    weights = np.zeros((len(indices), count))
    rows = np.arange(len(indices))
    weights[rows, np.minimum(low + 1, count - 1)] = indices - low
    weights[rows, low] += 1 - (indices - low)
    return weights


@lru_cache(maxsize=64)
def _averaging(length: int, size: int, mask_size: int, sampling: Sampling) -> np.ndarray:
    """(M, length): share of each frame pixel in each cell of a mask prompt; rows sum to 1."""
    edges = np.arange(mask_size + 1) * (size / mask_size)
    edges = edges * (length / size) if sampling == "area" else (edges - 0.5) * (length / size) + 0.5
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(overlap, 0, None)
    # A cell beyond the border repeats the last pixel.
    outside = weights.sum(1) <= 0
    middle = np.clip((edges[:-1] + edges[1:]) / 2, 0, length - 1).astype(np.intp)
    weights[outside, middle[outside]] = 1
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
