"""A Segment Editor as an effect reaches it."""

from __future__ import annotations

from typing import Any

import slicer


class EffectEditor:
    """What ``plane_masks.Editor`` asks for, by the methods that Slicer gives to effects."""

    def __init__(self, scriptedEffect: Any) -> None:
        self._effect = scriptedEffect

    def selectedSegmentId(self) -> str:
        """Id of the selected segment, "" for none."""
        node = self._effect.parameterSetNode()
        return (node.GetSelectedSegmentID() or "") if node is not None else ""

    def saveStateForUndo(self) -> None:
        """One undo step."""
        self._effect.saveStateForUndo()

    def emptyLabelmap(self) -> Any:
        """Modifier labelmap, empty."""
        return self._effect.defaultModifierLabelmap()

    def selectedLabelmap(self) -> Any:
        """The selected segment."""
        return self._effect.selectedSegmentLabelmap()

    def maskLabelmap(self) -> Any:
        """Where editing is not allowed."""
        node = self._effect.parameterSetNode()
        if node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere:
            return None
        return self._effect.maskLabelmap()

    def modify(self, labelmap: Any, mode: str) -> None:
        """Modify the selected segment."""
        modes = slicer.qSlicerSegmentEditorAbstractEffect
        modification = {
            "Set": modes.ModificationModeSet,
            "Add": modes.ModificationModeAdd,
            "Remove": modes.ModificationModeRemove,
        }[mode]
        self._effect.modifySelectedSegmentByLabelmap(labelmap, modification)
