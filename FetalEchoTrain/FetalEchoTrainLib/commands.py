"""``fetalecho train`` and ``fetalecho compare``; `fetalecho` finds them by an entry point of this package."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from FetalEchoSegLib.command_line import (
    Commands,
    add_command,
    count_type,
    path_type,
    positive_type,
    progress_bar,
    say,
)

if TYPE_CHECKING:
    from .configuration import TrainConfig
    from .runs import PlannedRun


def add_commands(commands: Commands) -> None:
    """Add the commands; called by `fetalecho` at every start, so that nothing heavy is imported here."""
    _add_train(commands)
    _add_compare(commands)


def _add_train(commands: Commands) -> None:
    parser = add_command(commands, "train", _train, "Train a model as a configuration says; the result is a bundle.")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or demo or fetus2026, which ship with FetalEcho")
    parser.add_argument("--resume", action="store_true", help="go on with an earlier run; finished ones are left alone")
    parser.add_argument(
        "--arm", action="append", default=[], metavar="ARM", help="the whole method or a control; repeatable"
    )
    parser.add_argument("--seed", type=count_type, metavar="N", help="first seed (default: the configuration's)")
    parser.add_argument("--seeds", type=positive_type, default=1, metavar="N", help="runs of each arm (default: 1)")
    parser.add_argument("--data", type=path_type, metavar="DIR", help="data set, in place of the configuration's")
    parser.add_argument(
        "--run", type=path_type, dest="folder", metavar="DIR", help="folder of the run, or of several runs' folders"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other value (ema.epochs=5); repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="check data and configuration, estimate memory and time")


def _add_compare(commands: Commands) -> None:
    parser = add_command(
        commands, "compare", _compare, "Compare training runs: mean and spread over seeds, per class and view."
    )
    parser.add_argument("runs", type=path_type, nargs="+", metavar="RUN", help="folder of a run, or a folder of runs")
    parser.add_argument("--out", type=path_type, metavar="DIR", help="write the tables and charts there, too")


def _train(options: argparse.Namespace) -> int:
    from .runs import plan

    config = _config(options)
    runs = plan(config, options.arm, options.seeds, options.folder)
    if options.dry_run:
        return _dry_run(runs)
    return _carry_out_all(runs, options.resume)


def _config(options: argparse.Namespace) -> TrainConfig:
    """The configuration with what the command line says instead."""
    from .configuration import load_config, parse_value

    config = load_config(options.config, arm=options.arm[0] if options.arm else None, seed=options.seed)
    changes = {} if options.data is None else {"data.folder": str(options.data.absolute())}
    changes |= dict(parse_value(text) for text in options.set)
    return config.changed(changes) if changes else config


def _dry_run(runs: tuple[PlannedRun, ...]) -> int:
    """Say what would be done; 1 if it cannot be."""
    from .dataset_check import check_data
    from .estimate import estimate

    checked = check_data(runs[0].config, progress=progress_bar("files"))
    say(str(checked))
    say("")
    say("\n".join(f"{run.folder}: {run.folder.state}" for run in runs))
    if checked.fatal:
        return 1
    total = 0.0
    for arm in dict.fromkeys(run.config.arm for run in runs):
        of_arm = [run for run in runs if run.config.arm == arm]
        found = estimate(of_arm[0].config, checked.data)
        total += found.seconds * len(of_arm)
        say(f"{arm}: {found}")
    if len(runs) > 1:
        from .console import duration

        say(f"{len(runs)} runs: about {duration(total)} in all")
    return 0


def _carry_out_all(runs: tuple[PlannedRun, ...], resume: bool) -> int:
    """One run after another; one that fails is reported and the others go on. 1 if any failed."""
    from FetalEchoSegLib.devices import keep_freed_memory
    from FetalEchoSegLib.errors import Cancelled, FetalEchoError

    from .console import Console
    from .runs import carry_out, sentence

    keep_freed_memory()
    failed = 0
    for number, run in enumerate(runs, start=1):
        if len(runs) > 1:
            say(f"{number} of {len(runs)}: {run.config.arm}, seed {run.config.seed}")
        if resume and run.folder.state == "finished":
            say(f"{run.folder} is finished.")
            continue
        console = Console()
        try:
            carry_out(run, resume, console)
        except Cancelled:
            raise
        except (FetalEchoError, OSError, MemoryError) as error:
            if len(runs) == 1:
                raise
            failed += 1
            say(f"fetalecho: {run.folder}: {sentence(error)}", error=True)
        finally:
            console.close()
    if len(runs) > 1 and failed < len(runs):
        from .comparison import compare

        say(str(compare([run.folder for run in runs])))
    return 1 if failed else 0


def _compare(options: argparse.Namespace) -> None:
    from FetalEchoSegLib.output_files import require_writable

    from .comparison import compare, find_runs

    if options.out is not None:
        require_writable(options.out)
    found = compare(find_runs(options.runs))
    say(str(found))
    if options.out is not None:
        say("\n" + "\n".join(str(file) for file in found.write(options.out)))
