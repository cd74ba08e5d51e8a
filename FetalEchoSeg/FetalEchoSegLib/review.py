"""Which frames of a result a person should look at first.

Two signs are used, and neither is proof of an error:

- **Low confidence**: the mean probability of the chosen labels is below a floor, the model's own or
  ``CONFIDENCE_FLOOR``. Where more than a quarter of the clip is below, only the lowest quarter is marked and
  ``Review.is_doubtful`` tells that the clip as a whole is: a list of everything helps nobody.
- **A jump**: a structure is gone, or has another area, for one or two frames, while the frames on both sides agree
  with each other. The heart does not do that: at 25 frames a second and 150 beats a minute a chamber that loses half
  of its area changes by less than a third from one frame to the next, and towards the next frame it goes on.

Floor and jump were chosen on phantom clips segmented by the demo model and checked on clips of other fetuses and
devices: ``Testing/benchmarks/bench_review.py`` prints how well the marks find frames of low true Dice. Confidence is
on another scale for every model, so a model that was measured should bring a floor of its own on its card.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .anatomy import N_LABELS, RING_UNIONS, STRUCTURES, Structure

CONFIDENCE_FLOOR = 0.92
MOST_MARKED = 0.25
JUMP_FACTOR = 1.5
# Shares of the picture: smaller changes are noise at the edge of a structure.
_SMALLEST_JUMP = 0.001
_SMALLEST_VANISHED = 0.0005


@dataclass(frozen=True)
class Review:
    """Which frames need a look, and why.

    needs_look      (T,) bool, settled frames excluded
    low_confidence  (T,) bool, confidence below ``floor``; also frames that are not marked because others are worse
    jumps           (T, 15) bool, by label: area unlike that of the frames around
    settled         (T,) bool, accepted or corrected by the user
    floor           the confidence below which a frame is doubtful
    is_doubtful     whether at least half of the segmented frames are below the floor
    """

    needs_look: np.ndarray
    low_confidence: np.ndarray
    jumps: np.ndarray
    settled: np.ndarray
    floor: float
    is_doubtful: bool

    @property
    def frames(self) -> list[int]:
        """Numbers of the frames that need a look, counted from 0, in order."""
        return [int(frame) for frame in np.flatnonzero(self.needs_look)]

    def jumping(self, frame: int) -> tuple[Structure, ...]:
        """Structures whose area on ``frame`` does not fit the frames around it."""
        return tuple(structure for structure in STRUCTURES if self.jumps[frame, structure])

    def next_after(self, frame: int) -> int | None:
        """The next frame that needs a look, from the start again after the end; None when there is no other."""
        others = [k for k in self.frames if k != frame]
        return next((k for k in others if k > frame), others[0] if others else None)

    def previous_before(self, frame: int) -> int | None:
        """The frame before that needs a look, from the end again after the start; None when there is no other."""
        others = [k for k in self.frames if k != frame]
        return next((k for k in reversed(others) if k < frame), others[-1] if others else None)


def frames_to_review(
    confidence: np.ndarray,
    areas: np.ndarray,
    done: np.ndarray,
    image_pixels: int,
    settled: np.ndarray | None = None,
    floor: float | None = None,
) -> Review:
    """Find the frames of a result that need a look.

    confidence    (T,) 0..1, NaN where the frame was not segmented
    areas         (T, 15) pixels of each label as the masks are now (see ``label_areas``)
    done          (T,) bool, which frames the model segmented; the others need no look
    image_pixels  pixels of a frame
    settled       (T,) bool, frames that the user accepted or corrected: they need no look any more
    floor         confidence below which a frame is doubtful; None for ``CONFIDENCE_FLOOR``

    Settling a frame never marks another one, so that the list only gets shorter as the user works through it.
    """
    count = len(done)
    if confidence.shape != (count,) or areas.shape != (count, N_LABELS):
        raise ValueError(f"confidence {confidence.shape} and areas {areas.shape} do not belong to {count} frames")
    floor = CONFIDENCE_FLOOR if floor is None else floor
    settled = np.zeros(count, dtype=bool) if settled is None else np.asarray(settled, dtype=bool)
    known = np.where(done, np.nan_to_num(confidence, nan=0.0), np.inf)
    low = known < floor
    segmented = int(np.count_nonzero(done))
    most = math.ceil(MOST_MARKED * segmented)
    lowest = np.zeros(count, dtype=bool)
    lowest[np.argsort(known, kind="stable")[:most]] = True
    jumps = _jumps(areas, done, image_pixels)
    return Review(
        needs_look=((low & lowest) | jumps.any(axis=1)) & done & ~settled,
        low_confidence=low,
        jumps=jumps,
        settled=settled,
        floor=floor,
        is_doubtful=2 * int(np.count_nonzero(low)) >= max(segmented, 1),
    )


def doubtful_structure(review: Review, areas: np.ndarray, frame: int) -> Structure | None:
    """The structure of a frame to look at first; None where nothing is drawn and nothing is missed.

    areas  (T, 15), as for ``frames_to_review``
    One that jumps; otherwise the largest, a chamber or vessel before the rings around them.
    """
    jumping = review.jumping(frame)
    if jumping:
        return jumping[0]
    drawn = [structure for structure in STRUCTURES if areas[frame, structure]]
    return max(drawn, key=lambda s: (s not in RING_UNIONS, areas[frame, s]), default=None)


def label_areas(labels: np.ndarray) -> np.ndarray:
    """Pixels of each label in one mask: (15,) from (H, W) integers 0..14."""
    return np.bincount(labels.ravel(), minlength=N_LABELS)[:N_LABELS]


def _jumps(areas: np.ndarray, done: np.ndarray, image_pixels: int) -> np.ndarray:
    """(T, 15) bool; the background and frames without a neighbour on both sides never jump."""
    known = np.where(done[:, np.newaxis], areas, np.nan)
    smallest = _SMALLEST_JUMP * image_pixels
    with np.errstate(invalid="ignore"):
        # Larger than every frame around, so that a bad frame nearby hides a jump and never makes one.
        around = np.fmax(_highest(known, -1, -2), _highest(known, 1, 2))
        grown = (known > JUMP_FACTOR * around) & (known - around > smallest) & _between(known, -1, 1)
        outside = np.fmax(_highest(known, -1, -2), _highest(known, 2, 3))
        pair = np.minimum(known, _shifted(known, 1))  # this frame and the next
        first = (pair > JUMP_FACTOR * outside) & (pair - outside > smallest) & _between(known, -1, 2)
        grown |= first | np.nan_to_num(_shifted(first.astype(float), -1)).astype(bool)
        # Smaller than both sides show at least once, so that a flickering structure is found as well.
        known[grown] = np.nan
        sides = np.minimum(_highest(known, -1, -2), _highest(known, 1, 2))
        shrunk = (known * JUMP_FACTOR < sides) & (sides - known > smallest)
        vanished = (known == 0) & (sides > _SMALLEST_VANISHED * image_pixels)
    jumps = grown | shrunk | vanished
    jumps[:, 0] = False
    return jumps


def _shifted(values: np.ndarray, by: int) -> np.ndarray:
    """Row t holds the values of frame t + ``by``; NaN outside the clip."""
    shifted = np.full(values.shape, np.nan)
    count = len(values)
    if abs(by) < count:
        shifted[max(-by, 0) : count - max(by, 0)] = values[max(by, 0) : count - max(-by, 0)]
    return shifted


def _highest(values: np.ndarray, one: int, other: int) -> np.ndarray:
    return np.fmax(_shifted(values, one), _shifted(values, other))


def _between(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Whether the frames at both distances are known."""
    return ~np.isnan(_shifted(values, before)) & ~np.isnan(_shifted(values, after))
