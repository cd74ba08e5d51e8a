"""The README's Python examples, run as they stand."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle import DEFAULT_BUNDLE
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.workflow import write_phantom_clip

README = Path(__file__).resolve().parents[2] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_examples():
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("example", EXAMPLES)
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
