"""The Prediction: what a model says about a clip."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .anatomy import N_CONDITIONS, View, condition_table


@dataclass(frozen=True)
class BundleIdentity:
    """Which model made a result; travels into every table, report and exported frame.

    notice  a sentence that must be shown with every result ("Trained on synthetic data only ..."), "" if none
    """

    name: str
    version: str
    sha256: str
    notice: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.sha256[:12]})"


@dataclass
class Prediction:
    """Result of segmenting one clip.

    labels                    (T, H, W) uint8, structure ids 0 to 14 at the clip's own resolution
    view                      the view whose table masked the logits
    view_probabilities        (4,) float32, clip level, in the order of ``View``
    view_source               "user", "file" or "predicted"
    condition_probabilities   (T, 7) float32, NaN where the view cannot show the condition or the frame is not done
    clip_conditions           (7,) float32, aggregated over the frames that are done, NaN as above
    confidence                (T,) float32 in 0..1, mean probability of the chosen label over the structures' pixels
    done                      (T,) bool, which frames were segmented (a range, or a run that was cancelled)
    bundle                    the model
    notes                     sentences for the user (low view confidence, cancelled after 12 of 60 frames)
    """

    labels: np.ndarray
    view: View
    view_probabilities: np.ndarray
    view_source: str
    condition_probabilities: np.ndarray
    clip_conditions: np.ndarray
    confidence: np.ndarray
    done: np.ndarray
    bundle: BundleIdentity
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        frames = self.labels.shape[0]
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be (T, H, W) uint8, got {self.labels.shape} {self.labels.dtype}")
        if self.condition_probabilities.shape != (frames, N_CONDITIONS):
            raise ValueError(f"condition probabilities must be ({frames}, 7), got {self.condition_probabilities.shape}")
        permitted = condition_table()[self.view.index]
        if np.isfinite(self.condition_probabilities[:, ~permitted]).any():
            raise ValueError(f"{self.view.short} cannot show some of the conditions that have a probability")
