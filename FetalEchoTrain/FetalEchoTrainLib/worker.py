"""The process that trains, apart from whoever watches it.

    python -m FetalEchoTrainLib.worker CONFIG --run FOLDER [--resume] [--queue] [--arm ARM] [--seed N]
    accelerate launch -m FetalEchoTrainLib.worker CONFIG --run FOLDER [--resume]

Events go to standard output, one JSON object a line (``events``). The exit code tells how it ended: 0 finished, 3
stopped on request (it can be resumed), 2 a wrong command line, 1 anything else, with one sentence as the last event.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from FetalEchoSegLib.errors import Cancelled, FetalEchoError

from .configuration import load_config
from .run_folder import RunFolder
from .runs import PlannedRun, carry_out, sentence

FINISHED, FAILED, STOPPED = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says and return the exit code."""
    from FetalEchoSegLib.devices import keep_freed_memory

    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    keep_freed_memory()
    run = RunFolder(options.run)
    try:
        config = load_config(options.config, options.arm, options.seed)
        carry_out(PlannedRun(config, run), options.resume, sys.stdout, queue=options.queue)
    except Cancelled:
        return STOPPED
    except (FetalEchoError, OSError, MemoryError) as error:
        sys.stderr.write(f"{sentence(error)}\n")
        return FAILED
    return FINISHED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="FetalEchoTrainLib.worker", description="Train; events on standard output.")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of one that ships with FetalEcho")
    parser.add_argument("--run", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    parser.add_argument("--queue", action="store_true", help="wait until no other training has the device")
    parser.add_argument("--arm", help="in place of the configuration's")
    parser.add_argument("--seed", type=int, help="in place of the configuration's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
