"""The model of a run into use and away again; a run on another machine and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for package in ("monai", "pydantic", "accelerate", "psutil"):
    pytest.importorskip(package)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.bundle import find_bundle, list_bundles
from FetalEchoSegLib.errors import Cancelled, InvalidRequest
from FetalEchoTrainLib import process
from FetalEchoTrainLib.deploy import deploy, deployed, export_run, import_run, withdraw
from FetalEchoTrainLib.run_folder import RunFolder
from training import carry_out, data_folder, small_config

SHORT = {"ema__epochs": 1, "ema__steps_per_epoch": 2, "arm": "full-no-cft"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("runs")
    return carry_out(small_config(folder, data, **SHORT), folder / "small-full-no-cft-0")[1]


def test_a_model_is_deployed_with_its_history_and_withdrawn(finished, tmp_path):
    assert deployed(finished, tmp_path) == ""
    bundle = deploy(finished, folder=tmp_path)
    assert bundle.name == "small-full-no-cft-0"
    assert deployed(finished, tmp_path) == bundle.name
    found = find_bundle(bundle.name, [tmp_path])
    assert found.card.training["arm"] == "full-no-cft"
    assert found.card.metrics["test"]["frames"] == 4
    found.verify()
    withdraw(finished, bundle.name, tmp_path)
    assert list_bundles([tmp_path]) == []
    assert finished.bundle.is_dir()


def test_somebody_elses_model_of_that_name_stays(finished, data, tmp_path):
    other = carry_out(small_config(tmp_path, data, seed=5, **SHORT), tmp_path / "other")[1]
    deploy(other, "mine", tmp_path / "models")
    with pytest.raises(InvalidRequest, match="There is a model 'mine' already"):
        deploy(finished, "mine", tmp_path / "models")
    with pytest.raises(InvalidRequest, match="nothing was removed"):
        withdraw(finished, "mine", tmp_path / "models")
    deploy(other, "mine", tmp_path / "models")  # again is no harm


def test_an_unfinished_run_has_no_model(tmp_path):
    with pytest.raises(InvalidRequest, match="not finished"):
        deploy(RunFolder(tmp_path / "none"))


@pytest.fixture
def stopped(data, tmp_path):
    """A run that was stopped in stage 1."""
    config = small_config(tmp_path / "runs", data, **SHORT)
    run = RunFolder(tmp_path / "runs" / "here")
    run.path.mkdir(parents=True)

    class Stop:
        def write(self, text):
            if '"checkpoint"' in text:
                run.request_stop()

        def flush(self):
            pass

    from FetalEchoTrainLib.runs import PlannedRun
    from FetalEchoTrainLib.runs import carry_out as train

    with pytest.raises(Cancelled):
        train(PlannedRun(config, run), False, Stop())
    return run


def test_a_run_is_finished_on_another_machine_by_two_processes_and_brought_back(stopped, tmp_path):
    folder = export_run(stopped, tmp_path / "exported run", devices=2, machines=1)
    assert {path.name for path in folder.iterdir()} == {"README.txt", "config.yaml", "run", "train.slurm"}
    readme = (folder / "README.txt").read_text()
    assert "accelerate launch --num_processes 2" in readme
    assert str(stopped.config().data.folder) in readme
    slurm = subprocess.run(["bash", "-n", str(folder / "train.slurm")], capture_output=True, text=True)
    assert slurm.returncode == 0, slurm.stderr
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no",
        "-m", "FetalEchoTrainLib.worker", "config.yaml", "--run", "run", "--resume",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=process.environment() | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = import_run(folder, tmp_path / "mine")
    assert run.path.name == "small-full-no-cft-0"
    assert run.state == "finished"
    with pytest.raises(InvalidRequest, match="there already"):
        import_run(folder, tmp_path / "mine")


def test_only_a_run_is_imported_and_only_an_empty_folder_taken(stopped, tmp_path):
    with pytest.raises(InvalidRequest, match="holds no run"):
        import_run(tmp_path, tmp_path / "mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InvalidRequest, match="not empty"):
        export_run(stopped, tmp_path / "full")
