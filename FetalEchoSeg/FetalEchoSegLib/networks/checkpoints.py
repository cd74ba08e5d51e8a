"""Import of foreign checkpoints, once, into a bundle: the official FETUS 2026 baseline and the EchoCare encoder.

Files are read with ``weights_only`` (no code in them runs) and memory-mapped; every tensor is counted by name and
shape, and a file that fills less than nine tenths of what it should fill is refused, with the list of what did not
fit. (The public code loads with ``strict=False``, where a wrong file passes in silence.)
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..bundle_card import NAME_PATTERN, Card
from ..bundle_folders import bundle_name
from ..errors import InvalidRequest, UnusableBundle
from .configuration import EchoCareConfig
from .parameters import ENCODER_PREFIX, parameter_shapes

if TYPE_CHECKING:
    from ..bundle import Bundle
    from .echocare import EchoCare

CheckpointKind = Literal["auto", "encoder", "network"]
REQUIRED_SHARE = 0.9
_LISTED = 6  # names listed in an error before "and N more"


@dataclass(frozen=True)
class Match:
    """How a checkpoint's tensors fit a network.

    matched   tensors under the network's names, of the right shapes
    missing   names the network has and the checkpoint lacks
    misshapen names with both shapes, for tensors of another size
    unused    names the checkpoint has and the network lacks
    """

    matched: dict[str, torch.Tensor]
    missing: tuple[str, ...]
    misshapen: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def share(self) -> float:
        """Matched tensors over the tensors that the checkpoint should have filled."""
        wanted = len(self.matched) + len(self.missing) + len(self.misshapen)
        return len(self.matched) / wanted if wanted else 0.0

    def require(self, path: Path, what: str) -> None:
        """Raise UnusableBundle, listing what did not fit, when less than 90 % was filled."""
        if self.share >= REQUIRED_SHARE:
            return
        wanted = len(self.matched) + len(self.missing) + len(self.misshapen)
        parts = [
            f"{title}: {_some(names)}"
            for title, names in (
                ("other shape", self.misshapen),
                ("missing", self.missing),
                ("unknown", self.unused),
            )
            if names
        ]
        raise UnusableBundle(
            f"{path} is not {what}: only {len(self.matched)} of {wanted} tensors fit ({'; '.join(parts)})."
        )


def import_checkpoint(
    path: Path | str,
    name: str | None = None,
    folder: Path | None = None,
    config: EchoCareConfig | None = None,
    kind: CheckpointKind = "auto",
) -> Bundle:
    """Import a FETUS baseline ``best.pth`` or an ``echocare_encoder.pth`` into a bundle and return it.

    name    of the bundle; the file's own name if None
    folder  where bundles go, the user's model folder if None
    config  sizes, those of the public models if None
    kind    "encoder" or "network" when the file is known to be that; "auto" tells by the names of its tensors
    Raises UnusableBundle, listing what did not fit, InvalidRequest, UnwritableOutput.
    A bundle made of an encoder alone is a start for training; its notice says that it does not segment yet.
    """
    from ..bundle import save_bundle
    from ..bundle_folders import user_bundle_folder

    path = Path(path)
    if name and not re.match(NAME_PATTERN, name):
        raise InvalidRequest(f"A model cannot be called '{name}': use at most 64 letters, digits, dots, - and _.")
    tensors = read_checkpoint(path)
    config = config or EchoCareConfig.full(n_views=0)
    if kind == "encoder" or (kind == "auto" and _is_encoder(tensors)):
        match = match_encoder(tensors, config)
        match.require(path, "an EchoCare encoder")
        source, notice = (
            "EchoCare encoder",
            "Only the encoder of this model is trained: a start for training, not a model.",
        )
    else:
        match = match_network(tensors, config)
        match.require(path, "a checkpoint of the official FETUS 2026 EchoCare baseline")
        source, notice = "FETUS 2026 baseline checkpoint", ""
    card = Card.new(
        name=name or bundle_name(path),
        version="1",
        config=config,
        licence="unknown: the licence of the imported file holds; do not pass it on",
        description=f"Imported from {path.name}",
        training={
            "source": source,
            "file": path.name,
            "tensors_matched": len(match.matched),
            "tensors_missing": list(match.missing),
            "tensors_of_other_shape": list(match.misshapen),
        },
        notice=notice,
    )
    target = (user_bundle_folder() if folder is None else folder) / card.name
    return save_bundle(target, card, _completed(match.matched, config))


def load_encoder(network: EchoCare, path: Path | str) -> Match:
    """Fill the Swin encoder of ``network`` from an ``echocare_encoder.pth``; raises UnusableBundle below 90 %."""
    path = Path(path)
    match = match_encoder(read_checkpoint(path), network.config)
    match.require(path, "an EchoCare encoder for this network")
    network.load_state_dict(match.matched, strict=False)
    return match


def read_checkpoint(path: Path | str) -> dict[str, torch.Tensor]:
    """Named tensors of a .pth or .safetensors file, without the wrappers that training adds around them."""
    path = Path(path)
    if not path.is_file():
        raise UnusableBundle(f"There is no checkpoint {path}.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise UnusableBundle(f"{path} holds no named tensors: it is not a checkpoint of a network.")
    # torch.nn.DataParallel and its like put everything under "module."
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    tensors.pop("mask_token", None)  # of masked-image pretraining
    return tensors


def match_network(tensors: Mapping[str, torch.Tensor], config: EchoCareConfig) -> Match:
    """Count the tensors of a whole network, as the official baseline saves it."""
    return match_tensors(tensors, parameter_shapes(config))


def match_encoder(tensors: Mapping[str, torch.Tensor], config: EchoCareConfig) -> Match:
    """Count the tensors of an encoder with flat names; adapters are not expected in it."""
    wanted = {
        name: shape
        for name, shape in parameter_shapes(config).items()
        if name.startswith(ENCODER_PREFIX) and ".linear_a_" not in name and ".linear_b_" not in name
    }
    renamed = {}
    for name, tensor in tensors.items():
        name = ENCODER_PREFIX + name.removeprefix(ENCODER_PREFIX)
        if config.lora_rank and ".attn.qkv.qkv." not in name:
            name = name.replace(".attn.qkv.", ".attn.qkv.qkv.")
        renamed[name] = tensor
    return match_tensors(renamed, wanted)


def match_tensors(tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, tuple[int, ...]]) -> Match:
    """Count tensors against the names and shapes of a network."""
    matched, missing, misshapen = {}, [], []
    for name, shape in wanted.items():
        tensor = tensors.get(name)
        if tensor is None:
            missing.append(name)
        elif tuple(tensor.shape) != shape:
            misshapen.append(f"{name} {tuple(tensor.shape)} instead of {shape}")
        else:
            matched[name] = tensor
    unused = tuple(name for name in tensors if name not in wanted)
    return Match(matched, tuple(missing), tuple(misshapen), unused)


def _completed(matched: Mapping[str, torch.Tensor], config: EchoCareConfig) -> dict[str, torch.Tensor]:
    """All parameters: the matched ones, the rest freshly initialised from a fixed seed."""
    if matched.keys() == parameter_shapes(config).keys():
        return dict(matched)
    from .echocare import EchoCare

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EchoCare(config).state_dict() | dict(matched)


def _is_encoder(tensors: Mapping[str, torch.Tensor]) -> bool:
    return "patch_embed.proj.weight" in tensors


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UnusableBundle(f"{path} is not a readable safetensors file: fetch it again.") from error


def _read_torch(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start[:1] != b"\x80" and start != b"PK":
            raise UnusableBundle(f"{path} is not a torch checkpoint: choose a .pth or .safetensors file.")
        with _numpy_numbers_allowed():
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap" not in str(error):
                    raise
                # files from before torch 1.6 cannot be mapped
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnusableBundle(
            f"{path} holds Python objects beside weights, which could run code: it is not loaded. Ask its author for "
            "the bare state dictionary or a .safetensors file."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise UnusableBundle(f"{path} is not a readable torch checkpoint: fetch it again.") from error


def _numpy_numbers_allowed() -> AbstractContextManager[Any]:
    """The official trainer stores its best score as a NumPy number beside the weights; such plain numbers are safe."""
    if not hasattr(torch.serialization, "safe_globals"):
        return nullcontext()
    scalar = np.float64(0).__reduce__()[0]
    names = ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]
    allowed: list[Any] = [(scalar, name) for name in names]
    allowed += [np.dtype, type(np.dtype(np.float64)), type(np.dtype(np.float32)), type(np.dtype(np.int64))]
    return torch.serialization.safe_globals(allowed)


def _some(names: tuple[str, ...]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
