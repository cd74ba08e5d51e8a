"""Small runs for tests: the tiny network with few channels, 64 pixels, a data set made in milliseconds, one thread."""

from __future__ import annotations

import io
from pathlib import Path

from FetalEchoSegLib.anatomy import View
from training_data import SmallDataset, small_dataset

TEST = "test_same.json"


def small_config(folder: Path, data: Path, **changes):
    """Configuration of a run of seconds; ``changes`` by dotted names with ``__`` for the dot."""
    from FetalEchoTrainLib.configuration import parse_config

    table = {
        "name": "small",
        "data": {"folder": str(data), "tests": {"test": TEST}},
        "network": {"size": "tiny", "image_size": 64, "decoder_features": 4},
        "ema": {
            "epochs": 2, "steps_per_epoch": 4, "labelled_batch": 4, "unlabelled_batch": 4, "learning_rate": 0.01,
            "encoder_learning_rate": 0.005, "warm_up_epochs": 0.5, "ramp_up_epochs": 1, "decay": 0.9,
            "confidence": 0.3,
        },
        "semantic_filter": {"start_epoch": 1, "prototypes": 2},
        "fine_tuning": {"epochs": 4, "warm_up_epochs": 1, "self_teaching_from": 2, "views_per_frame": 2},
        "calibration": {"resamples": 20},
        "run": {
            "folder": str(folder), "device": "cpu", "precision": "fp32", "threads": 1, "checkpoint_steps": 2,
            "samples": 0, "tensorboard": False, "loader_threads": 0,
        },
    }  # fmt: skip
    config = parse_config(table, "")
    return config.changed({name.replace("__", "."): value for name, value in changes.items()}) if changes else config


def data_folder(folder: Path, **counts) -> Path:
    """Sixteen labelled frames of four patients, eight unlabelled, eight to validate and calibrate, four to test."""
    small_dataset(folder, **counts)
    tests = SmallDataset(folder, number=1000)
    for view in View:
        tests.add(TEST, view, group="test patient")
    return tests.write_lists()


def carry_out(config, folder: Path, resume: bool = False):
    """Train as the command does; returns (bundle's folder, run's folder, events)."""
    from FetalEchoTrainLib.events import parse
    from FetalEchoTrainLib.run_folder import RunFolder
    from FetalEchoTrainLib.runs import PlannedRun
    from FetalEchoTrainLib.runs import carry_out as train

    run, said = RunFolder(folder), io.StringIO()
    bundle = train(PlannedRun(config, run), resume, said)
    return bundle, run, [parse(line) for line in said.getvalue().splitlines()]


def losses(run) -> list[float]:
    """Every loss of stage 1 that the run measured, by step."""
    return [m.value for m in run.metrics() if m.stage == "ema" and m.name == "loss"]
