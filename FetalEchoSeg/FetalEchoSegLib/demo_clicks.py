"""What a user's clicks do in the demo: the worst outline of a phantom clip is corrected, as in the Segment Editor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .anatomy import Structure, permitted_structures
from .errors import InvalidRequest
from .promptable.simulated_clicks import centre_click, dice, structure_mask

if TYPE_CHECKING:
    from .prediction import Prediction

_ENOUGH = 0.90  # Dice from which on a user would leave an outline alone
_MOST_CLICKS = 3
_SMALLEST = 1e-3  # share of the frame: of a structure of a few pixels the Dice says little


class DemoClicks:
    """Clicks of a user who sees where the worst outline is wrong; ``str`` says what became of it.

    truth  (T, H, W) uint8 labels of the clip
    """

    def __init__(self, truth: np.ndarray) -> None:
        self._truth = truth
        self._said = "no outline was clicked"

    def __str__(self) -> str:
        return self._said

    def correct(self, masks: Any, prediction: Prediction) -> Prediction:
        """Click in the ``masks`` of the scene; the prediction with what is drawn then."""
        from .promptable.bundle import DEFAULT_PROMPTABLE
        from .scene.click_console import refineFrame
        from .scene.segmentation_nodes import labelsOfFrame

        found = self._worst(prediction)
        if found is None:
            return prediction
        frame, structure = found
        truth, rng = structure_mask(self._truth[frame], structure), np.random.default_rng(0)
        drawn = prediction.labels[frame]
        points: list[tuple[float, float, bool]] = []
        scores = [dice(structure_mask(drawn, structure), truth)]
        while len(scores) <= _MOST_CLICKS and scores[-1] < _ENOUGH:
            point = centre_click(truth, structure_mask(drawn, structure), rng)
            points.append((point.x, point.y, point.positive))
            try:
                refineFrame(masks, frame, structure, points)
            except InvalidRequest:  # the model found nothing there; a user would leave it at that
                break
            drawn = labelsOfFrame(masks, frame)
            scores.append(dice(structure_mask(drawn, structure), truth))
        labels = prediction.labels.copy()
        labels[frame] = drawn
        self._said = (
            f"the worst outline, {structure.info.short} in frame {frame + 1}, Dice {scores[0]:.2f}; "
            f"clicked with {DEFAULT_PROMPTABLE}: {', '.join(f'{score:.2f}' for score in scores[1:])}"
        )
        return replace(prediction, labels=labels)

    def _worst(self, prediction: Prediction) -> tuple[int, Structure] | None:
        """Frame and structure of the smallest Dice, None where all are well drawn."""
        best, found = _ENOUGH, None
        for frame in np.flatnonzero(prediction.done).tolist():
            for structure in permitted_structures(prediction.view):
                truth = structure_mask(self._truth[frame], structure)
                if truth.mean() < _SMALLEST:
                    continue
                score = dice(structure_mask(prediction.labels[frame], structure), truth)
                if score < best:
                    best, found = score, (frame, structure)
        return found
