"""Devices of the machine, told without importing torch."""

import subprocess
import sys
import types

import pytest
from FetalEchoSegLib import hardware
from FetalEchoSegLib.hardware import Device, look, runs_on

ONE_GPU = "NVIDIA H100 80GB HBM3, 81559, 9.0\n"


@pytest.fixture
def driver(monkeypatch):
    """Doubles nvidia-smi, and hides the real torch; ``driver.says`` is its answer, None for no driver."""
    double = types.SimpleNamespace(says=None)

    def run(command, **options):
        if command[0] != "nvidia-smi":
            raise AssertionError(command)
        if double.says is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, 0, stdout=double.says, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(hardware, "installed_versions", lambda packages: {"torch": "2.5.1"})
    monkeypatch.setattr(hardware, "torch_is_built_for_cuda", lambda: True)
    return double


def torch_double(capability=(9, 0), built_for=("sm_80", "sm_90"), available=True):
    gpu = types.SimpleNamespace(name="NVIDIA H100", total_memory=80 << 30, major=capability[0], minor=capability[1])
    return types.SimpleNamespace(
        cuda=types.SimpleNamespace(
            is_available=lambda: available,
            device_count=lambda: 1,
            get_arch_list=lambda: list(built_for),
            get_device_properties=lambda index: gpu,
        )
    )


def test_the_cpu_is_there_with_its_memory_and_torch_is_not_imported(driver):
    machine = look()
    (cpu,) = machine.devices
    assert cpu.device == "cpu"
    assert cpu.memory_bytes > 1 << 28
    assert str(cpu).startswith(f"CPU: {cpu.name}, ")
    assert machine.automatic is cpu
    assert "torch" not in sys.modules


def test_a_gpu_of_the_driver_is_preferred(driver):
    driver.says = ONE_GPU
    machine = look()
    assert [device.device for device in machine.usable] == ["cuda:0", "cpu"]
    assert str(machine.automatic) == "NVIDIA H100 80GB HBM3, 80 GiB"
    assert machine.advice == ""


def test_a_torch_for_the_cpu_leaves_the_gpu_unused_and_says_so(driver, monkeypatch):
    driver.says = ONE_GPU
    monkeypatch.setattr(hardware, "torch_is_built_for_cuda", lambda: False)
    machine = look()
    assert [device.device for device in machine.usable] == ["cpu"]
    assert machine.automatic.device == "cpu"
    assert "NVIDIA H100 80GB HBM3 is not used, because the installed PyTorch computes on the CPU only" in machine.advice


def test_before_torch_is_installed_there_is_nothing_to_advise(driver, monkeypatch):
    driver.says = ONE_GPU
    monkeypatch.setattr(hardware, "installed_versions", lambda packages: {})
    assert look().advice == ""


def test_torch_that_does_not_reach_the_gpu_points_to_the_driver(driver, monkeypatch):
    driver.says = ONE_GPU
    monkeypatch.setitem(sys.modules, "torch", torch_double(available=False))
    machine = look()
    assert machine.automatic.device == "cpu"
    assert "update the NVIDIA driver" in machine.advice


def test_a_torch_without_code_for_the_gpu_says_so(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_double(capability=(12, 0)))
    machine = look()
    assert machine.devices[0].problem == "this PyTorch has no code for compute capability 12.0"
    assert machine.automatic.device == "cpu"
    assert "has no code for NVIDIA H100" in machine.advice


def test_a_torch_that_fits_is_believed(driver, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_double())
    machine = look()
    assert machine.automatic == Device("cuda:0", "NVIDIA H100", 80 << 30)
    assert machine.advice == ""


@pytest.mark.parametrize(
    ("capability", "built_for", "expected"),
    [
        ((9, 0), ["sm_80", "sm_90a"], True),
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((6, 1), ["sm_70", "compute_70"], False),
        ((6, 1), [], True),
    ],
)
def test_a_gpu_runs_code_of_its_generation_or_translated_from_an_older_one(capability, built_for, expected):
    assert runs_on(capability, built_for) is expected


@pytest.mark.parametrize("answer", ["", "No devices were found\n", "name, with, commas, 1\n"])
def test_an_odd_answer_of_the_driver_is_no_gpu(driver, answer):
    driver.says = answer
    assert [device.device for device in look().devices] == ["cpu"]


def test_names_of_processors_are_tidied():
    assert hardware._tidy("Intel(R) Xeon(R) CPU @ 2.20GHz") == "Intel Xeon"
    assert hardware._tidy("AMD EPYC 7B13 64-Core Processor") == "AMD EPYC 7B13"
