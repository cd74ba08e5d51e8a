"""A new prediction meets the segmentation that is there already.

One Prediction has one view and one model, and frames that hold the user's work belong to the user. A prediction goes
into the existing segmentation only where both stay true, and into one of its own otherwise: nothing is lost, and
nothing is attributed to a model that did not draw it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..anatomy import View
from ..errors import InvalidRequest
from ..prediction import BundleIdentity, Prediction, merged, restricted
from .cine_nodes import cineSequence
from .review import ACCEPTED, protectedFrames
from .segmentation_nodes import (
    CINE_REFERENCE,
    DRAWN_BY,
    PREDICTION,
    addPredictionToScene,
    drawnBy,
    itemOfFrame,
    maskSequence,
    predictionFromSequence,
    setFrameAttributes,
    writePrediction,
)


@dataclass(frozen=True)
class Placement:
    """Where a prediction went.

    masks   the mask sequence, None when there was nothing to write
    isNew   whether it was made for this prediction
    frames  numbers of the frames that were written
    kept    finished frames that were not written, because they hold the user's work
    reason  a sentence on why another segmentation was made although there was one, "" if none was
    """

    masks: Any
    isNew: bool
    frames: tuple[int, ...]
    kept: tuple[int, ...] = ()
    reason: str = ""


def placePrediction(prediction: Prediction, browser: Any, masks: Any = None, overwriteEdits: bool = False) -> Placement:
    """Put ``prediction`` into ``masks``, or into a new segmentation where the two do not go together.

    masks           mask sequence of the browser's clip; None, or one that was removed, for a new one
    overwriteEdits  whether frames that hold the user's work may be replaced, too
    Raises InvalidRequest when the clip has another number of frames or another size.
    """
    done = np.flatnonzero(prediction.done).tolist()
    if masks is None or masks.GetScene() is None or not browser.IsSynchronizedSequenceNode(masks):
        masks = addPredictionToScene(prediction, browser.GetMasterSequenceNode(), browser)
        return Placement(masks, True, tuple(done))
    kept = [] if overwriteEdits else sorted(set(protectedFrames(masks)) & set(done))
    frames = [index for index in done if index not in kept]
    reason = whyApart(masks, frames, prediction.view, prediction.bundle)
    if reason:
        masks = addPredictionToScene(prediction, browser.GetMasterSequenceNode(), browser)
        return Placement(masks, True, tuple(done), (), reason)
    if frames:
        updatePredictionInScene(masks, prediction, frames)
    return Placement(masks, False, tuple(frames), tuple(kept))


def updatePredictionInScene(masks: Any, prediction: Prediction, frames: Iterable[int] | None = None) -> None:
    """Replace ``frames`` of a mask sequence (None for all that are done) by those of ``prediction``.

    The other frames keep masks and results; the clip-level numbers are those of all frames that are done then. The
    nodes stay the same, with names, colors and visibilities of their segments. Replaced frames are the model's again
    and no longer accepted: use ``placePrediction`` to spare the user's work.
    Raises InvalidRequest for frames that are not done, for another clip, and where the other frames are of another
    view or model; nothing is changed then.
    """
    masks = maskSequence(masks)
    rows = np.flatnonzero(prediction.done).tolist() if frames is None else sorted(set(frames))
    if not rows or any(not 0 <= row < len(prediction.done) or not prediction.done[row] for row in rows):
        raise InvalidRequest("Only frames that were segmented can be put in the scene: choose among those.")
    _requireSameClip(masks, prediction)
    reason = whyApart(masks, rows, prediction.view, prediction.bundle)
    if reason:
        raise InvalidRequest(f"{reason} Segment all frames, or make a new segmentation.")
    if masks.GetAttribute(PREDICTION) and _anyStays(masks, rows):
        result = merged(predictionFromSequence(masks), prediction, rows)
    else:
        result = restricted(prediction, rows)
    writePrediction(masks, result, rows)
    for row in rows:
        setFrameAttributes(masks, row, {ACCEPTED: None})


def framesAtRisk(masks: Any, frames: Iterable[int], view: View | None, bundle: BundleIdentity) -> list[int]:
    """Which of ``frames`` hold the user's work that a run would replace if it went into ``masks``.

    view  that of the run; None if the model is to find it, which is then taken for the same
    Empty where the run gets a segmentation of its own, because the frames to spare belong to another view or model.
    """
    if masks is None:
        return []
    frames = set(frames)
    atRisk = sorted(frames & set(protectedFrames(masks)))
    if not atRisk or whyApart(masks, frames.difference(atRisk), view, bundle):
        return []
    return atRisk


def whyApart(masks: Any, frames: Iterable[int], view: View | None, bundle: BundleIdentity) -> str:
    """A sentence on why results of ``view`` and ``bundle`` on ``frames`` cannot go into ``masks``, "" if they can."""
    if not masks.GetAttribute(PREDICTION) or not _anyStays(masks, frames):
        return ""
    earlier = predictionIdentity(masks)
    if view is not None and earlier[0] is not view:
        return f"The other frames of '{masks.GetName()}' are segmented as {earlier[0].short}, these as {view.short}."
    if earlier[1] != bundle:
        return (
            f"The other frames of '{masks.GetName()}' are by {earlier[1].name} {earlier[1].version}, "
            f"these by {bundle.name} {bundle.version}{_sameName(earlier[1], bundle)}."
        )
    return ""


def predictionIdentity(masks: Any) -> tuple[View, BundleIdentity]:
    """View and model of a mask sequence that a model made."""
    clip = json.loads(masks.GetAttribute(PREDICTION))
    return View.parse(clip["view"]), BundleIdentity(**clip["bundle"])


def predictionNotes(masks: Any) -> tuple[str, ...]:
    """What the model's result says to the user, without reading any mask; nothing for masks that no model made."""
    text = masks.GetAttribute(PREDICTION) if masks is not None else None
    return tuple(json.loads(text)["notes"]) if text else ()


def _sameName(one: BundleIdentity, other: BundleIdentity) -> str:
    same = (one.name, one.version) == (other.name, other.version)
    return " with other weights" if same else ""


def _anyStays(masks: Any, frames: Iterable[int]) -> bool:
    """Whether a frame other than ``frames`` has masks or results."""
    replaced = set(frames)
    others = [index for index in range(masks.GetNumberOfDataNodes()) if index not in replaced]
    # The attribute alone costs nothing, and settles it for every frame of an earlier run.
    return any(itemOfFrame(masks, index).GetAttribute(DRAWN_BY) for index in others) or any(
        drawnBy(masks, index) for index in others
    )


def _requireSameClip(masks: Any, prediction: Prediction) -> None:
    count = masks.GetNumberOfDataNodes()
    shape: tuple[int, ...] = (count, *prediction.labels.shape[1:])
    cine = masks.GetNodeReference(CINE_REFERENCE)
    if cine is not None:
        columns, rows, _ = cineSequence(cine).GetNthDataNode(0).GetImageData().GetDimensions()
        shape = (count, rows, columns)
    if prediction.labels.shape != shape:
        raise InvalidRequest(
            f"The prediction is {prediction.labels.shape} (frames, rows, columns), '{masks.GetName()}' {shape}."
        )
