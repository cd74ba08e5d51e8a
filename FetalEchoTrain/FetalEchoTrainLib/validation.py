"""Validation by the official metrics, through the forward pass that users get, at each frame's own size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from FetalEchoSegLib.anatomy import Structure, View
from FetalEchoSegLib.fetus_layout import read_label
from FetalEchoSegLib.metrics import (
    MaskAgreement,
    SegmentationScore,
    classification_score,
    compare_masks,
    segmentation_score,
)
from FetalEchoSegLib.preprocessing import Letterbox

from .dataset import Frame, read_frame

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

Progress = Callable[[int, int], None]
_BATCH = 8


@dataclass(frozen=True)
class FrameResult:
    """One frame: agreement of its mask, and probabilities and truth of its conditions, (7,) each."""

    agreement: MaskAgreement
    probabilities: np.ndarray
    truth: np.ndarray
    view: View


@dataclass(frozen=True)
class Validation:
    """Frames taken together; ``macro_f1`` at probability 0.5, before any calibration."""

    segmentation: SegmentationScore
    macro_f1: float

    @classmethod
    def of(cls, results: Sequence[FrameResult]) -> Validation:
        """The scores of these frames, in this order."""
        truth = np.stack([r.truth for r in results])
        decided = np.stack([r.probabilities for r in results]) >= 0.5
        conditions = classification_score(truth > 0.5, decided, [r.view for r in results])
        return cls(segmentation_score([r.agreement for r in results]), conditions.macro_f1)

    @property
    def score(self) -> float:
        """What weights of stage 1 are chosen by: (DSC + NSD) / 2, as in the challenge's score."""
        return (self.segmentation.dice + self.segmentation.nsd) / 2

    def values(self) -> dict[str, float]:
        """For the log: DSC and NSD in percent, by structure where it occurred."""
        found = {
            "validation_dsc": self.segmentation.dice,
            "validation_nsd": self.segmentation.nsd,
            "validation_macro_f1": self.macro_f1,
        }
        for structure in Structure:
            if self.segmentation.counts[structure - 1]:
                found[f"validation_dsc_{structure.info.short}"] = float(self.segmentation.dice_class[structure - 1])
        return found


def validate(
    network: EchoCare,
    frames: Sequence[Frame],
    device: torch.device,
    precision: str,
    progress: Progress | None = None,
) -> list[FrameResult]:
    """Run the network as it is now on labelled frames.

    progress  called with (frames done, frames in all); may raise to stop
    """
    from FetalEchoSegLib.networks.lean import LeanEchoCare, label_map

    lean = LeanEchoCare.from_network(network, str(device), precision)
    results = []
    for start in range(0, len(frames), _BATCH):
        part = frames[start : start + _BATCH]
        images = np.stack([read_frame(frame, network.config.image_size).image for frame in part])
        output = lean(torch.from_numpy(images.astype(np.float32) / 255)[:, None])
        conditions = output.conditions.float().sigmoid().cpu().numpy()
        for row, frame in enumerate(part):
            assert frame.label is not None
            truth = read_label(frame.label)
            box = Letterbox(*truth.mask.shape)
            labels, _ = label_map(output.segmentation[row : row + 1], frame.view, (box.side, box.side))
            agreement = compare_masks(box.crop(labels)[0], truth.mask)
            results.append(FrameResult(agreement, conditions[row], truth.label.astype(np.float32), frame.view))
        if progress is not None:
            progress(start + len(part), len(frames))
    return results
