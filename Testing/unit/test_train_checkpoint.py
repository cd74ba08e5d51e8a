from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from FetalEchoSegLib.errors import UnreadableInput, UnwritableOutput
from FetalEchoTrainLib.checkpoint import forget_after, load_best, load_newest, save_best, save_checkpoint


def state(number):
    torch.manual_seed(number)
    return {
        "network": {"weight": torch.randn(64, 64), "half": torch.randn(8).half(), "index": torch.arange(5)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "rng": torch.get_rng_state(),
        "position": {"stage": "ema", "epoch": number, "best": None, "note": "é"},
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = save_checkpoint(tmp_path, 7, state(7), keep=2)
    loaded = load_newest(tmp_path)
    assert loaded.path == path
    assert loaded.damaged == ()
    assert same(loaded.state, state(7))
    table = json.loads(path.with_suffix(".json").read_text())
    assert table == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}


def test_only_the_newest_are_kept_and_the_newest_is_found_by_number(tmp_path):
    for number in (5, 40, 300, 1000):
        save_checkpoint(tmp_path, number, state(number), keep=2)
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["000000300.pt", "000001000.pt"]
    assert len(list(tmp_path.iterdir())) == 4
    assert load_newest(tmp_path).state["position"]["epoch"] == 1000
    forget_after(tmp_path, 300)
    assert load_newest(tmp_path).state["position"]["epoch"] == 300


def test_there_may_be_none(tmp_path):
    assert load_newest(tmp_path / "nowhere") is None
    with pytest.raises(UnreadableInput, match="best-ema-000000005"):
        load_best(tmp_path, "ema", 5)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no table", "other table", "half table"])
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    save_checkpoint(tmp_path, 1, state(1), keep=2)
    path = save_checkpoint(tmp_path, 2, state(2), keep=2)
    data, table = path.read_bytes(), path.with_suffix(".json")
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":  # one bit of one weight, which torch would load without a word
        place = data.index(state(2)["network"]["weight"].numpy().tobytes()[:32]) + 5
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no table":
        table.unlink()
    elif damage == "other table":
        table.write_text("[]")
    elif damage == "half table":
        table.write_text('{"sha2')
    loaded = load_newest(tmp_path)
    assert loaded.state["position"]["epoch"] == 1
    assert len(loaded.damaged) == 1
    assert str(path) in loaded.damaged[0]


def test_when_none_is_whole_that_is_said_in_one_sentence_more(tmp_path):
    save_checkpoint(tmp_path, 1, state(1), keep=2).write_bytes(b"x")
    with pytest.raises(UnreadableInput, match="begin a new run"):
        load_newest(tmp_path)


def test_a_pickle_is_never_run(tmp_path):
    path = save_checkpoint(tmp_path, 1, state(1), keep=2)
    torch.save({"evil": subprocess.Popen}, path)
    path.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))
    with pytest.raises(UnreadableInput):
        load_newest(tmp_path)


def test_the_best_of_a_stage_is_kept_with_the_one_before(tmp_path):
    for number in (10, 20, 30):
        save_best(tmp_path, "ema", number, state(number))
    save_best(tmp_path, "fine_tuning", 5, state(5))
    assert same(load_best(tmp_path, "ema", 30), state(30))
    assert same(load_best(tmp_path, "ema", 20), state(20))
    assert same(load_best(tmp_path, "fine_tuning", 5), state(5))
    assert load_newest(tmp_path) is None
    with pytest.raises(UnreadableInput):
        load_best(tmp_path, "ema", 10)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[2])
from test_train_checkpoint import state
from FetalEchoSegLib.errors import UnwritableOutput
from FetalEchoTrainLib.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
try:
    save_checkpoint(Path(sys.argv[1]), 2, state(2), keep=1)
except UnwritableOutput as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes to play a full disk with")
def test_a_disk_that_takes_no_more_costs_one_sentence_and_no_checkpoint(tmp_path):
    save_checkpoint(tmp_path, 1, state(1), keep=1)
    here = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path, here], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"Cannot write {tmp_path / '000000002.pt'}: ")
    assert done.stdout.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000001.json", "000000001.pt"]
    assert load_newest(tmp_path).state["position"]["epoch"] == 1


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    import errno

    from FetalEchoTrainLib import checkpoint

    def full(self, data):
        self.error = OSError(errno.ENOSPC, "No space left on device")
        raise self.error

    monkeypatch.setattr(checkpoint._Hashing, "write", full)
    with pytest.raises(UnwritableOutput, match="the disk is full; free some space"):
        save_checkpoint(tmp_path, 1, state(1), keep=1)
    assert list(tmp_path.iterdir()) == []
