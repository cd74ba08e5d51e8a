"""A combo box of the models on this machine that answer clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer.i18n import tr as _


class PromptableChooser:
    """Offers models by name; without any it says where to get one.

    What is chosen is a name as parameter nodes keep it: empty for the default of the machine where the scene is
    opened. A model that a scene names stays chosen when this machine does not have it.
    """

    def __init__(self, combo: Any, chosen: Callable[[str], Any]) -> None:
        """Fill ``combo``; ``chosen`` is called with the name when the user chooses one."""
        self._combo = combo
        self._chosen = chosen
        self._models: tuple[str, ...] = ()
        self._names: list[str] = []
        combo.connect("activated(int)", self._onActivated)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models on this machine, the default first."""
        return self._models

    @property
    def hasChoice(self) -> bool:
        """Whether there is anything to choose from."""
        return bool(self._names)

    def setModels(self, names: Sequence[str]) -> None:
        """Offer these, the default first."""
        self._models = tuple(names)

    def nameOf(self, wanted: str) -> str:
        """The model that is meant by ``wanted``; empty where it is the default and there is none."""
        return wanted or (self._models[0] if self._models else "")

    def show(self, wanted: str) -> None:
        """Show ``wanted`` as chosen."""
        chosen = self.nameOf(wanted)
        names = list(self._models)
        if chosen and chosen not in names:
            names.append(chosen)
        texts = [n if n in self._models else _("{name} (not installed here)").format(name=n) for n in names]
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        for text in texts or [_("No model answers clicks: add one in Model")]:
            self._combo.addItem(text)
        self._combo.setCurrentIndex(names.index(chosen) if chosen else 0)
        self._combo.blockSignals(blocked)
        self._names = names

    def _onActivated(self, index: int = -1) -> None:
        if 0 <= index < len(self._names):
            name = self._names[index]
            self._chosen("" if self._models and name == self._models[0] else name)
