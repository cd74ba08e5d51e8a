"""The promptable model: a frame in, an embedding out; prompts in, masks out.

The embedding is the slow part and is computed once per frame; a click costs the decoder only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from ..networks.stopping import Stoppable
from ..segmentation import held
from .configuration import PromptableConfig
from .frames import as_frame
from .geometry import Geometry, Sampling
from .lean import LeanEncoder
from .network import build_prompt_side
from .prompts import Prompts

logger = logging.getLogger(__name__)

# With an earlier demo-clicks 0.3 to 0.4 fewer clicks to a Dice of 0.90 than without it, on known and on new devices.
CLICK_MARGIN = 0.1
_STABILITY_OFFSET = 1.0  # logits; as segment-anything's stability score


@dataclass(frozen=True, eq=False)
class Embedding:
    """What the encoder knows about one frame.

    features  (1, C, grid, grid) float32 on the model's device
    geometry  how the frame lies in the network's square
    """

    features: torch.Tensor
    geometry: Geometry

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self.features.numel() * self.features.element_size()


@dataclass(frozen=True, eq=False)
class Answer:
    """A mask for one structure.

    logits     (M, M) float32, low resolution; given back as ``Prompts.mask`` with the next click
    iou        predicted overlap with what was meant, about 0 to 1
    stability  IoU of the masks one logit above and below the threshold, 0 to 1: near 1 where the outline is sharp
    """

    logits: np.ndarray
    iou: float
    geometry: Geometry = field(repr=False)

    @property
    def mask(self) -> np.ndarray:
        """(H, W) bool at the frame's resolution."""
        found: np.ndarray = self.geometry.to_frame(self.logits) > 0
        return found

    @property
    def stability(self) -> float:
        """See the class; 0 for an empty mask."""
        wider = np.count_nonzero(self.logits > -_STABILITY_OFFSET)
        return float(np.count_nonzero(self.logits > _STABILITY_OFFSET) / wider) if wider else 0.0


class PromptableModel:
    """SAM-Med2D or a network of its kind, ready to answer.

    state     parameters of the whole network (names of ``parameters.parameter_shapes``)
    sampling  how frames become the network's square, see ``geometry``
    device    "cpu", "cuda", "cuda:1" or "mps" to begin with

    ``click_margin`` is by how much the predicted IoU of a mask may fall short of the best one's for it to be the answer
    because it heeds the last click and the best does not (a positive click lies in the mask, a negative one outside); 0
    for the published choice, by predicted IoU alone.

    When the device runs out of memory the model moves to the CPU, says so in ``notes`` and goes on.
    Any number of threads may use it at once; they encode one after the other.

    >>> from FetalEchoSegLib.promptable.bundle import find_promptable
    >>> model = find_promptable("demo-clicks").build()  # doctest: +SKIP
    >>> embedding = model.embed(cine.frame(12))  # doctest: +SKIP
    >>> model.answer(embedding, [Prompts(points=(Point(210, 148),))])[0].mask  # doctest: +SKIP
    """

    def __init__(
        self,
        config: PromptableConfig,
        state: Mapping[str, torch.Tensor],
        sampling: Sampling = "nearest",
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.config = config
        self.sampling: Sampling = sampling
        self.notes: tuple[str, ...] = ()
        self.click_margin = CLICK_MARGIN
        self._moving = threading.Lock()
        # The encoder reads its layers when they first run, which two at once must not do.
        self._encoding = threading.Lock()
        self._state = state
        # Replaced as a whole, so that a click and an encoding in two threads never see halves of two.
        self._parts = _Parts(config, state, device, precision)

    @property
    def device(self) -> str:
        """Where it runs now."""
        return self._parts.device

    @property
    def precision(self) -> str:
        """Precision of the encoder; the decoder always works in fp32."""
        return self._parts.precision

    def embed(self, frame: np.ndarray, cancelled: Callable[[], bool] | None = None) -> Embedding:
        """Embedding of a (H, W) or (H, W, 3) frame; raises Cancelled soon after ``cancelled()`` says yes.

        uint8 is taken as it is, other types by ``frames.as_frame``; raises InvalidRequest for other shapes.
        """
        frame = as_frame(frame)
        geometry = Geometry.of(frame, self.config, self.sampling)
        image = torch.from_numpy(geometry.network_image(frame))[None]
        with held(self._encoding, cancelled), Stoppable(cancelled) if cancelled else nullcontext():
            return Embedding(self._or_on_cpu(lambda parts: parts.encoder(image)), geometry)

    def answer(self, embedding: Embedding, prompts: Sequence[Prompts], multimask: bool = True) -> list[Answer]:
        """One answer for each of ``prompts`` (structures of one frame), decoded in one batch where they are alike.

        multimask  let the decoder offer three masks and take the one with the largest predicted IoU, the last click
                   heeded (see ``click_margin``); otherwise its single mask
        Raises ValueError for empty prompts.
        """
        if any(prompt.is_empty for prompt in prompts):
            raise ValueError("there is nothing to answer: give a point, a box or a mask")
        answers: list[Answer | None] = [None] * len(prompts)
        # Another number of tokens would change the attention of everyone in a batch, so only equals share one.
        groups: dict[tuple[int, bool], list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault((len(prompt.points), prompt.box is not None), []).append(index)
        for indices in groups.values():
            chosen = [prompts[i] for i in indices]
            logits, iou = self._or_on_cpu(partial(_decode, embedding, chosen, multimask, self.click_margin))
            for index, low, score in zip(indices, logits.cpu().numpy(), iou.cpu().numpy(), strict=True):
                answers[index] = Answer(low, float(score), embedding.geometry)
        return [answer for answer in answers if answer is not None]

    def _or_on_cpu(self, compute: Callable[[_Parts], Any]) -> Any:
        parts = self._parts
        try:
            return compute(parts)
        except RuntimeError as error:
            # PyTorch has a class of its own for some devices only.
            if parts.device == "cpu" or "out of memory" not in str(error):
                raise
        # Outside of the handler, whose traceback would keep the tensors of the failed attempt alive.
        with self._moving:
            if self._parts is parts:
                note = f"There is not enough memory on {parts.device}: clicking goes on on the CPU, more slowly."
                logger.warning("%s", note)
                self.notes = (*self.notes, note)
                self._parts = _Parts(self.config, self._state, "cpu", "fp32")
        return compute(self._parts)


class _Parts:
    """The network on one device."""

    def __init__(
        self, config: PromptableConfig, state: Mapping[str, torch.Tensor], device: str, precision: str
    ) -> None:
        self.config, self.device, self.precision = config, device, precision
        self.encoder = LeanEncoder(config, state, device, precision)
        parts: Any = build_prompt_side(config, state).to(device)
        self.prompt_encoder, self.mask_decoder = parts["prompt_encoder"], parts["mask_decoder"]
        with torch.inference_mode():
            self.position = self.prompt_encoder.get_dense_pe()
            self.no_mask = self.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)

    def sparse(self, points: Any, boxes: torch.Tensor | None, count: int) -> torch.Tensor:
        """(N, tokens, C) of points and boxes."""
        if points is None and boxes is None:
            return torch.empty(count, 0, self.config.prompt_dim, device=self.device)
        tokens: torch.Tensor = self.prompt_encoder(points=points, boxes=boxes, masks=None)[0]
        return tokens

    def dense(self, masks: Sequence[np.ndarray | None]) -> torch.Tensor:
        """(N, C, grid, grid) of mask prompts, any of which may be absent."""
        dense = self.no_mask.expand(len(masks), -1, self.config.grid, self.config.grid)
        given = [index for index, mask in enumerate(masks) if mask is not None]
        if not given:
            return dense
        stacked = torch.from_numpy(np.stack([mask for mask in masks if mask is not None]))
        found: torch.Tensor = self.prompt_encoder.mask_downscaling(stacked[:, None].to(self.device, torch.float32))
        if len(given) == len(masks):
            return found
        return dense.clone().index_copy_(0, torch.tensor(given, device=found.device), found)


@torch.inference_mode()
def _decode(
    embedding: Embedding, prompts: Sequence[Prompts], multimask: bool, margin: float, parts: _Parts
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, M, M) logits and (N,) predicted IoU for prompts with equally many points and all or no boxes."""
    geometry, device = embedding.geometry, parts.device
    points = boxes = None
    if prompts[0].points:
        places = geometry.to_network(np.array([[(p.x, p.y) for p in prompt.points] for prompt in prompts]))
        labels = torch.tensor([[int(p.positive) for p in prompt.points] for prompt in prompts])
        points = (torch.from_numpy(places).to(device, torch.float32), labels.to(device))
    if prompts[0].box is not None:
        corners = np.array(
            [[(b.left, b.top), (b.right, b.bottom)] for prompt in prompts if (b := prompt.box) is not None]
        )
        boxes = torch.from_numpy(geometry.to_network(corners).reshape(-1, 4)).to(device, torch.float32)
    logits, iou = parts.mask_decoder(
        image_embeddings=embedding.features.to(device),
        image_pe=parts.position,
        sparse_prompt_embeddings=parts.sparse(points, boxes, len(prompts)),
        dense_prompt_embeddings=parts.dense([prompt.mask for prompt in prompts]),
        multimask_output=multimask,
    )
    rows = torch.arange(len(prompts), device=iou.device)
    merit = iou
    if points is not None and margin:
        last, labels = points[0][:, -1], points[1][:, -1]
        cells = ((last + 0.5) * logits.shape[-1] / parts.config.image_size).long().clamp(0, logits.shape[-1] - 1)
        merit = iou + margin * ((logits[rows, :, cells[:, 1], cells[:, 0]] > 0) == (labels[:, None] > 0))
    best = merit.argmax(1)
    return logits[rows, best], iou[rows, best]
