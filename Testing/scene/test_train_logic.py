"""The training module's logic on a scene: what is exported is what is there, and a run becomes a model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
for package in ("monai", "accelerate", "psutil"):
    pytest.importorskip(package)
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.cine import Cine, Origin
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, read_image, read_label, read_list
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene
from FetalEchoTrainLib.scene.frames import conditionsOf, textIn

from FetalEchoSeg import FetalEchoSegLogic
from FetalEchoTrain import FetalEchoTrainLogic

SHAPE = (5, 44, 60)


@pytest.fixture
def clip():
    """Five frames; 1 drawn by hand, 3 by clicks, 2 by the model, which the user accepted."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, SHAPE, dtype=np.uint8)
    origin = Origin(uid="1.2.840.99", patient_hash="feed")
    cine = Cine.from_array(pixels, frame_rate=20, spacing=(0.3, 0.3), view=View.FOUR_CHAMBER, origin=origin)
    sequence, browser = addCineToScene(cine, "Jane Doe")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    logic = FetalEchoSegLogic()
    labels = rng.integers(0, 8, SHAPE, dtype=np.uint8)
    for frame, author in ((1, "hand"), (2, "model"), (3, "clicks"), (4, "model")):
        logic.setLabels(masks, frame, labels[frame], drawnBy=author)
    logic.acceptFrame(masks, 2)
    return masks, pixels, labels


def test_frames_tell_what_they_would_contribute(clip):
    masks, _, _ = clip
    frames = FetalEchoTrainLogic().frames()
    assert [(f.index, f.drawnBy, f.accepted) for f in frames] == [
        (1, "hand", False), (2, "model", True), (3, "clicks", False), (4, "model", False),
    ]  # fmt: skip
    assert frames[0].view is View.FOUR_CHAMBER
    assert Structure.LEFT_VENTRICLE in frames[0].structures
    assert [f.index for f in FetalEchoTrainLogic().correctedFrames()] == [1, 2, 3]
    assert FetalEchoTrainLogic().frames(masks) == frames


def test_what_is_exported_is_what_is_in_the_scene_pixel_by_pixel(clip, tmp_path):
    masks, pixels, labels = clip
    logic = FetalEchoTrainLogic()
    logic.setConditions(masks, ["VSD"])
    done = logic.exportDataset(tmp_path, wholeClips=True)
    assert (done.labelled, done.unlabelled) == (3, 2)
    for entry, frame in zip(read_list(tmp_path / TRAIN_LABELED), (1, 2, 3), strict=True):
        image, label = read_image(entry.image), read_label(entry.label)
        np.testing.assert_array_equal(image.image[..., 0], pixels[frame])
        np.testing.assert_array_equal(label.mask, labels[frame])
        assert label.label.tolist() == [1, 0, 0, 0, 0, 0, 0]
        assert image.attributes["patient_group"] == "feed"
        assert image.attributes["frame_index"] == frame
    others = [read_image(entry.image) for entry in read_list(tmp_path / TRAIN_UNLABELED)]
    assert [int(image.attributes["frame_index"]) for image in others] == [0, 4]
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Jane" not in written
    assert b"1.2.840.99" not in written


def test_an_edit_is_exported_again_and_can_be_taken_back(clip, tmp_path):
    masks, _, labels = clip
    logic = FetalEchoTrainLogic()
    logic.exportDataset(tmp_path)
    FetalEchoSegLogic().setLabels(masks, 1, labels[4])
    assert logic.exportDataset(tmp_path).replaced == 3
    first = read_list(tmp_path / TRAIN_LABELED)[0]
    np.testing.assert_array_equal(read_label(first.label).mask, labels[4])
    logic.undoExport(tmp_path)
    np.testing.assert_array_equal(read_label(first.label).mask, labels[1])


def test_conditions_are_kept_with_the_scene_and_checked(clip):
    masks, _, _ = clip
    logic = FetalEchoTrainLogic()
    logic.setConditions(masks, ["DORV", 0])
    assert [c.short for c in conditionsOf(masks)] == ["VSD", "DORV"]
    with pytest.raises(InvalidRequest, match="no condition 'Flu'"):
        logic.setConditions(masks, ["Flu"])
    logic.setConditions(masks, [])
    assert conditionsOf(masks) == ()


def test_a_clip_of_unknown_view_is_refused_with_its_name(tmp_path):
    sequence, browser = addCineToScene(Cine.from_array(np.zeros((2, 32, 32), np.uint8)), "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "My masks")
    FetalEchoSegLogic().setLabels(masks, 0, np.ones((32, 32), np.uint8))
    with pytest.raises(InvalidRequest, match="My masks"):
        FetalEchoTrainLogic().exportDataset(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_text_is_looked_for_in_the_clip(clip):
    masks, _, _ = clip
    assert textIn(masks) == (SHAPE[1:], [])


def test_frames_to_label_next_are_doubtful_and_not_corrected_yet():
    from FetalEchoSegLib.phantom.clip import make_named_clip

    logic = FetalEchoSegLogic()
    with pytest.raises(InvalidRequest, match="no segmented clip"):
        FetalEchoTrainLogic().labelNext()
    made = make_named_clip(View.FOUR_CHAMBER, seed=4, frames=12, frame_rate=25, image_shape=(64, 64))
    masks = logic.segment(logic.addCine(made.cine, "Clip"), view="4CH")
    logic.acceptFrame(masks, 5)
    queue = FetalEchoTrainLogic().labelNext(most=3, perPatient=3)
    assert len(queue) == 3
    frames = [frame for _, frame, _ in queue]
    assert 5 not in frames
    assert len(set(frames)) == 3
    confidence = logic.prediction(masks).confidence
    assert [round(c, 5) for _, _, c in queue] == [round(float(confidence[f]), 5) for f in frames]
    assert all(node is masks for node, _, _ in queue)
