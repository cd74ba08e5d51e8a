"""The card of a bundle: everything a model says about itself, as ``bundle.yaml`` stores it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .anatomy import Condition, Structure, View
from .conditions import UNCALIBRATED, ConditionThreshold
from .errors import UnusableBundle
from .networks.configuration import ARCHITECTURE, EchoCareConfig
from .promptable.configuration import ARCHITECTURE as PROMPTABLE

FORMAT_VERSION = 1
CARD_FILE = "bundle.yaml"
WEIGHTS_FILE = "model.safetensors"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # also the name of a folder
VERSION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}$"
_MAX_CARD_BYTES = 1 << 20
AnyCard = TypeVar("AnyCard", bound=BaseModel)


class OtherKindOfModel(UnusableBundle):
    """A sound bundle for another task: one that answers clicks where one that segments was asked for, or vice versa."""


class StrictModel(BaseModel):
    """Part of a card: unknown fields are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(StrictModel):
    """Which network the weights belong to, and its sizes."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Architecture:
        if self.name != ARCHITECTURE:
            raise ValueError(f"the architecture '{self.name}' is unknown to this version of FetalEcho")
        self.config  # noqa: B018 - impossible sizes are refused here
        return self

    @property
    def config(self) -> EchoCareConfig:
        """Sizes of the network."""
        return EchoCareConfig.from_dict(self.arguments)

    @property
    def n_views(self) -> int:
        """View logits; 0 when the network cannot tell the view."""
        return self.config.n_views

    @classmethod
    def of(cls, config: EchoCareConfig) -> Architecture:
        """The card's entry for a network of these sizes."""
        return cls(name=ARCHITECTURE, arguments=config.to_dict())


class Preprocessing(StrictModel):
    """What happens to a frame before the network sees it (see ``preprocessing.network_input``)."""

    color: Literal["gray"] = "gray"
    size: int = Field(gt=0)
    resize: Literal["letterbox to a square, area average down, bilinear up"] = (
        "letterbox to a square, area average down, bilinear up"
    )
    normalization: Literal["divide by 255"] = "divide by 255"


class ConditionEntry(StrictModel):
    """Threshold and abstain band of one condition, in probability."""

    name: str
    threshold: float
    low: float
    high: float


class Card(StrictModel):
    """A bundle's card.

    conditions   one entry per condition, in the order of ``anatomy.Condition``
    calibration  how the thresholds were found and on which data, "" if they never were
    confidence_floor
                 a frame whose confidence is below needs a look; None if that was never measured
    training     where the weights come from: free table (data, command, seed, duration, commit)
    metrics      what was measured, on which data: free table
    notice       a sentence that is shown with every result, "" if none
    sha256       of the weights file, filled in by ``save_bundle``
    """

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(pattern=VERSION_PATTERN)
    description: str = ""
    architecture: Architecture
    preprocessing: Preprocessing
    structures: list[str] = Field(default_factory=lambda: [s.info.short for s in Structure])
    views: list[str] = Field(default_factory=lambda: [v.short for v in View])
    conditions: list[ConditionEntry] = Field(default_factory=lambda: condition_entries([UNCALIBRATED] * len(Condition)))
    calibration: str = ""
    confidence_floor: float | None = Field(default=None, ge=0, le=1)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    licence: str
    notice: str = ""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("structures")
    @classmethod
    def _our_structures(cls, value: list[str]) -> list[str]:
        return _exactly(value, [s.info.short for s in Structure], "structures")

    @field_validator("views")
    @classmethod
    def _our_views(cls, value: list[str]) -> list[str]:
        return _exactly(value, [v.short for v in View], "views")

    @field_validator("conditions")
    @classmethod
    def _our_conditions(cls, value: list[ConditionEntry]) -> list[ConditionEntry]:
        _exactly([entry.name for entry in value], [c.short for c in Condition], "conditions")
        for entry in value:
            ConditionThreshold(entry.threshold, entry.low, entry.high)
        return value

    @property
    def thresholds(self) -> tuple[ConditionThreshold, ...]:
        """Seven thresholds in the order of ``anatomy.Condition``."""
        return tuple(ConditionThreshold(c.threshold, c.low, c.high) for c in self.conditions)

    def to_yaml(self) -> str:
        """The text of ``bundle.yaml``."""
        return yaml.safe_dump(self.model_dump(), sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def new(
        cls,
        name: str,
        version: str,
        config: EchoCareConfig,
        licence: str,
        thresholds: list[ConditionThreshold] | None = None,
        **more: Any,
    ) -> Card:
        """Card of a network of these sizes; ``more`` holds any other field."""
        if thresholds is not None:
            more["conditions"] = condition_entries(thresholds)
        return cls(
            name=name,
            version=version,
            architecture=Architecture.of(config),
            preprocessing=Preprocessing(size=config.image_size),
            licence=licence,
            **more,
        )


def condition_entries(thresholds: list[ConditionThreshold]) -> list[ConditionEntry]:
    """The card's rows for seven thresholds in the order of ``anatomy.Condition``."""
    return [
        ConditionEntry(name=c.short, threshold=t.threshold, low=t.low, high=t.high)
        for c, t in zip(Condition, thresholds, strict=True)
    ]


def read_card(folder: Path) -> Card:
    """The card in a bundle's folder; raises UnusableBundle in one sentence."""
    table = read_card_table(folder)
    if architecture_name(table) == PROMPTABLE:
        raise OtherKindOfModel(
            f"The model in {folder} answers clicks and does not segment by itself: choose a segmentation model here."
        )
    return validated_card(Card, table, folder)


def read_card_table(folder: Path) -> dict[str, Any]:
    """The table in a bundle's card, of our format version and not checked further; raises UnusableBundle.

    Not to be changed: an unchanged file is read once, whatever kind of model is looked for.
    """
    path = folder / CARD_FILE
    try:
        status = path.stat()
        if status.st_size > _MAX_CARD_BYTES:
            raise UnusableBundle(f"{path} is too large for a model card: this is not a FetalEcho bundle.")
        table = _read_yaml(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except FileNotFoundError:
        raise UnusableBundle(f"{folder} is not a model bundle: it has no {CARD_FILE}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UnusableBundle(f"{path} cannot be read ({_first_line(error)}): copy the bundle again.") from error
    version = table.get("format_version") if isinstance(table, dict) else None
    if version != FORMAT_VERSION:
        found = "no format version" if version is None else f"format version {str(version)[:20]!r}"
        raise UnusableBundle(
            f"{path} has {found}, but this FetalEcho reads version {FORMAT_VERSION}: update FetalEcho or the bundle."
        )
    assert isinstance(table, dict)  # it has a format version
    return table


@lru_cache(maxsize=64)
def _read_yaml(path: Path, identity: tuple[int, ...]) -> Any:
    """What a file holds, read once as long as it has this ``identity``; eight times as fast with libyaml."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def architecture_name(table: Mapping[str, Any]) -> str:
    """Which architecture a card's table names, "" if none."""
    architecture = table.get("architecture")
    return str(architecture.get("name", "")) if isinstance(architecture, dict) else ""


def validated_card(kind: type[AnyCard], table: dict[str, Any], folder: Path) -> AnyCard:
    """The card of one kind from its table; raises UnusableBundle in one sentence."""
    path = folder / CARD_FILE
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UnusableBundle(f"{path} is not a valid model card: {place}: {message}.") from error


def _exactly(value: list[str], expected: list[str], what: str) -> list[str]:
    if value != expected:
        raise ValueError(f"{what} must be {', '.join(expected)} in this order")
    return value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
