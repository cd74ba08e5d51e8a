"""Stage 1: the student learns from labelled frames and from what a teacher says of the others.

One step, in the order of the code: the teacher looks at the weak views; its pseudo-labels pass the confidence
threshold, the boundary corrections and the semantic filter; images and pseudo-labels are mixed by CutMix; the student
sees labelled and both strong views in one forward pass; the loss is the mean over frames. The official step runs its
network six times for the same (NETWORKS.md 4).

The arm "unimatch" is this step with the student as its own teacher, a perturbed weak view besides, and no filter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from FetalEchoSegLib.networks.output import EchoCareOutput
from FetalEchoSegLib.networks.unetr import Features
from torch import nn

from . import losses
from .muon import MuonAdamW, is_matrix
from .pseudo_labels import UNCHANGED, FilterLog, PseudoLabels, condition_targets, corrected, pseudo_labels, weighted

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

    from .boundary_masks import Corrections
    from .configuration import TrainConfig
    from .loader import Batch, LabelledBatch, UnlabelledBatch
    from .semantic_filter import SemanticFilter
    from .teacher import Teacher, TeacherOutput


class Student(nn.Module):
    """The student's forward pass of a step, as one module: what several processes average gradients of.

    dropout  share of the channels that perturbed rows lose
    """

    def __init__(self, network: EchoCare, dropout: float) -> None:
        super().__init__()
        self.network = network
        self._dropout = dropout

    def forward(self, images: torch.Tensor, perturbed: int = 0) -> EchoCareOutput:
        """Logits of (B, 1, H, W) images; channels of the last ``perturbed`` rows' features are dropped at random."""
        features = self.network.encode(images)
        if perturbed:
            kept = len(images) - perturbed
            levels = [torch.cat((f[:kept], F.dropout2d(f[kept:], self._dropout))) for f in features]
            features = Features(*levels)
        output: EchoCareOutput = self.network.decode(features)
        return output


class StepLoss(NamedTuple):
    """Loss of a step, and its parts for the log (scalars on the device, without gradient)."""

    total: torch.Tensor
    parts: dict[str, torch.Tensor]


class EmaStep:
    """Computes the loss of one batch.

    student        ``Student``, or what wraps it
    positive       (7,) weights of positives, see ``losses.positive_weights``
    semantic       the filter, None before it is there or where it is switched off
    corrections    of pseudo-masks, None where they are switched off
    log            counts what the filters do
    """

    def __init__(
        self,
        config: TrainConfig,
        student: nn.Module,
        teacher: Teacher,
        positive: torch.Tensor,
        device: torch.device,
        corrections: Corrections | None = None,
    ) -> None:
        self._config = config
        self._student = student
        self._teacher = teacher
        self._positive = positive.to(device)
        self._device = device
        self._corrections = corrections
        self.semantic: SemanticFilter | None = None
        self.log = FilterLog(device)

    def loss(self, batch: Batch, unlabelled_weight: float, autocast: Any) -> StepLoss:
        """Loss of ``batch``.

        unlabelled_weight  of pseudo-labels now, see the function of that name
        autocast           called for a context of the precision
        """
        labelled, unlabelled = batch.labelled, batch.unlabelled
        images = [labelled.images.to(self._device)]
        targets, perturbed = None, 0
        if unlabelled is not None:
            targets = self._targets(unlabelled, autocast)
            strong = (unlabelled.mix1.mix(unlabelled.strong1), unlabelled.mix2.mix(unlabelled.strong2))
            images += [view.to(self._device) for view in strong]
            if self._config.ema.feature_dropout:
                images.append(unlabelled.weak.to(self._device))
                perturbed = len(unlabelled.weak)
        with autocast():
            output = self._student(torch.cat(images), perturbed)
        sizes = [len(part) for part in images]
        segmentation, conditions = output.segmentation.split(sizes), output.conditions.split(sizes)
        views = [None] * len(sizes) if output.views is None else output.views.split(sizes)
        parts = self._supervised(labelled, EchoCareOutput(segmentation[0], conditions[0], views[0]))
        if unlabelled is not None and targets is not None:
            rest = [EchoCareOutput(*found) for found in zip(segmentation[1:], conditions[1:], views[1:], strict=True)]
            parts |= self._unsupervised(unlabelled, targets, rest)
        total = parts["supervised"]
        if "unsupervised" in parts:
            total = total + unlabelled_weight * parts["unsupervised"]
        return StepLoss(total, {"loss": total.detach(), **{name: part.detach() for name, part in parts.items()}})

    # ------------------------------------------------------------------------------------------------ labelled

    def _supervised(self, batch: LabelledBatch, output: EchoCareOutput) -> dict[str, torch.Tensor]:
        ema, device = self._config.ema, self._device
        masks, conditions = batch.masks.to(device), batch.conditions.to(device)
        parts = {
            "cross_entropy": losses.cross_entropy(output.segmentation, masks, batch.views).mean(),
            "dice": losses.dice(output.segmentation, masks, batch.views).mean(),
            "conditions": losses.binary_cross_entropy(
                output.conditions, conditions, batch.views, self._positive
            ).mean(),
        }
        total = parts["cross_entropy"] + ema.dice_weight * parts["dice"] + ema.condition_weight * parts["conditions"]
        if ema.boundary_weight:
            parts["boundary"] = losses.boundary(output.segmentation, masks, batch.views).mean()
            total = total + ema.boundary_weight * parts["boundary"]
        if output.views is not None:
            parts["views"] = losses.view_cross_entropy(output.views, batch.views.to(device)).mean()
            total = total + ema.view_weight * parts["views"]
        return {"supervised": total, **parts}

    # ------------------------------------------------------------------------------------------------ unlabelled

    def _targets(self, batch: UnlabelledBatch, autocast: Any) -> tuple[PseudoLabels, TeacherOutput]:
        """What the teacher says of the weak views, after all filters."""
        said = self._teacher.predict(batch.weak.to(self._device), autocast())
        truth = None if batch.truth is None else batch.truth.to(self._device)
        pseudo = pseudo_labels(
            said.segmentation, batch.views, self._config.ema.confidence, self._config.ema.confidence_by_class
        )
        self.log.add_confidence(pseudo, truth)
        if self._corrections is not None and self._corrections.generation >= 0:
            stored = batch.warp([self._corrections.read(name) for name in batch.ids], fill=UNCHANGED)
            before, pseudo = pseudo, corrected(pseudo, torch.from_numpy(stored.astype(np.uint8)), batch.views)
            self.log.add_boundary(before, pseudo, truth)
        if self.semantic is not None:
            agreement = self.semantic.agreement(batch, pseudo.labels, said)
            before, pseudo = pseudo, weighted(pseudo, agreement, self._config.semantic_filter.floor)
            self.log.add_semantic(before, pseudo, truth)
        return pseudo, said

    def _unsupervised(
        self, batch: UnlabelledBatch, targets: tuple[PseudoLabels, TeacherOutput], outputs: list[EchoCareOutput]
    ) -> dict[str, torch.Tensor]:
        ema, device = self._config.ema, self._device
        pseudo, said = targets
        judged, sure = condition_targets(said.conditions, ema.condition_confidence)
        streams = []
        condition_loss = view_loss = pseudo.weights.new_zeros(())
        for mix, output in zip((batch.mix1, batch.mix2, None), outputs, strict=False):
            labels, weights, known = pseudo.labels, pseudo.weights, sure
            if mix is not None:
                labels, weights = mix.mix(labels), mix.mix(weights)
                # Of a heart with a piece of another one nobody can say what it has.
                known = sure * torch.from_numpy(mix.share == 0).to(device)[:, None]
            loss = losses.cross_entropy(output.segmentation, labels, batch.views, weights)
            loss = loss + ema.dice_weight * losses.dice(output.segmentation, labels, batch.views, weights)
            streams.append(loss.mean())
            condition_loss = condition_loss + losses.binary_cross_entropy(
                output.conditions, judged, batch.views, weights=known
            ).mean() / len(outputs)
            if output.views is not None:
                of_views = losses.view_cross_entropy(output.views, batch.views.to(device)).mean()
                view_loss = view_loss + of_views / len(outputs)
        masks = (streams[0] + streams[1]) / 2
        if len(streams) > 2:  # UniMatch: one half for the strong views, one for the perturbed features
            masks = (masks + streams[2]) / 2
        total = masks + ema.condition_weight * condition_loss + ema.view_weight * view_loss
        return {"unsupervised": total, "pseudo_masks": masks, "pseudo_weight": pseudo.weights.mean()}


def make_optimizer(network: EchoCare, config: TrainConfig) -> torch.optim.AdamW:
    """The optimizer of stage 1; each group's ``peak`` is its learning rate after the warm-up.

    Encoder and the rest have rates of their own, and with Muon so have the matrices of either.
    """
    ema = config.ema
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                encoder = f"{path}.".startswith(("seg_net.Swin_encoder.", "in_adapter."))
                matrix = ema.optimizer == "muon" and is_matrix(module, name, parameter)
                groups.setdefault((encoder, matrix), []).append(parameter)
    settings = []
    for (encoder, matrix), parameters in sorted(groups.items(), reverse=True):
        rate = (ema.encoder_learning_rate if encoder else ema.learning_rate) * (ema.matrix_rate if matrix else 1.0)
        settings.append({"params": parameters, "lr": rate, "peak": rate, "matrices": matrix})
    return MuonAdamW(settings, weight_decay=ema.weight_decay)


def learning_rate_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Learning rate over its peak at optimizer step ``step`` of stage 1, 0 to 1."""
    ema = config.ema
    total = ema.epochs * steps_per_epoch
    warm_up = min(ema.warm_up_epochs * steps_per_epoch, total)
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    progress = min((step - warm_up) / max(total - warm_up, 1), 1.0)
    if ema.schedule == "cosine":
        return 0.01 + 0.495 * (1 + math.cos(math.pi * progress))
    return max(1 - progress, 1e-3) ** 0.9 if ema.schedule == "poly" else 1.0


def unlabelled_weight(config: TrainConfig, epoch: float) -> float:
    """Weight of the loss on pseudo-labels: a Gaussian rise (Laine & Aila 2017)."""
    ema = config.ema
    if epoch >= ema.ramp_up_epochs:
        return ema.unlabelled_weight
    return ema.unlabelled_weight * math.exp(-5 * (1 - epoch / ema.ramp_up_epochs) ** 2)


def seed_torch(seed: int, *place: int) -> None:
    """Let torch's random numbers follow from the seed and a place in the run alone: a resumed run repeats them."""
    torch.manual_seed(int(np.random.SeedSequence([seed, *place]).generate_state(1)[0]))
