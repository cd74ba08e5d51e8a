"""The layout of views, and the main window: panel on the left, views on the right."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .plots import qMRMLPlotWidget
from .pythonqt import PySignal, cpp_class
from .views import qMRMLSliceWidget


@cpp_class
class qSlicerLayoutManager(QtCore.QObject):
    """Shows the slice and plot views of the layout, two in a row; three-dimensional views are left out."""

    layoutChanged = PySignal("layoutChanged(int)")

    def __init__(self) -> None:
        super().__init__()
        self._slices: dict[str, qMRMLSliceWidget] = {}
        self._plots: dict[str, qMRMLPlotWidget] = {}
        self._viewport = QtWidgets.QWidget()
        self._grid = QtWidgets.QGridLayout(self._viewport)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        node = self._logic.GetLayoutNode()
        node.SetViewArrangement(node.SlicerLayoutFourUpView)
        self._shown = node.GetViewArrangement()
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self._onLayoutModified())
        # Closing a scene resets its layout node; the user's layout stays.
        self._kept = self._shown
        scene = slicer.mrmlScene
        scene.AddObserver(scene.StartCloseEvent, lambda _caller, _event: self._onSceneStartClose())
        scene.AddObserver(scene.EndCloseEvent, lambda _caller, _event: self.setLayout(self._kept))
        self._arrange()

    def _onSceneStartClose(self) -> None:
        self._kept = self._shown

    def _onLayoutModified(self) -> None:
        arrangement = self._logic.GetLayoutNode().GetViewArrangement()
        if arrangement != self._shown and not slicer.mrmlScene.IsClosing():
            self._shown = arrangement
            self._arrange()
            self.layoutChanged.emit(arrangement)

    def _arrange(self) -> None:
        for widget in (*self._slices.values(), *self._plots.values()):
            self._grid.removeWidget(widget)
            widget.setVisible(False)
        views = self._logic.GetViewNodes()
        widgets = [self.viewWidget(views.GetItemAsObject(index)) for index in range(views.GetNumberOfItems())]
        for position, widget in enumerate(widget for widget in widgets if widget is not None):
            self._grid.addWidget(widget, *divmod(position, 2))
            widget.setVisible(True)

    def viewWidget(self, viewNode: Any) -> Any:
        name = viewNode.GetLayoutName()
        if viewNode.IsA("vtkMRMLSliceNode"):
            if name not in self._slices:
                self._slices[name] = qMRMLSliceWidget()
                self._slices[name].setMRMLScene(slicer.mrmlScene)
                self._slices[name].setMRMLSliceNode(viewNode)
            return self._slices[name]
        if viewNode.IsA("vtkMRMLPlotViewNode"):
            if name not in self._plots:
                self._plots[name] = qMRMLPlotWidget()
                self._plots[name].setMRMLScene(slicer.mrmlScene)
                self._plots[name].setMRMLPlotViewNode(viewNode)
            return self._plots[name]
        return None

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._slices.get(name)

    def plotWidget(self, index: int) -> qMRMLPlotWidget | None:
        return self._shownPlots()[index] if 0 <= index < self.plotViewCount else None

    def threeDWidget(self, index: int) -> None:
        return None

    def tableWidget(self, index: int) -> None:
        return None

    def _shownPlots(self) -> list[qMRMLPlotWidget]:
        return [plot for plot in self._plots.values() if not plot.isHidden()]

    def layoutLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def setLayout(self, layout: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """There are none."""

    layout = QtCore.Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: 0)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: len(self._shownPlots()))


@cpp_class
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    moduleSelected = PySignal("moduleSelected(QString)")

    def __init__(self, window: Any) -> None:
        super().__init__()
        self._window = window

    selectedModule = QtCore.Property(str, lambda self: self._window._selected)

    def selectModule(self, name: str) -> None:
        self._window._select(name)
        self.moduleSelected.emit(name)


@cpp_class
class qSlicerMainWindow(QtWidgets.QMainWindow):
    def __init__(self, layoutManager: qSlicerLayoutManager) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selected = ""
        self._selector = qSlicerModuleSelectorToolBar(self)
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        splitter = QtWidgets.QSplitter(QtCore.Qt.Horizontal)
        splitter.addWidget(self._panel)
        splitter.addWidget(layoutManager._viewport)
        splitter.setSizes([480, 920])
        self.setCentralWidget(splitter)
        self.statusBar()
        self.resize(1400, 900)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector

    def _select(self, name: str) -> None:
        """Leave the module that is open, open ``name`` ("" for none)."""
        if name == self._selected:
            return
        if self._selected:
            before = self._panel.takeWidget()
            before.exit()
            before.setParent(None)
        self._selected = name
        if name:
            representation = slicer.app._modules[name].widgetRepresentation()
            self._panel.setWidget(representation)
            representation.show()
            representation.enter()
