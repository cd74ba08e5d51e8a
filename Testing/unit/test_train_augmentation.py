"""Augmentation and mixing: what they may change, and what never."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pydantic")
cv2 = pytest.importorskip("cv2")

from FetalEchoTrainLib.augmentation import Geometry, augment, draw_geometry, vary_appearance
from FetalEchoTrainLib.configuration import AugmentationConfig
from FetalEchoTrainLib.mixing import CutMix, MixUp, draw_box, partners

STRONG = AugmentationConfig(strength=2.0, rotation=40.0, zoom=0.4, shift=0.1, shadow=0.5, depth_crop=0.5, jpeg=0.5)


def letter_f(size=128):
    """An image that no turn makes equal to its mirror image: an F, its three strokes with labels of their own."""
    mask = np.zeros((size, size), dtype=np.uint8)
    middle = size // 2
    mask[middle - 18 : middle + 18, middle - 14 : middle - 8] = 1  # the stem
    mask[middle - 18 : middle - 12, middle - 8 : middle + 14] = 2  # the upper arm, to its right
    mask[middle : middle + 6, middle - 8 : middle + 14] = 3  # the lower arm
    return mask


def centre(mask, value):
    rows, columns = np.nonzero(mask == value)
    return np.array([columns.mean(), rows.mean()])


def test_no_view_is_mirrored_or_turned_by_a_quarter():
    mask = letter_f()
    rng = np.random.default_rng(0)
    for _ in range(300):
        geometry = draw_geometry(STRONG, 128, rng)
        moved = Geometry(128, geometry.matrix).warp(mask)
        stem, upper, lower = (centre(moved, value) for value in (1, 2, 3))
        along, across = lower - upper, upper - stem
        assert along[1] > 0.8 * abs(along[0])  # down stays down
        assert np.cross(np.append(along, 0), np.append(across, 0))[2] < 0  # the arms stay on the right of the stem
        a, b, _, c, d, _ = geometry.matrix.ravel()
        assert a * d - b * c > 0


def test_the_mirror_image_would_be_noticed():
    mirrored = letter_f()[:, ::-1]
    stem, upper, lower = (centre(mirrored, value) for value in (1, 2, 3))
    assert np.cross(np.append(lower - upper, 0), np.append(upper - stem, 0))[2] > 0


def test_appearance_moves_nothing():
    image = (letter_f() > 0).astype(np.float32) * 0.5 + 0.2
    rng = np.random.default_rng(1)
    views = [vary_appearance(image, AugmentationConfig(), rng) for _ in range(100)]
    for view in views:
        assert (view.dtype, view.shape) == (np.float32, image.shape)
        assert 0 <= view.min() <= view.max() <= 1
    mean = np.mean(views, axis=0)

    def likeness(other):
        return np.corrcoef(mean.ravel(), other.ravel())[0, 1]

    assert likeness(image) > 0.95
    assert likeness(image) > max(likeness(np.roll(image, step, axis)) for step in (-1, 1) for axis in (0, 1)) + 0.02
    assert likeness(image[:, ::-1]) < 0.8


def test_image_and_mask_are_placed_together():
    mask = letter_f()
    rng = np.random.default_rng(2)
    for _ in range(50):
        geometry = draw_geometry(STRONG, 128, rng)
        image, moved = geometry.warp(mask.astype(np.float32) / 3), geometry.warp(mask)
        assert moved.dtype == np.uint8
        assert set(np.unique(moved)) <= {0, 1, 2, 3}
        if (moved > 0).any():
            assert np.abs(image - moved / 3)[moved > 0].mean() < 0.2
            assert image[moved == 0].mean() < 0.05


def test_a_frame_and_its_mask_become_one_view():
    mask = letter_f()
    rng = np.random.default_rng(3)
    for _ in range(30):
        image, moved = augment(mask * 80, mask, AugmentationConfig(shadow=0), rng)
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert image[moved == 3].mean() > image[moved == 0].mean() + 0.1


def test_what_is_cut_off_is_black_and_gets_the_fill_of_maps():
    config = AugmentationConfig(rotation=0, zoom=0, shift=0, depth_crop=1.0)
    sides = set()
    for seed in range(40):
        geometry = draw_geometry(config, 64, np.random.default_rng(seed))
        image = geometry.warp(np.ones((64, 64), dtype=np.float32))
        weights = geometry.warp(np.full((64, 64), 7, dtype=np.uint8), fill=255)
        assert ((image == 0) == (weights == 255)).all()
        assert 0.03 < (image == 0).mean() < 0.3
        sides.add(tuple((border == 0).all() for border in (image[0], image[-1], image[45, :1], image[45, -1:])))
    assert sides == {tuple(np.arange(4) == k) for k in range(4)}  # near field, far field, either side of the sector


def test_strength_zero_changes_nothing():
    config = AugmentationConfig(strength=0.0)
    image = np.random.default_rng(3).random((64, 64), dtype=np.float32)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert np.array_equal(draw_geometry(config, 64, rng).warp(image), image)
        assert np.abs(vary_appearance(image, config, rng) - image).max() < 0.02


def test_the_black_surround_stays_black_under_gain():
    image = np.zeros((64, 64), dtype=np.float32)
    image[:, 16:48] = 0.4
    config = AugmentationConfig(gain=20, tgc=20, speckle=0, blur=0, shadow=0, jpeg=0)
    means = []
    for seed in range(50):
        varied = vary_appearance(image, config, np.random.default_rng(seed))
        assert varied[:, :10].max() == 0
        means.append(varied[:, 16:48].mean(axis=1))
    assert np.std([m.mean() for m in means]) > 0.05  # gain
    assert np.std([m[:20].mean() - m[-20:].mean() for m in means]) > 0.05  # depth by depth


def test_a_shadow_lies_behind_something():
    image = np.full((128, 128), 0.6, dtype=np.float32)
    config = AugmentationConfig(gain=0, tgc=0, contrast=0, speckle=0, blur=0, jpeg=0, shadow=1.0)
    shadows = 0
    for seed in range(20):
        varied = vary_appearance(image, config, np.random.default_rng(seed))
        assert varied[:4].mean() > 0.55
        dark = varied < 0.75 * varied[:4].mean()
        for column in np.flatnonzero(dark.any(axis=0)):
            top = int(dark[:, column].argmax())
            assert top > 4  # never from the probe's face on
        shadows += dark.mean() > 0.02
    assert shadows > 8


def test_the_same_stream_gives_the_same_view():
    image = np.random.default_rng(4).random((64, 64), dtype=np.float32)

    def view(seed):
        rng = np.random.default_rng(seed)
        return vary_appearance(draw_geometry(STRONG, 64, rng).warp(image), STRONG, rng)

    assert np.array_equal(view(5), view(5))
    assert not np.array_equal(view(5), view(6))


# Mixing --------------------------------------------------------------------------------------------------------------


def test_partners_are_neighbours_of_the_same_view_and_not_the_same_frame():
    assert partners([1, 1, 2, 3, 4, 4, 2], list("abcdefg")).tolist() == [1, 0, 2, 3, 5, 4, 6]
    assert partners([1, 1], ["a", "a"]).tolist() == [0, 1]
    assert partners([], []).tolist() == []


def test_cutmix_takes_a_rectangle_from_the_partner_alone():
    values = np.arange(3)[:, None, None, None] * np.ones((3, 2, 8, 8), dtype=int)
    boxes = np.array([[2, 5, 1, 7], [0, 8, 0, 8], [0, 4, 0, 4]])
    mixed = CutMix(np.array([1, 0, 2]), boxes).mix(values)
    assert (mixed[0, :, 2:5, 1:7] == 1).all()
    assert mixed[0].sum() == 2 * 18
    assert (mixed[1] == 0).all()
    assert (mixed[2] == 2).all()  # its own partner: not mixed
    assert values[1].sum() == 128  # the originals are untouched
    assert CutMix(np.array([1, 0, 2]), boxes).share.tolist() == [18, 64, 0]


def test_cutmix_mixes_tensors_as_arrays():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    values = rng.random((4, 1, 16, 16)).astype(np.float32)
    mix = CutMix(np.array([1, 0, 3, 2]), np.stack([draw_box(16, 1.0, rng) for _ in range(4)]))
    assert np.array_equal(mix.mix(torch.from_numpy(values)).numpy(), mix.mix(values))
    labels = (values[:, 0] * 9).astype(np.int64)
    assert np.array_equal(mix.mix(torch.from_numpy(labels)).numpy(), mix.mix(labels))


def test_boxes_lie_inside_and_come_as_often_as_asked():
    rng = np.random.default_rng(1)
    boxes = np.array([draw_box(64, 0.5, rng) for _ in range(600)])
    areas = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    assert 0.42 < (areas > 0).mean() < 0.58
    assert boxes.min() >= 0
    assert boxes.max() <= 64
    assert areas[areas > 0].min() > 0.01 * 64 * 64
    assert areas.max() < 0.45 * 64 * 64


def test_mixup_stays_within_a_view_and_keeps_most_of_each_frame():
    views = np.array([1, 2, 1, 3, 1, 2])
    for seed in range(30):
        mix = MixUp.draw(views, 0.3, np.random.default_rng(seed))
        assert (views[mix.partners] == views).all()
        assert mix.partners[3] == 3
        assert mix.weights[3] == 1
        assert ((mix.weights >= 0.5) & (mix.weights <= 1)).all()
        assert (mix.partners != np.arange(6)).sum() == 5
        truth = np.eye(6, dtype=np.float32)
        mixed = mix.mix(truth)
        assert mixed.sum(axis=1) == pytest.approx(np.ones(6))
        assert np.diag(mixed) == pytest.approx(mix.weights)
        assert mixed[0, mix.partners[0]] == pytest.approx(1 - mix.weights[0])


def test_mixup_mixes_tensors_as_arrays_and_nothing_at_alpha_zero():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(2).random((6, 3)).astype(np.float32)
    mix = MixUp.draw([1, 1, 2, 2, 2, 4], 0.3, np.random.default_rng(3))
    assert mix.mix(torch.from_numpy(values)).numpy() == pytest.approx(mix.mix(values))
    none = MixUp.draw([1, 1, 2, 2, 2, 4], 0.0, np.random.default_rng(3))
    assert np.array_equal(none.mix(values), values)
