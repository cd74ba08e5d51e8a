"""Checkpoints: everything that an interrupted run needs to go on exactly where it was.

Each is a file of tensors and plain values (``torch.save``, read with ``weights_only``) and, beside it, a small table
with its SHA-256. The file is written under another name and renamed; the table follows. So a process killed at any
moment leaves the earlier checkpoints whole, and a damaged newest one is noticed and the one before it is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from FetalEchoSegLib.errors import UnreadableInput, UnwritableOutput
from FetalEchoSegLib.output_files import reason, replacing, write_text

logger = logging.getLogger(__name__)

_KEPT_BEST = 2  # the one before serves a run that falls back to an earlier checkpoint


@dataclass(frozen=True)
class Loaded:
    """A checkpoint read from disk.

    damaged  newer ones that could not be used, one sentence each
    """

    path: Path
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()


def save_checkpoint(folder: Path, number: int, state: Mapping[str, Any], keep: int) -> Path:
    """Write checkpoint ``number`` (they rise through a run) and delete all but the newest ``keep``.

    state  nested tables and lists of tensors, numbers, texts and None
    Raises UnwritableOutput in one sentence; earlier checkpoints are untouched then.
    """
    return _save(folder, "", number, state, keep)


def save_best(folder: Path, stage: str, number: int, state: Mapping[str, Any]) -> Path:
    """Write the best state of a stage so far, found at ``number``; raises UnwritableOutput."""
    return _save(folder, f"best-{stage}-", number, state, _KEPT_BEST)


def load_best(folder: Path, stage: str, number: int) -> dict[str, Any]:
    """What ``save_best`` wrote; raises UnreadableInput when it is damaged or gone."""
    return _read(folder / f"best-{stage}-{number:09d}.pt")


def load_newest(folder: Path) -> Loaded | None:
    """The newest checkpoint that is whole, None if there never was one.

    Raises UnreadableInput when there are some and none can be used.
    """
    damaged: list[str] = []
    for number in sorted(_numbers(folder), reverse=True):
        path = folder / f"{number:09d}.pt"
        try:
            return Loaded(path, _read(path), tuple(damaged))
        except UnreadableInput as error:
            logger.warning("%s", error)
            damaged.append(str(error))
    if damaged:
        raise UnreadableInput(f"{damaged[0]} No other checkpoint in {folder} can be used either: begin a new run.")
    return None


def forget_after(folder: Path, number: int) -> None:
    """Delete checkpoints that are newer than ``number``: they are of a future that was undone."""
    for found in _numbers(folder):
        if found > number:
            _delete(folder / f"{found:09d}.pt")


def _numbers(folder: Path, prefix: str = "") -> list[int]:
    if not folder.is_dir():
        return []
    name = re.compile(rf"{prefix}(\d{{9}})\.pt")
    return [int(match[1]) for path in folder.iterdir() if (match := name.fullmatch(path.name))]


def _save(folder: Path, prefix: str, number: int, state: Mapping[str, Any], keep: int) -> Path:
    path = folder / f"{prefix}{number:09d}.pt"
    _write(path, state)
    for old in sorted(_numbers(folder, prefix))[:-keep]:
        _delete(folder / f"{prefix}{old:09d}.pt")
    return path


def _write(path: Path, state: Mapping[str, Any]) -> None:
    import torch

    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            hashing = _Hashing(file)
            try:
                torch.save(dict(state), cast("IO[bytes]", hashing))
            except RuntimeError as error:  # what torch makes of a failed write
                raise hashing.error or OSError(errno.EIO, str(error)) from error
            file.flush()
        table = {"sha256": hashing.digest.hexdigest(), "bytes": hashing.bytes}
        write_text(path.with_suffix(".json"), json.dumps(table) + "\n")
    except OSError as error:
        raise UnwritableOutput(f"Cannot write {path}: {reason(error)}.") from error


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        table = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == table["sha256"]
        if not whole:
            raise UnreadableInput(f"The checkpoint {path} is damaged.")
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        why = (
            "it was not written to the end"
            if isinstance(error, FileNotFoundError)
            else (str(error).splitlines() or ["empty"])[0]
        )
        raise UnreadableInput(f"The checkpoint {path} cannot be read ({why}).") from error


def _delete(path: Path) -> None:
    # The table first: a checkpoint without one does not count.
    for each in (path.with_suffix(".json"), path):
        with suppress(OSError):
            each.unlink(missing_ok=True)


class _Hashing:
    """A file that knows the SHA-256 of what was written to it, and why a write failed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        self._file.flush()
