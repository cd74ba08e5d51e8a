"""The effect SAM-Med2D in the host's Segment Editor: real clicks on real slice views."""

from __future__ import annotations

import importlib.util
import sys
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import slicer
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.panel import click_sharing, click_tool
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, drawnBy, labelsOfFrame, setFrameLabels
from FetalEchoSegLib.scene.views import showClip
from promptables import BlobsModel, TruthModel
from scene.click_scenes import LEFT, LOW, RIGHT, addClip, disc
from scipy import ndimage

from .host import driver

LV, RV = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE


class Clip:
    """A clip in the Red view with an editor on it, and the effect."""

    def __init__(self, nodes=None):
        nodes = nodes or addClip()
        self._ids = [node.GetID() for node in nodes]  # what holds the nodes would keep them alive after the test
        del nodes
        showClip(self.browser)
        self.editor = driver.segment_editor()
        self.view = driver.slice_view("Red")
        self._edit()

    def _edit(self):
        self.editor.setSegmentationNode(self.browser.GetProxyNode(self.masks))
        self.editor.setSourceVolumeNode(self.browser.GetProxyNode(self.sequence))
        driver.select_segment(self.editor, LV.info.title)

    sequence, browser, masks = (
        property(lambda self, number=number: slicer.mrmlScene.GetNodeByID(self._ids[number])) for number in range(3)
    )

    def activate(self):
        effect = driver.choose_effect(self.editor, "SAM-Med2D")
        driver.wait_until(lambda: not self.session.isBusy, 60)
        return effect

    @property
    def session(self):
        return click_sharing._session

    @property
    def tool(self):
        return self.editor.effectByName("SAM-Med2D").self().tool

    def view_shows_image(self):
        return (
            slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetBackgroundLayer().GetVolumeNode() is not None
        )

    def reopen(self):
        """Find the nodes of an opened scene, and put the editor on them."""
        browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
        masks = next(n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n.GetName() == "Masks")
        self._ids = [node.GetID() for node in (browser.GetMasterSequenceNode(), browser, masks)]
        self.editor = driver.segment_editor()  # the former one's node went with the scene
        self._edit()
        showClip(browser)

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


def dice(mask, truth):
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


@pytest.fixture(scope="module")
def phantom():
    return make_named_clip(View.FOUR_CHAMBER, seed=33, frames=1, frame_rate=25, image_shape=(192, 192))


def addWrongContour(phantom):
    """A clip whose left ventricle lacks more than half, which belongs to the heart's wall; (clip, truth)."""
    truth = phantom.labels[0] == LV
    sequence, browser = addCineToScene(phantom.cine, "Phantom")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    labels = phantom.labels[0].copy()
    labels[truth & (np.arange(truth.shape[1]) > np.nonzero(truth)[1].mean())] = Structure.WHOLE_HEART
    labels[(labels == LV) & ~ndimage.binary_erosion(labels == LV, iterations=2)] = Structure.WHOLE_HEART
    setFrameLabels(masks, 0, labels)
    made = Clip((sequence, browser, masks))
    made.activate()
    return made, truth


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


def test_ctrl_and_the_mode_say_what_is_outside(clip):
    clip.click(LEFT)
    clip.click(RIGHT)
    clip.click(LEFT, modifiers=["ctrl"])
    np.testing.assert_array_equal(clip.lv(), disc(RIGHT))
    driver.click(driver.find(clip.editor, "clickOutsideButton"))
    clip.click(RIGHT)
    assert "finds nothing" in clip.status()  # all would be gone: the mask stays
    clip.click(LEFT, modifiers=["ctrl"])
    np.testing.assert_array_equal(clip.lv(), disc(LEFT) | disc(RIGHT))
    assert clip.tool._effect.parameter("Mode") == "Negative"


def test_dragging_draws_a_box_and_a_shaky_hand_does_not(clip):
    clip.drag((4, 4), (10, 12), (24, 24))
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))
    assert driver.find(clip.editor, "clickPromptsLabel").text == "a box"
    box = clip.session.promptsOf(clip.tool._target).box
    np.testing.assert_allclose((box.left, box.top, box.right, box.bottom), (4, 4, 24, 24), atol=0.2)
    x, y = driver.view_position(clip.view, ijk=(*RIGHT, 0))
    from PySide6 import QtCore, QtTest

    widget = clip.view.VTKWidget()
    QtTest.QTest.mousePress(widget, driver._button("left"), driver._modifiers(()), QtCore.QPoint(x, y))
    driver._move(clip.view, (x + 4, y - 3), driver._button("left"))
    QtTest.QTest.mouseRelease(widget, driver._button("left"), driver._modifiers(()), QtCore.QPoint(x + 4, y - 3))
    driver.process_events()
    prompts = clip.session.promptsOf(clip.tool._target)
    assert (len(prompts.points), prompts.box) == (1, box)


def test_clicks_are_exact_to_half_a_pixel(clip):
    for position in ((14.5, 14.0), (13.0, 15.5)):
        clip.click(position)
        point = clip.session.promptsOf(clip.tool._target).points[-1]
        np.testing.assert_allclose((point.x, point.y), position, atol=0.2)


def test_markers_show_what_was_said_and_are_removed_by_a_right_click(clip):
    clip.click(LEFT)
    clip.click(RIGHT)
    clip.click(LOW, modifiers=["ctrl"])
    shown = [(marker.positive, marker.isWaiting) for marker in clip.markers()._markers]
    assert shown == [(True, False), (True, False), (False, False)]
    height = clip.view.VTKWidget().height
    for marker, position in zip(clip.markers()._markers, (LEFT, RIGHT, LOW), strict=True):
        x, y = driver.view_position(clip.view, ijk=(*position, 0))
        np.testing.assert_allclose(marker.xy, (x, height - 1 - y), atol=2)
    driver.hover_slice(clip.view, ijk=(*LEFT, 0))
    assert clip.tool._hovered[1] == 0
    clip.click(LEFT, button="right")
    assert len(clip.markers()._markers) == 2
    np.testing.assert_array_equal(clip.lv(), disc(RIGHT))
    driver.click(driver.find(clip.editor, "removeLastPromptButton"))
    driver.click(driver.find(clip.editor, "removeLastPromptButton"))
    assert not clip.lv().any()
    assert not driver.find(clip.editor, "removeLastPromptButton").enabled
    driver.click(driver.find(clip.editor, "UndoButton"))
    np.testing.assert_array_equal(clip.lv(), disc(RIGHT))
    assert len(clip.markers()._markers) == 1


def test_a_right_click_elsewhere_is_slicers(clip):
    clip.click(LEFT)
    before = clip.view.mrmlSliceNode().GetFieldOfView()
    driver.drag_slice(clip.view, [(40, 40, 0), (40, 20, 0)], button="right")
    assert clip.view.mrmlSliceNode().GetFieldOfView() != before
    # The marker goes with the image.
    x, y = driver.view_position(clip.view, ijk=(*LEFT, 0))
    np.testing.assert_allclose(clip.markers()._markers[0].xy, (x, clip.view.VTKWidget().height - 1 - y), atol=2)


def test_the_border_of_a_box_can_be_right_clicked(clip):
    clip.drag((4, 4), (24, 24))
    clip.click((4, 14), button="right")
    assert not clip.session.promptsOf(clip.tool._target).is_said
    assert not clip.lv().any()


def test_clear_forgets_the_prompts_and_keeps_the_mask(clip):
    clip.click(LEFT)
    driver.click(driver.find(clip.editor, "clearPromptsButton"))
    assert not clip.markers()._markers
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


def test_prompts_follow_frame_and_segment(clip):
    clip.click(LEFT)
    clip.browser.SetSelectedItemNumber(2)
    driver.process_events()
    assert not clip.markers()._markers
    clip.click((RIGHT[0] + 2, RIGHT[1]))
    assert clip.status().startswith("LV, frame 2: 1 point")
    clip.browser.SetSelectedItemNumber(0)
    driver.process_events()
    assert len(clip.markers()._markers) == 1
    np.testing.assert_array_equal(clip.lv(0), disc(LEFT))
    np.testing.assert_array_equal(clip.lv(2), disc((RIGHT[0] + 2, RIGHT[1])))
    driver.select_segment(clip.editor, RV.info.title)
    assert not clip.markers()._markers


def test_what_is_encoded_ahead_is_ready_at_the_next_frame(clip):
    driver.wait_until(lambda: not clip.session.isBusy)
    target = clip.tool._target
    assert all(clip.session.refiner.is_ready(target.source, frame) for frame in range(4))


def test_a_click_waits_with_a_cue_and_two_in_a_row_are_both_answered(clip, model):
    model.gate = threading.Event()
    clip.session.refiner.forget()
    for position in (LEFT, RIGHT):
        driver.click_slice(clip.view, ijk=(*position, 0))
    assert clip.status() == "The image is being prepared: the click waits."
    assert [marker.isWaiting for marker in clip.markers()._markers] == [True, True]
    assert not clip.lv().any()
    model.gate.set()
    driver.wait_until(lambda: not clip.session.waitingClicks)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT) | disc(RIGHT))
    assert [marker.isWaiting for marker in clip.markers()._markers] == [False, False]
    driver.click(driver.find(clip.editor, "UndoButton"))
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


def test_a_frame_change_drops_the_click_that_waits(clip, model):
    model.gate = threading.Event()
    clip.session.refiner.forget()
    driver.click_slice(clip.view, ijk=(*LEFT, 0))
    clip.browser.SetSelectedItemNumber(1)
    driver.process_events()
    assert "dropped" in clip.status()
    model.gate.set()
    driver.wait_until(lambda: not clip.session.isBusy)
    assert not any(labelsOfFrame(clip.masks, frame).any() for frame in range(4))


def test_clicks_before_the_model_is_there_wait_for_it(model, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(
        "FetalEchoSegLib.scene.click_session._cachedModel", lambda name, device: gate.wait(20) and model
    )
    clip = Clip()
    driver.choose_effect(clip.editor, "SAM-Med2D")
    assert clip.session.isLoading
    driver.click_slice(clip.view, ijk=(*LEFT, 0))
    assert clip.status() == "Loading blobs: the click waits."
    gate.set()
    driver.wait_until(lambda: clip.lv().any())
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


@pytest.mark.parametrize("position", [(-8, 10), (30, 52)])
def test_a_click_beside_the_image_is_a_sentence(clip, position):
    node = clip.view.mrmlSliceNode()
    width, height, depth = node.GetFieldOfView()
    node.SetFieldOfView(2 * width, 2 * height, depth)
    clip.click(position)
    assert "outside the image" in clip.status()
    assert not clip.lv().any()


def test_no_model_is_a_sentence_and_a_click_does_no_harm(monkeypatch):
    monkeypatch.setattr(click_tool, "_installedModels", lambda: ([], "No model answers clicks: add one."))
    clip = Clip()
    driver.choose_effect(clip.editor, "SAM-Med2D")
    assert driver.find(clip.editor, "clickProblemLabel").text == "No model answers clicks: add one."
    clip.click(LEFT)
    clip.drag(LEFT, LOW)
    assert clip.status() == "No model answers clicks: add one."
    assert not clip.lv().any()
    assert not driver.find(clip.editor, "UndoButton").enabled


def test_a_model_that_fails_to_load_is_tried_again(model, monkeypatch):
    from FetalEchoSegLib.errors import UnusableBundle

    damaged = [True]

    def load(name, device):
        if damaged:
            raise UnusableBundle("Model blobs is damaged: install it again.")
        return model

    monkeypatch.setattr("FetalEchoSegLib.scene.click_session._cachedModel", load)
    clip = Clip()
    clip.activate()
    assert driver.find(clip.editor, "clickProblemLabel").text == "Model blobs is damaged: install it again."
    driver.choose_effect(clip.editor, "")
    damaged.clear()
    clip.activate()
    assert not driver.find(clip.editor, "clickProblemLabel").visible
    clip.click(LEFT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


def test_missing_packages_are_a_sentence(monkeypatch):
    from FetalEchoSegLib import dependencies
    from FetalEchoSegLib.errors import MissingDependency

    def fail(groups=()):
        raise MissingDependency("torch is not installed: press Install in the panel's section Dependencies.")

    monkeypatch.setattr(dependencies, "require_installed", fail)
    clip = Clip()
    driver.choose_effect(clip.editor, "SAM-Med2D")
    assert driver.find(clip.editor, "clickProblemLabel").text.startswith("torch is not installed")
    clip.click(LEFT)
    assert not clip.lv().any()


def test_another_model_can_be_chosen(model, monkeypatch):
    made = []
    monkeypatch.setattr(click_tool, "_installedModels", lambda: (["blobs", "others"], ""))
    monkeypatch.setattr(
        "FetalEchoSegLib.scene.click_session._cachedModel", lambda name, device: made.append((name, device)) or model
    )
    clip = Clip()
    clip.activate()
    driver.choose(driver.find(clip.editor, "clickModelComboBox"), "others")
    driver.wait_until(lambda: not clip.session.isBusy)
    assert made == [("blobs", "auto"), ("others", "auto")]
    assert click_sharing.clickModelSetting() == "others"
    clip.click(LEFT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


def test_a_hidden_segment_is_asked_about(clip):
    from PySide6.QtWidgets import QMessageBox

    display = clip.browser.GetProxyNode(clip.masks).GetDisplayNode()
    display.SetSegmentVisibility(LV.info.segment_id, False)
    driver.script_dialog(QMessageBox.Cancel)
    clip.click(LEFT)
    assert not clip.lv().any()
    driver.script_dialog(QMessageBox.Yes)
    clip.click(LEFT)
    assert not clip.lv().any()  # that click was used up by the dialog
    assert display.GetSegmentVisibility(LV.info.segment_id)
    clip.click(LEFT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))


def test_nothing_is_left_in_the_views_after_the_effect(clip):
    clip.click(LEFT)
    renderer = clip.tool._effect.renderer(slicer.app.layoutManager().sliceWidget("Red"))
    during = renderer.GetViewProps().GetNumberOfItems()
    driver.choose_effect(clip.editor, "")
    assert renderer.GetViewProps().GetNumberOfItems() < during
    assert not clip.tool._markers
    clip.click(RIGHT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))
    clip.activate()
    assert len(clip.markers()._markers) == 1


def test_closing_the_scene_while_a_click_waits_is_clean(clip, model):
    clip.click(LEFT)
    model.gate = threading.Event()
    clip.session.refiner.forget()
    driver.click_slice(clip.view, ijk=(*RIGHT, 0))
    driver.close_scene()
    model.gate.set()
    driver.wait_until(lambda: not clip.session.isBusy)
    assert clip.session.waitingClicks == 0


@pytest.mark.parametrize("removed", ["sequence", "browser", "masks"])
def test_deleting_nodes_under_the_effect_is_clean(clip, removed):
    clip.click(LEFT)
    slicer.mrmlScene.RemoveNode(getattr(clip, removed))
    driver.process_events()
    driver.click_slice(clip.view, ijk=(*RIGHT, 0)) if clip.view_shows_image() else None
    driver.process_events()


def test_two_editors_share_model_and_prompts(clip):
    clip.click(LEFT)
    driver.choose_effect(clip.editor, "")
    other = driver.segment_editor()
    other.setSegmentationNode(clip.browser.GetProxyNode(clip.masks))
    other.setSourceVolumeNode(clip.browser.GetProxyNode(clip.sequence))
    driver.select_segment(other, LV.info.title)
    driver.choose_effect(other, "SAM-Med2D")
    assert other.effectByName("SAM-Med2D").self().tool._session is clip.session
    assert clip.session.isReady
    assert driver.find(other, "clickPromptsLabel").text == "1 point"
    clip.click(RIGHT)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT) | disc(RIGHT))


def test_prompts_come_back_with_the_scene(clip, tmp_path):
    clip.click(LEFT)
    clip.click(RIGHT, modifiers=["ctrl"])
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    driver.open_scene(saved)
    clip.reopen()
    clip.activate()
    assert [marker.positive for marker in clip.markers()._markers] == [True, False]
    clip.click(LOW)
    np.testing.assert_array_equal(clip.lv(), disc(LEFT) | disc(LOW))
    driver.click(driver.find(clip.editor, "UndoButton"))
    np.testing.assert_array_equal(clip.lv(), disc(LEFT))
    assert len(clip.markers()._markers) == 2


def test_the_preview_shows_what_a_click_would_draw_and_changes_nothing(clip):
    driver.click(driver.find(clip.editor, "clickPreviewCheckBox"))
    driver.hover_slice(clip.view, ijk=(*RIGHT, 0))
    driver.wait_until(lambda: clip.tool._preview is not None)
    np.testing.assert_array_equal(clip.tool._preview[1], disc(RIGHT))
    assert not clip.lv().any()
    assert not driver.find(clip.editor, "UndoButton").enabled
    driver.click(driver.find(clip.editor, "clickPreviewCheckBox"))
    assert clip.tool._preview is None


def test_slices_of_a_volume_in_every_view(model):
    ball = np.indices((40, 40, 40)).astype(float)
    ball = np.sqrt(((ball - 20) ** 2).sum(0)) <= 12
    volume = slicer.util.addVolumeFromArray(
        np.where(ball, 220, 20).astype(np.uint8), ijkToRAS=np.diag([-1.0, -1, 1, 1])
    )
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation.GetSegmentation().AddEmptySegment("A", "A")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    editor = driver.segment_editor()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    driver.choose_effect(editor, "SAM-Med2D")
    expected = np.zeros_like(ball)
    for name, axis in (("Red", 0), ("Yellow", 2), ("Green", 1)):
        view = driver.slice_view(name)
        matrix = np.diag([-1.0, -1, 1, 1])
        view.mrmlSliceNode().JumpSliceByOffsetting(*(matrix @ (17, 18, 19, 1))[:3])
        driver.click_slice(view, ijk=(17, 18, 19))
        driver.wait_until(lambda: not click_sharing._session.waitingClicks)
        shown = [slice(None)] * 3
        shown[axis] = (19, 18, 17)[axis]
        expected[tuple(shown)] |= ball[tuple(shown)]
        written = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "A", volume) > 0
        np.testing.assert_array_equal(written, expected, err_msg=name)
    tool = editor.effectByName("SAM-Med2D").self().tool
    for name in ("Red", "Yellow", "Green"):
        markers = tool._markers[slicer.app.layoutManager().sliceWidget(name)]
        assert len(markers._markers) == 1
    del volume, segmentation


def test_one_click_corrects_a_deliberately_wrong_contour(phantom, monkeypatch):
    found = TruthModel([phantom.cine.frame(0)], phantom.labels)
    monkeypatch.setattr(click_tool, "_installedModels", lambda: (["truth"], ""))
    monkeypatch.setattr("FetalEchoSegLib.scene.click_session._cachedModel", lambda name, device: found)
    clip, truth = addWrongContour(phantom)
    before, others = dice(clip.lv(), truth), labelsOfFrame(clip.masks, 0)
    clip.click(middle(truth))
    assert before < 0.6
    assert dice(clip.lv(), truth) > 0.93
    # Only the wall, in which the ventricle lay, has given pixels away.
    after = labelsOfFrame(clip.masks, 0)
    changed = after != others
    assert set(np.unique(others[changed])) <= {Structure.WHOLE_HEART, 0}
    driver.click(driver.find(clip.editor, "UndoButton"))
    np.testing.assert_array_equal(labelsOfFrame(clip.masks, 0), others)


def test_the_model_that_ships_improves_a_wrong_contour_click_by_click(phantom):
    """It is tiny; what it reaches is in its card. Here it is loaded and asked as a user would."""
    from FetalEchoSegLib.promptable.bundle import list_promptables

    if "demo-clicks" not in [bundle.name for bundle in list_promptables()]:
        pytest.skip("the demo model that answers clicks is not there")
    clip, truth = addWrongContour(phantom)
    before = dice(clip.lv(), truth)
    for _ in range(3):
        missing, toomuch = truth & ~clip.lv(), clip.lv() & ~truth
        wrong = max(missing, toomuch, key=np.count_nonzero)
        depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        clip.click((column, row), modifiers=["ctrl"] if wrong is toomuch else [])
        assert "predicted IoU" in clip.status()
    assert dice(clip.lv(), truth) > before + 0.1


def middle(mask):
    return tuple(float(places.mean()) for places in np.nonzero(mask)[::-1])


def test_the_effect_is_offered_from_the_start_by_its_package():
    """Not by its file in the package's place, which Slicer would make of a folder that nobody has imported."""
    names = [effect.name for effect in slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()]
    assert names.count("SAM-Med2D") == 1
    package = sys.modules["SegmentEditorSAMMed2DLib"]
    assert package.__path__
    assert (
        package.SegmentEditorEffect is sys.modules["SegmentEditorSAMMed2DLib.SegmentEditorEffect"].SegmentEditorEffect
    )
    editor = driver.segment_editor()
    assert not driver.find(driver.find(editor, "EffectsGroupBox"), "SAM-Med2D").icon.isNull()
    assert "Ctrl" in editor.effectByName("SAM-Med2D").helpText()
