from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.preprocessing import Letterbox, network_input


@pytest.mark.parametrize("shape", [(512, 512), (240, 320), (600, 800), (800, 350), (1, 1), (1, 7)])
def test_letterbox_crop_undoes_pad(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    box = Letterbox(*shape)
    square = box.pad(image)
    assert square.shape == (max(shape), max(shape))
    assert square.sum() == image.sum()
    np.testing.assert_array_equal(box.crop(square), image)


def test_halving_equals_the_mean_of_two_by_two():
    image = np.random.default_rng(1).integers(0, 256, (512, 512), dtype=np.uint8)
    expected = image.reshape(256, 2, 256, 2).mean(axis=(1, 3)) / 255
    assert np.abs(network_input(image, 256) - expected).max() <= 0.51 / 255


def test_a_wide_frame_keeps_its_proportions():
    frame = np.zeros((100, 200), dtype=np.uint8)
    frame[30:70, 80:120] = 255
    seen = network_input(frame, 100) > 0.5
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert (len(rows), len(columns)) == (20, 20)


def test_color_counts_by_its_luma():
    frame = np.zeros((4, 4, 3), dtype=np.uint8)
    frame[..., 1] = 200
    assert network_input(frame, 4) == pytest.approx(np.full((4, 4), 117 / 255), abs=0.5 / 255)
