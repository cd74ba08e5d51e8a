"""Widgets that step and play a sequence browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property

from .mrml_widgets import Observations, qMRMLWidget, stored
from .uiloader import register


class _BrowserWidget(qMRMLWidget):
    """Follows a browser node."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._browser: Any = None
        self._observations = Observations()
        self.destroyed.connect(self._observations.clear)
        self.setEnabled(False)

    def setMRMLSequenceBrowserNode(self, browserNode: Any) -> None:
        if browserNode is self._browser:
            return
        self._observations.clear()
        self._browser = browserNode
        if browserNode is not None:
            self._observations.add(browserNode, [vtk.vtkCommand.ModifiedEvent], self._onModified)
        self._update()

    def _onModified(self, _caller: Any, _event: str) -> None:
        self._update()

    def _hasItems(self) -> bool:
        return self._browser is not None and self._browser.GetNumberOfItems() > 0

    def _update(self) -> None:
        raise NotImplementedError


@register
class qMRMLSequenceBrowserSeekWidget(_BrowserWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._name = QtWidgets.QLabel()
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setObjectName("slider_IndexValue")
        self._value = QtWidgets.QLabel()
        self._value.setObjectName("label_IndexValue")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._name, self._slider, self._value):
            layout.addWidget(widget)
        self._slider.valueChanged.connect(self.setSelectedItemNumber)

    def slider(self) -> QtWidgets.QSlider:
        return self._slider

    def setSelectedItemNumber(self, itemNumber: int) -> None:
        if self._browser is not None:
            self._browser.SetSelectedItemNumber(itemNumber)

    def _update(self) -> None:
        self.setEnabled(self._hasItems())
        master = self._browser.GetMasterSequenceNode() if self._browser is not None else None
        self._name.setText(master.GetIndexName() if master is not None else "")
        self._slider.blockSignals(True)
        self._slider.setRange(0, self._browser.GetNumberOfItems() - 1 if self._hasItems() else 0)
        self._slider.setValue(self._browser.GetSelectedItemNumber() if self._hasItems() else 0)
        self._slider.blockSignals(False)
        if master is not None and self._hasItems():
            index = self._browser.GetFormattedIndexValue(self._browser.GetSelectedItemNumber())
            self._value.setText(f"{index} {master.GetIndexUnit() or ''}".strip())
        else:
            self._value.setText("")


@register
class qMRMLSequenceBrowserPlayWidget(_BrowserWidget):
    """The buttons; the clock is in the Sequences module, as in Slicer."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        icons = QtWidgets.QStyle
        for name, icon, slot in (
            ("pushButton_VcrFirst", icons.SP_MediaSkipBackward, self.onVcrFirst),
            ("pushButton_VcrPrevious", icons.SP_MediaSeekBackward, self.onVcrPrevious),
            ("pushButton_VcrPlayPause", icons.SP_MediaPlay, self.setPlaybackEnabled),
            ("pushButton_VcrNext", icons.SP_MediaSeekForward, self.onVcrNext),
            ("pushButton_VcrLast", icons.SP_MediaSkipForward, self.onVcrLast),
            ("pushButton_VcrLoop", icons.SP_BrowserReload, self.setPlaybackLoopEnabled),
        ):
            layout.addWidget(self._button(name, icon, slot))
        for name in ("pushButton_VcrPlayPause", "pushButton_VcrLoop"):
            self._buttons[name].setCheckable(True)
        self._rate = QtWidgets.QDoubleSpinBox()
        self._rate.setObjectName("doubleSpinBox_VcrPlaybackRate")
        self._rate.setRange(0.1, 1000.0)
        self._rate.setDecimals(1)
        self._rate.setSuffix("fps")
        self._rate.valueChanged.connect(self.setPlaybackRateFps)
        layout.addWidget(self._rate)
        self.setPlayPauseShortcut("Ctrl+Shift+Down")
        self.setPreviousFrameShortcut("Ctrl+Shift+Left")
        self.setNextFrameShortcut("Ctrl+Shift+Right")

    def _button(self, name: str, icon: Any, slot: Callable[..., None]) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(self.style().standardIcon(icon), "")
        button.setObjectName(name)
        button.clicked.connect(slot)
        self.__dict__.setdefault("_buttons", {})[name] = button
        return button

    def _update(self) -> None:
        self.setEnabled(self._hasItems())
        if self._browser is None:
            return
        self._buttons["pushButton_VcrPlayPause"].setChecked(bool(self._browser.GetPlaybackActive()))
        self._buttons["pushButton_VcrLoop"].setChecked(bool(self._browser.GetPlaybackLooped()))
        self._rate.blockSignals(True)
        self._rate.setValue(self._browser.GetPlaybackRateFps())
        self._rate.blockSignals(False)

    def onVcrFirst(self) -> None:
        if self._browser is not None:
            self._browser.SelectFirstItem()

    def onVcrLast(self) -> None:
        if self._browser is not None:
            self._browser.SelectLastItem()

    def onVcrPrevious(self) -> None:
        self._step(-1)

    def onVcrNext(self) -> None:
        self._step(1)

    def _step(self, count: int) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackActive(False)
            self._browser.SelectNextItem(count)

    def onVcrPlayPause(self) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackActive(not self._browser.GetPlaybackActive())

    def setPlaybackEnabled(self, play: bool) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackActive(play)

    def setPlaybackLoopEnabled(self, loop: bool) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackLooped(loop)

    def setPlaybackRateFps(self, rate: float) -> None:
        if self._browser is not None:
            self._browser.SetPlaybackRateFps(rate)

    def setRecordingControlsVisible(self, visible: bool) -> None:
        self.RecordingControlsVisible = visible

    def setPlayPauseShortcut(self, keys: str) -> None:
        self._addShortcut("PlayPause", keys, self.onVcrPlayPause)

    def setPreviousFrameShortcut(self, keys: str) -> None:
        self._addShortcut("PreviousFrame", keys, self.onVcrPrevious)

    def setNextFrameShortcut(self, keys: str) -> None:
        self._addShortcut("NextFrame", keys, self.onVcrNext)

    def _addShortcut(self, name: str, keys: str, slot: Callable[..., None]) -> None:
        """Slicer adds another shortcut each time, and removes none."""
        shortcut = QtGui.QShortcut(QtGui.QKeySequence(keys), self)
        shortcut.activated.connect(slot)
        self.__dict__.setdefault("_keys", {})[name] = keys

    def _shortcut(self, name: str) -> str:
        return self.__dict__.get("_keys", {}).get(name, "")

    RecordingControlsVisible = stored(bool, "RecordingControlsVisible", False)
    PlayPauseShortcut = Property(str, lambda self: self._shortcut("PlayPause"), setPlayPauseShortcut)
    PreviousFrameShortcut = Property(str, lambda self: self._shortcut("PreviousFrame"), setPreviousFrameShortcut)
    NextFrameShortcut = Property(str, lambda self: self._shortcut("NextFrame"), setNextFrameShortcut)
