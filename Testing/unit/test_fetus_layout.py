"""The FETUS layout: what is written is read back, and every breach of the layout has its sentence."""

from __future__ import annotations

import json
import os

import h5py
import numpy as np
import pytest
from FetalEchoSegLib import fetus_layout as layout
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.errors import InvalidDataset, UnwritableOutput

LABEL = np.array([1, 0, 0, 0, 0, 0, 0], dtype=np.uint8)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 15, (20, 30), dtype=np.uint8)


def raw(path, **arrays):
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return path


def test_an_image_comes_back_with_view_and_attributes(tmp_path, image):
    attributes = {"spacing_mm": np.array([0.2, 0.25]), "time_s": 0.5, "frame_index": 3, "source": "Δ phantom"}
    layout.write_image(tmp_path / "1.h5", image, View.RVOT, attributes)
    back = layout.read_image(tmp_path / "1.h5")
    np.testing.assert_array_equal(back.image, image)
    assert back.view is View.RVOT
    np.testing.assert_array_equal(back.attributes.pop("spacing_mm"), [0.2, 0.25])
    assert back.attributes == {"time_s": 0.5, "frame_index": 3, "source": "Δ phantom"}
    assert layout.read_view(tmp_path / "1.h5") is View.RVOT


def test_files_have_the_public_keys_shapes_and_types(tmp_path, image, mask):
    layout.write_image(tmp_path / "1.h5", image, View.LVOT)
    layout.write_prediction(tmp_path / "p.h5", mask.astype(np.int64), np.array([1, np.nan, 0, 0, 0, 0, 0]))
    with h5py.File(tmp_path / "1.h5") as file:
        assert {k: (v.shape, v.dtype) for k, v in file.items()} == {
            "image": ((20, 30, 3), np.uint8),
            "view": ((1,), np.int32),
        }
    with h5py.File(tmp_path / "p.h5") as file:
        assert {k: (v.shape, v.dtype) for k, v in file.items()} == {
            "mask": ((20, 30), np.uint8),
            "label": ((7,), np.uint8),
        }
        assert file["label"][:].tolist() == [1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("compress", [False, True])
def test_the_same_content_gives_the_same_bytes(tmp_path, image, mask, compress):
    for name in ("a", "b"):
        order = {"y": 1, "x": "text"} if name == "a" else {"x": "text", "y": 1}
        layout.write_image(tmp_path / f"{name}.h5", image, View.LVOT, order, compress=compress)
        layout.write_label(tmp_path / f"{name}_label.h5", mask, LABEL, order)
        os.utime(tmp_path / f"{name}.h5", (0, 0))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert (tmp_path / "a_label.h5").read_bytes() == (tmp_path / "b_label.h5").read_bytes()
    np.testing.assert_array_equal(layout.read_image(tmp_path / "a.h5").image, image)


def test_a_grey_image_is_repeated_to_rgb(tmp_path, image):
    layout.write_image(tmp_path / "1.h5", image[..., 0], View.LVOT)
    back = layout.read_image(tmp_path / "1.h5").image
    np.testing.assert_array_equal(back, image[..., :1].repeat(3, axis=2))


def test_a_label_comes_back(tmp_path, mask):
    layout.write_label(tmp_path / "1_label.h5", mask, LABEL, {"drawn_by": "phantom"})
    back = layout.read_label(tmp_path / "1_label.h5")
    np.testing.assert_array_equal(back.mask, mask)
    assert back.mask.dtype == np.uint8
    assert back.label.tolist() == LABEL.tolist()
    assert back.attributes == {"drawn_by": "phantom"}


def test_prediction_labels_are_cut_above_one_half(tmp_path, mask):
    raw(tmp_path / "1.h5", mask=mask.astype(np.int32), label=np.array([0.5, 0.51, 1, 0, 0.2, 0.9, 0]))
    assert layout.read_prediction(tmp_path / "1.h5").label.tolist() == [0, 1, 1, 0, 0, 1, 0]


BAD = [
    (layout.read_image, {"view": [1]}, "'image'.*missing.*view"),
    (layout.read_image, {"image": np.zeros((4, 4), np.uint8), "view": [1]}, r"\(H, W, 3\) uint8; it is \(4, 4\)"),
    (layout.read_image, {"image": np.zeros((4, 4, 3)), "view": [1]}, "float64"),
    (layout.read_image, {"image": np.zeros((0, 4, 3), np.uint8), "view": [1]}, r"\(0, 4, 3\)"),
    (layout.read_image, {"image": np.zeros((4, 4, 3), np.uint8)}, "'view'.*missing"),
    (layout.read_image, {"image": np.zeros((4, 4, 3), np.uint8), "view": [5]}, "4 3VT; it is 5"),
    (layout.read_image, {"image": np.zeros((4, 4, 3), np.uint8), "view": [0]}, "it is 0"),
    (layout.read_image, {"image": np.zeros((4, 4, 3), np.uint8), "view": [np.nan]}, "'view' must be"),
    (layout.read_image, {"image": np.zeros((4, 4, 3), np.uint8), "view": [1, 2]}, r"\(2,\)"),
    (layout.read_label, {"mask": np.zeros((4, 4), np.uint8)}, "'label'.*missing"),
    (layout.read_label, {"mask": np.full((4, 4), 15, np.uint8), "label": LABEL}, "label 15.*1 to 14"),
    (layout.read_label, {"mask": np.full((4, 4), -1), "label": LABEL}, "label -1"),
    (layout.read_label, {"mask": np.zeros((4, 4, 1), np.uint8), "label": LABEL}, r"\(4, 4, 1\)"),
    (layout.read_label, {"mask": np.full((4, 4), np.nan), "label": LABEL}, "float64"),
    (layout.read_label, {"mask": np.zeros((4, 4), np.uint8), "label": LABEL[:6]}, r"\(6,\)"),
    (layout.read_label, {"mask": np.zeros((4, 4), np.uint8), "label": LABEL * 2}, "0 or 1 only"),
    (layout.read_prediction, {"mask": np.zeros((4, 4), np.uint8), "label": LABEL * np.nan}, "not numbers"),
    (layout.read_prediction, {"mask": np.full((4, 4), 200, np.uint8), "label": LABEL}, "label 200"),
    (layout.read_prediction, {"mask": "text", "label": LABEL}, "'mask' must be"),
]


@pytest.mark.parametrize(("read", "arrays", "sentence"), BAD)
def test_a_breach_of_the_layout_is_named_with_the_file(tmp_path, read, arrays, sentence):
    path = raw(tmp_path / "17.h5", **arrays)
    with pytest.raises(InvalidDataset, match=sentence) as caught:
        read(path)
    assert "17.h5" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_says_so(tmp_path, image, keep):
    path = tmp_path / "1.h5"
    layout.write_image(path, image, View.LVOT)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(InvalidDataset, match=r"1\.h5"):
        layout.read_image(path)


def test_a_missing_file_a_folder_and_a_text_file_say_so(tmp_path):
    with pytest.raises(InvalidDataset, match="no such file"):
        layout.read_image(tmp_path / "1.h5")
    with pytest.raises(InvalidDataset, match="no such file"):
        layout.read_image(tmp_path)
    (tmp_path / "2.h5").write_text("hello")
    with pytest.raises(InvalidDataset, match="not a complete HDF5 file"):
        layout.read_label(tmp_path / "2.h5")


def test_links_out_of_the_file_are_not_followed(tmp_path, mask):
    raw(tmp_path / "secret.h5", mask=mask)
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["label"] = LABEL
        file["mask"] = h5py.ExternalLink("secret.h5", "mask")
    with pytest.raises(InvalidDataset, match=r"'mask'.*missing"):
        layout.read_label(tmp_path / "1.h5")


def test_a_damaged_file_never_ends_in_a_traceback(tmp_path, mask):
    rng = np.random.default_rng(5)
    layout.write_label(tmp_path / "1.h5", mask, LABEL, {"drawn_by": "phantom"})
    data = np.frombuffer((tmp_path / "1.h5").read_bytes(), np.uint8)
    outcomes = set()
    for _ in range(150):
        changed = data.copy()
        where = rng.integers(0, data.size, rng.integers(1, 12))
        changed[where] = rng.integers(0, 256, where.size)
        (tmp_path / "2.h5").write_bytes(changed.tobytes())
        try:
            layout.read_label(tmp_path / "2.h5")
            outcomes.add("read")
        except InvalidDataset:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    ("mask", "label"),
    [
        (np.full((4, 4), 15), LABEL),
        (np.zeros((4, 4)), LABEL),
        (np.zeros((4, 4), int), LABEL[:3]),
        (np.zeros((4, 4), int), LABEL * 3),
    ],
)
def test_nothing_invalid_is_written(tmp_path, mask, label):
    with pytest.raises(InvalidDataset):
        layout.write_label(tmp_path / "1_label.h5", mask, label)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_keeps_the_earlier_file_and_leaves_no_rest(tmp_path, mask, monkeypatch):
    path = tmp_path / "1_label.h5"
    layout.write_label(path, mask, LABEL)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(UnwritableOutput, match="disk is full"):
        layout.write_label(path, mask * 0, LABEL)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["1_label.h5"]
    with pytest.raises(UnwritableOutput, match="not a folder"):
        layout.write_label(path / "2_label.h5", mask, LABEL)


def test_a_list_comes_back_and_moves_with_its_folder(tmp_path, image, mask):
    data = tmp_path / "data"
    layout.write_image(layout.image_path(data, "7"), image, View.LVOT)
    layout.write_label(layout.label_path(data, "7"), mask, LABEL)
    entries = [
        layout.ListEntry(layout.image_path(data, "7"), layout.label_path(data, "7"), View.LVOT),
        layout.ListEntry(layout.image_path(data, "7"), None, View.LVOT),
    ]
    layout.write_list(data / layout.VALID, entries)
    layout.write_list(data / "absolute.json", entries, absolute=True)
    raw_entry = json.loads((data / layout.VALID).read_text())[0]
    assert raw_entry == {"image": "images/7.h5", "label": "labels/7_label.h5", "view_id": 2}
    assert layout.read_list(data / layout.VALID) == entries
    assert layout.read_list(data / "absolute.json") == entries
    moved = data.rename(tmp_path / "moved")
    for name in (layout.VALID, "absolute.json"):
        assert [e.image for e in layout.read_list(moved / name)] == [moved / "images" / "7.h5"] * 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not a readable JSON"),
        ("{}", "holds a dict"),
        ('[{"label": null}]', "entry 1"),
        ('[{"image": "images/1.h5", "label": 3, "view_id": 1}]', "path or null"),
        ('[{"image": "images/1.h5", "label": null, "view_id": 9}]', "it is 9"),
        ('[{"image": "images/1.h5", "label": null, "view_id": true}]', "it is True"),
    ],
)
def test_a_wrong_list_says_where(tmp_path, text, sentence):
    (tmp_path / "valid.json").write_text(text)
    with pytest.raises(InvalidDataset, match=sentence):
        layout.read_list(tmp_path / "valid.json")
