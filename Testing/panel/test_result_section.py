"""The Result section, by clicks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import RESEARCH_ONLY, View
from FetalEchoSegLib.panel import result_section
from FetalEchoSegLib.panel.confidence_strip import StripFrame, columnEdges, columnMiddles, columns, rampColor

from .host import driver
from .results import NOTICE, makeCine, makeResult

# Frames 3, 8 and 9 are below the floor of 0.92.
CONFIDENCE = np.array([0.97, 0.96, 0.97, 0.5, 0.96, 0.97, 0.96, 0.95, 0.7, 0.6, 0.97, 0.96])


@pytest.fixture
def panel():
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def clip(panel):
    """(logic, browser) of a clip that the panel shows."""
    logic = panel.self().logic
    browser = logic.addCine(makeCine(len(CONFIDENCE)), "Clip")
    logic.getParameterNode().browser = browser
    driver.process_events()
    return logic, browser


@pytest.fixture
def result(clip):
    """(logic, browser, masks) of a segmented clip that the panel shows."""
    logic, browser = clip
    masks = logic.addPrediction(makeResult(logic.cine(browser), CONFIDENCE), browser)
    driver.process_events()
    return logic, browser, masks


def strip(panel):
    return panel.ui.confidenceStrip


def clickStrip(panel, frame):
    driver.click(strip(panel), (strip(panel).positionOf(frame), 14))


# what is shown when


def test_without_a_clip_there_is_one_sentence_and_nothing_else(panel):
    assert "No clip" in panel.ui.resultHintLabel.text
    for name in ("framesContainer", "frameLabel", "reviewContainer", "structuresGroup", "conditionsGroup", "masksRow"):
        assert not getattr(panel.ui, name).visible, name


def test_a_clip_without_result_can_be_stepped_through(panel, clip):
    _, browser = clip
    assert "press Apply" in panel.ui.resultHintLabel.text
    assert panel.ui.framesContainer.visible
    assert not strip(panel).visible
    driver.click(panel.ui.pushButton_VcrNext)
    assert browser.GetSelectedItemNumber() == 1


def test_a_result_made_in_the_console_is_shown_at_once(panel, result):
    logic, _, masks = result
    assert logic.getParameterNode().masks is masks
    assert not panel.ui.resultHintLabel.visible
    assert "demo-tiny " in panel.ui.modelOfResultLabel.text
    assert "Four-chamber view" in panel.ui.modelOfResultLabel.text
    assert panel.ui.reviewLabel.text == "3 of 12 frames need a look."
    assert not panel.ui.masksRow.visible


def test_a_new_result_is_read_once(panel, clip, monkeypatch):
    logic, browser = clip
    made = []

    class Counted(result_section.FrameReview):
        def __init__(self, *arguments):
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(result_section, "FrameReview", Counted)
    masks = logic.addPrediction(makeResult(logic.cine(browser), np.full(12, 0.97)), browser)
    # As a run does when it is done.
    logic.getParameterNode().masks = masks
    panel.self().state.masksModified()
    driver.process_events()
    assert len(made) == 1


def test_what_was_cancelled_is_said(panel, clip):
    logic, browser = clip
    confidence = np.where(np.arange(12) < 5, 0.97, np.nan)
    note = "Cancelled after 5 of 12 frames; the finished ones are kept."
    logic.addPrediction(makeResult(logic.cine(browser), confidence, notes=(note,)), browser)
    driver.process_events()
    assert note in panel.ui.modelOfResultLabel.text
    assert panel.ui.reviewLabel.text == "No frame needs a look."
    assert [frame.confidence is None for frame in strip(panel).frames] == [False] * 5 + [True] * 7
    clickStrip(panel, 8)
    assert not panel.ui.acceptButton.enabled
    assert "no masks" in panel.ui.frameLabel.text


def test_a_still_has_no_frame_controls(panel):
    logic = panel.self().logic
    browser = logic.addCine(makeCine(1), "Still")
    logic.getParameterNode().browser = browser
    logic.addPrediction(makeResult(logic.cine(browser), [0.5]), browser)
    driver.process_events()
    assert not panel.ui.framesContainer.visible
    assert panel.ui.reviewLabel.text == "1 of 1 frames needs a look."


def test_a_clip_that_is_doubtful_throughout_is_called_so(panel, clip):
    logic, browser = clip
    logic.addPrediction(makeResult(logic.cine(browser), np.linspace(0.5, 0.6, 12)), browser)
    driver.process_events()
    assert panel.ui.reviewLabel.text.startswith("3 of 12 frames need a look. Confidence is low on 12 frames")


def test_masks_without_a_model_are_shown_without_confidence(panel, clip):
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

    logic, browser = clip
    masks = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, "Drawn")
    drawn = np.zeros((96, 128), dtype=np.uint8)
    drawn[10:30, 10:30] = 2
    logic.setLabels(masks, 4, drawn)
    driver.process_events()
    assert "drawn without a model" in panel.ui.resultHintLabel.text
    assert not panel.ui.reviewContainer.visible
    assert not panel.ui.conditionsGroup.visible
    assert [frame.isSettled for frame in strip(panel).frames] == [k == 4 for k in range(12)]
    assert panel.ui.structuresTable.displayedSegmentIDs() == ("LeftVentricle",)


def test_one_of_several_results_is_chosen(panel, result):
    logic, browser, first = result
    second = logic.addPrediction(makeResult(logic.cine(browser), np.full(12, 0.97), View.LVOT), browser)
    driver.process_events()
    assert panel.ui.masksRow.visible
    assert logic.getParameterNode().masks is first
    driver.choose(panel.ui.masksComboBox, 1)
    assert logic.getParameterNode().masks is second
    assert panel.ui.reviewLabel.text == "No frame needs a look."
    assert "Left ventricular" in panel.ui.modelOfResultLabel.text
    slicer.mrmlScene.RemoveNode(second)
    driver.process_events()
    assert logic.getParameterNode().masks is first
    assert not panel.ui.masksRow.visible


def test_another_clip_brings_its_own_result(panel, result):
    logic, browser, masks = result
    other = logic.addCine(makeCine(5), "Other")
    logic.getParameterNode().browser = other
    driver.process_events()
    assert logic.getParameterNode().masks is None
    assert "press Apply" in panel.ui.resultHintLabel.text
    logic.getParameterNode().browser = browser
    driver.process_events()
    assert logic.getParameterNode().masks is masks
    assert len(strip(panel).frames) == 12


def test_closing_the_scene_leaves_an_empty_section(panel, result):
    driver.close_scene()
    assert "No clip" in panel.ui.resultHintLabel.text
    assert strip(panel).frames == ()


# strip


def test_a_click_on_the_strip_jumps_to_the_frame(panel, result):
    _, browser, _ = result
    for frame in (9, 0, 11, 4):
        clickStrip(panel, frame)
        assert browser.GetSelectedItemNumber() == frame
        assert strip(panel).currentFrame == frame
        assert panel.ui.frameLabel.text.startswith(f"Frame {frame}, {frame / 25:.2f} s, confidence")


def test_columns_lie_under_the_handle_of_the_slider(panel, result):
    from PySide6 import QtWidgets

    _, browser, _ = result
    slider = panel.ui.resultSeekWidget.slider()
    for frame in (0, 5, 11):
        browser.SetSelectedItemNumber(frame)
        driver.process_events()
        option = QtWidgets.QStyleOptionSlider()
        slider.initStyleOption(option)
        kind, part = QtWidgets.QStyle.CC_Slider, QtWidgets.QStyle.SC_SliderHandle
        handle = slider.style().subControlRect(kind, option, part, slider).center()
        there = strip(panel).mapFromGlobal(slider.mapToGlobal(handle)).x()
        assert abs(strip(panel).positionOf(frame) - there) <= 2


def test_a_drag_over_the_strip_follows_the_mouse_and_its_tip_says_what_is_there(panel, result):
    from PySide6 import QtCore, QtTest

    _, browser, _ = result
    shown = strip(panel)
    places = {k: QtCore.QPoint(shown.positionOf(k), 14) for k in (2, 5, 8)}
    QtTest.QTest.mousePress(shown, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, places[2])
    QtTest.QTest.mouseMove(shown, places[5])
    driver.process_events()
    assert browser.GetSelectedItemNumber() == 5
    QtTest.QTest.mouseRelease(shown, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, places[5])
    QtTest.QTest.mouseMove(shown, places[8])
    driver.process_events()
    assert browser.GetSelectedItemNumber() == 5
    assert shown.toolTip == "Frame 8\n0.32 s\nconfidence 0.70, below 0.92\ndrawn by the model"


def test_what_the_strip_marks_is_what_needs_a_look(panel, result):
    assert [k for k, frame in enumerate(strip(panel).frames) if frame.needsLook] == [3, 8, 9]


def test_the_strip_paints_confidence_in_its_colours(panel, result):
    image = strip(panel).grab().toImage()
    for frame in (0, 3, 8):
        found = image.pixelColor(strip(panel).positionOf(frame) + 6, 14)
        expected = rampColor(round(float(CONFIDENCE[frame]), 2), 0.92)
        assert max(abs(a - b) for a, b in zip((found.red(), found.green(), found.blue()), expected, strict=True)) <= 1


def test_the_ramp_gets_lighter_all_the_way():
    def lightness(color):
        return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]

    values = [lightness(rampColor(confidence, 0.9)) for confidence in np.linspace(0.8, 1.0, 41)]
    assert all(b > a for a, b in pairwise(values))


def test_frames_that_share_a_pixel_show_the_worst_of_them():
    frames = [StripFrame(0.9)] * 2000
    frames[1234] = StripFrame(0.3)
    frames[777] = StripFrame(0.95, needsLook=True)
    found = columns(frames, columnEdges(columnMiddles(2000, 10, 300, 5), 10, 310))
    assert 285 <= len(found) <= 300
    assert [c.left for c in found[1:]] == [c.right for c in found[:-1]]
    assert sum(c.shown.confidence == 0.3 for c in found) == 1
    assert next(c.frame for c in found if c.shown.confidence == 0.3) == 1234
    assert [c.frame for c in found if c.shown.needsLook] == [777]


# review


def test_next_and_previous_go_through_the_frames_to_check(panel, result):
    _, browser, _ = result
    visited = []
    for _ in range(4):
        driver.click(panel.ui.nextCheckButton)
        visited.append(browser.GetSelectedItemNumber())
    assert visited == [3, 8, 9, 3]
    driver.click(panel.ui.previousCheckButton)
    assert browser.GetSelectedItemNumber() == 9


def test_accepting_by_click_is_kept_and_can_be_taken_back(panel, result):
    logic, _, masks = result
    clickStrip(panel, 8)
    driver.click(panel.ui.acceptButton)
    assert logic.acceptedFrames(masks) == [8]
    assert panel.ui.acceptButton.text == "Accepted"
    assert panel.ui.reviewLabel.text == "2 of 12 frames need a look."
    assert strip(panel).frames[8].isSettled
    assert not strip(panel).frames[8].needsLook
    clickStrip(panel, 9)
    assert not panel.ui.acceptButton.checked
    clickStrip(panel, 8)
    assert panel.ui.acceptButton.checked
    driver.click(panel.ui.acceptButton)
    assert logic.acceptedFrames(masks) == []
    assert panel.ui.reviewLabel.text == "3 of 12 frames need a look."


def test_accepting_is_no_edit_and_starts_no_measurement(panel, result):
    state = panel.self().state
    driver.wait_until(lambda: not state._editTimer.active and not state.isBusy, 30)
    edits = []
    state.masksEdited.connect(lambda: edits.append(state.editedFrames))
    driver.click(panel.ui.nextCheckButton)
    driver.click(panel.ui.acceptButton)
    assert not state._editTimer.active
    assert not state.isBusy
    assert edits == []


def test_accepting_in_the_console_is_seen_in_the_panel(panel, result):
    logic, _, masks = result
    for frame in logic.framesToReview(masks):
        logic.acceptFrame(masks, frame)
    driver.process_events()
    assert panel.ui.reviewLabel.text == "No frame needs a look."
    assert not panel.ui.nextCheckButton.enabled
    for frame in range(12):
        logic.acceptFrame(masks, frame)
    driver.process_events()
    assert panel.ui.reviewLabel.text == "All 12 frames are accepted."


def test_an_edit_settles_the_frame_also_when_one_steps_on_at_once(panel, result):
    _, browser, masks = result
    browser.SetSelectedItemNumber(8)
    proxy = browser.GetProxyNode(masks)
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(proxy, "LeftVentricle").copy()
    drawn[...] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, proxy, "LeftVentricle")
    browser.SetSelectedItemNumber(0)
    driver.wait_until(lambda: panel.ui.reviewLabel.text == "2 of 12 frames need a look.", 5)
    assert [k for k, frame in enumerate(strip(panel).frames) if frame.isSettled] == [8]


def test_masks_written_by_a_program_are_noticed(panel, result):
    logic, _, masks = result
    logic.setLabels(masks, 9, np.zeros((96, 128), dtype=np.uint8), "clicks")
    driver.process_events()
    assert panel.ui.reviewLabel.text == "2 of 12 frames need a look."
    clickStrip(panel, 9)
    assert "corrected by clicks" in panel.ui.frameLabel.text


def test_a_structure_that_vanishes_is_named(panel, clip):
    logic, browser = clip
    prediction = makeResult(logic.cine(browser), np.full(12, 0.97))
    prediction.labels[6][prediction.labels[6] == 4] = 0
    logic.addPrediction(prediction, browser)
    driver.process_events()
    driver.click(panel.ui.nextCheckButton)
    assert browser.GetSelectedItemNumber() == 6
    assert "unlike the frames around: RV" in panel.ui.frameLabel.text


def test_stepping_reads_no_masks(panel, result, monkeypatch):
    _, browser, _ = result
    from FetalEchoSegLib.scene import frame_review, segmentation_nodes

    timer = panel.self().state._editTimer
    timer.stop()  # would tell of the masks just added

    def refuse(*arguments, **keywords):
        raise AssertionError("masks were read")

    for module in (frame_review, segmentation_nodes):
        monkeypatch.setattr(module, "labelsOfFrame", refuse)
    monkeypatch.setattr(segmentation_nodes, "labelsFromSegmentationSequence", refuse)
    for frame in range(12):
        browser.SetSelectedItemNumber(frame)
        driver.process_events()
    assert strip(panel).currentFrame == 11
    assert not timer.active


def test_during_a_job_nothing_is_accepted_and_stepping_goes_on(panel, result):
    _, browser, _ = result
    panel.self().state.setBusy(True)
    assert not panel.ui.acceptButton.enabled
    driver.click(panel.ui.nextCheckButton)
    assert browser.GetSelectedItemNumber() == 3
    panel.self().state.setBusy(False)
    assert panel.ui.acceptButton.enabled


# structures


def test_structures_of_the_view_are_listed(panel, result):
    shown = panel.ui.structuresTable.displayedSegmentIDs()
    assert len(shown) == 7
    assert "LeftVentricle" in shown
    assert "Trachea" not in shown


def test_visibility_and_opacity_hold_for_all_frames_and_after_saving(panel, result, tmp_path):
    _, browser, _ = result
    table = panel.ui.structuresTable
    driver.click_item(table.tableWidget(), table.rowForSegmentID("LeftVentricle"), 0)
    panel.ui.opacitySlider.setValue(80)
    driver.save_scene(tmp_path / "case.mrb")

    def check(browser):
        display = browser.GetProxyNode(panel.self().state.masks).GetDisplayNode()
        for frame in (0, 5, 11):
            browser.SetSelectedItemNumber(frame)
            assert not display.GetSegmentVisibility("LeftVentricle")
            assert display.GetSegmentVisibility("RightVentricle")
            assert display.GetOpacity2DFill() == pytest.approx(0.8)

    check(browser)
    panel.ui.opacitySlider.setValue(30)
    driver.click(panel.ui.showAllButton)
    driver.open_scene(tmp_path / "case.mrb")
    check(panel.self().state.browser)
    assert panel.ui.opacitySlider.value == pytest.approx(80)


def test_all_on_and_all_off(panel, result):
    display = panel.self().state.maskProxy.GetDisplayNode()
    driver.click(panel.ui.hideAllButton)
    assert not any(display.GetVisibleSegmentIDs())
    driver.click(panel.ui.showAllButton)
    assert len(display.GetVisibleSegmentIDs()) == 14


def test_a_colour_changed_on_one_frame_is_that_of_all(panel, result):
    _, browser, masks = result
    browser.SetSelectedItemNumber(7)
    browser.GetProxyNode(masks).GetSegmentation().GetSegment("LeftVentricle").SetColor(0.0, 1.0, 0.0)
    for frame in range(12):
        segment = masks.GetNthDataNode(frame).GetSegmentation().GetSegment("LeftVentricle")
        assert segment.GetColor() == (0.0, 1.0, 0.0)


def test_accepted_frames_and_result_come_back_with_the_scene(panel, result, tmp_path):
    logic, _, masks = result
    logic.acceptFrame(masks, 3)
    driver.save_scene(tmp_path / "case.mrb")
    driver.close_scene()
    driver.open_scene(tmp_path / "case.mrb")
    assert panel.ui.reviewLabel.text == "2 of 12 frames need a look."
    assert strip(panel).frames[3].isSettled
    assert panel.ui.conditionsGroup.visible


# conditions


def test_conditions_have_a_verdict_and_the_sentences_that_belong_to_them(panel, result):
    logic, _, masks = result
    bars = panel.ui.conditionBars.bars
    table = logic.conditions(masks)
    assert [bar.label for bar in bars] == [row.condition.title for row in table.rows[:2]]
    assert bars[0].value == pytest.approx(0.6)
    assert bars[0].band == (table.rows[0].threshold.low, table.rows[0].threshold.high)
    assert bars[0].text == f"60 %  {table.rows[0].verdict}"
    assert panel.ui.researchOnlyLabel.text == f"{RESEARCH_ONLY} {NOTICE}"
    assert panel.ui.notShownLabel.text.startswith("Not shown by this view: Aortic hypoplasia")
