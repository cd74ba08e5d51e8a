"""The panel in the test host: opening, stepping, and the way from a file to a shown result.

The host cannot start where a headless scene has been booted, so the measuring runs in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
FRAMES = 60


def run() -> list[tuple[str, float, str]]:
    """(name, value, unit) rows."""
    with tempfile.TemporaryDirectory() as cache:
        # Like Slicer, keep the bytecode of modules; the first run compiles it.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = cache
        for arguments in (["--open"], []):
            command = [sys.executable, __file__, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                raise RuntimeError(f"the panel benchmark failed:\n{done.stdout}{done.stderr}")
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def measure(opening_only: bool = False) -> list[tuple[str, float, str]]:
    """The rows of ``run``, measured in this process."""
    sys.path.insert(0, str(TESTING))
    import psutil

    # The panel opens "after dependencies are loaded".
    for package in ("torch", "pydantic.main", "yaml", "scipy.ndimage", "scipy.spatial", "scipy.sparse.csgraph"):
        importlib.import_module(package)
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.phantom.clip import make_named_clip
    from FetalEchoSegLib.workflow import write_phantom_clip
    from panel.host import boot, driver

    boot.start()
    process = psutil.Process()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        written = write_phantom_clip(make_named_clip(View.FOUR_CHAMBER, seed=38, frames=FRAMES), Path(folder))
        clip = next(path for path in written if path.name.endswith(".seq.nrrd"))

        start = time.perf_counter()
        panel = driver.open_module("FetalEchoSeg")
        rows.append(("panel opens, dependencies loaded", time.perf_counter() - start, "s"))
        if opening_only:
            return rows
        state = panel.self().state

        before = process.memory_info().rss
        start = time.perf_counter()
        panel.ui.pathLineEdit.setCurrentPath(str(clip))
        driver.click(panel.ui.loadButton)
        driver.wait_until(lambda: state.frameCount == FRAMES and not state.isBusy, 120)
        loaded = time.perf_counter() - start
        driver.click(panel.ui.applyButton)
        driver.wait_until(lambda: state.masks is not None and not state.isBusy, 600)
        whole = time.perf_counter() - start
        rows += [
            (f"{FRAMES} frames of 512 x 512 read, shown", loaded, "s"),
            (f"{FRAMES} frames of 512 x 512 read, segmented (demo model, CPU), shown", whole, "s"),
            ("memory that this takes", (process.memory_info().rss - before) / 2**20, "MiB"),
        ]
        driver.wait_until(lambda: not state.isBusy, 120)

        shown = _steps(state.showFrame, driver.process_events)
        rows += [
            ("a step to the next frame, Red view, all sections open, median", statistics.median(shown) * 1e3, "ms"),
            ("the same, 95th percentile", sorted(shown)[int(0.95 * len(shown))] * 1e3, "ms"),
        ]
        driver.leave_module()
        alone = _steps(state.browser.SetSelectedItemNumber, driver.process_events)
        rows += [
            ("the same with the panel left, median: VTK draws in software", statistics.median(alone) * 1e3, "ms"),
            ("with the panel over without", statistics.median(shown) / statistics.median(alone), "x"),
        ]
        driver.open_module("FetalEchoSeg")
        busy = _beside_a_training(Path(folder), lambda: _steps(state.showFrame, driver.process_events))
        rows += [
            ("a step beside a training on all cores, median", statistics.median(busy) * 1e3, "ms"),
            ("the same, 95th percentile", sorted(busy)[int(0.95 * len(busy))] * 1e3, "ms"),
            ("frames stepped through beside a training (goal >= 15)", len(busy) / sum(busy), "frames/s"),
        ]

        driver.click(panel.ui.applyButton)
        time.sleep(0.2)
        start = time.perf_counter()
        driver.click(panel.ui.applyButton)
        driver.wait_until(lambda: not state.isBusy, 30)
        rows.append(("cancel to idle (demo model)", time.perf_counter() - start, "s"))
    return rows


def _beside_a_training(folder: Path, work: Callable[[], list[float]]) -> list[float]:
    """What ``work`` finds while the training panel watches a run in its first stage."""
    import qt
    from FetalEchoSegLib.phantom.dataset import write_dataset
    from FetalEchoTrainLib import process
    from FetalEchoTrainLib.configuration import load_config
    from panel.host import driver

    data, run = folder / "data", process.RunFolder(folder / "runs" / "demo-full-0")
    sizes = {"labelled": 24, "unlabelled": 24, "validation": 8, "calibration": 8, "test_same": 4, "test_new": 4}
    write_dataset(data, **sizes, seed=3, image_shape=(128, 128), frames_per_case=2, workers=1)
    config = load_config("demo").changed({"data.folder": str(data), "data.phantom": None})
    qt.QSettings().setValue("FetalEcho/TrainingRuns", str(run.path.parent))
    run.path.mkdir(parents=True)
    process.start(config, run)
    try:
        panel = driver.open_module("FetalEchoTrain")
        panel.ui.runsTable.selectRow(0)
        driver.wait_until(lambda: "stage 1" in panel.ui.runStateLabel.text, 300)
        driver.open_module("FetalEchoSeg")
        return work()
    finally:
        process.kill(run)
        driver.wait_until(lambda: process.worker(run) is None, 60)


def _steps(show: Callable[[int], object], settle: Callable[[], object]) -> list[float]:
    """Seconds of every step through the clip."""
    found = []
    for frame in range(1, FRAMES):
        start = time.perf_counter()
        show(frame)
        settle()
        found.append(time.perf_counter() - start)
    return found


if __name__ == "__main__":
    print(json.dumps(measure(opening_only="--open" in sys.argv)), flush=True)
    # Qt's and VTK's destructors crash in the order in which Python calls them.
    os._exit(0)
