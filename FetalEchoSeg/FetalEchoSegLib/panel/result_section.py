"""The Result section of the panel."""

from __future__ import annotations

from .section import Section


class ResultSection(Section):
    """To be described."""

    uiName = "ResultSection"
