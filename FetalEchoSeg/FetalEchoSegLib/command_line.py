"""What the commands of `fetalecho` share, also those that other packages add: arguments, progress, printing.

A package adds commands by an entry point of the group ``GROUP``: a function that gets the collection of commands and
calls ``add_command`` for each of its own. It must be quick to import, because every call of `fetalecho` does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import sys
from collections.abc import Callable
from pathlib import Path

GROUP = "fetalecho.commands"
Commands = argparse._SubParsersAction
logger = logging.getLogger(__name__)


def add_commands_of_packages(commands: Commands) -> None:
    """Add the commands of all installed packages that bring some; one that cannot be imported is left out."""
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
        try:
            add = point.load()
        except ImportError as error:
            logger.debug("The commands of %s are left out: %s", point.value, error)
            continue
        add(commands)


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int | None], text: str
) -> argparse.ArgumentParser:
    """Add one command; ``run`` gets its options and returns the exit code, None for 0."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def path_type(text: str) -> Path:
    """A path."""
    # An empty text, mostly a shell variable that is not set, would mean the current folder.
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def count_type(text: str) -> int:
    """A whole number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 or more")
    return int(text)


def positive_type(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 1 or more")
    return int(text)


def progress_bar(what: str) -> Callable[[int, int], None]:
    """Progress callback (done, total) that draws a bar on stderr, on a terminal only."""
    from tqdm import tqdm

    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=what, unit=what[:-1] if what.endswith("s") else "frame", disable=None)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show


def say(text: str, error: bool = False) -> None:
    """Print a line, to stderr for an ``error``."""
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # closed by whoever started us
        return
    # A terminal may lack a letter, such as × in an old code page.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()
