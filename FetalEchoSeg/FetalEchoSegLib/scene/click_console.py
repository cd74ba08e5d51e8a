"""Clicks from the Python console: points and a box for one structure of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..anatomy import RING_UNIONS, Structure
from ..errors import InvalidRequest
from ..promptable.history import Target, mask_fingerprint
from ..promptable.prompts import Box, Point, Prompts
from .click_session import NOTHING_DRAWN, NOTHING_FOUND
from .click_target import FRAMES, sequencePixels
from .prompt_storage import PromptStorage
from .segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    CINE_REFERENCE,
    DRAWN_BY,
    drawnBy,
    labelsOfFrame,
    maskSequence,
    setFrameAttributes,
    setFrameLabels,
)


def refineFrame(
    masks: Any,
    frame: int,
    structure: Structure,
    points: Sequence[Sequence[float]] = (),
    box: Sequence[float] | None = None,
    model: str = "",
    device: str = "auto",
) -> np.ndarray:
    """Correct a structure in a frame; (H, W) bool, its pixels as they are then.

    points  (x, y) inside the structure, or (x, y, False) outside of it, in pixels of the frame
    box     (left, top, right, bottom) around it
    model   name or folder of a bundle that answers clicks; "" for the default one
    What is drawn already is corrected. A ring (whole heart, thorax) is meant with what it encloses, which stays as it
    is. The prompts take the place of those that the structure had in this frame and are shown in the editor.
    Raises InvalidRequest for prompts outside the frame, for none, and where the model finds nothing, and what loading
    the model raises; nothing is changed then.
    """
    masks = maskSequence(masks)
    clip = masks.GetNodeReference(CINE_REFERENCE)
    if clip is None:
        raise InvalidRequest(f"The clip of '{masks.GetName()}' is not in the scene: load it first.")
    prompts = _prompts(points, box)
    labels = labelsOfFrame(masks, frame)
    prompts.require_inside(*labels.shape)
    content = np.isin(labels, [int(s) for s in RING_UNIONS.get(structure, ()) if s is not structure])
    own = labels == structure
    start = own | content if own.any() else own
    if box is None and not any(point.positive for point in prompts.points) and not start.any():
        raise InvalidRequest(NOTHING_DRAWN)

    answer = _answer(sequencePixels(clip), frame, prompts, start, model, device)
    found = answer.mask & ~content
    if not found.any():
        raise InvalidRequest(NOTHING_FOUND)
    author = drawnBy(masks, frame, labels=labels)
    setFrameLabels(masks, frame, np.where(found, np.uint8(structure), np.uint8(0)), BY_CLICKS, (structure,))
    if author == BY_HAND:  # other structures are drawn by hand as before
        setFrameAttributes(masks, frame, {DRAWN_BY: BY_HAND})
    storage = PromptStorage()
    target = Target(FRAMES, frame, structure.info.segment_id)
    storage.of(masks).record(target, prompts.with_mask(answer.logits), mask_fingerprint(found))
    storage.save(masks)
    return found


def _prompts(points: Sequence[Sequence[float]], box: Sequence[float] | None) -> Prompts:
    try:
        placed = tuple(Point(float(x), float(y), *(bool(v) for v in rest)) for x, y, *rest in points)
        corners = None if box is None else Box.between((float(box[0]), float(box[1])), (float(box[2]), float(box[3])))
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidRequest(
            "Points are (x, y) or (x, y, False), a box (left, top, right, bottom), in pixels."
        ) from error
    if not placed and corners is None:
        raise InvalidRequest("There is nothing to go by: give a point inside the structure or a box around it.")
    return Prompts(placed, corners)


def _answer(source: Any, frame: int, prompts: Prompts, start: np.ndarray, model: str, device: str) -> Any:
    from ..promptable.loading import cached_promptable
    from ..promptable.refiner import Refiner

    refiner = Refiner(cached_promptable(model, device), ahead=0)
    try:
        return refiner.answer(source, frame, refiner.starting_from(source, frame, start, prompts)).answer
    finally:
        refiner.close()
