"""Modules live in the host as in the application: opened, left, reloaded, unloaded, and judged by what they leave."""

from __future__ import annotations

import sys
import textwrap
import unittest

import pytest
import slicer

from .host import boot, driver, leaks, pythonqt

MODULE = """
import qt
import slicer
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Tiny"
        self.parent.categories = ["Tests"]
        slicer.app.connect("startupCompleted()", started)


def started():
    slicer.modules.tinyStarted = True


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    events = []

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.events.append("setup")
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onClose)
        label = qt.QLabel("version 1")
        label.setObjectName("versionLabel")
        self.layout.addWidget(label)

    def enter(self):
        self.events.append("enter")

    def exit(self):
        self.events.append("exit")

    def onClose(self, caller, event):
        self.events.append("close")

    def cleanup(self):
        self.events.append("cleanup")
        self.removeObservers()


class TinyLogic(ScriptedLoadableModuleLogic):
    pass


class TinyTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("done")
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a module file called Tiny, from this text; its path."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def loadTiny(text=MODULE):
        path = tmp_path / "Tiny.py"
        path.write_text(textwrap.dedent(text))
        driver.load_module(path)
        return path

    yield loadTiny
    driver.unload_panels()
    for name in ("tiny", "TinyInstance"):
        vars(slicer.modules).pop(name, None)
    slicer.app._modules.pop("Tiny", None)
    sys.modules.pop("Tiny", None)


def test_a_modules_life(load):
    load()
    assert slicer.modules.tiny.title == "Tiny"
    panel = driver.open_module("Tiny")
    events = panel.self().events
    driver.close_scene()
    driver.leave_module()
    driver.open_module("Tiny")
    driver.unload_panels()
    assert events == ["setup", "enter", "close", "exit", "enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "TinyWidget")


def test_reload_runs_the_new_file(load):
    path = load()
    first = driver.open_module("Tiny")
    path.write_text(path.read_text().replace("version 1", "version 2"))
    old = first.self()
    panel = driver.reload_module("Tiny")
    assert "cleanup" in old.events
    assert panel.self() is not old
    assert panel.ui.versionLabel.text == "version 2"
    assert panel.ui.versionLabel.visible


def test_logic_keeps_parameters_in_a_singleton_of_the_module(load):
    load()
    logic = sys.modules["Tiny"].TinyLogic()
    node = logic.getParameterNode()
    assert node is sys.modules["Tiny"].TinyLogic().getParameterNode()
    assert logic.getAllParameterNodes() == [node]
    driver.close_scene()
    assert logic.getParameterNode().GetAttribute("ModuleName") == "Tiny"


def test_an_exception_in_setup_is_kept_for_the_test(load):
    load(MODULE.replace('self.events.append("setup")', "1 / 0"))
    driver.open_module("Tiny")
    assert "ZeroDivisionError" in pythonqt.slot_errors.pop()


LEAKS = {
    "observer Tiny.TinyWidget.onClose": 'self.addObserver(slicer.mrmlScene, "ModifiedEvent", self.onClose)',
    "observer Tiny.TinyWidget.setup.<locals>.<lambda> for event LeftButtonPressEvent": (
        'slicer.app.layoutManager().sliceWidget("Red").sliceView().interactor()'
        '.AddObserver("LeftButtonPressEvent", lambda caller, event: None)'
    ),
    "connection Tiny.TinyWidget.exit to qSlicerApplication.aboutToQuit()": (
        'slicer.app.connect("aboutToQuit()", self.exit)'
    ),
    "running QTimer, interval 1234 ms": "self.timer = qt.QTimer(); self.timer.setInterval(1234); self.timer.start()",
    "QShortcut Ctrl+K": 'self.keys = qt.QShortcut(qt.QKeySequence("Ctrl+K"), slicer.util.mainWindow())',
    "thread forever": (
        'import threading; t = threading.Thread(target=threading.Event().wait, args=(1,), name="forever", daemon=True);'
        " t.start()"
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_a_module_leaves_behind_is_found(load, tmp_path, leak, monkeypatch):
    monkeypatch.setattr(leaks, "_PATIENCE_SECONDS", 0.2)
    watch = leaks.Watch([tmp_path])
    load(MODULE.replace('self.events.append("setup")', LEAKS[leak]).replace("self.removeObservers()", "pass"))
    panel = driver.open_module("Tiny")
    widget = panel.self()
    driver.unload_panels()
    found = watch.leaks()
    widget.removeObservers()
    if hasattr(widget, "timer"):
        widget.timer.stop()
    if hasattr(widget, "keys"):
        widget.keys.setParent(None)
        widget.keys.deleteLater()
    slicer.app.disconnect("aboutToQuit()", widget.exit)
    assert any(line.startswith(leak) for line in found), found


def test_a_tidy_module_leaves_nothing(load, tmp_path):
    load()
    watch = leaks.Watch([tmp_path])
    driver.open_module("Tiny")
    driver.unload_panels()
    assert watch.leaks() == []


def test_sample_data_are_registered_and_made_on_demand():
    import SampleData

    made = []
    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    with pytest.raises(TypeError, match="not iterable"):  # Slicer goes through the lists, which are None
        register(category="Tests", sampleName="Made", customDownloader=made.append)
    register(category="Tests", sampleName="Made", uris=[], fileNames=[], nodeNames=[], customDownloader=made.append)
    (source,) = SampleData.SampleDataLogic.sampleDataSourcesByCategory("Tests")
    assert SampleData.SampleDataLogic().downloadSamples("Made") == []  # only the button asks a custom downloader
    assert made == []
    driver.click_sample("Made")
    del slicer.modules.sampleDataSources["Tests"]
    assert made == [source]
    assert SampleData.SampleDataLogic().sourceForSampleName("Made") is None


def test_names_that_slicer_lacks_are_missing():
    for owner, name in ((slicer, "loadVolume"), (slicer, "arrayFromVolume"), (slicer.app, "noSuchName")):
        with pytest.raises(AttributeError):
            getattr(owner, name)
    assert callable(slicer.util.loadVolume)


def run(suite):
    result = unittest.TestResult()
    suite.run(result)
    problems = [text for _, text in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    return result.testsRun


@pytest.mark.parametrize("name", boot.EXTENSION_MODULES)
def test_self_tests_of_the_modules_pass_in_the_host(name):
    assert name not in boot.loadErrors
    case = getattr(sys.modules[name], f"{name}Test")
    assert run(unittest.defaultTestLoader.loadTestsFromTestCase(case)) >= 1
    case().runTest()


def test_self_tests_for_the_application_pass_in_the_host():
    folder = boot.REPOSITORY / "Testing" / "slicer"
    assert run(unittest.defaultTestLoader.discover(str(folder), pattern="*SelfTest.py")) >= 7
