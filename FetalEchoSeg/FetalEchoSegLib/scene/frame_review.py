"""What is known of each frame of a segmented clip, kept up to date without reading all masks again and again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..anatomy import N_LABELS, STRUCTURES, Structure
from ..review import Review, frames_to_review, label_areas
from .review import acceptedFrames
from .segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    DRAWN_BY,
    FRAME_RESULT,
    MASK_CHECKSUM,
    drawnBy,
    itemOfFrame,
    labelsOfFrame,
)


class FrameReview:
    """Confidence, areas and author of each frame of a mask sequence.

    Everything is read once; afterwards only the frames that the caller names are read again.

    masks       the sequence of segmentations
    confidence  (T,) float32 0..1, NaN where the model did not segment the frame
    done        (T,) bool, frames that the model segmented
    areas       (T, 15) int64, pixels of each label as the masks are now
    drawnBy     "model", "clicks", "hand", or "" for nobody, for each frame
    accepted    (T,) bool
    """

    def __init__(self, masks: Any, floor: float | None = None) -> None:
        """Read all frames.

        floor  confidence below which a frame is doubtful; None for ``review.CONFIDENCE_FLOOR``
        Raises InvalidRequest for a sequence whose frame size is unknown.
        """
        count = masks.GetNumberOfDataNodes()
        self.masks = masks
        self.floor = floor
        self.confidence = np.full(count, np.nan, dtype=np.float32)
        self.done = np.zeros(count, dtype=bool)
        self.areas = np.zeros((count, N_LABELS), dtype=np.int64)
        self.drawnBy = [""] * count
        self.accepted = np.zeros(count, dtype=bool)
        self._imagePixels = 1
        self._states: list[tuple[Any, ...]] = [()] * count
        self._review: Review | None = None
        self.refreshChanged(range(count))
        self.refreshAccepted()

    def __len__(self) -> int:
        return len(self.drawnBy)

    def refreshChanged(self, edited: Iterable[int] = ()) -> list[int]:
        """Read the frames in ``edited`` again and those that were written by a program; returns their numbers."""
        edited = set(edited)
        changed = [k for k in range(len(self)) if k in edited or self._state(k) != self._states[k]]
        for index in changed:
            self.refreshFrame(index)
        return changed

    def _state(self, index: int) -> tuple[Any, ...]:
        """Differs after a change; the time alone does not when several changes were made as one."""
        item = self.masks.GetNthDataNode(index)
        return item.GetMTime(), *(item.GetAttribute(name) for name in (FRAME_RESULT, DRAWN_BY, MASK_CHECKSUM))

    def refreshFrame(self, index: int) -> None:
        """Read the masks of one frame again; raises InvalidRequest outside the clip."""
        self._states[index] = self._state(index)
        result = itemOfFrame(self.masks, index).GetAttribute(FRAME_RESULT)
        if result:
            values = json.loads(result)
            self.done[index] = values["done"]
            self.confidence[index] = np.nan if values["confidence"] is None else values["confidence"]
        labels = labelsOfFrame(self.masks, index)
        self._imagePixels = labels.size
        if labels.any():
            self.areas[index] = label_areas(labels)
        else:  # most of a long clip whose run was cancelled, and quicker
            self.areas[index] = labels.size, *(N_LABELS - 1) * [0]
        self.drawnBy[index] = drawnBy(self.masks, index, labels=labels)
        self._review = None

    def refreshAccepted(self) -> bool:
        """Read again which frames are accepted; whether that has changed."""
        before = self.accepted
        self.accepted = np.zeros(len(self), dtype=bool)
        self.accepted[acceptedFrames(self.masks)] = True
        self._review = None
        return not np.array_equal(before, self.accepted)

    @property
    def corrected(self) -> np.ndarray:
        """(T,) bool, frames with masks that a person drew or changed."""
        return np.array([author in (BY_HAND, BY_CLICKS) for author in self.drawnBy], dtype=bool)

    @property
    def review(self) -> Review:
        """Which frames need a look; accepted and corrected ones do not."""
        if self._review is None:
            self._review = frames_to_review(
                self.confidence, self.areas, self.done, self._imagePixels, self.accepted | self.corrected, self.floor
            )
        return self._review

    def presentStructures(self) -> set[Structure]:
        """Structures that have a pixel on some frame."""
        present = self.areas.any(axis=0)
        return {structure for structure in STRUCTURES if present[structure]}


def framesToReview(masks: Any, floor: float | None = None) -> list[int]:
    """Numbers of the frames that need a look, counted from 0, in order; see ``FetalEchoSegLib.review``."""
    return FrameReview(masks, floor).review.frames
