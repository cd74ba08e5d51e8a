"""The Input section, by clicks and drops: load, cancel, describe, calibrate; and the sample data."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.cine import Cine
from PIL import Image

from .host import driver


@pytest.fixture
def panel():
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def stills(tmp_path):
    """A folder with the frames of one clip."""
    folder = tmp_path / "Zürich clip"
    folder.mkdir()
    for index in range(4):
        pixels = np.full((60, 80), 20 * index, np.uint8)
        pixels[10:50, 20:60] += 100
        Image.fromarray(pixels).save(folder / f"frame{index}.png")
    return folder


def loaded(panel, count=1):
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return len(browsers) == count and not panel.self().state.isBusy


def load(panel, path, count=1):
    panel.ui.pathLineEdit.setCurrentPath(str(path))
    driver.click(panel.ui.loadButton)
    driver.wait_until(lambda: loaded(panel, count), 20)


def test_folder_is_read_shown_and_described(panel, stills):
    assert "No clip yet" in panel.ui.clipLabel.text
    load(panel, stills)
    state = panel.self().state
    assert state.frameCount == 4
    assert panel.ui.browserSelector.currentNode() is state.browser
    text = panel.ui.clipLabel.text
    assert "4 frames" in text
    assert "80 × 60" in text
    assert "no millimetres" in text
    assert "no heart rate" in text
    assert text.count("frame times") == 2  # one sentence: that there are none, and why
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == state.cineProxy.GetID()


def test_dropped_files_are_read_one_after_the_other(panel, stills):
    single = stills / "frame2.png"
    assert driver.drop_files(panel.ui.clipLabel, [stills, single])
    driver.wait_until(lambda: loaded(panel, 2), 20)
    assert panel.self().state.frameCount == 1
    assert "single frame" in panel.ui.clipLabel.text


def test_unreadable_file_is_one_sentence_and_the_clip_stays(panel, stills, tmp_path):
    load(panel, stills)
    browser = panel.self().state.browser
    bad = tmp_path / "broken.dcm"
    bad.write_bytes(b"nothing")
    driver.script_dialog(True, "broken.dcm")
    load(panel, bad)
    assert panel.self().state.browser is browser
    assert "broken.dcm" in panel.ui.statusLabel.text


def test_reading_can_be_cancelled(panel, stills, monkeypatch):
    started = []
    frame = Cine.frame

    def slowly(self, index):
        started.append(index)
        time.sleep(0.2)
        return frame(self, index)

    monkeypatch.setattr(Cine, "frame", slowly)
    panel.ui.pathLineEdit.setCurrentPath(str(stills))
    driver.click(panel.ui.loadButton)
    driver.wait_until(lambda: started, 10)
    assert not panel.ui.loadButton.enabled
    driver.click(panel.ui.cancelButton)
    driver.wait_until(lambda: not panel.self().state.isBusy, 2)
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    assert panel.ui.loadButton.enabled


def test_two_clicks_calibrate(panel, stills):
    load(panel, stills)
    view = driver.slice_view("Red")
    driver.click(panel.ui.calibrateButton)
    assert not panel.ui.setScaleButton.enabled
    driver.click_slice(view, ijk=(20, 30, 0))
    assert "second" in panel.ui.calibrationLabel.text
    driver.click_slice(view, ijk=(60, 30, 0))
    assert panel.ui.setScaleButton.enabled
    panel.ui.distanceSpinBox.setValue(8.0)
    driver.click(panel.ui.setScaleButton)
    row, column = panel.self().state.cine().spacing
    # The view shows a pixel of the image as several of the screen; a click is exact to one of those.
    assert row == column == pytest.approx(0.2, rel=0.03)
    assert "user: 8 mm between two points" in panel.ui.clipLabel.text
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    assert not panel.ui.calibrationWidget.visible


@pytest.mark.parametrize("end", ["button", "leave", "close"])
def test_calibration_given_up_leaves_nothing(panel, stills, end):
    load(panel, stills)
    driver.click(panel.ui.calibrateButton)
    driver.click_slice(driver.slice_view("Red"), ijk=(20, 30, 0))
    if end == "button":
        driver.click(panel.ui.calibrateButton)
    elif end == "leave":
        driver.leave_module()
    else:
        driver.close_scene()
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() != interaction.Place


def test_samples_are_made_on_demand():
    import SampleData

    driver.open_module("FetalEchoSeg")
    sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("FetalEcho")
    assert len(sources) == 2
    for source in sources:
        picture = Image.open(source.thumbnailFileName)
        assert picture.size == (260, 280)
    (browser,) = driver.click_sample(sources[0].sampleName)
    assert browser.GetNumberOfItems() == 60
    assert browser.GetMasterSequenceNode().GetAttribute("FetalEcho.Calibrated") == "yes"
