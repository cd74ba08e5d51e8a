"""Prompts that are saved with the scene.

Each node that owns prompts (a sequence of masks, or a segmentation) keeps them as text of its own, so that they stay
with it when a scene is saved, opened or imported into another one, where nodes get other ids.
"""

from __future__ import annotations

import logging
from typing import Any

from ..errors import InvalidRequest
from ..promptable.history import PromptHistory

PROMPTS = "FetalEcho.Prompts"


class PromptStorage:
    """Histories of prompts by the node that owns them, as text in the scene and with their steps in memory."""

    def __init__(self) -> None:
        self._histories: dict[str, tuple[str, PromptHistory]] = {}

    def of(self, owner: Any) -> PromptHistory:
        """History of a node's prompts.

        It is read from the node when that says something else than what was kept last: the scene was opened, or
        another one that has the same ids. Damaged text is left out, with a warning.
        """
        text = owner.GetAttribute(PROMPTS) or ""
        known, history = self._histories.get(owner.GetID(), (None, None))
        if history is None or known != text:
            try:
                history = PromptHistory.from_json(text)
            except InvalidRequest as error:
                logging.warning("%s: %s", owner.GetName(), error)
                history = PromptHistory()
            self._histories[owner.GetID()] = (text, history)
        return history

    def save(self, owner: Any) -> None:
        """Keep the prompts in force with the node; undo steps are not kept."""
        history = self.of(owner)
        text = history.to_json() if history.targets() else ""
        self._histories[owner.GetID()] = (text, history)
        # Silent: prompts are no change of the masks.
        wasSilent = owner.GetDisableModifiedEvent()
        owner.SetDisableModifiedEvent(True)
        owner.SetAttribute(PROMPTS, text or None)
        owner.SetDisableModifiedEvent(wasSilent)
