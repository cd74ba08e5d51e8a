"""The outline of a mask that is not there yet."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from FetalEchoSegLib.scene.mask_preview import MaskPreview
from FetalEchoSegLib.scene.segmentation_nodes import maskSequences


@pytest.fixture
def mask():
    mask = np.zeros((48, 64), dtype=bool)
    mask[10:20, 30:50] = True
    return mask


@pytest.fixture
def preview():
    preview = MaskPreview()
    yield preview
    preview.remove()


def bounds(node):
    """RAS in mm, without the height of the slice."""
    found = [0.0] * 6
    node.GetRASBounds(found)
    return found[:4]


def test_it_lies_where_the_frames_lie(segmented, mask, preview):
    _, browser, masks, _ = segmented
    preview.show(masks, mask)
    # IJKToRAS is diag(-column mm, -row mm, 1); a pixel reaches half its size beyond its centre.
    expected = [-49.5 * 0.22, -29.5 * 0.22, -19.5 * 0.31, -9.5 * 0.31]
    assert bounds(preview.node) == pytest.approx(expected, abs=1e-6)
    assert maskSequences(browser) == [masks]


def test_it_moves_with_a_transformed_clip(segmented, mask, preview):
    sequence, browser, masks, _ = segmented
    preview.show(masks, mask)
    before = bounds(preview.node)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = vtk.vtkMatrix4x4()
    shift.SetElement(0, 3, 7.0)
    transform.SetMatrixTransformToParent(shift)
    browser.GetProxyNode(sequence).SetAndObserveTransformNodeID(transform.GetID())
    preview.show(masks, mask)
    assert np.subtract(bounds(preview.node), before) == pytest.approx([7, 7, 0, 0])


def test_it_is_one_node_that_nobody_lists_or_saves(segmented, mask, preview):
    _, _, masks, _ = segmented
    preview.show(masks, mask)
    preview.show(masks, ~mask)
    (node,) = (n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if n.GetName() == "FetalEcho preview")
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    assert not node.GetDisplayNode().GetVisibility2DFill()
    preview.hide()
    assert node.GetSegmentation().GetNumberOfSegments() == 0
    preview.remove()
    assert preview.node is None
    assert node.GetScene() is None


def test_it_survives_the_end_of_its_scene(segmented, mask, preview):
    _, _, masks, _ = segmented
    preview.show(masks, mask)
    slicer.mrmlScene.Clear(0)
    assert preview.node is None
    preview.hide()
    preview.remove()
