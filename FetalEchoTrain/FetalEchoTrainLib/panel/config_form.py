"""A form for the common fields of a configuration, made from the schema that checks the YAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import qt

_ELSEWHERE = ("data.folder", "data.unlabelled", "run.folder")  # have widgets of their own, or are lists
_DEVICES = ("auto", "cpu", "cuda", "mps")


class ConfigForm:
    """Widgets for every field marked "common"; ``changed`` is called with (name, value) when the user changes one."""

    def __init__(self, container: Any, changed: Callable[[str, Any], None]) -> None:
        from ..configuration import field_names  # needs pydantic, which may be missing while the panel opens

        self._changed = changed
        self._show: dict[str, Callable[[Any], None]] = {}
        layout = qt.QFormLayout(container)
        layout.setContentsMargins(0, 0, 0, 0)
        for name, field in field_names():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("common") and name not in _ELSEWHERE:
                widget = self._widget(name, field)
                widget.setObjectName(name.replace(".", "_"))
                widget.setToolTip(f"{name}: {field.description}")
                layout.addRow(_label(name), widget)

    def show(self, config: Any) -> None:
        """Show the values of a configuration, without telling anybody."""
        for name, show in self._show.items():
            value = config
            for part in name.split("."):
                value = getattr(value, part)
            show(value)

    def _widget(self, name: str, field: Any) -> Any:
        kind = field.annotation
        if name == "run.device":
            return self._choice(name, _DEVICES)
        if get_origin(kind) is Literal:
            return self._choice(name, get_args(kind))
        if kind is bool:
            return self._box(name)
        return self._line(name, kind)

    def _choice(self, name: str, choices: Sequence[str]) -> Any:
        widget = qt.QComboBox()
        for choice in choices:
            widget.addItem(choice)

        def show(value: Any) -> None:
            wasBlocked = widget.blockSignals(True)
            if widget.findText(str(value)) < 0:  # "cuda:1", from a file
                widget.addItem(str(value))
            widget.setCurrentIndex(widget.findText(str(value)))
            widget.blockSignals(wasBlocked)

        widget.connect("currentIndexChanged(int)", lambda index=0: self._changed(name, widget.currentText))
        self._show[name] = show
        return widget

    def _box(self, name: str) -> Any:
        widget = qt.QCheckBox()

        def show(value: Any) -> None:
            wasBlocked = widget.blockSignals(True)
            widget.setChecked(bool(value))
            widget.blockSignals(wasBlocked)

        widget.connect("toggled(bool)", lambda checked=False: self._changed(name, bool(checked)))
        self._show[name] = show
        return widget

    def _line(self, name: str, kind: Any) -> Any:
        """A number or a text; what it may be is checked by the schema, which says so in a sentence."""
        widget = qt.QLineEdit()

        def edited() -> None:
            text = str(widget.text).strip()
            isText = kind is str or str in get_args(kind)
            self._changed(name, text if isText else _number(text))

        def show(value: Any) -> None:
            text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
            if str(widget.text).strip() != text:
                widget.setText(text)

        widget.connect("editingFinished()", edited)
        self._show[name] = show
        return widget


def _number(text: str) -> Any:
    """A whole number, a number, nothing for an empty text, or the text itself, which the schema then refuses."""
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _label(name: str) -> str:
    block, _, field = name.rpartition(".")
    words = {"semantic_filter": "DINOv3", "boundary": "SAM", "fine_tuning": "stage 2", "ema": "stage 1"}
    text = f"{words.get(block, '' if block == 'run' else block)} {field.replace('_', ' ')}".strip()
    return f"{text[0].upper()}{text[1:]}:"
