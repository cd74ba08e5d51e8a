"""The FETUS 2026 file layout: images, labels, predictions and lists as the public data and tools have them.

    images/N.h5          image (H, W, 3) uint8 RGB, view (1,) int32: 1 4CH, 2 LVOT, 3 RVOT, 4 3VT
    labels/N_label.h5    mask (H, W) uint8 0..14, label (7,) uint8 0/1
    predictions/N.h5     mask (H, W) uint8, label (7,) uint8
    train_labeled.json, train_unlabeled.json, valid.json
                         [{"image": path, "label": path or null, "view_id": 1..4}, ...]

Ours beside them: ``calibration.json``, labelled frames that thresholds are fitted on, and ``truth/N_label.h5``, what is
known of the unlabelled frames of a phantom: no training reads it, and only the log of its pseudo-labels' precision may.

The challenge's images are 512 x 512; any size is accepted here. What is known beyond the layout travels in HDF5
attributes of the file, which other readers ignore. The names used across this project are

    spacing_mm (2,) row and column · time_s · frame_index · source · patient_group · drawn_by · model

Same content, same bytes: files carry no time stamps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .anatomy import N_CONDITIONS, N_LABELS, View
from .errors import InvalidDataset, UnwritableOutput
from .output_files import write_bytes, write_text

IMAGES = "images"
LABELS = "labels"
TRAIN_LABELED = "train_labeled.json"
TRAIN_UNLABELED = "train_unlabeled.json"
VALID = "valid.json"
CALIBRATION = "calibration.json"
TRUTH = "truth"

# A damaged header can announce any shape; nothing of this kind is larger than an 8000 x 8000 frame.
_MAX_PIXELS = 1 << 27
# What h5py raises for damaged files depends on which structure is hit.
_HDF5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)

AttributeValue = str | int | float | bool | np.ndarray


@dataclass(frozen=True)
class FetusImage:
    """One frame: ``image`` (H, W, 3) uint8 RGB, its view, and the file's attributes."""

    image: np.ndarray
    view: View
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FetusLabel:
    """One answer, drawn or predicted: ``mask`` (H, W) uint8 0..14 and ``label`` (7,) uint8 0/1."""

    mask: np.ndarray
    label: np.ndarray
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ListEntry:
    """One line of a list: the image, its label file or None, and the view."""

    image: Path
    label: Path | None
    view: View


def image_path(dataset: Path | str, name: str) -> Path:
    """File of image ``name`` ("17") in a dataset folder."""
    return Path(dataset) / IMAGES / f"{name}.h5"


def label_path(dataset: Path | str, name: str) -> Path:
    """File of the label of image ``name`` ("17") in a dataset folder."""
    return Path(dataset) / LABELS / f"{name}_label.h5"


def truth_path(image: Path) -> Path:
    """File of what is known of an unlabelled phantom image; no such file for any other."""
    return image.parent.parent / TRUTH / f"{image.stem}_label.h5"


# Reading -------------------------------------------------------------------------------------------------------------


def read_image(path: Path | str) -> FetusImage:
    """Read ``images/N.h5``; raises InvalidDataset with the file, what was expected and what was found."""
    with _Reader(path) as reader:
        image = reader.array("image", "an (H, W, 3) uint8 RGB image")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
            raise reader.complaint("image", "(H, W, 3) uint8", image)
        return FetusImage(image, reader.view(), reader.attributes())


def read_view(path: Path | str) -> View:
    """View of ``images/N.h5`` without reading its pixels; raises InvalidDataset."""
    with _Reader(path) as reader:
        return reader.view()


def read_label(path: Path | str) -> FetusLabel:
    """Read ``labels/N_label.h5``; raises InvalidDataset with the file, what was expected and what was found."""
    with _Reader(path) as reader:
        label = reader.array("label", "seven condition labels")
        if label.shape != (N_CONDITIONS,) or label.dtype.kind not in "biu":
            raise reader.complaint("label", f"({N_CONDITIONS},) uint8", label)
        if not np.isin(label, (0, 1)).all():
            raise InvalidDataset(f"{reader.path}: 'label' must hold 0 or 1 only, it holds {label.tolist()}.")
        return FetusLabel(reader.mask(), label.astype(np.uint8), reader.attributes())


def read_prediction(path: Path | str) -> FetusLabel:
    """Read a prediction ``N.h5``; condition values are cut at > 0.5, as the official evaluator does.

    Raises InvalidDataset with the file, what was expected and what was found.
    """
    with _Reader(path) as reader:
        label = reader.array("label", "seven condition labels")
        if label.shape != (N_CONDITIONS,) or label.dtype.kind not in "biuf":
            raise reader.complaint("label", f"({N_CONDITIONS},) numbers", label)
        if label.dtype.kind == "f" and not np.isfinite(label).all():
            raise InvalidDataset(f"{reader.path}: 'label' holds values that are not numbers (NaN or infinite).")
        return FetusLabel(reader.mask(), (label > 0.5).astype(np.uint8), reader.attributes())


def read_list(path: Path | str) -> list[ListEntry]:
    """Read a JSON list; raises InvalidDataset.

    A relative path is taken from the list's own folder. The official tool writes absolute paths: when a data set
    has moved since, the file of that name beside the list (``images/``, ``labels/``) is used instead.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidDataset(f"{path}: there is no such list.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidDataset(f"{path}: this is not a readable JSON list ({error}).") from error
    if not isinstance(raw, list):
        raise InvalidDataset(f"{path}: a list of images is expected, the file holds a {type(raw).__name__}.")
    return [_entry(path, number, item) for number, item in enumerate(raw, start=1)]


def _entry(path: Path, number: int, item: object) -> ListEntry:
    where = f"{path}, entry {number}"
    if not isinstance(item, dict) or not isinstance(item.get("image"), str):
        raise InvalidDataset(f'{where}: an object with "image", "label" and "view_id" is expected.')
    image = _locate(path.parent, item["image"], IMAGES)
    label = item.get("label")
    if label is not None and not isinstance(label, str):
        raise InvalidDataset(f'{where}: "label" must be a path or null.')
    view = item.get("view_id")
    # Some lists leave the view to the image file; the official inference tool accepts that.
    found = read_view(image) if view is None else _as_view(view, where)
    return ListEntry(image, None if label is None else _locate(path.parent, label, LABELS), found)


def _locate(folder: Path, text: str, kind: str) -> Path:
    stated = folder / text  # an absolute text replaces the folder
    beside = folder / kind / re.split(r"[/\\]", text)[-1]
    return beside if not stated.exists() and beside.exists() else stated


def _as_view(value: object, where: object) -> View:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or int(value) not in set(View):
        choices = ", ".join(f"{int(v)} {v.short}" for v in View)
        raise InvalidDataset(f"{where}: the view must be one of {choices}; it is {value!r}.")
    return View(int(value))


class _Reader:
    """One open HDF5 file whose every failure becomes one sentence."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __enter__(self) -> _Reader:
        import h5py

        if not self.path.is_file():
            raise InvalidDataset(f"{self.path}: there is no such file.")
        try:
            self._file = h5py.File(self.path, "r")
        except _HDF5_ERRORS as error:
            raise InvalidDataset(
                f"{self.path}: this is not a complete HDF5 file (empty, truncated or of another kind); copy it again."
            ) from error
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()

    def array(self, key: str, meaning: str) -> np.ndarray:
        import h5py

        try:
            if not isinstance(self._file.get(key, getlink=True), h5py.HardLink):
                keys = ", ".join(sorted(self._file)) or "none"
                raise InvalidDataset(f"{self.path}: '{key}' ({meaning}) is missing; the file's keys: {keys}.")
            dataset = self._file[key]
            # External and virtual storage would read other files of the computer.
            if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
                raise InvalidDataset(f"{self.path}: '{key}' must be an array stored in this file.")
            if dataset.shape is None or dataset.size > 3 * _MAX_PIXELS:
                raise InvalidDataset(f"{self.path}: '{key}' has the impossible shape {dataset.shape}.")
            return np.asarray(dataset[()])
        except _HDF5_ERRORS as error:
            raise InvalidDataset(f"{self.path}: '{key}' cannot be read, the file is damaged; copy it again.") from error

    def complaint(self, key: str, expected: str, found: np.ndarray) -> InvalidDataset:
        return InvalidDataset(f"{self.path}: '{key}' must be {expected}; it is {tuple(found.shape)} {found.dtype}.")

    def view(self) -> View:
        value = self.array("view", "the standard plane, 1 to 4")
        if value.size != 1 or value.dtype.kind not in "iu":
            raise self.complaint("view", "(1,) int32", value)
        return _as_view(value.reshape(-1)[0].item(), f"{self.path}, 'view'")

    def mask(self) -> np.ndarray:
        mask = self.array("mask", "an (H, W) label map")
        if mask.ndim != 2 or 0 in mask.shape or mask.dtype.kind not in "biu":
            raise self.complaint("mask", "(H, W) uint8", mask)
        low, high = int(mask.min()), int(mask.max())
        if low < 0 or high >= N_LABELS:
            raise InvalidDataset(
                f"{self.path}: 'mask' holds label {high if high >= N_LABELS else low}, "
                f"but structures are numbered 1 to {N_LABELS - 1} and background is 0."
            )
        return mask.astype(np.uint8, copy=False)

    def attributes(self) -> dict[str, Any]:
        try:
            return {str(key): _plain(value) for key, value in self._file.attrs.items()}
        except _HDF5_ERRORS as error:
            raise InvalidDataset(f"{self.path}: its attributes cannot be read, the file is damaged.") from error


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.generic):
        return value.item()
    return value


# Writing -------------------------------------------------------------------------------------------------------------


def write_image(
    path: Path | str,
    image: np.ndarray,
    view: View,
    attributes: Mapping[str, AttributeValue] | None = None,
    compress: bool = False,
) -> None:
    """Write ``images/N.h5``: ``image`` (H, W, 3) uint8 RGB or (H, W) uint8 grey, which is repeated to RGB.

    Uncompressed, as the public data, unless ``compress``: reading is then about five times slower.
    Raises InvalidDataset for an array that is not such an image and UnwritableOutput.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = np.repeat(image[..., np.newaxis], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
        raise InvalidDataset(f"{path}: an (H, W, 3) uint8 image is expected, got {image.shape} {image.dtype}.")
    arrays = {"image": image, "view": np.array([int(view)], dtype=np.int32)}
    _write(path, arrays, attributes, {"image"} if compress else set())


def write_label(
    path: Path | str, mask: np.ndarray, label: np.ndarray, attributes: Mapping[str, AttributeValue] | None = None
) -> None:
    """Write ``labels/N_label.h5``: ``mask`` (H, W) integers 0..14, ``label`` (7,) 0/1.

    Raises InvalidDataset for values outside these ranges and UnwritableOutput.
    """
    mask, label = np.asarray(mask), np.asarray(label)
    if mask.ndim != 2 or 0 in mask.shape or mask.dtype.kind not in "biu":
        raise InvalidDataset(f"{path}: an (H, W) integer mask is expected, got {mask.shape} {mask.dtype}.")
    if mask.min() < 0 or mask.max() >= N_LABELS:
        raise InvalidDataset(f"{path}: a mask holds 0 to {N_LABELS - 1}, got {mask.min()} to {mask.max()}.")
    if label.shape != (N_CONDITIONS,) or not np.isin(label, (0, 1)).all():
        raise InvalidDataset(f"{path}: {N_CONDITIONS} condition labels of 0 or 1 are expected, got {label.tolist()}.")
    _write(path, {"mask": mask.astype(np.uint8), "label": label.astype(np.uint8)}, attributes, {"mask"})


def write_prediction(
    path: Path | str, mask: np.ndarray, label: np.ndarray, attributes: Mapping[str, AttributeValue] | None = None
) -> None:
    """Write a prediction ``N.h5`` in the challenge's submission format, {mask uint8, label uint8 0/1}.

    ``label`` (7,) is the decision, not the probability; NaN (a condition the view cannot show) counts as 0.
    Raises InvalidDataset and UnwritableOutput.
    """
    label = np.asarray(label)
    if label.dtype.kind == "f":
        label = np.where(np.isnan(label), 0, label)
    write_label(path, mask, label, attributes)


def write_list(path: Path | str, entries: Iterable[ListEntry], absolute: bool = False) -> None:
    """Write a JSON list; raises UnwritableOutput.

    Paths below the list's folder are written relative to it, so that a data set can be moved and the same data
    give the same bytes; ``absolute`` writes them as the official tools do, which take them from where they run.
    """
    path = Path(path)

    def text(file: Path) -> str:
        file = file.absolute()
        folder = path.parent.absolute()
        return str(file) if absolute or not file.is_relative_to(folder) else file.relative_to(folder).as_posix()

    lines = [
        {"image": text(e.image), "label": None if e.label is None else text(e.label), "view_id": int(e.view)}
        for e in entries
    ]
    write_text(path, json.dumps(lines, indent=4, ensure_ascii=False) + "\n")


def _write(
    path: Path | str,
    arrays: dict[str, np.ndarray],
    attributes: Mapping[str, AttributeValue] | None,
    compressed: set[str],
) -> None:
    import h5py

    # Made in memory and written in one piece: HDF5 reports a full disk late and may not let go of the file.
    try:
        with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
            for key, array in arrays.items():
                options = {"compression": "gzip", "compression_opts": 1} if key in compressed else {}
                file.create_dataset(key, data=array, track_times=False, **options)
            for key, value in sorted((attributes or {}).items()):
                file.attrs[key] = value
            file.flush()
            data = file.id.get_file_image()
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        raise UnwritableOutput(f"Cannot write {path}: its attributes or arrays do not fit HDF5 ({error}).") from error
    write_bytes(path, data)
