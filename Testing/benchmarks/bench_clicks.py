"""What the demo model that answers clicks achieves: on phantom frames of fetuses that no training has seen.

Clicks are simulated, see ``promptable.simulated_clicks``. "From the automatic mask" begins with what demo-tiny drew.
Automatic refinement is what ``segment --refine`` does. Phantom figures say nothing about patients.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.fetus_layout import read_image, read_label, read_list
from FetalEchoSegLib.metrics import compare_masks, segmentation_score
from FetalEchoSegLib.phantom.dataset import write_dataset
from FetalEchoSegLib.promptable.boundary import refine_frame
from FetalEchoSegLib.promptable.bundle import DEFAULT_PROMPTABLE, find_promptable
from FetalEchoSegLib.promptable.simulated_clicks import measure_clicks
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoTrainLib.demo_promptable import cases_of

SEED = 4711  # the demo models' data sets have another
DEVICES = {"same": "test_same.json", "new": "test_new.json"}


def run(frames: int = 80) -> list[tuple[str, float, str]]:
    """(name, value, unit) on ``frames`` frames of the training's devices and as many of others."""
    model = find_promptable(DEFAULT_PROMPTABLE).build("cpu", "fp32")
    segmenter = Segmenter(find_bundle("demo-tiny"), "cpu", "fp32")
    rows: list[tuple[str, float, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder)
        write_dataset(dataset, labelled=2, unlabelled=0, validation=2, test_same=frames, test_new=frames, seed=SEED)
        for devices, list_name in DEVICES.items():
            for start, source in (("nothing", None), ("the automatic mask", segmenter)):
                figures = measure_clicks(model, cases_of(dataset, list_name, frames, source))
                name = f"clicks, {devices} devices, from {start}"
                rows += [(f"{name}: Dice after {n}", value, "") for n, value in figures.dice_after.items()]
                rows.append((f"{name}: NoC@90, at most {figures.limit}", figures.needed, "clicks"))
                rows.append((f"{name}: share that reached 0.90", 100 * figures.reached, "%"))
            rows += _refinement(devices, dataset / list_name, segmenter, model)
    return rows


def _refinement(devices: str, list_file: Path, segmenter: Segmenter, model: object) -> list[tuple[str, float, str]]:
    """Change of DSC and NSD by refining all outlines, in points, with its spread over fetuses."""
    before, after, taken, asked = [], [], 0, 0
    for entry in read_list(list_file):
        image, truth = read_image(entry.image), read_label(entry.label).mask
        labels = segmenter.segment(Cine.from_array(image.image[np.newaxis]), view=image.view).labels[0]
        refined, decisions = refine_frame(image.image, labels, model)
        taken, asked = taken + sum(decision.accepted for decision in decisions), asked + len(decisions)
        before.append(compare_masks(labels, truth))
        after.append(compare_masks(refined, truth))
    old, new = segmentation_score(before), segmentation_score(after)
    change = [np.nanmean(b.dice) - np.nanmean(a.dice) for a, b in zip(before, after, strict=True)]
    error = 100 * float(np.std(change, ddof=1)) / len(change) ** 0.5
    return [
        (f"refinement, {devices} devices: outlines accepted", 100 * taken / asked, "%"),
        (f"refinement, {devices} devices: DSC before", old.dice, "%"),
        (f"refinement, {devices} devices: change of DSC (goal >= 0)", new.dice - old.dice, "points"),
        (f"refinement, {devices} devices: standard error of that", error, "points"),
        (f"refinement, {devices} devices: NSD before", old.nsd, "%"),
        (f"refinement, {devices} devices: change of NSD", new.nsd - old.nsd, "points"),
    ]


if __name__ == "__main__":
    for name, value, unit in run():
        print(f"{name:70} {value:8.3g} {unit}")
