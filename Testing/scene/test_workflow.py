from __future__ import annotations

import importlib.util
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.anatomy import Condition, Structure, View
from FetalEchoSegLib.commands import main
from FetalEchoSegLib.demo_clicks import DemoClicks
from FetalEchoSegLib.errors import InvalidRequest, UnreadableInput, UnwritableOutput
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.promptable.simulated_clicks import dice
from FetalEchoSegLib.readers import read_cine
from FetalEchoSegLib.workflow import DEMO_SEED, SegmentRequest, real_clip, segment_file, write_phantom_clip

RESULTS = {
    "areas.png",
    "conditions.csv",
    "conditions.png",
    "frames.csv",
    "masks.seq.nrrd",
    "measurements.csv",
    "montage.png",
    "overlay.webp",
    "report.html",
    "scene.mrb",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(random_bundle(tmp_path_factory.mktemp("model") / "random").path)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    made = make_named_clip(
        View.LVOT, conditions=[Condition.VSD], seed=4, frames=5, frame_rate=40, image_shape=(128, 128)
    )
    folder = tmp_path_factory.mktemp("phantom ü") / "clip"
    write_phantom_clip(made, folder)
    return made, folder


def test_a_phantom_clip_reads_back_as_it_was_made(phantom):
    made, folder = phantom
    cine = read_cine(folder / "clip.seq.nrrd")
    np.testing.assert_array_equal(cine.frames, made.cine.frames)
    np.testing.assert_allclose(cine.times, made.cine.times, atol=1e-6)
    np.testing.assert_allclose(cine.spacing, made.cine.spacing, rtol=1e-6)
    assert cine.view is View.LVOT
    truth = read_cine(folder / "truth.seq.nrrd")
    np.testing.assert_array_equal(truth.frames, made.labels)
    case = json.loads((folder / "case.json").read_text())
    assert case["conditions"] == ["VSD"]


def test_segment_writes_everything_it_promises(phantom, model, tmp_path, scene):
    _, folder = phantom
    result = segment_file(SegmentRequest(folder / "clip.seq.nrrd", tmp_path / "out", model=model))
    assert {file.name for file in result.files} == RESULTS
    assert {file.name for file in (tmp_path / "out").iterdir()} == RESULTS
    np.testing.assert_array_equal(read_cine(tmp_path / "out" / "masks.seq.nrrd").frames, result.prediction.labels)

    from FetalEchoSegLib.scene.io import openScene
    from FetalEchoSegLib.scene.segmentation_nodes import labelsFromSegmentationSequence

    openScene(tmp_path / "out" / "scene.mrb")
    browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    np.testing.assert_array_equal(labelsFromSegmentationSequence(browser), result.prediction.labels)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 3


def test_a_failed_run_leaves_earlier_results_alone(phantom, model, tmp_path, monkeypatch):
    _, folder = phantom
    request = SegmentRequest(folder / "clip.seq.nrrd", tmp_path / "out", model=model)
    segment_file(request)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}

    def full_disk(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("FetalEchoSegLib.report.write_text", full_disk)
    with pytest.raises(UnwritableOutput, match="the disk is full; free some space") as caught:
        segment_file(request)
    assert str(caught.value).startswith(f"Cannot write to {tmp_path / 'out'}:")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_results_are_not_put_among_the_frames(model, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    with pytest.raises(InvalidRequest, match="is the folder of the frames: choose another folder for the results"):
        segment_file(SegmentRequest(frames, frames, model=model))
    assert not list(frames.iterdir())


def test_results_do_not_replace_the_clip_they_come_from(model, phantom, tmp_path):
    _, folder = phantom
    clip = tmp_path / "masks.seq.nrrd"  # also the name of a result
    clip.write_bytes((folder / "clip.seq.nrrd").read_bytes())
    with pytest.raises(InvalidRequest, match=r"would replace .*masks\.seq\.nrrd"):
        segment_file(SegmentRequest(clip, tmp_path, model=model, frames=range(1)))
    assert [file.name for file in tmp_path.iterdir()] == ["masks.seq.nrrd"]
    assert clip.read_bytes() == (folder / "clip.seq.nrrd").read_bytes()


def test_the_view_is_found_in_a_fetus_file_that_lacks_it(model, tmp_path):
    import h5py

    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["image"] = np.zeros((64, 64, 3), dtype=np.uint8)
    result = segment_file(SegmentRequest(tmp_path / "1.h5", tmp_path / "out", model=model, find_view=True))
    assert result.prediction.view_source == "predicted"


def test_a_run_that_fails_at_once_leaves_no_empty_folder(model, tmp_path):
    with pytest.raises(UnreadableInput, match="no such file"):
        segment_file(SegmentRequest(tmp_path / "missing.dcm", tmp_path / "a" / "b", model=model))
    assert not list(tmp_path.iterdir())


def test_the_command_segments_the_real_clip_and_says_what_it_may_not_claim(model, tmp_path, capsys):
    out = tmp_path / "real"
    assert main(["segment", str(real_clip()), "--out", str(out), "--model", model, "--frames", "0-3"]) == 0
    said = capsys.readouterr().out
    assert "4 of 30 frames segmented" in said
    assert "unknown" in said  # its calibration region is larger than its image
    assert "Random weights for a test." in said
    report = (out / "report.html").read_text()
    assert "Random weights for a test." in report
    assert "not a diagnosis" in report


def test_view_auto_overrules_the_file(phantom, model, tmp_path, capsys):
    _, folder = phantom
    arguments = ["segment", str(folder / "clip.seq.nrrd"), "--out", str(tmp_path / "o"), "--model", model]
    main([*arguments, "--frames", "0"])
    assert "LVOT (file" in capsys.readouterr().out
    main([*arguments, "--frames", "0", "--view", "auto"])
    assert "(predicted" in capsys.readouterr().out


def test_truth_masks_measure_what_the_phantom_was_made_with(tmp_path):
    # Through the files, as a user would: clip and truth from disk, table from the core.
    from FetalEchoSegLib.measurements import measure

    made = make_named_clip(View.FOUR_CHAMBER, seed=9, frames=60, frame_rate=50)
    write_phantom_clip(made, tmp_path / "clip")
    cine = read_cine(tmp_path / "clip" / "clip.seq.nrrd")
    truth = read_cine(tmp_path / "clip" / "truth.seq.nrrd").frames
    rows = {row.name: row for row in measure(truth, cine, cine.view, gestational_age=made.case.gestational_age)}
    assert rows["heart_rate"].value == pytest.approx(made.case.heart_rate, abs=2)
    assert rows["cardiothoracic_area_ratio"].value == pytest.approx(made.case.area_ratio, rel=0.05)


def test_the_demo_corrects_the_worst_outline_by_clicks(tmp_path, scene):
    if importlib.util.find_spec("segment_anything") is None:
        pytest.skip("segment-anything is not installed")
    made = make_named_clip(View.RVOT, seed=DEMO_SEED, frames=2, image_shape=(256, 256))
    write_phantom_clip(made, tmp_path / "clip")
    clicks = DemoClicks(made.labels)
    clip = tmp_path / "clip" / "clip.seq.nrrd"
    result = segment_file(SegmentRequest(clip, tmp_path / "out", find_view=True, correct=clicks.correct))
    said = re.fullmatch(r"the worst outline, (\w+) in frame (\d), Dice (\d.\d+); clicked with .*: (.*)", str(clicks))
    structure, frame = Structure.parse(said[1]), int(said[2]) - 1
    drawn, truth = read_cine(tmp_path / "out" / "masks.seq.nrrd").frames, made.labels
    before, after = (dice(labels[frame] == structure, truth[frame] == structure)
                     for labels in (result.prediction.labels, drawn))  # fmt: skip
    assert f"{before:.2f}" == said[3]
    assert f"{after:.2f}" == said[4].split(", ")[-1]
    assert after > before
    changed = drawn != result.prediction.labels
    assert not changed[1 - frame].any()
    assert (drawn[changed] == structure).any()


def test_the_demo_leaves_good_outlines_alone(scene):
    made = make_named_clip(View.RVOT, seed=DEMO_SEED, frames=1, image_shape=(64, 64))
    prediction = SimpleNamespace(labels=made.labels, view=View.RVOT, done=np.ones(1, dtype=bool))
    clicks = DemoClicks(made.labels)
    assert clicks.correct(None, prediction) is prediction
    assert str(clicks) == "no outline was clicked"
