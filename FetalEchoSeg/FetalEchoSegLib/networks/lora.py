"""Low-rank adapters on the queries and values of window attention (LoRA, Hu et al. 2021)."""

from __future__ import annotations

import math

import torch
from torch import nn


class LoraQkv(nn.Module):
    """A qkv projection with adapters on q and v: ``y = W x + b + scale * (B_q A_q x, 0, B_v A_v x)``.

    The attribute names are those of the official baseline's checkpoints. B starts at zero, so that a fresh adapter
    changes nothing.
    """

    def __init__(self, qkv: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        width = qkv.in_features
        self.scale = alpha / rank
        self.qkv = qkv
        self.linear_a_q = nn.Linear(width, rank, bias=False)
        self.linear_b_q = nn.Linear(rank, width, bias=False)
        self.linear_a_v = nn.Linear(width, rank, bias=False)
        self.linear_b_v = nn.Linear(rank, width, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Random A, zero B."""
        for a in (self.linear_a_q, self.linear_a_v):
            nn.init.kaiming_uniform_(a.weight, a=math.sqrt(5))
        for b in (self.linear_b_q, self.linear_b_v):
            nn.init.zeros_(b.weight)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(..., C) to (..., 3C)."""
        q, k, v = self.qkv(tokens).chunk(3, dim=-1)
        q = q + self.scale * self.linear_b_q(self.linear_a_q(tokens))
        v = v + self.scale * self.linear_b_v(self.linear_a_v(tokens))
        return torch.cat((q, k, v), dim=-1)


def merged_qkv_weight(
    weight: torch.Tensor,
    a_q: torch.Tensor,
    b_q: torch.Tensor,
    a_v: torch.Tensor,
    b_v: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """(3C, C) weight that gives the same output as the projection with its adapters; computed in fp32."""
    merged = weight.to(torch.float32, copy=True)
    width = weight.shape[1]
    merged[:width].addmm_(b_q.float(), a_q.float(), alpha=scale)
    merged[2 * width :].addmm_(b_v.float(), a_v.float(), alpha=scale)
    return merged
