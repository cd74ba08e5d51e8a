"""Promptable models ready to answer, kept between uses."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnusableBundle
from ..segmentation import IsCancelled, file_times, held
from .bundle import DEFAULT_PROMPTABLE, find_promptable

if TYPE_CHECKING:
    from .model import PromptableModel


def cached_promptable(
    model: str | Path = "", device: str = "auto", precision: str = "auto", cancelled: IsCancelled | None = None
) -> PromptableModel:
    """Promptable model by name or folder of its bundle, "" for the default one; raises what ``find_promptable`` does.

    The last one is kept, as long as its files on disk are the same, so that clicking, propagation and refinement share
    one. Weights are checked before a model is built. May be called from any thread; raises Cancelled when
    ``cancelled()`` turns true while another thread builds one.
    """
    with held(_lock, cancelled):
        try:
            bundle = find_promptable(model or DEFAULT_PROMPTABLE)
            key = (bundle.path.resolve(), file_times(bundle), device, precision)
        except UnusableBundle:
            _kept.clear()
            raise
        if key not in _kept:
            _kept.clear()  # before the next one takes as much memory
            _kept[key] = bundle.build(device, precision)
        return _kept[key]


def forget_promptable() -> None:
    """Free the memory of the model that ``cached_promptable`` keeps; on Windows, its file can be deleted then."""
    _kept.clear()


_kept: dict[tuple[object, ...], PromptableModel] = {}
_lock = threading.Lock()
