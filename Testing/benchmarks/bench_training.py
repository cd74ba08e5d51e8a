"""A step of stage 1 against the official one: EchoCare at full size, 2 labelled + 2 unlabelled frames, on the CPU.

    python Testing/benchmarks/bench_training.py [--pixels 256] [--rounds 3]

The official step is rebuilt from its list of passes (NETWORKS.md 4): sixteen encodes and twenty-two decodes, with the
network as it ships (activations recomputed). Both take turns in one process for the ratio of times; memory is the peak
of a fresh process each. bf16 is measured where the processor multiplies matrices in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

Row = tuple[str, float, str]
PIXELS, ROUNDS, FRAMES = 256, 2, 2
_MEMORY = 18 << 30  # what the official step needs at 256 pixels, and ours beside it


def run(pixels: int | None = None, rounds: int = ROUNDS) -> list[Row]:
    """All figures as (name, value, unit); frames of half the side where memory is short."""
    import psutil
    from FetalEchoSegLib.devices import cpu_multiplies_bf16, keep_freed_memory

    keep_freed_memory()
    pixels = pixels or (PIXELS if psutil.virtual_memory().available > _MEMORY else PIXELS // 2)
    precisions = ("fp32", "bf16") if cpu_multiplies_bf16() else ("fp32",)
    steps = {"official fp32": official_step(pixels), **{f"ours {p}": our_step(pixels, p) for p in precisions}}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - began)
    median = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    rows: list[Row] = [("threads", torch.get_num_threads(), ""), ("side of the frames", pixels, "px")]
    rows += [(f"stage 1 step, {name}", seconds, "s") for name, seconds in median.items()]
    official = median["official fp32"]
    goals = {"fp32": "at least 2", "bf16": "at least 8"}
    for precision in precisions:
        ratio = official / median[f"ours {precision}"]
        rows.append((f"stage 1 step, official over ours in {precision} (goal: {goals[precision]})", ratio, "x"))
    del steps
    rows += [(f"stage 1 step, {kind}, peak memory", _peak(kind, pixels), "MB") for kind in ("official", "ours")]
    return rows + _head_step()


def official_step(pixels: int) -> Callable[[], None]:
    """One iteration of the official ``train_one_epoch``: its forward passes, a loss on each output, one backward."""
    from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig

    torch.manual_seed(0)
    network = EchoCare(EchoCareConfig.full(n_views=0), checkpoint_activations=True)
    network.freeze_encoder()
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    labelled, weak, strong1, strong2, mixed = (torch.rand(FRAMES, 1, pixels, pixels) for _ in range(5))
    masks = torch.randint(0, 15, (FRAMES, pixels, pixels))

    def step() -> None:
        network.eval()
        with torch.no_grad():
            network(mixed)
        network.train()
        outputs = [
            *network(torch.cat((labelled, weak)), perturb_features=True),
            network(torch.cat((strong1, strong2))),
            network(strong1),
            network(strong2),
            *network(mixed, perturb_features=True),
        ]
        loss = sum((_loss(output, masks) for output in outputs), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _loss(output: Any, masks: torch.Tensor) -> torch.Tensor:
    truth = masks.repeat(len(output.segmentation) // len(masks), 1, 1)
    found: torch.Tensor = torch.nn.functional.cross_entropy(output.segmentation, truth)
    return found + output.conditions.square().mean()


def our_step(pixels: int, precision: str) -> Callable[[], None]:
    """One update of ``EmaStep`` with teacher, student, all losses and the optimizer."""
    from FetalEchoSegLib.networks.echocare import EchoCare
    from FetalEchoTrainLib.configuration import TrainConfig
    from FetalEchoTrainLib.ema_stage import EmaStep, Student, make_optimizer
    from FetalEchoTrainLib.teacher import Teacher

    torch.manual_seed(0)
    config = TrainConfig().changed({"network.image_size": pixels})
    network = EchoCare(config.network.echocare())
    network.freeze_encoder()
    teacher = Teacher(network)
    step = EmaStep(config, Student(network, 0.0), teacher, torch.ones(7), torch.device("cpu"))
    optimizer = make_optimizer(network, config)
    batch = _batch(pixels)
    autocast = nullcontext if precision == "fp32" else partial(torch.autocast, "cpu", torch.bfloat16)

    def update() -> None:
        loss = step.loss(batch, 1.0, autocast)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        teacher.update()

    return update


def _batch(pixels: int) -> Any:
    from FetalEchoTrainLib.augmentation import Geometry
    from FetalEchoTrainLib.loader import Batch, LabelledBatch, UnlabelledBatch
    from FetalEchoTrainLib.mixing import CutMix

    views, names = torch.tensor([1, 1]), ("a", "b")
    images = [torch.rand(FRAMES, 1, pixels, pixels) for _ in range(4)]
    masks = torch.randint(0, 8, (FRAMES, pixels, pixels))
    box = np.array([[0, pixels // 2, 0, pixels // 2]] * FRAMES)
    mix = CutMix(np.array([1, 0]), box)
    still = (Geometry.identity(pixels),) * FRAMES
    labelled = LabelledBatch(images[0], masks, views, torch.zeros(FRAMES, 7), names)
    return Batch(0, 0, labelled, UnlabelledBatch(*images[1:], views, names, still, mix, mix, None))


def _head_step() -> list[Row]:
    """A step of stage 2 on cached features, 64 frames."""
    head = torch.nn.Sequential(torch.nn.Linear(1024, 512), torch.nn.ReLU(), torch.nn.Linear(512, 7))
    from FetalEchoTrainLib import losses

    optimizer = torch.optim.AdamW(head.parameters())
    features, truth, views = torch.rand(64, 1024), torch.rand(64, 7).round(), torch.randint(1, 5, (64,))
    times = []
    for _ in range(50):
        began = time.perf_counter()
        optimizer.zero_grad()
        losses.asymmetric(head(features), truth, views).mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return [("stage 2 step on cached features, 64 frames", 1000 * statistics.median(times), "ms")]


def _peak(kind: str, pixels: int) -> float:
    """Most memory, in MB, that two steps of a process of their own took, imports included."""
    command = [sys.executable, __file__, "--memory", kind, "--pixels", str(pixels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _memory(kind: str, pixels: int) -> float:
    step = official_step(pixels) if kind == "official" else our_step(pixels, "fp32")
    for _ in range(2):
        step()
    try:
        # ru_maxrss starts at the parent's value; the kernel's own mark does not
        with open("/proc/self/status") as status:  # noqa: PTH123
            return int(status.read().split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pixels", type=int, help="side of the frames (default: what fits the memory)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--memory", choices=("official", "ours"), help="print the peak memory of one kind of step")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(_memory(options.memory, options.pixels or PIXELS)))
        return
    for name, value, unit in run(options.pixels, options.rounds):
        print(f"{name:75} {value:10.4g} {unit}")


if __name__ == "__main__":
    main()
