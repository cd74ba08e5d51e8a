"""Clicks from the Python console."""

from __future__ import annotations

import doctest
import importlib.util

import numpy as np
import pytest

import FetalEchoSeg

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.errors import InvalidRequest, UnusableBundle
from FetalEchoSegLib.promptable import loading
from FetalEchoSegLib.promptable.prompts import Point
from FetalEchoSegLib.scene.click_session import ClickSession
from FetalEchoSegLib.scene.segmentation_nodes import drawnBy, labelsOfFrame, setFrameLabels
from promptables import BlobsModel

from .click_scenes import LEFT, LOW, RIGHT, addClip, disc, onClip

LV, RV, HEART = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, Structure.WHOLE_HEART


@pytest.fixture
def masks(monkeypatch):
    model = BlobsModel()
    monkeypatch.setattr(loading, "cached_promptable", lambda name, device: model)
    return addClip()[2]


@pytest.fixture
def logic():
    return FetalEchoSeg.FetalEchoSegLogic()


def test_points_and_boxes_correct_what_is_drawn(logic, masks):
    setFrameLabels(masks, 2, np.where(disc((RIGHT[0] + 2, RIGHT[1]), 3), LV, 0).astype(np.uint8))
    left, right = disc((LEFT[0] + 2, LEFT[1])), disc((RIGHT[0] + 2, RIGHT[1]))
    found = logic.refine(masks, 2, "LV", points=[(LEFT[0] + 2, LEFT[1])])
    np.testing.assert_array_equal(found, left | right)
    np.testing.assert_array_equal(labelsOfFrame(masks, 2) == LV, found)
    assert (drawnBy(masks, 2), drawnBy(masks, 2, LV), drawnBy(masks, 2, RV)) == ("clicks", "clicks", "model")
    found = logic.refine(masks, 2, "Left ventricle", points=[(LEFT[0] + 2, LEFT[1], False)])
    np.testing.assert_array_equal(found, right)
    found = logic.refine(masks, 0, RV, box=(4, 4, 26, 26))
    np.testing.assert_array_equal(found, disc(LEFT))
    assert not labelsOfFrame(masks, 1).any()


def test_the_editor_shows_the_prompts_and_goes_on_from_them(logic, masks):
    import slicer

    browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    session = ClickSession()
    session.useModel(BlobsModel())
    clicks = onClip(session, browser, masks)
    clicks.click(LOW)
    logic.refine(masks, 0, "LV", points=[LEFT])
    assert session.promptsOf(clicks.target).points == (Point(*LEFT),)
    clicks.click(RIGHT)
    np.testing.assert_array_equal(labelsOfFrame(masks, 0) == LV, disc(LEFT) | disc(LOW) | disc(RIGHT))
    session.close()


def test_a_ring_keeps_what_it_encloses(logic, masks):
    inside = disc(LEFT, 3)
    setFrameLabels(masks, 0, np.where(inside, LV, np.where(disc(LEFT, 5), HEART, 0)).astype(np.uint8), "hand")
    found = logic.refine(masks, 0, HEART, points=[(LEFT[0] + 6, LEFT[1])])
    np.testing.assert_array_equal(found, disc(LEFT) & ~inside)
    np.testing.assert_array_equal(labelsOfFrame(masks, 0) == LV, inside)
    assert (drawnBy(masks, 0), drawnBy(masks, 0, HEART)) == ("hand", "clicks")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to go by"),
        ({"points": [(64, 3)]}, "outside the image"),
        ({"box": (70, 3, 90, 5)}, "outside the image"),
        ({"points": [(3,)]}, "Points are"),
        ({"box": (1, 2, 3)}, "Points are"),
        ({"points": [(1, 1)]}, "finds nothing"),
        ({"points": [(14, 14, False)]}, "Nothing is drawn yet"),
        ({"structure": "left leg", "points": [LEFT]}, "left leg"),
        ({"frame": 4, "points": [LEFT]}, "frames 0 to 3"),
    ],
)
def test_bad_requests_are_sentences_and_change_nothing(logic, masks, options, words):
    with pytest.raises(InvalidRequest, match=words):
        logic.refine(masks, **({"frame": 0, "structure": "LV"} | options))
    assert not any(labelsOfFrame(masks, frame).any() for frame in range(4))
    assert drawnBy(masks, 0) == ""


def test_an_unknown_model_is_a_sentence(logic):
    masks = addClip()[2]
    with pytest.raises(UnusableBundle, match="'nobody' that answers clicks"):
        logic.refine(masks, 0, "LV", points=[LEFT], model="nobody")


def test_the_documented_example_works_with_the_model_that_ships():
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.phantom.clip import make_named_clip
    from FetalEchoSegLib.promptable.bundle import list_promptables
    from FetalEchoSegLib.scene.cine_nodes import addCineToScene
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

    if "demo-clicks" not in [bundle.name for bundle in list_promptables()]:
        pytest.skip("the demo model that answers clicks is not there")
    phantom = make_named_clip(View.FOUR_CHAMBER, seed=33, frames=2, frame_rate=25, image_shape=(128, 128))
    sequence, browser = addCineToScene(phantom.cine, "Phantom")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    examples = doctest.DocTestParser().get_examples(FetalEchoSeg.FetalEchoSegLogic.refine.__doc__)
    for example in examples:
        example.options.clear()  # they are skipped where there are no masks
    names = {"FetalEchoSegLogic": FetalEchoSeg.FetalEchoSegLogic, "masks": masks, "np": np}
    test = doctest.DocTest(examples, names, "refine", None, None, None)
    assert len(examples) == 3
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    loading.forget_promptable()
