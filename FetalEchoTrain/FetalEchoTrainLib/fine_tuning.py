"""Stage 2, classification fine-tuning: a fresh condition head on a segmentation that no longer changes.

Everything that the segmentation depends on is frozen and in eval mode: adapter, encoder, decoder, norm statistics. So
what the head sees of a frame can be computed once, for the frame and a few augmented versions of it, and a step of the
head costs milliseconds (NETWORKS.md 4). MixUp then mixes what the head sees (manifold MixUp, Verma 2019).

The recipe is that of the FETUS 2026 winner's second phase: reset head, asymmetric loss, MixUp within a view, confident
predictions on unlabelled frames as further truth, and positives drawn as often as negatives.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from FetalEchoSegLib.anatomy import N_CONDITIONS
from FetalEchoSegLib.errors import FetalEchoError
from torch import nn

from . import losses
from .augmentation import draw_geometry, vary_appearance
from .calibration import area_under_roc, best_f1
from .dataset import Frame, read_frame
from .ema_stage import seed_torch
from .loader import balanced_rows, plain_rows
from .mixing import MixUp
from .pseudo_labels import condition_targets

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

    from .configuration import TrainConfig

Progress = Callable[[int, int], None]
HEAD = "cls_decoder."
_VERSIONS, _DRAWS = 20, 21  # purposes of random streams, apart from those of the loader
_BATCH = 8


class SegmentationChanged(FetalEchoError):
    """Fine-tuning touched what it must not touch: a bug, after which no bundle may be written."""


@dataclass(frozen=True)
class SeenFrames:
    """What the condition head sees of frames.

    features    (N, V, F) float32 on the CPU: of the frame itself first, then of augmented versions
    views       (N,) int64, 1 to 4
    conditions  (N, 7) float32, 0 or 1, NaN where nobody has said
    """

    features: torch.Tensor
    views: torch.Tensor
    conditions: torch.Tensor

    def __len__(self) -> int:
        return len(self.features)


def see_frames(
    network: EchoCare,
    frames: Sequence[Frame],
    config: TrainConfig,
    versions: int,
    device: torch.device,
    autocast: Callable[[], Any],
    progress: Progress | None = None,
) -> SeenFrames:
    """Run ``versions`` of each frame through the frozen network.

    progress  called with (frames done, frames in all); may raise to stop
    """
    size = config.network.image_size
    features, views, conditions = [], [], []
    for start in range(0, len(frames), _BATCH):
        part = frames[start : start + _BATCH]
        images: list[np.ndarray] = []
        for frame in part:
            sample = read_frame(frame, size)
            views.append(sample.view)
            unknown = np.full(N_CONDITIONS, np.nan, dtype=np.float32)
            conditions.append(unknown if sample.conditions is None else sample.conditions)
            images += _versions(sample.image.astype(np.float32) / 255, frame, config, versions)
        batch = torch.from_numpy(np.stack(images)[:, None])
        # A few at a time: a version costs as much memory as a frame.
        found = [_seen(network, rows.to(device), autocast) for rows in batch.split(_BATCH)]
        features.append(torch.cat(found).cpu().view(len(part), versions, -1))
        if progress is not None:
            progress(start + len(part), len(frames))
    return SeenFrames(torch.cat(features), torch.tensor(views), torch.from_numpy(np.stack(conditions)))


def _versions(image: np.ndarray, frame: Frame, config: TrainConfig, count: int) -> Iterator[np.ndarray]:
    yield image
    for number in range(1, count):
        rng = np.random.default_rng([config.seed, _VERSIONS, int(frame.digest[:15], 16), number])
        placed = draw_geometry(config.augmentation, image.shape[0], rng).warp(image)
        yield vary_appearance(placed, config.augmentation, rng)


def _seen(network: EchoCare, images: torch.Tensor, autocast: Callable[[], Any]) -> torch.Tensor:
    with torch.inference_mode(), autocast():
        features = network.encode(images)
        pooled = features.bottleneck.mean(dim=(2, 3))
        if network.config.condition_head == "plain" or network.view_decoder is None:
            seen = pooled
        else:
            segmentation = network.seg_net.decode(features)
            seen = network.condition_features(features, segmentation, network.view_decoder(pooled))
    return seen.float().clone()


def reset_head(network: EchoCare, config: TrainConfig) -> None:
    """A fresh condition head of the kind that the configuration asks for; the first thing of the stage."""
    seed_torch(config.seed, _DRAWS)
    network.reset_condition_head(config.fine_tuning.head)


class HeadTraining:
    """Trains the condition head of ``network``, after ``reset_head``, on what it sees of frames.

    labelled, validation  frames with truth
    unlabelled            frames to teach itself on, None for none

    Inputs are standardised for the training; ``finish`` folds that into the head's first layer.
    """

    def __init__(
        self,
        network: EchoCare,
        config: TrainConfig,
        labelled: SeenFrames,
        validation: SeenFrames,
        unlabelled: SeenFrames | None = None,
    ) -> None:
        self._config = config
        self._labelled, self._validation, self._unlabelled = labelled, validation, unlabelled
        self._network = network
        # On the CPU whatever the network's device: a head step takes milliseconds.
        self.head: nn.Sequential = network.cls_decoder.cpu().requires_grad_(True)
        seen = labelled.features.flatten(0, 1)
        self._mean, self._deviation = seen.mean(0), seen.std(0) + 1e-6
        tuning = config.fine_tuning
        self._optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=tuning.learning_rate, weight_decay=tuning.weight_decay
        )

    def epoch(self, number: int) -> dict[str, float]:
        """One pass over the labelled frames; values for the log, validation included."""
        config, tuning, labelled = self._config, self._config.fine_tuning, self._labelled
        rng = np.random.default_rng([config.seed, _DRAWS, number])
        views, conditions = labelled.views.numpy(), labelled.conditions.numpy()
        if tuning.balanced:
            rows = balanced_rows(conditions, views, len(labelled), config.seed, number)
        else:
            rows = plain_rows(len(labelled), config.seed, number)
        taught = self._self_taught(number)
        self.head.train()
        steps = math.ceil(len(rows) / tuning.batch)
        total, count = 0.0, 0
        for step in range(steps):
            chosen = rows[step * tuning.batch : (step + 1) * tuning.batch]
            loss = self._loss(labelled, torch.from_numpy(labelled.conditions.numpy()[chosen]), chosen, rng, None)
            if taught is not None and self._unlabelled is not None:
                others = rng.integers(len(self._unlabelled), size=len(chosen))
                targets, sure = taught[0][others], taught[1][others]
                extra = self._loss(self._unlabelled, targets, others, rng, sure)
                loss = loss + tuning.self_teaching_weight * extra
            for group in self._optimizer.param_groups:
                group["lr"] = tuning.learning_rate * _rate(config, number + step / steps)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total, count = total + float(loss.detach()) * len(chosen), count + len(chosen)
        values = {"loss": total / max(count, 1), "learning_rate": self._optimizer.param_groups[0]["lr"]}
        if taught is not None:
            values["self_taught_percent"] = float(100 * taught[1].mean())
        return values | self.validate()

    def validate(self) -> dict[str, float]:
        """Macro-F1 on the validation frames at each condition's best threshold, and the mean area under the ROC curve.

        The best threshold of the same frames flatters, but ranks heads fairly: the threshold that will be used comes
        later, from the calibration part.
        """
        seen = self._validation
        probabilities = self.predict(seen).sigmoid().numpy()
        return ranking(probabilities, seen.conditions.numpy(), seen.views.numpy())

    def predict(self, seen: SeenFrames) -> torch.Tensor:
        """(N, 7) logits for the frames as they are."""
        self.head.eval()
        with torch.no_grad():
            found: torch.Tensor = self.head(self._standardised(seen.features[:, 0]))
        return found

    def finish(self, head: Mapping[str, torch.Tensor]) -> None:
        """Give the network this head (a ``head.state_dict()``), ready for inputs as they are."""
        self.head.load_state_dict(dict(head))
        first = self.head[0]
        assert isinstance(first, nn.Linear)
        with torch.no_grad():
            first.bias.sub_(first.weight @ (self._mean / self._deviation))
            first.weight.div_(self._deviation)
        device = next(self._network.seg_net.parameters()).device
        self._network.cls_decoder = self.head.eval().requires_grad_(False).to(device)

    def state_dict(self) -> dict[str, Any]:
        """Head and optimizer, to continue from."""
        return {"head": self.head.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _loss(
        self,
        seen: SeenFrames,
        truth: torch.Tensor,
        rows: np.ndarray,
        rng: np.random.Generator,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        tuning = self._config.fine_tuning
        versions = rng.integers(seen.features.shape[1], size=len(rows))
        inputs = self._standardised(seen.features[rows, versions])
        views = seen.views[rows]
        mix = MixUp.draw(views.numpy(), tuning.mixup, rng)
        mixed_truth = mix.mix(truth)
        if weights is not None:
            weights = mix.mix(weights)
        return losses.asymmetric(
            self.head(mix.mix(inputs)),
            mixed_truth,
            views,
            tuning.positive_focus,
            tuning.negative_focus,
            tuning.negative_margin,
            weights,
        ).mean()

    def _self_taught(self, epoch: int) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Targets and weights of the unlabelled frames by the head as it is now, once an epoch."""
        tuning = self._config.fine_tuning
        if self._unlabelled is None or epoch < tuning.self_teaching_from or not tuning.self_teaching_weight:
            return None
        return condition_targets(self.predict(self._unlabelled), tuning.self_teaching_confidence)

    def _standardised(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self._mean) / self._deviation


def ranking(probabilities: np.ndarray, truth: np.ndarray, views: np.ndarray) -> dict[str, float]:
    """What heads are compared by; (N, 7) probabilities and truth, (N,) views."""
    f1 = [best_f1(*judged) for judged in _by_condition(probabilities, truth, views)]
    areas = [area_under_roc(p, t) for p, t in _by_condition(probabilities, truth, views) if t.any() and not t.all()]
    return {"validation_macro_f1_best": float(np.mean(f1)), "validation_auroc": float(np.mean(areas or [0.5]))}


def _by_condition(
    probabilities: np.ndarray, truth: np.ndarray, views: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from FetalEchoSegLib.anatomy import condition_table

    for condition in range(N_CONDITIONS):
        rows = condition_table()[views - 1, condition]
        yield probabilities[rows, condition], truth[rows, condition] > 0.5


def _rate(config: TrainConfig, epoch: float) -> float:
    """Learning rate over its peak: a linear warm-up, then a cosine to one hundredth."""
    tuning = config.fine_tuning
    warm_up = min(tuning.warm_up_epochs, tuning.epochs / 2)
    if epoch < warm_up:
        return (epoch + 0.1) / (warm_up + 0.1)
    progress = (epoch - warm_up) / max(tuning.epochs - warm_up, 1e-6)
    return 0.01 + 0.495 * (1 + math.cos(math.pi * min(progress, 1.0)))


@contextmanager
def frozen_segmentation(network: EchoCare, images: torch.Tensor) -> Iterator[None]:
    """Everything but the condition head in eval mode and without gradient; at the end, proof that nothing changed.

    images  (B, 1, H, W) on the network's device, whose segmentation and view logits are compared bit by bit
    Raises SegmentationChanged.
    """
    network.eval().requires_grad_(False)
    digest, before = _digest(network), _judged(network, images)
    yield
    network.eval()
    after = _judged(network, images)
    if _digest(network) != digest or not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
        raise SegmentationChanged("Fine-tuning changed the segmentation, which is a bug: no model was written.")


def _judged(network: EchoCare, images: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        output = network(images)
    return [found.clone() for found in (output.segmentation, output.views) if found is not None]


def _digest(network: EchoCare) -> str:
    total = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        if not name.startswith(HEAD):
            total.update(name.encode())
            total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
