"""A chart in a panel: areas over time, values of a training."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


class CurvesView:
    """A plot view of its own, in no layout, that shows one chart node."""

    def __init__(self, container: Any, layoutName: str = "FetalEchoMeasure") -> None:
        """Fill ``container`` with the view, hidden until there is a chart; ``layoutName`` is of no other view."""
        self._layoutName = layoutName
        self._hasLegend = True
        layout = qt.QVBoxLayout(container)
        layout.setContentsMargins(0, 0, 0, 0)
        self.widget = slicer.qMRMLPlotView()
        self.widget.setObjectName("curvesPlotView")
        self.widget.setMinimumHeight(220)
        self.widget.setVisible(False)
        self.widget.setMRMLScene(slicer.mrmlScene)
        layout.addWidget(self.widget)
        self._legend = qt.QLabel()
        self._legend.setObjectName("curvesLegendLabel")
        self._legend.setWordWrap(True)
        self._legend.setToolTip(_("What the curves and marks of the chart are"))
        self._legend.setVisible(False)
        layout.addWidget(self._legend)
        self._viewNode: Any = None

    def show(self, chart: Any, owner: Any, hasLegend: bool = True) -> None:
        """Show a chart node, or nothing.

        owner      any node that lasts as long as the scene: Slicer's own layout then leaves the view alone
        hasLegend  name the series below the chart
        """
        if chart is None:
            self._setVisible(False)
            if self._viewNode is not None:
                self._viewNode.SetPlotChartNodeID(None)
            return
        if self._viewNode is None or self._viewNode.GetScene() is None:
            self._viewNode = self._makeViewNode(owner)
            self.widget.setMRMLPlotViewNode(self._viewNode)
        if self._viewNode.GetPlotChartNodeID() != chart.GetID():
            self._viewNode.SetPlotChartNodeID(chart.GetID())
        self._hasLegend = hasLegend
        self._legend.setText(_legendText(chart))
        self._setVisible(True)

    def sceneClosed(self) -> None:
        """Forget the view node of a scene that goes."""
        self.widget.setMRMLPlotViewNode(None)
        self._setVisible(False)
        self._viewNode = None

    def _setVisible(self, visible: bool) -> None:
        self.widget.setVisible(visible)
        self._legend.setVisible(visible and self._hasLegend)

    def _makeViewNode(self, owner: Any) -> Any:
        node = slicer.vtkMRMLPlotViewNode()
        node.SetSingletonTag(self._layoutName)
        node.SetName(self._layoutName)
        node.SetLayoutName(self._layoutName)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAndObserveParentLayoutNodeID(owner.GetID())
        node.SetMappedInLayout(1)
        return slicer.mrmlScene.AddNode(node)


def _legendText(chart: Any) -> str:
    """Rich text: a sign in its colour and the name of each series."""
    parts = []
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        signs = {series.MarkerStyleNone: "■", series.MarkerStyleCircle: "●", series.MarkerStyleDiamond: "◆"}
        sign = "┆" if series.GetLineStyle() == series.LineStyleDash else signs[series.GetMarkerStyle()]
        if series.GetLineStyle() == series.LineStyleSolid:
            color = "#" + bytes(round(255 * part) for part in series.GetColor()).hex()
            sign = f'<span style="color:{color}">{sign}</span>'
        parts.append(f"{sign}&nbsp;{series.GetName().replace(' ', '&nbsp;').replace('-', '‑')}")
    return " &nbsp; ".join(parts)
