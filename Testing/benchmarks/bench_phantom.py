"""Frames per second of the phantom at 512 × 512, masks included, per view.

Run: python Testing/benchmarks/bench_phantom.py
"""

import platform
import time

import numpy as np
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.phantom.clip import make_section, place
from FetalEchoSegLib.phantom.devices import sample_device
from FetalEchoSegLib.phantom.echo import EchoRenderer

FRAMES = 60
GOAL = 25.0  # frames per second on two cores


def machine():
    """Processor and number of usable cores."""
    import os
    from pathlib import Path

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x.split(":", 1)[1].strip() for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def run(frames=FRAMES, workers=2):
    """(name, value, unit) of each figure; wall-clock rates depend on what else the machine does, CPU times hardly."""
    results = []
    times = np.arange(frames) / 50.0
    for view in View:
        case = sample_case(view, 1)
        section, placement, device = make_section(case), place(case), sample_device(1)
        EchoRenderer(section, placement, device, 0).render(0.0)  # texture of this beam direction, first use
        start = time.perf_counter()
        renderer = EchoRenderer(section, placement, device, 1)
        prepared = time.perf_counter() - start
        start, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in renderer.frames(times, workers=workers))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        results += [
            (f"phantom {view.short}: 512 × 512 frames with masks, {workers} threads", count / wall, "frames/s"),
            (f"phantom {view.short}: processor time", 1000 * cpu / count, "ms/frame"),
            (f"phantom {view.short}: preparing a clip", 1000 * prepared, "ms"),
        ]
    return results


if __name__ == "__main__":
    print(f"machine: {machine()}")
    for name, value, unit in run():
        goal = f"  (goal ≥ {GOAL:g})" if unit == "frames/s" else ""
        print(f"{name}: {value:.1f} {unit}{goal}")
