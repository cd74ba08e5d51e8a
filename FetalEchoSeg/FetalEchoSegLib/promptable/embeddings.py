"""Embeddings computed ahead of the click: a cache with a byte limit and one thread that fills it.

Asking for a frame that is not there yet puts it before everything that is only computed ahead; an encoding that runs
ahead is abandoned for it between two blocks of the network.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import Cancelled

if TYPE_CHECKING:
    from .model import Embedding, PromptableModel

logger = logging.getLogger(__name__)

FrameReader = Callable[[], np.ndarray]


class FrameKey(NamedTuple):
    """Which pixels: the volume (or sequence), when it changed last, and the frame in it."""

    volume: str
    modified: int
    frame: int


class EmbeddingCache:
    """Embeddings by frame; the ones not used for longest go when there are too many bytes. Safe between threads."""

    def __init__(self, max_bytes: int = 512 << 20) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[FrameKey, Embedding] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: FrameKey) -> bool:
        """Whether it is there; does not count as use."""
        return key in self._entries

    @property
    def nbytes(self) -> int:
        """Bytes in use; above ``max_bytes`` only while a single embedding is larger than that."""
        return self._bytes

    def get(self, key: FrameKey) -> Embedding | None:
        """The embedding, which counts as used now, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: FrameKey, embedding: Embedding) -> None:
        """Keep an embedding; those of the same frame before it was changed are dropped."""
        with self._lock:
            for old in [k for k in self._entries if k.volume == key.volume and k.frame == key.frame]:
                self._drop(old)
            self._entries[key] = embedding
            self._bytes += embedding.nbytes
            while self._bytes > self.max_bytes and len(self._entries) > 1:
                self._drop(next(iter(self._entries)))

    def discard(self, volume: str | None = None) -> None:
        """Drop everything of one volume, or everything."""
        with self._lock:
            for key in [k for k in self._entries if volume is None or k.volume == volume]:
                self._drop(key)

    def _drop(self, key: FrameKey) -> None:
        self._bytes -= self._entries.pop(key).nbytes


class EmbeddingWorker:
    """One thread that encodes: what was asked for first, then what is likely to be asked for.

    The thread starts with the first work and is a daemon, so that it never keeps a closing application alive.
    Frame readers are called in that thread: they must not touch the scene.
    """

    def __init__(self, model: PromptableModel, cache: EmbeddingCache) -> None:
        self._model = model
        self._cache = cache
        self._condition = threading.Condition()
        self._wanted: deque[tuple[FrameKey, FrameReader, Future[Embedding]]] = deque()
        self._ahead: deque[tuple[FrameKey, FrameReader]] = deque()
        self._current: FrameKey | None = None
        self._current_was_asked = False
        self._abandon = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, key: FrameKey, read: FrameReader) -> Future[Embedding]:
        """The embedding as soon as possible; its future is done at once if it is there already.

        A later question about another frame is answered first: the user has moved on.
        """
        future: Future[Embedding] = Future()
        found = self._cache.get(key)
        if found is not None:
            future.set_result(found)
            return future
        with self._condition:
            if self._closed:
                raise Cancelled("Clicking was closed.")
            self._wanted.appendleft((key, read, future))
            if self._current is not None and self._current != key:
                self._abandon = True
            self._start()
        return future

    def prepare(self, frames: Iterable[tuple[FrameKey, FrameReader]]) -> None:
        """Encode these ahead, in this order, instead of whatever was to be encoded ahead before."""
        with self._condition:
            if self._closed:
                return
            self._ahead = deque((key, read) for key, read in frames if key not in self._cache)
            if not self._current_was_asked and self._current not in {key for key, _ in self._ahead}:
                self._abandon = True
            if self._ahead:
                self._start()

    def cancel(self) -> None:
        """Encode nothing ahead any more, and answer no open question: their futures are cancelled."""
        with self._condition:
            self._ahead.clear()
            self._abandon = True
            questions = list(self._wanted)
            self._wanted.clear()
        for _, _, future in questions:
            future.cancel()

    def close(self, timeout: float = 10.0) -> None:
        """Cancel, and wait for the thread to end."""
        with self._condition:
            self._closed = True
        self.cancel()
        with self._condition:
            self._condition.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    @property
    def pending(self) -> int:
        """Frames that wait or are being encoded."""
        with self._condition:
            return len(self._wanted) + len(self._ahead) + (self._current is not None)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="FetalEcho embeddings", daemon=True)
            self._thread.start()
        self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._current = None
                while not (self._closed or self._wanted or self._ahead):
                    self._condition.wait()
                if self._closed:
                    return
                future: Future[Embedding] | None = None
                if self._wanted:
                    key, read, future = self._wanted.popleft()
                else:
                    key, read = self._ahead.popleft()
                self._current, self._current_was_asked, self._abandon = key, future is not None, False
            self._encode(key, read, future)

    def _encode(self, key: FrameKey, read: FrameReader, future: Future[Embedding] | None) -> None:
        if future is not None and future.cancelled():
            return
        try:
            embedding = self._cache.get(key)
            if embedding is None:
                embedding = self._model.embed(read(), cancelled=lambda: self._abandon)
                self._cache.put(key, embedding)
        except Cancelled:
            self._put_back(key, read, future)
        except Exception as error:  # noqa: BLE001 - the thread must live on
            # Whatever it was, it belongs to the one who asked; ahead of time nobody did, and a click will meet it.
            if future is not None and not future.cancelled():
                _settle(future, error=error)
            else:
                logger.warning("Frame %d could not be encoded ahead of time: %s", key.frame, error)
        else:
            if future is not None:
                _settle(future, embedding)
            self._answer_others(key, embedding)

    def _put_back(self, key: FrameKey, read: FrameReader, future: Future[Embedding] | None) -> None:
        """What was abandoned for a question waits right behind it; after ``cancel`` nothing waits."""
        with self._condition:
            if future is not None and not future.cancelled():
                if self._wanted:
                    self._wanted.append((key, read, future))
                else:
                    future.cancel()
            elif self._wanted:
                self._ahead.appendleft((key, read))

    def _answer_others(self, key: FrameKey, embedding: Embedding) -> None:
        with self._condition:
            same = [entry for entry in self._wanted if entry[0] == key]
            for entry in same:
                self._wanted.remove(entry)
        for _, _, future in same:
            _settle(future, embedding)


def _settle(future: Future[Embedding], value: Embedding | None = None, error: BaseException | None = None) -> None:
    """Set a future that somebody may cancel at the same moment."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        assert value is not None
        future.set_result(value)
