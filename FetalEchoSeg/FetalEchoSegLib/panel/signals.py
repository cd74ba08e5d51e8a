"""Signals between Python objects of the panel.

PythonQt's own ``qt.Signal`` in Python classes is reported to crash, and these need no Qt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls what is connected, in the order of connection.

    >>> changed = Signal()
    >>> changed.connect(print)
    >>> changed.emit("frame", 3)
    frame 3
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        """Call ``slot`` at each emit, once even if connected twice."""
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        """Do not call ``slot`` any more; nothing happens if it is not connected."""
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *arguments: Any) -> None:
        """Call every slot with ``arguments``."""
        for slot in tuple(self._slots):
            slot(*arguments)
