"""The layout of views, and the main window: panel on the left, views on the right."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from .pythonqt import PySignal, cpp_class


@cpp_class
class qSlicerLayoutManager(QtCore.QObject):
    layoutChanged = PySignal("layoutChanged(int)")

    def __init__(self) -> None:
        super().__init__()
        self._slices: dict[str, Any] = {}
        self._viewport = QtWidgets.QWidget()

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()


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
