"""From a condition's probability to what may be said about it: threshold, abstain band and verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .anatomy import N_CONDITIONS

Verdict = Literal["suspected", "uncertain", "not suspected", "not shown by this view"]


@dataclass(frozen=True)
class ConditionThreshold:
    """Where one condition's probability is cut, 0 <= low <= threshold <= high <= 1.

    threshold  yes or no, where an answer is forced (the challenge's binary label): yes from here on
    low, high  the abstain band: within low <= probability < high nothing is claimed
    """

    threshold: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.threshold <= self.high <= 1:
            raise ValueError(f"0 <= low <= threshold <= high <= 1 must hold, got {self}")


# For a model that was never calibrated: a wide band, because the numbers are not probabilities yet.
UNCALIBRATED = ConditionThreshold(threshold=0.5, low=0.25, high=0.75)


def verdict(probability: float, threshold: ConditionThreshold) -> Verdict:
    """What may be said; NaN means that the view cannot show the condition."""
    if math.isnan(probability):
        return "not shown by this view"
    if threshold.low <= probability < threshold.high:
        return "uncertain"
    return "suspected" if probability >= threshold.high else "not suspected"


def decisions(probabilities: np.ndarray, thresholds: Sequence[ConditionThreshold]) -> np.ndarray:
    """(..., 7) probabilities to uint8 0/1 by threshold, the band ignored; NaN (not shown) gives 0."""
    cut = np.array([t.threshold for t in thresholds])
    if cut.shape != (N_CONDITIONS,):
        raise ValueError(f"{N_CONDITIONS} thresholds are needed, got {len(cut)}")
    return (np.nan_to_num(probabilities, nan=-1.0) >= cut).astype(np.uint8)
