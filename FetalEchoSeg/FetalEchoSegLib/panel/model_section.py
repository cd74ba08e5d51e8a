"""The Model section of the panel."""

from __future__ import annotations

from .section import Section


class ModelSection(Section):
    """To be described."""

    uiName = "ModelSection"
