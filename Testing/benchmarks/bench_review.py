"""How well the frames that are marked for a look are the badly segmented ones: phantom clips with the demo model.

Seeds and devices are others than those that the floor and the jump of ``FetalEchoSegLib.review`` were chosen on
(9101 and 9102). Phantom figures say nothing about patients.
"""

from __future__ import annotations

import numpy as np
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.bundle import find_bundle
from FetalEchoSegLib.metrics import compare_masks
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.review import frames_to_review, label_areas
from FetalEchoSegLib.segmentation import Segmenter

SEEDS = (9103, 9105)
BAD_DICE = 0.75


def run(frames: int = 40, size: int = 256) -> list[tuple[str, float, str]]:
    """(name, value, unit) over 16 clips: every view, training and held-out devices, two fetuses."""
    segmenter = Segmenter(find_bundle("demo-tiny"), "cpu", "fp32")
    dice, confidence, marked, jumped, true_jumps, clips = [], [], [], [], 0, []
    for view in View:
        for seed in SEEDS:
            for new_device in (False, True):
                made = make_named_clip(
                    view, seed=seed, frames=frames, frame_rate=40.0, new_device=new_device, image_shape=(size, size)
                )
                found = segmenter.segment(made.cine, view)
                pairs = zip(found.labels, made.labels, strict=True)
                clip_dice = np.array([np.nanmean(compare_masks(*pair).dice) for pair in pairs])
                areas = np.stack([label_areas(labels) for labels in found.labels])
                review = frames_to_review(found.confidence, areas, found.done, size * size)
                truth = np.stack([label_areas(labels) for labels in made.labels])
                on_truth = frames_to_review(np.ones(frames), truth, found.done, size * size)
                dice.append(clip_dice)
                confidence.append(found.confidence)
                marked.append(review.needs_look)
                jumped.append(review.jumps.any(axis=1))
                true_jumps += len(on_truth.frames)
                clips.append((review.is_doubtful, float(np.median(clip_dice))))
    bad = np.concatenate(dice) < BAD_DICE
    flags = np.concatenate(marked)
    jumps = np.concatenate(jumped)
    below_median = np.concatenate([clip - np.median(clip) for clip in dice])
    doubtful = [median for is_doubtful, median in clips if is_doubtful]
    others = [median for is_doubtful, median in clips if not is_doubtful]
    return [
        (f"review, {len(clips)} clips, frames with Dice below {BAD_DICE}", 100 * float(bad.mean()), "%"),
        ("review, AUC of confidence for these", _auc(-np.concatenate(confidence), bad), ""),
        ("review, frames marked", 100 * float(flags.mean()), "%"),
        ("review, marked frames that are bad", 100 * float(bad[flags].mean()), "%"),
        ("review, median Dice of marked frames", float(np.median(np.concatenate(dice)[flags])), ""),
        ("review, median Dice of the others", float(np.median(np.concatenate(dice)[~flags])), ""),
        ("review, clips called doubtful", len(doubtful), f"of {len(clips)}"),
        ("review, their mean Dice", float(np.mean(doubtful)) if doubtful else float("nan"), ""),
        ("review, mean Dice of the other clips", float(np.mean(others)) if others else float("nan"), ""),
        ("review, frames with a jump", int(jumps.sum()), f"of {len(jumps)}"),
        ("review, their Dice against their clip", float(below_median[jumps].mean()) if jumps.any() else 0.0, ""),
        ("review, jumps found in the true masks (goal 0)", true_jumps, ""),
    ]


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores higher than a negative; ties count half."""
    above = score[positive][:, np.newaxis] - score[~positive][np.newaxis]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


if __name__ == "__main__":
    for name, value, unit in run():
        print(f"{name:60} {value:8.3g} {unit}")
