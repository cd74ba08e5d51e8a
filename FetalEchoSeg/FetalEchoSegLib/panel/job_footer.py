"""The line at the bottom of a panel: the job that runs, its progress, what happened last, and errors as messages."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import FetalEchoError
from .jobs import Job


class JobFooter:
    """Runs one job at a time for a panel.

    ui          widgets of ``FetalEchoSeg.ui``: progressBar, cancelButton, statusLabel
    title       of messages
    setBusy     called with whether a job runs
    progressed  called with (done, total, text, seconds left or None)
    """

    def __init__(
        self,
        ui: Any,
        title: str,
        setBusy: Callable[[bool], None],
        progressed: Callable[[int, int, str, float | None], None] | None = None,
    ) -> None:
        self._ui = ui
        self._title = title
        self._setBusy = setBusy
        self._progressed = progressed
        self.job: Job | None = None
        ui.cancelButton.connect("clicked(bool)", self.onCancelButton)
        self._showJob(None)

    def runJob(
        self,
        title: str,
        work: Callable[..., Any],
        finished: Callable[[Any], None],
        stopped: Callable[[], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
        cancelButton: bool = True,
    ) -> Job | None:
        """Run ``work(report, cancelled)`` outside the user interface's thread; one job at a time.

        :param title: what the line at the bottom says meanwhile, such as "Reading clip.dcm".
        :param finished: called with the result, on the main thread.
        :param stopped: called after a cancel that left no result.
        :param failed: called with the exception after the user was told of it.
        :param cancelButton: False when the section has a Cancel button of its own.
        :return: the job, or None when another one still runs.
        """
        if self.job is not None:
            return None

        def ended() -> None:
            self.job = None
            self._showJob(None)
            self._setBusy(False)

        def onFinished(result: Any) -> None:
            ended()
            with self.showingErrors(title):
                finished(result)

        def onStopped() -> None:
            ended()
            self.showStatus(_("Cancelled."))
            if stopped is not None:
                stopped()

        def onFailed(error: BaseException) -> None:
            ended()
            with self.showingErrors(title):
                raise error
            if failed is not None:
                failed(error)

        self.job = Job(work, onFinished, onFailed, self._onProgress, onStopped)
        self._showJob(title, cancelButton)
        self._setBusy(True)
        self.job.start()
        return self.job

    def abandonJob(self) -> None:
        """Stop the running job, if any, and forget it: what it works for goes away."""
        if self.job is not None:
            self.job.abandon()
            self.job = None
            self._showJob(None)
            self._setBusy(False)

    def onCancelButton(self, checked: bool = False) -> None:
        """Stop the running job."""
        if self.job is not None:
            self.job.cancel()
            self._ui.cancelButton.setEnabled(False)
            self.showStatus(_("Cancelling..."))

    def showStatus(self, text: str) -> None:
        """Say what has just happened."""
        self._ui.statusLabel.setText(text)

    @contextmanager
    def showingErrors(self, title: str) -> Iterator[None]:
        """Show an error as a message: one sentence for what is known, with the traceback for what is not."""
        try:
            yield
        except FetalEchoError as error:
            logging.warning("%s: %s", title, error)
            self.showStatus(str(error))
            slicer.util.errorDisplay(str(error), windowTitle=self._title)
        except Exception as error:
            logging.exception(title)
            text = _("{title} failed: {error}").format(title=title, error=error or type(error).__name__)
            self.showStatus(text)
            slicer.util.errorDisplay(text, windowTitle=self._title, detailedText=traceback.format_exc())

    def _showJob(self, title: str | None, cancelButton: bool = True) -> None:
        ui = self._ui
        ui.progressBar.setVisible(title is not None)
        ui.cancelButton.setVisible(title is not None and cancelButton)
        ui.cancelButton.setEnabled(True)
        ui.progressBar.setRange(0, 0)
        ui.statusLabel.setText(title or "")

    def _onProgress(self, done: int, total: int, text: str, secondsLeft: float | None) -> None:
        self._ui.progressBar.setRange(0, total)
        self._ui.progressBar.setValue(done)
        if self._progressed is not None:
            self._progressed(done, total, text, secondsLeft)
        if self.job is not None and self.job.isCancelled:
            return
        if secondsLeft is None:
            self.showStatus(text)
        else:
            self.showStatus(_("{text}, {seconds:.0f} s left").format(text=text, seconds=secondsLeft))
