"""The MRML scene without the Slicer application.

``startHeadlessSlicer`` gives the names that module code finds in Slicer (``slicer.mrmlScene``, ``slicer.app``,
``slicer.modules.X.logic()``) on the ``slicer-core`` package, whose scene, nodes and module logics are the real ones.
Inside the application, or in a host that has set ``slicer.app`` already, it changes nothing.
"""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingDependency

# Module name as in slicer.modules -> class of its logic and name under which the application logic knows it.
_MODULE_LOGICS = {
    "colors": ("vtkMRMLColorLogic", "Colors"),
    "terminologies": ("vtkSlicerTerminologiesModuleLogic", "Terminologies"),
    "subjecthierarchy": ("vtkSlicerSubjectHierarchyModuleLogic", "SubjectHierarchy"),
    "volumes": ("vtkSlicerVolumesLogic", "Volumes"),
    "segmentations": ("vtkSlicerSegmentationsModuleLogic", "Segmentations"),
    "sequences": ("vtkSlicerSequencesLogic", "Sequences"),
    "markups": ("vtkSlicerMarkupsLogic", "Markups"),
    "tables": ("vtkSlicerTablesLogic", "Tables"),
    "plots": ("vtkSlicerPlotsLogic", "Plots"),
}


@dataclass(frozen=True)
class BootedScene:
    """What a boot of slicer-core has made: logics by the name of their module, and a folder that goes at exit."""

    scene: Any
    applicationLogic: Any
    logics: dict[str, Any]
    folder: Path


def startHeadlessSlicer(makeApplication: Callable[[BootedScene], Any] | None = None) -> types.ModuleType:
    """The ``slicer`` module with a scene, booting slicer-core on the first call of the process.

    makeApplication  makes ``slicer.app`` at the boot; a HeadlessApplication without it.

    Raises MissingDependency when slicer-core is not installed and this is not Slicer.
    """
    with _interruptHeldBack():
        try:
            import slicer
        except ImportError as error:
            raise MissingDependency(
                "Scenes need 3D Slicer or the slicer-core package, and neither is here: "
                "install it with pip install 'fetalecho[scene]'."
            ) from error
        if getattr(slicer, "app", None) is None:
            slicer.app = (makeApplication or HeadlessApplication)(_boot(slicer))
            from . import standins

            standins.install(slicer)
            from .terminology import loadTerminology

            loadTerminology()
    return slicer


def isHeadless() -> bool:
    """Whether ``slicer`` in this process is the scene booted here rather than the application."""
    slicer = sys.modules.get("slicer")
    return isinstance(getattr(slicer, "app", None), HeadlessApplication)


class HeadlessApplication:
    """The part of ``slicer.app`` that logic code uses; anything else raises AttributeError."""

    def __init__(self, booted: BootedScene) -> None:
        self._booted = booted
        self.temporaryPath = str(booted.folder)

    def applicationLogic(self) -> Any:
        """The vtkSlicerApplicationLogic."""
        return self._booted.applicationLogic

    def mrmlScene(self) -> Any:
        """The one scene of the process."""
        return self._booted.scene

    def moduleLogic(self, name: str) -> Any:
        """Logic of the module called ``name``, None when there is none."""
        return self._booted.logics.get(name)

    def testingEnabled(self) -> bool:
        """True: nobody is there to answer a dialog."""
        return True

    def processEvents(self) -> None:
        """There is no event loop to serve."""

    def connect(self, signal: str, slot: Callable[[], None]) -> bool:
        """Start-up is over already: a slot for ``startupCompleted()`` runs at once, other signals do not exist."""
        if signal != "startupCompleted()":
            raise AttributeError(f"the headless application has no signal {signal}")
        slot()
        return True


class _Module:
    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


@contextmanager
def _interruptHeldBack() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: VTK 9.6 crashes when it comes while its modules are imported.

    Only the main thread receives it and may change what it does.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received:
            signal.raise_signal(signal.SIGINT)


def _boot(slicer: types.ModuleType) -> BootedScene:
    import atexit

    import vtk

    window = vtk.vtkOutputWindow()
    window.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(window)
    # vtkLogger repeats on stderr what the output window has said.
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    folder = Path(tempfile.mkdtemp(prefix="fetalecho-scene-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.SetTemporaryPath(str(folder))
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())

    logics: dict[str, Any] = {}
    modules = types.SimpleNamespace()
    # The wheel carries no data files: the terminologies logic reports Slicer's own lists missing, and works without.
    with collectedVtkErrors() as bootErrors:
        for attribute, (className, name) in _MODULE_LOGICS.items():
            logic = getattr(slicer, className)()
            if attribute == "colors":
                application.SetColorLogic(logic)
            logic.SetMRMLApplicationLogic(application)
            if hasattr(logic, "SetModuleShareDirectory"):
                logic.SetModuleShareDirectory(str(folder))
            logic.SetMRMLScene(scene)  # registers the module's node classes
            application.SetModuleLogic(name, logic)
            logics[name] = logic
            setattr(modules, attribute, _Module(logic))
    for message in bootErrors:
        logging.debug("VTK at scene start: %s", message)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)

    # Reading .mrb and .seq.mrb unpacks into the cache folder and fails without these two.
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(folder))
    dataIO = slicer.vtkDataIOManager()
    dataIO.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(dataIO)

    slicer.mrmlScene = scene
    slicer.modules = modules
    return BootedScene(scene, application, logics, folder)


@contextmanager
def collectedVtkErrors() -> Iterator[list[str]]:
    """Collect what VTK reports as errors meanwhile: VTK prints them and returns, so callers would not notice."""
    import vtk

    messages: list[str] = []

    @vtk.calldata_type(vtk.VTK_STRING)
    def note(_caller: Any, _event: str, text: str) -> None:
        messages.append(" ".join(text.split()))

    window = vtk.vtkOutputWindow.GetInstance()
    tag = window.AddObserver("ErrorEvent", note)
    # Only our own window is silenced; the application shows errors in its log as it always does.
    plain = window.GetClassName() == "vtkOutputWindow"
    mode = window.GetDisplayMode()
    if plain:
        window.SetDisplayModeToNever()
    try:
        yield messages
    finally:
        window.RemoveObserver(tag)
        if plain:
            window.SetDisplayMode(mode)
