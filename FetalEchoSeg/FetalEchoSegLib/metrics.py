"""DSC, NSD and view-masked macro-F1 as the FETUS 2026 evaluator defines them, to the last digit.

Everything here is about single images and arrays; ``evaluation`` reads the files. Definitions:

- A structure is counted for an image when the prediction or the truth has a pixel of it. One stray pixel of a
  structure that is not there therefore costs a full zero.
- DSC = 2 |P ∩ T| / (|P| + |T| + 1e-8).
- Surface = the structure's pixels with a 4-neighbour outside it; outside the image is outside the structure.
  NSD = mean of the two one-sided fractions of surface pixels that have a surface pixel of the other mask within
  2 px (Euclidean, inclusive); 0 when one side is empty. MONAI pools both surfaces instead and differs by up to 0.025.
- A structure's DSC and NSD are means over the images where it counts; the overall ones are means over the
  structures that occurred at all (not over images).
- F1 of a condition takes the images whose view can show it; macro-F1 is the mean over all seven conditions, a
  condition without images or without positives counts as 0.

Sums are made in the order of the images and in the evaluator's precision (float64 for masks, float32 for F1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .anatomy import N_CONDITIONS, N_LABELS, View, condition_table

NSD_TOLERANCE_PX = 2.0  # at 512 x 512
N_STRUCTURES = N_LABELS - 1


@dataclass(frozen=True)
class MaskAgreement:
    """Agreement of one predicted mask with the truth.

    dice, nsd  (14,) float64 in 0..1 in the order of ``Structure``; NaN where the structure is in neither mask
    """

    dice: np.ndarray
    nsd: np.ndarray


@dataclass(frozen=True)
class SegmentationScore:
    """Agreement over many images, in percent.

    dice, nsd              means over the structures that occurred
    dice_class, nsd_class  (14,) float64, 0 where ``counts`` is 0, as the official evaluator reports it
    counts                 (14,) int64, images in which the structure counted
    """

    dice: float
    nsd: float
    dice_class: np.ndarray
    nsd_class: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class ClassificationScore:
    """View-masked F1, as fractions.

    macro_f1   mean over the seven conditions
    f1_class   (7,) float32 in the order of ``Condition``
    support    (7,) int64, images whose view can show the condition
    positives  (7,) int64, those of them that truly have it
    """

    macro_f1: float
    f1_class: np.ndarray
    support: np.ndarray
    positives: np.ndarray


def compare_masks(prediction: np.ndarray, truth: np.ndarray, tolerance: float = NSD_TOLERANCE_PX) -> MaskAgreement:
    """DSC and NSD of every structure in one image.

    prediction, truth  (H, W) integers 0..14
    tolerance          of the NSD, in pixels
    Raises ValueError for unequal shapes or other labels.

    Exact and fast: on an integer grid "Euclidean distance <= tolerance" means "a surface pixel of the same
    structure lies within a small disk", so one look-up per disk pixel answers all structures at once.
    """
    prediction, truth = _label_map(prediction), _label_map(truth)
    if prediction.shape != truth.shape:
        raise ValueError(f"masks must have one shape, got {prediction.shape} and {truth.shape}")

    joint = np.bincount((prediction << 4 | truth).ravel(), minlength=256).reshape(16, 16)
    pixels = (joint.sum(axis=1) + joint.sum(axis=0))[1:N_LABELS]
    overlap = np.diagonal(joint)[1:N_LABELS]
    counted = pixels > 0
    dice = np.where(counted, (2.0 * overlap) / (pixels + 1e-8), np.nan)

    surface_p, surface_t = structure_surfaces(prediction), structure_surfaces(truth)
    near_p, near_t = _fraction_near(surface_p, surface_t, tolerance), _fraction_near(surface_t, surface_p, tolerance)
    nsd = np.where(counted, (near_p + near_t) / 2.0, np.nan)
    return MaskAgreement(dice, nsd)


def structure_surfaces(labels: np.ndarray) -> np.ndarray:
    """(H, W) uint8: the label on its structure's surface, 0 elsewhere.

    Equal to ``mask XOR erosion of mask`` by a 4-connected cross for every structure, with outside at the border.
    """
    surfaces = labels.copy()
    middle = labels[1:-1, 1:-1]
    inside = (middle == labels[:-2, 1:-1]) & (middle == labels[2:, 1:-1])
    inside &= (middle == labels[1:-1, :-2]) & (middle == labels[1:-1, 2:])
    surfaces[1:-1, 1:-1][inside] = 0
    return surfaces


def _label_map(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype.kind not in "biu":
        raise ValueError(f"a mask must be (H, W) integers, got {mask.shape} {mask.dtype}")
    if mask.size and (mask.min() < 0 or mask.max() >= N_LABELS):
        raise ValueError(f"labels must be 0 to {N_LABELS - 1}, got {mask.min()} to {mask.max()}")
    return np.ascontiguousarray(mask, dtype=np.uint8)


@lru_cache
def _disk(tolerance: float) -> tuple[tuple[int, int], ...]:
    """Offsets (row, column) within ``tolerance``, nearest first; 13 of them for 2 px."""
    reach = np.arange(-int(tolerance), int(tolerance) + 1)
    distance = np.sqrt(reach[:, None] ** 2 + reach[None, :] ** 2)
    rows, columns = np.nonzero(distance <= tolerance)
    nearest = np.argsort(distance[rows, columns], kind="stable")
    return tuple((int(reach[rows[k]]), int(reach[columns[k]])) for k in nearest)


def _fraction_near(surface: np.ndarray, other: np.ndarray, tolerance: float) -> np.ndarray:
    """(14,) share of each structure's surface pixels with one of ``other`` in reach; 0 without surface pixels."""
    margin = int(tolerance)
    width = surface.shape[1] + 2 * margin
    own, flat = np.pad(surface, margin).ravel(), np.pad(other, margin).ravel()
    places = np.flatnonzero(own != 0)  # numpy finds True faster than nonzero bytes
    missed = own[places]
    total = np.bincount(missed, minlength=N_LABELS)[1:]
    for row, column in _disk(tolerance):  # nearest first: few pixels are left after the first looks
        still = np.flatnonzero(flat[places + (row * width + column)] != missed)
        places, missed = places[still], missed[still]
    near = total - np.bincount(missed, minlength=N_LABELS)[1:]
    return near / np.maximum(total, 1)


def segmentation_score(agreements: Sequence[MaskAgreement]) -> SegmentationScore:
    """Agreement over images; sums run in the order given, which decides the last digit."""
    dice = _stack([a.dice for a in agreements])
    nsd = _stack([a.nsd for a in agreements])
    counted = ~np.isnan(dice)
    counts = counted.sum(axis=0)
    # Cumulative sums add one image at a time, in order; a plain sum may add pairwise.
    dice_sum = np.add.accumulate(np.where(counted, dice, 0.0), axis=0)[-1] if len(dice) else np.zeros(N_STRUCTURES)
    nsd_sum = np.add.accumulate(np.where(counted, nsd, 0.0), axis=0)[-1] if len(nsd) else np.zeros(N_STRUCTURES)
    dice_class = 100.0 * dice_sum / np.maximum(counts, 1)
    nsd_class = 100.0 * nsd_sum / np.maximum(counts, 1)
    occurred = counts > 0
    return SegmentationScore(
        dice=float(dice_class[occurred].mean()) if occurred.any() else 0.0,
        nsd=float(nsd_class[occurred].mean()) if occurred.any() else 0.0,
        dice_class=dice_class,
        nsd_class=nsd_class,
        counts=counts,
    )


def _stack(rows: list[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, N_STRUCTURES))


def classification_score(truth: np.ndarray, decision: np.ndarray, views: Sequence[View]) -> ClassificationScore:
    """View-masked F1.

    truth, decision  (N, 7) 0/1 or bool
    views            N views; an image counts only for the conditions its view can show
    """
    truth, decision = np.asarray(truth, dtype=bool), np.asarray(decision, dtype=bool)
    if truth.shape != decision.shape or truth.shape != (len(views), N_CONDITIONS):
        raise ValueError(f"expected twice ({len(views)}, {N_CONDITIONS}), got {truth.shape} and {decision.shape}")
    allowed = condition_table()[[View(v).index for v in views]].reshape(-1, N_CONDITIONS)
    hits = (truth & decision & allowed).sum(axis=0)
    named = (truth & allowed).sum(axis=0) + (decision & allowed).sum(axis=0)
    # The evaluator keeps F1 in float32 and averages in float32.
    f1 = (2.0 * hits / np.maximum(named, 1)).astype(np.float32)
    return ClassificationScore(
        macro_f1=float(f1.mean()),
        f1_class=f1,
        support=allowed.sum(axis=0),
        positives=(truth & allowed).sum(axis=0),
    )


def challenge_score(dice: float, nsd: float, macro_f1: float, time_score: float = 0.0) -> float:
    """Final score of the challenge, 0 to 100: 0.45 F1 + 0.45 (DSC + NSD) / 2 + 0.10 time, all in percent.

    ``dice``, ``nsd`` and ``time_score`` in percent, ``macro_f1`` as a fraction. Without a time the sum ends at 90.
    This is the formula that reproduces the platform's published test scores.
    """
    return 0.45 * (100.0 * macro_f1) + 0.45 * (dice + nsd) / 2.0 + 0.10 * time_score


def validation_score(dice: float, nsd: float, macro_f1: float) -> float:
    """Score of the validation phase, 0 to 80: 0.4 F1 + 0.4 (DSC + NSD) / 2, as the baseline's README has it."""
    return 0.4 * (100.0 * macro_f1) + 0.4 * (dice + nsd) / 2.0


def selection_score(dice: float, nsd: float, macro_f1: float) -> float:
    """What the baseline picks its best checkpoint by, 0 to 200: (DSC + NSD) / 2 + 100 F1."""
    return (dice + nsd) / 2.0 + 100.0 * macro_f1


def time_score(milliseconds_per_image: float) -> float:
    """Time part of the final score, 0 to 100: 100 up to 79.4 ms per image, 0 from 239.4 ms, linear between.

    The platform's bounds are hidden; these are a fit to its published results (one GPU, model loading included).
    """
    return float(np.clip(100.0 - 0.625 * (milliseconds_per_image - 79.4), 0.0, 100.0))
