"""EchoCare at full size, 256 x 256, on the CPU: the plain MONAI path against the lean one, side by side in one run.

    python Testing/benchmarks/bench_network.py

Variants take turns within each round and medians are compared, because other work on the machine shifts all of them.
Cold start and memory are measured in fresh processes on a bundle of random weights (imports excluded).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

ROUNDS = 5
SIDE = 256
Row = tuple[str, float, str]

_CHILD = """
import json, sys, time
import torch, safetensors.torch, FetalEchoSegLib.networks.lean
import FetalEchoSegLib.bundle as bundle
torch.linspace(0, 1, 2).sum().item()
precision, path = sys.argv[1:3]
began = time.perf_counter()
found = bundle.find_bundle(path)
found.verify()
hashed = time.perf_counter()
network = found.build_network("cpu", precision)
built = time.perf_counter()
frame = torch.rand(1, 1, {side}, {side})
network(frame)
first = time.perf_counter()
network(frame)
try:
    # ru_maxrss starts at the parent's value; the kernel's own mark does not
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except (OSError, IndexError):
    peak = float("nan")
print(json.dumps([hashed - began, built - hashed, first - built, time.perf_counter() - first, peak]))
"""

_PLAIN_CHILD = """
import json, sys, time
import torch
from FetalEchoSegLib.networks.assembly import echocare_from_state
from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig
from safetensors.torch import load_file
mode, path = sys.argv[1:3]
began = time.perf_counter()
if mode == "assign":
    network = echocare_from_state(EchoCareConfig.full(), load_file(path))
else:
    network = EchoCare(EchoCareConfig.full())
    network.load_state_dict(torch.load(path + ".pth", weights_only=True))
built = time.perf_counter()
with torch.inference_mode():
    network.eval()(torch.rand(1, 1, {side}, {side}))
try:
    # ru_maxrss starts at the parent's value; the kernel's own mark does not
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except (OSError, IndexError):
    peak = float("nan")
print(json.dumps([built - began, peak]))
"""


def run(rounds: int = ROUNDS) -> list[Row]:
    """All figures as (name, value, unit)."""
    from FetalEchoSegLib.devices import keep_freed_memory
    from FetalEchoSegLib.networks.echocare import EchoCare, EchoCareConfig
    from FetalEchoSegLib.networks.lean import LeanEchoCare

    torch.manual_seed(0)
    network = EchoCare(EchoCareConfig.full()).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "linear_b_" in name:
                parameter.normal_(0, 0.02)
    rows: list[Row] = [("threads", torch.get_num_threads(), "")]
    frame = torch.rand(1, 1, SIDE, SIDE)
    work = _flops(network, frame)
    rows.append(("EchoCare full, one frame 256 x 256", work / 1e9, "GFLOP"))

    def plain_bf16(image: torch.Tensor) -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return network(image)

    variants: dict[str, Callable[[torch.Tensor], object]] = {
        "plain fp32": network,
        "plain bf16 autocast": plain_bf16,
        "lean fp32": LeanEchoCare.from_network(network, precision="fp32"),
        "lean bf16": LeanEchoCare.from_network(network, precision="bf16"),
    }
    ms = alternate({n: lambda v=v: v(frame) for n, v in variants.items()}, rounds)
    rows += [(f"{name}, per frame", value, "ms") for name, value in ms.items()]
    rows += [
        ("lean fp32 over plain fp32", ms["plain fp32"] / ms["lean fp32"], "x faster"),
        ("lean bf16 over plain fp32", ms["plain fp32"] / ms["lean bf16"], "x faster"),
        ("lean bf16 over plain bf16 autocast", ms["plain bf16 autocast"] / ms["lean bf16"], "x faster"),
        ("CPU has AMX", float(torch.cpu._is_amx_tile_supported()), ""),
    ]
    with torch.inference_mode():
        reference = network(frame).segmentation
        for precision in ("fp32", "bf16"):
            found = variants[f"lean {precision}"](frame).segmentation  # type: ignore[attr-defined]
            difference = float((found - reference).abs().max() / reference.abs().max())
            rows.append((f"lean {precision}, largest logit difference (random weights)", difference, "of the largest"))
    rows += _peak_rows(work, ms)
    rows += _postprocessing_rows(rounds * 3)
    if keep_freed_memory():
        kept = alternate({n: lambda v=variants[n]: v(frame) for n in ("plain fp32", "lean fp32")}, rounds)
        rows += [(f"{name}, freed memory kept, per frame", value, "ms") for name, value in kept.items()]
    four = torch.rand(4, 1, SIDE, SIDE)
    batched = alternate({n: lambda v=variants[n]: v(four) for n in ("lean fp32", "lean bf16")}, 2)
    rows += [(f"{name}, batch of 4, per frame", value / 4, "ms") for name, value in batched.items()]
    variants.clear()
    rows += _cold_start_rows(network)
    return rows + _demo_rows()


def alternate(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each variant; they take turns, after one untimed round."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    with torch.inference_mode():
        for number in range(rounds + 1):
            for name, call in variants.items():
                began = time.perf_counter()
                call()
                if number:
                    times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def _flops(network: torch.nn.Module, frame: torch.Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(frame)
    return float(counter.get_total_flops())


def _peak_rows(work: float, ms: dict[str, float]) -> list[Row]:
    """The largest matrix product rate of this machine, whichever library reaches it, and the share in use."""
    from FetalEchoSegLib.networks.kernels import Dense, Placement

    side = 2048
    rows: list[Row] = []
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        x, weight = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        laid_out = Dense(lambda weight=weight: weight, None, Placement(torch.device("cpu"), dtype))
        best = alternate({"torch": lambda x=x, w=weight: F.linear(x, w), "laid out": lambda x=x, d=laid_out: d(x)}, 7)
        rates = {name: 2 * side**3 / value / 1e6 for name, value in best.items()}
        peak = max(rates.values())
        rows += [(f"{precision} matrix product {side}, {name}", rate, "GFLOP/s") for name, rate in rates.items()]
        rows.append(
            (f"lean {precision}, share of measured peak", 100 * work / ms[f"lean {precision}"] / 1e6 / peak, "%")
        )
        if precision == "fp32":
            rows.append(("plain fp32, share of measured peak", 100 * work / ms["plain fp32"] / 1e6 / peak, "%"))
    return rows


def _postprocessing_rows(rounds: int) -> list[Row]:
    """Logits at 256 to labels at 512, four-chamber view (eight channels permitted, the most of all views)."""
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.networks.lean import label_map
    from FetalEchoSegLib.networks.masking import mask_segmentation_logits

    logits = F.interpolate(3 * torch.randn(1, 15, 12, 12), size=(SIDE, SIDE), mode="bicubic")
    logits = logits + 0.05 * torch.randn_like(logits)

    def plain() -> torch.Tensor:
        large = F.interpolate(logits, size=(512, 512), mode="bilinear", align_corners=False)
        return mask_segmentation_logits(large, View.FOUR_CHAMBER).argmax(1).to(torch.uint8)

    def lean() -> torch.Tensor:
        return torch.from_numpy(label_map(logits, View.FOUR_CHAMBER, (512, 512))[0])

    ms = alternate({"plain": plain, "lean": lean}, rounds)
    return [
        ("post-processing plain (15 channels, mask, argmax)", ms["plain"], "ms"),
        ("post-processing lean (labels and probability)", ms["lean"], "ms"),
        ("post-processing lean over plain", ms["plain"] / ms["lean"], "x faster"),
        ("post-processing, pixels that differ", 100 * float((plain() != lean()).float().mean()), "%"),
    ]


def _cold_start_rows(network: torch.nn.Module) -> list[Row]:
    from FetalEchoSegLib.bundle import Card, save_bundle

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        card = Card.new("bench", "1", network.config, licence="none")
        bundle = save_bundle(Path(folder) / "bench", card, network.state_dict())
        for precision in ("fp32", "bf16"):
            runs = [_child(_CHILD, precision, str(bundle.path)) for _ in range(3)]
            hashing, build, first, second, peak = (statistics.median(column) for column in zip(*runs, strict=True))
            rows += [
                (f"cold start lean {precision}: card, map, build", build, "s"),
                (f"cold start lean {precision}: check of SHA-256 (699 MB, once per process)", hashing, "s"),
                (f"cold start lean {precision}: first frame beyond a usual one", first - second, "s"),
                (f"peak memory lean {precision}, one frame", peak, "MB"),
            ]
        torch.save(network.state_dict(), str(bundle.weights_path) + ".pth")
        for mode, label in (("assign", "uninitialised, map, assign"), ("load", "initialise, torch.load, copy")):
            runs = [_child(_PLAIN_CHILD, mode, str(bundle.weights_path)) for _ in range(3)]
            build, peak = (statistics.median(column) for column in zip(*runs, strict=True))
            rows += [(f"cold start plain module: {label}", build, "s"), (f"peak memory plain: {label}", peak, "MB")]
    return rows


def _child(code: str, *arguments: str) -> list[float]:
    finished = subprocess.run(
        [sys.executable, "-c", code.replace("{side}", str(SIDE)), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(finished.stdout.splitlines()[-1])


def _demo_rows() -> list[Row]:
    """Time of the demo network and, because it is trained, how many labels the lean path leaves unchanged."""
    from FetalEchoSegLib.anatomy import View
    from FetalEchoSegLib.bundle import DEFAULT_BUNDLE, find_bundle
    from FetalEchoSegLib.errors import UnusableBundle
    from FetalEchoSegLib.networks.lean import label_map
    from FetalEchoSegLib.phantom.clip import make_named_clip
    from FetalEchoSegLib.preprocessing import network_input

    try:
        bundle = find_bundle(DEFAULT_BUNDLE)
    except UnusableBundle:
        return []  # not trained yet
    size = bundle.card.preprocessing.size
    plain = bundle.build_trainable().eval()
    lean = {precision: bundle.build_network("cpu", precision) for precision in ("fp32", "bf16")}
    same = dict.fromkeys(lean, 0)
    pixels = 0
    for view in View:
        cine = make_named_clip(view, seed=77, frames=2).cine
        for index in range(len(cine)):
            frame = torch.from_numpy(network_input(cine.frame(index), size))[None, None]
            with torch.inference_mode():
                expected = label_map(plain(frame).segmentation, view, (512, 512))[0]
            pixels += expected.size
            for precision, network in lean.items():
                same[precision] += int((label_map(network(frame).segmentation, view, (512, 512))[0] == expected).sum())
    ms = alternate(
        {"plain fp32": lambda: plain(frame)} | {f"lean {p}": lambda n=n: n(frame) for p, n in lean.items()}, 9
    )
    return [
        *((f"demo network {name}, per frame", value, "ms") for name, value in ms.items()),
        *((f"demo network lean {p}, labels equal to plain", 100 * n / pixels, "%") for p, n in same.items()),
    ]


if __name__ == "__main__":
    for name, value, unit in run():
        print(f"{name}: {value:.4g} {unit}")
