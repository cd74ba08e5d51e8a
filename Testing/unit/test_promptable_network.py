"""SAM-Med2D on the classes of segment-anything equals the published implementation, and the lean encoder the plain one.

promptable_reference.json holds what the published implementation (github.com/OpenGVLab/SAM-Med2D) answered to the
seeded weights, frames and prompts of ``promptables``: values picked from each output and sums over all of it. On the
machine that made the file the difference was 0.0; another processor's sums round differently.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.networks import kernels
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.geometry import Geometry
from FetalEchoSegLib.promptable.lean import LeanEncoder
from FetalEchoSegLib.promptable.model import Embedding, PromptableModel
from FetalEchoSegLib.promptable.network import build_network
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from FetalEchoSegLib.promptable.prompts import Point, Prompts
from promptables import SMALL, position_model, reference_prompts, seeded_frame, seeded_state

REFERENCE = json.loads((Path(__file__).parent / "promptable_reference.json").read_text())
SMALL_CONFIGS = {
    "small, adapters": PromptableConfig(**SMALL),
    "small, no adapters": PromptableConfig(**SMALL, adapters=False),
}
FULL_CONFIGS = {
    "ViT-B, adapters": PromptableConfig.vit_b(),
    "ViT-B, no adapters": PromptableConfig.vit_b(adapters=False),
}


def assert_matches(reference, key, found, tolerance):
    flat = np.asarray(found, dtype=np.float64).ravel()
    picked = flat[np.linspace(0, len(flat) - 1, min(24, len(flat))).astype(int)]
    assert np.abs(picked - reference["values"][key]).max() < tolerance, key
    if key in reference["sums"]:
        sums = [np.abs(flat).sum(), np.square(flat).sum()]
        assert np.allclose(sums, reference["sums"][key], rtol=tolerance), key


@pytest.mark.parametrize("name", SMALL_CONFIGS)
def test_the_network_equals_the_published_one(name):
    config, reference = SMALL_CONFIGS[name], REFERENCE[name]
    network = build_network(config)
    network.load_state_dict(seeded_state(parameter_shapes(config), 1))
    frame = seeded_frame(*reference["frame"])
    geometry = Geometry.of(frame, config, "nearest")
    with torch.inference_mode():
        features = network.image_encoder(torch.from_numpy(geometry.network_image(frame))[None])
    assert_matches(reference, "embedding", features, 2e-5)
    model = PromptableModel(config, network.state_dict())
    model.click_margin = 0  # as published
    for case, (prompts, multimask) in reference_prompts(*reference["frame"], config.mask_size).items():
        (answer,) = model.answer(Embedding(features, geometry), [prompts], multimask)
        assert_matches(reference, f"{case}/low", answer.logits[None], 2e-5)
        assert_matches(reference, f"{case}/iou", [answer.iou], 2e-5)


@pytest.mark.parametrize("name", FULL_CONFIGS)
def test_full_size_has_the_published_parameters(name):
    shapes = parameter_shapes(FULL_CONFIGS[name])
    assert len(shapes) == REFERENCE[name]["keys"]
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == REFERENCE[name]["parameters"]


def test_lean_full_size_without_adapters_equals_the_published_one():
    """End to end through the lean encoder; the size with adapters takes a gigabyte and is run by the benchmark."""
    name = "ViT-B, no adapters"
    config, reference = FULL_CONFIGS[name], REFERENCE[name]
    model = PromptableModel(config, seeded_state(parameter_shapes(config), 1))
    model.click_margin = 0  # as published
    embedding = model.embed(seeded_frame(*reference["frame"]))
    assert_matches(reference, "embedding", embedding.features, 1e-4)
    for case, (prompts, multimask) in reference_prompts(*reference["frame"], config.mask_size).items():
        (answer,) = model.answer(embedding, [prompts], multimask)
        assert_matches(reference, f"{case}/low", answer.logits[None], 1e-4)
        assert_matches(reference, f"{case}/iou", [answer.iou], 1e-4)


@pytest.mark.parametrize(
    ("positive", "margin", "chosen"), [(True, 0.1, 1), (False, 0.1, 1), (True, 0.0, 0), (True, 0.04, 0)]
)
def test_a_mask_that_heeds_the_last_click_comes_before_a_slightly_better_one_that_does_not(positive, margin, chosen):
    """The first of three masks, the best by 0.05 of predicted IoU, leaves the click out; the second is a disc on it."""
    config = PromptableConfig(**SMALL)
    model = position_model(config, "nearest")
    draw = model._parts.mask_decoder

    def three(**asked):
        masks, _ = draw(**asked)
        disc = masks[:, 1]
        return torch.stack([-disc, disc, disc], 1), torch.tensor([[0.9, 0.85, 0.1]])

    model._parts.mask_decoder = three
    model.click_margin = margin
    frame = np.zeros((config.image_size, config.image_size), np.uint8)
    (answer,) = model.answer(model.embed(frame), [Prompts(points=(Point(5, 5), Point(20, 13, positive)))])
    assert answer.iou == pytest.approx([0.9, 0.85][chosen])
    assert (answer.mask[13, 20] == positive) == bool(chosen)


@pytest.mark.parametrize("config", [*SMALL_CONFIGS.values(), PromptableConfig.tiny()], ids=[*SMALL_CONFIGS, "tiny"])
def test_the_table_of_parameters_is_the_networks(config):
    network = build_network(config)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == parameter_shapes(config)


def test_tiny_fits_its_bundle():
    numbers = sum(int(np.prod(shape)) for shape in parameter_shapes(PromptableConfig.tiny()).values())
    assert 2 * numbers < 6e6


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adapters": False},
        {"window_size": 8},  # divides the grid
        {"window_size": 5, "global_blocks": ()},  # several whole windows, and padding
        {"window_size": 20, "global_blocks": (0,)},  # one window, larger than the grid
        {"patch_size": 16, "window_size": 3},
    ],
    ids=str,
)
def test_lean_equals_plain(changes):
    config = PromptableConfig(**(SMALL | changes))
    state = seeded_state(parameter_shapes(config), 2)
    network = build_network(config)
    network.load_state_dict(state)
    images = torch.randn(2, 3, config.image_size, config.image_size)
    with torch.inference_mode():
        plain = network.image_encoder(images)
    assert (LeanEncoder(config, state)(images) - plain).abs().max() < 1e-4


def test_lean_equals_plain_without_laid_out_weights(monkeypatch):
    monkeypatch.setattr(kernels, "packing_works", lambda dtype: False)
    test_lean_equals_plain({})


def test_bf16_stays_within_its_precision():
    config = PromptableConfig(**SMALL)
    state = seeded_state(parameter_shapes(config), 2)
    images = torch.randn(1, 3, config.image_size, config.image_size)
    exact, rounded = (LeanEncoder(config, state, precision=p)(images) for p in ("fp32", "bf16"))
    assert rounded.dtype == torch.float32
    difference = (exact - rounded).square().mean().sqrt() / exact.square().mean().sqrt()
    assert 0 < difference < 0.03


def test_an_unknown_precision_and_another_size_are_refused():
    config = PromptableConfig(**SMALL)
    state = seeded_state(parameter_shapes(config))
    with pytest.raises(InvalidRequest, match="int8"):
        LeanEncoder(config, state, precision="int8")
    with pytest.raises(ValueError, match="64 pixels"):
        LeanEncoder(config, state)(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_size": 102}, "multiple"),
        ({"num_heads": 5}, "5 heads"),
        ({"global_blocks": (3,)}, "below 3"),
        ({"prompt_dim": 20}, "multiple of 8"),
        ({"embed_dim": 0}, "positive"),
        ({"image_size": 60}, "even"),
    ],
)
def test_impossible_sizes_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        PromptableConfig(**(SMALL | changes))


def test_sizes_survive_a_card():
    config = PromptableConfig.tiny()
    assert PromptableConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="embed_dims"):
        PromptableConfig.from_dict({"embed_dims": 3})


def test_segment_anything_loads_without_torchvision():
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from FetalEchoSegLib.promptable.network import build_network\n"
        "from FetalEchoSegLib.promptable.configuration import PromptableConfig\n"
        "build_network(PromptableConfig.tiny())\n"
        "assert 'segment_anything' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_named():
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'segment_anything' else find(name, *a)\n"
        "from FetalEchoSegLib.errors import MissingDependency\n"
        "from FetalEchoSegLib.promptable.modeling import sam_modeling\n"
        "try: sam_modeling()\n"
        "except MissingDependency as error: assert 'segment-anything' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
