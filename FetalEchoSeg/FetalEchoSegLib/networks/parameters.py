"""Names and shapes of EchoCare's parameters, known without building the network.

Building it takes MONAI (seconds to import); a checkpoint or a bundle is checked against this table in no time. A test
holds the table against the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .configuration import N_STAGES, EchoCareConfig

Shape = tuple[int, ...]
ENCODER_PREFIX = "seg_net.Swin_encoder."


def parameter_shapes(config: EchoCareConfig) -> dict[str, Shape]:
    """Shape of every tensor in ``EchoCare(config).state_dict()``."""
    return dict(_parameters(config))


def misfits(found: Mapping[str, Shape], config: EchoCareConfig) -> list[str]:
    """What keeps tensors of these names and shapes from filling the network: one phrase each, [] if they fill it."""
    return shape_misfits(found, parameter_shapes(config))


def shape_misfits(found: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> list[str]:
    """The same for any network's parameters."""
    problems = []
    for name, shape in wanted.items():
        if name not in found:
            problems.append(f"{name} is missing")
        elif tuple(found[name]) != shape:
            problems.append(f"{name} is {_by(found[name])} instead of {_by(shape)}")
    return problems


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _parameters(config: EchoCareConfig) -> Iterator[tuple[str, Shape]]:
    width, features = config.embed_dim, config.decoder_features
    if config.input_channels == 1:
        yield "in_adapter.weight", (3, 1, 1, 1)
    yield from _encoder(config)
    for number, (wide, narrow) in enumerate([(3, features), *((width << k, features << k) for k in range(4))], 1):
        yield from _residual_block(f"seg_net.encoder{number}.layer.", wide, narrow)
    yield from _residual_block("seg_net.encoder10.layer.", 16 * width, 16 * features)
    for number in range(5, 0, -1):
        narrow = features << max(number - 2, 0)
        wide = features << (number - 1)
        factor = 2 if number > 1 else config.patch_size
        yield f"seg_net.decoder{number}.transp_conv.conv.weight", (wide, narrow, factor, factor)
        yield from _residual_block(f"seg_net.decoder{number}.conv_block.", 2 * narrow, narrow)
    yield "seg_net.out.conv.conv.weight", (config.n_labels, features, 1, 1)
    yield "seg_net.out.conv.conv.bias", (config.n_labels,)
    yield from _head("cls_decoder.", config, config.condition_features, config.n_conditions)
    if config.n_views:
        yield from _head("view_decoder.", config, config.bottleneck_features, config.n_views)


def _encoder(config: EchoCareConfig) -> Iterator[tuple[str, Shape]]:
    tokens = config.window_size**2
    offsets = (2 * config.window_size - 1) ** 2
    yield ENCODER_PREFIX + "patch_embed.proj.weight", (config.embed_dim, 3, config.patch_size, config.patch_size)
    yield ENCODER_PREFIX + "patch_embed.proj.bias", (config.embed_dim,)
    for stage in range(N_STAGES):
        width = config.embed_dim << stage
        hidden = int(width * config.mlp_ratio)
        layer = f"{ENCODER_PREFIX}layers{stage + 1}.0."
        for index in range(config.depths[stage]):
            block = f"{layer}blocks.{index}."
            qkv = "attn.qkv.qkv." if config.lora_rank else "attn.qkv."
            yield block + "attn.relative_position_bias_table", (offsets, config.num_heads[stage])
            yield block + "attn.relative_position_index", (tokens, tokens)
            yield from _affine(block + qkv, 3 * width, width)
            if config.lora_rank:
                for side in "qv":
                    yield f"{block}attn.qkv.linear_a_{side}.weight", (config.lora_rank, width)
                    yield f"{block}attn.qkv.linear_b_{side}.weight", (width, config.lora_rank)
            yield from _affine(block + "attn.proj.", width, width)
            for norm in ("norm1.", "norm2."):
                yield block + norm + "weight", (width,)
                yield block + norm + "bias", (width,)
            yield from _affine(block + "mlp.linear1.", hidden, width)
            yield from _affine(block + "mlp.linear2.", width, hidden)
        yield layer + "downsample.reduction.weight", (2 * width, 4 * width)
        yield layer + "downsample.norm.weight", (4 * width,)
        yield layer + "downsample.norm.bias", (4 * width,)
        yield from _residual_block(f"{ENCODER_PREFIX}layers{stage + 1}c.0.layer.", width, width)


def _affine(prefix: str, outputs: int, inputs: int) -> Iterator[tuple[str, Shape]]:
    yield prefix + "weight", (outputs, inputs)
    yield prefix + "bias", (outputs,)


def _residual_block(prefix: str, wide: int, narrow: int) -> Iterator[tuple[str, Shape]]:
    yield prefix + "conv1.conv.weight", (narrow, wide, 3, 3)
    yield prefix + "conv2.conv.weight", (narrow, narrow, 3, 3)
    if wide != narrow:
        yield prefix + "conv3.conv.weight", (narrow, wide, 1, 1)


def _head(prefix: str, config: EchoCareConfig, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield from _affine(prefix + "0.", config.head_features, inputs)
    yield from _affine(prefix + "2.", outputs, config.head_features)
