"""What the condition head sees, for the plain and the lean path alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..anatomy import HEART_UNION, THORAX_UNION, Structure, View, permitted_labels
from .configuration import N_AREA_FEATURES

# Numerator and what it is compared with; each ratio is first / (first + second), so that it lies in 0..1.
_RATIOS: tuple[tuple[tuple[Structure, ...], tuple[Structure, ...]], ...] = (
    ((Structure.LEFT_VENTRICLE,), (Structure.RIGHT_VENTRICLE,)),
    ((Structure.LEFT_ATRIUM,), (Structure.RIGHT_ATRIUM,)),
    (HEART_UNION, tuple(s for s in THORAX_UNION if s not in HEART_UNION)),
    ((Structure.ASCENDING_AORTA,), (Structure.MAIN_PULMONARY_ARTERY,)),
    ((Structure.AORTIC_ARCH,), (Structure.MAIN_PULMONARY_ARTERY,)),
    ((Structure.AORTIC_ARCH,), (Structure.SUPERIOR_VENA_CAVA,)),
)
assert len(Structure) + len(_RATIOS) == N_AREA_FEATURES
N_LEVELS = 3  # bottleneck, level 4, level 3
# Of the image, about 7 pixels at 256: below, a structure is noise and its ratios are one half.
_SMALL_AREA = 1e-4


def condition_features(
    kind: str, levels: Sequence[torch.Tensor], segmentation: torch.Tensor, views: torch.Tensor | None
) -> torch.Tensor:
    """(B, F) float32 that a condition head of this kind sees.

    plain         the mean of the bottleneck
    anatomy       soft areas of the structures and ratios between them
    combined      these after means and maxima of several levels

    levels        (B, C, h, w) each: bottleneck, level 4, level 3
    segmentation  (B, 15, H, W) logits, not masked
    views         (B, 4) logits, None without a view head, which "plain" does not need
    Areas and ratios beside pooled features are the idea of the FETUS 2026 winner's "MorphHead"; alone they learn from a
    few dozen positives, among hundreds of pooled features they do not.
    """
    if kind == "plain" or views is None:
        return levels[0].float().mean((2, 3))
    areas = soft_areas(segmentation, views)
    anatomy = torch.cat([areas.sqrt(), _ratios(areas)], dim=1)
    if kind == "anatomy":
        return anatomy
    pooled = [statistic for level in levels for statistic in (level.float().mean((2, 3)), level.float().amax((2, 3)))]
    return torch.cat([*pooled, anatomy], dim=1)


def soft_areas(segmentation: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """(B, 14) expected share of the image that each structure covers.

    Each view masks the logits as it does everywhere; their answers are averaged by the views' probabilities, because
    the head must judge before anybody has said which view it is.
    """
    weights = views.float().softmax(1)
    areas = segmentation.new_zeros(len(segmentation), segmentation.shape[1], dtype=torch.float32)
    for view in View:
        permitted = list(permitted_labels(view))
        shares = segmentation[:, permitted].float().softmax(1).mean((2, 3))
        areas[:, permitted] += weights[:, view.index, None] * shares
    return areas[:, 1:]


def _ratios(areas: torch.Tensor) -> torch.Tensor:
    def total(structures: Sequence[Structure]) -> torch.Tensor:
        return areas[:, [int(s) - 1 for s in structures]].sum(1)

    pairs = [(total(first), total(second)) for first, second in _RATIOS]
    return torch.stack([(a + _SMALL_AREA) / (a + b + 2 * _SMALL_AREA) for a, b in pairs], dim=1)
