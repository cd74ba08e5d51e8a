"""The check at the start of every run: what the data are, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import N_CONDITIONS, Condition, Structure, View, condition_table, permitted_structures
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.errors import InvalidDataset, UnusableBundle
from FetalEchoSegLib.fetus_layout import CALIBRATION, IMAGES, TRAIN_LABELED, TRAIN_UNLABELED, VALID

from .configuration import DataConfig, TrainConfig
from .dataset import Frame, TrainingData
from .dataset_scan import Cancelling, Problem, Progress, Scan, repeated, scan
from .split import hold_out

FEWEST_POSITIVES = 5
_SHOWN = 20


@dataclass(frozen=True)
class PartSummary:
    """One part in numbers.

    views      (4,) frames of each view
    positives  (7,) frames that have each condition, None for unlabelled parts
    eligible   (7,) frames whose view can show it
    """

    name: str
    frames: int
    patients: int
    views: np.ndarray
    positives: np.ndarray | None
    eligible: np.ndarray


@dataclass(frozen=True)
class CheckedData:
    """The data of a run and everything there is to say about them; ``str`` is a table with the problems under it."""

    data: TrainingData
    problems: tuple[Problem, ...]
    summary: tuple[PartSummary, ...]

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """Problems that training cannot start with."""
        return tuple(problem for problem in self.problems if problem.fatal)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that it can start with."""
        return tuple(problem for problem in self.problems if not problem.fatal)

    def require_usable(self) -> None:
        """Raise InvalidDataset for the first fatal problem, saying how many there are."""
        if self.fatal:
            more = len(self.fatal) - 1
            others = f" ({more} more like this: see `fetalecho train --dry-run`.)" if more else ""
            raise InvalidDataset(f"{self.fatal[0]}{others}")

    def __str__(self) -> str:
        lines = [_table(self.summary)]
        for title, found in (("Must be corrected:", self.fatal), ("Worth knowing:", self.warnings)):
            if found:
                more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
                lines += ["", title, *(f"  {problem}" for problem in found[:_SHOWN]), *more]
        return "\n".join(lines)


def check_data(
    config: TrainConfig, progress: Progress | None = None, cancelled: Cancelling | None = None
) -> CheckedData:
    """Find the frames of a run, split what has no list of its own, and check everything.

    progress  called with (files done, files in all)
    Makes the phantom data set of ``data.phantom`` first if the folder holds none. Raises InvalidDataset where there is
    nothing to check, and Cancelled; all else is in the answer.
    """
    make_phantom(config.data, progress, cancelled)
    found = scan(config.data, progress, cancelled)
    data, problems = _divided(found, config.data)
    problems = [
        *found.problems,
        *problems,
        *_unreadable_share(found, config),
        *_leaks(data),
        *_repeats(data),
        *_amounts(data, config),
        *_classes(data, config.data.folder),
        *_start(config),
    ]
    summary = tuple(_summary(name, frames) for name, frames in data.parts())
    return CheckedData(data, tuple(problems), summary)


def make_phantom(config: DataConfig, progress: Progress | None = None, cancelled: Cancelling | None = None) -> None:
    """Make the synthetic data set that the configuration asks for, unless its folder holds a data set."""
    wanted = config.phantom
    if wanted is None or (config.folder / IMAGES).exists() or (config.folder / TRAIN_LABELED).exists():
        return
    from FetalEchoSegLib.phantom.dataset import write_dataset

    write_dataset(
        config.folder,
        labelled=wanted.labelled,
        unlabelled=wanted.unlabelled,
        validation=wanted.validation,
        calibration=wanted.calibration,
        test_same=wanted.same,
        test_new=wanted.new,
        seed=wanted.seed,
        image_shape=(wanted.image_size, wanted.image_size),
        frames_per_case=wanted.frames_per_case,
        training_prevalence=None if wanted.prevalence is None else dict.fromkeys(Condition, wanted.prevalence),
        even=True,
        progress=progress,
        cancelled=cancelled,
    )


def _divided(found: Scan, config: DataConfig) -> tuple[TrainingData, list[Problem]]:
    """Frames by purpose; parts without a list are split off, patient by patient."""
    folder, problems = config.folder, []
    labelled, unlabelled = found.frames.get(TRAIN_LABELED, ()), found.frames.get(TRAIN_UNLABELED, ())
    validation, calibration = found.frames.get(VALID, ()), found.frames.get(CALIBRATION, ())
    if VALID not in found.frames:
        labelled, validation = hold_out(labelled, config.validation_share, config.split_seed)
        unlabelled = _without_patients(unlabelled, validation)
    if CALIBRATION not in found.frames and config.calibration_share:
        validation, calibration = hold_out(validation, config.calibration_share, config.split_seed)
    if not calibration:
        problems.append(
            Problem(folder, "thresholds are fitted on the frames that choose the weights, which flatters them.", False)
        )
        calibration = validation
    tests = {name: found.frames[part] for name, part in config.tests.items() if part in found.frames}
    return TrainingData(labelled, unlabelled, validation, calibration, tests), problems


def _without_patients(frames: Sequence[Frame], others: Sequence[Frame]) -> tuple[Frame, ...]:
    """Frames of patients whom the split did not put elsewhere."""
    taken = {frame.group for frame in others}
    return tuple(frame for frame in frames if frame.group not in taken)


def _unreadable_share(found: Scan, config: TrainConfig) -> Iterator[Problem]:
    files = found.lost + len(found.frames.get(TRAIN_UNLABELED, ()))
    if found.lost > config.run.unreadable_share * files:
        reason = f"{found.lost} unlabelled files cannot be used; correct or remove them."
        yield Problem(config.data.folder, reason, fatal=True)


def _leaks(data: TrainingData) -> Iterator[Problem]:
    """Frames and patients on two sides: figures measured on them would be untrue."""
    sides = [("training", (*data.labelled, *data.unlabelled))]
    sides += [(name, frames) for name, frames in data.parts() if name not in ("labelled", "unlabelled")]
    seen: dict[str, tuple[str, Frame]] = {}
    patients: dict[str, tuple[str, Frame]] = {}
    for side, frames in sides:
        if side == "calibration" and frames == data.validation:
            continue
        for frame in frames:
            other, same = seen.setdefault(frame.digest, (side, frame))
            if other != side:
                yield Problem(frame.path, f"the same picture is {same} in {other}; take it out of one of them.", True)
                continue
            other, same = patients.setdefault(frame.group, (side, frame))
            if other != side:
                reason = f"it is of the same patient as {same} in {other}; take the patient out of one of them."
                yield Problem(frame.path, reason, True)


def _repeats(data: TrainingData) -> Iterator[Problem]:
    pairs = repeated((*data.labelled, *data.unlabelled))
    if pairs:
        first, again = pairs[0]
        more = f", and {len(pairs) - 1} more training frames repeat others" if len(pairs) > 1 else ""
        yield Problem(again.path, f"the same picture as {first}{more}; they count twice.", False)


def _amounts(data: TrainingData, config: TrainConfig) -> Iterator[Problem]:
    """Too little of something."""
    folder, ema = config.data.folder, config.ema
    if not data.labelled:
        yield Problem(folder, "there is no labelled frame to learn from; draw some masks and export them.", True)
        return
    if not data.validation:
        reason = f"nothing can be held out to choose the weights by; add {VALID}, or frames of a second patient."
        yield Problem(folder, reason, True)
    if ema.labelled_batch > len(data.labelled):
        yield Problem(folder, _too_large("ema.labelled_batch", ema.labelled_batch, len(data.labelled)), True)
    if ema.unlabelled and not data.unlabelled:
        reason = "there are no unlabelled frames: this will be training on the labelled ones alone."
        yield Problem(folder, reason, False)
    elif ema.unlabelled and ema.unlabelled_batch > len(data.unlabelled):
        yield Problem(folder, _too_large("ema.unlabelled_batch", ema.unlabelled_batch, len(data.unlabelled)), True)


def _too_large(key: str, batch: int, frames: int) -> str:
    return f"{key} is {batch}, but there are only {frames} such frames; lower it to {frames} or add frames."


def _classes(data: TrainingData, folder: Path) -> Iterator[Problem]:
    """Views, conditions and structures of which there is little or nothing to learn."""
    if not data.labelled:
        return
    views = Counter(frame.view for frame in data.labelled)
    missing = [view.short for view in View if view not in views]
    if len(views) == 1:
        yield Problem(folder, f"all labelled frames are {next(iter(views)).short}; no other view will work.", False)
    elif missing:
        yield Problem(folder, f"no labelled frame is {' or '.join(missing)}, which will not work.", False)
    summary = _summary("labelled", data.labelled)
    assert summary.positives is not None
    for condition in Condition:
        count = int(summary.positives[condition])
        if summary.eligible[condition] and not count:
            yield Problem(folder, f"no labelled frame has {condition.short}, which cannot be learned.", False)
        elif summary.eligible[condition] and count < FEWEST_POSITIVES:
            yield Problem(
                folder, f"only {count} labelled frames have {condition.short}; its figures will be luck.", False
            )
    drawn = {structure for frame in data.labelled for structure in frame.structures}
    expected = {int(structure) for view in views for structure in permitted_structures(view)}
    for structure in sorted(expected - drawn):
        name = Structure(structure).info.short
        yield Problem(folder, f"no labelled frame shows {name}, which cannot be learned.", False)


def _start(config: TrainConfig) -> Iterator[Problem]:
    """A model to start from that knows images of another size: demo-tiny loses two thirds of its DSC at 128."""
    size = config.network.image_size
    if not config.network.initial:
        return
    with suppress(UnusableBundle):  # a checkpoint says nothing of sizes; what cannot be found is said at the start
        bundle = find_bundle(config.network.initial)
        known = bundle.card.architecture.config.image_size
        if known != size:
            reason = (
                f"{bundle.name} learned from images of {known} pixels and knows little of {size}; set "
                f"network.image_size to {known}, unless the training is long."
            )
            yield Problem(bundle.path, reason, False)


def _summary(name: str, frames: Sequence[Frame]) -> PartSummary:
    views = np.bincount([frame.view.index for frame in frames], minlength=len(View))
    table = condition_table()
    eligible = views @ table
    positives = None
    if frames and all(frame.conditions is not None for frame in frames):
        counted = [np.array(frame.conditions) * table[frame.view.index] for frame in frames]
        positives = np.sum(counted, axis=0).astype(int)
    elif not frames:
        positives = np.zeros(N_CONDITIONS, dtype=int)
    return PartSummary(name, len(frames), len({frame.group for frame in frames}), views, positives, eligible)


def _table(summary: Sequence[PartSummary]) -> str:
    """Frames, patients and views of each part; of each condition positives of those that could show it."""
    head = ["", "frames", "patients", *(view.short for view in View), *(condition.short for condition in Condition)]
    rows = [head]
    for part in summary:
        if part.positives is None:
            conditions = [""] * N_CONDITIONS
        else:
            conditions = [f"{p}/{e}" for p, e in zip(part.positives, part.eligible, strict=True)]
        rows.append([part.name, str(part.frames), str(part.patients), *map(str, part.views), *conditions])
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{'>' if k else '<'}{widths[k]}}" for k, cell in enumerate(row)).rstrip() for row in rows
    )
