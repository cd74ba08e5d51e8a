"""The lean forward equals the plain MONAI path."""

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F
from FetalEchoSegLib.anatomy import View, permitted_labels
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.networks import kernels
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoSegLib.networks.lean import LeanEchoCare, label_map
from FetalEchoSegLib.networks.masking import mask_segmentation_logits

TOLERANCE = 5e-4


def random_network(config, seed=0):
    """Random weights in which nothing is zero, so that no term of the sum goes untested."""
    torch.manual_seed(seed)
    network = EchoCare(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "linear_b_" in name or name.endswith("bias") or "in_adapter" in name:
                parameter.normal_(0, 0.1)
            elif "bias_table" in name:
                parameter.normal_(0, 1)
    return network


def relative_difference(a, b):
    return float((a - b).abs().max() / a.abs().max())


def assert_equal_outputs(network, image):
    with torch.inference_mode():
        plain = network(image)
    lean = LeanEchoCare.from_network(network)(image)
    for expected, found in zip(plain, lean, strict=True):
        if expected is None:
            assert found is None
        else:
            assert relative_difference(expected, found) <= TOLERANCE


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (256, 256), (288, 64), (192, 352)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"depths": (2, 2, 2, 2), "lora_rank": 3, "lora_alpha": 6.0},
        {"depths": (1, 1, 3, 1), "window_size": 7, "input_channels": 3, "n_views": 0},
        {"condition_head": "anatomy"},
        {"condition_head": "combined"},
    ],
    ids=["tiny", "adapters", "odd-window", "anatomy", "combined"],
)
def test_lean_equals_plain(changes, size):
    config = EchoCareConfig.tiny(embed_dim=8, decoder_features=4, **changes)
    assert_equal_outputs(random_network(config), torch.rand(1, config.input_channels, *size))


def test_a_batch_equals_its_frames_and_sizes_may_alternate():
    network = random_network(EchoCareConfig.tiny(depths=(2, 2, 2, 2)))
    lean = LeanEchoCare.from_network(network)
    for size in ((96, 96), (128, 64), (96, 96)):
        images = torch.rand(3, 1, *size)
        with torch.inference_mode():
            plain = network(images)
        assert relative_difference(plain.segmentation, lean(images).segmentation) <= TOLERANCE
        assert relative_difference(plain.segmentation[1:2], lean(images[1:2]).segmentation) <= TOLERANCE


def test_larger_patches_equal_too():
    config = EchoCareConfig.tiny(patch_size=4, depths=(2, 1, 1, 1), image_size=256)
    assert_equal_outputs(random_network(config), torch.rand(1, 1, 128, 192))


def test_without_laid_out_weights_the_result_is_the_same(monkeypatch):
    monkeypatch.setattr(kernels, "packing_works", lambda dtype: False)
    network = random_network(EchoCareConfig.tiny(depths=(2, 2, 2, 2), lora_rank=2, lora_alpha=2.0))
    assert_equal_outputs(network, torch.rand(2, 1, 96, 160))


def test_full_size_equals_plain():
    assert_equal_outputs(random_network(EchoCareConfig.full()), torch.rand(1, 1, 64, 96))


def test_bf16_stays_within_its_precision():
    network = random_network(EchoCareConfig.tiny())
    image = torch.rand(1, 1, 128, 128)
    with torch.inference_mode():
        plain = network(image)
    lean = LeanEchoCare.from_network(network, precision="bf16")(image)
    assert lean.segmentation.dtype == torch.float32
    assert 0 < relative_difference(plain.segmentation, lean.segmentation) < 0.1


def test_an_unknown_precision_is_refused():
    with pytest.raises(InvalidRequest, match="int8"):
        LeanEchoCare.from_network(EchoCare(EchoCareConfig.tiny()), precision="int8")


def test_lean_inference_does_not_import_monai():
    code = (
        "import sys, torch, FetalEchoSegLib.networks.lean, FetalEchoSegLib.networks.masking;"
        "assert not any(m.split('.')[0] == 'monai' for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def smooth_logits(batch=2, side=64):
    torch.manual_seed(3)
    coarse = F.interpolate(3 * torch.randn(batch, 15, 6, 6), size=(side, side), mode="bicubic")
    return coarse + 0.1 * torch.randn(batch, 15, side, side)


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (150, 150), (97, 211), (40, 40), (1, 1)])
@pytest.mark.parametrize("view", list(View))
def test_label_map_equals_upsampling_all_masking_and_argmax(view, size):
    logits = smooth_logits()
    large = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    expected = mask_segmentation_logits(large, view).argmax(1).numpy()
    labels, probability = label_map(logits, view, size)
    assert labels.dtype == np.uint8
    assert labels.shape == probability.shape == (2, *size)
    # Two interpolations may round a tie differently.
    assert (labels != expected).mean() <= 1e-4
    assert set(np.unique(labels)) <= set(permitted_labels(view))


def test_probability_at_the_same_size_is_that_of_a_softmax_over_permitted_labels():
    logits = smooth_logits()
    _, probability = label_map(logits, View.RVOT, (64, 64))
    expected = mask_segmentation_logits(logits, View.RVOT).softmax(1).amax(1).numpy()
    assert np.abs(probability - expected).max() < 1e-3


def test_probability_at_full_size_follows_the_interpolated_softmax():
    logits = smooth_logits()
    labels, probability = label_map(logits, View.FOUR_CHAMBER, (128, 128))
    large = F.interpolate(logits, size=(128, 128), mode="bilinear", align_corners=False)
    expected = mask_segmentation_logits(large, View.FOUR_CHAMBER).softmax(1).amax(1).numpy()
    structures = labels > 0
    assert abs(float(probability[structures].astype(np.float32).mean()) - float(expected[structures].mean())) < 0.02
