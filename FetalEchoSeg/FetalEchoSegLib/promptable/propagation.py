"""Carrying a mask from frame to frame of a clip, as long as the frames agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import Cancelled, InvalidRequest
from .model import Embedding, PromptableModel
from .prompts import Box, Prompts

Direction = Literal[1, -1]
BOX_MARGIN = 0.1  # of the box's sides: a wall moves by less between two frames
MINIMUM_AGREEMENT = 0.7


@dataclass(frozen=True, eq=False)
class CarriedFrame:
    """A mask that was carried to a frame.

    agreement  0 to 1, see ``carry``
    iou        the model's own prediction of its overlap with the truth
    """

    frame: int
    mask: np.ndarray
    agreement: float
    iou: float


@dataclass(frozen=True)
class Carried:
    """Masks by frame, in the order they were reached, and why it ended there.

    stopped    one sentence; "" when it reached its end
    agreement  of the frame that was not accepted, None if none was refused
    """

    frames: tuple[CarriedFrame, ...]
    stopped: str
    agreement: float | None = None


def carry(
    model: PromptableModel,
    embedding_of: Callable[[int], Embedding],
    count: int,
    from_frame: int,
    mask: np.ndarray,
    direction: Direction,
    limit: int | None,
    minimum_agreement: float = MINIMUM_AGREEMENT,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    found: list[CarriedFrame] | None = None,
) -> Carried:
    """Carry a (H, W) bool mask by mask-and-box prompts; see ``Refiner.propagate``.

    found  an empty list that is filled on the way, for who may not wait for the end

    Agreement of a frame is the smaller of two overlaps (IoU): of its mask with the one before, which a heart at any
    usual frame rate keeps above one half, and of the mask before with what comes back when the new mask is carried
    back to where it came from. An outline that leaked or jumped to a neighbour does not find its way back.
    Raises InvalidRequest for an empty mask, a frame outside the clip or a mask of another size.
    """
    if direction not in (1, -1):
        raise InvalidRequest("A mask is carried forward (1) or backward (-1).")
    if not 0 <= from_frame < count:
        raise InvalidRequest(f"There is no frame {from_frame}: the clip has frames 0 to {count - 1}.")
    if not mask.any():
        raise InvalidRequest("There is nothing to carry: the segment is empty in this frame.")
    to_come = list(range(from_frame + direction, count if direction > 0 else -1, direction))[:limit]
    found = [] if found is None else found
    mask = mask.astype(bool)
    try:
        here = embedding_of(from_frame)
        geometry = here.geometry
        if mask.shape != (geometry.height, geometry.width):
            raise InvalidRequest(
                f"The mask has {mask.shape[1]} x {mask.shape[0]} pixels and the frame {geometry.width} x "
                f"{geometry.height}: they must lie on the same grid."
            )
        memory = geometry.mask_prompt(mask)
        for frame in to_come:
            if cancelled is not None and cancelled():
                raise Cancelled("Cancelled.")
            there = embedding_of(frame)
            answer = model.answer(there, [Prompts(box=Box.around(mask, BOX_MARGIN), mask=memory)])[0]
            carried = answer.mask
            agreement = _overlap(carried, mask)
            if agreement >= minimum_agreement and carried.any():
                back = Prompts(box=Box.around(carried, BOX_MARGIN), mask=answer.logits)
                agreement = min(agreement, _overlap(model.answer(here, [back])[0].mask, mask))
            if agreement < minimum_agreement:
                return Carried(tuple(found), _stopped(frame, agreement, bool(carried.any())), agreement)
            found.append(CarriedFrame(frame, carried, agreement, answer.iou))
            here, mask, memory = there, carried, answer.logits
            if progress is not None:
                progress(len(found), len(to_come))
    except Cancelled:
        return Carried(tuple(found), f"Cancelled after {len(found)} of {len(to_come)} frames; those are kept.")
    return Carried(tuple(found), "")


def _stopped(frame: int, agreement: float, anything: bool) -> str:
    if not anything:
        return f"Stopped before frame {frame}: the structure is not found there."
    return f"Stopped before frame {frame}: its mask agrees with the one before by {agreement:.2f} only."


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union; 0 for two empty masks, which agree on nothing."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0
