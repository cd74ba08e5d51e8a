"""Writing files so that an interrupted, refused or full-disk write leaves nothing half-written behind."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UnwritableOutput

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EACCES: "you have no permission to write there; choose another folder",
    errno.EPERM: "you have no permission to write there; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "a folder of that name is in the way; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ENOENT: "a part of the path does not exist; choose another folder",
    errno.ELOOP: "its links point in a circle; choose another folder",
}


def reason(error: OSError) -> str:
    """Why a write failed and what to do about it, as the end of a sentence."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def file_stem(name: str) -> str:
    """``name`` (of a clip) without its suffix, fit for a file name on every system: "a/b: 1.dcm" becomes "a_b_ 1"."""
    stem = _NOT_IN_NAMES.sub("_", Path(name.replace("/", "_")).stem).strip(" .")
    return stem[:100] or "clip"


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder and move it to ``path`` when the block ends without an error.

    The folder is made when it is missing; the temporary name keeps the suffix, because some writers choose
    their format by it. Raises UnwritableOutput; an earlier file at ``path`` stays untouched in that case.
    """
    path = Path(path)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)  # atomic within one folder, on Windows as well
    except OSError as error:
        raise UnwritableOutput(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` to ``path`` as a whole or not at all; raises UnwritableOutput."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` as UTF-8 with its line ends as they are, as a whole or not at all; raises UnwritableOutput."""
    write_bytes(path, text.encode("utf-8"))


def require_writable(folder: Path | str) -> None:
    """Prove that files can be made in ``folder``, which need not exist; nothing is left. Raises UnwritableOutput."""
    with all_or_nothing(Path(folder)) as temporary:
        (temporary / "test").touch()
        (temporary / "test").unlink()


@contextmanager
def all_or_nothing(out: Path) -> Iterator[Path]:
    """Give an empty folder inside ``out``; when the block ends without an error, move its content into ``out``.

    Files of an earlier run are replaced one by one, only after all new ones exist. A folder can be moved only where
    there is none of its name. Raises UnwritableOutput; what was in ``out`` is untouched then, and an ``out`` that did
    not exist is gone again.
    """
    made: list[Path] = []
    try:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out, ignore_cleanup_errors=True) as temporary:
            folder = Path(temporary)
            try:
                yield folder
            except UnwritableOutput as error:
                # The temporary name means nothing to the user.
                raise UnwritableOutput(str(error).replace(str(folder), str(out))) from error
            for path in sorted(folder.iterdir()):
                path.replace(out / path.name)
    except OSError as error:
        raise UnwritableOutput(f"Cannot write to {out}: {reason(error)}.") from error
    finally:
        for folder in made:
            with suppress(OSError):  # not empty: the results are there
                folder.rmdir()
