"""Pseudo-labels: what the student is told about frames that nobody has drawn, and how right it was.

The teacher's logits are masked by view before the softmax; then three filters decide how much a pixel counts: the
teacher's confidence, the boundary corrections (which may change a pixel, see ``boundary_masks``) and the semantic
filter (which only weights, see ``semantic_filter``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from FetalEchoSegLib.anatomy import N_LABELS, Structure
from FetalEchoSegLib.networks.masking import mask_segmentation_logits

from .losses import IGNORE, permitted_only

UNCHANGED = 254  # in a map of corrections: what the teacher says now


@dataclass(frozen=True)
class PseudoLabels:
    """Targets of a batch.

    labels   (B, H, W) int64, 0 to 14 or IGNORE
    weights  (B, H, W) float32 in 0..1
    """

    labels: torch.Tensor
    weights: torch.Tensor


def pseudo_labels(logits: torch.Tensor, views: torch.Tensor, confidence: float, by_class: bool = False) -> PseudoLabels:
    """The permitted label of largest probability, with weight 1 where that reaches a threshold, else 0.

    logits      (B, 15, H, W), not masked yet
    views       (B,) int64, 1 to 4
    confidence  the threshold
    by_class    lower it for classes that the teacher is less sure of: times the mean probability of the pixels it gives
                that label in the batch, over the largest of these means. With one threshold for all a young teacher
                teaches background alone. Source: Zhang et al. 2021 (FlexMatch), Wang et al. 2023 (FreeMatch), whose
                means run over many batches.
    """
    probability, labels = mask_segmentation_logits(logits.float(), views).softmax(1).max(1)
    threshold: torch.Tensor | float = confidence
    if by_class:
        flat = labels.flatten()
        sums = probability.new_zeros(N_LABELS).index_add_(0, flat, probability.flatten())
        means = sums / torch.bincount(flat, minlength=N_LABELS).clamp(min=1)
        threshold = (confidence * means / means.max())[labels]
    return PseudoLabels(labels, (probability >= threshold).float())


def corrected(pseudo: PseudoLabels, corrections: torch.Tensor, views: torch.Tensor) -> PseudoLabels:
    """With stored corrections applied: a corrected pixel counts fully, one on a doubtful outline not at all.

    corrections  (B, H, W) integer: a label, UNCHANGED or IGNORE
    What a frame's view cannot show is ignored.
    """
    corrections = corrections.to(pseudo.labels.device, torch.int64)
    changed = (corrections != UNCHANGED) & (corrections != IGNORE)
    labels = torch.where(corrections == UNCHANGED, pseudo.labels, corrections)
    labels = torch.where(changed, permitted_only(labels, views), labels)
    return PseudoLabels(labels, pseudo.weights.masked_fill(changed, 1.0).masked_fill(labels == IGNORE, 0.0))


def weighted(pseudo: PseudoLabels, agreement: torch.Tensor, floor: float = 0.0) -> PseudoLabels:
    """With each pixel's weight times its agreement, (B, H, W) in 0..1, but at least ``floor``; labels stay."""
    return replace(pseudo, weights=pseudo.weights * agreement.clamp(min=floor))


def condition_targets(logits: torch.Tensor, confidence: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 7) targets 0 or 1 from (B, 7) logits, and weights: 1 where the probability is sure on either side."""
    probability = logits.float().sigmoid()
    sure = (probability >= confidence) | (probability <= 1 - confidence)
    return (probability >= 0.5).float(), sure.float()


class FilterLog:
    """How many pixels each filter kept, dropped or changed; and how right they were where the truth is known.

    Counts stay on the device and are read once, by ``summary``.
    """

    KINDS = ("confidence", "semantic", "boundary before", "boundary after")
    _WRONG, _RIGHT, _UNKNOWN = range(3)

    def __init__(self, device: torch.device | str = "cpu") -> None:
        # by kind, label, whether it passed (changed, for the boundary), and whether that was right
        self.counts = torch.zeros(len(self.KINDS), N_LABELS, 2, 3, dtype=torch.int64, device=device)

    def add(self, kind: str, labels: torch.Tensor, passed: torch.Tensor, truth: torch.Tensor | None) -> None:
        """Count pixels that have a label.

        labels  (B, H, W) int64        passed  (B, H, W) bool        truth  like ``labels``, IGNORE where not known
        """
        if truth is None:
            verdict = torch.full_like(labels, self._UNKNOWN)
        else:
            verdict = (truth == labels).long().masked_fill(truth == IGNORE, self._UNKNOWN)
        code = ((labels * 2 + passed.long()) * 3 + verdict)[labels < N_LABELS]
        found = torch.bincount(code, minlength=N_LABELS * 6).view(N_LABELS, 2, 3)
        self.counts[self.KINDS.index(kind)] += found.to(self.counts.device)

    def add_confidence(self, pseudo: PseudoLabels, truth: torch.Tensor | None) -> None:
        """Count what the confidence threshold keeps."""
        self.add("confidence", pseudo.labels, pseudo.weights > 0, truth)

    def add_boundary(self, before: PseudoLabels, after: PseudoLabels, truth: torch.Tensor | None) -> None:
        """Count what the boundary corrections change."""
        changed = (before.labels != after.labels) & (after.labels != IGNORE)
        self.add("boundary before", before.labels, changed, truth)
        self.add("boundary after", after.labels, changed, truth)

    def add_semantic(self, before: PseudoLabels, after: PseudoLabels, truth: torch.Tensor | None) -> None:
        """Count what the semantic filter leaves with at least half of its weight, among what counted before."""
        counted = before.labels.masked_fill(before.weights == 0, IGNORE)
        self.add("semantic", counted, after.weights >= before.weights / 2, truth)

    def summary(self) -> dict[str, float]:
        """Shares by filter, and by structure for the confidence; precisions in percent where truth is known.

        Only what was counted has an entry.
        """
        counts = self.counts.cpu().double()
        found: dict[str, float] = {}
        for kind, table in zip(self.KINDS, counts, strict=True):
            if not table.sum():
                continue
            name, after = kind.replace(" ", "_"), kind == "boundary after"
            if not after:
                verb = "changed" if kind.startswith("boundary") else "kept"
                found[f"{name.removesuffix('_before')}_{verb}_percent"] = _percent(table[:, 1].sum(), table.sum())
            sides = (1,) if kind.startswith("boundary") else (1, 0)
            for side in sides:
                word = {1: "kept", 0: "dropped"}[side] if len(sides) == 2 else "changed"
                right = table[:, side, self._RIGHT].sum()
                known = right + table[:, side, self._WRONG].sum()
                if known:
                    found[f"{name}_precision_{word}_percent"] = _percent(right, known)
        by_label = counts[0].sum(2)
        for label in by_label.sum(1).nonzero().flatten().tolist():
            short = Structure(label).info.short if label else "background"
            found[f"confidence_kept_percent_{short}"] = _percent(by_label[label, 1], by_label[label].sum())
        return found

    def state_dict(self) -> Mapping[str, torch.Tensor]:
        """The counts so far."""
        return {"counts": self.counts.cpu()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from ``state_dict``."""
        self.counts.copy_(state["counts"])


def _percent(part: torch.Tensor, whole: torch.Tensor) -> float:
    return float(100 * part / whole)
