"""FETUS 2026 image files: HDF5 with ``image`` (H, W, 3) uint8 RGB and ``view`` (1,) 1 to 4.

Our own exports add attributes (``fetus_layout``): ``spacing_mm`` is used, the others describe the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..anatomy import View
from ..cine import ArraySource, Cine, Origin
from ..errors import UnreadableInput
from .common import MemoryLimit, Opened, checked_spacing, guarded, size_notes

_DESCRIPTIVE = ("source", "drawn_by", "model", "frame_index", "time_s")


def open_fetus(path: Path, limit: MemoryLimit, view: View | None = None, view_required: bool = True) -> Opened:
    """Open a FETUS image file; ``view`` stands in for a view that the file lacks. Raises UnreadableInput.

    Without ``view_required`` a file that names no view is opened all the same.
    """
    import h5py

    with guarded(path, "the HDF5 file"), h5py.File(path, "r") as file:
        image, stored_view = _dataset(file, "image"), _dataset(file, "view")
        if image is None:
            keys = sorted(str(key) for key in file)
            hint = "this is a label file, choose the one in images/" if "mask" in keys else "choose an image file"
            raise UnreadableInput(f"{path}: the key 'image' is missing (it has {', '.join(keys) or 'none'}); {hint}.")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UnreadableInput(
                f"{path}: 'image' must be (H, W, 3) uint8, it is {image.shape} {image.dtype}; write it as 8-bit RGB."
            )
        shape = (1, *image.shape)
        limit.check(path, shape)
        if stored_view is None and view is None and view_required:
            raise UnreadableInput(
                f"{path}: the key 'view' is missing; name the view yourself or let the model find it."
            )
        notes = list(size_notes(shape))
        found = view
        if stored_view is None:
            notes.append("The file does not name a view.")
        else:
            found = _view(stored_view, path)
        spacing, calibration = _spacing(file, notes)
        details = [(name, str(file.attrs[name])) for name in _DESCRIPTIVE if name in file.attrs]
        patient = str(file.attrs.get("patient_group", ""))
        pixels = np.empty(shape, dtype=np.uint8)
        image.read_direct(pixels[0])
    cine = Cine(
        source=ArraySource(pixels),
        times=np.zeros(1),
        timing="still",
        spacing=spacing,
        calibration=calibration,
        view=found,
        origin=Origin(path=path, patient_hash=patient),
        notes=tuple(notes),
    )
    return Opened(cine, "FETUS HDF5 image", tuple(details))


def _dataset(file: Any, key: str) -> Any:
    """An array stored in the file itself: links and external storage would read other files of the computer."""
    import h5py

    if not isinstance(file.get(key, getlink=True), h5py.HardLink):
        return None
    found = file[key]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or found.shape is None:
        return None
    return found


def _view(dataset: Any, path: Path) -> View:
    values = np.asarray(dataset[()]).ravel() if dataset.size == 1 else np.empty(0)
    number = int(values[0]) if values.size and values.dtype.kind in "iu" else None
    if number not in {int(view) for view in View}:
        choices = ", ".join(f"{int(view)} {view.short}" for view in View)
        what = number if number is not None else f"{dataset.shape} {dataset.dtype}"
        raise UnreadableInput(f"{path}: 'view' must be one of {choices}; it is {what}.")
    return View(int(values[0]))


def _spacing(file: Any, notes: list[str]) -> tuple[tuple[float, float] | None, str]:
    stated = file.attrs.get("spacing_mm")
    if stated is None:
        return None, "unknown: the file carries no calibration"
    row_column = np.asarray(stated, dtype=np.float64).ravel()
    problem = checked_spacing(*row_column) if row_column.size == 2 else "the pixel size is not two numbers"
    if problem:
        notes.append(f"The attribute spacing_mm was not used: {problem}.")
        return None, f"unknown: {problem}"
    return (float(row_column[0]), float(row_column[1])), "HDF5 attribute spacing_mm"
