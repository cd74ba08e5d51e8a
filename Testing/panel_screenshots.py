"""The README's pictures of the panel, made again in the test host: ``python Testing/panel_screenshots.py``.

panel.jpg    the result of a synthetic clip, and its views
measure.jpg  the measures of the same clip
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

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
    for name in ("input", "model", "view", "run", "result", "measure", "report"):
        getattr(panel.ui, f"{name}CollapsibleButton").setProperty("collapsed", name not in wanted)
    driver.process_events()


def save(widget, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        picture = Image.open(driver.grab(widget, Path(folder) / "grab.png")).convert("RGB")
        picture.save(SCREENSHOTS / name, "JPEG", quality=87, optimize=True)


def main() -> None:
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
    show(panel, {"measure"})
    save(panel.ui.MeasureSection, "measure.jpg")


if __name__ == "__main__":
    main()
    os._exit(0)  # Qt's and VTK's destructors crash in the order in which Python calls them
