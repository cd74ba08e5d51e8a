"""One training at a time on a device: the others of this user wait in line.

The line is a file lock that the system lets go of when a process ends, however it ends; whoever gets it first is next.
"""

from __future__ import annotations

import getpass
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from FetalEchoSegLib.errors import Cancelled, UnwritableOutput
from FetalEchoSegLib.output_files import reason

from .run_folder import lock_file, unlock_file

if TYPE_CHECKING:
    from .events import Events
    from .run_folder import RunFolder

STAGE = "queue"  # of the progress that a waiting run reports
_LOOK_SECONDS = 0.5


@contextmanager
def turn_on(device: str, run: RunFolder, events: Events, folder: Path | None = None) -> Iterator[None]:
    """Wait until no other training of this user has ``device`` ("cuda:0", "cpu"), and keep it for the block.

    folder  of the locks; that of this user's temporary files by default
    Raises Cancelled when the run is asked to stop meanwhile, and UnwritableOutput.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"fetalecho-{re.sub(r'[^0-9A-Za-z]', '_', getpass.getuser())}"
    path = folder / f"{re.sub(r'[^0-9a-z]', '-', device)}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UnwritableOutput(f"Cannot write {path}: {reason(error)}.") from error
    with file:
        if not lock_file(file):
            events.log(f"Another training has {device}: this one waits until it has ended.")
            events.progress(STAGE, 0, 1, 0, 1)
            while not lock_file(file):
                if run.stop_requested:
                    raise Cancelled("Stopped before the training began; resume the run to begin it.")
                time.sleep(_LOOK_SECONDS)
        try:
            yield
        finally:
            unlock_file(file)
