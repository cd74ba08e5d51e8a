"""From a head's scores to probabilities and decisions, fitted on frames that nothing else was fitted on.

Two steps for each condition, on the frames whose view can show it. Platt scaling makes a probability of the score; it
is folded into the head's last layer, so that a calibrated bundle needs nothing special. Then the threshold with the
best F1, and around it the band in which nothing is claimed: the bootstrap interval of that threshold.

How well that works is measured where it was not fitted: thresholds and scaling of each bootstrap resample on the frames
that the resample left out. Prevalence differs between hospitals by factors (FIELD.md 1.2), which no calibration on one
of them can foresee.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from FetalEchoSegLib.anatomy import Condition, condition_table
from FetalEchoSegLib.conditions import ConditionThreshold

if TYPE_CHECKING:
    from torch import nn

_BINS = 10


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval; NaN where it could not be measured."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain table for a card; None for what is not known."""
        return {name: None if np.isnan(v) else round(float(v), 4) for name, v in vars(self).items()}


@dataclass(frozen=True)
class ConditionCalibration:
    """What was fitted for one condition, and how good it is on frames left out of the fit.

    slope, intercept  of the logit: calibrated = slope * logit + intercept
    frames, positives that it was fitted on
    f1                at the threshold
    auroc             area under the ROC curve
    ece               expected calibration error, before and after the scaling
    """

    threshold: ConditionThreshold
    slope: float
    intercept: float
    frames: int
    positives: int
    f1: Interval
    auroc: Interval
    ece_before: Interval
    ece: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain table for a card."""
        return {
            "frames": self.frames,
            "positives": self.positives,
            "slope": round(self.slope, 4),
            "intercept": round(self.intercept, 4),
            "F1": self.f1.to_dict(),
            "AUROC": self.auroc.to_dict(),
            "ECE before": self.ece_before.to_dict(),
            "ECE": self.ece.to_dict(),
        }


@dataclass(frozen=True)
class Calibration:
    """The seven conditions, in the order of ``Condition``."""

    conditions: tuple[ConditionCalibration, ...]
    description: str

    @property
    def thresholds(self) -> list[ConditionThreshold]:
        """For the bundle's card."""
        return [condition.threshold for condition in self.conditions]

    def to_dict(self) -> dict[str, Any]:
        """Plain table for a card."""
        rows = zip(Condition, self.conditions, strict=True)
        return {condition.short: calibration.to_dict() for condition, calibration in rows}

    def fold_into(self, head: nn.Sequential) -> None:
        """Make the head give calibrated logits."""
        import torch

        last = head[-1]
        assert isinstance(last, torch.nn.Linear)
        with torch.no_grad():
            slopes = last.weight.new_tensor([c.slope for c in self.conditions])
            last.weight.mul_(slopes[:, None])
            last.bias.mul_(slopes).add_(last.bias.new_tensor([c.intercept for c in self.conditions]))


def calibrate(
    logits: np.ndarray,
    truth: np.ndarray,
    views: np.ndarray,
    scaling: bool = True,
    resamples: int = 200,
    band: float = 0.8,
    seed: int = 0,
) -> Calibration:
    """Fit scaling, threshold and band of each condition.

    logits   (N, 7)
    truth    (N, 7) 0 or 1
    views    (N,) 1 to 4
    scaling  whether probabilities are fitted; otherwise they stay the sigmoid of the logits
    band     share of the resamples whose threshold lies in the abstain band
    """
    rng = np.random.default_rng(seed)
    found = []
    for condition in Condition:
        rows = condition_table()[views - 1, condition]
        scores, positive = logits[rows, condition].astype(np.float64), truth[rows, condition] > 0.5
        found.append(_calibrated(scores, positive, scaling, resamples, band, rng))
    how = "Platt scaling and " if scaling else ""
    description = (
        f"{how}best F1 per condition on {len(logits)} frames that were not trained on; abstain band: {band:.0%} "
        "bootstrap interval of that threshold, or everything where those frames do not tell positives from negatives"
    )
    return Calibration(tuple(found), description)


def fit_thresholds(
    probabilities: np.ndarray,
    truth: np.ndarray,
    views: np.ndarray,
    seed: int = 0,
    resamples: int = 200,
    band: float = 0.8,
) -> list[ConditionThreshold]:
    """Thresholds of the seven conditions, each from the frames whose view can show it; see ``fit_threshold``."""
    rng = np.random.default_rng(seed)
    fitted = []
    for condition in Condition:
        rows = condition_table()[views - 1, condition]
        fitted.append(fit_threshold(probabilities[rows, condition], truth[rows, condition] > 0.5, rng, resamples, band))
    return fitted


def fit_threshold(
    probabilities: np.ndarray, truth: np.ndarray, rng: np.random.Generator, resamples: int = 200, band: float = 0.8
) -> ConditionThreshold:
    """The threshold with the best F1 and the band from low to high, in which the software abstains.

    The band is the bootstrap interval of the threshold: where another validation part would have decided otherwise,
    none is decided. Where the probabilities do not tell positives from negatives (the 10 % bootstrap quantile of the
    area under the ROC curve is not above one half), the band is everything.
    """
    best = best_threshold(probabilities, truth)
    samples = rng.integers(0, max(len(truth), 1), (resamples, len(truth)))
    areas = [area_under_roc(probabilities[i], truth[i]) for i in samples]
    if not len(truth) or np.quantile(areas, 0.1) <= 0.5:
        return ConditionThreshold(best, 0.0, 1.0)
    tail = (1 - band) / 2
    cuts = [best_threshold(probabilities[i], truth[i]) for i in samples]
    low, high = np.quantile(cuts, [tail, 1 - tail])
    return ConditionThreshold(best, min(float(low), best), max(float(high), best))


def fit_platt(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logit that make it a probability; (1, 0) without positives or without negatives.

    Logistic regression on targets that are smoothed by the counts, so that a separable part does not give certainty.
    A slope is never negative: that would turn the head's order round. Source: Platt 1999; Lin 2007.
    """
    from scipy.optimize import minimize

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return 1.0, 0.0
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = parameters[0] * logits + parameters[1]
        error = _sigmoid(scaled) - target
        value = np.logaddexp(0, scaled) - target * scaled
        return float(value.sum()), np.array([(error * logits).sum(), error.sum()])

    start = np.array([1.0, np.log(positives / negatives) - float(np.mean(logits))])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    return float(fitted.x[0]), float(fitted.x[1])


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of confidence and frequency over ten bins with equally many frames; NaN without frames.

    Equal counts, because most probabilities of a rare condition lie in one bin of equal width (Nixon 2019).
    """
    if not len(truth):
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    gaps = [abs(probabilities[rows].mean() - truth[rows].mean()) * len(rows) for rows in parts]
    return float(np.sum(gaps) / len(truth))


def area_under_roc(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mann-Whitney: the chance that a positive scores above a negative; one half without both."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return 0.5
    ranks = rankdata(probabilities)[truth].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Threshold with the best F1, midway between neighbouring scores; 0.5 without positives."""
    if not truth.any():
        return 0.5
    order, f1 = _f1_by_rank(probabilities, truth)
    last = int(f1.argmax())
    upper = probabilities[order[last]]
    lower = probabilities[order[last + 1]] if last + 1 < len(order) else 0.0
    return float((upper + lower) / 2)


def best_f1(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """F1 at the best threshold; 0 without positives."""
    return float(_f1_by_rank(probabilities, truth)[1].max()) if truth.any() else 0.0


def f1_score(decided: np.ndarray, truth: np.ndarray) -> float:
    """F1 of (N,) decisions; 0 where there is nothing to find and nothing was claimed."""
    named = int(decided.sum()) + int(truth.sum())
    return 2 * int((decided & truth).sum()) / named if named else 0.0


def _f1_by_rank(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows from the surest down, and F1 when all up to each of them are called positive."""
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(truth[order])
    return order, 2 * hits / (np.arange(1, len(order) + 1) + truth.sum())


def _calibrated(
    logits: np.ndarray, truth: np.ndarray, scaling: bool, resamples: int, band: float, rng: np.random.Generator
) -> ConditionCalibration:
    slope, intercept = fit_platt(logits, truth) if scaling else (1.0, 0.0)
    probabilities = _sigmoid(slope * logits + intercept)
    threshold = fit_threshold(probabilities, truth, rng, resamples, band)
    measured: dict[str, list[float]] = {"f1": [], "auroc": [], "before": [], "after": []}
    for _ in range(resamples):
        inside = rng.integers(0, max(len(truth), 1), len(truth))
        outside = np.setdiff1d(np.arange(len(truth)), inside)
        if not truth[inside].any() or not truth[outside].any() or truth[outside].all():
            continue
        a, b = fit_platt(logits[inside], truth[inside]) if scaling else (1.0, 0.0)
        scaled = _sigmoid(a * logits + b)
        cut = best_threshold(scaled[inside], truth[inside])
        measured["f1"].append(f1_score(scaled[outside] >= cut, truth[outside]))
        measured["auroc"].append(area_under_roc(logits[outside], truth[outside]))
        measured["before"].append(expected_calibration_error(_sigmoid(logits[outside]), truth[outside]))
        measured["after"].append(expected_calibration_error(scaled[outside], truth[outside]))
    return ConditionCalibration(
        threshold=threshold,
        slope=slope,
        intercept=intercept,
        frames=len(truth),
        positives=int(truth.sum()),
        f1=_interval(measured["f1"]),
        auroc=_interval(measured["auroc"]),
        ece_before=_interval(measured["before"]),
        ece=_interval(measured["after"]),
    )


def _interval(values: Sequence[float]) -> Interval:
    if not values:
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(np.mean(values)), float(low), float(high))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -500, 500)))


def summary_values(calibration: Calibration) -> Mapping[str, float]:
    """For the metrics: means over the conditions that could be measured."""
    found = {}
    for name in ("f1", "auroc", "ece_before", "ece"):
        values = [getattr(c, name).value for c in calibration.conditions]
        known = [value for value in values if not np.isnan(value)]
        if known:
            found[f"calibration_{name}"] = float(np.mean(known))
    return found
