"""Losses of both stages, every one masked by view.

Each function gives one value per frame, (B,) float32, and a batch's loss is their mean. That is what lets a batch be
cut into parts, for gradient accumulation or for several processes, without changing the loss or its gradient.

Labels are ignored where they are ``IGNORE`` and where the frame's view cannot show them: a single mislabelled pixel
must not decide a step. Everything is computed in float32 whatever the logits' precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from FetalEchoSegLib.anatomy import N_LABELS, condition_table
from FetalEchoSegLib.networks.masking import (
    mask_segmentation_logits,
    permitted_conditions_mask,
    permitted_labels_mask,
)

if TYPE_CHECKING:
    from collections.abc import Callable

IGNORE = 255
_EPSILON = 1e-8


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, views: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Cross-entropy over the labels that each frame's view permits: mean over its pixels that have a label.

    logits   (B, 15, H, W), not masked yet
    labels   (B, H, W) int64, 0 to 14 or IGNORE
    views    (B,) int64, 1 to 4
    weights  (B, H, W) in 0..1; a pixel of weight 0 still counts in the mean, as in FixMatch (Sohn 2020, equation 4),
             so that few confident pixels cannot speak with the voice of a whole frame
    """
    labels = permitted_only(labels, views)
    masked = mask_segmentation_logits(logits.float(), views)
    loss = F.cross_entropy(masked, labels, ignore_index=IGNORE, reduction="none")
    if weights is not None:
        loss = loss * weights
    return loss.flatten(1).sum(1) / (labels != IGNORE).flatten(1).sum(1).clamp(min=1)


def dice(
    logits: torch.Tensor, labels: torch.Tensor, views: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Soft Dice loss, mean over the structures that a frame's labels hold; 0 for a frame without any.

    Arguments as in ``cross_entropy``. Each of the three sums counts a pixel by its weight, once. MONAI's MaskedDiceLoss
    multiplies prediction and truth by it, so that their product holds its square: then a frame of weight one half is
    never right, and a pixel of a structure that weighs less than its neighbours is pushed out of it.
    Source: Milletari 2016 with Laplace smoothing; without weights, what MONAI's DiceLoss gives.
    """
    labels = permitted_only(labels, views)
    probabilities = mask_segmentation_logits(logits.float(), views).softmax(1)[:, 1:]
    truth = _one_hot(labels)
    counted = (labels != IGNORE).float() if weights is None else (labels != IGNORE) * weights
    present = (truth * counted[:, None]).flatten(2).sum(2) > 0
    both = (probabilities * truth * counted[:, None]).flatten(2).sum(2)
    either = ((probabilities + truth) * counted[:, None]).flatten(2).sum(2)
    return _mean_where(1 - (2 * both + 1) / (either + 1), present)


def boundary(logits: torch.Tensor, labels: torch.Tensor, views: torch.Tensor, tolerance: int = 2) -> torch.Tensor:
    """One minus the soft boundary F1 of each structure, mean over the structures that a frame's labels hold.

    tolerance  in pixels of ``labels``, as the NSD has one: a border counts as met within it
    Arguments as in ``cross_entropy``. Source: Bokhovkin & Burnaev 2019 (borders by max-pooling, equations 4 to 9).
    """
    labels = permitted_only(labels, views)
    probabilities = mask_segmentation_logits(logits.float(), views).softmax(1)[:, 1:]
    truth = _one_hot(labels)
    counted = (labels != IGNORE).float()[:, None]
    present = truth.flatten(2).any(2)
    # Only what some frame of the batch shows: each channel costs four poolings.
    channels = present.any(0).nonzero().flatten()
    if not len(channels):
        return probabilities.sum((1, 2, 3)) * 0
    found_border = _border(probabilities[:, channels]) * counted
    true_border = _border(truth[:, channels]) * counted
    side = 2 * tolerance + 1
    near_found = F.max_pool2d(found_border, side, 1, tolerance)
    near_true = F.max_pool2d(true_border, side, 1, tolerance)
    precision = (found_border * near_true).sum((2, 3)) / (found_border.sum((2, 3)) + _EPSILON)
    recall = (true_border * near_found).sum((2, 3)) / (true_border.sum((2, 3)) + _EPSILON)
    f1 = 2 * precision * recall / (precision + recall + _EPSILON)
    return _mean_where(1 - f1, present[:, channels])


def view_cross_entropy(logits: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of (B, 4) view logits against (B,) views 1 to 4."""
    return F.cross_entropy(logits.float(), views - 1, reduction="none")


def binary_cross_entropy(
    logits: torch.Tensor,
    truth: torch.Tensor,
    views: torch.Tensor,
    positive_weights: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Binary cross-entropy of the conditions, mean over those that a frame's view can show and that are known.

    logits            (B, 7)
    truth             (B, 7) float in 0..1, NaN where not known
    positive_weights  (7,) factor of a positive's part, see ``positive_weights``
    weights           (B, 7) in 0..1, of single judgements
    """

    def loss(known: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits.float(), known, pos_weight=positive_weights, reduction="none")

    return _mean_of_conditions(loss, truth, views, weights)


def asymmetric(
    logits: torch.Tensor,
    truth: torch.Tensor,
    views: torch.Tensor,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    clip: float = 0.05,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Asymmetric loss of the conditions: easy negatives fade, those below probability ``clip`` vanish.

    Arguments as in ``binary_cross_entropy``; ``truth`` may lie between 0 and 1 (MixUp). The focusing factors take no
    gradient, as in the authors' code. Source: Ridnik 2021 (arXiv 2009.14119), equations 4 to 7.
    """
    probability = torch.sigmoid(logits.float())
    shifted = (probability - clip).clamp(min=0)

    def loss(known: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            focus_positive = (1 - probability) ** gamma_positive
            focus_negative = shifted**gamma_negative
        positive = known * focus_positive * F.logsigmoid(logits.float())
        negative = (1 - known) * focus_negative * (1 - shifted).clamp(min=_EPSILON).log()
        return -(positive + negative)

    return _mean_of_conditions(loss, truth, views, weights)


def positive_weights(
    conditions: np.ndarray, views: np.ndarray, smallest: float = 1.0, largest: float = 10.0
) -> np.ndarray:
    """(7,) float32 negatives over positives among the frames whose view can show a condition, within bounds.

    conditions  (N, 7) 0 or 1, NaN where not known
    views       (N,) 1 to 4
    A condition without any positive gets ``largest``.
    """
    permitted = condition_table()[np.asarray(views, dtype=np.int64) - 1] & ~np.isnan(conditions)
    positives = ((np.nan_to_num(conditions) > 0.5) & permitted).sum(axis=0)
    negatives = permitted.sum(axis=0) - positives
    return np.clip(negatives / np.maximum(positives, 1e-6), smallest, largest).astype(np.float32)


def permitted_only(labels: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """(B, H, W) labels with IGNORE where the frame's view cannot show what they say."""
    permitted = permitted_labels_mask(views, labels.device)
    known = labels.clamp(max=N_LABELS - 1)
    fits = permitted.gather(1, known.flatten(1)).view_as(labels) & (labels < N_LABELS)
    return labels.where(fits, labels.new_tensor(IGNORE))


def _one_hot(labels: torch.Tensor) -> torch.Tensor:
    """(B, 14, H, W) float32 of the structures; all 0 where ignored and in the background."""
    structures = torch.arange(1, N_LABELS, device=labels.device).view(1, -1, 1, 1)
    return (labels[:, None] == structures).float()


def _border(masks: torch.Tensor) -> torch.Tensor:
    """Soft inner border, one pixel wide, of (B, C, H, W) masks in 0..1: the mask minus its erosion."""
    outside = 1 - masks
    return F.max_pool2d(outside, 3, 1, 1) - outside


def _mean_where(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(B,) mean of (B, C) over what is chosen, 0 where nothing is."""
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)


def _mean_of_conditions(
    loss: Callable[[torch.Tensor], torch.Tensor],
    truth: torch.Tensor,
    views: torch.Tensor,
    weights: torch.Tensor | None,
) -> torch.Tensor:
    judged = permitted_conditions_mask(views, truth.device) & ~torch.isnan(truth)
    values = loss(truth.float().nan_to_num())
    if weights is not None:
        values = values * weights
    return _mean_where(values, judged)
