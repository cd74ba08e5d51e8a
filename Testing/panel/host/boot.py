"""Boots the host, once a process: the project's headless scene, and over it Qt, modules, views and a main window."""

from __future__ import annotations

import ctypes.util
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
EXTENSION_MODULES = ("FetalEchoSeg", "FetalEchoTrain")

loadErrors: dict[str, Exception] = {}
"""Extension modules that could not be imported, by name."""
registeredEffects = 0
"""How many effects of the Segment Editor the modules have registered at the start."""


def start() -> Any:
    """``slicer.app``, after the first call of the process has booted the host.

    Raises RuntimeError where the headless scene is booted already: a process has one or the other.
    """
    from FetalEchoSegLib.scene.headless import isHeadless, startHeadlessSlicer

    if isHeadless():
        raise RuntimeError("this process runs the scene without Qt: run the panel's tests in one of their own")
    present = sys.modules.get("slicer")
    if present is not None and getattr(present, "app", None) is not None:
        return present.app
    if sys.platform == "linux" and "DISPLAY" not in os.environ and ctypes.util.find_library("EGL"):
        # Chosen here, as VTK would try X first and complain.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    from . import qt  # noqa: F401, I001 - patches PySide6 before any of its objects is made
    from . import ctk, leaks  # noqa: F401 - ctk as sys.modules["ctk"]

    def makeApplication(booted: Any) -> Any:
        _removeLeakedNames()
        leaks.recordObservers()
        from PySide6 import QtCore

        from .application import qSlicerApplication

        QtCore.qInstallMessageHandler(_onQtMessage)
        return qSlicerApplication(booted)

    slicer = startHeadlessSlicer(makeApplication)
    application = slicer.app
    _publishWidgets(slicer)
    _installDoubles(slicer)
    from . import modules, sample_data
    from .layout import qSlicerLayoutManager, qSlicerMainWindow

    application._moduleManager = modules.qSlicerModuleManager()
    modules.publishModules(application._booted.logics)
    sample_data.install()
    scene = slicer.mrmlScene
    scene.GetDataIOManager().SetFileFormatHelper(slicer.vtkDataFileFormatHelper())
    application._layoutManager = qSlicerLayoutManager()
    application._mainWindow = qSlicerMainWindow(application._layoutManager)
    for name in EXTENSION_MODULES:
        try:
            modules.loadScriptedModule(REPOSITORY / name / f"{name}.py")
        except Exception as error:
            loadErrors[name] = error
            logging.exception("module %s could not be loaded", name)
    application._mainWindow.show()
    application.startupCompleted.emit()
    application.processEvents()
    global registeredEffects
    registeredEffects = len(slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects())
    return application


def _onQtMessage(kind: Any, _context: Any, text: str) -> None:
    """Qt only prints that a thread other than the main one has touched it, and crashes later."""
    if any(words in text for words in ("another thread", "different thread", "outside of main thread")):
        from .pythonqt import slot_errors

        slot_errors.append(f"Qt: {text}")
    if "propagateSizeHints" not in text:  # the offscreen platform says it of every window
        sys.stderr.write(f"Qt: {text}\n")


def _removeLeakedNames() -> None:
    """The wheel's ``slicer`` shows every name of ``slicer.util``; the application's does not."""
    import slicer
    import slicer.util

    leaked = [
        name for name in vars(slicer) if not name.startswith("_") and name != "util" and hasattr(slicer.util, name)
    ]
    for name in leaked:
        delattr(slicer, name)


def _publishWidgets(slicer: Any) -> None:
    """qMRML* and qSlicer* classes are names of ``slicer`` itself."""
    from . import application, modules, plots, segment_editor, segment_effects, sequence_widgets, uiloader, views  # noqa: F401

    names = {name: cls for name, cls in uiloader.registry.items() if name.startswith("qMRML")}
    for module in (application, modules, segment_effects):
        names |= {n: c for n, c in vars(module).items() if n.startswith("qSlicer") and isinstance(c, type)}
    for name, cls in names.items():
        setattr(slicer, name, cls)
    segment_effects.publish()
    segment_editor.publish()


def _installDoubles(slicer: Any) -> None:
    from . import modules, parameter_gui

    i18n = sys.modules["slicer.i18n"]
    i18n.tr = _on_main_thread(i18n.tr)

    scripted = sys.modules["slicer.ScriptedLoadableModule"]
    scripted.ScriptedLoadableModule = modules.ScriptedLoadableModule
    scripted.ScriptedLoadableModuleWidget = modules.ScriptedLoadableModuleWidget
    sys.modules["slicer.parameterNodeWrapper"].parameterNodeWrapper = parameter_gui.parameterNodeWrapper


def _on_main_thread(translate: Any) -> Any:
    """Slicer's ``tr`` asks a Qt object, which threads must not."""

    def tr(text: str, *arguments: Any) -> str:
        if threading.current_thread() is not threading.main_thread():
            from .pythonqt import slot_errors

            slot_errors.append(f"translated in a thread of its own: {text!r}")
        return translate(text, *arguments)

    return tr
