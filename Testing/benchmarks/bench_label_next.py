"""How many frames "Label next" spares: a model meets devices it does not know, and learns from some frames of them.

A pool of clips from new devices is segmented by demo-tiny. So many of its frames are labelled, with the phantom's
truth: those that the queue puts first, or as many at random. demo-tiny is trained on them alone, as long for few as for
many, and measured on other fetuses of new devices. What counts is how many frames taken at random reach the DSC of the
queue's.
Phantom figures say nothing about patients.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.fetus_layout import ListEntry, read_image, read_list, write_list
from FetalEchoSegLib.phantom.dataset import write_dataset
from FetalEchoSegLib.preprocessing import network_input
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoTrainLib.configuration import TrainConfig, load_config
from FetalEchoTrainLib.label_next import Candidate, rank
from FetalEchoTrainLib.run_folder import RunFolder
from FetalEchoTrainLib.runs import PlannedRun, carry_out

MODEL = "demo-tiny"
CLIPS, FRAMES_A_CLIP, TEST_FRAMES = 40, 12, 160
COUNTS = (4, 8, 16)
PER_PATIENT = 5  # as in the panel
STEPS = 100


def run(seeds: int = 3, counts: Sequence[int] = COUNTS) -> list[tuple[str, float, str]]:
    """(name, value, unit): DSC after labelling so many frames, and what random choice needs for the same."""
    rows: list[tuple[str, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        pool, test = Path(folder) / "pool", Path(folder) / "test"
        sizes = {"labelled": 2, "unlabelled": 0, "validation": 4, "test_same": 0, "image_shape": (256, 256)}
        write_dataset(pool, test_new=CLIPS * FRAMES_A_CLIP, frames_per_case=FRAMES_A_CLIP, seed=811, **sizes)
        write_dataset(test, test_new=TEST_FRAMES, frames_per_case=2, seed=812, **sizes)
        entries = read_list(pool / "test_new.json")
        queue = _queue(entries, max(counts))
        means: dict[str, list[float]] = {"queue": [], "random": []}
        for count in counts:
            for way, found in means.items():
                values = []
                for seed in range(seeds):
                    shuffled = np.random.default_rng([seed, 5]).permutation(len(entries))
                    chosen = (queue if way == "queue" else shuffled)[:count]
                    values.append(_learn(Path(folder), test, [entries[k] for k in chosen], seed))
                found.append(float(np.mean(values)))
                rows.append((f"label next, {way}, {count} frames: DSC", found[-1], "%"))
                rows.append(("  its spread over seeds", float(np.std(values, ddof=1)), "points"))
        for count, value in zip(counts, means["queue"], strict=True):
            # Between the counts that were tried, DSC grows about evenly with the logarithm of the frames.
            wanted = float(np.exp(np.interp(value, np.maximum.accumulate(means["random"]), np.log(counts))))
            note = "or more" if value >= max(means["random"]) else ""
            rows.append((f"label next: random frames that do what {count} of the queue do {note}".rstrip(), wanted, ""))
            rows.append(
                (f"label next: fewer frames by the queue's {count} (goal >= 25)", 100 * (1 - count / wanted), "%")
            )
    return rows


def _queue(entries: Sequence[ListEntry], most: int) -> list[int]:
    """Numbers of the frames that the queue of the panel would ask for, in its order."""
    bundle = find_bundle(MODEL)
    segmenter = Segmenter(bundle, "cpu", "fp32")
    network, size = bundle.build_trainable().eval(), bundle.card.architecture.config.image_size
    candidates = []
    for number, entry in enumerate(entries):
        image = read_image(entry.image)
        found = segmenter.segment(Cine.from_array(image.image[np.newaxis]), view=entry.view)
        grey = Cine.from_array(image.image[np.newaxis]).frame(0)
        with torch.inference_mode():
            seen = network.encode(torch.from_numpy(network_input(grey, size))[None, None])
        patient = str(image.attributes["patient_group"])
        phase = int(image.attributes["frame_index"]) / FRAMES_A_CLIP  # one frame in each part of the cycle
        features = seen.bottleneck.mean((2, 3))[0].numpy()
        candidates.append(Candidate(patient, number, patient, float(found.confidence[0]), features, phase))
    return [candidate.index for candidate in rank(candidates, np.zeros((0, 1)), most, PER_PATIENT)]


def _learn(folder: Path, test: Path, chosen: Sequence[ListEntry], seed: int) -> float:
    """DSC on the new devices of ``test`` after learning from ``chosen``."""
    with tempfile.TemporaryDirectory(dir=folder) as here:
        data = Path(here) / "data"
        data.mkdir()
        write_list(data / "train_labeled.json", chosen, absolute=True)
        for name in ("valid.json", "test_new.json"):
            write_list(data / name, read_list(test / name), absolute=True)
        carry_out(PlannedRun(_config(data, seed), RunFolder(Path(here) / "run")), resume=False)
        return float(RunFolder(Path(here) / "run").results()["parts"]["new devices"]["dice"])


def _config(data: Path, seed: int) -> TrainConfig:
    return load_config("demo", arm="labelled-only", seed=seed).changed(
        {
            "data.folder": str(data), "data.phantom": None,
            "network.initial": MODEL, "network.image_size": 256, "network.encoder": "all",
            "ema.epochs": 1, "ema.steps_per_epoch": STEPS, "ema.warm_up_epochs": 0.1, "ema.optimizer": "adamw",
            "ema.learning_rate": 3e-4, "ema.encoder_learning_rate": 3e-4, "ema.validate_every": 1000,
            "run.samples": 0, "run.tensorboard": False,
        }
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    for name, value, unit in run(parser.parse_args().seeds):
        print(f"{name:70} {value:8.3g} {unit}")
