"""What one pass of a network gives; shared by the plain and the lean path, so that neither imports the other."""

from __future__ import annotations

from typing import NamedTuple

import torch


class EchoCareOutput(NamedTuple):
    """Logits of one pass, before any mask.

    segmentation  (B, n_labels, H, W)
    conditions    (B, n_conditions), one sigmoid each
    views         (B, n_views), one softmax; None for a network without view head
    """

    segmentation: torch.Tensor
    conditions: torch.Tensor
    views: torch.Tensor | None
