"""Frames of the scene into a data set in the FETUS layout: appended, exported again, undone.

Everything is written beside the data set first and moved into it at the end, so that a cancel, a full disk or an
unreadable frame leaves it as it was. A frame keeps its name: exported again it replaces itself, and what it replaced is
kept in

    exports/0001/manifest.json   frames written, and the lists' entries before
    exports/0001/before/         files that were replaced

by which ``undo`` takes the newest export back. A process killed while files were moved leaves a manifest that says so;
the next export takes that one back first. Nothing else is ever deleted.

No identity is written: clips and patients are hashes (``cine.hash_patient``), names and dates stay where they are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.errors import Cancelled, InvalidDataset, InvalidRequest, UnwritableOutput
from FetalEchoSegLib.fetus_layout import (
    IMAGES,
    LABELS,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    ListEntry,
    image_path,
    label_path,
    read_list,
    write_image,
    write_label,
    write_list,
)
from FetalEchoSegLib.output_files import reason, require_writable, write_text

EXPORTS = "exports"
TEXT_MASKS = "text_masks.json"
_LISTS = (TRAIN_LABELED, TRAIN_UNLABELED)

Box = tuple[int, int, int, int]
Progress = Callable[[int, int, str], None]
Cancelling = Callable[[], bool]


@dataclass(frozen=True)
class ExportFrame:
    """A frame to write.

    clip        hash that tells its clip from others and says nothing about the patient, see ``clip_hash``
    index       of the frame in its clip
    read        gives its pixels, (H, W) or (H, W, 3) uint8; called in the exporting thread
    mask        (H, W) uint8 structure ids, None for an unlabelled frame
    conditions  (7,) uint8, what the heart has
    patient     hash of the patient, "" if unknown: the clip is a group of its own then
    attributes  for the files: spacing_mm, time_s, drawn_by, model
    """

    clip: str
    index: int
    view: View
    read: Callable[[], np.ndarray]
    mask: np.ndarray | None = None
    conditions: np.ndarray = field(default_factory=lambda: np.zeros(7, dtype=np.uint8))
    patient: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its files, without suffix."""
        return f"{self.clip}-{self.index:05d}"


@dataclass(frozen=True)
class Export:
    """What an export did: its number for ``undo``, frames by kind, and how many of them were there before."""

    number: int
    labelled: int
    unlabelled: int
    replaced: int


def clip_hash(uid: str, first_frame: np.ndarray, count: int) -> str:
    """Twelve hexadecimal digits of a clip: of its instance UID, or of first frame and length where there is none."""
    if uid:
        return hashlib.sha256(f"FetalEcho:{uid}".encode()).hexdigest()[:12]
    content = np.ascontiguousarray(first_frame)
    return hashlib.sha256(f"{content.shape} {count}".encode() + content.tobytes()).hexdigest()[:12]


def export_frames(
    dataset: Path | str,
    frames: Sequence[ExportFrame],
    progress: Progress | None = None,
    cancelled: Cancelling | None = None,
) -> Export:
    """Write ``frames`` into ``dataset``, which is made if it is not there.

    Boxes of ``text_masks`` are blacked out. Raises InvalidRequest without frames, InvalidDataset for masks of another
    size than their frame or lists that cannot be read, UnreadableInput, UnwritableOutput and Cancelled: the data set is
    as it was then.
    """
    dataset = Path(dataset)
    if not frames:
        raise InvalidRequest("There is nothing to export: correct or accept a frame, or add a whole clip.")
    if len({frame.name for frame in frames}) < len(frames):
        raise InvalidRequest("The same frame is to be exported twice: leave one of them out.")
    require_writable(dataset)
    _take_back_unfinished(dataset)
    lists = {name: read_list(dataset / name) if (dataset / name).exists() else [] for name in _LISTS}
    boxes = text_masks(dataset)
    new = not dataset.exists()
    try:
        dataset.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=dataset, ignore_cleanup_errors=True) as folder:
            made = Path(folder)
            for done, frame in enumerate(frames):
                if cancelled is not None and cancelled():
                    raise Cancelled("The export was cancelled; the data set is as it was.")
                if progress is not None:
                    progress(done, len(frames), f"Frame {done + 1} of {len(frames)}")
                _write_frame(made, frame, boxes)
            return _move_in(dataset, made, frames, lists)
    except OSError as error:
        raise UnwritableOutput(f"Cannot write to {dataset}: {reason(error)}.") from error
    finally:
        if new:
            with suppress(OSError):  # not empty: it has become a data set
                dataset.rmdir()


def undo(dataset: Path | str) -> Export:
    """Take the newest export back; raises InvalidRequest if there is none, and UnwritableOutput."""
    dataset = Path(dataset)
    manifests = _manifests(dataset)
    if not manifests:
        raise InvalidRequest(f"{dataset} holds no export that could be undone.")
    require_writable(dataset)
    record = _read_manifest(manifests[-1])
    _take_back(dataset, manifests[-1].parent, record)
    return _summary(record)


def exports(dataset: Path | str) -> list[Export]:
    """Exports that ``undo`` could take back one by one, oldest first."""
    return [_summary(_read_manifest(path)) for path in _manifests(Path(dataset))]


def _write_frame(folder: Path, frame: ExportFrame, boxes: Mapping[str, Sequence[Box]]) -> None:
    pixels = np.asarray(frame.read())
    size = pixels.shape[:2]
    if frame.mask is not None and frame.mask.shape != size:
        raise InvalidDataset(
            f"Frame {frame.index + 1} has {size[1]} x {size[0]} pixels and its mask "
            f"{frame.mask.shape[1]} x {frame.mask.shape[0]}: segment the clip again."
        )
    hidden = boxes.get(scanner_key(size), ())
    if hidden:
        pixels = pixels.copy()
        for left, top, right, bottom in hidden:
            pixels[top:bottom, left:right] = 0
    common = {
        **{key: value for key, value in frame.attributes.items() if key in ("spacing_mm", "time_s")},
        "frame_index": frame.index,
        "patient_group": frame.patient or f"clip-{frame.clip}",
        "source": f"clip-{frame.clip}",
    }
    write_image(image_path(folder, frame.name), pixels, frame.view, common)
    if frame.mask is not None:
        drawn = {key: value for key, value in frame.attributes.items() if key in ("drawn_by", "model")}
        write_label(label_path(folder, frame.name), frame.mask, frame.conditions, {**common, **drawn})


def _move_in(dataset: Path, made: Path, frames: Sequence[ExportFrame], lists: Mapping[str, list[ListEntry]]) -> Export:
    """Put the finished files into the data set, its lists last."""
    names = {frame.name for frame in frames}
    files = [path.relative_to(made) for path in sorted(made.glob("*/*.h5"))]
    before = {name: [entry for entry in entries if entry.image.stem in names] for name, entries in lists.items()}
    known = {entry.image.stem for entries in before.values() for entry in entries}
    numbers = [int(path.parent.name) for path in _manifests(dataset)]
    number = max(numbers, default=0) + 1
    kept = dataset / EXPORTS / f"{number:04d}"
    record = {
        "number": number,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "finished": False,
        "labelled": [frame.name for frame in frames if frame.mask is not None],
        "unlabelled": [frame.name for frame in frames if frame.mask is None],
        "replaced": sorted(names & known),
        "files": [file.as_posix() for file in files],
        "entries_before": {
            name: [{"name": e.image.stem, "labelled": e.label is not None, "view": int(e.view)} for e in entries]
            for name, entries in before.items()
        },
    }
    write_text(kept / "manifest.json", json.dumps(record, indent=1) + "\n")
    try:
        for file in files:
            (kept / "before" / file).parent.mkdir(parents=True, exist_ok=True)
            (dataset / file).parent.mkdir(parents=True, exist_ok=True)
            if (dataset / file).exists():
                (dataset / file).replace(kept / "before" / file)
            (made / file).replace(dataset / file)
        for name, labelled in ((TRAIN_LABELED, True), (TRAIN_UNLABELED, False)):
            entries = [entry for entry in lists[name] if entry.image.stem not in names]
            entries += [_entry(dataset, f.name, labelled, f.view) for f in frames if (f.mask is not None) == labelled]
            write_list(dataset / name, entries)
        write_text(kept / "manifest.json", json.dumps({**record, "finished": True}, indent=1) + "\n")
    except (OSError, UnwritableOutput):
        _take_back(dataset, kept, record)
        raise
    return _summary(record)


def _entry(dataset: Path, name: str, labelled: bool, view: View) -> ListEntry:
    return ListEntry(image_path(dataset, name), label_path(dataset, name) if labelled else None, view)


def _take_back(dataset: Path, kept: Path, record: Mapping[str, Any]) -> None:
    """Remove what an export wrote and put back what it replaced; may be repeated."""
    names = {*record["labelled"], *record["unlabelled"]}
    try:
        for text in record["files"]:
            file, original = dataset / text, kept / "before" / text
            if original.exists():
                original.replace(file)
            elif not _was_there(record, text):
                file.unlink(missing_ok=True)
        for name in _LISTS:
            entries = read_list(dataset / name) if (dataset / name).exists() else []
            entries = [entry for entry in entries if entry.image.stem not in names]
            entries += [
                _entry(dataset, e["name"], e["labelled"], View(e["view"])) for e in record["entries_before"][name]
            ]
            write_list(dataset / name, entries)
        shutil.rmtree(kept)
        with suppress(OSError):  # others are there
            kept.parent.rmdir()
    except OSError as error:
        raise UnwritableOutput(f"Cannot write to {dataset}: {reason(error)}.") from error


def _was_there(record: Mapping[str, Any], text: str) -> bool:
    """Whether a file was in the data set before: the image of a replaced frame, the label of a labelled one."""
    path = Path(text)
    name = path.stem.removesuffix("_label") if path.parent.name == LABELS else path.stem
    entries = [e for part in record["entries_before"].values() for e in part if e["name"] == name]
    return any(path.parent.name == IMAGES or e["labelled"] for e in entries)


def _take_back_unfinished(dataset: Path) -> None:
    for path in reversed(_manifests(dataset)):
        record = _read_manifest(path)
        if not record["finished"]:
            _take_back(dataset, path.parent, record)


def _manifests(dataset: Path) -> list[Path]:
    return sorted((dataset / EXPORTS).glob("[0-9]*/manifest.json"))


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _summary(record)
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidDataset(f"{path}: this is no readable manifest of an export; move its folder away.") from error


def _summary(record: Mapping[str, Any]) -> Export:
    return Export(int(record["number"]), len(record["labelled"]), len(record["unlabelled"]), len(record["replaced"]))


# Burnt-in text -------------------------------------------------------------------------------------------------------


def scanner_key(size: Sequence[int]) -> str:
    """What text masks are kept by, "1024x768": a scanner writes its text at the same places of frames of one size."""
    return f"{size[1]}x{size[0]}"


def text_masks(dataset: Path | str) -> dict[str, list[Box]]:
    """Boxes (left, top, right, bottom) in pixels that are blacked out, by ``scanner_key``; raises InvalidDataset."""
    path = Path(dataset) / TEXT_MASKS
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): [_box(box) for box in boxes] for key, boxes in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidDataset(f"{path}: boxes by frame size are expected; correct the file or delete it.") from error


def set_text_masks(dataset: Path | str, size: Sequence[int], boxes: Iterable[Sequence[int]]) -> None:
    """Keep boxes for frames of (H, W) pixels; none to hide nothing. Raises UnwritableOutput, InvalidDataset."""
    masks = text_masks(dataset)
    masks[scanner_key(size)] = [_box(box) for box in boxes]
    kept = {key: value for key, value in masks.items() if value}
    write_text(Path(dataset) / TEXT_MASKS, json.dumps(kept, indent=1) + "\n")


def _box(box: Sequence[Any]) -> Box:
    left, top, right, bottom = (int(value) for value in box)
    if min(left, top) < 0 or right <= left or bottom <= top:
        raise ValueError(f"{box} is no box")
    return left, top, right, bottom


def burnt_in_text(frames: Sequence[np.ndarray], most: int = 12) -> list[Box]:
    """Boxes around what may be burnt-in text: bright, sharp-edged, and the same in every frame.

    frames  (H, W) or (H, W, 3) uint8 of one clip, a few of them, well apart; fewer than three say nothing
    most    boxes, the largest first
    Depth scales and logos are found as well; a box is a warning, and not every text is found.
    """
    from scipy import ndimage

    if len(frames) < 3:
        return []
    grey = np.stack([frame if frame.ndim == 2 else frame.max(2) for frame in frames])
    still = (grey.max(0) - grey.min(0)) <= 8  # a video codec leaves that much
    bright = grey.min(0) >= 96
    ink = still & bright
    # Letters lie side by side; a word and a line of it are one box.
    joined = ndimage.binary_dilation(ink, np.ones((5, 15), dtype=bool))
    areas, count = ndimage.label(joined)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(areas), start=1):
        inked = int(np.count_nonzero(ink[rows, columns] & (areas[rows, columns] == number)))
        if inked >= 12:
            found.append((inked, (columns.start, rows.start, columns.stop, rows.stop)))
    return [box for _, box in sorted(found, reverse=True)[:most]] if count else []
