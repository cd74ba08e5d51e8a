"""Filling table widgets with texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def prepare(widget: Any, headers: Sequence[str], stretched: int = 0) -> None:
    """Columns that fit their texts, and one that takes the rest; whole rows are selected and nothing is edited."""
    widget.setColumnCount(len(headers))
    widget.setHorizontalHeaderLabels(list(headers))
    header = widget.horizontalHeader()
    for column in range(len(headers)):
        mode = qt.QHeaderView.Stretch if column == stretched else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)
    widget.verticalHeader().setVisible(False)
    widget.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    widget.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)


def fill(widget: Any, rows: Sequence[Sequence[str]], ticked: Sequence[bool] | None = None) -> None:
    """Show these rows without telling anybody; ``ticked`` puts a box in the first column."""
    wasBlocked = widget.blockSignals(True)
    widget.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            item = widget.item(number, column)
            if item is None:
                item = qt.QTableWidgetItem(text)
                widget.setItem(number, column, item)
            elif item.text() != text:
                item.setText(text)
            if column == 0 and ticked is not None:
                item.setCheckState(qt.Qt.Checked if ticked[number] else qt.Qt.Unchecked)
            item.setToolTip(text)
    widget.blockSignals(wasBlocked)


def isTicked(widget: Any, row: int) -> bool:
    """Whether the box in the first column is ticked."""
    return bool(widget.item(row, 0).checkState() == qt.Qt.Checked)


def selectedRows(widget: Any) -> list[int]:
    """Numbers of the selected rows, in order."""
    return sorted({index.row() for index in widget.selectionModel().selectedRows()})
