"""Work outside the user interface's thread.

The thread that works touches neither Qt nor MRML nor VTK: what it needs is taken out of the scene before, and what it
found is put there afterwards, on the main thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import qt

# How long a turn of the event loop waits for the worker. Slicer holds Python's lock while it waits for events, so a
# worker would hardly run: this wait gives it the lock, and is too short for the user to notice.
_YIELD_SECONDS = 0.015
# A worker that does not stop by then is left to end by itself; its result is dropped.
_PATIENCE_SECONDS = 0.8
# Before, the time left is a guess that jumps.
_PACE_SECONDS = 0.5

Report = Callable[..., None]
IsCancelled = Callable[[], bool]


class Job:
    """One piece of work in a thread of its own, with progress and cancel.

    work      called in the thread as work(report, cancelled); ``report(done, total, text="")`` may be called at any
              rate, ``cancelled()`` is to be asked at least four times a second
    finished  called with the result, on the main thread
    failed    called with the exception, on the main thread
    progress  called with (done, total, text, seconds left or None), on the main thread, at most once per turn; the
              time left follows from what was done since the first report of this total
    stopped   called without arguments when the work was cancelled and has no result: it raised
              ``errors.Cancelled``, or did not stop in time and was abandoned
    """

    def __init__(
        self,
        work: Callable[[Report, IsCancelled], Any],
        finished: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        progress: Callable[[int, int, str, float | None], None] | None = None,
        stopped: Callable[[], None] | None = None,
    ) -> None:
        self._work = work
        self._finished = finished
        self._failed = failed
        self._progress = progress
        self._stopped = stopped
        self._messages: queue.SimpleQueue[tuple[float, int, int, str]] = queue.SimpleQueue()
        self._cancel = threading.Event()
        self._cancelTime = 0.0
        self._result: Any = None
        self._error: BaseException | None = None
        # Time, count and total from which the speed is reckoned: the first report, so that loading does not count.
        self._pace: tuple[float, int, int] | None = None
        # Daemon: an abandoned worker must not keep the application from ending.
        self._thread = threading.Thread(target=self._run, name="FetalEcho job", daemon=True)
        self._timer: Any = None

    @property
    def isRunning(self) -> bool:
        """Whether callbacks may still come."""
        return self._timer is not None

    @property
    def isCancelled(self) -> bool:
        """Whether cancel or abandon was called."""
        return self._cancel.is_set()

    def start(self) -> None:
        """Begin; returns at once."""
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._poll)
        self._timer.start()
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; one of the callbacks follows within a second."""
        if not self._cancel.is_set():
            self._cancelTime = time.monotonic()
            self._cancel.set()

    def abandon(self) -> None:
        """Ask the work to stop and call nothing any more: its scene or panel goes away."""
        self.cancel()
        self._stopTimer()

    def _run(self) -> None:
        try:
            self._result = self._work(self._report, self._cancel.is_set)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            self._error = error

    def _report(self, done: int, total: int, text: str = "") -> None:
        self._messages.put((time.monotonic(), done, total, text))

    def _stopTimer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _poll(self) -> None:
        if self._timer is None:
            return
        self._thread.join(_YIELD_SECONDS)
        alive = self._thread.is_alive()
        self._drain()
        if self._timer is None:  # a progress callback has abandoned the job
            return
        if alive and not (self.isCancelled and time.monotonic() - self._cancelTime > _PATIENCE_SECONDS):
            return
        self._stopTimer()
        self._conclude(alive)

    def _conclude(self, alive: bool) -> None:
        from ..errors import Cancelled

        if alive or isinstance(self._error, Cancelled):
            if self._stopped is not None:
                self._stopped()
        elif self._error is not None:
            self._failed(self._error)
        else:
            self._finished(self._result)

    def _drain(self) -> None:
        message = None
        while not self._messages.empty():
            message = self._messages.get()
            now, done, total, _ = message
            if self._pace is None or total != self._pace[2] or done < self._pace[1]:
                self._pace = (now, done, total)
        if message is None or self._progress is None or self._pace is None:
            return
        now, done, total, text = message
        began, first, _ = self._pace
        known = done > first and now - began > _PACE_SECONDS
        left = (now - began) / (done - first) * (total - done) if known else None
        self._progress(done, total, text, left)
