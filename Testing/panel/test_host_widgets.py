"""The MRML widgets of the host follow the scene as Slicer's do."""

from __future__ import annotations

import numpy as np
import pytest
import qt
import slicer
from FetalEchoSegLib.cine import Cine

from .host import driver


def addNode(className, name):
    return slicer.mrmlScene.AddNewNodeByClass(className, name)


@pytest.fixture
def window():
    """A shown window with a column for widgets."""
    window = qt.QWidget()
    qt.QVBoxLayout(window)
    window.show()
    yield window
    window.deleteLater()


@pytest.fixture
def tables(window):
    """A node combo box for tables, on a scene that has one table."""
    addNode("vtkMRMLTableNode", "First")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLTableNode"]
    window.layout().addWidget(combo)
    combo.setMRMLScene(slicer.mrmlScene)
    return combo


def test_node_combo_starts_with_the_first_node_and_keeps_it(tables):
    chosen = []
    tables.currentNodeChanged.connect(lambda node: chosen.append(node))
    assert tables.currentNode().GetName() == "First"
    addNode("vtkMRMLTableNode", "Second")
    assert tables.currentNode().GetName() == "First"
    assert tables.nodeCount() == 2
    assert chosen == []


def test_node_combo_follows_the_users_choice_and_the_removal_of_the_node(tables):
    second = addNode("vtkMRMLTableNode", "Second")
    ids, secondID = [], second.GetID()
    tables.connect("currentNodeIDChanged(QString)", ids.append)
    driver.choose(tables, "Second")
    assert tables.currentNode() is second
    slicer.mrmlScene.RemoveNode(second)
    assert tables.currentNode().GetName() == "First"
    assert ids == [secondID, tables.currentNodeID]


def test_node_combo_with_none_falls_back_to_none(tables):
    tables.noneEnabled = True
    slicer.mrmlScene.RemoveNode(tables.currentNode())
    assert tables.currentNode() is None
    assert tables.currentNodeID == ""


def test_node_combo_leaves_out_other_and_hidden_nodes(tables):
    addNode("vtkMRMLTextNode", "Text")
    hidden = slicer.vtkMRMLTableNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    assert tables.nodeCount() == 1
    tables.showHidden = True
    assert tables.nodeCount() == 2


def test_node_combo_shows_new_names_and_makes_nodes(tables):
    tables.currentNode().SetName("Renamed")
    driver.choose(tables, "Renamed")
    made = []
    tables.connect("nodeAddedByUser(vtkMRMLNode*)", made.append)
    driver.choose(tables, "Create new Table")
    assert [node.GetName() for node in made] == ["Table"]
    assert tables.currentNode() is made[0]


def test_node_combo_survives_the_closing_of_the_scene(tables):
    driver.close_scene()
    assert tables.currentNode() is None
    assert tables.nodeCount() == 0


@pytest.fixture
def clip():
    """(browser, segmentation proxy) of a clip with two drawn frames of four."""
    from FetalEchoSegLib.scene.cine_nodes import addCineToScene
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

    frames = np.full((4, 40, 50), 100, np.uint8)
    sequence, browser = addCineToScene(Cine.from_array(frames, frame_rate=25.0, spacing=(0.5, 0.5)), "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    labels = np.zeros((40, 50), np.uint8)
    labels[10:30, 10:30] = 2
    for frame in (0, 1):
        setFrameLabels(masks, frame, labels)
    return browser, browser.GetProxyNode(masks)


def test_segments_table_lists_shows_hides_and_renames(window, clip):
    table = slicer.qMRMLSegmentsTableView()
    window.layout().addWidget(table)
    window.resize(500, 500)
    table.setSegmentationNode(clip[1])
    segmentation, display = clip[1].GetSegmentation(), clip[1].GetDisplayNode()
    assert table.segmentCount == segmentation.GetNumberOfSegments() == 14
    first = table.segmentIDForRow(0)
    driver.click_item(table.tableWidget(), 0, 0)
    assert not display.GetSegmentVisibility(first)
    driver.click_item(table.tableWidget(), 0, 0)
    assert display.GetSegmentVisibility(first)

    changes = []
    table.selectionChanged.connect(lambda selected, deselected: changes.append(table.selectedSegmentIDs()))
    driver.click_item(table.tableWidget(), 2, 3)
    assert changes == [(table.segmentIDForRow(2),)]
    segmentation.GetSegment(first).SetName("Chamber")
    assert table.tableWidget().item(0, 3).text() == "Chamber"
    table.setTextFilter("chamb")
    assert table.displayedSegmentIDs() == (first,)


def test_segments_table_follows_the_frames(window, clip):
    table = slicer.qMRMLSegmentsTableView()
    table.setSegmentationNode(clip[1])
    clip[0].SetSelectedItemNumber(2)
    assert table.segmentCount == 14


def test_segment_selector_gives_node_and_segment(window, clip):
    selector = slicer.qMRMLSegmentSelectorWidget()
    window.layout().addWidget(selector)
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.currentNode() is clip[1]
    assert selector.currentSegmentID() == selector.segmentIDs()[0]
    chosen = []
    selector.connect("currentSegmentChanged(QString)", chosen.append)
    selector.setCurrentSegmentID(selector.segmentIDs()[3])
    assert chosen == [selector.segmentIDs()[3]]


def test_seek_slider_and_frames_follow_each_other(window, clip):
    seek = slicer.qMRMLSequenceBrowserSeekWidget()
    window.layout().addWidget(seek)
    seek.setMRMLSequenceBrowserNode(clip[0])
    assert seek.slider().maximum == 3
    seek.slider().setValue(2)
    assert clip[0].GetSelectedItemNumber() == 2
    clip[0].SetSelectedItemNumber(1)
    assert seek.slider().value == 1
    assert driver.find(seek, "label_IndexValue").text == "0.04 s"


def test_play_buttons_step_and_play(window, clip):
    browser = clip[0]
    play = slicer.qMRMLSequenceBrowserPlayWidget()
    window.layout().addWidget(play)
    play.setMRMLSequenceBrowserNode(browser)
    driver.click(driver.find(play, "pushButton_VcrNext"))
    assert browser.GetSelectedItemNumber() == 1
    driver.click(driver.find(play, "pushButton_VcrPrevious"))
    assert browser.GetSelectedItemNumber() == 0
    seen = set()
    driver.click(driver.find(play, "pushButton_VcrPlayPause"))
    driver.wait_until(lambda: seen.add(browser.GetSelectedItemNumber()) or len(seen) == 4, 5)
    driver.click(driver.find(play, "pushButton_VcrPlayPause"))
    assert not browser.GetPlaybackActive()


def test_table_view_shows_and_edits_cells(window):
    from FetalEchoSegLib.scene.tables import addTableToScene

    node = addTableToScene("Areas", ["Frame", "mm²"], [[0, 81.5], [1, 79.0]])
    view = slicer.qMRMLTableView()
    window.layout().addWidget(view)
    view.setMRMLTableNode(node)
    titled = bool(node.GetUseColumnTitleAsColumnHeader())
    first = 0 if titled else 1
    model = view.tableModel()
    assert model.rowCount() == 2 + first
    assert model.item(first, 1).text() == "81.5"
    selections = []
    view.connect("selectionChanged()", lambda: selections.append(view.currentIndex().row()))
    driver.click_item(view, first + 1, 1)
    assert selections == [first + 1]
    node.SetCellText(0, 1, "12")
    assert view.tableModel().item(first, 1).text() == "12"


def test_plot_widget_draws_the_series_of_its_chart(window):
    values = np.stack([np.linspace(0, 1, 20), np.linspace(5, 9, 20), np.linspace(9, 5, 20)], axis=1)
    chart = slicer.util.plot(values, 0, columnNames=["Time (s)", "LV", "RV"], title="Areas", show=False)
    plot = slicer.qMRMLPlotWidget()
    window.layout().addWidget(plot)
    window.resize(400, 300)
    plot.setMRMLScene(slicer.mrmlScene)
    viewNode = addNode("vtkMRMLPlotViewNode", "Plot")
    plot.setMRMLPlotViewNode(viewNode)
    empty = picture(plot)
    viewNode.SetPlotChartNodeID(chart.GetID())
    drawn = picture(plot)
    assert (drawn != empty).any()
    assert plot.plotView().chart().GetNumberOfPlots() == 2
    assert plot.plotView().chart().GetTitle() == "Areas"
    chart.RemoveNthPlotSeriesNodeID(0)
    assert plot.plotView().chart().GetNumberOfPlots() == 1


def picture(widget):
    """(H, W, 4) uint8 of what is on the screen."""
    driver.process_events()
    image = widget.grab().toImage()
    return np.frombuffer(bytes(image.constBits()), np.uint8).reshape(image.height(), -1, 4).copy()


def test_3d_button_makes_surfaces(window, clip):
    button = slicer.qMRMLSegmentationShow3DButton()
    window.layout().addWidget(button)
    assert not button.enabled
    button.setSegmentationNode(clip[1])
    driver.click(button)
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    assert clip[1].GetSegmentation().ContainsRepresentation(surface)
    driver.click(button)
    assert not clip[1].GetSegmentation().ContainsRepresentation(surface)
