"""The table of measures in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ..measurements import Measurement
from ..measurements.four_chamber_rows import SPINE_NOT_MARKED
from ..nomograms import REFERENCES
from .signals import Signal

_COLUMNS = 4
# Pixels: beside the text of a cell; what names are given before ranges, then values, are broken over more lines.
_PADDING, _NARROW_NAME, _NARROW_RANGE, _NARROW_VALUE = 10, 112, 80, 60
_HIGHEST = 340  # pixels; longer tables scroll
# Vermilion, which people with red-green blindness tell from grey too; the words beside it say the same.
_OUTSIDE_ON_LIGHT, _OUTSIDE_ON_DARK = (178, 70, 0), (255, 164, 84)


class MeasureTable:
    """Fills a table widget with measures, and a label with all that is known of the chosen one.

    frameClicked  emitted with the frame that shows the clicked value
    """

    def __init__(self, widget: Any, details: Any) -> None:
        self.frameClicked = Signal()
        self._widget = widget
        self._details = details
        self._rows: tuple[Measurement, ...] = ()
        self._widths = (0, 0)
        widget.setColumnCount(_COLUMNS)
        header = widget.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        # A reason spans the value's column and those after it, and would make a column that fits its texts too wide.
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
        header.setSectionResizeMode(3, qt.QHeaderView.ResizeToContents)
        widget.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        widget.setHorizontalHeaderLabels([_("Measure"), _("Value"), _("Normal"), _("z")])
        widget.connect("cellClicked(int,int)", self._onCell)
        widget.connect("cellActivated(int,int)", self._onCell)  # the Enter key
        widget.connect("itemSelectionChanged()", self._showDetails)
        header.connect("sectionResized(int,int,int)", self._onSectionResized)
        # A header ignores what is said to it while it shares its own width out.
        self._fitTimer = qt.QTimer(widget)
        self._fitTimer.setSingleShot(True)
        self._fitTimer.setInterval(0)
        self._fitTimer.timeout.connect(self._fit)

    def show(self, rows: Sequence[Measurement]) -> None:
        """Show these measures in place of those before."""
        self._rows = ()  # until all is filled in, nothing is fitted
        self._widget.clearContents()
        self._widget.clearSpans()
        self._widget.setRowCount(len(rows))
        for number, row in enumerate(rows):
            self._fill(number, row)
        measured = [row for row in rows if row.value is not None]
        self._widths = (
            self._widthOf([_valueText(row) for row in measured] + [_("Value")]),
            self._widthOf([line for row in measured for line in _rangeText(row).splitlines()] + [_("Normal")]),
        )
        self._rows = tuple(rows)
        self._fit()
        self._showDetails()

    def _fit(self) -> None:
        """Share the width between names and values, and the height among rows."""
        widget, (value, normal) = self._widget, self._widths
        missing = value + normal + widget.columnWidth(3) + _NARROW_NAME - widget.viewport().width
        narrowed = _narrowed(normal, missing, _NARROW_RANGE)
        for column, width in ((1, _narrowed(value, missing - normal + narrowed, _NARROW_VALUE)), (2, narrowed)):
            if width != widget.columnWidth(column):
                widget.setColumnWidth(column, width)
        widget.resizeRowsToContents()
        height = widget.horizontalHeader().height + widget.verticalHeader().length() + 4
        widget.setFixedHeight(min(height, _HIGHEST))

    def _widthOf(self, texts: Sequence[str]) -> int:
        metrics = qt.QFontMetrics(self._widget.font)
        return max(metrics.boundingRect(text).width() for text in texts) + _PADDING

    def _fill(self, number: int, row: Measurement) -> None:
        palette = self._widget.palette
        if row.value is None:
            texts = [row.title, _("not measurable: {reason}").format(reason=row.reason)]
            self._widget.setSpan(number, 1, 1, _COLUMNS - 1)
        else:
            texts = [row.title, _valueText(row), _rangeText(row), row.z_text]
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(_tip(row))
            if row.value is None:
                item.setForeground(qt.QBrush(palette.color(qt.QPalette.Disabled, qt.QPalette.Text)))
            elif row.is_outside and column:
                dark = palette.color(qt.QPalette.Base).lightness() < 128
                item.setForeground(qt.QBrush(qt.QColor(*(_OUTSIDE_ON_DARK if dark else _OUTSIDE_ON_LIGHT))))
            if column == _COLUMNS - 1:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._widget.setItem(number, column, item)

    def _showDetails(self) -> None:
        number = self._widget.currentRow()
        if self._widget.selectedItems() and 0 <= number < len(self._rows):
            text = "\n".join(_facts(self._rows[number]))
        else:
            text = _("Click a row for its reference and to see its frame.") if self._rows else ""
        self._details.setText(text)
        self._details.setVisible(bool(text))

    def _onSectionResized(self, section: int = 0, before: int = 0, after: int = 0) -> None:
        if section == 0 and self._rows:
            self._fitTimer.start()

    def _onCell(self, row: int = -1, column: int = -1) -> None:
        if 0 <= row < len(self._rows) and self._rows[row].frame is not None:
            self.frameClicked.emit(self._rows[row].frame)


def _valueText(row: Measurement) -> str:
    # An estimate must be seen for one, not only on hovering over it.
    return f"≈ {row.text}" if SPINE_NOT_MARKED in row.flags else row.text


def _rangeText(row: Measurement) -> str:
    words = {"above": _("▲ above"), "below": _("▼ below")}
    # References differ by up to a quarter: a z-score is never shown without its own.
    source = row.reference if row.z_score is not None and row.reference in REFERENCES else ""
    return "\n".join(text for text in (row.range_text, words.get(row.side, ""), source) if text)


def _narrowed(width: int, missing: int, least: int) -> int:
    """``width`` less what is missing elsewhere, but not below ``least`` for that."""
    return max(width - max(missing, 0), min(width, least))


def _facts(row: Measurement) -> list[str]:
    """All that is known of a measure, a line each."""
    lines = [f"{row.title}: {row.text}"]
    if row.side in ("above", "below"):
        lines.append({"above": _("Above the normal range."), "below": _("Below the normal range.")}[row.side])
    if row.reference:
        lines.append(_("Reference: {reference}").format(reference=row.reference))
    return [*lines, *row.flags]


def _tip(row: Measurement) -> str:
    lines = _facts(row)
    if row.frame is not None:
        lines.append(_("Click to show frame {frame}.").format(frame=row.frame))
    return "\n".join(lines)
