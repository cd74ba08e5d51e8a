"""``slicer.modules``: loaded modules, and the doubles of ``slicer.ScriptedLoadableModule`` that need Qt."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import qt
import slicer
from FetalEchoSegLib.scene import standins
from PySide6 import QtCore, QtWidgets

from .mrml_widgets import SceneWidget
from .pythonqt import PySignal, cpp_class, record_error


@cpp_class
class qSlicerModuleFactoryManager(QtCore.QObject):
    def isLoaded(self, name: str) -> bool:
        return name in slicer.app._modules

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(slicer.app._modules)


@cpp_class
class qSlicerModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = PySignal("moduleAboutToBeUnloaded(QString)")
    moduleLoaded = PySignal("moduleLoaded(QString)")

    def __init__(self) -> None:
        super().__init__()
        self._factoryManager = qSlicerModuleFactoryManager()

    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factoryManager

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(slicer.app._modules)

    def module(self, name: str) -> Any:
        return slicer.app._modules.get(name)


@cpp_class
class qSlicerLoadableModule(QtCore.QObject):
    """A module that Slicer brings: its logic is real, it has no panel here."""

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__()
        self._name, self._logic = name, logic

    name = QtCore.Property(str, lambda self: self._name)
    title = QtCore.Property(str, lambda self: self._name)

    def logic(self) -> Any:
        return self._logic


@cpp_class
class qSlicerSequencesModule(qSlicerLoadableModule):
    """Its clock moves the browsers that play, as long as there are browsers."""

    _PERIOD_MS = 20

    def __init__(self, name: str, logic: Any) -> None:
        super().__init__(name, logic)
        self._clock = QtCore.QTimer(self)
        self._clock.setProperty("ofTheHost", True)
        self._clock.setInterval(self._PERIOD_MS)
        self._clock.timeout.connect(self._onClock)
        slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, lambda _caller, _event: self._clock.start())
        self._activeBrowser: Any = None
        self._autoShowToolBar = True
        self._toolBarVisible = False

    def _onClock(self) -> None:
        if slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode"):
            self._logic.UpdateAllProxyNodes()
        else:
            self._clock.stop()

    def _setAutoShowToolBar(self, show: bool) -> None:
        self._autoShowToolBar = show

    def _setToolBarVisible(self, visible: bool) -> None:
        self._toolBarVisible = visible

    autoShowToolBar = QtCore.Property(bool, lambda self: self._autoShowToolBar, _setAutoShowToolBar)
    toolBarVisible = QtCore.Property(bool, lambda self: self._toolBarVisible, _setToolBarVisible)

    def setToolBarVisible(self, visible: bool) -> None:
        self._toolBarVisible = visible

    def setToolBarActiveBrowserNode(self, browserNode: Any) -> None:
        self._activeBrowser = browserNode

    def showSequenceBrowser(self, browserNode: Any) -> bool:
        self._activeBrowser = browserNode
        self._toolBarVisible = True
        return True


def _declared(name: str, default: Any) -> QtCore.Property:
    def get(self: Any) -> Any:
        return self._declared.get(name, default)

    def put(self: Any, value: Any) -> None:
        self._declared[name] = value

    return QtCore.Property("QVariant", get, put)


@cpp_class
class qSlicerScriptedLoadableModule(QtCore.QObject):
    """What a module file knows as its ``parent``: these properties and no others."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        self._name, self._path = name, path
        self._declared: dict[str, Any] = {}
        self._representation: Any = None

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: self._path.as_posix())
    defaultDocumentationLink = QtCore.Property(str, lambda self: "")
    title = _declared("title", "")
    categories = _declared("categories", ())
    dependencies = _declared("dependencies", ())
    contributors = _declared("contributors", ())
    helpText = _declared("helpText", "")
    acknowledgementText = _declared("acknowledgementText", "")
    icon = _declared("icon", None)
    hidden = _declared("hidden", False)
    index = _declared("index", -1)
    associatedNodeTypes = _declared("associatedNodeTypes", ())
    widgetRepresentationCreationEnabled = _declared("widgetRepresentationCreationEnabled", True)

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._representation is None:
            self._representation = qSlicerScriptedLoadableModuleWidget(self)
            self._representation._setup()
        return self._representation

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        representation = qSlicerScriptedLoadableModuleWidget(self)
        representation._setup()
        return representation


@cpp_class
class qSlicerScriptedLoadableModuleWidget(SceneWidget):
    """The frame of a panel. An exception in setup, enter or exit is printed by Slicer; here it fails the test."""

    def __init__(self, module: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        QtWidgets.QVBoxLayout(self)
        self._module = module
        self._entered = False
        self._self: Any = None
        self.setObjectName(f"{module.name}ModuleWidget")
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = QtCore.Property(bool, lambda self: self._entered)
    moduleName = QtCore.Property(str, lambda self: self._module.name)

    def module(self) -> qSlicerScriptedLoadableModule:
        return self._module

    def self(self) -> Any:
        return self._self

    def enter(self) -> None:
        self._entered = True
        self._call("enter")

    def exit(self) -> None:
        self._entered = False
        self._call("exit")

    def reload(self) -> None:
        self._setup()

    def _setup(self) -> None:
        name = self._module.name
        try:
            self._self = getattr(sys.modules[name], f"{name}Widget")(self)
            setattr(slicer.modules, f"{name}Widget", self._self)
            self._self.setup()
        except Exception:  # noqa: BLE001 - as in Slicer, the application goes on
            record_error()

    def _call(self, method: str) -> None:
        function = getattr(self._self, method, None)
        try:
            if function is not None:
                function()
        except Exception:  # noqa: BLE001 - as in Slicer, the application goes on
            record_error()


class ScriptedLoadableModule(standins.ScriptedLoadableModule):
    """Double of the base class of modules, with what needs Qt."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        for suffix in (".svg", ".png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}{suffix}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break

    def resourcePath(self, filename: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return self.parent.defaultDocumentationLink

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        getattr(sys.modules[self.moduleName], f"{self.moduleName}Test")().runTest()


class ScriptedLoadableModuleWidget:
    """Double of the base class of panels."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, slicer.util.toBool)
        if parent is None:
            self.parent = slicer.qMRMLWidget()
            self.parent.setLayout(qt.QVBoxLayout())
            self.parent.setMRMLScene(slicer.mrmlScene)
        else:
            self.parent = parent
        self.layout = self.parent.layout()
        self.logic: Any = None
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def resourcePath(self, filename: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """The developer's section at the top is left out."""

    def cleanup(self) -> None:
        """For modules to override."""

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, moduleName: str) -> None:
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


def loadScriptedModule(path: Path) -> qSlicerScriptedLoadableModule:
    """As the application does at its start: import the file and make ``Name(parent)``."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    parent = qSlicerScriptedLoadableModule(name, path)
    instance = getattr(module, name)(parent)
    slicer.app._modules[name] = parent
    setattr(slicer.modules, name.lower(), parent)
    setattr(slicer.modules, f"{name}Instance", instance)
    slicer.app._moduleManager.moduleLoaded.emit(name)
    return parent


def publishModules(logics: dict[str, Any]) -> None:
    """``slicer.modules`` and ``slicer.moduleNames`` with the modules whose logics were booted."""
    for name in ("modules", "moduleNames"):
        module = types.ModuleType(f"slicer.{name}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    for name, logic in logics.items():
        kind = qSlicerSequencesModule if name == "Sequences" else qSlicerLoadableModule
        module = slicer.app._modules[name] = kind(name, logic)
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)
