"""Finished runs in the training panel, by clicks: curves in one plot, earlier pictures, deploying and going back."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
import qt
import slicer

pytest.importorskip("torch")
for package in ("pydantic", "psutil", "accelerate"):
    pytest.importorskip(package)
from bundles import random_bundle
from FetalEchoSegLib.anatomy import View
from FetalEchoTrainLib.configuration import load_config
from FetalEchoTrainLib.events import Events
from FetalEchoTrainLib.run_folder import RunFolder

from .host import driver

NAMES = ("first-full-0", "second-full-0")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two finished runs with models of random weights, whose curves end at 50 and at 60 % DSC."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    qt.QSettings().setValue("FetalEcho/TrainingDataset", str(tmp_path / "data"))
    qt.QSettings().setValue("FetalEcho/TrainingRuns", str(tmp_path / "runs"))
    for seed, name in enumerate(NAMES):
        run = RunFolder(tmp_path / "runs" / name)
        random_bundle(run.bundle, seed=seed)
        config = load_config("demo").changed({"name": name.partition("-")[0]})
        (run.path / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        with run.open_events() as file:
            for epoch in range(4):
                Events(file).metric("ema", epoch, epoch, {"validation_dsc": 30 + 10 * seed + epoch * 20 / 3})
        run.write_results({"new devices": {"dice": 50.0 + 10 * seed}})
        run.samples.mkdir()
        for epoch in (2, 4):
            picture = np.full((20, 80, 3), 10 * epoch, np.uint8)
            cv2.imwrite(str(run.samples / f"epoch-{epoch:05d}.png"), picture)
    return tmp_path / "runs"


def open_panel():
    return driver.open_module("FetalEchoTrain")


def select(panel, *numbers):
    panel.ui.runsTable.clearSelection()
    selection = panel.ui.runsTable.selectionModel()
    flags = qt.QItemSelectionModel.Select | qt.QItemSelectionModel.Rows
    for number in numbers:
        selection.select(panel.ui.runsTable.model().index(number, 0), flags)
    driver.process_events()


def test_curves_of_selected_runs_lie_over_each_other(runs):
    panel = open_panel()
    select(panel, 0)
    assert [panel.ui.runsTable.item(row, 3).text() for row in range(2)] == ["50.0", "60.0"]
    legend = driver.find(panel.ui.curvePlotWidget, "curvesLegendLabel")
    chart = panel.self().sections["RunsSection"]._plot._chart
    assert chart.GetNumberOfPlotSeriesNodes() == 1
    assert not legend.visible
    select(panel, 0, 1)
    assert [chart.GetNthPlotSeriesNode(k).GetName() for k in range(2)] == list(NAMES)
    last = [chart.GetNthPlotSeriesNode(k).GetTableNode().GetTable().GetColumn(1).GetValue(3) for k in range(2)]
    assert last == pytest.approx([50, 60])
    assert legend.visible
    assert all(name.replace("-", "‑") in legend.text for name in NAMES)
    select(panel, 1)
    assert chart.GetNumberOfPlotSeriesNodes() == 1
    driver.close_scene()
    select(panel, 0, 1)
    assert panel.self().sections["RunsSection"]._plot._chart.GetNumberOfPlotSeriesNodes() == 2


def test_pictures_of_earlier_epochs_are_a_slider_away(runs):
    panel = open_panel()
    select(panel, 0)
    assert panel.ui.samplesCaptionLabel.text.startswith("Epoch 4:")
    panel.ui.samplesSlider.setValue(0)
    assert panel.ui.samplesCaptionLabel.text.startswith("Epoch 2:")
    # A new picture does not take the user away from the old one, but from the newest to the new one.
    shutil.copy(runs / NAMES[0] / "samples/epoch-00004.png", runs / NAMES[0] / "samples/epoch-00006.png")
    look = panel.self().sections["RunsSection"].look
    look()
    assert panel.ui.samplesCaptionLabel.text.startswith("Epoch 2:")
    panel.ui.samplesSlider.setValue(2)
    shutil.copy(runs / NAMES[0] / "samples/epoch-00004.png", runs / NAMES[0] / "samples/epoch-00008.png")
    look()
    assert panel.ui.samplesCaptionLabel.text.startswith("Epoch 8:")


def test_each_deployed_model_goes_back_to_the_one_before_it(runs):
    panel = open_panel()
    logic = driver.open_module("FetalEchoSeg").self().logic
    parameters = logic.getParameterNode()
    parameters.model = "demo-tiny"
    open_panel()
    for number, name in enumerate(NAMES):
        select(panel, number)
        driver.click(panel.ui.deployButton)
        assert parameters.model == name
    driver.click(panel.ui.withdrawButton)
    assert parameters.model == NAMES[0]
    select(panel, 0)
    driver.click(panel.ui.withdrawButton)
    assert parameters.model == "demo-tiny"
    # Taken away out of order, the later one goes back to what was there before both.
    for number in (0, 1):
        select(panel, number)
        driver.click(panel.ui.deployButton)
    select(panel, 0)
    driver.click(panel.ui.withdrawButton)
    assert parameters.model == NAMES[1]
    select(panel, 1)
    driver.click(panel.ui.withdrawButton)
    assert parameters.model == "demo-tiny"
    assert json.loads(slicer.util.settingsValue("FetalEcho/ModelsBefore", "")) == {}


def test_before_and_after_shows_agreement_and_measures(runs):
    from FetalEchoSegLib.phantom.clip import make_named_clip

    logic = driver.open_module("FetalEchoSeg").self().logic
    made = make_named_clip(View.FOUR_CHAMBER, seed=4, frames=6, frame_rate=25, image_shape=(96, 96))
    masks = logic.segment(logic.addCine(made.cine, "Clip"), model="demo-tiny", view="4CH")
    measured = logic.measure(masks)
    wanted = {measured.GetCellText(row, 0): measured.GetCellText(row, 1) for row in range(measured.GetNumberOfRows())}
    panel = open_panel()
    select(panel, 0)
    driver.click(panel.ui.beforeAfterButton)
    driver.wait_until(lambda: not panel.self().state.isBusy, 60)
    table = panel.ui.measuresTable
    cells = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    before = {title: float(text.split()[0]) for title, text, _after in cells if text != "-"}
    # Before: what FetalEcho Segmentation measures; after: of the model of the run.
    assert len(before) > 2
    assert before == pytest.approx({title: float(wanted[title]) for title in before}, rel=0.01)
    assert [after for _title, text, after in cells] != [text for _title, text, _after in cells]
    assert panel.ui.beforeAfterTable.rowCount > 3
    select(panel, 1)
    assert table.rowCount == 0


def test_figures_of_finished_runs_are_compared(runs):
    panel = open_panel()
    select(panel, 0, 1)
    said = []
    driver.script_dialog(lambda dialog: said.append(dialog.text), about="first full")
    driver.click(panel.ui.compareButton)
    assert "second full" in said[0]
