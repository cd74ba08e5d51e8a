"""EchoCare from stored parameters, quickly: no random initialisation, no copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .configuration import EchoCareConfig
from .echocare import EchoCare

_LAYERS: tuple[Any, ...] = (nn.Linear, nn.modules.conv._ConvNd, nn.LayerNorm)
_lock = threading.Lock()


def echocare_from_state(config: EchoCareConfig, state: Mapping[str, torch.Tensor]) -> EchoCare:
    """The network with these parameters in fp32, built without initialising and filled by assignment.

    Memory-mapped fp32 parameters stay mapped (privately: training writes to copies of the pages, never to the file).
    """
    with _uninitialised():
        network = EchoCare(config)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    network.load_state_dict(floats, strict=True, assign=True)
    return network


@contextmanager
def _uninitialised() -> Iterator[None]:
    """Layers that this thread makes inside keep untouched memory, which costs nothing until it is written.

    The meta device would do the same, but its first use imports torch's symbolic machinery (two seconds), and MONAI
    reads numbers out of tensors while it builds.
    """
    owner = threading.get_ident()
    with _lock:
        originals = [layer.reset_parameters for layer in _LAYERS]

        def skipping(original: Any) -> Any:
            return lambda self: None if threading.get_ident() == owner else original(self)

        for layer, original in zip(_LAYERS, originals, strict=True):
            layer.reset_parameters = skipping(original)
        try:
            yield
        finally:
            for layer, original in zip(_LAYERS, originals, strict=True):
                layer.reset_parameters = original
