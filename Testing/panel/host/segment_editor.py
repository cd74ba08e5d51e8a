"""The Segment Editor's widget, on Slicer's own vtkSlicerSegmentEditorLogic. Names of its parts are Slicer's.

As in Slicer, what changes in the segment editor node is heard by the widget, and not the other way round alone:
``setActiveEffectByName`` and ``setCurrentSegmentID`` write to the node. ``currentSegmentIDChanged`` tells of selections
in the table only; whoever must know of all of them observes the node. Left out: the dialog for the geometry, the
Segmentations module, which is opened by its button, and three-dimensional views.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Qt

from . import ctk
from .mrml_widgets import Observations, qMRMLNodeComboBox, qMRMLWidget, stored
from .pythonqt import PySignal
from .segment_editor_input import Keys, Views
from .segment_effects import qSlicerSegmentEditorEffectFactory
from .segment_masking import Masking, silent
from .segment_widgets import (
    qMRMLSegmentationShow3DButton,
    qMRMLSegmentSelectorWidget,
    qMRMLSegmentsTableView,
    segmentIDs,
)
from .uiloader import register

_NULL_EFFECT = "NULL"
_SLICERS_ORDER = (
    "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices", "Margin",
    "Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume",
)  # fmt: skip


def _visible(*parts: str) -> Property:
    """Whether the parts are to be seen."""

    def show(self: Any, visible: bool) -> None:
        for part in parts:
            self.__dict__[part].setVisible(bool(visible))

    return Property(bool, lambda self: not self.__dict__[parts[0]].isHidden(), show)


def _written(property_: str) -> Callable[[Any, Any], None]:
    """The setter of a property, as C++ has it beside the property."""

    def put(self: Any, value: Any) -> None:
        setattr(self, property_, value)

    return put


def _putInSubjectHierarchy(node: Any) -> None:
    """In the application a Qt plugin gives every node its item, and the logic complains where it finds none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    if not hierarchy.GetItemByDataNode(node):
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


@register
class qMRMLSegmentEditorWidget(qMRMLWidget):
    currentSegmentIDChanged = PySignal("currentSegmentIDChanged(QString)")
    segmentationNodeChanged = PySignal("segmentationNodeChanged(vtkMRMLSegmentationNode*)")
    sourceVolumeNodeChanged = PySignal("sourceVolumeNodeChanged(vtkMRMLVolumeNode*)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node: Any = None
        self._shownSegmentation: Any = None
        self._shownVolume: Any = None
        self._interaction: Any = None
        self._effects: list[Any] = []
        self._order: tuple[str, ...] = _SLICERS_ORDER
        self._effectButtons: dict[str, Any] = {}
        self._displayed: list[str] = []
        self._activeEffect: Any = None
        self._lastEffect: Any = None
        self._views = Views(self)
        self._keys = Keys(self)
        self._observations = {
            name: Observations() for name in ("scene", "node", "segmentation", "volume", "interaction", "logic")
        }
        self._makeNodeSelectors()
        self._makeSegmentButtons()
        self._makeEffectsAndTable()
        self._masking = Masking(self)
        self._arrange()
        logic = self._logic
        observe = self._observations["logic"].add
        observe(logic, [logic.SegmentationHistoryChangedEvent], lambda *_: self._updateUndo())
        observe(logic, [logic.PauseRenderEvent], lambda *_: slicer.app.pauseRender())
        observe(logic, [logic.ResumeRenderEvent], lambda *_: slicer.app.resumeRender())
        self.updateEffectList()
        self.destroyed.connect(self._forget)

    def _forget(self) -> None:
        self._views.leave()
        for observations in self._observations.values():
            observations.clear()
        layoutManager = slicer.app.layoutManager()
        layoutManager.disconnect("layoutChanged(int)", self._onLayoutChanged)
        for effect in self._effects:
            effect.cleanup()

    #
    # Parts
    #

    def _makeNodeSelectors(self) -> None:
        self._segmentations = qMRMLNodeComboBox()
        self._segmentations.setObjectName("SegmentationNodeComboBox")
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._segmentations.renameEnabled = True
        self._segmentations.currentNodeChanged.connect(self._onSegmentationChosen)
        self._volumes = qMRMLNodeComboBox()
        self._volumes.setObjectName("SourceVolumeNodeComboBox")
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self._volumes.hideChildNodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.noneEnabled = True
        self._volumes.addEnabled = False
        self._volumes.renameEnabled = True
        self._volumes.noneDisplay = "Select source volume to enable editing"
        self._volumes.currentNodeChanged.connect(self._onVolumeChosen)
        self._segmentationLabel = QtWidgets.QLabel("Segmentation:")
        self._segmentationLabel.setObjectName("SegmentationNodeLabel")
        self._volumeLabel = QtWidgets.QLabel("Source volume:")
        self._volumeLabel.setObjectName("SourceVolumeNodeLabel")
        self._geometry = QtWidgets.QToolButton()
        self._geometry.setObjectName("SpecifyGeometryButton")
        self._geometry.setText("#")

    def _makeSegmentButtons(self) -> None:
        self._add, self._remove = QtWidgets.QPushButton("Add"), QtWidgets.QPushButton("Remove")
        self._show3D = qMRMLSegmentationShow3DButton()
        self._segmentationsModule = QtWidgets.QToolButton()
        self._segmentationsModule.setText("→")
        for button, name in (
            (self._add, "AddSegmentButton"),
            (self._remove, "RemoveSegmentButton"),
            (self._show3D, "Show3DButton"),
            (self._segmentationsModule, "SwitchToSegmentationsButton"),
        ):
            button.setObjectName(name)
            button.setEnabled(False)
        self._add.connect("clicked()", self._onAdd)
        self._remove.connect("clicked()", self._onRemove)

    def _makeEffectsAndTable(self) -> None:
        self._table = qMRMLSegmentsTableView()
        self._table.setObjectName("SegmentsTableView")
        self._table.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
        self._table.setOpacityColumnVisible(False)
        self._table.setMinimumHeight(150)
        self._table.selectionChanged.connect(self._onSegmentChosen)
        self._table.segmentAboutToBeModified.connect(self.saveStateForUndo)
        self._effectsBox, self._undoBox = QtWidgets.QFrame(), QtWidgets.QFrame()
        self._effectsBox.setObjectName("EffectsGroupBox")
        self._effectsBox.setEnabled(False)
        self._undoBox.setObjectName("UndoRedoGroupBox")
        self._effectGroup = QtWidgets.QButtonGroup(self)
        self._effectGroup.setExclusive(True)
        self._undoButton, self._redoButton = QtWidgets.QToolButton(), QtWidgets.QToolButton()
        grid = QtWidgets.QGridLayout(self._undoBox)
        for column, (button, name) in enumerate(((self._undoButton, "Undo"), (self._redoButton, "Redo"))):
            button.setObjectName(f"{name}Button")
            button.setText(name)
            button.setEnabled(False)
            grid.addWidget(button, 0, column)
        self._undoButton.connect("clicked()", self.undo)
        self._redoButton.connect("clicked()", self.redo)
        QtWidgets.QGridLayout(self._effectsBox)
        self._options = QtWidgets.QGroupBox()
        self._options.setObjectName("OptionsGroupBox")
        self._options.setVisible(False)
        self._help = ctk.ctkFittedTextBrowser()
        self._help.setObjectName("EffectHelpBrowser")
        self._help.setMaximumHeight(60)
        self._optionsFrame = QtWidgets.QFrame()
        self._optionsFrame.setObjectName("EffectsOptionsFrame")
        frame = QtWidgets.QVBoxLayout(self._optionsFrame)
        frame.setContentsMargins(0, 0, 0, 0)
        box = QtWidgets.QVBoxLayout(self._options)
        box.addWidget(self._help)
        box.addWidget(self._optionsFrame)

    def _arrange(self) -> None:
        nodes, segments, columns = QtWidgets.QGridLayout(), QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        nodes.addWidget(self._segmentationLabel, 0, 0)
        nodes.addWidget(self._segmentations, 0, 1, 1, 2)
        nodes.addWidget(self._volumeLabel, 1, 0)
        nodes.addWidget(self._volumes, 1, 1)
        nodes.addWidget(self._geometry, 1, 2)
        nodes.setColumnStretch(1, 1)
        for button in (self._add, self._remove, self._show3D, self._segmentationsModule):
            segments.addWidget(button)
        tools, work = QtWidgets.QVBoxLayout(), QtWidgets.QVBoxLayout()
        for widget in (self._effectsBox, self._undoBox):
            tools.addWidget(widget)
        tools.addStretch(1)
        for widget in (self._table, self._options, self._masking):
            work.addWidget(widget)
        work.addStretch(1)
        columns.addLayout(tools)
        columns.addLayout(work, 1)
        layout = QtWidgets.QVBoxLayout(self)
        for part in (nodes, segments, columns):
            layout.addLayout(part)

    #
    # Scene and nodes
    #

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self.mrmlScene():
            return
        with silent(self._segmentations), silent(self._volumes):
            super().setMRMLScene(scene)
            self._segmentations.setMRMLScene(scene)
            self._volumes.setMRMLScene(scene)
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(scene)
        self._logic.SetVerbose(True)
        slicer.app.layoutManager().disconnect("layoutChanged(int)", self._onLayoutChanged)
        slicer.app.layoutManager().connect("layoutChanged(int)", self._onLayoutChanged)
        self.setInteractionNode(None if scene is None else scene.GetNodeByID("vtkMRMLInteractionNodeSingleton"))
        self.updateWidgetFromMRML()
        self._observations["scene"].clear()
        if scene is not None:
            self._observations["scene"].add(scene, [scene.EndCloseEvent], self._onEndClose)
            self._observations["scene"].add(scene, [scene.EndBatchProcessEvent], self._onEndBatch)

    def _onEndClose(self, _caller: Any, _event: str) -> None:
        self._initializeNode()
        self.updateWidgetFromMRML()

    def _onEndBatch(self, _caller: Any, _event: str) -> None:
        node = self.mrmlSegmentEditorNode()
        if node is not None:
            if node.GetSegmentationNode() is not self._segmentations.currentNode():
                self.setSegmentationNode(self._segmentations.currentNode())
            if node.GetSourceVolumeNode() is not self._volumes.currentNode():
                self.setSourceVolumeNode(self._volumes.currentNode())
        self.updateWidgetFromMRML()

    def interactionNode(self) -> Any:
        return self._interaction

    def setInteractionNode(self, node: Any) -> None:
        self._observations["interaction"].clear()
        self._interaction = node
        if node is not None:
            self._observations["interaction"].add(node, [vtk.vtkCommand.ModifiedEvent], self._onInteraction)

    def _onInteraction(self, node: Any, _event: str) -> None:
        if self._activeEffect is not None:
            self._activeEffect._interactionNodeModified(node)

    def mrmlSegmentEditorNode(self) -> Any:
        """None once the node has left its scene: C++ holds it weakly."""
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        if node is self._node:
            return
        self._observations["node"].clear()
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        if node is not None:
            self._observations["node"].add(node, [vtk.vtkCommand.ModifiedEvent], self._onNodeModified)
            self._observations["node"].add(node, [node.EffectParameterModified], self._onParameterModified)
            self._initializeNode()
            self.updateWidgetFromMRML()

    def _onNodeModified(self, _caller: Any, _event: str) -> None:
        self.updateWidgetFromMRML()

    def _onParameterModified(self, _caller: Any, _event: str) -> None:
        for effect in self._effects:
            effect.updateGUIFromMRML()

    def _initializeNode(self) -> None:
        node = self.mrmlSegmentEditorNode()
        if node is not None:
            with slicer.util.NodeModify(node):
                for effect in self._effects:
                    effect.setParameterSetNode(node)
                    effect._setMRMLDefaults()

    def segmentationNode(self) -> Any:
        return self._segmentations.currentNode()

    def segmentationNodeID(self) -> str:
        return self._segmentations.currentNodeID

    def setSegmentationNode(self, node: Any) -> None:
        if self._logic.GetSegmentationNode() is not node:
            self._logic.SetSegmentationNode(node)
            self.setActiveEffect(None)

    def setSegmentationNodeID(self, nodeID: str) -> None:
        self.setSegmentationNode(self.mrmlScene().GetNodeByID(nodeID) if nodeID else None)

    def sourceVolumeNode(self) -> Any:
        return self._logic.GetSourceVolumeNode()

    def sourceVolumeNodeID(self) -> str:
        node = self.sourceVolumeNode()
        return "" if node is None else node.GetID()

    def setSourceVolumeNode(self, node: Any) -> None:
        self._logic.SetSourceVolumeNode(node)

    def setSourceVolumeNodeID(self, nodeID: str) -> None:
        self.setSourceVolumeNode(self.mrmlScene().GetNodeByID(nodeID) if nodeID else None)

    def _onSegmentationChosen(self, node: Any) -> None:
        if self.mrmlScene() is not None and not self.mrmlScene().IsBatchProcessing():
            self.setSegmentationNode(node)

    def _onVolumeChosen(self, node: Any) -> None:
        if self.mrmlScene() is not None and not self.mrmlScene().IsBatchProcessing():
            self.setSourceVolumeNode(node)

    #
    # From the node to the widget
    #

    def updateWidgetFromMRML(self) -> None:
        scene, node = self.mrmlScene(), self.mrmlSegmentEditorNode()
        if scene is None or scene.IsClosing() or scene.IsBatchProcessing():
            return
        parts = (self._segmentations, self._effectsBox, self._masking, self._optionsFrame, self._volumes)
        if node is None:
            for part in parts:
                part.setEnabled(False)
            self._show3D.setLocked(True)
            return
        with slicer.util.NodeModify(node):
            self._updateSegmentation()
            self._updateVolume()
            for part in parts:
                part.setEnabled(part is self._segmentations or self._shownSegmentation is not None)
            selected = node.GetSelectedSegmentID() or ""
            selected = selected if selected in segmentIDs(self._shownSegmentation) else ""
            self._add.setEnabled(self._logic.CanAddSegments())
            self._remove.setEnabled(bool(selected) and not self.readOnly)
            self._show3D.setLocked(self.readOnly)
            self._table.setSelectedSegmentIDs((selected,) if selected else ())
            self._table.setReadOnly(self.readOnly)
            self._updateEffects()
            self._updateUndo()
            self._masking.updateFromNode()
            self._onSegmentsChanged()

    def _updateSegmentation(self) -> None:
        node = self._logic.GetSegmentationNode()
        if node is not self._segmentations.currentNode():
            with silent(self._segmentations):
                self._segmentations.setCurrentNode(node)
        if node is not self._shownSegmentation:
            self._showSegmentation(node)
        self._onSegmentsChanged()

    def _onSegmentsChanged(self) -> None:
        self._segmentationsModule.setEnabled(self._shownSegmentation is not None)
        self._masking.offer(self._shownSegmentation)

    def _showSegmentation(self, node: Any) -> None:
        observations = self._observations["segmentation"]
        observations.clear()
        self._shownSegmentation = node
        if node is not None:
            segmentation = slicer.vtkSegmentation
            changes = [
                segmentation.ContainedRepresentationNamesModified,
                segmentation.SegmentAdded,
                segmentation.SegmentRemoved,
            ]
            observations.add(node, [vtk.vtkCommand.ModifiedEvent], lambda *_: self.updateWidgetFromMRML())
            observations.add(node, changes, lambda *_: self._onSegmentsChanged())
            observations.add(node, [segmentation.SegmentModified], lambda *_: self._masking.updateFromNode())
        with silent(self._table):
            self._table.setSegmentationNode(node)
        self._show3D.setSegmentationNode(node)
        if node is not None:
            _putInSubjectHierarchy(node)
            self._volumes.setCurrentNode(node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()))
            node.CreateDefaultDisplayNodes()
            self._table.setSelectedSegmentIDs(segmentIDs(node)[:1])
            self.hideLabelLayer()
        self.segmentationNodeChanged.emit(node)

    def _updateVolume(self) -> None:
        node = self._logic.GetSourceVolumeNode()
        if self._shownSegmentation is None or node is self._shownVolume:
            return
        self._observations["volume"].clear()
        self._shownVolume = node
        if node is not None:
            _putInSubjectHierarchy(node)
            self._observations["volume"].add(
                node, [node.ImageDataModifiedEvent], lambda *_: self._masking.measure(node)
            )
        with silent(self._volumes):
            self._volumes.setCurrentNode(node)
        if node is not None and self.autoShowSourceVolumeNode:
            self.showSourceVolumeInSliceViewers()
        self._masking.measure(node)
        self.sourceVolumeNodeChanged.emit(node)
        for effect in self._effects:
            effect._sourceVolumeNodeChanged()

    def _onImageModified(self, volume: Any, _event: str) -> None:
        self._masking.measure(volume)

    def _updateEffects(self) -> None:
        """Enable what can be used, activate the effect that the node names."""
        node = self.mrmlSegmentEditorNode()
        enabled = node.GetSourceVolumeNode() is not None and not self.readOnly
        self._effectsBox.setEnabled(enabled)
        self._options.setEnabled(enabled)
        available, selected = segmentIDs(node.GetSegmentationNode()), node.GetSelectedSegmentID()
        for effect in self._effects:
            usable = not effect.requireSegments or (bool(available) and (bool(selected) or not effect.perSegment))
            if enabled:
                self._effectButtons[effect.name].setEnabled(usable)
        effect = self.effectByName(node.GetActiveEffectName())
        if effect is self._activeEffect:
            return
        if self._activeEffect is not None:
            self._activeEffect.deactivate()
        if effect is not None and not self._makeEditable():
            effect = None
        if effect is not None:
            self.setupViewObservations()
            interaction = self._interaction
            if interaction is not None and interaction.GetCurrentInteractionMode() != interaction.ViewTransform:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            effect.activate()
            self._options.setTitle(effect.title)
            self._help.setCollapsibleText(effect.helpText())
        else:
            self._options.setTitle("")
            self._help.setText("")
            self.removeViewObservations()
        self._options.setVisible(effect is not None)
        self._masking.setVisible(effect is not None and self.maskingSectionVisible)
        name = _NULL_EFFECT if effect is None else effect.name
        for button in self._effectButtons.values():
            with silent(button):
                button.setChecked(button.objectName == name)
        self.setEffectCursor(effect)
        self._lastEffect, self._activeEffect = self._activeEffect, effect

    def _makeEditable(self) -> bool:
        """Effects work on binary labelmaps; the user is asked before anything else is converted."""
        if self._logic.CanTriviallyConvertSourceRepresentationToBinaryLabelMap():
            return self._logic.TrivialSetSourceRepresentationToBinaryLabelmap()
        box, question = QtWidgets.QMessageBox, "Change source representation to binary labelmap?"
        if self._shownSegmentation is None or box.question(None, question, question, box.Yes | box.No) != box.Yes:
            return False
        return self._logic.SetSourceRepresentationToBinaryLabelMap()

    #
    # Segments
    #

    def currentSegmentID(self) -> str:
        return self._logic.GetCurrentSegmentID()

    def setCurrentSegmentID(self, segmentID: str) -> None:
        node = self.mrmlSegmentEditorNode()
        if node is not None:
            node.SetSelectedSegmentID(segmentID)

    def _onSegmentChosen(self) -> None:
        node, selected = self.mrmlSegmentEditorNode(), "".join(self._table.selectedSegmentIDs()[:1])
        if node is None or selected == (node.GetSelectedSegmentID() or ""):
            return
        node.SetSelectedSegmentID(selected or None)
        if not selected and self._activeEffect is not None and self._activeEffect.perSegment:
            self.setActiveEffect(None)
        self.updateWidgetFromMRML()
        self.currentSegmentIDChanged.emit(selected)

    def _onAdd(self) -> None:
        self._logic.AddEmptySegment(self._table.textFilter, 0)

    def _onRemove(self) -> None:
        following = self._logic.RemoveSelectedSegment()
        if following:
            self._table.setSelectedSegmentIDs([following])

    def selectPreviousSegment(self) -> None:
        self.selectSegmentAtOffset(-1)

    def selectNextSegment(self) -> None:
        self.selectSegmentAtOffset(1)

    def selectSegmentAtOffset(self, offset: int) -> None:
        """The next visible one in the table; before the first there is none."""
        rows = self._table.displayedSegmentIDs()
        display = None if self._shownSegmentation is None else self._shownSegmentation.GetDisplayNode()
        if display is None or self.currentSegmentID() not in rows:
            return
        row = rows.index(self.currentSegmentID())
        for _ in rows:
            row = max(0, row + offset) % len(rows)
            if display.GetSegmentVisibility(rows[row]):
                self.setCurrentSegmentID(rows[row])
                return

    #
    # Effects
    #

    def updateEffectList(self) -> None:
        if _NULL_EFFECT not in self._effectButtons:
            self._addEffectButton(_NULL_EFFECT, "None", "No editing", QtGui.QIcon())
        for effect in qSlicerSegmentEditorEffectFactory.instance()._copies(self._effects):
            effect._editor = self
            if self.mrmlSegmentEditorNode() is not None:
                effect.setParameterSetNode(self.mrmlSegmentEditorNode())
                effect._setMRMLDefaults()
            self._addEffectButton(effect.name, effect.title, effect.title, effect._icon())
            effect._setupOptionsFrame()
            effect.optionsFrame().setVisible(False)
            self._optionsFrame.layout().addWidget(effect.optionsFrame())
            self._effects.append(effect)
        names = self.availableEffectNames()
        ordered = [name for name in self._order if name in names]
        others = [name for name in names if name not in ordered] if self.unorderedEffectsVisible else []
        self._displayed = [_NULL_EFFECT, *ordered, *others]
        grid = self._effectsBox.layout()
        for button in self._effectButtons.values():
            grid.removeWidget(button)
            button.setVisible(False)
        for position, name in enumerate(self._displayed):
            self._effectButtons[name].setVisible(True)
            grid.addWidget(self._effectButtons[name], *divmod(position, self.effectColumnCount))

    def _addEffectButton(self, name: str, title: str, toolTip: str, icon: QtGui.QIcon) -> None:
        button = self._effectButtons[name] = QtWidgets.QToolButton(self._effectsBox)
        button.setObjectName(name)
        button.setCheckable(True)
        button.setText(title)
        button.setToolTip(toolTip)
        button.setIcon(icon)
        button.setToolButtonStyle(Qt.ToolButtonStyle(self.effectButtonStyle))
        button.connect("clicked()", functools.partial(self.setActiveEffectByName, name))
        self._effectGroup.addButton(button)

    def effectByName(self, name: str | None) -> Any:
        return next((effect for effect in self._effects if effect.name == name), None)

    def effectByIndex(self, index: int) -> Any:
        return self.effectByName(self._displayed[index]) if 0 <= index < len(self._displayed) else None

    def effectCount(self) -> int:
        return len(self._displayed)

    def availableEffectNames(self) -> tuple[str, ...]:
        return tuple(effect.name for effect in self._effects)

    def effectNameOrder(self) -> tuple[str, ...]:
        return self._order

    def setEffectNameOrder(self, names: Any) -> None:
        if tuple(names) != self._order:
            self._order = tuple(names)
            self.updateEffectList()

    def activeEffect(self) -> Any:
        return self._activeEffect

    def setActiveEffect(self, effect: Any) -> None:
        node = self.mrmlSegmentEditorNode()
        if node is not None:
            node.SetActiveEffectName("" if effect is None else effect.name)

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self.effectByName(name))

    def _toggleEffect(self, index: int) -> None:
        effect = self.effectByIndex(index)
        if not self.readOnly:
            self.setActiveEffect(None if effect is self._activeEffect else effect)

    def _activateLastEffect(self) -> None:
        if not self.readOnly:
            self.setActiveEffect(self._lastEffect)

    def setEffectCursor(self, effect: Any) -> None:
        """Not where the mouse has another task, as to place points."""
        interaction = self._interaction
        if interaction is not None and interaction.GetCurrentInteractionMode() != interaction.ViewTransform:
            return
        for widget in self._sliceWidgets():
            shown = effect is not None and effect.showEffectCursorInSliceView
            cursor = effect.createCursor(widget) if shown else QtGui.QCursor()
            widget.sliceView().setViewCursor(cursor)
            widget.sliceView().setDefaultViewCursor(cursor)

    #
    # Undo, masking
    #

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def _updateUndo(self) -> None:
        self._undoButton.setEnabled(not self.readOnly and self._logic.CanUndo())
        self._redoButton.setEnabled(not self.readOnly and self._logic.CanRedo())

    def setUndoEnabled(self, enabled: bool) -> None:
        if enabled:
            self._logic.ClearUndoState()
        self._undoBox.setVisible(enabled)

    def toggleSourceVolumeIntensityMaskEnabled(self) -> None:
        self._logic.ToggleSourceVolumeIntensityMask()

    #
    # Views
    #

    def _sliceWidgets(self) -> list[Any]:
        """Those in which the segmentation can be seen."""
        manager = slicer.app.layoutManager()
        widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
        return [widget for widget in widgets if self._logic.IsSegmentationDisplayableInView(widget.mrmlSliceNode())]

    def setupViewObservations(self) -> None:
        self._views.observe(self._sliceWidgets())

    def removeViewObservations(self) -> None:
        self._views.leave()

    def _onLayoutChanged(self) -> None:
        if self._views.observed:
            self.setupViewObservations()
            if self.autoShowSourceVolumeNode:
                self.showSourceVolumeInSliceViewers()
            for effect in self._effects:
                effect._layoutChanged()

    def showSourceVolumeInSliceViewers(self, forceShowInBackground: bool = False, fitSlice: bool = False) -> None:
        node = self.mrmlSegmentEditorNode().GetSourceVolumeNode()
        if node is None:
            return
        for widget in self._sliceWidgets():
            composite = widget.mrmlSliceCompositeNode()
            shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
            if forceShowInBackground or node.GetID() not in shown:
                composite.SetBackgroundVolumeID(node.GetID())
                composite.SetForegroundVolumeID(None)
                composite.SetLabelVolumeID(None)
            if fitSlice:
                widget.sliceLogic().FitSliceToBackground(True)

    def hideLabelLayer(self) -> None:
        for widget in self._sliceWidgets():
            widget.mrmlSliceCompositeNode().SetLabelVolumeID(None)

    def rotateSliceViewsToSegmentation(self) -> None:
        matrix = vtk.vtkMatrix4x4()
        if self._logic.GetSegmentationIJKToRAS(matrix):
            for widget in self._sliceWidgets():
                widget.mrmlSliceNode().RotateToAxes(matrix)

    #
    # Keyboard
    #

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        self._keys.install(parent or slicer.util.mainWindow())

    def uninstallKeyboardShortcuts(self) -> None:
        self._keys.uninstall()

    #
    # Properties
    #

    def setReadOnly(self, readOnly: bool) -> None:
        self._readOnly = bool(readOnly)
        if readOnly:
            self.setActiveEffect(None)
        self.updateWidgetFromMRML()

    def setEffectButtonStyle(self, style: int) -> None:
        self._buttonStyle = int(style)
        for button in (*self._effectButtons.values(), self._undoButton, self._redoButton):
            button.setToolButtonStyle(Qt.ToolButtonStyle(self._buttonStyle))

    def _onMaskingSectionVisible(self) -> None:
        self._masking.setVisible(self._activeEffect is not None and self.maskingSectionVisible)

    readOnly = Property(bool, lambda self: self.__dict__.get("_readOnly", False), setReadOnly)
    effectButtonStyle = Property(
        int, lambda self: self.__dict__.get("_buttonStyle", int(Qt.ToolButtonIconOnly)), setEffectButtonStyle
    )
    effectColumnCount = stored(int, "effectColumnCount", 2, updateEffectList)
    unorderedEffectsVisible = stored(bool, "unorderedEffectsVisible", True, updateEffectList)
    maskingSectionVisible = stored(bool, "maskingSectionVisible", True, _onMaskingSectionVisible)
    autoShowSourceVolumeNode = stored(bool, "autoShowSourceVolumeNode", True)
    defaultTerminologyEntrySettingsKey = stored(
        str, "defaultTerminologyEntrySettingsKey", "Segmentations/DefaultTerminologyEntry"
    )
    defaultTerminologyEntry = Property(
        str,
        lambda self: self._logic.GetDefaultTerminologyEntry(),
        lambda self, entry: self._logic.SetDefaultTerminologyEntry(entry),
    )
    maximumNumberOfUndoStates = Property(
        int,
        lambda self: self._logic.GetMaximumNumberOfUndoStates(),
        lambda self, count: self._logic.SetMaximumNumberOfUndoStates(count),
    )
    jumpToSelectedSegmentEnabled = Property(
        bool,
        lambda self: self._table.jumpToSelectedSegmentEnabled,
        lambda self, enabled: setattr(self._table, "jumpToSelectedSegmentEnabled", enabled),
    )
    undoEnabled = Property(bool, lambda self: not self._undoBox.isHidden(), setUndoEnabled)
    segmentationNodeSelectorVisible = _visible("_segmentations", "_segmentationLabel")
    sourceVolumeNodeSelectorVisible = _visible("_volumes", "_volumeLabel", "_geometry")
    addRemoveSegmentButtonsVisible = _visible("_add", "_remove")
    show3DButtonVisible = _visible("_show3D")
    switchToSegmentationsButtonVisible = _visible("_segmentationsModule")
    specifyGeometryButtonVisible = _visible("_geometry")
    setEffectColumnCount = _written("effectColumnCount")
    setMaskingSectionVisible = _written("maskingSectionVisible")
    setAutoShowSourceVolumeNode = _written("autoShowSourceVolumeNode")
    setMaximumNumberOfUndoStates = _written("maximumNumberOfUndoStates")
    setJumpToSelectedSegmentEnabled = _written("jumpToSelectedSegmentEnabled")
    setSegmentationNodeSelectorVisible = _written("segmentationNodeSelectorVisible")
    setSourceVolumeNodeSelectorVisible = _written("sourceVolumeNodeSelectorVisible")
    setAddRemoveSegmentButtonsVisible = _written("addRemoveSegmentButtonsVisible")
    setShow3DButtonVisible = _written("show3DButtonVisible")
    setSwitchToSegmentationsButtonVisible = _written("switchToSegmentationsButtonVisible")
    setSpecifyGeometryButtonVisible = _written("specifyGeometryButtonVisible")


def publish() -> None:
    """The Python module by which Slicer's own Segment Editor module finds the widget."""
    library = types.ModuleType("qSlicerSegmentationsModuleWidgetsPythonQt")
    for cls in (
        qMRMLSegmentEditorWidget,
        qMRMLSegmentsTableView,
        qMRMLSegmentSelectorWidget,
        qMRMLSegmentationShow3DButton,
    ):
        setattr(library, cls.__name__, cls)
    sys.modules[library.__name__] = library
