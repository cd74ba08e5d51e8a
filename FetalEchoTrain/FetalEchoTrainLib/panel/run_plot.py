"""The chart of one value over the epochs, of one run or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer
from FetalEchoSegLib.panel.measure_curves import CurvesView
from FetalEchoSegLib.scene.tables import fillTable

_NAME = "FetalEchoTraining"
# Okabe & Ito 2008, told apart by colour-blind eyes as well; more runs than colours begin again.
_COLORS = ((0.0, 0.45, 0.70), (0.90, 0.62, 0.0), (0.0, 0.62, 0.45), (0.84, 0.37, 0.0), (0.80, 0.47, 0.65))


class RunPlot:
    """Keeps a chart, and a table and a series for each curve, that are not saved with the scene."""

    def __init__(self, container: Any) -> None:
        self._view = CurvesView(container, _NAME)
        self._chart: Any = None
        self._curves: list[tuple[Any, Any]] = []

    def show(self, name: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
        """Show (epoch, value) pairs by run; runs with fewer than two are left out.

        VTK complains of a line through one point.
        """
        shown = {run: curve for run, curve in curves.items() if len(curve) > 1}
        if not shown:
            self._view.show(None, None)
            return
        if self._chart is None or self._chart.GetScene() is None:
            self._chart, self._curves = self._makeChart(), []
        title = name.rpartition("/")[2].replace("_", " ")
        while len(self._curves) < len(shown):
            self._curves.append(self._makeCurve(len(self._curves)))
        for (run, curve), (table, series) in zip(shown.items(), self._curves, strict=False):
            fillTable(table, ["epoch", title], [[float(epoch), float(value)] for epoch, value in curve])
            with slicer.util.NodeModify(series):
                series.SetName(run)
                series.SetXColumnName("epoch")
                series.SetYColumnName(title)
        chart = self._chart
        with slicer.util.NodeModify(chart):
            if chart.GetNumberOfPlotSeriesNodes() != len(shown):
                chart.RemoveAllPlotSeriesNodeIDs()
                for _table, series in self._curves[: len(shown)]:
                    chart.AddAndObservePlotSeriesNodeID(series.GetID())
            chart.SetXAxisTitle("epoch")
            chart.SetYAxisTitle(title)
        chart.Modified()
        self._view.show(chart, slicer.app.applicationLogic().GetSelectionNode(), hasLegend=len(shown) > 1)

    def sceneClosed(self) -> None:
        """Forget the nodes of a scene that goes."""
        self._chart, self._curves = None, []
        self._view.sceneClosed()

    def cleanup(self) -> None:
        """Take the nodes away."""
        nodes = [self._chart, *(node for pair in self._curves for node in pair)]
        self.sceneClosed()
        for node in nodes:
            if node is not None and node.GetScene() is not None:
                slicer.mrmlScene.RemoveNode(node)

    def _makeChart(self) -> Any:
        chart = _node("PlotChart")
        chart.SetTitleVisibility(False)
        chart.SetLegendVisibility(False)
        return chart

    def _makeCurve(self, number: int) -> tuple[Any, Any]:
        table, series = _node("Table"), _node("PlotSeries")
        series.SetPlotType(series.PlotTypeScatter)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetMarkerStyle(series.MarkerStyleCircle)
        series.SetMarkerSize(6)
        series.SetLineStyle(series.LineStyleSolid)
        series.SetLineWidth(2)
        series.SetColor(*_COLORS[number % len(_COLORS)])
        return table, series


def _node(kind: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}Node", _NAME)
    node.SetSaveWithScene(False)
    node.SetHideFromEditors(True)
    return node
