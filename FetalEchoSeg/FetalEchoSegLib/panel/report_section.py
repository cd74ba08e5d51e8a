"""The Report section of the panel."""

from __future__ import annotations

from .section import Section


class ReportSection(Section):
    """To be described."""

    uiName = "ReportSection"
