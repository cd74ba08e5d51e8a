"""EchoCare: one network that segments a frame, judges its conditions and names its view.

State-dict compatible with the official FETUS 2026 baseline (MONAI Swin encoder with LoRA, UNETR decoder, condition
head on the pooled bottleneck); the view head is ours. This is the reference and the path for training; inference
runs the same parameters through ``lean``, which needs no MONAI.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, overload

import torch
from torch import nn

from .condition_features import condition_features
from .configuration import EchoCareConfig
from .output import EchoCareOutput
from .unetr import Features, SwinUnetr

__all__ = ["EchoCare", "EchoCareConfig", "EchoCareOutput"]


class EchoCare(nn.Module):
    """The multi-task network.

    checkpoint_activations  recompute the encoder's activations in the backward pass: less memory, one third slower

    >>> network = EchoCare(EchoCareConfig.tiny())
    >>> network(torch.zeros(1, 1, 64, 64)).segmentation.shape
    torch.Size([1, 15, 64, 64])
    """

    def __init__(self, config: EchoCareConfig, checkpoint_activations: bool = False) -> None:
        super().__init__()
        self.config = config
        self.in_adapter: nn.Module
        if config.input_channels == 1:
            self.in_adapter = nn.Conv2d(1, SwinUnetr.ENCODER_CHANNELS, kernel_size=1, bias=False)
            nn.init.ones_(self.in_adapter.weight)
        else:
            self.in_adapter = nn.Identity()
        self.seg_net = SwinUnetr(config, checkpoint_activations)
        self.cls_decoder = _head(config, config.condition_features, config.n_conditions)
        self.view_decoder = _head(config, config.bottleneck_features, config.n_views) if config.n_views else None
        self.fp_dropout = nn.Dropout2d(0.5)

    @overload
    def forward(self, image: torch.Tensor, perturb_features: Literal[False] = ...) -> EchoCareOutput: ...
    @overload
    def forward(
        self, image: torch.Tensor, perturb_features: Literal[True]
    ) -> tuple[EchoCareOutput, EchoCareOutput]: ...
    def forward(
        self, image: torch.Tensor, perturb_features: bool = False
    ) -> EchoCareOutput | tuple[EchoCareOutput, EchoCareOutput]:
        """Logits of a batch.

        image             (B, 1, H, W) grey in 0..1; H and W multiples of ``config.size_divisor``
        perturb_features  also decode features with half of their channels dropped (UniMatch's feature perturbation;
                          in training mode only, as any dropout): returns (clean, perturbed)
        """
        divisor = self.config.size_divisor
        if image.ndim != 4 or image.shape[2] % divisor or image.shape[3] % divisor:
            raise ValueError(f"images must be (B, C, H, W) with H and W multiples of {divisor}: {tuple(image.shape)}")
        features = self.encode(image)
        if not perturb_features:
            return self.decode(features)
        both = Features(*(torch.cat((level, self.fp_dropout(level))) for level in features))
        output = self.decode(both)
        segmentation, conditions = output.segmentation.chunk(2), output.conditions.chunk(2)
        views = output.views.chunk(2) if output.views is not None else (None, None)
        return (
            EchoCareOutput(segmentation[0], conditions[0], views[0]),
            EchoCareOutput(segmentation[1], conditions[1], views[1]),
        )

    def encode(self, image: torch.Tensor) -> Features:
        """What ``decode`` needs of (B, 1, H, W) images."""
        return self.seg_net.encode(self.in_adapter(image))

    def decode(self, features: Features) -> EchoCareOutput:
        """Logits of encoded images."""
        pooled = features.bottleneck.mean(dim=(2, 3))
        views = self.view_decoder(pooled) if self.view_decoder is not None else None
        segmentation = self.seg_net.decode(features)
        return EchoCareOutput(
            segmentation, self.cls_decoder(self.condition_features(features, segmentation, views)), views
        )

    def condition_features(
        self, features: Features, segmentation: torch.Tensor, views: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, F) what the condition head sees."""
        levels = (features.bottleneck, features.level4, features.level3)
        return condition_features(self.config.condition_head, levels, segmentation, views)

    def freeze_encoder(self) -> None:
        """Train only the adapters within the Swin encoder, as the official baseline does."""
        for name, parameter in self.seg_net.Swin_encoder.named_parameters():
            parameter.requires_grad_("linear_a_" in name or "linear_b_" in name)

    def segmentation_parameters(self) -> list[nn.Parameter]:
        """Everything that shapes the segmentation: adapter, encoder and decoder."""
        return [*self.in_adapter.parameters(), *self.seg_net.parameters()]

    def reset_condition_head(self, kind: str | None = None) -> None:
        """A condition head with fresh random weights (start of classification fine-tuning); ``kind`` changes it."""
        self.config = replace(self.config, condition_head=kind or self.config.condition_head)
        device = next(self.cls_decoder.parameters()).device
        self.cls_decoder = _head(self.config, self.config.condition_features, self.config.n_conditions).to(device)


def _head(config: EchoCareConfig, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, config.head_features),
        nn.ReLU(inplace=True),
        nn.Linear(config.head_features, outputs),
    )
