"""The Segmenter: a clip in, a Prediction out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import View
from .bundle_card import CARD_FILE
from .cine import Cine
from .errors import Cancelled, InvalidRequest, UnusableBundle
from .prediction import Prediction
from .segmentation_run import IsCancelled, OutOfMemory, Progress, SegmentationRun

if TYPE_CHECKING:
    import torch

    from .bundle import Bundle
    from .networks.output import EchoCareOutput
    from .promptable.bundle import PromptableBundle

# How long a batch should take while somebody watches: progress moves, and a cancelled run loses little.
INTERACTIVE_SECONDS = 0.4


class Segmenter:
    """Runs one bundle on clips.

    device      "auto" picks the best one present; otherwise "cpu", "cuda", "cuda:1", "mps"
    precision   "auto" by capability of the device; otherwise "fp32", "bf16", "fp16"
    batch_size  frames per forward pass at most; None lets the device decide

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
        # A run that was given up may still be inside the network, which reads its layers when they first run.
        self._lock = threading.Lock()

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
        cancelled  asked at every step; once it says yes the finished frames are returned, the rest are empty
        Raises InvalidRequest for frames outside the clip and when no view is given and the model has no view head,
        Cancelled when no frame was finished.

        Memory: the label maps (one byte a pixel) and a few batches of activations, whatever the length of the clip.
        """
        run = self.start(cine, view, frames)
        run.go(progress, cancelled)
        return run.prediction()

    def start(
        self,
        cine: Cine,
        view: View | None = None,
        frames: Sequence[int] | None = None,
        seconds_per_batch: float | None = None,
    ) -> SegmentationRun:
        """A run as in ``segment`` that has not begun; raises what ``segment`` raises for a bad request.

        seconds_per_batch  batches begin with one frame and grow as long as they take less than this; None for
                           batches of ``batch_size``
        """
        chosen = frame_numbers(cine, frames)
        if view is None and cine.view is None and self.bundle.card.architecture.n_views == 0:
            raise InvalidRequest(
                f"The model {self.bundle.name} cannot tell the view: choose one of {', '.join(v.short for v in View)}."
            )
        return SegmentationRun(self, cine, view, chosen, seconds_per_batch)

    def forward(self, images: torch.Tensor, cancelled: IsCancelled | None = None) -> EchoCareOutput:
        """The network's output for (B, 1, H, W) images in 0..1.

        Raises Cancelled soon after ``cancelled()`` turns true, and OutOfMemory.
        """
        from .networks.stopping import Stoppable

        try:
            with held(self._lock, cancelled):
                if cancelled is None:
                    return self._network(images)
                with Stoppable(cancelled):
                    return self._network(images)
        except (RuntimeError, MemoryError) as error:
            # PyTorch has a class of its own for some devices only.
            text = str(error)
            if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
                several = f"{len(images)} frames at a time" if len(images) > 1 else "one frame"
                raise OutOfMemory(
                    f"There is not enough memory on {self.choice.device} for {several}: close other programs or "
                    "choose another device."
                ) from error
            raise

    def label_map(self, logits: torch.Tensor, view: View, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels and their probability, (B, side, side) each, from segmentation logits."""
        return self._network.label_map(logits, view, side)


def cached_segmenter(
    model: str | Path, device: str = "auto", precision: str = "auto", cancelled: IsCancelled | None = None
) -> Segmenter:
    """Segmenter of a model by name or folder, ready for its next clip; raises what ``find_bundle`` does.

    The last one is kept, as long as its files on disk are the same: a full network is hundreds of megabytes. Weights
    are checked before a Segmenter is built. May be called from any thread; raises Cancelled when ``cancelled()`` turns
    true while another thread builds one.
    """
    from .bundle import find_bundle

    with held(_cache_lock, cancelled):
        try:
            bundle = find_bundle(model)
            key = (bundle.path.resolve(), file_times(bundle), device, precision)
        except UnusableBundle:
            _kept.clear()
            raise
        if key not in _kept:
            _kept.clear()  # before the next one takes as much memory
            _kept[key] = Segmenter(bundle, device, precision)
        return _kept[key]


def forget_segmenter() -> None:
    """Free the memory of the Segmenter that ``cached_segmenter`` keeps; on Windows, its file can be deleted then."""
    _kept.clear()


_kept: dict[tuple[object, ...], Segmenter] = {}
_cache_lock = threading.Lock()


def file_times(bundle: Bundle | PromptableBundle) -> tuple[object, ...]:
    """What differs once the files of a bundle were replaced; raises UnusableBundle when they are gone."""
    try:
        status = [(bundle.path / name).stat() for name in (CARD_FILE, bundle.weights_path.name)]
    except OSError as error:
        raise UnusableBundle(
            f"Model {bundle.name} in {bundle.path} cannot be read ({error.strerror}): install it again."
        ) from error
    return tuple((s.st_size, s.st_mtime_ns, s.st_ino) for s in status)


@contextmanager
def held(lock: threading.Lock, cancelled: IsCancelled | None) -> Iterator[None]:
    """Hold ``lock``; raises Cancelled when ``cancelled()`` turns true before it is free."""
    while not lock.acquire(timeout=0.05):
        if cancelled is not None and cancelled():
            raise Cancelled("Cancelled.")
    try:
        yield
    finally:
        lock.release()


def frame_numbers(cine: Cine, frames: Sequence[int] | None) -> list[int]:
    """The frames asked for, in order; raises InvalidRequest when there is none, or one outside the clip."""
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
