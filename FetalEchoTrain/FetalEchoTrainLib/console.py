"""Events of a run as lines for a terminal: a bar for the epoch, a line for each validation, and what the log says."""

from __future__ import annotations

import time
from typing import Any

from FetalEchoSegLib.command_line import say

from .events import parse

_SHOWN = (
    "loss", "validation_dsc", "validation_nsd", "validation_macro_f1", "validation_macro_f1_best", "validation_auroc",
)  # fmt: skip
# Epochs of stage 2 take a fraction of a second: not every one gets a line.
_SECONDS_BETWEEN_LINES = 5.0


class Console:
    """A stream of ``events.Events``; bars go to stderr, on a terminal only, and lines to stdout."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._place: tuple[str, int] | None = None
        self._began = time.monotonic()
        self._spoke: dict[str, float] = {}

    def write(self, text: str) -> None:
        """Show one line of events."""
        event = parse(text)
        if event is not None:
            getattr(self, f"_{event['event']}", lambda _: None)(event)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _progress(self, event: dict[str, Any]) -> None:
        from tqdm import tqdm

        place = (event["stage"], event["epoch"])
        if place != self._place or self._bar is None:
            self.close()
            self._place = place
            title = (
                f"{event['stage']} {event['epoch'] + 1}/{event['epochs']}" if event["epochs"] > 1 else event["stage"]
            )
            self._bar = tqdm(total=event["steps"], desc=title, unit="step", disable=None, leave=False)
        self._bar.total = event["steps"]
        if event.get("seconds_left") is not None:
            self._bar.set_postfix_str(f"{duration(event['seconds_left'])} left", refresh=False)
        self._bar.update(event["step"] - self._bar.n)

    def _metric(self, event: dict[str, Any]) -> None:
        values = event["values"]
        # Training steps measure often; a line is for what was validated.
        long_ago = time.monotonic() - self._spoke.get(event["stage"], -_SECONDS_BETWEEN_LINES) >= _SECONDS_BETWEEN_LINES
        if long_ago and any(name.startswith("validation") for name in values):
            self._spoke[event["stage"]] = time.monotonic()
            shown = {name: values[name] for name in _SHOWN if values.get(name) is not None}
            text = ", ".join(
                f"{name.removeprefix('validation_').replace('_', ' ')} {v:.4g}" for name, v in shown.items()
            )
            self._say(f"{event['stage']}, epoch {event['epoch'] + 1}: {text}")

    def _log(self, event: dict[str, Any]) -> None:
        self._say(("Note: " if event.get("level") == "warning" else "") + event["text"])

    def _result(self, event: dict[str, Any]) -> None:
        self._say(f"Finished: {event['bundle']}")

    def _say(self, text: str) -> None:
        self.close()
        say(f"{duration(time.monotonic() - self._began):>9}  {text}")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as "1:02:03", or "2:03" below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
