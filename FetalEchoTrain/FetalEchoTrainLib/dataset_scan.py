"""Which frames a data set holds: every file is opened once, and what is wrong with one is a problem of that file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import Condition, Structure, View, condition_table, label_table
from FetalEchoSegLib.errors import Cancelled, FetalEchoError, InvalidDataset
from FetalEchoSegLib.fetus_layout import (
    CALIBRATION,
    IMAGES,
    LABELS,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    VALID,
    ListEntry,
    image_path,
    label_path,
    read_image,
    read_label,
    read_list,
    truth_path,
)
from FetalEchoSegLib.ordering import natural_order

from .configuration import DataConfig
from .dataset import Frame, digest_of

Progress = Callable[[int, int], None]
Cancelling = Callable[[], bool]
# h5py reads one file at a time; hashing and decoding of several go on beside it.
_THREADS = 4


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set.

    file   the file it is about, the folder where it is about the whole
    fatal  whether training on it would be wrong or impossible; otherwise it is said and the run goes on
    """

    file: Path
    reason: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Scan:
    """What was found.

    frames  by the list that names them; those of unlabelled folders under ``TRAIN_UNLABELED``
    lost    unlabelled files that cannot be used; each is among the problems
    """

    frames: dict[str, tuple[Frame, ...]]
    problems: tuple[Problem, ...]
    lost: int


@dataclass(frozen=True)
class _Source:
    """One file to look at: an entry of a list, or an unlabelled file of any kind below ``root``."""

    part: str
    path: Path
    entry: ListEntry | None = None
    root: Path | None = None


def scan(config: DataConfig, progress: Progress | None = None, cancelled: Cancelling | None = None) -> Scan:
    """Open every file of the data set once.

    progress  called with (files done, files in all)
    Raises InvalidDataset where there is no data set or a list cannot be read, and Cancelled.
    """
    sources = list(_sources(config))
    frames: dict[str, list[Frame]] = {source.part: [] for source in sources}
    problems: list[Problem] = []
    lost = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = pool.map(lambda source: _look(source, config), sources)
        for done, (source, (found, said)) in enumerate(zip(sources, answers, strict=True), start=1):
            frames[source.part] += found
            problems += said
            lost += source.part == TRAIN_UNLABELED and not found
            if progress is not None:
                progress(done, len(sources))
            if cancelled is not None and cancelled():
                pool.shutdown(cancel_futures=True)
                raise Cancelled(f"The check of the data was stopped after {done} of {len(sources)} files.")
    return Scan({part: tuple(found) for part, found in frames.items()}, tuple(problems), lost)


def _sources(config: DataConfig) -> Iterator[_Source]:
    folder = config.folder
    if not folder.is_dir():
        raise InvalidDataset(
            f"{folder}: there is no such folder; data.folder must be a data set with {IMAGES}/ and {LABELS}/."
        )
    lists = {
        name: read_list(folder / name) for name in _LISTS + tuple(config.tests.values()) if _is_there(folder, name)
    }
    if TRAIN_LABELED not in lists:
        taken = {entry.image.absolute() for entries in lists.values() for entry in entries}
        every = [entry for entry in _unlisted(folder) if entry.image.absolute() not in taken]
        lists[TRAIN_LABELED] = [entry for entry in every if entry.label is not None]
        if TRAIN_UNLABELED not in lists:
            lists[TRAIN_UNLABELED] = [entry for entry in every if entry.label is None]
    for name, entries in lists.items():
        yield from (_Source(name, entry.image, entry) for entry in entries)
    for root in config.unlabelled:
        yield from (_Source(TRAIN_UNLABELED, file, root=root) for file in _files_below(root))


_LISTS = (TRAIN_LABELED, TRAIN_UNLABELED, VALID, CALIBRATION)


def _is_there(folder: Path, name: str) -> bool:
    return (folder / name).exists()


def _unlisted(folder: Path) -> list[ListEntry]:
    """Images of a folder without lists, with the labels that lie beside them; views are read with the images."""
    if not (folder / IMAGES).is_dir():
        raise InvalidDataset(
            f"{folder}: a data set has the folders {IMAGES}/ and {LABELS}/, or lists such as {TRAIN_LABELED}; it has"
            " neither."
        )
    names = sorted((path.stem for path in (folder / IMAGES).glob("*.h5")), key=natural_order)
    labels = {name: label_path(folder, name) for name in names}
    return [
        ListEntry(image_path(folder, name), label if label.is_file() else None, _UNKNOWN_VIEW)
        for name, label in labels.items()
    ]


# Stands in an entry that no list made; the image file says which it is.
_UNKNOWN_VIEW = View.FOUR_CHAMBER


def _files_below(root: Path) -> list[Path]:
    from FetalEchoSegLib.readers.common import ignorable

    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InvalidDataset(f"{root}: there is no such folder of unlabelled images; correct data.unlabelled.")
    found = [path for path in root.rglob("*") if path.is_file() and not ignorable(path)]
    return sorted(found, key=lambda path: natural_order(path.relative_to(root).as_posix()))


def _look(source: _Source, config: DataConfig) -> tuple[list[Frame], list[Problem]]:
    unlabelled = source.part == TRAIN_UNLABELED
    try:
        if source.entry is not None:
            return _listed_frame(source.entry, source.part, config)
        return _unlisted_frames(source, config), []
    except FetalEchoError as error:
        return [], [Problem(source.path, str(error).removeprefix(f"{source.path}: "), fatal=not unlabelled)]


def _listed_frame(entry: ListEntry, part: str, config: DataConfig) -> tuple[list[Frame], list[Problem]]:
    image = read_image(entry.image)
    listed = (config.folder / part).exists()
    if listed and image.view is not entry.view:
        raise InvalidDataset(f"{part} calls it {entry.view.short}, the file {image.view.short}; correct one of them.")
    group = str(image.attributes.get("patient_group") or f"{part.partition('.')[0]} {entry.image.stem}")
    frame = Frame(entry.image, image.view, group, part, digest_of(image.image))
    if part == TRAIN_UNLABELED:
        truth = truth_path(entry.image)
        return [replace(frame, truth=truth if truth.is_file() else None)], []
    if entry.label is None:
        raise InvalidDataset(f"{part} names no label file for it; draw its mask or move it to {TRAIN_UNLABELED}.")
    label = read_label(entry.label)
    if label.mask.shape != image.image.shape[:2]:
        size, expected = " × ".join(map(str, label.mask.shape)), " × ".join(map(str, image.image.shape[:2]))
        raise InvalidDataset(f"its mask {entry.label.name} has {size} pixels, the image {expected}; export it again.")
    structures = tuple(int(value) for value in np.unique(label.mask) if value)
    labelled = replace(
        frame,
        label=entry.label,
        conditions=tuple(int(value) for value in label.label),
        structures=structures,
        label_digest=hashlib.sha256(label.mask.tobytes() + label.label.tobytes()).hexdigest()[:32],
    )
    return [labelled], _foreign(labelled)


def _foreign(frame: Frame) -> list[Problem]:
    """What is drawn or ticked that the view cannot show: it does not count, which should be known."""
    structures = [Structure(s).info.short for s in frame.structures if not label_table()[frame.view.index, s]]
    ticked = [c for c in Condition if frame.conditions and frame.conditions[c]]
    conditions = [c.short for c in ticked if not condition_table()[frame.view.index, c]]
    return [
        Problem(frame.path, f"{' and '.join(names)} cannot be {verb} in {frame.view.short}; it will not count.", False)
        for names, verb in ((structures, "drawn"), (conditions, "judged"))
        if names
    ]


def _unlisted_frames(source: _Source, config: DataConfig) -> list[Frame]:
    """Frames of an unlabelled file of any kind: one of an image, evenly spaced ones of a clip."""
    from FetalEchoSegLib.readers import read_cine

    assert source.root is not None
    cine = read_cine(source.path, view_required=False)
    inside = source.path.relative_to(source.root) if source.root.is_dir() else Path(source.path.name)
    view = cine.view or _view_of_folder((source.root.name, *inside.parts[:-1]))
    if view is None and config.unlabelled_view:
        view = View.parse(config.unlabelled_view)
    if view is None:
        names = ", ".join(v.short for v in View)
        raise InvalidDataset(f"its view is not known; put it in a folder named {names}, or set data.unlabelled_view.")
    # Frames of a folder belong together unless the files say whose they are.
    group = cine.origin.patient_hash or f"{source.root.name}/{(inside.parent if inside.parent.name else inside)}"
    count = min(config.frames_per_clip, len(cine))
    picked = np.unique(np.linspace(0, len(cine) - 1, count).round().astype(int)).tolist()
    return [
        Frame(source.path, view, group, source.root.name, digest_of(cine.frame(index)), index=index) for index in picked
    ]


def _view_of_folder(names: Sequence[str]) -> View | None:
    for name in reversed(names):
        try:
            return View.parse(name)
        except ValueError:
            continue
    return None


def repeated(frames: Iterable[Frame]) -> list[tuple[Frame, Frame]]:
    """Pairs of frames with equal pixels: each later one with the first of its kind."""
    first: dict[str, Frame] = {}
    return [(first[f.digest], f) for f in frames if first.setdefault(f.digest, f) is not f]
