"""What a worker says while it trains: one JSON object a line, for whoever watches it.

    {"event": "progress", "time": 1795573812.4, "stage": "ema", "epoch": 3, "epochs": 100, "step": 12, ...}

Kinds: progress, metric, log, checkpoint, result, error. Anything else on the same stream is log text of a library;
``parse`` tells the two apart. The watcher may go away: a stream that breaks is given up, and the training goes on.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

Kind = Literal["progress", "metric", "log", "checkpoint", "result", "error"]
Level = Literal["info", "warning"]
_LONGEST_LINE = 1 << 20


class Stream(Protocol):
    """What lines are written to: a text file, ``sys.stdout``."""

    def write(self, text: str, /) -> Any:
        """Take a text."""

    def flush(self) -> Any:
        """Hand it on."""


class Events:
    """Writes events to every stream that still takes them; safe to use from threads."""

    def __init__(self, *streams: Stream | None) -> None:
        self._streams = [stream for stream in streams if stream is not None]
        self._lock = threading.Lock()

    def progress(
        self, stage: str, epoch: int, epochs: int, step: int, steps: int, seconds_left: float | None = None, **more: Any
    ) -> None:
        """How far the work is: epochs and steps done, counted from 0, of how many.

        stage         "data", "ema", "fine_tuning", "calibration", "test"
        seconds_left  of the whole run, None while nobody knows
        """
        self._say("progress", stage=stage, epoch=epoch, epochs=epochs, step=step, steps=steps,
                  seconds_left=seconds_left, **more)  # fmt: skip

    def metric(self, stage: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Measured values by name, such as "loss" or "validation_dsc"; what is not finite becomes null."""
        self._say("metric", stage=stage, epoch=epoch, step=step, values=dict(values))

    def log(self, text: str, level: Level = "info") -> None:
        """A sentence for the user."""
        self._say("log", level=level, text=text)

    def checkpoint(self, path: Path, epoch: int, step: int, best: bool = False) -> None:
        """A checkpoint was written; ``best`` if its weights are the best so far."""
        self._say("checkpoint", path=str(path), epoch=epoch, step=step, best=best)

    def result(self, bundle: Path, values: Mapping[str, Any]) -> None:
        """The run is finished: its bundle, and its figures by part."""
        self._say("result", bundle=str(bundle), values=dict(values))

    def error(self, text: str) -> None:
        """Why the run ended, in one sentence."""
        self._say("error", text=text)

    def _say(self, kind: Kind, **fields: Any) -> None:
        line = json.dumps(
            _plain({"event": kind, "time": round(time.time(), 3), **fields}), ensure_ascii=False, allow_nan=False
        )
        with self._lock:
            for stream in tuple(self._streams):
                try:
                    stream.write(line + "\n")
                    stream.flush()
                except (OSError, ValueError):  # a pipe nobody reads any more, a closed file, a full disk
                    self._streams.remove(stream)


def parse(line: str) -> dict[str, Any] | None:
    """The event in a line, None for log text."""
    if len(line) > _LONGEST_LINE or not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("event") in get_args(Kind) else None


def _plain(value: Any) -> Any:
    """Only what JSON has: numbers of NumPy and torch as Python's, no NaN, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # arrays, tensors and their scalars
        return _plain(value.tolist())
    return str(value)
