"""The Refine section, by clicks, with a model that finds bright blobs."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import slicer

pytest.importorskip("torch")
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.promptable.bundle import PromptableBundle
from FetalEchoSegLib.promptable.loading import forget_promptable
from FetalEchoSegLib.scene.views import showClip
from promptables import BrightModel, random_promptable

from .host import desktop, driver
from .results import makeResult

FRAMES, GONE, WRONG = 10, 8, 3
LV, RV = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE
SHAPE = (96, 128)


def disc(frame, row=48, radius=14):
    """A disc that moves to the right by a pixel a frame."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows - row, columns - 50 - frame) < radius


def masksOf(frame):
    """The left ventricle on the bright disc, a right ventricle above that its lower edge comes to lie on."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:38, 20:110] = RV
    labels[disc(frame)] = LV
    return labels


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of installed models that answer clicks; one that finds bright blobs is there."""
    from FetalEchoSegLib.promptable import bundle

    monkeypatch.setattr(bundle, "bundle_folders", lambda: [tmp_path / "models"])
    monkeypatch.setattr(PromptableBundle, "build", lambda self, *options: BrightModel())
    random_promptable(tmp_path / "models" / "test-clicks")
    yield tmp_path / "models"
    forget_promptable()


@pytest.fixture
def panel(models):
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def state(panel):
    return panel.self().state


@pytest.fixture
def logic(panel):
    return panel.self().logic


@pytest.fixture
def masks(panel, logic):
    """Masks of a clip, shown, with a left ventricle in frame 3 that is much too small; the disc is gone in frame 8."""
    frames = np.stack([np.where(disc(k), 200, 40) for k in range(FRAMES)]).astype(np.uint8)
    frames[GONE] = 40
    cine = Cine.from_array(frames, frame_rate=25.0, spacing=(0.3, 0.3), calibration="user")
    browser = logic.addCine(cine, "Clip")
    prediction = makeResult(cine, np.full(FRAMES, 0.97), View.FOUR_CHAMBER)
    for frame in range(FRAMES):
        prediction.labels[frame] = masksOf(frame)
    prediction.labels[WRONG][disc(WRONG) & ~disc(WRONG, radius=6)] = 0
    logic.getParameterNode().browser = browser
    masks = logic.addPrediction(prediction, browser)
    showClip(browser)
    driver.process_events()
    return masks


@pytest.fixture
def editor(panel, masks):
    """The embedded editor, in sight."""
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    return panel.ui.refineEditor


def carry(panel, button, seconds=30):
    driver.click(button)
    driver.wait_until(lambda: not panel.self().state.isBusy, seconds)


def selected(editor):
    return editor.currentSegmentID()


# what is edited


def test_without_masks_the_section_says_what_to_do(panel, logic):
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert panel.ui.refineHintLabel.text == "No clip: open one in the section Input."
    logic.getParameterNode().browser = logic.addCine(Cine.from_array(np.zeros((2, *SHAPE), np.uint8)), "Clip")
    driver.process_events()
    assert panel.ui.refineHintLabel.text.startswith("No masks yet: press Apply in the section Run")
    assert not panel.ui.refineContainer.visible
    assert panel.ui.refineEditor.segmentationNode() is None


def test_the_editor_edits_what_the_clip_shows(editor, state):
    assert editor.segmentationNode() is state.maskProxy
    assert editor.sourceVolumeNode() is state.cineProxy
    table = driver.find(editor, "SegmentsTableView")
    assert table.displayedSegmentIDs() == panel_structures(state)
    assert not driver.find(editor, "SegmentationNodeComboBox").visible
    assert not driver.find(editor, "AddSegmentButton").visible


def panel_structures(state):
    """Ids of the structures of a four-chamber view."""
    from FetalEchoSegLib.anatomy import permitted_structures

    return tuple(structure.info.segment_id for structure in permitted_structures(View.FOUR_CHAMBER))


def test_only_the_effects_that_belong_here_are_offered(editor):
    from FetalEchoSegLib.panel.embedded_editor import EFFECTS

    offered = [editor.effectByIndex(k).name for k in range(editor.effectCount()) if editor.effectByIndex(k)]
    assert set(offered) <= set(EFFECTS)


def test_other_masks_of_the_clip_are_edited_once_they_are_chosen(panel, editor, state, logic, masks):
    other = logic.addPrediction(logic.prediction(masks), state.browser)
    logic.getParameterNode().masks = other
    driver.process_events()
    assert editor.segmentationNode() is state.browser.GetProxyNode(other)


def test_the_editor_comes_and_goes_with_the_scene(panel, editor, state, masks, tmp_path):
    saved = driver.save_scene(tmp_path / "scene.mrb")
    node = editor.mrmlSegmentEditorNode()
    driver.close_scene()
    assert editor.segmentationNode() is None
    driver.open_scene(saved)
    driver.process_events()
    assert editor.segmentationNode() is state.maskProxy
    assert editor.sourceVolumeNode() is state.cineProxy
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentEditorNode")
    # Those of other editors outlive their scenes, too.
    assert [n.GetSingletonTag() for n in nodes].count("FetalEchoSeg") == 1
    del node


def test_an_edited_frame_is_the_users(panel, editor, state, logic, masks):
    state.showFrame(2)
    drawn = np.zeros((1, *SHAPE), np.uint8)
    drawn[0, 60:70, 20:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, editor.segmentationNode(), "LeftAtrium", state.cineProxy)
    assert logic.drawnBy(masks)[1:4] == ["model", "hand", "model"]


# keys


def enabledKeys():
    window = slicer.util.mainWindow()
    return [k.key.toString() for k in window.findChildren("QShortcut") if k.parent() is window and k.enabled]


def test_no_key_means_two_things(editor):
    keys = enabledKeys()
    assert {"A", "C", "D", "N", "Z", "1"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_the_editors_keys_are_there_only_while_the_section_is_open(panel, editor):
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert "Z" not in enabledKeys()
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert "Z" in enabledKeys()
    driver.leave_module()
    assert enabledKeys() == []
    driver.open_module("FetalEchoSeg")
    assert "Z" in enabledKeys()
    driver.close_scene()
    assert "Z" not in enabledKeys()


# frames that need a look


def test_the_button_names_the_next_frame_and_why(panel, editor, state, logic, masks):
    assert panel.ui.correctButton.text == "Correct frame 3: LV jumps"
    driver.click(panel.ui.correctButton)
    assert state.frame == WRONG
    assert selected(editor) == "LeftVentricle"
    driver.click(panel.ui.acceptNextButton)
    assert logic.acceptedFrames(masks) == [WRONG]
    assert panel.ui.correctButton.text == "No frame needs a look"
    assert not panel.ui.correctButton.enabled
    assert panel.ui.statusLabel.text == "Frame 3 is accepted; no other needs a look."


def test_the_result_leads_to_the_section(panel, state, masks):
    display = state.maskProxy.GetDisplayNode()
    display.SetSegmentVisibility("LeftVentricle", False)
    assert not panel.ui.refineContainer.visible
    driver.click(panel.ui.correctFrameButton)
    driver.process_events()
    assert panel.ui.refineContainer.visible
    assert selected(panel.ui.refineEditor) == "LeftVentricle"
    assert display.GetSegmentVisibility("LeftVentricle")
    assert state.frame == WRONG


def test_low_confidence_leads_to_the_largest_chamber(panel, logic, masks):
    prediction = logic.prediction(masks)
    prediction.labels[WRONG] = masksOf(WRONG)
    prediction.labels[:, 80:] = Structure.THORAX
    prediction.confidence[6] = 0.5
    logic.getParameterNode().masks = logic.addPrediction(prediction, logic.browserOf(masks))
    driver.process_events()
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert panel.ui.correctButton.text == "Correct frame 6: confidence 0.50"
    driver.click(panel.ui.correctButton)
    assert selected(panel.ui.refineEditor) == "RightVentricle"


def test_a_structure_that_is_gone_is_said_to_be_missing(panel, logic, masks):
    labels = masksOf(WRONG)
    labels[labels == LV] = 0
    logic.setLabels(masks, WRONG, labels, "model")
    driver.process_events()
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert panel.ui.correctButton.text == "Correct frame 3: LV is missing"


def test_many_reasons_are_cut(panel, logic, masks):
    prediction = logic.prediction(masks)
    for number, structure in enumerate((Structure.LEFT_ATRIUM, Structure.RIGHT_ATRIUM)):
        prediction.labels[:, 70:90, 10 + 40 * number : 40 + 40 * number] = structure
    prediction.labels[WRONG] = 0
    logic.getParameterNode().masks = logic.addPrediction(prediction, logic.browserOf(masks))
    driver.process_events()
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert panel.ui.correctButton.text == "Correct frame 3: LA is missing, LV is missing, 2 more"


# clicks


def clickAt(panel, frame, x, y, **options):
    """Click into the frame, and wait until it is answered."""
    from FetalEchoSegLib.panel import click_sharing

    driver.wait_until(lambda: not click_sharing._session.isBusy, 20)
    driver.click_slice(driver.slice_view("Red"), ijk=(x, y, 0), **options)
    driver.wait_until(lambda: not click_sharing._session.waitingClicks, 20)


def dice(labels, truth, structure=LV):
    found, true = labels == structure, truth == structure
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))


def test_one_click_corrects_the_contour_and_settles_the_frame(panel, state, logic, masks):
    driver.click(panel.ui.correctFrameButton)
    editor = panel.ui.refineEditor
    assert editor.activeEffect().name == "SAM-Med2D"
    before = logic.labels(masks)
    assert dice(before[WRONG], masksOf(WRONG)) < 0.5
    clickAt(panel, WRONG, 50 + WRONG, 48)
    after = logic.labels(masks)
    assert dice(after[WRONG], masksOf(WRONG)) > 0.95
    np.testing.assert_array_equal(np.delete(after, WRONG, 0), np.delete(before, WRONG, 0))
    assert logic.drawnBy(masks)[WRONG] == "clicks"
    driver.wait_until(lambda: panel.ui.correctButton.text == "No frame needs a look", 5)
    assert "corrected by clicks" in panel.ui.frameLabel.text

    driver.key(driver.main_window(), "Z")
    np.testing.assert_array_equal(logic.labels(masks), before)
    driver.wait_until(lambda: panel.ui.correctButton.text == "Correct frame 3: LV jumps", 5)
    driver.key(driver.main_window(), "Y")
    np.testing.assert_array_equal(logic.labels(masks), after)
    assert logic.drawnBy(masks)[WRONG] == "clicks"


def test_accepting_leads_on_with_the_tool_in_hand(panel, state, logic, masks):
    labels = masksOf(6)
    labels[labels == RV] = 0
    logic.setLabels(masks, 6, labels, "model")
    driver.process_events()
    driver.click(panel.ui.correctFrameButton)
    editor = panel.ui.refineEditor
    clickAt(panel, WRONG, 50 + WRONG, 48)
    driver.click(panel.ui.acceptNextButton)
    assert state.frame == 6
    assert selected(editor) == "RightVentricle"
    assert editor.activeEffect().name == "SAM-Med2D"
    driver.key(driver.main_window(), "C")  # the key of the section Result does the same
    assert logic.acceptedFrames(masks) == [WRONG, 6]


def test_leaving_gives_the_mouse_back(panel, state, logic, masks):
    driver.click(panel.ui.correctFrameButton)
    clickAt(panel, WRONG, 50 + WRONG, 48)
    before = logic.labels(masks)
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert panel.ui.refineEditor.activeEffect() is None
    driver.click_slice(driver.slice_view("Red"), ijk=(20, 80, 0))
    driver.process_events()
    np.testing.assert_array_equal(logic.labels(masks), before)


def test_a_scene_saved_with_the_tool_in_hand_opens_without_it_elsewhere(panel, state, masks, tmp_path):
    driver.click(panel.ui.correctFrameButton)
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.leave_module()
    driver.open_scene(saved)
    driver.process_events()
    assert panel.ui.refineEditor.activeEffect() is None


# other frames


def select_and_show(editor, state, frame, name="Left ventricle"):
    driver.select_segment(editor, name)
    state.showFrame(frame)
    driver.process_events()


def outline():
    """Pixels of the outline's mask that the views show, 0 without one."""
    node = next(iter(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[::-1]), None)
    if node is None or node.GetName() != "FetalEcho preview" or not node.GetSegmentation().GetNumberOfSegments():
        return 0
    return int(np.count_nonzero(slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, "preview")))


def frames_listed(panel):
    table = panel.ui.carryTable
    return [int(table.item(row, 0).text()) for row in range(table.rowCount)] if table.visible else []


def test_a_mask_is_carried_looked_at_and_applied(panel, editor, state, logic, masks):
    before = logic.labels(masks)
    select_and_show(editor, state, 2)
    assert panel.ui.carryLabel.text == "Carry LV of frame 2 to other frames:"
    carry(panel, panel.ui.carryForwardButton)
    assert frames_listed(panel) == [3, 4, 5, 6, 7]
    assert state.frame == 3
    assert panel.ui.carryNoteLabel.text == (
        "Left ventricle reached the frames 3 to 7. Nothing is changed yet. "
        "Stopped before frame 8: the structure is not found there."
    )
    np.testing.assert_array_equal(logic.labels(masks), before)
    # each frame, over the clip
    assert outline() == pytest.approx(np.count_nonzero(disc(3)), rel=0.05)
    driver.click_item(panel.ui.carryTable, 2, 1)
    assert state.frame == 5
    assert outline() > 0
    state.showFrame(9)
    assert outline() == 0

    driver.click(panel.ui.carryApplyButton)
    labels = logic.labels(masks)
    assert np.count_nonzero((labels[WRONG] == LV) & disc(WRONG)) > 0.95 * np.count_nonzero(disc(WRONG))
    assert logic.drawnBy(masks)[2:9] == ["model", *["clicks"] * 5, "model"]
    assert state.frame == 2
    assert panel.ui.carryNoteLabel.text.startswith("Left ventricle was placed on the frames 3 to 7. Stopped before")
    assert frames_listed(panel) == []
    driver.wait_until(lambda: panel.ui.correctButton.text == "No frame needs a look", 5)

    driver.click(panel.ui.carryTakeBackButton)
    np.testing.assert_array_equal(logic.labels(masks), before)
    assert logic.drawnBy(masks) == ["model"] * FRAMES
    assert panel.ui.carryNoteLabel.text == "Taken back."
    assert not panel.ui.carryTakeBackButton.visible


def test_discarding_changes_nothing(panel, editor, state, logic, masks):
    before = logic.labels(masks)
    select_and_show(editor, state, 5)
    driver.type_text(panel.ui.carryLimitSpinBox, "2")
    carry(panel, panel.ui.carryBackwardButton)
    assert frames_listed(panel) == [4, 3]
    assert state.frame == 4
    driver.click(panel.ui.carryDiscardButton)
    assert state.frame == 5
    assert outline() == 0
    np.testing.assert_array_equal(logic.labels(masks), before)


def test_frames_of_the_user_are_written_only_when_checked(panel, editor, state, logic, masks):
    logic.setLabels(masks, 4, masksOf(0), "hand")
    logic.acceptFrame(masks, 5)
    driver.wait_until(lambda: state.review.accepted[5] and state.review.drawnBy[4] == "hand", 5)
    before = logic.labels(masks)
    select_and_show(editor, state, 2)
    carry(panel, panel.ui.carryForwardButton)
    table = panel.ui.carryTable
    assert table.item(1, 2).text() == "by hand: kept unless checked"
    assert table.item(2, 2).text() == "by the model, accepted: kept unless checked"
    assert panel.ui.carryApplyButton.text == "Apply to 3 frames"
    table.item(2, 0).setCheckState(qt_checked())
    assert panel.ui.carryApplyButton.text == "Apply to 4 frames"
    # drawn while the table was shown: nobody asked about it
    logic.setLabels(masks, 6, masksOf(0), "hand")
    driver.click(panel.ui.carryApplyButton)
    np.testing.assert_array_equal(logic.labels(masks)[4], before[4])
    np.testing.assert_array_equal(logic.labels(masks)[6], masksOf(0))
    assert logic.drawnBy(masks)[3:8] == ["clicks", "hand", "clicks", "hand", "clicks"]
    assert "Kept as you drew or accepted them: 6." in panel.ui.carryNoteLabel.text


def qt_checked():
    import qt

    return qt.Qt.Checked


def test_nothing_reached_is_said(panel, editor, state):
    select_and_show(editor, state, GONE - 1)
    carry(panel, panel.ui.carryForwardButton)
    assert panel.ui.carryNoteLabel.text == (
        "Left ventricle reached no frame. Stopped before frame 8: the structure is not found there."
    )
    assert not panel.ui.carryApplyButton.visible
    assert state.frame == GONE - 1


@pytest.mark.parametrize("isDeaf", [False, True])
def test_cancelling_keeps_what_was_reached(panel, editor, state, logic, masks, monkeypatch, isDeaf):
    gate, reached = threading.Event(), threading.Event()
    answer, asked = BrightModel.answer, []

    def held(self, *arguments):
        asked.append(1)
        if len(asked) > 4:  # two frames, there and back
            reached.set()
            gate.wait(20)
        return answer(self, *arguments)

    monkeypatch.setattr(BrightModel, "answer", held)
    select_and_show(editor, state, 2)
    driver.click(panel.ui.carryForwardButton)
    driver.wait_until(reached.is_set, 20)
    assert panel.ui.carryProgressBar.visible
    assert not panel.ui.carryForwardButton.enabled
    driver.click(panel.ui.carryCancelButton)
    if not isDeaf:
        gate.set()
    driver.wait_until(lambda: not state.isBusy, 20)
    gate.set()
    assert frames_listed(panel)[:2] == [3, 4]
    assert "Cancelled after" in panel.ui.carryNoteLabel.text


@pytest.mark.parametrize("how", ["close", "delete", "leave"])
def test_what_goes_away_during_a_run_is_no_accident(panel, editor, state, masks, monkeypatch, how):
    gate, reached, embed = threading.Event(), threading.Event(), BrightModel.embed

    def held(self, *arguments, **keywords):
        reached.set()
        gate.wait(20)
        return embed(self, *arguments, **keywords)

    monkeypatch.setattr(BrightModel, "embed", held)
    select_and_show(editor, state, 2)
    driver.click(panel.ui.carryForwardButton)
    driver.wait_until(reached.is_set, 20)
    if how == "close":
        driver.close_scene()
    elif how == "delete":
        slicer.mrmlScene.RemoveNode(masks)
    else:
        driver.leave_module()
    gate.set()
    driver.wait_until(lambda: not state.isBusy, 20)
    assert frames_listed(panel) == []
    if how == "leave":
        assert outline() == 0
        driver.open_module("FetalEchoSeg")
        assert frames_listed(panel) == [3, 4, 5, 6, 7]


def test_the_outline_is_not_saved_and_goes_with_the_section(panel, editor, state, tmp_path):
    select_and_show(editor, state, 2)
    carry(panel, panel.ui.carryForwardButton)
    assert outline() > 0
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert outline() == 0
    driver.click(panel.ui.refineCollapsibleButton, (30, 8))
    assert outline() > 0
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.open_scene(saved)
    assert not slicer.util.getNodes("FetalEcho preview*")
    assert frames_listed(panel) == []


def test_an_empty_structure_is_not_carried(panel, editor, state):
    select_and_show(editor, state, 2, "Right atrium")
    desktop.dialogs.answer(None, "There is nothing to carry: Right atrium is empty in frame 2. Draw it there first.")
    driver.click(panel.ui.carryForwardButton)
    assert not state.isBusy


def test_without_a_model_the_buttons_say_where_to_get_one(models, panel, editor, state):
    import shutil

    shutil.rmtree(models / "test-clicks")
    panel.self().sections["ModelSection"].refresh()
    assert not panel.ui.carryForwardButton.enabled
    assert panel.ui.carryForwardButton.toolTip == (
        "No model on this machine answers clicks: add one in the section Model"
    )


def test_a_new_run_of_the_model_ends_the_look(panel, editor, state, logic, masks):
    select_and_show(editor, state, 2)
    carry(panel, panel.ui.carryForwardButton)
    state.masksModified()
    assert frames_listed(panel) == []
    assert outline() == 0


def test_the_section_fits_a_narrow_window(panel, editor, state):
    select_and_show(editor, state, 2)
    carry(panel, panel.ui.carryForwardButton)
    assert panel.self().sections["RefineSection"].widget.minimumSizeHint.width() <= 350
