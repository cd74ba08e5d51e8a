"""The Report section, by clicks: files appear, open, and nothing half-written stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import qt
import slicer

from .host import desktop, driver
from .test_measure_section import show


def show_report(folder):
    panel, browser, masks = show()
    panel.ui.measureCollapsibleButton.collapsed = True
    panel.ui.reportDirectoryButton.directory = str(folder)
    return panel, browser, masks


def written(panel):
    driver.wait_until(lambda: panel.ui.openFolderButton.visible, 60)
    return panel.ui.reportStateLabel.text.splitlines()[1:]


def test_a_report_is_written_in_the_chosen_forms_and_opened(tmp_path):
    panel, _, masks = show_report(tmp_path / "reports")
    logic = panel.self().logic
    logic.setLabels(masks, 2, logic.labels(masks)[3])
    driver.click(panel.ui.csvCheckBox)
    driver.click(panel.ui.writeReportButton)
    assert not panel.ui.writeReportButton.enabled
    names = ["Truth report.html", "Truth report.pdf"]
    names += ["Truth conditions.csv", "Truth frames.csv", "Truth measurements.csv"]
    assert written(panel) == names
    assert sorted(p.name for p in (tmp_path / "reports").iterdir()) == sorted(names)
    html = (tmp_path / "reports" / names[0]).read_text(encoding="utf-8")
    assert "39 frames drawn by the model, 1 frame corrected by hand" in html
    assert (tmp_path / "reports" / names[1]).read_bytes().startswith(b"%PDF")
    driver.click(panel.ui.openReportButton)
    driver.click(panel.ui.openFolderButton)
    assert [Path(qt.QUrl(url).toLocalFile()) for url in desktop.opened_urls] == [
        tmp_path / "reports" / names[0],
        tmp_path / "reports",
    ]


def test_folder_and_forms_are_remembered_on_the_machine(tmp_path):
    panel, _, _ = show_report(tmp_path)
    driver.click(panel.ui.htmlCheckBox)
    panel = driver.reload_module("FetalEchoSeg")
    assert panel.ui.reportDirectoryButton.directory == str(tmp_path)
    assert not panel.ui.htmlCheckBox.checked
    assert panel.ui.pdfCheckBox.checked


def test_without_masks_or_a_form_there_is_nothing_to_write(tmp_path):
    panel = driver.open_module("FetalEchoSeg")
    assert not panel.ui.writeReportButton.enabled
    assert panel.ui.reportStateLabel.text == "Segment the clip first."
    panel, _, _ = show_report(tmp_path)
    assert panel.ui.writeReportButton.enabled
    driver.click(panel.ui.htmlCheckBox)
    driver.click(panel.ui.pdfCheckBox)
    assert not panel.ui.writeReportButton.enabled
    assert panel.ui.reportStateLabel.text == "Choose at least one form."


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("a file")
    panel, _, _ = show_report(tmp_path / "file")
    texts = []
    driver.script_dialog(lambda dialog: texts.append(dialog.text), about="not a folder")
    driver.click(panel.ui.writeReportButton)
    driver.wait_until(lambda: texts, 30)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert panel.ui.writeReportButton.enabled
    assert not panel.ui.openFolderButton.visible


def test_an_earlier_report_is_replaced_only_after_asking(tmp_path):
    panel, _, _ = show_report(tmp_path)
    driver.click(panel.ui.pdfCheckBox)
    (tmp_path / "Truth report.html").write_text("earlier")
    driver.script_dialog(qt.QMessageBox.Cancel, about="Truth report.html")
    driver.click(panel.ui.writeReportButton)
    assert not panel.self().state.isBusy
    assert (tmp_path / "Truth report.html").read_text() == "earlier"
    driver.script_dialog(qt.QMessageBox.Ok, about="Replace them?")
    driver.click(panel.ui.writeReportButton)
    assert written(panel) == ["Truth report.html"]
    assert "Truth" in (tmp_path / "Truth report.html").read_text(encoding="utf-8")


def test_a_cancelled_report_leaves_whole_files_or_none(tmp_path):
    panel, _, _ = show_report(tmp_path)
    driver.click(panel.ui.writeReportButton)
    driver.click(panel.ui.cancelButton)
    driver.wait_until(lambda: not panel.self().state.isBusy, 20)
    assert panel.ui.statusLabel.text == "Cancelled."
    driver.wait_until(lambda: not [p for p in tmp_path.iterdir() if p.name.startswith(".")], 20)
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith((b"<!DOCTYPE html>", b"%PDF"))


def test_the_report_goes_on_when_the_scene_is_closed(tmp_path):
    panel, _, _ = show_report(tmp_path)
    driver.click(panel.ui.writeReportButton)
    driver.close_scene()
    assert not panel.self().state.isBusy
    assert panel.ui.reportStateLabel.text == "Segment the clip first."
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_section_fits_the_panel(theme, tmp_path):
    driver.set_theme(theme)
    folder = tmp_path / ("a very long name of a folder " * 4)
    panel, _, _ = show_report(folder)
    panel.widget.resize(420, 900)
    driver.click(panel.ui.writeReportButton)
    written(panel)
    assert panel.ui.reportCollapsibleButton.minimumSizeHint().width() <= 400
    shots = Path(os.environ.get("FETALECHO_SHOTS", tmp_path))
    driver.grab(panel.ui.reportCollapsibleButton, shots / f"measure_report_{theme}.png")
    driver.set_theme("light")
