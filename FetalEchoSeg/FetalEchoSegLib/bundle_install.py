"""Bringing a bundle from a folder, a .zip file or an https address onto this machine, checked for tricks."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .bundle_card import CARD_FILE, WEIGHTS_FILE
from .errors import Cancelled, UnusableBundle, UnwritableOutput
from .output_files import reason

Progress = Callable[[int, int], None]
Cancelling = Callable[[], bool]

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60
_MAX_BYTES = 16 << 30
# What a bundle may hold beside its two files: texts and pictures, never code.
_COMPANIONS = (".md", ".txt", ".png", ".jpg", ".json")
_MAX_COMPANION_BYTES = 20 << 20


@contextmanager
def install_into(
    target: Path, source: str | Path, sha256: str | None, progress: Progress | None, cancelled: Cancelling | None
) -> Iterator[Path]:
    """Give a temporary folder inside ``target`` that holds the unpacked files of the bundle; it is removed after."""
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UnusableBundle("The expected SHA-256 must have 64 hexadecimal digits.")
    work = _temporary_folder(target)
    steps = _Steps(progress, cancelled)
    try:
        unpacked = work / "bundle"
        unpacked.mkdir()
        address = str(source)
        if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", address):
            archive = work / "download.zip"
            _download(address, archive, steps)
            _check_hash(archive, sha256, address)
            _unpack(archive, unpacked, address, steps)
        elif Path(source).is_dir():
            _copy_folder(Path(source), unpacked, steps)
            if (unpacked / WEIGHTS_FILE).is_file():
                _check_hash(unpacked / WEIGHTS_FILE, sha256, address)
        elif Path(source).is_file():
            _check_hash(Path(source), sha256, address)
            _unpack(Path(source), unpacked, address, steps)
        else:
            raise UnusableBundle(f"There is no bundle at {source}: give a folder, a .zip file or an https address.")
        yield unpacked
    except OSError as error:
        raise UnwritableOutput(f"Cannot install the model in {target}: {reason(error)}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Steps:
    """Progress in bytes and the question whether to stop."""

    def __init__(self, progress: Progress | None, cancelled: Cancelling | None) -> None:
        self._progress = progress
        self._cancelled = cancelled

    def copy(self, source: IO[bytes] | Any, target: Path, total: int, limit: int = _MAX_BYTES) -> None:
        done = 0
        with target.open("wb") as file:
            while chunk := source.read(_CHUNK):
                if self._cancelled is not None and self._cancelled():
                    raise Cancelled("The installation was cancelled; nothing was changed.")
                done += len(chunk)
                if done > limit:
                    raise UnusableBundle(f"{target.name} is larger than a model may be ({limit >> 20} MB).")
                file.write(chunk)
                if self._progress is not None:
                    self._progress(done, total)


def _temporary_folder(target: Path) -> Path:
    try:
        target.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".partial-", dir=target))
    except OSError as error:
        raise UnwritableOutput(f"Cannot install models in {target}: {reason(error)}.") from error


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(address: str) -> None:
    if not address.lower().startswith("https://"):
        raise UnusableBundle(f"{address} is not an https address: models are downloaded over https only.")


def _download(address: str, target: Path, steps: _Steps) -> None:
    _require_https(address)
    opener = urllib.request.build_opener(_HttpsOnly())
    try:
        with opener.open(address, timeout=_TIMEOUT_SECONDS) as response:
            announced = response.headers.get("Content-Length") or ""
            total = int(announced) if announced.isdigit() else 0
            steps.copy(response, target, total)
    except urllib.error.URLError as error:
        cause = getattr(error, "reason", error)
        raise UnusableBundle(f"Cannot download {address} ({cause}): check the address and the connection.") from error
    except (TimeoutError, ConnectionError) as error:
        raise UnusableBundle(f"The download of {address} broke off ({error}): try again.") from error
    if total and target.stat().st_size != total:
        raise UnusableBundle(f"The download of {address} broke off early: try again.")


def _check_hash(path: Path, expected: str | None, source: str) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected.lower():
        raise UnusableBundle(
            f"{source} is not the file that was expected: its SHA-256 is {found[:12]}…, not {expected[:12].lower()}…."
        )


def _copy_folder(source: Path, target: Path, steps: _Steps) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and _belongs(path.name, path.stat().st_size):
            with path.open("rb") as file:
                steps.copy(file, target / path.name, path.stat().st_size)


def _unpack(archive: Path, target: Path, source: str, steps: _Steps) -> None:
    """The bundle's own files out of a .zip, each under its plain name; anything pointing elsewhere is refused."""
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            for entry in entries:
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                is_link = stat.S_ISLNK(entry.external_attr >> 16)
                if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or is_link:
                    raise UnusableBundle(
                        f"{source} holds a file that points outside of it ({entry.filename}): refused."
                    )
            cards = [PurePosixPath(e.filename) for e in entries if PurePosixPath(e.filename).name == CARD_FILE]
            if len(cards) != 1:
                found = "no" if not cards else "more than one"
                raise UnusableBundle(f"{source} is not a model bundle: it holds {found} {CARD_FILE}.")
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if path.parent == cards[0].parent and _belongs(path.name, entry.file_size):
                    with file.open(entry) as content:
                        # A forged size in the directory must not fill the disk.
                        steps.copy(content, target / path.name, entry.file_size, limit=min(entry.file_size, _MAX_BYTES))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UnusableBundle(f"{source} is not a usable .zip file ({error}): fetch it again.") from error


def _belongs(name: str, size: int) -> bool:
    if name in (CARD_FILE, WEIGHTS_FILE):
        return True
    return not name.startswith(".") and name.lower().endswith(_COMPANIONS) and size <= _MAX_COMPANION_BYTES
