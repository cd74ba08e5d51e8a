"""From a wrong contour to a saved scene, by clicks: segment, click, undo, accept, carry on, save, reopen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="segmenting needs PyTorch")
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.panel import click_sharing
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.promptable.bundle import PromptableBundle
from FetalEchoSegLib.promptable.loading import forget_promptable
from FetalEchoSegLib.scene.views import showClip
from promptables import TruthModel, random_promptable
from scipy import ndimage

from .host import driver

FRAMES, WRONG = 6, 2
LV = Structure.LEFT_VENTRICLE


@pytest.fixture(scope="module")
def phantom():
    return make_named_clip(View.FOUR_CHAMBER, seed=33, frames=FRAMES, frame_rate=25, image_shape=(128, 128))


@pytest.fixture
def panel(phantom, tmp_path, monkeypatch):
    from FetalEchoSegLib.promptable import bundle

    truth = TruthModel([phantom.cine.frame(k) for k in range(FRAMES)], phantom.labels)
    monkeypatch.setattr(bundle, "bundle_folders", lambda: [tmp_path / "models"])
    monkeypatch.setattr(PromptableBundle, "build", lambda self, *options: truth)
    random_promptable(tmp_path / "models" / "test-clicks")
    yield driver.open_module("FetalEchoSeg")
    forget_promptable()


def idle(panel, seconds=60):
    driver.wait_until(lambda: not panel.self().state.isBusy, seconds)


def dice(labels, truth):
    found, true = labels == LV, truth == LV
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))


def test_a_wrong_contour_is_clicked_right_carried_on_and_kept(panel, phantom, tmp_path):
    logic, state, ui, truth = panel.self().logic, panel.self().state, panel.ui, phantom.labels
    browser = logic.addCine(phantom.cine, "Clip")
    logic.getParameterNode().browser = browser
    showClip(browser)
    driver.choose(ui.viewComboBox, "4CH")
    driver.click(ui.applyButton)
    driver.wait_until(lambda: state.masks is not None, 300)
    idle(panel, 300)

    # a left ventricle that is hardly there, in one frame and the next
    masks = state.masks
    for frame in (WRONG, WRONG + 1):
        labels = logic.labels(masks)[frame]
        labels[labels == LV] = 0
        labels[ndimage.binary_erosion(truth[frame] == LV, iterations=3)] = LV
        logic.setLabels(masks, frame, labels, "model")
    driver.process_events()
    spoiled = logic.labels(masks)
    assert dice(spoiled[WRONG], truth[WRONG]) < 0.75

    # to the frame, with the structure and the tool in hand
    state.showFrame(WRONG)
    driver.click(ui.correctFrameButton)
    driver.wait_until(lambda: not click_sharing._session.isBusy, 20)
    editor = ui.refineEditor
    assert state.frame == WRONG
    assert editor.activeEffect().name == "SAM-Med2D"
    driver.select_segment(editor, LV.info.title)

    # click, undo, redo
    row, column = (round(value) for value in ndimage.center_of_mass(truth[WRONG] == LV))
    driver.click_slice(driver.slice_view("Red"), ijk=(column, row, 0))
    driver.wait_until(lambda: not click_sharing._session.waitingClicks, 20)
    corrected = logic.labels(masks)
    assert dice(corrected[WRONG], truth[WRONG]) > 0.93
    driver.click(driver.find(editor, "UndoButton"))
    np.testing.assert_array_equal(logic.labels(masks), spoiled)
    driver.click(driver.find(editor, "RedoButton"))
    np.testing.assert_array_equal(logic.labels(masks), corrected)
    assert logic.drawnBy(masks)[WRONG] == "clicks"

    # accept, then carry it on
    driver.click(ui.acceptNextButton)
    assert logic.acceptedFrames(masks) == [WRONG]
    state.showFrame(WRONG)
    driver.select_segment(editor, LV.info.title)
    driver.type_text(ui.carryLimitSpinBox, "2")
    driver.click(ui.carryForwardButton)
    idle(panel)
    assert ui.carryApplyButton.text == "Apply to 2 frames"
    driver.click(ui.carryApplyButton)
    kept = logic.labels(masks)
    assert dice(kept[WRONG + 1], truth[WRONG + 1]) > 0.93
    np.testing.assert_array_equal(kept[[0, 1, 2, 5]], corrected[[0, 1, 2, 5]])
    authors = ["model", "model", "clicks", "clicks", "clicks", "model"]
    assert logic.drawnBy(masks) == authors

    # save, and open again
    idle(panel)
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    driver.open_scene(saved)
    driver.process_events()
    masks = state.masks
    np.testing.assert_array_equal(logic.labels(masks), kept)
    assert logic.drawnBy(masks) == authors
    assert logic.acceptedFrames(masks) == [WRONG]
    state.showFrame(WRONG)
    driver.choose_effect(editor, "SAM-Med2D")
    driver.select_segment(editor, LV.info.title)
    driver.process_events()
    assert driver.find(editor, "clickPromptsLabel").text == "1 point"
