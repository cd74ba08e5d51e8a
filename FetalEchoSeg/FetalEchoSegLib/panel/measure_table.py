"""The table of measures in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from ..measurements import Measurement
from ..measurements.four_chamber_rows import SPINE_NOT_MARKED
from ..report_content import range_text, z_text
from .signals import Signal

_COLUMNS = 4
_TITLE_WIDTH = 150  # pixels; the user can drag it wider
_HIGHEST = 340  # pixels; longer tables scroll
# Vermilion, which people with red-green blindness tell from grey too; the words beside it say the same.
_OUTSIDE_ON_LIGHT, _OUTSIDE_ON_DARK = (178, 70, 0), (255, 164, 84)


class MeasureTable:
    """Fills a table widget with measures; ``frameClicked`` is told the frame that shows the clicked value."""

    def __init__(self, widget: Any) -> None:
        self.frameClicked = Signal()
        self._widget = widget
        self._rows: tuple[Measurement, ...] = ()
        widget.setColumnCount(_COLUMNS)
        header = widget.horizontalHeader()
        # A reason spans the value's column and those after it, and would make a column that fits its texts too wide.
        header.setSectionResizeMode(0, qt.QHeaderView.Interactive)
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        for column in range(2, _COLUMNS):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        widget.setColumnWidth(0, _TITLE_WIDTH)
        widget.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        widget.setHorizontalHeaderLabels([_("Measure"), _("Value"), _("Normal"), _("z")])
        widget.connect("cellClicked(int,int)", self._onCell)
        widget.connect("cellActivated(int,int)", self._onCell)  # the Enter key

    def show(self, rows: Sequence[Measurement]) -> None:
        """Show these measures in place of those before."""
        self._rows = tuple(rows)
        self._widget.clearContents()
        self._widget.clearSpans()
        self._widget.setRowCount(len(self._rows))
        for number, row in enumerate(self._rows):
            self._fill(number, row)
        self._widget.resizeRowsToContents()
        height = self._widget.horizontalHeader().height + self._widget.verticalHeader().length() + 4
        self._widget.setFixedHeight(min(height, _HIGHEST))

    def _fill(self, number: int, row: Measurement) -> None:
        palette = self._widget.palette
        if row.value is None:
            texts = [row.title, _("not measurable: {reason}").format(reason=row.reason)]
            self._widget.setSpan(number, 1, 1, _COLUMNS - 1)
        else:
            words = {"above": _("▲ above"), "below": _("▼ below")}
            normal = "\n".join(text for text in (range_text(row), words.get(row.side, "")) if text)
            # An estimate must be seen for one, not only on hovering over it.
            value = f"≈ {row.text}" if SPINE_NOT_MARKED in row.flags else row.text
            texts = [row.title, value, normal, z_text(row)]
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(self._tip(row))
            if row.value is None:
                item.setForeground(qt.QBrush(palette.color(qt.QPalette.Disabled, qt.QPalette.Text)))
            elif row.is_outside and column:
                dark = palette.color(qt.QPalette.Base).lightness() < 128
                item.setForeground(qt.QBrush(qt.QColor(*(_OUTSIDE_ON_DARK if dark else _OUTSIDE_ON_LIGHT))))
            if column == _COLUMNS - 1:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._widget.setItem(number, column, item)

    def _tip(self, row: Measurement) -> str:
        lines = [row.title, row.text]
        if row.side in ("above", "below"):
            lines.append({"above": _("Above the normal range."), "below": _("Below the normal range.")}[row.side])
        if row.reference:
            lines.append(_("Reference: {reference}").format(reference=row.reference))
        lines += row.flags
        if row.frame is not None:
            lines.append(_("Click to show frame {frame}.").format(frame=row.frame))
        return "\n".join(lines)

    def _onCell(self, row: int = -1, column: int = -1) -> None:
        if 0 <= row < len(self._rows) and self._rows[row].frame is not None:
            self.frameClicked.emit(self._rows[row].frame)
