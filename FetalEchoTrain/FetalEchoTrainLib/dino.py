"""Frozen DINOv3 features of frames: any DINOv3 model of ``transformers`` from this disk, computed once per frame."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from FetalEchoSegLib.errors import InvalidConfig, MissingDependency
from FetalEchoSegLib.output_files import replacing

from .dataset import read_frame

if TYPE_CHECKING:
    from .dataset import Frame

logger = logging.getLogger(__name__)

MODEL_TYPES = ("dinov3_vit", "dinov3_convnext")
Progress = Callable[[int, int], None]
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, where the model's folder states none
_BATCH = 8


class Dino:
    """A DINOv3 model, frozen.

    name        folder of the model (config.json, model.safetensors), or a hub name that was downloaded before
    image_size  side of the square image that features are computed from, in pixels
    Raises InvalidConfig in one sentence for anything else, MissingDependency without ``transformers``. Opens no network
    connection and no pickle.
    """

    def __init__(self, name: str, image_size: int = 512, device: str | torch.device = "cpu") -> None:
        self._model, folder = _load(name)
        self._model.to(device)
        self._device = torch.device(device)
        self.image_size = image_size
        mean, deviation = _normalisation(folder)
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._deviation = torch.tensor(deviation, device=device).view(1, 3, 1, 1)
        self.identity = f"{_digest(folder)}-{image_size}"

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) float32 features, one for each 16 x 16 pixels, of (B, 1, S, S) images in 0..1."""
        images = images.to(self._device)
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        pixels = (images.expand(-1, 3, -1, -1) - self._mean) / self._deviation
        with torch.no_grad():
            if self._model.config.model_type == "dinov3_convnext":
                # The last stage has a stride of 32, the one before 16 as the ViT's patches.
                found = self._model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
                return found.float()
            tokens = self._model(pixel_values=pixels).last_hidden_state
        patch = self._model.config.patch_size
        height, width = pixels.shape[2] // patch, pixels.shape[3] // patch
        patches = tokens[:, 1 + self._model.config.num_register_tokens :]
        return patches.transpose(1, 2).reshape(len(tokens), -1, height, width).float()


class FeatureCache:
    """Features of frames on disk, by the content of frame and model.

    An entry is written as a whole or not at all; a damaged one is computed again.
    """

    def __init__(self, dino: Dino, folder: Path) -> None:
        self._dino = dino
        self._folder = folder / hashlib.sha256(dino.identity.encode()).hexdigest()[:16]

    def of(self, frames: Sequence[Frame], progress: Progress | None = None) -> Iterator[torch.Tensor]:
        """(C, h, w) float32 of each frame, in order.

        progress  called with (frames done, frames in all); may raise to stop
        """
        for start in range(0, len(frames), _BATCH):
            part = frames[start : start + _BATCH]
            stored = [self._stored(frame) for frame in part]
            missing = [frame for frame, features in zip(part, stored, strict=True) if features is None]
            computed = iter(self._computed(missing))
            for done, features in enumerate(stored, start + 1):
                yield torch.from_numpy(next(computed) if features is None else features).float()
                if progress is not None:
                    progress(done, len(frames))

    def _path(self, frame: Frame) -> Path:
        return self._folder / frame.digest[:2] / f"{frame.digest}.npy"

    def _stored(self, frame: Frame) -> np.ndarray | None:
        path = self._path(frame)
        try:
            features = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged and computed again (%s)", path, error)
            return None
        return features if features.ndim == 3 and features.dtype == np.float16 else None

    def _computed(self, frames: Sequence[Frame]) -> list[np.ndarray]:
        if not frames:
            return []
        images = np.stack([read_frame(frame, self._dino.image_size).image for frame in frames])
        found = self._dino.features(torch.from_numpy(images.astype(np.float32) / 255)[:, None])
        features = list(found.half().cpu().numpy())
        for frame, one in zip(frames, features, strict=True):
            with replacing(self._path(frame)) as temporary, temporary.open("wb") as file:
                np.save(file, one, allow_pickle=False)
        return features


def _load(name: str) -> tuple[Any, Path]:
    """The model in eval mode and the folder that it came from."""
    try:
        from transformers import AutoConfig, AutoModel
        from transformers.utils import cached_file
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise MissingDependency("The DINOv3 filter needs the package transformers: install it.") from error
    transformers_logging.disable_progress_bar()
    advice = "name the folder of a DINOv3 model, or leave semantic_filter.model empty"
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError) as error:
        text = f"holds a model that transformers does not know ({_first_line(error)})"
        if not (Path(name) / "config.json").is_file():
            text = "has no config.json" if Path(name).is_dir() else "is no folder and no model that was downloaded"
        raise InvalidConfig(f"semantic_filter.model: {name} {text}; {advice}.") from error
    if config.model_type not in MODEL_TYPES:
        raise InvalidConfig(f"semantic_filter.model: {name} holds a model of type {config.model_type}; {advice}.")
    try:
        model, report = AutoModel.from_pretrained(
            name, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
        folder = Path(str(cached_file(name, "config.json", local_files_only=True))).parent
    # What a damaged safetensors file raises is a class of its own, which is an Exception and nothing more.
    except Exception as error:
        raise InvalidConfig(
            f"semantic_filter.model: the weights in {name} cannot be read ({_first_line(error)}); download them again."
        ) from error
    if report["missing_keys"] or report.get("mismatched_keys"):
        lacking = len(report["missing_keys"]) + len(report.get("mismatched_keys") or ())
        raise InvalidConfig(
            f"semantic_filter.model: {lacking} tensors of the model in {name} are missing or of another size; {advice}."
        )
    return model.eval().requires_grad_(False), folder


def _normalisation(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of the three channels: satellite models have their own."""
    try:
        table = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        mean, deviation = [float(v) for v in table["image_mean"]], [float(v) for v in table["image_std"]]
    except (OSError, ValueError, KeyError, TypeError):
        return _MEAN, _STD
    return (mean, deviation) if len(mean) == len(deviation) == 3 else (_MEAN, _STD)


def _digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
