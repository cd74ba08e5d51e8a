"""The UNETR decoder on the Swin encoder, with the attribute names of the official FETUS 2026 baseline."""

from __future__ import annotations

from typing import NamedTuple

import torch
from monai.networks.blocks import UnetOutBlock, UnetrBasicBlock, UnetrUpBlock
from monai.networks.nets.swin_unetr import SwinTransformer, WindowAttention
from torch import nn

from .configuration import EchoCareConfig
from .lora import LoraQkv


class Features(NamedTuple):
    """Skip connections from full resolution down, then the bottleneck; each (B, C, h, w)."""

    full: torch.Tensor
    level1: torch.Tensor
    level2: torch.Tensor
    level3: torch.Tensor
    level4: torch.Tensor
    bottleneck: torch.Tensor


class SwinUnetr(nn.Module):
    """Swin transformer encoder (v2: a residual convolution block before each stage) and UNETR decoder."""

    ENCODER_CHANNELS = 3

    def __init__(self, config: EchoCareConfig, checkpoint_activations: bool = False) -> None:
        super().__init__()
        # The capital is the official checkpoint's key.
        self.Swin_encoder = SwinTransformer(
            in_chans=self.ENCODER_CHANNELS,
            embed_dim=config.embed_dim,
            window_size=[config.window_size] * 2,
            patch_size=[config.patch_size] * 2,
            depths=config.depths,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=True,
            use_checkpoint=checkpoint_activations,
            spatial_dims=2,
            use_v2=True,
        )
        if config.lora_rank:
            for module in list(self.Swin_encoder.modules()):
                if isinstance(module, WindowAttention):
                    module.add_module("qkv", LoraQkv(module.qkv, config.lora_rank, config.lora_alpha))
        width, features = config.embed_dim, config.decoder_features
        self.encoder1 = _skip_block(self.ENCODER_CHANNELS, features)
        self.encoder2 = _skip_block(width, features)
        self.encoder3 = _skip_block(2 * width, 2 * features)
        self.encoder4 = _skip_block(4 * width, 4 * features)
        self.encoder5 = _skip_block(8 * width, 8 * features)
        self.encoder10 = _skip_block(16 * width, 16 * features)
        self.decoder5 = _up_block(16 * features, 8 * features)
        self.decoder4 = _up_block(8 * features, 4 * features)
        self.decoder3 = _up_block(4 * features, 2 * features)
        self.decoder2 = _up_block(2 * features, features)
        self.decoder1 = _up_block(features, features, config.patch_size)
        self.out = UnetOutBlock(spatial_dims=2, in_channels=features, out_channels=config.n_labels)

    def encode(self, image: torch.Tensor) -> Features:
        """(B, 3, H, W) to the decoder's inputs."""
        stages = self.Swin_encoder(image)
        return Features(
            self.encoder1(image),
            self.encoder2(stages[0]),
            self.encoder3(stages[1]),
            self.encoder4(stages[2]),
            self.encoder5(stages[3]),
            self.encoder10(stages[4]),
        )

    def decode(self, features: Features) -> torch.Tensor:
        """Segmentation logits (B, n_labels, H, W)."""
        x = self.decoder5(features.bottleneck, features.level4)
        x = self.decoder4(x, features.level3)
        x = self.decoder3(x, features.level2)
        x = self.decoder2(x, features.level1)
        x = self.decoder1(x, features.full)
        return self.out(x)


def _skip_block(channels_in: int, channels_out: int) -> nn.Module:
    return UnetrBasicBlock(
        spatial_dims=2,
        in_channels=channels_in,
        out_channels=channels_out,
        kernel_size=3,
        stride=1,
        norm_name="instance",
        res_block=True,
    )


def _up_block(channels_in: int, channels_out: int, factor: int = 2) -> nn.Module:
    return UnetrUpBlock(
        spatial_dims=2,
        in_channels=channels_in,
        out_channels=channels_out,
        kernel_size=3,
        upsample_kernel_size=factor,
        norm_name="instance",
        res_block=True,
    )
