"""What becomes of trainings when Slicer is closed: the user is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class QuitQuestion(qt.QObject):
    """Asks when ``window`` is closed while runs are at work, and ends them if the user wants that.

    alive  gives the runs that are at work           stop  asks one to save itself and end
    """

    def __init__(self, window: Any, alive: Callable[[], Sequence[Any]], stop: Callable[[Any], None]) -> None:
        qt.QObject.__init__(self)
        self._window = window
        self._alive = alive
        self._stop = stop
        if window is not None:
            window.installEventFilter(self)

    def remove(self) -> None:
        """Ask no more."""
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Ask; the window is closed whatever the answer is."""
        if event.type() == qt.QEvent.Close:
            runs = self._alive()
            text = _(
                "{names} is at work. Let it go on while Slicer is closed?\n\nNo saves and ends it; it can be resumed."
            ).format(names=", ".join(run.path.name for run in runs))
            if runs and not slicer.util.confirmYesNoDisplay(text, windowTitle=_("FetalEcho Training")):
                for run in runs:
                    self._stop(run)
        return False
