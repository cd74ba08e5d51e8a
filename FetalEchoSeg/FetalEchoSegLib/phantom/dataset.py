"""A whole synthetic data set in the FETUS 2026 layout.

Frames are numbered case by case and part by part, so a frame's number, case and bytes follow from the seed alone,
whatever the number of workers. All frames of one case lie in one part.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..anatomy import Condition
from ..errors import Cancelled, InvalidRequest
from ..fetus_layout import (
    IMAGES,
    LABELS,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    VALID,
    ListEntry,
    image_path,
    label_path,
    write_image,
    write_label,
    write_list,
)
from ..output_files import all_or_nothing
from .cases import TEST_PREVALENCE, TRAINING_PREVALENCE, PhantomCase, require_seed, sample_case, sample_view

TEST_SAME = "test_same.json"
TEST_NEW = "test_new.json"


@dataclass(frozen=True)
class Part:
    """One part of the data set.

    name       file name of its list
    frames     how many
    labelled   whether masks and conditions are written
    new        imaged with devices that the other parts never use
    prevalence share of positives by condition
    """

    name: str
    frames: int
    labelled: bool
    new: bool
    prevalence: Mapping[Condition, float]


@dataclass(frozen=True)
class CaseTask:
    """Work for one process: one fetus, its device and its frames."""

    folder: str
    part: Part
    seed: int
    names: tuple[str, ...]
    image_shape: tuple[int, int]


def write_dataset(
    folder: Path | str,
    *,
    labelled: int,
    unlabelled: int,
    validation: int,
    test_same: int,
    test_new: int,
    seed: int,
    image_shape: tuple[int, int] = (512, 512),
    frames_per_case: int = 3,
    training_prevalence: Mapping[Condition, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    workers: int | None = None,
) -> None:
    """Write images, labels and the five lists; same arguments, same bytes, whatever ``workers``.

    labelled, unlabelled, validation, test_same, test_new
                         frames in each part; the last is imaged with devices held out of all others
    frames_per_case      moments of the cardiac cycle taken from each fetus
    training_prevalence  share of positives by condition outside the test parts (`cases.TRAINING_PREVALENCE`)
    progress             called with (frames written, frames in all)
    cancelled            asked after every case
    workers              processes, all cores unless told; 0 or 1 stays in this process

    Raises InvalidRequest, UnwritableOutput and Cancelled. The data set appears as a whole at the end or not at all; a
    folder that holds one already is refused, because it may be a real one.
    """
    training = training_prevalence or TRAINING_PREVALENCE
    parts = (
        Part(TRAIN_LABELED, labelled, True, False, training),
        Part(TRAIN_UNLABELED, unlabelled, False, False, training),
        Part(VALID, validation, True, False, training),
        Part(TEST_SAME, test_same, True, False, TEST_PREVALENCE),
        Part(TEST_NEW, test_new, True, True, TEST_PREVALENCE),
    )
    if min(p.frames for p in parts) < 0 or frames_per_case < 1:
        raise InvalidRequest("The numbers of frames cannot be negative, and a case needs at least one frame.")
    require_seed(seed)
    folder = Path(folder)
    if taken := next((n for n in (IMAGES, LABELS, *(p.name for p in parts)) if (folder / n).exists()), None):
        raise InvalidRequest(f"{folder} holds a data set already ({taken}): choose another folder or remove that one.")
    total, done = sum(p.frames for p in parts), 0
    entries: dict[str, list[ListEntry]] = {p.name: [] for p in parts}
    with all_or_nothing(folder) as temporary:
        for part_name, case_entries in _run(_tasks(temporary, parts, seed, frames_per_case, image_shape), workers):
            entries[part_name] += case_entries
            done += len(case_entries)
            if progress:
                progress(done, total)
            if cancelled and cancelled():
                raise Cancelled(f"Stopped after {done} of {total} frames; nothing was kept.")
        for name, lines in entries.items():
            write_list(temporary / name, lines)


def _tasks(
    folder: Path, parts: tuple[Part, ...], seed: int, frames_per_case: int, image_shape: tuple[int, int]
) -> list[CaseTask]:
    tasks, number = [], 0
    for position, part in enumerate(parts):
        for first in range(0, part.frames, frames_per_case):
            count = min(frames_per_case, part.frames - first)
            names = tuple(str(number + i + 1) for i in range(count))
            number += count
            # 62 bits, so that no fetus occurs twice in any data set of sensible size.
            case_seed = int(np.random.default_rng([seed, position, first // frames_per_case]).integers(1 << 62))
            tasks.append(CaseTask(str(folder), part, case_seed, names, image_shape))
    return tasks


def _run(tasks: list[CaseTask], workers: int | None) -> Iterator[tuple[str, list[ListEntry]]]:
    """Results in the order of ``tasks``."""
    count = min(workers if workers is not None else (os.cpu_count() or 1), len(tasks))
    if count <= 1:
        yield from map(write_case, tasks)
        return
    # "spawn" is the one way that works on every system and beside running threads.
    with _interrupt_ignored():
        pool = multiprocessing.get_context("spawn").Pool(count)
    with pool:
        yield from pool.imap(write_case, tasks, chunksize=1)


@contextmanager
def _interrupt_ignored() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C for good: the parent stops them, and they need not say where they were.

    Only the main thread may change this; other threads start processes that print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def write_case(task: CaseTask) -> tuple[str, list[ListEntry]]:
    """Render and write the frames of one fetus; returns the list they belong to and their entries."""
    from .clip import make_section, place
    from .devices import sample_device
    from .echo import EchoRenderer

    rng = np.random.default_rng([task.seed, 7])
    case = sample_case(sample_view(rng), task.seed, prevalence=task.part.prevalence)
    device = sample_device(rng, held_out=task.part.new)
    renderer = EchoRenderer(make_section(case), place(case), device, task.seed, task.image_shape)
    count = len(task.names)
    # One moment in each equal share of the cycle.
    times = (np.arange(count) + rng.random(count)) / count * 60.0 / case.heart_rate
    entries = []
    for index, (name, (frame, mask)) in enumerate(zip(task.names, renderer.frames(times, workers=1), strict=True)):
        attributes = _attributes(case, device.name, renderer.spacing, float(times[index]), index)
        image_file = image_path(task.folder, name)
        write_image(image_file, frame, case.view, attributes)
        label_file = None
        if task.part.labelled:
            label_file = label_path(task.folder, name)
            write_label(label_file, mask, case.condition_vector, {**attributes, "drawn_by": "phantom geometry"})
        entries.append(ListEntry(image_file, label_file, case.view))
    return task.part.name, entries


def _attributes(
    case: PhantomCase, device: str, spacing: tuple[float, float], time: float, index: int
) -> dict[str, str | int | float | bool | np.ndarray]:
    return {
        "spacing_mm": np.array(spacing),
        "time_s": time,
        "frame_index": index,
        "source": f"FetalEcho phantom, device {device}",
        "patient_group": case.patient,
        "gestational_age_weeks": case.gestational_age,
    }
