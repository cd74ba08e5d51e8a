"""The proof on the phantom (docs/proof): trains every arm with every seed and compares them.

    python Testing/benchmarks/proof.py --work build/proof [--seeds 3] [--out docs/proof]

About five hours of one core. Ended early, it goes on where it was. See Resources/Configs/benchmark.yaml.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from FetalEchoSegLib.errors import FetalEchoError
from FetalEchoTrainLib.comparison import compare
from FetalEchoTrainLib.configuration import load_config
from FetalEchoTrainLib.console import Console
from FetalEchoTrainLib.run_folder import RunFolder
from FetalEchoTrainLib.runs import PlannedRun, carry_out

BURN_IN = {"ema.epochs": 45, "ema.validate_every": 5}
ARMS = ("labelled-only", "ema", "ema-dino", "ema-sam", "unimatch", "full-no-cft")


def planned(work: Path, seed: int) -> Iterator[PlannedRun]:
    """The runs of a seed in their order: the common start, the arms that go on from it, stage 2 on top of one."""

    def one(arm: str, name: str, **changes: object) -> PlannedRun:
        config = load_config("benchmark", arm=arm, seed=seed).changed({"data.folder": str(work / "dataset"), **changes})
        return PlannedRun(config, RunFolder(work / f"{name}-{seed}"))

    yield one("labelled-only", "base", **BURN_IN)
    for arm in ARMS:
        yield one(arm, arm, **{"network.initial": str(work / f"base-{seed}" / "bundle")})
    start = str(work / f"full-no-cft-{seed}" / "bundle")
    yield one("full", "full", **{"ema.epochs": 0, "network.initial": start})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the data set and the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/proof"))
    options = parser.parse_args()
    work = options.work.absolute()
    compared = []
    try:
        for seed in range(options.seeds):
            for run in planned(work, seed):
                name = run.folder.path.name
                if run.folder.state != "finished":
                    print(name, flush=True)
                    console = Console()
                    carry_out(run, (run.folder.path / "config.yaml").exists(), console)
                    console.close()
                if not name.startswith("base-"):
                    compared.append(run.folder)
        for path in compare(compared).write(options.out):
            print(path)
    except FetalEchoError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
