"""PySide6 behaves in the host as Slicer's PythonQt: one test for each difference."""

import contextlib
import functools
import gc
import threading
from pathlib import Path

import ctk
import pytest
import qt
from PySide6 import QtTest

from .host import desktop, pythonqt


def errors():
    """Slot errors so far; they no longer fail the test."""
    found = list(pythonqt.slot_errors)
    pythonqt.slot_errors.clear()
    return found


# Attributes


def test_properties_are_attributes_and_not_methods():
    button = qt.QPushButton("Apply")
    assert button.text == "Apply"
    button.text = "Cancel"
    assert button.text == "Cancel"
    button.setText("Run")
    with pytest.raises(TypeError, match="'str' object is not callable"):
        button.text()
    table = qt.QTableWidget(3, 2)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        table.rowCount()


def test_a_property_wins_over_the_method_that_a_class_overrides():
    assert qt.QPushButton("Apply").sizeHint.width() > 0
    assert qt.QLabel("Apply").minimumSizeHint.height() > 0


def test_a_property_refuses_what_has_the_wrong_type():
    spin = qt.QSpinBox()
    for wrong in ("3", 2.5):
        with pytest.raises(AttributeError, match="does not accept"):
            spin.value = wrong
    with pytest.raises(AttributeError, match="is not writable"):
        qt.QWidget().width = 3


def test_enums_are_numbers_and_are_reached_through_classes_and_objects():
    assert qt.Qt.AlignLeft == 1
    assert qt.Qt.AlignLeft | qt.Qt.AlignTop == 0x21
    assert qt.QMessageBox().Yes == qt.QMessageBox.Yes == 0x4000
    assert qt.QProcess().state() == qt.QProcess.NotRunning == 0
    assert {qt.Qt.Checked: "on"}[2] == "on"


def test_lists_come_back_as_tuples():
    data = qt.QMimeData()
    data.setUrls([qt.QUrl.fromLocalFile("/clip.dcm")])
    table = qt.QTableWidget(1, 1)
    table.setItem(0, 0, qt.QTableWidgetItem("x"))
    table.selectAll()
    values = (
        data.urls(),
        data.formats(),
        table.selectedItems(),
        qt.QWidget().children(),
        table.findChildren("QWidget"),
    )
    assert [type(value) for value in values] == [tuple] * 5
    assert [url.toLocalFile() for url in data.urls()] == ["/clip.dcm"]


def test_name_class_name_and_children():
    panel = qt.QWidget()
    button = qt.QPushButton("x", panel)
    button.setObjectName("applyButton")
    assert button.name == "applyButton"
    assert (button.className(), ctk.ctkComboBox().className()) == ("QPushButton", "ctkComboBox")
    assert panel.applyButton is button
    assert panel.children() == (button,)
    assert button.inherits("QAbstractButton")
    assert not button.inherits("QLabel")
    assert panel.findChild("QPushButton", "applyButton") is button
    assert panel.findChildren(qt.QAbstractButton) == (button,)


def test_dynamic_properties_are_attributes():
    label = qt.QLabel()
    label.setProperty("SlicerParameterName", "view")
    assert label.SlicerParameterName == "view"
    label.SlicerParameterName = "browser"
    assert label.property("SlicerParameterName") == "browser"


@pytest.mark.parametrize("make", [qt.QLabel, ctk.ctkSliderWidget, qt.QTimer])
def test_objects_of_cplusplus_classes_get_no_new_attributes(make):
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        make().frames = 3


def test_objects_of_python_subclasses_get_new_attributes():
    class Strip(qt.QWidget):
        pass

    strip = Strip()
    strip.frames = 3
    assert strip.frames == 3
    assert strip.className() == "QWidget"


def test_unknown_attributes_raise():
    for name in ("frames", "setFrames", "isChecked2"):
        with pytest.raises(AttributeError, match="QLabel has no attribute"):
            getattr(qt.QLabel(), name)
    with pytest.raises(AttributeError, match="not in the test host"):
        qt.QLable  # noqa: B018
    with pytest.raises(AttributeError, match="not in the test host"):
        ctk.ctkLabel  # noqa: B018


def test_what_qt_6_and_pyside_add_is_not_there():
    press = qt.QMouseEvent(
        qt.QEvent.MouseButtonPress,
        qt.QPointF(3, 4),
        qt.QPointF(3, 4),
        qt.Qt.LeftButton,
        qt.Qt.LeftButton,
        qt.Qt.NoModifier,
    )
    assert (press.pos().x(), press.x()) == (3, 3)
    with pytest.raises(AttributeError, match="not in Slicer's qt"):
        press.position()
    for owner, name in (
        (qt, "Signal"), (qt, "Slot"), (qt, "Property"), (qt, "QTextCodec"), (qt, "QRegExp"), (qt, "QDesktopWidget"),
        (qt.QCheckBox(), "checkStateChanged"), (qt.QWidget(), "setScreen"), (qt.QDropEvent, "position"),
    ):  # fmt: skip
        assert not hasattr(owner, name), name


def test_virtual_functions_of_qt_6_stay_where_pyside_looks_for_them():
    """Else the first painting of a table leaves an error that comes up anywhere."""
    assert callable(qt.QTableWidget().initViewItemOption)
    assert callable(qt.QHeaderView(qt.Qt.Horizontal).initStyleOptionForIndex)


def test_a_trailing_underscore_is_ignored():
    desktop.dialogs.answer(qt.QDialog.Accepted)
    assert qt.QDialog().exec_() == qt.QDialog.Accepted


def test_constructors_take_neither_keywords_nor_functions():
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        qt.QPushButton("x", clicked=lambda: None)
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        ctk.ctkSliderWidget(parent=None)
    with pytest.raises(TypeError, match="takes no functions"):
        qt.QShortcut(qt.QKeySequence("A"), qt.QWidget(), lambda: None)
    with pytest.raises(TypeError, match="takes no functions"):
        qt.QMenu().addAction("x", lambda: None)


# Signals and slots


def test_signals_connect_by_signature_and_by_name():
    button, calls = qt.QPushButton("x"), []
    button.setCheckable(True)
    assert button.connect("clicked(bool)", lambda checked: calls.append(("signature", checked)))
    assert button.clicked.connect(lambda checked=None: calls.append(("name", checked)))
    button.click()
    assert calls == [("signature", True), ("name", True)]


def test_an_overload_is_chosen_by_signature_and_not_by_index():
    box, values = ctk.ctkDoubleSpinBox(), []
    box.connect("valueChanged(double)", values.append)
    box.setValue(3)
    assert values == [3.0]
    with pytest.raises(TypeError, match="not subscriptable"):
        qt.QPushButton("x").clicked[bool]


@pytest.mark.parametrize("widget", [qt.QPushButton, ctk.ctkSliderWidget])
def test_an_unknown_signal_raises(widget):
    for action in ("connect", "disconnect"):
        with pytest.raises(AttributeError, match="does not exist"):
            getattr(widget(), action)("valueChangd(double)", print)
    with pytest.raises(AttributeError, match="does not exist"):
        ctk.ctkSliderWidget().connect("valueChanged(int)", print)


@pytest.mark.parametrize(
    "make", [lambda: qt.QPushButton("x").clicked, lambda: ctk.ctkDirectoryButton().directoryChanged]
)
def test_slots_get_the_arguments_that_they_declare(make):
    got = []

    class Receiver:
        def none(self):
            got.append("none")

        def default(self, value="default"):
            got.append(value)

    receiver = Receiver()
    for slot in (receiver.none, receiver.default, lambda: got.append("lambda"), functools.partial(got.append)):
        make().connect(slot)
        signal = make()
        signal.connect(slot)
        signal.emit("/folder") if signal.types == ["QString"] else signal.emit(True)
    value = "/folder" if make().types == ["QString"] else True
    assert got == ["none", value, "lambda", value]


def test_partials_get_all_arguments():
    button = qt.QPushButton("x")
    button.clicked.connect(functools.partial(lambda: None))
    button.click()
    assert "takes 0 positional arguments but 1 was given" in errors()[0]


def test_connections_keep_their_slots():
    button, calls = qt.QPushButton("x"), []

    class Receiver:
        def onClicked(self, checked=False):
            calls.append(checked)

    button.clicked.connect(Receiver().onClicked)
    gc.collect()
    button.click()
    assert calls == [False]


def test_disconnect_needs_an_equal_slot():
    slider, values = ctk.ctkSliderWidget(), []
    slider.valueChanged.connect(values.append)
    assert not slider.disconnect("valueChanged(double)", print)
    assert slider.disconnect("valueChanged(double)", values.append)
    slider.setValue(5)
    button = qt.QPushButton("x")
    button.clicked.connect(values.append)
    button.clicked.disconnect(values.append)
    button.click()
    assert values == []


def test_signals_can_be_called_and_emitted_and_blocked():
    button, calls = qt.QPushButton("x"), []
    button.clicked.connect(calls.append)
    button.clicked()
    button.clicked.emit(True)
    combo = qt.QComboBox()
    combo.addItems(["a", "b"])
    combo.connect("activated(int)", calls.append)
    combo.activated.emit(1)
    slider = ctk.ctkSliderWidget()
    slider.valueChanged.connect(calls.append)
    slider.blockSignals(True)
    slider.setValue(5)
    assert calls == [False, True, 1]


def test_slots_of_a_c_plus_plus_object_are_reached_again_through_a_new_wrapper():
    panel, calls = qt.QWidget(), []
    qt.QPushButton("x", panel).setObjectName("button")
    panel.button.clicked.connect(calls.append)
    gc.collect()
    panel.button.click()
    assert panel.button.disconnect("clicked(bool)", calls.append)
    panel.button.click()
    assert calls == [False]


def test_an_exception_in_a_slot_is_recorded_and_the_others_go_on():
    button, calls = qt.QPushButton("x"), []
    button.clicked.connect(lambda: 1 / 0)
    button.clicked.connect(calls.append)
    button.click()
    slider = ctk.ctkSliderWidget()
    slider.valueChanged.connect(lambda value: 1 / 0)
    slider.setValue(3)
    qt.QTimer.singleShot(0, lambda: 1 / 0)
    QtTest.QTest.qWait(5)
    assert calls == [False]
    assert ["ZeroDivisionError" in error for error in errors()] == [True] * 3


def test_an_exception_in_a_virtual_function_is_recorded():
    class Broken(qt.QWidget):
        def paintEvent(self, event):
            raise ValueError("paint")

        def eventFilter(self, obj, event):
            raise ValueError("filter")

    broken, other = Broken(), qt.QWidget()
    broken.grab()
    other.installEventFilter(broken)
    qt.QApplication.sendEvent(other, qt.QEvent(qt.QEvent.User))
    other.removeEventFilter(broken)
    found = errors()
    assert any("ValueError: paint" in error for error in found)
    assert any("ValueError: filter" in error for error in found)


# What leaves the test


def test_a_thread_must_not_translate():
    from slicer.i18n import tr as _

    assert _("Frame") == "Frame"
    thread = threading.Thread(target=lambda: _("Volume"))
    thread.start()
    thread.join()
    assert pythonqt.slot_errors == ["translated in a thread of its own: 'Volume'"]
    pythonqt.slot_errors.clear()


def test_a_modal_dialog_needs_an_answer():
    with pytest.raises(desktop.UnexpectedDialogError, match=r"QMessageBox \| Masks \| Replace\?"):
        qt.QMessageBox(qt.QMessageBox.Question, "Masks", "Replace?").exec_()
    assert "no answer is scripted" in errors()[0]


def test_a_swallowed_dialog_is_an_error_all_the_same():
    button = qt.QPushButton("x")

    def ask():
        with contextlib.suppress(RuntimeError):
            qt.QInputDialog.getText(None, "Name", "New name")

    button.clicked.connect(ask)
    button.click()
    assert len(errors()) == 1


def test_an_answer_for_another_dialog_is_refused():
    desktop.dialogs.answer(qt.QMessageBox.Yes, about="licence")
    with pytest.raises(desktop.UnexpectedDialogError, match="licence"):
        qt.QMessageBox.question(None, "Masks", "Replace?")
    assert len(errors()) == 1


def test_dialogs_are_answered_in_order_and_logged():
    dialog = qt.QDialog()
    name = qt.QLineEdit(dialog)

    def fill(dialog):
        name.setText("typed")
        return qt.QDialog.Accepted

    for answer in ("/clip.dcm", fill, qt.QMessageBox.No):
        desktop.dialogs.answer(answer)
    assert qt.QFileDialog.getOpenFileName(None, "Open", "", "*.dcm") == "/clip.dcm"
    assert dialog.exec_() == 1
    assert qt.QMessageBox.warning(None, "Title", "Text") == qt.QMessageBox.No
    assert name.text == "typed"
    assert desktop.dialogs.log == [
        "QFileDialog.getOpenFileName | Open | *.dcm", "QDialog", "QMessageBox.warning | Title | Text",
    ]  # fmt: skip


def test_menus_are_modal_too():
    menu = qt.QMenu()
    action = menu.addAction("Rename")
    desktop.dialogs.answer(lambda menu: menu.actions()[0])
    assert menu.exec_(qt.QCursor.pos()) is action


def test_settings_live_in_a_temporary_folder():
    settings = qt.QSettings()
    settings.setValue("FetalEcho/device", "cpu")
    assert qt.QSettings().value("FetalEcho/device") == "cpu"
    assert Path(settings.fileName()).is_relative_to(desktop._settings_folder.name)
    assert Path(qt.QSettings("Any", "Program").fileName()).is_relative_to(desktop._settings_folder.name)
    desktop.clear_settings()
    assert qt.QSettings().value("FetalEcho/device") is None


def test_addresses_are_recorded():
    assert qt.QDesktopServices.openUrl(qt.QUrl("https://example.org/"))
    assert desktop.opened_urls == ["https://example.org/"]


# What panels build on


def test_widgets_painted_in_python():
    class Strip(qt.QWidget):
        def paintEvent(self, event):
            painter = qt.QPainter(self)
            painter.fillRect(self.rect, qt.QColor(10, 20, 30))
            painter.setPen(qt.QPen(qt.QColor(200, 0, 0), 1))
            painter.drawText(self.rect, qt.Qt.AlignCenter, str(self.width))
            painter.drawLine(0, 0, self.width, 0)
            painter.end()

    strip = Strip()
    strip.resize(40, 20)
    image = strip.grab().toImage()
    assert image.pixelColor(2, 10).name() == "#0a141e"
    assert image.pixelColor(5, 0).red() == 200
    pixmap = qt.QPixmap(8, 8)
    painter = qt.QPainter(pixmap)
    painter.fillRect(0, 0, 8, 8, qt.QColor("#00ff00"))
    painter.end()
    assert pixmap.toImage().pixelColor(4, 4).name() == "#00ff00"


def test_files_dropped_on_a_widget():
    class Target(qt.QLabel):
        def __init__(self):
            qt.QLabel.__init__(self)
            self.files = []
            self.setAcceptDrops(True)

        def dragEnterEvent(self, event):
            if event.mimeData().hasUrls():
                event.acceptProposedAction()

        def dropEvent(self, event):
            self.files += [url.toLocalFile() for url in event.mimeData().urls()]
            event.acceptProposedAction()

    data = qt.QMimeData()
    data.setUrls([qt.QUrl.fromLocalFile("/clip.dcm")])
    target = Target()
    arguments = (qt.Qt.CopyAction, data, qt.Qt.LeftButton, qt.Qt.NoModifier)
    enter = qt.QDragEnterEvent(qt.QPoint(1, 1), *arguments)
    qt.QApplication.sendEvent(target, enter)
    drop = qt.QDropEvent(qt.QPointF(1, 1), *arguments)
    qt.QApplication.sendEvent(target, drop)
    assert (enter.isAccepted(), target.files) == (True, ["/clip.dcm"])


def test_shortcuts_timers_tables_trees_and_clipboard():
    window, calls = qt.QWidget(), []
    shortcut = qt.QShortcut(qt.QKeySequence("Shift+N"), window)
    shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
    shortcut.connect("activated()", lambda: calls.append("key"))
    window.show()
    window.activateWindow()
    window.setFocus()
    QtTest.QTest.qWaitForWindowActive(window)
    QtTest.QTest.keyClick(window, qt.Qt.Key_N, qt.Qt.ShiftModifier)
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: calls.append("timer"))
    timer.start(1)
    QtTest.QTest.qWait(20)
    table = qt.QTableWidget(1, 1)
    table.connect("cellClicked(int,int)", lambda row, column: calls.append((row, column)))
    table.setItem(0, 0, qt.QTableWidgetItem("x"))
    table.cellClicked.emit(0, 0)
    tree = qt.QTreeWidget()
    tree.addTopLevelItem(qt.QTreeWidgetItem(["leaf"]))
    qt.QApplication.clipboard().setText("copied")
    assert calls == ["key", "timer", (0, 0)]
    assert (tree.topLevelItem(0).text(0), tree.topLevelItemCount) == ("leaf", 1)
    assert qt.QApplication.clipboard().text() == "copied"
    window.hide()


def test_a_pdf_is_written(tmp_path):
    document = qt.QTextDocument()
    document.setHtml("<p>Report</p>")
    writer = qt.QPdfWriter(str(tmp_path / "report.pdf"))
    document.print_(writer)
    del writer
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


# CTK


def test_the_value_of_a_slider_is_rounded_limited_and_announced_once():
    slider, values = ctk.ctkSliderWidget(), []
    slider.valueChanged.connect(values.append)
    slider.maximum = 10
    slider.decimals = 1
    slider.setValue(3.14)
    slider.setValue(3.14)
    slider.value = 99
    slider.maximum = 5
    assert values == [3.1, 10.0, 5.0]
    assert (slider.minimum, slider.maximum, slider.value) == (0.0, 5.0, 5.0)


def test_the_values_of_a_range_stay_in_order():
    interval, values = ctk.ctkRangeWidget(), []
    interval.connect("valuesChanged(double,double)", lambda low, high: values.append((low, high)))
    interval.setRange(0, 10)
    interval.setMinimumValue(8)
    interval.setMaximumValue(6)
    assert values == [(0.0, 10.0), (8.0, 10.0), (6.0, 6.0)]


def test_a_path_is_browsed_for_and_remembered():
    edit, paths = ctk.ctkPathLineEdit(), []
    edit.settingKey = "FetalEcho/clip"
    edit.filters = ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Readable
    edit.currentPathChanged.connect(paths.append)
    desktop.dialogs.answer("/data/clip.dcm", about="Open a file")
    edit.browse()
    edit.addCurrentPathToHistory()
    other = ctk.ctkPathLineEdit()
    other.settingKey = "FetalEcho/clip"
    other.retrieveHistory()
    assert (edit.currentPath, paths) == ("/data/clip.dcm", ["/data/clip.dcm"])
    assert other.comboBox().itemText(0) == "/data/clip.dcm"


def test_a_collapsed_section_hides_its_children_but_not_for_ever():
    section, changes = ctk.ctkCollapsibleButton("Result"), []
    layout = qt.QVBoxLayout(section)
    shown, hidden, late = qt.QLabel("a"), qt.QLabel("b"), qt.QLabel("c")
    for label in (shown, hidden):
        layout.addWidget(label)
    hidden.setVisible(False)
    section.contentsCollapsed.connect(changes.append)
    section.show()
    tall = section.sizeHint().height()
    section.collapsed = True
    assert section.sizeHint().height() < tall
    layout.addWidget(late)
    late.setVisible(True)
    qt.QApplication.processEvents()
    assert (shown.isHidden(), hidden.isHidden()) == (True, True)
    QtTest.QTest.mouseClick(section, qt.Qt.LeftButton, qt.Qt.NoModifier, qt.QPoint(5, 5))
    assert (shown.isHidden(), hidden.isHidden(), late.isHidden()) == (False, True, False)
    assert changes == [True, False]
    section.collapsed = True
    shown.setVisible(False)  # a section that has nothing to say while it is closed
    hidden.setVisible(True)
    assert hidden.isHidden()
    section.collapsed = False
    assert (shown.isHidden(), hidden.isHidden(), late.isHidden()) == (True, False, False)
    section.hide()


def test_buttons_of_ctk():
    color, colors = ctk.ctkColorPickerButton(), []
    color.colorChanged.connect(lambda value: colors.append(value.name()))
    desktop.dialogs.answer(qt.QColor("#102030"))
    color.click()
    check, states = ctk.ctkCheckablePushButton(), []
    check.checkBoxToggled.connect(states.append)
    check.checkState = qt.Qt.Checked
    folder, folders = ctk.ctkDirectoryButton(), []
    folder.directorySelected.connect(folders.append)
    desktop.dialogs.answer("/models")
    folder.browse()
    assert (colors, states, folders, folder.directory) == (["#102030"], [True], ["/models"], "/models")
