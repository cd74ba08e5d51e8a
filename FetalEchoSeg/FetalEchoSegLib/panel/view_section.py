"""The View section of the panel."""

from __future__ import annotations

from .section import Section


class ViewSection(Section):
    """To be described."""

    uiName = "ViewSection"
