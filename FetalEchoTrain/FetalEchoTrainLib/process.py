"""A training as a process of its own: start it, see how it is, pause, stop, kill and find it again.

The process outlives whoever started it. What there is to know is in the run's folder: ``worker.json`` names the process
(number and start time, because numbers are used again), ``events.jsonl`` says what it does, ``worker.log`` has what
libraries print, and the lock is held while it trains.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from FetalEchoSegLib.errors import InvalidRequest, UnwritableOutput
from FetalEchoSegLib.output_files import reason, write_text

from .device_queue import STAGE as QUEUED
from .run_folder import RunFolder

if TYPE_CHECKING:
    import psutil

    from .configuration import TrainConfig

Status = Literal["new", "starting", "waiting", "running", "paused", "stopped", "killed", "failed", "finished"]
ALIVE: tuple[Status, ...] = ("starting", "waiting", "running", "paused")
_REQUESTED = "requested.yaml"
_MOST_LOG_BYTES = 4 << 20
_NICENESS = 10
# Start times are rounded differently by different systems.
_SAME_START_SECONDS = 2.0
# Processes that this one started: without being asked for their end they would stay as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start(config: TrainConfig, run: RunFolder, resume: bool = False, command: Sequence[str] | None = None) -> int:
    """Start training in ``run`` and return the process number at once; on a busy device it waits in line.

    resume   go on with the run of the folder, whose configuration counts then
    command  the worker to start, for tests; ``FetalEchoTrainLib.worker`` by default
    Raises InvalidRequest for a folder that holds another run or in which a process is at work, and UnwritableOutput.
    """
    if status(run) in ALIVE:
        raise InvalidRequest(f"{run} is in use by a process that is at work: stop it, or choose another folder.")
    there = (run.path / "config.yaml").is_file()
    if there and not resume:
        raise InvalidRequest(f"{run} holds a run already: resume it, or choose another folder.")
    file = run.path / ("config.yaml" if there else _REQUESTED)
    if not there:
        write_text(file, config.to_yaml())
    run.clear_stop()
    whole = [*(command or worker_command()), str(file), "--run", str(run.path), "--queue"]
    if there:
        whole.append("--resume")
    try:
        with (run.path / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                whole, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, env=environment(),
                cwd=run.path, **_apart(),
            )  # fmt: skip
    except OSError as error:
        raise UnwritableOutput(f"The training cannot be started in {run}: {reason(error)}.") from error
    _children[process.pid] = process
    found = _process(process.pid)
    if found is not None:
        _give_way(found)
    record = {"pid": process.pid, "started": found.create_time() if found else time.time()}
    write_text(run.path / "worker.json", json.dumps(record) + "\n")
    return process.pid


def _give_way(process: psutil.Process) -> None:
    """Let whoever steps through a clip meanwhile go first; alone on the processor, a training loses nothing."""
    import psutil

    with suppress(psutil.Error, OSError):
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else _NICENESS)
    # Linux shares the processor between sessions first, and the worker is one of its own.
    with suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(str(_NICENESS), encoding="ascii")


def worker_command() -> list[str]:
    """Slicer's Python, or this one outside of Slicer, with the worker's module."""
    return [shutil.which("PythonSlicer") or sys.executable, "-m", "FetalEchoTrainLib.worker"]


def environment() -> dict[str, str]:
    """Our own, in UTF-8, with both libraries on the path: a checkout is not on Slicer's own."""
    import FetalEchoSegLib

    parents = [str(Path(file).resolve().parents[1]) for file in (__file__, str(FetalEchoSegLib.__file__))]
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*dict.fromkeys(parents), *([before] if before else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}


def status(run: RunFolder) -> Status:
    """How the run is now. "killed" is what ended without saying why: by force, or with the computer."""
    process = worker(run)
    if process is not None:
        if process.status() == "stopped":
            return "paused"
        if not run.is_held:
            return "starting"
        return "waiting" if _last_stage(run) == QUEUED else "running"
    state = run.state
    if state == "new" and not (run.path / "worker.json").exists():
        return "new"
    if state in ("new", "stopped"):
        said = next((e for e in reversed(run.events()) if e["event"] in ("log", "progress", "error")), None)
        # The file stays until the run is resumed; who stopped it by a signal left none.
        asked = said is not None and said["event"] == "log" and "Stopped" in str(said.get("text"))
        if said is not None and said["event"] == "error":
            return "failed"
        return "stopped" if asked or run.stop_requested else "killed"
    return state


def configuration_of(run: RunFolder) -> TrainConfig:
    """That of a run, also of one that ended before it began; raises InvalidConfig."""
    from .configuration import load_config

    requested = run.path / _REQUESTED
    return run.config() if (run.path / "config.yaml").exists() or not requested.exists() else load_config(requested)


def worker(run: RunFolder) -> psutil.Process | None:
    """The process that was started for ``run``, None if it has ended."""
    try:
        record = json.loads((run.path / "worker.json").read_text(encoding="utf-8"))
        number, started = int(record["pid"]), float(record["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    child = _children.get(number)
    if child is not None and child.poll() is not None:
        del _children[number]
    process = _process(number)
    if process is None:
        return None
    import psutil

    with suppress(psutil.Error):
        same = abs(process.create_time() - started) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    return None


def pause(run: RunFolder) -> None:
    """Hold the run where it is; its memory stays in use. Raises InvalidRequest if it isn't at work."""
    for process in _tree(_required(run)):
        process.suspend()


def go_on(run: RunFolder) -> None:
    """Let a paused run go on; raises InvalidRequest if it isn't at work."""
    for process in _tree(_required(run)):
        process.resume()


def stop(run: RunFolder) -> None:
    """Ask the run to save itself and end; it does within a step. Raises InvalidRequest, UnwritableOutput."""
    import psutil

    process = _required(run)
    run.request_stop()
    # Whatever its state says: a pause asked for a moment ago may not show yet, and would hold it for good.
    for each in _tree(process):
        with suppress(psutil.Error):
            each.resume()


def kill(run: RunFolder, patience: float = 5.0) -> None:
    """End the run and every process that it started, at once; what it did since the last checkpoint is lost."""
    import psutil

    tree = _tree(_required(run))
    for process in tree:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(tree, timeout=patience)
    child = _children.pop(tree[-1].pid, None)
    if child is not None:
        child.wait()


def why(run: RunFolder) -> str:
    """Why a run failed, in a sentence: its own, else the last line that it printed, else ""."""
    said = next((e for e in reversed(run.events()) if e["event"] == "error"), None)
    if said is not None:
        return str(said.get("text"))
    with suppress(OSError):
        lines = [line.strip() for line in _tail(run.path / "worker.log", 20_000).splitlines() if line.strip()]
        return lines[-1] if lines else ""
    return ""


def trim_log(run: RunFolder) -> None:
    """Cut ``worker.log`` when it has grown beyond a few MiB: a library may print without end."""
    file = run.path / "worker.log"
    with suppress(OSError):
        if file.stat().st_size > _MOST_LOG_BYTES:
            os.truncate(file, 0)


def delete(run: RunFolder) -> None:
    """Delete the run's folder; raises InvalidRequest for one at work or that holds no run, and UnwritableOutput."""
    if status(run) in ALIVE:
        raise InvalidRequest(f"{run} is at work: stop it first.")
    known = (run.path / "config.yaml", run.path / _REQUESTED)
    if not any(file.is_file() for file in known):
        raise InvalidRequest(f"{run} holds no run: nothing was deleted.")
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise UnwritableOutput(f"Cannot delete {run}: {reason(error)}.") from error


def _apart() -> Mapping[str, Any]:
    """So that closing the terminal or Slicer, or Ctrl+C there, does not reach the process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _process(number: int) -> psutil.Process | None:
    import psutil

    with suppress(psutil.Error):
        return psutil.Process(number)
    return None


def _required(run: RunFolder) -> psutil.Process:
    process = worker(run)
    if process is None:
        raise InvalidRequest(f"{run} is not at work: its process has ended.")
    return process


def _tree(process: psutil.Process) -> list[psutil.Process]:
    """All that ``process`` started, and itself last: PythonSlicer is a launcher, killed alone it leaves the rest."""
    return [*process.children(recursive=True), process]


def _last_stage(run: RunFolder) -> str:
    """Stage of the newest progress, from the end of the events."""
    from .events import parse

    with suppress(OSError):
        for line in reversed(_tail(run.path / "events.jsonl", 50_000).splitlines()):
            event = parse(line)
            if event is not None and event["event"] == "progress":
                return str(event["stage"])
    return ""


def _tail(path: Path, most: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read(most).decode("utf-8", errors="replace")
