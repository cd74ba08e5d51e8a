"""The Measure section of the panel."""

from __future__ import annotations

from .section import Section


class MeasureSection(Section):
    """To be described."""

    uiName = "MeasureSection"
