"""One run of a Segmenter over one clip, whose finished frames can be had at any time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import N_CONDITIONS, View, condition_table
from .cine import Cine
from .errors import Cancelled, InvalidRequest
from .prediction import Prediction, clip_conditions, clip_views, view_notes
from .preprocessing import Letterbox, network_input

if TYPE_CHECKING:
    import torch

    from .networks.output import EchoCareOutput
    from .segmentation import Segmenter

Progress = Callable[[int, int], None]
IsCancelled = Callable[[], bool]


class SegmentationRun:
    """What ``Segmenter.start`` returns: ``go`` does the work, ``prediction`` tells what is done so far.

    The two may be called from different threads: a frame counts as done only when everything of it is written.
    """

    def __init__(
        self, segmenter: Segmenter, cine: Cine, view: View | None, frames: list[int], seconds: float | None
    ) -> None:
        self._segmenter = segmenter
        self._cine = cine
        self._view_source = "user" if view else "file" if cine.view else "predicted"
        self._view = view or cine.view
        self._wanted = frames
        self._seconds = seconds
        self._size = segmenter.batch_size if seconds is None else 1
        self._limit = segmenter.batch_size
        # These frames are run first: spread over the whole clip, they speak for all when the view is to be found.
        self._spread = _spread(frames, segmenter.batch_size)
        self._waiting: list[tuple[list[int], EchoCareOutput]] = []
        self._frames = _Frames(cine)

    @property
    def total(self) -> int:
        """How many frames were asked for."""
        return len(self._wanted)

    @property
    def finished(self) -> int:
        """How many frames are done."""
        return int(self._frames.done.sum())

    def go(self, progress: Progress | None = None, cancelled: IsCancelled | None = None) -> None:
        """Segment until all frames are done, or ``cancelled()`` says yes, which is asked at every step of the network.

        progress  called with (frames done, frames in all)
        Raises InvalidRequest when not even one frame fits the device's memory; earlier frames are done then.
        """
        queue = deque(self._spread + sorted(set(self._wanted) - set(self._spread)))
        seen = 0
        while queue and not (cancelled is not None and cancelled()):
            rows = [queue.popleft() for _ in range(min(self._size, len(queue)))]
            began = time.monotonic()
            try:
                output = self._segmenter.forward(self._input(rows), cancelled)
            except Cancelled:
                break
            except OutOfMemory:
                if len(rows) == 1:
                    raise
                queue.extendleft(reversed(rows))
                self._limit = self._size = len(rows) // 2
                logging.info("Not enough memory for %d frames at a time: going on with %d.", len(rows), self._size)
                continue
            self._waiting.append((rows, output))
            seen += len(rows)
            if self._view is not None or seen >= len(self._spread):
                self._settle(progress)
            self._choose_size(len(rows), time.monotonic() - began)
        self._settle(progress)

    def prediction(self) -> Prediction:
        """The result, with the frames that are done by now; raises Cancelled when there is none."""
        # Flags first: a frame that is finished meanwhile is not claimed.
        done = self._frames.done.copy()
        finished = int(done.sum())
        if self._view is None or not finished:
            raise Cancelled("Cancelled before the first frame was segmented.")
        bundle = self._segmenter.bundle
        conditions = np.where(done[:, np.newaxis], self._frames.conditions, np.float32(np.nan))
        views = np.where(done[:, np.newaxis], self._frames.views, np.float32(np.nan))
        view_probabilities = clip_views(views)
        notes = list(view_notes(self._view, self._view_source, view_probabilities))
        if finished < len(self._wanted):
            notes.insert(0, f"Cancelled after {finished} of {len(self._wanted)} frames; the finished ones are kept.")
        if bundle.card.notice:
            notes.append(bundle.card.notice)
        return Prediction(
            labels=self._frames.labels,
            view=self._view,
            view_probabilities=view_probabilities,
            view_source=self._view_source,
            condition_probabilities=conditions,
            clip_conditions=clip_conditions(conditions, done),
            confidence=np.where(done, self._frames.confidence, np.float32(np.nan)),
            done=done,
            bundle=bundle.identity(),
            notes=tuple(notes),
            frame_views=views,
        )

    def _choose_size(self, count: int, seconds: float) -> None:
        """As many frames as fit the time wished for, growing no faster than twofold: first passes are slow."""
        if self._seconds is not None:
            fitting = int(self._seconds * count / max(seconds, 1e-6))
            self._size = max(1, min(fitting, 2 * count, self._limit))

    def _input(self, rows: Sequence[int]) -> torch.Tensor:
        import torch

        size = self._segmenter.bundle.card.preprocessing.size
        images = np.stack([network_input(self._cine.frame(row), size) for row in rows])
        return torch.from_numpy(images)[:, np.newaxis]

    def _settle(self, progress: Progress | None) -> None:
        """Draw what the network has seen, in the view that is known or found now."""
        for rows, output in self._waiting:
            if output.views is not None:
                self._frames.views[rows] = output.views.float().softmax(1).cpu().numpy()
        if self._view is None and self._waiting:
            self._view = View(int(clip_views(self._frames.views).argmax()) + 1)
        while self._waiting:
            rows, output = self._waiting.pop(0)
            assert self._view is not None
            self._draw(rows, output, self._view)
            if progress is not None:
                progress(self.finished, len(self._wanted))

    def _draw(self, rows: list[int], output: EchoCareOutput, view: View) -> None:
        frames = self._frames
        # The logistic function through tanh cannot overflow.
        probabilities = 0.5 * (1 + np.tanh(0.5 * output.conditions.float().cpu().numpy()))
        frames.conditions[rows] = np.where(condition_table()[view.index], probabilities, np.nan)
        box = Letterbox(*self._cine.image_shape)
        labels, probability = self._segmenter.label_map(output.segmentation, view, box.side)
        for row, found, certainty in zip(rows, box.crop(labels), box.crop(probability), strict=True):
            frames.labels[row] = found
            structures = found > 0
            frames.confidence[row] = certainty[structures].mean() if structures.any() else 0.0
            frames.done[row] = True


class OutOfMemory(InvalidRequest):
    """The device has too little memory for this many frames."""


class _Frames:
    """Results so far, one row for every frame of the clip; shapes as in Prediction."""

    def __init__(self, cine: Cine) -> None:
        count = len(cine)
        self.labels = np.zeros((count, *cine.image_shape), dtype=np.uint8)
        self.conditions = np.full((count, N_CONDITIONS), np.nan, dtype=np.float32)
        self.views = np.full((count, len(View)), np.nan, dtype=np.float32)
        self.confidence = np.full(count, np.nan, dtype=np.float32)
        self.done = np.zeros(count, dtype=bool)


def _spread(frames: list[int], count: int) -> list[int]:
    """At most ``count`` of ``frames``, spread evenly over them."""
    places = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [frames[place] for place in dict.fromkeys(places.tolist())]
