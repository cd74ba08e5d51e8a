"""Where bundles live on disk, and how one gets there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UnwritableOutput
from .output_files import reason
from .resources import resource_folders


def user_bundle_folder() -> Path:
    """Where installed models go: ``FETALECHO_MODELS`` if set, else the user's data folder of the platform."""
    chosen = os.environ.get("FETALECHO_MODELS")
    if chosen:
        return Path(chosen)
    try:
        return _data_folder() / "FetalEcho" / "Models"
    except RuntimeError as error:  # a container's user without a home
        raise UnwritableOutput(
            "There is no home folder to keep models in: name a folder in FETALECHO_MODELS."
        ) from error


def _data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def bundle_folders() -> list[Path]:
    """Folders that hold bundles; the user's come first and win over a shipped one of the same name."""
    folders = [folder / "Models" for folder in resource_folders()]
    with suppress(UnwritableOutput):  # without a home there are only the shipped ones
        folders.insert(0, user_bundle_folder())
    return folders


def bundle_name(path: Path) -> str:
    """A name for the bundle of an imported file: the file's, where a folder can have it."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.stem).lstrip("._-")
    return kept[:64] or "imported"


@contextmanager
def place_bundle(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside ``folder`` and move it there when the block ends without an error.

    An earlier bundle at ``folder`` stays until then, and comes back if the move fails. Raises UnwritableOutput.
    """
    temporary = folder.with_name(f".partial-{os.getpid()}-{folder.name}")
    earlier = folder.with_name(f".earlier-{os.getpid()}-{folder.name}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        if folder.exists():
            folder.replace(earlier)
        try:
            temporary.replace(folder)
        except OSError:
            if earlier.exists():
                earlier.replace(folder)
            raise
    except OSError as error:
        raise UnwritableOutput(f"Cannot write the model to {folder}: {reason(error)}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(earlier, ignore_errors=True)
