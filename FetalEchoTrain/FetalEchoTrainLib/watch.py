"""What a run has said so far, for a panel that looks again and again."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .events import parse
from .run_folder import RunFolder

_MOST_BYTES = 1 << 20  # a look; the rest comes with the next one
_MOST_LINES = 500


@dataclass
class Watch:
    """Follows ``events.jsonl``; ``look`` reads what is new.

    stage, epoch, epochs, step, steps   where it is, epochs and steps done
    seconds_left                        of the whole run, None if not known
    curves                              (epoch, value) by "stage/name", epochs counted from 1
    lines                               of the log, newest last
    """

    run: RunFolder
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    error: str = ""
    bundle: str = ""
    _offset: int = 0
    _rest: bytes = b""

    @property
    def fraction(self) -> float:
        """Share of the stage that is done, 0 to 1."""
        whole = self.epochs * max(self.steps, 1)
        return min((self.epoch * max(self.steps, 1) + self.step) / whole, 1.0) if whole else 0.0

    def look(self) -> bool:
        """Read what was said since the last look, 1 MiB at most; whether there was anything."""
        data = b""
        path = self.run.path / "events.jsonl"
        with suppress(OSError):
            if path.stat().st_size < self._offset:  # another run began in the folder
                vars(self).update(vars(Watch(self.run)))
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_MOST_BYTES)
        if not data:
            return False
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MOST_BYTES:  # no event is as long
            self._rest = b""
        for line in lines:
            event = parse(line.decode("utf-8", errors="replace"))
            if event is not None:
                self._take(event)
        return True

    def _take(self, event: dict[str, Any]) -> None:
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # a line half overwritten
            kind = event["event"]
            if kind == "progress":
                self.stage = str(event["stage"])
                self.epoch, self.epochs = int(event["epoch"]), int(event["epochs"])
                self.step, self.steps = int(event["step"]), int(event["steps"])
                self.seconds_left = event.get("seconds_left")
            elif kind == "metric":
                for name, value in event["values"].items():
                    if isinstance(value, int | float):
                        self._add(f"{event['stage']}/{name}", int(event["epoch"]) + 1, float(value))
            elif kind == "log":
                self.lines.append(str(event["text"]))
            elif kind == "error":
                self.error = str(event["text"])
                self.lines.append(self.error)
            elif kind == "result":
                self.bundle = str(event["bundle"])

    def _add(self, name: str, epoch: int, value: float) -> None:
        curve = self.curves.setdefault(name, [])
        while curve and curve[-1][0] >= epoch:  # resumed from an earlier epoch
            curve.pop()
        curve.append((epoch, value))
