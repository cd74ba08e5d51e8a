"""The Dependencies section, by clicks.

Nothing is installed: ``slicer.packaging``, ``slicer.util.pip_install`` and ``PyTorchUtils`` are doubles with the
signatures of Slicer 5.12, of 5.10 and of the extension. What those do in the application is not shown here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest
import slicer
from FetalEchoSegLib import dependencies
from FetalEchoSegLib.dependencies import REQUIREMENTS

from .host import desktop, driver
from .results import makeCine

PACKAGES = {entry.package: entry for entry in REQUIREMENTS}


class Machine:
    """Which packages are installed, as the section sees it; the doubles install into it."""

    def __init__(self):
        self.versions = {entry.package: f"{entry.version}.1" for entry in REQUIREMENTS}
        self.calls = []
        self.constraints = ""
        self.fails = 0
        self.declines = False

    def remove(self, *packages):
        for package in packages:
            del self.versions[package]

    def version(self, package):
        if package not in self.versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return self.versions[package]

    def find_spec(self, module):
        return object() if module in {PACKAGES[name].module for name in self.versions if name in PACKAGES} else None

    def pip(self, requirements, constraints):
        self.constraints = Path(constraints).read_text(encoding="utf-8")
        print("Collecting", *requirements)
        assert not driver.find(driver.main_window(), "installDependenciesButton").enabled
        if self.fails:
            raise subprocess.CalledProcessError(self.fails, ["pip"])
        for requirement in requirements:
            package, version = requirement.split(">=")
            self.versions[package] = version

    # the doubles

    def pip_ensure(
        self,
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        self.calls.append(("pip_ensure", tuple(requirements)))
        assert not prompt_install, "the user would be asked twice"
        self.pip(requirements, constraints)

    def pip_install(self, requirements):
        self.calls.append(("pip_install", requirements[-1]))
        option, constraints, *packages = requirements
        assert option == "--constraint"
        self.pip(packages, constraints)

    def installTorch(
        self,
        askConfirmation=False,
        forceComputationBackend=None,
        torchVersionRequirement=None,
    ):
        self.calls.append(("installTorch", torchVersionRequirement))
        if self.declines:
            return None
        print("Installing torch")
        self.versions["torch"] = "2.9.0+cu128"
        return types.ModuleType("torch")


@pytest.fixture
def machine(monkeypatch):
    """A machine with Slicer 5.12 and the extension PyTorch, on which nothing is missing yet."""
    machine = Machine()
    for name in ("metadata", "util"):
        real = getattr(importlib, name)
        double = types.SimpleNamespace(**{key: getattr(real, key) for key in dir(real) if not key.startswith("__")})
        monkeypatch.setattr(dependencies.importlib, name, double)
    monkeypatch.setattr(dependencies.importlib.metadata, "version", machine.version)
    monkeypatch.setattr(dependencies.importlib.util, "find_spec", machine.find_spec)
    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_ensure = machine.pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer.util, "pip_install", machine.pip_install)
    torchUtils = types.ModuleType("PyTorchUtils")
    torchUtils.PyTorchUtilsLogic = lambda: machine
    monkeypatch.setitem(sys.modules, "PyTorchUtils", torchUtils)
    return machine


def openPanel():
    return driver.open_module("FetalEchoSeg")


def rows(panel):
    table = panel.ui.dependenciesTable
    return {
        table.item(row, 0).text(): tuple(table.item(row, column).text() for column in range(1, 4))
        for row in range(table.rowCount)
    }


def press(panel, answer=True):
    driver.script_dialog(_answer(answer), about="will be downloaded and installed")
    driver.click(panel.ui.installDependenciesButton)


def _answer(yes):
    import qt

    return qt.QMessageBox.Ok if yes else qt.QMessageBox.Cancel


def test_with_everything_there_the_section_is_closed_and_says_so(machine):
    panel = openPanel()
    assert panel.ui.dependenciesCollapsibleButton.collapsed
    assert panel.ui.dependenciesStateLabel.text == "Everything is installed."
    assert not panel.ui.dependenciesNoteLabel.visible
    assert not panel.ui.installDependenciesButton.enabled
    assert rows(panel)["h5py"] == ("3.11", "3.11.1", "FETUS HDF5 files")
    assert rows(panel)["numpy"][2] == "arrays"
    assert "comes with Slicer" in panel.ui.dependenciesTable.item(0, 0).toolTip()
    assert rows(panel)["av"][2] == "video files (optional)"


def test_with_something_missing_the_panel_opens_and_says_so(machine):
    machine.remove("h5py", "pydantic", "torch")
    panel = openPanel()
    assert not panel.ui.dependenciesCollapsibleButton.collapsed
    assert panel.ui.dependenciesNoteLabel.visible
    assert "needs 3 Python packages" in panel.ui.dependenciesNoteLabel.text
    assert panel.ui.dependenciesStateLabel.text == "Not installed: torch, pydantic, h5py. Press Install."
    assert rows(panel)["h5py"][1] == "no"
    assert machine.calls == []


def test_install_asks_and_a_no_changes_nothing(machine):
    machine.remove("h5py")
    panel = openPanel()
    press(panel, answer=False)
    assert machine.calls == []
    assert panel.ui.statusLabel.text == "Nothing was installed."


def test_install_goes_through_slicers_packaging_with_what_is_there_held(machine):
    machine.remove("h5py", "av")
    panel = openPanel()
    press(panel)
    assert machine.calls == [("pip_ensure", ("h5py>=3.11", "av>=13"))]
    assert {"numpy==2.0.1", "torch==2.5.1"} <= set(machine.constraints.splitlines())
    assert "Collecting h5py>=3.11 av>=13" in panel.ui.dependenciesLog.plainText
    assert panel.ui.dependenciesStateLabel.text == "Everything is installed."
    assert panel.ui.dependenciesCollapsibleButton.collapsed
    assert not panel.ui.dependenciesNoteLabel.visible
    assert not panel.self().state.isBusy


def test_the_line_at_the_top_installs_too(machine):
    machine.remove("h5py")
    panel = openPanel()
    driver.script_dialog(_answer(True), about="h5py>=3.11")
    panel.ui.dependenciesNoteLabel.linkActivated.emit("install")
    driver.process_events()
    assert "h5py" in machine.versions


def test_before_slicer_5_12_packages_are_installed_one_by_one(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    machine.remove("h5py", "av")
    panel = openPanel()
    press(panel)
    assert machine.calls == [("pip_install", "h5py>=3.11"), ("pip_install", "av>=13")]
    assert "numpy==2.0.1" in machine.constraints
    assert panel.ui.dependenciesStateLabel.text == "Everything is installed."


def test_torch_comes_first_and_through_its_extension(machine):
    machine.remove("torch", "monai")
    panel = openPanel()
    press(panel)
    assert machine.calls == [("installTorch", ">=2.5"), ("pip_ensure", ("monai>=1.4",))]
    assert "torch==2.9.0+cu128" in machine.constraints
    assert "Installing torch" in panel.ui.dependenciesLog.plainText


def test_packages_of_slicer_are_never_installed(machine):
    machine.versions["numpy"] = "1.26.4"
    machine.remove("scipy", "h5py")
    panel = openPanel()
    driver.script_dialog(_answer(True), about="1 Python packages")
    driver.click(panel.ui.installDependenciesButton)
    assert machine.calls == [("pip_ensure", ("h5py>=3.11",))]
    assert "numpy==1.26.4" in machine.constraints
    assert "Update Slicer for a newer numpy, scipy." in panel.ui.dependenciesStateLabel.text


def test_without_the_torch_extension_it_is_offered_and_the_rest_is_installed(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    asked = []
    monkeypatch.setattr(
        type(slicer.app.extensionsManagerModel()),
        "installExtensionFromServer",
        lambda self, extensionName, restart=True, update=True: asked.append((extensionName, restart)) or True,
    )
    restarts = []
    monkeypatch.setattr(slicer.util, "restart", lambda: restarts.append(True))
    machine.remove("torch", "monai", "h5py")
    panel = openPanel()
    driver.script_dialog(_answer(True), about="will be downloaded and installed")
    driver.script_dialog(_answer(True), about="extension PyTorch")
    driver.script_dialog(_no(), about="Slicer must be restarted")
    driver.click(panel.ui.installDependenciesButton)
    assert asked == [("PyTorch", False)]
    assert machine.calls == [("pip_ensure", ("h5py>=3.11",))]
    assert panel.ui.statusLabel.text == "Restart Slicer to use what was installed."
    assert restarts == []
    assert panel.ui.dependenciesStateLabel.text == "Not installed: torch, monai. Press Install."


def _no():
    import qt

    return qt.QMessageBox.No


def test_a_torch_extension_that_cannot_be_had_is_one_sentence(machine, monkeypatch):
    """The host's double of the extensions manager has no server."""
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    machine.remove("torch")
    panel = openPanel()
    driver.script_dialog(_answer(True), about="will be downloaded and installed")
    driver.script_dialog(_answer(True), about="extension PyTorch")
    driver.script_dialog(_answer(True), about="install it in the Extensions Manager")
    driver.click(panel.ui.installDependenciesButton)
    assert "Extensions Manager" in panel.ui.statusLabel.text


def test_declining_torch_stops_without_a_complaint(machine):
    machine.declines = True
    machine.remove("torch")
    panel = openPanel()
    press(panel)
    assert panel.ui.statusLabel.text == "PyTorch was not installed."
    assert panel.ui.installDependenciesButton.enabled


def test_a_failure_is_one_sentence_and_the_log_stays(machine):
    machine.remove("h5py")
    machine.fails = 1
    panel = openPanel()
    driver.script_dialog(_answer(True), about="will be downloaded and installed")
    driver.script_dialog(_answer(True), about="pip could not install everything (exit code 1)")
    driver.click(panel.ui.installDependenciesButton)
    assert "Collecting h5py>=3.11" in panel.ui.dependenciesLog.plainText
    assert panel.ui.dependenciesLog.visible
    assert not panel.self().state.isBusy
    assert panel.ui.installDependenciesButton.enabled
    machine.fails = 0
    press(panel)
    assert panel.ui.dependenciesStateLabel.text == "Everything is installed."


def test_a_package_that_ran_before_its_update_asks_for_a_restart(machine, monkeypatch):
    restarts = []
    monkeypatch.setattr(slicer.util, "restart", lambda: restarts.append(True))
    machine.versions["pydantic"] = "1.10.2"
    monkeypatch.setitem(sys.modules, "pydantic", types.ModuleType("pydantic"))
    panel = openPanel()
    driver.script_dialog(_answer(True), about="pydantic>=2.8")
    driver.script_dialog(_yes(), about="Slicer must be restarted")
    driver.click(panel.ui.installDependenciesButton)
    assert restarts == [True]


def _yes():
    import qt

    return qt.QMessageBox.Yes


def test_check_again_sees_what_was_installed_elsewhere(machine):
    machine.remove("h5py")
    panel = openPanel()
    machine.versions["h5py"] = "3.11"
    driver.click(panel.ui.checkDependenciesButton)
    assert panel.ui.dependenciesStateLabel.text == "Everything is installed."
    assert desktop.dialogs.log == []


def test_apply_says_what_is_missing(machine, monkeypatch):
    machine.remove("h5py", "opencv-python-headless")
    monkeypatch.setitem(sys.modules, "FetalEchoSegLib.segmentation", None)  # its import would fail without them
    panel = openPanel()
    logic = panel.self().logic
    logic.getParameterNode().browser = logic.addCine(makeCine(2), "Clip")
    driver.process_events()
    driver.script_dialog(_answer(True), about="h5py and opencv-python-headless are not installed: press Install")
    driver.click(panel.ui.applyButton)
    assert panel.self().job is None


_BARE = """
import sys
sys.path[:0] = sys.argv[1:3]
from panel.host import boot, driver
boot.start()
absent = set(sys.argv[3].split(","))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in list(sys.modules):
    if name.partition(".")[0] in absent:
        del sys.modules[name]
panel = driver.open_module(sys.argv[4])
for label in sys.argv[5:]:
    print(f"{label}: {getattr(panel.ui, label).text}")
from panel.host import pythonqt
print("SLOTS", pythonqt.slot_errors)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.parametrize(
    ("module", "states"),
    [
        (
            "FetalEchoSeg",
            {
                "dependenciesStateLabel": "Not installed: torch, monai",
                "modelProblemLabel": "There is no model yet: install the dependencies.",
            },
        ),
        (
            "FetalEchoTrain",
            {
                "dependenciesStateLabel": "Not installed: torch, monai",
                "configProblemLabel": "Install the dependencies first.",
                "runStateLabel": "Install the dependencies first.",
            },
        ),
    ],
)
def test_the_panels_open_in_a_slicer_without_any_of_the_packages(module, states):
    """In a process of its own, in which they cannot be imported."""
    testing = Path(__file__).resolve().parents[1]
    absent = ",".join(entry.module for entry in REQUIREMENTS if not entry.with_slicer)
    answer = subprocess.run(
        [sys.executable, "-c", _BARE, str(testing), str(testing.parent / module), absent, module, *states],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = answer.stdout + answer.stderr
    for label, text in states.items():
        assert f"{label}: {text}" in answer.stdout, output
    assert "SLOTS []" in answer.stdout, output
