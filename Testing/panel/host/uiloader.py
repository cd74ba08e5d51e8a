"""qt.QUiLoader: loads .ui files with the host's ctk and qMRML widgets, and refuses what Slicer would not know."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt

registry: dict[str, type] = {}
"""Widget classes that .ui files may use besides Qt's, by name."""


class UiError(RuntimeError):
    """A .ui file that Slicer would not load, or load otherwise than meant."""


def register(cls: type) -> type:
    """Class decorator: ``cls`` is a C++ widget class that .ui files can name."""
    registry[cls.__name__] = pythonqt.cpp_class(cls)
    return cls


class QUiLoader(QtCore.QObject):
    """The part of Qt's class that slicer.util.loadUI uses."""

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Widget described by the .ui file in ``device``. Raises UiError."""
        root = ElementTree.fromstring(bytes(device.readAll()))
        _check_classes(root)
        # Done here: Qt would look for slots that the host has in Python only.
        connections = [c for block in root.findall("connections") for c in block.findall("connection")]
        for block in root.findall("connections"):
            root.remove(block)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loader = _Loader()
        form = loader.load(buffer, parent)
        if form is None:
            raise UiError(loader.errorString())
        children = {form.objectName: form} | {c.objectName: c for c in form.findChildren("QObject") if c.objectName}
        _check_properties(root, children)
        for connection in connections:
            _make(connection, children)
        for widget in loader.made:
            vars(widget).get("_after_loading", lambda: None)()
        form._widgets = loader.made  # their Python halves live as long as the form
        return form


class _Loader(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[QtWidgets.QWidget] = []

    def createWidget(self, name: str, parent: Any = None, object_name: str = "") -> QtWidgets.QWidget:
        if name in registry:
            widget = registry[name](parent)
            widget.setObjectName(object_name)
        else:
            widget = super().createWidget(name, parent, object_name)
        self.made.append(widget)
        return widget


def _check_classes(root: ElementTree.Element) -> None:
    declared = {element.text for element in root.iterfind("customwidgets/customwidget/class")}
    for element in root.iter("widget"):
        name = element.get("class", "")
        if name in registry:
            if name not in declared:
                raise UiError(f"{name} is used without a <customwidget> entry")
        elif not hasattr(QtWidgets, name):
            raise UiError(f"widget class {name} is not in the test host")


def _check_properties(root: ElementTree.Element, children: dict[str, Any]) -> None:
    """A name that is no property makes a dynamic one in Qt, without a word."""
    for element in root.iter("widget"):
        widget = children.get(element.get("name", ""))
        for property_element in element.findall("property"):
            name = property_element.get("name")
            known = property_element.get("stdset") == "0" or name == "buddy"  # dynamic, or for the loader
            if widget is not None and not known and widget.metaObject().indexOfProperty(name) < 0:
                raise UiError(f"{element.get('class')} '{element.get('name')}' has no property '{name}'")


def _make(connection: ElementTree.Element, children: dict[str, Any]) -> None:
    sender, signal, receiver, slot = (connection.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot"))
    if sender not in children or receiver not in children:
        raise UiError(f"connection between '{sender}' and '{receiver}': no such widget")
    target = getattr(children[receiver], slot.split("(")[0])
    count = 0 if slot.endswith("()") else slot.count(",") + 1
    children[sender].connect(signal, lambda *arguments: target(*arguments[:count]))
