"""A mask carried from frame to frame of the scene's clip, with a model that finds bright blobs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import slicer

pytest.importorskip("torch")
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest, UnusableBundle
from FetalEchoSegLib.promptable.bundle import PromptableBundle
from FetalEchoSegLib.promptable.loading import forget_promptable
from FetalEchoSegLib.scene.review import setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, drawnBy
from promptables import BrightModel, random_promptable

from FetalEchoSeg import FetalEchoSegLogic

FRAMES, GONE = 8, 6
LV, RV, HEART = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, Structure.WHOLE_HEART


def blob(frame, radius=9):
    """A disc that moves to the right by a pixel a frame."""
    rows, columns = np.mgrid[:64, :80]
    return np.hypot(rows - 32, columns - 30 - frame) < radius


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(PromptableBundle, "build", lambda self, *options: BrightModel())
    yield str(random_promptable(tmp_path / "clicks").path)
    forget_promptable()


@pytest.fixture
def logic():
    return FetalEchoSegLogic()


@pytest.fixture
def masks(logic):
    """Masks of a clip with a bright disc that is gone in frame 6; frame 1 shows it as left ventricle."""
    frames = np.stack([np.where(blob(k), 220, 30) for k in range(FRAMES)]).astype(np.uint8)
    frames[GONE] = 30
    browser = logic.addCine(Cine.from_array(frames, frame_rate=25.0), "Clip")
    masks = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, "Masks")
    for frame in range(FRAMES):
        logic.setLabels(masks, frame, heart(frame) if frame == 1 else around(frame), "model")
    return masks


def around(frame):
    """A right ventricle above that comes to lie partly under the disc."""
    labels = np.zeros((64, 80), np.uint8)
    labels[10:28, 20:70] = RV
    return labels


def heart(frame):
    labels = around(frame)
    labels[blob(frame)] = LV
    return labels


def test_a_mask_is_carried_until_the_structure_is_gone(logic, masks, model):
    placed = logic.propagate(masks, 1, "LV", model=model)
    assert placed.frames == (2, 3, 4, 5)
    assert placed.stopped == "Stopped before frame 6: the structure is not found there."
    labels = logic.labels(masks)
    for frame in placed.frames:
        found = labels[frame] == LV
        assert np.count_nonzero(found & blob(frame)) > 0.95 * np.count_nonzero(found | blob(frame))
    assert logic.drawnBy(masks) == ["model", "model", *["clicks"] * 4, "model", "model"]
    assert [drawnBy(masks, 3, s) for s in (LV, RV)] == ["clicks", "model"]
    assert not (labels[[0, 6, 7]] == LV).any()


def test_other_structures_lose_only_what_the_mask_lies_on(logic, masks, model):
    before = logic.labels(masks)
    logic.propagate(masks, 1, LV, model=model)
    after = logic.labels(masks)
    elsewhere = after != LV
    np.testing.assert_array_equal(after[elsewhere], np.where(before == LV, 0, before)[elsewhere])
    assert (after[2] == RV).sum() < (before[2] == RV).sum()


def test_backward_and_limited(logic, masks, model):
    logic.setLabels(masks, 5, heart(5), "hand")
    placed = logic.propagate(masks, 5, "Left ventricle", direction=-1, limit=2, model=model)
    assert placed.frames == (3, 4)
    assert placed.stopped == ""


def test_the_users_frames_are_kept_unless_they_may_be_lost(logic, masks, model):
    logic.setLabels(masks, 3, around(3), "hand")
    setAccepted(masks, 4)
    before = logic.labels(masks)
    placed = logic.propagate(masks, 1, "LV", model=model)
    assert (placed.frames, placed.kept) == ((2, 5), (3, 4))
    np.testing.assert_array_equal(logic.labels(masks)[3:5], before[3:5])
    placed = logic.propagate(masks, 1, "LV", model=model, overwriteEdits=True)
    assert placed.frames == (2, 3, 4, 5)
    assert logic.acceptedFrames(masks) == [4]
    assert logic.drawnBy(masks)[3:5] == ["clicks", "clicks"]


def test_what_was_placed_can_be_taken_back(logic, masks, model):
    logic.setLabels(masks, 2, around(2), "hand")
    before, authors = logic.labels(masks), logic.drawnBy(masks)
    placed = logic.propagate(masks, 1, "LV", model=model, overwriteEdits=True)
    assert placed.takeBack() == (2, 3, 4, 5)
    np.testing.assert_array_equal(logic.labels(masks), before)
    assert logic.drawnBy(masks) == authors
    assert [drawnBy(masks, 2, s) for s in (LV, RV)] == ["hand", "hand"]
    assert [drawnBy(masks, 3, s) for s in (LV, RV)] == ["model", "model"]
    assert placed.takeBack() == ()


def test_taking_back_spares_what_was_changed_since(logic, masks, model):
    placed = logic.propagate(masks, 1, "LV", model=model)
    drawn = np.zeros((64, 80), np.uint8)
    drawn[5:9, 5:9] = RV
    logic.setLabels(masks, 3, drawn)
    assert placed.takeBack() == (2, 4, 5)
    np.testing.assert_array_equal(logic.labels(masks)[3], drawn)


def test_only_chosen_frames_are_placed(logic, masks, model):
    propagation = logic.preparePropagation(masks, 1, "LV", model=model)
    carried = propagation.run()
    assert all(found.agreement > 0.7 for found in carried.frames)
    assert not (logic.labels(masks)[2:] == LV).any()  # looking changes nothing
    assert propagation.place(carried, [3, 5]).frames == (3, 5)
    with pytest.raises(InvalidRequest, match="was not carried to frame 6"):
        propagation.place(carried, [3, 6])


def test_frames_that_were_encoded_for_clicks_are_not_encoded_again(logic, masks, model):
    from FetalEchoSegLib.promptable.loading import cached_promptable
    from FetalEchoSegLib.promptable.refiner import Refiner
    from FetalEchoSegLib.scene.click_target import sequencePixels

    shared = cached_promptable(model)
    refiner = Refiner(shared)
    source = sequencePixels(logic.browserOf(masks).GetMasterSequenceNode())
    for frame in range(4):
        refiner.wait_for(source, frame).result(10)
    before = len(shared.encoded)

    def run(refiner):
        return logic.preparePropagation(masks, 1, "LV", model=model).run(refiner=refiner)

    assert len(run(refiner).frames) == 4
    assert len(shared.encoded) == before + 3  # 4, 5 and 6
    assert len(run(refiner).frames) == 4
    assert len(shared.encoded) == before + 3
    other = Refiner(BrightModel())  # another model's embeddings mean nothing to this one
    assert len(run(other).frames) == 4
    assert len(other.cache) == 0
    refiner.close()
    other.close()


def test_a_ring_is_carried_with_its_content_and_leaves_it_alone(logic, masks, model):
    labels = np.zeros((64, 80), np.uint8)
    labels[blob(1)] = HEART
    labels[blob(1, 4)] = LV
    logic.setLabels(masks, 1, labels)
    inside = np.zeros((64, 80), np.uint8)
    inside[blob(2, 4)] = LV
    logic.setLabels(masks, 2, inside, "model")
    propagation = logic.preparePropagation(masks, 1, HEART, limit=1, model=model)
    carried = propagation.run()
    assert carried.frames[0].mask[32, 32]
    assert not propagation.drawn(carried.frames[0])[32, 32]
    propagation.place(carried)
    after = logic.labels(masks)[2]
    np.testing.assert_array_equal(after == LV, inside == LV)
    ring = blob(2) & ~blob(2, 4)
    assert np.count_nonzero((after == HEART) & ring) > 0.9 * np.count_nonzero(ring)


def test_a_run_in_a_thread_survives_the_removal_of_its_clip(logic, masks, model):
    propagation = logic.preparePropagation(masks, 1, "LV", model=model)
    browser = logic.browserOf(masks)
    proxies = [browser.GetProxyNode(masks), browser.GetProxyNode(browser.GetMasterSequenceNode())]
    for node in (*proxies, browser.GetMasterSequenceNode(), masks, browser):
        slicer.mrmlScene.RemoveNode(node)
    found = []
    worker = threading.Thread(target=lambda: found.append(propagation.run()))
    worker.start()
    worker.join(60)
    assert [carried.frame for carried in found[0].frames] == [2, 3, 4, 5]
    with pytest.raises(InvalidRequest, match="masks were removed"):
        propagation.place(found[0])


def test_cancelling_keeps_what_was_reached_until_somebody_places_it(logic, masks, model):
    steps = []
    placed = logic.propagate(
        masks, 1, "LV", model=model, progress=lambda *step: steps.append(step), cancelled=lambda: (2, 6) in steps
    )
    assert placed.frames == (2, 3)
    assert placed.stopped.startswith("Cancelled after 2 of 6 frames")
    assert steps == [(0, 6), (1, 6), (2, 6)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "LV"), "Left ventricle is empty in frame 0. Draw it there first"),
        ((7, "RV"), "Frame 7 is the last one: there is none after it"),
        ((0, "RV", -1), "Frame 0 is the first one"),
        ((8, "RV"), "Frame 8 is outside 'Masks'"),
        ((1, "RV", 0), "forward .1. or backward .-1."),
        ((1, "RV", 1, 0), "to 1 frame or more, not 0"),
        ((1, "spleen"), "unknown structure 'spleen': choose one of LA, LV"),
        ((1, 0), "0 is not a valid Structure"),
    ],
)
def test_bad_requests_are_a_sentence(logic, masks, model, arguments, message):
    with pytest.raises(InvalidRequest, match=message):
        logic.preparePropagation(masks, *arguments)


def test_a_model_that_is_missing_is_a_sentence(logic, masks):
    with pytest.raises(UnusableBundle, match="There is no model 'elsewhere' that answers clicks"):
        logic.propagate(masks, 1, "LV", model="elsewhere")
