"""The strip under the seek slider: one column a frame, coloured by confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import qt

from .signals import Signal

# Dark violet over teal to yellow: lightness grows along the ramp, for every kind of colour vision.
_RAMP: tuple[tuple[float, tuple[int, int, int]], ...] = (
    (0.0, (72, 20, 103)),
    (0.25, (62, 74, 137)),
    (0.5, (38, 130, 142)),
    (0.75, (83, 197, 104)),
    (1.0, (253, 231, 37)),
)
_MARK_HEIGHT = 8
_BAND_HEIGHT = 14
_FOOT_HEIGHT = 4


@dataclass(frozen=True)
class StripFrame:
    """What the strip shows of one frame.

    confidence  0..1, None where the frame was not segmented by a model
    needsLook   marked by a triangle above
    isSettled   accepted or drawn by a person: marked by a bar above
    """

    confidence: float | None
    needsLook: bool = False
    isSettled: bool = False


def rampColor(confidence: float, floor: float) -> tuple[int, int, int]:
    """Red, green, blue of a confidence: ``floor`` is in the middle of the ramp, 1 at its upper end.

    As much below the floor as there is above is enough for the lower end, as models are rarely less sure than that.
    """
    span = max(1.0 - floor, 0.01)
    position = min(max(0.5 + 0.5 * (confidence - floor) / span, 0.0), 1.0)
    for (low, dark), (high, light) in pairwise(_RAMP):
        if position <= high:
            share = (position - low) / (high - low)
            return tuple(round(a + share * (b - a)) for a, b in zip(dark, light, strict=True))
    return _RAMP[-1][1]


def columnMiddles(count: int, left: float, width: float, inset: float) -> list[float]:
    """Where the middle of a slider's handle is for each of ``count`` frames.

    left, width  of the slider
    inset        half of its handle
    """
    step = max(width - 2 * inset, 1.0) / max(count - 1, 1)
    return [left + inset + frame * step for frame in range(count)]


def columnEdges(middles: Sequence[float], left: float, right: float) -> list[float]:
    """The borders of the columns around ``middles``, one more than these, none beyond ``left`` and ``right``."""
    if len(middles) < 2:
        return [left, right]
    half = (middles[1] - middles[0]) / 2
    edges = [middles[0] - half, *(middle + half for middle in middles)]
    return [min(max(edge, left), right) for edge in edges]


@dataclass(frozen=True)
class Column:
    """Some pixels and the frames they stand for.

    frame  where a click goes: the first that needs a look, else the one with the lowest confidence
    """

    left: int
    right: int
    frame: int
    shown: StripFrame


def columns(frames: Sequence[StripFrame], edges: Sequence[float]) -> list[Column]:
    """Columns of at least one pixel, from left to right; where frames share a pixel, the worst of them counts."""
    found: list[Column] = []
    first = 0
    while first < len(frames):
        left = round(edges[first])
        last = first
        while last + 1 < len(frames) and round(edges[last + 1]) <= left:
            last += 1
        right = max(round(edges[last + 1]), left + 1)
        members = range(first, last + 1)
        sure = [frame for frame in members if frames[frame].confidence is not None]
        worst = min(sure, key=lambda frame: frames[frame].confidence, default=first)
        target = next((frame for frame in members if frames[frame].needsLook), worst)
        shown = StripFrame(
            frames[worst].confidence,
            any(frames[frame].needsLook for frame in members),
            any(frames[frame].isSettled for frame in members),
        )
        found.append(Column(left, right, target, shown))
        first = last + 1
    return found


class ConfidenceStrip(qt.QWidget):
    """Frames of a clip as coloured columns below a slider.

    frameClicked  emitted with the number of the frame that was clicked or dragged to
    """

    def __init__(self, slider: Any, describe: Callable[[int], str], parent: Any = None) -> None:
        """Make an empty strip.

        slider    its columns lie under the positions of this QSlider's handle
        describe  function of a frame number that gives the text of the tooltip
        """
        qt.QWidget.__init__(self, parent)
        self.frameClicked = Signal()
        self._slider = slider
        self._describe = describe
        self._frames: tuple[StripFrame, ...] = ()
        self._floor = 0.5
        self._current = 0
        self._columns: list[Column] = []
        self._middles: list[float] = []
        self._edges: list[float] = []
        self._key: Any = None
        self._isPressed = False
        self.setFixedHeight(_MARK_HEIGHT + _BAND_HEIGHT + _FOOT_HEIGHT)
        self.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self.setMouseTracking(True)

    @property
    def frames(self) -> tuple[StripFrame, ...]:
        """What is shown of each frame."""
        return self._frames

    @property
    def currentFrame(self) -> int:
        """Number of the frame that is pointed out."""
        return self._current

    def setFrames(self, frames: Sequence[StripFrame], floor: float) -> None:
        """Show these frames; ``floor`` is the confidence in the middle of the colours."""
        frames = tuple(frames)
        if (frames, floor) != (self._frames, self._floor):
            self._frames, self._floor = frames, floor
            self._key = None
            self.update()

    def setCurrentFrame(self, frame: int) -> None:
        """Point frame ``frame`` out."""
        if frame != self._current:
            self._current = frame
            self.update()

    def frameAt(self, x: int) -> int | None:
        """Frame shown at ``x`` pixels from the left; the nearest one outside the columns, None without frames."""
        self._layOut()
        if not self._columns:
            return None
        column = next((column for column in self._columns if x < column.right), self._columns[-1])
        return column.frame

    def positionOf(self, frame: int) -> int:
        """Pixels from the left to the middle of a frame's column, which is that of the slider's handle there."""
        self._layOut()
        return round(self._middles[frame])

    def _layOut(self) -> None:
        """Columns under the slider; computed again only when the slider or the frames are others."""
        left = self.mapFromGlobal(self._slider.mapToGlobal(qt.QPoint(0, 0))).x()
        key = (left, self._slider.width)
        if key == self._key:
            return
        self._key = key
        handle = self._slider.style().pixelMetric(qt.QStyle.PM_SliderLength, None, self._slider)
        self._middles = columnMiddles(len(self._frames), left, self._slider.width, handle / 2)
        self._edges = columnEdges(self._middles, left, left + self._slider.width)
        self._columns = columns(self._frames, self._edges)

    # mouse

    def mousePressEvent(self, event: Any) -> None:
        """Go to the frame; called by Qt."""
        if event.button() == qt.Qt.LeftButton:
            self._isPressed = True
            self._go(event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Tell of the frame under the mouse, and go there while the button is down; called by Qt."""
        frame = self.frameAt(event.pos().x())
        if frame is not None:
            self.setToolTip(self._describe(frame))
        if self._isPressed:
            self._go(event)

    def mouseReleaseEvent(self, event: Any) -> None:
        """End of a drag; called by Qt."""
        if event.button() == qt.Qt.LeftButton:
            self._isPressed = False

    def _go(self, event: Any) -> None:
        frame = self.frameAt(event.pos().x())
        if frame is not None:
            self.frameClicked.emit(frame)

    # picture

    def paintEvent(self, event: Any) -> None:
        """Draw; called by Qt."""
        painter = qt.QPainter(self)
        try:
            self._layOut()
            if self._columns:
                self._paint(painter)
        finally:
            painter.end()

    def _paint(self, painter: Any) -> None:
        ink, paper = self.palette.color(qt.QPalette.WindowText), self.palette.color(qt.QPalette.Base)
        left, right = self._columns[0].left, self._columns[-1].right
        painter.fillRect(qt.QRect(left - 1, _MARK_HEIGHT - 1, right - left + 2, _BAND_HEIGHT + 2), self._faint(ink))
        painter.fillRect(qt.QRect(left, _MARK_HEIGHT, right - left, _BAND_HEIGHT), paper)
        for start, end, confidence in self._runs():
            color = qt.QColor(*rampColor(confidence, self._floor))
            painter.fillRect(qt.QRect(start, _MARK_HEIGHT, end - start, _BAND_HEIGHT), color)
        for column in self._columns:
            if column.shown.needsLook:
                _paintTriangle(painter, (column.left + column.right) // 2, ink)
            elif column.shown.isSettled:
                width = max(column.right - column.left - 1, 1)
                painter.fillRect(qt.QRect(column.left, _MARK_HEIGHT - 4, width, 2), self._faint(ink))
        if self._current < len(self._frames):
            self._paintCurrent(painter)

    def _runs(self) -> list[tuple[int, int, float]]:
        """Neighbouring columns that look the same, as one rectangle: a long clip is painted often while it plays."""
        runs: list[tuple[int, int, float]] = []
        for column in self._columns:
            if column.shown.confidence is None:
                continue
            confidence = round(column.shown.confidence, 2)
            if runs and runs[-1][1] == column.left and runs[-1][2] == confidence:
                runs[-1] = (runs[-1][0], column.right, confidence)
            else:
                runs.append((column.left, column.right, confidence))
        return runs

    def _paintCurrent(self, painter: Any) -> None:
        """A frame around the column, and a foot below it that is seen where columns are narrow."""
        highlight = self.palette.color(qt.QPalette.Highlight)
        middle = self.positionOf(self._current)
        left, right = (round(edge) for edge in self._edges[self._current : self._current + 2])
        if right - left < 4:
            left, right = middle - 2, middle + 2
        width, top, height = right - left, _MARK_HEIGHT - 1, _BAND_HEIGHT + 2
        for rectangle in (
            qt.QRect(left - 1, top, width + 2, 2),
            qt.QRect(left - 1, top + height - 2, width + 2, 2),
            qt.QRect(left - 1, top, 2, height),
            qt.QRect(left + width - 1, top, 2, height),
            qt.QRect(middle - 3, top + height, 6, _FOOT_HEIGHT - 1),
        ):
            painter.fillRect(rectangle, highlight)

    def _faint(self, ink: Any) -> Any:
        """Half ink, half background: a line that is seen on light and on dark."""
        paper = self.palette.color(qt.QPalette.Window)
        parts = ((ink.red(), paper.red()), (ink.green(), paper.green()), (ink.blue(), paper.blue()))
        return qt.QColor(*((a + b) // 2 for a, b in parts))


def _paintTriangle(painter: Any, middle: int, color: Any) -> None:
    """A small triangle that points down at the column."""
    for row in range(4):
        painter.fillRect(qt.QRect(middle - 3 + row, 1 + row, 7 - 2 * row, 1), color)
