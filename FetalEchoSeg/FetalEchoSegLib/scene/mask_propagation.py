"""Carrying the mask of one structure from a frame to those after or before it: prepare, run in any thread, place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

from ..anatomy import RING_UNIONS, STRUCTURES, Structure
from ..errors import InvalidRequest
from .click_target import sequencePixels
from .review import protectedFrames
from .segmentation_nodes import (
    BY_CLICKS,
    CINE_REFERENCE,
    DRAWN_BY,
    MASK_CHECKSUM,
    drawnBy,
    itemOfFrame,
    labelsOfFrame,
    maskSequence,
    setFrameAttributes,
    setFrameLabels,
)

if TYPE_CHECKING:
    from ..promptable.model import Embedding
    from ..promptable.propagation import Carried, CarriedFrame
    from ..promptable.refiner import Refiner
    from ..segmentation import IsCancelled, Progress


class MaskPropagation:
    """One mask on its way through the clip. Made and placed on the main thread; ``run`` touches nothing of the scene.

    masks      the sequence of segmentations
    structure  whose mask it is; a ring (whole heart, thorax) is carried as what it encloses
    fromFrame  where the mask comes from
    frames     where it is to be carried, in that order
    """

    def __init__(
        self,
        masks: Any,
        fromFrame: int,
        structure: Structure,
        direction: int = 1,
        limit: int | None = None,
        model: str = "",
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Take the clip and the mask out of the scene as they are now.

        direction  1 to the frames after, -1 to those before
        limit      frames at most; None for all that there are
        model      name or folder of a bundle that answers clicks; "" for the default one
        Raises InvalidRequest for an empty mask, for frames outside the clip and for a clip that is not in the scene.
        """
        self.masks = maskSequence(masks)
        self.structure = structure
        self.fromFrame = fromFrame
        self.frames = _framesAhead(self.masks, fromFrame, direction, limit)
        self._mask = _enclosed(labelsOfFrame(self.masks, fromFrame), structure)
        if not self._mask.any():
            raise InvalidRequest(
                f"There is nothing to carry: {structure.info.title} is empty in frame {fromFrame}. Draw it there first."
            )
        clip = self.masks.GetNodeReference(CINE_REFERENCE)
        if clip is None:
            raise InvalidRequest(f"The clip of '{self.masks.GetName()}' is not in the scene: load it first.")
        self._source = sequencePixels(clip)
        self._direction = direction
        self._found: list[CarriedFrame] = []
        self._modelOptions = (model, device, precision)

    def run(
        self,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
        refiner: Refiner | None = None,
    ) -> Carried:
        """Load the model unless it is loaded, and carry the mask as far as the frames agree; from any thread, once.

        progress  called with (frames done, frames in all), first as (0, frames in all) when the model is loaded
        refiner   whose embeddings are used and added to, if it has the same model: frames around a click are encoded
        Once ``cancelled()`` says yes the frames that were reached are returned.
        Raises UnusableBundle, MissingDependency, InvalidRequest, and Cancelled while another thread loads the model.
        """
        from ..promptable.embeddings import EmbeddingCache, FrameKey
        from ..promptable.loading import cached_promptable
        from ..promptable.propagation import carry

        model = cached_promptable(*self._modelOptions, cancelled)
        cache = refiner.cache if refiner is not None and refiner.model is model else EmbeddingCache()
        if progress is not None:
            progress(0, len(self.frames))

        def embedding(frame: int) -> Embedding:
            key = FrameKey(self._source.volume, self._source.modified, frame)
            found = cache.get(key)
            if found is None:
                found = model.embed(self._source.frame(frame), cancelled)
                cache.put(key, found)
            return found

        return carry(
            model,
            embedding,
            len(self._source),
            self.fromFrame,
            self._mask,
            1 if self._direction > 0 else -1,
            len(self.frames),
            progress=progress,
            cancelled=cancelled,
            found=self._found,
        )

    def carriedSoFar(self) -> Carried | None:
        """What was reached while ``run`` still works, or before it failed; None when that is nothing."""
        from ..promptable.propagation import Carried

        found = tuple(self._found)
        text = f"Cancelled after {len(found)} of {len(self.frames)} frames; those are kept."
        return Carried(found, text) if found else None

    def drawn(self, carried: CarriedFrame) -> np.ndarray:
        """(H, W) bool: the structure's pixels on a frame once its mask is placed; a ring leaves out its content."""
        return _within(carried.mask, labelsOfFrame(self.masks, carried.frame), self.structure)

    def place(
        self, carried: Carried, frames: Iterable[int] | None = None, mayReplace: Iterable[int] = ()
    ) -> PlacedMasks:
        """Write carried masks into their frames, which are "clicks" from then on.

        frames      which of the carried ones; None for all
        mayReplace  frames that are written although they hold the user's work; the others that do are kept
        Other structures lose only the pixels on which the mask comes to lie, as in the Segment Editor. Raises
        InvalidRequest for other frames and when the masks were removed meanwhile; nothing is changed then.
        """
        if self.masks.GetScene() is None:
            raise InvalidRequest("The masks were removed while one of them was carried: segment the clip again.")
        reached = {found.frame: found for found in carried.frames}
        wanted = sorted(reached if frames is None else set(frames))
        if stray := [frame for frame in wanted if frame not in reached]:
            raise InvalidRequest(f"The mask was not carried to frame {stray[0]}: choose among those it has reached.")
        kept = sorted(set(wanted) & set(protectedFrames(self.masks)).difference(mayReplace))
        written = [frame for frame in wanted if frame not in kept]
        before = [_FrameState.of(self.masks, frame) for frame in written]
        for frame in written:
            labels = np.where(self.drawn(reached[frame]), np.uint8(self.structure), np.uint8(0))
            setFrameLabels(self.masks, frame, labels, BY_CLICKS, (self.structure,))
        after = [itemOfFrame(self.masks, frame).GetAttribute(MASK_CHECKSUM) for frame in written]
        return PlacedMasks(self.masks, self.structure, tuple(written), tuple(kept), carried.stopped, before, after)


class PlacedMasks:
    """What was written by a propagation; it can be taken back.

    frames   numbers of the frames that were written, in order
    kept     frames that the mask has reached and that were not written, because they hold the user's work
    stopped  a sentence on why the propagation ended, "" when it reached its end
    """

    def __init__(
        self,
        masks: Any,
        structure: Structure,
        frames: tuple[int, ...],
        kept: tuple[int, ...],
        stopped: str,
        before: list[_FrameState],
        after: list[str],
    ) -> None:
        self.masks = masks
        self.structure = structure
        self.frames = frames
        self.kept = kept
        self.stopped = stopped
        self._before = dict(zip(frames, before, strict=True))
        self._after = dict(zip(frames, after, strict=True))

    def takeBack(self) -> tuple[int, ...]:
        """Bring back the masks that were there before, with who drew them; returns the frames.

        Frames that were changed since keep what they have. A second time nothing is left to take back.
        """
        if self.masks.GetScene() is None:
            self._before.clear()
        unchanged = [frame for frame in self._before if self._isUnchanged(frame)]
        for frame in unchanged:
            self._before[frame].restore(self.masks, frame)
        self._before.clear()
        return tuple(unchanged)

    def _isUnchanged(self, frame: int) -> bool:
        item = itemOfFrame(self.masks, frame)
        return item.GetAttribute(MASK_CHECKSUM) == self._after[frame] and drawnBy(self.masks, frame) == BY_CLICKS


@dataclass(frozen=True)
class _FrameState:
    """Masks of a frame and who drew them.

    labels      (H, W) uint8
    attributes  of the frame's item, by name
    authors     of its segments
    """

    labels: np.ndarray
    attributes: dict[str, str | None]
    authors: dict[Structure, str]

    @classmethod
    def of(cls, masks: Any, index: int) -> _FrameState:
        """As they are now."""
        item = itemOfFrame(masks, index)
        authors = {}
        for structure, info in STRUCTURES.items():
            tag = vtk.mutable("")
            segment = item.GetSegmentation().GetSegment(info.segment_id)
            authors[structure] = str(tag) if segment is not None and segment.GetTag(DRAWN_BY, tag) else ""
        attributes = {name: item.GetAttribute(name) for name in (DRAWN_BY, MASK_CHECKSUM)}
        return cls(labelsOfFrame(masks, index), attributes, authors)

    def restore(self, masks: Any, index: int) -> None:
        """Write them back."""
        setFrameLabels(masks, index, self.labels)
        segmentation = itemOfFrame(masks, index).GetSegmentation()
        for structure, author in self.authors.items():
            segmentation.GetSegment(structure.info.segment_id).SetTag(DRAWN_BY, author)
        setFrameAttributes(masks, index, self.attributes)


def _framesAhead(masks: Any, fromFrame: int, direction: int, limit: int | None) -> list[int]:
    itemOfFrame(masks, fromFrame)  # raises for a frame outside the clip
    if direction not in (1, -1):
        raise InvalidRequest("A mask is carried forward (1) or backward (-1).")
    if limit is not None and limit < 1:
        raise InvalidRequest(f"A mask is carried to 1 frame or more, not {limit}.")
    end = masks.GetNumberOfDataNodes() if direction > 0 else -1
    frames = list(range(fromFrame + direction, end, direction))[:limit]
    if not frames:
        where = "last one: there is none after it" if direction > 0 else "first one: there is none before it"
        raise InvalidRequest(f"Frame {fromFrame} is the {where} to carry a mask to.")
    return frames


def _enclosed(labels: np.ndarray, structure: Structure) -> np.ndarray:
    """(H, W) bool: the structure's own pixels, for a ring with those that it encloses; none where it has none."""
    own = labels == structure
    if not own.any():
        return own
    return np.isin(labels, [int(s) for s in RING_UNIONS.get(structure, (structure,))])


def _within(mask: np.ndarray, labels: np.ndarray, structure: Structure) -> np.ndarray:
    """What of a carried mask belongs to the structure itself in the exclusive map."""
    content = [int(s) for s in RING_UNIONS.get(structure, ()) if s is not structure]
    return mask & ~np.isin(labels, content)
