"""The README's Python examples, run as they stand."""

from __future__ import annotations

import importlib.util
import re
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle import DEFAULT_BUNDLE
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.phantom.dataset import write_dataset
from FetalEchoSegLib.workflow import write_phantom_clip

README = Path(__file__).resolve().parents[2] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES[:2])
def test_example_runs(example, tmp_path, capsys):
    made = make_named_clip(View.FOUR_CHAMBER, seed=2, frames=3, image_shape=(128, 128))
    write_phantom_clip(made, tmp_path / "clip")
    clip = tmp_path / "clip" / "clip.seq.nrrd"
    names = {"CLIP": str(clip), "MODEL": DEFAULT_BUNDLE, "OUT": str(tmp_path / "out.mrb")}
    exec(compile(example, "README.md", "exec"), names)
    if "labels" in names:
        assert names["labels"].shape == (3, 128, 128)
        assert names["frames"].GetNumberOfRows() == 3
        assert names["corrected"].any()
        titles = [names["measures"].GetCellText(row, 0) for row in range(names["measures"].GetNumberOfRows())]
        assert any("axis" in title.casefold() for title in titles), titles
        assert (tmp_path / "out.mrb").is_file()
    else:
        assert capsys.readouterr().out.startswith("4CH")


def test_the_training_example_runs(tmp_path):
    for package in ("monai", "accelerate", "psutil"):
        pytest.importorskip(package)
    from FetalEchoTrainLib import process

    from FetalEchoSeg import FetalEchoSegLogic

    dataset = tmp_path / "data"
    parts = dict.fromkeys(("labelled", "unlabelled", "validation", "calibration", "test_same", "test_new"), 8)
    write_dataset(dataset, **parts, seed=1, image_shape=(64, 64), frames_per_case=2, workers=1)
    logic = FetalEchoSegLogic()
    browser = logic.addCine(make_named_clip(View.FOUR_CHAMBER, seed=2, frames=3, image_shape=(64, 64)).cine, "Clip")
    masks = logic.segment(browser, view="4CH", model=DEFAULT_BUNDLE)
    logic.acceptFrame(masks, 1)
    names = {"masks": masks, "DATASET": str(dataset), "RUNS": str(tmp_path / "runs")}
    try:
        exec(compile(EXAMPLES[2], "README.md", "exec"), names)
        assert (names["exported"].labelled, names["exported"].unlabelled) == (1, 2)
        end = time.monotonic() + 120
        while process.worker(names["run"]) is not None and time.monotonic() < end:
            time.sleep(0.1)
        assert names["training"].status(names["run"]) == "stopped", process.why(names["run"])
    finally:
        if process.worker(names["run"]) is not None:
            process.kill(names["run"])
