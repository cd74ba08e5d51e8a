"""Plot widgets: the plot chart and series nodes of the scene, drawn with VTK's charts as in Slicer."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtWidgets

from .mrml_widgets import Observations, qMRMLWidget
from .pythonqt import PySignal
from .uiloader import register
from .views import VTKWidget

_LINES = (vtk.vtkPen.NO_PEN, vtk.vtkPen.SOLID_LINE, vtk.vtkPen.DASH_LINE, vtk.vtkPen.DOT_LINE)
_LINES += (vtk.vtkPen.DASH_DOT_LINE, vtk.vtkPen.DASH_DOT_DOT_LINE)


@register
class qMRMLPlotView(VTKWidget):
    mrmlSceneChanged = PySignal("mrmlSceneChanged(vtkMRMLScene*)")
    dataSelected = PySignal("dataSelected(vtkStringArray*,vtkCollection*)")

    def __init__(self, parent: Any = None) -> None:
        window = vtk.vtkRenderWindow()
        super().__init__(window, vtk.vtkGenericRenderWindowInteractor(), parent)
        self.setMinimumSize(120, 90)
        renderer = vtk.vtkRenderer()
        renderer.SetBackground(1, 1, 1)
        window.AddRenderer(renderer)
        self._chart = vtk.vtkChartXY()
        self._scene = vtk.vtkContextScene()
        self._scene.SetRenderer(renderer)
        self._scene.AddItem(self._chart)
        actor = vtk.vtkContextActor()
        actor.SetScene(self._scene)
        renderer.AddActor(actor)
        self._style = vtk.vtkContextInteractorStyle()
        self._style.SetScene(self._scene)
        self.interactor_.SetInteractorStyle(self._style)
        self.resized_ = lambda width, height: self._scene.SetGeometry(width, height)
        self._mrmlScene: Any = None
        self._node: Any = None
        self._series: dict[int, Any] = {}
        self._viewObservations, self._chartObservations = Observations(), Observations()
        self._chart.AddObserver(vtk.vtkCommand.SelectionChangedEvent, lambda _caller, _event: self._onSelection())
        self._chart.SetActionToButton(vtk.vtkChart.SELECT, vtk.vtkContextMouseEvent.RIGHT_BUTTON)
        self.destroyed.connect(self._forget)

    def _forget(self) -> None:
        self._viewObservations.clear()
        self._chartObservations.clear()

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._mrmlScene:
            self._mrmlScene = scene
            self.mrmlSceneChanged.emit(scene)

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._viewObservations.clear()
        self._node = node
        if node is not None:
            events = [vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLPlotViewNode.PlotChartNodeChangedEvent]
            self._viewObservations.add(node, events, self._onModified)
        self._draw()

    def chart(self) -> Any:
        return self._chart

    def scene(self) -> Any:
        return self._scene

    def renderWindow(self) -> Any:
        return self.window_

    def fitToContent(self) -> None:
        self._chart.RecalculateBounds()
        self._outdate()

    def saveAsSVG(self, fileName: str) -> None:
        exporter = vtk.vtkSVGExporter()
        exporter.SetRenderWindow(self.window_)
        exporter.SetFileName(fileName)
        exporter.Write()

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._draw()

    def _draw(self) -> None:
        """Make the plots again from the nodes."""
        self._chartObservations.clear()
        self._chart.ClearPlots()
        self._series = {}
        chartNode = self._node.GetPlotChartNode() if self._node is not None else None
        if chartNode is not None:
            modified = [vtk.vtkCommand.ModifiedEvent]
            self._chartObservations.add(chartNode, modified, self._onModified)
            for index in range(chartNode.GetNumberOfPlotSeriesNodes()):
                series = chartNode.GetNthPlotSeriesNode(index)
                self._chartObservations.add(series, modified, self._onModified)
                if series.GetTableNode() is not None:
                    self._chartObservations.add(series.GetTableNode(), modified, self._onModified)
                    self._addSeries(series)
            self._decorate(chartNode)
        self._chart.RecalculateBounds()
        self._outdate()

    def _addSeries(self, series: Any) -> None:
        table = series.GetTableNode().GetTable()
        yColumn = table.GetColumnByName(series.GetYColumnName())
        if yColumn is None:
            return
        kind = series.GetPlotType()
        scatter = kind in (series.PlotTypeScatter, series.PlotTypeScatterBar)
        plot = self._chart.AddPlot(
            vtk.vtkChart.BAR if kind in (series.PlotTypeBar, series.PlotTypeScatterBar) else vtk.vtkChart.LINE
        )
        xColumn = table.GetColumnByName(series.GetXColumnName() or "") if scatter else None
        plot.SetInputData(table)
        plot.SetInputArray(1, yColumn.GetName())
        if xColumn is not None:
            plot.SetInputArray(0, xColumn.GetName())
        plot.SetUseIndexForXSeries(xColumn is None)
        plot.SetLabel(series.GetName())
        plot.SetColorF(*series.GetColor())
        plot.GetPen().SetOpacityF(series.GetOpacity())
        plot.GetPen().SetLineType(_LINES[series.GetLineStyle()])
        plot.SetWidth(series.GetLineWidth())
        if plot.IsA("vtkPlotPoints"):
            plot.SetMarkerStyle(series.GetMarkerStyle())
            plot.SetMarkerSize(series.GetMarkerSize())
        if series.GetLabelColumnName():
            plot.SetIndexedLabels(table.GetColumnByName(series.GetLabelColumnName()))
        self._series[self._chart.GetPlotIndex(plot)] = series

    def _decorate(self, chartNode: Any) -> None:
        self._chart.SetTitle(chartNode.GetTitle() if chartNode.GetTitleVisibility() and chartNode.GetTitle() else "")
        self._chart.SetShowLegend(bool(chartNode.GetLegendVisibility()))
        axes = (
            (vtk.vtkAxis.BOTTOM, chartNode.GetXAxisTitle(), chartNode.GetXAxisTitleVisibility(), "X"),
            (vtk.vtkAxis.LEFT, chartNode.GetYAxisTitle(), chartNode.GetYAxisTitleVisibility(), "Y"),
        )
        for position, title, titleVisible, letter in axes:
            axis = self._chart.GetAxis(position)
            axis.SetTitle(title if titleVisible and title else "")
            axis.SetGridVisible(bool(chartNode.GetGridVisibility()))
            if getattr(chartNode, f"Get{letter}AxisRangeAuto")():
                axis.SetBehavior(vtk.vtkAxis.AUTO)
            else:
                low_high = [0.0, 1.0]
                getattr(chartNode, f"Get{letter}AxisRange")(low_high)
                axis.SetBehavior(vtk.vtkAxis.FIXED)
                axis.SetRange(*low_high)

    def _onSelection(self) -> None:
        """As Slicer: ids of the series, and for each the rows that were selected."""
        ids, selections = vtk.vtkStringArray(), vtk.vtkCollection()
        for index, series in self._series.items():
            rows = self._chart.GetPlot(index).GetSelection()
            if rows is not None and rows.GetNumberOfTuples():
                ids.InsertNextValue(series.GetID())
                selections.AddItem(rows)
        self._outdate()
        if ids.GetNumberOfValues():
            self.dataSelected.emit(ids, selections)

    def RemovePlotSelections(self) -> None:
        for index in self._series:
            self._chart.GetPlot(index).SetSelection(None)
        self._outdate()


@register
class qMRMLPlotWidget(qMRMLWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._view = qMRMLPlotView()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._view.setMRMLScene(scene)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    def viewWidget(self) -> qMRMLPlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def mrmlAbstractViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node
        self._view.setMRMLPlotViewNode(node)

    def setMRMLAbstractViewNode(self, node: Any) -> None:
        self.setMRMLPlotViewNode(node)
