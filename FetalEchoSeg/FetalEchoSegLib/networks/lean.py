"""The lean forward of EchoCare: the same function on the same parameters, for inference only, without MONAI.

Compared with the plain path (``echocare``): adapters are merged into their projections and the grey-to-three-channels
adapter into the first layers; tokens stay channels-last from the first layer to the last; a window's roll, padding
and partition are one gather with an index computed once; attention runs with a bias that holds position bias and
shift mask; instance norm is a group norm; upsampling is a matrix product written straight into the decoder's
concatenation. ``label_map`` turns logits into labels at any size with the permitted channels only and a running
maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from ..anatomy import View, permitted_labels
from ..errors import InvalidRequest
from .condition_features import N_LEVELS, condition_features
from .configuration import N_STAGES, EchoCareConfig
from .kernels import Convolution, Dense, Placement, instance_norm
from .lora import merged_qkv_weight
from .output import EchoCareOutput

if TYPE_CHECKING:
    from .echocare import EchoCare

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
State = Mapping[str, torch.Tensor]


class LeanEchoCare:
    """EchoCare for inference.

    state      parameters under the names of ``EchoCare.state_dict()``, on the CPU, memory-mapped if you like: each is
               read when its layer first runs
    precision  "fp32", "bf16" or "fp16"

    >>> lean = LeanEchoCare.from_network(network, precision="bf16")  # doctest: +SKIP
    >>> labels, probability = lean.label_map(lean(image).segmentation, View.LVOT, 512)  # doctest: +SKIP
    """

    def __init__(self, config: EchoCareConfig, state: State, device: str = "cpu", precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise InvalidRequest(f"The precision must be one of {', '.join(PRECISIONS)}, not '{precision}'.")
        self.config = config
        self.device = torch.device(device)
        self.precision = precision
        place = Placement(self.device, PRECISIONS[precision])
        # The heads and the last projection decide between labels: they cost nothing and stay in full precision.
        exact = Placement(self.device, torch.float32)
        self._dtype = place.dtype
        net = _Scope(state, "seg_net.")
        gray = state["in_adapter.weight"] if config.input_channels == 1 else None
        encoder = net.at("Swin_encoder.")
        self._patch = _PatchEmbedding(encoder.at("patch_embed.proj."), gray, config.patch_size, place)
        self._stages = [_Stage(encoder, number, config, place) for number in range(1, N_STAGES + 1)]
        self._skip_full = _ResidualBlock(net.at("encoder1.layer."), place, gray)
        self._skips = [_ResidualBlock(net.at(f"encoder{k}.layer."), place) for k in (2, 3, 4, 5)]
        self._bottleneck = _ResidualBlock(net.at("encoder10.layer."), place)
        self._ups = [
            _UpBlock(net.at(f"decoder{k}."), 2 if k > 1 else config.patch_size, place) for k in (5, 4, 3, 2, 1)
        ]
        self._out = Dense(lambda: net["out.conv.conv.weight"].flatten(1), net["out.conv.conv.bias"], exact)
        self._conditions = _Head(_Scope(state, "cls_decoder."), exact)
        self._views = _Head(_Scope(state, "view_decoder."), exact) if config.n_views else None

    @classmethod
    def from_network(cls, network: EchoCare, device: str = "cpu", precision: str = "fp32") -> LeanEchoCare:
        """Lean forward of a network as it is now; later training does not reach layers that have run."""
        return cls(network.config, network.state_dict(), device, precision)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> EchoCareOutput:
        """Logits of (B, C, H, W) images in 0..1; H and W multiples of ``config.size_divisor``.

        Segmentation and heads are float32 on the network's device. Raises InvalidRequest when fp16 overflowed.
        """
        divisor = self.config.size_divisor
        if image.ndim != 4 or image.shape[2] % divisor or image.shape[3] % divisor:
            raise ValueError(f"images must be (B, C, H, W) with H and W multiples of {divisor}: {tuple(image.shape)}")
        image = image.to(self.device, self._dtype)
        tokens = self._patch(image)
        stages = [_normalized(tokens)]
        for stage in self._stages:
            tokens = stage(tokens)
            stages.append(_normalized(tokens))
        x = self._bottleneck(_channels_first(stages.pop()))
        pooled = x.float().mean(dim=(2, 3))
        levels = [x]
        for up, skip in zip(self._ups[:-1], reversed(self._skips), strict=True):
            level = skip(_channels_first(stages.pop()))
            if len(levels) < N_LEVELS:
                levels.append(level)
            x = up(x, level)
        full = self._skip_full(image.contiguous(memory_format=torch.channels_last))
        x = self._ups[-1](x, full)
        segmentation = _channels_first(self._out(_channels_last(x).float()))
        views = self._views(pooled) if self._views else None
        judged = condition_features(self.config.condition_head, levels, segmentation, views)
        output = EchoCareOutput(segmentation, self._conditions(judged), views)
        if self.precision == "fp16" and not bool(torch.isfinite(output.conditions).all()):
            raise InvalidRequest("The network overflowed in half precision: choose precision fp32.")
        return output

    def label_map(self, logits: torch.Tensor, view: View, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels at full size from segmentation logits (B, n_labels, h, w); see ``label_map``."""
        return label_map(logits, view, (side, side))


def label_map(logits: torch.Tensor, view: View, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and their probability at ``size`` (H, W) from segmentation logits (B, n_labels, h, w).

    Returns (B, H, W) uint8, the label with the largest bilinearly interpolated logit among those ``view`` permits, and
    (B, H, W) float16 in 0..1, the probability of the winning label, taken at the logits' resolution and interpolated.
    """
    import cv2

    permitted = list(permitted_labels(view))
    chosen = logits[:, permitted].float()
    winner = 1.0 / torch.exp(chosen - chosen.amax(1, keepdim=True)).sum(1)
    planes, certainty = chosen.cpu().numpy(), winner.cpu().numpy()
    labels = np.zeros((len(planes), *size), dtype=np.uint8)
    probability = np.empty((len(planes), *size), dtype=np.float16)
    as_width_height = (size[1], size[0])
    for frame, channels in enumerate(planes):
        best = cv2.resize(channels[0], as_width_height, interpolation=cv2.INTER_LINEAR)
        for label, channel in zip(permitted[1:], channels[1:], strict=True):
            candidate = cv2.resize(channel, as_width_height, interpolation=cv2.INTER_LINEAR)
            better = cv2.compare(candidate, best, cv2.CMP_GT)
            np.copyto(labels[frame], label, where=better.view(bool))
            cv2.max(candidate, best, dst=best)
        probability[frame] = cv2.resize(certainty[frame], as_width_height, interpolation=cv2.INTER_LINEAR)
    return labels, probability


class _Scope:
    """Parameters whose names start alike."""

    def __init__(self, state: State, prefix: str) -> None:
        self._state = state
        self._prefix = prefix

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._state[self._prefix + name]

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._state

    def at(self, prefix: str) -> _Scope:
        return _Scope(self._state, self._prefix + prefix)


def _channels_first(tokens: torch.Tensor) -> torch.Tensor:
    """(B, H, W, C) contiguous to (B, C, H, W) in channels-last memory: no copy."""
    return tokens.permute(0, 3, 1, 2)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _normalized(tokens: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:])


class _PatchEmbedding:
    """Tokens (B, H/p, W/p, C) of an image: one matrix product on its patches."""

    def __init__(self, scope: _Scope, gray: torch.Tensor | None, patch: int, place: Placement) -> None:
        self._patch = patch
        self._project = Dense(lambda: _fold_gray(scope["weight"], gray).flatten(1), scope["bias"], place)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        b, c, h, w = image.shape
        p = self._patch
        patches = image.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        return self._project(patches.reshape(b, h // p, w // p, c * p * p))


def _fold_gray(weight: torch.Tensor, gray: torch.Tensor | None) -> torch.Tensor:
    """Weight (O, 3, k, k) after the bias-free 1x1 adapter (3, 1, 1, 1), as one weight (O, 1, k, k)."""
    if gray is None:
        return weight
    return (weight.float() * gray.float().view(1, -1, 1, 1)).sum(1, keepdim=True)


class _ResidualBlock:
    """Two 3x3 convolutions with instance norm and a residual that is projected where the widths differ."""

    def __init__(self, scope: _Scope, place: Placement, gray: torch.Tensor | None = None) -> None:
        def convolution(name: str, fold: torch.Tensor | None = None) -> Convolution:
            return Convolution(lambda: _fold_gray(scope[f"{name}.conv.weight"], fold), place)

        self._conv1, self._conv2 = convolution("conv1", gray), convolution("conv2")
        self._project = convolution("conv3", gray) if "conv3.conv.weight" in scope else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = F.leaky_relu_(instance_norm(self._conv1(x)), 0.01)
        y = instance_norm(self._conv2(y))
        y += x if self._project is None else instance_norm(self._project(x))
        return F.leaky_relu_(y, 0.01)


class _UpBlock:
    """Upsampling by a transposed convolution without overlap, concatenation with the skip, residual block."""

    def __init__(self, scope: _Scope, factor: int, place: Placement) -> None:
        self._factor = factor
        # (C_in, C_out, p, p) to rows ordered (p, p, C_out)
        self._spread = Dense(lambda: scope["transp_conv.conv.weight"].permute(2, 3, 1, 0).flatten(0, 2), None, place)
        self._block = _ResidualBlock(scope.at("conv_block."), place)

    def __call__(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        p = self._factor
        spread = self._spread(_channels_last(x))
        b, h, w, _ = spread.shape
        c = skip.shape[1]
        both = spread.new_empty(b, h * p, w * p, 2 * c)
        tiles = both.view(b, h, p, w, p, 2 * c)
        tiles[..., :c] = spread.view(b, h, w, p, p, c).permute(0, 1, 3, 2, 4, 5)
        both[..., c:] = skip.permute(0, 2, 3, 1)
        return self._block(_channels_first(both))


class _Head:
    """Perceptron on the pooled bottleneck."""

    def __init__(self, scope: _Scope, place: Placement) -> None:
        self._first = Dense(lambda: scope["0.weight"], scope["0.bias"], place)
        self._second = Dense(lambda: scope["2.weight"], scope["2.bias"], place)

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        return self._second(F.relu_(self._first(pooled)))


class _Stage:
    """Residual convolution block, transformer blocks and patch merging of one resolution."""

    def __init__(self, encoder: _Scope, number: int, config: EchoCareConfig, place: Placement) -> None:
        scope = encoder.at(f"layers{number}.0.")
        self._convolution = _ResidualBlock(encoder.at(f"layers{number}c.0.layer."), place)
        self._blocks = [
            _Block(scope.at(f"blocks.{k}."), config, config.num_heads[number - 1], place)
            for k in range(config.depths[number - 1])
        ]
        self._window = config.window_size
        self._place = place
        self._merge_norm = _LayerNorm(scope.at("downsample.norm."), place)
        self._merge = Dense(lambda: scope["downsample.reduction.weight"], None, place)
        self._layouts: tuple[_Windows, _Windows] | None = None

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = _channels_last(self._convolution(_channels_first(tokens)))
        h, w = tokens.shape[1:3]
        if self._layouts is None or self._layouts[0].size != (h, w):
            device = self._place.device
            self._layouts = (
                _Windows((h, w), self._window, False, device),
                _Windows((h, w), self._window, True, device),
            )
        for index, block in enumerate(self._blocks):
            tokens = block(tokens, self._layouts[index % 2])
        if h % 2 or w % 2:
            tokens = F.pad(tokens, (0, 0, 0, w % 2, 0, h % 2))
        corners = [tokens[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self._merge(self._merge_norm(torch.cat(corners, dim=-1)))


class _LayerNorm:
    def __init__(self, scope: _Scope, place: Placement) -> None:
        self._weight, self._bias = place.put(scope["weight"]), place.put(scope["bias"])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self._weight, self._bias)


class _Windows:
    """How a map of tokens falls into attention windows: gather indices and the mask between shifted regions.

    Follows MONAI: the map is padded at the bottom and right to whole windows (padding takes part in attention), a
    side that is not longer than the window is one window without shift, a shift is half a window.
    """

    def __init__(self, size: tuple[int, int], window: int, shifted: bool, device: torch.device) -> None:
        self.size = size
        sides = [min(window, side) for side in size]
        shifts = [window // 2 if shifted and length > window else 0 for length in size]
        padded = [-(-length // side) * side for length, side in zip(size, sides, strict=True)]
        self.padding = (0, 0, 0, padded[1] - size[1], 0, padded[0] - size[0])
        self.tokens = sides[0] * sides[1]
        self.count = padded[0] * padded[1] // self.tokens
        places = torch.arange(padded[0] * padded[1]).view(*padded)
        rolled = torch.roll(places, [-s for s in shifts], (0, 1))
        into = _partition(rolled, sides)
        self.into = into.flatten().to(device)
        back = torch.empty_like(self.into, device="cpu")
        back[into.flatten()] = torch.arange(into.numel())
        self.back = back.view(*padded)[: size[0], : size[1]].flatten().to(device)
        self.mask = _shift_mask(padded, sides, shifts)

    @property
    def is_padded(self) -> bool:
        return any(self.padding)


def _partition(grid: torch.Tensor, sides: list[int]) -> torch.Tensor:
    """(H, W) to (windows, tokens)."""
    h, w = grid.shape
    cut = grid.view(h // sides[0], sides[0], w // sides[1], sides[1])
    return cut.permute(0, 2, 1, 3).reshape(-1, sides[0] * sides[1])


def _shift_mask(padded: list[int], sides: list[int], shifts: list[int]) -> torch.Tensor | None:
    """(windows, tokens, tokens): -100 between tokens that the roll brought together from opposite sides, else 0."""
    if not any(shifts):
        return None
    regions = torch.zeros(padded)
    for axis, weight in ((0, 3), (1, 1)):
        if shifts[axis]:
            line = torch.zeros(padded[axis])
            line[-sides[axis] :] = 1
            line[-shifts[axis] :] = 2
            regions += weight * line.view(-1, 1) if axis == 0 else weight * line
    region = _partition(regions, sides)
    return torch.where(region[:, :, None] == region[:, None, :], 0.0, -100.0)


class _Block:
    """Window attention and perceptron, each on normalized tokens with a residual."""

    def __init__(self, scope: _Scope, config: EchoCareConfig, heads: int, place: Placement) -> None:
        attention = scope.at("attn.")
        self._heads = heads
        self._place = place
        self._norm1, self._norm2 = _LayerNorm(scope.at("norm1."), place), _LayerNorm(scope.at("norm2."), place)
        adapted = "qkv.qkv.weight" in attention
        scale = config.lora_alpha / config.lora_rank if adapted else 0.0
        self._qkv = Dense(
            lambda: _qkv_weight(attention, scale), attention["qkv.qkv.bias" if adapted else "qkv.bias"], place
        )
        self._project = Dense(lambda: attention["proj.weight"], attention["proj.bias"], place)
        self._widen = Dense(lambda: scope["mlp.linear1.weight"], scope["mlp.linear1.bias"], place)
        self._narrow = Dense(lambda: scope["mlp.linear2.weight"], scope["mlp.linear2.bias"], place)
        self._table = attention["relative_position_bias_table"]
        self._index = attention["relative_position_index"]
        self._bias: torch.Tensor | None = None
        self._bias_of: _Windows | None = None

    def __call__(self, tokens: torch.Tensor, windows: _Windows) -> torch.Tensor:
        b, h, w, c = tokens.shape
        x = self._norm1(tokens)
        if windows.is_padded:
            x = F.pad(x, windows.padding)
        x = x.flatten(1, 2).index_select(1, windows.into)
        x = self._attend(x, windows)
        x = self._project(x).index_select(1, windows.back).view(b, h, w, c)
        tokens = x.add_(tokens)
        return self._narrow(self._widen(self._norm2(tokens), activation="gelu"), add=tokens)

    def _attend(self, x: torch.Tensor, windows: _Windows) -> torch.Tensor:
        """(B, windows * tokens, C) in window order, before and after."""
        b, _, c = x.shape
        n, count, heads = windows.tokens, windows.count, self._heads
        # Windows and heads share an axis, so that one (windows * heads, n, n) bias serves every image of the batch.
        qkv = self._qkv(x).view(b, count, n, 3, heads, c // heads).permute(3, 0, 1, 4, 2, 5)
        q, k, v = (part.reshape(b, count * heads, n, c // heads) for part in qkv)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=self._attention_bias(windows))
        return x.view(b, count, heads, n, c // heads).transpose(2, 3).reshape(b, count * n, c)

    def _attention_bias(self, windows: _Windows) -> torch.Tensor:
        """(1, windows * heads, n, n): position bias, plus the shift mask where windows are shifted."""
        if self._bias is None or self._bias_of is not windows:
            n = windows.tokens
            position = self._table.float()[self._index[:n, :n].reshape(-1)].view(n, n, -1).permute(2, 0, 1)
            if windows.mask is None:
                bias = position.expand(windows.count, *position.shape)
            else:
                bias = position + windows.mask[:, None]
            self._bias = self._place.put(bias.reshape(1, -1, n, n))
            self._bias_of = windows
        return self._bias


def _qkv_weight(attention: _Scope, scale: float) -> torch.Tensor:
    if "qkv.qkv.weight" not in attention:
        return attention["qkv.weight"]
    adapted = attention.at("qkv.")
    return merged_qkv_weight(
        adapted["qkv.weight"],
        adapted["linear_a_q.weight"],
        adapted["linear_b_q.weight"],
        adapted["linear_a_v.weight"],
        adapted["linear_b_v.weight"],
        scale,
    )
