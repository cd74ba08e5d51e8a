"""The Run section of the panel."""

from __future__ import annotations

from .section import Section


class RunSection(Section):
    """To be described."""

    uiName = "RunSection"
