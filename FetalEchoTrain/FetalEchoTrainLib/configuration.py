"""What a training run is told: one YAML file, checked as a whole before anything starts.

    config = load_config("demo", arm="labelled-only", seed=2)
    config.ema.learning_rate

Blocks follow the order of the work: data, network, augmentation, stage 1 (``ema`` with its two filters of
pseudo-labels), stage 2 (``fine_tuning``), ``calibration``, and how the run is carried out. Every field has a default,
which is the project's recipe for EchoCare at full size. The description, the range and the mark "common" of each field
are what the panel makes its form from.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import yaml
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle_card import NAME_PATTERN
from FetalEchoSegLib.devices import PRECISIONS
from FetalEchoSegLib.errors import InvalidConfig
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.resources import resource_folders
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

Arm = Literal[
    "full", "labelled-only", "ema", "ema-dino", "ema-sam", "full-no-cft", "unimatch", "no-ema", "no-dino", "no-sam",
    "no-cft",
]  # fmt: skip
ViewName = Literal["4CH", "LVOT", "RVOT", "3VT"]
assert get_args(ViewName) == tuple(view.short for view in View)
COMMON: Final[dict[str, Any]] = {"common": True}
_MAX_BYTES = 1 << 20


def _title(name: str, _: object) -> str:
    """Field names as labels: "head_learning_rate" is "Head learning rate"."""
    return name.replace("_", " ").capitalize()


class Block(BaseModel):
    """A part of the configuration; its fields' docstrings are their descriptions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        field_title_generator=_title,
    )


class PhantomConfig(Block):
    """A synthetic data set, made in ``data.folder`` when there is none."""

    labelled: int = Field(default=48, ge=1, le=100_000)
    """Labelled training frames."""
    unlabelled: int = Field(default=400, ge=0, le=100_000)
    """Frames whose masks are kept where training never reads them."""
    validation: int = Field(default=48, ge=1, le=100_000)
    """Frames to choose the best weights by."""
    calibration: int = Field(default=48, ge=0, le=100_000)
    """Frames to fit thresholds and probabilities on."""
    same: int = Field(default=60, ge=0, le=100_000)
    """Test frames from the devices of the training part."""
    new: int = Field(default=60, ge=0, le=100_000)
    """Test frames from devices that no other part has seen."""
    frames_per_case: int = Field(default=2, ge=1, le=100)
    """Moments of the cardiac cycle taken from each synthetic fetus."""
    prevalence: float | None = Field(default=None, ge=0.0, le=0.5)
    """Share of each condition among the frames that can show it, test parts apart; empty for the published ones."""
    seed: int = Field(default=2026, ge=0)
    """Same seed, same bytes."""
    image_size: int = Field(default=512, ge=64, le=2048)
    """Side of the square frames in pixels."""


class DataConfig(Block):
    """Which frames are used for what."""

    folder: Path = Field(default=Path("dataset"), json_schema_extra=COMMON)
    """Folder of the data set in FETUS layout: images, labels and lists."""
    unlabelled: tuple[Path, ...] = Field(default=(), json_schema_extra=COMMON)
    """More folders of unlabelled images or clips; any file that FetalEcho opens."""
    unlabelled_view: ViewName | None = None
    """View of unlabelled files that state none and lie in no folder named 4CH, LVOT, RVOT or 3VT."""
    frames_per_clip: int = Field(default=8, ge=1, le=1000)
    """Frames taken from each unlabelled clip, evenly spaced."""
    validation_share: float = Field(default=0.2, ge=0.05, le=0.5)
    """Share of the labelled frames held out when there is no valid.json; whole patients, stratified."""
    calibration_share: float = Field(default=0.5, ge=0.0, le=0.9)
    """Share of the held-out frames that thresholds are fitted on, when there is no calibration.json."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of these splits; the seed of a run does not change them, so that runs can be compared."""
    tests: dict[str, str] = Field(default={"same devices": "test_same.json", "new devices": "test_new.json"})
    """Lists to measure the finished model on, by the name of the part; lists that are not there are left out."""
    phantom: PhantomConfig | None = None
    """Make this synthetic data set when the folder holds none."""


class NetworkConfig(Block):
    """The network and where its weights come from."""

    size: Literal["full", "tiny"] = Field(default="full", json_schema_extra=COMMON)
    """EchoCare at full size (175 million parameters), or the tiny one that trains on a CPU."""
    image_size: int = Field(default=256, ge=64, le=1024, multiple_of=32)
    """Side of the square image the network sees, in pixels."""
    initial: str = Field(default="", json_schema_extra=COMMON)
    """Bundle (name or folder) or checkpoint file to start from; empty for random weights."""
    encoder: Literal["auto", "adapters", "all"] = "auto"
    """What of the encoder is trained: its low-rank adapters alone, or all; auto: adapters where weights are given."""
    lora_rank: int | None = Field(default=None, ge=0, le=256)
    """Rank of the adapters; empty for that of the size."""
    decoder_features: int | None = Field(default=None, ge=1, le=256)
    """Channels of the decoder at full resolution; empty for those of the size."""
    activation_checkpointing: bool = False
    """Compute encoder activations twice instead of keeping them: less memory, a fifth more time."""

    def echocare(self) -> EchoCareConfig:
        """Sizes of the network."""
        changes = {"lora_rank": self.lora_rank, "decoder_features": self.decoder_features}
        given = {name: value for name, value in changes.items() if value is not None}
        make = EchoCareConfig.tiny if self.size == "tiny" else EchoCareConfig.full
        return make(image_size=self.image_size, **given)


class AugmentationConfig(Block):
    """How far frames are varied. Never a flip or a quarter turn: laterality is the diagnosis of a right aortic arch."""

    strength: float = Field(default=1.0, ge=0.0, le=2.0)
    """Factor on all amounts below; 0 switches augmentation off."""
    rotation: float = Field(default=15.0, ge=0.0, le=40.0)
    """Turns in degrees, either way."""
    zoom: float = Field(default=0.15, ge=0.0, le=0.5)
    """Change of size, share of it."""
    shift: float = Field(default=0.05, ge=0.0, le=0.3)
    """Shifts, share of the image."""
    gain: float = Field(default=4.0, ge=0.0, le=20.0)
    """Overall gain in dB, either way."""
    tgc: float = Field(default=5.0, ge=0.0, le=20.0)
    """Depth-dependent gain in dB, either way at each of several depths."""
    contrast: float = Field(default=0.35, ge=0.0, le=0.9)
    """Change of the grey map's exponent (dynamic range), share of it."""
    speckle: float = Field(default=0.25, ge=0.0, le=1.0)
    """Standard deviation of multiplicative speckle."""
    blur: float = Field(default=1.2, ge=0.0, le=5.0)
    """Largest standard deviation of blurring, in pixels at 256 pixels."""
    shadow: float = Field(default=0.3, ge=0.0, le=1.0)
    """Chance of an acoustic shadow along a beam."""
    depth_crop: float = Field(default=0.3, ge=0.0, le=1.0)
    """Chance that near or far field, or a side of the sector, is cut off."""
    jpeg: float = Field(default=0.3, ge=0.0, le=1.0)
    """Chance of JPEG compression."""


class EmaConfig(Block):
    """Stage 1: segmentation and classification, with pseudo-labels from a teacher."""

    epochs: int = Field(default=100, ge=0, le=10_000, json_schema_extra=COMMON)
    """Passes over the data; 0 leaves the network of network.initial as it is, for fine-tuning alone."""
    steps_per_epoch: int | None = Field(default=None, ge=1, le=1_000_000)
    """Steps of an epoch; empty for once through the larger of the labelled and the unlabelled part."""
    labelled_batch: int = Field(default=8, ge=1, le=1024, json_schema_extra=COMMON)
    """Labelled frames a step."""
    unlabelled_batch: int = Field(default=8, ge=1, le=1024, json_schema_extra=COMMON)
    """Unlabelled frames a step, each seen once weakly and twice strongly augmented."""
    accumulation: int = Field(default=1, ge=1, le=256)
    """Batches added up before the weights move: the effect of larger ones in the memory of one."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW, made for weights that know something already; muon learns faster from random ones."""
    matrix_rate: float = Field(default=4.0, gt=0.0, le=100.0)
    """Muon's learning rate for weight matrices and kernels, in learning rates of everything else."""
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0, json_schema_extra=COMMON)
    """Of decoder and heads."""
    encoder_learning_rate: float = Field(default=1e-4, ge=0.0, le=1.0)
    """Of the encoder or its adapters."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of the learning rate by which weights shrink in a step."""
    warm_up_epochs: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Epochs in which the learning rate rises from zero."""
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    """How it falls afterwards; poly has the exponent 0.9."""
    gradient_clip: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Largest norm of the gradient; 0 for any."""
    teacher: Literal["ema", "student"] = "ema"
    """Who makes pseudo-labels: the moving average of the student, or the student itself as in UniMatch."""
    decay: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Of the moving average; min(decay, 1 - 1/(step + 1)) while it is young."""
    unlabelled: bool = True
    """Learn from unlabelled frames; without, this is supervised training."""
    unlabelled_weight: float = Field(default=1.0, ge=0.0, le=100.0)
    """Of the loss on pseudo-labels, after the ramp-up."""
    ramp_up_epochs: float = Field(default=10.0, ge=0.0, le=1000.0)
    """Epochs in which that weight rises, as a Gaussian."""
    confidence: float = Field(default=0.9, ge=0.0, le=1.0, json_schema_extra=COMMON)
    """Pseudo-label pixels below this probability do not count."""
    confidence_by_class: bool = False
    """Lower that for structures that the teacher is less sure of than of background; for training from nothing."""
    condition_confidence: float = Field(default=0.8, ge=0.5, le=1.0)
    """Likewise for pseudo-labels of conditions, on either side."""
    dice_weight: float = Field(default=1.0, ge=0.0, le=100.0)
    """Of the Dice loss beside cross-entropy."""
    boundary_weight: float = Field(default=0.0, ge=0.0, le=100.0)
    """Of the boundary term."""
    condition_weight: float = Field(default=0.3, ge=0.0, le=100.0)
    """Of the conditions' loss."""
    view_weight: float = Field(default=0.2, ge=0.0, le=100.0)
    """Of the view head's loss."""
    positive_weight_limit: float = Field(default=10.0, ge=1.0, le=1000.0)
    """Largest weight of a rare condition's positives (negatives over positives otherwise)."""
    cutmix: float = Field(default=0.5, ge=0.0, le=1.0)
    """Chance that a strong frame gets a rectangle of another frame of the same view."""
    feature_dropout: float = Field(default=0.0, ge=0.0, le=0.9)
    """Channels of the features dropped for one more weak prediction, as in UniMatch (0.5); 0 for none."""
    patience: int = Field(default=0, ge=0, le=10_000)
    """Epochs without a better validation score after which the stage ends; 0 for never."""
    validate_every: int = Field(default=1, ge=1, le=1000)
    """Epochs between validations."""


class SemanticFilterConfig(Block):
    """DINOv3 filter of stage 1: pseudo-label pixels count by the agreement of their feature with their class."""

    enabled: bool = True
    """Weight pseudo-labels; never changes one."""
    model: str = Field(default="", json_schema_extra=COMMON)
    """DINOv3 folder, or a hub name that was downloaded; empty for the teacher's own encoder features."""
    start_epoch: int = Field(default=1, ge=0, le=10_000)
    """First epoch with weights."""
    every: int = Field(default=5, ge=1, le=10_000)
    """Epochs between new prototypes where the features change, that is with the teacher's own."""
    prototypes: int = Field(default=4, ge=1, le=64)
    """Prototypes of each structure in each view."""
    temperature: float = Field(default=0.1, gt=0.0, le=10.0)
    """Of the softmax over cosine similarities."""
    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    """Smallest weight of a pixel."""
    image_size: int = Field(default=512, ge=64, le=2048, multiple_of=16)
    """Side of the image that features are computed from, in pixels."""


class BoundaryConfig(Block):
    """SAM-Med2D refinement of pseudo-masks, between epochs."""

    enabled: bool = True
    """Refine pseudo-masks where a model for it is given."""
    model: str = Field(default="", json_schema_extra=COMMON)
    """Bundle that answers clicks (name or folder)."""
    start_epoch: int = Field(default=10, ge=0, le=10_000)
    """First epoch with refined masks: the teacher must know something before."""
    every: int = Field(default=10, ge=1, le=10_000)
    """Epochs between refinements."""
    iou: float = Field(default=0.7, ge=0.0, le=1.0)
    """A refined mask is taken if it overlaps the coarse one by this much,"""
    predicted_iou: float = Field(default=0.8, ge=0.0, le=1.0)
    """if the model predicts at least this overlap with the truth,"""
    stability: float = Field(default=0.85, ge=0.0, le=1.0)
    """if its outline is this stable,"""
    smallest_ratio: float = Field(default=0.7, gt=0.0, le=1.0)
    """and if its area is at least this times the coarse one's"""
    largest_ratio: float = Field(default=1.4, ge=1.0, le=100.0)
    """and at most this times."""
    rim: int = Field(default=3, ge=0, le=50)
    """Pixels around the outline of a rejected mask that do not count, in an image of 256 pixels."""


class FineTuningConfig(Block):
    """Stage 2: the condition head anew, on a segmentation that no longer changes."""

    enabled: bool = True
    """Run this stage."""
    epochs: int = Field(default=100, ge=1, le=10_000, json_schema_extra=COMMON)
    """Passes over the labelled frames."""
    batch: int = Field(default=64, ge=1, le=4096)
    """Frames a step."""
    learning_rate: float = Field(default=2e-4, gt=0.0, le=1.0)
    """Of the head, with a cosine after the warm-up."""
    warm_up_epochs: float = Field(default=10.0, ge=0.0, le=1000.0)
    """Epochs in which it rises from zero."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    """Of AdamW."""
    positive_focus: float = Field(default=0.0, ge=0.0, le=10.0)
    """Exponent of the asymmetric loss for positives."""
    negative_focus: float = Field(default=4.0, ge=0.0, le=10.0)
    """Exponent for negatives."""
    negative_margin: float = Field(default=0.05, ge=0.0, le=0.5)
    """Probability below which a negative costs nothing."""
    mixup: float = Field(default=0.3, ge=0.0, le=10.0)
    """Beta parameter of MixUp between frames of the same view; 0 for none."""
    self_teaching_from: int = Field(default=30, ge=0, le=10_000)
    """First epoch in which confident predictions on unlabelled frames are learned from."""
    self_teaching_confidence: float = Field(default=0.7, ge=0.5, le=1.0)
    """How sure such a prediction must be, on either side."""
    self_teaching_weight: float = Field(default=0.5, ge=0.0, le=100.0)
    """Of the loss on them; 0 for none."""
    balanced: bool = True
    """Draw frames by view, condition and its presence, so that no condition is rare; else each frame once."""
    head: Literal["plain", "anatomy", "combined"] = "plain"
    """What the head sees: the pooled bottleneck, areas of the masks and their ratios, or both with finer levels."""
    views_per_frame: int = Field(default=4, ge=1, le=64)
    """Augmented versions of each frame whose features are kept, the frame itself included."""


class CalibrationConfig(Block):
    """From the network's scores to probabilities and decisions."""

    method: Literal["platt", "none"] = "platt"
    """How probabilities are fitted to the held-out part."""
    resamples: int = Field(default=200, ge=20, le=10_000)
    """Bootstrap resamples of intervals and of the abstain band."""
    band: float = Field(default=0.8, ge=0.1, le=0.99)
    """Share of the resamples whose threshold lies in the abstain band."""


class RunConfig(Block):
    """How the run is carried out."""

    folder: Path = Path("runs")
    """Folder that gets a folder for each run."""
    device: str = Field(default="auto", json_schema_extra=COMMON)
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of activations; weights and losses stay fp32."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of one process for computing; empty for all cores."""
    loader_threads: int = Field(default=2, ge=0, le=256)
    """Threads that prepare batches; 0 to prepare them in between."""
    prefetch: int = Field(default=4, ge=1, le=1024)
    """Batches prepared ahead."""
    unreadable_share: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share of an epoch's frames that may turn out unreadable and be replaced before the run stops."""
    checkpoint_steps: int = Field(default=200, ge=1, le=1_000_000)
    """Steps between checkpoints; there is one at the end of every epoch, too."""
    checkpoints: int = Field(default=2, ge=1, le=1000)
    """Checkpoints kept, the best weights not counted."""
    roll_backs: int = Field(default=3, ge=0, le=100)
    """How often a run returns to its last checkpoint because a loss was not finite, before it stops."""
    samples: int = Field(default=4, ge=0, le=64)
    """Validation frames drawn with truth, teacher and student after each validation."""
    tensorboard: bool = True
    """Write curves for TensorBoard where it is installed."""


class TrainConfig(Block):
    """A whole run. The arm decides the switches of ``ARMS`` in the blocks; a file that contradicts it is refused."""

    name: str = Field(default="fetalecho", pattern=NAME_PATTERN, json_schema_extra=COMMON)
    """Name of the run and of the model that it makes."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1, json_schema_extra=COMMON)
    """Seed of weights, order and augmentation."""
    arm: Arm = Field(default="full", json_schema_extra=COMMON)
    """The whole method, or a control without a part of it."""
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    ema: EmaConfig = EmaConfig()
    semantic_filter: SemanticFilterConfig = SemanticFilterConfig()
    boundary: BoundaryConfig = BoundaryConfig()
    fine_tuning: FineTuningConfig = FineTuningConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        try:
            self.network.echocare()
        except ValueError as error:
            raise ValueError(f"network: {error}") from None
        if not self.ema.epochs and not self.network.initial:
            raise ValueError("ema.epochs is 0, but there is no network to fine-tune: name one in network.initial")
        return self

    def changed(self, changes: Mapping[str, Any]) -> TrainConfig:
        """A copy with fields replaced by their dotted names ("ema.epochs"); raises InvalidConfig as a file does."""
        table = self.model_dump(mode="json")
        if "arm" in changes:
            _drop_switches(table)
        for name, value in changes.items():
            *blocks, field = name.split(".")
            part = table
            for block in blocks:
                part = part.setdefault(block, {})
            part[field] = value
        return parse_config(table, "the configuration")

    def to_yaml(self) -> str:
        """The text of a configuration file that says everything."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


_STAGE_1: dict[str, Any] = {
    "ema.unlabelled": True,
    "ema.teacher": "ema",
    "ema.feature_dropout": 0.0,
    "semantic_filter.enabled": False,
    "boundary.enabled": False,
    "fine_tuning.enabled": False,
}
_FULL = _STAGE_1 | {"semantic_filter.enabled": True, "boundary.enabled": True, "fine_tuning.enabled": True}

# What each arm sets. The first six are the steps from nothing to the whole method, "unimatch" is the outside reference
# (no teacher of its own, one stage), and the rest take one part out of the whole.
ARMS: dict[str, dict[str, Any]] = {
    "labelled-only": _STAGE_1 | {"ema.unlabelled": False},
    "ema": _STAGE_1,
    "ema-dino": _STAGE_1 | {"semantic_filter.enabled": True},
    "ema-sam": _STAGE_1 | {"boundary.enabled": True},
    "full": _FULL,
    "full-no-cft": _FULL | {"fine_tuning.enabled": False},
    "unimatch": _STAGE_1 | {"ema.teacher": "student", "ema.feature_dropout": 0.5},
    "no-ema": _FULL | {"ema.teacher": "student"},
    "no-dino": _FULL | {"semantic_filter.enabled": False},
    "no-sam": _FULL | {"boundary.enabled": False},
    "no-cft": _FULL | {"fine_tuning.enabled": False},
}
assert set(ARMS) == set(get_args(Arm))
assert set(PRECISIONS) < set(get_args(RunConfig.model_fields["precision"].annotation))

_FILES_OR_NAMES = (("network", "initial"), ("semantic_filter", "model"), ("boundary", "model"))


# Reading -------------------------------------------------------------------------------------------------------------


def load_config(path: Path | str, arm: str | None = None, seed: int | None = None) -> TrainConfig:
    """The configuration in a YAML file, checked and with its arm applied.

    path  file, or the name of one that ships with FetalEcho ("demo", "fetus2026")
    arm   one of ``ARMS``, in place of the file's
    seed  in place of the file's
    Relative paths in it are taken from the current folder. Raises InvalidConfig, one sentence.
    """
    path = _find(Path(path))
    table = _read_table(path)
    if arm is not None:
        _drop_switches(table)
        table["arm"] = arm
    if seed is not None:
        table["seed"] = seed
    return parse_config(table, str(path))


def config_from_text(text: str, where: str = "the configuration") -> TrainConfig:
    """The configuration in a YAML text; ``where`` names it in messages. Raises InvalidConfig, one sentence."""
    return parse_config(_table_of(text, where), where)


def parse_config(table: Mapping[str, Any], where: str) -> TrainConfig:
    """The configuration in a table as YAML gives it; ``where`` names its file in messages. Raises InvalidConfig."""
    try:
        # As JSON, because only there strictness (true is no number) goes with lists for tuples and texts for paths.
        config = TrainConfig.model_validate_json(json.dumps(table, default=str), strict=True)
        switched = config.model_dump(mode="json")
        for name, value in ARMS[config.arm].items():
            block, field = name.split(".")
            part = getattr(config, block)
            if field in part.model_fields_set and getattr(part, field) != value:
                raise InvalidConfig(
                    f"{where}: {name} is {_shown(getattr(part, field))}, but arm '{config.arm}' sets it to"
                    f" {_shown(value)}: leave {name} out, or choose another arm ({', '.join(ARMS)})."
                )
            switched[block][field] = value
        switched["data"]["folder"] = _absolute(config.data.folder)
        switched["data"]["unlabelled"] = [_absolute(folder) for folder in config.data.unlabelled]
        switched["run"]["folder"] = _absolute(config.run.folder)
        for block, field in _FILES_OR_NAMES:
            # A name of a bundle stays a name; a path must hold wherever the run is resumed.
            if (given := Path(switched[block][field])) != Path() and given.exists():
                switched[block][field] = _absolute(given)
        return TrainConfig.model_validate_json(json.dumps(switched), strict=True)
    except ValidationError as error:
        raise InvalidConfig(f"{where}: {_sentence(error)}") from None
    except (RecursionError, ValueError, TypeError) as error:
        raise InvalidConfig(f"{where}: this cannot be a configuration ({str(error).splitlines()[0]}).") from None


def parse_value(text: str) -> tuple[str, Any]:
    """("ema.epochs", 5) from "ema.epochs=5", the value read as YAML; raises InvalidConfig."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise InvalidConfig(f"'{text}' names no value: write KEY=VALUE, such as ema.epochs=5.")
    try:
        return name.strip(), yaml.load(value, _Loader)
    except yaml.YAMLError:
        raise InvalidConfig(f"'{text}': its value is not readable as YAML.") from None


def _drop_switches(table: dict[str, Any]) -> None:
    """Forget what an earlier arm set, so that another one may set it otherwise."""
    for name in {name for switches in ARMS.values() for name in switches}:
        block, field = name.split(".")
        if isinstance(table.get(block), dict):
            table[block].pop(field, None)


def shipped_configs() -> dict[str, Path]:
    """Configurations that ship with FetalEcho, by name."""
    folders = [folder / "Configs" for folder in reversed(resource_folders())]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def field_names(block: type[BaseModel] = TrainConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of the configuration by its dotted name, blocks not counted, in the order of the file."""
    for name, field in block.model_fields.items():
        inner = _block_of(field)
        if inner is None:
            yield prefix + name, field
        else:
            yield from field_names(inner, f"{prefix}{name}.")


def _block_of(field: FieldInfo) -> type[BaseModel] | None:
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _absolute(path: Path) -> str:
    try:
        return str(path.expanduser().absolute())
    except RuntimeError:  # "~" without a home
        return str(path.absolute())


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    shipped = shipped_configs()
    if path.name == str(path) and path.stem in shipped and path.suffix in ("", ".yaml"):
        return shipped[path.stem]
    if path.is_dir():
        raise InvalidConfig(f"{path} is a folder: name a YAML file, or one of {', '.join(shipped)}.")
    raise InvalidConfig(f"{path}: there is no such file; name a YAML file, or one of {', '.join(shipped)}.")


def _read_table(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidConfig(f"{path}: this is too large for a configuration; name a YAML file.")
        return _table_of(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: this is not readable as YAML ({error}).") from None


def _table_of(text: str, where: str) -> dict[str, Any]:
    try:
        table = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise InvalidConfig(f"{where}{line}: this is not readable as YAML ({problem}).") from None
    if table is None:
        return {}
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise InvalidConfig(f"{where}: a configuration is a table of names and values, such as 'seed: 1'.")
    return table


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number, as everybody means it, and a key that comes twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse what PyYAML resolves silently: the last of two equal keys."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key}' comes twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


# Messages ------------------------------------------------------------------------------------------------------------

_KINDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "tuple": "a list",
    "dict": "a table", "model": "a table",
}  # fmt: skip


def _sentence(error: ValidationError) -> str:
    """What is wrong with one key, its value, what may stand there, and the nearest key where there is none."""
    problems = error.errors()
    # An unknown key is mostly the misspelt one that another complaint misses.
    first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(name)
    if first["type"] == "value_error" or not name:
        return f"{first['msg'].removeprefix('Value error, ').rstrip('.')}."
    return f"{name} is {_shown(first['input'])}, but must be {_expected(name, first)}."


def _unknown(wanted: str) -> str:
    keys = [name for name, _ in field_names()] + [n for n, f in TrainConfig.model_fields.items() if _block_of(f)]
    block, _, last = wanted.rpartition(".")
    near = difflib.get_close_matches(wanted, [key for key in keys if key.rpartition(".")[0] == block], 1, 0.6)
    if not near:  # a key in the wrong block
        by_last = {key.rpartition(".")[2]: key for key in reversed(keys)}
        near = [by_last[name] for name in difflib.get_close_matches(last, by_last, 1, 0.75)]
    return (
        f"there is no '{wanted}'; the nearest key is '{(near or difflib.get_close_matches(wanted, keys, 1, 0.0))[0]}'."
    )


def _expected(name: str, problem: Any) -> str:
    field = dict(field_names()).get(name)
    choices = [c for kind in _members(field) for c in get_args(kind) if isinstance(c, str)]
    if choices:
        near = difflib.get_close_matches(str(problem["input"]), choices, 1, 0.5)
        hint = f" (the nearest is {near[0]})" if near else ""
        return f"one of {', '.join(choices)}{hint}"
    kind = problem["type"].partition("_")[0]
    names = [k.__name__ for k in _members(field) if isinstance(k, type) and k.__name__ in ("int", "float", "bool")]
    text = _KINDS.get(names[0] if names else kind, problem["msg"][:1].lower() + problem["msg"][1:])
    return f"{text}{_range(field)}"


def _members(field: FieldInfo | None) -> tuple[Any, ...]:
    return () if field is None else (field.annotation, *get_args(field.annotation))


def _range(field: FieldInfo | None) -> str:
    limits = {k: getattr(m, k) for m in (field.metadata if field else ()) for k in _WORDS if hasattr(m, k)}
    parts = [f"{words} {limits[k]:.10g}" for k, words in _WORDS.items() if k in limits]
    if any(getattr(m, "pattern", None) for m in (field.metadata if field else ())):
        return " of letters, digits, '.', '_' and '-' that starts with a letter or digit"
    return f" {' and '.join(parts)}" if parts else ""


_WORDS = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
