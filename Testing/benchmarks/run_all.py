"""Every figure the README and the notes quote, measured here and now, side by side in one run.

    python Testing/benchmarks/run_all.py --out bench_output [--only metrics phantom]

Each bench_*.py has ``run()`` returning (name, value, unit) rows. Writes figures.json and figures.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITES = (
    "metrics", "phantom", "network", "training", "promptable", "clicks",
    "segmenter", "review", "scene", "measurements", "panel", "label_next",
)  # fmt: skip


def machine() -> str:
    """Processor, cores, memory and the versions that matter, in one line."""
    import numpy
    import psutil
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), model
        )
    return (
        f"{model}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"Python {platform.python_version()}, torch {torch.__version__}, numpy {numpy.__version__}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench_output"))
    parser.add_argument("--only", nargs="*", choices=[*SUITES, "fuzz"])
    parser.add_argument("--fuzz-count", type=int, default=2000)
    options = parser.parse_args()
    wanted = options.only or [*SUITES, "fuzz"]
    sys.path.insert(0, str(HERE))

    figures: dict[str, list] = {}
    failed = 0
    print(f"machine: {machine()}\n")
    for suite in [s for s in SUITES if s in wanted]:
        began = time.monotonic()
        rows = importlib.import_module(f"bench_{suite}").run()
        figures[suite] = [list(row) for row in rows]
        print(f"{suite} ({time.monotonic() - began:.0f} s)")
        for name, value, unit in rows:
            print(f"  {name:70} {format_value(value):>12} {unit}")
        print(flush=True)
    if "fuzz" in wanted:
        command = [sys.executable, str(HERE / "fuzz_readers.py"), "--count", str(options.fuzz_count), "--seed", "0"]
        failed = subprocess.run(command, check=False).returncode

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1))
    lines = [f"Machine: {machine()}", "", "| suite | figure | value | unit |", "|---|---|---|---|"]
    lines += [f"| {s} | {n} | {format_value(v)} | {u} |" for s, rows in figures.items() for n, v, u in rows]
    (options.out / "figures.md").write_text("\n".join(lines) + "\n")
    return failed


def format_value(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
