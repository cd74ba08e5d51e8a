from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Condition, View, condition_table
from FetalEchoTrainLib import demo_model


def test_augmentation_never_mirrors():
    # A right-hand and a left-hand mark stay on their side, whatever the turn (a few degrees) and shift.
    image = np.zeros((128, 128), dtype=np.uint8)
    mask = np.zeros((128, 128), dtype=np.uint8)
    mask[50:78, 20:40], mask[50:78, 88:108] = 1, 2
    rng = np.random.default_rng(0)
    for _ in range(100):
        _, moved = demo_model.augment(image, mask, rng)
        left, right = np.nonzero(moved == 1), np.nonzero(moved == 2)
        assert left[1].mean() < right[1].mean()


def test_augmentation_moves_image_and_mask_together():
    mask = np.zeros((128, 128), dtype=np.uint8)
    mask[40:90, 30:80] = 3
    rng = np.random.default_rng(1)
    for _ in range(30):
        image, moved = demo_model.augment(mask * 80, mask, rng)
        inside, outside = image[moved == 3].mean(), image[moved == 0].mean()
        assert inside > outside + 0.1
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1


def test_thresholds_have_the_best_f1_and_an_ordered_band():
    rng = np.random.default_rng(2)
    views = rng.integers(1, 5, 800)
    truth = ((rng.random((800, 7)) < 0.3) & condition_table()[views - 1]).astype(np.float32)
    probabilities = np.clip(0.3 + 0.3 * truth + rng.normal(0, 0.1, truth.shape), 0, 1)
    for condition, fitted in zip(Condition, demo_model.fit_thresholds(probabilities, truth, views), strict=True):
        rows = condition_table()[views - 1, condition]
        p, t = probabilities[rows, condition], truth[rows, condition] > 0

        def f1(cut, p=p, t=t):
            return 2 * ((p >= cut) & t).sum() / ((p >= cut).sum() + t.sum())

        assert f1(fitted.threshold) == pytest.approx(max(f1(cut) for cut in np.linspace(0, 1, 501)), abs=0.01)
        assert 0.3 < fitted.low <= fitted.threshold <= fitted.high < 0.7


def test_a_condition_without_positives_keeps_one_half_and_claims_nothing():
    views = np.full(50, View.LVOT)
    fitted = demo_model.fit_thresholds(np.random.default_rng(3).random((50, 7)), np.zeros((50, 7)), views)
    vsd = fitted[Condition.VSD]
    assert (vsd.threshold, vsd.low, vsd.high) == (0.5, 0.0, 1.0)


def test_probabilities_that_know_nothing_claim_nothing():
    rng = np.random.default_rng(4)
    views = rng.integers(1, 5, 400)
    truth = ((rng.random((400, 7)) < 0.2) & condition_table()[views - 1]).astype(np.float32)
    for fitted in demo_model.fit_thresholds(0.5 + rng.normal(0, 1e-4, (400, 7)), truth, views):
        assert (fitted.low, fitted.high) == (0.0, 1.0)


def test_the_recipe_makes_a_bundle_that_says_it_is_synthetic(tmp_path):
    pytest.importorskip("torch")
    parts = demo_model.Parts(labelled=16, validation=8, test_same=4, test_new=4)
    schedule = demo_model.Schedule(
        rounds=(demo_model.Round(((64, 1),), 1e-3, 1.0), demo_model.Round(((128, 1),), 1e-3, 0.4))
    )
    bundle = demo_model.make_demo_model(tmp_path / "demo", tmp_path / "work", schedule, parts)
    assert "synthetic data only" in bundle.notice
    assert bundle.card.metrics["same devices"]["frames"] == 4
    assert set(bundle.card.metrics["new devices"]["DSC by structure"]) == set(bundle.card.structures)
    assert bundle.weights_path.stat().st_size < 6_000_000
    bundle.verify()


def test_training_the_condition_head_changes_nothing_else():
    torch = pytest.importorskip("torch")
    from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig

    rng = np.random.default_rng(5)
    torch.manual_seed(0)
    network = EchoCare(EchoCareConfig.tiny(image_size=64, decoder_features=4)).eval()
    samples = demo_model.Samples(
        images=rng.integers(0, 256, (24, 64, 64), dtype=np.uint8),
        masks=np.zeros((24, 64, 64), dtype=np.uint8),
        views=np.full(24, int(View.LVOT)),
        conditions=(rng.random((24, 7)) < 0.4).astype(np.float32),
    )
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before = network(image)
    demo_model.fit_condition_head(network, samples, demo_model.Schedule())
    with torch.no_grad():
        after = network(image)
    assert torch.equal(before.segmentation, after.segmentation)
    assert torch.equal(before.views, after.views)
    assert not torch.equal(before.conditions, after.conditions)
