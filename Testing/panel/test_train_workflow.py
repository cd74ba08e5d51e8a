"""The whole loop by clicks: segment, correct, export, train, watch, stop, resume, deploy, segment better.

Everything is real but small: the phantom at 96 pixels, the demo models, and the worker as a process of its own.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import qt

pytest.importorskip("torch")
for package in ("monai", "accelerate", "psutil"):
    pytest.importorskip(package)
if importlib.util.find_spec("segment_anything") is None:  # importing it would need torchvision
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, read_image, read_label, read_list
from FetalEchoSegLib.metrics import compare_masks, segmentation_score
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.phantom.dataset import write_dataset
from FetalEchoSegLib.scene.views import showClip
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoTrainLib import process
from scipy import ndimage

from .host import driver

LV = Structure.LEFT_VENTRICLE
TEST = "test_same.json"
CORRECTED = 2


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders of this test alone: data set (a little is in it already), runs, models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    dataset, runs = tmp_path / "my data", tmp_path / "my runs"
    write_dataset(
        dataset, labelled=24, unlabelled=8, validation=8, calibration=8, test_same=8, test_new=4, seed=5,
        image_shape=(96, 96), frames_per_case=2, workers=1,
    )  # fmt: skip
    qt.QSettings().setValue("FetalEcho/TrainingDataset", str(dataset))
    qt.QSettings().setValue("FetalEcho/TrainingRuns", str(runs))
    yield dataset, runs
    for folder in runs.glob("*"):
        run = process.RunFolder(folder)
        if process.worker(run) is not None:
            process.kill(run)


def held_out_dice(model, dataset):
    """DSC of a model, as the challenge has it, on frames of fetuses that nothing was trained on."""
    segmenter, found = Segmenter(find_bundle(model), "cpu", "fp32"), []
    for entry in read_list(dataset / TEST):
        image = read_image(entry.image)
        labels = segmenter.segment(Cine.from_array(image.image[np.newaxis]), view=image.view).labels[0]
        found.append(compare_masks(labels, read_label(entry.label).mask))
    return segmentation_score(found).dice


def idle(panel, seconds=120):
    driver.wait_until(lambda: not panel.self().state.isBusy, seconds)


def test_what_is_corrected_trains_the_model_that_is_used_afterwards(places):
    dataset, _ = places
    phantom = make_named_clip(View.FOUR_CHAMBER, seed=77, frames=4, frame_rate=25, image_shape=(96, 96))

    # segment, correct by a click, accept
    seg = driver.open_module("FetalEchoSeg")
    logic, state = seg.self().logic, seg.self().state
    parameters = logic.getParameterNode()
    parameters.browser = logic.addCine(phantom.cine, "Clip")
    showClip(parameters.browser)
    driver.choose(seg.ui.viewComboBox, "4CH")
    driver.click(seg.ui.applyButton)
    driver.wait_until(lambda: state.masks is not None, 120)
    idle(seg)
    masks = state.masks
    state.showFrame(CORRECTED)
    seg.ui.refineCollapsibleButton.collapsed = False
    driver.process_events()
    driver.choose_effect(seg.ui.refineEditor, "SAM-Med2D")
    driver.select_segment(seg.ui.refineEditor, LV.info.title)
    row, column = (round(value) for value in ndimage.center_of_mass(phantom.labels[CORRECTED] == LV))
    driver.click_slice(driver.slice_view("Red"), ijk=(column, row, 0))
    driver.wait_until(lambda: logic.drawnBy(masks)[CORRECTED] == "clicks", 60)
    driver.click(seg.ui.acceptNextButton)
    assert logic.acceptedFrames(masks) == [CORRECTED]

    # export
    panel = driver.open_module("FetalEchoTrain")
    driver.wait_until(lambda: panel.ui.exportButton.text == "Export 1 frame", 20)
    before = len(read_list(dataset / TRAIN_LABELED))
    driver.click(panel.ui.exportButton)
    idle(panel)
    (entry,) = read_list(dataset / TRAIN_LABELED)[before:]
    np.testing.assert_array_equal(read_label(entry.label).mask, logic.labels(masks)[CORRECTED])

    # train, watch, stop, resume
    edit = panel.ui.configTextEdit
    edit.setPlainText(_small(edit.plainText))
    section = panel.self().sections["TrainSection"]
    driver.wait_until(lambda: section._config is not None and section._config.name == "mine", 10)
    driver.click(panel.ui.startButton)
    look = panel.self().sections["RunsSection"].look
    driver.wait_until(lambda: look() or "stage 1" in panel.ui.runStateLabel.text, 60)
    driver.click(panel.ui.stopButton)
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text == "stopped", 60)
    driver.click(panel.ui.resumeButton)
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text == "finished", 240)
    assert panel.ui.curveComboBox.count > 3
    assert panel.ui.classesTable.visible
    assert panel.ui.samplesLabel.visible

    # deploy: the new model is chosen, and better than the one that it started from
    parameters.model = "demo-tiny"
    driver.click(panel.ui.deployButton)
    assert parameters.model == "mine-full-0"
    assert held_out_dice("mine-full-0", dataset) > held_out_dice("demo-tiny", dataset) + 0.5
    driver.click(panel.ui.beforeAfterButton)
    idle(panel)
    assert panel.ui.beforeAfterTable.rowCount > 3

    # and one click back
    driver.click(panel.ui.withdrawButton)
    assert parameters.model == "demo-tiny"
    assert "mine-full-0" not in logic.models()


def test_a_data_set_that_is_moved_away_ends_the_run_with_a_sentence_and_brought_back_it_goes_on(places, tmp_path):
    dataset, _ = places
    panel = driver.open_module("FetalEchoTrain")
    edit = panel.ui.configTextEdit
    edit.setPlainText(_small(edit.plainText))
    section = panel.self().sections["TrainSection"]
    driver.wait_until(lambda: section._config is not None and section._config.name == "mine", 10)
    driver.click(panel.ui.startButton)
    look = panel.self().sections["RunsSection"].look
    state = panel.ui.runStateLabel
    driver.wait_until(lambda: look() or "stage 1" in state.text, 120)
    dataset.rename(tmp_path / "elsewhere")
    driver.wait_until(lambda: look() or state.text.startswith("failed"), 120)
    assert "put the data set back" in state.text
    assert str(dataset) in state.text
    (tmp_path / "elsewhere").rename(dataset)
    driver.click(panel.ui.resumeButton)
    driver.wait_until(lambda: look() or "stage 1" in state.text, 120)


def _small(text):
    """The configuration "demo", from the model that is in use, for half a minute."""
    import yaml

    table = yaml.safe_load(text)
    table["name"] = "mine"
    table["data"] |= {"tests": {"held out": TEST}, "phantom": None}
    table["network"] |= {"initial": "demo-tiny", "image_size": 256}
    table["ema"] |= {"epochs": 2, "steps_per_epoch": 8, "validate_every": 1, "labelled_batch": 2, "unlabelled_batch": 2,
                     "optimizer": "adamw", "learning_rate": 3e-4, "encoder_learning_rate": 3e-4}  # fmt: skip
    table["fine_tuning"]["epochs"] = 3
    table["calibration"]["resamples"] = 20
    table["run"] |= {"device": "cpu", "threads": 1, "tensorboard": False}
    return yaml.safe_dump(table)
