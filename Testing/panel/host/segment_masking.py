"""The Segment Editor's masking section: where effects may write, and what becomes of other segments there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
from PySide6 import QtWidgets

from . import ctk
from .segment_widgets import segmentIDs

_AREAS = (
    ("Everywhere", "EditAllowedEverywhere"),
    ("Inside all segments", "EditAllowedInsideAllSegments"),
    ("Inside all visible segments", "EditAllowedInsideVisibleSegments"),
    ("Outside all segments", "EditAllowedOutsideAllSegments"),
    ("Outside all visible segments", "EditAllowedOutsideVisibleSegments"),
)
_OVERWRITE_MODES = (
    ("Overwrite all", "OverwriteAllSegments"),
    ("Overwrite visible", "OverwriteVisibleSegments"),
    ("Allow overlap", "OverwriteNone"),
)


@contextmanager
def silent(widget: Any) -> Iterator[None]:
    """Meanwhile ``widget`` emits nothing."""
    before = widget.blockSignals(True)
    yield
    widget.blockSignals(before)


class Masking(ctk.ctkCollapsibleGroupBox):
    """Shows and changes the masking of the editor's segment editor node."""

    def __init__(self, editor: Any) -> None:
        super().__init__()
        self._editor = editor
        self.setObjectName("MaskingGroupBox")
        self.setTitle("Masking")
        self.setVisible(False)
        self._area, self._overwrite = QtWidgets.QComboBox(), QtWidgets.QComboBox()
        self._area.setObjectName("MaskModeComboBox")
        for text, mode in _AREAS:
            self._area.addItem(text, getattr(slicer.vtkMRMLSegmentationNode, mode))
        self._area.insertSeparator(len(_AREAS))
        self._firstSegment = len(_AREAS) + 1
        self._overwrite.setObjectName("OverwriteModeComboBox")
        for text, mode in _OVERWRITE_MODES:
            self._overwrite.addItem(text, getattr(slicer.vtkMRMLSegmentEditorNode, mode))
        for combo in (self._area, self._overwrite):  # segments may have long names
            combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._limited, self._intensities = ctk.ctkCheckBox(), ctk.ctkRangeWidget()
        self._limited.setObjectName("SourceVolumeIntensityMaskCheckBox")
        self._intensities.setObjectName("SourceVolumeIntensityMaskRangeWidget")
        form = QtWidgets.QFormLayout(self)
        form.addRow("Editable area:", self._area)
        form.addRow("Editable intensity range:", self._limited)
        form.addRow(self._intensities)
        form.addRow("Modify other segments:", self._overwrite)
        self._area.connect("currentIndexChanged(int)", self._onArea)
        self._overwrite.connect("currentIndexChanged(int)", self._onOverwrite)
        self._limited.connect("toggled(bool)", lambda on: self._node().SetSourceVolumeIntensityMask(on))
        self._intensities.connect(
            "valuesChanged(double,double)", lambda *limits: self._node().SetSourceVolumeIntensityMaskRange(*limits)
        )

    def _node(self) -> Any:
        return self._editor.mrmlSegmentEditorNode()

    def offer(self, segmentationNode: Any) -> None:
        """The editable area can be any of the segments."""
        combo = self._area
        with silent(combo):
            kept = combo.itemData(combo.currentIndex) if combo.currentIndex >= self._firstSegment else None
            while combo.count > self._firstSegment:
                combo.removeItem(combo.count - 1)
            for segmentID in segmentIDs(segmentationNode):
                name = segmentationNode.GetSegmentation().GetSegment(segmentID).GetName()
                combo.addItem(f"Inside {name}", segmentID)
            if kept is not None:
                combo.setCurrentIndex(combo.findData(kept))
        if segmentationNode is not None and combo.currentIndex < 0:  # the segment is gone
            combo.setCurrentIndex(0)

    def measure(self, volume: Any) -> None:
        """The intensities that can be chosen are those of the volume."""
        image = None if volume is None else volume.GetImageData()
        self._intensities.setEnabled(image is not None)
        if image is not None:
            self._intensities.setRange(*image.GetScalarRange())

    def updateFromNode(self) -> None:
        """Show what the node says. A range that was never set becomes the middle half of the intensities."""
        node = self._node()
        if node is None or node.GetScene().IsClosing():
            return
        low, high = node.GetSourceVolumeIntensityMaskRange()
        if node.GetSourceVolumeIntensityMask() and low == high and node.GetSourceVolumeNode() is not None:
            darkest, brightest = node.GetSourceVolumeNode().GetImageData().GetScalarRange()
            low, high = darkest + 0.25 * (brightest - darkest), darkest + 0.75 * (brightest - darkest)
            node.SetSourceVolumeIntensityMaskRange(low, high)
        inOne = node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
        with silent(self._area), silent(self._limited), silent(self._intensities), silent(self._overwrite):
            self._area.setCurrentIndex(self._area.findData(node.GetMaskSegmentID() if inOne else node.GetMaskMode()))
            self._limited.setChecked(node.GetSourceVolumeIntensityMask())
            self._intensities.setVisible(node.GetSourceVolumeIntensityMask())
            self._intensities.setValues(low, high)
            self._overwrite.setCurrentIndex(self._overwrite.findData(node.GetOverwriteMode()))

    def _onArea(self, index: int) -> None:
        node, chosen = self._node(), self._area.itemData(index)
        if index >= self._firstSegment:
            node.SetMaskSegmentID(chosen)
            node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
        else:
            node.SetMaskMode(chosen)

    def _onOverwrite(self, index: int) -> None:
        self._node().SetOverwriteMode(self._overwrite.itemData(index))
