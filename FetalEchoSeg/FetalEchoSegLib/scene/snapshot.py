"""A clip taken out of the scene, for a thread that must not touch the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cine import Cine
from .cine_nodes import SequenceFrames, cineFromSequence, cineSequence


@dataclass(frozen=True)
class _Frames:
    """Frames for Cine, each (H, W) or (H, W, 3) uint8."""

    frames: Sequence[np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W) or (T, H, W, 3)."""
        return (len(self.frames), *self.frames[0].shape)

    def read(self, index: int) -> np.ndarray:
        """Frame ``index`` in the scene's own memory, if it is uint8 there."""
        return self.frames[index]


class _SnapshotCine(Cine):
    """Keeps no second copy of the frames."""

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index``, (H, W) or (H, W, 3) uint8."""
        return self.source.read(range(len(self))[index])


def cineSnapshot(node: Any) -> Cine:
    """The clip of a sequence or browser as it is now, readable from any thread, also after its nodes were deleted.

    Pixels are not copied (other types than uint8 are): each array keeps the memory of its frame. Only ``frame`` and
    numbers are for use, not ``frames``. Raises what ``cineFromSequence`` does, and UnreadableInput for a frame that
    does not fit the others.
    """
    cine = cineFromSequence(node)
    source = SequenceFrames(cineSequence(node))
    frames = [source.read(index) for index in range(len(cine))]
    return _SnapshotCine(
        _Frames(frames), cine.times, cine.timing, cine.spacing, cine.calibration, cine.view, cine.origin, cine.notes
    )
