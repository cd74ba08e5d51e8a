"""The whole way, by clicks, for each view: open, run, cancel, run, step, measure, report, save, reopen."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.scene.segmentation_nodes import drawnBy
from PIL import Image

from .host import driver

pytest.importorskip("torch", reason="segmenting needs PyTorch")

FRAMES = 8
WAIT = 300  # seconds, for machines that do much else


def idle(panel):
    return not panel.self().state.isBusy


@pytest.mark.parametrize("view", list(View), ids=lambda view: view.short)
def test_whole_way(view, tmp_path, monkeypatch):
    made = make_named_clip(view, seed=33, frames=FRAMES, frame_rate=16, image_shape=(128, 128))
    folder = tmp_path / "clip"
    folder.mkdir()
    for index in range(FRAMES):
        Image.fromarray(made.cine.frame(index)).save(folder / f"{index:02}.png")

    # open
    panel = driver.open_module("FetalEchoSeg")
    state = panel.self().state
    assert driver.drop_files(panel.ui.clipLabel, [folder])
    driver.wait_until(lambda: idle(panel) and state.frameCount == FRAMES, WAIT)
    panel.self().logic.calibrate(state.browser, made.cine.spacing)
    state.clipModified()
    driver.choose(panel.ui.viewComboBox, view.short)

    # run, and cancel before it is done
    from FetalEchoSegLib.segmentation_run import SegmentationRun

    read = SegmentationRun._input

    def slowly(self, *arguments, **keywords):
        time.sleep(0.15)
        return read(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationRun, "_input", slowly)
        driver.click(panel.ui.applyButton)
        assert panel.ui.applyButton.text == "Cancel"
        driver.click(panel.ui.applyButton)
        driver.wait_until(lambda: idle(panel), WAIT)  # a second, on a machine that does nothing else
        stopped = state.masks is None or not state.prediction().done.all()
        assert stopped, "the run was done before it was cancelled"

    # run
    driver.click(panel.ui.applyButton)
    driver.wait_until(lambda: idle(panel) and state.masks is not None, WAIT)
    driver.wait_until(lambda: idle(panel), WAIT)
    prediction = state.prediction()
    assert prediction.done.all()
    assert prediction.view is view
    assert panel.ui.applyButton.text == "Apply"

    # step, and accept
    driver.key(panel, "D")
    assert state.frame == 1
    driver.click(panel.ui.acceptButton)
    assert panel.self().logic.acceptedFrames(state.masks) == [1]

    # edit one frame in the Segment Editor's way; a new run keeps it
    drawn = np.zeros((1, 128, 128), np.uint8)
    drawn[0, 100:110, 100:110] = 1
    segment = state.maskProxy.GetSegmentation().GetNthSegmentID(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, state.maskProxy, segment, state.cineProxy)
    assert drawnBy(state.masks, 1) == "hand"
    edited = panel.self().logic.labels(state.masks)[1]

    # measure
    driver.wait_until(lambda: 1 in state.editedFrames, WAIT)
    driver.wait_until(lambda: idle(panel) and panel.ui.measureButton.enabled, WAIT)  # it measures edits by itself
    driver.click(panel.ui.measureButton)
    driver.wait_until(lambda: idle(panel) and panel.ui.measureTable.rowCount > 0, WAIT)

    # report
    out = tmp_path / "report"
    out.mkdir()
    panel.ui.reportDirectoryButton.directory = str(out)
    if not panel.ui.csvCheckBox.checked:
        driver.click(panel.ui.csvCheckBox)
    driver.click(panel.ui.writeReportButton)
    driver.wait_until(lambda: idle(panel) and list(out.rglob("*.html")), WAIT)
    driver.wait_until(lambda: idle(panel), WAIT)
    assert list(out.rglob("*.csv"))

    # save, and open again
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    assert state.browser is None
    driver.open_scene(saved)
    driver.process_events()
    assert state.frameCount == FRAMES
    assert state.masks is not None
    assert panel.self().logic.getParameterNode().view.value == view.short
    np.testing.assert_array_equal(panel.self().logic.labels(state.masks)[1], edited)
    assert panel.self().logic.acceptedFrames(state.masks) == [1]
    assert drawnBy(state.masks, 1) == "hand"
    assert state.cine().spacing == pytest.approx(made.cine.spacing)
