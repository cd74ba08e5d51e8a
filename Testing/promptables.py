"""Promptable networks for tests: seeded weights, small sizes, bundles, and a model that answers where it was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# What the small network in promptable_reference.json has; every kind of block, windows that do not divide the grid.
SMALL = {
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 4,
    "window_size": 14,
    "global_blocks": (1,),
    "prompt_dim": 32,
    "decoder_heads": 4,
    "decoder_hidden": 64,
    "iou_hidden": 32,
}

# Not weights of a product: they keep their size.
_UNSCALED = ("pos_embed", "pe_layer", "point_embeddings", "_embed.weight", "iou_token", "mask_tokens")


def seeded_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0):
    """Weights for these names and shapes, the same wherever they are made; nothing in them is zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name in sorted(shapes):
        shape = shapes[name]
        values = torch.randn(shape, generator=generator)
        if name.endswith(".weight") and len(shape) == 1:
            values = 1 + 0.1 * values  # of a norm
        elif name.endswith(".bias"):
            values = 0.1 * values
        elif "rel_pos" in name:
            values = 0.2 * values
        elif len(shape) > 1 and not any(part in name for part in _UNSCALED):
            values = values / math.sqrt(math.prod(shape[1:]))
        state[name] = values
    return state


def seeded_frame(height: int, width: int, seed: int = 0, color: bool = True) -> np.ndarray:
    """Smooth uint8 frame, (H, W, 3) or (H, W)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = []
    for channel in range(3 if color else 1):
        phase = 1.7 * channel + seed
        wave = np.sin(x / 9.0 + phase) * np.cos(y / 13.0 - phase) + 0.5 * np.sin((x + 2 * y) / 31.0 + phase)
        channels.append(np.clip(128 + 75 * wave, 0, 255).astype(np.uint8))
    return np.stack(channels, axis=-1) if color else channels[0]


def reference_prompts(height: int, width: int, mask_size: int):
    """Name to (prompts, multimask): what the reference was asked."""
    from FetalEchoSegLib.promptable.prompts import Box, Point, Prompts

    ramp = np.arange(mask_size * mask_size, dtype=np.float32).reshape(mask_size, mask_size)
    mask = 4 * np.sin(ramp / 37.0).astype(np.float32)
    places = [(0.3 * width, 0.4 * height), (0.62 * width, 0.55 * height), (0.1 * width, 0.8 * height)]
    first, second, third = (Point(x, y, positive) for (x, y), positive in zip(places, (True, True, False), strict=True))
    box = Box(0.2 * width, 0.25 * height, 0.7 * width, 0.8 * height)
    return {
        "point": (Prompts((first,)), True),
        "points": (Prompts((first, second, third)), True),
        "box": (Prompts(box=box), True),
        "box and points": (Prompts((second, third), box), True),
        "point and mask": (Prompts((first,), mask=mask), True),
        "mask": (Prompts(mask=mask), True),
        "point, single": (Prompts((first,)), False),
    }


def random_promptable(folder: Path, seed: int = 0, **changes: object):
    """A small bundle that answers clicks, with random weights."""
    from FetalEchoSegLib.promptable.bundle import PromptableCard, save_promptable
    from FetalEchoSegLib.promptable.configuration import PromptableConfig
    from FetalEchoSegLib.promptable.parameters import parameter_shapes

    config = PromptableConfig(**(SMALL | {"adapters": False} | changes))
    card = PromptableCard.new("test-clicks", "1", config, "area", "Apache-2.0", notice="Random weights for a test.")
    return save_promptable(folder, card, seeded_state(parameter_shapes(config), seed))


def position_model(config, sampling, radius=4.0):
    """A model whose masks lie where the prompt encoder was told: a disc around the last positive point, or the box.

    radius  of the disc, in pixels of the network's square
    Three masks are offered; only the second is right, and it has the largest predicted IoU.
    """
    import torch
    from FetalEchoSegLib.promptable.model import PromptableModel
    from FetalEchoSegLib.promptable.parameters import parameter_shapes

    model = PromptableModel(config, seeded_state(parameter_shapes(config)), sampling)

    class Positions:
        """Hands on what it was told, half a pixel further, as the real one does."""

        def __call__(self, points, boxes, masks):
            parts = []
            if points is not None:
                parts.append(torch.cat([points[0] + 0.5, points[1][..., None].float()], -1))
            if boxes is not None:
                corners = boxes.view(-1, 2, 2) + 0.5
                parts.append(torch.cat([corners, torch.full_like(corners[..., :1], 2)], -1))
            return torch.cat(parts, 1), None

    def draw(image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output):
        cells = (torch.arange(config.mask_size) + 0.5) * config.image_size / config.mask_size
        drawn = []
        for tokens in sparse_prompt_embeddings:
            corners, inside = tokens[tokens[:, 2] == 2], tokens[tokens[:, 2] == 1]
            if len(corners):
                (left, top, _), (right, bottom, _) = corners
                across, down = torch.minimum(cells - left, right - cells), torch.minimum(cells - top, bottom - cells)
                drawn.append(torch.minimum(across[None, :], down[:, None]))
            else:
                x, y, _ = inside[-1]
                drawn.append(radius - torch.hypot(cells[None, :] - x, cells[:, None] - y))
        wrong = -torch.ones(config.mask_size, config.mask_size)
        masks = torch.stack([torch.stack([wrong, mask, -mask]) for mask in drawn])
        iou = torch.tensor([0.2, 0.9, 0.1]).expand(len(drawn), 3)
        return (masks, iou) if multimask_output else (masks[:, 1:2], iou[:, 1:2])

    model._parts.prompt_encoder, model._parts.mask_decoder = Positions(), draw
    return model


class BrightModel:
    """Answers with the bright blob that the prompts point at: the box's, or the last positive point's, or the mask's.

    ``encoded`` counts; a ``gate`` (threading.Event) holds every encoding back until it is set.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, gate=None, level=128):
        from FetalEchoSegLib.promptable.configuration import PromptableConfig

        self.config, self.sampling = PromptableConfig.tiny(), "area"
        self.encoded: list[int] = []
        self.gate, self.level = gate, level
        self.notes: tuple[str, ...] = ()

    def embed(self, frame, cancelled=None):
        import torch
        from FetalEchoSegLib.errors import Cancelled
        from FetalEchoSegLib.promptable.geometry import Geometry
        from FetalEchoSegLib.promptable.model import Embedding

        while self.gate is not None and not self.gate.wait(0.005):
            if cancelled is not None and cancelled():
                raise Cancelled("Cancelled.")
        self.encoded.append(int(frame[0, 0]))
        return Embedding(torch.from_numpy(frame.copy()), Geometry.of(frame, self.config, self.sampling))

    def answer(self, embedding, prompts, multimask=True):
        from FetalEchoSegLib.promptable.model import Answer
        from scipy import ndimage

        blobs, _ = ndimage.label(embedding.features.numpy() > self.level)
        answers = []
        for prompt in prompts:
            if prompt.box is not None:
                b = prompt.box
                area = blobs[round(b.top) : round(b.bottom) + 1, round(b.left) : round(b.right) + 1]
            elif prompt.points:
                p = [point for point in prompt.points if point.positive][-1]
                area = blobs[round(p.y), round(p.x)]
            else:
                area = blobs[embedding.geometry.to_frame(prompt.mask) > 0]
            counts = np.bincount(np.ravel(area), minlength=2)
            counts[0] = 0
            mask = blobs == counts.argmax() if counts.any() else np.zeros_like(blobs, dtype=bool)
            answers.append(Answer(embedding.geometry.mask_prompt(mask), 0.9, embedding.geometry))
        return answers


class ShiftingModel(BrightModel):
    """Answers with the mask it is given, moved to the right by one cell of the low-resolution mask."""

    def answer(self, embedding, prompts, multimask=True):
        from FetalEchoSegLib.promptable.model import Answer

        return [Answer(np.roll(prompt.mask, 1, axis=1), 0.9, embedding.geometry) for prompt in prompts]


class BlobsModel(BrightModel):
    """Answers with bright blobs, as a well-trained model corrects: those of the mask, the box (if it holds all of one)
    and the positive points, without those of the negative ones."""

    def answer(self, embedding, prompts, multimask=True):
        from FetalEchoSegLib.promptable.model import Answer
        from scipy import ndimage

        blobs, count = ndimage.label(embedding.features.numpy() > self.level)
        answers = []
        for prompt in prompts:
            meant = set()
            if prompt.mask is not None:
                meant |= set(np.unique(blobs[embedding.geometry.to_frame(prompt.mask) > 0]))
            if prompt.box is not None:
                b = prompt.box
                within = np.zeros(blobs.shape, dtype=bool)
                within[round(b.top) : round(b.bottom) + 1, round(b.left) : round(b.right) + 1] = True
                meant |= set(range(1, count + 1)) - set(np.unique(blobs[~within]))
            for point in prompt.points:
                blob = {blobs[round(point.y), round(point.x)]}
                meant = meant | blob if point.positive else meant - blob
            mask = np.isin(blobs, sorted(meant - {0}))
            answers.append(Answer(embedding.geometry.mask_prompt(mask), 0.9, embedding.geometry))
        return answers


class TruthModel(BrightModel):
    """Answers with the true mask of the structure that the prompts point at.

    frames  (T, H, W) uint8, by which a frame is known again
    labels  (T, H, W) uint8
    """

    def __init__(self, frames, labels):
        super().__init__()
        self._labels = {frame.tobytes(): truth for frame, truth in zip(frames, labels, strict=True)}

    def embed(self, frame, cancelled=None):
        import torch
        from FetalEchoSegLib.promptable.geometry import Geometry
        from FetalEchoSegLib.promptable.model import Embedding

        truth = torch.from_numpy(self._labels[frame.tobytes()].copy())
        return Embedding(truth, Geometry.of(frame, self.config, self.sampling))

    def answer(self, embedding, prompts, multimask=True):
        from FetalEchoSegLib.promptable.model import Answer

        labels, geometry = embedding.features.numpy(), embedding.geometry
        answers = []
        for prompt in prompts:
            points = [labels[round(p.y), round(p.x)] for p in prompt.points if p.positive]
            inside = points[-1:] if points else labels[geometry.to_frame(prompt.mask) > 0]
            meant = np.bincount(inside[np.asarray(inside) > 0] if not points else inside, minlength=1).argmax()
            answers.append(Answer(geometry.mask_prompt((labels == meant) & (labels > 0)), 0.9, geometry))
        return answers
