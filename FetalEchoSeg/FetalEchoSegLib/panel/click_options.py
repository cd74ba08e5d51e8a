"""The options of the effect SAM-Med2D."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .promptable_chooser import PromptableChooser


class ClickOptions:
    """Widgets for an effect's options frame; they tell what the user does and show what they are told.

    changed          called when mode or preview were switched
    modelChosen      called with the name of a model
    removeLast       called without arguments, as ``clear``
    """

    def __init__(
        self,
        changed: Callable[[], None],
        modelChosen: Callable[[str], None],
        removeLast: Callable[[], None],
        clear: Callable[[], None],
    ) -> None:
        self._changed = changed
        self._removeLast, self._clear = removeLast, clear
        self._problem = _label("clickProblemLabel")
        self._model = qt.QComboBox()
        self._model.setObjectName("clickModelComboBox")
        self._model.setToolTip(_("Model that answers the clicks. It is loaded in the background."))
        self._model.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._chooser = PromptableChooser(self._model, modelChosen)
        self._inside = _modeButton(
            "clickInsideButton",
            _("+ inside"),
            _("A click says: this belongs to the structure. Ctrl + click says the opposite. Dragging draws a box."),
        )
        self._outside = _modeButton(
            "clickOutsideButton",
            _("− outside"),
            _("A click says: this does not belong to the structure. Ctrl + click says the opposite."),
        )
        self._modes = qt.QButtonGroup(self._inside)
        for button in (self._inside, self._outside):
            self._modes.addButton(button)
            button.connect("clicked(bool)", self._onChanged)
        self._inside.setChecked(True)
        self._preview = qt.QCheckBox(_("Preview under the mouse"))
        self._preview.setObjectName("clickPreviewCheckBox")
        self._preview.setToolTip(_("Show what a click would draw, while the mouse moves over the image."))
        self._preview.connect("clicked(bool)", self._onChanged)
        self._prompts = _label("clickPromptsLabel")
        self._removeButton = qt.QPushButton(_("Remove last"))
        self._removeButton.setObjectName("removeLastPromptButton")
        self._removeButton.setToolTip(
            _("Take the last point away, and its part of the mask. Right-click a marker to take away that one.")
        )
        self._removeButton.connect("clicked(bool)", self._onRemoveLast)
        self._clearButton = qt.QPushButton(_("Clear"))
        self._clearButton.setObjectName("clearPromptsButton")
        self._clearButton.setToolTip(
            _("Forget the prompts of this segment in this frame. The mask stays, and the next click corrects it.")
        )
        self._clearButton.connect("clicked(bool)", self._onClear)
        self._status = _label("clickStatusLabel")

    def addTo(self, scriptedEffect: Any) -> None:
        """Put the widgets into the effect's options frame."""
        scriptedEffect.addOptionsWidget(self._problem)
        scriptedEffect.addLabeledOptionsWidget(_("Model:"), self._model)
        scriptedEffect.addLabeledOptionsWidget(_("Click:"), _row(self._inside, self._outside))
        scriptedEffect.addLabeledOptionsWidget(_("Prompts:"), self._prompts)
        scriptedEffect.addOptionsWidget(_row(self._removeButton, self._clearButton))
        scriptedEffect.addOptionsWidget(self._preview)
        scriptedEffect.addOptionsWidget(self._status)

    @property
    def isNegative(self) -> bool:
        """Whether a click says what does not belong to the structure."""
        return bool(self._outside.checked)

    @property
    def isPreviewOn(self) -> bool:
        """Whether the mouse shows what a click would draw."""
        return bool(self._preview.checked)

    def showModes(self, isNegative: bool, isPreviewOn: bool) -> None:
        """Show these as chosen."""
        (self._outside if isNegative else self._inside).setChecked(True)
        self._preview.setChecked(isPreviewOn)

    def showModels(self, names: list[str], chosen: str) -> None:
        """Offer these models, the default first."""
        self._chooser.setModels(names)
        self._chooser.show(chosen)
        self._model.setEnabled(bool(names))

    def showProblem(self, text: str) -> None:
        """Say why nothing can be clicked, "" if something can."""
        self._problem.setText(text)
        self._problem.setVisible(bool(text))

    def showPrompts(self, text: str, any_: bool) -> None:
        """Say what prompts there are."""
        self._prompts.setText(text)
        self._removeButton.setEnabled(any_)
        self._clearButton.setEnabled(any_)

    def showStatus(self, text: str) -> None:
        """Say what has happened."""
        self._status.setText(text)

    def _onChanged(self, checked: bool = False) -> None:
        self._changed()

    def _onRemoveLast(self, checked: bool = False) -> None:
        self._removeLast()

    def _onClear(self, checked: bool = False) -> None:
        self._clear()


def _label(name: str) -> Any:
    label = qt.QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    return label


def _modeButton(name: str, text: str, tip: str) -> Any:
    button = qt.QRadioButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    return button


def _row(*widgets: Any) -> Any:
    row = qt.QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
