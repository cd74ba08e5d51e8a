"""Keys that work anywhere in the main window while the panel is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt
import slicer


@dataclass(frozen=True)
class Shortcut:
    """One key.

    keys    as for QKeySequence: "A", "Shift+N"
    action  called without arguments
    """

    keys: str
    action: Callable[[], Any]


class Shortcuts:
    """A set of keys that can be put in and taken out.

    They belong to the main window, so that they also fire when a slice view has the focus, and they exist only between
    ``install`` and ``remove``: two shortcuts with the same key in one window disable each other. Text fields keep
    plain letters to themselves (Qt asks the field that has the focus first).

    The letters taken are none of Slicer's: the Segment Editor has digits, Esc, Space, Z, Y, Q, W, I and / * , . < >,
    slice views have g t f b v r [ ] { } and the arrows, 3D views r f p s w e u l and 3.
    """

    def __init__(self, shortcuts: Sequence[Shortcut], fallback: Any) -> None:
        """Prepare, without making the keys work.

        fallback  widget that holds the keys when there is no main window
        """
        self._shortcuts = tuple(shortcuts)
        self._fallback = fallback
        self._installed: list[Any] = []

    @property
    def isInstalled(self) -> bool:
        """Whether the keys work."""
        return bool(self._installed)

    def install(self) -> None:
        """Let the keys work; nothing happens if they do already."""
        if self._installed:
            return
        parent = slicer.util.mainWindow() or self._fallback
        for shortcut in self._shortcuts:
            key = qt.QShortcut(parent)
            key.setKey(qt.QKeySequence(shortcut.keys))
            key.activated.connect(shortcut.action)
            self._installed.append(key)

    def remove(self) -> None:
        """Give the keys back."""
        for key in self._installed:
            key.setEnabled(False)  # at once; the object goes with the next turn of the event loop
            key.deleteLater()
        self._installed.clear()
