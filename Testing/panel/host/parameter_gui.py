"""The part of ``slicer.parameterNodeWrapper`` that connects parameters to widgets, over the project's wrapper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import qt
import vtk
from FetalEchoSegLib.scene import parameter_nodes
from FetalEchoSegLib.scene.parameter_nodes import Choice, Decimals, Maximum, Minimum, Parameter, SingleStep, WithinRange


def parameterNodeWrapper(cls: type) -> type:
    """The project's wrapper with connectGui and its companions."""
    cls = parameter_nodes.parameterNodeWrapper(cls)
    for function in (connectGui, connectParametersToGui, disconnectGui):
        setattr(cls, function.__name__, function)
    return cls


def connectGui(self: Any, gui: Any) -> int:
    """Connect each widget with the dynamic property SlicerParameterName to the parameter of that name.

    :param gui: a widget, or what ``slicer.util.childWidgetVariables`` gives.
    :return: tag for disconnectGui.
    """
    isWidget = hasattr(gui, "metaObject")
    widgets = [gui, *gui.findChildren(qt.QWidget)] if isWidget else list(vars(gui).values())
    named = {widget.property("SlicerParameterName"): widget for widget in widgets if hasattr(widget, "metaObject")}
    named.pop(None, None)
    return connectParametersToGui(self, named)


def connectParametersToGui(self: Any, mapping: dict[str, Any]) -> int:
    """Connect parameters ("field" or "pack.field") to widgets; the tag for disconnectGui."""
    connections = [_Connection(self, name, widget) for name, widget in mapping.items()]
    guis = self.__dict__.setdefault("_guis", {})
    tag = self.__dict__["_lastGuiTag"] = self.__dict__.get("_lastGuiTag", 0) + 1
    observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: _show(connections))
    guis[tag] = connections, observer
    return tag


def disconnectGui(self: Any, tag: int) -> None:
    """Undo connectGui or connectParametersToGui."""
    connections, observer = self.__dict__["_guis"].pop(tag)
    self.RemoveObserver(observer)
    for connection in connections:
        connection.disconnect()


def _show(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.show()


@dataclass
class _Connector:
    """How to read and write one kind of widget: signal that tells of changes, reader, writer."""

    signal: str
    read: Callable[[], Any]
    write: Callable[[Any], None]


class _Connection:
    """One parameter and its widget."""

    def __init__(self, wrapper: Any, name: str, widget: Any) -> None:
        self._wrapper, self._name, self._widget = wrapper, name, widget
        parameter = parameter_nodes.parameterOf(type(wrapper), name)
        self._connector = _connectorFor(widget, parameter)
        self.show()
        getattr(widget, self._connector.signal).connect(self._onChanged)

    def show(self) -> None:
        value = self._wrapper.getValue(self._name)
        if self._connector.read() != value:
            self._connector.write(value)

    def disconnect(self) -> None:
        getattr(self._widget, self._connector.signal).disconnect(self._onChanged)

    def _onChanged(self) -> None:
        value = self._connector.read()
        if self._wrapper.getValue(self._name) != value:
            self._wrapper.setValue(self._name, value)


def _connectorFor(widget: Any, parameter: Parameter) -> _Connector:
    """By the exact class of the widget, as Slicer chooses."""
    make = _CONNECTORS.get(type(widget).__name__)
    connector = make(widget, parameter) if make is not None else None
    if connector is None:
        raise RuntimeError(
            f"Slicer has no GUI connector between {parameter.kind} ('{parameter.name}') and {type(widget).__name__}"
        )
    return connector


def _checkable(widget: Any, parameter: Parameter) -> _Connector | None:
    if parameter.kind is not bool:
        return None
    if type(widget).__name__ == "QPushButton":
        widget.setCheckable(True)
    return _Connector("toggled", lambda: widget.checked, widget.setChecked)


def _number(widget: Any, parameter: Parameter) -> _Connector | None:
    kind, whole = parameter.kind, type(widget).__name__ in ("QSlider", "QSpinBox")
    if kind is not int and (whole or kind is not float):
        return None
    if kind is int and not whole and type(widget).__name__ != "ctkDoubleSlider":
        widget.decimals = 0
    _setRange(widget, parameter, whole)
    return _Connector("valueChanged", lambda: kind(widget.value), lambda value: widget.setValue(value))


def _setRange(widget: Any, parameter: Parameter, whole: bool) -> None:
    low: float = -(2**31) if whole else float("-inf")
    high: float = 2**31 - 1 if whole else float("inf")
    bounded = 0
    for annotation in parameter.annotations:
        if isinstance(annotation, SingleStep):
            widget.singleStep = annotation.value
        elif isinstance(annotation, Decimals):
            widget.decimals = annotation.value
        elif isinstance(annotation, WithinRange):
            low, high, bounded = annotation.minimum, annotation.maximum, 2
        elif isinstance(annotation, Minimum):
            low, bounded = annotation.minimum, bounded + 1
        elif isinstance(annotation, Maximum):
            high, bounded = annotation.maximum, bounded + 1
    if "lider" in type(widget).__name__ and bounded < 2:
        raise RuntimeError(f"the slider of '{parameter.name}' needs a range: annotate it with WithinRange")
    widget.minimum, widget.maximum = low, high


def _text(widget: Any, parameter: Parameter) -> _Connector | None:
    if parameter.kind is not str:
        return None
    if type(widget).__name__ == "QTextEdit":
        return _Connector("textChanged", lambda: widget.plainText, widget.setPlainText)
    return _Connector("textChanged", lambda: widget.text, widget.setText)


def _combo(widget: Any, parameter: Parameter) -> _Connector | None:
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, Enum):
        values: list[Any] = list(parameter.kind)
        texts = [value.label() if hasattr(value, "label") else value.name for value in values]
    elif any(isinstance(annotation, Choice) for annotation in parameter.annotations):
        values = next(annotation.choices for annotation in parameter.annotations if isinstance(annotation, Choice))
        texts = [str(value) for value in values]
    elif parameter.kind is str:
        return _Connector("currentTextChanged", lambda: widget.currentText, widget.setCurrentText)
    else:
        return None
    widget.clear()
    widget.addItems(texts)
    return _Connector(
        "currentIndexChanged",
        lambda: values[widget.currentIndex] if widget.currentIndex >= 0 else None,
        lambda value: widget.setCurrentIndex(values.index(value)),
    )


def _path(widget: Any, parameter: Parameter) -> _Connector | None:
    if not (isinstance(parameter.kind, type) and issubclass(parameter.kind, PurePath)):
        return None
    name = "currentPath" if type(widget).__name__ == "ctkPathLineEdit" else "directory"
    return _Connector(
        f"{name}Changed",
        lambda: parameter.kind(getattr(widget, name)),
        lambda value: setattr(widget, name, str(value)),
    )


def _node(widget: Any, parameter: Parameter) -> _Connector | None:
    if not parameter.isNode:
        return None
    widget.nodeTypes = [cls.__name__ for cls in parameter.nodeClasses]
    return _Connector("currentNodeChanged", lambda: widget.currentNode(), lambda value: widget.setCurrentNode(value))


_CONNECTORS: dict[str, Callable[[Any, Parameter], _Connector | None]] = {
    **dict.fromkeys(("QCheckBox", "ctkCheckBox", "QPushButton", "ctkCheckablePushButton"), _checkable),
    **dict.fromkeys(
        (
            "QSlider",
            "QSpinBox",
            "QDoubleSpinBox",
            "ctkSliderWidget",
            "qMRMLSliderWidget",
            "ctkDoubleSlider",
            "ctkDoubleSpinBox",
            "qMRMLSpinBox",
        ),
        _number,
    ),
    **dict.fromkeys(("QLineEdit", "QTextEdit"), _text),
    **dict.fromkeys(("QComboBox", "ctkComboBox"), _combo),
    **dict.fromkeys(("ctkPathLineEdit", "ctkDirectoryButton"), _path),
    "qMRMLNodeComboBox": _node,
}
