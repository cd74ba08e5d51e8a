"""SAM-Med2D on the classes of ``segment-anything``: its adapter, its block, its builder.

Parameter names are those of the public checkpoints (``sam-med2d_b.pth``, Meta's ``sam_vit_b_01ec64.pth``). This is the
plain network, to train and to compare with; ``model.PromptableModel`` runs the lean one.

Source: Cheng et al., SAM-Med2D, arXiv 2308.16184 (adapter: figure 3); Kirillov et al., Segment Anything, ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from .configuration import IOU_LAYERS, MASK_CHANNELS, N_CHOICES, PIXEL_MEAN, PIXEL_STD, PromptableConfig
from .modeling import sam_image_encoder, sam_modeling


def build_network(config: PromptableConfig) -> nn.Module:
    """A ``segment_anything.modeling.Sam`` of these sizes with fresh weights, in eval mode."""
    modeling = sam_modeling()
    image_encoder = modeling.ImageEncoderViT(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.embed_dim,
        depth=0,  # the blocks follow: the package's own have no place for an adapter
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        out_chans=config.prompt_dim,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window_size,
        global_attn_indexes=config.global_blocks,
    )
    block = _adapter_block() if config.adapters else sam_image_encoder().Block
    image_encoder.blocks.extend(
        block(
            dim=config.embed_dim,
            num_heads=config.num_heads,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=0 if number in config.global_blocks else config.window_size,
            input_size=(config.grid, config.grid),
        )
        for number in range(config.depth)
    )
    network: nn.Module = modeling.Sam(
        image_encoder, *_prompt_parts(config), pixel_mean=list(PIXEL_MEAN), pixel_std=list(PIXEL_STD)
    )
    return network.eval()


def build_prompt_side(config: PromptableConfig, state: Mapping[str, torch.Tensor]) -> nn.ModuleDict:
    """Prompt encoder and mask decoder alone, float32 on the CPU, filled from the state of a whole network."""
    prompt_encoder, mask_decoder = _prompt_parts(config)
    parts = nn.ModuleDict({"prompt_encoder": prompt_encoder, "mask_decoder": mask_decoder})
    wanted = parts.state_dict()
    parts.load_state_dict({name: state[name].float() for name in wanted})
    return parts.eval().requires_grad_(False)


def _prompt_parts(config: PromptableConfig) -> tuple[nn.Module, nn.Module]:
    modeling = sam_modeling()
    prompt_encoder = modeling.PromptEncoder(
        embed_dim=config.prompt_dim,
        image_embedding_size=(config.grid, config.grid),
        input_image_size=(config.image_size, config.image_size),
        mask_in_chans=MASK_CHANNELS,
    )
    mask_decoder = modeling.MaskDecoder(
        num_multimask_outputs=N_CHOICES,
        transformer=modeling.TwoWayTransformer(
            depth=config.decoder_depth,
            embedding_dim=config.prompt_dim,
            mlp_dim=config.decoder_hidden,
            num_heads=config.decoder_heads,
        ),
        transformer_dim=config.prompt_dim,
        iou_head_depth=IOU_LAYERS,
        iou_head_hidden_dim=config.iou_hidden,
    )
    return prompt_encoder, mask_decoder


class Adapter(nn.Module):
    """SAM-Med2D's adapter: channels weighted by what the image holds, then a bottleneck of half the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        # torch's default epsilon, 1e-5, beside the encoder's 1e-6: so the weights were trained.
        self.norm = nn.LayerNorm(channels)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) to the same shape; H and W even."""
        x = tokens.permute(0, 3, 1, 2)
        gate = self.channel(x.mean(dim=(2, 3)))[:, :, None, None]
        x = x + self.spatial(gate * x)
        adapted: torch.Tensor = self.norm(x.permute(0, 2, 3, 1))
        return adapted


@cache
def _adapter_block() -> Any:
    """Block of segment-anything with an adapter beside its perceptron, made once the package can be imported."""
    package = sam_image_encoder()

    class AdapterBlock(package.Block):  # type: ignore[misc, name-defined]
        def __init__(self, dim: int, **sizes: Any) -> None:
            super().__init__(dim=dim, **sizes)
            self.Adapter = Adapter(dim)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            attended = self.norm1(x)
            if self.window_size > 0:
                height, width = x.shape[1:3]
                windows, padded = package.window_partition(attended, self.window_size)
                attended = package.window_unpartition(self.attn(windows), self.window_size, padded, (height, width))
            else:
                attended = self.attn(attended)
            x = x + attended
            normed = self.norm2(x)
            return x + self.mlp(normed) + self.Adapter(normed)

    return AdapterBlock
