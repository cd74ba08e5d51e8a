"""The effect SAM-Med2D in the host's Segment Editor: real clicks on real slice views."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.panel import click_sharing, click_tool
from FetalEchoSegLib.scene.segmentation_nodes import drawnBy, labelsOfFrame
from FetalEchoSegLib.scene.views import showClip
from promptables import BlobsModel
from scene.click_scenes import LEFT, RIGHT, addClip, disc

from .host import driver

LV, RV = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE


class Clip:
    """A clip in the Red view with an editor on it, and the effect."""

    def __init__(self, frames=4):
        nodes = addClip(frames=frames)
        self._ids = [node.GetID() for node in nodes]  # what holds the nodes would keep them alive after the test
        del nodes
        showClip(self.browser)
        self.editor = driver.segment_editor()
        self.editor.setSegmentationNode(self.browser.GetProxyNode(self.masks))
        self.editor.setSourceVolumeNode(self.browser.GetProxyNode(self.sequence))
        self.view = driver.slice_view("Red")
        driver.select_segment(self.editor, LV.info.title)

    sequence, browser, masks = (
        property(lambda self, number=number: slicer.mrmlScene.GetNodeByID(self._ids[number])) for number in range(3)
    )

    def activate(self):
        effect = driver.choose_effect(self.editor, "SAM-Med2D")
        driver.wait_until(lambda: not self.session.isBusy)
        return effect

    @property
    def session(self):
        return click_sharing._session

    @property
    def tool(self):
        return self.editor.effectByName("SAM-Med2D").self().tool

    def click(self, position, **options):
        driver.click_slice(self.view, ijk=(*position, 0), **options)
        driver.wait_until(lambda: not self.session.waitingClicks)

    def drag(self, *positions):
        driver.drag_slice(self.view, [(*position, 0) for position in positions])
        driver.wait_until(lambda: not self.session.waitingClicks)

    def lv(self, frame=0):
        return labelsOfFrame(self.masks, frame) == LV

    def status(self):
        return driver.find(self.editor, "clickStatusLabel").text

    def markers(self):
        return self.tool._markers[slicer.app.layoutManager().sliceWidget("Red")]


@pytest.fixture
def model(monkeypatch):
    """The blobs, as the only installed model."""
    found = BlobsModel()
    monkeypatch.setattr(click_tool, "_installedModels", lambda: (["blobs"], ""))
    monkeypatch.setattr("FetalEchoSegLib.scene.click_session._cachedModel", lambda name, device: found)
    return found


@pytest.fixture
def clip(model):
    made = Clip()
    made.activate()
    return made


def test_a_click_draws_and_undo_and_redo_take_the_prompt_along(clip):
    clip.click(LEFT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))
    assert clip.status().startswith("LV, frame 0: 1 point, predicted IoU 0.90, ")
    assert drawnBy(clip.masks, 0) == "clicks"
    clip.click(RIGHT)
    driver.click(driver.find(clip.editor, "UndoButton"))
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))
    assert driver.find(clip.editor, "clickPromptsLabel").text == "1 point"
    driver.click(driver.find(clip.editor, "UndoButton"))
    assert not clip.lv().any()
    assert driver.find(clip.editor, "clickPromptsLabel").text == "no prompts"
    for _ in range(2):
        driver.click(driver.find(clip.editor, "RedoButton"))
    np.testing.assert_array_equal(clip.lv(), disc(LEFT) | disc(RIGHT))
    assert driver.find(clip.editor, "clickPromptsLabel").text == "2 points"
