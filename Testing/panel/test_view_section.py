"""The View section, by clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.panel.bars import Bar, BarChart

from .host import driver
from .results import makeCine, makeResult


@pytest.fixture
def panel():
    return driver.open_module("FetalEchoSeg")


@pytest.fixture
def browser(panel):
    logic = panel.self().logic
    browser = logic.addCine(makeCine(4), "Clip")
    logic.getParameterNode().browser = browser
    driver.process_events()
    return browser


def showResult(panel, browser, probabilities, view=View.FOUR_CHAMBER, source="predicted"):
    logic = panel.self().logic
    result = makeResult(logic.cine(browser), [0.9] * 4, view)
    result = replace(result, view_probabilities=np.array(probabilities, np.float32), view_source=source)
    masks = logic.addPrediction(result, browser)
    logic.getParameterNode().masks = masks
    driver.process_events()
    return masks


def test_without_a_result_it_says_so_in_a_few_words(panel):
    assert panel.ui.viewResultLabel.text == "No result yet."
    assert not panel.ui.viewBarsContainer.visible
    assert not panel.ui.viewWarningLabel.visible


def test_the_view_is_chosen_and_follows_the_parameter_node(panel):
    node = panel.self().logic.getParameterNode()
    driver.choose(panel.ui.viewComboBox, "LVOT")
    assert node.view.value == "LVOT"
    node.view = type(node.view).THREE_VESSEL_TRACHEA
    assert panel.ui.viewComboBox.currentText == "3VT"


def test_the_four_probabilities_of_the_result_are_shown(panel, browser):
    showResult(panel, browser, [0.7, 0.1, 0.15, 0.05])
    assert panel.ui.viewBars.visible
    assert panel.ui.viewBars.accessibleDescription == "4CH 70 %\nLVOT 10 %\nRVOT 15 %\n3VT 5 %"
    assert [bar.label for bar in panel.ui.viewBars.bars if bar.marked] == ["4CH"]
    assert panel.ui.viewResultLabel.text == "Result made as 4CH, found by the model."
    assert not panel.ui.viewWarningLabel.visible


@pytest.mark.parametrize(("source", "says"), [("user", "chosen by you"), ("file", "named by the file")])
def test_it_says_who_named_the_view(panel, browser, source, says):
    showResult(panel, browser, [0.7, 0.1, 0.15, 0.05], source=source)
    assert panel.ui.viewResultLabel.text == f"Result made as 4CH, {says}."


def test_a_doubtful_view_asks_to_choose(panel, browser):
    showResult(panel, browser, [0.4, 0.3, 0.2, 0.1])
    assert panel.ui.viewWarningLabel.text == (
        "The view is doubtful (4CH with 40 %): choose it, then press Apply again."
    )


def test_a_model_that_disagrees_with_the_choice_is_heard(panel, browser):
    driver.choose(panel.ui.viewComboBox, "LVOT")
    showResult(panel, browser, [0.9, 0.05, 0.03, 0.02], view=View.LVOT, source="user")
    assert panel.ui.viewWarningLabel.text == "The model takes this clip for 4CH (90 %): check the view."
    assert [bar.label for bar in panel.ui.viewBars.bars if bar.marked] == ["LVOT"]


def test_another_choice_after_a_run_asks_to_apply_again(panel, browser):
    showResult(panel, browser, [0.9, 0.05, 0.03, 0.02])
    driver.choose(panel.ui.viewComboBox, "RVOT")
    assert panel.ui.viewWarningLabel.text == "The result was made as 4CH, not as RVOT: press Apply again."
    driver.choose(panel.ui.viewComboBox, "4CH")
    assert not panel.ui.viewWarningLabel.visible
    driver.choose(panel.ui.viewComboBox, "Automatic")
    assert not panel.ui.viewWarningLabel.visible


def test_a_model_without_view_head_shows_no_bars(panel, browser):
    showResult(panel, browser, [np.nan] * 4, source="user")
    assert not panel.ui.viewBarsContainer.visible
    assert panel.ui.viewResultLabel.text == "Result made as 4CH, chosen by you. The model tells no views apart."


def test_masks_drawn_by_hand_have_no_view(panel, browser):
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

    masks = addEmptyMasksToScene(browser.GetMasterSequenceNode(), browser, "By hand")
    panel.self().logic.getParameterNode().masks = masks
    driver.process_events()
    assert panel.ui.viewResultLabel.text == "These masks do not come from a model."
    assert not panel.ui.viewBarsContainer.visible


def test_the_result_goes_with_the_scene(panel, browser):
    showResult(panel, browser, [0.7, 0.1, 0.15, 0.05])
    driver.close_scene()
    assert panel.ui.viewResultLabel.text == "No result yet."


def test_choice_and_probabilities_come_back_with_the_scene(panel, browser, tmp_path):
    driver.choose(panel.ui.viewComboBox, "RVOT")
    showResult(panel, browser, [0.7, 0.1, 0.15, 0.05])
    driver.save_scene(tmp_path / "clip.mrb")
    driver.close_scene()
    assert panel.ui.viewComboBox.currentText == "Automatic"
    driver.open_scene(tmp_path / "clip.mrb")
    assert panel.ui.viewComboBox.currentText == "RVOT"
    assert panel.ui.viewBars.accessibleDescription.startswith("4CH 70 %")
    assert "not as RVOT" in panel.ui.viewWarningLabel.text


def test_the_view_cannot_be_changed_during_a_run(panel):
    panel.self().state.setBusy(True)
    assert not panel.ui.viewComboBox.enabled
    panel.self().state.setBusy(False)
    assert panel.ui.viewComboBox.enabled


# the bars themselves, by their pixels


def pixels(chart, width=300):
    chart.resize(width, chart.height)
    chart.show()
    driver.process_events()
    image = chart.grab().toImage()
    return np.array([[image.pixel(x, y) for x in range(image.width())] for y in range(image.height())])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_bar_is_as_long_as_its_value(theme):
    driver.set_theme(theme)
    chart = BarChart()
    lengths = {}
    for value in (0.0, 0.25, 0.5, 1.0):
        chart.setBars([Bar("A", value, text=".", color=(200, 10, 10))])
        row = pixels(chart)[chart.height // 2]
        lengths[value] = int((row == 0xFFC80A0A).sum())
    assert lengths[0.0] == 0
    assert lengths[1.0] > 200
    assert lengths[0.5] == pytest.approx(lengths[1.0] / 2, abs=1)
    assert lengths[0.25] == pytest.approx(lengths[1.0] / 4, abs=1)


def test_band_and_threshold_are_where_they_should_be():
    chart = BarChart()
    plain, banded = (Bar("A", 0.1, text=".", color=(200, 10, 10), band=band) for band in (None, (0.5, 1.0)))
    chart.setBars([plain])
    without = pixels(chart)
    chart.setBars([banded])
    changed = np.flatnonzero((pixels(chart) != without).any(axis=0))
    chart.setBars([replace(plain, threshold=0.5)])
    ticked = np.flatnonzero((pixels(chart) != without).any(axis=0))
    assert len(ticked) == 2
    # The bar itself is thinner with a band: look to its right only.
    assert changed[changed > 100].min() == pytest.approx(ticked.min(), abs=1)


def test_a_label_that_would_be_cut_stands_above_its_bar():
    chart = BarChart()
    chart.setBars([Bar("Atrioventricular valve stenosis or atresia", 0.5, text="50 %", color=(200, 10, 10))])
    pixels(chart, 600)
    assert not chart.isStacked
    flat = chart.height
    rows = (pixels(chart, 280) == 0xFFC80A0A).any(axis=1)
    assert chart.isStacked
    assert chart.height == 2 * flat
    assert np.flatnonzero(rows).min() > flat
    pixels(chart, 600)
    assert chart.height == flat


def test_a_row_without_value_shows_its_text_alone():
    chart = BarChart()
    chart.setBars([Bar("A", None, text="not shown"), Bar("B", float("nan"), text="not shown")])
    assert chart.accessibleDescription == "A not shown\nB not shown"
    assert (pixels(chart) != pixels(chart)[0, 0]).any()
