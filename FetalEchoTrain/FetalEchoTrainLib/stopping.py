"""Requests to end a run cleanly: SIGTERM, Ctrl+C, and the stop file."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run_folder import RunFolder


class StopRequests:
    """Listens while its block runs; the first signal asks politely, a second one of the same kind ends at once."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._signalled = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        # Only the main thread may; elsewhere the stop file remains.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def requested(self) -> bool:
        """Whether the run shall end."""
        return self._signalled or self._run.stop_requested

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
        signal.signal(number, self._before[number])
