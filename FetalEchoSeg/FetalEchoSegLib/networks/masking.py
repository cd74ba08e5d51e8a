"""View-specific hard masking of logits: the one place that does it, for training, pseudo-labels and inference."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..anatomy import View, condition_table, label_table

# Finite in every precision and after adding two of them (finfo.min is not: two masked logits make -inf, and a
# cross-entropy on a masked label overflows), yet its softmax and sigmoid are exactly 0 in fp32.
MASKED_LOGIT = -1e4


def permitted_labels_mask(
    views: View | Sequence[View] | torch.Tensor, device: torch.device | None = None
) -> torch.Tensor:
    """(B, 15) bool: the labels that each frame's view permits; ``views`` as in ``mask_segmentation_logits``."""
    return _rows(label_table(), views, device)


def permitted_conditions_mask(
    views: View | Sequence[View] | torch.Tensor, device: torch.device | None = None
) -> torch.Tensor:
    """(B, 7) bool: the conditions that each frame's view can show."""
    return _rows(condition_table(), views, device)


def mask_segmentation_logits(logits: torch.Tensor, views: View | Sequence[View] | torch.Tensor) -> torch.Tensor:
    """Logits (B, 15, ...) with the channels that a frame's view does not permit set to ``MASKED_LOGIT``.

    views  one ``View`` for the whole batch, B of them, or a (B,) integer tensor of their values (1 to 4, as in FETUS
           files). The gradient into masked channels is zero. ValueError for any other value.
    """
    return _mask(logits, permitted_labels_mask(views, logits.device))


def mask_condition_logits(logits: torch.Tensor, views: View | Sequence[View] | torch.Tensor) -> torch.Tensor:
    """Logits (B, 7) with the conditions that a frame's view cannot show set to ``MASKED_LOGIT``."""
    return _mask(logits, permitted_conditions_mask(views, logits.device))


def _rows(table: object, views: View | Sequence[View] | torch.Tensor, device: torch.device | None) -> torch.Tensor:
    if isinstance(views, torch.Tensor):
        values = views.detach().to("cpu", torch.long).reshape(-1)
    else:
        values = torch.tensor([int(v) for v in ([views] if isinstance(views, View) else views)], dtype=torch.long)
    if values.numel() == 0 or int(values.min()) < min(View) or int(values.max()) > max(View):
        raise ValueError(f"views must be {int(min(View))} to {int(max(View))}, got {values.tolist()}")
    return torch.as_tensor(table)[values - 1].to(device)


def _mask(logits: torch.Tensor, permitted: torch.Tensor) -> torch.Tensor:
    if logits.shape[1] != permitted.shape[1] or permitted.shape[0] not in (1, logits.shape[0]):
        raise ValueError(f"logits {tuple(logits.shape)} do not fit {permitted.shape[0]} views")
    shape = (permitted.shape[0], permitted.shape[1], *([1] * (logits.ndim - 2)))
    return logits.masked_fill(~permitted.view(shape), MASKED_LOGIT)
