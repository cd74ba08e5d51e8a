"""Import of foreign checkpoints, made here from random weights in the layouts of the public files."""

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from FetalEchoSegLib.errors import InvalidRequest, UnusableBundle
from FetalEchoSegLib.networks.checkpoints import import_checkpoint, load_encoder, match_network, read_checkpoint
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoSegLib.networks.parameters import ENCODER_PREFIX, parameter_shapes

CONFIG = EchoCareConfig.tiny(
    embed_dim=8, decoder_features=4, depths=(1, 1, 2, 1), lora_rank=2, lora_alpha=2.0, n_views=0, image_size=64
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EchoCare(CONFIG).eval()


def baseline_file(path, state, **more):
    """As the official trainer writes best.pth."""
    torch.save(
        {"model": state, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4}]}}
        | {"scaler": None, "epoch": 3, "previous_best": 61.5, "best_epoch": 3, "global_step": 120}
        | more,
        path,
    )
    return path


def encoder_state(network):
    """Flat names without adapters, as in echocare_encoder.pth."""
    return {
        name.removeprefix(ENCODER_PREFIX).replace(".attn.qkv.qkv.", ".attn.qkv."): tensor
        for name, tensor in network.state_dict().items()
        if name.startswith(ENCODER_PREFIX) and "linear_a_" not in name and "linear_b_" not in name
    }


def assert_refused(path, says, **more):
    with pytest.raises(UnusableBundle, match=says) as error:
        import_checkpoint(path, folder=path.parent / "models", config=CONFIG, **more)
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text
    assert not (path.parent / "models").exists()
    return text


def test_a_baseline_checkpoint_becomes_the_same_network(tmp_path, network):
    path = baseline_file(tmp_path / "best.pth", network.state_dict())
    bundle = import_checkpoint(path, name="baseline", folder=tmp_path / "models", config=CONFIG)
    assert bundle.path == tmp_path / "models" / "baseline"
    assert bundle.card.training["tensors_matched"] == len(parameter_shapes(CONFIG))
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = network(image)
    found = bundle.build_network()(image)
    assert found.views is None
    assert torch.allclose(found.segmentation, expected.segmentation, atol=1e-4)
    assert torch.allclose(found.conditions, expected.conditions, atol=1e-4)


@pytest.mark.parametrize("best", [np.float64(61.5), np.float32(61.5), np.int64(3)])
def test_a_numpy_score_beside_the_weights_does_not_hinder(tmp_path, network, best):
    path = baseline_file(tmp_path / "best.pth", network.state_dict(), previous_best=best)
    assert len(read_checkpoint(path)) == len(parameter_shapes(CONFIG))


def test_data_parallel_names_and_old_files_are_understood(tmp_path, network):
    state = {"module." + k: v for k, v in network.state_dict().items()}
    torch.save({"model": state}, tmp_path / "best.pth", _use_new_zipfile_serialization=False)
    assert match_network(read_checkpoint(tmp_path / "best.pth"), CONFIG).share == 1.0


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_encoder_fills_the_swin_encoder_beneath_its_adapters(tmp_path, network, wrapped):
    state = encoder_state(network) | {"mask_token": torch.zeros(1, 1, 8)}
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "echocare_encoder.pth")
    fresh = EchoCare(CONFIG)
    match = load_encoder(fresh, tmp_path / "echocare_encoder.pth")
    assert match.share == 1.0
    assert match.unused == ()
    for name, tensor in fresh.state_dict().items():
        if name.startswith(ENCODER_PREFIX) and "linear_" not in name.split("attn.")[-1]:
            assert torch.equal(tensor, network.state_dict()[name]), name
    bundle = import_checkpoint(tmp_path / "echocare_encoder.pth", folder=tmp_path / "models", config=CONFIG)
    assert "Only the encoder" in bundle.notice
    key = ENCODER_PREFIX + "layers1.0.blocks.0.attn.qkv.qkv.weight"
    assert torch.equal(bundle.state()[key], network.state_dict()[key])


def test_a_match_below_ninety_percent_is_refused_with_what_did_not_fit(tmp_path, network):
    names = list(network.state_dict())
    dropped = names[: len(names) // 8]
    state = {k: v for k, v in network.state_dict().items() if k not in dropped}
    state["seg_net.out.conv.conv.bias"] = torch.zeros(4)
    state["stranger.weight"] = torch.zeros(3)
    text = assert_refused(baseline_file(tmp_path / "best.pth", state), "tensors fit")
    assert dropped[0] in text
    assert "seg_net.out.conv.conv.bias (4,) instead of (15,)" in text
    assert "stranger.weight" in text


def test_a_match_above_ninety_percent_is_completed_and_recorded(tmp_path, network):
    state = dict(network.state_dict())
    del state["cls_decoder.2.bias"]
    bundle = import_checkpoint(baseline_file(tmp_path / "best.pth", state), folder=tmp_path / "models", config=CONFIG)
    assert bundle.card.training["tensors_missing"] == ["cls_decoder.2.bias"]
    bundle.build_network()(torch.rand(1, 1, 64, 64))


def test_an_encoder_of_another_size_is_refused(tmp_path):
    other = EchoCare(EchoCareConfig.tiny(embed_dim=16, lora_rank=0))
    torch.save({"state_dict": encoder_state(other)}, tmp_path / "encoder.pth")
    assert_refused(tmp_path / "encoder.pth", "not an EchoCare encoder")


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    state = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 4, 3)).state_dict()
    text = assert_refused(baseline_file(tmp_path / "best.pth", state), "only 0 of")
    assert "0.weight" in text


MARKER = "fetalecho-checkpoint-was-run"


class _Evil:
    def __reduce__(self):
        return (os.system, (f"touch {MARKER}",))


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_posing_as_weights_is_refused_and_not_run(tmp_path, monkeypatch, new_format):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": _Evil()}, tmp_path / "best.pth", _use_new_zipfile_serialization=new_format)
    assert_refused(tmp_path / "best.pth", "could run code")
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"hello", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "best.pth").write_bytes(content)
    assert_refused(tmp_path / "best.pth", "best.pth")


def test_a_picture_is_not_taken_for_a_dangerous_checkpoint(tmp_path):
    (tmp_path / "best.pth").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert_refused(tmp_path / "best.pth", "is not a torch checkpoint: choose a .pth")


@pytest.mark.parametrize("name", ["../../x", "a b", "-"])
def test_a_name_that_is_no_folder_name_is_refused_before_the_work(tmp_path, name):
    with pytest.raises(InvalidRequest, match="cannot be called"):
        import_checkpoint(tmp_path / "absent.pth", name, folder=tmp_path / "m", config=CONFIG)


def test_a_truncated_checkpoint_is_refused(tmp_path, network):
    path = baseline_file(tmp_path / "best.pth", network.state_dict())
    path.write_bytes(path.read_bytes()[:5000])
    assert_refused(path, "not a readable")


@pytest.mark.parametrize("content", [{"model": {"a": 3}}, {"epoch": 1}, [1, 2], torch.zeros(3)])
def test_a_checkpoint_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "best.pth")
    assert_refused(tmp_path / "best.pth", "no named tensors")


def test_an_absent_file_is_named(tmp_path):
    assert_refused(tmp_path / "absent.pth", "There is no checkpoint")


def test_a_file_is_taken_for_what_the_user_says(tmp_path, network):
    torch.save(encoder_state(network), tmp_path / "weights.pth")
    assert_refused(tmp_path / "weights.pth", "not a checkpoint of the official FETUS", kind="network")
    path = baseline_file(tmp_path / "best.pth", network.state_dict())
    bundle = import_checkpoint(path, folder=tmp_path / "models", config=CONFIG, kind="encoder")
    assert "Only the encoder" in bundle.card.notice
