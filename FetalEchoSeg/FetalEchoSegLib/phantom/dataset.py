"""A whole synthetic data set in the FETUS 2026 layout.

Frames are numbered case by case and part by part, so a frame's number, case and bytes follow from the seed alone,
whatever the number of workers. All frames of one case lie in one part.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..anatomy import Condition, View, permitted_conditions
from ..errors import Cancelled, FetalEchoError, InvalidRequest
from ..fetus_layout import (
    CALIBRATION,
    IMAGES,
    LABELS,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    TRUTH,
    VALID,
    ListEntry,
    image_path,
    label_path,
    truth_path,
    write_image,
    write_label,
    write_list,
)
from ..output_files import all_or_nothing
from .cases import (
    EXCLUSIVE,
    TEST_PREVALENCE,
    TRAINING_PREVALENCE,
    VIEW_SHARES,
    PhantomCase,
    require_seed,
    sample_case,
    sample_view,
)

TEST_SAME = "test_same.json"
TEST_NEW = "test_new.json"


@dataclass(frozen=True)
class Part:
    """One part of the data set.

    name       file name of its list
    frames     how many
    labelled   whether masks and conditions are written as labels; of other frames they go to ``fetus_layout.TRUTH``
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
    """Work for one process: one fetus, its device and its frames; view and conditions None to draw them."""

    folder: str
    part: Part
    seed: int
    names: tuple[str, ...]
    image_shape: tuple[int, int]
    view: View | None = None
    conditions: frozenset[Condition] | None = None


def write_dataset(
    folder: Path | str,
    *,
    labelled: int,
    unlabelled: int,
    validation: int,
    test_same: int,
    test_new: int,
    seed: int,
    calibration: int = 0,
    image_shape: tuple[int, int] = (512, 512),
    frames_per_case: int = 3,
    training_prevalence: Mapping[Condition, float] | None = None,
    even: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    workers: int | None = None,
) -> None:
    """Write images, labels and a list for each part; same arguments, same bytes, whatever ``workers``.

    labelled, unlabelled, validation, calibration, test_same, test_new
                         frames in each part; ``test_new`` is imaged with devices held out of all others
    frames_per_case      moments of the cardiac cycle taken from each fetus
    training_prevalence  share of positives by condition outside the test parts (`cases.TRAINING_PREVALENCE`)
    even                 deal out views and conditions in exactly their shares, at least one fetus for each condition,
                         instead of drawing them: a small part has all of them then
    progress             called with (frames written, frames in all)
    cancelled            asked after every case
    workers              processes, all cores unless told; 0 or 1 stays in this process, and so does the work where
                         processes cannot start (a script read from stdin, or without ``if __name__ == "__main__"``)

    Raises InvalidRequest, UnwritableOutput, Cancelled, and FetalEchoError for a process that was killed. The data set
    appears as a whole at the end or not at all; a folder that holds one already is refused: it may be a real one.
    """
    training = training_prevalence or TRAINING_PREVALENCE
    parts = (
        Part(TRAIN_LABELED, labelled, True, False, training),
        Part(TRAIN_UNLABELED, unlabelled, False, False, training),
        Part(VALID, validation, True, False, training),
        Part(TEST_SAME, test_same, True, False, TEST_PREVALENCE),
        Part(TEST_NEW, test_new, True, True, TEST_PREVALENCE),
        Part(CALIBRATION, calibration, True, False, training),
    )
    if min(p.frames for p in parts) < 0 or frames_per_case < 1:
        raise InvalidRequest("The numbers of frames cannot be negative, and a case needs at least one frame.")
    require_seed(seed)
    folder = Path(folder)
    reserved = (IMAGES, LABELS, TRUTH, *(p.name for p in parts))
    if taken := next((name for name in reserved if (folder / name).exists()), None):
        raise InvalidRequest(f"{folder} holds a data set already ({taken}): choose another folder or remove that one.")
    total, done = sum(p.frames for p in parts), 0
    entries: dict[str, list[ListEntry]] = {p.name: [] for p in parts}
    with all_or_nothing(folder) as temporary:
        tasks = _tasks(temporary, parts, seed, frames_per_case, image_shape)
        with closing(_run(_dealt_out(tasks) if even else tasks, workers)) as cases:
            for part_name, case_entries in cases:
                entries[part_name] += case_entries
                done += len(case_entries)
                if progress:
                    progress(done, total)
                if cancelled and cancelled():
                    raise Cancelled(f"Stopped after {done} of {total} frames; nothing was kept.")
        for part in parts:
            if part.frames or part.name != CALIBRATION:
                write_list(temporary / part.name, entries[part.name])


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


def _dealt_out(tasks: list[CaseTask]) -> list[CaseTask]:
    """The same fetuses with views and conditions in their shares of each part."""
    done = []
    for name in dict.fromkeys(task.part.name for task in tasks):
        members = [task for task in tasks if task.part.name == name]
        rng = np.random.default_rng([members[0].seed, 11])
        views = np.array([int(view) for view in View])
        shares = np.array([VIEW_SHARES[view] for view in View])
        # The k-th of n equal steps through the cumulated shares: counts are right to within one.
        steps = (np.arange(len(members)) + 0.5) / len(members)
        dealt = rng.permutation(views[np.searchsorted(np.cumsum(shares / shares.sum()), steps)])
        conditions: list[set[Condition]] = [set() for _ in members]
        for view in View:
            rows = np.flatnonzero(dealt == view)
            for condition in permitted_conditions(view):
                wanted = max(1, round(members[0].part.prevalence[condition] * len(rows)))
                free = [row for row in rng.permutation(rows).tolist() if not conditions[row] & EXCLUSIVE - {condition}]
                # Those without a condition first: two at once are the exception, as in life.
                for row in sorted(free, key=lambda row: len(conditions[row]))[:wanted]:
                    conditions[row].add(condition)
        for task, view_value, chosen in zip(members, dealt, conditions, strict=True):
            done.append(replace(task, view=View(int(view_value)), conditions=frozenset(chosen)))
    return done


def _run(tasks: list[CaseTask], workers: int | None) -> Generator[tuple[str, list[ListEntry]], None, None]:
    """Results in the order of ``tasks``."""
    count = min(workers if workers is not None else (os.cpu_count() or 1), len(tasks))
    if count <= 1:
        yield from map(write_case, tasks)
        return
    # "spawn" is the one way that works on every system and beside running threads. Its processes read the main script
    # again; where they cannot, a multiprocessing.Pool starts new ones for ever, while this one breaks once.
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
    futures: list[Future[tuple[str, list[ListEntry]]]] = []
    try:
        with _interrupt_ignored():
            futures += (executor.submit(write_case, task) for task in tasks)
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        if any(future.done() and future.exception() is None for future in futures):
            raise FetalEchoError(
                "A process that made frames was ended, perhaps for want of memory; nothing was kept: use fewer workers."
            ) from error
        logging.getLogger(__name__).warning("No processes could be started to share the work: this one does it alone.")
        yield from map(write_case, tasks)
    finally:
        executor.shutdown(cancel_futures=True)


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
    drawn = sample_view(rng)
    case = sample_case(task.view or drawn, task.seed, task.conditions, task.part.prevalence)
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
        label_file = label_path(task.folder, name) if task.part.labelled else truth_path(image_file)
        write_label(label_file, mask, case.condition_vector, {**attributes, "drawn_by": "phantom geometry"})
        entries.append(ListEntry(image_file, label_file if task.part.labelled else None, case.view))
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
