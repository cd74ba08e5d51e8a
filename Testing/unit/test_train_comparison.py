"""Runs side by side: means, spreads, and what may be called a gain."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic")
pytest.importorskip("cv2")
pytest.importorskip("matplotlib")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.output_files import write_text
from FetalEchoTrainLib.comparison import Difference, Spread, compare, find_runs
from FetalEchoTrainLib.configuration import load_config
from FetalEchoTrainLib.run_folder import RunFolder


def figures(dice, f1):
    """What ``Evaluation.to_dict`` says, one structure and one condition of it alone."""
    one = {
        "dice_class": [dice, *[0.0] * 13], "nsd_class": [dice - 10, *[0.0] * 13], "count_class": [4, *[0] * 13],
        "f1_class": [f1, *[0.0] * 6], "support_class": [4, *[0] * 6], "positives_class": [2, *[0] * 6],
    }  # fmt: skip
    whole = {"images": 4, "dice": dice, "nsd": dice - 10, "macro_f1": f1, **one}
    return {**whole, "views": {"4CH": dict(whole)}}


def finished_run(folder, arm, seed, dice, f1=0.3, fingerprint="same", hours=1.0, name="demo"):
    config = load_config("demo", arm=arm, seed=seed).changed({"name": name})
    run = RunFolder(folder / f"{name}-{arm}-{seed}")
    write_text(run.path / "config.yaml", config.to_yaml())
    write_text(run.path / "dataset.json", f'{{"fingerprint": "{fingerprint}"}}')
    for step in (10, 20, 30):
        values = {"validation_dsc": dice - 30 + step, "loss": 1 / step}
        if config.ema.unlabelled:
            values |= {"confidence_precision_kept_percent": 90.0 + seed, "confidence_precision_dropped_percent": 40.0}
        run.add_metrics("ema", step // 10, step, values)
    run.write_results(
        {"same devices": figures(dice + 10, f1 + 0.1), "new devices": figures(dice, f1)}, seconds=3600 * hours
    )
    return run


@pytest.fixture
def runs(tmp_path):
    for seed, (alone, ema, full) in enumerate([(50, 52, 60), (52, 51, 61), (54, 56, 62)]):
        finished_run(tmp_path, "labelled-only", seed, alone, 0.20 + 0.01 * seed, hours=0.5)
        finished_run(tmp_path, "ema", seed, ema, 0.21 + 0.01 * seed)
        finished_run(tmp_path, "full", seed, full, 0.40 + 0.01 * seed, hours=2)
    return tmp_path


def test_arms_are_means_and_deviations_over_seeds(runs):
    found = compare(find_runs([runs]))
    assert list(found.arms) == ["labelled-only", "ema", "full"]  # as in the table of arms
    assert found.value("labelled-only", "new devices", "dice").text(1) == "52.0 ± 2.0"
    assert found.value("full", "same devices", "macro_f1").mean == pytest.approx(0.51)
    assert found.value("full", "new devices", "dice", view="4CH").mean == pytest.approx(61)
    assert found.value("full", "new devices", "dice_class", 0).mean == pytest.approx(61)
    assert found.value("full", "new devices", "dice_class", 3) is None  # a structure that never occurred
    assert found.value("full", "new devices", "f1_class", 2) is None


def test_a_gain_within_the_spread_is_no_gain(runs):
    found = compare(find_runs([runs]))
    small = found.difference("ema", "labelled-only", "new devices", "dice")
    assert (small.value, small.spread) == (pytest.approx(1.0), pytest.approx(np.std([2, -1, 2], ddof=1)))
    assert small.verdict == "none (within the spread)"
    large = found.difference("full", "labelled-only", "new devices", "dice")
    assert (large.value, large.verdict) == (pytest.approx(9.0), "gain")
    assert found.difference("labelled-only", "full", "new devices", "dice").verdict == "loss"


def test_runs_of_the_same_seed_are_held_against_each_other(tmp_path):
    for seed, base in enumerate([40, 50, 60]):
        finished_run(tmp_path, "labelled-only", seed, base)
        finished_run(tmp_path, "full", seed, base + 3 + seed / 10)
        finished_run(tmp_path, "ema", seed + 5, base + 3)
    found = compare(find_runs([tmp_path]))
    paired = found.difference("full", "labelled-only", "new devices", "dice")
    assert (paired.value, paired.spread) == (pytest.approx(3.1), pytest.approx(0.1))
    assert "| +3.1 ± 0.1: gain" in str(found)
    others = found.difference("ema", "labelled-only", "new devices", "dice")  # other seeds: nothing to pair
    assert (others.value, others.spread) == (pytest.approx(3.0), pytest.approx(np.hypot(10, 10)))


def test_the_spread_of_a_difference_decides():
    assert Spread((1.0, 3.0)).deviation == pytest.approx(np.sqrt(2))
    assert Difference(1.9, np.hypot(1.0, 1.0)).verdict == "gain"
    assert Difference(1.4, np.hypot(1.0, 1.0)).verdict == "none (within the spread)"
    assert Difference(50.0, float("nan")).verdict == "unknown (one seed)"


def test_one_seed_tells_nothing(tmp_path):
    finished_run(tmp_path, "labelled-only", 0, 50)
    finished_run(tmp_path, "full", 0, 90)
    text = str(compare(find_runs([tmp_path])))
    assert "+40.0: unknown (one seed)" in text
    assert "±" not in text


def test_the_table_has_parts_classes_precision_and_cost(runs):
    text = str(compare(find_runs([runs])))
    assert text.index("## same devices") < text.index("## new devices") < text.index("## What each part brings")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert [
        "full",
        "3",
        "61.0 ± 1.0",
        "51.0 ± 1.0",
        "0.410 ± 0.010",
        "+9.0 ± 1.0: gain",
        "+0.200 ± 0.000: gain",
    ] in lines
    assert ["labelled-only", "3", "52.0 ± 2.0", "42.0 ± 2.0", "0.210 ± 0.010", "", ""] in lines
    within = "+1.0 ± 1.7: none (within the spread)"
    brings = ["EMA teacher, unlabelled frames", "ema - labelled-only", "new devices", within, "+0.010 ± 0.000: gain"]
    assert brings in lines
    assert ["4CH DSC %", "52.0 ± 2.0", "53.0 ± 2.6", "61.0 ± 1.0"] in lines
    assert ["LA DSC %", "52.0 ± 2.0", "53.0 ± 2.6", "61.0 ± 1.0"] in lines
    assert ["VSD F1", "0.21 ± 0.01", "0.22 ± 0.01", "0.41 ± 0.01"] in lines
    assert ["confidence precision kept", "", "91.0 ± 1.0", "91.0 ± 1.0"] in lines
    assert ["full", "2.00 ± 0.00"] in lines


def test_everything_is_written_with_charts(runs, tmp_path):
    out = tmp_path / "out"
    files = compare(find_runs([runs])).write(out)
    assert sorted(path.name for path in files) == [
        "comparison.csv", "comparison.md", "figures-by-arm.png", "learning-curves.png",
        "precision-of-pseudo-labels.png", "views.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 1000 for path in files)
    with (out / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (row,) = [r for r in rows if (r["arm"], r["part"], r["scope"], r["kind"], r["measure"]) ==
              ("full", "new devices", "all", "overall", "dice")]  # fmt: skip
    assert (float(row["mean"]), float(row["deviation"]), row["values"]) == (61.0, 1.0, "60 61 62")
    assert "(learning-curves.png)" in (out / "comparison.md").read_text(encoding="utf-8")


def test_an_unfinished_run_is_left_out_and_said(runs):
    other = RunFolder(runs / "demo-unimatch-0")
    write_text(other.path / "config.yaml", load_config("demo", arm="unimatch").to_yaml())
    found = compare(find_runs([runs]))
    assert "unimatch" not in found.arms
    assert any("Left out" in note and "demo-unimatch-0 holds no finished run" in note for note in found.notes)
    with pytest.raises(InvalidRequest, match="None of the 1 runs is finished"):
        compare([other])


def test_different_data_and_repeated_seeds_are_said(tmp_path):
    finished_run(tmp_path / "a", "full", 0, 50)
    finished_run(tmp_path / "b", "full", 0, 60, fingerprint="other")
    found = compare(find_runs([tmp_path / "a", tmp_path / "b"]))
    assert any("had different data" in note for note in found.notes)
    assert any("full ran twice with seed 0" in note for note in found.notes)


def test_runs_of_several_configurations_keep_their_names(tmp_path):
    finished_run(tmp_path, "full", 0, 50)
    finished_run(tmp_path, "full", 0, 60, name="other")
    assert list(compare(find_runs([tmp_path])).arms) == ["demo full", "other full"]


def test_runs_are_found_by_folder_or_by_folder_of_folders_and_once(runs):
    one = runs / "demo-full-0"
    assert [run.path.name for run in find_runs([one])] == ["demo-full-0"]
    assert len(find_runs([one, runs])) == 9
    with pytest.raises(InvalidRequest, match="holds no training run"):
        find_runs([runs / "nowhere"])
