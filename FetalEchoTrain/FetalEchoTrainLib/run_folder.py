"""The folder of a run: everything about it, readable while it runs and after it was killed.

config.yaml        the whole configuration, arm applied     environment.json   versions, machine, command
dataset.json       fingerprint and counts of the data       metrics.csv        every measured value
events.jsonl       what the worker said                     tensorboard/       the same values as curves
checkpoints/       to resume from                           samples/           pictures of validation frames
bundle/            the finished model                       results.json       its figures
stop               asks the run to end cleanly              lock               held while a process trains
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from FetalEchoSegLib import __version__
from FetalEchoSegLib.errors import InvalidConfig, InvalidDataset, InvalidRequest, UnreadableInput, UnwritableOutput
from FetalEchoSegLib.output_files import reason, write_text

from .configuration import TrainConfig, load_config
from .dataset_check import CheckedData
from .events import parse

State = Literal["running", "finished", "failed", "stopped", "new"]
_COLUMNS = ("stage", "epoch", "step", "name", "value", "time")
_PACKAGES = (
    "numpy", "scipy", "torch", "monai", "transformers", "accelerate", "segment-anything", "safetensors",
    "opencv-python-headless", "h5py", "pydantic", "tensorboard",
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One measured value; ``time`` in seconds since 1970."""

    stage: str
    epoch: int
    step: int
    name: str
    value: float
    time: float


class RunFolder:
    """A run on disk. Reading it needs no lock; writing needs ``held``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._board: Any = None
        self._with_board = False

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def of(cls, config: TrainConfig) -> RunFolder:
        """Where the run of a configuration lies unless told otherwise: name, arm and seed in ``run.folder``."""
        return cls(config.run.folder / f"{config.name}-{config.arm}-{config.seed}")

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def bundle(self) -> Path:
        """Folder of the finished model."""
        return self.path / "bundle"

    @property
    def samples(self) -> Path:
        """Folder of pictures."""
        return self.path / "samples"

    # ------------------------------------------------------------------------------------------------ one process

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out while the block trains; raises InvalidRequest when one is in already.

        The system lets go of the lock when the process ends, however it ends.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise UnwritableOutput(f"Cannot write the run to {self.path}: {reason(error)}.") from error
        with file:
            if not lock_file(file):
                file.seek(0)
                who = file.read(200).strip() or "another process"
                raise InvalidRequest(f"{self.path} is in use by {who}: wait, stop it, or choose another folder.")
            file.seek(0)
            file.truncate()
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
            try:
                yield
            finally:
                self._close_board()
                with suppress(OSError, ValueError):
                    file.seek(0)
                    file.truncate()
                unlock_file(file)

    @property
    def is_held(self) -> bool:
        """Whether a process trains in this folder."""
        try:
            with (self.path / "lock").open("r+", encoding="utf-8") as file:
                free = lock_file(file)
                if free:
                    unlock_file(file)
                return not free
        except OSError:
            return False

    @property
    def state(self) -> State:
        """What became of the run, from its files alone."""
        if self.is_held:
            return "running"
        if self.results_file.exists():
            return "finished"
        if not (self.path / "config.yaml").exists():
            return "new"
        last = next((e for e in reversed(self.events()) if e["event"] in ("error", "progress")), None)
        return "failed" if last is not None and last["event"] == "error" else "stopped"

    # ------------------------------------------------------------------------------------------------ begin, stop

    def begin(self, config: TrainConfig, checked: CheckedData, resume: bool, device: str = "") -> None:
        """Write what the run is, or on resuming check that it is the same.

        device  what computes, for the record
        Raises InvalidRequest for a folder that holds another run, InvalidDataset where the data have changed since, and
        UnwritableOutput.
        """
        self._with_board = config.run.tensorboard
        if (self.path / "config.yaml").exists():
            if not resume:
                raise InvalidRequest(
                    f"{self.path} holds a run already: go on with it by --resume, or choose another folder by --run."
                )
            self._require_same_data(checked)
        write_text(self.path / "config.yaml", config.to_yaml())
        write_text(self.path / "environment.json", _json(environment(device)))
        write_text(self.path / "dataset.json", _json(_data_record(checked)))

    def config(self) -> TrainConfig:
        """The configuration of the run; raises InvalidConfig."""
        if not (self.path / "config.yaml").is_file():
            raise InvalidConfig(f"{self.path} holds no run: it has no config.yaml.")
        return load_config(self.path / "config.yaml")

    def dataset_record(self) -> dict[str, Any]:
        """What ``dataset.json`` says: "fingerprint", "folder", and frames, patients and views of the parts."""
        return _read_json(self.path / "dataset.json")

    def _require_same_data(self, checked: CheckedData) -> None:
        before = self.dataset_record().get("fingerprint")
        if before not in (None, checked.data.fingerprint):
            raise InvalidDataset(
                f"The data are no longer those that {self.path} began with: put them back, or begin a new run."
            )

    @property
    def stop_file(self) -> Path:
        """Ends the run cleanly within a step when it appears."""
        return self.path / "stop"

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked for the end."""
        return self.stop_file.exists()

    def request_stop(self) -> None:
        """Ask the run to end; raises UnwritableOutput."""
        write_text(self.stop_file, "")

    def clear_stop(self) -> None:
        """Forget an earlier request."""
        with suppress(OSError):
            self.stop_file.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------------ values

    def add_metrics(self, stage: str, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Append measured values to ``metrics.csv`` and, where it is installed, to TensorBoard.

        step  counts on through the epochs of a stage
        Raises UnwritableOutput.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        file = self.path / "metrics.csv"
        try:
            if not file.exists():
                writer.writerow(_COLUMNS)
            now = f"{time.time():.1f}"
            writer.writerows([stage, epoch, step, name, f"{value:.8g}", now] for name, value in values.items())
            with file.open("a", encoding="utf-8", newline="") as out:
                out.write(text.getvalue())
        except OSError as error:
            raise UnwritableOutput(f"Cannot write {file}: {reason(error)}.") from error
        board = self._open_board()
        if board is not None:
            for name, value in values.items():
                if math.isfinite(value):
                    board.add_scalar(f"{stage}/{name}", value, step)

    def metrics(self) -> list[Metric]:
        """All values in the order they were measured; a last line cut off by the end of the process is left out."""
        try:
            with (self.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UnreadableInput(f"{self.path / 'metrics.csv'} cannot be read ({error}).") from error
        found = []
        for row in rows[1:]:
            with suppress(ValueError):
                stage, epoch, step, name, value, seconds = row
                found.append(Metric(stage, int(epoch), int(step), name, float(value), float(seconds)))
        return found

    def forget_metrics_after(self, stages: Sequence[str], stage: str, step: int) -> None:
        """Drop the values that a run measured after the checkpoint it resumes from.

        stages  in the order of the work; of ``stage`` values up to ``step`` stay, of later stages none
        """
        if not (self.path / "metrics.csv").exists():
            return
        position = {name: number for number, name in enumerate(stages)}
        here = position[stage]
        kept = [
            m for m in self.metrics()
            if position.get(m.stage, here) < here or (m.stage == stage and m.step <= step)
        ]  # fmt: skip
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([m.stage, m.epoch, m.step, m.name, f"{m.value:.8g}", f"{m.time:.1f}"] for m in kept)
        write_text(self.path / "metrics.csv", text.getvalue())

    def _open_board(self) -> Any:
        """TensorBoard's writer, None where it is switched off or not installed."""
        if self._board is None and self._with_board:
            self._with_board = False
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            self._board = SummaryWriter(str(self.path / "tensorboard"))
        return self._board

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    # ------------------------------------------------------------------------------------------------ events, results

    def open_events(self) -> IO[str]:
        """``events.jsonl`` to append to, for ``events.Events``; raises UnwritableOutput."""
        try:
            return (self.path / "events.jsonl").open("a", encoding="utf-8")
        except OSError as error:
            raise UnwritableOutput(f"Cannot write {self.path / 'events.jsonl'}: {reason(error)}.") from error

    def events(self) -> list[dict[str, Any]]:
        """What the worker said so far, oldest first."""
        try:
            text = (self.path / "events.jsonl").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return [event for line in text.splitlines() if (event := parse(line)) is not None]

    @property
    def results_file(self) -> Path:
        """The figures of the finished run."""
        return self.path / "results.json"

    def write_results(self, parts: Mapping[str, Mapping[str, Any]], **more: Any) -> None:
        """Write the figures; raises UnwritableOutput.

        parts  ``Evaluation.to_dict()`` of each part that the finished model was measured on
        more   whatever else is worth keeping: seconds, images a second, figures before stage 2
        """
        write_text(self.results_file, _json({"parts": dict(parts), **more}))

    def results(self) -> dict[str, Any]:
        """What ``write_results`` wrote; raises UnreadableInput for a run that is not finished."""
        if not self.results_file.exists():
            raise UnreadableInput(f"{self.path} holds no finished run: it has no results.json.")
        return _read_json(self.results_file)


def environment(device: str = "") -> dict[str, Any]:
    """What the run was made with: versions, commit of the sources, machine and command."""
    versions = {}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "fetalecho": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "device": device,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _commit() -> str:
    """Commit of the source tree that this file lies in, with "+" if it was changed since; "" where there is none."""

    def git(*arguments: str) -> str:
        hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        answer = subprocess.run(
            ("git", "-C", str(Path(__file__).parent), *arguments),
            capture_output=True, text=True, timeout=10, check=True, creationflags=hidden,
        )  # fmt: skip
        return answer.stdout.strip()

    try:
        # A package inside somebody else's repository is not part of it.
        if not git("ls-files", Path(__file__).name):
            return ""
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _data_record(checked: CheckedData) -> dict[str, Any]:
    return {
        "fingerprint": checked.data.fingerprint,
        "parts": {
            part.name: {
                "frames": part.frames,
                "patients": part.patients,
                "views": part.views.tolist(),
                "positives": None if part.positives is None else part.positives.tolist(),
                "eligible": part.eligible.tolist(),
            }
            for part in checked.summary
        },
        "warnings": [str(problem) for problem in checked.warnings],
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path} cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise UnreadableInput(f"{path} cannot be read (it is no table).")
    return found


def lock_file(file: IO[str]) -> bool:
    """Take the file's lock without waiting; False if another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # a byte that nobody reads: Windows keeps others from reading what is locked
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock_file(file: IO[str]) -> None:
    """Let go of what ``lock_file`` took."""
    with suppress(OSError, ValueError):
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_UN)
