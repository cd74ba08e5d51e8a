"""Export into a data set: what is in it, and that nothing but a whole export ever changes it."""

import json
from pathlib import Path

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.errors import Cancelled, InvalidDataset, InvalidRequest, UnreadableInput, UnwritableOutput
from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, read_image, read_label, read_list
from FetalEchoTrainLib import export
from FetalEchoTrainLib.export import ExportFrame, burnt_in_text, clip_hash, export_frames, set_text_masks, undo

SIZE = (40, 56)


def frame(index, seed=0, mask=True, clip="c0ffee", **more):
    rng = np.random.default_rng([seed, index])
    image = rng.integers(0, 255, SIZE, dtype=np.uint8)
    labels = rng.integers(0, 15, SIZE, dtype=np.uint8) if mask else None
    return ExportFrame(clip, index, View.LVOT, lambda: image, labels, **more)


def content(folder: Path):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def listed(dataset, name):
    path = dataset / name
    return [entry.image.stem for entry in read_list(path)] if path.exists() else []


def test_pixels_masks_and_what_is_known_are_written_exactly(tmp_path):
    conditions = np.array([0, 1, 0, 0, 0, 0, 1], dtype=np.uint8)
    made = frame(3, patient="ab12", conditions=conditions, attributes={"drawn_by": "clicks", "time_s": 0.1})
    done = export_frames(tmp_path / "daten ü", [made, frame(5, mask=False)])
    assert (done.labelled, done.unlabelled, done.replaced) == (1, 1, 0)
    (entry,) = read_list(tmp_path / "daten ü" / TRAIN_LABELED)
    image, label = read_image(entry.image), read_label(entry.label)
    np.testing.assert_array_equal(image.image[..., 0], made.read())
    np.testing.assert_array_equal(label.mask, made.mask)
    np.testing.assert_array_equal(label.label, conditions)
    assert (image.view, entry.view) == (View.LVOT, View.LVOT)
    assert image.attributes["patient_group"] == "ab12"
    assert label.attributes["drawn_by"] == "clicks"
    (other,) = read_list(tmp_path / "daten ü" / TRAIN_UNLABELED)
    assert other.label is None
    assert read_image(other.image).attributes["patient_group"] == "clip-c0ffee"


def test_only_what_is_meant_for_files_is_written(tmp_path):
    export_frames(tmp_path, [frame(0, attributes={"PatientName": "Doe", "spacing_mm": np.ones(2)})])
    (entry,) = read_list(tmp_path / TRAIN_LABELED)
    assert set(read_image(entry.image).attributes) == {"spacing_mm", "frame_index", "patient_group", "source"}
    assert not any(b"Doe" in data for data in content(tmp_path).values())


def test_a_frame_exported_again_replaces_itself_and_others_stay(tmp_path):
    export_frames(tmp_path, [frame(0), frame(1), frame(2, mask=False)])
    again = export_frames(tmp_path, [frame(1, seed=9), frame(2), frame(4)])
    assert (again.labelled, again.replaced) == (3, 2)
    assert listed(tmp_path, TRAIN_LABELED) == [f"c0ffee-{i:05d}" for i in (0, 1, 2, 4)]
    assert listed(tmp_path, TRAIN_UNLABELED) == []
    image = read_image(tmp_path / "images" / "c0ffee-00001.h5").image
    np.testing.assert_array_equal(image[..., 0], frame(1, seed=9).read())


def test_every_export_can_be_undone(tmp_path):
    states = []
    for frames in ([frame(0), frame(2, mask=False)], [frame(0, seed=3), frame(2), frame(7)], [frame(8)]):
        states.append(content(tmp_path))
        export_frames(tmp_path, frames)
    assert [e.number for e in export.exports(tmp_path)] == [1, 2, 3]
    for state in reversed(states[1:]):
        undo(tmp_path)
        assert content(tmp_path) == state
    undo(tmp_path)
    assert listed(tmp_path, TRAIN_LABELED) == listed(tmp_path, TRAIN_UNLABELED) == []
    assert not list(tmp_path.glob("*/*"))
    with pytest.raises(InvalidRequest, match="no export"):
        undo(tmp_path)


def test_frames_of_others_are_never_touched(tmp_path):
    export_frames(tmp_path, [frame(0)])
    listing = json.loads((tmp_path / TRAIN_LABELED).read_text())
    theirs = {"image": "images/17.h5", "label": "labels/17_label.h5", "view_id": 1}
    (tmp_path / TRAIN_LABELED).write_text(json.dumps([theirs, *listing]))
    (tmp_path / "images" / "17.h5").write_bytes(b"theirs")
    export_frames(tmp_path, [frame(1)])
    undo(tmp_path)
    undo(tmp_path)
    assert listed(tmp_path, TRAIN_LABELED) == ["17"]
    assert (tmp_path / "images" / "17.h5").read_bytes() == b"theirs"


def broken():
    raise UnreadableInput("frame 1 is damaged")


@pytest.mark.parametrize("failure", ["cancel", "unreadable", "full", "full while moving", "wrong size"])
def test_what_fails_leaves_the_data_set_as_it_was(tmp_path, monkeypatch, failure):
    export_frames(tmp_path, [frame(0), frame(1, mask=False)])
    before = content(tmp_path)
    frames = [frame(0, seed=5), frame(1), frame(2)]
    expected, asked = UnwritableOutput, []

    def no_space(*_):
        raise OSError(28, "No space left on device")

    if failure == "cancel":
        expected = Cancelled
    elif failure == "unreadable":
        frames[1] = ExportFrame("c0ffee", 1, View.LVOT, broken)
        expected = UnreadableInput
    elif failure == "wrong size":
        frames[1] = ExportFrame("c0ffee", 1, View.LVOT, frame(1).read, np.zeros((8, 8), np.uint8))
        expected = InvalidDataset
    elif failure == "full":
        monkeypatch.setattr(export, "write_label", no_space)
    else:
        monkeypatch.setattr(export, "write_list", once(no_space, export.write_list))

    with pytest.raises(expected):
        export_frames(tmp_path, frames, cancelled=lambda: asked.append(0) or (failure == "cancel" and len(asked) > 1))
    assert content(tmp_path) == before


def once(first, then):
    calls = []

    def call(*arguments):
        calls.append(0)
        return first(*arguments) if len(calls) == 1 else then(*arguments)

    return call


def test_an_export_that_was_killed_while_files_were_moved_is_taken_back_by_the_next(tmp_path, monkeypatch):
    export_frames(tmp_path, [frame(0), frame(1)])
    before = content(tmp_path)

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_list", die)
        with pytest.raises(Killed):
            export_frames(tmp_path, [frame(1, seed=4), frame(2)])
    assert content(tmp_path) != before
    export_frames(tmp_path, [frame(9)])
    undo(tmp_path)
    assert content(tmp_path) == before


def test_a_read_only_data_set_is_said_in_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UnwritableOutput, match="file"):
        export_frames(tmp_path / "file" / "dataset", [frame(0)])


def test_nothing_and_twice_the_same_are_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="nothing to export"):
        export_frames(tmp_path / "new", [])
    with pytest.raises(InvalidRequest, match="twice"):
        export_frames(tmp_path / "new", [frame(0), frame(0, seed=2)])
    assert not (tmp_path / "new").exists()


def test_a_damaged_manifest_is_named(tmp_path):
    export_frames(tmp_path, [frame(0)])
    (tmp_path / "exports" / "0001" / "manifest.json").write_text("{}")
    with pytest.raises(InvalidDataset, match="manifest"):
        undo(tmp_path)


def test_a_clip_is_known_again_and_its_uid_is_not_in_its_name():
    image = frame(0).read()
    assert clip_hash("1.2.840.1", image, 9) == clip_hash("1.2.840.1", frame(1).read(), 3)
    assert "1.2.840" not in clip_hash("1.2.840.1", image, 9)
    assert clip_hash("", image, 9) == clip_hash("", image.copy(), 9)
    assert len({clip_hash("", image, 9), clip_hash("", image, 8), clip_hash("", frame(1).read(), 9)}) == 3


def test_text_is_found_where_it_stands_still(tmp_path):
    import cv2

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (200, 300), dtype=np.uint8) // 2 for _ in range(4)]
    for image in frames:
        cv2.putText(image, "DOE JANE", (20, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 230, 1)
    (box,) = burnt_in_text(frames)
    assert box[0] <= 24
    assert box[1] <= 18
    assert box[2] >= 100
    assert box[3] >= 30
    assert burnt_in_text([np.full((60, 60), 20, np.uint8)] * 4) == []
    assert burnt_in_text(frames[:2]) == []


def test_boxes_once_drawn_black_out_every_frame_of_that_size(tmp_path):
    set_text_masks(tmp_path, SIZE, [(4, 2, 20, 9)])
    export_frames(tmp_path, [frame(0)])
    image = read_image(tmp_path / "images" / "c0ffee-00000.h5").image[..., 0]
    assert not image[2:9, 4:20].any()
    expected = frame(0).read().copy()
    expected[2:9, 4:20] = 0
    np.testing.assert_array_equal(image, expected)
    set_text_masks(tmp_path, SIZE, [])
    export_frames(tmp_path, [frame(0)])
    np.testing.assert_array_equal(read_image(tmp_path / "images" / "c0ffee-00000.h5").image[..., 0], frame(0).read())
    (tmp_path / export.TEXT_MASKS).write_text('{"56x40": [[5, 5, 2, 9]]}')
    with pytest.raises(InvalidDataset, match="boxes"):
        export_frames(tmp_path, [frame(0)])
