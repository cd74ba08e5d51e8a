"""Areas of the structures over time as a chart of the scene, with the heart beats and the shown frame marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from ..anatomy import Structure, View
from ..charts import readable_color
from ..measurements.cycle import Beats
from ..measurements.study import BEATING
from ..tables import FrameTable
from .result_nodes import existingResultNode, removeResultNode, resultNode
from .tables import Cell, fillTable

CHART, CURVES = "Chart", "Curves"
END_DIASTOLE, END_SYSTOLE, CURSOR = "EndDiastole", "EndSystole", "Cursor"
_SERIES = "Series."
_FRAME = "Frame"
# The rings' areas hardly change with the beat, and are so large that the other curves would lie on the axis.
_RINGS = (Structure.WHOLE_HEART, Structure.THORAX)
_INK = (0.35, 0.38, 0.45)


def showCurves(masks: Any, table: FrameTable, view: View, beats: Beats | None = None, frame: int = 0) -> Any:
    """Chart of the areas over time of one segmentation, made or brought up to date; returns its node.

    masks  mask sequence, which keeps the nodes of the chart
    beats  end-diastole and end-systole are marked on the structures that show the beat
    frame  the shown one, see ``moveCursor``
    Raises nothing; structures that no frame holds have no curve.
    """
    name = masks.GetName()
    x, label = table.time_axis
    shown = [s for s, area in table.areas.items() if s not in _RINGS and np.nan_to_num(area).any()]
    headers = [_FRAME, label, *(s.info.short for s in shown)]
    columns = [table.frames, x, *(table.areas[s] for s in shown)]
    curves = resultNode(masks, CURVES, "vtkMRMLTableNode", f"{name} curves")
    fillTable(curves, headers, [[int(k), *map(float, row)] for k, *row in zip(*columns, strict=True)])

    chart = resultNode(masks, CHART, "vtkMRMLPlotChartNode", f"{name} areas")
    with slicer.util.NodeModify(chart):
        chart.SetTitleVisibility(False)
        # A legend inside the chart hides the curves where there is little room; names are in the series.
        chart.SetLegendVisibility(False)
        chart.SetXAxisTitle(label)
        chart.SetYAxisTitle(f"area ({table.unit})")
        series = [_curve(masks, structure, curves, label) for structure in shown]
        beating = [s for group in BEATING[view] for s in group if s in shown] if beats else []
        marks = ((END_DIASTOLE, "end-diastole", "Circle"), (END_SYSTOLE, "end-systole", "Diamond"))
        for role, title, marker in marks:
            frames = () if beats is None else beats.end_diastole if role == END_DIASTOLE else beats.end_systole
            points = [(x[k], table.areas[s][k]) for s in beating for k in frames]
            node = _points(masks, role, title, label, points)
            if node is not None:
                node.SetMarkerStyle(getattr(node, f"MarkerStyle{marker}"))
                node.SetLineStyle(node.LineStyleNone)
                series.append(node)
        top = max((float(np.nanmax(table.areas[s])) for s in shown), default=1.0)
        cursor = _points(masks, CURSOR, "shown frame", label, [(x[0], 0.0), (x[0], 1.05 * top)])
        cursor.SetLineStyle(cursor.LineStyleDash)
        cursor.SetMarkerStyle(cursor.MarkerStyleNone)
        chart.RemoveAllPlotSeriesNodeIDs()
        for node in (*series, cursor):
            chart.AddAndObservePlotSeriesNodeID(node.GetID())
    for structure in Structure:
        if structure not in shown:
            removeResultNode(masks, _SERIES + structure.info.short)
    moveCursor(masks, frame)
    return chart


def moveCursor(masks: Any, frame: int) -> None:
    """Mark ``frame`` in the chart of ``masks``; nothing happens without a chart."""
    curves, cursor = existingResultNode(masks, CURVES), existingResultNode(masks, CURSOR + "Table")
    if curves is None or cursor is None or not 0 <= frame < curves.GetNumberOfRows():
        return
    time = curves.GetTable().GetColumn(1).GetValue(frame)
    column = cursor.GetTable().GetColumn(0)
    if column.GetValue(0) == time:
        return
    for row in range(column.GetNumberOfTuples()):
        column.SetValue(row, time)
    column.Modified()
    cursor.GetTable().Modified()
    cursor.Modified()


def curvesChart(masks: Any) -> Any:
    """Chart node of ``masks``, or None before ``showCurves``."""
    return existingResultNode(masks, CHART) if masks is not None else None


def _curve(masks: Any, structure: Structure, table: Any, label: str) -> Any:
    short = structure.info.short
    series = resultNode(masks, _SERIES + short, "vtkMRMLPlotSeriesNode", structure.info.title, hidden=True)
    with slicer.util.NodeModify(series):
        series.SetPlotType(series.PlotTypeScatter)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(label)
        series.SetYColumnName(short)
        series.SetMarkerStyle(series.MarkerStyleNone)
        series.SetLineStyle(series.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetColor(*readable_color(structure))
    return series


def _points(masks: Any, role: str, title: str, label: str, points: Sequence[tuple[float, float]]) -> Any:
    """A series with a small table of its own; None, and nothing left of an earlier one, without points."""
    if not points:
        removeResultNode(masks, role)
        removeResultNode(masks, role + "Table")
        return None
    table = resultNode(masks, role + "Table", "vtkMRMLTableNode", f"{masks.GetName()} {title}", hidden=True)
    rows: list[list[Cell]] = [[float(x), float(y)] for x, y in points]
    fillTable(table, [label, title], rows)
    series = resultNode(masks, role, "vtkMRMLPlotSeriesNode", title, hidden=True)
    with slicer.util.NodeModify(series):
        series.SetPlotType(series.PlotTypeScatter)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(label)
        series.SetYColumnName(title)
        series.SetMarkerSize(8)
        series.SetLineWidth(1)
        series.SetColor(*_INK)
    return series
