"""The tables of a result as table nodes, and any other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import slicer
import vtk

from ..anatomy import RESEARCH_ONLY
from ..tables import ConditionTable, FrameTable, MeasurementTable, area_name
from .result_nodes import resultNode

Cell = str | int | float | bool | None


def addConditionTableToScene(table: ConditionTable, name: str, masks: Any = None) -> Any:
    """Table node with one row for each condition; a probability is missing where the view cannot show it.

    masks  mask sequence that keeps the table, so that the next one replaces its content; None for a new node
    """
    headers = ["Condition", "Probability", "Verdict", "Threshold", "Abstain from", "Abstain below", "Name"]
    rows = [
        [
            row.condition.short,
            row.probability,
            row.verdict,
            row.threshold.threshold,
            row.threshold.low,
            row.threshold.high,
            row.condition.title,
        ]
        for row in table.rows
    ]
    node = _filled("Conditions", name, headers, rows, masks)
    node.SetDescription(f"{RESEARCH_ONLY} {table.model}")
    return node


def addFrameTableToScene(table: FrameTable, name: str, masks: Any = None) -> Any:
    """Table node with one row for each frame: number, time, confidence, areas of the structures.

    masks  as for ``addConditionTableToScene``
    """
    headers = ["Frame", "Time (s)", "Confidence", *(f"{area_name(s)} ({table.unit})" for s in table.areas)]
    columns = [table.frames, table.seconds, table.confidence, *table.areas.values()]
    rows = [[int(frame), *(float(value) for value in values)] for frame, *values in zip(*columns, strict=True)]
    node = _filled("Frames", name, headers, rows, masks)
    node.SetDescription(table.model)
    return node


def addMeasurementTableToScene(table: MeasurementTable, name: str, masks: Any = None) -> Any:
    """Table node with one row for each measure; a value is missing where the result says why.

    masks  as for ``addConditionTableToScene``
    """
    headers = ["Measure", "Value", "Unit", "Error", "Normal from", "Normal to", "z", "Frame", "Result", "Reference"]
    rows = [
        [
            row.title,
            row.value,
            row.unit,
            row.error,
            row.low,
            row.high,
            row.z_score,
            row.frame,
            "; ".join((row.text, *row.flags)),
            row.reference,
        ]
        for row in table.rows
    ]
    node = _filled("Measurements", name, headers, rows, masks)
    node.SetDescription(f"{RESEARCH_ONLY} {table.model}")
    return node


def _filled(role: str, name: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]], masks: Any) -> Any:
    if masks is None:
        return addTableToScene(name, headers, rows)
    node = resultNode(masks, role, "vtkMRMLTableNode", name)
    fillTable(node, headers, rows)
    return node


def addTableToScene(name: str, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Any:
    """Table node with one row for each of ``rows``, in the order given.

    A column becomes numeric when all of its cells are numbers (or missing: None becomes NaN), text otherwise; True
    and False are then "yes" and "no".
    Raises ValueError when a row has another length than ``headers``.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    fillTable(node, headers, rows)
    return node


def fillTable(node: Any, headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Replace the content of a table node; see ``addTableToScene``."""
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"a row of '{node.GetName()}' has {len(row)} cells for {len(headers)} columns: {row}")
    with slicer.util.NodeModify(node):
        node.RemoveAllColumns()
        for position, header in enumerate(headers):
            node.AddColumn(_column(header, [row[position] for row in rows]))
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetLocked(True)  # results are read, not typed over


def tableRows(node: Any) -> tuple[list[str], list[list[Cell]]]:
    """Headers and rows of a table node; missing numbers come back as None."""
    columns = [node.GetTable().GetColumn(number) for number in range(node.GetNumberOfColumns())]
    headers = [column.GetName() for column in columns]
    rows = [[_cell(column.GetValue(row)) for column in columns] for row in range(node.GetNumberOfRows())]
    return headers, rows


def _column(header: str, cells: list[Cell]) -> Any:
    array: Any
    present = [cell for cell in cells if cell is not None]
    numbers = all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in present)
    if present and numbers and len(present) == len(cells) and all(isinstance(cell, int) for cell in cells):
        array = vtk.vtkTypeInt64Array()
        convert: Any = int
    elif present and numbers:
        array = vtk.vtkDoubleArray()
        convert = _number
    else:
        array = vtk.vtkStringArray()
        convert = _text
    array.SetName(header)
    for cell in cells:
        array.InsertNextValue(convert(cell))
    return array


def _number(cell: Cell) -> float:
    return math.nan if cell is None else float(cell)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return str(cell)


def _cell(value: Any) -> Cell:
    return None if isinstance(value, float) and math.isnan(value) else value
