from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View
from FetalEchoTrainLib import demo_model


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
