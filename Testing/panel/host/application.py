"""``slicer.app``: the Qt application object with Slicer's own names, over the booted scene."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from FetalEchoSegLib.scene.headless import BootedScene
from PySide6 import QtCore, QtWidgets

from .file_io import qSlicerIOManager
from .pythonqt import PySignal, cpp_class


@cpp_class
class qSlicerExtensionsManagerModel(QtCore.QObject):
    """No extension is installed, and none can be: there is no server. What was asked for is noted."""

    def __init__(self) -> None:
        super().__init__()
        self._requested: list[str] = []

    def isExtensionInstalled(self, extensionName: str) -> bool:
        return False

    def installExtensionFromServer(self, extensionName: str, restart: bool = True, update: bool = True) -> bool:
        self._requested.append(extensionName)
        return False

    def setInteractive(self, value: bool) -> None:
        pass


@cpp_class
class qSlicerApplication(QtWidgets.QApplication):
    startupCompleted = PySignal("startupCompleted()")
    mrmlSceneChanged = PySignal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, booted: BootedScene) -> None:
        super().__init__(["FetalEcho test host"])
        folder = str(booted.folder)
        self.setOrganizationName("FetalEcho")
        self.setApplicationName("TestHost")
        self._booted = booted
        self._folder = folder
        self._renderPauses = 0
        self._modules: dict[str, Any] = {}
        self._ioManager = qSlicerIOManager(booted.scene)
        self._extensions = qSlicerExtensionsManagerModel()
        # Made by ``boot.start``, as they need ``slicer.app``.
        self._moduleManager: Any = None
        self._layoutManager: Any = None

    majorVersion = QtCore.Property(int, lambda self: 5)
    minorVersion = QtCore.Property(int, lambda self: 12)
    temporaryPath = QtCore.Property(str, lambda self: self._folder)
    slicerHome = QtCore.Property(str, lambda self: self._folder)
    os = QtCore.Property(str, lambda self: {"Darwin": "macosx", "Windows": "win"}.get(platform.system(), "linux"))
    arch = QtCore.Property(str, lambda self: "amd64")
    slicerUserSettingsFilePath = QtCore.Property(str, lambda self: str(Path(self._folder, "Slicer.ini")))

    def mrmlScene(self) -> Any:
        return self._booted.scene

    def applicationLogic(self) -> Any:
        return self._booted.applicationLogic

    def moduleManager(self) -> Any:
        return self._moduleManager

    def moduleLogic(self, name: str) -> Any:
        return self._booted.logics.get(name)

    def coreIOManager(self) -> qSlicerIOManager:
        return self._ioManager

    def ioManager(self) -> qSlicerIOManager:
        return self._ioManager

    def layoutManager(self) -> Any:
        return self._layoutManager

    def extensionsManagerModel(self) -> qSlicerExtensionsManagerModel:
        return self._extensions

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def revisionUserSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def testingEnabled(self) -> bool:
        # With True, slicer.util would answer its dialogs itself; here the test has to.
        return False

    def processEvents(self, *flags: Any) -> None:
        QtWidgets.QApplication.processEvents(*flags)

    def topLevelWidgets(self) -> tuple[QtWidgets.QWidget, ...]:
        return tuple(QtWidgets.QApplication.topLevelWidgets())

    def pauseRender(self) -> None:
        self._renderPauses += 1

    def resumeRender(self) -> None:
        self._renderPauses -= 1

    def setRenderPaused(self, paused: bool) -> None:
        self._renderPauses += 1 if paused else -1

    def openNodeModule(self, node: Any, role: str = "", context: str = "") -> None:
        """The node's own module would be opened; the host has none of them."""

    def restart(self) -> None:
        raise RuntimeError("the module asked for a restart of the application")
