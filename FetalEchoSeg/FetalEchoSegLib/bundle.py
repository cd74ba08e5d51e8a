"""A model on disk: a folder with ``model.safetensors`` and ``bundle.yaml``.

Loading a bundle reads its card and the header of its weights; torch comes in when a network is built. Nothing is ever
unpickled, and no network is built from weights whose SHA-256 is not the card's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from .bundle_card import CARD_FILE, NAME_PATTERN, WEIGHTS_FILE, Card, OtherKindOfModel, read_card
from .bundle_folders import bundle_folders, place_bundle
from .bundle_install import Cancelling, Progress
from .bundle_staging import stage_bundle
from .errors import UnusableBundle
from .prediction import BundleIdentity

if TYPE_CHECKING:
    import torch

    from .networks.echocare import EchoCare
    from .networks.lean import LeanEchoCare
    from .promptable.bundle import PromptableBundle, PromptableCard

__all__ = [
    "DEFAULT_BUNDLE",
    "Bundle",
    "Card",
    "find_bundle",
    "install_bundle",
    "list_bundles",
    "load_bundle",
    "save_bundle",
]

logger = logging.getLogger(__name__)

DEFAULT_BUNDLE = "demo-tiny"
_MAX_HEADER_BYTES = 100 << 20
WrittenCard = TypeVar("WrittenCard", "Card", "PromptableCard")
# Weights whose hash was right once in this process, by file identity: 700 MB take half a second to hash.
_verified: set[tuple[str, int, int, str]] = set()


@dataclass(frozen=True)
class Bundle:
    """A model on disk.

    path  its folder
    card  what it says about itself
    """

    path: Path
    card: Card

    @property
    def name(self) -> str:
        """What the model is called, also the name of its folder when installed."""
        return self.card.name

    @property
    def version(self) -> str:
        """Version of the model, as its card gives it."""
        return self.card.version

    @property
    def notice(self) -> str:
        """The sentence to show with every result, "" if none."""
        return self.card.notice

    @property
    def weights_path(self) -> Path:
        """The safetensors file."""
        return self.path / WEIGHTS_FILE

    def __str__(self) -> str:
        notice = f"{self.notice}\n" if self.notice else ""
        return f"{self.name} {self.version} ({self.path})\n{notice}{self.card.to_yaml()}"

    def identity(self) -> BundleIdentity:
        """What travels with every result of this model."""
        return BundleIdentity(self.name, self.version, self.card.sha256, self.notice)

    def verify(self) -> None:
        """Check the weights against the card's SHA-256 and the network's parameters; raises UnusableBundle."""
        from .networks.parameters import parameter_shapes

        verify_weights(self.weights_path, self.name, self.card.sha256, parameter_shapes(self.card.architecture.config))

    def state(self) -> dict[str, torch.Tensor]:
        """The parameters, memory-mapped from the file after ``verify``; in the precision they are stored in."""
        from safetensors.torch import load_file

        self.verify()
        return load_file(self.weights_path)

    def build_network(self, device: str = "cpu", precision: str = "fp32") -> LeanEchoCare:
        """The network for inference; needs no MONAI."""
        from .networks.lean import LeanEchoCare

        return LeanEchoCare(self.card.architecture.config, self.state(), device, precision)

    def build_trainable(self) -> EchoCare:
        """The network as a module in fp32, to train further; parameters are private copies only where they change."""
        from .networks.assembly import echocare_from_state

        return echocare_from_state(self.card.architecture.config, self.state())


def load_bundle(path: Path | str, verify: bool = True) -> Bundle:
    """The bundle in a folder; with ``verify`` its weights are checked at once. Raises UnusableBundle."""
    folder = Path(path)
    bundle = Bundle(folder, read_card(folder))
    if not bundle.weights_path.is_file():
        raise UnusableBundle(f"Model {bundle.name} in {folder} has no {WEIGHTS_FILE}: install it again.")
    if verify:
        bundle.verify()
    return bundle


def list_bundles(folders: Iterable[Path] | None = None, problems: list[UnusableBundle] | None = None) -> list[Bundle]:
    """Bundles in ``folders`` (the user's and the shipped ones if None), unverified.

    problems  gets what is wrong with each unusable one, which is logged if None
    """
    found: dict[str, Bundle] = {}
    for folder in bundle_folders() if folders is None else folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name.startswith(".") or not (path / CARD_FILE).is_file():
                continue
            try:
                bundle = load_bundle(path, verify=False)
            except OtherKindOfModel:
                continue
            except UnusableBundle as error:
                if problems is None:
                    logger.warning("%s", error)
                else:
                    problems.append(error)
                continue
            found.setdefault(bundle.name, bundle)
    return list(found.values())


def find_bundle(name_or_path: str | Path, folders: Iterable[Path] | None = None) -> Bundle:
    """Bundle by folder or by name, unverified until a network is built; raises UnusableBundle naming the choices."""
    path = Path(name_or_path)
    if (path / CARD_FILE).is_file() or (path.is_dir() and path.is_absolute()):
        return load_bundle(path, verify=False)
    bundles = list_bundles(folders)
    for bundle in bundles:
        if bundle.name == str(name_or_path):
            return bundle
    if path.is_dir():
        return load_bundle(path, verify=False)  # says what the folder lacks
    if path.is_file():
        raise UnusableBundle(f"{path} is a file: give the folder of a bundle, or install this one if it is a .zip.")
    for folder in bundle_folders() if folders is None else folders:
        if re.match(NAME_PATTERN, str(name_or_path)) and (folder / path / CARD_FILE).is_file():
            return load_bundle(folder / path, verify=False)  # says what is wrong with it
    known = ", ".join(bundle.name for bundle in bundles)
    choice = f"choose one of {known}, or give a bundle's folder" if known else "install one or give a bundle's folder"
    raise UnusableBundle(f"There is no model '{name_or_path}': {choice}.")


def install_bundle(
    source: str | Path,
    sha256: str | None = None,
    progress: Progress | None = None,
    cancelled: Cancelling | None = None,
    folder: Path | None = None,
) -> Bundle | PromptableBundle:
    """Install a bundle of either kind from a folder, a .zip file or the https address of one, and return it.

    sha256    expected hash of the .zip file (of the weights for a folder)
    progress  called with (bytes done, bytes in all; 0 if unknown)
    folder    where to, the user's model folder if None
    An earlier bundle of the same name is replaced once the new one is whole and verified. Raises UnusableBundle,
    UnwritableOutput, Cancelled. To ask something in between, see ``bundle_staging``.
    """
    return stage_bundle(source, sha256, progress, cancelled, folder).install()


def load_any_kind(folder: Path) -> Bundle | PromptableBundle:
    """The verified bundle in a folder, whether it segments or answers clicks; raises UnusableBundle."""
    try:
        return load_bundle(folder)
    except OtherKindOfModel:
        from .promptable.bundle import load_promptable

        return load_promptable(folder)


def save_bundle(
    folder: Path | str,
    card: Card,
    state: Mapping[str, torch.Tensor],
    storage: Literal["fp32", "fp16"] = "fp32",
) -> Bundle:
    """Write a bundle to ``folder``, replacing an earlier one there as a whole.

    state    parameters under the names of ``EchoCare.state_dict()``; moved to the CPU
    storage  "fp16" halves the file; networks are built in the precision asked for in any case
    Raises UnwritableOutput, and ValueError when the parameters do not fit the card's architecture.
    """
    from .networks.parameters import parameter_shapes

    return Bundle(Path(folder), write_model(folder, card, state, parameter_shapes(card.architecture.config), storage))


def write_model(
    folder: Path | str,
    card: WrittenCard,
    state: Mapping[str, torch.Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    storage: Literal["fp32", "fp16"] = "fp32",
) -> WrittenCard:
    """Write weights of these names and shapes and a card of any kind; see ``save_bundle``. Returns the card written."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from .networks.parameters import shape_misfits

    problems = shape_misfits({name: tuple(tensor.shape) for name, tensor in state.items()}, shapes)
    if problems:
        raise ValueError(f"the parameters do not fit the card: {'; '.join(problems[:3])}")
    dtype = {"fp32": torch.float32, "fp16": torch.float16}[storage]
    tensors = {}
    for name in shapes:
        tensor = state[name].detach().cpu()
        tensors[name] = (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensors[name]).all()):
            raise ValueError(f"{name} holds values that are not finite{' in fp16' if storage == 'fp16' else ''}")
    with place_bundle(Path(folder)) as temporary:
        try:
            save_file(tensors, temporary / WEIGHTS_FILE)
        except SafetensorError as error:  # how safetensors reports a full disk
            full = f"os error {errno.ENOSPC}" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error
        finished = card.model_copy(update={"sha256": sha256_of(temporary / WEIGHTS_FILE)})
        (temporary / CARD_FILE).write_text(finished.to_yaml(), encoding="utf-8")
    return finished


def verify_weights(path: Path, name: str, sha256: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check a model's weights against its card's SHA-256 and its network's parameters; raises UnusableBundle.

    name  of the model, for messages
    Once right, a file is not read again in this process until it changes.
    """
    key = (*_file_identity(path), sha256)
    if key in _verified:
        return
    found_shapes = _tensor_shapes(path)
    found = sha256_of(path)
    if found != sha256:
        raise UnusableBundle(
            f"The weights of model {name} do not match their card ({path} has SHA-256 "
            f"{found[:12]}…, the card says {sha256[:12] or 'nothing'}…): install the model again."
        )
    from .networks.parameters import shape_misfits

    problems = shape_misfits(found_shapes, shapes)
    if problems:
        raise UnusableBundle(
            f"The weights of model {name} do not fit the architecture in its card ({problems[0]}"
            f"{f' and {len(problems) - 1} more' if len(problems) > 1 else ''}): install the model again."
        )
    _verified.add(key)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _file_identity(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UnusableBundle(f"{path} cannot be read ({error.strerror}): install the model again.") from error
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file's header; raises UnusableBundle for a pickle or anything else."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
            kind = "a pickle or a torch checkpoint" if start[:1] == b"\x80" or start[:2] == b"PK" else "another format"
            raise UnusableBundle(f"{path} is not a safetensors file but {kind}: FetalEcho never loads such weights.")
        try:
            header = json.loads(file.read(length))
            return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UnusableBundle(f"{path} has a damaged header: install the model again.") from None
