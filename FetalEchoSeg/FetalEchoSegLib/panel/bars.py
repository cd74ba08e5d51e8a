"""Rows of a label, a painted bar and a text: probabilities at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import qt

_GAP = 6
_ROW_PADDING = 6
# A bar narrower than this says nothing: the labels go above the bars.
_NARROWEST_BAR = 60


@dataclass(frozen=True)
class Bar:
    """One row.

    value      0 to 1; None (or NaN) for a row without a bar, whose text says why
    text       at the right; the value in percent if empty
    marked     bold, with its bar in the highlight colour: the row that counts
    band       (low, high), 0 to 1: shaded, for "between these nothing is claimed"
    threshold  0 to 1: a tick across the bar
    color      (red, green, blue), 0 to 255, of the bar; from the palette if None
    """

    label: str
    value: float | None
    text: str = ""
    marked: bool = False
    band: tuple[float, float] | None = None
    threshold: float | None = None
    color: tuple[int, int, int] | None = None

    @property
    def hasValue(self) -> bool:
        """Whether there is a bar to draw."""
        return self.value is not None and not math.isnan(self.value)

    @property
    def shownText(self) -> str:
        """What stands at the right."""
        return self.text or (f"{100 * self.value:.0f} %" if self.hasValue else "")


class BarChart(qt.QWidget):
    """Bars below each other, in the colours of the palette, so light and dark themes both work.

    What is painted is also the accessible description, one line a row.

    >>> chart = BarChart()  # doctest: +SKIP
    >>> layout.addWidget(chart)  # doctest: +SKIP
    >>> chart.setBars([Bar("4CH", 0.93, marked=True), Bar("LVOT", 0.05)])  # doctest: +SKIP
    """

    def __init__(self, parent: object = None) -> None:
        # PythonQt: the base is called by name, and an explicit None parent is fine.
        qt.QWidget.__init__(self, parent)
        self._bars: tuple[Bar, ...] = ()
        self.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
        self.setBars(())

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The rows, from top to bottom."""
        return self._bars

    def setBars(self, bars: Sequence[Bar]) -> None:
        """Show these rows; the height of the widget follows."""
        self._bars = tuple(bars)
        self.setAccessibleDescription("\n".join(f"{bar.label} {bar.shownText}".strip() for bar in self._bars))
        self._fit()
        self.update()

    @property
    def isStacked(self) -> bool:
        """Whether labels stand above their bars, because a label beside its bar would be cut."""
        return self._labelWidth() + self._textWidth() + 2 * _GAP + _NARROWEST_BAR > self.width

    def resizeEvent(self, event: object) -> None:
        """Put the labels where there is room for them; called by Qt."""
        self._fit()

    def paintEvent(self, event: object) -> None:
        """Draw; called by Qt."""
        painter = qt.QPainter(self)
        try:
            self._paint(painter)
        finally:
            painter.end()

    def _fit(self) -> None:
        lines = 2 if self.isStacked else 1
        self.setFixedHeight(max(1, lines * len(self._bars) * self._lineHeight()))

    def _lineHeight(self) -> int:
        return qt.QFontMetrics(self.font).height() + _ROW_PADDING

    def _bold(self) -> object:
        bold = qt.QFont(self.font)
        bold.setBold(True)
        return bold

    def _labelWidth(self) -> int:
        # Measured in bold, so that marking another row moves nothing.
        metrics = qt.QFontMetrics(self._bold())
        return max((_textWidth(metrics, bar.label) for bar in self._bars), default=0)

    def _textWidth(self) -> int:
        metrics = qt.QFontMetrics(self._bold())
        return max((_textWidth(metrics, bar.shownText) for bar in self._bars if bar.hasValue), default=0)

    def _paint(self, painter: object) -> None:
        width, height, bold, isStacked = self.width, self._lineHeight(), self._bold(), self.isStacked
        metrics, plain = qt.QFontMetrics(bold), qt.QFontMetrics(self.font)
        labelWidth = width if isStacked else self._labelWidth()
        textWidth = self._textWidth()
        left = 0 if isStacked else labelWidth + _GAP
        barWidth = max(width - left - _GAP - textWidth, 0)
        for row, bar in enumerate(self._bars):
            top = row * height * (2 if isStacked else 1)
            painter.setFont(bold if bar.marked else self.font)
            painter.setPen(qt.QPen(self._ink(1.0)))
            label = (metrics if bar.marked else plain).elidedText(bar.label, qt.Qt.ElideRight, labelWidth)
            painter.drawText(qt.QRect(0, top, labelWidth, height), int(qt.Qt.AlignLeft | qt.Qt.AlignVCenter), label)
            if isStacked:
                top += height
            if bar.hasValue:
                where = qt.QRect(left + barWidth + _GAP, top, textWidth, height)
                painter.drawText(where, int(qt.Qt.AlignRight | qt.Qt.AlignVCenter), bar.shownText)
                self._paintBar(painter, bar, left, top, barWidth, height)
            else:
                painter.setPen(qt.QPen(self._ink(0.6)))
                space = width - left
                text = metrics.elidedText(bar.shownText, qt.Qt.ElideRight, space)
                painter.drawText(qt.QRect(left, top, space, height), int(qt.Qt.AlignLeft | qt.Qt.AlignVCenter), text)

    def _paintBar(self, painter: object, bar: Bar, left: int, top: int, width: int, height: int) -> None:
        inset = height // 5
        painter.fillRect(qt.QRect(left, top + inset, width, height - 2 * inset), self._ink(0.10))
        if bar.band is not None:
            low, high = (_position(value, width) for value in bar.band)
            painter.fillRect(qt.QRect(left + low, top + 2, max(high - low, 1), height - 4), self._ink(0.25))
        inset = height // 3 if bar.band is not None else inset
        length = _position(bar.value, width)
        painter.fillRect(qt.QRect(left, top + inset, length, height - 2 * inset), self._barColor(bar))
        if bar.threshold is not None:
            tick = min(_position(bar.threshold, width), width - 2)
            painter.fillRect(qt.QRect(left + tick, top + 1, 2, height - 2), self._ink(0.9))

    def _barColor(self, bar: Bar) -> object:
        if bar.color is not None:
            return qt.QColor(*bar.color)
        return self.palette.color(qt.QPalette.Highlight) if bar.marked else self._ink(0.5)

    def _ink(self, share: float) -> object:
        """The text's colour mixed into the background: readable on light and dark."""
        ink, paper = self.palette.color(qt.QPalette.WindowText), self.palette.color(qt.QPalette.Window)
        mixed = [
            round(share * a + (1 - share) * b)
            for a, b in (
                (ink.red(), paper.red()),
                (ink.green(), paper.green()),
                (ink.blue(), paper.blue()),
            )
        ]
        return qt.QColor(*mixed)


def _position(value: float, width: int) -> int:
    return round(min(max(value, 0.0), 1.0) * width)


def _textWidth(metrics: object, text: str) -> int:
    # horizontalAdvance is not in every PythonQt; the rectangle of the text is, a pixel or two narrower.
    return metrics.boundingRect(text).width() + 4
