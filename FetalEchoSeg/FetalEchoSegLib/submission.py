"""Predictions for a folder of FETUS images in the official submission format: N.h5 with mask and label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import View
from .cine import Cine
from .conditions import decisions
from .errors import InvalidDataset, InvalidRequest
from .fetus_layout import IMAGES, read_image, read_view, write_prediction
from .ordering import natural_order

if TYPE_CHECKING:
    from .segmentation import IsCancelled, Progress, Segmenter


@dataclass(frozen=True)
class FetusFrames:
    """FETUS images of one view and size as a clip's frames, read when asked for."""

    paths: tuple[Path, ...]
    shape: tuple[int, ...]

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 of image ``index``; InvalidDataset when it is damaged or of another size."""
        image = read_image(self.paths[index]).image
        if image.shape != self.shape[1:]:
            raise InvalidDataset(
                f"{self.paths[index]}: all images of a data set must have one size; this one is {image.shape[:2]}, "
                f"others are {self.shape[1:3]}."
            )
        return image


def write_submission(
    segmenter: Segmenter,
    dataset: Path,
    out: Path,
    images: Sequence[Path] | None = None,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
) -> list[Path]:
    """Segment ``images`` of a data set (all of ``dataset``/images if None) and write ``out``/N.h5.

    Returns the files written. The view stored with each image is used, as the challenge allows. A condition is 1 from
    its threshold in the bundle on, and 0 where the view cannot show it. At most 256 images are held at a time.
    Raises InvalidDataset, UnwritableOutput, and InvalidRequest when an image would be overwritten.
    """
    files = list(images) if images is not None else _all_images(dataset)
    if not files:
        raise InvalidDataset(f"{dataset}: there are no .h5 files in its folder '{IMAGES}'.")
    by_view: dict[View, list[Path]] = {}
    for file in files:
        by_view.setdefault(read_view(file), []).append(file)
    _require_apart(files, out)

    written: list[Path] = []
    for view, members in by_view.items():
        for start in range(0, len(members), 256):
            group = tuple(members[start : start + 256])
            shape = (len(group), *read_image(group[0]).image.shape)
            clip = Cine(FetusFrames(group, shape), np.arange(len(group)), "unknown: single images", view=view)
            prediction = segmenter.segment(
                clip, progress=_offset(progress, len(written), len(files)), cancelled=cancelled
            )
            answers = decisions(prediction.condition_probabilities, segmenter.bundle.card.thresholds)
            for row in np.flatnonzero(prediction.done):
                target = out / group[row].name
                write_prediction(target, prediction.labels[row], answers[row], {"model": str(prediction.bundle)})
                written.append(target)
            if not prediction.done.all():
                return written
    return written


def _require_apart(images: Sequence[Path], out: Path) -> None:
    """Refuse what would write a prediction over an image or over another prediction: both are called N.h5."""
    if out.exists() and any(folder.samefile(out) for folder in {image.parent for image in images}):
        raise InvalidRequest(f"{out} holds the images themselves: choose another folder for the predictions.")
    seen: set[str] = set()
    for image in images:
        if image.name in seen:
            raise InvalidDataset(f"{image}: another image of the list is called {image.name} too; rename one of them.")
        seen.add(image.name)


def _all_images(dataset: Path) -> list[Path]:
    if not dataset.is_dir():
        raise InvalidDataset(f"{dataset}: there is no such folder; choose a data set with the folder '{IMAGES}'.")
    return sorted((dataset / IMAGES).glob("*.h5"), key=lambda file: natural_order(file.stem))


def _offset(progress: Progress | None, before: int, total: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, _group: progress(before + done, total)
