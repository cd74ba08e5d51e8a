"""What reaches the Segment Editor from mouse and keyboard: events of the views, for its effect, and shortcuts."""

from __future__ import annotations

import functools
from typing import Any

import vtk
from PySide6 import QtGui

from .mrml_widgets import Observations

_BUTTONS = ("Left", "Right", "Middle")
_EVENTS = (
    *(f"{button}Button{action}Event" for button in _BUTTONS for action in ("Press", "Release", "DoubleClick")),
    *(f"MouseWheel{way}Event" for way in ("Forward", "Backward", "Left", "Right")),
    "MouseMoveEvent", "KeyPressEvent", "KeyReleaseEvent", "EnterEvent", "LeaveEvent",
)  # fmt: skip
_BEFORE_THE_VIEW = 1.0  # priority of observers
_EFFECT_KEYS = [f"{shift}{number % 10}" for shift in ("", "Shift+") for number in range(1, 11)]
_KEYS = {
    **{keys: ("_toggleEffect", index) for index, keys in enumerate(("Esc", *_EFFECT_KEYS))},
    "Space": ("_activateLastEffect",),
    **dict.fromkeys(("Z", "Ctrl+Z"), ("undo",)),
    **dict.fromkeys(("Y", "Ctrl+Y", "Ctrl+Shift+Z"), ("redo",)),  # the last two depend on the system
    **dict.fromkeys(("Q", "/", ",", ">"), ("selectSegmentAtOffset", -1)),
    **dict.fromkeys(("W", "*", ".", "<"), ("selectSegmentAtOffset", 1)),
    "I": ("toggleSourceVolumeIntensityMaskEnabled",),
}


class Views:
    """Hands the events of slice views to the editor's active effect, before the views themselves get them."""

    def __init__(self, editor: Any) -> None:
        self._editor = editor
        self._observations = Observations()
        self.observed = False

    def observe(self, sliceWidgets: list[Any]) -> None:
        """Hear these views and no others."""
        self.leave()
        for widget in sliceWidgets:
            for event in _EVENTS:
                self._observe(widget, event)
            node, changed = widget.mrmlSliceNode(), functools.partial(self._onViewNode, widget)
            tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, changed, _BEFORE_THE_VIEW)
            self._observations.take(node, tag)
        self.observed = True

    def leave(self) -> None:
        """Hear none."""
        self._observations.clear()
        self.observed = False

    def _observe(self, widget: Any, name: str) -> None:
        event, interactor, tag = vtk.vtkCommand.GetEventIdFromString(name), widget.sliceView().interactor(), 0

        def onEvent(caller: Any, _event: str) -> None:
            effect = self._effect()
            if effect is not None and effect._processInteractionEvents(caller, event, widget):
                caller.GetCommand(tag).SetAbortFlag(1)

        tag = interactor.AddObserver(event, onEvent, _BEFORE_THE_VIEW)
        self._observations.take(interactor, tag)

    def _onViewNode(self, widget: Any, node: Any, _event: str) -> None:
        effect = self._effect()
        if effect is not None:
            effect._processViewNodeEvents(node, vtk.vtkCommand.ModifiedEvent, widget)

    def _effect(self) -> Any:
        """The one that hears; None while the scene closes or when the editor has lost its node."""
        node = self._editor.mrmlSegmentEditorNode()
        return None if node is None or node.GetScene().IsClosing() else self._editor.activeEffect()


class Keys:
    """The editor's shortcuts in a window."""

    def __init__(self, editor: Any) -> None:
        self._editor = editor
        self._shortcuts: list[Any] = []

    def install(self, window: Any) -> None:
        """Nothing without a window, as when Slicer runs without one."""
        self.uninstall()
        for keys, (method, *arguments) in _KEYS.items() if window is not None else ():
            shortcut = QtGui.QShortcut(QtGui.QKeySequence(keys), window)
            shortcut.activated.connect(functools.partial(getattr(self._editor, method), *arguments))
            self._shortcuts.append(shortcut)

    def uninstall(self) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()
