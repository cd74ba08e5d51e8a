"""Trainings as processes: started, watched, paused, stopped, killed, found again. The worker here only talks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

for package in ("pydantic", "psutil"):
    pytest.importorskip(package)
import psutil
from FetalEchoSegLib.errors import Cancelled, InvalidRequest
from FetalEchoTrainLib import process
from FetalEchoTrainLib.configuration import load_config
from FetalEchoTrainLib.device_queue import STAGE, turn_on
from FetalEchoTrainLib.events import Events
from FetalEchoTrainLib.run_folder import RunFolder
from FetalEchoTrainLib.watch import Watch

# Says what a worker says, and does what the first word of "arm" in its configuration file's comment tells.
WORKER = """
import shutil, subprocess, sys, time
from pathlib import Path
from FetalEchoTrainLib.events import Events
from FetalEchoTrainLib.run_folder import RunFolder
run = RunFolder(sys.argv[sys.argv.index("--run") + 1])
what = (run.path / "what").read_text()
with run.held(), run.open_events() as file:
    events = Events(file)
    if not (run.path / "config.yaml").exists():
        shutil.copy(sys.argv[1], run.path / "config.yaml")
    events.log("resumed" if "--resume" in sys.argv else "begun")
    if what == "fail":
        events.error("The data are gone: put them back.")
        sys.exit(1)
    if what == "crash":
        raise RuntimeError("no such kernel")
    if what == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (run.path / "child").write_text(str(child.pid))
    if what == "print":
        sys.stderr.write("x" * (6 << 20)); sys.stderr.flush()
    for step in range(6000 if what != "finish" else 2):
        events.progress("ema", 0, 2, step, 6000, 60.0)
        events.metric("ema", 0, step, {"loss": 1.0 / (step + 1)})
        if run.stop_requested:
            events.log("Stopped in stage 1; go on by resuming the run.")
            sys.exit(3)
        time.sleep(0.01)
    run.write_results({}, seconds=1)
    events.result(run.bundle, {})
"""


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    assert found, condition
    return found


@pytest.fixture
def begin(tmp_path):
    script = tmp_path / "talk.py"
    script.write_text(WORKER)
    config = load_config("demo")
    begun = []

    def start(what="run", name="lauf ä 1", resume=False):
        run = RunFolder(tmp_path / "runs" / name)
        run.path.mkdir(parents=True, exist_ok=True)
        (run.path / "what").write_text(what)
        process.start(config, run, resume, [sys.executable, str(script)])
        begun.append(run)
        return run

    yield start
    for run in begun:
        if process.worker(run) is not None:
            process.kill(run)


def test_a_run_finishes_by_itself_and_is_watched_meanwhile(begin):
    run = begin("finish")
    wait_for(lambda: process.status(run) == "finished")
    watch = Watch(run)
    assert watch.look()
    assert not watch.look()
    assert (watch.stage, watch.epochs, watch.steps) == ("ema", 2, 6000)
    assert watch.curves["ema/loss"] == [(1, 0.5)]
    assert list(watch.lines) == ["begun"]
    assert watch.bundle


def test_it_is_paused_goes_on_and_is_stopped_between_steps(begin):
    run = begin()
    watch = Watch(run)
    wait_for(lambda: process.status(run) == "running" and watch.look() and watch.step > 1)
    process.pause(run)
    wait_for(lambda: process.status(run) == "paused")
    while watch.look():
        pass
    step = watch.step
    time.sleep(0.1)
    assert not watch.look()
    process.go_on(run)
    wait_for(lambda: watch.look() and watch.step > step)
    process.pause(run)
    process.stop(run)  # also while it is paused
    wait_for(lambda: process.status(run) == "stopped")
    with pytest.raises(InvalidRequest, match="has ended"):
        process.stop(run)


def test_a_training_gives_way_to_whoever_works_beside_it(begin):
    run = begin()
    wait_for(lambda: process.status(run) == "running")
    worker = process.worker(run)
    # Windows has classes, of which the numbers mean nothing.
    lower = psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 10
    assert worker.nice() == lower


def test_a_stop_that_comes_before_the_worker_is_awake_is_not_lost(begin):
    run = begin()
    process.stop(run)  # at once: Python is still starting
    wait_for(lambda: process.status(run) == "stopped")
    begin(resume=True)
    watch = Watch(run)
    wait_for(lambda: watch.look() and watch.step > 2)


def test_a_stopped_run_is_resumed_with_its_own_configuration(begin):
    run = begin()
    wait_for(lambda: process.status(run) == "running" and (run.path / "config.yaml").exists())
    with pytest.raises(InvalidRequest, match="in use"):
        begin()
    process.stop(run)
    wait_for(lambda: process.status(run) == "stopped")
    with pytest.raises(InvalidRequest, match="holds a run already"):
        begin()
    begin(resume=True)
    watch = Watch(run)
    wait_for(lambda: watch.look() and "resumed" in watch.lines)


def test_a_killed_run_takes_what_it_started_with_it_and_is_told_from_a_stopped_one(begin):
    run = begin("child")
    child = int(wait_for(lambda: (run.path / "child").exists() and (run.path / "child").read_text()))
    process.kill(run)
    assert process.status(run) == "killed"
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    assert process.why(run) == ""


def test_a_run_goes_on_when_its_starter_is_killed_and_is_found_again(tmp_path):
    script = tmp_path / "talk.py"
    script.write_text(WORKER)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "what").write_text("run")
    starter = (
        "import sys, time; from FetalEchoTrainLib import process; from FetalEchoTrainLib.run_folder import RunFolder;"
        "from FetalEchoTrainLib.configuration import load_config;"
        f"process.start(load_config('demo'), RunFolder({str(folder)!r}), False, [sys.executable, {str(script)!r}]);"
        "time.sleep(60)"
    )
    slicer = subprocess.Popen([sys.executable, "-c", starter])
    run = RunFolder(folder)
    wait_for(lambda: process.status(run) == "running")
    slicer.kill()
    slicer.wait()
    watch = Watch(run)
    wait_for(lambda: watch.look() and watch.step > 2)
    assert process.status(run) == "running"
    process.stop(run)
    wait_for(lambda: process.status(run) == "stopped")


@pytest.mark.parametrize(
    ("what", "says"), [("fail", "The data are gone: put them back."), ("crash", "RuntimeError: no such kernel")]
)
def test_why_a_run_failed_is_told(begin, what, says):
    run = begin(what)
    wait_for(lambda: process.worker(run) is None)
    assert process.status(run) == {"fail": "failed", "crash": "killed"}[what]  # a crash says nothing by itself
    assert process.why(run) == says


def test_a_worker_that_prints_without_end_fills_no_disk(begin):
    run = begin("print")
    wait_for(lambda: (run.path / "worker.log").stat().st_size > 5 << 20)
    process.trim_log(run)
    assert (run.path / "worker.log").stat().st_size < 1 << 20
    assert process.status(run) == "running"


def test_garbage_among_the_events_is_passed_over(tmp_path):
    run = RunFolder(tmp_path)
    events = run.path / "events.jsonl"
    events.write_bytes(b"\xff\xfe\n" + b"{" * 5000 + b'\n{"event": "progress"}\n{"event": "metric", "values": 3}\n')
    with run.open_events() as file:
        Events(file).log("after it")
    watch = Watch(run)
    watch.look()
    assert list(watch.lines) == ["after it"]
    events.write_bytes(b"z" * (3 << 20))
    for _ in range(4):
        watch.look()
    assert len(watch._rest) <= 1 << 20


def test_values_measured_again_after_a_resume_replace_the_old_ones(tmp_path):
    run = RunFolder(tmp_path)
    with run.open_events() as file:
        for epoch, loss in ((0, 3.0), (1, 2.0), (2, 9.0), (1, 1.5)):
            Events(file).metric("ema", epoch, epoch, {"loss": loss, "dsc": float("nan")})
    watch = Watch(run)
    watch.look()
    assert watch.curves == {"ema/loss": [(1, 3.0), (2, 1.5)]}


def test_a_number_used_again_by_another_process_is_not_the_worker(tmp_path):
    import json
    import os

    run = RunFolder(tmp_path)
    (tmp_path / "worker.json").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    assert process.worker(run) is None
    (tmp_path / "worker.json").write_text("damaged")
    assert process.worker(run) is None


def test_only_the_folder_of_a_run_at_rest_is_deleted(begin, tmp_path):
    run = begin()
    wait_for(lambda: process.status(run) == "running")
    with pytest.raises(InvalidRequest, match="stop it first"):
        process.delete(run)
    process.kill(run)
    process.delete(run)
    assert not run.path.exists()
    other = tmp_path / "photos"
    other.mkdir()
    with pytest.raises(InvalidRequest, match="holds no run"):
        process.delete(RunFolder(other))
    assert other.exists()


def test_trainings_on_one_device_wait_for_each_other_and_can_be_stopped_waiting(tmp_path):
    runs = [RunFolder(tmp_path / name) for name in "ab"]
    order = []
    for run in runs:
        run.path.mkdir()

    def second():
        with runs[1].open_events() as file:
            try:
                with turn_on("cuda:0", runs[1], Events(file), tmp_path / "locks"):
                    order.append("second")
            except Cancelled:
                order.append("cancelled")

    for stopped in (False, True):
        with runs[0].open_events() as file, turn_on("cuda:0", runs[0], Events(file), tmp_path / "locks"):
            thread = threading.Thread(target=second)
            thread.start()
            wait_for(lambda: any(e["event"] == "progress" and e["stage"] == STAGE for e in runs[1].events()))
            if stopped:
                runs[1].request_stop()
                thread.join(20)
            order.append("first")
        thread.join(20)
    assert order == ["first", "second", "cancelled", "first"]
    with runs[0].open_events() as file, turn_on("cpu", runs[0], Events(file), tmp_path / "locks"):
        assert not any(e["event"] == "progress" for e in runs[0].events())
