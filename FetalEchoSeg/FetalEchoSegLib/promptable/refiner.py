"""The Refiner: clicks on frames of a clip become masks, with embeddings ready before the click.

>>> refiner = Refiner(find_promptable("demo-clicks").build())  # doctest: +SKIP
>>> clip = CineFrames(cine, "clip-1")  # doctest: +SKIP
>>> refiner.prepare(clip, 12)  # doctest: +SKIP
>>> reply = refiner.answer(clip, 12, Prompts(points=(Point(210, 148),)))  # doctest: +SKIP
>>> reply.answer.mask, reply.milliseconds  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..cine import Cine
from ..errors import Cancelled, InvalidRequest
from .embeddings import EmbeddingCache, EmbeddingWorker, FrameKey
from .model import Answer, Embedding, PromptableModel
from .prompts import Prompts
from .propagation import MINIMUM_AGREEMENT, Carried, Direction, carry

Progress = Callable[[int, int], None]
IsCancelled = Callable[[], bool]


class FrameSource(Protocol):
    """Frames to click on. ``frame`` is called in a thread of its own: it must not touch the scene."""

    @property
    def volume(self) -> str:
        """What the frames belong to: a node's id."""
        ...

    @property
    def modified(self) -> int:
        """When the pixels changed last (MTime); another value makes embeddings of them worthless."""
        ...

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def frame(self, index: int) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8."""
        ...


@dataclass(frozen=True)
class CineFrames:
    """A Cine as a source of frames."""

    cine: Cine
    volume: str
    modified: int = 0

    def __len__(self) -> int:
        return len(self.cine)

    def frame(self, index: int) -> np.ndarray:
        """Frame of the clip."""
        return self.cine.frame(index)


@dataclass(frozen=True)
class Reply:
    """An answer and what it took.

    milliseconds  from the question to the mask, waiting for the embedding included
    waited        whether the embedding was not ready
    """

    answer: Answer
    milliseconds: float
    waited: bool


class Refiner:
    """Answers prompts on frames; keeps embeddings of the frames that were looked at and encodes their neighbours.

    max_bytes  of embeddings; one of ViT-B takes 256 KB
    ahead      frames on each side of the current one that are encoded before anybody asks

    Questions come from one thread (the user's); encoding runs in another. ``close`` ends it.
    """

    def __init__(self, model: PromptableModel, max_bytes: int = 512 << 20, ahead: int = 30) -> None:
        self.model = model
        self.ahead = ahead
        self.cache = EmbeddingCache(max_bytes)
        self._worker = EmbeddingWorker(model, self.cache)

    def prepare(self, source: FrameSource, frame: int) -> None:
        """Encode the current frame and then its neighbours in the background, nearest first; drops earlier wishes."""
        self._worker.prepare((_key(source, f), _reader(source, f)) for f in _nearest(frame, len(source), self.ahead))

    def is_ready(self, source: FrameSource, frame: int) -> bool:
        """Whether a click on this frame costs the decoder only."""
        return _key(source, frame) in self.cache

    def wait_for(self, source: FrameSource, frame: int) -> Future[Embedding]:
        """The embedding of a frame, before all that is only computed ahead.

        For a user interface: remember the click, show that it waits, and answer it when the future is done. Callbacks
        of the future run in the encoding thread.
        """
        return self._worker.ask(_key(source, frame), _reader(source, frame))

    def answer(self, source: FrameSource, frame: int, prompts: Prompts, cancelled: IsCancelled | None = None) -> Reply:
        """The mask for what was said about one structure of a frame; waits for the embedding if it must.

        Raises InvalidRequest for prompts outside the image or a frame outside the clip, Cancelled when ``cancelled()``
        says yes while waiting or the Refiner is closed.
        """
        return self.answer_all(source, frame, [prompts], cancelled)[0]

    def answer_all(
        self, source: FrameSource, frame: int, prompts: list[Prompts], cancelled: IsCancelled | None = None
    ) -> list[Reply]:
        """The same for several structures of a frame at once."""
        began = time.perf_counter()
        future = self.wait_for(source, frame)
        waited = not future.done()
        embedding = _result(future, cancelled)
        for prompt in prompts:
            prompt.require_inside(embedding.geometry.height, embedding.geometry.width)
            if prompt.is_empty:
                raise InvalidRequest("There is nothing to go by: click inside the structure or draw a box around it.")
        answers = self.model.answer(embedding, prompts)
        milliseconds = 1e3 * (time.perf_counter() - began)
        return [Reply(answer, milliseconds, waited) for answer in answers]

    def starting_from(self, source: FrameSource, frame: int, mask: np.ndarray, prompts: Prompts) -> Prompts:
        """``prompts`` with an existing (H, W) bool mask as their memory, unless they have one or it is empty.

        So that the first click corrects the contour that is there and does not start a new one.
        """
        if prompts.mask is not None or not mask.any():
            return prompts
        from .geometry import Geometry

        geometry = Geometry.of(mask, self.model.config, self.model.sampling)
        return prompts.with_mask(geometry.mask_prompt(mask))

    def propagate(
        self,
        source: FrameSource,
        from_frame: int,
        mask: np.ndarray,
        direction: Direction = 1,
        limit: int | None = None,
        minimum_agreement: float = MINIMUM_AGREEMENT,
        progress: Progress | None = None,
        cancelled: IsCancelled | None = None,
    ) -> Carried:
        """Carry a corrected (H, W) bool mask to the following frames (direction 1) or the preceding ones (-1).

        limit              frames at most; to the end of the clip if None
        minimum_agreement  where agreement falls below, it stops before that frame; see ``propagation.carry``
        progress           called with (frames done, frames in all)
        Once ``cancelled()`` says yes the frames that were reached are returned.
        """
        return carry(
            self.model,
            lambda frame: _result(self.wait_for(source, frame), cancelled),
            len(source),
            from_frame,
            mask,
            direction,
            limit,
            minimum_agreement,
            progress,
            cancelled,
        )

    @property
    def pending(self) -> int:
        """Frames that are being encoded or wait for it."""
        return self._worker.pending

    def rest(self) -> None:
        """Encode nothing ahead any more; open questions are cancelled, and what was encoded is kept."""
        self._worker.cancel()

    def forget(self, volume: str | None = None) -> None:
        """Drop the embeddings of one volume, or all, and what is to be encoded ahead."""
        self._worker.cancel()
        self.cache.discard(volume)

    def close(self) -> None:
        """End the encoding thread; open questions are cancelled."""
        self._worker.close()
        self.cache.discard()


def _key(source: FrameSource, frame: int) -> FrameKey:
    if not 0 <= frame < len(source):
        raise InvalidRequest(f"There is no frame {frame}: the clip has frames 0 to {len(source) - 1}.")
    return FrameKey(source.volume, source.modified, frame)


def _reader(source: FrameSource, frame: int) -> Callable[[], np.ndarray]:
    return lambda: source.frame(frame)


def _nearest(frame: int, count: int, ahead: int) -> Iterator[int]:
    """The frame, then its neighbours, the following one of two equally near ones first."""
    yield frame
    for distance in range(1, ahead + 1):
        for neighbour in (frame + distance, frame - distance):
            if 0 <= neighbour < count:
                yield neighbour


def _result(future: Future[Embedding], cancelled: IsCancelled | None) -> Embedding:
    """Wait, asking now and then whether anybody still wants it."""
    while True:
        if cancelled is not None and cancelled():
            future.cancel()
            raise Cancelled("Cancelled while the frame was being prepared.")
        try:
            return future.result(timeout=None if cancelled is None else 0.05)
        except FutureTimeout:
            continue
        except CancelledError as error:
            raise Cancelled("The frame is not being prepared any more: click again.") from error
