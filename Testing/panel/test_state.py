"""What the sections are told, and when."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import STRUCTURES, Structure
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.panel.state import PanelState
from FetalEchoSegLib.scene.review import setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene
from vtk.util.numpy_support import vtk_to_numpy

from FetalEchoSeg import FetalEchoSegLogic

from .host import driver

LV, RV = (STRUCTURES[Structure(k)].segment_id for k in (2, 4))
SIGNALS = ("clipChanged", "masksChanged", "masksEdited", "frameChanged")


@pytest.fixture
def logic():
    return FetalEchoSegLogic()


def makeClip(logic, frames=6, size=(48, 64), name="Clip", masks=1):
    browser = logic.addCine(Cine.from_array(np.zeros((frames, *size), np.uint8), frame_rate=25.0), name)
    for number in range(masks):
        made = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, f"{name} masks {number}")
        for index in range(frames):
            labels = np.zeros(size, np.uint8)
            for label in range(1, 15):
                labels[3 * label : 3 * label + 2, 4 + index % 10 : 30] = label
            logic.setLabels(made, index, labels, "model")
    return browser, [
        b for b in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if b.GetName().startswith(f"{name} masks")
    ]


@pytest.fixture
def parameters(logic):
    return logic.getParameterNode()


@pytest.fixture
def state(logic, parameters):
    state = PanelState(logic)
    state.told = []
    for name in SIGNALS:
        getattr(state, name).connect(lambda name=name: state.told.append(name))
    state.setParameterNode(parameters)
    settle(state)
    yield state
    state.cleanup()


def settle(state):
    """Let timers run out; what was told since the last time."""
    end = time.monotonic() + 0.35
    while time.monotonic() < end:
        driver.process_events()
        time.sleep(0.01)
    told, state.told[:] = list(state.told), []
    return told


def editor(browser, masks):
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    logic.SetSegmentationNode(browser.GetProxyNode(masks))
    logic.SetSourceVolumeNode(browser.GetProxyNode(browser.GetMasterSequenceNode()))
    return logic


def draw(logic, segmentId):
    logic.SetCurrentSegmentID(segmentId)
    logic.ResetModifierLabelmapToDefault()
    modifier = logic.GetModifierLabelmap()
    width, height, _ = modifier.GetDimensions()
    vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(height, width)[20:30, 40:50] = 1
    modifier.Modified()
    logic.SaveStateForUndo()
    node = logic.GetSegmentationNode()
    logic.ModifySegmentByLabelmap(node, segmentId, modifier, logic.ModificationModeAdd, False, False)


def test_stepping_through_the_clip_is_no_edit(logic, parameters, state):
    browser, (masks,) = makeClip(logic)
    parameters.browser = browser
    assert set(settle(state)) == {"clipChanged", "masksChanged", "frameChanged"}
    before = logic.labels(masks)
    for frame in (1, 2, 1, 5, 0):
        state.showFrame(frame)
        assert state.frame == frame
    state.showFrame(99)
    assert state.frame == 5
    assert settle(state) == ["frameChanged"] * 6
    np.testing.assert_array_equal(logic.labels(masks), before)


def test_edits_are_told_once_for_many_wherever_they_come_from(logic, parameters, state):
    browser, (masks,) = makeClip(logic)
    parameters.browser = browser
    state.showFrame(2)
    settle(state)
    proxy = state.maskProxy
    for _ in range(3):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(proxy, LV).copy()
        array[...] = 1 - array
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, proxy, LV)
    assert settle(state) == ["masksEdited"]
    segmentEditor = editor(browser, masks)
    settle(state)
    draw(segmentEditor, RV)
    assert settle(state) == ["masksEdited"]
    segmentEditor.Undo()
    assert settle(state) == ["masksEdited"]
    proxy.GetSegmentation().RemoveSegment(LV)
    assert settle(state) == ["masksEdited"]
    state.showFrame(4)
    settle(state)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.zeros_like(slicer.util.arrayFromSegmentBinaryLabelmap(proxy, LV)), proxy, LV
    )
    assert settle(state) == ["masksEdited"]
    logic.setLabels(masks, 0, np.zeros((48, 64), np.uint8))  # a frame that is not shown
    assert settle(state) == ["masksEdited"]


def test_what_is_no_edit_of_masks_is_not_told(logic, parameters, state):
    browser, _ = makeClip(logic)
    parameters.browser = browser
    settle(state)
    display = state.maskProxy.GetDisplayNode()
    display.SetSegmentVisibility(LV, False)
    display.SetOpacity2DFill(0.1)
    assert settle(state) == []


def test_masks_follow_the_clip(logic, parameters, state):
    first, (masksOfFirst,) = makeClip(logic, name="First")
    second, (one, two) = makeClip(logic, name="Second", masks=2)
    third, _ = makeClip(logic, name="Third", masks=0)
    seen = []
    state.clipChanged.connect(lambda: seen.append((state.browser, state.masks, parameters.masks)))
    parameters.browser = first
    parameters.browser = second
    parameters.masks = two
    state.showFrame(3)
    assert parameters.masks is two
    parameters.masks = masksOfFirst  # not of this clip
    assert parameters.masks is one
    parameters.browser = third
    parameters.browser = None
    assert seen == [
        (first, masksOfFirst, masksOfFirst),
        (second, one, one),
        (third, None, None),
        (None, None, None),
    ]
    assert state.frameCount == 0
    assert state.maskProxy is None
    assert state.cine() is None


def test_masks_made_from_the_console_are_chosen_when_there_are_none(logic, parameters, state):
    browser, _ = makeClip(logic, masks=0)
    parameters.browser = browser
    settle(state)
    masks = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, "Masks")
    assert settle(state) == ["masksChanged"]
    assert state.masks is masks
    assert state.maskProxy is browser.GetProxyNode(masks)


def test_deleted_masks_give_way_to_the_next_ones(logic, parameters, state):
    browser, (one, two) = makeClip(logic, masks=2)
    parameters.browser = browser
    slicer.mrmlScene.RemoveNode(browser.GetProxyNode(one))
    slicer.mrmlScene.RemoveNode(one)
    settle(state)
    assert parameters.masks is state.masks is two
    assert state.maskProxy is browser.GetProxyNode(two)
    slicer.mrmlScene.RemoveNode(two)
    settle(state)
    assert parameters.masks is state.masks is None
    assert state.maskProxy is None
    state.showFrame(3)
    assert state.frame == 3


def test_a_deleted_proxy_comes_back_with_its_looks_and_its_masks(logic, parameters, state):
    browser, (masks,) = makeClip(logic)
    parameters.browser = browser
    before = logic.labels(masks)
    slicer.mrmlScene.RemoveNode(state.maskProxy)
    settle(state)
    state.showFrame(2)
    proxy = browser.GetProxyNode(masks)
    assert state.maskProxy is proxy
    assert proxy.GetName() == masks.GetName()
    assert proxy.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.35)
    np.testing.assert_array_equal(logic.labels(masks), before)
    settle(state)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.zeros_like(slicer.util.arrayFromSegmentBinaryLabelmap(proxy, LV)), proxy, LV
    )
    assert "masksEdited" in settle(state)
    assert logic.drawnBy(masks) == ["model", "model", "hand", "model", "model", "model"]


@pytest.mark.parametrize("what", ["browser", "sequence", "cineProxy"])
def test_a_deleted_clip_leaves_nothing_behind(logic, parameters, state, what):
    browser, _ = makeClip(logic)
    parameters.browser = browser
    settle(state)
    slicer.mrmlScene.RemoveNode(getattr(state, what))
    told = settle(state)
    if what == "cineProxy":  # the browser makes another one
        assert state.cineProxy is browser.GetProxyNode(state.sequence)
        assert state.cineProxy is not None
        return
    assert "clipChanged" in told
    assert state.frameCount == 0
    assert state.sequence is None
    assert state.cine() is None
    state.showFrame(3)
    if what == "browser":
        assert state.browser is None
        assert state.masks is None


def test_a_chosen_segmentation_is_chosen_again_in_the_opened_scene(logic, parameters, state, tmp_path):
    browser, (_one, two) = makeClip(logic, masks=2)
    parameters.browser = browser
    parameters.masks = two
    setAccepted(two, 1)
    name = two.GetName()
    logic.saveScene(tmp_path / "case.mrb")
    state.setParameterNode(None)
    logic.openScene(tmp_path / "case.mrb")
    state.setParameterNode(logic.getParameterNode())
    settle(state)
    assert state.masks.GetName() == name
    assert state.browser.GetName() == "Clip browser"


def test_opening_a_scene_while_following_it_keeps_the_choice(logic, parameters, state, tmp_path):
    browser, (_one, two) = makeClip(logic, masks=2)
    parameters.browser = browser
    parameters.masks = two
    name = two.GetName()
    logic.saveScene(tmp_path / "case.mrb")
    logic.openScene(tmp_path / "case.mrb")
    state.setParameterNode(logic.getParameterNode())
    settle(state)
    assert state.masks.GetName() == name


def test_stepping_through_sixty_frames_costs_little(logic, parameters, state):
    browser, _ = makeClip(logic, 60, (256, 256))
    parameters.browser = browser
    settle(state)
    began = time.process_time()
    for frame in range(60):
        state.showFrame(frame)
    assert (time.process_time() - began) / 60 < 0.02
