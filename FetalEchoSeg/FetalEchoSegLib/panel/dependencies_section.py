"""The Dependencies section of the panel."""

from __future__ import annotations

from .section import Section


class DependenciesSection(Section):
    """To be described."""

    uiName = "DependenciesSection"
