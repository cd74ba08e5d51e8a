from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
import slicer

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest, UnusableBundle
from FetalEchoSegLib.promptable.bundle import PromptableBundle
from FetalEchoSegLib.promptable.loading import forget_promptable
from FetalEchoSegLib.scene.review import protectedFrames, setAccepted
from promptables import ShiftingModel, random_promptable

from FetalEchoSeg import FetalEchoSegLogic


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "random"
    random_bundle(folder)
    return str(folder)


@pytest.fixture
def logic():
    return FetalEchoSegLogic()


@pytest.fixture
def clip(logic, frames):
    return logic.addCine(Cine.from_array(frames, frame_rate=25.0), "Clip")


def test_the_console_keeps_hand_edits_unless_told_otherwise(logic, clip, model):
    masks = logic.segment(clip, "4CH", model)
    drawn = np.zeros((48, 64), np.uint8)
    drawn[5:9, 5:9] = 3
    logic.setLabels(masks, 2, drawn)
    setAccepted(masks, 4)
    model_says = logic.labels(masks)
    assert logic.segment(clip, "4CH", model, masks=masks) is masks
    np.testing.assert_array_equal(logic.labels(masks), model_says)
    assert protectedFrames(masks) == [2, 4]
    with pytest.raises(InvalidRequest, match="hold your edits"):
        logic.segment(clip, "4CH", model, frames=[2, 4], masks=masks)
    assert logic.segment(clip, "4CH", model, masks=masks, overwriteEdits=True) is masks
    assert (logic.labels(masks)[2] != drawn).any()
    assert protectedFrames(masks) == []


def test_without_masks_a_run_never_touches_the_existing_ones(logic, clip, model):
    masks = logic.segment(clip, "4CH", model)
    before = logic.labels(masks)
    other = logic.segment(clip, "LVOT", model)
    assert other is not masks
    np.testing.assert_array_equal(logic.labels(masks), before)


def test_a_part_in_another_view_comes_back_as_another_sequence(logic, clip, model):
    masks = logic.segment(clip, "4CH", model)
    other = logic.segment(clip, "LVOT", model, frames=[3], masks=masks)
    assert other is not masks
    assert logic.prediction(other).done.tolist() == [False, False, False, True, False, False]


def test_a_run_in_a_thread_survives_the_removal_of_its_clip(logic, clip, model):
    run = logic.prepareSegmentation(clip, "4CH", model)
    for node in (clip.GetProxyNode(clip.GetMasterSequenceNode()), clip.GetMasterSequenceNode(), clip):
        slicer.mrmlScene.RemoveNode(node)
    found = []
    worker = threading.Thread(target=lambda: found.append(run.run()))
    worker.start()
    worker.join(60)
    assert found[0].done.all()
    with pytest.raises(InvalidRequest, match="The clip was removed while it was segmented"):
        run.place(found[0])


def test_an_edit_made_during_the_run_is_spared(logic, clip, model):
    masks = logic.segment(clip, "4CH", model)
    run = logic.prepareSegmentation(clip, "4CH", model, masks=masks)
    prediction = run.run()
    drawn = np.zeros((48, 64), np.uint8)
    drawn[5:9, 5:9] = 3
    logic.setLabels(masks, 1, drawn)
    assert run.place(prediction).kept == (1,)
    np.testing.assert_array_equal(logic.labels(masks)[1], drawn)


def test_a_model_that_is_gone_from_disk_is_a_sentence(logic, clip, tmp_path):
    folder = tmp_path / "model"
    random_bundle(folder)
    run = logic.prepareSegmentation(clip, "4CH", str(folder))
    shutil.rmtree(folder)
    with pytest.raises(UnusableBundle, match="There is no model"):
        run.run()
    with pytest.raises(UnusableBundle, match="There is no model"):
        logic.prepareSegmentation(clip, "4CH", str(folder))


def test_frames_outside_the_clip_are_refused(logic, clip, model):
    with pytest.raises(InvalidRequest, match="Frames 4 to 6 were asked for"):
        logic.prepareSegmentation(clip, "4CH", model, frames=[4, 6])
    with pytest.raises(InvalidRequest, match="Frames 0 to 99999999999999999999"):
        logic.prepareSegmentation(clip, "4CH", model, frames=range(10**20))


# outlines


@pytest.fixture
def shifting(tmp_path, monkeypatch):
    """A bundle that answers clicks whose model moves every mask a little."""
    monkeypatch.setattr(PromptableBundle, "build", lambda self, *options: ShiftingModel())
    yield str(random_promptable(tmp_path / "clicks").path)
    forget_promptable()


def test_outlines_are_refined_in_the_same_run(logic, clip, model, shifting):
    coarse = logic.labels(logic.segment(clip, "4CH", model))
    steps = []
    masks = logic.segment(clip, "4CH", model, refineWith=shifting, progress=lambda *step: steps.append(step))
    assert (logic.labels(masks) != coarse).any(axis=(1, 2)).all()
    assert logic.drawnBy(masks) == ["model"] * 6
    (note,) = (note for note in logic.prediction(masks).notes if note.startswith("Outlines refined by test-clicks 1"))
    assert "the others are as segmented" in note
    assert steps[0] == (0, 12)
    assert steps[-6:] == [(done, 12) for done in range(7, 13)]


def test_cancelling_the_refinement_keeps_the_outlines_of_the_rest(logic, clip, model, shifting):
    coarse = logic.labels(logic.segment(clip, "4CH", model))
    steps = []
    masks = logic.segment(
        clip,
        "4CH",
        model,
        refineWith=shifting,
        progress=lambda done, total: steps.append(done),
        cancelled=lambda: bool(steps) and steps[-1] >= 8,
    )
    assert logic.prediction(masks).done.all()
    changed = (logic.labels(masks) != coarse).any(axis=(1, 2))
    assert changed.tolist() == [True, True, False, False, False, False]
    assert "The refinement was cancelled after 2 of 6 frames." in logic.prediction(masks).notes


def test_a_cancelled_segmentation_is_not_refined(logic, clip, model, shifting):
    coarse = logic.labels(logic.segment(clip, "4CH", model))
    steps = []
    run = logic.prepareSegmentation(clip, "4CH", model, secondsPerBatch=0.0, refineWith=shifting)
    masks = run.place(run.run(lambda done, total: steps.append(done), lambda: bool(steps) and steps[-1] >= 2)).masks
    done = logic.prediction(masks).done
    assert 0 < done.sum() < 6
    np.testing.assert_array_equal(logic.labels(masks)[done], coarse[done])
    assert any("Outlines are as segmented" in note for note in logic.prediction(masks).notes)


def test_a_refinement_that_fails_leaves_the_segmentation(logic, clip, model, shifting, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("no")

    coarse = logic.labels(logic.segment(clip, "4CH", model))
    monkeypatch.setattr(ShiftingModel, "answer", broken)
    run = logic.prepareSegmentation(clip, "4CH", model, refineWith=shifting)
    with pytest.raises(RuntimeError):
        run.run()
    masks = run.place(run.predictionSoFar()).masks
    np.testing.assert_array_equal(logic.labels(masks), coarse)


def test_a_model_that_segments_refines_nothing(logic, clip, model):
    with pytest.raises(UnusableBundle, match="does not answer clicks"):
        logic.prepareSegmentation(clip, "4CH", model, refineWith=model)
    assert isinstance(logic.promptables(), list)
