"""Files dropped onto the panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


class FileDrop(qt.QObject):
    """Takes files and folders that are dropped on a widget or its children: ``take(paths)``, a list of str."""

    def __init__(self, widget: Any, take: Callable[[list[str]], None]) -> None:
        qt.QObject.__init__(self)
        self._widget = widget
        self._take = take
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def remove(self) -> None:
        """Take nothing any more."""
        self._widget.removeEventFilter(self)
        self._widget.setAcceptDrops(False)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Accept local files; everything else goes its way."""
        kind = event.type()
        if kind not in (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop):
            return False
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if not paths:
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            # The dragging program waits for this event to end: read afterwards.
            qt.QTimer.singleShot(0, lambda: self._take(paths))
        return True
