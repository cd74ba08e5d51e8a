"""The README's pictures of the panel, made again in the test host: ``python Testing/panel_screenshots.py``.

panel.jpg    the result of a synthetic clip, and its views
refine.jpg   a left ventricle, clicked
measure.jpg  the measures of the same clip
train.jpg    finished runs in the training panel, those of ``--runs FOLDER...``, the last one deployed; left as it is
             without
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from FetalEchoSegLib.anatomy import Structure
from panel.host import boot, driver
from PIL import Image

SCREENSHOTS = Path(__file__).resolve().parents[1] / "Resources" / "Screenshots"
CLIP = "FetalEcho phantom 4CH"


def settle(panel) -> None:
    """Wait until jobs, and timers that start jobs, have ended."""
    for _ in range(10):
        time.sleep(0.1)
        driver.process_events()
        driver.wait_until(lambda: not panel.self().state.isBusy, 120)


def show(panel, wanted: set[str]) -> None:
    for name in ("input", "model", "view", "run", "result", "refine", "measure", "report"):
        getattr(panel.ui, f"{name}CollapsibleButton").setProperty("collapsed", name not in wanted)
    driver.process_events()


def save(widget, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        picture = Image.open(driver.grab(widget, Path(folder) / "grab.png")).convert("RGB")
        picture.save(SCREENSHOTS / name, "JPEG", quality=87, optimize=True)


def click(panel) -> None:
    """Click twice into the left ventricle, and once outside of it."""
    state, editor = panel.self().state, panel.ui.refineEditor
    ventricle = panel.self().logic.labels(state.masks)[state.frame] == Structure.LEFT_VENTRICLE
    rows, columns = np.nonzero(ventricle)
    along = np.linalg.eigh(np.cov(columns, rows))[1][:, 1]
    middle, length = np.array([columns.mean(), rows.mean()]), np.ptp(np.stack([columns, rows], 1) @ along)
    driver.choose_effect(editor, "SAM-Med2D")
    driver.select_segment(editor, Structure.LEFT_VENTRICLE.info.title)
    driver.wait_until(lambda: driver.find(editor, "clickModelComboBox").enabled, 60)
    for share, modifiers in ((0.0, ()), (0.3, ()), (0.75, ("ctrl",))):
        before = driver.find(editor, "clickPromptsLabel").text
        x, y = middle + share * length * along
        driver.click_slice(driver.slice_view("Red"), ijk=(x, y, 0), modifiers=modifiers)
        driver.wait_until(lambda b=before: driver.find(editor, "clickPromptsLabel").text != b, 60)


def show_training(runs: list[Path], folder: Path) -> None:
    """The sections Export, Train, Runs and Deploy of the training panel."""
    import qt

    for run in runs:
        shutil.copytree(run, folder / "runs" / run.name, ignore=shutil.ignore_patterns("checkpoints", "corrections"))
    # Relative, so that the picture shows no folder of this machine.
    os.chdir(folder)
    qt.QSettings().setValue("FetalEcho/TrainingRuns", "runs")
    qt.QSettings().setValue("FetalEcho/TrainingDataset", "FetalEcho data")
    panel = driver.open_module("FetalEchoTrain")
    for name in ("export", "train", "runs", "deploy", "dependencies"):
        getattr(panel.ui, f"{name}CollapsibleButton").setProperty("collapsed", False)
    last = sorted(run.name for run in runs).index(runs[-1].name)
    panel.ui.runsTable.selectRow(last)
    driver.process_events()
    driver.click(panel.ui.deployButton)
    driver.click(panel.ui.beforeAfterButton)
    settle(panel)
    selection = panel.ui.runsTable.selectionModel()
    flags = qt.QItemSelectionModel.Select | qt.QItemSelectionModel.Rows
    for number in range(len(runs)):
        selection.select(panel.ui.runsTable.model().index(number, 0), flags)
    panel.ui.curveComboBox.setCurrentIndex(panel.ui.curveComboBox.findData("ema/validation_dsc"))
    panel.self().sections["RunsSection"].look()
    driver.wait_until(lambda: not panel.self().sections["ExportSection"].isLooking, 20)
    driver.process_events()
    columns = ((panel.ui.ExportSection, panel.ui.TrainSection, panel.ui.DeploySection), (panel.ui.RunsSection,))
    pictures = [
        [Image.open(driver.grab(widget, folder / "grab.png")).convert("RGB") for widget in column] for column in columns
    ]
    height = max(sum(picture.height for picture in column) for column in pictures)
    sheet = Image.new("RGB", (sum(column[0].width for column in pictures) + 12, height), "white")
    left = 0
    for column in pictures:
        top = 0
        for picture in column:
            sheet.paste(picture, (left, top))
            top += picture.height
        left += column[0].width + 12
    sheet.save(SCREENSHOTS / "train.jpg", "JPEG", quality=87, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the README's pictures of the panels again.")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="folders of finished runs")
    options = parser.parse_args()
    runs = [run.resolve() for run in options.runs]
    boot.start()
    panel = driver.open_module("FetalEchoSeg")
    (browser,) = driver.click_sample(CLIP)
    driver.choose(panel.ui.browserSelector, browser)
    driver.click(panel.ui.applyButton)
    driver.wait_until(lambda: panel.self().state.masks is not None, 300)
    panel.ui.weeksSpinBox.setValue(22)
    settle(panel)
    panel.self().state.showFrame(17)
    show(panel, {"result"})
    save(driver.main_window(), "panel.jpg")
    show(panel, {"refine"})
    click(panel)
    settle(panel)
    save(driver.main_window(), "refine.jpg")
    show(panel, {"measure"})
    save(panel.ui.MeasureSection, "measure.jpg")
    if runs:
        logic, masks = panel.self().logic, panel.self().state.masks
        for frame in (3, 9):
            logic.setLabels(masks, frame, logic.labels(masks)[frame], drawnBy="clicks")
        logic.acceptFrame(masks, 12)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_DATA_HOME"] = folder  # models are deployed there
            show_training(runs, Path(folder))


if __name__ == "__main__":
    main()
    os._exit(0)  # Qt's and VTK's destructors crash in the order in which Python calls them
