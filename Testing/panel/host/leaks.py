"""What a module leaves behind after its cleanup: observers, connections, timers, shortcuts, threads."""

from __future__ import annotations

import ctypes
import functools
import gc
import inspect
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import pythonqt

_observers: list[tuple[Any, int, str, Callable]] = []
_PATIENCE_SECONDS = 2.0


def recordObservers() -> None:
    """Take down each observer that Python adds, from now on.

    VTK can tell whether a tag is still in use, and not which are. Its classes cannot be changed by assignment.
    """
    import vtk

    original = vtk.vtkObject.AddObserver

    def AddObserver(self: Any, event: Any, function: Callable, priority: float = 0.0) -> int:
        tag = original(self, event, function, priority)
        _observers.append((weakref.ref(self), tag, str(event), function))
        return tag

    (members,) = gc.get_referents(vtk.vtkObject.__dict__)
    members["AddObserver"] = AddObserver
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(vtk.vtkObject))


class Watch:
    """Compares the end of a test with its beginning."""

    def __init__(self, folders: list[Path]) -> None:
        """``folders`` hold the code that is watched."""
        self._folders = folders
        _observers.clear()
        self._connections = Counter(_connections(folders))
        self._threads = set(threading.enumerate())

    def leaks(self) -> list[str]:
        """One line for each thing that is left; waits for threads that are about to end."""
        found = [f"observer {line}" for line in self._leftObservers()]
        new = Counter(_connections(self._folders)) - self._connections
        found += [f"connection {line}" for line in new.elements()]
        found += [f"running QTimer, interval {timer.interval} ms" for timer in _runningTimers()]
        found += [f"QShortcut {shortcut.key.toString()} of the main window" for shortcut in _shortcuts()]
        end = time.monotonic() + _PATIENCE_SECONDS
        while threads := [t for t in threading.enumerate() if t not in self._threads and t.name != "tqdm_monitor"]:
            if time.monotonic() > end:
                found += [f"thread {thread.name}" for thread in threads]
                break
            time.sleep(0.01)
        return found

    def _leftObservers(self) -> Iterator[str]:
        for reference, tag, event, function in _observers:
            observed = reference()
            if observed is not None and observed.GetCommand(tag) is not None and _isFrom(function, self._folders):
                yield f"{_describe(function)} for event {event} of {observed.GetClassName()}"


def _isFrom(function: Callable, folders: list[Path]) -> bool:
    module = sys.modules.get(getattr(_plain(function), "__module__", None) or "")
    file = Path(getattr(module, "__file__", None) or "/")
    return any(file.is_relative_to(folder) for folder in folders)


def _plain(function: Callable) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _describe(function: Callable) -> str:
    plain = _plain(function)
    return f"{getattr(plain, '__module__', '')}.{getattr(plain, '__qualname__', plain)}"


def _connections(folders: list[Path]) -> Iterator[str]:
    """Connections from what outlives a panel."""
    import slicer

    application = slicer.app
    objects = (
        application,
        application._layoutManager,
        application._moduleManager,
        application._ioManager,
        application._mainWindow,
        slicer.qSlicerSegmentEditorEffectFactory.instance(),
        *application._modules.values(),
    )
    for sender in objects:
        for signal, function, _ in pythonqt._connections_of(sender):
            if _isFrom(function, folders):
                yield f"{_describe(function)} to {pythonqt.class_name(sender)}.{signal}"


def _runningTimers() -> list[Any]:
    """Active timers that Python knows, but for the host's own."""
    import shiboken6
    from PySide6 import QtCore

    timers = [o for o in gc.get_objects() if type(o) is QtCore.QTimer and shiboken6.isValid(o)]
    return [timer for timer in timers if timer.active and timer.property("ofTheHost") is None]


def _shortcuts() -> list[Any]:
    """Shortcuts of the main window; those inside a panel went with it."""
    import slicer

    return [s for s in slicer.app._mainWindow.findChildren("QShortcut") if s.parent() is slicer.app._mainWindow]
