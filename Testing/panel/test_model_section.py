"""The Model section, by clicks. Downloads come from a double of the network; checkpoints are made here."""

from __future__ import annotations

import gc
import hashlib
import io
import shutil
import sys
import threading
import urllib.request
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
import qt
import slicer
from bundles import random_bundle
from FetalEchoSegLib import hardware
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.bundle_folders import user_bundle_folder
from FetalEchoSegLib.errors import UnusableBundle
from FetalEchoSegLib.hardware import Device, Machine
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare

from .host import desktop, driver

YES, NO = qt.QMessageBox.Yes, qt.QMessageBox.No
CPU = Device("cpu", "Test CPU", 24 << 30)
GPU = Device("cuda:0", "Test GPU", 80 << 30)


@pytest.fixture(autouse=True)
def computer(tmp_path, monkeypatch):
    """A machine without models of its own, and with a CPU; a test may add a GPU."""
    monkeypatch.setenv("FETALECHO_MODELS", str(tmp_path / "installed"))
    machine = [Machine((CPU,))]
    monkeypatch.setattr(hardware, "look", lambda: machine[0])
    return machine


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that is not installed."""
    bundle = random_bundle(tmp_path_factory.mktemp("made") / "test-random")
    (bundle.path / "LICENSE.txt").write_text("You may use this for tests.")
    return bundle


@pytest.fixture
def installed(made):
    folder = user_bundle_folder() / "test-random"
    shutil.copytree(made.path, folder)
    return folder


@pytest.fixture
def archive(made, tmp_path):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as file:
        for part in made.path.iterdir():
            file.write(part, f"test-random/{part.name}")
    return path


def openPanel():
    panel = driver.open_module("FetalEchoSeg")
    driver.wait_until(lambda: panel.self().sections["ModelSection"]._look is None)
    return panel


def models(panel):
    combo = panel.ui.modelComboBox
    return [combo.itemText(index) for index in range(combo.count)]


def node(panel):
    return panel.self().logic.getParameterNode()


def trigger(panel, action):
    """Choose from the menu; opening it would block."""
    found = driver.find(panel.ui.modelMenu, action)
    assert found.enabled
    assert panel.ui.modelMenuButton.enabled
    found.trigger()
    driver.process_events()


def waitForJob(panel, seconds=60):
    driver.wait_until(lambda: panel.self().job is None, seconds)


# the list and the card


def test_the_demo_model_comes_first_with_its_card(installed):
    panel = openPanel()
    assert models(panel) == ["demo-tiny", "test-random"] == panel.self().logic.models()
    assert panel.ui.modelComboBox.currentText == "demo-tiny"
    assert panel.ui.modelNoticeLabel.text.startswith("Trained on synthetic data only")
    assert panel.ui.modelNoticeLabel.font.bold()
    card = panel.ui.modelCardLabel.text
    assert "2400 labelled frames" in card
    assert "same devices (400 frames): DSC 86.6" in card
    assert "Apache-2.0" in card
    assert f"SHA-256 {find_bundle('demo-tiny').card.sha256[:12]}" in card
    assert "Trained on synthetic" not in card
    assert not panel.ui.modelProblemLabel.visible


def test_the_choice_goes_both_ways(installed):
    panel = openPanel()
    assert node(panel).model == ""
    driver.choose(panel.ui.modelComboBox, "test-random")
    assert node(panel).model == "test-random"
    assert panel.ui.modelNoticeLabel.text == "Random weights for a test."
    node(panel).model = ""
    assert panel.ui.modelComboBox.currentText == "demo-tiny"
    node(panel).model = "test-random"
    assert panel.ui.modelComboBox.currentText == "test-random"
    driver.choose(panel.ui.modelComboBox, "demo-tiny")
    assert node(panel).model == ""


def test_a_card_cannot_format_the_panel(made, installed):
    text = (installed / "bundle.yaml").read_text()
    (installed / "bundle.yaml").write_text(text.replace("description: ''", "description: '<img src=x> & more'"))
    panel = openPanel()
    driver.choose(panel.ui.modelComboBox, "test-random")
    assert "&lt;img src=x&gt; &amp; more" in panel.ui.modelCardLabel.text


def test_a_model_of_the_scene_that_is_not_here_stays_chosen(installed, tmp_path):
    panel = openPanel()
    driver.choose(panel.ui.modelComboBox, "test-random")
    driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    assert panel.ui.modelComboBox.currentText == "demo-tiny"
    shutil.rmtree(installed)
    driver.open_scene(tmp_path / "scene.mrb")
    assert panel.ui.modelComboBox.currentText == "test-random"  # not looked at again yet
    trigger(panel, "refreshModelsAction")
    assert panel.ui.modelComboBox.currentText == "test-random (not installed here)"
    assert node(panel).model == "test-random"
    assert panel.ui.modelProblemLabel.text == (
        "The model test-random is not installed on this machine: add it or choose another."
    )
    assert not panel.ui.modelCardLabel.visible
    with pytest.raises(UnusableBundle, match="There is no model 'test-random'"):
        panel.self().logic.segment(_clip(panel), view="4CH", model=node(panel).model)


def _clip(panel):
    from .results import makeCine

    return panel.self().logic.addCine(makeCine(2), "Clip")


def test_a_model_that_is_removed_while_chosen_is_noticed_on_the_next_visit(installed):
    panel = openPanel()
    driver.choose(panel.ui.modelComboBox, "test-random")
    shutil.rmtree(installed)
    driver.leave_module()
    panel = openPanel()
    assert models(panel) == ["demo-tiny", "test-random (not installed here)"]
    assert node(panel).model == "test-random"
    driver.choose(panel.ui.modelComboBox, "demo-tiny")
    assert models(panel) == ["demo-tiny"]
    assert not panel.ui.modelProblemLabel.visible


def test_a_damaged_card_is_one_sentence(installed):
    panel = openPanel()
    driver.choose(panel.ui.modelComboBox, "test-random")
    (installed / "bundle.yaml").write_text("format_version: 1\nname: [")
    trigger(panel, "refreshModelsAction")
    text = panel.ui.modelProblemLabel.text
    assert "bundle.yaml cannot be read" in text
    assert "\n" not in text
    driver.choose(panel.ui.modelComboBox, "demo-tiny")
    assert panel.ui.modelProblemLabel.text == text  # the model is missing in the list: this says why


def test_before_the_dependencies_are_installed_it_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "FetalEchoSegLib.bundle")
    monkeypatch.setitem(sys.modules, "FetalEchoSegLib.bundle", None)
    panel = openPanel()
    assert models(panel) == []
    assert panel.ui.modelProblemLabel.text == "There is no model yet: install the dependencies."
    assert not panel.ui.modelMenuButton.enabled


# more models


@pytest.mark.parametrize(
    ("action", "about"), [("installFileAction", "getOpenFileName"), ("installFolderAction", "getExisting")]
)
def test_a_bundle_from_disk_is_installed_once_its_licence_is_accepted(made, archive, action, about):
    panel = openPanel()
    asked = []

    def accept(dialog):
        asked.append((dialog.text, dialog.detailedText))
        return YES

    driver.script_dialog(str(archive if "File" in action else made.path), about=about)
    driver.script_dialog(accept, about="accept this licence")
    trigger(panel, action)
    waitForJob(panel)
    ((text, details),) = asked
    assert "Licence: Apache-2.0" in text
    assert "Random weights for a test." in text
    assert details == "You may use this for tests."
    assert models(panel) == ["demo-tiny", "test-random"]
    assert node(panel).model == "test-random"
    assert panel.ui.statusLabel.text == "Installed test-random."
    assert (user_bundle_folder() / "test-random" / "model.safetensors").is_file()


def test_declining_the_licence_installs_nothing(archive):
    panel = openPanel()
    driver.script_dialog(str(archive), about="getOpenFileName")
    driver.script_dialog(NO, about="accept this licence")
    trigger(panel, "installFileAction")
    waitForJob(panel)
    assert models(panel) == ["demo-tiny"]
    assert node(panel).model == ""
    assert "nothing was installed" in panel.ui.statusLabel.text
    assert list(user_bundle_folder().iterdir()) == []


def test_a_file_that_is_no_bundle_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "notes.zip").write_bytes(b"PK no zip")
    panel = openPanel()
    driver.script_dialog(str(tmp_path / "notes.zip"), about="getOpenFileName")
    driver.script_dialog(YES, about="is not a usable .zip file")
    trigger(panel, "installFileAction")
    waitForJob(panel)
    assert models(panel) == ["demo-tiny"]


def test_cancelling_the_file_dialog_does_nothing():
    panel = openPanel()
    for action, about in (
        ("installFileAction", "getOpenFileName"),
        ("installFolderAction", "getExistingDirectory"),
        ("importCheckpointAction", "getOpenFileName"),
    ):
        driver.script_dialog("", about=about)
        trigger(panel, action)
        assert panel.self().job is None


class Server:
    """https://example.org, without a network."""

    def __init__(self, content):
        self.content = content
        self.asked = []

    def open(self, address, timeout=None):
        self.asked.append(address)
        response = io.BytesIO(self.content)
        response.headers = {"Content-Length": str(len(self.content))}
        return response


@pytest.fixture
def server(archive, monkeypatch):
    server = Server(archive.read_bytes())
    monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: server)
    return server


def fill(address, sha256=""):
    """Answers the download dialog by typing."""

    def answer(dialog):
        okButton = dialog.findChild("QDialogButtonBox").button(qt.QDialogButtonBox.Ok)
        assert not okButton.enabled
        driver.find(dialog, "addressLineEdit").setText(address)
        driver.find(dialog, "sha256LineEdit").setText(sha256)
        return qt.QDialog.Accepted if okButton.enabled else qt.QDialog.Rejected

    return answer


def test_a_download_is_checked_and_asks_for_the_licence(server):
    panel = openPanel()
    assert server.asked == []
    sha256 = hashlib.sha256(server.content).hexdigest()
    driver.script_dialog(fill("https://example.org/m.zip", sha256), about="Download")
    driver.script_dialog(YES, about="accept this licence")
    trigger(panel, "downloadModelAction")
    waitForJob(panel)
    assert server.asked == ["https://example.org/m.zip"]
    assert node(panel).model == "test-random"


def test_a_download_with_another_hash_is_refused(server):
    panel = openPanel()
    driver.script_dialog(fill("https://example.org/m.zip", "0" * 64), about="Download")
    driver.script_dialog(YES, about="is not the file that was expected")
    trigger(panel, "downloadModelAction")
    waitForJob(panel)
    assert models(panel) == ["demo-tiny"]
    assert list(user_bundle_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("address", "sha256"),
    [("http://example.org/m.zip", ""), ("https://", ""), ("", ""), ("https://example.org/m.zip", "12ab")],
)
def test_an_impossible_address_or_hash_cannot_be_confirmed(server, address, sha256):
    panel = openPanel()
    driver.script_dialog(fill(address, sha256), about="Download")
    trigger(panel, "downloadModelAction")
    assert panel.self().job is None
    assert server.asked == []


def test_a_download_can_be_cancelled(server):
    panel = openPanel()
    going = []

    def open_(address, timeout=None):
        going.append(True)
        while not panel.self().job.isCancelled:
            pass
        return Server.open(server, address)

    server.open = open_
    driver.script_dialog(fill("https://example.org/m.zip"), about="Download")
    trigger(panel, "downloadModelAction")
    driver.wait_until(lambda: going)
    assert not panel.ui.modelComboBox.enabled
    assert not panel.ui.deviceComboBox.enabled
    driver.click(panel.ui.cancelButton)
    waitForJob(panel)
    assert panel.ui.statusLabel.text == "Cancelled."
    assert panel.ui.modelComboBox.enabled
    assert models(panel) == ["demo-tiny"]


@pytest.fixture
def small(monkeypatch):
    """A network small enough for a test, in place of the public models' sizes."""
    config = EchoCareConfig.tiny(embed_dim=8, decoder_features=4, depths=(1, 1, 1, 1), n_views=0, image_size=64)
    monkeypatch.setattr(EchoCareConfig, "full", classmethod(lambda cls, **more: config))
    torch.manual_seed(0)
    return EchoCare(config)


def importAs(name="", kind=0):
    def answer(dialog):
        edit = driver.find(dialog, "nameLineEdit")
        if name:
            edit.setText(name)
        driver.find(dialog, "kindComboBox").setCurrentIndex(kind)
        accepted = dialog.findChild("QDialogButtonBox").button(qt.QDialogButtonBox.Ok).enabled
        return qt.QDialog.Accepted if accepted else qt.QDialog.Rejected

    return answer


def test_a_checkpoint_is_imported_and_its_tensors_counted(small, tmp_path):
    torch.save({"model": small.state_dict()}, tmp_path / "best.pth")
    panel = openPanel()
    driver.script_dialog(str(tmp_path / "best.pth"), about="getOpenFileName")
    driver.script_dialog(importAs("baseline"), about="Import best.pth")
    trigger(panel, "importCheckpointAction")
    waitForJob(panel)
    count = len(small.state_dict())
    assert panel.ui.statusLabel.text == f"Imported baseline: {count} of {count} tensors matched."
    assert node(panel).model == "baseline"
    assert f"{count} of {count} tensors matched" in panel.ui.modelCardLabel.text
    assert "licence of the imported file holds" in panel.ui.modelCardLabel.text


def test_a_checkpoint_of_something_else_is_refused_with_what_did_not_fit(small, tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    panel = openPanel()
    driver.script_dialog(str(tmp_path / "other.pth"), about="getOpenFileName")
    driver.script_dialog(importAs(kind=1), about="Import other.pth")
    driver.script_dialog(YES, about="unknown: conv.weight")
    trigger(panel, "importCheckpointAction")
    waitForJob(panel)
    assert models(panel) == ["demo-tiny"]


def test_a_name_that_is_no_folder_cannot_be_confirmed_and_a_taken_one_is_told(small, tmp_path, installed):
    torch.save({"model": small.state_dict()}, tmp_path / "best.pth")
    panel = openPanel()
    notes = []

    def look(dialog):
        edit = driver.find(dialog, "nameLineEdit")
        assert edit.text == "best"
        edit.setText("test-random")
        notes.append(driver.find(dialog, "nameNoteLabel").text)
        return importAs("../up")(dialog)

    driver.script_dialog(str(tmp_path / "best.pth"), about="getOpenFileName")
    driver.script_dialog(look, about="Import best.pth")
    trigger(panel, "importCheckpointAction")
    assert notes == ["This replaces the model test-random."]
    assert panel.self().job is None


def test_the_folder_of_models_is_opened():
    panel = openPanel()
    trigger(panel, "openModelFolderAction")
    assert [Path(qt.QUrl(url).toLocalFile()) for url in desktop.opened_urls] == [user_bundle_folder()]
    assert user_bundle_folder().is_dir()


def test_closing_the_scene_during_an_installation_leaves_nothing(server, monkeypatch):
    """Even when the worker notices too late and ends with a whole bundle."""
    from FetalEchoSegLib import bundle_staging

    panel = openPanel()
    closed, ended = threading.Event(), threading.Event()
    stage = bundle_staging.stage_bundle

    def stageLate(source, sha256, progress, cancelled):
        closed.wait(20)
        staged = stage(source, sha256)
        ended.set()
        return staged

    monkeypatch.setattr(bundle_staging, "stage_bundle", stageLate)
    driver.script_dialog(fill("https://example.org/m.zip"), about="Download")
    trigger(panel, "downloadModelAction")
    driver.close_scene()
    assert panel.self().job is None
    closed.set()
    driver.wait_until(ended.is_set, 20)

    def isEmpty():
        gc.collect()
        return not list(user_bundle_folder().iterdir())

    driver.wait_until(isEmpty, 20)
    assert models(panel) == ["demo-tiny"]


def test_the_console_can_do_the_same(archive, small, tmp_path):
    logic = openPanel().self().logic
    assert logic.installModel(archive) == "test-random"
    torch.save({"model": small.state_dict()}, tmp_path / "best.pth")
    assert logic.importModel(tmp_path / "best.pth", "baseline") == "baseline"
    assert logic.models() == ["demo-tiny", "baseline", "test-random"]
    assert logic.devices() == {"cpu": "CPU: Test CPU, 24 GiB"}


# the device


def test_the_devices_are_named_with_their_memory(computer):
    computer[0] = Machine((GPU, CPU))
    panel = openPanel()
    combo = panel.ui.deviceComboBox
    assert [combo.itemText(i) for i in range(combo.count)] == [
        "Automatic (Test GPU, 80 GiB)",
        "Test GPU, 80 GiB",
        "CPU: Test CPU, 24 GiB",
    ]
    assert not panel.ui.deviceAdviceLabel.visible


def test_the_device_is_kept_for_the_machine_and_not_with_the_scene(computer):
    panel = openPanel()
    driver.choose(panel.ui.deviceComboBox, "CPU: Test CPU, 24 GiB")
    assert slicer.util.settingsValue("FetalEcho/Device", "auto") == "cpu"
    driver.close_scene()
    panel = driver.reload_module("FetalEchoSeg")
    driver.wait_until(lambda: panel.self().sections["ModelSection"]._look is None)
    assert panel.ui.deviceComboBox.currentText == "CPU: Test CPU, 24 GiB"


def test_a_device_that_is_gone_is_told_and_not_changed(computer):
    qt.QSettings().setValue("FetalEcho/Device", "cuda:0")
    panel = openPanel()
    assert panel.ui.deviceComboBox.currentText == "cuda:0 (not found)"
    assert panel.ui.deviceAdviceLabel.text == "The chosen device is not on this machine: choose another."
    driver.choose(panel.ui.deviceComboBox, "Automatic (CPU: Test CPU, 24 GiB)")
    assert not panel.ui.deviceAdviceLabel.visible


def test_a_gpu_that_torch_leaves_unused_is_told(computer):
    computer[0] = Machine((CPU,), "Test GPU is not used, because the installed PyTorch computes on the CPU only.")
    panel = openPanel()
    assert panel.ui.deviceAdviceLabel.visible
    assert panel.ui.deviceAdviceLabel.text.startswith("Test GPU is not used")


def test_opening_the_panel_imports_no_torch():
    """In a process of its own: here torch is loaded already."""
    import subprocess

    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from panel.host import driver\n"
        "panel = driver.open_module('FetalEchoSeg')\n"
        "driver.wait_until(lambda: panel.self().sections['ModelSection']._look is None)\n"
        "assert panel.ui.modelComboBox.currentText == 'demo-tiny'\n"
        "print(sorted({'torch', 'monai', 'matplotlib', 'transformers'} & set(sys.modules)), flush=True)\n"
        "import os; os._exit(0)\n"
    )
    testing = Path(__file__).resolve().parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", code, str(testing), str(testing.parent / "FetalEchoSeg")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.stdout.strip().endswith("[]"), answer.stdout + answer.stderr
