"""A promptable model on disk: the same two files as any bundle, with a card of its own.

Its card names the architecture ``sam-med2d``, by which either kind of bundle is kept out of the other's lists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import Field, model_validator

from ..bundle import verify_weights, write_model
from ..bundle_card import (
    CARD_FILE,
    FORMAT_VERSION,
    NAME_PATTERN,
    VERSION_PATTERN,
    WEIGHTS_FILE,
    OtherKindOfModel,
    StrictModel,
    architecture_name,
    read_card_table,
    validated_card,
)
from ..bundle_folders import bundle_folders
from ..errors import UnusableBundle
from ..prediction import BundleIdentity
from .configuration import ARCHITECTURE, PromptableConfig
from .parameters import parameter_shapes

if TYPE_CHECKING:
    import torch

    from .geometry import Sampling
    from .model import PromptableModel

logger = logging.getLogger(__name__)

DEFAULT_PROMPTABLE = "demo-clicks"


class PromptableArchitecture(StrictModel):
    """Sizes of the network the weights belong to."""

    name: Literal["sam-med2d"] = ARCHITECTURE
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> PromptableArchitecture:
        self.config  # noqa: B018 - impossible sizes are refused here
        return self

    @property
    def config(self) -> PromptableConfig:
        """Sizes of the network."""
        return PromptableConfig.from_dict(self.arguments)


class PromptablePreprocessing(StrictModel):
    """What happens to a frame before the network sees it (see ``geometry``)."""

    resize: Literal["stretch, nearest", "stretch, area"]
    normalization: Literal["ImageNet mean and deviation, RGB"] = "ImageNet mean and deviation, RGB"

    @property
    def sampling(self) -> Sampling:
        """The name that ``geometry`` has for it."""
        return "nearest" if self.resize == "stretch, nearest" else "area"


class PromptableCard(StrictModel):
    """A promptable bundle's card; fields as in ``bundle_card.Card``."""

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=VERSION_PATTERN)
    description: str = ""
    architecture: PromptableArchitecture
    preprocessing: PromptablePreprocessing
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    licence: str
    notice: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    def to_yaml(self) -> str:
        """The text of ``bundle.yaml``."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def new(
        cls, name: str, version: str, config: PromptableConfig, sampling: Sampling, licence: str, **more: Any
    ) -> PromptableCard:
        """Card of a network of these sizes; ``more`` holds any other field."""
        return cls(
            name=name,
            version=version,
            architecture=PromptableArchitecture(arguments=config.to_dict()),
            preprocessing=PromptablePreprocessing(
                resize="stretch, nearest" if sampling == "nearest" else "stretch, area"
            ),
            licence=licence,
            **more,
        )


@dataclass(frozen=True)
class PromptableBundle:
    """A promptable model on disk.

    path  its folder
    card  what it says about itself
    """

    path: Path
    card: PromptableCard

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
        verify_weights(self.weights_path, self.name, self.card.sha256, parameter_shapes(self.card.architecture.config))

    def state(self) -> dict[str, torch.Tensor]:
        """The parameters, memory-mapped from the file after ``verify``; in the precision they are stored in."""
        from safetensors.torch import load_file

        self.verify()
        return load_file(self.weights_path)

    def build(self, device: str = "auto", precision: str = "auto") -> PromptableModel:
        """The model, ready to answer; device and precision as for the Segmenter."""
        from ..devices import choose_device
        from .model import PromptableModel

        choice = choose_device(device, precision)
        config, sampling = self.card.architecture.config, self.card.preprocessing.sampling
        return PromptableModel(config, self.state(), sampling, choice.device, choice.precision)


def load_promptable(path: Path | str, verify: bool = True) -> PromptableBundle:
    """The promptable bundle in a folder; with ``verify`` its weights are checked at once. Raises UnusableBundle."""
    folder = Path(path)
    table = read_card_table(folder)
    if architecture_name(table) != ARCHITECTURE:
        raise OtherKindOfModel(f"The model in {folder} does not answer clicks: choose one that was made for them.")
    bundle = PromptableBundle(folder, validated_card(PromptableCard, table, folder))
    if not bundle.weights_path.is_file():
        raise UnusableBundle(f"Model {bundle.name} in {folder} has no {WEIGHTS_FILE}: install it again.")
    if verify:
        bundle.verify()
    return bundle


def list_promptables(folders: Iterable[Path] | None = None) -> list[PromptableBundle]:
    """Promptable bundles in ``folders`` (the user's and the shipped ones if None), unverified; unusable are logged."""
    found: dict[str, PromptableBundle] = {}
    for folder in bundle_folders() if folders is None else folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.name.startswith(".") or not (path / CARD_FILE).is_file():
                continue
            try:
                bundle = load_promptable(path, verify=False)
            except OtherKindOfModel:
                continue
            except UnusableBundle as error:
                logger.warning("%s", error)
                continue
            found.setdefault(bundle.name, bundle)
    return list(found.values())


def find_promptable(name_or_path: str | Path, folders: Iterable[Path] | None = None) -> PromptableBundle:
    """Promptable bundle by folder or by name, unverified; raises UnusableBundle naming the choices."""
    path = Path(name_or_path)
    if (path / CARD_FILE).is_file() or (path.is_dir() and path.is_absolute()):
        return load_promptable(path, verify=False)
    bundles = list_promptables(folders)
    for bundle in bundles:
        if bundle.name == str(name_or_path):
            return bundle
    known = ", ".join(bundle.name for bundle in bundles)
    choice = f"choose one of {known}, or give a bundle's folder" if known else "install one or import a checkpoint"
    raise UnusableBundle(f"There is no model '{name_or_path}' that answers clicks: {choice}.")


def save_promptable(
    folder: Path | str,
    card: PromptableCard,
    state: Mapping[str, torch.Tensor],
    storage: Literal["fp32", "fp16"] = "fp32",
) -> PromptableBundle:
    """Write a promptable bundle to ``folder``; as ``bundle.save_bundle``."""
    written = write_model(folder, card, state, parameter_shapes(card.architecture.config), storage)
    return PromptableBundle(Path(folder), written)
