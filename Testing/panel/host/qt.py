"""Slicer's module ``qt``: the classes of Qt's modules, flat."""

from __future__ import annotations

import sys
from typing import Any

from . import desktop, names, pythonqt

pythonqt.install()
desktop.install()

for _module in pythonqt.PATCHED_MODULES:
    for _name in dir(_module):
        if _name in names.qt_classes() and isinstance(getattr(_module, _name), type):
            globals().setdefault(_name, getattr(_module, _name))

sys.modules.setdefault("qt", sys.modules[__name__])

from .uiloader import QUiLoader  # noqa: F401


def __getattr__(name: str) -> Any:
    raise AttributeError(f"qt.{name} is not in the test host")
