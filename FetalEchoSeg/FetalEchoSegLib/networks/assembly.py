"""EchoCare from stored parameters, quickly: no random initialisation, no copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .configuration import EchoCareConfig
from .echocare import EchoCare


def echocare_from_state(config: EchoCareConfig, state: Mapping[str, torch.Tensor]) -> EchoCare:
    """The network with these parameters in fp32, built without storage and filled by assignment.

    Memory-mapped fp32 parameters stay mapped (privately: training writes to copies of the pages, never to the file).
    """
    with _on_meta():
        network = EchoCare(config)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    network.load_state_dict(floats, strict=True, assign=True)
    return network


@contextmanager
def _on_meta() -> Iterator[None]:
    """Modules made inside have shapes but no storage."""
    linspace: Callable[..., Any] = torch.linspace

    def linspace_with_values(*arguments: Any, **options: Any) -> Any:
        return linspace(*arguments, **(options | {"device": "cpu"}))

    # MONAI (1.4 to 1.6) reads numbers out of a linspace in SwinTransformer's constructor.
    torch.linspace = linspace_with_values  # type: ignore[assignment]
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.linspace = linspace  # type: ignore[assignment]
