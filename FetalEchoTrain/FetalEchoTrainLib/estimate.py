"""How long a run will take and how much memory it needs, found by trial steps before it starts.

Steps of stage 1 with one and with two frames of each kind are carried out and timed, and both measures are continued in
a straight line to the batch of the configuration. Where even those might not fit, the estimate is computed from the
number of parameters alone, and says so.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .configuration import TrainConfig
from .console import duration
from .dataset import TrainingData
from .loader import Loader, steps_of_epoch

if TYPE_CHECKING:
    import torch

_GIB = 1 << 30
# fp32 weights, gradients, two moments of AdamW and the teacher, with something for activations.
_BYTES_PER_PARAMETER = 24
_TRIAL_BYTES_PER_PARAMETER = 40
_REPEATS = 5
_ENOUGH_SECONDS = 2.0


@dataclass(frozen=True)
class Estimate:
    """What to expect of a run.

    seconds        of the whole run, NaN if not known
    memory_bytes   at most, of the device
    free_bytes     of it now
    how            how that was found
    """

    seconds: float
    memory_bytes: int
    free_bytes: int
    device: str
    how: str

    @property
    def fits(self) -> bool:
        """Whether the memory will do."""
        return self.memory_bytes <= self.free_bytes

    def __str__(self) -> str:
        length = "an unknown time" if math.isnan(self.seconds) else f"about {duration(self.seconds)}"
        memory = f"{self.memory_bytes / _GIB:.1f} of {self.free_bytes / _GIB:.1f} GiB of free memory"
        advice = "" if self.fits else (
            " That is too much: lower ema.labelled_batch, ema.unlabelled_batch or network.image_size, or switch"
            " network.activation_checkpointing on."
        )  # fmt: skip
        return f"{length} on {self.device}, {memory} ({self.how}).{advice}"


@dataclass(frozen=True)
class _Trial:
    """A step with ``frames`` of each kind: seconds, bytes at most, and seconds to segment one frame."""

    frames: int
    seconds: float
    memory_bytes: int
    seconds_per_frame: float


def estimate(config: TrainConfig, data: TrainingData) -> Estimate:
    """Try out a run; takes some seconds, at full size on a CPU a minute. Raises what a run would raise."""
    import torch
    from FetalEchoSegLib.devices import choose_device
    from FetalEchoSegLib.networks.parameters import parameter_shapes

    chosen = choose_device(config.run.device, config.run.precision)
    device = torch.device(chosen.device)
    name = f"{chosen.device} in {chosen.precision}"
    sizes = parameter_shapes(config.network.echocare()).values()
    parameters = sum(int(torch.Size(shape).numel()) for shape in sizes)
    free = _free_bytes(device)
    if free < _TRIAL_BYTES_PER_PARAMETER * parameters + _GIB // 2:
        how = f"computed from {parameters / 1e6:.0f} million parameters, without activations; nothing was tried"
        return Estimate(math.nan, _BYTES_PER_PARAMETER * parameters, free, name, how)
    autocast = _autocast(device, chosen.precision)
    with _threads(config.run.threads):
        one, two = (_try(config, data, device, autocast, frames) for frames in (1, 2))
    batch = (config.ema.labelled_batch + config.ema.unlabelled_batch) / 2
    step = _line(one.seconds, two.seconds, batch)
    memory = int(_line(one.memory_bytes, two.memory_bytes, batch))
    seconds = _run_seconds(config, data, step, two.seconds_per_frame)
    how = f"measured by steps with 2 and 4 frames: {step:.2g} s a step of {config.ema.labelled_batch}"
    how += f" + {config.ema.unlabelled_batch}, {steps_of_epoch(data, config) * config.ema.epochs} steps"
    if config.boundary.enabled and config.boundary.model:
        how += "; refinement of outlines not counted"
    return Estimate(seconds, memory, free, name, how)


def _line(one: float, two: float, batch: float) -> float:
    """Value at ``batch`` frames of each kind, where it is ``one`` at 1 and ``two`` at 2; it never falls."""
    return max(one + max(two - one, 0.0) * (batch - 1), min(one, two))


def _run_seconds(config: TrainConfig, data: TrainingData, step: float, per_frame: float) -> float:
    """Stage 1 with its validations, features of stage 2, calibration and tests."""
    ema, tuning = config.ema, config.fine_tuning
    frames = len(data.validation) * (ema.epochs // ema.validate_every)
    if tuning.enabled:
        frames += len(data.labelled) * tuning.views_per_frame + len(data.unlabelled) + len(data.validation)
    frames += len(data.calibration) + sum(map(len, data.tests.values()))
    return steps_of_epoch(data, config) * ema.epochs * step + frames * per_frame


def _try(
    config: TrainConfig, data: TrainingData, device: torch.device, autocast: Callable[[], Any], frames: int
) -> _Trial:
    import torch

    from .ema_stage import EmaStep, Student, make_optimizer
    from .starting_network import starting_network
    from .teacher import Teacher

    small = config.changed({"ema.labelled_batch": frames, "ema.unlabelled_batch": frames, "run.loader_threads": 0})
    with Loader(data, small) as loader:
        batch = next(loader.batches(0))
    network = starting_network(config)[0].to(device).train()
    teacher = Teacher(network, config.ema.decay, config.ema.teacher == "ema")
    step = EmaStep(small, Student(network, config.ema.feature_dropout), teacher, torch.ones(7), device)
    optimizer = make_optimizer(network, config)

    def learn() -> None:
        optimizer.zero_grad()
        step.loss(batch, 1.0, autocast).total.backward()
        optimizer.step()
        teacher.update()

    with _peak(device) as peak:
        learn()  # makes the optimizer's moments and warms up
        seconds = _shortest(learn, device)
        images = batch.labelled.images.to(device)
        per_frame = _shortest(lambda: teacher.predict(images, autocast()), device) / frames
    return _Trial(frames, seconds, peak(), per_frame)


def _shortest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of ``work`` at its quickest: neighbours on the machine only ever make it slower."""
    taken: list[float] = []
    while len(taken) < _REPEATS and sum(taken) < _ENOUGH_SECONDS:
        began = time.perf_counter()
        work()
        _wait_for(device)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _autocast(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    import torch

    if precision == "fp32":
        return nullcontext
    return partial(torch.autocast, device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def _wait_for(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _peak(device: torch.device) -> Iterator[Callable[[], int]]:
    """Gives a function that says, after the block, how much memory was in use at most."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: int(torch.cuda.max_memory_allocated(device))
        return
    import psutil

    process, highest, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            highest[0] = max(highest[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: highest[0]
    finally:
        done.set()
        watcher.join()
        highest[0] = max(highest[0], process.memory_info().rss)


def _free_bytes(device: torch.device) -> int:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    # What this process has already is part of what the run will have.
    return int(psutil.virtual_memory().available + psutil.Process().memory_info().rss)
