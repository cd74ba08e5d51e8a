"""The outline of a mask that is not there yet, drawn over the clip."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from .cine_nodes import cineSequence
from .segment_pixels import croppedLayer
from .segmentation_nodes import CINE_REFERENCE

_SEGMENT = "preview"
_WHITE = (1.0, 1.0, 1.0)
_LINE_WIDTH = 3  # pixels of the screen


class MaskPreview:
    """A segmentation node of its own: in no list, in no saved scene, never among the masks."""

    def __init__(self) -> None:
        self._node: Any = None

    @property
    def node(self) -> Any:
        """The node in the scene, None before something is shown and after ``remove``."""
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    def show(self, masks: Any, mask: np.ndarray) -> None:
        """Draw the outline of a (H, W) bool mask where the frames of ``masks`` lie, in place of the one before."""
        if self.node is None:
            self._node = _addNode()
        clip = cineSequence(masks.GetNodeReference(CINE_REFERENCE))
        browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(clip)
        proxy = browser.GetProxyNode(clip)
        self._node.SetAndObserveTransformNodeID(proxy.GetTransformNodeID())
        matrix = vtk.vtkMatrix4x4()
        proxy.GetIJKToRASMatrix(matrix)
        representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment = slicer.vtkSegment()
        segment.SetName(_SEGMENT)
        segment.SetColor(*_WHITE)
        segment.AddRepresentation(representation, croppedLayer(mask.astype(np.uint8), matrix))
        segmentation = self._node.GetSegmentation()
        segmentation.SetSourceRepresentationName(representation)
        segmentation.RemoveAllSegments()
        segmentation.AddSegment(segment, _SEGMENT)

    def hide(self) -> None:
        """Draw nothing, for now."""
        if self.node is not None:
            self._node.GetSegmentation().RemoveAllSegments()

    def remove(self) -> None:
        """Take the node out of the scene."""
        if self.node is not None:
            slicer.mrmlScene.RemoveNode(self._node)
        self._node = None


def _addNode() -> Any:
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName("FetalEcho preview")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility2DFill(False)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(_LINE_WIDTH)
    return node
