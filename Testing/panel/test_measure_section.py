"""The Measure section, by clicks: table, jump to a frame, gestational age, spine, curves."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.panel import measure_section
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.prediction import BundleIdentity, Prediction
from FetalEchoSegLib.scene.plots import curvesChart
from FetalEchoSegLib.scene.result_nodes import existingResultNode
from FetalEchoSegLib.scene.segmentation_nodes import setFrameLabels
from FetalEchoSegLib.scene.spine import spineOf
from FetalEchoSegLib.scene.tables import tableRows

from .host import driver

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from bench_measurements import truth_masks

_made = {}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No test depends on the speed of the machine: measuring counts as quick."""
    monkeypatch.setattr(measure_section, "_QUICK_SECONDS", 1000.0)


def truth(view=View.FOUR_CHAMBER):
    """(case, clip, labels, spine click), made once."""
    if view not in _made:
        case = sample_case(view, 501, ())
        _made[view] = (case, *truth_masks(case, frames=40))
    return _made[view]


def prediction(labels, view):
    frames = len(labels)
    return Prediction(
        labels=labels,
        view=view,
        view_probabilities=np.full(4, 0.25, np.float32),
        view_source="user",
        condition_probabilities=np.full((frames, 7), np.nan, np.float32),
        clip_conditions=np.full(7, np.nan, np.float32),
        confidence=np.full(frames, 0.9, np.float32),
        done=np.ones(frames, bool),
        bundle=BundleIdentity("truth", "1", "0" * 64, "Masks of a phantom."),
    )


def show(view=View.FOUR_CHAMBER):
    """(panel, browser, masks) of an open panel with the phantom's truth."""
    _, cine, labels, _ = truth(view)
    panel = driver.open_module("FetalEchoSeg")
    logic = panel.self().logic
    browser = logic.addCine(cine, "Truth")
    masks = logic.addPrediction(prediction(labels, view), browser)
    parameters = logic.getParameterNode()
    parameters.browser, parameters.masks = browser, masks
    slicer.util.setSliceViewerLayers(background=browser.GetProxyNode(browser.GetMasterSequenceNode()), fit=True)
    return panel, browser, masks


def measured(panel, text="No z-scores: enter the gestational age."):
    driver.wait_until(lambda: panel.ui.measureTable.rowCount and panel.ui.measureStateLabel.text == text, 20)
    return rows(panel)


def rows(panel):
    """{measure: texts of the other columns}, as shown."""
    table = panel.ui.measureTable
    texts = [
        [table.item(row, column).text() if table.item(row, column) else None for column in range(4)]
        for row in range(table.rowCount)
    ]
    return {title: rest for title, *rest in texts}


def row_of(panel, title):
    return list(rows(panel)).index(title)


def test_masks_are_measured_by_themselves_and_without_an_age_there_is_no_z_score():
    panel, _, masks = show()
    found = measured(panel)
    assert len(found) == 23
    assert found["Heart rate"][0].endswith("bpm")
    assert found["LV end-diastolic length"][2] == ""
    assert existingResultNode(masks, "Measurements") is not None


def test_the_gestational_age_gives_z_scores_and_is_kept_in_the_scene():
    panel, _, _ = show()
    measured(panel)
    driver.type_text(panel.ui.weeksSpinBox, "22")
    driver.type_text(panel.ui.daysSpinBox, "3")
    found = measured(panel, "")
    assert float(found["LV end-diastolic length"][2].replace("−", "-")) == pytest.approx(0, abs=4)
    assert found["LV end-diastolic length"][1].endswith("\nSchneider 2005")  # no z-score without its reference
    assert panel.self().logic.getParameterNode().gestationalAge == pytest.approx(22 + 3 / 7)
    driver.type_text(panel.ui.weeksSpinBox, "8")
    driver.wait_until(lambda: "references hold from 14 to 40 weeks" in panel.ui.measureStateLabel.text, 20)
    driver.wait_until(lambda: rows(panel)["LV end-diastolic length"][2] == "", 20)
    driver.type_text(panel.ui.weeksSpinBox, "0")
    assert not panel.ui.daysSpinBox.enabled
    assert panel.self().logic.getParameterNode().gestationalAge == 0


def test_clicking_a_row_shows_the_frame_of_its_value():
    panel, browser, masks = show()
    measured(panel)
    headers, table = tableRows(existingResultNode(masks, "Measurements"))
    frames = {row[0]: row[headers.index("Frame")] for row in table}
    title = "LV end-diastolic area"
    assert browser.GetSelectedItemNumber() != frames[title]
    driver.click_item(panel.ui.measureTable, row_of(panel, title))
    assert browser.GetSelectedItemNumber() == frames[title]
    driver.click_item(panel.ui.measureTable, row_of(panel, "Heart rate"))  # of the whole clip: stays
    assert browser.GetSelectedItemNumber() == frames[title]


def test_the_chosen_row_tells_its_reference_and_what_qualifies_it():
    panel, _, _ = show()
    measured(panel)
    label = panel.ui.measureDetailsLabel
    assert label.text == "Click a row for its reference and to see its frame."
    driver.click_item(panel.ui.measureTable, row_of(panel, "Cardiac axis"))
    title, *facts = label.text.splitlines()
    assert title.startswith("Cardiac axis: ")
    assert "Reference: Shipp 1995: 43 ± 7°, above 57° abnormal" in facts
    assert "estimated from the descending aorta, spine not marked" in facts


def test_what_lies_outside_its_range_is_told_by_a_word_and_what_cannot_be_measured_by_its_reason():
    panel, _, masks = show()
    measured(panel)
    logic = panel.self().logic
    labels = logic.labels(masks)
    labels[np.isin(labels, (Structure.DESCENDING_AORTA, Structure.THORAX))] = Structure.WHOLE_HEART
    for frame, edited in enumerate(labels):
        thorax = np.argwhere(edited)
        edited[: thorax[:, 0].min() + 20][edited[: thorax[:, 0].min() + 20] > 0] = Structure.THORAX
        setFrameLabels(masks, frame, edited, "hand")
    driver.wait_until(lambda: rows(panel)["Descending aorta diameter"][0].startswith("not measurable"), 20)
    found = rows(panel)
    assert found["Descending aorta diameter"] == ["not measurable: no descending aorta in the mask", None, None]
    assert "▲ above" in found["Cardiothoracic area ratio"][1]
    item = panel.ui.measureTable.item(row_of(panel, "Cardiothoracic area ratio"), 1)
    assert "AHA 2014" in item.toolTip()
    assert "Above the normal range." in item.toolTip()


def test_a_click_in_a_view_marks_the_spine_and_makes_the_axis_a_measurement():
    _, _, _, (row, column) = truth()
    panel, browser, _ = show()
    assert measured(panel)["Cardiac axis"][0]
    table = panel.ui.measureTable
    assert "spine not marked" in table.item(row_of(panel, "Cardiac axis"), 0).toolTip()
    driver.click(panel.ui.markSpineButton)
    assert panel.ui.spineLabel.text == "click on it in a view"
    driver.click_slice(driver.slice_view(), ijk=(column, row, 0))
    (found_row, found_column), frame = spineOf(browser)
    assert (found_row, found_column) == (pytest.approx(row, abs=2), pytest.approx(column, abs=2))
    assert frame == 0
    assert not panel.ui.markSpineButton.checked
    assert panel.ui.spineLabel.text == "marked in frame 0"
    driver.wait_until(lambda: "spine not marked" not in table.item(row_of(panel, "Cardiac axis"), 0).toolTip(), 20)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    driver.click(panel.ui.removeSpineButton)
    assert spineOf(browser) is None
    assert panel.ui.spineLabel.text == "not marked"
    driver.wait_until(lambda: "spine not marked" in table.item(row_of(panel, "Cardiac axis"), 0).toolTip(), 20)


def test_placing_that_is_given_up_leaves_the_spine_where_it_was():
    panel, browser, _ = show()
    panel.self().logic.markSpine(browser, 100, 120)
    driver.click(panel.ui.markSpineButton)
    driver.click(panel.ui.markSpineButton)
    assert spineOf(browser) == ((pytest.approx(100), pytest.approx(120)), 0)
    panel.self().logic.unmarkSpine(browser)
    driver.click(panel.ui.markSpineButton)
    driver.leave_module()
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")


def test_a_spine_deleted_elsewhere_is_forgotten():
    panel, browser, _ = show()
    measured(panel)
    driver.click(panel.ui.markSpineButton)
    driver.click_slice(driver.slice_view(), ijk=(200, 200, 0))
    slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")[0])
    driver.process_events()
    assert panel.ui.spineLabel.text == "not marked"
    assert spineOf(browser) is None


def test_curves_are_shown_and_their_cursor_follows_the_frame():
    panel, browser, masks = show()
    measured(panel)
    view = panel.ui.curvesPlotView
    assert view.visible
    chart = curvesChart(masks)
    names = [chart.GetNthPlotSeriesNode(i).GetName() for i in range(chart.GetNumberOfPlotSeriesNodes())]
    chambers = [Structure.LEFT_ATRIUM, Structure.LEFT_VENTRICLE, Structure.RIGHT_ATRIUM, Structure.RIGHT_VENTRICLE]
    assert names[:4] == [s.info.title for s in chambers]
    assert names[-3:] == ["end-diastole", "end-systole", "shown frame"]
    cursor = chart.GetNthPlotSeriesNode(len(names) - 1).GetTableNode()
    browser.SetSelectedItemNumber(11)
    driver.wait_until(lambda: tableRows(cursor)[1][0][0] == pytest.approx(truth()[1].times[11]), 5)


def test_edits_are_measured_again_without_new_nodes():
    panel, _, masks = show()
    before = measured(panel)["LA/RA area ratio"][0]
    count = slicer.mrmlScene.GetNumberOfNodes()
    for frame, labels in enumerate(panel.self().logic.labels(masks)):
        labels[labels == Structure.LEFT_ATRIUM] = Structure.WHOLE_HEART
        setFrameLabels(masks, frame, labels, "hand")
    driver.wait_until(lambda: rows(panel).get("LA/RA area ratio", [before])[0] != before, 20)
    assert rows(panel)["LA/RA area ratio"][0].startswith("not measurable")
    assert slicer.mrmlScene.GetNumberOfNodes() == count - 1  # the curve of the atrium


def test_where_measuring_is_slow_edits_are_marked_and_the_button_measures(monkeypatch):
    panel, _, masks = show()
    measured(panel)
    monkeypatch.setattr(measure_section, "_QUICK_SECONDS", 0.0)
    labels = panel.self().logic.labels(masks)
    labels[labels == Structure.LEFT_ATRIUM] = Structure.WHOLE_HEART
    for frame, edited in enumerate(labels):
        setFrameLabels(masks, frame, edited, "hand")
    driver.wait_until(lambda: panel.ui.measureStateLabel.text == "Masks were edited since: measure again.", 20)
    assert not rows(panel)["LA/RA area ratio"][0].startswith("not measurable")
    driver.click(panel.ui.measureButton)
    driver.wait_until(lambda: rows(panel)["LA/RA area ratio"][0].startswith("not measurable"), 60)
    driver.wait_until(lambda: panel.ui.measureStateLabel.text == "No z-scores: enter the gestational age.", 20)


def test_results_go_with_the_masks_and_with_the_scene():
    panel, browser, masks = show()
    measured(panel)
    assert slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    browser.RemoveSynchronizedSequenceNode(masks.GetID())
    slicer.mrmlScene.RemoveNode(masks)
    driver.wait_until(lambda: not slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode"), 5)
    assert not slicer.util.getNodesByClass("vtkMRMLTableNode")
    driver.wait_until(lambda: panel.ui.measureTable.rowCount == 0, 5)
    assert panel.ui.measureStateLabel.text == "Segment the clip first."
    show()
    measured(panel)
    driver.close_scene()
    assert panel.ui.measureTable.rowCount == 0
    assert not panel.ui.measureButton.enabled
    show()
    assert measured(panel)


def test_the_section_comes_back_with_the_scene(tmp_path):
    panel, browser, _ = show()
    driver.type_text(panel.ui.weeksSpinBox, "24")
    panel.self().logic.markSpine(browser, 300, 250)
    measured(panel, "")
    count = len(slicer.util.getNodesByClass("vtkMRMLTableNode"))
    path = driver.save_scene(tmp_path / "clip.mrb")
    driver.close_scene()
    driver.open_scene(path)
    measured(panel, "")
    assert panel.ui.weeksSpinBox.value == 24
    assert panel.ui.spineLabel.text == "marked in frame 0"
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == count


def test_a_closed_section_measures_when_it_is_opened():
    panel = driver.open_module("FetalEchoSeg")
    panel.ui.measureCollapsibleButton.collapsed = True
    panel, _, _ = show(View.LVOT)
    driver.process_events()
    assert panel.ui.measureTable.rowCount == 0
    panel.ui.measureCollapsibleButton.collapsed = False
    assert set(measured(panel)) == {"Ascending aorta diameter", "Heart rate"}


def test_a_still_is_measured_without_curves():
    _, cine, labels, _ = truth()
    panel = driver.open_module("FetalEchoSeg")
    logic = panel.self().logic
    browser = logic.addCine(Cine.from_array(cine.frames[:1], spacing=cine.spacing), "Still")
    masks = logic.addPrediction(prediction(labels[:1], View.FOUR_CHAMBER), browser)
    parameters = logic.getParameterNode()
    parameters.browser, parameters.masks = browser, masks
    found = measured(panel)
    assert found["Cardiothoracic area ratio"][0].startswith("0.")
    assert "no heart beat" in found["LV fractional area change"][0]
    assert not panel.ui.curvesPlotView.visible


def test_empty_masks_give_reasons_and_no_error():
    _, cine, labels, _ = truth()
    panel = driver.open_module("FetalEchoSeg")
    logic = panel.self().logic
    browser = logic.addCine(cine, "Clip")
    logic.addPrediction(prediction(np.zeros_like(labels), View.RVOT), browser)
    logic.getParameterNode().browser = browser
    found = measured(panel)
    assert {value for value, *_ in found.values()} == {"not measurable: the masks are empty"}


def test_masks_made_in_another_view_than_the_model_sees_are_doubted_beside_their_measures():
    panel, browser, masks = show()
    labels = truth()[2]
    doubtful = replace(
        prediction(labels, View.FOUR_CHAMBER), view_probabilities=np.array([0.1, 0.1, 0.1, 0.7], np.float32)
    )
    logic = panel.self().logic
    logic.getParameterNode().masks = logic.addPrediction(doubtful, browser)
    driver.wait_until(lambda: "but the model takes this clip for 3VT" in panel.ui.measureStateLabel.text, 20)
    assert "No z-scores" in panel.ui.measureStateLabel.text
    logic.getParameterNode().masks = masks
    measured(panel)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", [View.FOUR_CHAMBER, View.THREE_VESSEL_TRACHEA])
def test_no_column_is_wider_than_the_panel(theme, view, tmp_path):
    driver.set_theme(theme)
    panel, _, _ = show(view)
    driver.type_text(panel.ui.weeksSpinBox, "22")
    panel.widget.resize(420, 900)
    measured(panel, "")
    driver.process_events()
    table = panel.ui.measureTable
    header = table.horizontalHeader()
    assert header.length() <= table.viewport().width
    assert table.columnWidth(0) >= 90
    for row in range(table.rowCount):  # numbers are never broken over lines
        if table.columnSpan(row, 1) == 1:
            assert qt.QFontMetrics(table.font).boundingRect(table.item(row, 1).text()).width() < table.columnWidth(1)
    panel.widget.resize(350, 900)
    driver.process_events()
    assert header.length() <= table.viewport().width
    names = [word for row in range(table.rowCount) for word in table.item(row, 0).text().split()]
    assert max(qt.QFontMetrics(table.font).boundingRect(word).width() for word in names) < table.columnWidth(0)  # uncut
    shots = Path(os.environ.get("FETALECHO_SHOTS", tmp_path))
    driver.grab(panel.ui.measureCollapsibleButton, shots / f"measure_{view.short}_{theme}.png")
    driver.set_theme("light")
