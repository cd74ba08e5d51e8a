"""What must not end a run, what may, and what a run must survive: the worker as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("monai", "pydantic", "accelerate"):
    pytest.importorskip(package)

TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTING))

from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle import load_bundle
from FetalEchoSegLib.errors import InvalidDataset, InvalidRequest, UnwritableOutput
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, VALID
from FetalEchoTrainLib import checkpoint
from FetalEchoTrainLib.checkpoint import load_newest
from FetalEchoTrainLib.events import parse
from FetalEchoTrainLib.run_folder import RunFolder
from training import TEST, carry_out, data_folder, losses, small_config
from training_data import SmallDataset

# Stage 1 alone, six updates: what matters here is the way in and out.
SHORT = {"ema__epochs": 2, "ema__steps_per_epoch": 3, "arm": "full-no-cft", "run__checkpoint_steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def data(folder):
    return data_folder(folder / "set")


@pytest.fixture(scope="module")
def whole(folder, data):
    """The uninterrupted run that others are held against."""
    _, run, _ = carry_out(small_config(folder, data, **SHORT), folder / "whole")
    return run


def logged(events):
    return " ".join(event["text"] for event in events if event["event"] == "log")


# The process ----------------------------------------------------------------------------------------------------------


def start(config, run, *options, **environment):
    """The worker as a process; its configuration beside the run's folder."""
    file = run.with_suffix(".yaml")
    file.write_text(config.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "FetalEchoTrainLib.worker", str(file), "--run", str(run), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip


def finished(process):
    """Exit code, events, and what else was said."""
    out, err = process.communicate(timeout=600)
    return process.returncode, [event for line in out.splitlines() if (event := parse(line))], err


def test_a_process_killed_again_and_again_ends_where_the_uninterrupted_one_does(whole, folder, data):
    here, config = folder / "killed", small_config(folder, data, **SHORT)
    rng = np.random.default_rng(0)
    for _ in range(2):
        process = start(config, here, "--resume")
        # After some checkpoint, at any moment of a step.
        before = load_newest(here / "checkpoints")
        earlier = before.path.name if before else ""
        while process.poll() is None and not _newer(here / "checkpoints", earlier, 1 + int(rng.integers(2))):
            time.sleep(0.02)
        time.sleep(float(rng.random()) * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    code, events, err = finished(start(config, here, "--resume"))
    assert (code, err) == (0, "")
    assert "Resumed from" in logged(events)
    assert losses(RunFolder(here)) == losses(whole)
    expected = load_bundle(whole.bundle).state()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_bundle(here / "bundle").state().items())


def _newer(folder, name, count):
    """Whether ``count`` whole checkpoints after ``name`` are there."""
    whole = [p for p in folder.glob("0*.pt") if p.with_suffix(".json").exists() and p.name > name]
    return len(whole) >= count or (bool(whole) and max(p.name for p in whole) >= "000000004.pt")


def test_sigterm_ends_a_process_cleanly_and_its_exit_code_says_so(folder, data):
    here = folder / "terminated"
    process = start(small_config(folder, data, **SHORT | {"ema__epochs": 50}), here)
    while process.poll() is None and not list((here / "checkpoints").glob("*1.json")):
        time.sleep(0.05)
    process.terminate()
    code, events, err = finished(process)
    assert (code, err) == (3, "")
    assert not [event for event in events if event["event"] == "error"]
    assert RunFolder(here).state == "stopped"
    assert load_newest(here / "checkpoints").damaged == ()


def test_a_wrong_device_costs_one_sentence(folder, data):
    here = folder / "no-gpu"
    code, events, err = finished(start(small_config(folder, data, run__device="cuda:7", **SHORT), here))
    assert code == 1
    assert err.count("\n") == 1
    assert "cuda:7" in err
    assert events[-1]["event"] == "error"
    assert events[-1]["text"] == err.strip()


def test_two_processes_find_the_losses_of_one(whole, folder, data):
    """Relative tolerance 1e-5 in the first epoch, 1e-3 in the second.

    Sums run in another order; a pseudo-label at the threshold, or a prototype, may fall on the other side for it.
    """
    here, config = folder / "two", small_config(folder, data, **SHORT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    second = start(config, here, RANK="1", LOCAL_RANK="1", **together)
    first = start(config, here, RANK="0", LOCAL_RANK="0", **together)
    (code, events, err), (code2, events2, err2) = finished(first), finished(second)
    assert (code, code2, events2) == (0, 0, []), err + err2
    assert "2 processes" in logged(events)
    found, expected = losses(RunFolder(here)), losses(whole)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1] == pytest.approx(expected[1], rel=1e-3)
    one, two = ({m.name: m.value for m in run.metrics()} for run in (whole, RunFolder(here)))
    assert two["validation_nsd"] == pytest.approx(one["validation_nsd"], abs=0.5)
    assert two["confidence_kept_percent"] == pytest.approx(one["confidence_kept_percent"], abs=0.1)


# Checkpoints and disk -------------------------------------------------------------------------------------------------


def stopped(folder, data, name, **changes):
    """A run that ended after its fourth update: (configuration, folder)."""
    from FetalEchoSegLib.errors import Cancelled
    from FetalEchoTrainLib.ema_stage import EmaStep

    config, here, calls = small_config(folder, data, **SHORT | changes), folder / name, []
    original = EmaStep.loss

    def loss(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            RunFolder(here).request_stop()
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmaStep, "loss", loss)
        with pytest.raises(Cancelled):
            carry_out(config, here)
    return config, here


def test_a_damaged_newest_checkpoint_costs_its_steps_and_nothing_else(whole, folder, data):
    config, here = stopped(folder, data, "damaged")
    newest = load_newest(here / "checkpoints").path
    newest.write_bytes(newest.read_bytes()[:1000])
    _, run, events = carry_out(config, here, resume=True)
    assert f"{newest} is damaged. The one before it is used." in logged(events)
    assert losses(run) == losses(whole)


def test_a_full_disk_ends_the_run_with_a_sentence_and_earlier_checkpoints_serve(whole, folder, data, monkeypatch):
    import errno

    config, here, original = small_config(folder, data, **SHORT), folder / "full-disk", checkpoint._Hashing.write

    def write(self, chunk):
        if list((here / "checkpoints").glob("000000003.pt")):
            self.error = OSError(errno.ENOSPC, "No space left on device")
            raise self.error
        return original(self, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint._Hashing, "write", write)
        with pytest.raises(UnwritableOutput, match="the disk is full; free some space"):
            carry_out(config, here)
    assert load_newest(here / "checkpoints").path.name == "000000003.pt"
    _, run, _ = carry_out(config, here, resume=True)
    assert losses(run) == losses(whole)


def test_another_data_set_under_the_same_run_is_refused(folder, data, tmp_path):
    config, here = stopped(folder, data, "other-data")
    other = data_folder(tmp_path / "set", labelled=12)
    with pytest.raises(Exception, match="no longer those"):
        carry_out(config.changed({"data.folder": str(other)}), here, resume=True)


# Data -----------------------------------------------------------------------------------------------------------------


def own_data(folder, views=tuple(View), labelled=8, unlabelled=8):
    made = SmallDataset(folder)
    for part, count in ((TRAIN_LABELED, labelled), (TRAIN_UNLABELED, unlabelled), (VALID, 4), (TEST, len(views))):
        made.entries[part] = []
        for k in range(count):
            made.add(part, views[k % len(views)], group=f"{part} {k // 4}", labelled=part != TRAIN_UNLABELED)
    return made.write_lists()


def test_without_unlabelled_frames_training_goes_on_with_labelled_ones(folder, tmp_path):
    data = own_data(tmp_path / "set", unlabelled=0)
    path, run, events = carry_out(small_config(folder, data, **SHORT), tmp_path / "run")
    assert load_bundle(path)
    assert "no unlabelled" in logged(events).lower()
    assert "unsupervised" not in {m.name for m in run.metrics()}


def test_one_view_and_no_condition_at_all_are_enough(folder, tmp_path):
    data = own_data(tmp_path / "set", views=(View.LVOT,))
    config = small_config(folder, data, **SHORT | {"arm": "full", "ema__epochs": 1, "fine_tuning__epochs": 3})
    path, _, _ = carry_out(config, tmp_path / "run")
    card = load_bundle(path).card
    assert all((t.threshold, t.low, t.high) == (0.5, 0, 1) for t in card.thresholds)


def test_a_batch_larger_than_the_data_is_refused_with_what_to_do(folder, tmp_path):
    data = own_data(tmp_path / "set", labelled=4, unlabelled=4)
    with pytest.raises(InvalidDataset, match=r"ema\.labelled_batch is 6, but there are only 4.*lower it to 4"):
        carry_out(small_config(folder, data, **SHORT | {"ema__labelled_batch": 6}), tmp_path / "run")


def test_a_file_that_vanishes_in_the_middle_of_an_epoch_is_replaced_and_reported(folder, tmp_path, monkeypatch):
    from FetalEchoTrainLib.ema_stage import EmaStep
    from FetalEchoTrainLib.loader import Reader

    data = own_data(tmp_path / "set", labelled=8, unlabelled=8)
    original, reader = EmaStep.loss, Reader.__init__

    def loss(self, *arguments):
        (data / "images" / "1.h5").write_bytes(b"\x89HDF")
        return original(self, *arguments)

    monkeypatch.setattr(EmaStep, "loss", loss)
    monkeypatch.setattr(Reader, "__init__", lambda self, size: reader(self, size, 0))  # keeps nothing in memory
    config = small_config(folder, data, **SHORT | {"run__unreadable_share": 0.2, "semantic_filter__start_epoch": 5})
    path, _, events = carry_out(config, tmp_path / "run")
    assert path.is_dir()
    (warning,) = [e for e in events if e["event"] == "log" and "cannot be read any more" in e["text"]]
    assert "1.h5" in warning["text"]
    assert warning["level"] == "warning"


def test_without_graphics_card_auto_is_the_processor(whole):
    assert json.loads((whole.path / "environment.json").read_text())["device"].startswith("cpu")


def test_a_run_in_use_by_another_process_is_refused(folder, data):
    run = RunFolder(folder / "in-use")
    with run.held(), pytest.raises(InvalidRequest, match="in use by process"):
        carry_out(small_config(folder, data, **SHORT), run.path)
