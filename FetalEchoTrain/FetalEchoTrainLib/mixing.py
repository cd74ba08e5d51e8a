"""CutMix and MixUp between frames of the same view: elsewhere a heart would get vessels that its view cannot show.

Partners are neighbours: rows 2k and 2k + 1 of a batch, which the loader fills with frames of one view. That way a batch
cut in two for two processes is mixed as the whole is. Where the neighbour is of another view, or the same frame again,
nothing is mixed.

Both mix any array or tensor whose first axis is the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def partners(views: Sequence[int] | np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """(B,) int64 row that each row is mixed with; its own where there is none."""
    rows = np.arange(len(views))
    for first in range(0, len(views) - 1, 2):
        if views[first] == views[first + 1] and ids[first] != ids[first + 1]:
            rows[first], rows[first + 1] = first + 1, first
    return rows


@dataclass(frozen=True)
class CutMix:
    """A rectangle of each frame taken from its partner.

    partners  (B,) rows
    boxes     (B, 4) top, bottom, left, right in pixels; empty where nothing is mixed
    """

    partners: np.ndarray
    boxes: np.ndarray

    def mix(self, values: Any) -> Any:
        """A mixed copy of a (B, ..., S, S) array or tensor: images, labels, confidences."""
        mixed = values.clone() if hasattr(values, "clone") else values.copy()
        for row, (partner, box) in enumerate(zip(self.partners, self.boxes, strict=True)):
            top, bottom, left, right = (int(edge) for edge in box)
            if partner != row and bottom > top and right > left:
                mixed[row, ..., top:bottom, left:right] = values[int(partner), ..., top:bottom, left:right]
        return mixed

    @property
    def share(self) -> np.ndarray:
        """(B,) pixels taken from the partner."""
        heights, widths = self.boxes[:, 1] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 2]
        return heights * widths * (self.partners != np.arange(len(self.partners)))


def draw_box(size: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """(4,) a rectangle of 2 to 40 % of the area, its sides up to 1 : 3 (as in UniMatch), or an empty one."""
    if rng.random() >= probability:
        return np.zeros(4, dtype=np.int64)
    area, ratio = rng.uniform(0.02, 0.4) * size * size, np.exp(rng.uniform(-1, 1) * np.log(3))
    height = int(np.clip(round(np.sqrt(area * ratio)), 1, size))
    width = int(np.clip(round(np.sqrt(area / ratio)), 1, size))
    top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    return np.array([top, top + height, left, left + width], dtype=np.int64)


@dataclass(frozen=True)
class MixUp:
    """Each frame averaged with its partner.

    partners  (B,) rows
    weights   (B,) float32 weight of the row itself, 1/2 to 1; 1 where nothing is mixed
    """

    partners: np.ndarray
    weights: np.ndarray

    @classmethod
    def draw(cls, views: Sequence[int] | np.ndarray, alpha: float, rng: np.random.Generator) -> MixUp:
        """Weights from Beta(alpha, alpha); a partner is any other row of the same view.

        0 for ``alpha`` mixes nothing.
        """
        views = np.asarray(views)
        rows = np.arange(len(views))
        chosen = rows.copy()
        for view in np.unique(views):
            members = rows[views == view]
            if len(members) > 1:
                # A shuffled cycle: nobody is his own partner.
                members = rng.permutation(members)
                chosen[members] = np.roll(members, 1)
        weights = np.ones(len(views), dtype=np.float32)
        if alpha > 0:
            drawn = rng.beta(alpha, alpha, len(views)).astype(np.float32)
            weights = np.where(chosen == rows, 1, np.maximum(drawn, 1 - drawn)).astype(np.float32)
        return cls(chosen, weights)

    def mix(self, values: Any) -> Any:
        """A mixed copy of a floating-point (B, ...) array or tensor: images, features, truths."""
        shape = (-1, *([1] * (values.ndim - 1)))
        if hasattr(values, "new_tensor"):
            weights = values.new_tensor(self.weights).reshape(shape)
            return weights * values + (1 - weights) * values[self.partners.tolist()]
        weights = self.weights.reshape(shape)
        return weights * values + (1 - weights) * values[self.partners]
