"""The driver does what a user's hands do, and refuses what they could not do."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import qt
import slicer

from .host import desktop, driver, pythonqt


@pytest.fixture
def form():
    """A shown widget with a column for others."""
    form = qt.QWidget()
    qt.QVBoxLayout(form)
    form.show()
    yield form
    form.deleteLater()


def add(form, widget, name):
    widget.setObjectName(name)
    form.layout().addWidget(widget)
    return widget


def test_the_extension_is_loaded_and_its_panel_opens():
    panel = driver.open_module("FetalEchoSeg")
    assert type(panel.self()).__name__ == "FetalEchoSegWidget"
    assert panel.widget.isEntered
    assert slicer.util.selectedModule() == "FetalEchoSeg"
    assert slicer.util.getModuleWidget("FetalEchoSeg") is panel.self()
    driver.leave_module()
    assert not panel.widget.isEntered


def test_a_widget_that_is_not_there_is_named():
    panel = driver.open_module("FetalEchoSeg")
    with pytest.raises(AttributeError, match="0 widgets are called 'noSuchButton'"):
        panel.ui.noSuchButton  # noqa: B018


def test_click_and_its_limits(form):
    clicks = []
    button = add(form, qt.QPushButton("Go"), "goButton")
    button.connect("clicked(bool)", lambda checked: clicks.append(checked))
    driver.click(button)
    assert clicks == [False]
    button.setEnabled(False)
    with pytest.raises(AssertionError, match="'goButton' cannot be used: it is disabled"):
        driver.click(button)
    button.setEnabled(True)
    button.setVisible(False)
    with pytest.raises(AssertionError, match="it is not shown"):
        driver.click(button)
    assert clicks == [False]


def test_check_box_is_hit(form):
    box = add(form, qt.QCheckBox("A long text that makes the box wide"), "box")
    driver.click(box)
    assert box.checked


def test_typing_replaces_what_is_there(form):
    line, spin = add(form, qt.QLineEdit("before"), "line"), add(form, qt.QSpinBox(), "spin")
    ended = []
    line.connect("editingFinished()", lambda: ended.append(line.text))
    driver.type_text(line, "after")
    assert line.text == "after"
    assert ended == ["after"]
    driver.type_text(spin, "42")
    assert spin.value == 42


def test_choosing_from_a_combo_box(form):
    combo = add(form, qt.QComboBox(), "combo")
    combo.addItems(["One", "Two"])
    activated = []
    combo.connect("activated(int)", activated.append)
    driver.choose(combo, "Two")
    assert combo.currentText == "Two"
    assert activated == [1]
    with pytest.raises(AssertionError, match="offers \\['One', 'Two'\\], not 'Three'"):
        driver.choose(combo, "Three")


def test_keys_reach_shortcuts_of_the_main_window():
    presses = []
    shortcut = qt.QShortcut(qt.QKeySequence("D"), slicer.util.mainWindow())
    shortcut.connect("activated()", lambda: presses.append("D"))
    driver.key(driver.main_window(), "D")
    shortcut.setEnabled(False)
    driver.key(driver.main_window(), "D")
    shortcut.setParent(None)
    shortcut.deleteLater()
    assert presses == ["D"]


def test_keys_reach_shortcuts_of_an_open_panel():
    panel, presses = driver.open_module("FetalEchoSeg"), []
    shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Right"), panel.widget)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", lambda: presses.append(1))
    driver.key(panel, "Ctrl+Right")
    assert presses == [1]


def test_files_are_dropped_where_they_are_taken(form, tmp_path):
    class Target(qt.QLabel):
        dropped = ()

        def dragEnterEvent(self, event):
            if event.mimeData().hasUrls():
                event.acceptProposedAction()

        def dropEvent(self, event):
            self.dropped = [url.toLocalFile() for url in event.mimeData().urls()]
            event.acceptProposedAction()

    target = add(form, Target("Drop here"), "target")
    assert not driver.drop_files(target, [tmp_path])
    target.setAcceptDrops(True)
    assert driver.drop_files(target, [tmp_path / "clip.dcm"])
    assert target.dropped == [str(tmp_path / "clip.dcm")]


def test_files_go_to_the_nearest_parent_that_takes_them(form, tmp_path):
    class Area(qt.QWidget):
        dropped = 0

        def dragEnterEvent(self, event):
            event.acceptProposedAction()

        def dropEvent(self, event):
            self.dropped += 1
            event.acceptProposedAction()

    area = add(form, Area(), "area")
    area.setAcceptDrops(True)
    inner = qt.QLabel("inside", area)
    inner.show()
    assert driver.drop_files(inner, [tmp_path])
    assert area.dropped == 1


def test_dialogs_are_answered_from_the_script():
    driver.script_dialog("typed", about="Name of the clip")
    assert qt.QInputDialog.getText(None, "FetalEcho", "Name of the clip") == "typed"
    seen = []
    driver.script_dialog(lambda dialog: seen.append(dialog.text) or qt.QMessageBox.Ok, about="really")
    assert slicer.util.confirmOkCancelDisplay("Delete it, really?")
    assert seen == ["Delete it, really?"]
    driver.script_dialog(qt.QMessageBox.Ok, about="damaged")
    slicer.util.errorDisplay("The file is damaged.")


def test_a_dialog_without_a_script_is_an_error():
    with pytest.raises(desktop.UnexpectedDialogError, match="no answer is scripted"):
        qt.QMessageBox.question(None, "FetalEcho", "Sure?")
    assert "Sure?" in pythonqt.slot_errors.pop()


def test_waiting_lets_threads_and_timers_run():
    ticks, done = [], threading.Event()

    def work():
        total = sum(i * i for i in range(300_000))
        if total:
            done.set()

    timer = qt.QTimer()
    timer.setInterval(5)
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start()
    threading.Thread(target=work).start()
    driver.wait_until(lambda: done.is_set() and len(ticks) >= 3, 10)
    timer.stop()
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="nothing happened"):
        driver.wait_until(lambda: False, 0.1)
    assert time.monotonic() - start < 5


def test_pictures_show_the_theme(tmp_path):
    driver.open_module("FetalEchoSeg")
    brightness = {}
    for theme in ("light", "dark"):
        driver.set_theme(theme)
        image = qt.QImage(str(driver.grab(driver.main_window(), tmp_path / f"{theme}.png")))
        assert (image.width(), image.height()) == (1400, 900)
        brightness[theme] = image.pixelColor(5, 850).lightness()
    assert brightness["dark"] < 80 < 200 < brightness["light"]


def test_the_main_window_can_be_missing():
    window = slicer.util.mainWindow()
    with driver.no_main_window():
        assert slicer.util.mainWindow() is None
        driver.open_module("FetalEchoSeg")
    assert slicer.util.mainWindow() is window


def test_sequences_are_loaded_by_slicer_util(tmp_path):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    for value in range(3):
        volume = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(volume, np.full((1, 4, 5), value, np.uint8))
        sequence.SetDataNodeAtValue(volume, str(value))
    path = str(tmp_path / "cine.seq.nrrd")
    assert slicer.util.saveNode(sequence, path)
    driver.close_scene()
    again = slicer.util.loadSequence(path)
    assert again.GetNumberOfDataNodes() == 3
    assert slicer.util.arrayFromVolume(again.GetNthDataNode(2)).max() == 2


def test_scenes_are_saved_closed_and_opened(tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Kept")
    slicer.util.updateVolumeFromArray(node, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    path = driver.save_scene(tmp_path / "scene.mrb")
    driver.close_scene()
    assert not slicer.util.getNodes("Kept")
    driver.open_scene(path)
    assert slicer.util.arrayFromVolume(slicer.util.getNode("Kept")).sum() == 276


@pytest.mark.parametrize("name", ["volume.nrrd", "masks.seg.nrrd", "table.csv"])
def test_nodes_are_saved_and_loaded_by_slicer_util(tmp_path, name):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    slicer.util.updateVolumeFromArray(volume, np.ones((2, 3, 4), np.uint8))
    if name == "volume.nrrd":
        node, load = volume, slicer.util.loadVolume
    elif name == "masks.seg.nrrd":
        node, load = (
            slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "masks"),
            slicer.util.loadSegmentation,
        )
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segment = node.GetSegmentation().AddEmptySegment("a")
        slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones((2, 3, 4), np.uint8), node, segment, volume)
    else:
        node, load = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "table"), slicer.util.loadTable
        slicer.util.updateTableFromArray(node, np.eye(3), ["a", "b", "c"])
    assert slicer.util.saveNode(node, str(tmp_path / name))
    again = load(str(tmp_path / name))
    assert again is not node
    assert again.GetClassName() == node.GetClassName()
