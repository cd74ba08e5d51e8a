from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.anatomy import View, condition_table, label_table
from FetalEchoSegLib.errors import InvalidDataset, InvalidRequest
from FetalEchoSegLib.fetus_layout import image_path, read_prediction, write_image
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoSegLib.submission import write_submission


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter(random_bundle(tmp_path_factory.mktemp("b") / "random"), "cpu", "fp32", batch_size=2)


def dataset(folder, shapes=((64, 64),) * 5):
    rng = np.random.default_rng(0)
    for number, shape in enumerate(shapes, 1):
        view = View(number % 4 + 1)
        write_image(image_path(folder, str(number)), rng.integers(0, 256, (*shape, 3), dtype=np.uint8), view)
    return folder


def test_every_image_gets_a_prediction_within_its_view(segmenter, tmp_path):
    seen = []
    written = write_submission(segmenter, dataset(tmp_path), tmp_path / "out", progress=lambda *p: seen.append(p))
    assert sorted(file.name for file in written) == [f"{n}.h5" for n in range(1, 6)]
    assert seen[-1] == (5, 5)
    for number in range(1, 6):
        found = read_prediction(tmp_path / "out" / f"{number}.h5")
        view = View(number % 4 + 1)
        assert found.mask.shape == (64, 64)
        assert label_table()[view.index][np.unique(found.mask)].all()
        assert not found.label[~condition_table()[view.index]].any()


def test_images_of_two_sizes_are_refused_by_name(segmenter, tmp_path):
    shapes = [(64, 64)] * 4 + [(32, 32)]
    with pytest.raises(InvalidDataset, match=r"5\.h5.*must have one size"):
        write_submission(segmenter, dataset(tmp_path, shapes), tmp_path / "out")


def test_predictions_never_replace_the_images(segmenter, tmp_path):
    images = dataset(tmp_path) / "images"
    before = {file.name: file.read_bytes() for file in images.iterdir()}
    with pytest.raises(InvalidRequest, match="choose another folder for the predictions"):
        write_submission(segmenter, tmp_path, tmp_path / "images" / ".." / "images")
    assert {file.name: file.read_bytes() for file in images.iterdir()} == before


def test_two_images_of_one_name_do_not_share_a_prediction(segmenter, tmp_path):
    images = [image_path(dataset(tmp_path / folder, [(64, 64)]), "1") for folder in ("a", "b")]
    with pytest.raises(InvalidDataset, match=r"b.images.1\.h5: another image of the list is called 1\.h5 too"):
        write_submission(segmenter, tmp_path, tmp_path / "out", images)


def test_a_missing_data_set_is_named(segmenter, tmp_path):
    with pytest.raises(InvalidDataset, match=r"nowhere: there is no such folder"):
        write_submission(segmenter, tmp_path / "nowhere", tmp_path / "out")


def test_an_empty_folder_is_refused(segmenter, tmp_path):
    with pytest.raises(InvalidDataset, match=r"no \.h5 files"):
        write_submission(segmenter, tmp_path, tmp_path / "out")
