"""The classes of the ``segment-anything`` package, without torchvision.

Its ``__init__`` imports torchvision for helpers that are not needed here; its ``modeling`` does not. torchvision is
pinned to one torch release and would replace the user's torch, so the package's ``__init__`` is kept from running.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from functools import cache
from types import ModuleType
from typing import Any

from ..errors import MissingDependency

_PACKAGE = "segment_anything"
_lock = threading.Lock()


@cache
def sam_modeling() -> Any:
    """Module ``segment_anything.modeling``; raises MissingDependency when the package is not installed."""
    with _lock:
        loaded = sys.modules.get(_PACKAGE)
        if loaded is not None:  # somebody's torchvision works, or this ran before a reload
            return importlib.import_module(f"{_PACKAGE}.modeling")
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency("segment-anything is not installed: install it to segment by clicks.")
        parent = ModuleType(_PACKAGE)
        parent.__path__ = list(spec.submodule_search_locations)
        parent.__spec__ = spec
        sys.modules[_PACKAGE] = parent
        try:
            return importlib.import_module(f"{_PACKAGE}.modeling")
        finally:
            # Others who import the package by its name get the real one, or its own error. What was loaded here stays
            # under its submodules' names, which the real package then finds and shares.
            del sys.modules[_PACKAGE]


def sam_image_encoder() -> Any:
    """Module ``segment_anything.modeling.image_encoder``: Block and its window functions."""
    sam_modeling()
    return sys.modules[f"{_PACKAGE}.modeling.image_encoder"]
