"""Measures, curves, spine and report of a clip in the scene."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import slicer
import vtk
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.errors import Cancelled, InvalidRequest, UnwritableOutput
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.scene.plots import curvesChart, moveCursor
from FetalEchoSegLib.scene.result_nodes import removeResultNodes
from FetalEchoSegLib.scene.spine import removeSpine, setSpine, spineNode, spineOf
from FetalEchoSegLib.scene.tables import tableRows

import FetalEchoSeg

from .conftest import REPOSITORY, makePrediction

sys.path.insert(0, str(REPOSITORY / "Testing" / "benchmarks"))
from bench_measurements import truth_masks


@pytest.fixture(scope="module")
def case():
    made = sample_case(View.FOUR_CHAMBER, 501, ())
    return made, *truth_masks(made, frames=40)


@pytest.fixture
def logic():
    return FetalEchoSeg.FetalEchoSegLogic()


def addCase(logic, case):
    _, cine, labels, _ = case
    browser = logic.addCine(cine, "Truth")
    return browser, logic.addPrediction(makePrediction(labels), browser)


def nodeCount():
    return slicer.mrmlScene.GetNumberOfNodes()


def valuesOf(table):
    return {row[0]: row[1] for row in tableRows(table)[1]}


def axisOf(table):
    """(value, what qualifies it)"""
    return next((row[1], row[8]) for row in tableRows(table)[1] if row[0] == "Cardiac axis")


def test_measuring_again_adds_no_nodes_and_follows_edits(logic, case):
    browser, masks = addCase(logic, case)
    table = logic.measure(masks, gestationalAge=22)
    nodes = nodeCount()
    before = valuesOf(table)
    labels = logic.labels(masks)
    labels[labels == Structure.DESCENDING_AORTA] = Structure.THORAX
    for frame, edited in enumerate(labels):
        logic.setLabels(masks, frame, edited)
    assert logic.measure(browser, gestationalAge=22) is table
    after = valuesOf(table)
    assert before["Descending aorta diameter"] > 1
    assert after["Descending aorta diameter"] is None
    assert nodeCount() == nodes - 1  # the curve of the descending aorta is gone


def test_curves_hold_the_areas_and_mark_the_beats_and_the_frame(logic, case):
    _, cine, labels, _ = case
    _, masks = addCase(logic, case)
    logic.measure(masks)
    chart = logic.curves(masks)
    nodes = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    series = {node.GetName(): node for node in nodes}
    assert {"Left ventricle", "Right atrium", "end-diastole", "end-systole", "shown frame"} <= set(series)
    assert "Thorax" not in series
    headers, rows = tableRows(series["Left ventricle"].GetTableNode())
    area = [row[headers.index("LV")] for row in rows]
    np.testing.assert_allclose(area, (labels == Structure.LEFT_VENTRICLE).sum(axis=(1, 2)) * cine.spacing[0] ** 2)
    _, marks = tableRows(series["end-diastole"].GetTableNode())
    assert max(area) == pytest.approx(max(y for _, y in marks if y in area), rel=0.05)
    assert chart.GetYAxisTitle() == "area (mm²)"
    moveCursor(masks, 7)
    _, cursor = tableRows(series["shown frame"].GetTableNode())
    assert [x for x, _ in cursor] == [pytest.approx(cine.times[7])] * 2


def test_results_go_with_their_masks(logic, case):
    _, masks = addCase(logic, case)
    nodes = nodeCount()
    logic.measure(masks)
    logic.addTables(masks)
    logic.addTables(masks)
    assert nodeCount() > nodes
    removeResultNodes(masks)
    assert nodeCount() == nodes
    assert curvesChart(masks) is None


def test_the_spine_is_kept_with_the_clip_and_used(logic, case, tmp_path):
    made, _, _, click = case
    browser, masks = addCase(logic, case)
    assert "spine not marked" in axisOf(logic.measure(masks))[1]
    logic.markSpine(browser, *click)
    value, remarks = axisOf(logic.measure(masks))
    assert "spine not marked" not in remarks
    assert value == pytest.approx(made.axis, abs=5)
    logic.unmarkSpine(browser)
    assert axisOf(logic.measure(masks, spine=click, spineFrame=0))[0] == pytest.approx(value, abs=1e-6)
    logic.markSpine(browser, *click)
    logic.saveScene(tmp_path / "clip.mrb")
    logic.openScene(tmp_path / "clip.mrb")
    sequence = next(n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if spineNode(n) is not None)
    (point, frame) = spineOf(sequence)
    assert point == pytest.approx(click, abs=1e-3)
    assert frame == 0
    removeSpine(sequence)
    assert spineOf(sequence) is None
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")


def test_a_spine_outside_the_clip_is_refused_or_ignored(logic, case):
    browser, _ = addCase(logic, case)
    with pytest.raises(InvalidRequest, match="outside the"):
        setSpine(browser, 9999, 3)
    with pytest.raises(InvalidRequest, match="frames 0 to 39"):
        setSpine(browser, 3, 3, frame=40)
    node = setSpine(browser, 3, 3)
    node.SetNthControlPointPosition(0, vtk.vtkVector3d(9999, 0, 0))  # dragged off the image
    assert spineOf(browser) is None


def test_a_report_shows_the_masks_as_they_are_now_and_who_drew_them(logic, case, tmp_path):
    _, masks = addCase(logic, case)
    logic.setLabels(masks, 3, np.zeros_like(logic.labels(masks)[3]))
    logic.acceptFrame(masks, 4)
    steps = []
    paths = logic.writeReport(masks, tmp_path / "new", ("html", "csv"), 22.0, progress=lambda *step: steps.append(step))
    assert [p.name for p in paths] == ["report.html", "conditions.csv", "frames.csv", "measurements.csv"]
    html = paths[0].read_text(encoding="utf-8")
    assert "39 frames drawn by the model, 1 frame corrected by hand; 1 frame accepted" in html
    assert "22 weeks + 0 days" in html
    assert paths[2].read_text(encoding="utf-8").splitlines()[4].split(",")[3] == "0.00"
    assert [step[0] for step in steps] == [0, 1, 2]
    assert {step[1] for step in steps} == {3}


def test_a_report_that_cannot_be_written_leaves_nothing(logic, case, tmp_path):
    _, masks = addCase(logic, case)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UnwritableOutput, match="not a folder"):
        logic.writeReport(masks, tmp_path / "file")
    with pytest.raises(InvalidRequest, match="choose among html, pdf, csv"):
        logic.writeReport(masks, tmp_path / "none", ())
    with pytest.raises(Cancelled):
        logic.writeReport(masks, tmp_path / "none", cancelled=lambda: True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
