"""Slicer's module ``ctk``: the widgets that the panel may use, with the names that CTK offers to Python and no others.

CTK's own look is approximated. What is neither property, slot nor invokable in CTK (ctkSliderWidget.setRange) is
missing on purpose.
"""

from __future__ import annotations

import sys
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, QRect, QSize, Qt
from PySide6.QtWidgets import QSizePolicy, QStyle

from . import qt
from .pythonqt import PySignal
from .uiloader import register

_LIMIT = 1e300  # Qt's spin boxes cannot show infinity


def stored(kind: Any, name: str, default: Any) -> Property:
    """Property that is only kept."""
    return Property(
        kind, lambda self: vars(self).get(f"_{name}", default), lambda self, v: vars(self).__setitem__(f"_{name}", v)
    )


def row(widget: QtWidgets.QWidget, *children: QtWidgets.QWidget) -> None:
    """Lay ``children`` out in ``widget``, side by side."""
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


def _text_and_parent(arguments: tuple) -> tuple[str, Any]:
    text = next((a for a in arguments if isinstance(a, str)), "")
    return text, next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None)


class _Fold(QtCore.QObject):
    """Hides the children of a widget while it is collapsed; those hidden anyway, or meanwhile, stay so."""

    def __init__(self, widget: QtWidgets.QWidget) -> None:
        super().__init__(widget)
        self.widget = widget
        self.collapsed = False
        self.hidden: list[QtWidgets.QWidget] = []
        self.hiding = False
        widget.installEventFilter(self)

    def set(self, collapsed: bool, height: int) -> None:
        hidden, self.hidden = self.hidden, []
        self.collapsed = collapsed
        for child in hidden:
            child.setVisible(True)
        self.catch_up()
        self.widget.setMaximumHeight(height if collapsed else 16777215)
        self.widget.updateGeometry()

    def catch_up(self) -> None:
        """Hide children that came since. CTK does it as they come; in Python they have no type yet at that moment."""
        for child in self.widget.children() if self.collapsed else ():
            if not child.isWidgetType():
                continue
            child.removeEventFilter(self)
            child.installEventFilter(self)
            if not child.isHidden():
                self.hidden.append(child)
                self.hiding = True
                child.setVisible(False)
                self.hiding = False
                # As CTK does, so that Qt tells of somebody else who hides it.
                child.setAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)

    def eventFilter(self, obj: Any, event: Any) -> bool:
        own = obj is self.widget
        if self.collapsed and event.type() == (QtCore.QEvent.Type.Show if own else QtCore.QEvent.Type.ShowToParent):
            self.catch_up()
        elif not own and not self.hiding and event.type() == QtCore.QEvent.Type.HideToParent and obj in self.hidden:
            self.hidden.remove(obj)
        return False


@register
class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    contentsCollapsed = PySignal("contentsCollapsed(bool)")
    flat = stored(bool, "flat", False)
    contentsFrameShape = stored(int, "contentsFrameShape", 0)
    contentsFrameShadow = stored(int, "contentsFrameShadow", 0)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)
    collapsedHeight = stored(int, "collapsedHeight", 10)
    buttonTextAlignment = stored(int, "buttonTextAlignment", 0x84)
    indicatorAlignment = stored(int, "indicatorAlignment", 0x81)

    def __init__(self, *arguments: Any) -> None:
        text, parent = _text_and_parent(arguments)
        super().__init__(parent)
        self._fold = _Fold(self)
        self._after_loading = self._fold.catch_up
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def _collapse(self, collapsed: bool) -> None:
        if collapsed == self._fold.collapsed:
            return
        self._fold.set(collapsed, self._header() + 2)
        self.setChecked(not collapsed)
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._fold.collapsed, lambda self, value: self._collapse(bool(value)))

    def sizeHint(self) -> QSize:
        if self._fold.collapsed or self.layout() is None:
            return QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._header() + 2)
        return self.layout().totalSizeHint()

    def minimumSizeHint(self) -> QSize:
        if self._fold.collapsed or self.layout() is None:
            return QSize(60, self._header() + 2)
        return self.layout().totalMinimumSize()

    def hitButton(self, position: Any) -> bool:
        return position.y() < self._header()

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        height = self._header()
        header = QRect(0, 0, self.width, height)
        painter.fillRect(header, self.palette.color(QtGui.QPalette.ColorRole.Button).darker(104))
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.ButtonText))
        painter.drawText(header.adjusted(20, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text)
        arrow = QtWidgets.QStyleOption()
        arrow.rect = QRect(4, (height - 10) // 2, 10, 10)
        arrow.palette = self.palette
        primitive = QStyle.PrimitiveElement
        self.style().drawPrimitive(
            primitive.PE_IndicatorArrowRight if self._fold.collapsed else primitive.PE_IndicatorArrowDown,
            arrow, painter, self,
        )  # fmt: skip
        if not self._fold.collapsed:
            painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.Mid))
            painter.drawRect(0, height, self.width - 1, self.height - height - 1)
        painter.end()


@register
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    collapsedHeight = stored(int, "collapsedHeight", 14)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._fold = _Fold(self)
        self._after_loading = self._fold.catch_up
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    def _collapse(self, collapsed: bool) -> None:
        if collapsed != self._fold.collapsed:
            self._fold.set(collapsed, self.fontMetrics().height() + self.collapsedHeight)
            self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: self._fold.collapsed, lambda self, value: self._collapse(bool(value)))


@register
class ctkDoubleSpinBox(QtWidgets.QWidget):
    valueChanged = PySignal("valueChanged(double)", "valueChanged(QString)")
    decimalsChanged = PySignal("decimalsChanged(int)")
    editingFinished = PySignal("editingFinished()")
    SetAlways, SetIfDifferent = 0, 1
    setMode = stored(int, "setMode", 1)
    decimalsOption = stored(int, "decimalsOption", 0)
    sizeHintPolicy = stored(int, "sizeHintPolicy", 0)
    invertedControls = stored(bool, "invertedControls", False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox()
        row(self, self._box)
        self._box.connect("valueChanged(double)", self._changed)
        self._box.connect("editingFinished()", lambda: self.editingFinished.emit())

    def _changed(self, value: float) -> None:
        self.valueChanged.emit(value)

    def _limits(self, minimum: float, maximum: float) -> None:
        self._box.setRange(max(minimum, -_LIMIT), min(maximum, _LIMIT))

    value = Property(float, lambda self: self._box.value, lambda self, v: self.setValue(v))
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._limits(v, max(v, self.maximum)))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._limits(min(v, self.minimum), v))
    singleStep = Property(float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v))
    decimals = Property(int, lambda self: self._box.decimals, lambda self, v: self.setDecimals(v))
    prefix = Property(str, lambda self: self._box.prefix, lambda self, v: self._box.setPrefix(v))
    suffix = Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))
    cleanText = Property(str, lambda self: self._box.cleanText)
    frame = Property(bool, lambda self: self._box.frame, lambda self, v: self._box.setFrame(v))
    readOnly = Property(bool, lambda self: self._box.readOnly, lambda self, v: self.setReadOnly(v))
    alignment = Property(
        int, lambda self: int(self._box.alignment), lambda self, v: self._box.setAlignment(Qt.AlignmentFlag(v))
    )

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        if decimals != self._box.decimals:
            self._box.setDecimals(int(decimals))
            self.decimalsChanged.emit(int(decimals))

    def setReadOnly(self, readOnly: bool) -> None:
        self._box.setReadOnly(readOnly)

    def stepUp(self) -> None:
        self._box.stepUp()

    def stepDown(self) -> None:
        self._box.stepDown()


@register
class ctkDoubleSlider(QtWidgets.QWidget):
    valueChanged = PySignal("valueChanged(double)")
    sliderMoved = PySignal("sliderMoved(double)")
    sliderPressed = PySignal("sliderPressed()")
    sliderReleased = PySignal("sliderReleased()")
    rangeChanged = PySignal("rangeChanged(double,double)")
    pageStep = stored(float, "pageStep", 10.0)
    singleStep = stored(float, "singleStep", 1.0)
    _STEPS = 10000

    def __init__(self, *arguments: Any) -> None:
        _, parent = _text_and_parent(arguments)
        orientation = next((a for a in arguments if isinstance(a, Qt.Orientation)), Qt.Orientation.Horizontal)
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(orientation)
        self._slider.setRange(0, self._STEPS)
        self._minimum, self._maximum, self._value = 0.0, 99.0, 0.0
        row(self, self._slider)
        self._slider.connect("valueChanged(int)", self._moved)
        self._slider.connect("sliderMoved(int)", lambda position: self.sliderMoved.emit(self._at(position)))
        self._slider.connect("sliderPressed()", lambda: self.sliderPressed.emit())
        self._slider.connect("sliderReleased()", lambda: self.sliderReleased.emit())

    def _at(self, position: int) -> float:
        return self._minimum + (self._maximum - self._minimum) * position / self._STEPS

    def _moved(self, position: int) -> None:
        self._take(self._at(position))

    def _take(self, value: float) -> None:
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        value = min(max(value, self._minimum), self._maximum)
        span = self._maximum - self._minimum
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round((value - self._minimum) / span * self._STEPS) if 0 < span < _LIMIT else 0)
        self._slider.blockSignals(blocked)
        self._take(value)

    def _range(self, minimum: float, maximum: float) -> None:
        if (minimum, maximum) != (self._minimum, self._maximum):
            self._minimum, self._maximum = minimum, maximum
            self.rangeChanged.emit(minimum, maximum)
            self.setValue(self._value)

    value = Property(float, lambda self: self._value, lambda self, v: self.setValue(v))
    minimum = Property(float, lambda self: self._minimum, lambda self, v: self._range(v, max(v, self._maximum)))
    maximum = Property(float, lambda self: self._maximum, lambda self, v: self._range(min(v, self._minimum), v))
    tracking = Property(bool, lambda self: self._slider.tracking, lambda self, v: self._slider.setTracking(v))
    orientation = Property(
        int, lambda self: self._slider.orientation, lambda self, v: self.setOrientation(Qt.Orientation(v))
    )

    def setOrientation(self, orientation: Any) -> None:
        self._slider.setOrientation(orientation)


@register
class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = PySignal("valueChanged(double)")
    valueIsChanging = PySignal("valueIsChanging(double)")
    decimalsChanged = PySignal("decimalsChanged(int)")
    pageStep = stored(float, "pageStep", 10.0)
    popupSlider = stored(bool, "popupSlider", False)
    tickInterval = stored(float, "tickInterval", 0.0)
    tracking = stored(bool, "tracking", True)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider, self._spin = ctkDoubleSlider(), ctkDoubleSpinBox()
        self._slider.setObjectName("Slider")
        self._spin.setObjectName("SpinBox")
        row(self, self._slider, self._spin)
        self._last = 0.0
        self._range(0, 99)
        self._slider.valueChanged.connect(self.setValue)
        self._slider.sliderReleased.connect(lambda: self._announce(self._spin.value))
        self._spin.valueChanged.connect(self.setValue)
        self._spin.decimalsChanged.connect(lambda decimals: self.decimalsChanged.emit(decimals))

    def setValue(self, value: float) -> None:
        for part in (self._spin, self._slider):
            blocked = part.blockSignals(True)
            part.setValue(value)
            part.blockSignals(blocked)
            value = self._spin.value  # rounded to the decimals
        if not self.tracking and self._slider._slider.isSliderDown():
            self.valueIsChanging.emit(value)
        else:
            self._announce(value)

    def _announce(self, value: float) -> None:
        if value != self._last:
            self._last = value
            self.valueChanged.emit(value)

    def _range(self, minimum: float, maximum: float) -> None:
        value = self._spin.value
        for part in (self._slider, self._spin):
            blocked = part.blockSignals(True)
            part.minimum, part.maximum = minimum, maximum
            part.blockSignals(blocked)
        self.setValue(value)

    value = Property(float, lambda self: self._spin.value, lambda self, v: self.setValue(v))
    minimum = Property(float, lambda self: self._spin.minimum, lambda self, v: self._range(v, max(v, self.maximum)))
    maximum = Property(float, lambda self: self._spin.maximum, lambda self, v: self._range(min(v, self.minimum), v))
    singleStep = Property(
        float, lambda self: self._spin.singleStep, lambda self, v: setattr(self._spin, "singleStep", v)
    )
    decimals = Property(int, lambda self: self._spin.decimals, lambda self, v: self.setDecimals(v))
    prefix = Property(str, lambda self: self._spin.prefix, lambda self, v: self._spin._box.setPrefix(v))
    suffix = Property(str, lambda self: self._spin.suffix, lambda self, v: self._spin._box.setSuffix(v))
    spinBoxVisible = Property(bool, lambda self: not self._spin.isHidden(), lambda self, v: self.setSpinBoxVisible(v))

    def setDecimals(self, decimals: int) -> None:
        self._spin.setDecimals(decimals)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._spin.setVisible(bool(visible))

    def reset(self) -> None:
        self.setValue(0)


class _Interval(QtWidgets.QWidget):
    """Two values in one range: what ctkRangeWidget and ctkDoubleRangeSlider share."""

    valuesChanged = PySignal("valuesChanged(double,double)")
    minimumValueChanged = PySignal("minimumValueChanged(double)")
    maximumValueChanged = PySignal("maximumValueChanged(double)")
    rangeChanged = PySignal("rangeChanged(double,double)")
    tracking = stored(bool, "tracking", True)
    symmetricMoves = stored(bool, "symmetricMoves", False)
    tickInterval = stored(float, "tickInterval", 0.0)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(_text_and_parent(arguments)[1])
        self._low, self._high = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        for box in (self._low, self._high):
            box.setRange(0, 99)
        self._high.setValue(99)
        row(self, self._low, self._high)
        self._values = (0.0, 99.0)
        self._low.connect("valueChanged(double)", lambda value: self.setValues(value, max(value, self._values[1])))
        self._high.connect("valueChanged(double)", lambda value: self.setValues(min(value, self._values[0]), value))

    def setRange(self, minimum: float, maximum: float) -> None:
        if (minimum, maximum) == (self._low.minimum, self._low.maximum):
            return
        for box in (self._low, self._high):
            blocked = box.blockSignals(True)
            box.setRange(minimum, maximum)
            box.blockSignals(blocked)
        self.rangeChanged.emit(minimum, maximum)
        self.setValues(self._low.value, self._high.value)

    def setValues(self, low: float, high: float) -> None:
        before = self._values
        for box, value in ((self._low, min(low, high)), (self._high, max(low, high))):
            blocked = box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(blocked)
        self._values = (self._low.value, self._high.value)
        if self._values[0] != before[0]:
            self.minimumValueChanged.emit(self._values[0])
        if self._values[1] != before[1]:
            self.maximumValueChanged.emit(self._values[1])
        if self._values != before:
            self.valuesChanged.emit(*self._values)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._values[1]))

    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[0]), value)

    def _step(self, step: float) -> None:
        self._low.setSingleStep(step)
        self._high.setSingleStep(step)

    minimumValue = Property(float, lambda self: self._values[0], lambda self, v: self.setMinimumValue(v))
    maximumValue = Property(float, lambda self: self._values[1], lambda self, v: self.setMaximumValue(v))
    minimum = Property(
        float, lambda self: self._low.minimum, lambda self, v: self.setRange(v, max(v, self._low.maximum))
    )
    maximum = Property(
        float, lambda self: self._low.maximum, lambda self, v: self.setRange(min(v, self._low.minimum), v)
    )
    singleStep = Property(float, lambda self: self._low.singleStep, lambda self, v: self._step(v))


@register
class ctkRangeWidget(_Interval):
    minimumValueIsChanging = PySignal("minimumValueIsChanging(double)")
    maximumValueIsChanging = PySignal("maximumValueIsChanging(double)")

    def setDecimals(self, decimals: int) -> None:
        self._low.setDecimals(decimals)
        self._high.setDecimals(decimals)

    def _words(self, prefix: str, suffix: str) -> None:
        for box in (self._low, self._high):
            box.setPrefix(prefix)
            box.setSuffix(suffix)

    decimals = Property(int, lambda self: self._low.decimals, lambda self, v: self.setDecimals(v))
    prefix = Property(str, lambda self: self._low.prefix, lambda self, v: self._words(v, self._low.suffix))
    suffix = Property(str, lambda self: self._low.suffix, lambda self, v: self._words(self._low.prefix, v))

    def reset(self) -> None:
        self.setValues(self._low.minimum, self._low.maximum)


@register
class ctkDoubleRangeSlider(_Interval):
    """Drawn as two spin boxes: the host has no slider with two handles."""


@register
class ctkComboBox(QtWidgets.QComboBox):
    defaultText = stored(str, "defaultText", "")
    forceDefault = stored(bool, "forceDefault", False)
    NeverScroll, AlwaysScroll, ScrollWithFocus, ScrollWithNoVScrollBar = 0, 1, 2, 3
    scrollWheelEffect = stored(int, "scrollWheelEffect", 1)

    def _select(self, text: str) -> None:
        self.setCurrentIndex(next((i for i in range(self.count) if str(self.itemData(i)) == text), -1))

    currentUserDataAsString = Property(str, lambda self: str(self.currentData or ""), lambda self, v: self._select(v))

    def setCurrentUserDataAsString(self, text: str) -> None:
        self._select(text)


@register
class ctkCheckBox(QtWidgets.QCheckBox):
    indicatorIcon = stored(QtGui.QIcon, "indicatorIcon", QtGui.QIcon())


@register
class ctkPushButton(QtWidgets.QPushButton):
    buttonTextAlignment = stored(int, "buttonTextAlignment", 0x84)
    iconAlignment = stored(int, "iconAlignment", 0x81)
    elideMode = stored(int, "elideMode", 3)


@register
class ctkCheckablePushButton(ctkPushButton):
    checkBoxToggled = PySignal("checkBoxToggled(bool)")
    checkBoxControlsButton = stored(bool, "checkBoxControlsButton", True)
    checkBoxControlsButtonToggleState = stored(bool, "checkBoxControlsButtonToggleState", True)
    checkBoxUserCheckable = stored(bool, "checkBoxUserCheckable", True)
    indicatorAlignment = stored(int, "indicatorAlignment", 0x81)

    def _check(self, state: int) -> None:
        if state != self.checkState:
            self._state = int(state)
            self.checkBoxToggled.emit(bool(state))

    checkState = Property(int, lambda self: vars(self).get("_state", 0), lambda self, v: self._check(v))


@register
class ctkMenuButton(QtWidgets.QPushButton):
    """Push button whose menu opens from an arrow at its side."""


@register
class ctkSearchBox(QtWidgets.QLineEdit):
    showSearchIcon = stored(bool, "showSearchIcon", False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setClearButtonEnabled(True)
        self.setPlaceholderText("Search...")


@register
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = PySignal("currentPathChanged(QString)")
    validInputChanged = PySignal("validInputChanged(bool)")
    # QDir::Filter
    Dirs, Files, Drives, NoSymLinks, AllEntries, TypeMask = 0x001, 0x002, 0x004, 0x008, 0x007, 0x00F
    Readable, Writable, Executable, PermissionMask = 0x010, 0x020, 0x040, 0x070
    Modified, Hidden, System, AccessMask = 0x080, 0x100, 0x200, 0x3F0
    AllDirs, CaseSensitive, NoDot, NoDotDot, NoDotAndDotDot = 0x400, 0x800, 0x2000, 0x4000, 0x6000
    filters = stored(int, "filters", 0x2007)
    nameFilters = stored("QStringList", "nameFilters", ())
    label = stored(str, "label", "")
    settingKey = stored(str, "settingKey", "")
    options = stored(int, "options", 0)
    showHistoryButton = stored(bool, "showHistoryButton", True)
    minimumContentsLength = stored(int, "minimumContentsLength", 0)
    sizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(_text_and_parent(arguments)[1])
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button = QtWidgets.QToolButton()
        self._button.setText("...")
        row(self, self._combo, self._button)
        self._button.clicked.connect(self.browse)
        self._combo.currentTextChanged.connect(lambda text: self.currentPathChanged.emit(text))

    def setCurrentPath(self, path: Any) -> None:
        self._combo.setEditText(str(path))

    def addCurrentPathToHistory(self) -> None:
        path = self._combo.currentText
        if path and self._combo.findText(path) < 0:
            self._combo.insertItem(0, path)
        self._combo.setEditText(path)
        if self.settingKey:
            paths = [self._combo.itemText(i) for i in range(self._combo.count)]
            qt.QSettings().setValue(self.settingKey, paths)

    def retrieveHistory(self) -> None:
        paths = qt.QSettings().value(self.settingKey) or []
        self._combo.clear()
        self._combo.addItems([paths] if isinstance(paths, str) else list(paths))

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    def browse(self) -> None:
        dialog = qt.QFileDialog
        names = ";;".join(self.nameFilters)
        if not int(self.filters) & self.Files:
            path = dialog.getExistingDirectory(self, "Select a directory...", self.currentPath)
        elif int(self.filters) & self.Writable:
            path = dialog.getSaveFileName(self, "Select a file to save ", self.currentPath, names)
        else:
            path = dialog.getOpenFileName(self, "Open a file", self.currentPath, names)
        if path:
            self.setCurrentPath(path)

    currentPath = Property(str, lambda self: self._combo.currentText, lambda self, v: self.setCurrentPath(v))
    showBrowseButton = Property(
        bool, lambda self: not self._button.isHidden(), lambda self, v: self._button.setVisible(v)
    )


@register
class ctkDirectoryButton(QtWidgets.QWidget):
    directoryChanged = PySignal("directoryChanged(QString)")
    directorySelected = PySignal("directorySelected(QString)")
    caption = stored(str, "caption", "")

    def __init__(self, *arguments: Any) -> None:
        directory, parent = _text_and_parent(arguments)
        super().__init__(parent)
        self._directory = directory or "."
        self._text = ""
        self._elideMode = Qt.TextElideMode.ElideNone
        self._button = QtWidgets.QPushButton(self._directory)
        row(self, self._button)
        self._button.clicked.connect(self.browse)

    def _change(self, directory: str) -> None:
        if directory != self._directory:
            self._directory = str(directory)
            self._show()
            self.directoryChanged.emit(self._directory)

    def _show(self) -> None:
        text = self._text or self._directory
        if self._elideMode != Qt.TextElideMode.ElideNone:
            text = self._button.fontMetrics().elidedText(text, self._elideMode, max(0, self.width - 16))
        self._button.setText(text)

    def _elide(self, mode: Any) -> None:
        self._elideMode = mode
        if mode != Qt.TextElideMode.ElideNone:  # an elided button may be narrower than its text
            self._button.setMinimumWidth(1)
        self._show()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._show()

    def _label(self, text: str) -> None:
        self._text = text
        self._show()

    directory = Property(str, lambda self: self._directory, lambda self, v: self._change(v))
    text = Property(str, lambda self: self._text, lambda self, v: self._label(v))
    elideMode = Property(int, lambda self: self._elideMode.value, lambda self, v: self._elide(Qt.TextElideMode(v)))

    def browse(self) -> None:
        directory = qt.QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if directory:
            self._change(directory)
            self.directorySelected.emit(directory)


@register
class ctkColorPickerButton(QtWidgets.QPushButton):
    colorChanged = PySignal("colorChanged(QColor)")
    colorNameChanged = PySignal("colorNameChanged(QString)")
    displayColorName = stored(bool, "displayColorName", True)
    dialogOptions = stored(int, "dialogOptions", 0)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*_text_and_parent(arguments))
        self._color = QtGui.QColor(0, 0, 0)
        self.clicked.connect(self.changeColor)

    def setColor(self, color: QtGui.QColor) -> None:
        if color == self._color:
            return
        self._color = QtGui.QColor(color)
        if self.displayColorName:
            self.setText(self._color.name())
        swatch = QtGui.QPixmap(16, 16)
        swatch.fill(self._color)
        self.setIcon(QtGui.QIcon(swatch))
        self.colorChanged.emit(self._color)

    color = Property(QtGui.QColor, lambda self: self._color, lambda self, v: self.setColor(v))

    def changeColor(self) -> None:
        color = qt.QColorDialog.getColor(self._color, self)
        if color.isValid():
            self.setColor(color)


@register
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    collapsed = stored(bool, "collapsed", True)
    disableMouseScroll = stored(bool, "disableMouseScroll", True)
    showDetailsText = stored(str, "showDetailsText", "Show details...")
    hideDetailsText = stored(str, "hideDetailsText", "Hide details.")

    def setCollapsibleText(self, text: str) -> None:
        self.setText(text)

    def setCollapsibleHtml(self, text: str) -> None:
        self.setHtml(text)


@register
class ctkMessageBox(QtWidgets.QMessageBox):
    dontShowAgain = stored(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)

    def setDontShowAgain(self, dontShowAgain: bool) -> None:
        self.dontShowAgain = bool(dontShowAgain)


sys.modules.setdefault("ctk", sys.modules[__name__])


def __getattr__(name: str) -> Any:
    raise AttributeError(f"ctk.{name} is not in the test host")
