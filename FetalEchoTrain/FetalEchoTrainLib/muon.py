"""Muon for matrices, AdamW for everything else, as one optimizer.

Muon takes steps whose singular values are about equal, so that directions with small gradients are learned as well;
from random weights our networks need a fraction of AdamW's steps. ``torch.optim.Muon`` came with PyTorch 2.9 and knows
matrices alone, neither the kernels of convolutions nor the rest of a network; Accelerate and checkpoints want one
optimizer.

Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon), Liu et al. 2025 (arXiv 2502.16982: size of the steps).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

_MOMENTUM = 0.95
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SMALLEST = 16  # rows and columns of what is worth a step of Muon; heads and first convolutions stay with AdamW


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose groups with ``matrices=True`` take steps of Muon, as long as AdamW's would be.

    Their parameters have two dimensions or more; all after the first make up the columns.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], **settings: Any) -> None:
        super().__init__([{"matrices": False, **group} for group in groups], **settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every group."""
        every = self.param_groups
        for group in every:
            if group["matrices"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._muon(parameter, group)
        self.param_groups = [group for group in every if not group["matrices"]]
        try:
            super().step()
        finally:
            self.param_groups = every

    def _muon(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["step"] = torch.zeros(())  # AdamW looks for it when it is restored
            state["momentum"] = torch.zeros_like(parameter)
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(momentum, _MOMENTUM).flatten(1)  # as Nesterov
        # A step of AdamW has a root mean square of about 0.2.
        size = 0.2 * max(ahead.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(_orthogonal(ahead).view_as(parameter), alpha=-group["lr"] * size)


def _orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix with the singular vectors of ``matrix`` and singular values of about one, in bfloat16."""
    a, b, c = _COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    found = (matrix if wide else matrix.T).bfloat16()
    found = found / found.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return (found if wide else found.T).contiguous()


def is_matrix(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether ``parameter``, ``name`` of ``module``, is the weight of a layer large enough for Muon."""
    rows = parameter.shape[0] if parameter.ndim > 1 else 1
    weighs = isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and name == "weight"
    return weighs and min(rows, parameter.numel() // rows) >= _SMALLEST
