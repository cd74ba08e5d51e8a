"""Drives modules as a user does: the only part of the host that tests call.

    from panel.host import driver

    panel = driver.open_module("FetalEchoSeg")          # the module's widget: panel.self(), panel.ui
    panel.self().logic.addCine(cine, "Clip")            # data may come through the logic
    driver.choose(panel.ui.viewComboBox, "LVOT")        # what is under test is clicked
    driver.click(panel.ui.applyButton)
    driver.wait_until(lambda: panel.ui.applyButton.text == "Apply", 60)
    driver.grab(panel, "shots/applied.png")

``panel.ui`` finds a widget by its object name anywhere in the panel, whatever .ui file it came from. Widgets behave as
in Slicer (PythonQt): properties are attributes (``button.text``), methods and setters are called.

Modal dialogs never show: ``script_dialog(answer)`` says beforehand what the next one gives back. An unscripted one
fails the test, as do exceptions in slots, VTK errors, and observers, timers or threads that a module leaves behind
(see ../conftest.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import boot, desktop

_POLL_SECONDS = 0.002
_REPLACED = "replacedByReload"
_SEGMENT_NAME = 3  # column of the table
_editors: list[Any] = []


class Panel:
    """A module's panel: its frame in Slicer, with ``ui`` to find widgets in it."""

    def __init__(self, name: str, widget: Any) -> None:
        self.name = name
        self.widget = widget
        self.ui = _Widgets(widget)

    def self(self) -> Any:
        """The module's own widget object, FetalEchoSegWidget for FetalEchoSeg."""
        return self.widget.self()


class _Widgets:
    def __init__(self, widget: Any) -> None:
        self._widget = widget

    def __getattr__(self, name: str) -> Any:
        return find(self._widget, name)


def open_module(name: str) -> Panel:
    """Open a module as by the module selector; its panel. Raises what the import of the module raised."""
    application = boot.start()
    if name in boot.loadErrors:
        raise boot.loadErrors[name]
    application._mainWindow._select(name)
    process_events()
    return Panel(name, application._modules[name].widgetRepresentation())


def load_module(path: Path) -> None:
    """Load one more module file, as if it had been there at the start of the application."""
    from . import modules

    boot.start()
    modules.loadScriptedModule(Path(path))


def leave_module() -> None:
    """Leave the open module, as when another one is opened."""
    boot.start()._mainWindow._select("")
    process_events()


def reload_module(name: str) -> Panel:
    """Reload a module as its developer's button does; the new panel."""
    import slicer

    representation = boot.start()._modules[name].widgetRepresentation()
    # Slicer hides what was there and keeps it; a user sees only what is new.
    for child in representation.children():
        child.setProperty(_REPLACED, True)
    slicer.util.reloadScriptedModule(name)
    process_events()
    return open_module(name)


def unload_panels() -> None:
    """Leave the open module and end all panels, as at the end of the application; the next opening makes them anew."""
    import slicer

    leave_module()
    application = boot.start()
    for name, module in application._modules.items():
        representation = getattr(module, "_representation", None)
        if representation is not None:
            application._moduleManager.moduleAboutToBeUnloaded.emit(name)
            delattr(slicer.modules, f"{name}Widget")
            module._representation = None
            representation.deleteLater()
    process_events()


def find(widget: Any, name: str) -> Any:
    """The widget or action of this object name in ``widget``. Raises AttributeError when there is none, or several."""
    widget = _widget(widget)
    found = [child for child in (widget, *_descendants(widget)) if child.objectName == name]
    if len(found) != 1:
        raise AttributeError(f"{len(found)} widgets are called '{name}' in {widget.objectName or widget}")
    return found[0]


def main_window() -> Any:
    """The application's main window."""
    return boot.start()._mainWindow


def _descendants(widget: Any) -> Iterator[Any]:
    for child in widget.children():
        if child.property(_REPLACED) is None:
            yield child
            yield from _descendants(child)


@contextmanager
def no_main_window() -> Iterator[None]:
    """Meanwhile ``slicer.util.mainWindow()`` is None, as in Slicer --no-main-window."""
    window = main_window()
    name = window.objectName
    window.setObjectName("")
    try:
        yield
    finally:
        window.setObjectName(name)


def process_events() -> None:
    """Handle what is waiting in Qt's queue, also what that brings, and objects to be deleted."""
    from PySide6 import QtCore

    application = boot.start()
    for _ in range(3):
        application.processEvents()
        application.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)


def wait_until(predicate: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Run the event loop until ``predicate()`` is true, and return its value; worker threads run meanwhile.

    Raises TimeoutError after ``seconds``.
    """
    end = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing happened within {seconds} s")
        process_events()
        time.sleep(_POLL_SECONDS)  # gives Python's lock to worker threads
    process_events()
    return value


def _widget(target: Any) -> Any:
    return target.widget if isinstance(target, Panel) else target


def _ready(widget: Any) -> Any:
    """The widget, once it is known that a user could use it. Raises AssertionError."""
    widget = _widget(widget)
    process_events()
    assert widget.visible, f"'{widget.objectName}' cannot be used: it is not shown"
    assert widget.enabled, f"'{widget.objectName}' cannot be used: it is disabled"
    return widget


def click(
    widget: Any, position: tuple[int, int] | None = None, button: str = "left", modifiers: Iterable[str] = ()
) -> None:
    """Click into a widget, in its middle or at (x, y) in it. It must be shown and enabled: nobody can click others.

    :param button: left, right, middle.
    :param modifiers: any of shift, ctrl, alt.
    """
    from PySide6 import QtCore, QtTest

    widget = _ready(widget)
    point = QtCore.QPoint(*position) if position else _spot(widget)
    QtTest.QTest.mouseClick(widget, _button(button), _modifiers(modifiers), point)
    process_events()


def double_click(widget: Any, position: tuple[int, int] | None = None) -> None:
    """Double-click into a widget."""
    from PySide6 import QtCore, QtTest

    widget = _ready(widget)
    point = QtCore.QPoint(*position) if position else _spot(widget)
    QtTest.QTest.mouseDClick(widget, _button("left"), _modifiers(()), point)
    process_events()


def click_item(view: Any, row: int, column: int = 0, double: bool = False) -> None:
    """Click a cell of a table, list or tree."""
    view = _ready(view)
    model = view.model()
    index = model.index(row, column)
    assert index.isValid(), f"'{view.objectName}' has no cell ({row}, {column})"
    view.scrollTo(index)
    center = view.visualRect(index).center()
    (double_click if double else click)(view.viewport(), (center.x(), center.y()))


def _spot(widget: Any) -> Any:
    """Where a user clicks: the indicator of check boxes and radio buttons is on the left."""
    from PySide6 import QtCore

    if widget.inherits("QCheckBox") or widget.inherits("QRadioButton"):
        return QtCore.QPoint(8, widget.height // 2)
    return QtCore.QPoint(widget.width // 2, widget.height // 2)


def _button(name: str) -> Any:
    from PySide6.QtCore import Qt

    return {"left": Qt.LeftButton, "right": Qt.RightButton, "middle": Qt.MiddleButton}[name]


def _modifiers(names: Iterable[str]) -> Any:
    from PySide6.QtCore import Qt

    known = {"shift": Qt.ShiftModifier, "ctrl": Qt.ControlModifier, "alt": Qt.AltModifier}
    modifiers = Qt.KeyboardModifier.NoModifier
    for name in names:
        modifiers |= known[name]
    return modifiers


def choose(widget: Any, item: Any) -> None:
    """Choose from a combo box by text or index, from a node combo box by node, name or text of an action."""
    widget = _ready(widget)
    combo = widget if widget.inherits("QComboBox") else widget.findChild("QComboBox")
    text = item.GetName() if hasattr(item, "GetName") else item
    if hasattr(item, "GetID"):
        widget.setCurrentNode(item)
        assert widget.currentNode() is item, f"'{widget.objectName}' does not offer {text}"
        process_events()
        return
    texts = [combo.itemText(index) for index in range(combo.count)]
    index = item if isinstance(item, int) else texts.index(text) if text in texts else -1
    assert 0 <= index < len(texts), f"'{widget.objectName}' offers {texts}, not {item!r}"
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    process_events()


def type_text(widget: Any, text: str, clear: bool = True, enter: bool = True) -> None:
    """Type into a line edit, spin box or text field, in place of what is there; ``enter`` ends with the Enter key."""
    from PySide6 import QtTest
    from PySide6.QtCore import Qt

    widget = _ready(widget)
    if not (widget.inherits("QLineEdit") or widget.inherits("QTextEdit") or widget.inherits("QPlainTextEdit")):
        widget = widget.findChild("QLineEdit")
    widget.setFocus()
    if clear:
        widget.selectAll()
        QtTest.QTest.keyClick(widget, Qt.Key_Delete)
    QtTest.QTest.keyClicks(widget, text)
    if enter:
        QtTest.QTest.keyClick(widget, Qt.Key_Return)
    process_events()


def key(widget: Any, sequence: str) -> None:
    """Press keys in a widget or in the main window, given as for QKeySequence: "D", "Ctrl+Z", "Right".

    Shortcuts that are enabled in their context get the keys first, as in the application.
    """
    from PySide6 import QtGui, QtTest

    widget = _widget(widget)
    window = widget.window()
    window.activateWindow()
    if widget is not window:
        widget.setFocus()
    process_events()
    # Shortcuts are looked up on the window that has the focus.
    QtTest.QTest.keySequence(widget if widget is not window else window, QtGui.QKeySequence(sequence))
    process_events()


def slice_view(name: str = "Red") -> Any:
    """The slice view of this name, into which one clicks."""
    return boot.start().layoutManager().sliceWidget(name).sliceView()


def view_position(view: Any, *, ras: Any = None, ijk: Any = None) -> tuple[int, int]:
    """Where in a slice view's widget (x, y from the top left) a point is shown; ``ijk`` counts in the background."""
    import slicer
    import vtk

    process_events()
    node = view.mrmlSliceNode()
    if ijk is not None:
        logic = slicer.app.applicationLogic().GetSliceLogic(node)
        matrix = vtk.vtkMatrix4x4()
        logic.GetBackgroundLayer().GetVolumeNode().GetIJKToRASMatrix(matrix)
        ras = matrix.MultiplyPoint((*ijk, 1))[:3]
    to_view = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_view)
    x, y = to_view.MultiplyPoint((*ras, 1))[:2]
    return round(x), view.VTKWidget().height - 1 - round(y)


def click_slice(
    view: Any, *, ras: Any = None, ijk: Any = None, button: str = "left", modifiers: Iterable[str] = ()
) -> None:
    """Click at a point of a slice view; it must be in sight."""
    _move(view, _inside(view, view_position(view, ras=ras, ijk=ijk)))
    click(view.VTKWidget(), _inside(view, view_position(view, ras=ras, ijk=ijk)), button, modifiers)


def drag_slice(view: Any, points: Iterable[Any], button: str = "left", modifiers: Iterable[str] = ()) -> None:
    """Press at the first of the points (i, j, k in the background), go through the others, release at the last."""
    from PySide6 import QtCore, QtTest

    places = [_inside(view, view_position(view, ijk=point)) for point in points]
    widget, held, keys = _ready(view.VTKWidget()), _button(button), _modifiers(modifiers)
    _move(view, places[0])
    QtTest.QTest.mousePress(widget, held, keys, QtCore.QPoint(*places[0]))
    for place in places[1:]:
        _move(view, place, held, keys)
    QtTest.QTest.mouseRelease(widget, held, keys, QtCore.QPoint(*places[-1]))
    process_events()


def _inside(view: Any, place: tuple[int, int]) -> tuple[int, int]:
    widget = view.VTKWidget()
    assert widget.rect.contains(*place), f"{place} is out of sight in the view"
    return place


def _move(view: Any, place: tuple[int, int], held: Any = None, keys: Any = None) -> None:
    """QTest's moves carry no buttons."""
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtCore import Qt

    widget = view.VTKWidget()
    point = QtCore.QPointF(*place)
    event = QtGui.QMouseEvent(
        QtCore.QEvent.MouseMove,
        point,
        widget.mapToGlobal(point),
        Qt.NoButton,
        held or Qt.NoButton,
        keys or Qt.NoModifier,
    )
    QtWidgets.QApplication.sendEvent(widget, event)
    process_events()


def hover_slice(view: Any, *, ras: Any = None, ijk: Any = None, modifiers: Iterable[str] = ()) -> None:
    """Move the mouse to a point of a slice view, with no button pressed."""
    _move(view, _inside(view, view_position(view, ras=ras, ijk=ijk)), keys=_modifiers(modifiers))


def wheel_slice(view: Any, *, ras: Any = None, ijk: Any = None, steps: int = 1, modifiers: Iterable[str] = ()) -> None:
    """Turn the wheel at a point of a slice view, by positive steps forward."""
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtCore import Qt

    widget = _ready(view.VTKWidget())
    point = QtCore.QPointF(*_inside(view, view_position(view, ras=ras, ijk=ijk)))
    turn, none, keys = QtCore.QPoint(0, 120 * (1 if steps > 0 else -1)), QtCore.QPoint(), _modifiers(modifiers)
    for _ in range(abs(steps)):
        place = widget.mapToGlobal(point)
        event = QtGui.QWheelEvent(point, place, none, turn, Qt.NoButton, keys, Qt.NoScrollPhase, False)
        QtWidgets.QApplication.sendEvent(widget, event)
    process_events()


def segment_editor() -> Any:
    """A segment editor of its own in a window, on the scene, with a node of its own; gone with the test."""
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setMRMLScene(slicer.mrmlScene)
    editor.show()
    _editors.append(editor)
    process_events()
    return editor


def choose_effect(editor: Any, name: str) -> Any:
    """Click an effect's button in a segment editor ("" for none), by the effect's name; the active effect then."""
    click(find(find(editor, "EffectsGroupBox"), name or "NULL"))
    return editor.activeEffect()


def select_segment(editor: Any, name: str) -> None:
    """Click the row of a segment in a segment editor, by the segment's name."""
    table = find(editor, "SegmentsTable")
    names = [table.item(row, _SEGMENT_NAME).text() for row in range(table.rowCount)]
    assert name in names, f"the table shows {names}, not '{name}'"
    click_item(table, names.index(name), _SEGMENT_NAME)


def close_editors() -> None:
    """Close what ``segment_editor`` opened, and forget effects that a test has registered."""
    from .segment_effects import qSlicerSegmentEditorEffectFactory

    while _editors:
        editor = _editors.pop()
        editor.setActiveEffect(None)
        editor.uninstallKeyboardShortcuts()
        editor.deleteLater()
    process_events()
    del qSlicerSegmentEditorEffectFactory.instance()._effects[boot.registeredEffects :]


def drop_files(widget: Any, paths: Iterable[Any]) -> bool:
    """Drag files over a widget and drop them; whether it, or a parent of it, took them."""
    from PySide6 import QtCore, QtGui, QtWidgets
    from PySide6.QtCore import Qt

    widget = _ready(widget)
    while not widget.acceptDrops:
        if widget.isWindow():
            return False
        widget = widget.parentWidget()
    data = QtCore.QMimeData()
    data.setUrls([QtCore.QUrl.fromLocalFile(str(path)) for path in paths])
    point = QtCore.QPoint(widget.width // 2, widget.height // 2)
    enter = QtGui.QDragEnterEvent(point, Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(widget, enter)
    if not enter.isAccepted():
        return False
    drop = QtGui.QDropEvent(QtCore.QPointF(point), Qt.CopyAction, data, Qt.LeftButton, Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(widget, drop)
    process_events()
    return drop.isAccepted()


def click_sample(name: str) -> Any:
    """Click a data set in the Sample Data module; what its custom downloader returns, which nothing else calls."""
    import SampleData

    source = SampleData.SampleDataLogic().sourceForSampleName(name)
    assert source is not None, f"there is no sample data set '{name}'"
    loaded = source.customDownloader(source)
    process_events()
    return loaded


def script_dialog(answer: Any, about: str = "") -> None:
    """Say what the next modal dialog gives back: a value, or a function that gets the dialog and returns one.

    ``about`` must occur in its title or text. Dialogs are answered in the order of the scripts.
    """
    desktop.dialogs.answer(answer, about)


def grab(widget: Any, path: Any) -> Path:
    """Picture of a widget, panel or the main window, as a PNG file."""
    widget = _widget(widget)
    process_events()
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"no picture could be written to {path}")
    return path


def set_theme(name: str) -> None:
    """ "light" or "dark": the palette of the application, as Slicer's own styles set it."""
    from PySide6 import QtGui

    roles = QtGui.QPalette
    window, base, text = {"light": ("#efefef", "#ffffff", "#000000"), "dark": ("#353535", "#191919", "#ffffff")}[name]
    palette = QtGui.QPalette(QtGui.QColor(window))
    for role in (roles.Base, roles.AlternateBase, roles.ToolTipBase):
        palette.setColor(role, QtGui.QColor(base))
    for role in (roles.Text, roles.WindowText, roles.ButtonText, roles.ToolTipText):
        palette.setColor(role, QtGui.QColor(text))
    for role in (roles.Text, roles.WindowText, roles.ButtonText):
        palette.setColor(roles.Disabled, role, QtGui.QColor("#7f7f7f"))
    palette.setColor(roles.Highlight, QtGui.QColor("#2a82da"))
    palette.setColor(roles.HighlightedText, QtGui.QColor("#ffffff"))
    boot.start().setPalette(palette)
    process_events()


def reset_layout() -> None:
    """Show the layout with which the application starts."""
    import slicer

    boot.start().layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    process_events()


def close_scene() -> None:
    """File, Close Scene."""
    import slicer

    slicer.mrmlScene.Clear(0)
    process_events()


def save_scene(path: Any) -> Path:
    """File, Save, as one .mrb file."""
    import slicer

    assert slicer.util.saveScene(str(path)), f"the scene was not saved to {path}"
    return Path(path)


def open_scene(path: Any) -> None:
    """File, Open an .mrb file in place of the present scene."""
    import slicer

    assert slicer.app.coreIOManager().loadScene(str(path), True), f"{path} was not opened"
    process_events()
