"""The Input section of the panel."""

from __future__ import annotations

from .section import Section


class InputSection(Section):
    """To be described."""

    uiName = "InputSection"
