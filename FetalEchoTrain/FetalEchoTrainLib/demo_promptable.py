"""The demo bundle that answers clicks: the tiny promptable network, trained on the phantom by iterative clicking.

    python -m FetalEchoTrainLib.demo_promptable --out Resources/Models/demo-clicks --work build/demo-model

uses the data set of ``demo_model`` (made if it is not there). First a linear head reads all structures off the image
embedding, so that the encoder learns what there is to click on; that costs a third of a step with clicks. Then, in each
step, structures of a few frames are prompted (a click, a box, a spoilt mask to correct), and a click is added in what
is still wrong, again and again; every answer counts, and so does the head's, which is thrown away at the end. Most
epochs see the frames at half size, a quarter of the cost; the last ones sharpen the outlines. Interrupted, the same
command goes on after the last epoch.

Muon trains the matrices of the transformers: after the same four minutes of reading the head's mean Dice was 0.24, and
0.07 with AdamW.

Source: Kirillov et al. 2023 (losses, loss of the best of three masks), Cheng et al. 2023 (iterative clicking), Jordan
et al. 2024 and Liu et al. 2025 (Muon, and its steps scaled to those of AdamW).
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from FetalEchoSegLib.anatomy import N_LABELS, Structure
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, VALID
from FetalEchoSegLib.promptable.configuration import CELLS_PER_TOKEN
from FetalEchoSegLib.promptable.geometry import MASK_PROMPT_LOGIT
from FetalEchoSegLib.promptable.simulated_clicks import Case, measure_clicks, structure_mask

from .augmentation import augment
from .configuration import AugmentationConfig
from .demo_model import NOTICE, Parts, Samples, learning_rate, load_samples, make_dataset

if TYPE_CHECKING:
    import torch
    from FetalEchoSegLib.promptable.bundle import PromptableBundle
    from FetalEchoSegLib.promptable.configuration import PromptableConfig
    from FetalEchoSegLib.segmentation import Segmenter

    Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

logger = logging.getLogger(__name__)

SMALLEST = 12  # pixels of a structure at the network's size; below, a click cannot mean it
# Share of the steps that begin with ...
STARTS = {"point": 0.35, "box": 0.15, "mask and point": 0.3, "mask and box": 0.1, "mask, box and points": 0.1}
GROSSLY_WRONG = 0.6  # of the masks that clicks alone correct


@dataclass(frozen=True)
class Stage:
    """Epochs at one size, with an optimizer and a cosine of the learning rate of their own.

    size          side of the frames in pixels, which divides theirs
    augmentation  1 for the full strength of ``augmentation.augment``
    clicks        whether structures are prompted; without, only the head that reads them all is trained
    """

    size: int
    epochs: int
    learning_rate: float
    augmentation: float = 1.0
    clicks: bool = True


@dataclass(frozen=True)
class ClickSchedule:
    """How long and how fast to train.

    structures  prompted in each frame of a batch      clicks  added after the first prompt
    reading     weight of the loss of the head that reads all structures off the embedding
    matrices    Muon's learning rate for the matrices of the transformers, in learning rates of all the rest
    """

    stages: tuple[Stage, ...] = (
        Stage(128, 20, 1e-3, clicks=False),
        Stage(128, 5, 1e-3),
        Stage(256, 3, 8e-4, 0.7),
        Stage(256, 2, 8e-4, 0.7),
        Stage(256, 3, 8e-4, 0.7),
    )
    batch_size: int = 8
    structures: int = 3
    clicks: int = 2
    reading: float = 1.0
    matrices: float = 4.0
    weight_decay: float = 0.02
    ema_decay: float = 0.996
    seed: int = 2026


def train_clicks(
    samples: Samples,
    schedule: ClickSchedule,
    work: Path,
    device: str = "cpu",
    config: PromptableConfig | None = None,
    bf16: bool = False,
) -> dict[str, torch.Tensor]:
    """Train and return the state of the exponential moving average, on the CPU.

    After every epoch ``work`` gets all that is needed to go on from there; epochs draw from seeds of their own.
    ``bf16`` halves the time where the device multiplies in bfloat16.
    """
    import torch
    from FetalEchoSegLib.promptable.checkpoints import resize_positions
    from FetalEchoSegLib.promptable.configuration import PromptableConfig
    from FetalEchoSegLib.promptable.network import build_network

    config = config or PromptableConfig.tiny()
    kept = work / "clicks.pt"
    saved = torch.load(kept, weights_only=True, map_location=device) if kept.exists() else None
    learned: dict[str, dict[str, torch.Tensor]] = {}
    for number, stage in enumerate(schedule.stages):
        if saved is not None and number < saved["stage"]:
            continue
        torch.manual_seed(schedule.seed + number)
        own = replace(config, image_size=stage.size)
        # What the reader says of each token: one label for every pixel of a low-resolution mask in it.
        reader = torch.nn.Conv2d(own.prompt_dim, N_LABELS * CELLS_PER_TOKEN**2, 1)
        learner = torch.nn.ModuleDict({"network": build_network(own), "reader": reader})
        if learned:
            learner["network"].load_state_dict(resize_positions(learned["network"], own)[0])
            learner["reader"].load_state_dict(learned["reader"])
        learner = learner.to(device).train()
        average = torch.optim.swa_utils.AveragedModel(
            learner, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.ema_decay)
        )
        optimizer = _optimizer(learner, stage, schedule)
        parts: dict[str, Any] = {"learner": learner, "average": average, "optimizer": optimizer}
        first = 0
        if saved is not None and number == saved["stage"]:
            first = int(saved["epoch"])
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        seen = samples.reduced(stage.size)
        for epoch in range(first, stage.epochs):
            _train_epoch(learner, average, optimizer, seen, schedule, number, epoch, bf16)
            states = {name: part.state_dict() for name, part in parts.items()}
            _keep(kept, {**states, "stage": number, "epoch": epoch + 1})
        learned = {name: getattr(average.module, name).state_dict() for name in ("network", "reader")}
    return {name: tensor.detach().cpu() for name, tensor in learned["network"].items()}


def _optimizer(learner: torch.nn.ModuleDict, stage: Stage, schedule: ClickSchedule) -> torch.optim.AdamW:
    """Muon for the matrices inside the two transformers, AdamW for all the rest."""
    import torch

    from .muon import MuonAdamW

    network: Any = learner["network"]
    matrices = [
        module.weight
        for transformer in (network.image_encoder.blocks, network.mask_decoder.transformer)
        for module in transformer.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    named = {id(matrix) for matrix in matrices}
    rest = [parameter for parameter in learner.parameters() if id(parameter) not in named]
    rate = stage.learning_rate
    groups = [
        {"params": matrices, "peak": schedule.matrices * rate, "matrices": True},
        {"params": rest, "peak": rate},
    ]
    return MuonAdamW(groups, lr=rate, weight_decay=schedule.weight_decay, betas=(0.9, 0.98))


def _train_epoch(
    learner: Any,
    average: Any,
    optimizer: torch.optim.AdamW,
    samples: Samples,
    schedule: ClickSchedule,
    number: int,
    epoch: int,
    bf16: bool,
) -> None:
    import torch

    stage = schedule.stages[number]
    steps = max(1, len(samples) // schedule.batch_size)
    rng = np.random.default_rng([schedule.seed, number, epoch])
    torch.manual_seed(schedule.seed + 1000 * (number + 1) + epoch)
    device = next(learner.parameters()).device
    began, losses, scores = time.monotonic(), [], []
    for step, batch in enumerate(_batches(samples, schedule, number, epoch, steps)):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate((epoch + step / steps) / stage.epochs)
        if not len(batch[-1]):
            continue
        loss, score = _loss(learner, [part.to(device) for part in batch], schedule, stage.clicks, rng, bf16)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(learner)
        losses.append(float(loss.detach()))
        scores.append(score)
    text = "%d pixels, epoch %d of %d, %.1f min: loss %.3f, Dice of reading %.3f"
    if stage.clicks:
        text += ", IoU after the first prompt %.3f, after the last %.3f"
    minutes = (time.monotonic() - began) / 60
    logger.info(text, stage.size, epoch + 1, stage.epochs, minutes, np.mean(losses), *np.mean(scores, axis=0))


def _keep(path: Path, state: dict[str, Any]) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    temporary.replace(path)


def _batches(samples: Samples, schedule: ClickSchedule, number: int, epoch: int, steps: int) -> Iterator[Batch]:
    """The batches of an epoch, made a few ahead in threads; each draws from a seed of its own."""
    order = np.random.default_rng([schedule.seed, number, epoch, 0]).permutation(len(samples))

    def make(step: int) -> Batch:
        rows = order[step * schedule.batch_size : (step + 1) * schedule.batch_size]
        rng = np.random.default_rng([schedule.seed, number, epoch, 1, step])
        return _batch(samples, rows, schedule, schedule.stages[number].augmentation, rng)

    workers = max(1, min(8, (os.cpu_count() or 2) // 2))
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        for step in range(steps):
            waiting.append(pool.submit(make, step))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _batch(
    samples: Samples, rows: np.ndarray, schedule: ClickSchedule, augmentation: float, rng: np.random.Generator
) -> Batch:
    """(B, 3, S, S) normalised images, their (B, S, S) labels, (N, S, S) float masks of structures in them, (N,) owners.

    An owner is the number of the image that a structure is of.
    """
    import torch
    from FetalEchoSegLib.promptable.configuration import PIXEL_MEAN, PIXEL_STD

    varied = AugmentationConfig(strength=augmentation)
    images, every, targets, owners = [], [], [], []
    for owner, row in enumerate(rows):
        image, labels = augment(samples.images[row], samples.masks[row], varied, rng)
        images.append(image)
        every.append(labels)
        masks = [structure_mask(labels, Structure(int(v))) for v in np.unique(labels) if v]
        masks = [mask for mask in masks if np.count_nonzero(mask) >= SMALLEST * (mask.shape[0] / 256) ** 2]
        for index in rng.permutation(len(masks))[: schedule.structures]:
            targets.append(masks[index])
            owners.append(owner)
    grey = 255 * torch.from_numpy(np.stack(images))[:, None]
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    side = samples.images.shape[1]
    stacked = torch.from_numpy(np.stack(targets)).float() if targets else torch.zeros(0, side, side)
    return (
        (grey - mean) / deviation,
        torch.from_numpy(np.stack(every)),
        stacked,
        torch.tensor(owners, dtype=torch.int64),
    )


def _loss(
    learner: Any,
    batch: Sequence[torch.Tensor],
    schedule: ClickSchedule,
    clicks: bool,
    rng: Any,
    bf16: bool = False,
) -> tuple[torch.Tensor, tuple[float, ...]]:
    """The reader's loss, with ``clicks`` plus that of the prompts; the reader's Dice, and IoU after first and last."""
    import torch

    images, every, targets, owners = batch
    network = learner["network"]
    cell = images.shape[-1] // network.prompt_encoder.mask_input_size[0]
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        features = network.image_encoder(images)
        read = learner["reader"](features)
    middles = every[:, cell // 2 :: cell, cell // 2 :: cell].long()
    reading, dice = _reading_loss(read.float(), middles)
    total = schedule.reading * reading
    if not clicks:
        return total, (dice,)
    clicked, overlaps = _clicked_loss(network, features.float()[owners], targets, cell, schedule.clicks, rng, bf16)
    return total + clicked, (dice, *overlaps)


def _reading_loss(read: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Cross-entropy and Dice loss of the labels (B, M, M) read off each token; the mean Dice of the structures there.

    The structures of a batch count alike: a vessel has a hundredth of the pixels of the background.
    """
    import torch.nn.functional as F

    logits = F.pixel_shuffle(read, CELLS_PER_TOKEN)
    truth = F.one_hot(wanted, N_LABELS).movedim(-1, 1).float()
    probability = logits.softmax(1)
    there = truth.sum((0, 2, 3))
    dice = (2 * (probability * truth).sum((0, 2, 3)) + 1) / (probability.sum((0, 2, 3)) + there + 1)
    structures = dice[1:][there[1:] > 0]
    mean = structures.mean() if len(structures) else dice.mean()
    return F.cross_entropy(logits, wanted) + 1 - dice[1:].mean(), float(mean.detach())


def _clicked_loss(
    network: Any, features: torch.Tensor, targets: torch.Tensor, cell: int, clicks: int, rng: Any, bf16: bool
) -> tuple[torch.Tensor, tuple[float, float]]:
    """Mean loss over a prompt and its corrections; mean IoU after the first and the last.

    features  (N, C, H, W) of the image that each of the targets (N, S, S) is in
    cell      side in pixels of the images of one pixel of a low-resolution mask
    """
    import torch
    import torch.nn.functional as F

    wanted = F.avg_pool2d(targets[:, None], cell)[:, 0]
    inside = wanted > 0.5
    points, labels, boxes, memory = _first_prompt(targets, cell, rng)
    total = torch.zeros((), device=features.device)
    overlaps = []
    for number in range(clicks + 1):
        with torch.autocast(features.device.type, torch.bfloat16, enabled=bf16):
            logits, predicted = _decode(network, features, points, labels, boxes, memory)
        logits, predicted = logits.float(), predicted.float()
        loss, overlap = _mask_loss(logits, predicted, wanted)
        total = total + loss
        # What the user would be shown: the best of three by the model's own prediction.
        chosen = 1 + predicted[:, 1:].argmax(1)
        rows = torch.arange(len(chosen), device=chosen.device)
        memory = logits[rows, chosen].detach()[:, None]
        overlaps.append(float(overlap[rows, chosen].mean()))
        if number < clicks:
            point, label = _error_click(inside, memory[:, 0] > 0, cell)
            points = point if points is None else torch.cat([points, point], 1)
            labels = label if labels is None else torch.cat([labels, label], 1)
    return total / (clicks + 1), (overlaps[0], overlaps[-1])


def _decode(
    network: Any,
    features: torch.Tensor,
    points: torch.Tensor | None,
    labels: torch.Tensor | None,
    boxes: torch.Tensor | None,
    memory: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 4, M, M) logits, the single mask first, and (N, 4) predicted IoU, each prompt on an image of its own."""
    import torch

    said = None if points is None or labels is None else (points, labels)
    sparse, dense = network.prompt_encoder(points=said, boxes=boxes, masks=memory)
    # The decoder would pair one image with all prompts; with the images in the dense prompts each has its own.
    nothing = torch.zeros_like(features[:1])
    logits, predicted = network.mask_decoder.predict_masks(
        nothing, network.prompt_encoder.get_dense_pe(), sparse, dense + features
    )
    return logits, predicted


def _mask_loss(
    logits: torch.Tensor, predicted: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of the single mask and of the best of the other three, and error of the predicted IoU; (N, 4) IoU.

    Focal and Dice, twenty to one as in SAM. Of the three only the best is corrected: they may mean different things.
    """
    import torch
    import torch.nn.functional as F

    truth = wanted[:, None].expand_as(logits)
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    miss = (probability - truth).abs()
    focal = (entropy * miss.square()).mean((2, 3))
    overlap = (probability * truth).sum((2, 3))
    dice_loss = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + truth.sum((2, 3)) + 1)
    each = 20 * focal + dice_loss
    with torch.no_grad():
        found, there = logits > 0, truth > 0.5
        iou = (found & there).sum((2, 3)) / (found | there).sum((2, 3)).clamp(min=1)
    loss = each[:, 0] + each[:, 1:].amin(1) + (predicted - iou).square().mean(1)
    return loss.mean(), iou


def _first_prompt(targets: torch.Tensor, cell: int, rng: Any) -> tuple[Any, Any, Any, Any]:
    """Points, labels, boxes and memory to begin with, each may be None; of one kind for all structures of a step."""
    import torch

    start = rng.choice(list(STARTS), p=list(STARTS.values()))
    inside = targets > 0.5
    nothing = torch.zeros_like(inside)
    points = labels = boxes = memory = None
    if start.startswith("mask"):
        spoilt = _spoilt(targets, GROSSLY_WRONG if start == "mask and point" else 0.0)
        memory = _memory(spoilt, cell)
    if start == "point":
        points, labels = _error_click(inside, nothing)
    elif start == "mask and point":
        points, labels = _error_click(inside, spoilt)
    elif start == "mask, box and points":
        pairs = [_error_click(spoilt, nothing) for _ in range(3)]
        points, labels = (torch.cat([pair[k] for pair in pairs], 1) for k in (0, 1))
    if "box" in start:
        boxes = _boxes(spoilt if memory is not None else inside)
    return points, labels, boxes, memory


def _error_click(truth: torch.Tensor, found: torch.Tensor, cell: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, 1, 2) points (x, y) in what is wrong, and (N, 1) labels, for (N, M, M) bool masks.

    Drawn at random, sooner where the error is thick: nobody clicks a rim of one pixel. Points are in pixels of an image
    that has ``cell`` pixels for one of the masks, in the middle of what was drawn.
    """
    import torch
    import torch.nn.functional as F

    def drawn(region: torch.Tensor) -> torch.Tensor:
        thickness = F.avg_pool2d(region[:, None].float(), 5, 1, 2)[:, 0]
        return region.float() * thickness.square()

    weights = drawn(truth & ~found) + drawn(found & ~truth)
    weights = torch.where(weights.sum((1, 2), keepdim=True) > 0, weights, drawn(truth) + 1e-9)
    picked = torch.multinomial(weights.flatten(1), 1)
    width = truth.shape[-1]
    points = torch.stack([picked % width, picked // width], -1) * cell + (cell - 1) / 2
    return points.float(), truth.flatten(1).gather(1, picked).int()


def _spoilt(targets: torch.Tensor, grossly: float = 0.0) -> torch.Tensor:
    """(N, S, S) bool masks like those of a segmentation network that is not quite right: wavy and shifted outlines.

    ``grossly`` is the share that is badly wrong, as on devices that the network never saw: a network that has met only
    small errors learns that a mask is right, and leaves it as it is whatever is clicked.
    """
    import torch
    import torch.nn.functional as F

    count, side = len(targets), targets.shape[-1]
    wrong = torch.rand(count, device=targets.device) < grossly
    masks = torch.where(wrong[:, None, None], _distorted(targets), targets) if wrong.any() else targets
    waves = F.interpolate(
        torch.randn(count, 1, side // 12, side // 12, device=targets.device), (side, side), mode="bicubic"
    )[:, 0]
    shift = torch.randint(-3, 4, (2,)).tolist()
    blurred = F.avg_pool2d(torch.roll(masks, shift, (1, 2))[:, None], 7, 1, 3)[:, 0]
    spoilt = blurred + 0.25 * waves * (blurred > 0.02) > 0.5
    empty = ~spoilt.flatten(1).any(1)
    return torch.where(empty[:, None, None], targets > 0.5, spoilt)


def _distorted(targets: torch.Tensor) -> torch.Tensor:
    """(N, S, S) masks moved and stretched by a quarter of their size, some with a side cut off or a disc added."""
    import torch

    count, side = len(targets), targets.shape[-1]
    device = targets.device
    axis = torch.arange(side, device=device, dtype=torch.float32)
    area = targets.sum((1, 2)).clamp(min=1)
    row = (targets.sum(2) * axis).sum(1) / area
    column = (targets.sum(1) * axis).sum(1) / area
    radius = (area / torch.pi).sqrt()

    def drawn(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, device=device)

    rows = row + (axis[:, None] - row - radius * drawn(-0.5, 0.5)) * drawn(0.75, 1.3)  # (S, N)
    columns = column + (axis[:, None] - column - radius * drawn(-0.5, 0.5)) * drawn(0.75, 1.3)
    each = torch.arange(count, device=device)[:, None, None]
    nearest = [at.T.round().long().clamp(0, side - 1) for at in (rows, columns)]
    moved = targets[each, nearest[0][:, :, None], nearest[1][:, None, :]]
    angle = drawn(0, 2 * torch.pi)[:, None, None]
    down = axis[None, :, None] - row[:, None, None]
    right = axis[None, None, :] - column[:, None, None]
    size = radius[:, None, None]
    cut = (drawn(0, 1) < 0.4)[:, None, None] & (
        down * angle.sin() + right * angle.cos() > size * drawn(-0.3, 0.6)[:, None, None]
    )
    angle = drawn(0, 2 * torch.pi)[:, None, None]
    from_disc = (down - size * angle.sin()).square() + (right - size * angle.cos()).square()
    added = (drawn(0, 1) < 0.4)[:, None, None] & (from_disc < (size * drawn(0.3, 0.7)[:, None, None]).square())
    return torch.where(added, 1.0, torch.where(cut, 0.0, moved))


def _memory(masks: torch.Tensor, cell: int) -> torch.Tensor:
    """(N, 1, M, M) logits of bool masks, as ``Geometry.mask_prompt`` makes them."""
    import torch.nn.functional as F

    return (2 * F.avg_pool2d(masks[:, None].float(), cell) - 1) * MASK_PROMPT_LOGIT


def _boxes(masks: torch.Tensor) -> torch.Tensor:
    """(N, 4) left, top, right, bottom of bool masks, each side up to a tenth of the box off."""
    import torch

    side = masks.shape[-1]
    steps = torch.arange(side, device=masks.device)
    found = []
    for filled in (masks.any(1), masks.any(2)):  # columns, rows
        found.append((torch.where(filled, steps, side).amin(1), torch.where(filled, steps, -1).amax(1)))
    (left, right), (top, bottom) = found
    boxes = torch.stack([left, top, right, bottom], 1).float()
    sizes = torch.stack([right - left + 1, bottom - top + 1] * 2, 1)
    jitter = (0.2 * torch.rand_like(boxes) - 0.1) * sizes
    return (boxes + jitter).clamp(0, side - 1)


def cases_of(
    dataset: Path, list_name: str, limit: int, segmenter: Segmenter | None = None, seed: int = 0
) -> list[Case]:
    """Structures of held-out frames, one of each frame, at random; with ``segmenter`` its masks are the start."""
    from FetalEchoSegLib.fetus_layout import read_image, read_label, read_list

    rng = np.random.default_rng(seed)
    entries = [entry for entry in read_list(dataset / list_name) if entry.label is not None]
    cases: list[Case] = []
    for index in rng.permutation(len(entries)):
        if len(cases) == limit:
            break
        entry = entries[index]
        assert entry.label is not None
        image, labels = read_image(entry.image), read_label(entry.label).mask
        present = [Structure(int(v)) for v in np.unique(labels) if v and np.count_nonzero(labels == v) > 4 * SMALLEST]
        if not present:
            continue
        structure = present[int(rng.integers(len(present)))]
        start = None if segmenter is None else structure_mask(_segmented(segmenter, image), structure)
        cases.append(Case(image.image, structure, structure_mask(labels, structure), start))
    return cases


def _segmented(segmenter: Segmenter, image: Any) -> np.ndarray:
    from FetalEchoSegLib.cine import Cine

    return segmenter.segment(Cine.from_array(image.image[np.newaxis]), view=image.view).labels[0]


def make_demo_promptable(
    out: Path,
    work: Path,
    schedule: ClickSchedule,
    parts: Parts,
    device: str = "cpu",
    bf16: bool = False,
    measured: int = 100,
) -> PromptableBundle:
    """The whole recipe; data set and progress in ``work`` (reused when they are there), bundle in ``out``.

    measured  structures on which each figure of the card is measured
    """
    from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, find_bundle
    from FetalEchoSegLib.promptable.bundle import PromptableCard, save_promptable
    from FetalEchoSegLib.promptable.configuration import PromptableConfig
    from FetalEchoSegLib.segmentation import Segmenter

    dataset = work / "dataset"
    make_dataset(dataset, 2026, parts)
    config = PromptableConfig.tiny()
    samples = load_samples(dataset, TRAIN_LABELED, config.image_size)
    state = train_clicks(samples, schedule, work, device, config, bf16)
    card = PromptableCard.new(
        "demo-clicks",
        "1",
        config,
        "area",
        "Apache-2.0",
        description="Tiny promptable network for trying clicks out. " + NOTICE,
        notice=NOTICE,
        training={
            "data": f"{parts.labelled} labelled frames of the FetalEcho phantom, no patient data",
            "command": "python -m FetalEchoTrainLib.demo_promptable",
            "method": f"iterative clicking: a prompt and {schedule.clicks} corrections for each of "
            f"{schedule.structures} structures of a frame; focal, Dice and IoU loss; a head that reads "
            "all structures",
            "stages": [
                f"{stage.epochs} epochs at {stage.size} pixels" + ("" if stage.clicks else ", reading only")
                for stage in schedule.stages
            ],
            "seed": schedule.seed,
        },
    )
    draft = save_promptable(work / "draft-clicks", card, state, storage="fp16")
    model = draft.build("cpu", "fp32")
    segmenter = Segmenter(find_bundle(DEFAULT_BUNDLE), device="cpu", precision="fp32")
    metrics: dict[str, Any] = {}
    for title, list_name in (
        ("validation", VALID),
        ("same devices", "test_same.json"),
        ("new devices", "test_new.json"),
    ):
        metrics[title] = {
            "from nothing": measure_clicks(model, cases_of(dataset, list_name, measured)).to_dict(),
            f"from the mask of {segmenter.bundle.name}": measure_clicks(
                model, cases_of(dataset, list_name, measured, segmenter)
            ).to_dict(),
        }
    return save_promptable(out, card.model_copy(update={"metrics": metrics}), state, storage="fp16")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's description."""
    parser = argparse.ArgumentParser(description="Train the demo bundle that answers clicks, on the phantom.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--work", type=Path, required=True, help="folder for the data set and the progress")
    parser.add_argument("--labelled", type=int, default=Parts.labelled, help="training frames")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument(
        "--fp32", action="store_true", help="do not multiply in bfloat16, which old processors do slowly"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    bundle = make_demo_promptable(
        options.out,
        options.work,
        ClickSchedule(),
        Parts(labelled=options.labelled),
        options.device,
        not options.fp32,
    )
    logger.info("%s\n%s", bundle, bundle.card.metrics)


if __name__ == "__main__":
    main()
