"""Pictures of validation frames: what was drawn, what the teacher sees and what the student sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from FetalEchoSegLib.anatomy import color_table
from FetalEchoSegLib.output_files import write_bytes

from .dataset import Frame, read_frame

if TYPE_CHECKING:
    import torch
    from FetalEchoSegLib.networks.echocare import EchoCare

_OPACITY = 0.45


def write_samples(path: Path, frames: Sequence[Frame], networks: Sequence[EchoCare], device: torch.device) -> None:
    """Write one picture: a row for each frame, with the frame, its truth, and the masks of each network.

    Raises UnwritableOutput.
    """
    import cv2

    rows = []
    for frame in frames:
        sample = read_frame(frame, networks[0].config.image_size)
        assert sample.mask is not None
        masks = [sample.mask, *(_labels(network, sample.image, sample.view, device) for network in networks)]
        plain = np.repeat(sample.image[..., None], 3, 2)
        rows.append(np.hstack([plain, *(_overlaid(plain, mask) for mask in masks)]))
    _, data = cv2.imencode(".png", np.vstack(rows)[..., ::-1])
    write_bytes(path, data.tobytes())


def _labels(network: EchoCare, image: np.ndarray, view: int, device: torch.device) -> np.ndarray:
    import torch
    from FetalEchoSegLib.networks.masking import mask_segmentation_logits

    from .teacher import judging

    pixels = torch.from_numpy(image.astype(np.float32) / 255)[None, None].to(device)
    with judging(network), torch.inference_mode():
        logits = mask_segmentation_logits(network(pixels).segmentation, torch.tensor([view]))
    return logits.argmax(1)[0].to(torch.uint8).cpu().numpy()


def _overlaid(grey: np.ndarray, labels: np.ndarray) -> np.ndarray:
    colors = color_table()[labels]
    mixed = ((1 - _OPACITY) * grey + _OPACITY * colors).astype(np.uint8)
    return np.where(labels[..., None] > 0, mixed, grey)
