from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from FetalEchoSegLib.anatomy import STRUCTURES, Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.prediction import BundleIdentity, restricted
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.rerun import framesAtRisk, placePrediction, updatePredictionInScene
from FetalEchoSegLib.scene.review import acceptedFrames, protectedFrames, setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import (
    BY_CLICKS,
    BY_HAND,
    addEmptyMasksToScene,
    drawnBy,
    labelsFromSegmentationSequence,
    labelsOfFrame,
    predictionFromSequence,
    setFrameLabels,
)
from FetalEchoSegLib.scene.snapshot import cineSnapshot
from vtk.util.numpy_support import vtk_to_numpy

from .conftest import FRAMES, makeLabels, makePrediction
from .test_segmentation_nodes import Editor

OTHER_MODEL = BundleIdentity("other", "2.0", "cd" * 32, "")
LV = STRUCTURES[Structure(2)].segment_id


def run(labels, frames=range(FRAMES), view=View.FOUR_CHAMBER, bundle=None, seed=0):
    """What a model would say of ``frames``, with numbers of its own for each ``seed``."""
    rng = np.random.default_rng(seed)
    views = rng.dirichlet(np.ones(4), FRAMES).astype(np.float32)
    made = makePrediction(labels, view)
    made = replace(
        made,
        frame_views=views,
        confidence=rng.random(FRAMES, dtype=np.float32),
        condition_probabilities=made.condition_probabilities * np.float32(0.5 + 0.1 * seed),
        bundle=bundle or made.bundle,
    )
    return restricted(made, list(frames))


def segmentations():
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]


@pytest.fixture
def clip(cine):
    return addCineToScene(cine, "Clip")[1]


@pytest.fixture
def masks(clip):
    return placePrediction(run(makeLabels()), clip).masks


@pytest.fixture
def again():
    """Masks of a second run, other ones on every frame."""
    return np.ascontiguousarray(makeLabels()[:, :, ::-1])


def test_a_second_run_replaces_the_first_in_the_same_nodes(clip, masks, again):
    proxy = clip.GetProxyNode(masks)
    display = proxy.GetDisplayNode()
    display.SetSegmentVisibility(LV, False)
    display.SetOpacity2DFill(0.1)
    proxy.GetSegmentation().GetSegment(LV).SetColor(0.1, 0.2, 0.3)
    placement = placePrediction(run(again, seed=1), clip, masks)
    assert placement.masks is masks
    assert not placement.isNew
    assert segmentations() == ["Clip segmentation"]
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), again)
    assert not display.GetSegmentVisibility(LV)
    assert display.GetOpacity2DFill() == pytest.approx(0.1)
    assert clip.GetProxyNode(masks) is proxy
    assert proxy.GetSegmentation().GetSegment(LV).GetColor() == pytest.approx((0.1, 0.2, 0.3))
    found, expected = predictionFromSequence(masks), run(again, seed=1)
    for name in ("labels", "view_probabilities", "condition_probabilities", "clip_conditions", "confidence", "done"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.frame_views, expected.frame_views)


def test_frames_drawn_by_the_user_or_accepted_are_never_overwritten(clip, masks, again):
    mine = np.zeros_like(again[0])
    mine[3:9, 3:9] = 2
    setFrameLabels(masks, 0, mine, BY_HAND)
    setFrameLabels(masks, 1, mine, BY_CLICKS)
    setAccepted(masks, 2)
    Editor(clip, masks).draw(4, LV, slice(20, 30), slice(20, 30))
    before = labelsFromSegmentationSequence(masks)
    placement = placePrediction(run(again, seed=1), clip, masks)
    after = labelsFromSegmentationSequence(masks)
    assert (placement.frames, placement.kept) == ((3, 5), (0, 1, 2, 4))
    np.testing.assert_array_equal(after[[0, 1, 2, 4]], before[[0, 1, 2, 4]])
    np.testing.assert_array_equal(after[[3, 5]], again[[3, 5]])
    assert [drawnBy(masks, i) for i in range(FRAMES)] == ["hand", "clicks", "model", "model", "hand", "model"]
    assert acceptedFrames(masks) == [2]


def test_edits_are_overwritten_only_when_asked_for(clip, masks, again):
    setFrameLabels(masks, 0, again[1], BY_HAND)
    setAccepted(masks, 2)
    placePrediction(run(again, seed=1), clip, masks, overwriteEdits=True)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), again)
    assert protectedFrames(masks) == []


def test_a_part_of_the_clip_joins_the_rest_and_the_clip_is_judged_by_all_frames(clip, masks, again):
    first = predictionFromSequence(masks)
    later = run(again, [2, 3], seed=1)
    placePrediction(later, clip, masks)
    both = predictionFromSequence(masks)
    assert both.done.all()
    np.testing.assert_array_equal(both.labels[[2, 3]], again[[2, 3]])
    np.testing.assert_array_equal(both.labels[[0, 1, 4, 5]], first.labels[[0, 1, 4, 5]])
    conditions = first.condition_probabilities.copy()
    conditions[[2, 3]] = later.condition_probabilities[[2, 3]]
    np.testing.assert_allclose(both.clip_conditions, conditions.mean(axis=0), rtol=1e-6)
    views = first.frame_views.astype(float)
    views[[2, 3]] = later.frame_views[[2, 3]]
    mean = np.exp(np.log(views).mean(axis=0))
    np.testing.assert_allclose(both.view_probabilities, mean / mean.sum(), rtol=1e-5)


def test_a_part_by_another_model_or_view_goes_to_a_segmentation_of_its_own(clip, masks, again):
    before = labelsFromSegmentationSequence(masks)
    model = placePrediction(run(again, [2], bundle=OTHER_MODEL), clip, masks)
    view = placePrediction(run(makeLabels(View.LVOT), [2], View.LVOT), clip, masks)
    assert model.isNew
    assert view.isNew
    assert model.reason == "The other frames of 'Clip segmentation' are by demo-tiny 1.0, these by other 2.0."
    assert view.reason == "The other frames of 'Clip segmentation' are segmented as 4CH, these as LVOT."
    assert segmentations() == ["Clip segmentation", "Clip segmentation_1", "Clip segmentation_2"]
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), before)
    assert predictionFromSequence(model.masks).done.tolist() == [False, False, True, False, False, False]


def test_a_whole_run_by_another_model_and_view_replaces_what_a_model_drew(clip, masks):
    labels = makeLabels(View.LVOT)
    placement = placePrediction(run(labels, view=View.LVOT, bundle=OTHER_MODEL), clip, masks)
    assert placement.masks is masks
    found = predictionFromSequence(masks)
    assert (found.view, found.bundle) == (View.LVOT, OTHER_MODEL)
    np.testing.assert_array_equal(found.labels, labels)


def test_a_whole_run_by_another_model_leaves_a_segmentation_with_edits_alone(clip, masks, again):
    setFrameLabels(masks, 1, again[3], BY_HAND)
    before = labelsFromSegmentationSequence(masks)
    assert framesAtRisk(masks, range(FRAMES), None, OTHER_MODEL) == []
    placement = placePrediction(run(again, bundle=OTHER_MODEL), clip, masks)
    assert placement.isNew
    assert placement.frames == tuple(range(FRAMES))
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), before)


def test_a_cancelled_run_by_another_model_does_not_mix_with_the_earlier_one(clip, masks, again):
    placement = placePrediction(run(again, [0, 3], bundle=OTHER_MODEL), clip, masks)
    assert placement.isNew
    assert predictionFromSequence(masks).bundle.name == "demo-tiny"


def test_frames_at_risk_are_the_users_among_those_asked_for(clip, masks, again):
    setFrameLabels(masks, 1, again[1], BY_HAND)
    setAccepted(masks, 4)
    identity = predictionFromSequence(masks).bundle
    assert framesAtRisk(None, range(FRAMES), None, identity) == []
    assert framesAtRisk(masks, range(FRAMES), None, identity) == [1, 4]
    assert framesAtRisk(masks, range(3), View.FOUR_CHAMBER, identity) == [1]
    assert framesAtRisk(masks, [0, 2], None, identity) == []
    assert framesAtRisk(masks, range(FRAMES), View.LVOT, identity) == []


def test_masks_that_only_the_user_drew_take_in_the_models_frames(clip, again):
    masks = addEmptyMasksToScene(clip.GetMasterSequenceNode(), clip, "Mine")
    setFrameLabels(masks, 1, again[4], BY_HAND)
    placement = placePrediction(run(again), clip, masks)
    assert placement.masks is masks
    assert placement.kept == (1,)
    found = predictionFromSequence(masks)
    assert found.done.tolist() == [True, False, True, True, True, True]
    assert np.isnan(found.condition_probabilities[1]).all()
    np.testing.assert_array_equal(found.labels[1], again[4])


def test_nothing_is_written_when_every_frame_is_the_users(clip, masks, again):
    setFrameLabels(masks, 1, again[4], BY_HAND)
    before = predictionFromSequence(masks)
    placement = placePrediction(run(again, [1]), clip, masks)
    assert (placement.frames, placement.kept) == ((), (1,))
    after = predictionFromSequence(masks)
    np.testing.assert_array_equal(after.labels, before.labels)
    np.testing.assert_array_equal(after.condition_probabilities, before.condition_probabilities)


def test_a_segmentation_deleted_meanwhile_is_made_anew(clip, masks, again):
    slicer.mrmlScene.RemoveNode(clip.GetProxyNode(masks))
    slicer.mrmlScene.RemoveNode(masks)
    placement = placePrediction(run(again), clip, masks)
    assert placement.isNew
    np.testing.assert_array_equal(labelsFromSegmentationSequence(placement.masks), again)


def test_undo_of_an_edit_still_works_after_a_run_on_other_frames(clip, masks, again):
    model = labelsOfFrame(masks, 1)
    editor = Editor(clip, masks)
    editor.draw(1, LV, slice(20, 30), slice(20, 30))
    edited = labelsOfFrame(masks, 1)
    placePrediction(run(again), clip, masks)
    np.testing.assert_array_equal(labelsOfFrame(masks, 1), edited)
    editor.logic.Undo()
    np.testing.assert_array_equal(labelsOfFrame(masks, 1), model)
    editor.logic.Redo()
    np.testing.assert_array_equal(labelsOfFrame(masks, 1), edited)
    np.testing.assert_array_equal(labelsOfFrame(masks, 2), again[2])
    assert (edited != model).any()


def test_an_update_that_would_mix_or_does_not_fit_changes_nothing(clip, masks, again):
    before = predictionFromSequence(masks)
    with pytest.raises(InvalidRequest, match="these by other"):
        updatePredictionInScene(masks, run(again, bundle=OTHER_MODEL), [2])
    with pytest.raises(InvalidRequest, match="Only frames that were segmented"):
        updatePredictionInScene(masks, run(again, [2]), [2, 3])
    with pytest.raises(InvalidRequest, match=r"The prediction is \(6, 40, 64\)"):
        updatePredictionInScene(masks, run(np.ascontiguousarray(again[:, :40])))
    after = predictionFromSequence(masks)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.notes == before.notes


def test_a_segment_that_the_user_drew_instead_of_ours_gives_way_to_a_new_run(clip, masks, again):
    segmentation = masks.GetNthDataNode(2).GetSegmentation()
    theirs = slicer.vtkSegment()
    theirs.DeepCopy(segmentation.GetSegment(LV))
    segmentation.RemoveSegment(LV)
    segmentation.AddSegment(theirs, "Segment_1")
    placePrediction(run(again), clip, masks, overwriteEdits=True)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), again)


def test_a_snapshot_outlives_the_clip_and_copies_nothing(frames):
    image = vtk.vtkImageData()
    image.SetDimensions(64, 48, 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)  # memory of VTK's own, as in a scene that Slicer opened
    pixels = vtk_to_numpy(image.GetPointData().GetScalars())
    pixels[:] = frames[0].ravel()
    sequence, browser = addCineToScene(Cine.from_array(frames[:2].copy(), frame_rate=25.0), "Clip")
    sequence.GetNthDataNode(0).SetAndObserveImageData(image)
    snapshot = cineSnapshot(browser)
    assert np.shares_memory(snapshot.frame(0), pixels)
    for node in (browser.GetProxyNode(sequence), browser, sequence):
        slicer.mrmlScene.RemoveNode(node)
    del sequence, browser, image, pixels
    gc.collect()
    np.testing.assert_array_equal(snapshot.frame(0), frames[0])
    np.testing.assert_array_equal(snapshot.frame(1), frames[1])
