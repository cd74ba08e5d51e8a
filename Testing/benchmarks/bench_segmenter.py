"""The Segmenter with the demo bundle: throughput, and memory on a 2000-frame clip."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import numpy as np

LONG_CLIP = """
import resource, sys
import numpy as np
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, find_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.segmentation import Segmenter

class Noise:
    shape = (int(sys.argv[1]), 256, 256)
    def read(self, index):
        return np.random.default_rng(index).integers(0, 256, (256, 256), dtype=np.uint8)

segmenter = Segmenter(find_bundle(DEFAULT_BUNDLE), "cpu", "fp32")
segmenter.segment(Cine(Noise(), np.arange(Noise.shape[0]) / 50, "FrameTime"), view=View.LVOT)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run() -> list[tuple[str, float | str, str]]:
    """Rows (name, value, unit)."""
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, find_bundle
    from FetalEchoSegLib.phantom.clip import make_named_clip
    from FetalEchoSegLib.segmentation import Segmenter

    bundle = find_bundle(DEFAULT_BUNDLE)
    began = time.perf_counter()
    segmenter = Segmenter(bundle, "cpu", "fp32")
    start = time.perf_counter() - began
    cine = make_named_clip(View.FOUR_CHAMBER, seed=3, frames=24).cine
    segmenter.segment(cine, frames=range(8))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        segmenter.segment(cine)
        times.append((time.perf_counter() - began) / len(cine))
    rows: list[tuple[str, float | str, str]] = [
        ("tiny bundle: Segmenter ready (imports excluded)", start * 1000, "ms"),
        ("tiny bundle: segment 512 x 512, CPU fp32", 1 / median(times), "frames/s"),
    ]
    peaks = {}
    for frames in (200, 2000):
        done = subprocess.run(
            [sys.executable, "-c", LONG_CLIP, str(frames)], capture_output=True, text=True, check=True
        )
        peaks[frames] = float(done.stdout.split()[-1])
        rows.append((f"peak memory, {frames} frames of 256 x 256", peaks[frames], "MiB"))
    # Frames and label maps are one byte a pixel each; nothing else may grow with the clip.
    held = 1800 * 256 * 256 * 2 / 2**20
    rows.append(("memory growth over the bytes of frames and labels", (peaks[2000] - peaks[200]) / held, "ratio"))
    agreement = np.mean(
        [
            (
                Segmenter(bundle, "cpu", "bf16").segment(cine, frames=range(8)).labels[:8]
                == segmenter.segment(cine, frames=range(8)).labels[:8]
            ).mean()
        ]
    )
    rows.append(("tiny bundle: equal labels, bf16 against fp32", 100 * float(agreement), "%"))
    return rows


if __name__ == "__main__":
    for row in run():
        print(*row)
