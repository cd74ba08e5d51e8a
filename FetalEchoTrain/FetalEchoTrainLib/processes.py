"""The processes that train together: one, or several under ``accelerate launch``, through Hugging Face Accelerate.

Every process holds a whole copy of student and teacher and takes its rows of each batch. Because a batch's loss is the
mean over its frames and each process has equally many, the mean of the processes' gradients is the gradient of the
batch: same configuration, same result, up to the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from FetalEchoSegLib.devices import choose_device
from FetalEchoSegLib.errors import MissingDependency

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .configuration import TrainConfig
    from .pseudo_labels import FilterLog

Item = TypeVar("Item")
_ACCELERATE_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


class Processes:
    """One process among its like; a context manager, because Accelerate keeps one state for the interpreter."""

    def __init__(self, device: str, precision: str, threads: int | None, reason: str) -> None:
        import torch

        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise MissingDependency("Training needs the package accelerate: install it.") from error
        self._threads = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        AcceleratorState._reset_state(True)
        with _accelerate_device(device):
            self._accelerator = Accelerator(
                cpu=device == "cpu",
                mixed_precision=_ACCELERATE_PRECISION[precision],
                step_scheduler_with_optimizer=False,
            )
        self.precision = precision
        self._reason = reason

    @classmethod
    def of(cls, config: TrainConfig) -> Processes:
        """On the device and in the precision that a configuration asks for; raises InvalidRequest."""
        device = config.run.device
        if _started_together() and device.startswith("cuda"):
            device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # each its own
        chosen = choose_device(device, config.run.precision)
        return cls(chosen.device, chosen.precision, config.run.threads, chosen.reason)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import torch
        from accelerate.state import AcceleratorState

        # After an error the others may be elsewhere, or gone: waiting for them could last for ever.
        if kind is None and self.world > 1:
            self._accelerator.wait_for_everyone()
            torch.distributed.destroy_process_group()
        AcceleratorState._reset_state(True)
        torch.set_num_threads(self._threads)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self._accelerator.device

    @property
    def rank(self) -> int:
        """Number of this process."""
        return int(self._accelerator.process_index)

    @property
    def world(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def scales(self) -> bool:
        """Whether losses are scaled, as fp16 needs."""
        return self._accelerator.scaler is not None

    def describe(self) -> str:
        """For the log: "2 processes, cpu in fp32 (2 threads)"."""
        return self._reason if self.world == 1 else f"{self.world} processes, {self._reason}"

    # ------------------------------------------------------------------------------------------------ a step

    def prepare(self, student: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The two, ready for several processes and this precision."""
        ready = self._accelerator.prepare(student, optimizer)
        return ready[0], ready[1]

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of this precision."""
        return self._accelerator.autocast()

    def not_yet(self, student: nn.Module) -> AbstractContextManager[Any]:
        """Context in which gradients are only added up here, for accumulation."""
        return self._accelerator.no_sync(student)

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of ``loss``, averaged over the processes."""
        self._accelerator.backward(loss)

    def clip(self, student: nn.Module, largest: float) -> float:
        """Norm of the gradient, which is at most ``largest`` afterwards; 0 for any."""
        parameters = [p for p in student.parameters() if p.requires_grad]
        return float(self._accelerator.clip_grad_norm_(parameters, largest or float("inf")))

    def means(self, values: Mapping[str, torch.Tensor | float]) -> dict[str, float]:
        """Means over the processes, read from the device at once."""
        import torch

        stacked = torch.stack([torch.as_tensor(v, dtype=torch.float32, device=self.device) for v in values.values()])
        if self.world > 1:
            stacked = self._accelerator.reduce(stacked, "mean")
        return dict(zip(values, stacked.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether any process says yes; all get the same answer."""
        return self.means({"flag": float(flag)})["flag"] > 0 if self.world > 1 else flag

    def summary(self, log: FilterLog) -> dict[str, float]:
        """Summary of all processes' counts."""
        from .pseudo_labels import FilterLog

        whole = FilterLog(self.device)
        whole.counts = self._accelerator.reduce(log.counts, "sum") if self.world > 1 else log.counts
        return whole.summary()

    # ------------------------------------------------------------------------------------------------ work in shares

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every ``world``-th item from this process's own number on."""
        return items[self.rank :: self.world]

    def gather(self, mine: Sequence[Item], count: int) -> list[Item]:
        """Results of all processes for ``count`` items that ``share`` dealt out, in the items' order."""
        if self.world == 1:
            return list(mine)
        from accelerate.utils import gather_object

        found = gather_object([(self.rank + k * self.world, result) for k, result in enumerate(mine)])
        return [result for _, result in sorted(found, key=lambda pair: pair[0])][:count]

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the main process go through the block before the others, which find what it left on disk."""
        with self._accelerator.main_process_first():
            yield

    def wait(self) -> None:
        """Until all are here."""
        self._accelerator.wait_for_everyone()

    # ------------------------------------------------------------------------------------------------ checkpoints

    def scaler_state(self) -> dict[str, Any] | None:
        """Of the loss scale, None without one."""
        return self._accelerator.scaler.state_dict() if self.scales else None

    def load_scaler_state(self, state: Mapping[str, Any] | None) -> None:
        """Continue from ``scaler_state``."""
        if self.scales and state is not None:
            self._accelerator.scaler.load_state_dict(dict(state))


def _started_together() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def _accelerate_device(device: str) -> Iterator[None]:
    """Accelerate takes the device of a single process from the environment."""
    name, before = "ACCELERATE_TORCH_DEVICE", os.environ.get("ACCELERATE_TORCH_DEVICE")
    if not _started_together() and device != "cpu":
        os.environ[name] = device
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
