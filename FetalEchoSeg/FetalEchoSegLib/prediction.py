"""The Prediction: what a model says about a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .anatomy import N_CONDITIONS, View, condition_table

# Below this clip-level probability a predicted view is shown as doubtful.
CONFIDENT_VIEW = 0.6


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
    view_probabilities        (4,) float32, clip level over the frames that are done, in the order of ``View``; NaN
                              from a model that does not tell the view
    view_source               "user", "file" or "predicted"
    condition_probabilities   (T, 7) float32, NaN where the view cannot show the condition or the frame is not done
    clip_conditions           (7,) float32, aggregated over the frames that are done, NaN as above
    confidence                (T,) float32 in 0..1, mean probability of the chosen label over the structures' pixels
    done                      (T,) bool, which frames were segmented (a range, or a run that was cancelled)
    bundle                    the model
    notes                     sentences for the user (low view confidence, cancelled after 12 of 60 frames)
    frame_views               (T, 4) float32 view probabilities of each frame, NaN where it is not done or the model
                              does not tell the view; None when they are not known
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
    frame_views: np.ndarray | None = None

    def __post_init__(self) -> None:
        frames = self.labels.shape[0]
        if self.labels.ndim != 3 or self.labels.dtype != np.uint8:
            raise ValueError(f"labels must be (T, H, W) uint8, got {self.labels.shape} {self.labels.dtype}")
        if self.condition_probabilities.shape != (frames, N_CONDITIONS):
            raise ValueError(f"condition probabilities must be ({frames}, 7), got {self.condition_probabilities.shape}")
        if self.frame_views is not None and self.frame_views.shape != (frames, len(View)):
            raise ValueError(f"frame views must be ({frames}, {len(View)}), got {self.frame_views.shape}")
        permitted = condition_table()[self.view.index]
        if np.isfinite(self.condition_probabilities[:, ~permitted]).any():
            raise ValueError(f"{self.view.short} cannot show some of the conditions that have a probability")


def clip_views(frame_views: np.ndarray) -> np.ndarray:
    """(4,) float32 clip-level view probabilities from (T, 4) of frames; rows of NaN are left out, all NaN gives NaN.

    The normalised geometric mean: frames of one clip show the same plane and are anything but independent, so their
    evidence is averaged, not multiplied.
    """
    known = frame_views[np.isfinite(frame_views).all(axis=1)]
    if not len(known):
        return np.full(len(View), np.nan, dtype=np.float32)
    mean = np.log(np.maximum(known.astype(np.float64), 1e-30)).mean(axis=0)
    weights = np.exp(mean - mean.max())
    return (weights / weights.sum()).astype(np.float32)


def clip_conditions(condition_probabilities: np.ndarray, done: np.ndarray) -> np.ndarray:
    """(7,) float32 clip-level condition probabilities: the mean over the frames that are done, NaN if there is none."""
    if not done.any():
        return np.full(N_CONDITIONS, np.nan, dtype=np.float32)
    return condition_probabilities[done].mean(axis=0, dtype=np.float32)


def view_notes(view: View, view_source: str, probabilities: np.ndarray) -> tuple[str, ...]:
    """What a user should know of the view: that it is doubtful, or that the model takes the clip for another one."""
    if not np.isfinite(probabilities).all():
        return ()
    best = View(int(probabilities.argmax()) + 1)
    own = float(probabilities[view.index])
    if view_source == "predicted" and own < CONFIDENT_VIEW:
        return (
            f"The view is doubtful: {view.short} with probability {own:.2f}. "
            "Choose the view to be sure that the right structures are shown.",
        )
    if best is not view and probabilities[best.index] >= CONFIDENT_VIEW:
        return (
            f"Segmented as {view.short} ({view_source}), but the model takes this clip for {best.short} "
            f"(probability {probabilities[best.index]:.2f}).",
        )
    return ()


def restricted(prediction: Prediction, frames: Sequence[int]) -> Prediction:
    """``prediction`` as if only ``frames`` had been segmented, with the clip-level numbers of those."""
    count = len(prediction.done)
    none = replace(
        prediction,
        labels=np.zeros_like(prediction.labels),
        condition_probabilities=np.full((count, N_CONDITIONS), np.nan, dtype=np.float32),
        confidence=np.full(count, np.nan, dtype=np.float32),
        done=np.zeros(count, dtype=bool),
        frame_views=None,
    )
    return merged(none, prediction, frames)


def merged(earlier: Prediction, later: Prediction, frames: Sequence[int]) -> Prediction:
    """``earlier`` with ``frames`` as ``later`` has them, and clip-level numbers from all frames that are done then.

    Both must be of one clip, one view and one model, or the result would belong to none: ValueError.
    """
    if earlier.labels.shape != later.labels.shape:
        raise ValueError(f"predictions of {earlier.labels.shape} and {later.labels.shape} are not of one clip")
    if earlier.view is not later.view or earlier.bundle != later.bundle:
        raise ValueError(f"{earlier.view.short} by {earlier.bundle} and {later.view.short} by {later.bundle} differ")
    rows = list(frames)

    def joined(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        result = before.copy()
        result[rows] = after[rows]
        return result

    unknown = np.full((len(earlier.done), len(View)), np.nan, dtype=np.float32)
    done = joined(earlier.done, later.done)
    views = joined(*(unknown if p.frame_views is None else p.frame_views for p in (earlier, later)))
    conditions = joined(earlier.condition_probabilities, later.condition_probabilities)
    probabilities = clip_views(views[done])
    if not np.isfinite(probabilities).all():
        probabilities = later.view_probabilities
    # What the later run says of its own frames' view may not hold for the clip.
    outdated = view_notes(later.view, later.view_source, later.view_probabilities)
    notes = [note for note in later.notes if note not in outdated]
    return replace(
        later,
        labels=joined(earlier.labels, later.labels),
        view_probabilities=probabilities,
        condition_probabilities=conditions,
        clip_conditions=clip_conditions(conditions, done),
        confidence=joined(earlier.confidence, later.confidence),
        done=done,
        notes=(*view_notes(later.view, later.view_source, probabilities), *notes),
        frame_views=views,
    )
