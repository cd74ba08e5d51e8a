"""Clicks become masks: one model, and the prompts of every segment, for all editors and the console.

>>> session = ClickSession()  # doctest: +SKIP
>>> session.chooseModel("demo-clicks")  # doctest: +SKIP
>>> session.addPoint(editor, targetOfEditor(editorNode), x=210.0, y=148.0)  # doctest: +SKIP
>>> session.poll()  # now and then, from the main thread, while session.isBusy  # doctest: +SKIP

Nothing here knows of windows. The model is loaded and frames are encoded in threads of their own; ``poll`` takes up
what they have finished. A click that comes before that waits, and is shown as waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import Cancelled, FetalEchoError, InvalidRequest
from ..promptable.history import PromptHistory, Target, mask_fingerprint
from ..promptable.prompts import Box, Point, Prompts
from .click_authors import ClickAuthors
from .click_target import ClickTarget
from .plane_masks import Editor, contentMask, segmentMask, writeMask
from .prompt_storage import PromptStorage

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ..promptable.refiner import Refiner

Change = Callable[[Prompts], Prompts]
_DROPPED = "Another image or segment is shown: the click that waited was dropped."
NOTHING_DRAWN = "Nothing is drawn yet that could be taken away: click inside the structure first."
NOTHING_FOUND = "The model finds nothing there: click nearer to the middle, or draw a box."
_STARTS_KEPT = 500  # of 32 KB each at 512 x 512


@dataclass(frozen=True)
class Clicked:
    """What became of a click.

    title         the segment's name                   frame  number of the frame, or of the slice
    isSlice       whether it is a slice of a volume    isStill  whether there is only one
    prompts       those in force now
    iou           overlap with what was meant, as the model predicts it; None where it was not asked
    milliseconds  from the click, or from when the frame was ready, to the mask in the scene
    notes         what the model has to say, such as that it runs on the CPU now
    """

    title: str
    frame: int
    isSlice: bool
    isStill: bool
    prompts: Prompts
    iou: float | None = None
    milliseconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass
class _Waiting:
    """A click for which the model or the frame is not ready."""

    editor: Editor
    target: ClickTarget
    change: Change
    future: Future[Any] | None = None


class ClickSession:
    """Answers clicks in the scene, undo and redo included.

    load     makes a ``PromptableModel`` from (name, device); called in a thread
    changed  called after every change of what is shown: model, prompts, waiting clicks, and what to say
    outcome  what was done last: a Clicked, a sentence on why not, or None

    All methods are for the main thread and return at once.
    """

    def __init__(self, load: Callable[[str, str], Any] | None = None) -> None:
        self._load = load or _cachedModel
        self._listeners: list[Callable[[], None]] = []
        self._storage = PromptStorage()
        self._authors = ClickAuthors()
        self._starts: dict[tuple[str, Target], np.ndarray] = {}  # packed to bits
        self._waiting: list[_Waiting] = []
        self._prepared: ClickTarget | None = None
        self._loading: _Loading | None = None
        self._writing = False
        self._notesSaid = 0
        self.refiner: Refiner | None = None
        self.modelChoice: tuple[str, str] | None = None
        self.modelProblem = ""
        self.outcome: Clicked | str | None = None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every change."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Do not call it any more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    # the model

    @property
    def isReady(self) -> bool:
        """Whether a model is loaded."""
        return self.refiner is not None

    @property
    def isLoading(self) -> bool:
        """Whether one is being loaded."""
        return self._loading is not None

    @property
    def isBusy(self) -> bool:
        """Whether ``poll`` is to be called again: a model is loaded, frames are encoded, or clicks wait."""
        encoding = self.refiner is not None and self.refiner.pending > 0
        return self.isLoading or bool(self._waiting) or encoding

    @property
    def waitingClicks(self) -> int:
        """Clicks that are not answered yet."""
        return len(self._waiting)

    def chooseModel(self, name: str, device: str = "auto") -> None:
        """Answer with this bundle ("" for the default one) on this device; it is loaded in the background.

        Clicks wait meanwhile. What is wrong with it is in ``modelProblem`` afterwards.
        """
        if (name, device) == self.modelChoice and (self.isReady or self.isLoading):
            return
        self._closeRefiner()
        self.modelChoice, self.modelProblem = (name, device), ""
        self._loading = _Loading(lambda: self._load(name, device))
        self._tell()

    def refuse(self, problem: str) -> None:
        """Answer no clicks, for the reason that a sentence gives."""
        self._closeRefiner()
        self._loading, self.modelChoice, self.modelProblem = None, None, problem
        self._tell()

    def useModel(self, model: Any) -> None:
        """Answer with a ``PromptableModel`` that is there already."""
        from ..promptable.refiner import Refiner

        self._closeRefiner()
        self._loading, self.modelChoice, self.modelProblem = None, None, ""
        self.refiner = Refiner(model)
        self._notesSaid = 0
        self._tell()

    def close(self) -> None:
        """Forget the model and end the threads; prompts stay with their nodes."""
        self._waiting.clear()
        self._loading = None
        self._closeRefiner()
        self.modelChoice, self.modelProblem, self._prepared = None, "", None
        self._listeners.clear()

    def poll(self) -> None:
        """Take up what the threads have finished; errors become sentences."""
        loading = self._loading
        if loading is not None and loading.isDone:
            self._loading = None
            self._takeModel(loading)
        if self.refiner is None:
            if self.modelProblem and self._waiting:
                self.dropWaiting(self.modelProblem)
            return
        while self._waiting:  # in the order in which they came
            waiting = self._waiting[0]
            if waiting.future is None:
                self._guarded(lambda w=waiting: self._askFor(w))
            elif waiting.future.done():
                self._waiting.pop(0)
                self._guarded(lambda w=waiting: self._answerWaiting(w))
            else:
                return

    # what is looked at

    def prepare(self, target: ClickTarget | None) -> None:
        """Encode what an editor shows before anybody clicks, and drop clicks that wait for something else."""
        strays = [waiting for waiting in self._waiting if not waiting.target.isSame(target)]
        for waiting in strays:
            self._waiting.remove(waiting)
            if waiting.future is not None:
                waiting.future.cancel()
        if strays:
            self.outcome = _DROPPED
            self._tell()
        self._prepared = target
        if target is not None:
            self.follow(target)  # it may have been changed while another was shown
        if self.refiner is not None and target is None:
            self.refiner.rest()
        elif self.refiner is not None:
            self.refiner.prepare(target.source, target.frame)

    def promptsOf(self, target: ClickTarget) -> Prompts:
        """Points and box in force for a segment in a frame."""
        return self._storage.of(target.owner)[target.key]

    def promptsShown(self, target: ClickTarget) -> tuple[Prompts, int]:
        """The prompts as they will be when no click waits any more, and how many of them wait: the last ones."""
        prompts = self.promptsOf(target)
        said = len(prompts.points) + (prompts.box is not None)
        for waiting in self._waiting:
            if waiting.target.isSame(target):
                prompts = waiting.change(prompts)
        return prompts, max(0, len(prompts.points) + (prompts.box is not None) - said)

    # clicks

    def addPoint(self, editor: Editor, target: ClickTarget, x: float, y: float, positive: bool = True) -> None:
        """A click at (x, y) in pixels of the target's plane: inside the structure if positive, else outside of it."""
        point = Prompts((Point(x, y, positive),))
        point.require_inside(*target.plane.shape)
        self._change(editor, target, lambda prompts: prompts.with_point(point.points[0]))

    def preview(self, target: ClickTarget, x: float, y: float, positive: bool = True) -> np.ndarray | None:
        """(H, W) bool that a click there would draw; None where that takes more than the decoder, or nothing came."""
        if self.refiner is None or self._waiting or not self.refiner.is_ready(target.source, target.frame):
            return None
        prompts = self.promptsOf(target).with_point(Point(x, y, positive))
        own, content = segmentMask(target), contentMask(target)
        if not (own.any() or prompts.box is not None or any(point.positive for point in prompts.points)):
            return None
        asked = self.refiner.starting_from(target.source, target.frame, own | content if own.any() else own, prompts)
        return self.refiner.answer(target.source, target.frame, asked).answer.mask & ~content

    def setBox(self, editor: Editor, target: ClickTarget, box: Box) -> None:
        """A box around the structure; it replaces the one that was there, and is cut at the border of the image."""
        rows, columns = target.plane.shape
        Prompts(box=box).require_inside(rows, columns)
        box = Box(max(box.left, 0), max(box.top, 0), min(box.right, columns - 1), min(box.bottom, rows - 1))
        self._change(editor, target, lambda prompts: prompts.with_box(box))

    def removePoint(self, editor: Editor, target: ClickTarget, index: int) -> None:
        """Take one point away; the mask becomes what the others say, beginning from what was there before any."""
        self._change(editor, target, lambda prompts: prompts.without_point(index).with_mask(None))

    def removeBox(self, editor: Editor, target: ClickTarget) -> None:
        """Take the box away, as a point."""
        self._change(editor, target, lambda prompts: prompts.with_box(None).with_mask(None))

    def removeLast(self, editor: Editor, target: ClickTarget) -> None:
        """Take away the last point, or the box when there is no point."""
        if any(waiting.target.isSame(target) for waiting in self._waiting):
            last = next(waiting for waiting in reversed(self._waiting) if waiting.target.isSame(target))
            self._waiting.remove(last)
            self._tell()
            return
        prompts = self.promptsOf(target)
        if prompts.points:
            self.removePoint(editor, target, len(prompts.points) - 1)
        elif prompts.box is not None:
            self.removeBox(editor, target)

    def clear(self, target: ClickTarget) -> None:
        """Forget the prompts of a segment in a frame; the mask stays, and the next click begins from it."""
        self._waiting = [waiting for waiting in self._waiting if not waiting.target.isSame(target)]
        history = self._storage.of(target.owner)
        if history[target.key].is_said:
            # A step like any other: undo brings them back together with an earlier mask.
            history.record(target.key, Prompts(), mask_fingerprint(segmentMask(target)))
            self._storage.save(target.owner)
        self.outcome = None
        self._tell()

    def dropWaiting(self, reason: str = "") -> None:
        """Forget the clicks that wait."""
        if self._waiting:
            self._waiting.clear()
            self.outcome = reason or self.outcome
            self._tell()

    def follow(self, target: ClickTarget) -> bool:
        """Masks of this frame were changed by somebody: undo and redo take the prompts with them. Whether they did."""
        if self._writing:
            return False
        self._authors.follow(target)
        history = self._storage.of(target.owner)
        followed = None
        for key in history.known():
            # Undo brings all segments back, also those that are not selected.
            if key[:2] == target.key[:2] and (sibling := target.of(key.segment)).segment is not None:
                before = history[key]
                found = history.follow(key, mask_fingerprint(segmentMask(sibling)))
                if found is not None and found is not before:
                    followed = sibling
        if followed is None:
            return False
        self._storage.save(target.owner)
        self.outcome = _clicked(followed, history[followed.key])
        self._tell()
        return True

    # inside

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Cancelled:
            pass
        except FetalEchoError as error:
            self.outcome = str(error)
        except Exception as error:
            logging.exception("click")
            self.outcome = f"The click could not be answered: {error or type(error).__name__}"
        self._tell()

    def _change(self, editor: Editor, target: ClickTarget, change: Change) -> None:
        if self.refiner is None and not self.isLoading:
            raise InvalidRequest(self.modelProblem or "Choose a model that answers clicks first.")
        waiting = _Waiting(editor, target, change)
        isFirst = not self._waiting
        self._waiting.append(waiting)
        if self.refiner is not None and isFirst:
            self.poll()
        if self._waiting:
            self._tell()

    def _askFor(self, waiting: _Waiting) -> None:
        try:
            waiting.future = self.refiner.wait_for(waiting.target.source, waiting.target.frame)
        except FetalEchoError:
            self._waiting.remove(waiting)
            raise

    def _answerWaiting(self, waiting: _Waiting) -> None:
        began = time.perf_counter()
        target = waiting.target
        if waiting.future.cancelled():
            return
        if waiting.future.exception() is not None:
            raise waiting.future.exception()
        if not target.isShown() or waiting.editor.selectedSegmentId() != target.segmentId:
            raise InvalidRequest(_DROPPED)
        self.outcome = self._answer(waiting.editor, target, waiting.change, began)

    def _answer(self, editor: Editor, target: ClickTarget, change: Change, began: float) -> Clicked:
        """Ask the model, write the mask, remember the step."""
        history = self._storage.of(target.owner)
        own = segmentMask(target)
        content = contentMask(target)
        prompts, start = self._begin(history, target, own, content, change)
        if not prompts.is_said:
            return self._takeBack(editor, target, history, own, start & ~content)
        if prompts.box is None and not any(point.positive for point in prompts.points) and not start.any():
            raise InvalidRequest(NOTHING_DRAWN)
        asked = self.refiner.starting_from(target.source, target.frame, start, prompts)
        reply = self.refiner.answer(target.source, target.frame, asked)
        found = reply.answer.mask & ~content
        if not found.any():
            raise InvalidRequest(NOTHING_FOUND)
        self._write(editor, target, own, found)
        history.record(target.key, prompts.with_mask(reply.answer.logits), mask_fingerprint(segmentMask(target)))
        self._storage.save(target.owner)
        took = 1e3 * (time.perf_counter() - began)
        return replace(_clicked(target, prompts), iou=reply.answer.iou, milliseconds=took, notes=self._newNotes())

    def _begin(
        self, history: PromptHistory, target: ClickTarget, own: np.ndarray, content: np.ndarray, change: Change
    ) -> tuple[Prompts, np.ndarray]:
        """The changed prompts, and the mask to start from: what was there before the first prompt, or before theirs.

        A ring starts as what it encloses, for that is what one clicks at.
        """
        place = (target.owner.GetID(), target.key)
        before = history[target.key]
        history.begin(target.key, mask_fingerprint(own))
        start = own | content if own.any() else own
        if not before.is_said or history[target.key] is not before:
            self._starts.pop(place, None)
            self._starts[place] = np.packbits(start)
            if len(self._starts) > _STARTS_KEPT:
                del self._starts[next(iter(self._starts))]
        prompts = change(history[target.key])
        if prompts.mask is None and place in self._starts:
            start = np.unpackbits(self._starts[place], count=start.size).reshape(start.shape).astype(bool)
        return prompts, start

    def _takeBack(
        self, editor: Editor, target: ClickTarget, history: PromptHistory, own: np.ndarray, start: np.ndarray
    ) -> Clicked:
        """The last prompt was taken away: the mask is again what it was before the first."""
        self._write(editor, target, own, start)
        history.record(target.key, Prompts(), mask_fingerprint(segmentMask(target)))
        self._storage.save(target.owner)
        return _clicked(target, Prompts())

    def _write(self, editor: Editor, target: ClickTarget, own: np.ndarray, mask: np.ndarray) -> None:
        """Through the editor, unless nothing would change: an undo step that undoes nothing only confuses."""
        if np.array_equal(own, mask):
            return
        author = self._authors.before(target)
        self._writing = True
        try:
            writeMask(editor, target, mask)
        finally:
            self._writing = False
        self._authors.clicked(target, author)

    def _newNotes(self) -> tuple[str, ...]:
        notes = tuple(self.refiner.model.notes)[self._notesSaid :]
        self._notesSaid += len(notes)
        return notes

    def _takeModel(self, loading: _Loading) -> None:
        from ..promptable.refiner import Refiner

        if loading.error is None:
            self.refiner = Refiner(loading.result)
            self._notesSaid = 0
            if self._prepared is not None and not self._waiting:
                self._guarded(lambda: self.prepare(self._prepared))
        elif isinstance(loading.error, FetalEchoError):
            self.modelProblem = str(loading.error)
        else:
            logging.error("model that answers clicks", exc_info=loading.error)
            self.modelProblem = f"The model could not be loaded: {loading.error or type(loading.error).__name__}"
        self._tell()

    def _closeRefiner(self) -> None:
        if self.refiner is not None:
            for waiting in self._waiting:
                waiting.future = None
            self.refiner.close()
            self.refiner = None


class _Loading:
    """A model on its way, in a thread that ends by itself."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self._loader = load
        self._thread = threading.Thread(target=self._run, name="FetalEcho click model", daemon=True)
        self._thread.start()

    @property
    def isDone(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.result = self._loader()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            self.error = error


def _cachedModel(name: str, device: str) -> Any:
    from ..promptable.loading import cached_promptable

    return cached_promptable(name, device)


def _clicked(target: ClickTarget, prompts: Prompts) -> Clicked:
    return Clicked(
        title=target.title,
        frame=target.frame,
        isSlice=target.key.sequence != "frames",
        isStill=len(target.source) == 1,
        prompts=prompts,
    )
