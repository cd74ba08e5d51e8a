"""The one place that decides where and in which precision networks run."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

from .errors import InvalidRequest

PRECISIONS = ("fp32", "bf16", "fp16")
# Frames per pass: enough to keep the processor busy, little enough for 4 GB of activations at full size.
_BATCH_SIZES = {"cpu": 4, "mps": 8, "cuda": 16}


@dataclass(frozen=True)
class DeviceChoice:
    """Where a network runs.

    device      "cpu", "mps", "cuda" or "cuda:1"
    precision   "fp32", "bf16" or "fp16"
    batch_size  frames per forward pass that fit comfortably
    reason      one sentence for logs and reports
    """

    device: str
    precision: str
    batch_size: int
    reason: str


def choose_device(device: str = "auto", precision: str = "auto") -> DeviceChoice:
    """The best device and precision present, or the ones asked for.

    Raises InvalidRequest when the device is not there or cannot compute in the precision, MissingDependency when torch
    is not installed.
    """
    kind = device.split(":")[0]
    if kind not in ("auto", *_BATCH_SIZES):
        raise InvalidRequest(f"There is no device '{device}': choose auto, cpu, cuda, cuda:N or mps.")
    if precision not in ("auto", *PRECISIONS):
        raise InvalidRequest(f"There is no precision '{precision}': choose auto, {', '.join(PRECISIONS)}.")
    torch = _torch()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        kind = device
    _require_present(device)
    supported = _fast_precisions(kind, device)
    if precision == "auto":
        precision = supported[0]
    elif precision == "fp16" and kind == "cpu":
        raise InvalidRequest("A CPU does not compute in fp16: choose fp32 or bf16.")
    reason = f"{device} in {precision} ({_describe(kind, device)})"
    return DeviceChoice(device, precision, _BATCH_SIZES[kind], reason)


def keep_freed_memory() -> bool:
    """Let glibc reuse large temporaries instead of handing them back to the system after every layer.

    Saves about a tenth of the time of a large network on a CPU, at the price of memory that stays with the process:
    for workers and the command line, not for the process of Slicer. Returns whether it took effect (glibc only).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        mmap_threshold, trim_threshold = -3, -1
        return bool(libc.mallopt(mmap_threshold, 1 << 30)) and bool(libc.mallopt(trim_threshold, 2**31 - 1))
    except (OSError, AttributeError):
        return False


def _torch():  # noqa: ANN202 - the module, imported late
    try:
        import torch
    except ImportError as error:
        from .errors import MissingDependency

        raise MissingDependency("PyTorch is not installed: install it to segment or train.") from error
    return torch


def _require_present(device: str) -> None:
    torch = _torch()
    kind, _, number = device.partition(":")
    if number and not number.isdigit():
        raise InvalidRequest(f"There is no device '{device}': choose auto, cpu, cuda, cuda:N or mps.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InvalidRequest("This computer has no Apple GPU that PyTorch can use: choose device auto or cpu.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            have = f"only {count} NVIDIA GPU(s)" if count else "no NVIDIA GPU"
            raise InvalidRequest(f"PyTorch finds {have} here, so '{device}' cannot be used: choose auto or cpu.")


def _fast_precisions(kind: str, device: str) -> tuple[str, ...]:
    """Precisions worth choosing on a device that is present, best first."""
    torch = _torch()
    if kind == "cuda":
        return ("bf16", "fp32") if torch.cuda.get_device_capability(device)[0] >= 8 else ("fp16", "fp32")
    if kind == "cpu" and cpu_multiplies_bf16():
        return ("bf16", "fp32")
    return ("fp32",)


def cpu_multiplies_bf16() -> bool:
    """Whether the CPU has matrix tiles (AMX), which make bf16 much faster; without them fp32 is safer."""
    torch = _torch()
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(probe and probe())


def _describe(kind: str, device: str) -> str:
    torch = _torch()
    if kind == "cuda":
        return str(torch.cuda.get_device_name(device))
    if kind == "mps":
        return "Apple GPU"
    return f"{torch.get_num_threads()} threads{', AMX' if cpu_multiplies_bf16() else ''}"
