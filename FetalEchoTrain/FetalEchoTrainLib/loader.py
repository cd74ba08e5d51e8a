"""Batches for stage 1 and draws for stage 2: prepared ahead by threads, the same ones every time.

Which frames a step sees and every random draw for them follow from (seed, epoch, step, row) alone. So a loader can
start at any step, an interrupted run sees exactly what it would have seen, and of several processes each takes its rows
of the same batches. A file that cannot be read any more is replaced by another frame of its view, counted and reported.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from FetalEchoSegLib.anatomy import Condition, View, condition_table
from FetalEchoSegLib.errors import FetalEchoError, InvalidDataset

from .augmentation import Geometry, augment, draw_geometry, vary_appearance
from .configuration import TrainConfig
from .dataset import Frame, Sample, TrainingData, read_frame, read_truth
from .mixing import CutMix, draw_box, partners

if TYPE_CHECKING:
    import torch

# What random streams are for; part of their seeds.
_ORDER, _LABELLED, _UNLABELLED, _BALANCE = range(4)
_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class LabelledBatch:
    """Labelled frames, augmented.

    images  (B, 1, S, S) float32 in 0..1     masks       (B, S, S) int64 structure ids
    views   (B,) int64, 1 to 4               conditions  (B, 7) float32, 0 or 1
    ids     digests of the frames
    """

    images: torch.Tensor
    masks: torch.Tensor
    views: torch.Tensor
    conditions: torch.Tensor
    ids: tuple[str, ...]


@dataclass(frozen=True)
class UnlabelledBatch:
    """Unlabelled frames, each placed once (weak) and twice varied in appearance on top of that (strong).

    weak, strong1, strong2  (B, 1, S, S) float32 in 0..1, pixel for pixel of one place
    views                   (B,) int64, 1 to 4
    ids                     digests of the frames
    geometries              how each frame was placed
    mix1, mix2              CutMix of the strong views; not applied yet, because pseudo-labels are mixed alike
    truth                   (B, S, S) int64 of phantom frames, None unless all are; for logging only
    """

    weak: torch.Tensor
    strong1: torch.Tensor
    strong2: torch.Tensor
    views: torch.Tensor
    ids: tuple[str, ...]
    geometries: tuple[Geometry, ...]
    mix1: CutMix
    mix2: CutMix
    truth: torch.Tensor | None

    def warp(self, maps: Sequence[np.ndarray | None], fill: float = 0) -> np.ndarray:
        """(B, S, S) of what is stored for each frame as (S, S), placed as the weak view; ``fill`` where nothing is.

        maps  uint8 labels (by nearest pixel) or float32 values (linearly), None where nothing is stored
        """
        size = self.geometries[0].size
        given = next((m for m in maps if m is not None), np.zeros((size, size), dtype=np.float32))
        placed = np.full((len(maps), size, size), fill, dtype=given.dtype)
        for row, (geometry, stored) in enumerate(zip(self.geometries, maps, strict=True)):
            if stored is not None:
                placed[row] = geometry.warp(stored, fill)
        return placed


@dataclass(frozen=True)
class Batch:
    """What step ``step`` of ``epoch`` learns from; ``unlabelled`` None where the run uses none."""

    epoch: int
    step: int
    labelled: LabelledBatch
    unlabelled: UnlabelledBatch | None


class Reader:
    """Frames at the network's size, kept in memory as far as ``limit`` bytes allow; safe to use from threads."""

    def __init__(self, size: int, limit: int = _CACHE_BYTES) -> None:
        self.size = size
        self._limit = limit
        self._kept: OrderedDict[tuple[object, ...], Sample] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, frame: Frame) -> Sample:
        """The frame; raises InvalidDataset or UnreadableInput."""
        return self._get((frame.digest, frame.label_digest, frame.view), lambda: read_frame(frame, self.size))

    def read_truth(self, frame: Frame) -> np.ndarray | None:
        """(S, S) uint8 mask that a phantom knows of an unlabelled frame, None for others; raises InvalidDataset."""
        if frame.truth is None:
            return None

        def read() -> Sample:
            return Sample(np.empty(0, np.uint8), read_truth(frame, self.size), int(frame.view), None)

        return self._get((frame.digest, "truth"), read).mask

    def _get(self, key: tuple[object, ...], read: Callable[[], Sample]) -> Sample:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        sample = read()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = sample
                self._bytes += _bytes(sample)
            while self._bytes > self._limit:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _bytes(oldest)
        return sample


def _bytes(sample: Sample) -> int:
    return sample.image.nbytes + (0 if sample.mask is None else sample.mask.nbytes)


class Loader:
    """Batches of stage 1.

        with Loader(data, config) as loader:
            for batch in loader.batches(epoch, first_step=0):
                ...

    rank, world  this process and how many there are: each gets its rows of every batch, which ``world`` must divide
    """

    def __init__(self, data: TrainingData, config: TrainConfig, rank: int = 0, world: int = 1) -> None:
        self._config = config
        self._data = data
        self._use_unlabelled = config.ema.unlabelled and bool(data.unlabelled)
        self._sizes = (config.ema.labelled_batch, config.ema.unlabelled_batch if self._use_unlabelled else 0)
        if any(size % world for size in self._sizes):
            raise InvalidDataset(
                f"ema.labelled_batch and ema.unlabelled_batch ({self._sizes[0]} and {self._sizes[1]}) must be multiples"
                f" of the number of processes ({world}): change them."
            )
        self._rank, self._world = rank, world
        self._passes = (
            _Passes(data.labelled, config.seed, paired=False),
            _Passes(data.unlabelled if self._use_unlabelled else (), config.seed, paired=True),
        )
        self._reader = Reader(config.network.image_size)
        self._by_view = {
            (labelled, view): [f for f in frames if f.view is view]
            for labelled, frames in ((True, data.labelled), (False, data.unlabelled))
            for view in View
        }
        self._unreadable: dict[str, str] = {}
        self._reports: list[str] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(config.run.loader_threads, "loader") if config.run.loader_threads else None
        self._waited = self._total = 0.0

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the threads; what they prepare is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return steps_of_epoch(self._data, self._config)

    @property
    def idle_share(self) -> float:
        """Share of the time since the loader was made that its user waited for a batch, the first of an epoch apart."""
        return self._waited / self._total if self._total else 0.0

    @property
    def unreadable(self) -> dict[str, str]:
        """Files that could not be read so far, with the reason."""
        with self._lock:
            return dict(self._unreadable)

    def take_reports(self) -> list[str]:
        """Sentences about unreadable files since the last call, for the log."""
        with self._lock:
            reports, self._reports = self._reports, []
        return reports

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches ``first_step`` to the last of an epoch, in order.

        Raises InvalidDataset when more frames than ``run.unreadable_share`` allows cannot be read.
        """
        steps = iter(range(first_step, self.steps))
        if self._pool is None:
            for step in steps:
                began = time.perf_counter()
                batch = self._prepared(epoch, step)
                self._waited += time.perf_counter() - began
                yield batch
                self._total += time.perf_counter() - began
            return
        ahead: deque[Future[Batch]] = deque()
        try:
            for step in islice(steps, self._config.run.prefetch):
                ahead.append(self._pool.submit(self._prepared, epoch, step))
            first = True
            while ahead:
                began = time.perf_counter()
                batch = ahead.popleft().result()
                waited = time.perf_counter() - began
                for step in islice(steps, 1):
                    ahead.append(self._pool.submit(self._prepared, epoch, step))
                yield batch
                if not first:
                    self._waited += waited
                    self._total += time.perf_counter() - began
                first = False
        finally:
            for future in ahead:
                future.cancel()

    # ------------------------------------------------------------------------------------------------ one batch

    def _prepared(self, epoch: int, step: int) -> Batch:
        labelled = self._labelled(epoch, step)
        return Batch(epoch, step, labelled, self._unlabelled(epoch, step) if self._use_unlabelled else None)

    def _rows(self, kind: int, step_of_run: int) -> tuple[list[int], list[Frame]]:
        """Rows of the whole batch that are this process's, and their frames."""
        size = self._sizes[kind]
        share = size // self._world
        rows = list(range(self._rank * share, (self._rank + 1) * share))
        return rows, [self._passes[kind][step_of_run * size + row] for row in rows]

    def _labelled(self, epoch: int, step: int) -> LabelledBatch:
        import torch

        config = self._config.augmentation
        samples, images, masks, ids = [], [], [], []
        for row, frame in zip(*self._rows(0, epoch * self.steps + step), strict=True):
            rng = self._stream(_LABELLED, epoch, step, row)
            used, sample = self._read(frame, rng)
            assert sample.mask is not None
            image, mask = augment(sample.image, sample.mask, config, rng)
            images.append(image)
            masks.append(mask)
            samples.append(sample)
            ids.append(used.digest)
        return LabelledBatch(
            images=torch.from_numpy(np.stack(images)[:, None]),
            masks=torch.from_numpy(np.stack(masks).astype(np.int64)),
            views=torch.tensor([sample.view for sample in samples]),
            conditions=torch.from_numpy(np.stack([s.conditions for s in samples if s.conditions is not None])),
            ids=tuple(ids),
        )

    def _unlabelled(self, epoch: int, step: int) -> UnlabelledBatch:
        import torch

        config, size = self._config.augmentation, self._reader.size
        shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        geometries, frames, truths, boxes = [], [], [], []
        for row, frame in zip(*self._rows(1, epoch * self.steps + step), strict=True):
            rng = self._stream(_UNLABELLED, epoch, step, row)
            used, sample = self._read(frame, rng)
            geometry = draw_geometry(config, size, rng)
            weak = geometry.warp(_unit(sample.image))
            shown.append((weak, vary_appearance(weak, config, rng), vary_appearance(weak, config, rng)))
            boxes.append([draw_box(size, self._config.ema.cutmix, rng) for _ in range(2)])
            truths.append(self._truth(used, geometry))
            geometries.append(geometry)
            frames.append(used)
        views, ids = [int(frame.view) for frame in frames], tuple(frame.digest for frame in frames)
        weak_all, strong1, strong2 = (torch.from_numpy(np.stack(kind)[:, None]) for kind in zip(*shown, strict=True))
        known = [truth for truth in truths if truth is not None]
        neighbours = partners(views, ids)
        return UnlabelledBatch(
            weak=weak_all,
            strong1=strong1,
            strong2=strong2,
            views=torch.tensor(views),
            ids=ids,
            geometries=tuple(geometries),
            mix1=CutMix(neighbours, np.stack([pair[0] for pair in boxes])),
            mix2=CutMix(neighbours, np.stack([pair[1] for pair in boxes])),
            truth=torch.from_numpy(np.stack(known).astype(np.int64)) if len(known) == len(truths) else None,
        )

    def _truth(self, frame: Frame, geometry: Geometry) -> np.ndarray | None:
        try:
            truth = self._reader.read_truth(frame)
        except FetalEchoError:
            return None  # nothing is learned from it
        return None if truth is None else geometry.warp(truth)

    def _stream(self, purpose: int, epoch: int, step: int, row: int) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, purpose, epoch, step, row])

    def _read(self, frame: Frame, rng: np.random.Generator) -> tuple[Frame, Sample]:
        """The frame, or another one of its view where it cannot be read."""
        try:
            return frame, self._reader.read(frame)
        except (FetalEchoError, OSError) as error:
            self._report(frame, error)
        others = self._by_view[frame.labelled, frame.view]
        for index in rng.permutation(len(others)):
            other = others[int(index)]
            if str(other) in self.unreadable:
                continue
            try:
                return other, self._reader.read(other)
            except (FetalEchoError, OSError) as error:
                self._report(other, error)
        raise InvalidDataset(f"{frame} cannot be read, nor any other frame of its view: put the data set back, resume.")

    def _report(self, frame: Frame, error: Exception) -> None:
        name, reason = str(frame), str(error).removeprefix(f"{frame.path}: ")
        with self._lock:
            if name in self._unreadable:
                return
            self._unreadable[name] = reason
            self._reports.append(f"{name} cannot be read any more and is replaced by another frame: {reason}")
            lost = len(self._unreadable)
        frames = len(self._data.labelled) + len(self._data.unlabelled) * self._use_unlabelled
        if lost > max(1, self._config.run.unreadable_share * frames):
            raise InvalidDataset(
                f"{lost} of {frames} training frames cannot be read any more, the last one {name} ({reason}); put the"
                " data set back where it was, and resume."
            )


def steps_of_epoch(data: TrainingData, config: TrainConfig) -> int:
    """Batches in an epoch of stage 1: those of ``ema.steps_per_epoch``, or once through the larger part."""
    ema = config.ema
    if ema.steps_per_epoch is not None:
        return ema.steps_per_epoch * ema.accumulation
    unlabelled = len(data.unlabelled) / ema.unlabelled_batch if ema.unlabelled else 0
    batches = math.ceil(max(len(data.labelled) / ema.labelled_batch, unlabelled))
    return math.ceil(batches / ema.accumulation) * ema.accumulation


class _Passes:
    """Frames in random order, pass after pass without end; place k is found without going through those before.

    paired  places 2k and 2k + 1 hold frames of one view, so that they can be mixed; a view with an odd number of frames
            has one twice
    """

    def __init__(self, frames: Sequence[Frame], seed: int, paired: bool) -> None:
        self._frames = frames
        self._seed = seed
        self._paired = paired
        self._views = np.array([int(frame.view) for frame in frames])
        self._length = len(self._order(0)) if frames else 0
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()

    def __getitem__(self, place: int) -> Frame:
        number, position = divmod(place, self._length)
        order = self._recent.get(number)
        if order is None:
            order = self._recent[number] = self._order(number)
            while len(self._recent) > 4:
                self._recent.popitem(last=False)
        return self._frames[int(order[position])]

    def _order(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, _ORDER, int(self._paired), number])
        if not self._paired:
            return rng.permutation(len(self._frames))
        pairs = []
        for view in np.unique(self._views):
            members = rng.permutation(np.flatnonzero(self._views == view))
            if len(members) % 2:
                members = np.append(members, members[0])
            pairs.append(members.reshape(-1, 2))
        return rng.permutation(np.concatenate(pairs)).ravel()


def _unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def balanced_rows(conditions: np.ndarray, views: np.ndarray, count: int, seed: int, epoch: int) -> np.ndarray:
    """(count,) rows of labelled frames for an epoch of stage 2, drawn so that no condition is rare.

    conditions  (N, 7) 0 or 1
    views       (N,) 1 to 4
    Each draw takes one of the views, one of the conditions that it can show, then a frame with or without it, by the
    toss of a coin. A condition without positives among the frames of a view gives negatives alone.
    """
    rng = np.random.default_rng([seed, _BALANCE, epoch])
    pools = []
    for view in np.unique(views):
        for condition in Condition:
            if condition_table()[int(view) - 1, condition]:
                rows = np.flatnonzero(views == view)
                positive = conditions[rows, condition] > 0.5
                pools.append((rows[positive], rows[~positive]))
    drawn = np.empty(count, dtype=np.int64)
    for k in range(count):
        positives, negatives = pools[int(rng.integers(len(pools)))]
        pool = positives if len(positives) and (not len(negatives) or rng.random() < 0.5) else negatives
        drawn[k] = pool[int(rng.integers(len(pool)))]
    return drawn


def plain_rows(frames: int, seed: int, epoch: int) -> np.ndarray:
    """(frames,) rows of an epoch of stage 2, each frame once."""
    return np.random.default_rng([seed, _BALANCE, epoch]).permutation(frames)
