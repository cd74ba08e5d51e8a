"""The training panel, by clicks; runs are made by a worker that only talks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer

pytest.importorskip("torch")
for package in ("pydantic", "psutil", "accelerate"):
    pytest.importorskip(package)
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, read_image, read_label, read_list
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels
from FetalEchoTrainLib import process
from FetalEchoTrainLib.run_folder import RunFolder

from .host import driver

SHAPE = (6, 96, 128)


@pytest.fixture
def folders(tmp_path):
    """A data set and runs of this test alone."""
    qt.QSettings().setValue("FetalEcho/TrainingDataset", str(tmp_path / "data set ä"))
    qt.QSettings().setValue("FetalEcho/TrainingRuns", str(tmp_path / "runs"))
    return tmp_path / "data set ä", tmp_path / "runs"


def clip(name="Clip", view=View.FOUR_CHAMBER, text=False, seed=0):
    """Frame 1 by hand, 3 by clicks, 4 by the model."""
    import cv2

    rng = np.random.default_rng(seed)
    pixels = rng.integers(20, 90, SHAPE, dtype=np.uint8)
    if text:
        for frame in pixels:
            cv2.putText(frame, "DOE", (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    sequence, browser = addCineToScene(Cine.from_array(pixels, frame_rate=20, view=view), name)
    masks = addEmptyMasksToScene(sequence, browser, f"{name} masks")
    labels = np.zeros(SHAPE[1:], np.uint8)
    labels[30:70, 40:90] = 2
    for frame, author in ((1, "hand"), (3, "clicks"), (4, "model")):
        setFrameLabels(masks, frame, labels, drawnBy=author)
    return masks, labels


def texts(table):
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def looked(panel):
    driver.wait_until(lambda: not panel.self().sections["ExportSection"].isLooking, 20)
    return panel


def open_panel():
    return looked(driver.open_module("FetalEchoTrain"))


# Export ---------------------------------------------------------------------------------------------------------------


def test_corrected_frames_are_exported_and_taken_back_by_clicks(folders):
    dataset, _ = folders
    _, labels = clip()
    panel = open_panel()
    rows = texts(panel.ui.framesTable)
    assert [row[:4] for row in rows] == [["Clip masks", "1", "4CH", "hand"], ["Clip masks", "3", "4CH", "clicks"]]
    assert rows[0][4] == "1 structure"
    assert panel.ui.framesTable.item(0, 4).toolTip() == "Left ventricle"
    assert panel.ui.exportButton.text == "Export 2 frames"
    assert not panel.ui.undoExportButton.enabled
    driver.click(panel.ui.wholeClipsCheckBox)
    driver.click(panel.ui.conditionVsdCheckBox)
    driver.click(panel.ui.exportButton)
    driver.wait_until(lambda: panel.ui.undoExportButton.enabled, 20)
    assert panel.ui.datasetStateLabel.text == "2 labelled and 4 unlabelled frames."
    entries = read_list(dataset / TRAIN_LABELED)
    label = read_label(entries[0].label)
    np.testing.assert_array_equal(label.mask, labels)
    assert label.label.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert len(read_list(dataset / TRAIN_UNLABELED)) == 4
    driver.click(panel.ui.undoExportButton)
    assert panel.ui.datasetStateLabel.text == "0 labelled and 0 unlabelled frames."
    assert not panel.ui.undoExportButton.enabled


def test_an_empty_folder_is_filled_with_synthetic_data_to_add_to(folders, monkeypatch):
    from FetalEchoTrainLib import configuration

    few = {f"data.phantom.{part}": 4 for part in ("labelled", "unlabelled", "validation", "calibration", "same", "new")}
    small = configuration.load_config("demo").changed(few | {"data.phantom.image_size": 64})
    monkeypatch.setattr(configuration, "load_config", lambda name: small)
    clip()
    panel = open_panel()
    driver.click(panel.ui.phantomButton)
    driver.wait_until(lambda: not panel.self().state.isBusy, 60)
    assert panel.ui.datasetStateLabel.text == "4 labelled and 4 unlabelled frames."
    assert not panel.ui.phantomButton.enabled
    driver.click(panel.ui.exportButton)
    driver.wait_until(lambda: panel.ui.datasetStateLabel.text == "6 labelled and 4 unlabelled frames.", 20)


def test_frames_of_several_saved_scenes_are_one_export(folders, tmp_path):
    dataset, _ = folders
    paths = []
    for name in ("one", "two ä"):
        clip(name, seed=len(paths))
        paths.append(str(driver.save_scene(tmp_path / f"{name}.mrb")))
        driver.close_scene()
    (tmp_path / "broken.mrb").write_bytes(b"PK")
    clip("here", seed=9)
    panel = open_panel()
    driver.script_dialog([paths[0], str(tmp_path / "broken.mrb"), paths[1]], about="getOpenFileNames")
    said = []
    driver.script_dialog(lambda dialog: said.append(dialog.text), about="broken.mrb")
    driver.click(panel.ui.addScenesButton)
    driver.wait_until(lambda: panel.ui.framesTable.rowCount == 6, 30)
    assert len(said) == 1
    assert panel.ui.addScenesButton.text == "Add saved scenes..."
    assert [row[0] for row in texts(panel.ui.framesTable)][::2] == ["here masks", "one masks", "two ä masks"]
    driver.click(panel.ui.exportButton)
    driver.wait_until(lambda: panel.ui.datasetStateLabel.text == "6 labelled and 0 unlabelled frames.", 20)
    groups = {read_image(entry.image).attributes["patient_group"] for entry in read_list(dataset / TRAIN_LABELED)}
    assert len(groups) == 3


def test_adding_scenes_can_be_ended(folders, tmp_path):
    clip("one")
    path = str(driver.save_scene(tmp_path / "one.mrb"))
    driver.close_scene()
    panel = open_panel()
    driver.script_dialog([path] * 3, about="getOpenFileNames")
    section = panel.self().sections["ExportSection"]
    section._onAddScenes()
    assert panel.ui.addScenesButton.text == "Stop adding"
    section._onAddScenes()
    assert panel.ui.addScenesButton.text == "Add saved scenes..."
    driver.process_events()
    assert panel.ui.framesTable.rowCount == 0


def test_only_ticked_frames_go_and_conditions_belong_to_the_view(folders):
    clip()
    panel = open_panel()
    driver.click(panel.ui.correctedOnlyCheckBox)
    looked(panel)
    table = panel.ui.framesTable
    assert [row[1] for row in texts(table)] == ["1", "3", "4"]
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    driver.process_events()
    assert panel.ui.exportButton.text == "Export 1 frame"
    assert panel.ui.conditionVsdCheckBox.enabled
    assert not panel.ui.conditionRightAorticArchCheckBox.enabled
    driver.close_scene()
    assert table.rowCount == 0
    assert not panel.ui.exportButton.enabled
    assert not panel.ui.conditionsWidget.enabled


def test_a_long_scene_is_looked_at_in_turns_and_may_close_meanwhile(folders, monkeypatch):
    from FetalEchoTrainLib.panel import export_section

    monkeypatch.setattr(export_section, "_SECONDS_A_TURN", 0.0)  # a frame a turn
    clip()
    panel = driver.open_module("FetalEchoTrain")
    looked(panel)
    assert panel.ui.framesTable.rowCount == 2
    section = panel.self().sections["ExportSection"]
    section._onRefresh()
    assert section.isLooking
    driver.close_scene()
    assert not section.isLooking
    assert panel.ui.framesTable.rowCount == 0


def test_text_is_warned_of_and_hidden_on_a_click(folders):
    dataset, _ = folders
    clip(text=True)
    panel = open_panel()
    assert "may hold burnt-in text" in panel.ui.textWarningLabel.text
    driver.click(panel.ui.hideTextButton)
    assert "blacked out" in panel.ui.textWarningLabel.text
    assert (dataset / "text_masks.json").exists()
    driver.click(panel.ui.showTextButton)
    assert "may hold burnt-in text" in panel.ui.textWarningLabel.text


def test_a_box_is_drawn_by_two_clicks_in_the_view(folders):
    from FetalEchoSegLib.scene.views import showClip
    from FetalEchoTrainLib.export import text_masks

    dataset, _ = folders
    clip()
    browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    showClip(browser)
    panel = open_panel()
    driver.click(panel.ui.drawBoxButton)
    driver.click_slice(driver.slice_view("Red"), ijk=(10, 12, 0))
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 0))
    driver.wait_until(lambda: text_masks(dataset), 5)
    ((left, top, right, bottom),) = text_masks(dataset)["128x96"]
    assert abs(left - 10) <= 1
    assert abs(top - 12) <= 1
    assert abs(right - 40) <= 2
    assert abs(bottom - 30) <= 2


def test_a_read_only_data_set_is_one_sentence(folders, tmp_path):
    clip()
    (tmp_path / "file").write_text("")
    panel = open_panel()
    panel.ui.datasetDirectoryButton.directory = str(tmp_path / "file")
    said = []
    driver.script_dialog(lambda dialog: said.append(dialog.text), about="file")
    driver.click(panel.ui.exportButton)
    driver.wait_until(lambda: said, 20)
    assert panel.ui.exportButton.enabled


# Label next -----------------------------------------------------------------------------------------------------------


def test_the_frames_to_label_next_are_opened_one_after_another(folders):
    from FetalEchoSegLib.phantom.clip import make_named_clip

    seg = driver.open_module("FetalEchoSeg")
    logic = seg.self().logic
    made = make_named_clip(View.FOUR_CHAMBER, seed=4, frames=6, frame_rate=25, image_shape=(64, 64))
    masks = logic.segment(logic.addCine(made.cine, "Clip"), view="4CH")
    panel = open_panel()
    assert not panel.ui.openFrameButton.enabled
    driver.click(panel.ui.rankButton)
    driver.wait_until(lambda: panel.ui.queueTable.rowCount, 60)
    frames = [int(row[1]) for row in texts(panel.ui.queueTable)]
    assert f"{len(frames)} frames of 1 clip, mean confidence" in panel.ui.queueLabel.text
    driver.click(panel.ui.openFrameButton)
    assert seg.self().state.masks is masks
    assert seg.self().state.frame == frames[0]
    open_panel()
    driver.click(panel.ui.openFrameButton)
    assert seg.self().state.frame == frames[1]
    driver.close_scene()
    assert panel.ui.queueTable.rowCount == 0


# Train ----------------------------------------------------------------------------------------------------------------


def test_form_and_text_are_one_configuration(folders):
    panel = open_panel()
    assert panel.ui.configComboBox.currentText == "demo"
    epochs = driver.find(panel.ui.commonWidget, "ema_epochs")
    assert f"epochs: {epochs.text}" in panel.ui.configTextEdit.plainText
    driver.type_text(epochs, "7", enter=True)
    assert "epochs: 7" in panel.ui.configTextEdit.plainText
    panel.ui.configTextEdit.setPlainText(panel.ui.configTextEdit.plainText.replace("epochs: 7", "epochs: 9"))
    driver.wait_until(lambda: epochs.text == "9", 5)
    driver.type_text(epochs, "0", enter=True)
    assert "ema.epochs" in panel.ui.configProblemLabel.text
    assert panel.ui.startButton.enabled  # with what held before
    panel.ui.configTextEdit.setPlainText("ema:\n  epoch: 3\n")
    driver.wait_until(lambda: not panel.ui.startButton.enabled, 5)
    assert "epochs" in panel.ui.configProblemLabel.text


def test_the_data_set_is_checked_before_the_start(folders):
    clip()
    panel = open_panel()
    driver.click(panel.ui.exportButton)
    driver.wait_until(lambda: panel.ui.undoExportButton.enabled, 20)
    text = panel.ui.configTextEdit.plainText
    panel.ui.configTextEdit.setPlainText(text[: text.index("  phantom:")] + "  phantom: null\n" + _after(text))
    driver.wait_until(lambda: "phantom: null" in panel.self().sections["TrainSection"]._config.to_yaml(), 5)
    driver.click(panel.ui.checkButton)
    driver.wait_until(lambda: panel.ui.checkTextEdit.visible, 60)
    assert "labelled" in panel.ui.checkTextEdit.plainText
    assert "Must be corrected" in panel.ui.checkTextEdit.plainText  # two frames of one patient are no data set


def _after(text):
    """What follows the block ``phantom`` of a configuration."""
    lines = text[text.index("  phantom:") :].splitlines()[1:]
    return "\n".join(lines[next(n for n, line in enumerate(lines) if not line.startswith("    ")) :])


# Runs -----------------------------------------------------------------------------------------------------------------

WORKER = """
import shutil, sys, time
from pathlib import Path
from FetalEchoTrainLib.events import Events
from FetalEchoTrainLib.run_folder import RunFolder
run = RunFolder(sys.argv[sys.argv.index("--run") + 1])
with run.held(), run.open_events() as file:
    events = Events(file)
    if not (run.path / "config.yaml").exists():
        shutil.copy(sys.argv[1], run.path / "config.yaml")
    events.log("resumed" if "--resume" in sys.argv else "begun")
    for step in range(6000):
        events.progress("ema", step // 100, 60, step % 100, 100, 90.0)
        events.metric("ema", step // 100, step, {"loss": 1.0 / (step + 1), "validation_dsc": 40.0})
        if run.stop_requested:
            events.log("Stopped in stage 1; go on by resuming the run.")
            sys.exit(3)
        time.sleep(0.01)
"""


@pytest.fixture
def talking(tmp_path, monkeypatch, folders):
    """Start starts a worker that only talks; whatever runs at the end is killed."""
    (tmp_path / "talk.py").write_text(WORKER)
    monkeypatch.setattr(process, "worker_command", lambda: [sys.executable, str(tmp_path / "talk.py")])
    yield folders[1]
    for path in folders[1].glob("*"):
        if process.worker(RunFolder(path)) is not None:
            process.kill(RunFolder(path))


def begin(panel):
    driver.click(panel.ui.startButton)
    driver.wait_until(lambda: panel.ui.stopButton.enabled, 20)
    look = panel.self().sections["RunsSection"].look
    driver.wait_until(lambda: look() or panel.ui.pauseButton.enabled, 20)
    return look


def test_a_training_is_started_watched_paused_stopped_and_resumed(talking):
    panel = open_panel()
    look = begin(panel)
    driver.wait_until(lambda: look() or "step" in panel.ui.runStateLabel.text, 20)
    assert panel.ui.runStateLabel.text.startswith("running: stage 1, epoch 1 of 60")
    assert texts(panel.ui.runsTable)[0][:2] == ["demo-full-0", "running"]
    assert "begun" in panel.ui.logTextEdit.plainText
    driver.wait_until(lambda: look() or panel.ui.curveComboBox.count == 2, 20)
    assert panel.ui.curveComboBox.currentText == "ema: loss"
    plot = driver.find(panel.ui.curvePlotWidget, "curvesPlotView")
    driver.wait_until(lambda: look() or plot.visible, 20)  # two epochs make a line
    driver.click(panel.ui.pauseButton)
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text.startswith("paused"), 20)
    driver.click(panel.ui.resumeButton)
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text.startswith("running"), 20)
    driver.click(panel.ui.stopButton)
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text == "stopped", 20)
    driver.click(panel.ui.resumeButton)
    driver.wait_until(lambda: look() or "resumed" in panel.ui.logTextEdit.plainText, 20)


def test_a_run_goes_on_when_the_panel_is_gone_and_is_found_again(talking):
    panel = open_panel()
    begin(panel)
    panel = driver.reload_module("FetalEchoTrain")
    assert texts(panel.ui.runsTable)[0][:2] == ["demo-full-0", "running"]
    panel.ui.runsTable.selectRow(0)
    driver.wait_until(lambda: "step" in panel.ui.runStateLabel.text, 20)
    driver.script_dialog(qt.QMessageBox.Ok, about="End the run at once")
    driver.click(panel.ui.killButton)
    driver.wait_until(lambda: panel.ui.runStateLabel.text.startswith("ended by force"), 20)
    driver.script_dialog(qt.QMessageBox.Ok, about="Delete")
    driver.click(panel.ui.deleteButton)
    assert texts(panel.ui.runsTable) == []
    assert not list(talking.glob("*"))


def test_a_second_start_in_the_same_folder_is_refused(talking):
    panel = open_panel()
    begin(panel)
    said = []
    driver.script_dialog(lambda dialog: said.append(dialog.text), about="in use")
    driver.click(panel.ui.startButton)
    assert said


def test_the_scene_may_close_while_a_run_is_watched(talking):
    panel = open_panel()
    look = begin(panel)
    driver.close_scene()
    driver.wait_until(lambda: look() or panel.ui.runStateLabel.text.startswith("running"), 20)


@pytest.mark.parametrize(("answer", "status"), [(qt.QMessageBox.Yes, "running"), (qt.QMessageBox.No, "stopped")])
def test_on_slicers_exit_the_user_says_what_becomes_of_a_training(talking, answer, status):
    from FetalEchoTrainLib.panel.quit_question import QuitQuestion

    panel = open_panel()
    begin(panel)
    run = panel.self().state.run
    window = qt.QWidget()
    section = panel.self().sections["RunsSection"]
    question = QuitQuestion(window, section._alive, panel.self().logic.stopTraining)
    driver.script_dialog(answer, about="demo-full-0 is at work")
    window.close()
    driver.wait_until(lambda: process.status(run) == status, 20)
    if status == "stopped":
        window.close()  # nothing is at work: nobody is asked
    question.remove()


def test_a_failed_run_says_why(folders):
    run = RunFolder(folders[1] / "demo-full-0")
    run.path.mkdir(parents=True)
    shutil.copy(
        Path(slicer.modules.fetalechotrain.path).parents[1] / "Resources/Configs/demo.yaml", run.path / "config.yaml"
    )
    with run.open_events() as file:
        from FetalEchoTrainLib.events import Events

        Events(file).error("The disk is full: free some space.")
    panel = open_panel()
    panel.ui.runsTable.selectRow(0)
    driver.process_events()
    assert panel.ui.runStateLabel.text == "failed. The disk is full: free some space."
    assert panel.ui.resumeButton.enabled


# The whole panel ------------------------------------------------------------------------------------------------------


def test_the_panel_is_narrow_and_every_control_has_a_tooltip(folders):
    clip()
    panel = open_panel()
    for section in panel.self().sections.values():
        assert section.widget.minimumSizeHint.width() <= 350, section.uiName
    interactive = (qt.QPushButton, qt.QComboBox, qt.QCheckBox, qt.QLineEdit, qt.QTableWidget, qt.QPlainTextEdit)
    for section in panel.self().sections.values():
        for kind in interactive:
            for widget in slicer.util.findChildren(section.widget, className=kind.__name__):
                if widget.objectName and not widget.objectName.startswith("qt_"):
                    assert widget.toolTip, widget.objectName
