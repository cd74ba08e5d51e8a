"""A click into the host's slice view reaches what it reaches in Slicer, and what is drawn is MRML's own drawing."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from .host import driver

ROWS, COLUMNS = 60, 80
BEFORE_SLICER = 1.0  # priority; what Slicer's own interactor style has handled goes no further


@pytest.fixture
def volume():
    """A black slice with a white square, shown in all views."""
    pixels = np.zeros((1, ROWS, COLUMNS), np.uint8)
    pixels[0, 20:40, 30:50] = 255
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Square")
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    slicer.util.updateVolumeFromArray(node, pixels)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    driver.process_events()
    return node


def colorAt(view, ijk):
    """(R, G, B) of what is drawn at a voxel."""
    x, y = driver.view_position(view, ijk=ijk)
    color = view.VTKWidget()._picture().pixelColor(x, y)
    return color.red(), color.green(), color.blue()


def test_the_image_is_where_its_voxels_are(volume):
    view = driver.slice_view("Red")
    assert colorAt(view, (40, 30, 0)) == (255, 255, 255)
    assert colorAt(view, (5, 5, 0)) == (0, 0, 0)


def test_a_segment_is_drawn_over_the_image_in_its_color(volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentID = node.GetSegmentation().AddEmptySegment("", "Red one", (1.0, 0.0, 0.0))
    drawn = np.zeros((1, ROWS, COLUMNS), np.uint8)
    drawn[0, 25:35, 35:45] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, node, segmentID, volume)
    red, green, blue = colorAt(driver.slice_view("Red"), (40, 30, 0))
    assert red == 255
    assert green == blue < 200
    assert colorAt(driver.slice_view("Red"), (32, 22, 0)) == (255, 255, 255)


@pytest.mark.parametrize("ijk", [(10, 12, 0), (70, 50, 0), (33, 21, 0)])
def test_an_observer_sees_the_clicked_voxel(volume, ijk):
    view, seen = driver.slice_view("Red"), []

    def onPress(interactor, event):
        ras = view.convertXYZToRAS(view.convertDeviceToXYZ(interactor.GetEventPosition()))
        matrix = vtk.vtkMatrix4x4()
        volume.GetRASToIJKMatrix(matrix)
        seen.append([round(value) for value in matrix.MultiplyPoint((*ras, 1))[:3]])
        seen.append(interactor.GetShiftKey())

    tag = view.interactor().AddObserver(vtk.vtkCommand.LeftButtonPressEvent, onPress, BEFORE_SLICER)
    driver.click_slice(view, ijk=ijk, modifiers=["shift"])
    view.interactor().RemoveObserver(tag)
    assert seen == [list(ijk), 1]


def test_a_drag_passes_its_points(volume):
    view, seen = driver.slice_view("Red"), []
    events = ("LeftButtonPressEvent", "MouseMoveEvent", "LeftButtonReleaseEvent")
    tags = [view.interactor().AddObserver(e, lambda _caller, name: seen.append(name), BEFORE_SLICER) for e in events]
    driver.drag_slice(view, [(10, 10, 0), (30, 20, 0), (60, 40, 0)])
    for tag in tags:
        view.interactor().RemoveObserver(tag)
    assert seen == ["MouseMoveEvent", "LeftButtonPressEvent", *["MouseMoveEvent"] * 2, "LeftButtonReleaseEvent"]


def test_place_mode_puts_a_point_where_one_clicks(volume):
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetReferenceActivePlaceNodeClassName(points.GetClassName())
    selection.SetActivePlaceNodeID(points.GetID())
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)
    driver.click_slice(driver.slice_view("Red"), ijk=(20, 45, 0))
    assert points.GetNumberOfDefinedControlPoints() == 1
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    expected = matrix.MultiplyPoint((20, 45, 0, 1))[:3]
    np.testing.assert_allclose(slicer.util.arrayFromMarkupsControlPoints(points)[0], expected, atol=0.2)
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_layouts_show_their_slices_and_plots(volume):
    manager, layouts = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    before = manager.layout
    changes = []
    manager.connect("layoutChanged(int)", changes.append)
    manager.setLayout(layouts.SlicerLayoutOneUpRedSliceView)
    driver.process_events()
    assert manager.sliceWidget("Red").visible
    assert not manager.sliceWidget("Green").visible
    manager.setLayout(layouts.SlicerLayoutConventionalPlotView)
    driver.process_events()
    assert manager.plotViewCount == 1
    assert manager.plotWidget(0).visible
    manager.setLayout(before)
    manager.disconnect("layoutChanged(int)", changes.append)
    assert len(changes) >= 2


def test_the_layout_stays_when_the_scene_closes():
    manager, layouts = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    before = manager.layout
    manager.setLayout(layouts.SlicerLayoutOneUpRedSliceView)
    driver.close_scene()
    assert manager.layout == layouts.SlicerLayoutOneUpRedSliceView
    assert [manager.sliceWidget(name).visible for name in ("Red", "Green")] == [True, False]
    manager.setLayout(before)


def test_views_survive_the_closing_of_the_scene(volume):
    driver.close_scene()
    assert slicer.app.layoutManager().sliceViewNames() == ("Red", "Green", "Yellow")
    view = driver.slice_view("Red")
    assert view.mrmlSliceNode() is slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    view.forceRender()
