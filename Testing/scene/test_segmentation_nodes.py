"""Masks in the scene: every frame its own, edits where they belong, who drew what."""

# ruff: noqa: N803, N806 - MRML code is camelCase

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from FetalEchoSegLib.anatomy import STRUCTURES, Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.io import openScene, saveScene
from FetalEchoSegLib.scene.segmentation_nodes import (
    addEmptyMasksToScene,
    addPredictionToScene,
    drawnBy,
    labelsFromSegmentationSequence,
    labelsOfFrame,
    predictionFromSequence,
    setDrawnBy,
    setFrameLabels,
)
from FetalEchoSegLib.scene.terminology import terminologyEntry
from vtk.util.numpy_support import vtk_to_numpy

from .conftest import FRAMES, makeLabels, makePrediction

LV, RV, HEART, TRACHEA = (s.info.segment_id for s in (Structure(2), Structure(4), Structure(5), Structure(14)))


class Editor:
    """The Segment Editor's logic on the frame that a browser shows."""

    def __init__(self, browser, masks):
        self.browser, self.masks = browser, masks
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.logic.SetSegmentEditorNode(self.node)
        self.segmentation = browser.GetProxyNode(masks)
        self.logic.SetSegmentationNode(self.segmentation)
        self.logic.SetSourceVolumeNode(browser.GetProxyNode(browser.GetMasterSequenceNode()))

    def draw(self, frame, segmentId, rows, columns, remove=False):
        self.browser.SetSelectedItemNumber(frame)
        self.logic.SetCurrentSegmentID(segmentId)
        self.logic.ResetModifierLabelmapToDefault()
        modifier = self.logic.GetModifierLabelmap()
        width, height, _ = modifier.GetDimensions()
        vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(height, width)[rows, columns] = 1
        modifier.Modified()
        self.logic.SaveStateForUndo()
        mode = self.logic.ModificationModeRemove if remove else self.logic.ModificationModeAdd
        self.logic.ModifySegmentByLabelmap(self.segmentation, segmentId, modifier, mode, False, False)


def test_every_frame_has_all_segments_with_fixed_ids_names_colours_and_terminology(segmented):
    sequence, _, masks, _ = segmented
    assert masks.GetNumberOfDataNodes() == sequence.GetNumberOfDataNodes()
    for index in range(masks.GetNumberOfDataNodes()):
        assert masks.GetNthIndexValue(index) == sequence.GetNthIndexValue(index)
        segmentation = masks.GetNthDataNode(index).GetSegmentation()
        assert list(segmentation.GetSegmentIDs()) == [info.segment_id for info in STRUCTURES.values()]
        for structure, info in STRUCTURES.items():
            segment = segmentation.GetSegment(info.segment_id)
            tag = vtk.mutable("")
            assert segment.GetTag("TerminologyEntry", tag)
            assert str(tag) == terminologyEntry(structure)
            assert segment.GetName() == info.title
            assert segment.GetColor() == pytest.approx([value / 255 for value in info.color])


@pytest.mark.parametrize("view", list(View))
def test_labels_come_back_equal_for_each_view(cine, view):
    labels = makeLabels(view)
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addPredictionToScene(makePrediction(labels, view), sequence, browser)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(browser), labels)


def test_slicers_own_export_gives_the_same_masks_and_label_order(segmented):
    sequence, browser, masks, labels = segmented
    browser.SetSelectedItemNumber(3)
    proxy = browser.GetProxyNode(masks)
    segmentIds = vtk.vtkStringArray()
    for info in STRUCTURES.values():
        segmentIds.InsertNextValue(info.segment_id)
    exported = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    reference = browser.GetProxyNode(sequence)
    assert slicer.modules.segmentations.logic().ExportSegmentsToLabelmapNode(proxy, segmentIds, exported, reference)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(exported)[0], labels[3])
    for structure, info in STRUCTURES.items():
        one = slicer.util.arrayFromSegmentBinaryLabelmap(proxy, info.segment_id, reference)[0]
        np.testing.assert_array_equal(one > 0, labels[3] == structure)


def test_scene_does_not_share_the_predictions_pixels(segmented):
    _, _, masks, labels = segmented
    before = labels.copy()
    labels[:] = 0
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), before)


def test_browsing_does_not_annotate(segmented):
    _, browser, masks, labels = segmented
    for index in (*range(FRAMES), 2, 0, 5):
        browser.SetSelectedItemNumber(index)
    assert masks.GetNumberOfDataNodes() == FRAMES
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)
    assert {drawnBy(masks, index) for index in range(FRAMES)} == {"model"}


def test_browsing_an_empty_segmentation_does_not_annotate(cine):
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "By hand")
    editor = Editor(browser, masks)
    editor.draw(2, LV, np.s_[10:20], np.s_[10:20])
    for index in range(FRAMES):
        browser.SetSelectedItemNumber(index)
    counts = [(frame == Structure.LEFT_VENTRICLE).sum() for frame in labelsFromSegmentationSequence(masks)]
    assert counts == [0, 0, 100, 0, 0, 0]
    assert [drawnBy(masks, index) for index in range(FRAMES)] == ["", "", "hand", "", "", ""]


def test_edit_on_one_frame_stays_there_and_nowhere_else(segmented):
    _, browser, masks, labels = segmented
    Editor(browser, masks).draw(5, LV, np.s_[0:4], np.s_[50:60])
    browser.SetSelectedItemNumber(1)
    expected = labels.copy()
    expected[5, 0:4, 50:60] = Structure.LEFT_VENTRICLE
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), expected)
    assert [drawnBy(masks, index) for index in range(FRAMES)] == ["model"] * 5 + ["hand"]


def test_first_edit_of_an_empty_frame_is_saved_as_drawn(cine, tmp_path):
    """Pixels of another size than 1 mm: the empty segments beside the edited one must not bring a grid of their own."""
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    Editor(browser, masks).draw(2, LV, np.s_[11:16], np.s_[21:34])
    drawn = labelsFromSegmentationSequence(masks)
    saveScene(tmp_path / "scene.mrb")
    openScene(tmp_path / "scene.mrb")
    reopened = next(n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n.GetName() == "Masks")
    np.testing.assert_array_equal(labelsFromSegmentationSequence(reopened), drawn)


def test_edit_on_the_frame_shown_first_keeps_its_results(segmented):
    _, browser, masks, _ = segmented
    Editor(browser, masks).draw(0, LV, np.s_[0:4], np.s_[50:60])
    browser.SetSelectedItemNumber(1)
    assert predictionFromSequence(masks).done.all()


def test_undo_stays_on_its_frame(segmented):
    _, browser, masks, labels = segmented
    editor = Editor(browser, masks)
    editor.draw(2, LV, np.s_[0:4], np.s_[50:60])
    browser.SetSelectedItemNumber(3)
    assert not editor.logic.CanUndo()
    editor.logic.Undo()
    np.testing.assert_array_equal(labelsOfFrame(masks, 3), labels[3])
    browser.SetSelectedItemNumber(2)
    assert (labelsOfFrame(masks, 2)[0:4, 50:60] == Structure.LEFT_VENTRICLE).all()


def test_undo_on_the_same_frame_restores_the_model(segmented):
    _, browser, masks, labels = segmented
    editor = Editor(browser, masks)
    editor.draw(2, LV, np.s_[0:4], np.s_[50:60])
    editor.logic.Undo()
    np.testing.assert_array_equal(labelsOfFrame(masks, 2), labels[2])
    assert drawnBy(masks, 2) == "model"


def test_editing_takes_pixels_from_the_neighbour_but_not_from_other_frames(segmented):
    _, browser, masks, labels = segmented
    mask = labels[4] == Structure.RIGHT_VENTRICLE
    rows, columns = np.nonzero(mask)
    Editor(browser, masks).draw(4, LV, rows, columns)
    expected = labels.copy()
    expected[4][mask] = Structure.LEFT_VENTRICLE
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), expected)


def test_overlapping_segments_are_resolved_in_the_documented_order(segmented):
    _, browser, masks, labels = segmented
    editor = Editor(browser, masks)
    editor.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    everywhere = np.s_[0:48], np.s_[0:64]
    editor.draw(1, HEART, *everywhere)
    assert browser.GetProxyNode(masks).GetSegmentation().GetNumberOfLayers() > 1
    expected = labels[1].copy()
    expected[(expected == 0) | (expected == Structure.THORAX)] = Structure.WHOLE_HEART
    np.testing.assert_array_equal(labelsOfFrame(masks, 1), expected)
    editor.draw(1, TRACHEA, *everywhere)
    assert (labelsOfFrame(masks, 1) == Structure.TRACHEA).all()


def test_mask_drawn_beyond_the_image_border_is_cut_off(segmented):
    _, _, masks, _ = segmented
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment = masks.GetNthDataNode(0).GetSegmentation().GetSegment(TRACHEA)
    own = segment.GetRepresentation(representation)
    image = slicer.vtkOrientedImageData()
    image.CopyDirections(own)
    image.SetSpacing(own.GetSpacing())
    image.SetOrigin(own.GetOrigin())
    image.SetExtent(-5, 4, -3, 6, 0, 0)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    segment.RemoveAllRepresentations()
    segment.SetLabelValue(1)
    segment.AddRepresentation(representation, image)
    labels = labelsOfFrame(masks, 0)
    assert (labels == Structure.TRACHEA).sum() == 7 * 5
    assert (labels[:7, :5] == Structure.TRACHEA).all()


def test_mask_on_a_finer_grid_is_brought_to_the_pixels_of_the_clip(segmented):
    _, _, masks, _ = segmented
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment = masks.GetNthDataNode(0).GetSegmentation().GetSegment(TRACHEA)
    image = slicer.vtkOrientedImageData()
    image.CopyDirections(segment.GetRepresentation(representation))
    image.SetSpacing(0.11, 0.155, 1.0)
    image.SetOrigin(0.055, 0.0775, 0.0)
    image.SetExtent(20, 39, 20, 39, 0, 0)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(1)
    segment.RemoveAllRepresentations()
    segment.SetLabelValue(1)
    segment.AddRepresentation(representation, image)
    assert (labelsOfFrame(masks, 0) == Structure.TRACHEA).sum() == pytest.approx(100, abs=20)


def test_deleted_and_foreign_segments_do_no_harm(segmented):
    _, browser, masks, labels = segmented
    browser.SetSelectedItemNumber(2)
    proxy = browser.GetProxyNode(masks)
    proxy.GetSegmentation().RemoveSegment(LV)
    proxy.GetSegmentation().AddEmptySegment("Notes", "My notes")
    expected = labels[2].copy()
    expected[expected == Structure.LEFT_VENTRICLE] = 0
    np.testing.assert_array_equal(labelsOfFrame(masks, 2), expected)
    setFrameLabels(masks, 2, labels[2])
    np.testing.assert_array_equal(labelsOfFrame(masks, 2), labels[2])


def test_segment_that_a_user_added_again_counts_by_its_terminology(segmented):
    _, browser, masks, _ = segmented
    browser.SetSelectedItemNumber(2)
    segmentation = browser.GetProxyNode(masks).GetSegmentation()
    segmentation.RemoveSegment(LV)
    segmentation.AddEmptySegment("Segment_1", "anything")
    entry = terminologyEntry(Structure.LEFT_VENTRICLE).replace("FetalEcho~", "Other list~")
    segmentation.GetSegment("Segment_1").SetTag("TerminologyEntry", entry)
    Editor(browser, masks).draw(2, "Segment_1", np.s_[0:4], np.s_[50:60])
    assert (labelsOfFrame(masks, 2)[0:4, 50:60] == Structure.LEFT_VENTRICLE).all()


def test_setting_one_frame_leaves_the_others(segmented):
    _, browser, masks, labels = segmented
    for index in (0, 4):  # the frame that is shown, and one that is not
        new = np.roll(labels[index], 7, axis=1)
        setFrameLabels(masks, index, new, drawnBy="clicks")
        labels[index] = new
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)
    assert [drawnBy(masks, i) for i in range(FRAMES)] == ["clicks", "model", "model", "model", "clicks", "model"]
    for index in range(FRAMES):
        browser.SetSelectedItemNumber(index)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)


def test_setting_some_structures_leaves_the_other_segments(segmented):
    _, _, masks, labels = segmented
    new = np.zeros_like(labels[1])
    new[0:3, 0:3] = Structure.LEFT_VENTRICLE
    new[40:, :] = Structure.THORAX  # not among the chosen
    setFrameLabels(masks, 1, new, "clicks", [Structure.LEFT_VENTRICLE])
    expected = labels[1].copy()
    expected[expected == Structure.LEFT_VENTRICLE] = 0
    expected[0:3, 0:3] = Structure.LEFT_VENTRICLE
    np.testing.assert_array_equal(labelsOfFrame(masks, 1), expected)
    assert drawnBy(masks, 1, Structure.LEFT_VENTRICLE) == "clicks"
    assert drawnBy(masks, 1, Structure.RIGHT_VENTRICLE) == "model"


def test_display_is_told_of_a_new_mask(segmented):
    _, browser, masks, labels = segmented
    events = []
    proxy = browser.GetProxyNode(masks)
    tag = proxy.AddObserver(slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: events.append(1))
    setFrameLabels(masks, browser.GetSelectedItemNumber(), labels[3])
    proxy.RemoveObserver(tag)
    assert events


def test_author_can_be_named_after_an_edit(segmented):
    _, browser, masks, _ = segmented
    Editor(browser, masks).draw(5, LV, np.s_[0:4], np.s_[50:60])
    setDrawnBy(masks, 5, "clicks", Structure.LEFT_VENTRICLE)
    browser.SetSelectedItemNumber(0)
    assert drawnBy(masks, 5) == "clicks"
    assert drawnBy(masks, 5, Structure.LEFT_VENTRICLE) == "clicks"


def test_prediction_comes_back_equal(cine):
    prediction = makePrediction(makeLabels(), done=np.array([True, True, False, True, False, True]))
    prediction.labels[~prediction.done] = 0
    sequence, browser = addCineToScene(cine, "Clip")
    back = predictionFromSequence(addPredictionToScene(prediction, sequence, browser))
    for name in ("labels", "view_probabilities", "condition_probabilities", "clip_conditions", "confidence", "done"):
        np.testing.assert_array_equal(getattr(back, name), getattr(prediction, name), err_msg=name)
    for name in ("view", "view_source", "bundle", "notes"):
        assert getattr(back, name) == getattr(prediction, name)


def test_frames_that_were_not_done_have_items_with_empty_segments(cine):
    prediction = makePrediction(makeLabels(), done=np.arange(FRAMES) < 2)
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addPredictionToScene(prediction, sequence, browser)
    browser.SetSelectedItemNumber(4)
    assert browser.GetProxyNode(masks).GetSegmentation().GetNumberOfSegments() == 14
    assert not labelsOfFrame(masks, 4).any()
    assert drawnBy(masks, 4) == ""


def test_frames_closer_than_a_millisecond_have_masks_of_their_own(frames):
    cine = Cine.from_array(frames, times=np.arange(len(frames)) * 0.0004)
    labels = makeLabels()
    sequence, browser = addCineToScene(cine, "Fast")
    masks = addPredictionToScene(makePrediction(labels), sequence, browser)
    Editor(browser, masks).draw(5, LV, np.s_[0:4], np.s_[50:60])
    labels[5, 0:4, 50:60] = Structure.LEFT_VENTRICLE
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)


def test_two_segmentations_of_one_clip_do_not_mix(segmented):
    sequence, browser, masks, labels = segmented
    other = addPredictionToScene(makePrediction(labels[::-1].copy()), sequence, browser, "Second")
    Editor(browser, masks).draw(2, LV, np.s_[0:4], np.s_[50:60])
    np.testing.assert_array_equal(labelsFromSegmentationSequence(other), labels[::-1])


def test_browser_keeps_its_settings_and_the_editor_its_source(segmented):
    sequence, browser, masks, _ = segmented
    assert browser.GetSaveChanges(masks)
    assert not browser.GetOverwriteProxyName(masks)
    proxy = browser.GetProxyNode(masks)
    browser.SetSelectedItemNumber(3)
    assert proxy.GetName() == "Clip segmentation"
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert proxy.GetNodeReference(role) is browser.GetProxyNode(sequence)


def test_hidden_segment_stays_hidden_on_all_frames(segmented):
    _, browser, masks, _ = segmented
    display = browser.GetProxyNode(masks).GetDisplayNode()
    display.SetSegmentVisibility(LV, False)
    for index in range(FRAMES):
        browser.SetSelectedItemNumber(index)
    assert not browser.GetProxyNode(masks).GetDisplayNode().GetSegmentVisibility(LV)


def test_prediction_of_another_clip_is_refused(cine):
    sequence, browser = addCineToScene(cine, "Clip")
    for labels in (makeLabels()[:3], makeLabels()[:, :, :40]):
        with pytest.raises(InvalidRequest, match="the clip 'Clip'"):
            addPredictionToScene(makePrediction(np.ascontiguousarray(labels)), sequence, browser)
    assert len(slicer.util.getNodesByClass("vtkMRMLSequenceNode")) == 1


def test_bad_masks_are_refused_and_change_nothing(segmented):
    _, _, masks, labels = segmented
    bad = (labels[0][:-1], labels[0].astype(np.int16), np.full_like(labels[0], 15))
    for new in bad:
        with pytest.raises(InvalidRequest, match="from 0 to 14"):
            setFrameLabels(masks, 0, new)
    for index in (-1, FRAMES):
        with pytest.raises(InvalidRequest, match=f"Frame {index} is outside"):
            setFrameLabels(masks, index, labels[0])
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)


def test_masks_can_be_read_after_the_clip_was_removed(segmented):
    sequence, _, masks, labels = segmented
    slicer.mrmlScene.RemoveNode(sequence)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)
