"""Effects of the Segment Editor: the factory, the adaptors through which C++ calls an effect written in Python, and the
double of ``SegmentEditorEffects``. Masks are modified by Slicer's own vtkSlicerSegmentEditorLogic.

Calls that Slicer answers with a message in the log only (an unknown parameter, a result of the wrong type) fail the
test here. Slicer's own effects (Paint, Erase, ...) are C++ and do not exist in the host.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt

from . import ctk
from .mrml_widgets import stored
from .pythonqt import PySignal, cpp_class, record_error

_LOGIC = slicer.vtkSlicerSegmentEditorLogic
_MODES = (
    _LOGIC.ModificationModeSet,
    _LOGIC.ModificationModeAdd,
    _LOGIC.ModificationModeRemove,
    _LOGIC.ModificationModeRemoveAll,
)
_CONFIRM_HIDDEN = "Segmentations/ConfirmEditHiddenSegment"


def complain(text: str) -> None:
    """Slicer would only log it; here the test fails at its end."""
    try:
        raise RuntimeError(text)
    except RuntimeError:
        record_error()


@cpp_class
class qSlicerSegmentEditorEffectFactory(QtCore.QObject):
    effectRegistered = PySignal("effectRegistered(QString)")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._effects: list[Any] = []

    @staticmethod
    def instance() -> qSlicerSegmentEditorEffectFactory:
        return _factory

    def registerEffect(self, effect: Any) -> bool:
        if not effect.name:
            complain("Segment editor effect cannot be registered with empty name")
            return False
        if effect.name in [registered.name for registered in self._effects]:
            return False
        self._effects.append(effect)
        self.effectRegistered.emit(effect.name)
        return True

    def registeredEffects(self) -> tuple[Any, ...]:
        return tuple(self._effects)

    def _copies(self, present: list[Any]) -> list[Any]:
        """Clones of the effects that are not in ``present`` by name."""
        names = [effect.name for effect in present]
        copies = [effect._clone() for effect in self._effects if effect.name not in names]
        return [copy for copy in copies if copy is not None]


_factory = qSlicerSegmentEditorEffectFactory()


@cpp_class
class qSlicerSegmentEditorAbstractEffect(QtCore.QObject):
    ModificationModeSet, ModificationModeAdd, ModificationModeRemove, ModificationModeRemoveAll = range(4)
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = range(3)

    name = stored(str, "name", "")
    title = Property(
        str, lambda self: self.__dict__.get("_title") or self.name, lambda self, v: self.__dict__.update(_title=v)
    )
    perSegment = stored(bool, "perSegment", True)
    requireSegments = stored(bool, "requireSegments", True)
    showEffectCursorInSliceView = stored(bool, "showEffectCursorInSliceView", True)
    showEffectCursorInThreeDView = stored(bool, "showEffectCursorInThreeDView", False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._editor: Any = None
        self._active = False
        self._savedCursor = QtGui.QCursor(Qt.ArrowCursor)
        self._confirmed: Any = None
        self._frame = QtWidgets.QFrame()
        layout = QtWidgets.QFormLayout(self._frame)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)

    #
    # Life
    #

    def active(self) -> bool:
        return self._active

    def activate(self) -> None:
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        self._frame.setVisible(False)
        self._active = False

    def helpText(self) -> str:
        return ""

    def cleanup(self) -> None:
        """For effects to override."""

    def updateGUIFromMRML(self) -> None:
        """For effects to override."""

    def updateMRMLFromGUI(self) -> None:
        """For effects to override."""

    def createCursor(self, viewWidget: Any) -> QtGui.QCursor:
        return QtGui.QCursor()

    def selectEffect(self, name: str) -> None:
        self._editor.setActiveEffectByName(name)

    #
    # Options
    #

    def optionsFrame(self) -> QtWidgets.QFrame:
        return self._frame

    def optionsLayout(self) -> QtWidgets.QFormLayout:
        return self._frame.layout()

    def addOptionsWidget(self, widget: Any) -> None:
        self._adopt(widget)
        self.optionsLayout().addRow(widget)

    def addLabeledOptionsWidget(self, label: str, widget: Any) -> QtWidgets.QLabel:
        labelWidget = QtWidgets.QLabel(label)
        self._adopt(widget)
        self.optionsLayout().addRow(labelWidget, widget)
        return labelWidget

    def _adopt(self, widget: Any) -> None:
        if not widget.inherits("QLayout"):
            widget.setParent(self._frame)
            widget.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.MinimumExpanding)

    #
    # Parameters: attributes of the segment editor node, shared ("name") or an effect's own ("Effect.name")
    #

    def parameterSetNode(self) -> Any:
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    def setParameterSetNode(self, node: Any) -> None:
        self._node = node

    def scene(self) -> Any:
        node = self.parameterSetNode()
        return None if node is None else node.GetScene()

    def commonParameterDefined(self, name: str) -> bool:
        node = self.parameterSetNode()
        return bool(node is not None and node.GetAttribute(name))

    def parameterDefined(self, name: str) -> bool:
        return self.commonParameterDefined(f"{self.name}.{name}")

    def setCommonParameter(self, name: str, value: Any) -> None:
        node, text = self.parameterSetNode(), _parameterText(value)
        if node is None:
            complain(f"effect {self.name} sets its parameter {name} without a segment editor node")
            return
        before = node.GetAttribute(name)
        if text == (before or "") and (before is not None or not text):
            return
        disabled = node.GetDisableModifiedEvent()
        node.SetDisableModifiedEvent(1)
        node.SetAttribute(name, text)
        node.SetDisableModifiedEvent(disabled)
        node.InvokeCustomModifiedEvent(node.EffectParameterModified)

    def setParameter(self, name: str, value: Any) -> None:
        self.setCommonParameter(f"{self.name}.{name}", value)

    def setCommonParameterDefault(self, name: str, value: Any) -> None:
        if not self.commonParameterDefined(name):
            self.setCommonParameter(name, value)

    def setParameterDefault(self, name: str, value: Any) -> None:
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def parameter(self, name: str) -> str:
        node = self.parameterSetNode()
        if node is None:
            return ""
        for attribute in (f"{self.name}.{name}", name):
            if node.GetAttribute(attribute) is not None:
                return node.GetAttribute(attribute)
        complain(f"Parameter named {name} cannot be found for effect {self.name}")
        return ""

    def integerParameter(self, name: str) -> int:
        return self._number(name, int)

    def doubleParameter(self, name: str) -> float:
        return self._number(name, float)

    def _number(self, name: str, kind: Any) -> Any:
        if self.parameterSetNode() is None:
            return kind(0)
        text = self.parameter(name)
        try:
            return kind(text)
        except ValueError:
            complain(f"Parameter named {name} of effect {self.name} is no {kind.__name__}: {text!r}")
            return kind(0)

    def nodeReference(self, name: str) -> Any:
        node = self.parameterSetNode()
        if node is None:
            return None
        return node.GetNodeReference(f"{self.name}.{name}") or node.GetNodeReference(name)

    def setNodeReference(self, name: str, node: Any) -> None:
        self.setCommonNodeReference(f"{self.name}.{name}", node)

    def setCommonNodeReference(self, name: str, node: Any) -> None:
        parameters = self.parameterSetNode()
        if parameters is None:
            complain(f"effect {self.name} sets its node {name} without a segment editor node")
        elif parameters.GetNodeReference(name) is not node:
            parameters.SetNodeReferenceID(name, None if node is None else node.GetID())
            parameters.InvokeCustomModifiedEvent(parameters.EffectParameterModified)

    #
    # Images, all but the first brought up to date by the call; None where that is impossible
    #

    def modifierLabelmap(self) -> Any:
        return self._logic().GetModifierLabelmap()

    def defaultModifierLabelmap(self) -> Any:
        return self._logic().GetModifierLabelmap() if self._logic().ResetModifierLabelmapToDefault() else None

    def maskLabelmap(self) -> Any:
        return self._logic().GetMaskLabelmap() if self._logic().UpdateMaskLabelmap() else None

    def sourceVolumeImageData(self) -> Any:
        return self._logic().GetAlignedSourceVolume() if self._logic().UpdateAlignedSourceVolume() else None

    def selectedSegmentLabelmap(self) -> Any:
        return self._logic().GetSelectedSegmentLabelmap() if self._logic().UpdateSelectedSegmentLabelmap() else None

    def referenceGeometryImage(self) -> Any:
        return self._logic().GetReferenceGeometryImage() if self._logic().UpdateReferenceGeometryImage() else None

    def saveStateForUndo(self) -> None:
        self._logic().SaveStateForUndo()

    def modifySelectedSegmentByLabelmap(self, labelmap: Any, mode: int, *extentAndBypass: Any) -> None:
        node = self.parameterSetNode()
        segmentID = node.GetSelectedSegmentID() or ""
        self.modifySegmentByLabelmap(node.GetSegmentationNode(), segmentID, labelmap, mode, *extentAndBypass)

    def modifySegmentByLabelmap(
        self, segmentationNode: Any, segmentID: str, labelmap: Any, mode: int, *extentAndBypass: Any
    ) -> None:
        extent, bypass = (0, -1, 0, -1, 0, -1), False
        match extentAndBypass:
            case ():
                pass
            case (bool() | int() as bypass,):
                pass
            case (list() | tuple() as extent, *rest) if len(extent) == 6 and len(rest) <= 1:
                bypass = bool(rest and rest[0])
            case _:
                raise ValueError(f"modifySegmentByLabelmap takes six numbers and a bool, not {extentAndBypass!r}")
        self._logic().ModifySegmentByLabelmap(
            segmentationNode, segmentID, labelmap, _MODES[mode], tuple(extent), self.perSegment, bool(bypass)
        )

    def _logic(self) -> Any:
        return self._editor._logic

    def confirmCurrentSegmentVisible(self) -> int:
        """Ask before a hidden segment is modified, once."""
        node = self.parameterSetNode()
        segmentationNode = None if node is None else node.GetSegmentationNode()
        segmentID = "" if segmentationNode is None else node.GetSelectedSegmentID()
        if not segmentID:
            return self.ConfirmedWithoutDialog
        segment = segmentationNode.GetSegmentation().GetSegment(segmentID)
        display = segmentationNode.GetDisplayNode()
        shown = display is not None and display.GetVisibility() and display.GetSegmentVisibility(segmentID)
        if shown or segment is self._confirmed:
            return self.ConfirmedWithoutDialog
        asked = qt.QSettings().value(_CONFIRM_HIDDEN) is None
        box = ctk.ctkMessageBox(slicer.util.mainWindow())
        box.setWindowTitle("Operate on invisible segment?")
        box.setText("The selected segment is hidden. Show it?")
        box.dontShowAgainSettingsKey = _CONFIRM_HIDDEN
        answer = box.exec_()
        if answer == qt.QMessageBox.Cancel:
            return self.NotConfirmed
        if answer == qt.QMessageBox.Yes and display is not None:
            display.SetVisibility(True)
            display.SetSegmentVisibility(segmentID, True)
        else:
            self._confirmed = segment
        return self.ConfirmedWithDialog if asked else self.ConfirmedWithoutDialog

    #
    # Views
    #

    def renderWindow(self, viewWidget: Any) -> Any:
        return viewWidget.sliceView().renderWindow()

    def renderer(self, viewWidget: Any) -> Any:
        return self.renderWindow(viewWidget).GetRenderers().GetItemAsObject(0)

    def viewNode(self, viewWidget: Any) -> Any:
        return viewWidget.sliceLogic().GetSliceNode()

    def scheduleRender(self, viewWidget: Any) -> None:
        viewWidget.sliceView().scheduleRender()

    def forceRender(self, viewWidget: Any) -> None:
        viewWidget.sliceView().forceRender()

    def addActor2D(self, viewWidget: Any, actor: Any) -> None:
        self.renderer(viewWidget).AddViewProp(actor)
        self.scheduleRender(viewWidget)

    def removeActor2D(self, viewWidget: Any, actor: Any) -> None:
        self.renderer(viewWidget).RemoveViewProp(actor)
        self.scheduleRender(viewWidget)

    def cursorOff(self, viewWidget: Any) -> None:
        self._savedCursor = QtGui.QCursor(viewWidget.cursor)
        viewWidget.sliceView().setDefaultViewCursor(QtGui.QCursor(Qt.BlankCursor))

    def cursorOn(self, viewWidget: Any) -> None:
        viewWidget.sliceView().setDefaultViewCursor(self._savedCursor)

    def segmentationDisplayableInView(self, viewNode: Any) -> bool:
        return self._logic().IsSegmentationDisplayableInView(viewNode)

    def sliceSpacing(self, viewWidget: Any) -> float:
        return _LOGIC.GetSliceSpacing(self.viewNode(viewWidget), viewWidget.sliceLogic())

    def rasToXy(self, ras: QtGui.QVector3D, viewWidget: Any) -> QtCore.QPoint:
        toView = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.viewNode(viewWidget).GetXYToRAS(), toView)
        x, y = toView.MultiplyPoint((ras.x(), ras.y(), ras.z(), 1.0))[:2]
        return QtCore.QPoint(int(x), int(y))

    def xyzToRas(self, xyz: QtGui.QVector3D, viewWidget: Any) -> QtGui.QVector3D:
        ras = [0.0, 0.0, 0.0]
        _LOGIC.XyzToRas((xyz.x(), xyz.y(), xyz.z()), ras, self.viewNode(viewWidget))
        return QtGui.QVector3D(*ras)

    def xyToRas(self, xy: QtCore.QPoint, viewWidget: Any) -> QtGui.QVector3D:
        return self.xyzToRas(QtGui.QVector3D(xy), viewWidget)

    def xyzToIjk(
        self, xyz: QtGui.QVector3D, viewWidget: Any, image: Any, parentTransformNode: Any = None
    ) -> QtGui.QVector3D:
        ijk = [0, 0, 0]
        _LOGIC.XyzToIjk((xyz.x(), xyz.y(), xyz.z()), ijk, self.viewNode(viewWidget), image, parentTransformNode)
        return QtGui.QVector3D(*ijk)

    def xyToIjk(
        self, xy: QtCore.QPoint, viewWidget: Any, image: Any, parentTransformNode: Any = None
    ) -> QtGui.QVector3D:
        return self.xyzToIjk(QtGui.QVector3D(xy), viewWidget, image, parentTransformNode)


def _parameterText(value: Any) -> str:
    """As C++ writes it. PythonQt's choice for a bool depends on its version: 1 or 0 say what is meant."""
    if type(value) is float:
        return f"{value:g}"
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"a parameter is a str, int or float, not {value!r}")
    return value if isinstance(value, str) else str(int(value))


class _Scripted:
    """What the adaptors of effects in Python share: C++ calls these methods of the Python object, and no others."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)  # type: ignore[call-arg]
        self.name = "UnnamedScriptedEffect"
        self._self: Any = None
        self._source = ""

    def self(self) -> Any:
        return self._self

    def pythonSource(self) -> str:
        return self._source

    def setPythonSource(self, path: str) -> bool:
        """Make the effect: class = name of the file, module = name of its folder.

        A folder that nobody has imported yet becomes a module that is the effect's file itself, and no package.
        """
        if not path.endswith((".py", ".pyc")):
            return False
        module, cls = Path(path).parent.name, Path(path).stem
        cls = cls if cls.endswith("Effect") else f"{cls}Effect"
        if not hasattr(sys.modules.get(module), cls) and not _load(module, path):
            return False
        if not hasattr(sys.modules[module], cls):
            complain(f"Failed to load segment editor scripted effect: class {cls} was not found in {path}")
            return False
        try:
            self._self = getattr(sys.modules[module], cls)(self)
        except Exception:  # noqa: BLE001 - as in Slicer, the application goes on
            record_error()
            return False
        self._source = path
        setattr(slicer, module, self._self)
        return True

    def _call(self, method: str, *arguments: Any) -> Any:
        """Result of the effect's method; None when it has none, or fails."""
        function = getattr(self._self, method, None)
        try:
            return None if function is None else function(*arguments)
        except Exception:  # noqa: BLE001 - as in Slicer, the application goes on
            record_error()
            return None

    def _clone(self) -> Any:
        clone = self._call("clone")
        if not isinstance(clone, qSlicerSegmentEditorAbstractEffect):
            complain(f"{self._source}: clone() gave no effect, but {clone!r}")
            return None
        return clone

    def _icon(self) -> QtGui.QIcon:
        return self._call("icon") or QtGui.QIcon()

    def helpText(self) -> str:
        text = self._call("helpText")
        if text is not None and not isinstance(text, str):
            complain(f"{self._source}: helpText() gave no text, but {text!r}")
        return text if isinstance(text, str) else ""

    def activate(self) -> None:
        super().activate()  # type: ignore[misc]
        self._call("activate")

    def deactivate(self) -> None:
        super().deactivate()  # type: ignore[misc]
        self._call("deactivate")

    def cleanup(self) -> None:
        self._call("cleanup")

    def updateGUIFromMRML(self) -> None:
        if self.active():  # type: ignore[attr-defined]
            self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self) -> None:
        self._call("updateMRMLFromGUI")

    def createCursor(self, viewWidget: Any) -> QtGui.QCursor:
        return self._call("createCursor", viewWidget) or super().createCursor(viewWidget)  # type: ignore[misc]

    def _setupOptionsFrame(self) -> None:
        self._call("setupOptionsFrame")

    def _setMRMLDefaults(self) -> None:
        self._call("setMRMLDefaults")

    def _sourceVolumeNodeChanged(self) -> None:
        self._call("sourceVolumeNodeChanged")
        self._call("masterVolumeNodeChanged")

    def _layoutChanged(self) -> None:
        self._call("layoutChanged")

    def _interactionNodeModified(self, node: Any) -> None:
        """Without a method of its own, an effect leaves when points are to be placed."""
        if hasattr(self._self, "interactionNodeModified"):
            self._call("interactionNodeModified", node)
        elif node.GetCurrentInteractionMode() != node.ViewTransform:
            self.selectEffect("")  # type: ignore[attr-defined]

    def _processInteractionEvents(self, interactor: Any, event: int, viewWidget: Any) -> bool:
        result = self._call("processInteractionEvents", interactor, event, viewWidget)
        if result is not None and not isinstance(result, bool):
            complain(f"{self._source}: processInteractionEvents() is expected to return a bool, not {result!r}")
        return result is True

    def _processViewNodeEvents(self, viewNode: Any, event: int, viewWidget: Any) -> None:
        self._call("processViewNodeEvents", viewNode, event, viewWidget)


def _load(module: str, path: str) -> bool:
    """Execute the file as the module of this name."""
    specification = importlib.util.spec_from_file_location(module, path)
    sys.modules[module] = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(sys.modules[module])
    except Exception:  # noqa: BLE001 - as in Slicer, the application goes on
        record_error()
        return False
    return True


@cpp_class
class qSlicerSegmentEditorScriptedEffect(_Scripted, qSlicerSegmentEditorAbstractEffect):
    pass


@cpp_class
class qSlicerSegmentEditorAbstractLabelEffect(qSlicerSegmentEditorAbstractEffect):
    """Without what it shares with Slicer's Paint."""

    def appendPolyMask(self, image: Any, polyData: Any, viewWidget: Any, segmentationNode: Any = None) -> None:
        _LOGIC.AppendPolyMask(image, polyData, self.viewNode(viewWidget), segmentationNode)

    def appendImage(self, image: Any, appended: Any) -> None:
        _LOGIC.AppendImage(image, appended)

    def createMaskImageFromPolyData(self, polyData: Any, outputMask: Any, viewWidget: Any) -> None:
        _LOGIC.CreateMaskImageFromPolyData(polyData, outputMask, self.viewNode(viewWidget))

    def imageToWorldMatrix(self, *imageAndMatrix: Any) -> None:
        _LOGIC.ImageToWorldMatrix(*imageAndMatrix)


@cpp_class
class qSlicerSegmentEditorScriptedLabelEffect(_Scripted, qSlicerSegmentEditorAbstractLabelEffect):
    pass


class AbstractScriptedSegmentEditorEffect:
    """Double of the base class of effects in Python."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """For effects to override."""

    def rasToXy(self, ras: Any, viewWidget: Any) -> list[int]:
        point = self.scriptedEffect.rasToXy(qt.QVector3D(*ras), viewWidget)
        return [point.x(), point.y()]

    def xyzToRas(self, xyz: Any, viewWidget: Any) -> list[float]:
        return _list(self.scriptedEffect.xyzToRas(qt.QVector3D(*xyz), viewWidget))

    def xyToRas(self, xy: Any, viewWidget: Any) -> list[float]:
        return _list(self.scriptedEffect.xyToRas(qt.QPoint(xy[0], xy[1]), viewWidget))

    def xyzToIjk(self, xyz: Any, viewWidget: Any, image: Any, parentTransformNode: Any = None) -> list[int]:
        vector = self.scriptedEffect.xyzToIjk(qt.QVector3D(*xyz), viewWidget, image, parentTransformNode)
        return [int(value) for value in _list(vector)]

    def xyToIjk(self, xy: Any, viewWidget: Any, image: Any, parentTransformNode: Any = None) -> list[int]:
        vector = self.scriptedEffect.xyToIjk(qt.QPoint(xy[0], xy[1]), viewWidget, image, parentTransformNode)
        return [int(value) for value in _list(vector)]


class AbstractScriptedSegmentEditorLabelEffect(AbstractScriptedSegmentEditorEffect):
    """Double of the base class of effects that draw into the selected segment."""


def _list(vector: QtGui.QVector3D) -> list[float]:
    return [vector.x(), vector.y(), vector.z()]


def publish() -> None:
    """The Python modules by which effects find all this."""
    package = types.ModuleType("SegmentEditorEffects")
    for cls in (AbstractScriptedSegmentEditorEffect, AbstractScriptedSegmentEditorLabelEffect):
        setattr(package, cls.__name__, cls)
    library = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
    for name, cls in globals().items():
        if name.startswith("qSlicer"):
            setattr(library, name, cls)
    for module in (package, library):
        sys.modules[module.__name__] = module
