"""Sizes of an EchoCare network: what a bundle's card stores and what builds the network again.

Free of torch, so that reading a bundle's card costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..anatomy import N_CONDITIONS, N_LABELS, View

ARCHITECTURE = "echocare"
N_STAGES = 4  # MONAI's SwinTransformer has exactly four
CONDITION_HEADS = ("plain", "anatomy", "combined")
N_AREA_FEATURES = 20  # areas of the structures and ratios of some, see ``condition_features``


@dataclass(frozen=True)
class EchoCareConfig:
    """Sizes of the EchoCare multi-task network; the defaults are those of the official FETUS 2026 baseline.

    input_channels    1 (grey, copied to the three channels of the encoder by a learnt 1x1 convolution) or 3
    embed_dim         channels of the first encoder stage; doubled at each of the four stages
    depths            transformer blocks per stage
    num_heads         attention heads per stage
    window_size       side of an attention window, in tokens
    patch_size        side of a token, in pixels
    mlp_ratio         hidden over outer width of the transformer's perceptrons
    decoder_features  channels of the decoder at full resolution
    head_features     hidden width of the condition and view heads
    condition_head    what the condition head sees: the pooled bottleneck ("plain", as in the official baseline), areas
                      of the masks and their ratios ("anatomy"), or both with finer levels ("combined"); the last two
                      need the view head
    lora_rank         rank of the low-rank adapters on q and v, 0 for none
    lora_alpha        their scale times the rank
    n_labels          segmentation channels including the background
    n_conditions      condition logits
    n_views           view logits, 0 for no view head (as in the official baseline)
    image_size        side in pixels of the square image the network is trained on
    """

    input_channels: int = 1
    embed_dim: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    window_size: int = 8
    patch_size: int = 2
    mlp_ratio: float = 4.0
    decoder_features: int = 64
    head_features: int = 512
    condition_head: str = "plain"
    lora_rank: int = 5
    lora_alpha: float = 5.0
    n_labels: int = N_LABELS
    n_conditions: int = N_CONDITIONS
    n_views: int = len(View)
    image_size: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "depths", tuple(int(d) for d in self.depths))
        object.__setattr__(self, "num_heads", tuple(int(h) for h in self.num_heads))
        if self.input_channels not in (1, 3):
            raise ValueError(f"input_channels must be 1 or 3, got {self.input_channels}")
        if len(self.depths) != N_STAGES or len(self.num_heads) != N_STAGES:
            raise ValueError(f"depths and num_heads need four entries each, got {self.depths} and {self.num_heads}")
        if min(self.depths) < 0 or min(self.num_heads) < 1:
            raise ValueError(f"depths must be 0 or more and num_heads 1 or more: {self.depths}, {self.num_heads}")
        for stage, heads in enumerate(self.num_heads):
            if (self.embed_dim << stage) % heads:
                raise ValueError(
                    f"stage {stage + 1}: {self.embed_dim << stage} channels do not split into {heads} heads"
                )
        for name in ("embed_dim", "window_size", "patch_size", "decoder_features", "head_features", "n_labels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.condition_head not in CONDITION_HEADS:
            raise ValueError(f"condition_head must be one of {', '.join(CONDITION_HEADS)}, got {self.condition_head}")
        if self.condition_head != "plain" and self.n_views != len(View):
            raise ValueError(f"condition_head {self.condition_head} needs the view head")
        if min(self.lora_rank, self.n_conditions, self.n_views) < 0:
            raise ValueError("lora_rank, n_conditions and n_views cannot be negative")
        if self.image_size < 1 or self.image_size % self.size_divisor:
            raise ValueError(f"image_size must be a multiple of {self.size_divisor}, got {self.image_size}")

    @classmethod
    def full(cls, **changes: Any) -> EchoCareConfig:
        """The official size: 174.6 million parameters without the view head."""
        return cls(**changes)

    @classmethod
    def tiny(cls, **changes: Any) -> EchoCareConfig:
        """The demo bundle's size: trains on two CPU cores, no adapters because nothing is pretrained."""
        sizes: dict[str, Any] = {
            "embed_dim": 16,
            "depths": (0, 1, 2, 2),
            "num_heads": (1, 2, 4, 8),
            "mlp_ratio": 2.0,
            "decoder_features": 12,
            "head_features": 64,
            "lora_rank": 0,
        }
        return cls(**(sizes | changes))

    @classmethod
    def from_dict(cls, arguments: Mapping[str, Any]) -> EchoCareConfig:
        """Config from a card's table; ValueError names an argument that does not exist."""
        unknown = set(arguments) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown EchoCare arguments: {', '.join(sorted(unknown))}")
        return cls(**arguments)

    def to_dict(self) -> dict[str, Any]:
        """Plain table for a card: numbers and lists only."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def size_divisor(self) -> int:
        """Height and width of an input image must be multiples of this."""
        return self.patch_size * 2**N_STAGES

    @property
    def bottleneck_features(self) -> int:
        """Channels of the bottleneck, which the condition and view heads pool."""
        return 16 * self.decoder_features

    @property
    def condition_features(self) -> int:
        """Inputs of the condition head."""
        if self.condition_head == "plain":
            return self.bottleneck_features
        if self.condition_head == "anatomy":
            return N_AREA_FEATURES
        return 2 * (16 + 8 + 4) * self.decoder_features + N_AREA_FEATURES
