from __future__ import annotations

import pytest
import slicer
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.scene.io import openScene, saveScene
from FetalEchoSegLib.scene.review import ACCEPTED_EVENT, acceptedFrames, isAccepted, protectedFrames, setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import BY_CLICKS, BY_HAND, labelsOfFrame, maskSequence, setFrameLabels


def test_accepting_is_for_one_frame_and_can_be_taken_back(segmented):
    _, browser, masks, _ = segmented
    setAccepted(masks, 0)
    setAccepted(masks, 3)
    assert acceptedFrames(masks) == [0, 3]
    for frame in range(6):
        browser.SetSelectedItemNumber(frame)
    assert acceptedFrames(masks) == [0, 3]
    setAccepted(masks, 0, False)
    assert acceptedFrames(masks) == [3]
    assert not isAccepted(masks, 0)


def test_accepting_is_told_and_is_no_change_of_the_masks(segmented):
    _, browser, masks, _ = segmented
    browser.SetSelectedItemNumber(2)
    told, modified = [], []
    masks.AddObserver(ACCEPTED_EVENT, lambda caller, event: told.append(event))
    masks.AddObserver("ModifiedEvent", lambda caller, event: modified.append(event))
    setAccepted(masks, 2)
    setAccepted(masks, 4)
    assert len(told) == 2
    assert modified == []
    browser.SetSelectedItemNumber(3)
    browser.SetSelectedItemNumber(2)
    assert browser.GetProxyNode(masks).GetAttribute("FetalEcho.Accepted") == "yes"
    assert acceptedFrames(masks) == [2, 4]


def test_an_accepted_frame_stays_so_when_it_is_edited_and_spreads_to_no_other(segmented):
    _, browser, masks, _ = segmented
    browser.SetSelectedItemNumber(2)
    setAccepted(masks, 2)
    for frame in (2, 4):
        browser.SetSelectedItemNumber(frame)
        proxy = browser.GetProxyNode(masks)
        segment_id = proxy.GetSegmentation().GetNthSegmentID(1)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(proxy, segment_id).copy()
        array[...] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, proxy, segment_id)
    assert acceptedFrames(masks) == [2]
    assert protectedFrames(masks) == [2, 4]


def test_what_the_user_has_drawn_erased_or_accepted_is_protected(segmented):
    _, _, masks, labels = segmented
    assert protectedFrames(masks) == []
    setFrameLabels(masks, 1, labels[0], BY_HAND)
    setFrameLabels(masks, 2, labels[0], BY_CLICKS)
    setFrameLabels(masks, 3, 0 * labels[0], BY_HAND)
    setAccepted(masks, 5)
    assert protectedFrames(masks) == [1, 2, 3, 5]


def test_acceptance_survives_saving_and_further_changes_of_the_opened_scene(segmented, tmp_path):
    _, browser, masks, labels = segmented
    browser.SetSelectedItemNumber(1)
    setAccepted(masks, 1)
    path = saveScene(tmp_path / "case.mrb")
    openScene(path)
    browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    masks = maskSequence(browser)
    assert acceptedFrames(masks) == [1]
    setAccepted(masks, 2)
    setFrameLabels(masks, 1, labels[3], BY_HAND)
    assert acceptedFrames(masks) == [1, 2]
    assert (labelsOfFrame(masks, 1) == labels[3]).all()


def test_a_frame_outside_the_clip_is_refused(segmented):
    _, _, masks, _ = segmented
    with pytest.raises(InvalidRequest, match="Frame 6 is outside"):
        setAccepted(masks, 6)
