"""Frames of the scene that a model could learn from, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import slicer
from FetalEchoSegLib.anatomy import N_CONDITIONS, Condition, Structure, View
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.scene.cine_nodes import cineFromSequence
from FetalEchoSegLib.scene.review import isAccepted
from FetalEchoSegLib.scene.segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    CINE_REFERENCE,
    PREDICTION,
    drawnBy,
    labelsOfFrame,
    predictionFromSequence,
)
from FetalEchoSegLib.scene.snapshot import cineSnapshot

from ..export import Box, ExportFrame, burnt_in_text, clip_hash

CONDITIONS = "FetalEcho.Conditions"
_TEXT_FRAMES = 6


@dataclass(frozen=True)
class SceneFrame:
    """A frame with masks.

    masks       its mask sequence                  index     its number, from 0
    view        None if nobody knows               drawnBy   "model", "clicks", "hand"
    structures  in its masks                       accepted  by the user
    """

    masks: Any
    index: int
    view: View | None
    structures: tuple[Structure, ...]
    drawnBy: str
    accepted: bool

    @property
    def isCorrected(self) -> bool:
        """Whether a person drew something in it, or looked at it and said yes."""
        return self.accepted or self.drawnBy in (BY_CLICKS, BY_HAND)


def sceneFrames(masks: Iterable[Any] | None = None) -> list[SceneFrame]:
    """Frames with masks, clip by clip in order of time; of all mask sequences of the scene if ``masks`` is None."""
    return [frame for frame in lookAtFrames(masks) if frame is not None]


def lookAtFrames(masks: Iterable[Any] | None = None) -> Iterator[SceneFrame | None]:
    """What ``sceneFrames`` lists, frame by frame, None for one without masks; ends when a clip goes away meanwhile."""
    for sequence in maskSequences() if masks is None else masks:
        view = viewOf(sequence)
        for index in range(sequence.GetNumberOfDataNodes()):
            if sequence.GetScene() is None or index >= sequence.GetNumberOfDataNodes():
                return
            labels = labelsOfFrame(sequence, index)
            values = np.flatnonzero(np.bincount(labels.ravel(), minlength=1)[1:]) + 1
            author = drawnBy(sequence, index, labels=labels)
            accepted = isAccepted(sequence, index)
            if len(values) or accepted or author in (BY_CLICKS, BY_HAND):
                structures = tuple(Structure(int(value)) for value in values)
                yield SceneFrame(sequence, index, view, structures, author, accepted)
            else:
                yield None


def maskSequences() -> list[Any]:
    """Mask sequences of the scene whose clip is there."""
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        if node.GetDataNodeClassName() == "vtkMRMLSegmentationNode"
        and node.GetNodeReference(CINE_REFERENCE) is not None
    ]


def viewOf(masks: Any) -> View | None:
    """View of a clip as its segmentation has it, else as its file has it."""
    if masks.GetAttribute(PREDICTION):
        return predictionFromSequence(masks, withMasks=False).view
    return cineFromSequence(masks.GetNodeReference(CINE_REFERENCE)).view


def conditionsOf(masks: Any) -> tuple[Condition, ...]:
    """What the user says that the heart of this clip has."""
    names = (masks.GetAttribute(CONDITIONS) or "").split(",")
    return tuple(condition for condition in Condition if condition.short in names)


def setConditionsOf(masks: Any, conditions: Iterable[Condition]) -> None:
    """Record what the heart has; kept with the scene."""
    masks.SetAttribute(CONDITIONS, ",".join(condition.short for condition in sorted(conditions)))


def clipsAround(frames: Sequence[SceneFrame]) -> list[tuple[Any, int]]:
    """(mask sequence, number) of all other frames of the clips that ``frames`` are in."""
    chosen = {(frame.masks.GetID(), frame.index) for frame in frames}
    masks = {frame.masks.GetID(): frame.masks for frame in frames}.values()
    return [
        (node, index)
        for node in masks
        for index in range(node.GetNodeReference(CINE_REFERENCE).GetNumberOfDataNodes())
        if (node.GetID(), index) not in chosen
    ]


def exportFrames(frames: Sequence[SceneFrame], unlabelled: Sequence[tuple[Any, int]] = ()) -> list[ExportFrame]:
    """What ``export.export_frames`` writes, taken out of the scene so that a thread can work on it.

    Masks are those of the scene, pixel by pixel. Raises InvalidRequest for a frame of unknown view.
    """
    made: list[ExportFrame] = []
    clips: dict[str, Any] = {}
    for masks, index, frame in [(f.masks, f.index, f) for f in frames] + [(m, i, None) for m, i in unlabelled]:
        if masks.GetID() not in clips:
            cine = cineSnapshot(masks.GetNodeReference(CINE_REFERENCE))
            clips[masks.GetID()] = (cine, clip_hash(cine.origin.uid, cine.frame(0), len(cine)), viewOf(masks))
        cine, name, view = clips[masks.GetID()]
        if view is None:
            raise InvalidRequest(
                f"Nobody knows which view '{masks.GetName()}' shows: segment it with the view chosen, then export it."
            )
        attributes: dict[str, Any] = {"time_s": float(cine.times[index])}
        if cine.spacing is not None:
            attributes["spacing_mm"] = np.asarray(cine.spacing)
        conditions = np.zeros(N_CONDITIONS, dtype=np.uint8)
        labels = None
        if frame is not None:
            labels = labelsOfFrame(masks, index)
            attributes["drawn_by"] = frame.drawnBy
            conditions[list(conditionsOf(masks))] = 1
        made.append(
            ExportFrame(
                clip=name,
                index=index,
                view=view,
                read=partial(cine.frame, index),
                mask=labels,
                conditions=conditions,
                patient=cine.origin.patient_hash,
                attributes=attributes,
            )
        )
    return made


def textIn(masks: Any) -> tuple[tuple[int, int], list[Box]]:
    """(H, W) of a clip's frames, and boxes around what may be burnt-in text; see ``export.burnt_in_text``."""
    cine = cineFromSequence(masks.GetNodeReference(CINE_REFERENCE))
    numbers = np.unique(np.linspace(0, len(cine) - 1, min(_TEXT_FRAMES, len(cine))).astype(int))
    return (cine.shape[1], cine.shape[2]), burnt_in_text([cine.frame(int(number)) for number in numbers])
