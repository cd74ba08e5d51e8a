"""What every part of a run shares: configuration, folder, events, processes, and the wish to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from FetalEchoSegLib.errors import Cancelled, FetalEchoError

if TYPE_CHECKING:
    from .configuration import TrainConfig
    from .dataset import TrainingData
    from .events import Events
    from .processes import Processes
    from .run_folder import RunFolder
    from .stopping import StopRequests

STAGES = ("data", "ema", "fine_tuning", "calibration", "test")
_SPEAK_EVERY = 0.5  # seconds between events of progress


class Diverged(FetalEchoError):
    """Losses stopped being numbers, and going back did not help."""


@dataclass
class RunContext:
    """One process's side of a run.

    seconds  of work in earlier lives of the run
    """

    config: TrainConfig
    run: RunFolder
    events: Events
    processes: Processes
    stop: StopRequests
    data: TrainingData
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _pace: Pace = field(default_factory=lambda: Pace())

    @property
    def elapsed(self) -> float:
        """Seconds of work so far, earlier lives included."""
        return self.seconds + time.monotonic() - self._began

    def log(self, text: str, warning: bool = False) -> None:
        """Say a sentence."""
        self.events.log(text, "warning" if warning else "info")

    def measured(self, stage: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Keep and report values; ``step`` counts on through the epochs of a stage."""
        if self.processes.is_main:
            self.run.add_metrics(stage, epoch, step, values)
            self.events.metric(stage, epoch, step, values)

    def progress(
        self,
        stage: str,
        epoch: int,
        epochs: int,
        step: int,
        steps: int,
        seconds_left: float | None = None,
        **more: float,
    ) -> None:
        """Report progress, unless that was done a moment ago."""
        if self._pace.due(step == steps):
            self.events.progress(stage, epoch, epochs, step, steps, seconds_left, **more)

    def stoppable(self, stage: str) -> Callable[[int, int], None]:
        """A callback for work in between that reports progress, and raises Cancelled when the run shall stop."""

        def report(done: int, total: int) -> None:
            self.progress(stage, 0, 1, done, total)
            # Several processes would have to agree, which they do after their next step.
            if self.processes.world == 1 and self.stop.requested:
                raise Cancelled("Stopped; go on by resuming.")

        return report


class Pace:
    """Keeps reports of progress from coming faster than anybody reads them."""

    def __init__(self) -> None:
        self._spoke = -_SPEAK_EVERY

    def due(self, last: bool) -> bool:
        """Whether it is time for another; always for the last one."""
        now = time.monotonic()
        if not last and now - self._spoke < _SPEAK_EVERY:
            return False
        self._spoke = now
        return True
