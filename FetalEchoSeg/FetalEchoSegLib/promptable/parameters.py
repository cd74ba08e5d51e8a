"""Names and shapes of a promptable network's parameters, known without building it.

Building ViT-B with adapters initialises 271 million numbers; a checkpoint or a bundle is checked against this table in
no time. A test holds the table against the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .configuration import IOU_LAYERS, MASK_CHANNELS, N_CHOICES, PromptableConfig

Shape = tuple[int, ...]


def parameter_shapes(config: PromptableConfig) -> dict[str, Shape]:
    """Shape of every tensor in ``build_network(config).state_dict()``."""
    return dict(_image_encoder(config)) | dict(_prompt_encoder(config)) | dict(_mask_decoder(config))


def _image_encoder(config: PromptableConfig) -> Iterator[tuple[str, Shape]]:
    width, prompts = config.embed_dim, config.prompt_dim
    hidden = int(width * config.mlp_ratio)
    prefix = "image_encoder."
    yield prefix + "pos_embed", (1, config.grid, config.grid, width)
    yield prefix + "patch_embed.proj.weight", (width, 3, config.patch_size, config.patch_size)
    yield prefix + "patch_embed.proj.bias", (width,)
    for number in range(config.depth):
        block = f"{prefix}blocks.{number}."
        table = (2 * config.attention_side(number) - 1, width // config.num_heads)
        for axis in "hw":
            yield f"{block}attn.rel_pos_{axis}", table
        yield from _affine(block + "norm1.", width)
        yield from _affine(block + "norm2.", width)
        yield from _affine(block + "attn.qkv.", 3 * width, width)
        yield from _affine(block + "attn.proj.", width, width)
        yield from _affine(block + "mlp.lin1.", hidden, width)
        yield from _affine(block + "mlp.lin2.", width, hidden)
        if config.adapters:
            yield from _affine(block + "Adapter.norm.", width)
            yield block + "Adapter.channel.0.weight", (width // 4, width)
            yield block + "Adapter.channel.2.weight", (width, width // 4)
            yield block + "Adapter.spatial.0.weight", (width, width, 3, 3)
            yield block + "Adapter.spatial.2.weight", (width, width, 4, 4)
    yield prefix + "neck.0.weight", (prompts, width, 1, 1)
    yield from _affine(prefix + "neck.1.", prompts)
    yield prefix + "neck.2.weight", (prompts, prompts, 3, 3)
    yield from _affine(prefix + "neck.3.", prompts)


def _prompt_encoder(config: PromptableConfig) -> Iterator[tuple[str, Shape]]:
    width = config.prompt_dim
    prefix = "prompt_encoder."
    yield prefix + "pe_layer.positional_encoding_gaussian_matrix", (2, width // 2)
    for number in range(4):  # negative, positive, the two corners of a box
        yield f"{prefix}point_embeddings.{number}.weight", (1, width)
    yield prefix + "not_a_point_embed.weight", (1, width)
    yield prefix + "no_mask_embed.weight", (1, width)
    yield from _affine(prefix + "mask_downscaling.0.", MASK_CHANNELS // 4, 1, 2, 2)
    yield from _affine(prefix + "mask_downscaling.1.", MASK_CHANNELS // 4)
    yield from _affine(prefix + "mask_downscaling.3.", MASK_CHANNELS, MASK_CHANNELS // 4, 2, 2)
    yield from _affine(prefix + "mask_downscaling.4.", MASK_CHANNELS)
    yield from _affine(prefix + "mask_downscaling.6.", width, MASK_CHANNELS, 1, 1)


def _mask_decoder(config: PromptableConfig) -> Iterator[tuple[str, Shape]]:
    width, masks = config.prompt_dim, N_CHOICES + 1
    prefix = "mask_decoder."
    yield prefix + "iou_token.weight", (1, width)
    yield prefix + "mask_tokens.weight", (masks, width)
    for number in range(config.decoder_depth):
        layer = f"{prefix}transformer.layers.{number}."
        yield from _attention(layer + "self_attn.", width, width)
        yield from _attention(layer + "cross_attn_token_to_image.", width, width // 2)
        yield from _attention(layer + "cross_attn_image_to_token.", width, width // 2)
        for norm in range(1, 5):
            yield from _affine(f"{layer}norm{norm}.", width)
        yield from _affine(layer + "mlp.lin1.", config.decoder_hidden, width)
        yield from _affine(layer + "mlp.lin2.", width, config.decoder_hidden)
    yield from _attention(prefix + "transformer.final_attn_token_to_image.", width, width // 2)
    yield from _affine(prefix + "transformer.norm_final_attn.", width)
    yield prefix + "output_upscaling.0.weight", (width, width // 4, 2, 2)
    yield prefix + "output_upscaling.0.bias", (width // 4,)
    yield from _affine(prefix + "output_upscaling.1.", width // 4)
    yield prefix + "output_upscaling.3.weight", (width // 4, width // 8, 2, 2)
    yield prefix + "output_upscaling.3.bias", (width // 8,)
    for number in range(masks):
        yield from _perceptron(f"{prefix}output_hypernetworks_mlps.{number}.", (width, width, width, width // 8))
    inner = (config.iou_hidden,) * (IOU_LAYERS - 1)
    yield from _perceptron(prefix + "iou_prediction_head.", (width, *inner, masks))


def _affine(prefix: str, *shape: int) -> Iterator[tuple[str, Shape]]:
    yield prefix + "weight", shape
    yield prefix + "bias", shape[:1]


def _attention(prefix: str, outer: int, inner: int) -> Iterator[tuple[str, Shape]]:
    for name in "qkv":
        yield from _affine(f"{prefix}{name}_proj.", inner, outer)
    yield from _affine(prefix + "out_proj.", outer, inner)


def _perceptron(prefix: str, widths: tuple[int, ...]) -> Iterator[tuple[str, Shape]]:
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        yield from _affine(f"{prefix}layers.{number}.", outputs, inputs)
