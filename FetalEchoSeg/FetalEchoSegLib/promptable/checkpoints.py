"""Import of foreign promptable checkpoints, once, into a bundle: ``sam-med2d_b.pth`` and Meta's ``sam_vit_b``.

Files are read as in ``networks.checkpoints``: with ``weights_only``, every tensor counted by name and shape, refused
below nine tenths. Position tables of another image size are interpolated and count as fitting; nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ..bundle_card import NAME_PATTERN
from ..bundle_folders import bundle_name
from ..errors import InvalidRequest, UnusableBundle
from ..networks.checkpoints import match_tensors, read_checkpoint
from .configuration import PromptableConfig
from .parameters import parameter_shapes

if TYPE_CHECKING:
    from .bundle import PromptableBundle

_SPATIAL = re.compile(r"image_encoder\.(pos_embed|blocks\.\d+\.attn\.rel_pos_[hw])$")


def import_promptable(
    path: Path | str,
    name: str | None = None,
    folder: Path | None = None,
    adapters: bool | None = None,
    config: PromptableConfig | None = None,
) -> PromptableBundle:
    """Import ``sam-med2d_b.pth`` or segment-anything's ``vit_b`` into a bundle and return it.

    name      of the bundle; the file's own name if None
    folder    where bundles go, the user's model folder if None
    adapters  False leaves SAM-Med2D's adapters out, which generalises better to ultrasound it was not trained on
              (FIELD.md 2); None keeps them if the file has them
    config    sizes, those of ViT-B at 256 pixels if None
    Raises UnusableBundle for a file that is damaged, unsafe or of another network.
    """
    from ..bundle_folders import user_bundle_folder
    from .bundle import PromptableCard, save_promptable

    path = Path(path)
    if name and not re.match(NAME_PATTERN, name):
        raise InvalidRequest(f"A model cannot be called '{name}': use at most 64 letters, digits, dots, - and _.")
    tensors = read_checkpoint(path)
    has_adapters = any(".Adapter." in key for key in tensors)
    if adapters and not has_adapters:
        raise UnusableBundle(f"{path} has no adapters: import it without them.")
    keep = has_adapters if adapters is None else adapters
    config = replace(config or PromptableConfig.vit_b(), adapters=keep)
    resized, interpolated = resize_positions(tensors, config)
    match = match_tensors(resized, parameter_shapes(config))
    match.require(path, "a SAM-Med2D or segment-anything checkpoint of this size (ViT-B)")
    lacking = len(match.missing) + len(match.misshapen)
    notice = f"{lacking} tensors of this model were not in {path.name} and are untrained." if lacking else ""
    card = PromptableCard.new(
        name=name or bundle_name(path),
        version="1",
        config=config,
        sampling="nearest" if has_adapters else "area",
        licence="unknown: the licence of the imported file holds; do not pass it on",
        description=f"Imported from {path.name}" + (", adapters left out" if has_adapters and not keep else ""),
        training={
            "source": "SAM-Med2D checkpoint" if has_adapters else "segment-anything checkpoint",
            "file": path.name,
            "tensors_matched": len(match.matched),
            "tensors_missing": list(match.missing),
            "tensors_of_other_shape": list(match.misshapen),
            "position_tables_interpolated": len(interpolated),
        },
        notice=notice,
    )
    target = (user_bundle_folder() if folder is None else folder) / card.name
    return save_promptable(target, card, _completed(match.matched, config))


def is_promptable(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether a checkpoint's names are those of the segment-anything family."""
    return any(name.startswith(("prompt_encoder.", "mask_decoder.")) for name in tensors)


def resize_positions(
    tensors: Mapping[str, torch.Tensor], config: PromptableConfig
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Tensors with the position tables brought to the size of ``config``, and which were.

    Absolute positions (1, g, g, C) bilinearly, relative ones (2 s - 1, C) linearly along the offsets, both with
    half-pixel centres, as SAM and its fork do. Tables whose width differs are left as they are.
    """
    wanted = parameter_shapes(config)
    result, interpolated = dict(tensors), []
    for name, tensor in tensors.items():
        shape = wanted.get(name)
        if shape is None or not _SPATIAL.match(name) or tuple(tensor.shape) == shape:
            continue
        if tensor.ndim != len(shape) or tensor.shape[-1] != shape[-1]:
            continue
        if tensor.ndim == 4:
            channels_first = tensor.float().permute(0, 3, 1, 2)
            resized = F.interpolate(channels_first, shape[1:3], mode="bilinear", align_corners=False)
            result[name] = resized.permute(0, 2, 3, 1)
        else:
            resized = F.interpolate(tensor.float().T[None], shape[0], mode="linear", align_corners=False)
            result[name] = resized[0].T
        interpolated.append(name)
    return result, interpolated


def _completed(matched: Mapping[str, torch.Tensor], config: PromptableConfig) -> dict[str, torch.Tensor]:
    """All parameters: the matched ones, the rest freshly initialised from a fixed seed."""
    if matched.keys() == parameter_shapes(config).keys():
        return dict(matched)
    from .network import build_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_network(config).state_dict() | dict(matched)
