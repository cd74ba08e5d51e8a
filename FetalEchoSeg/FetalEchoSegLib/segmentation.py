"""The Segmenter: a clip in, a Prediction out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import N_CONDITIONS, View, condition_table
from .cine import Cine
from .errors import Cancelled, InvalidRequest
from .prediction import Prediction
from .preprocessing import Letterbox, network_input

if TYPE_CHECKING:
    import torch

    from .bundle import Bundle
    from .networks.output import EchoCareOutput

Progress = Callable[[int, int], None]
IsCancelled = Callable[[], bool]

# Below this clip-level probability a predicted view is shown as doubtful.
CONFIDENT_VIEW = 0.6


class Segmenter:
    """Runs one bundle on clips.

    device      "auto" picks the best one present; otherwise "cpu", "cuda", "cuda:1", "mps"
    precision   "auto" by capability of the device; otherwise "fp32", "bf16", "fp16"
    batch_size  frames per forward pass; None lets the device decide

    >>> from FetalEchoSegLib.bundle import find_bundle
    >>> from FetalEchoSegLib.readers import read_cine
    >>> prediction = Segmenter(find_bundle("demo-tiny")).segment(read_cine("clip.dcm"))  # doctest: +SKIP
    """

    def __init__(
        self, bundle: Bundle, device: str = "auto", precision: str = "auto", batch_size: int | None = None
    ) -> None:
        from .devices import choose_device

        self.bundle = bundle
        self.choice = choose_device(device, precision)
        self.batch_size = batch_size or self.choice.batch_size
        if self.batch_size < 1:
            raise InvalidRequest(f"The batch size must be 1 or more, not {batch_size}.")
        self._network = bundle.build_network(self.choice.device, self.choice.precision)

    def segment(
        self,
        cine: Cine,
        view: View | None = None,
        frames: Sequence[int] | None = None,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> Prediction:
        """Segment ``frames`` of a clip (all if None).

        view       what the user says; wins over the clip's own, which wins over the model's
        progress   called with (frames done, frames in all)
        cancelled  asked before every batch; once it says yes the finished frames are returned, the rest are empty
        Raises InvalidRequest for frames outside the clip and when no view is given and the model has no view head.

        Memory: the label maps (one byte a pixel) and a few batches of activations, whatever the length of the clip.
        """
        chosen = self._frame_numbers(cine, frames)
        collected = _Frames.empty(cine)
        view_source = "user" if view else "file" if cine.view else "predicted"
        view = view or cine.view
        view_probabilities: np.ndarray | None = None
        if view is None and self.bundle.card.architecture.n_views == 0:
            raise InvalidRequest(
                f"The model {self.bundle.name} cannot tell the view: choose one of {', '.join(v.short for v in View)}."
            )
        for rows in _batches(chosen, self.batch_size):
            if cancelled is not None and cancelled():
                break
            output = self._run(self._input(cine, rows))
            # The first batch is spread over the whole clip; it speaks for all when the view is to be found.
            if output.views is not None and view_probabilities is None:
                view_probabilities = _clip_view(output.views.float().log_softmax(1).cpu().numpy())
                view = view or View(int(view_probabilities.argmax()) + 1)
            assert view is not None  # no view head was refused above
            collected.add(rows, output.conditions.float().cpu().numpy(), view)
            self._draw(cine, rows, output.segmentation, view, collected)
            if progress is not None:
                progress(int(collected.done.sum()), len(chosen))
        if view is None:
            raise Cancelled("Cancelled before the first frame was segmented.")
        return self._prediction(view, view_source, view_probabilities, len(chosen), collected)

    def _frame_numbers(self, cine: Cine, frames: Sequence[int] | None) -> list[int]:
        wanted = range(len(cine)) if frames is None else frames
        # A range is judged by its ends: after a slip of the finger it can be too long to write out.
        if not isinstance(wanted, range):
            wanted = sorted({int(frame) for frame in wanted})
        first, last = (min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])) if wanted else (-1, -1)
        if first < 0 or last >= len(cine):
            asked = f"Frames {first} to {last} were" if wanted else "No frame was"
            have = f"frames 0 to {len(cine) - 1}" if len(cine) > 1 else "frame 0 only"
            name = cine.origin.path or "the clip"
            raise InvalidRequest(f"{asked} asked for, but {name} has {have}: choose among those.")
        return sorted(wanted)

    def _input(self, cine: Cine, rows: Sequence[int]) -> torch.Tensor:
        import torch

        size = self.bundle.card.preprocessing.size
        images = np.stack([network_input(cine.frame(row), size) for row in rows])
        return torch.from_numpy(images)[:, np.newaxis]

    def _run(self, images: torch.Tensor) -> EchoCareOutput:
        try:
            return self._network(images)
        except RuntimeError as error:
            # PyTorch has a class of its own for some devices only.
            if "out of memory" in str(error) or "can't allocate memory" in str(error):
                raise InvalidRequest(
                    f"There is not enough memory on {self.choice.device} for {len(images)} frames at a time: "
                    "choose a smaller batch or another device."
                ) from error
            raise

    def _draw(self, cine: Cine, rows: Sequence[int], logits: torch.Tensor, view: View, collected: _Frames) -> None:
        box = Letterbox(*cine.image_shape)
        labels, probability = self._network.label_map(logits, view, box.side)
        for row, found, certainty in zip(rows, box.crop(labels), box.crop(probability), strict=True):
            collected.labels[row] = found
            structures = found > 0
            collected.confidence[row] = certainty[structures].mean() if structures.any() else 0.0

    def _prediction(
        self, view: View, view_source: str, probabilities: np.ndarray | None, wanted: int, collected: _Frames
    ) -> Prediction:
        notes = []
        finished = int(collected.done.sum())
        if finished < wanted:
            notes.append(f"Cancelled after {finished} of {wanted} frames; the finished ones are kept.")
        if probabilities is None:
            probabilities = np.full(len(View), np.nan, dtype=np.float32)
        else:
            best = View(int(probabilities.argmax()) + 1)
            if view_source == "predicted" and probabilities[best.index] < CONFIDENT_VIEW:
                notes.append(
                    f"The view is doubtful: {best.short} with probability {probabilities[best.index]:.2f}. "
                    "Choose the view to be sure that the right structures are shown."
                )
            elif best is not view and probabilities[best.index] >= CONFIDENT_VIEW:
                notes.append(
                    f"Segmented as {view.short} ({view_source}), but the model takes this clip for {best.short} "
                    f"(probability {probabilities[best.index]:.2f})."
                )
        if self.bundle.card.notice:
            notes.append(self.bundle.card.notice)
        judged = condition_table()[view.index]
        clip_conditions = np.full(N_CONDITIONS, np.nan, dtype=np.float32)
        if finished:
            clip_conditions[judged] = collected.conditions[collected.done][:, judged].mean(axis=0)
        return Prediction(
            labels=collected.labels,
            view=view,
            view_probabilities=probabilities,
            view_source=view_source,
            condition_probabilities=collected.conditions,
            clip_conditions=clip_conditions,
            confidence=collected.confidence,
            done=collected.done,
            bundle=self.bundle.identity(),
            notes=tuple(notes),
        )


@dataclass
class _Frames:
    """Results so far, one row for every frame of the clip; shapes as in Prediction."""

    labels: np.ndarray
    conditions: np.ndarray
    confidence: np.ndarray
    done: np.ndarray

    @classmethod
    def empty(cls, cine: Cine) -> _Frames:
        count = len(cine)
        return cls(
            labels=np.zeros((count, *cine.image_shape), dtype=np.uint8),
            conditions=np.full((count, N_CONDITIONS), np.nan, dtype=np.float32),
            confidence=np.full(count, np.nan, dtype=np.float32),
            done=np.zeros(count, dtype=bool),
        )

    def add(self, rows: Sequence[int], condition_logits: np.ndarray, view: View) -> None:
        index = list(rows)
        # The logistic function through tanh cannot overflow.
        probabilities = 0.5 * (1 + np.tanh(0.5 * condition_logits))
        self.conditions[index] = np.where(condition_table()[view.index], probabilities, np.nan)
        self.done[index] = True


def _clip_view(log_probabilities: np.ndarray) -> np.ndarray:
    """(4,) clip-level probabilities from (N, 4) per-frame log-probabilities.

    The normalised geometric mean: frames of one clip show the same plane and are anything but independent, so their
    evidence is averaged, not multiplied.
    """
    mean = log_probabilities.mean(axis=0)
    weights = np.exp(mean - mean.max())
    return (weights / weights.sum()).astype(np.float32)


def _batches(frames: list[int], size: int) -> Iterator[list[int]]:
    """Batches of frame numbers; the first is spread evenly over the clip, because it decides the view."""
    spread = np.linspace(0, len(frames) - 1, min(size, len(frames))).round().astype(int)
    first = [frames[i] for i in dict.fromkeys(spread.tolist())]
    yield first
    rest = sorted(set(frames) - set(first))
    for start in range(0, len(rest), size):
        yield rest[start : start + size]
