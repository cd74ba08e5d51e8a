"""The model of a run among the user's models, and away again; a run's folder for other machines, and back."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from FetalEchoSegLib.bundle import install_bundle, list_bundles, load_bundle
from FetalEchoSegLib.bundle_card import CARD_FILE
from FetalEchoSegLib.errors import InvalidRequest, UnwritableOutput
from FetalEchoSegLib.output_files import file_stem, reason, write_text

from . import process
from .run_folder import RunFolder

if TYPE_CHECKING:
    from FetalEchoSegLib.bundle import Bundle

_SLURM = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --nodes={machines}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={devices}
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
# Two minutes before the end the run is asked to save itself; submit the script again to go on.
trap 'touch run/stop' TERM
export MAIN_ADDRESS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun bash -c 'accelerate launch --num_machines {machines} --num_processes {processes} \\
  --machine_rank $SLURM_NODEID --main_process_ip $MAIN_ADDRESS --main_process_port 29500 \\
  -m FetalEchoTrainLib.worker config.yaml --run run --resume' &
wait
wait
"""
_README = """A training of FetalEcho, to run on another machine
===================================================

1. Install FetalEcho there with its training packages, and copy this folder.
2. Put the data set where `data.folder` of config.yaml says, now
       {data}
   or change that line. It must be the same data: the run checks it ({fingerprint}).
3. Start in this folder:

   one GPU              python -m FetalEchoTrainLib.worker config.yaml --run run
   {devices} GPUs               accelerate launch --num_processes {devices} \\
                          -m FetalEchoTrainLib.worker config.yaml --run run
   {machines} machines           on each, with its own rank 0 to {last}:
                        accelerate launch --num_machines {machines} --num_processes {processes} --machine_rank RANK \\
                          --main_process_ip ADDRESS --main_process_port 29500 \\
                          -m FetalEchoTrainLib.worker config.yaml --run run
   Slurm                sbatch train.slurm

   `--resume` goes on after an interruption.
4. Copy the folder `run` back, and import it in the section Runs.
"""


def deploy(run: RunFolder, name: str = "", folder: Path | None = None) -> Bundle:
    """Install the bundle of a finished run as a model, and return it.

    name    of the model; configuration, arm and seed by default
    folder  where to, the user's model folder if None
    A model of that name is refused unless it is this run's. Raises InvalidRequest, UnusableBundle, UnwritableOutput.
    """
    if run.state != "finished":
        raise InvalidRequest(f"{run} is not finished: it has no model yet.")
    made = load_bundle(run.bundle)
    config = run.config()
    name = file_stem(name or f"{config.name}-{config.arm}-{config.seed}")
    there = next((b for b in list_bundles(None if folder is None else [folder]) if b.name == name), None)
    if there is not None and there.card.sha256 != made.card.sha256:
        raise InvalidRequest(f"There is a model '{name}' already: choose another name.")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / name
            shutil.copytree(run.bundle, copy)
            write_text(copy / CARD_FILE, made.card.model_copy(update={"name": name}).to_yaml())
            installed = install_bundle(copy, folder=folder)
    except OSError as error:
        raise UnwritableOutput(f"The model cannot be copied: {reason(error)}.") from error
    return load_bundle(installed.path)


def withdraw(run: RunFolder, name: str, folder: Path | None = None) -> None:
    """Take a deployed model away again; the run keeps its own. Raises InvalidRequest, UnwritableOutput."""
    there = next((b for b in list_bundles(None if folder is None else [folder]) if b.name == name), None)
    if there is None or there.card.sha256 != load_bundle(run.bundle).card.sha256:
        raise InvalidRequest(f"'{name}' is not the model of {run}: nothing was removed.")
    try:
        shutil.rmtree(there.path)
    except OSError as error:
        raise UnwritableOutput(f"Cannot remove {there.path}: {reason(error)}.") from error


def deployed(run: RunFolder, folder: Path | None = None) -> str:
    """Name under which the run's model is installed, "" if it isn't."""
    if run.state != "finished":
        return ""
    weights = load_bundle(run.bundle, verify=False).card.sha256
    bundles = list_bundles(None if folder is None else [folder])
    return next((b.name for b in bundles if b.card.sha256 == weights), "")


def export_run(run: RunFolder, folder: Path, devices: int = 4, machines: int = 2) -> Path:
    """Write what another machine needs to carry out, or go on with, a run: configuration, commands, Slurm script.

    devices   GPUs of a machine                 machines  for the commands of several
    Returns ``folder``, which must not hold anything. Raises InvalidRequest, UnwritableOutput.
    """
    if process.status(run) in process.ALIVE:
        raise InvalidRequest(f"{run} is at work: stop it first, then another machine can go on.")
    if folder.exists() and any(folder.iterdir()):
        raise InvalidRequest(f"{folder} is not empty: choose another folder.")
    config = run.config()
    numbers = {"devices": devices, "machines": machines, "processes": devices * machines, "last": machines - 1}
    fingerprint = str(run.dataset_record().get("fingerprint", "not known yet"))[:16]
    write_text(folder / "config.yaml", config.to_yaml())
    write_text(folder / "README.txt", _README.format(data=config.data.folder, fingerprint=fingerprint, **numbers))
    write_text(folder / "train.slurm", _SLURM.format(name=file_stem(config.name), **numbers))
    _copy(run.path, folder / "run")
    return folder


def import_run(folder: Path, runs: Path) -> RunFolder:
    """Bring a run back that was carried out elsewhere; ``folder`` is the run's or the exported one.

    Returns it in ``runs``. Raises InvalidRequest if there is none in it or one of its name here, UnwritableOutput.
    """
    source = next((path for path in (folder, folder / "run") if (path / "events.jsonl").is_file()), None)
    if source is None:
        raise InvalidRequest(f"{folder} holds no run that has begun: choose the folder `run` of an exported one.")
    config = RunFolder(source).config()
    target = RunFolder(runs / f"{config.name}-{config.arm}-{config.seed}")
    if target.path.exists():
        raise InvalidRequest(f"{target} is there already: rename or delete it first.")
    _copy(source, target.path)
    return target


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("lock", "worker.json", "worker.log", "stop"))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        why = reason(error) if isinstance(error, OSError) and error.errno else str(error)
        raise UnwritableOutput(f"Cannot copy {source} to {target}: {why}.") from error
