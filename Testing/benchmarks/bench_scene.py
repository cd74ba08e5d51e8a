"""The scene layer on slicer-core: a 60-frame clip with 14 segments a frame."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

IMPORT = """
import sys, time
sys.path[:0] = [sys.argv[1]]
from FetalEchoSegLib.scene.headless import startHeadlessSlicer
startHeadlessSlicer()
began = time.perf_counter()
import FetalEchoSeg
print((time.perf_counter() - began) * 1000)
"""


def run() -> list[tuple[str, float | str, str]]:
    """Rows (name, value, unit)."""
    import numpy as np
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.phantom.clip import make_named_clip
    from FetalEchoSegLib.scene.headless import startHeadlessSlicer

    slicer = startHeadlessSlicer()
    from FetalEchoSegLib.scene.cine_nodes import addCineToScene
    from FetalEchoSegLib.scene.io import openScene, saveScene
    from FetalEchoSegLib.scene.segmentation_nodes import (
        addEmptyMasksToScene,
        labelsFromSegmentationSequence,
        setFrameLabels,
    )

    made = make_named_clip(View.FOUR_CHAMBER, seed=3, frames=60)
    module = Path(__file__).resolve().parents[2] / "FetalEchoSeg"
    imports = [_import_ms(module) for _ in range(3)]
    nodes = {}

    def clip() -> None:
        slicer.mrmlScene.Clear(0)
        nodes["sequence"], nodes["browser"] = addCineToScene(made.cine, "Clip")

    def masks() -> None:
        nodes["masks"] = addEmptyMasksToScene(nodes["sequence"], nodes["browser"], "Masks")
        for index, labels in enumerate(made.labels):
            setFrameLabels(nodes["masks"], index, labels)

    def step() -> None:
        for index in range(60):
            nodes["browser"].SetSelectedItemNumber(index)

    rows: list[tuple[str, float | str, str]] = [
        ("import FetalEchoSeg beyond slicer", median(imports), "ms"),
        ("60 x 512 x 512: clip to scene", _median_ms(clip), "ms"),
        ("60 x 512 x 512: masks to scene", _median_ms(masks), "ms"),
        (
            "60 x 512 x 512: masks back to an array",
            _median_ms(lambda: labelsFromSegmentationSequence(nodes["masks"])),
            "ms",
        ),
        ("step one frame (nodes only, no rendering)", _median_ms(step) / 60, "ms"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "scene.mrb")
        rows.append(("60 x 512 x 512: save .mrb", _median_ms(lambda: saveScene(file)), "ms"))
        rows.append(("60 x 512 x 512: open .mrb", _median_ms(lambda: openScene(file)), "ms"))
        found = labelsFromSegmentationSequence(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode"))
        rows.append(("masks equal after reopening", "yes" if np.array_equal(found, made.labels) else "NO", ""))
    return rows


def _median_ms(work: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return median(times)


def _import_ms(module: Path) -> float:
    done = subprocess.run([sys.executable, "-c", IMPORT, str(module)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    for row in run():
        print(*row)
