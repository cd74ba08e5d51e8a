"""Sizes of a promptable network: what a bundle's card stores and what builds the network again.

Free of torch, so that reading a bundle's card costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

ARCHITECTURE: Final = "sam-med2d"

# RGB, 0 to 255: ImageNet's, as in segment-anything and in SAM-Med2D.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
MASK_CHANNELS = 16  # of the convolutions that read a mask prompt
N_CHOICES = 3  # masks the decoder offers where a prompt is ambiguous
IOU_LAYERS = 3
# A mask prompt and an answer have one pixel for every quarter of a token.
CELLS_PER_TOKEN = 4


@dataclass(frozen=True)
class PromptableConfig:
    """Sizes of a SAM of the segment-anything family; the defaults are those of SAM-Med2D (ViT-B at 256 pixels).

    image_size       side in pixels of the square image the encoder sees
    patch_size       side of a token, in pixels
    embed_dim        channels of the image encoder
    depth            its transformer blocks
    num_heads        attention heads of each
    mlp_ratio        hidden over outer width of their perceptrons
    window_size      side of an attention window, in tokens
    global_blocks    numbers of the blocks that attend to all tokens
    adapters         whether every block has SAM-Med2D's adapter beside its perceptron
    prompt_dim       channels of image embedding and prompts
    decoder_depth    transformer blocks of the mask decoder
    decoder_heads    attention heads of each
    decoder_hidden   hidden width of their perceptrons
    iou_hidden       hidden width of the head that predicts a mask's IoU
    """

    image_size: int = 256
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    window_size: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    adapters: bool = True
    prompt_dim: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    iou_hidden: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "global_blocks", tuple(int(b) for b in self.global_blocks))
        for name in (
            "image_size", "patch_size", "embed_dim", "num_heads", "window_size", "prompt_dim", "decoder_heads",
            "decoder_hidden", "iou_hidden",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if min(self.depth, self.decoder_depth) < 0:
            raise ValueError("depth and decoder_depth cannot be negative")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size must be a multiple of {self.patch_size}, got {self.image_size}")
        if self.adapters and self.grid % 2:
            raise ValueError(f"adapters need an even number of tokens on a side, got {self.grid}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"{self.embed_dim} channels do not split into {self.num_heads} heads")
        # The decoder's cross attention works at half the width; its upsampling divides the width by eight.
        if self.prompt_dim % (2 * self.decoder_heads) or self.prompt_dim % 8:
            raise ValueError(f"prompt_dim must be a multiple of 8 and of twice {self.decoder_heads} heads")
        if not all(0 <= block < self.depth for block in self.global_blocks):
            raise ValueError(f"global_blocks must be block numbers below {self.depth}, got {self.global_blocks}")

    @classmethod
    def vit_b(cls, **changes: Any) -> PromptableConfig:
        """ViT-B at 256 pixels: 271 million parameters with adapters, 91 million without."""
        return cls(**changes)

    @classmethod
    def tiny(cls, **changes: Any) -> PromptableConfig:
        """The demo bundle's size, 2.4 million parameters: trains and encodes on two CPU cores.

        Tokens of 8 pixels and not of 16: a fetal vessel is 5 pixels wide at this size. Windows divide the token grid,
        so that nothing is padded; one block sees everything, which costs as much as all the others; no adapters,
        because nothing is pretrained.
        """
        sizes: dict[str, Any] = {
            "patch_size": 8,
            "embed_dim": 128,
            "depth": 6,
            "num_heads": 4,
            "window_size": 8,
            "global_blocks": (3,),
            "adapters": False,
            "prompt_dim": 128,
            "decoder_heads": 4,
            "decoder_hidden": 512,
            "iou_hidden": 128,
        }
        return cls(**(sizes | changes))

    @classmethod
    def from_dict(cls, arguments: Mapping[str, Any]) -> PromptableConfig:
        """Config from a card's table; ValueError names an argument that does not exist."""
        unknown = set(arguments) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown arguments of a promptable network: {', '.join(sorted(unknown))}")
        return cls(**arguments)

    def to_dict(self) -> dict[str, Any]:
        """Plain table for a card: numbers and lists only."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def grid(self) -> int:
        """Tokens on a side of the image."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Pixels on a side of a mask prompt and of a low-resolution answer."""
        return CELLS_PER_TOKEN * self.grid

    def attention_side(self, block: int) -> int:
        """Tokens on a side of the area that attention of a block spans; its position table follows from it."""
        return self.grid if block in self.global_blocks else self.window_size
