"""What a worker says, and the folder that keeps it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("cv2")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.errors import InvalidConfig, InvalidDataset, InvalidRequest, UnreadableInput, UnwritableOutput
from FetalEchoTrainLib.configuration import parse_config
from FetalEchoTrainLib.dataset_check import check_data
from FetalEchoTrainLib.events import Events, parse
from FetalEchoTrainLib.run_folder import RunFolder, environment
from training_data import small_dataset


def test_every_event_is_one_line_that_parses():
    stream = io.StringIO()
    events = Events(stream)
    events.progress("ema", 1, 20, 5, 60, seconds_left=12.5, images_per_second=3)
    events.metric("ema", 1, 65, {"loss": np.float32(0.5), "validation_dsc": float("nan")})
    events.log("Zweite\nZeile „ü“", level="warning")
    events.checkpoint(Path("run/checkpoints/1"), 1, 60, best=True)
    events.result(Path("run/bundle"), {"new devices": {"dice": np.float64(71.5), "counts": np.arange(2)}})
    events.error("The disk is full.")
    lines = stream.getvalue().splitlines()
    found = [parse(line) for line in lines]
    assert [event["event"] for event in found] == ["progress", "metric", "log", "checkpoint", "result", "error"]
    assert (found[0]["stage"], found[0]["step"], found[0]["seconds_left"]) == ("ema", 5, 12.5)
    assert found[1]["values"] == {"loss": 0.5, "validation_dsc": None}
    assert found[2]["text"] == "Zweite\nZeile „ü“"
    assert found[4]["values"]["new devices"] == {"dice": 71.5, "counts": [0, 1]}
    assert "ü" in lines[2]


@pytest.mark.parametrize(
    "line",
    ["", "Epoch 3: loss 0.4", "{", '{"event": "explosion"}', "[1, 2]", "{}", '"progress"', "{" * 5000, "x" * (1 << 21)],
)
def test_what_is_no_event_is_log_text(line):
    assert parse(line) is None


def test_a_watcher_that_goes_away_does_not_end_the_training():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    kept = io.StringIO()
    events = Events(Broken(), kept, None)
    events.log("one")
    events.log("two")
    assert [parse(line)["text"] for line in kept.getvalue().splitlines()] == ["one", "two"]
    closed = io.StringIO()
    closed.close()
    Events(closed).log("three")


def test_lines_of_several_threads_do_not_mix():
    stream = io.StringIO()
    events = Events(stream)
    threads = [threading.Thread(target=lambda: [events.log("x" * 500) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(parse(line) is not None for line in stream.getvalue().splitlines()) == 200


# The folder ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    folder = small_dataset(tmp_path / "set")
    return parse_config(
        {"data": {"folder": str(folder)}, "ema": {"labelled_batch": 2, "unlabelled_batch": 2},
         "run": {"folder": str(tmp_path / "runs")}, "seed": 4}, "")  # fmt: skip


def test_the_folder_says_what_the_run_is(config):
    run, checked = RunFolder.of(config), check_data(config)
    assert run.path.name == "fetalecho-full-4"
    assert run.state == "new"
    with run.held():
        run.begin(config, checked, resume=False, device="cpu")
        assert run.state == "running"
    assert run.config() == config
    assert run.dataset_record()["fingerprint"] == checked.data.fingerprint
    assert run.dataset_record()["parts"]["labelled"]["views"] == [4, 4, 4, 4]
    made_with = json.loads((run.path / "environment.json").read_text())
    assert made_with["device"] == "cpu"
    assert made_with["packages"]["numpy"] == np.__version__
    assert run.state == "stopped"


def test_a_folder_that_holds_a_run_is_not_taken_for_another(config):
    run, checked = RunFolder.of(config), check_data(config)
    run.path.mkdir(parents=True)
    run.begin(config, checked, resume=False)
    with pytest.raises(InvalidRequest, match="holds a run already: go on with it by --resume"):
        run.begin(config, checked, resume=False)
    run.begin(config, checked, resume=True)


def test_resuming_with_other_data_is_refused(config):
    run = RunFolder.of(config)
    run.begin(config, check_data(config), resume=False)
    (config.data.folder / "train_unlabeled.json").write_text("[]")
    with pytest.raises(InvalidDataset, match=r"no longer those that .* began with: put them back"):
        run.begin(config, check_data(config), resume=True)


HOLD = """
import sys, time
from FetalEchoTrainLib.run_folder import RunFolder
with RunFolder(sys.argv[1]).held():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    folder = tmp_path / "a run with spaces and ü"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        run = RunFolder(folder)
        assert run.is_held
        with pytest.raises(InvalidRequest, match=f"is in use by process {other.pid} on"), run.held():
            pytest.fail("held twice")
    finally:
        other.kill()
        other.wait()
    assert not run.is_held
    with run.held():
        assert run.is_held
    assert not run.is_held


def test_values_come_back_as_they_were_measured(tmp_path):
    run = RunFolder(tmp_path)
    assert run.metrics() == []
    run.add_metrics("ema", 0, 10, {"loss": 1.25, "kept, share": 0.5})
    run.add_metrics("ema", 0, 20, {"loss": float("nan")})
    found = run.metrics()
    assert [(m.stage, m.epoch, m.step, m.name, m.value) for m in found[:2]] == [
        ("ema", 0, 10, "loss", 1.25), ("ema", 0, 10, "kept, share", 0.5)
    ]  # fmt: skip
    assert np.isnan(found[2].value)


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    run = RunFolder(tmp_path)
    run.add_metrics("ema", 0, 10, {"loss": 1.0})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("ema,0,20,lo")
    assert [m.step for m in run.metrics()] == [10]
    run.forget_metrics_after(("ema", "fine_tuning"), "ema", 10)
    run.add_metrics("ema", 0, 20, {"loss": 0.5})
    assert [m.value for m in run.metrics()] == [1.0, 0.5]


def test_resuming_forgets_what_was_measured_after_the_checkpoint(tmp_path):
    run = RunFolder(tmp_path)
    for stage, step in (("ema", 10), ("ema", 20), ("fine_tuning", 5), ("fine_tuning", 15)):
        run.add_metrics(stage, 0, step, {"loss": float(step)})
    stages = ("ema", "fine_tuning", "calibration")
    run.forget_metrics_after(stages, "fine_tuning", 5)
    assert [(m.stage, m.step) for m in run.metrics()] == [("ema", 10), ("ema", 20), ("fine_tuning", 5)]
    run.forget_metrics_after(stages, "ema", 15)
    assert [(m.stage, m.step) for m in run.metrics()] == [("ema", 10)]


def test_the_state_tells_a_failed_run_from_a_stopped_one(config):
    run = RunFolder.of(config)
    run.begin(config, check_data(config), resume=False)
    with run.open_events() as file:
        events = Events(file)
        events.progress("ema", 0, 1, 0, 10)
        assert run.state == "stopped"
        events.error("The loss is not finite.")
        events.log("bye")
    assert run.state == "failed"
    with pytest.raises(UnreadableInput, match="holds no finished run"):
        run.results()
    run.write_results({"new devices": {"dice": 70.0}}, seconds=12)
    assert run.state == "finished"
    assert run.results() == {"parts": {"new devices": {"dice": 70.0}}, "seconds": 12}
    assert [e["event"] for e in run.events()] == ["progress", "error", "log"]


def test_curves_go_to_tensorboard_where_it_is_installed(config):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    run = RunFolder.of(config)
    with run.held():
        run.begin(config, check_data(config), resume=False)
        run.add_metrics("ema", 0, 1, {"loss": 1.0})
    assert list((run.path / "tensorboard").glob("events.out*"))


def test_without_tensorboard_values_are_written_all_the_same(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run = RunFolder.of(config)
    run.begin(config, check_data(config), resume=False)
    run.add_metrics("ema", 0, 1, {"loss": 1.0})
    assert len(run.metrics()) == 1
    assert not (run.path / "tensorboard").exists()


def test_a_folder_that_is_no_run_or_cannot_be_one_is_a_sentence(tmp_path):
    with pytest.raises(InvalidConfig, match="holds no run"):
        RunFolder(tmp_path).config()
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableOutput, match="Cannot write the run to"), RunFolder(tmp_path / "file" / "run").held():
        pytest.fail("held")


def test_the_environment_names_python_and_the_command():
    found = environment("cuda:0")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["device"], found["command"]) == ("cuda:0", sys.argv)
