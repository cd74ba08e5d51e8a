"""Leaving a network in the middle of its forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode

from ..errors import Cancelled


class Stoppable(TorchFunctionMode):
    """Inside ``with Stoppable(cancelled):``, the next torch function raises Cancelled once ``cancelled()`` is true.

    On a slow CPU one frame of the full network takes seconds, but none of its thousand steps takes half a second.
    Only the thread that entered the block is stopped. Asking costs nothing that can be measured.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._cancelled = cancelled

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call ``function``, or raise Cancelled."""
        if self._cancelled():
            raise Cancelled("Cancelled.")
        return function(*args, **(kwargs or {}))
