"""Widgets that list the segments of a segmentation."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt

from .ctk import ctkMenuButton
from .mrml_widgets import Observations, qMRMLNodeComboBox, qMRMLWidget, stored
from .pythonqt import PySignal
from .uiloader import register

_SEGMENT_EVENTS = (
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkSegmentation.SegmentsOrderModified,
    slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent,
)
_VISIBLE, _COLOR, _OPACITY, _NAME, _STATUS, _LAYER = range(6)
_STATUS_NAMES = ("Not started", "In progress", "Completed", "Flagged")


def segmentIDs(node: Any) -> list[str]:
    """Ids in the order of the segmentation; none without a node."""
    segmentation = node.GetSegmentation() if node is not None else None
    return [] if segmentation is None else list(segmentation.GetSegmentIDs())


def _column(name: str, column: int, default: bool) -> Property:
    return stored(bool, name, default, lambda self: self._table.setColumnHidden(column, not getattr(self, name)))


@register
class qMRMLSegmentsTableView(qMRMLWidget):
    selectionChanged = PySignal("selectionChanged(QItemSelection,QItemSelection)")
    segmentAboutToBeModified = PySignal("segmentAboutToBeModified(QString)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._ids: list[str] = []
        self._shown: list[tuple[Any, ...]] = []
        self._hidden: tuple[str, ...] = ()
        self._filling = False
        self._observations = Observations()
        self._filter = QtWidgets.QLineEdit()
        self._filter.setPlaceholderText("Filter segments by name")
        self._filter.setVisible(False)
        self._table = QtWidgets.QTableWidget(0, 6)
        self._table.setObjectName("SegmentsTable")
        self._table.setHorizontalHeaderLabels(["", "", "Opacity", "Name", "Status", "Layer"])
        self._table.horizontalHeader().setSectionResizeMode(_NAME, QtWidgets.QHeaderView.Stretch)
        for column, width in ((_VISIBLE, 28), (_COLOR, 28), (_OPACITY, 60), (_STATUS, 90), (_LAYER, 44)):
            self._table.setColumnWidth(column, width)
        self._table.verticalHeader().setVisible(False)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.ExtendedSelection)
        self._table.setColumnHidden(_LAYER, True)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._filter)
        layout.addWidget(self._table)
        self._filter.textChanged.connect(self._onFilter)
        self._table.itemSelectionChanged.connect(self._onSelected)
        self._table.cellClicked.connect(self._onCellClicked)
        self._table.itemChanged.connect(self._onItemChanged)
        self.destroyed.connect(self._observations.clear)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is self._node:
            return
        self._observations.clear()
        self._node = node
        if node is not None:
            self._observations.add(node, _SEGMENT_EVENTS, self._onModified)
            self._observations.add(node, [slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent], self._onModified)
        self._fill()

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._fill()

    def _fill(self) -> None:
        """As Slicer's model, touch nothing while all cells say the same: each step through a sequence asks for it."""
        ids = segmentIDs(self._node)
        rows = [self._row(segmentID) for segmentID in ids]
        if rows == self._shown:
            return
        selected = self.selectedSegmentIDs()
        self._filling = True
        self._ids, self._shown = ids, rows
        self._table.setRowCount(len(ids))
        for row, (segmentID, *cells) in enumerate(rows):
            for column, item in enumerate(self._items(*cells)):
                self._table.setItem(row, column, item)
            self._table.setRowHidden(row, not self._isShown(segmentID))
        self._filling = False
        self._select(selected)
        if selected != self.selectedSegmentIDs():  # one of them is gone
            self.selectionChanged.emit(None, None)

    def _row(self, segmentID: str) -> tuple[Any, ...]:
        """Id, texts of the cells, colour, whether the name can be edited."""
        segmentation, display = self._node.GetSegmentation(), self._node.GetDisplayNode()
        segment = segmentation.GetSegment(segmentID)
        visible = display is None or bool(display.GetSegmentVisibility(segmentID))
        opacity = 1.0 if display is None else display.GetSegmentOpacity2DFill(segmentID)
        status = _STATUS_NAMES[slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment)]
        layer = str(segmentation.GetLayerIndex(segmentID))
        texts = ("◉" if visible else "○", "", f"{opacity:.2f}", segment.GetName(), status, layer)
        return segmentID, texts, tuple(segment.GetColor()), not self.readOnly

    def _items(self, texts: Any, color: Any, editable: bool) -> list[QtWidgets.QTableWidgetItem]:
        items = [QtWidgets.QTableWidgetItem(text) for text in texts]
        for column, item in enumerate(items):
            if column != _NAME or not editable:
                item.setFlags(Qt.ItemIsEnabled | Qt.ItemIsSelectable)
        items[_VISIBLE].setTextAlignment(Qt.AlignCenter)
        items[_COLOR].setBackground(QtGui.QColor.fromRgbF(*color))
        return items

    def _isShown(self, segmentID: str) -> bool:
        name = self._node.GetSegmentation().GetSegment(segmentID).GetName()
        return segmentID not in self._hidden and self._filter.text.lower() in name.lower()

    def _onFilter(self) -> None:
        for row, segmentID in enumerate(self._ids):
            self._table.setRowHidden(row, not self._isShown(segmentID))

    def _onSelected(self) -> None:
        if not self._filling:
            self.selectionChanged.emit(None, None)

    def _onCellClicked(self, row: int, column: int) -> None:
        display = self._node.GetDisplayNode()
        if column == _VISIBLE and display is not None:
            display.SetSegmentVisibility(self._ids[row], not display.GetSegmentVisibility(self._ids[row]))

    def _onItemChanged(self, item: QtWidgets.QTableWidgetItem) -> None:
        if not self._filling and item.column() == _NAME:
            segmentID = self._ids[item.row()]
            self.segmentAboutToBeModified.emit(segmentID)
            self._node.GetSegmentation().GetSegment(segmentID).SetName(item.text())

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return tuple(self._ids[row] for row in rows if row < len(self._ids))

    def setSelectedSegmentIDs(self, ids: Any) -> None:
        before = self.selectedSegmentIDs()
        self._select(ids)
        if before != self.selectedSegmentIDs():
            self.selectionChanged.emit(None, None)

    def _select(self, ids: Any) -> None:
        self._filling = True
        self._table.clearSelection()
        model = self._table.model()
        for row, segmentID in enumerate(self._ids):
            if segmentID in ids:
                flags = QtCore.QItemSelectionModel.Select | QtCore.QItemSelectionModel.Rows
                self._table.selectionModel().select(model.index(row, 0), flags)
        self._filling = False

    def clearSelection(self) -> None:
        self.setSelectedSegmentIDs(())

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(segmentID for segmentID in self._ids if self._isShown(segmentID))

    def hideSegments(self) -> tuple[str, ...]:
        return self._hidden

    def setHideSegments(self, ids: Any) -> None:
        self._hidden = tuple(ids)
        self._onFilter()

    def rowForSegmentID(self, segmentID: str) -> int:
        return self._ids.index(segmentID) if segmentID in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row] if 0 <= row < len(self._ids) else ""

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def model(self) -> Any:
        return self._table.model()

    def setSelectionMode(self, mode: int) -> None:
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode(mode))

    def setReadOnly(self, readOnly: bool) -> None:
        self.readOnly = readOnly

    def setHeaderVisible(self, visible: bool) -> None:
        self.headerVisible = visible

    def setVisibilityColumnVisible(self, visible: bool) -> None:
        self.visibilityColumnVisible = visible

    def setColorColumnVisible(self, visible: bool) -> None:
        self.colorColumnVisible = visible

    def setOpacityColumnVisible(self, visible: bool) -> None:
        self.opacityColumnVisible = visible

    def setStatusColumnVisible(self, visible: bool) -> None:
        self.statusColumnVisible = visible

    def setLayerColumnVisible(self, visible: bool) -> None:
        self.layerColumnVisible = visible

    def setFilterBarVisible(self, visible: bool) -> None:
        self.filterBarVisible = visible

    def setTextFilter(self, text: str) -> None:
        self._filter.setText(text)

    segmentCount = Property(int, lambda self: len(self._ids))
    textFilter = Property(str, lambda self: self._filter.text, setTextFilter)
    selectionMode = Property(int, lambda self: int(self._table.selectionMode), setSelectionMode)
    headerVisible = Property(
        bool,
        lambda self: not self._table.horizontalHeader().isHidden(),
        lambda self, visible: self._table.horizontalHeader().setVisible(visible),
    )
    filterBarVisible = Property(
        bool, lambda self: not self._filter.isHidden(), lambda self, visible: self._filter.setVisible(visible)
    )
    visibilityColumnVisible = _column("visibilityColumnVisible", _VISIBLE, True)
    colorColumnVisible = _column("colorColumnVisible", _COLOR, True)
    opacityColumnVisible = _column("opacityColumnVisible", _OPACITY, True)
    statusColumnVisible = _column("statusColumnVisible", _STATUS, True)
    layerColumnVisible = _column("layerColumnVisible", _LAYER, False)
    readOnly = stored(bool, "readOnly", False, _fill)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)


@register
class qMRMLSegmentSelectorWidget(qMRMLWidget):
    currentNodeChanged = PySignal("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    currentSegmentChanged = PySignal("currentSegmentChanged(QString)")
    segmentSelectionChanged = PySignal("segmentSelectionChanged(QStringList)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = False
        self._nodes.removeEnabled = False
        self._segments = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes, 1)
        layout.addWidget(self._segments, 1)
        self._ids: list[str] = []
        self._last = ""
        self._filling = False
        self._observations = Observations()
        self._nodes.currentNodeChanged.connect(self.onCurrentNodeChanged)
        self._segments.currentIndexChanged.connect(self._onIndexChanged)
        self.destroyed.connect(self._observations.clear)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def onCurrentNodeChanged(self, node: Any = None) -> None:
        self._observations.clear()
        node = self.currentNode()
        if node is not None:
            self._observations.add(node, _SEGMENT_EVENTS, self._onModified)
        self._fill()
        self.currentNodeChanged.emit(node)

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._fill()

    def _fill(self) -> None:
        self._filling = True
        self._segments.clear()
        self._ids = segmentIDs(self.currentNode())
        for segmentID in self._ids:
            self._segments.addItem(self.currentNode().GetSegmentation().GetSegment(segmentID).GetName())
        if self.noneEnabled:
            self._ids.insert(0, "")
            self._segments.insertItem(0, "None")
        first = 0 if self._ids else -1
        self._segments.setCurrentIndex(self._ids.index(self._last) if self._last in self._ids else first)
        self._filling = False
        self._onIndexChanged()

    def _onIndexChanged(self) -> None:
        if not self._filling and self.currentSegmentID() != self._last:
            self._last = self.currentSegmentID()
            self.currentSegmentChanged.emit(self._last)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return self._nodes.currentNodeID

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._nodes.setCurrentNodeID(nodeID)

    def currentSegmentID(self) -> str:
        index = self._segments.currentIndex
        return self._ids[index] if 0 <= index < len(self._ids) else ""

    def setCurrentSegmentID(self, segmentID: str) -> None:
        if segmentID in self._ids:
            self._segments.setCurrentIndex(self._ids.index(segmentID))

    def segmentIDs(self) -> tuple[str, ...]:
        return tuple(segmentID for segmentID in self._ids if segmentID)

    noneEnabled = stored(bool, "noneEnabled", False, _fill)
    segmentationNodeSelectorVisible = Property(
        bool, lambda self: not self._nodes.isHidden(), lambda self, visible: self._nodes.setVisible(visible)
    )


@register
class qMRMLSegmentationShow3DButton(ctkMenuButton):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observations = Observations()
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.clicked.connect(self._onClicked)
        self.destroyed.connect(self._observations.clear)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._observations.clear()
        self._node = node
        if node is not None:
            self._observations.add(node, [vtk.vtkCommand.ModifiedEvent, *_SEGMENT_EVENTS], self._onModified)
        self._update()

    def setLocked(self, locked: bool) -> None:
        self.locked = locked

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._update()

    def _update(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node is not None else None
        self.setEnabled(segmentation is not None and segmentation.GetNumberOfSegments() > 0 and not self.locked)
        surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        self.setChecked(segmentation is not None and bool(segmentation.ContainsRepresentation(surface)))

    def _onClicked(self, checked: bool = False) -> None:
        if checked:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()

    locked = stored(bool, "locked", False, _update)
