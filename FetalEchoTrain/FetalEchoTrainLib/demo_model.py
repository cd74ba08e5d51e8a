"""The demo bundle: the tiny network, trained supervised on the phantom.

    python -m FetalEchoTrainLib.demo_model --out Resources/Models/demo-tiny --work build/demo-model

makes the data set (same seed, same bytes), trains, fits thresholds on the validation part and measures the result on
held-out phantom cases of the same and of new devices. It exists so that every path of FetalEcho works on a fresh
machine; nothing it learns says anything about patients. The project's real training is another engine.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from FetalEchoSegLib.anatomy import N_LABELS, Condition, Structure, condition_table
from FetalEchoSegLib.errors import InvalidDataset
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, VALID

from .augmentation import augment
from .calibration import fit_thresholds
from .configuration import AugmentationConfig
from .dataset import reduce_image, reduce_mask

if TYPE_CHECKING:
    import torch
    from FetalEchoSegLib.bundle import Bundle
    from FetalEchoSegLib.networks.echocare import EchoCare

logger = logging.getLogger(__name__)

NOTICE = "Trained on synthetic data only (FetalEcho phantom): its output on patients is meaningless."


@dataclass(frozen=True)
class Samples:
    """Frames of one part of the data set at the network's size.

    images  (N, S, S) uint8 grey        masks       (N, S, S) uint8 structure ids
    views   (N,) int64, 1 to 4          conditions  (N, 7) float32, 0 or 1
    """

    images: np.ndarray
    masks: np.ndarray
    views: np.ndarray
    conditions: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def reduced(self, size: int) -> Samples:
        """The same frames at ``size`` pixels, which divides theirs."""
        if size == self.images.shape[1]:
            return self
        from FetalEchoSegLib.preprocessing import resize

        images = np.stack([resize(image, size) for image in self.images])
        return replace(self, images=images, masks=np.stack([reduce_mask(mask, size) for mask in self.masks]))


@dataclass(frozen=True)
class Round:
    """Training from the best weights so far, with a fresh optimizer and one cosine of the learning rate.

    stages        (side in pixels, epochs) one after another; half size costs a quarter
    augmentation  1 for the full strength of ``augmentation.augment``; mild augmentation last sharpens the outlines
    """

    stages: tuple[tuple[int, int], ...]
    learning_rate: float
    augmentation: float


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train."""

    rounds: tuple[Round, ...] = (
        Round(((128, 10), (256, 5)), learning_rate=2e-3, augmentation=1.0),
        Round(((256, 4),), learning_rate=1e-3, augmentation=0.4),
    )
    batch_size: int = 8
    weight_decay: float = 0.01
    ema_decay: float = 0.995
    seed: int = 2026


def load_samples(dataset: Path, list_name: str, size: int) -> Samples:
    """Read the frames that ``list_name`` names from a FETUS-layout folder, reduced to ``size`` pixels."""
    from FetalEchoSegLib.fetus_layout import read_image, read_label, read_list

    images, masks, views, conditions = [], [], [], []
    for entry in read_list(dataset / list_name):
        if entry.label is None:
            raise InvalidDataset(f"{entry.image}: {list_name} names a frame without a label")
        image, label = read_image(entry.image), read_label(entry.label)
        images.append(reduce_image(image.image, size))
        masks.append(reduce_mask(label.mask, size))
        views.append(int(image.view))
        conditions.append(label.label)
    return Samples(
        np.stack(images), np.stack(masks), np.array(views, dtype=np.int64), np.array(conditions, dtype=np.float32)
    )


def train(samples: Samples, validation: Samples, schedule: Schedule, work: Path) -> EchoCare:
    """Train the tiny network, round by round, and return its exponential moving average in eval mode.

    Each round's weights are kept in ``work``; rounds that are there already are not trained again.
    """
    import torch
    from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig

    torch.manual_seed(schedule.seed)
    network = EchoCare(EchoCareConfig.tiny())
    for number, part in enumerate(schedule.rounds):
        weights = work / f"round-{number + 1}.pt"
        if not weights.exists():
            network = _train_round(network, samples, validation, part, schedule, schedule.seed + number)
            torch.save(network.state_dict(), weights)
        network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def _train_round(
    model: EchoCare, samples: Samples, validation: Samples, part: Round, schedule: Schedule, seed: int
) -> EchoCare:
    import torch

    rng = np.random.default_rng(seed)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.ema_decay)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=part.learning_rate, weight_decay=schedule.weight_decay)
    pos_weight = _positive_weights(samples)
    steps = len(samples) // schedule.batch_size
    total = steps * sum(epochs for _, epochs in part.stages)
    varied = AugmentationConfig(strength=part.augmentation)
    began, step = time.monotonic(), 0
    for size, epochs in part.stages:
        seen, checked = samples.reduced(size), validation.reduced(size)
        for epoch in range(epochs):
            model.train()
            order, losses = rng.permutation(len(seen))[: steps * schedule.batch_size], []
            for rows in order.reshape(steps, schedule.batch_size):
                for group in optimizer.param_groups:
                    group["lr"] = part.learning_rate * learning_rate(step / total)
                pairs = [augment(seen.images[i], seen.masks[i], varied, rng) for i in rows]
                images = torch.from_numpy(np.stack([p[0] for p in pairs]))[:, None]
                masks = torch.from_numpy(np.stack([p[1] for p in pairs]).astype(np.int64))
                loss = _loss(model, images, masks, seen.views[rows], seen.conditions[rows], pos_weight)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                average.update_parameters(model)
                losses.append(float(loss.detach()))
                step += 1
            score, minutes = _validation_dice(average.module, checked), (time.monotonic() - began) / 60
            text = "%d px, epoch %d, %.1f min: loss %.3f, validation DSC %.3f"
            logger.info(text, size, epoch + 1, minutes, np.mean(losses), score)
    model.load_state_dict(average.module.state_dict())
    return model


def learning_rate(progress: float) -> float:
    """Learning rate relative to its peak: a short warm-up, then a cosine to 2 %."""
    return min(1.0, (progress + 1e-3) / 0.03) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))


def _positive_weights(samples: Samples) -> torch.Tensor:
    """(7,) weight of a positive label in the binary cross-entropy: negatives over positives, 1 to 10."""
    import torch

    positives = samples.conditions.sum(axis=0)
    eligible = condition_table()[samples.views - 1].sum(axis=0)
    return torch.tensor(np.clip((eligible - positives) / np.maximum(positives, 1), 1, 10), dtype=torch.float32)


def _loss(
    model: EchoCare,
    images: torch.Tensor,
    masks: torch.Tensor,
    views: np.ndarray,
    conditions: np.ndarray,
    pos_weight: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy and Dice of the masked labels, and what teaches the two heads."""
    import torch
    import torch.nn.functional as F
    from FetalEchoSegLib.networks.masking import mask_segmentation_logits

    # bf16 halves the time on CPUs that have it; weights, losses and the optimizer stay fp32.
    with torch.autocast("cpu", torch.bfloat16):
        output = model(images)
    segmentation, judgements = output.segmentation.float(), output.conditions.float()
    logits = mask_segmentation_logits(segmentation, torch.from_numpy(views))
    judged = torch.from_numpy(condition_table()[views - 1]).float()
    truth = torch.from_numpy(conditions)
    bce = F.binary_cross_entropy_with_logits(judgements, truth, pos_weight=pos_weight, reduction="none")
    return (
        F.cross_entropy(logits, masks)
        + _dice_loss(logits.softmax(1), masks)
        + 0.3 * (bce * judged).sum() / judged.sum()
        + 0.2 * F.cross_entropy(output.views.float(), torch.from_numpy(views - 1))
    )


def _dice_loss(probabilities: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Soft Dice over the structures of each frame that its mask holds, (B, 15, H, W) against (B, H, W)."""
    from monai.losses import DiceLoss
    from monai.networks.utils import one_hot

    truth = one_hot(masks[:, None], N_LABELS)
    per_class = DiceLoss(include_background=False, reduction="none", smooth_nr=1.0, smooth_dr=1.0)(probabilities, truth)
    present = truth[:, 1:].flatten(2).any(-1).float()
    return (per_class.flatten(1) * present).sum() / present.sum().clamp(min=1)


def _validation_dice(model: torch.nn.Module, samples: Samples, batch_size: int = 16) -> float:
    """Mean DSC over frames and present structures, at the network's size."""
    import torch
    from FetalEchoSegLib.networks.masking import mask_segmentation_logits

    model.eval()
    scores = []
    with torch.inference_mode():
        for start in range(0, len(samples), batch_size):
            part = slice(start, start + batch_size)
            images = torch.from_numpy(samples.images[part].astype(np.float32) / 255)[:, None]
            views = torch.from_numpy(samples.views[part])
            found = mask_segmentation_logits(model(images).segmentation, views).argmax(1).numpy()
            for labels, truth in zip(found, samples.masks[part], strict=True):
                for value in np.union1d(np.unique(labels), np.unique(truth)):
                    if value:
                        overlap = np.sum((labels == value) & (truth == value))
                        scores.append(2 * overlap / (np.sum(labels == value) + np.sum(truth == value)))
    return float(np.mean(scores))


def fit_condition_head(network: EchoCare, samples: Samples, schedule: Schedule) -> None:
    """Train a condition head that sees areas of the masks and their ratios; nothing else of ``network`` changes.

    Trained along with the segmentation, the head dies: its hidden units fall silent early and never wake up. It sees
    each frame once as it is and twice mildly augmented. What it sees is standardised for the training, which is then
    folded into the first layer.
    """
    import torch
    import torch.nn.functional as F

    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng(schedule.seed)
    network.eval()
    network.reset_condition_head("anatomy")
    rounds = []
    for strength in (0.0, 0.4, 0.4):
        pairs = zip(samples.images, samples.masks, strict=True)
        varied = AugmentationConfig(strength=strength)
        images = [augment(image, mask, varied, rng)[0] if strength else image / 255 for image, mask in pairs]
        rounds.append(_seen_by_the_head(network, np.asarray(images, dtype=np.float32)))
    features = torch.cat(rounds)
    truth = torch.from_numpy(samples.conditions).repeat(len(rounds), 1)
    judged = torch.from_numpy(condition_table()[samples.views - 1]).float().repeat(len(rounds), 1)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    features = (features - mean) / deviation

    head, pos_weight = network.cls_decoder, _positive_weights(samples)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(30):
        for rows in torch.randperm(len(features)).split(64):
            logits = head(features[rows] + 0.1 * torch.randn_like(features[rows]))
            bce = F.binary_cross_entropy_with_logits(logits, truth[rows], pos_weight=pos_weight, reduction="none")
            loss = (bce * judged[rows]).sum() / judged[rows].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    first = head[0]
    assert isinstance(first, torch.nn.Linear)
    with torch.no_grad():
        first.bias.sub_(first.weight @ (mean / deviation))
        first.weight.div_(deviation)


def _seen_by_the_head(network: EchoCare, images: np.ndarray, batch_size: int = 16) -> torch.Tensor:
    """(N, F) what the condition head sees of (N, S, S) float32 images."""
    import torch

    parts = []
    with torch.inference_mode():
        for batch in torch.from_numpy(images)[:, None].split(batch_size):
            features = network.encode(batch)
            output = network.decode(features)
            parts.append(network.condition_features(features, output.segmentation, output.views))
    return torch.cat(parts).clone()


def predict_conditions(model: torch.nn.Module, samples: Samples, batch_size: int = 16) -> np.ndarray:
    """(N, 7) probabilities of the conditions, frame by frame."""
    import torch

    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(samples), batch_size):
            images = torch.from_numpy(samples.images[start : start + batch_size].astype(np.float32) / 255)[:, None]
            parts.append(model(images).conditions.sigmoid().numpy())
    return np.concatenate(parts)


@dataclass(frozen=True)
class Parts:
    """Frames in each part of the data set."""

    labelled: int = 2400
    validation: int = 400
    test_same: int = 400
    test_new: int = 400


def make_demo_model(out: Path, work: Path, schedule: Schedule, parts: Parts, start: str = "") -> Bundle:
    """The whole recipe: data set and weights in ``work`` (reused when they are there), bundle in ``out``.

    start  name or folder of a bundle whose segmentation is kept: the condition head alone is trained then
    Thresholds come from the validation part, figures from the two test parts, through the same code that users run.
    """
    from FetalEchoSegLib.bundle import find_bundle, save_bundle
    from FetalEchoSegLib.bundle_card import Card
    from FetalEchoSegLib.networks.echocare import EchoCareConfig

    dataset = work / "dataset"
    make_dataset(dataset, schedule.seed, parts)
    config = EchoCareConfig.tiny()
    validation = load_samples(dataset, VALID, config.image_size)
    training = load_samples(dataset, TRAIN_LABELED, config.image_size)
    network = find_bundle(start).build_trainable() if start else train(training, validation, schedule, work)
    fit_condition_head(network, training, schedule)

    thresholds = fit_thresholds(predict_conditions(network, validation), validation.conditions, validation.views)
    card = Card.new(
        "demo-tiny",
        "2",
        network.config,  # with the condition head that it has now
        "Apache-2.0",
        thresholds,
        description="Tiny EchoCare network for trying FetalEcho out. " + NOTICE,
        notice=NOTICE,
        calibration=(
            f"best F1 per condition on {len(validation)} phantom frames that were not trained on; "
            "abstain band: 80 % bootstrap interval of that threshold, or everything where those frames do not tell "
            "positives from negatives"
        ),
        training={
            "data": f"{parts.labelled} labelled frames of the FetalEcho phantom, no patient data",
            "command": "python -m FetalEchoTrainLib.demo_model",
            "method": "supervised: cross-entropy and Dice of labels, cross-entropy of views; then the condition head "
            "alone on areas of the masks and their ratios",
            "rounds of (pixels, epochs)": [[list(stage) for stage in part.stages] for part in schedule.rounds],
            "seed": schedule.seed,
        },
    )
    draft = save_bundle(work / "draft", card, network.state_dict(), storage="fp16")
    metrics = {
        "same devices": measure(draft, dataset, "test_same.json", work / "predictions_same"),
        "new devices": measure(draft, dataset, "test_new.json", work / "predictions_new"),
    }
    return save_bundle(out, card.model_copy(update={"metrics": metrics}), network.state_dict(), storage="fp16")


def make_dataset(dataset: Path, seed: int, parts: Parts) -> None:
    """Phantom frames in FETUS layout, unless ``dataset`` is complete already.

    Two frames of each fetus, and every condition in one of five: at the true prevalence a set of this size would hold
    a handful of positives.
    """
    from FetalEchoSegLib.phantom.dataset import write_dataset

    if (dataset / "test_new.json").exists():
        return
    logger.info("making the data set in %s", dataset)
    write_dataset(
        dataset,
        labelled=parts.labelled,
        unlabelled=0,
        validation=parts.validation,
        test_same=parts.test_same,
        test_new=parts.test_new,
        seed=seed,
        frames_per_case=2,
        training_prevalence=dict.fromkeys(Condition, 0.2),
    )


def measure(bundle: Bundle, dataset: Path, list_name: str, predictions: Path) -> dict[str, object]:
    """Run ``bundle`` on one part as a user would, and evaluate as the challenge does."""
    from FetalEchoSegLib.evaluation import evaluate
    from FetalEchoSegLib.fetus_layout import read_list
    from FetalEchoSegLib.segmentation import Segmenter
    from FetalEchoSegLib.submission import write_submission

    images = [entry.image for entry in read_list(dataset / list_name)]
    write_submission(Segmenter(bundle, device="cpu", precision="fp32"), dataset, predictions, images)
    found = evaluate(predictions, dataset, list_file=dataset / list_name)
    masks, conditions = found.segmentation, found.classification
    return {
        "frames": len(images),
        "DSC": round(float(masks.dice), 2),
        "NSD (2 px)": round(float(masks.nsd), 2),
        "macro-F1": round(float(conditions.macro_f1), 3),
        "DSC by structure": {
            s.info.short: round(float(v), 1) for s, v in zip(Structure, masks.dice_class, strict=True)
        },
        "NSD by structure": {s.info.short: round(float(v), 1) for s, v in zip(Structure, masks.nsd_class, strict=True)},
        "F1 by condition": {c.short: round(float(v), 2) for c, v in zip(Condition, conditions.f1_class, strict=True)},
    }


def main() -> None:
    """Command line; see the module's description."""
    parser = argparse.ArgumentParser(description="Train the demo bundle on the phantom.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--work", type=Path, required=True, help="folder for the data set, weights and predictions")
    parser.add_argument("--labelled", type=int, default=Parts.labelled, help="training frames")
    parser.add_argument("--start", default="", help="bundle whose segmentation is kept; only the head is trained then")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    bundle = make_demo_model(options.out, options.work, Schedule(), Parts(labelled=options.labelled), options.start)
    logger.info("%s\n%s", bundle, bundle.card.metrics)


if __name__ == "__main__":
    main()
