"""The chart of one value of a run over its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
from FetalEchoSegLib.panel.measure_curves import CurvesView
from FetalEchoSegLib.scene.tables import fillTable

_NAME = "FetalEchoTraining"
_COLOR = (0.16, 0.47, 0.71)


class RunPlot:
    """Keeps a table, a series and a chart that are not saved with the scene."""

    def __init__(self, container: Any) -> None:
        self._view = CurvesView(container, _NAME, hasLegend=False)
        self._nodes: tuple[Any, Any, Any] | None = None

    def show(self, name: str, curve: Sequence[tuple[int, float]]) -> None:
        """Show (epoch, value) pairs, or nothing before there are two: VTK complains of a line through one point."""
        if len(curve) < 2:
            self._view.show(None, None)
            return
        if self._nodes is None or self._nodes[0].GetScene() is None:
            self._nodes = self._make()
        table, series, chart = self._nodes
        title = name.rpartition("/")[2].replace("_", " ")
        fillTable(table, ["epoch", title], [[float(epoch), float(value)] for epoch, value in curve])
        with slicer.util.NodeModify(series):
            series.SetName(title)
            series.SetXColumnName("epoch")
            series.SetYColumnName(title)
        with slicer.util.NodeModify(chart):
            chart.SetXAxisTitle("epoch")
            chart.SetYAxisTitle(title)
        chart.Modified()
        self._view.show(chart, slicer.app.applicationLogic().GetSelectionNode())

    def sceneClosed(self) -> None:
        """Forget the nodes of a scene that goes."""
        self._nodes = None
        self._view.sceneClosed()

    def cleanup(self) -> None:
        """Take the nodes away."""
        nodes, self._nodes = self._nodes, None
        self._view.sceneClosed()
        for node in nodes or ():
            if node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)

    def _make(self) -> tuple[Any, Any, Any]:
        table, series, chart = (
            slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}Node", _NAME)
            for kind in ("Table", "PlotSeries", "PlotChart")
        )
        for node in (table, series, chart):
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetMarkerStyle(series.MarkerStyleCircle)
        series.SetMarkerSize(6)
        series.SetLineStyle(series.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetColor(*_COLOR)
        chart.SetTitleVisibility(False)
        chart.SetLegendVisibility(False)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        return table, series, chart
