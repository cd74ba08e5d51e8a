"""The panel in the test host: opening, stepping, and the way from a file to a shown result.

The host cannot start where a headless scene has been booted, so the measuring runs in a process of its own.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]
FRAMES = 60


def run() -> list[tuple[str, float, str]]:
    """(name, value, unit) rows."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the panel benchmark failed:\n{done.stdout}{done.stderr}")
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def measure() -> list[tuple[str, float, str]]:
    sys.path.insert(0, str(TESTING))
    import psutil

    # The panel opens "after dependencies are loaded".
    for package in ("torch", "pydantic", "scipy.ndimage", "scipy.spatial", "scipy.sparse.csgraph"):
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

        steps = []
        for frame in range(1, FRAMES):
            start = time.perf_counter()
            state.showFrame(frame)
            driver.process_events()
            steps.append(time.perf_counter() - start)
        rows += [
            ("a step to the next frame, Red view, all sections open, median", statistics.median(steps) * 1e3, "ms"),
            ("the same, 95th percentile", sorted(steps)[int(0.95 * len(steps))] * 1e3, "ms"),
        ]

        driver.click(panel.ui.applyButton)
        time.sleep(0.2)
        start = time.perf_counter()
        driver.click(panel.ui.applyButton)
        driver.wait_until(lambda: not state.isBusy, 30)
        rows.append(("cancel to idle (demo model)", time.perf_counter() - start, "s"))
    return rows


if __name__ == "__main__":
    print(json.dumps(measure()), flush=True)
    # Qt's and VTK's destructors crash in the order in which Python calls them.
    import os

    os._exit(0)
