"""Matrix products and convolutions with weights laid out once for the processor that runs them.

On a CPU torch sends a linear layer to MKL, which leaves half of an AMD processor's vector width unused, and a
convolution to oneDNN, which lays its weights out again on every call (for the 2048-channel bottleneck that costs ten
times the arithmetic). Both are avoided by handing oneDNN weights that were laid out before; where torch cannot do
that, the ordinary functions serve with the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F

Source = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Placement:
    """Where weights go: device and precision of every product."""

    device: torch.device
    dtype: torch.dtype

    @property
    def packed(self) -> bool:
        """Whether weights are laid out for oneDNN."""
        return self.device.type == "cpu" and packing_works(self.dtype)

    def put(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight in this place."""
        return weight.to(self.device, self.dtype)


class Dense:
    """``y = x W^T + b`` on the last axis, optionally followed by GELU or by adding a tensor of the result's shape.

    weight  called once, on first use, for the (outputs, inputs) matrix: starting up stays quick, and a merged or
            converted copy never lives beside the memory-mapped original longer than one layer's worth
    """

    def __init__(self, weight: Source, bias: torch.Tensor | None, placement: Placement) -> None:
        self._source: Source | None = weight
        self._weight: torch.Tensor | None = None
        self._bias = bias
        self._placement = placement

    def __call__(
        self, x: torch.Tensor, activation: Literal["none", "gelu"] = "none", add: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(..., inputs) contiguous to (..., outputs)."""
        weight = self._prepared()
        if self._placement.packed:
            if add is not None:
                return torch.ops.mkldnn._linear_pointwise.binary(x, add, weight, self._bias, "add")
            return torch.ops.mkldnn._linear_pointwise(x, weight, self._bias, activation, [], "none")
        y = F.linear(x, weight, self._bias)
        if activation == "gelu":
            y = F.gelu(y)
        return y if add is None else y.add_(add)

    def _prepared(self) -> torch.Tensor:
        if self._weight is None:
            assert self._source is not None
            weight = self._placement.put(self._source())
            if self._bias is not None:
                self._bias = self._placement.put(self._bias)
            self._weight = _pack_linear(weight) if self._placement.packed else weight
            self._source = None
        return self._weight


class Convolution:
    """Stride-1 "same" convolution without bias on (B, C, H, W) tensors in channels-last memory."""

    def __init__(self, weight: Source, placement: Placement) -> None:
        self._source: Source | None = weight
        self._weight: torch.Tensor | None = None
        self._padding = [0, 0]
        self._placement = placement

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C_in, H, W) to (B, C_out, H, W)."""
        if self._weight is None:
            assert self._source is not None
            weight = self._placement.put(self._source())
            self._padding = [side // 2 for side in weight.shape[2:]]
            if self._placement.packed:
                self._weight = _pack_convolution(weight, self._padding, x)
            else:
                self._weight = weight.contiguous(memory_format=torch.channels_last)
            self._source = None
        if self._placement.packed:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self._weight, None, self._padding, [1, 1], [1, 1], 1, "none", [], ""
            )
        return F.conv2d(x, self._weight, padding=self._padding)


def instance_norm(x: torch.Tensor) -> torch.Tensor:
    """Instance norm without affine part on (B, C, H, W) in channels-last memory.

    torch's own copies such memory (ten times slower); its group norm does not, but on a CPU adds a channel's 65,536
    values up one after the other, which costs three digits in fp32. Rows first, then columns, keeps them.
    """
    if x.device.type != "cpu" or x.dtype is not torch.float32:
        return F.group_norm(x, x.shape[1])
    rows = x.permute(0, 2, 3, 1)
    count = x.shape[2] * x.shape[3]
    mean = rows.sum(2, keepdim=True).sum(1, keepdim=True) / count
    centred = rows - mean
    variance = centred.square().sum(2, keepdim=True).sum(1, keepdim=True) / count
    return centred.mul_((variance + 1e-5).rsqrt_()).permute(0, 3, 1, 2)


def _pack_linear(weight: torch.Tensor) -> torch.Tensor:
    try:
        return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
    except (NotImplementedError, RuntimeError):  # torch before 2.13 wants the opaque oneDNN tensor
        return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous().to_mkldnn())


def _pack_convolution(weight: torch.Tensor, padding: list[int], example: torch.Tensor) -> torch.Tensor:
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # its stub lacks the last argument
    return reorder(weight.contiguous().to_mkldnn(), padding, [1, 1], [1, 1], 1, list(example.shape))


@cache
def packing_works(dtype: torch.dtype) -> bool:
    """Whether this torch and this CPU run weights laid out for oneDNN, and rightly: tried once on a small product.

    The operators are those that torch.compile's freezing emits; they are not public, hence the trial.
    """
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    tolerance = 1e-4 if dtype is torch.float32 else 5e-2
    try:
        if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        with torch.inference_mode():
            place = Placement(torch.device("cpu"), dtype)
            x, weight, other = (torch.linspace(-1, 1, n * 32).view(n, 32).to(dtype) for n in (4, 32, 4))
            packed = _pack_linear(weight)
            product = torch.ops.mkldnn._linear_pointwise.binary(x, other, packed, None, "add")
            kernel = weight[:, :, None, None].expand(32, 32, 3, 3).contiguous()
            image = x.view(1, 32, 2, 2).contiguous(memory_format=torch.channels_last)
            laid_out = _pack_convolution(kernel, [1, 1], image)
            convolved = torch.ops.mkldnn._convolution_pointwise(
                image, laid_out, None, [1, 1], [1, 1], [1, 1], 1, "none", [], ""
            )
            wanted = (place.put(F.linear(x, weight) + other), F.conv2d(image, kernel, padding=1))
            return all(
                torch.allclose(a.float(), b.float(), rtol=tolerance, atol=20 * tolerance)
                for a, b in zip((product, convolved), wanted, strict=True)
            )
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
