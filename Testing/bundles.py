"""Small bundles with random weights, for tests that need a model and not its skill."""

from __future__ import annotations

from pathlib import Path


def random_bundle(folder: Path, seed: int = 0, n_views: int = 4, notice: str = "Random weights for a test."):
    import torch
    from FetalEchoSegLib.bundle import save_bundle
    from FetalEchoSegLib.bundle_card import Card
    from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig

    torch.manual_seed(seed)
    config = EchoCareConfig.tiny(image_size=64, decoder_features=4, n_views=n_views)
    card = Card.new("test-random", "1", config, "Apache-2.0", notice=notice)
    return save_bundle(folder, card, EchoCare(config).state_dict())
