"""The Run section, driven by clicks."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
import slicer

torch = pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.networks.lean import LeanEchoCare
from FetalEchoSegLib.promptable.bundle import PromptableBundle
from FetalEchoSegLib.promptable.loading import forget_promptable
from FetalEchoSegLib.scene.review import protectedFrames, setAccepted
from FetalEchoSegLib.scene.segmentation_nodes import maskSequences
from FetalEchoSegLib.segmentation import forget_segmenter
from promptables import ShiftingModel, random_promptable

from .host import desktop, driver

FRAMES = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "random"
    random_bundle(folder)
    return str(folder)


@pytest.fixture
def panel():
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def logic(panel):
    return panel.self().logic


@pytest.fixture
def parameters(logic, model):
    parameters = logic.getParameterNode()
    parameters.model = model
    parameters.view = type(parameters.view)("4CH")
    return parameters


def makeClip(logic, parameters, frames=FRAMES, name="Clip"):
    pixels = np.random.default_rng(frames).integers(0, 256, (frames, 64, 80), dtype=np.uint8)
    parameters.browser = logic.addCine(Cine.from_array(pixels, frame_rate=25.0), name)
    driver.process_events()
    return parameters.browser


@pytest.fixture
def clip(logic, parameters):
    return makeClip(logic, parameters)


@pytest.fixture
def gate(monkeypatch):
    """Holds the network before its pass of the given number until the gate is opened; deaf to Cancel."""
    forward = LeanEchoCare.__call__

    class Gate:
        closedAt = 2
        passes = 0
        reached = threading.Event()
        opened = threading.Event()

        def open(self):
            self.opened.set()

    gate = Gate()

    def held(network, images):
        gate.passes += 1
        if gate.passes >= gate.closedAt and not gate.opened.is_set():
            gate.reached.set()
            gate.opened.wait(20)
        return forward(network, images)

    monkeypatch.setattr(LeanEchoCare, "__call__", held)
    yield gate
    gate.open()


def apply(panel):
    driver.wait_until(lambda: panel.ui.applyButton.enabled)  # other sections may be at work
    driver.click(panel.ui.applyButton)


def ready(panel, seconds=60):
    driver.wait_until(lambda: panel.ui.applyButton.text == "Apply", seconds)


def drawOn(logic, masks, frame):
    drawn = np.zeros((64, 80), np.uint8)
    drawn[10:20, 10:20] = 3
    logic.setLabels(masks, frame, drawn)
    return drawn


def segmentations():
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]


def press(text):
    """Answer for a message box: its button of this text."""

    def answer(box):
        texts = [button.text.replace("&", "") for button in box.buttons()]
        box.buttons()[texts.index(text)].click()

    return answer


def test_apply_segments_the_whole_clip_and_says_what_is_to_be_known(panel, parameters, clip, logic):
    apply(panel)
    assert panel.ui.applyButton.text == "Cancel"
    assert not panel.ui.framesComboBox.enabled
    ready(panel)
    masks = parameters.masks
    assert maskSequences(clip) == [masks]
    assert logic.prediction(masks).done.all()
    notes = panel.ui.notesLabel.text
    assert notes.startswith("8 frames segmented as 4CH with test-random.")
    assert "Random weights for a test." in notes
    assert not panel.ui.runProgressBar.visible


def test_without_a_clip_there_is_nothing_to_apply(panel, parameters):
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip == "Load or choose a clip first"
    assert not panel.ui.rangeWidget.visible


def test_only_the_current_frame(panel, parameters, clip, logic):
    clip.SetSelectedItemNumber(5)
    driver.choose(panel.ui.framesComboBox, "Current frame")
    apply(panel)
    ready(panel)
    assert np.flatnonzero(logic.prediction(parameters.masks).done).tolist() == [5]
    assert "1 frame segmented as 4CH" in panel.ui.notesLabel.text


def test_a_range_of_frames_keeps_within_the_clip(panel, parameters, clip, logic):
    driver.choose(panel.ui.framesComboBox, "Range")
    assert (panel.ui.firstFrameSpinBox.value, panel.ui.lastFrameSpinBox.value) == (0, 7)
    driver.type_text(panel.ui.firstFrameSpinBox, "3")
    driver.type_text(panel.ui.lastFrameSpinBox, "4")
    assert (parameters.firstFrame, parameters.lastFrame) == (3, 4)
    driver.type_text(panel.ui.firstFrameSpinBox, "6")  # pushes the last one along
    assert (parameters.firstFrame, parameters.lastFrame) == (6, 6)
    parameters.lastFrame = 900  # a script may write anything
    assert panel.ui.lastFrameSpinBox.value == 7
    apply(panel)
    ready(panel)
    assert np.flatnonzero(logic.prediction(parameters.masks).done).tolist() == [6, 7]
    makeClip(logic, parameters, 3, "Short")
    assert (parameters.firstFrame, parameters.lastFrame) == (0, 2)


def test_a_still_is_segmented(panel, parameters, logic):
    makeClip(logic, parameters, 1)
    apply(panel)
    ready(panel)
    assert logic.prediction(parameters.masks).done.tolist() == [True]
    assert panel.ui.lastFrameSpinBox.maximum == 0


def test_running_again_writes_into_the_same_segmentation(panel, parameters, clip, logic):
    apply(panel)
    ready(panel)
    masks, proxy = parameters.masks, clip.GetProxyNode(parameters.masks)
    driver.choose(panel.ui.framesComboBox, "Current frame")
    apply(panel)
    ready(panel)
    assert parameters.masks is masks
    assert clip.GetProxyNode(masks) is proxy
    assert segmentations() == ["Clip segmentation"]
    assert logic.prediction(masks).done.all()


def test_slicer_stays_usable_and_cancel_keeps_the_finished_frames(panel, parameters, clip, logic, gate):
    gate.closedAt = 3
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    done = driver.wait_until(lambda: max(panel.ui.runProgressBar.value, 0) >= 2 and panel.ui.runProgressBar.value)
    assert panel.ui.progressLabel.text.startswith(f"{done} of 8 frames")
    for frame in (1, 4, 2):
        clip.SetSelectedItemNumber(frame)
        driver.process_events()
        assert panel.self().state.frame == frame
    driver.click(panel.ui.applyButton)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.progressLabel.text == "Cancelling..."
    ready(panel)
    assert not gate.opened.is_set()  # the network is deaf: it was left to itself
    assert logic.prediction(parameters.masks).done.sum() == done
    assert f"Cancelled after {done} of 8 frames; the finished ones are kept." in panel.ui.notesLabel.text
    gate.open()
    apply(panel)
    ready(panel)
    assert logic.prediction(parameters.masks).done.all()
    assert segmentations() == ["Clip segmentation"]
    assert "Cancelled" not in panel.ui.notesLabel.text


def test_cancel_before_the_first_frame_leaves_nothing(panel, parameters, clip, gate):
    gate.closedAt = 1
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    driver.click(panel.ui.applyButton)
    ready(panel, 5)
    assert segmentations() == []
    assert panel.ui.statusLabel.text == "Cancelled."


@pytest.mark.parametrize("answer", ["Keep, Segment Others", "New Segmentation", "Cancel"])
def test_edits_are_kept_whatever_the_answer(panel, parameters, clip, logic, answer):
    apply(panel)
    ready(panel)
    masks = parameters.masks
    drawn = drawOn(logic, masks, 2)
    setAccepted(masks, 5)
    setAccepted(masks, 6)
    before = logic.labels(masks)
    desktop.dialogs.answer(
        press(answer), "You drew or accepted 3 of the 8 frames to segment in 'Clip segmentation': 2, 5 to 6."
    )
    apply(panel)
    ready(panel)
    np.testing.assert_array_equal(logic.labels(masks), before)
    np.testing.assert_array_equal(logic.labels(masks)[2], drawn)
    assert protectedFrames(masks) == [2, 5, 6]
    if answer == "New Segmentation":
        assert segmentations() == ["Clip segmentation", "Clip segmentation_1"]
        assert parameters.masks is not masks
        assert protectedFrames(parameters.masks) == []
        assert not clip.GetProxyNode(masks).GetDisplayNode().GetVisibility()
    else:
        assert parameters.masks is masks
        assert segmentations() == ["Clip segmentation"]
    expected = "5 frames segmented" if answer == "Keep, Segment Others" else "8 frames segmented"
    assert panel.ui.notesLabel.text.startswith(expected)
    kept = "Kept as you drew or accepted them: 2, 5 to 6." in panel.ui.notesLabel.text
    assert kept == (answer == "Keep, Segment Others")


def test_an_edit_made_during_the_run_is_kept_and_told(panel, parameters, clip, logic, gate):
    gate.opened.set()
    apply(panel)
    ready(panel)
    gate.opened.clear()
    gate.passes, gate.closedAt = 0, 3
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    drawn = drawOn(logic, parameters.masks, 4)
    gate.open()
    ready(panel)
    np.testing.assert_array_equal(logic.labels(parameters.masks)[4], drawn)
    assert "Kept as you drew or accepted them: 4." in panel.ui.notesLabel.text


def test_a_part_in_another_view_goes_to_a_segmentation_of_its_own_and_says_so(panel, parameters, clip, logic):
    apply(panel)
    ready(panel)
    first = parameters.masks
    parameters.view = type(parameters.view)("LVOT")
    driver.choose(panel.ui.framesComboBox, "Current frame")
    apply(panel)
    ready(panel)
    assert parameters.masks is not first
    assert (
        "The other frames of 'Clip segmentation' are segmented as 4CH, these as LVOT. "
        "The result is a new segmentation, 'Clip segmentation_1'." in panel.ui.notesLabel.text
    )


def test_closing_the_scene_during_a_run_ends_it(panel, parameters, clip, gate, model):
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    driver.close_scene()
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    gate.open()
    time.sleep(0.1)
    driver.process_events()
    assert segmentations() == []


@pytest.mark.parametrize("hasMasks", [False, True])
@pytest.mark.parametrize("what", ["browser", "sequence"])
def test_deleting_the_clip_during_a_run_ends_it(panel, parameters, clip, gate, what, hasMasks):
    if hasMasks:
        gate.opened.set()
        apply(panel)
        ready(panel)
        gate.opened.clear()
        gate.passes = 0
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    slicer.mrmlScene.RemoveNode(clip if what == "browser" else clip.GetMasterSequenceNode())
    driver.process_events()
    assert panel.ui.statusLabel.text == "The clip was removed, so its segmentation was stopped."
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.applyButton.enabled
    gate.open()


def test_deleting_the_masks_during_a_run_makes_new_ones(panel, parameters, clip, logic, gate):
    gate.opened.set()
    apply(panel)
    ready(panel)
    gate.opened.clear()
    gate.passes = 0
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    old = parameters.masks
    slicer.mrmlScene.RemoveNode(clip.GetProxyNode(old))
    slicer.mrmlScene.RemoveNode(old)
    driver.process_events()
    assert parameters.masks is None
    gate.open()
    ready(panel)
    assert maskSequences(clip) == [parameters.masks]
    assert logic.prediction(parameters.masks).done.all()


def test_another_clip_chosen_during_a_run_does_not_get_its_masks(panel, parameters, clip, logic, gate):
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    other = makeClip(logic, parameters, 5, "Other")
    gate.open()
    ready(panel)
    assert maskSequences(other) == []
    assert parameters.masks is None
    assert panel.ui.notesLabel.text == ""
    parameters.browser = clip
    assert parameters.masks is maskSequences(clip)[0]
    assert logic.prediction(clip).done.all()


def test_a_run_goes_on_when_the_panel_is_left_and_ends_with_a_reload(panel, parameters, clip, logic, gate):
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    driver.leave_module()
    gate.open()
    driver.wait_until(lambda: maskSequences(clip), 60)
    driver.open_module("FetalEchoSeg")
    gate.opened.clear()
    gate.passes = 0
    gate.reached.clear()
    apply(panel)
    driver.wait_until(gate.reached.is_set)
    panel = driver.reload_module("FetalEchoSeg")
    assert panel.ui.applyButton.text == "Apply"
    gate.open()
    driver.process_events()
    assert maskSequences(clip) == [panel.self().logic.getParameterNode().masks]


def test_a_model_that_is_gone_is_a_message(panel, parameters, clip, tmp_path):
    folder = tmp_path / "model"
    random_bundle(folder)
    parameters.model = str(folder)
    forget_segmenter()
    shutil.rmtree(folder)
    desktop.dialogs.answer(None, "There is no model")
    apply(panel)
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.statusLabel.text.startswith("There is no model")


def test_too_little_memory_is_a_message_and_finished_frames_stay(panel, parameters, clip, logic, monkeypatch):
    forward = LeanEchoCare.__call__
    passes = []

    def refusing(network, images):
        passes.append(len(images))
        if len(passes) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
        return forward(network, images)

    monkeypatch.setattr(LeanEchoCare, "__call__", refusing)
    desktop.dialogs.answer(None, "There is not enough memory on cpu for one frame: close other programs or choose")
    apply(panel)
    ready(panel)
    done = logic.prediction(parameters.masks).done.sum()
    assert 0 < done < FRAMES
    assert f"{done} frames segmented" in panel.ui.notesLabel.text


def test_a_model_that_takes_the_clip_for_another_view_says_so(panel, parameters, clip, logic, monkeypatch):
    forward = LeanEchoCare.__call__

    def sure(network, images):
        output = forward(network, images)
        views = torch.zeros(len(images), 4)
        views[:, 3] = 9
        return output._replace(views=views)

    monkeypatch.setattr(LeanEchoCare, "__call__", sure)
    apply(panel)
    ready(panel)
    assert "Segmented as 4CH (user), but the model takes this clip for 3VT" in panel.ui.notesLabel.text


# outlines


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of installed models, empty; nothing else is shipped or installed."""
    from FetalEchoSegLib.promptable import bundle

    monkeypatch.setattr(bundle, "bundle_folders", lambda: [tmp_path])
    yield tmp_path
    forget_promptable()


@pytest.fixture
def refiner(models, monkeypatch):
    """An installed model that answers clicks, and moves every mask a little."""
    monkeypatch.setattr(PromptableBundle, "build", lambda self, *options: ShiftingModel())
    return random_promptable(models / "test-clicks")


def test_outlines_are_refined_where_the_box_is_checked(refiner, panel, parameters, clip, logic):
    assert not panel.ui.refineModelComboBox.enabled
    apply(panel)
    ready(panel)
    coarse = logic.labels(parameters.masks)
    driver.click(panel.ui.refineCheckBox)
    assert panel.ui.refineModelComboBox.currentText == "test-clicks"
    apply(panel)
    driver.wait_until(lambda: panel.ui.progressLabel.text.startswith("Refining outlines, "), 60)
    assert panel.ui.runProgressBar.maximum == 2 * FRAMES
    ready(panel)
    assert (logic.labels(parameters.masks) != coarse).any()
    assert "Outlines refined by test-clicks 1" in panel.ui.notesLabel.text


def test_cancelling_the_refinement_keeps_what_is_segmented(refiner, panel, parameters, clip, logic, monkeypatch):
    gate, reached, answer = threading.Event(), threading.Event(), ShiftingModel.answer

    def held(self, *arguments):
        if reached.is_set():
            gate.wait(20)
        reached.set()
        return answer(self, *arguments)

    monkeypatch.setattr(ShiftingModel, "answer", held)
    driver.click(panel.ui.refineCheckBox)
    apply(panel)
    driver.wait_until(reached.is_set, 60)
    driver.click(panel.ui.applyButton)
    ready(panel, 5)
    gate.set()
    assert logic.prediction(parameters.masks).done.all()
    assert "Outlines are as segmented" in panel.ui.notesLabel.text


def test_without_a_model_that_answers_clicks_the_box_says_where_to_get_one(models, panel, parameters):
    assert not panel.ui.refineCheckBox.enabled
    assert panel.ui.refineModelComboBox.currentText == "No model answers clicks: add one in Model"
    random_promptable(models / "test-clicks")
    panel.self().sections["ModelSection"].refresh()
    assert panel.ui.refineCheckBox.enabled


def test_a_model_for_refinement_that_is_missing_is_named(models, panel, parameters, clip):
    parameters.refineOutlines = True
    parameters.refineModel = "elsewhere"
    assert panel.ui.refineModelComboBox.currentText == "elsewhere (not installed here)"
    desktop.dialogs.answer(None, "There is no model 'elsewhere' that answers clicks")
    apply(panel)
    parameters.refineModel = ""
    desktop.dialogs.answer(None, "There is no model 'demo-clicks' that answers clicks")
    apply(panel)
    driver.click(panel.ui.refineCheckBox)
    assert not panel.ui.refineCheckBox.enabled


def test_the_model_for_refinement_is_kept_with_the_scene(models, refiner, panel, parameters, tmp_path):
    card = random_promptable(models / "other").path / "bundle.yaml"
    card.write_text(card.read_text().replace("name: test-clicks", "name: other-clicks"))
    panel.self().sections["ModelSection"].refresh()
    driver.click(panel.ui.refineCheckBox)
    driver.choose(panel.ui.refineModelComboBox, "test-clicks")
    assert parameters.refineModel == "test-clicks"
    saved = driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    assert not panel.ui.refineCheckBox.checked
    driver.open_scene(saved)
    assert panel.ui.refineCheckBox.checked
    assert panel.ui.refineModelComboBox.currentText == "test-clicks"
