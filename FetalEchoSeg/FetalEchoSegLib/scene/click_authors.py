"""Who drew a frame in which the user clicks, also after undo and redo.

The editor's undo brings masks back and not what is known of them; without this a mask of the model that came back by
undo would count as drawn by hand.
"""

from __future__ import annotations

from typing import Any

from .click_target import ClickTarget
from .segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    CINE_REFERENCE,
    DRAWN_BY,
    MASK_CHECKSUM,
    drawnBy,
    itemOfFrame,
    labelsOfFrame,
    maskChecksum,
    setFrameAttributes,
)


class ClickAuthors:
    """Remembers who drew the masks between which the user clicks, undoes and redoes."""

    def __init__(self) -> None:
        self._authors: dict[tuple[str, int, str], str] = {}

    def before(self, target: ClickTarget) -> str:
        """Who drew the frame as it is now; "" where that is not kept."""
        if not _isKept(target):
            return ""
        labels = labelsOfFrame(target.masks, target.item)
        author = drawnBy(target.masks, target.item, labels=labels)
        self._authors[self._place(target, maskChecksum(labels))] = author
        return author

    def clicked(self, target: ClickTarget, before: str) -> None:
        """The segment was changed by a click. A frame that somebody had drawn in by hand stays one."""
        target.segment.SetTag(DRAWN_BY, BY_CLICKS)
        if not _isKept(target):
            return
        checksum = maskChecksum(labelsOfFrame(target.masks, target.item))
        author = BY_HAND if before == BY_HAND else BY_CLICKS
        self._authors[self._place(target, checksum)] = author
        setFrameAttributes(target.masks, target.item, {DRAWN_BY: author or None, MASK_CHECKSUM: checksum})

    def follow(self, target: ClickTarget) -> None:
        """Masks were changed by others: if these are ones from before or after a click, so is their author."""
        if not _isKept(target):
            return
        checksum = maskChecksum(labelsOfFrame(target.masks, target.item))
        author = self._authors.get(self._place(target, checksum))
        if author is not None and itemOfFrame(target.masks, target.item).GetAttribute(MASK_CHECKSUM) != checksum:
            setFrameAttributes(target.masks, target.item, {DRAWN_BY: author or None, MASK_CHECKSUM: checksum})

    @staticmethod
    def _place(target: ClickTarget, checksum: str) -> tuple[str, int, str]:
        return target.masks.GetID(), target.item, checksum


def _isKept(target: ClickTarget) -> Any:
    """Whether the target's frames know who drew them: those of a clip in the scene do."""
    return target.masks is not None and target.masks.GetNodeReference(CINE_REFERENCE) is not None
