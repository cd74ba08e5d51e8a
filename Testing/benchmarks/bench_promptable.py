"""Clicks: what an embedding, a click and a cache hit cost, at the size of SAM-Med2D and at the demo's.

    python Testing/benchmarks/bench_promptable.py

Random weights; variants take turns within each round. The plain encoder is that of segment-anything with our adapter,
under inference_mode; the published implementation is the same to the last bit (see test_promptable_network).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from bench_network import alternate
from promptables import reference_prompts, seeded_frame, seeded_state

Row = tuple[str, float, str]
FRAME = (512, 512)


def run(rounds: int = 3) -> list[Row]:
    """All figures as (name, value, unit)."""
    from FetalEchoSegLib.devices import cpu_multiplies_bf16
    from FetalEchoSegLib.promptable.configuration import PromptableConfig

    rows: list[Row] = [("threads", torch.get_num_threads(), ""), ("CPU has AMX", float(cpu_multiplies_bf16()), "")]
    rows += _size("ViT-B 256, adapters", PromptableConfig.vit_b(), rounds, "ViT-B, adapters")
    rows += _size("ViT-B 256, no adapters", PromptableConfig.vit_b(adapters=False), rounds, "ViT-B, no adapters")
    rows += _size("tiny", PromptableConfig.tiny(), 7 * rounds, None)
    return rows


def _size(name: str, config: object, rounds: int, reference: str | None) -> list[Row]:
    from FetalEchoSegLib.promptable.lean import LeanEncoder
    from FetalEchoSegLib.promptable.model import PromptableModel
    from FetalEchoSegLib.promptable.network import build_network
    from FetalEchoSegLib.promptable.parameters import parameter_shapes

    state = seeded_state(parameter_shapes(config), 1)
    model = PromptableModel(config, state)
    rows: list[Row] = []
    if reference:
        rows.append((f"{name}: largest difference from the published one", _difference(model, reference), ""))
    network = build_network(config)
    network.load_state_dict(state, assign=True)
    image = torch.from_numpy(model.embed(seeded_frame(*FRAME)).geometry.network_image(seeded_frame(*FRAME)))[None]
    encoders = {
        "plain fp32": network.image_encoder,
        "lean fp32": model._parts.encoder,
        "lean bf16": LeanEncoder(config, state, precision="bf16"),
    }
    with torch.inference_mode():
        exact, lean, rounded = (encode(image) for encode in encoders.values())
        rows += [
            (
                f"{name}: lean fp32, largest difference of features",
                float((lean - exact).abs().max()),
                "",
            ),
            (f"{name}: lean bf16, relative rms difference", _relative(rounded, exact), "%"),
        ]
    ms = alternate({variant: partial(encode, image) for variant, encode in encoders.items()}, rounds)
    rows += [(f"{name}: embedding {variant}", value, "ms") for variant, value in ms.items()]
    rows += [
        (f"{name}: lean fp32 over plain fp32", ms["plain fp32"] / ms["lean fp32"], "x faster"),
        (f"{name}: lean bf16 over plain fp32", ms["plain fp32"] / ms["lean bf16"], "x faster"),
    ]
    del network, encoders
    return rows + _clicks(name, model) + in_scene(name, model) + _ahead(name, model)


def _relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return 100 * float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def _difference(model: object, name: str) -> float:
    """Of embedding, logits and IoU, from the values kept of the published implementation."""
    reference = json.loads((HERE.parent / "unit" / "promptable_reference.json").read_text())[name]
    height, width = reference["frame"]
    embedding = model.embed(seeded_frame(height, width))
    model.click_margin, kept = 0, model.click_margin  # as published
    found = {"embedding": embedding.features.numpy()}
    for case, (prompts, multimask) in reference_prompts(height, width, model.config.mask_size).items():
        (answer,) = model.answer(embedding, [prompts], multimask)
        found[f"{case}/low"], found[f"{case}/iou"] = answer.logits, np.array([answer.iou])
    model.click_margin = kept
    worst = 0.0
    for key, values in reference["values"].items():
        flat = np.asarray(found[key], dtype=np.float64).ravel()
        picked = flat[np.linspace(0, len(flat) - 1, len(values)).astype(int)]
        worst = max(worst, float(np.abs(picked - values).max()))
    return worst


def _clicks(name: str, model: object) -> list[Row]:
    """From the click to the mask at the frame's size, embedding ready."""
    from FetalEchoSegLib.cine import Cine
    from FetalEchoSegLib.promptable.boundary import interior_points
    from FetalEchoSegLib.promptable.prompts import Box, Point, Prompts
    from FetalEchoSegLib.promptable.refiner import CineFrames, Refiner

    clip = CineFrames(Cine.from_array(seeded_frame(*FRAME, color=False)), "clip")
    refiner = Refiner(model)
    first = refiner.answer(clip, 0, Prompts((Point(200, 200),)))
    rng = np.random.default_rng(0)
    times, decoder = [], []
    for _ in range(60):
        points = tuple(Point(*rng.uniform(10, 500, 2), bool(i == 0)) for i in range(3))
        prompts = Prompts(points, mask=first.answer.logits)
        began = time.perf_counter()
        reply = refiner.answer(clip, 0, prompts)
        reply.answer.mask  # noqa: B018 - drawing it is part of the click
        times.append(1e3 * (time.perf_counter() - began))
        decoder.append(reply.milliseconds)
    embedding = refiner.cache.get(next(iter(refiner.cache._entries)))
    masks = np.zeros((7, *FRAME), dtype=bool)
    for index, mask in enumerate(masks):
        mask[40 + 50 * index : 90 + 50 * index, 60:160] = True
    seven = [
        Prompts(interior_points(mask), Box.around(mask, 0.05), memory)
        for mask, memory in zip(masks, embedding.geometry.mask_prompt(masks), strict=True)
    ]
    ms = alternate(
        {
            "seven structures in one batch": lambda: model.answer(embedding, seven),
            "seven structures one by one": lambda: [model.answer(embedding, [prompt]) for prompt in seven],
        },
        7,
    )
    hits = []
    for _ in range(200):
        began = time.perf_counter()
        refiner.wait_for(clip, 0).result()
        hits.append(1e3 * (time.perf_counter() - began))
    refiner.close()
    return [
        (f"{name}: click to mask, median", statistics.median(times), "ms"),
        (f"{name}: click to mask, 95 of 100", float(np.percentile(times, 95)), "ms"),
        (f"{name}: of it prompt encoder and decoder, median", statistics.median(decoder), "ms"),
        *((f"{name}: {what}", value, "ms") for what, value in ms.items()),
        (f"{name}: embedding from the cache, 95 of 100", float(np.percentile(hits, 95)), "ms"),
    ]


def in_scene(name: str, model: object) -> list[Row]:
    """From the click to the mask in the scene, embedding ready: answered, written by Slicer's editor, remembered.

    A frame of 512 x 512 with all fourteen segments drawn; without views, which draw afterwards.
    """
    from FetalEchoSegLib.scene.headless import startHeadlessSlicer

    slicer = startHeadlessSlicer()
    from FetalEchoSegLib.anatomy import Structure
    from FetalEchoSegLib.cine import Cine
    from FetalEchoSegLib.scene.cine_nodes import addCineToScene
    from FetalEchoSegLib.scene.click_session import Clicked, ClickSession
    from FetalEchoSegLib.scene.click_target import targetOfEditor
    from FetalEchoSegLib.scene.plane_masks import LogicEditor
    from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

    slicer.mrmlScene.Clear(0)
    frames = np.stack([seeded_frame(*FRAME, seed, color=False) for seed in range(4)])
    sequence, browser = addCineToScene(Cine.from_array(frames, spacing=(0.3, 0.3)), "Clip")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    labels = np.zeros(FRAME, dtype=np.uint8)
    for structure in Structure:
        labels[30 * structure : 30 * structure + 25, 60:440] = structure
    setFrameLabels(masks, 0, labels)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(browser.GetProxyNode(masks))
    node.SetAndObserveSourceVolumeNode(browser.GetProxyNode(sequence))
    node.SetSelectedSegmentID(Structure.LEFT_VENTRICLE.info.segment_id)
    editor, session = LogicEditor(node), ClickSession()
    session.useModel(model)
    target = targetOfEditor(node)
    session.refiner.wait_for(target.source, target.frame).result()
    rng = np.random.default_rng(0)
    times = []
    for number in range(120):
        if number % 3 == 0:
            session.clear(target)
        x, y = rng.uniform(10, 500, 2)
        began = time.perf_counter()
        session.addPoint(editor, targetOfEditor(node), x, y)
        took = 1e3 * (time.perf_counter() - began)
        if isinstance(session.outcome, Clicked) and session.outcome.iou is not None:  # something was found
            times.append(took)
    session.close()
    slicer.mrmlScene.Clear(0)
    return [
        (f"{name}: click to mask in the scene, median", statistics.median(times), "ms"),
        (f"{name}: click to mask in the scene, 95 of 100", float(np.percentile(times, 95)), "ms"),
    ]


def _ahead(name: str, model: object) -> list[Row]:
    """Stepping through a clip (a frame fetched and coloured, its neighbours wished for) while it is encoded."""
    import cv2
    from FetalEchoSegLib.cine import Cine
    from FetalEchoSegLib.promptable.refiner import CineFrames, Refiner

    frames = np.stack([seeded_frame(*FRAME, seed, color=False) for seed in range(60)])
    clip = CineFrames(Cine.from_array(frames), "clip")
    refiner = Refiner(model, ahead=60)
    gaps, began = [], time.perf_counter()
    step = 0
    while time.perf_counter() - began < 3:
        at = time.perf_counter()
        refiner.prepare(clip, step % 60)
        cv2.applyColorMap(clip.frame(step % 60), cv2.COLORMAP_BONE)
        step += 1
        gaps.append(time.perf_counter() - at)
        time.sleep(0.01)  # what Slicer's event loop leaves to others between two frames at the least
    encoded = len(refiner.cache)
    refiner.close()
    return [
        (f"{name}: steps a second while encoding", step / 3, "frames/s"),
        (f"{name}: slowest step while encoding", 1e3 * max(gaps), "ms"),
        (f"{name}: frames encoded meanwhile", encoded / 3, "frames/s"),
    ]


if __name__ == "__main__":
    for row_name, value, unit in run():
        print(f"{row_name}: {value:.4g} {unit}")
