"""Clicks in the scene: masks, prompts, undo, waiting, all without a window."""

from __future__ import annotations

import importlib.util
import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.errors import InvalidRequest, UnusableBundle
from FetalEchoSegLib.promptable.prompts import Box, Point
from FetalEchoSegLib.scene.click_session import Clicked, ClickSession
from FetalEchoSegLib.scene.prompt_storage import PROMPTS
from FetalEchoSegLib.scene.segmentation_nodes import drawnBy, labelsOfFrame, setFrameLabels
from promptables import BlobsModel

from .click_scenes import LEFT, LOW, RIGHT, Clicks, addClip, blobs, disc, onClip, settle

LV, RV = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE


@pytest.fixture
def session():
    made = ClickSession()
    made.useModel(BlobsModel())
    yield made
    made.close()


@pytest.fixture
def clip():
    return addClip()


@pytest.fixture
def clicks(session, clip):
    _, browser, masks = clip
    return onClip(session, browser, masks)


def lv(masks, frame=0):
    return labelsOfFrame(masks, frame) == LV


def test_a_click_draws_the_structure_and_says_so(clip, clicks, session):
    _, _, masks = clip
    clicks.click(LEFT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    assert not lv(masks, 1).any()
    done = session.outcome
    assert isinstance(done, Clicked)
    assert (done.title, done.frame, len(done.prompts.points), done.iou) == ("LV", 0, 1, 0.9)
    assert done.milliseconds > 0
    assert drawnBy(masks, 0) == drawnBy(masks, 0, LV) == "clicks"
    assert drawnBy(masks, 0, RV) == ""


def test_each_further_click_corrects(clip, clicks):
    _, _, masks = clip
    clicks.click(LEFT)
    clicks.click(RIGHT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(RIGHT))
    clicks.click(LEFT, positive=False)
    np.testing.assert_array_equal(lv(masks), disc(RIGHT))


def test_the_first_click_corrects_the_mask_that_is_there(clip, clicks):
    _, _, masks = clip
    wrong = np.where(disc(LEFT) | disc(RIGHT), LV, 0).astype(np.uint8)
    setFrameLabels(masks, 0, wrong)
    clicks.click(RIGHT, positive=False)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))


def test_a_box_draws_what_it_holds_and_is_cut_at_the_border(clip, clicks, session):
    _, _, masks = clip
    session.setBox(clicks.editor, clicks.target, Box(-9, -4, 24, 24))
    settle(session)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    assert session.promptsOf(clicks.target).box == Box(0, 0, 24, 24)


def test_undo_takes_the_prompt_back_and_redo_brings_both(clip, clicks, session):
    _, _, masks = clip
    clicks.click(LEFT)
    clicks.click(RIGHT)
    clicks.undo()
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    assert session.promptsOf(clicks.target).points == (Point(*LEFT),)
    clicks.undo()
    assert not lv(masks).any()
    assert not session.promptsOf(clicks.target).is_said
    clicks.redo()
    clicks.redo()
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(RIGHT))
    assert session.promptsOf(clicks.target).points == (Point(*LEFT), Point(*RIGHT))
    # An undone click does not come back with the next one.
    clicks.undo()
    clicks.click(LOW)
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(LOW))


def test_undo_brings_back_who_drew_the_frame(clip, clicks):
    _, _, masks = clip
    setFrameLabels(masks, 0, np.where(disc(LEFT), LV, 0).astype(np.uint8), "model")
    clicks.click(RIGHT)
    assert (drawnBy(masks, 0), drawnBy(masks, 0, LV)) == ("clicks", "clicks")
    clicks.undo()
    assert (drawnBy(masks, 0), drawnBy(masks, 0, LV)) == ("model", "model")
    clicks.redo()
    assert (drawnBy(masks, 0), drawnBy(masks, 0, LV)) == ("clicks", "clicks")


def test_a_frame_that_was_drawn_in_by_hand_stays_so(clip, clicks):
    _, _, masks = clip
    setFrameLabels(masks, 0, np.where(disc(LEFT), RV, 0).astype(np.uint8), "hand")
    clicks.click(RIGHT)
    assert (drawnBy(masks, 0), drawnBy(masks, 0, LV), drawnBy(masks, 0, RV)) == ("hand", "clicks", "hand")


def test_undo_of_one_segment_while_another_is_selected(clip, clicks, session):
    clicks.click(LEFT)
    clicked = clicks.target
    clicks.select(RV)
    clicks.undo()
    assert not session.promptsOf(clicked).is_said


def test_a_change_by_hand_is_what_the_next_click_corrects(clip, clicks, session):
    _, _, masks = clip
    clicks.click(LEFT)
    setFrameLabels(masks, 0, np.where(disc(LOW), LV, 0).astype(np.uint8), "hand")
    session.follow(clicks.target)
    assert session.promptsOf(clicks.target).points == (Point(*LEFT),)
    clicks.click(RIGHT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(LOW) | disc(RIGHT))


def test_a_prompt_that_is_taken_away_takes_its_part_of_the_mask(clip, clicks, session):
    _, _, masks = clip
    setFrameLabels(masks, 0, np.where(disc(LOW), LV, 0).astype(np.uint8))
    clicks.click(LEFT)
    clicks.click(RIGHT)
    session.removePoint(clicks.editor, clicks.target, 0)
    settle(session)
    np.testing.assert_array_equal(lv(masks), disc(LOW) | disc(RIGHT))
    session.removeLast(clicks.editor, clicks.target)
    settle(session)
    np.testing.assert_array_equal(lv(masks), disc(LOW))
    clicks.undo()
    np.testing.assert_array_equal(lv(masks), disc(LOW) | disc(RIGHT))
    assert session.promptsOf(clicks.target).points == (Point(*RIGHT),)


def test_clear_keeps_the_mask_and_undo_brings_the_prompts_back(clip, clicks, session):
    _, _, masks = clip
    clicks.click(LEFT)
    clicks.click(RIGHT)
    session.clear(clicks.target)
    assert not session.promptsOf(clicks.target).is_said
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(RIGHT))
    clicks.undo()
    assert session.promptsOf(clicks.target).points == (Point(*LEFT),)


def test_prompts_belong_to_frame_and_segment(clip, clicks, session):
    _, browser, masks = clip
    clicks.click(LEFT)
    browser.SetSelectedItemNumber(2)
    assert not session.promptsOf(clicks.target).is_said
    clicks.click((RIGHT[0] + 2, RIGHT[1]))
    np.testing.assert_array_equal(lv(masks, 2), disc((RIGHT[0] + 2, RIGHT[1])))
    clicks.select(RV)
    assert not session.promptsOf(clicks.target).is_said
    browser.SetSelectedItemNumber(0)
    clicks.select(LV)
    assert session.promptsOf(clicks.target).points == (Point(*LEFT),)
    np.testing.assert_array_equal(lv(masks, 0), disc(LEFT))


def test_prompts_are_saved_with_the_scene(clip, clicks, session, tmp_path):
    from FetalEchoSegLib.scene.io import openScene, saveScene

    _, browser, masks = clip
    browser.SetSelectedItemNumber(1)
    clicks.click((LEFT[0] + 1, LEFT[1]))
    session.setBox(clicks.editor, clicks.target, Box(4, 4, 26, 26))
    settle(session)
    saveScene(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear(0)
    openScene(tmp_path / "scene.mrb")
    browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    masks = next(n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n.GetName() == "Masks")
    other = ClickSession()
    other.useModel(BlobsModel())
    for reopened in (session, other):
        browser.SetSelectedItemNumber(0)
        again = onClip(reopened, browser, masks)
        assert not reopened.promptsOf(again.target).is_said
        browser.SetSelectedItemNumber(1)
        prompts = reopened.promptsOf(again.target)
        assert (prompts.points, prompts.box) == ((Point(LEFT[0] + 1, LEFT[1]),), Box(4, 4, 26, 26))
    again.click((RIGHT[0] + 1, RIGHT[1]))
    again.undo()
    np.testing.assert_array_equal(lv(masks, 1), disc((LEFT[0] + 1, LEFT[1])))
    assert len(other.promptsOf(again.target).points) == 1
    other.close()


def test_another_scene_with_the_same_ids_has_no_prompts_of_this_one(clip, clicks, session):
    clicks.click(LEFT)
    slicer.mrmlScene.Clear(0)
    _, browser, masks = addClip()
    assert not session.promptsOf(onClip(session, browser, masks).target).is_said


def test_damaged_prompts_are_left_out(clip, clicks, session, caplog):
    _, _, masks = clip
    masks.SetAttribute(PROMPTS, '{"format": 1, "prompts": [{"sequence"')
    assert not session.promptsOf(clicks.target).is_said
    assert "damaged" in caplog.text
    clicks.click(LEFT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))


def test_a_click_before_the_frame_is_ready_waits_and_is_shown(clip):
    _, browser, masks = clip
    gate = threading.Event()
    session = ClickSession()
    session.useModel(BlobsModel(gate))
    clicks = onClip(session, browser, masks)
    for position in (LEFT, RIGHT):  # twice, before anything can be answered
        session.addPoint(clicks.editor, clicks.target, *position)
    prompts, waiting = session.promptsShown(clicks.target)
    assert (len(prompts.points), waiting, session.isBusy) == (2, 2, True)
    assert not lv(masks).any()
    gate.set()
    settle(session)
    np.testing.assert_array_equal(lv(masks), disc(LEFT) | disc(RIGHT))
    assert session.promptsShown(clicks.target)[1] == 0
    clicks.undo()  # each was a step of its own
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    session.close()


def test_a_waiting_click_is_dropped_when_another_frame_is_shown(clip):
    _, browser, masks = clip
    gate = threading.Event()
    session = ClickSession()
    session.useModel(BlobsModel(gate))
    clicks = onClip(session, browser, masks)
    session.addPoint(clicks.editor, clicks.target, *LEFT)
    browser.SetSelectedItemNumber(1)
    session.prepare(clicks.target)
    assert session.waitingClicks == 0
    assert "dropped" in session.outcome
    gate.set()
    end = time.monotonic() + 20
    while session.isBusy:
        assert time.monotonic() < end
        session.poll()
    assert not labelsOfFrame(masks, 0).any()
    assert not labelsOfFrame(masks, 1).any()
    session.close()


def test_a_waiting_click_never_reaches_another_frame_or_segment(clip):
    """Also when nobody has said that something else is shown."""
    _, browser, masks = clip
    for leave in (lambda c: browser.SetSelectedItemNumber(1), lambda c: c.select(RV)):
        browser.SetSelectedItemNumber(0)
        gate = threading.Event()
        session = ClickSession()
        session.useModel(BlobsModel(gate))
        clicks = onClip(session, browser, masks)
        session.addPoint(clicks.editor, clicks.target, *LEFT)
        leave(clicks)
        gate.set()
        settle(session)
        assert not any(labelsOfFrame(masks, frame).any() for frame in range(2))
        session.close()


def test_a_click_waits_for_the_model_too(clip):
    _, browser, masks = clip
    gate = threading.Event()

    def load(name, device):
        gate.wait(20)
        return BlobsModel()

    session = ClickSession(load)
    session.chooseModel("blobs")
    clicks = onClip(session, browser, masks)
    session.addPoint(clicks.editor, clicks.target, *LEFT)
    session.poll()
    assert session.isLoading
    gate.set()
    settle(session)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    session.close()


def test_a_model_that_cannot_be_loaded_is_a_sentence(clip):
    _, browser, masks = clip

    def load(name, device):
        raise UnusableBundle(f"There is no model '{name}' that answers clicks: install one.")

    session = ClickSession(load)
    session.chooseModel("nothing")
    clicks = onClip(session, browser, masks)
    session.addPoint(clicks.editor, clicks.target, *LEFT)
    settle(session)
    assert session.modelProblem == session.outcome == "There is no model 'nothing' that answers clicks: install one."
    with pytest.raises(InvalidRequest, match="no model 'nothing'"):
        session.addPoint(clicks.editor, clicks.target, *LEFT)
    assert not labelsOfFrame(masks, 0).any()
    session.close()


def test_another_model_answers_after_it_was_chosen(clip, tmp_path):
    _, browser, masks = clip
    session = ClickSession(lambda name, device: BlobsModel(level=int(name)))
    session.chooseModel("250")
    clicks = onClip(session, browser, masks)
    clicks.click(LEFT)
    assert "finds nothing" in session.outcome
    session.chooseModel("128")
    clicks.click(LEFT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))
    session.close()


@pytest.mark.parametrize("position", [(-1, 5), (64, 5), (5, -1), (5, 48)])
def test_outside_the_image_is_a_sentence(clicks, session, position):
    with pytest.raises(InvalidRequest, match="outside the image of 64 x 48"):
        session.addPoint(clicks.editor, clicks.target, *position)


def test_nothing_found_leaves_the_mask_and_the_prompts(clip, clicks, session):
    _, _, masks = clip
    clicks.click((1, 1))
    assert "finds nothing" in session.outcome
    assert not session.promptsShown(clicks.target)[0].is_said
    clicks.click(LEFT, positive=False)
    assert "Nothing is drawn yet" in session.outcome
    assert not lv(masks).any()


def test_a_failing_model_is_a_sentence_and_not_an_exception(clip, clicks, session, monkeypatch):
    monkeypatch.setattr(session.refiner.model, "answer", lambda *_: 1 / 0)
    clicks.click(LEFT)
    assert "could not be answered: division by zero" in session.outcome
    assert session.waitingClicks == 0


def test_memory_that_ran_out_is_told(clip, clicks, session, monkeypatch):
    note = "There is not enough memory on cuda: clicking goes on on the CPU, more slowly."
    clicks.click(LEFT)
    monkeypatch.setattr(session.refiner.model, "notes", (note,))
    clicks.click(RIGHT)
    assert session.outcome.notes == (note,)
    clicks.click(LOW)
    assert session.outcome.notes == ()


def test_clicks_on_color_frames(session):
    class ColorBlobs(BlobsModel):
        def embed(self, frame, cancelled=None):
            assert frame.shape == (48, 64, 3)
            return super().embed(frame[..., 0], cancelled)

    _, browser, masks = addClip(color=True)
    session.useModel(ColorBlobs())
    onClip(session, browser, masks).click(LEFT)
    np.testing.assert_array_equal(lv(masks), disc(LEFT))


def test_pixels_that_change_are_encoded_again(clip, clicks, session):
    sequence, _, masks = clip
    clicks.click(LEFT)
    item = sequence.GetNthDataNode(0)
    slicer.util.arrayFromVolume(item)[0] = blobs(10)
    slicer.util.arrayFromVolumeModified(item)
    session.clear(clicks.target)
    setFrameLabels(masks, 0, np.zeros((48, 64), np.uint8))
    clicks.click((LEFT[0] + 10, LEFT[1]))
    np.testing.assert_array_equal(lv(masks), disc((LEFT[0] + 10, LEFT[1])))


def test_frames_are_encoded_ahead(clip, clicks, session):
    session.prepare(clicks.target)
    end = time.monotonic() + 20
    while session.isBusy:
        assert time.monotonic() < end
        session.poll()
    target = clicks.target
    assert all(session.refiner.is_ready(target.source, frame) for frame in range(4))
    session.prepare(None)
    assert not session.isBusy


def test_clicks_write_what_only_one_of_two_sequences_of_masks_shows(clip, session):
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

    sequence, browser, masks = clip
    others = addEmptyMasksToScene(sequence, browser, "Others")
    onClip(session, browser, others).click(LEFT)
    assert not labelsOfFrame(masks, 0).any()
    np.testing.assert_array_equal(labelsOfFrame(others, 0) == LV, disc(LEFT))
    assert not session.promptsOf(onClip(session, browser, masks).target).is_said


def test_a_segmentation_that_is_in_no_sequence(clip, session):
    """As somebody makes it in the core Segment Editor: one for all frames; the prompts know their frame."""
    sequence, browser, _ = clip
    volume = browser.GetProxyNode(sequence)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("", "Something")
    clicks = Clicks(session, segmentation, volume, segment)
    clicks.click(LEFT)
    np.testing.assert_array_equal(
        slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume)[0] > 0, disc(LEFT)
    )
    assert session.outcome.title == "Something"
    browser.SetSelectedItemNumber(1)
    assert not session.promptsOf(clicks.target).is_said
