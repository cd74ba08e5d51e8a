"""The EchoCare network: sizes, official names, heads, adapters."""

import pytest

torch = pytest.importorskip("torch")
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.networks.condition_features import soft_areas
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoSegLib.networks.parameters import parameter_shapes

SMALL = EchoCareConfig.tiny(embed_dim=8, decoder_features=4, depths=(1, 1, 2, 1), lora_rank=2, lora_alpha=2.0)


def full_on_meta(**changes):
    linspace = torch.linspace
    try:
        torch.linspace = lambda *args, **kwargs: linspace(*args, **(kwargs | {"device": "cpu"}))
        with torch.device("meta"):
            return EchoCare(EchoCareConfig.full(**changes))
    finally:
        torch.linspace = linspace


def test_full_size_without_view_head_has_the_official_499_tensors():
    state = full_on_meta(n_views=0).state_dict()
    assert len(state) == 499
    assert sum(p.numel() for p in full_on_meta(n_views=0).parameters()) == 174_552_913
    assert state["in_adapter.weight"].shape == (3, 1, 1, 1)
    assert state["seg_net.Swin_encoder.layers3.0.blocks.17.attn.qkv.qkv.weight"].shape == (1536, 512)
    assert state["seg_net.Swin_encoder.layers3.0.blocks.17.attn.qkv.linear_b_v.weight"].shape == (512, 5)
    assert state["seg_net.encoder10.layer.conv3.conv.weight"].shape == (1024, 2048, 1, 1)
    assert state["seg_net.decoder1.transp_conv.conv.weight"].shape == (64, 64, 2, 2)
    assert state["seg_net.out.conv.conv.bias"].shape == (15,)
    assert state["cls_decoder.2.weight"].shape == (7, 512)


def test_the_view_head_only_adds_keys():
    plain, with_views = set(full_on_meta(n_views=0).state_dict()), set(full_on_meta().state_dict())
    assert plain < with_views
    assert all(key.startswith("view_decoder.") for key in with_views - plain)


def test_tiny_fits_six_megabytes_in_half_precision():
    state = EchoCare(EchoCareConfig.tiny()).state_dict()
    floats = sum(t.numel() for t in state.values() if t.is_floating_point())
    other = sum(t.numel() * t.element_size() for t in state.values() if not t.is_floating_point())
    assert 2 * floats + other < 6e6


def test_output_shapes_follow_the_image_also_when_it_is_not_square():
    output = EchoCare(SMALL)(torch.rand(2, 1, 64, 96))
    assert output.segmentation.shape == (2, 15, 64, 96)
    assert output.conditions.shape == (2, 7)
    assert output.views is not None
    assert output.views.shape == (2, 4)


def test_a_size_the_decoder_cannot_double_back_to_is_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        EchoCare(SMALL)(torch.rand(1, 1, 64, 72))


def test_feature_perturbation_leaves_the_clean_half_as_it_is():
    torch.manual_seed(0)
    network = EchoCare(SMALL).train()
    image = torch.rand(2, 1, 64, 64)
    clean, perturbed = network(image, perturb_features=True)
    alone = network(image)
    assert torch.allclose(clean.segmentation, alone.segmentation, atol=1e-5)
    assert not torch.allclose(perturbed.segmentation, clean.segmentation, atol=1e-2)
    assert not torch.allclose(perturbed.conditions, clean.conditions, atol=1e-4)


def test_fresh_adapters_change_nothing_and_frozen_encoders_train_them_only():
    torch.manual_seed(0)
    network = EchoCare(SMALL).eval()
    image = torch.rand(1, 1, 64, 64)
    before = network(image).segmentation
    network.freeze_encoder()
    trainable = {n for n, p in network.seg_net.Swin_encoder.named_parameters() if p.requires_grad}
    assert trainable
    assert all("linear_a_" in n or "linear_b_" in n for n in trainable)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "linear_a_" in name:
                parameter.add_(1.0)
        assert torch.equal(network(image).segmentation, before)
        for name, parameter in network.named_parameters():
            if "linear_b_" in name:
                parameter.add_(0.1)
        assert not torch.allclose(network(image).segmentation, before, atol=1e-4)


def test_resetting_the_condition_head_keeps_the_segmentation_bit_identical():
    network = EchoCare(SMALL).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        before = network(image)
        network.reset_condition_head()
        after = network(image)
    assert torch.equal(before.segmentation, after.segmentation)
    assert not torch.equal(before.conditions, after.conditions)


@pytest.mark.parametrize("kind", ["anatomy", "combined"])
def test_a_head_that_sees_the_masks_leaves_the_segmentation_as_it_is(kind):
    torch.manual_seed(0)
    network = EchoCare(SMALL).eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        before = network(image)
        network.reset_condition_head(kind)
        after = network(image)
    assert torch.equal(before.segmentation, after.segmentation)
    assert network.config.condition_head == kind
    assert {n: tuple(t.shape) for n, t in network.state_dict().items()} == parameter_shapes(network.config)
    with pytest.raises(ValueError, match="view head"):
        EchoCareConfig.tiny(condition_head=kind, n_views=0)


def test_soft_areas_are_those_of_the_masks_of_a_certain_view():
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, :16] = Structure.LEFT_VENTRICLE
    labels[:, 16:20] = Structure.TRACHEA  # not in a four-chamber view
    segmentation = 40 * torch.nn.functional.one_hot(labels, 15).movedim(-1, 1).float()
    segmentation[:, 0, 16:20] = 20  # second to the trachea
    areas = soft_areas(segmentation, torch.tensor([[40.0, 0, 0, 0]]))
    assert float(areas[0, Structure.LEFT_VENTRICLE - 1]) == pytest.approx(0.25, abs=1e-4)
    assert float(areas[0, Structure.TRACHEA - 1]) == pytest.approx(0, abs=1e-6)
    assert areas[0].sum() <= 1


def test_config_survives_a_round_trip_and_names_unknown_arguments():
    assert EchoCareConfig.from_dict(SMALL.to_dict()) == SMALL
    with pytest.raises(ValueError, match="hidden_size"):
        EchoCareConfig.from_dict({"hidden_size": 3})


@pytest.mark.parametrize(
    "changes",
    [{"embed_dim": 20, "num_heads": (3, 3, 3, 3)}, {"input_channels": 2}, {"depths": (1, 1)}, {"image_size": 250}],
)
def test_impossible_sizes_are_refused(changes):
    with pytest.raises(ValueError, match=r"heads|input_channels|four entries|multiple of"):
        EchoCareConfig.tiny(**changes)
