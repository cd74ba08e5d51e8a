"""The frames of a run: what is found, how they are divided, and what is said about those that are wrong."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("pydantic")
cv2 = pytest.importorskip("cv2")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.anatomy import Condition, View
from FetalEchoSegLib.errors import Cancelled, InvalidDataset
from FetalEchoSegLib.fetus_layout import (
    CALIBRATION,
    TRAIN_LABELED,
    TRAIN_UNLABELED,
    VALID,
    image_path,
    label_path,
    read_list,
    write_label,
    write_list,
)
from FetalEchoSegLib.preprocessing import network_input
from FetalEchoTrainLib import dataset
from FetalEchoTrainLib.configuration import parse_config
from FetalEchoTrainLib.dataset_check import check_data
from FetalEchoTrainLib.split import hold_out
from training_data import SmallDataset, small_dataset


def config(folder, **data):
    return parse_config(
        {"data": {"folder": str(folder), **data}, "ema": {"labelled_batch": 2, "unlabelled_batch": 2}}, ""
    )


def said(checked, fatal):
    return [str(problem) for problem in (checked.fatal if fatal else checked.warnings)]


@pytest.fixture
def folder(tmp_path):
    return small_dataset(tmp_path / "set")


def test_frames_are_found_by_list_and_nothing_is_wrong(folder):
    checked = check_data(config(folder))
    data = checked.data
    assert said(checked, True) == []
    assert [len(frames) for _, frames in data.parts()] == [16, 8, 4, 4]  # half of valid.json calibrates
    frame = data.labelled[2]
    assert (frame.view, frame.group, frame.part) == (View.RVOT, "train_labeled.json 0", TRAIN_LABELED)
    assert frame.labelled
    assert set(frame.structures) == {6, 8, 9, 10, 11, 12}
    assert not data.unlabelled[0].labelled
    checked.require_usable()


def test_a_frame_is_read_as_inference_reads_it(folder):
    frame = check_data(config(folder)).data.labelled[0]
    sample = dataset.read_frame(frame, 32)
    with h5py.File(frame.path) as file:
        expected = network_input(file["image"][()], 32)
    assert np.array_equal(sample.image, (expected * 255 + 0.5).astype(np.uint8))
    assert sample.mask.shape == (32, 32)
    assert set(np.unique(sample.mask)) == {0, *frame.structures}
    assert (sample.view, sample.conditions.tolist()) == (1, [0] * 7)


def test_masks_of_any_size_reduce_to_the_majority_and_keep_edges_in_place():
    mask = np.zeros((512, 512), dtype=np.uint8)
    mask[100:200, 300:400] = 9
    rows, columns = np.nonzero(dataset.reduce_mask(mask, 256))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 99, 150, 199)
    block = np.array([[1, 1, 2, 2], [1, 2, 2, 0], [3, 3, 3, 3], [3, 4, 4, 4]], dtype=np.uint8)
    assert dataset.reduce_mask(block, 2)[0].tolist() == [1, 2]
    wide = np.full((60, 80), 5, dtype=np.uint8)
    reduced = dataset.reduce_mask(wide, 32)  # 10 rows of padding above and below, no even factor
    assert not reduced[:4].any()
    assert (reduced[4:28] == 5).all()


def test_truth_of_unlabelled_frames_is_apart_from_what_training_reads(folder):
    frame = check_data(config(folder)).data.unlabelled[0]
    assert dataset.read_frame(frame, 32).mask is None
    assert set(np.unique(dataset.read_truth(frame, 32))) == {0, 1, 2, 3, 4, 5, 6, 7}
    shutil.rmtree(folder / "truth")
    assert dataset.read_truth(check_data(config(folder)).data.unlabelled[0], 32) is None


def test_the_fingerprint_is_of_the_content(folder, tmp_path):
    first = check_data(config(folder)).data.fingerprint
    shutil.move(folder, tmp_path / "moved")
    assert check_data(config(tmp_path / "moved")).data.fingerprint == first
    mask = np.zeros((64, 64), np.uint8)
    write_label(label_path(tmp_path / "moved", "1"), mask, np.zeros(7, np.uint8))
    assert check_data(config(tmp_path / "moved")).data.fingerprint != first


def test_an_equal_picture_has_one_digest_in_any_file(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    assert dataset.digest_of(grey) == dataset.digest_of(np.repeat(grey[..., None], 3, 2))
    assert dataset.digest_of(grey) != dataset.digest_of(grey.reshape(30, 20))


# Divisions -----------------------------------------------------------------------------------------------------------


def test_without_lists_labelled_frames_are_split_by_patient(tmp_path):
    folder = small_dataset(tmp_path, labelled=64, unlabelled=16, validation=0, lists=False)
    checked = check_data(config(folder, validation_share=0.25, calibration_share=0.5))
    data = checked.data
    assert len(data.labelled) + len(data.validation) + len(data.calibration) == 64
    assert 8 <= len(data.validation) + len(data.calibration) <= 24
    groups = [{frame.group for frame in frames} for frames in (data.labelled, data.validation, data.calibration)]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 16
    assert len(data.unlabelled) == 16


def frames_of(views, positives, per_patient):
    """Frames without files: view, and one condition where ``positives`` says so."""
    return [
        dataset.Frame(Path(f"{k}.h5"), View(int(v)), f"patient {k // per_patient}", "x", str(k), Path("l"),
                      tuple(int(p and c == 0) for c in range(7)))
        for k, (v, p) in enumerate(zip(views, positives, strict=True))
    ]  # fmt: skip


def test_a_split_has_the_proportions_of_the_whole_and_whole_patients():
    rng = np.random.default_rng(3)
    frames = frames_of(np.repeat(rng.integers(1, 5, 120), 3), np.repeat(rng.random(120) < 0.1, 3), 3)
    kept, held = hold_out(frames, 0.2, seed=1)
    assert not {f.group for f in kept} & {f.group for f in held}
    assert len(held) == pytest.approx(0.2 * len(frames), abs=6)
    for view in View:
        of_view = [f for f in frames if f.view is view]
        assert sum(f.view is view for f in held) == pytest.approx(0.2 * len(of_view), abs=3.1)
        positive = [f for f in of_view if f.conditions[0]]
        assert sum(f.view is view and f.conditions[0] for f in held) == pytest.approx(0.2 * len(positive), abs=3.1)


def test_a_split_depends_on_its_seed_alone():
    frames = frames_of(np.arange(80) % 4 + 1, np.zeros(80, bool), 2)
    held = {f.group for f in hold_out(frames, 0.3, seed=1)[1]}
    assert {f.group for f in hold_out(frames[::-1], 0.3, seed=1)[1]} == held
    assert {f.group for f in hold_out(frames, 0.3, seed=2)[1]} != held


def test_a_single_patient_cannot_be_split(tmp_path):
    made = SmallDataset(tmp_path)
    for _ in range(6):
        made.add(TRAIN_LABELED, group="one")
    checked = check_data(config(made.write_lists()))
    assert any("nothing can be held out" in text for text in said(checked, True))


def test_a_calibration_list_is_used_as_it_is(folder):
    entries = read_list(folder / VALID)
    write_list(folder / VALID, entries[:5])
    write_list(folder / CALIBRATION, entries[5:])
    # The second patient of the list is now on both sides.
    checked = check_data(config(folder))
    assert (len(checked.data.validation), len(checked.data.calibration)) == (5, 3)
    assert any("same patient as" in text for text in said(checked, True))


def test_without_calibration_frames_validation_serves_and_it_is_said(folder):
    checked = check_data(config(folder, calibration_share=0.0))
    assert checked.data.calibration == checked.data.validation
    assert any("thresholds are fitted on the frames that choose the weights" in text for text in said(checked, False))
    assert said(checked, True) == []


# Unlabelled files of other kinds -------------------------------------------------------------------------------------


def test_a_plain_folder_of_images_and_clips_is_unlabelled_data(folder, tmp_path):
    clips = tmp_path / "clips"
    rng = np.random.default_rng(0)
    (clips / "4CH" / "anna").mkdir(parents=True)
    for k in range(3):
        cv2.imwrite(str(clips / "4CH" / "anna" / f"{k}.png"), rng.integers(0, 255, (50, 70), dtype=np.uint8))
    tiff = pytest.importorskip("tifffile")
    (clips / "rvot").mkdir()
    tiff.imwrite(
        clips / "rvot" / "clip.tif", rng.integers(0, 255, (30, 40, 40), dtype=np.uint8), photometric="minisblack"
    )
    (clips / ".DS_Store").write_bytes(b"x")
    checked = check_data(config(folder, unlabelled=[str(clips)], frames_per_clip=4))
    assert said(checked, True) == []
    found = [frame for frame in checked.data.unlabelled if frame.part == "clips"]
    assert [(f.path.name, f.index, f.view.short) for f in found] == [
        ("0.png", 0, "4CH"), ("1.png", 0, "4CH"), ("2.png", 0, "4CH"),
        ("clip.tif", 0, "RVOT"), ("clip.tif", 10, "RVOT"), ("clip.tif", 19, "RVOT"), ("clip.tif", 29, "RVOT"),
    ]  # fmt: skip
    assert len({f.group for f in found[:3]}) == 1
    assert dataset.read_frame(found[0], 32).image.shape == (32, 32)


def test_an_unlabelled_file_without_view_is_named_and_left_out(folder, tmp_path):
    (tmp_path / "clips").mkdir()
    picture = tmp_path / "clips" / "1.png"
    cv2.imwrite(str(picture), np.arange(2500, dtype=np.uint8).reshape(50, 50))
    given = parse_config(
        {"data": {"folder": str(folder), "unlabelled": [str(tmp_path / "clips")]},
         "ema": {"labelled_batch": 2, "unlabelled_batch": 2}, "run": {"unreadable_share": 0.2}}, "")  # fmt: skip
    checked = check_data(given)
    assert any(
        text.startswith(f"{picture}: its view is not known; put it in a folder named") for text in said(checked, False)
    )
    checked = check_data(given.changed({"data.unlabelled_view": "LVOT"}))
    assert checked.data.unlabelled[-1].view is View.LVOT


def test_too_many_unusable_unlabelled_files_stop_the_run(folder):
    for number in (17, 18):
        image_path(folder, str(number)).write_bytes(b"broken")
    checked = check_data(config(folder))
    assert sum("not a complete HDF5 file" in text for text in said(checked, False)) == 2
    assert any("2 unlabelled files cannot be used" in text for text in said(checked, True))


# What is wrong -------------------------------------------------------------------------------------------------------


def damage(path, key, value=None):
    with h5py.File(path, "a") as file:
        del file[key]
        if value is not None:
            file[key] = value


WRONG = {
    "missing mask": (lambda f: label_path(f, "3").unlink(), "3_label.h5: there is no such file"),
    "label 15": (lambda f: damage(label_path(f, "3"), "mask", np.full((64, 64), 15, np.uint8)), "holds label 15"),
    "wrong size": (
        lambda f: damage(label_path(f, "3"), "mask", np.ones((32, 64), np.uint8)),
        "3.h5: its mask 3_label.h5 has 32 × 64 pixels, the image 64 × 64; export it again.",
    ),
    "no view": (lambda f: damage(image_path(f, "3"), "view"), "3.h5: 'view' (the standard plane, 1 to 4) is missing"),
    "other view": (
        lambda f: damage(image_path(f, "3"), "view", np.array([4], np.int32)),
        "3.h5: train_labeled.json calls it RVOT, the file 3VT; correct one of them.",
    ),
    "unreadable": (lambda f: image_path(f, "3").write_bytes(b"\x89HDF\r\n\x1a\nxx"), "not a complete HDF5 file"),
    "duplicate": (lambda f: shutil.copy(image_path(f, "3"), image_path(f, "27")), "27.h5: the same picture is"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_file_and_reason(folder, name):
    spoil, says = WRONG[name]
    spoil(folder)
    checked = check_data(config(folder))
    (problem,) = said(checked, True)
    assert problem.startswith(str(folder))
    assert says in problem
    assert says in str(checked)
    with pytest.raises(InvalidDataset, match="3"):
        checked.require_usable()


def test_all_files_are_checked_not_only_up_to_the_first_wrong_one(folder):
    for number in (2, 5, 9):
        label_path(folder, str(number)).unlink()
    checked = check_data(config(folder))
    assert len(checked.fatal) == 3
    with pytest.raises(InvalidDataset, match=r"2_label\.h5.*\(2 more like this"):
        checked.require_usable()


def test_a_patient_on_two_sides_is_refused(tmp_path):
    made = SmallDataset(tmp_path)
    for part in (TRAIN_LABELED, TRAIN_LABELED, TRAIN_UNLABELED, TRAIN_UNLABELED, VALID):
        made.add(part, group="anna", labelled=part != TRAIN_UNLABELED)
    made.add(VALID, group="berta")
    checked = check_data(config(made.write_lists(), calibration_share=0.0))
    (problem,) = said(checked, True)
    assert "5.h5: it is of the same patient as" in problem
    assert "in training" in problem


def test_pictures_that_count_twice_are_said(folder):
    shutil.copy(image_path(folder, "17"), image_path(folder, "21"))
    assert any("21.h5: the same picture as" in text for text in said(check_data(config(folder)), False))


def test_what_a_view_cannot_show_is_said_and_training_goes_on(folder):
    mask = np.zeros((64, 64), np.uint8)
    mask[:8], mask[20:30] = 8, 1  # no ascending aorta in 4CH
    label = np.eye(7, dtype=np.uint8)[Condition.RIGHT_AORTIC_ARCH]
    write_label(label_path(folder, "1"), mask, label)
    checked = check_data(config(folder))
    texts = said(checked, False)
    assert any("AscAo cannot be drawn in 4CH; it will not count." in text for text in texts)
    assert any("RAA cannot be judged in 4CH; it will not count." in text for text in texts)
    assert said(checked, True) == []
    assert checked.summary[0].positives[Condition.RIGHT_AORTIC_ARCH] == 0


def test_rare_and_absent_classes_are_said(tmp_path):
    folder = small_dataset(tmp_path, labelled=64)
    texts = said(check_data(config(folder)), False)
    assert any("only 4 labelled frames have VSD; its figures will be luck." in text for text in texts)
    assert any("no labelled frame has AoV_sten, which cannot be learned." in text for text in texts) is False
    made = SmallDataset(tmp_path / "healthy")
    for k in range(8):
        made.add(TRAIN_LABELED, View(1 + k % 4))
        made.add(VALID, View(1 + k % 4))
    texts = said(check_data(config(made.write_lists())), False)
    assert sum("which cannot be learned" in text for text in texts) == 7


def test_one_view_only_and_no_unlabelled_data_are_said(tmp_path):
    made = SmallDataset(tmp_path)
    for _ in range(4):
        made.add(TRAIN_LABELED, View.LVOT)
        made.add(VALID, View.LVOT)
    checked = check_data(config(made.write_lists()))
    texts = said(checked, False)
    assert any("all labelled frames are LVOT; no other view will work." in text for text in texts)
    assert any("training on the labelled ones alone" in text for text in texts)
    assert said(checked, True) == []
    arm = config(tmp_path).changed({"arm": "labelled-only"})
    assert not any("unlabelled" in text for text in said(check_data(arm), False))


def test_a_batch_larger_than_the_data_names_the_key(folder):
    checked = check_data(config(folder).changed({"ema.labelled_batch": 17, "ema.unlabelled_batch": 9}))
    assert [text.partition(": ")[2] for text in said(checked, True)] == [
        "ema.labelled_batch is 17, but there are only 16 such frames; lower it to 16 or add frames.",
        "ema.unlabelled_batch is 9, but there are only 8 such frames; lower it to 8 or add frames.",
    ]


def test_a_start_from_a_model_of_another_image_size_is_said(folder):
    start = config(folder).changed({"network.size": "tiny", "network.initial": "demo-tiny", "network.image_size": 128})
    expected = "demo-tiny learned from images of 256 pixels and knows little of 128; set network.image_size to 256"
    assert any(expected in text for text in said(check_data(start), False))
    start = start.changed({"network.image_size": 256})
    assert not any("demo-tiny" in text for text in said(check_data(start), False))


def test_a_folder_that_is_no_data_set_is_one_sentence(tmp_path):
    with pytest.raises(InvalidDataset, match=r"there is no such folder; data\.folder must be a data set"):
        check_data(config(tmp_path / "none"))
    with pytest.raises(InvalidDataset, match=r"images/ and labels/, or lists such as train_labeled\.json"):
        check_data(config(tmp_path))
    folder = small_dataset(tmp_path / "set")
    with pytest.raises(InvalidDataset, match=r"correct data\.unlabelled"):
        check_data(config(folder, unlabelled=[str(tmp_path / "none")]))


def test_progress_is_told_and_the_check_can_be_cancelled(folder):
    steps = []
    check_data(config(folder), progress=lambda done, total: steps.append((done, total)))
    assert steps == [(k, 32) for k in range(1, 33)]
    with pytest.raises(Cancelled, match="after 1 of 32 files"):
        check_data(config(folder), cancelled=lambda: True)


def test_the_table_counts_frames_patients_views_and_positives(folder):
    table = str(check_data(config(folder))).splitlines()
    assert table[0].split() == ["frames", "patients", "4CH", "LVOT", "RVOT", "3VT", "VSD", "AV_sten", "AoHypo",
                                "AoV_sten", "DORV", "PV_sten", "RAA"]  # fmt: skip
    assert table[1].split()[:7] == ["labelled", "16", "4", "4", "4", "4", "4"]
    assert table[1].split()[7:] == ["2/8", "0/4", "1/8", "0/4", "1/4", "0/8", "0/4"]
    assert table[2].split() == ["unlabelled", "8", "2", "2", "2", "2", "2"]


def test_conditions_of_a_phantom_data_set_are_as_frequent_as_asked(tmp_path):
    phantom = {"labelled": 24, "unlabelled": 0, "validation": 4, "calibration": 4, "same": 2, "new": 2,
               "image_size": 64, "frames_per_case": 1, "prevalence": 0.5}  # fmt: skip
    checked = check_data(config(tmp_path / "made", phantom=phantom, tests={}))
    (labelled,) = (part for part in checked.summary if part.name == "labelled")
    assert labelled.positives.sum() > 0.35 * labelled.eligible.sum()  # two of them exclude each other


def test_a_phantom_data_set_is_made_where_there_is_none(tmp_path):
    phantom = {"labelled": 8, "unlabelled": 4, "validation": 4, "calibration": 4, "same": 2, "new": 2, "image_size": 64}
    made = config(tmp_path / "made", phantom=phantom)
    checked = check_data(made)
    assert said(checked, True) == []
    assert [len(frames) for _, frames in checked.data.parts()] == [8, 4, 4, 4, 2, 2]
    assert all(frame.truth is not None for frame in checked.data.unlabelled)
    before = sorted((tmp_path / "made").rglob("*"))
    assert check_data(made).data.fingerprint == checked.data.fingerprint
    assert sorted((tmp_path / "made").rglob("*")) == before


def test_real_dicom_clips_are_unlabelled_data(folder):
    """Those that the pydicom package carries: a cine of thirty frames and a still."""
    pydicom_data = pytest.importorskip("pydicom.data")
    names = ("examples_ybr_color.dcm", "examples_rgb_color.dcm")
    clips = folder.parent / "clips" / "4CH"
    clips.mkdir(parents=True)
    for name in names:
        shutil.copy(pydicom_data.get_testdata_file(name, download=False), clips / name)
    checked = check_data(config(folder, unlabelled=[str(clips.parent)], frames_per_clip=3))
    assert said(checked, True) == []
    found = [frame for frame in checked.data.unlabelled if frame.part == "clips"]
    assert [(f.path.name, f.index) for f in found] == [
        ("examples_rgb_color.dcm", 0), ("examples_ybr_color.dcm", 0), ("examples_ybr_color.dcm", 14),
        ("examples_ybr_color.dcm", 29),
    ]  # fmt: skip
    assert found[1].group == found[2].group != found[0].group
    assert all(dataset.read_frame(frame, 64).image.std() > 5 for frame in found)
