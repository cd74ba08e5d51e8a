"""The table of frames that a mask was carried to: how well each agrees, and which of them to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from .confidence_strip import rampColor
from .signals import Signal

_FRAME, _AGREEMENT, _NOW = range(3)
_MOST_ROWS = 6  # without scrolling
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class CarriedRow:
    """One frame.

    agreement  0 to 1, with the frame before it on the way
    now        who drew what is there now
    checked    whether it is to be written unless the user says otherwise
    """

    frame: int
    agreement: float
    now: str
    checked: bool


class CarriedTable:
    """Fills a table widget.

    frameClicked    emitted with the frame of the row that the user chose
    choiceChanged   emitted when the user checks or unchecks a frame
    """

    def __init__(self, widget: Any, floor: float) -> None:
        """``floor`` is the agreement below which nothing is carried: the middle of the colours."""
        self.frameClicked = Signal()
        self.choiceChanged = Signal()
        self._widget = widget
        self._floor = floor
        self._rows: tuple[CarriedRow, ...] = ()
        widget.setColumnCount(3)
        widget.setHorizontalHeaderLabels([_("Frame"), _("Agreement"), _("There now")])
        header = widget.horizontalHeader()
        header.setSectionResizeMode(_FRAME, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_AGREEMENT, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_NOW, qt.QHeaderView.Stretch)
        widget.connect("currentCellChanged(int,int,int,int)", self._onCurrentCell)
        widget.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)

    def setRows(self, rows: Sequence[CarriedRow]) -> None:
        """Show these frames in place of those before."""
        wasBlocked = self._widget.blockSignals(True)
        self._rows = tuple(rows)
        self._widget.clearContents()
        self._widget.setRowCount(len(rows))
        for number, row in enumerate(rows):
            self._fill(number, row)
        self._widget.blockSignals(wasBlocked)
        lines = self._widget.verticalHeader().defaultSectionSize * min(max(len(rows), 1), _MOST_ROWS)
        self._widget.setFixedHeight(self._widget.horizontalHeader().height + lines + 4)

    def checkedFrames(self) -> list[int]:
        """Numbers of the checked frames, in the order of the rows."""
        return [
            row.frame
            for number, row in enumerate(self._rows)
            if self._widget.item(number, _FRAME).checkState() == qt.Qt.Checked
        ]

    def select(self, frame: int) -> None:
        """Choose the row of a frame, or none; tells nobody."""
        wasBlocked = self._widget.blockSignals(True)
        number = next((k for k, row in enumerate(self._rows) if row.frame == frame), None)
        if number is None:
            self._widget.clearSelection()
            self._widget.setCurrentCell(-1, -1)
        else:
            self._widget.setCurrentCell(number, _FRAME)
        self._widget.blockSignals(wasBlocked)

    def _fill(self, number: int, row: CarriedRow) -> None:
        frame = qt.QTableWidgetItem(str(row.frame))
        frame.setCheckState(qt.Qt.Checked if row.checked else qt.Qt.Unchecked)
        frame.setToolTip(_("Checked frames get the mask when it is applied"))
        agreement = qt.QTableWidgetItem(f"{row.agreement:.2f}")
        color = rampColor(row.agreement, self._floor)
        agreement.setBackground(qt.QBrush(qt.QColor(*color)))
        agreement.setForeground(qt.QBrush(qt.QColor(*(_DARK if _luminance(color) > 110 else _LIGHT))))
        agreement.setTextAlignment(int(qt.Qt.AlignCenter))
        agreement.setToolTip(_("How well the mask agrees with the one of the frame before it on the way, from 0 to 1"))
        now = qt.QTableWidgetItem(row.now)
        now.setToolTip(row.now)
        for column, item in ((_FRAME, frame), (_AGREEMENT, agreement), (_NOW, now)):
            self._widget.setItem(number, column, item)

    def _onCurrentCell(self, row: int = -1, column: int = -1) -> None:
        if 0 <= row < len(self._rows):
            self.frameClicked.emit(self._rows[row].frame)

    def _onItemChanged(self, item: Any = None) -> None:
        self.choiceChanged.emit()


def _luminance(color: tuple[int, int, int]) -> float:
    red, green, blue = color
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
