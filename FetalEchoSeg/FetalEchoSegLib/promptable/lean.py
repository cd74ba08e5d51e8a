"""The lean image encoder: the same function on the same parameters, for inference only.

Compared with the plain one: tokens that only pad a window are never projected nor asked (they still answer as keys:
being zeros before the projection, their key and value are its bias); attention is fused; the adapter's convolutions are
matrix products on weights laid out once, the transposed one as four, one for each parity of the output, so that nothing
is scattered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from ..errors import InvalidRequest
from ..networks.kernels import Convolution, Dense, Placement
from .configuration import PromptableConfig

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
State = Mapping[str, torch.Tensor]
_PREFIX = "image_encoder."
_EPSILON = 1e-6  # of the encoder's norms; the adapter's have torch's default


class LeanEncoder:
    """Image encoder of a promptable network for inference.

    state      parameters of the whole network, on the CPU, memory-mapped if you like: each is read when its layer
               first runs
    precision  "fp32", "bf16" or "fp16"
    """

    def __init__(self, config: PromptableConfig, state: State, device: str = "cpu", precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise InvalidRequest(f"The precision must be one of {', '.join(PRECISIONS)}, not '{precision}'.")
        self.config = config
        self.device = torch.device(device)
        self.precision = precision
        place = Placement(self.device, PRECISIONS[precision])
        self._place = place
        self._patch = Dense(
            lambda: state[_PREFIX + "patch_embed.proj.weight"].flatten(1),
            state[_PREFIX + "patch_embed.proj.bias"],
            place,
        )
        self._position = place.put(state[_PREFIX + "pos_embed"])
        self._blocks = [_Block(state, number, config, place) for number in range(config.depth)]
        self._neck = Dense(lambda: state[_PREFIX + "neck.0.weight"].flatten(1), None, place)
        self._neck_norm = _LayerNorm(state, _PREFIX + "neck.1.", place)
        self._smooth = Convolution(lambda: state[_PREFIX + "neck.2.weight"], place)
        # The decoder works in full precision from here on.
        self._out_norm = _LayerNorm(state, _PREFIX + "neck.3.", Placement(self.device, torch.float32))

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, grid, grid) float32 embedding of normalised (B, 3, S, S) images."""
        b, c, h, w = image.shape
        if (h, w) != (self.config.image_size,) * 2:
            raise ValueError(f"images must have {self.config.image_size} pixels on a side: {tuple(image.shape)}")
        p = self.config.patch_size
        image = image.to(self.device, self._place.dtype)
        patches = image.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        tokens = self._patch(patches.reshape(b, h // p, w // p, c * p * p)) + self._position
        for block in self._blocks:
            tokens = block(tokens)
        x = self._neck_norm(self._neck(tokens))
        x = self._smooth(x.permute(0, 3, 1, 2))
        x = self._out_norm(x.permute(0, 2, 3, 1).float())
        embedding = x.permute(0, 3, 1, 2).contiguous()
        if self.precision == "fp16" and not bool(torch.isfinite(embedding).all()):
            raise InvalidRequest("The encoder overflowed in half precision: choose precision fp32.")
        return embedding


class _LayerNorm:
    def __init__(self, state: State, prefix: str, place: Placement, epsilon: float = _EPSILON) -> None:
        self._weight, self._bias = place.put(state[prefix + "weight"]), place.put(state[prefix + "bias"])
        self._epsilon = epsilon

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self._weight, self._bias, self._epsilon)


@dataclass(frozen=True)
class _Windows:
    """Windows that hold equally many tokens of the grid.

    queries  (windows, tokens) places in the grid       height, width  of the part of a window that the grid fills
    keys     (windows, side * side) places in the grid, its number of tokens where the window is padding
    """

    queries: torch.Tensor
    keys: torch.Tensor
    height: int
    width: int


def _windows(grid: int, side: int, device: torch.device) -> list[_Windows]:
    """Windows of ``side`` tokens over a grid that is padded at the bottom and right, grouped by what they hold."""
    padded = -(-grid // side) * side
    places = torch.full((padded, padded), grid * grid)
    places[:grid, :grid] = torch.arange(grid * grid).view(grid, grid)
    groups: dict[tuple[int, int], tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
    for top in range(0, padded, side):
        for left in range(0, padded, side):
            window = places[top : top + side, left : left + side]
            filled = min(side, grid - top), min(side, grid - left)
            queries, keys = groups.setdefault(filled, ([], []))
            queries.append(window[: filled[0], : filled[1]].flatten())
            keys.append(window.flatten())
    return [
        _Windows(torch.stack(queries).to(device), torch.stack(keys).to(device), height, width)
        for (height, width), (queries, keys) in groups.items()
    ]


class _Block:
    """Attention, then perceptron and adapter side by side, each on normed tokens with a residual."""

    def __init__(self, state: State, number: int, config: PromptableConfig, place: Placement) -> None:
        prefix = f"{_PREFIX}blocks.{number}."
        self._heads = config.num_heads
        self._side = config.attention_side(number)
        self._windows = _windows(config.grid, self._side, place.device)
        self._is_padded = config.grid % self._side > 0
        self._norm1, self._norm2 = (_LayerNorm(state, f"{prefix}norm{k}.", place) for k in (1, 2))

        def dense(name: str) -> Dense:
            return Dense(lambda: state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"], place)

        self._qkv, self._project = dense("attn.qkv"), dense("attn.proj")
        self._widen, self._narrow = dense("mlp.lin1"), dense("mlp.lin2")
        self._padding = place.put(state[f"{prefix}attn.qkv.bias"])
        # Row i of a table: offset of a query and a key, from 1 - side to side - 1.
        offsets = torch.arange(self._side)[:, None] - torch.arange(self._side) + self._side - 1
        self._tables = [place.put(state[f"{prefix}attn.rel_pos_{axis}"][offsets]) for axis in "hw"]
        self._adapter = _Adapter(state, prefix + "Adapter.", place) if config.adapters else None

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        b, h, w, c = tokens.shape
        attended = self._attend(self._norm1(tokens).view(b, h * w, c))
        tokens = self._project(attended, add=tokens.reshape(b, h * w, c)).view(b, h, w, c)
        normed = self._norm2(tokens)
        if self._adapter is not None:
            tokens = tokens + self._adapter(normed)
        return self._narrow(self._widen(normed, activation="gelu"), add=tokens)

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        """(B, tokens, C) before and after, in the order of the grid."""
        b, _, c = x.shape
        qkv = self._qkv(x)
        if self._is_padded:
            qkv = torch.cat([qkv, self._padding.expand(b, 1, 3 * c)], 1)
        if len(self._windows) == 1 and self._windows[0].queries.numel() == self._side**2:
            return self._attention(qkv[..., :c], qkv[..., c : 2 * c], qkv[..., 2 * c :], self._side, self._side)
        attended = torch.empty_like(x)
        for group in self._windows:
            count, held = group.queries.shape
            query = qkv[:, group.queries.flatten(), :c].reshape(b * count, held, c)
            both = qkv[:, group.keys.flatten(), c:].reshape(b * count, -1, 2 * c)
            found = self._attention(query, both[..., :c], both[..., c:], group.height, group.width)
            attended[:, group.queries.flatten()] = found.reshape(b, count * held, c)
        return attended

    def _attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        """(windows, queries, C) from as many keys as a whole window has; queries fill height x width of it."""
        windows, held, c = query.shape
        heads, depth = self._heads, c // self._heads
        q = query.reshape(windows, height, width, heads, depth)
        by_row = torch.einsum("bhwnc,hkc->bnhwk", q, self._tables[0][:height]).contiguous()
        by_column = torch.einsum("bhwnc,wkc->bnhwk", q, self._tables[1][:width]).contiguous()
        # The fused attention takes the bias as its mask and never writes the scores to memory.
        bias = (by_row[..., :, None] + by_column[..., None, :]).view(windows, heads, held, -1)
        q, k, v = (part.reshape(windows, -1, heads, depth).transpose(1, 2) for part in (query, key, value))
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return found.transpose(1, 2).reshape(windows, held, c)


class _Adapter:
    """SAM-Med2D's adapter on (B, H, W, C) tokens, H and W even, as matrix products."""

    def __init__(self, state: State, prefix: str, place: Placement) -> None:
        self._norm = _LayerNorm(state, prefix + "norm.", place, epsilon=1e-5)
        self._squeeze = Dense(lambda: state[prefix + "channel.0.weight"], None, place)
        self._excite = Dense(lambda: state[prefix + "channel.2.weight"], None, place)

        def down() -> torch.Tensor:  # (C_out, C_in, 3, 3) to (C_out, 3 * 3 * C_in)
            return state[prefix + "spatial.0.weight"].permute(0, 2, 3, 1).flatten(1)

        def up(rows: tuple[int, int], columns: tuple[int, int]) -> torch.Tensor:
            # (C_in, C_out, 4, 4) to (C_out, 2 * 2 * C_in): the taps that reach outputs of one parity
            taps = state[prefix + "spatial.2.weight"][:, :, list(rows)][:, :, :, list(columns)]
            return taps.permute(1, 2, 3, 0).flatten(1)

        self._down = Dense(down, None, place)
        # Output 2 m takes input m - 1 by tap 3 and m by tap 1; output 2 m + 1 takes m by tap 2 and m + 1 by tap 0.
        taps = ((3, 1), (2, 0))
        self._up = [[Dense(partial(up, taps[row], taps[column]), None, place) for column in (0, 1)] for row in (0, 1)]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        h, w = x.shape[1:3]
        gate = self._excite(F.relu_(self._squeeze(x.mean(dim=(1, 2))))).sigmoid_()
        padded = F.pad(gate[:, None, None] * x, (0, 0, 1, 1, 1, 1))
        patches = [padded[:, row : row + h : 2, column : column + w : 2] for row in range(3) for column in range(3)]
        low = F.relu_(self._down(torch.cat(patches, -1)))
        low = F.pad(low, (0, 0, 1, 1, 1, 1))
        high = torch.empty_like(x)
        for row in (0, 1):
            for column in (0, 1):
                near = [
                    low[:, row + dy : row + dy + h // 2, column + dx : column + dx + w // 2]
                    for dy in (0, 1)
                    for dx in (0, 1)
                ]
                high[:, row::2, column::2] = self._up[row][column](torch.cat(near, -1))
        return self._norm(F.relu_(high).add_(x))
