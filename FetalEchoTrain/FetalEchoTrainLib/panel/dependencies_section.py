"""The Dependencies section of the training panel: those of segmenting, and those of training."""

from __future__ import annotations

from pathlib import Path

import FetalEchoSegLib
from FetalEchoSegLib.dependencies import SEGMENTATION_GROUPS
from FetalEchoSegLib.panel.dependencies_section import DependenciesSection as SegmentationDependencies


class DependenciesSection(SegmentationDependencies):
    """The same section with the packages of training besides."""

    groups = (*SEGMENTATION_GROUPS, "train")

    def uiFile(self) -> str:
        """The segmentation module's."""
        module = Path(str(FetalEchoSegLib.__file__)).parents[1]
        return str(module / "Resources" / "UI" / f"{self.uiName}.ui")
