from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Structure, View, permitted_structures
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.display import appearance, spreadAppearance
from FetalEchoSegLib.scene.frame_review import FrameReview, framesToReview
from FetalEchoSegLib.scene.io import openScene, saveScene
from FetalEchoSegLib.scene.review import setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import (
    addEmptyMasksToScene,
    addPredictionToScene,
    maskSequence,
    predictionFromSequence,
    setFrameLabels,
)

from .conftest import makeLabels, makePrediction

CONFIDENCE = np.array([0.97, 0.5, 0.97, 0.96, 0.4, np.nan], dtype=np.float32)


@pytest.fixture
def reviewed(cine):
    """(browser, mask sequence): frames 1 and 4 are below the floor, frame 5 was not segmented."""
    done = np.isfinite(CONFIDENCE)
    labels = makeLabels()
    labels[~done] = 0
    prediction = dataclasses.replace(makePrediction(labels, done=done), confidence=CONFIDENCE)
    sequence, browser = addCineToScene(cine, "Clip")
    return browser, addPredictionToScene(prediction, sequence, browser)


def test_frames_below_the_floor_of_the_model_need_a_look(reviewed):
    _, masks = reviewed
    assert framesToReview(masks) == [1, 4]
    assert framesToReview(masks, floor=0.45) == [4]


def test_what_the_scene_knows_of_each_frame_is_read(reviewed):
    _, masks = reviewed
    found = FrameReview(masks)
    np.testing.assert_array_equal(found.confidence, CONFIDENCE)
    assert found.done.tolist() == [True] * 5 + [False]
    assert found.drawnBy == ["model"] * 5 + [""]
    assert found.areas[0, int(Structure.LEFT_VENTRICLE)] == 4 * 17
    assert found.areas[5, 1:].sum() == 0
    assert found.presentStructures() == set(permitted_structures(View.FOUR_CHAMBER))


def test_accepted_and_corrected_frames_need_no_look_any_more(reviewed):
    _, masks = reviewed
    found = FrameReview(masks)
    assert found.refreshChanged() == []
    setAccepted(masks, 4)
    assert found.refreshAccepted()
    assert found.refreshChanged() == []
    assert found.review.frames == [1]
    setFrameLabels(masks, 1, np.zeros((48, 64), dtype=np.uint8), "clicks")
    assert found.review.frames == [1]  # not read yet
    assert found.refreshChanged() == [1]
    assert found.review.frames == []
    setAccepted(masks, 4, False)
    assert framesToReview(masks) == [4]


def test_masks_that_no_model_made_have_nothing_to_check(cine):
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "Drawn")
    found = FrameReview(masks)
    assert found.review.frames == []
    assert found.presentStructures() == set()


def test_result_is_read_without_the_masks(reviewed):
    _, masks = reviewed
    whole, light = predictionFromSequence(masks), predictionFromSequence(masks, withMasks=False)
    assert light.labels.shape == (6, 0, 0)
    np.testing.assert_array_equal(light.clip_conditions, whole.clip_conditions)
    assert (light.view, light.bundle, light.notes) == (whole.view, whole.bundle, whole.notes)


def test_a_colour_chosen_on_one_frame_is_that_of_all_frames_also_after_saving(reviewed, tmp_path):
    _, masks = reviewed
    before = appearance(masks.GetNthDataNode(0).GetSegmentation())
    segment = masks.GetNthDataNode(3).GetSegmentation().GetSegment("LeftVentricle")
    segment.SetColor(0.0, 1.0, 0.5)
    segment.SetName("Systemic ventricle")
    spreadAppearance(masks, 3)
    saveScene(tmp_path / "case.mrb")
    openScene(tmp_path / "case.mrb")
    import slicer

    (browser,) = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    masks = maskSequence(browser)
    for number in range(6):
        after = appearance(masks.GetNthDataNode(number).GetSegmentation())
        assert after["LeftVentricle"][:2] == ("Systemic ventricle", pytest.approx((0.0, 1.0, 0.5)))
        assert after["RightVentricle"] == (
            before["RightVentricle"][0],
            pytest.approx(before["RightVentricle"][1]),
            before["RightVentricle"][2],
        )
