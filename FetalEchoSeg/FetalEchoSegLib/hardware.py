"""What could compute on this machine, found without importing torch, and why torch would not use it.

Importing torch takes seconds, so a panel that only offers the choice does without. What torch alone knows (which GPU
generations its build holds code for) is added once something else has imported it. ``devices`` decides; this tells.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from .dependencies import installed_versions, torch_is_built_for_cuda

_GIB = 1 << 30
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits")
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Device:
    """Something that computes.

    device        what ``devices.choose_device`` takes: "cpu", "mps", "cuda:0"
    name          of the product, such as "AMD EPYC 7B13"
    memory_bytes  its memory, the machine's for "cpu" and "mps"; 0 if unknown
    problem       why torch does not use it, "" if it does
    """

    device: str
    name: str
    memory_bytes: int = 0
    problem: str = ""

    def __str__(self) -> str:
        kind = {"cpu": "CPU: ", "mps": "Apple GPU: "}.get(self.device, "")
        memory = f", {round(self.memory_bytes / _GIB)} GiB" if self.memory_bytes else ""
        return f"{kind}{self.name}{memory}"


@dataclass(frozen=True)
class Machine:
    """Devices of this machine, and advice in one sentence if torch leaves a GPU unused, "" otherwise."""

    devices: tuple[Device, ...]
    advice: str = ""

    @property
    def usable(self) -> tuple[Device, ...]:
        """Devices that torch can use; the CPU is always among them."""
        return tuple(device for device in self.devices if not device.problem)

    @property
    def automatic(self) -> Device:
        """What "auto" comes to: the first GPU that works, else the CPU."""
        return next((device for device in self.usable if device.device != "cpu"), self.usable[-1])


def look() -> Machine:
    """The devices of this machine. Takes up to some seconds where drivers are slow: not for the interface's thread."""
    gpus, advice = _nvidia_gpus()
    if sys.platform == "darwin" and platform.machine() == "arm64":
        gpus = (*gpus, Device("mps", _cpu_name(), _memory_bytes()))
    return Machine((*gpus, Device("cpu", _cpu_name(), _memory_bytes())), advice)


def _nvidia_gpus() -> tuple[tuple[Device, ...], str]:
    torch = sys.modules.get("torch")
    # A module that another thread is still importing has no cuda yet.
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_available():
        return _gpus_of_torch(torch)
    found = _gpus_of_driver()
    if not found:
        return (), ""
    names = ", ".join(dict.fromkeys(name for name, _, _ in found))
    problem = advice = ""
    if "torch" in installed_versions(["torch"]):
        if torch_is_built_for_cuda() is False:
            problem = "PyTorch is installed for the CPU only"
            advice = (
                f"{names} is not used, because the installed PyTorch computes on the CPU only: install PyTorch again"
                " with the module PyTorch Util, which chooses the build for this GPU."
            )
        elif torch is not None and hasattr(torch, "cuda"):
            problem = "PyTorch cannot use it"
            advice = f"{names} is not used, because PyTorch does not reach it: update the NVIDIA driver, then restart."
    gpus = tuple(Device(f"cuda:{i}", name, memory, problem) for i, (name, memory, _) in enumerate(found))
    return gpus, advice


def _gpus_of_torch(torch: Any) -> tuple[tuple[Device, ...], str]:
    gpus, unfit = [], []
    built_for = torch.cuda.get_arch_list()
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        fits = runs_on((properties.major, properties.minor), built_for)
        problem = (
            "" if fits else f"this PyTorch has no code for compute capability {properties.major}.{properties.minor}"
        )
        gpus.append(Device(f"cuda:{index}", properties.name, properties.total_memory, problem))
        if not fits:
            unfit.append(properties.name)
    advice = ""
    if unfit:
        advice = (
            f"The installed PyTorch has no code for {', '.join(dict.fromkeys(unfit))}: install PyTorch again with the"
            " module PyTorch Util, or choose the CPU."
        )
    return tuple(gpus), advice


def runs_on(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a build of torch runs on a GPU.

    capability  compute capability, such as (9, 0)
    built_for   ``torch.cuda.get_arch_list()``: "sm_80" is machine code for 8.0 and later 8.x, "compute_80" is
                translated for anything from 8.0 on; empty means not known
    """
    for architecture in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", architecture)
        if match is None:
            continue
        built = (int(match[2]), int(match[3]))
        if built <= capability and (match[1] == "compute" or built[0] == capability[0]):
            return True
    return not built_for


def _gpus_of_driver() -> list[tuple[str, int, str]]:
    """(name, bytes, compute capability) of each NVIDIA GPU, in the driver's order; empty without driver."""
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, else a console would flash up
    try:
        answer = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True, creationflags=hidden
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    gpus = []
    for line in answer.stdout.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3:
            gpus.append((parts[0], int(parts[1]) << 20 if parts[1].isdigit() else 0, parts[2]))
    return gpus


def _cpu_name() -> str:
    try:
        if sys.platform == "linux":
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - endless if unlucky
                for line in file:
                    if line.startswith("model name"):
                        return _tidy(line.partition(":")[2])
        if sys.platform == "darwin":
            command = ("sysctl", "-n", "machdep.cpu.brand_string")
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True)
            return _tidy(answer.stdout)
        if sys.platform == "win32":
            import winreg

            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
                return _tidy(winreg.QueryValueEx(key, "ProcessorNameString")[0])
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine()


def _tidy(name: str) -> str:
    """Without trademark signs, clock and the word processor: "Intel(R) Xeon(R) CPU @ 2.20GHz" is "Intel Xeon"."""
    name = re.sub(r"\((R|TM|tm)\)|\bCPU\b|@.*|\b\d+-Core\b|\bProcessor\b", " ", name)
    return " ".join(name.split())


def _memory_bytes() -> int:
    try:
        import psutil

        return int(psutil.virtual_memory().total)
    except ImportError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, before psutil is installed
        return 0
