"""Synthetic data sets: FETUS layout, honest splits, the same bytes every time."""

from __future__ import annotations

import multiprocessing
import os

import h5py
import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Condition, View, condition_table, permitted_labels
from FetalEchoSegLib.errors import Cancelled, FetalEchoError, InvalidRequest, UnwritableOutput
from FetalEchoSegLib.fetus_layout import (
    CALIBRATION,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    VALID,
    read_image,
    read_label,
    read_list,
    truth_path,
)
from FetalEchoSegLib.phantom.cases import sample_case
from FetalEchoSegLib.phantom.clip import make_clip, make_named_clip
from FetalEchoSegLib.phantom.dataset import TEST_NEW, TEST_SAME, write_dataset
from FetalEchoSegLib.phantom.devices import NEW_DEVICES, SAME_DEVICES

COUNTS = {"labelled": 7, "unlabelled": 4, "validation": 4, "test_same": 4, "test_new": 4}
LISTS = {TRAIN_LABELED: 7, TRAIN_UNLABELED: 4, VALID: 4, TEST_SAME: 4, TEST_NEW: 4}
SHAPE = (128, 128)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    steps = []
    write_dataset(
        folder, **COUNTS, seed=5, image_shape=SHAPE, workers=1, progress=lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (23, 23)
    return folder


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_lists_name_as_many_frames_as_asked_for(dataset):
    for name, count in LISTS.items():
        entries = read_list(dataset / name)
        assert len(entries) == count
        assert all(e.image.is_file() for e in entries)
        assert all((e.label is None) == (name == TRAIN_UNLABELED) for e in entries)
    assert len(list((dataset / "images").iterdir())) == 23
    assert len(list((dataset / "labels").iterdir())) == 19


def test_masks_and_conditions_are_permitted_in_their_view(dataset):
    for name in LISTS:
        for entry in read_list(dataset / name):
            image = read_image(entry.image)
            assert image.image.shape == (*SHAPE, 3)
            assert image.view == entry.view
            if entry.label:
                label = read_label(entry.label)
                assert set(np.unique(label.mask)) <= set(permitted_labels(entry.view))
                assert not label.label[~condition_table()[entry.view.index]].any()
                assert len(np.unique(label.mask)) > 2


def test_files_have_the_challenge_types(dataset):
    with h5py.File(dataset / "images" / "1.h5") as file:
        assert file["image"].dtype == np.uint8
        assert file["view"].shape == (1,)
        assert file["view"].dtype == np.int32
    with h5py.File(dataset / "labels" / "1_label.h5") as file:
        assert file["mask"].dtype == np.uint8
        assert file["label"].shape == (7,)


def test_no_fetus_is_on_two_sides_of_a_split(dataset):
    groups = [{read_image(e.image).attributes["patient_group"] for e in read_list(dataset / name)} for name in LISTS]
    assert sum(len(g) for g in groups) == len(set().union(*groups))
    assert len(groups[0]) == 3  # seven frames, three from each fetus


def test_only_the_last_part_uses_held_out_devices(dataset):
    held_out = {f"FetalEcho phantom, device {d.name}" for d in NEW_DEVICES}
    usual = {f"FetalEcho phantom, device {d.name}" for d in SAME_DEVICES}
    for name in LISTS:
        sources = {read_image(e.image).attributes["source"] for e in read_list(dataset / name)}
        assert sources <= (held_out if name == TEST_NEW else usual)


def test_spacing_and_time_travel_with_each_frame(dataset):
    entries = read_list(dataset / TRAIN_LABELED)[:3]
    attributes = [read_image(e.image).attributes for e in entries]
    assert [a["frame_index"] for a in attributes] == [0, 1, 2]
    assert attributes[0]["time_s"] < attributes[1]["time_s"] < attributes[2]["time_s"]
    assert 0.4 < attributes[0]["spacing_mm"][0] < 1.4  # 128 pixels instead of 512
    assert "drawn_by" in read_label(entries[0].label).attributes


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    write_dataset(tmp_path, **COUNTS, seed=5, image_shape=SHAPE, workers=2)
    assert bytes_of(tmp_path) == bytes_of(dataset)


def test_another_seed_gives_other_frames(dataset, tmp_path):
    write_dataset(
        tmp_path, labelled=1, unlabelled=0, validation=0, test_same=0, test_new=0, seed=6, image_shape=SHAPE, workers=1
    )
    assert (tmp_path / "images" / "1.h5").read_bytes() != (dataset / "images" / "1.h5").read_bytes()


def test_cancelling_leaves_nothing(tmp_path):
    with pytest.raises(Cancelled, match="3 of 23"):
        write_dataset(tmp_path / "new", **COUNTS, seed=5, image_shape=SHAPE, workers=1, cancelled=lambda: True)
    assert not list(tmp_path.iterdir())


def test_an_error_in_the_middle_leaves_other_files_of_the_folder_alone(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, **COUNTS, seed=5, image_shape=SHAPE, workers=1, progress=stop)
    assert [path.name for path in tmp_path.rglob("*")] == ["notes.txt"]


@pytest.mark.skipif(os.name == "nt", reason="process groups and their signals are POSIX")
def test_workers_leave_ctrl_c_to_their_parent(monkeypatch):
    import signal

    from FetalEchoSegLib.phantom import dataset

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(dataset, "write_case", signal.getsignal)  # each worker answers instead of working
    assert list(dataset._run([signal.SIGINT] * 2, workers=2)) == [signal.SIG_IGN] * 2
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="process groups and their signals are POSIX")
def test_an_interrupt_is_one_sentence_and_leaves_nothing(tmp_path):
    import signal
    import subprocess
    import sys
    import time

    code = """if __name__ == "__main__":
        import os, signal, sys
        # A background job of a shell starts with interrupts ignored, and so would the tests' children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.cpu_count = lambda: 2
        from FetalEchoSegLib.commands import main
        from FetalEchoSegLib.phantom import dataset
        dataset.closing, close = lambda cases: (print("started", flush=True), close(cases))[1], dataset.closing
        sys.exit(main(["phantom", "--dataset", "--out", sys.argv[1]]))
    """
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "started\n"
    time.sleep(1)  # the workers have begun
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said == "Interrupted; nothing half-written was kept.\n"
    assert process.returncode == 130
    assert not (tmp_path / "out").exists()


def test_a_script_from_stdin_is_no_main_file_to_start_processes_from_and_gets_its_data_all_the_same(tmp_path):
    """A pool of processes would start new ones for ever, each with a traceback."""
    import subprocess
    import sys

    few = {"labelled": 2, "unlabelled": 0, "validation": 1, "test_same": 0, "test_new": 0}
    code = "from FetalEchoSegLib.phantom.dataset import write_dataset\n"
    code += f"write_dataset({str(tmp_path / 'piped')!r}, **{few}, seed=5, image_shape={SHAPE}, workers=2)\n"
    ran = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stderr.count("No processes could be started to share the work") == 1
    assert ran.stderr.count("Traceback") <= 2  # one a process
    write_dataset(tmp_path / "alone", **few, seed=5, image_shape=SHAPE, workers=1)
    assert bytes_of(tmp_path / "piped") == bytes_of(tmp_path / "alone")


def test_a_process_that_is_killed_is_one_sentence_and_nothing_is_kept(tmp_path, monkeypatch):
    from FetalEchoSegLib.phantom import dataset

    monkeypatch.setattr(dataset, "write_case", _write_unless_third)
    with pytest.raises(FetalEchoError, match="was ended, perhaps for want of memory; nothing was kept"):
        write_dataset(tmp_path / "out", **COUNTS, seed=5, image_shape=(64, 64), workers=2)
    assert not list(tmp_path.iterdir())


def _write_unless_third(task):
    if task.names[0] == "7" and multiprocessing.parent_process():  # the third fetus
        os._exit(9)  # as the kernel does when memory runs out
    return task.part.name, []


@pytest.mark.parametrize("taken", ["images", "labels", "valid.json"])
def test_a_data_set_is_never_overwritten(tmp_path, taken):
    (tmp_path / taken).mkdir()
    with pytest.raises(InvalidRequest, match=f"holds a data set already .{taken}.: choose another folder"):
        write_dataset(tmp_path, **COUNTS, seed=5, image_shape=SHAPE, workers=1)


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="A seed is a whole number from 0 on, not -1"):
        write_dataset(tmp_path, **COUNTS, seed=-1)


def test_a_clip_too_long_for_the_memory_is_refused():
    with pytest.raises(InvalidRequest, match="at most 10000 frames, not 99999999999"):
        make_clip(sample_case(View.RVOT, 3), frames=99_999_999_999)


def test_a_file_in_the_way_of_the_folder_is_reported(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UnwritableOutput, match="taken"):
        write_dataset(tmp_path / "taken", **COUNTS, seed=5, image_shape=SHAPE, workers=1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_leaves_no_half_written_file(tmp_path, monkeypatch):
    from pathlib import Path

    def full(self, data):
        with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UnwritableOutput, match="full") as caught:
        write_dataset(tmp_path, **COUNTS, seed=5, image_shape=SHAPE, workers=1)
    assert not list(tmp_path.iterdir())
    assert ".partial" not in str(caught.value)


def test_negative_counts_are_refused(tmp_path):
    with pytest.raises(InvalidRequest):
        write_dataset(tmp_path, **{**COUNTS, "labelled": -1}, seed=5)


@pytest.mark.parametrize("view", list(View))
def test_a_clip_is_calibrated_timed_and_reproducible(view):
    first, second = (make_clip(sample_case(view, 3), frames=3, frame_rate=40.0, image_shape=SHAPE) for _ in range(2))
    assert np.array_equal(first.cine.frames, second.cine.frames)
    assert first.labels.shape == (3, *SHAPE)
    assert first.cine.frame_rate == pytest.approx(40.0)
    assert first.cine.is_calibrated
    assert first.cine.view is view
    assert set(np.unique(first.labels)) <= set(permitted_labels(view))


def test_a_named_clip_has_the_named_device_family_and_no_condition_by_default():
    clip = make_named_clip(View.LVOT, seed=4, frames=1, new_device=True, image_shape=SHAPE)
    assert clip.device_name in {d.name for d in NEW_DEVICES}
    assert clip.case.conditions == frozenset()


def test_impossible_clips_are_refused():
    with pytest.raises(InvalidRequest):
        make_clip(sample_case(View.LVOT, 1), frames=0)
    with pytest.raises(InvalidRequest):
        make_clip(sample_case(View.LVOT, 1), frame_rate=0.0)


def test_what_is_known_of_unlabelled_frames_lies_apart(dataset):
    entries = read_list(dataset / TRAIN_UNLABELED)
    for entry in entries:
        truth = read_label(truth_path(entry.image))
        assert truth.mask.shape == SHAPE
        assert set(np.unique(truth.mask)) <= set(permitted_labels(entry.view))
    assert len(list((dataset / "truth").iterdir())) == len(entries)


def test_a_small_part_dealt_out_evenly_has_every_view_and_condition(tmp_path):
    counts = {"labelled": 28, "unlabelled": 0, "validation": 0, "test_same": 0, "test_new": 0, "calibration": 14}
    write_dataset(tmp_path, **counts, seed=3, image_shape=(64, 64), frames_per_case=1, even=True, workers=1)
    for name, per_view in ((TRAIN_LABELED, [7, 6, 5, 10]), (CALIBRATION, [3, 3, 3, 5])):
        entries = read_list(tmp_path / name)
        assert [sum(e.view is view for e in entries) for view in View] == per_view
        labels = np.array([read_label(e.label).label for e in entries])
        shown = condition_table()[[e.view.index for e in entries]]
        assert not (labels & ~shown.astype(np.uint8) & 1).any()
        positives = np.array([[labels[[e.view is v for e in entries], c].sum() for c in Condition] for v in View])
        assert (positives[condition_table()] == 1).all()
        assert labels.sum(1).max() == 1


def test_calibration_frames_come_last_and_change_no_other_part(dataset, tmp_path):
    write_dataset(tmp_path, **COUNTS, calibration=2, seed=5, image_shape=SHAPE, workers=1)
    more, before = bytes_of(tmp_path), bytes_of(dataset)
    assert {name: more[name] for name in before} == before
    assert sorted(set(more) - set(before)) == [
        "calibration.json", "images/24.h5", "images/25.h5", "labels/24_label.h5", "labels/25_label.h5"
    ]  # fmt: skip
