"""The two module files as Slicer uses them, on the scene without the application."""

from __future__ import annotations

import doctest
import signal
import subprocess
import sys
import types
import unittest
from pathlib import Path

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.errors import InvalidRequest, MissingDependency
from FetalEchoSegLib.scene.headless import HeadlessApplication, _interruptHeldBack, isHeadless, startHeadlessSlicer
from FetalEchoSegLib.scene.tables import tableRows

import FetalEchoSeg
import FetalEchoTrain

from .conftest import FRAMES, REPOSITORY, makeLabels, makePrediction


@pytest.mark.parametrize("module", [FetalEchoSeg, FetalEchoTrain])
def test_self_tests_pass(module):
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(getattr(module, f"{module.__name__}Test"))
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == 1
    assert not result.errors + result.failures


@pytest.mark.parametrize("module", [FetalEchoSeg, FetalEchoTrain])
def test_reload_and_test_runs_the_same_body(module):
    getattr(module, f"{module.__name__}Test")().runTest()


def test_examples_in_the_docstrings_work(scene):
    result = doctest.testmod(FetalEchoSeg)
    assert result.attempted >= 6
    assert not result.failed


@pytest.mark.parametrize("module", [FetalEchoSeg, FetalEchoTrain])
def test_module_describes_itself(module):
    parent = types.SimpleNamespace()
    getattr(module, module.__name__)(parent)
    assert parent.title.startswith("FetalEcho")
    assert parent.categories == ["Segmentation"]
    assert parent.helpText


def test_module_offers_the_terminology_when_slicer_has_started(monkeypatch):
    slots = []
    monkeypatch.setattr(HeadlessApplication, "connect", lambda self, signal, slot: slots.append((signal, slot)))
    FetalEchoSeg.FetalEchoSeg(types.SimpleNamespace())
    ((signal, slot),) = slots
    assert signal == "startupCompleted()"
    slot()
    import vtk

    names = vtk.vtkStringArray()
    slicer.modules.terminologies.logic().GetLoadedTerminologyNames(names)
    assert "FetalEcho" in [names.GetValue(i) for i in range(names.GetNumberOfValues())]


def test_logic_carries_a_clip_through(tmp_path, cine):
    logic = FetalEchoSeg.FetalEchoSegLogic()
    labels = makeLabels()
    browser = logic.addCine(cine, "Clip")
    masks = logic.addPrediction(makePrediction(labels), browser)
    conditions, frames = logic.addTables(masks)
    headers, rows = tableRows(conditions)
    assert [row[0] for row in rows] == ["VSD", "AV_sten", "AoHypo", "AoV_sten", "DORV", "PV_sten", "RAA"]
    assert rows[2][1:3] == [None, "not shown by this view"]
    assert "not a diagnosis" in conditions.GetDescription()
    assert "synthetic data only" in conditions.GetDescription()
    headers, rows = tableRows(frames)
    assert len(rows) == FRAMES
    area = (labels[1] == Structure.LEFT_VENTRICLE).sum() * 0.31 * 0.22
    assert rows[1][headers.index("LV (mm²)")] == pytest.approx(area)
    assert rows[1][headers.index("Time (s)")] == pytest.approx(0.04)

    logic.openScene(logic.saveScene(tmp_path / "clip.mrb"))
    browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    np.testing.assert_array_equal(logic.labels(browser), labels)
    np.testing.assert_array_equal(logic.cine(browser).frames, cine.frames)
    assert logic.saveMasks(tmp_path / "clip.seq.nrrd", browser).stat().st_size > 0
    assert slicer.util.getNode("Clip segmentation conditions").GetDescription() == conditions.GetDescription()


def test_proxies_and_sequences_lead_to_their_browser(segmented):
    sequence, browser, masks, _ = segmented
    logic = FetalEchoSeg.FetalEchoSegLogic()
    for node in (browser, sequence, masks, browser.GetProxyNode(sequence), browser.GetProxyNode(masks)):
        assert logic.browserOf(node) is browser
    for node in (None, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")):
        with pytest.raises(InvalidRequest, match="Choose a clip"):
            logic.browserOf(node)


def test_panel_parameters_are_kept_with_the_scene(tmp_path, cine):
    logic = FetalEchoSeg.FetalEchoSegLogic()
    parameters = logic.getParameterNode()
    assert parameters.view is FetalEchoSeg.ViewChoice.AUTOMATIC
    assert parameters.browser is None
    parameters.browser = logic.addCine(cine, "Clip")
    parameters.view = FetalEchoSeg.ViewChoice.THREE_VESSEL_TRACHEA
    logic.openScene(logic.saveScene(tmp_path / "clip.mrb"))
    again = FetalEchoSeg.FetalEchoSegLogic().getParameterNode()
    assert again.view is FetalEchoSeg.ViewChoice.THREE_VESSEL_TRACHEA
    assert again.browser is slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]


def test_panel_choices_are_views():
    from FetalEchoSegLib.anatomy import View

    choices = [choice.value for choice in FetalEchoSeg.ViewChoice if choice is not FetalEchoSeg.ViewChoice.AUTOMATIC]
    assert choices == [view.short for view in View]


def test_start_is_once_per_process():
    scene = slicer.mrmlScene
    assert startHeadlessSlicer() is slicer
    assert slicer.mrmlScene is scene
    assert isHeadless()


def test_headless_application_has_no_invented_names():
    with pytest.raises(AttributeError):
        slicer.app.layoutManager()
    with pytest.raises(AttributeError, match="no signal"):
        slicer.app.connect("aboutToQuit()", print)


_BLOCKED = """
import sys, time
class Blocker:
    names = {names!r}
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.path[:0] = {paths!r}
"""


def run(code, names, *arguments):
    paths = [str(REPOSITORY / "FetalEchoSeg"), str(REPOSITORY / "FetalEchoTrain")]
    code = _BLOCKED.format(names=names, paths=paths) + code
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = {
    "torch", "torchvision", "monai", "transformers", "pydicom", "pydantic", "yaml", "SimpleITK", "skimage", "cv2",
    "matplotlib", "h5py", "av", "PIL", "safetensors", "segment_anything", "jinja2", "tqdm", "accelerate", "psutil",
}  # fmt: skip


def test_modules_load_quickly_and_work_before_anything_is_installed():
    code = """
from FetalEchoSegLib.scene.headless import startHeadlessSlicer
startHeadlessSlicer()
for name in [n for n in sys.modules if n.startswith("FetalEcho")]:
    del sys.modules[name]  # what the boot imported is not there in Slicer
start = time.perf_counter()
import FetalEchoSeg, FetalEchoTrain
import types
FetalEchoSeg.FetalEchoSeg(types.SimpleNamespace())
print("seconds", time.perf_counter() - start)
FetalEchoSeg.FetalEchoSegTest().runTest()
FetalEchoTrain.FetalEchoTrainTest().runTest()
print("models", FetalEchoSeg.FetalEchoSegLogic().models())
"""
    output = run(code, HEAVY)
    # Generous, as a test machine may be busy; the figure belongs to the benchmark.
    assert float(output.split()[1]) < 0.5
    assert output.rstrip().endswith("]")


def test_missing_scene_package_is_named():
    code = """
from FetalEchoSegLib.errors import MissingDependency
from FetalEchoSegLib.scene.headless import startHeadlessSlicer
try:
    startHeadlessSlicer()
except MissingDependency as error:
    print(error)
"""
    assert "slicer-core" in run(code, {"slicer", "slicer_core", "vtk"})
    assert issubclass(MissingDependency, Exception)


@pytest.fixture
def interrupts():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run as a background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_waits_until_vtk_is_imported():
    finished = []
    before = signal.getsignal(signal.SIGINT)

    def interrupted():
        with _interruptHeldBack():
            signal.raise_signal(signal.SIGINT)
            finished.append("the import")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert finished == ["the import"]
    assert signal.getsignal(signal.SIGINT) is before


def test_slicer_self_tests_pass_headless():
    folder = Path(REPOSITORY, "Testing", "slicer")
    suite = unittest.defaultTestLoader.discover(str(folder), pattern="*SelfTest.py")
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun >= 2
    assert not result.errors + result.failures, result.errors + result.failures
