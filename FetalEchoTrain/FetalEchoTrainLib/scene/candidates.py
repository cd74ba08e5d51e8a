"""Frames of the scene that nobody has corrected yet, in the order in which labelling them should help most."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from FetalEchoSegLib.anatomy import HEART_UNION, Structure
from FetalEchoSegLib.errors import Cancelled, InvalidRequest, NotMeasurable
from FetalEchoSegLib.measurements.cycle import find_beats
from FetalEchoSegLib.preprocessing import network_input
from FetalEchoSegLib.scene.segmentation_nodes import CINE_REFERENCE, PREDICTION, predictionFromSequence
from FetalEchoSegLib.scene.snapshot import cineSnapshot

from ..label_next import Candidate, rank
from .frames import maskSequences, sceneFrames

_BATCH = 8
# Their areas change most over the beat, where they are seen.
_BEATING = (Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE)


@dataclass(frozen=True)
class _Clip:
    """What of a clip a thread needs: frames (T), confidence (T), phase (T) or None, and numbers of corrected ones."""

    masks: Any
    cine: Any
    confidence: np.ndarray
    phase: np.ndarray | None
    corrected: frozenset[int]


class LabelQueue:
    """Ranks the frames of all segmented clips of a scene; made on the main thread, run in any."""

    def __init__(self, most: int = 20, perPatient: int = 5) -> None:
        """Take what is needed out of the scene; raises InvalidRequest if no clip was segmented by a model."""
        self._most, self._perPatient = most, perPatient
        self._clips = [_clip(masks) for masks in maskSequences() if masks.GetAttribute(PREDICTION)]
        if not self._clips:
            raise InvalidRequest("There is no segmented clip in the scene: segment clips, then ask which to correct.")
        self._model = predictionFromSequence(self._clips[0].masks, withMasks=False).bundle.name

    def run(
        self, progress: Callable[[int, int, str], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> list[tuple[Any, int, float]]:
        """(mask sequence, frame, confidence) of the frames to label, the most useful first.

        Frames are told apart by what the network that segmented the first clip sees in them. Raises UnusableBundle,
        UnreadableInput, Cancelled.
        """
        import torch
        from FetalEchoSegLib.bundle import find_bundle

        bundle = find_bundle(self._model)
        network, size = bundle.build_trainable().eval(), bundle.card.architecture.config.image_size
        candidates: list[Candidate] = []
        labelled: list[np.ndarray] = []
        total = sum(len(clip.cine) for clip in self._clips)
        done = 0
        for number, clip in enumerate(self._clips):
            for first in range(0, len(clip.cine), _BATCH):
                if cancelled is not None and cancelled():
                    raise Cancelled("Ranking was cancelled.")
                indices = range(first, min(first + _BATCH, len(clip.cine)))
                images = np.stack([network_input(clip.cine.frame(index), size) for index in indices])
                with torch.inference_mode():
                    seen = network.encode(torch.from_numpy(images)[:, None]).bottleneck.mean((2, 3)).numpy()
                for index, features in zip(indices, seen, strict=True):
                    if index in clip.corrected:
                        labelled.append(features)
                    elif np.isfinite(clip.confidence[index]):
                        phase = None if clip.phase is None else float(clip.phase[index])
                        patient = clip.cine.origin.patient_hash
                        candidates.append(
                            Candidate(str(number), index, patient, float(clip.confidence[index]), features, phase)
                        )
                done += len(indices)
                if progress is not None:
                    progress(done, total, f"Frame {done} of {total}")
        chosen = rank(candidates, np.array(labelled), self._most, self._perPatient)
        return [(self._clips[int(c.clip)].masks, c.index, c.confidence) for c in chosen]


def _clip(masks: Any) -> _Clip:
    prediction = predictionFromSequence(masks)
    cine = cineSnapshot(masks.GetNodeReference(CINE_REFERENCE))
    corrected = frozenset(frame.index for frame in sceneFrames([masks]) if frame.isCorrected)
    confidence = np.where(prediction.done, prediction.confidence, np.nan)
    return _Clip(masks, cine, confidence, _phase(cine.times, prediction.labels), corrected)


def _phase(times: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """(T,) part of the heartbeat since end-diastole, 0 to 1; None where no beat is seen."""
    for structures in (_BEATING, HEART_UNION):
        with suppress(NotMeasurable):
            diastole = find_beats(times, np.isin(labels, structures).sum((1, 2)).astype(float)).end_diastole
            if len(diastole) > 1:
                beat = np.median(np.diff(times[list(diastole)]))
                return np.asarray((times - times[diastole[0]]) / beat % 1)
    return None
