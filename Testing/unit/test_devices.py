"""The choice of device and precision."""

import sys

import pytest

torch = pytest.importorskip("torch")
from FetalEchoSegLib import devices
from FetalEchoSegLib.devices import choose_device
from FetalEchoSegLib.errors import InvalidRequest, MissingDependency


@pytest.fixture
def only_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(("amx", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_cpu_computes_in_bf16_only_with_amx(only_a_cpu, monkeypatch, amx, precision):
    monkeypatch.setattr(devices, "cpu_multiplies_bf16", lambda: amx)
    choice = choose_device()
    assert (choice.device, choice.precision) == ("cpu", precision)
    assert choose_device("cpu", "fp32").precision == "fp32"


@pytest.mark.parametrize(("capability", "precision"), [((9, 0), "bf16"), ((7, 5), "fp16")])
def test_a_gpu_is_preferred_and_its_generation_sets_the_precision(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Test GPU")
    choice = choose_device()
    assert (choice.device, choice.precision) == ("cuda", precision)
    assert choice.batch_size > choose_device("cpu").batch_size
    assert choose_device("cuda:1").device == "cuda:1"
    with pytest.raises(InvalidRequest, match="only 2 NVIDIA"):
        choose_device("cuda:2")


@pytest.mark.parametrize("device", ["cuda", "mps", "cuda:x", "tpu", ""])
def test_a_device_that_is_not_there_is_refused_in_one_sentence(only_a_cpu, device):
    with pytest.raises(InvalidRequest) as error:
        choose_device(device)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_impossible_precisions_are_refused(only_a_cpu):
    with pytest.raises(InvalidRequest, match="fp8"):
        choose_device("cpu", "fp8")
    with pytest.raises(InvalidRequest, match="fp16"):
        choose_device("cpu", "fp16")


def test_missing_torch_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match="PyTorch is not installed"):
        choose_device()
