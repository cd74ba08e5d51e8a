"""Which unlabelled frames to label next: doubtful ones, unlike those labelled, spread over heartbeats and patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from FetalEchoSegLib.errors import InvalidRequest


@dataclass(frozen=True)
class Candidate:
    """An unlabelled frame.

    clip, index  which frame it is
    patient      hash of the patient; "" if unknown, the clip stands for a patient then
    confidence   0..1, the model's own of its mask
    features     (D,) float, the model's description of the frame, in any units
    phase        0..1 of the heartbeat, None or NaN if unknown
    """

    clip: str
    index: int
    patient: str
    confidence: float
    features: np.ndarray
    phase: float | None = None


def rank(
    candidates: Sequence[Candidate], labelled: np.ndarray, most: int, per_patient: int, phases: int = 4
) -> list[Candidate]:
    """At most ``most`` of ``candidates``, the most useful first.

    Each next one has the greatest doubt (1 - confidence) times distance to the nearest of ``labelled``, (N, D), and of
    those already chosen, every feature counted in its spread over all these frames. A clip gives one frame for each of
    ``phases`` parts of the heartbeat, a patient ``per_patient``. Raises InvalidRequest for figures that are not finite
    or limits below one.
    """
    if min(most, per_patient, phases) < 1:
        raise InvalidRequest("Ask for at least one frame, one frame a patient and one phase of the heartbeat.")
    if not candidates:
        return []
    features = np.stack([candidate.features for candidate in candidates]).astype(float)
    doubt = 1 - np.array([candidate.confidence for candidate in candidates], dtype=float)
    if not (np.isfinite(features).all() and np.isfinite(doubt).all() and np.isfinite(labelled).all()):
        raise InvalidRequest("Frames without a confidence cannot be ranked: segment their clips first.")
    every = np.concatenate([features, labelled]) if len(labelled) else features
    middle, spread = every.mean(0), every.std(0) + 1e-6
    features, labelled = (features - middle) / spread, (labelled - middle) / spread if len(labelled) else labelled
    nearest = np.ones(len(candidates))  # with nothing labelled, doubt alone decides the first
    if len(labelled):
        nearest = np.min([np.linalg.norm(features - known, axis=1) for known in labelled], axis=0)
    is_start = not len(labelled)
    chosen: list[Candidate] = []
    patients: Counter[str] = Counter()
    beats: set[tuple[str, int]] = set()
    left = set(range(len(candidates)))
    while left and len(chosen) < most:
        best = max(sorted(left), key=lambda i: doubt[i] * nearest[i])
        left.remove(best)
        candidate = candidates[best]
        patient = candidate.patient or candidate.clip
        beat = _beat(candidate, phases)
        if patients[patient] >= per_patient or beat in beats:
            continue
        chosen.append(candidate)
        patients[patient] += 1
        if beat is not None:
            beats.add(beat)
        distance = np.linalg.norm(features - features[best], axis=1)
        nearest = distance if is_start else np.minimum(nearest, distance)
        is_start = False
    return chosen


def _beat(candidate: Candidate, phases: int) -> tuple[str, int] | None:
    """Clip and part of the heartbeat, None where that is not known."""
    if candidate.phase is None or not np.isfinite(candidate.phase):
        return None
    return candidate.clip, int(candidate.phase % 1 * phases)
