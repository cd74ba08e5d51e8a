"""Slicer's MRML widgets, on the real scene and the real nodes. Names are those of the C++ classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import qt
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property

from . import ctk
from .pythonqt import PySignal
from .uiloader import register


class Observations:
    """VTK observers that are removed together."""

    def __init__(self) -> None:
        self._tags: list[tuple[Any, int]] = []

    def add(self, node: Any, events: Iterable[Any], function: Callable[..., None]) -> None:
        self._tags += [(node, node.AddObserver(event, function)) for event in events]

    def take(self, node: Any, tag: int) -> None:
        """Look after an observer that is there already."""
        self._tags.append((node, tag))

    def clear(self) -> None:
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags.clear()


def stored(kind: Any, name: str, default: Any, changed: Callable[[Any], None] | None = None) -> Property:
    """A Q_PROPERTY kept in the object; ``changed(self)`` follows each change."""
    key = f"_{name}_"

    def get(self: Any) -> Any:
        return self.__dict__.get(key, default)

    def put(self: Any, value: Any) -> None:
        self.__dict__[key] = value
        if changed is not None:
            changed(self)

    return Property(kind, get, put)


class SceneWidget(QtWidgets.QWidget):
    """What qMRMLWidget and qSlicerWidget share."""

    mrmlSceneChanged = PySignal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, parent: Any = None, *flags: Any) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@register
class qMRMLWidget(SceneWidget):
    def mrmlScene(self) -> Any:
        return self._scene


@register
class qMRMLNodeComboBox(QtWidgets.QWidget):
    currentNodeChanged = PySignal("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    currentNodeIDChanged = PySignal("currentNodeIDChanged(QString)")
    currentNodeRenamed = PySignal("currentNodeRenamed(QString)")
    nodeActivated = PySignal("nodeActivated(vtkMRMLNode*)")
    nodeAdded = PySignal("nodeAdded(vtkMRMLNode*)")
    nodeAddedByUser = PySignal("nodeAddedByUser(vtkMRMLNode*)")
    nodeAboutToBeRemoved = PySignal("nodeAboutToBeRemoved(vtkMRMLNode*)")
    nodeAboutToBeEdited = PySignal("nodeAboutToBeEdited(vtkMRMLNode*)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox()
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._scene: Any = None
        self._types: list[str] = []
        self._attributes: dict[tuple[str, str], Any] = {}
        self._labels: dict[str, str] = {}
        self._menuActions: list[Any] = []
        # Ids in the order of the combo box; "" for none. Behind them come the actions.
        self._ids: list[str] = []
        self._actions: list[Callable[[], Any]] = []
        self._current = ""
        self._filling = False
        self._sceneObservations = Observations()
        self._nameObservations = Observations()
        self.setEnabled(False)
        self._combo.currentIndexChanged.connect(self._onIndexChanged)
        self._combo.activated.connect(self._onActivated)
        self.destroyed.connect(self._forget)

    def _forget(self) -> None:
        self._sceneObservations.clear()
        self._nameObservations.clear()

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        self.setEnabled(scene is not None)
        self._sceneObservations.clear()
        if scene is not None:
            self._sceneObservations.add(scene, [scene.NodeAddedEvent], self._onNodeAdded)
            self._sceneObservations.add(scene, [scene.NodeRemovedEvent], self._onNodeRemoved)
            ends = [scene.EndCloseEvent, scene.EndImportEvent, scene.EndBatchProcessEvent]
            self._sceneObservations.add(scene, ends, self._onBatchEnd)
        self._fill()
        if not self._current and not self.noneEnabled and self._ids:
            self._select(self._ids[0])

    def mrmlScene(self) -> Any:
        return self._scene

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node if isinstance(node, str) else "" if node is None else node.GetID())

    def setCurrentNodeID(self, nodeID: str) -> None:
        self._select(nodeID if nodeID in self._ids else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeFromIndex(self, index: int) -> Any:
        ids = [nodeID for nodeID in self._ids if nodeID]
        return self._scene.GetNodeByID(ids[index]) if 0 <= index < len(ids) else None

    def nodeCount(self) -> int:
        return sum(1 for nodeID in self._ids if nodeID)

    def addNode(self, nodeType: str | None = None) -> Any:
        node = self._scene.CreateNodeByClass(nodeType or self._types[0])
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for (className, name), value in self._attributes.items():
            if node.IsA(className):
                node.SetAttribute(name, "" if value is None else str(value))
        node = self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        return node

    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            self.nodeAboutToBeRemoved.emit(node)
            self._scene.RemoveNode(node)

    def renameCurrentNode(self) -> None:
        name = qt.QInputDialog.getText(self, "Rename", "New name:", qt.QLineEdit.Normal, self.currentNode().GetName())
        if name:
            self.currentNode().SetName(name)
            self.currentNodeRenamed.emit(name)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def addAttribute(self, nodeType: str, name: str, value: Any = None) -> None:
        self._attributes[nodeType, name] = value
        self._fill()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        self._attributes.pop((nodeType, name), None)
        self._fill()

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        self._labels[nodeType] = label
        self._fill()

    def nodeTypeLabel(self, nodeType: str) -> str:
        return self._labels.get(nodeType) or nodeType.removeprefix("vtkMRML").removesuffix("Node")

    def addMenuAction(self, action: Any) -> None:
        self._menuActions.append(action)
        self._fill()

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        kinds = [t for t in self._types if node.GetClassName() == t or (self.showChildNodeTypes and node.IsA(t))]
        if not kinds or any(node.IsA(t) for t in self.hideChildNodeTypes):
            return False
        for (className, name), value in self._attributes.items():
            present = node.GetAttribute(name)
            if node.IsA(className) and (present is None or (value is not None and str(value) != present)):
                return False
        return True

    def _fill(self) -> None:
        """Make the list again; the current node stays current while it is there."""
        nodes = []
        if self._scene is not None:
            collection = self._scene.GetNodes()
            every = (collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems()))
            nodes = [node for node in every if self._accepts(node)]
        self._nameObservations.clear()
        self._filling = True
        self._combo.clear()
        self._ids = []
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay)
            self._ids.append("")
        for node in nodes:
            self._combo.addItem(node.GetName() or "")
            self._ids.append(node.GetID())
            self._nameObservations.add(node, [vtk.vtkCommand.ModifiedEvent], self._onNodeModified)
        self._addActions()
        self._filling = False
        if self._current and self._current not in self._ids:
            # Slicer goes to the last node unless none can be chosen.
            last = self._ids[-1] if self._ids and not self.noneEnabled else ""
            self._select(last)
        else:
            self._show()

    def _addActions(self) -> None:
        label = self.nodeTypeLabel(self._types[0]) if self._types else "node"
        actions = [
            (self.addEnabled, f"Create new {label}", self._addByUser),
            (self.renameEnabled, f"Rename current {label}", self.renameCurrentNode),
            (self.editEnabled, f"Edit current {label}", self.editCurrentNode),
            (self.removeEnabled, f"Delete current {label}", self.removeCurrentNode),
        ]
        chosen = [(text, function) for enabled, text, function in actions if enabled]
        chosen += [(action.text, action.trigger) for action in self._menuActions]
        if chosen:
            self._combo.insertSeparator(self._combo.count)
        for text, _ in chosen:
            self._combo.addItem(text)
        self._actions = [function for _, function in chosen]

    def _addByUser(self) -> None:
        self.nodeAddedByUser.emit(self.addNode())

    def _show(self) -> None:
        self._filling = True
        self._combo.setCurrentIndex(self._ids.index(self._current) if self._current in self._ids else -1)
        self._filling = False

    def _select(self, nodeID: str) -> None:
        changed = nodeID != self._current
        self._current = nodeID
        self._show()
        if changed:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(nodeID)

    def _onIndexChanged(self, index: int) -> None:
        if self._filling:
            return
        if index < len(self._ids):
            self._select(self._ids[index] if index >= 0 else "")
        else:
            self._show()
            self._actions[index - len(self._ids) - 1]()

    def _onActivated(self, index: int) -> None:
        if index < len(self._ids):
            self.nodeActivated.emit(self.currentNode())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _scene: Any, _event: str, node: Any) -> None:
        if not self._scene.IsBatchProcessing() and self._accepts(node):
            self._fill()
            self.nodeAdded.emit(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _scene: Any, _event: str, node: Any) -> None:
        if node.GetID() in self._ids and not self._scene.IsBatchProcessing():
            self._fill()

    def _onBatchEnd(self, _scene: Any, _event: str) -> None:
        self._fill()

    def _onNodeModified(self, node: Any, _event: str) -> None:
        if node.GetID() in self._ids:
            self._combo.setItemText(self._ids.index(node.GetID()), node.GetName() or "")

    def _setNodeTypes(self, types: Any) -> None:
        self._types = [types] if isinstance(types, str) else list(types)
        self._fill()

    nodeTypes = Property("QStringList", lambda self: tuple(self._types), _setNodeTypes)
    currentNodeID = Property(str, lambda self: self._current, lambda self, nodeID: self.setCurrentNodeID(nodeID))
    noneEnabled = stored(bool, "noneEnabled", False, _fill)
    noneDisplay = stored(str, "noneDisplay", "None", _fill)
    addEnabled = stored(bool, "addEnabled", True, _fill)
    removeEnabled = stored(bool, "removeEnabled", True, _fill)
    editEnabled = stored(bool, "editEnabled", False, _fill)
    renameEnabled = stored(bool, "renameEnabled", False, _fill)
    showHidden = stored(bool, "showHidden", False, _fill)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True, _fill)
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", (), _fill)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)


@register
class qMRMLSliderWidget(ctk.ctkSliderWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    quantity = stored(str, "quantity", "")


@register
class qMRMLSpinBox(ctk.ctkDoubleSpinBox):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setQuantity(self, quantity: str) -> None:
        self.quantity = quantity

    quantity = stored(str, "quantity", "")


class _TableModel(QtGui.QStandardItemModel):
    """Cells of a table node as text; the names of the columns are the first row unless the node makes them a header."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._node: Any = None

    def show(self, node: Any) -> None:
        self._node = node
        self.clear()
        table = node.GetTable() if node is not None else None
        if table is None:
            return
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        names = [column.GetName() or "" for column in columns]
        rows = [[column.GetVariantValue(r).ToString() for column in columns] for r in range(table.GetNumberOfRows())]
        if node.GetUseColumnTitleAsColumnHeader():
            self.setHorizontalHeaderLabels(names)
        else:
            rows.insert(0, names)
        for row in rows:
            items = [QtGui.QStandardItem(text) for text in row]
            for item in items:
                item.setEditable(not node.GetLocked())
            self.appendRow(items)


@register
class qMRMLTableView(QtWidgets.QTableView):
    mrmlSceneChanged = PySignal("mrmlSceneChanged(vtkMRMLScene*)")
    selectionChanged = PySignal("selectionChanged()")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None
        self._filling = False
        self._observations = Observations()
        self._model = _TableModel(self)
        self.setModel(self._model)
        self.selectionModel().selectionChanged.connect(self._onSelectionChanged)
        self._model.itemChanged.connect(self._onItemChanged)
        self.destroyed.connect(self._observations.clear)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlTableNode(self) -> Any:
        return self._node

    def setMRMLTableNode(self, node: Any) -> None:
        self._observations.clear()
        self._node = node
        if node is not None:
            self._observations.add(node, [vtk.vtkCommand.ModifiedEvent], self._onModified)
        self._fill()

    def tableModel(self) -> Any:
        return self._model

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._fill()

    def _fill(self) -> None:
        self._filling = True
        self._model.show(self._node)
        self._filling = False
        headers = self._node is not None and self._node.GetUseColumnTitleAsColumnHeader()
        self.horizontalHeader().setVisible(bool(headers))

    def _onSelectionChanged(self) -> None:
        self.selectionChanged.emit()

    def _onItemChanged(self, item: Any) -> None:
        if self._filling:
            return
        row = item.row() - (not self._node.GetUseColumnTitleAsColumnHeader())
        if row >= 0:
            self._node.SetCellText(row, item.column(), item.text())
