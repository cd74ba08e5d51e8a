"""Automatic refinement of a prediction's outlines by a promptable model.

Each structure's coarse mask becomes a box, three interior points and a low-resolution mask prompt; all structures of a
frame are asked in one batch. An answer is kept only if it agrees with the coarse mask, otherwise the coarse mask stays.
The two rings are asked as what they enclose (heart: labels 1 to 5, thorax: 1 to 7) and subtracted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..anatomy import RING_UNIONS, Structure
from ..errors import Cancelled
from .prompts import Box, Point, Prompts

if TYPE_CHECKING:
    from ..cine import Cine
    from ..prediction import BundleIdentity, Prediction
    from .model import Answer, PromptableModel

Progress = Callable[[int, int], None]
IsCancelled = Callable[[], bool]

BOX_MARGIN = 0.05
N_POINTS = 3  # the same for every structure, so that a frame is one batch


@dataclass(frozen=True)
class Acceptance:
    """When a refined mask is kept (FIELD.md 1.7, and what the model thinks of its own answer).

    iou            its overlap with the coarse mask, at least
    stability      of its outline, at least (see ``model.Answer``)
    area_ratio     refined over coarse area, from and to
    smallest_area  coarse masks of fewer pixels are not asked about: the low-resolution prompt cannot show them
    predicted_iou  of the answer, at least: without it demo-clicks made phantom masks worse on the devices that the
                   segmentation knows well (DSC -0.5, standard error 0.2 points, 60 frames; with it -0.1, 0.1)
    """

    iou: float = 0.7
    stability: float = 0.85
    area_ratio: tuple[float, float] = (0.7, 1.4)
    smallest_area: int = 25
    predicted_iou: float = 0.8


@dataclass(frozen=True)
class Decision:
    """What became of one structure in one frame.

    structure      for the rings, what they enclose was asked
    reason         why the coarse mask stayed, "" if the refined one was taken
    iou            overlap of refined and coarse mask        area_ratio     refined over coarse
    stability      of the refined outline                    predicted_iou  what the model thinks of its answer
    """

    frame: int
    structure: Structure
    reason: str
    iou: float
    area_ratio: float
    stability: float
    predicted_iou: float

    @property
    def accepted(self) -> bool:
        """Whether the refined mask was taken."""
        return not self.reason


@dataclass(frozen=True)
class Refined:
    """A prediction with refined outlines, and every decision on the way, by frame and structure."""

    prediction: Prediction
    decisions: tuple[Decision, ...]

    @property
    def accepted(self) -> int:
        """Decisions in favour of the refined mask."""
        return sum(decision.accepted for decision in self.decisions)


def refine_prediction(
    prediction: Prediction,
    cine: Cine,
    model: PromptableModel,
    progress: Progress | None = None,
    cancelled: IsCancelled | None = None,
    rules: Acceptance | None = None,
    identity: BundleIdentity | None = None,
) -> Refined:
    """Refine the outlines of all frames that are done; ``prediction`` itself is not changed.

    progress   called with (frames done, frames in all)
    identity   of the promptable model, for the note in the result
    Once ``cancelled()`` says yes, the remaining frames keep their coarse outlines and a note says so. Confidence stays
    that of the segmentation.
    """
    rules = rules or Acceptance()
    labels = prediction.labels.copy()
    frames = np.flatnonzero(prediction.done).tolist()
    decisions: list[Decision] = []
    finished = 0
    for frame in frames:
        try:
            if cancelled is not None and cancelled():
                break
            labels[frame], found = refine_frame(
                cine.frame(frame), prediction.labels[frame], model, rules, frame, cancelled
            )
        except Cancelled:
            break
        decisions += found
        finished += 1
        if progress is not None:
            progress(finished, len(frames))
    taken = sum(decision.accepted for decision in decisions)
    by = f" by {identity}" if identity else ""
    notes = [f"Outlines refined{by}: {taken} of {len(decisions)} accepted, the others are as segmented."]
    if not finished and frames:
        notes = ["The refinement was cancelled before the first frame: outlines are as segmented."]
    elif finished < len(frames):
        notes.append(f"The refinement was cancelled after {finished} of {len(frames)} frames.")
    if identity is not None and identity.notice and identity.notice not in prediction.notes:
        notes.append(identity.notice)
    return Refined(replace(prediction, labels=labels, notes=(*prediction.notes, *notes)), tuple(decisions))


def refine_frame(
    image: np.ndarray,
    labels: np.ndarray,
    model: PromptableModel,
    rules: Acceptance | None = None,
    frame: int = 0,
    cancelled: IsCancelled | None = None,
) -> tuple[np.ndarray, list[Decision]]:
    """Refined (H, W) uint8 labels of one frame and the decisions, in the order of the structures.

    image   (H, W) or (H, W, 3) uint8
    labels  (H, W) uint8, not changed
    """
    rules = rules or Acceptance()
    asked = {s: mask for s, mask in _coarse_masks(labels) if np.count_nonzero(mask) >= rules.smallest_area}
    if not asked:
        return labels.copy(), []
    embedding = model.embed(image, cancelled)
    memories = embedding.geometry.mask_prompt(np.stack(list(asked.values())))
    prompts = [
        Prompts(interior_points(mask), Box.around(mask, BOX_MARGIN), memory)
        for mask, memory in zip(asked.values(), memories, strict=True)
    ]
    refined: dict[Structure, np.ndarray] = {}
    decisions = []
    for (structure, mask), answer in zip(asked.items(), model.answer(embedding, prompts), strict=True):
        logits = embedding.geometry.to_frame(answer.logits)
        decision = _decide(frame, structure, mask, logits > 0, answer, rules)
        decisions.append(decision)
        if decision.accepted:
            refined[structure] = logits
    return _composed(labels, asked, refined), decisions


def interior_points(mask: np.ndarray, count: int = N_POINTS) -> tuple[Point, ...]:
    """Points deep inside a (H, W) bool mask, apart from each other: maxima of the distance to its border.

    Each point silences what is nearer to it than the border is; a mask of fewer pixels than ``count`` repeats one.
    """
    import cv2

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8), 1)
    depth = np.asarray(cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
    open_depth = depth.copy()
    down, across = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points: list[Point] = []
    for _ in range(count):
        if not open_depth.any():
            open_depth = depth.copy()
            for point in points:
                open_depth[int(point.y) - top + 1, int(point.x) - left + 1] = 0
        row, column = np.unravel_index(int((open_depth if open_depth.any() else depth).argmax()), depth.shape)
        points.append(Point(float(left + column - 1), float(top + row - 1)))
        open_depth[(down - row) ** 2 + (across - column) ** 2 <= depth[row, column] ** 2] = 0
    return tuple(points)


def _coarse_masks(labels: np.ndarray) -> Iterator[tuple[Structure, np.ndarray]]:
    """What is asked about: the largest piece of each structure, rings with what they enclose."""
    for value in np.unique(labels):
        if value:
            structure = Structure(int(value))
            members = [int(s) for s in RING_UNIONS.get(structure, (structure,))]
            yield structure, _largest_piece(np.isin(labels, members))


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    import cv2

    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count <= 2:
        return mask
    piece: np.ndarray = pieces == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    return piece


def _decide(
    frame: int, structure: Structure, coarse: np.ndarray, found: np.ndarray, answer: Answer, rules: Acceptance
) -> Decision:
    both, area, before = (int(np.count_nonzero(m)) for m in (coarse & found, found, coarse))
    iou = both / (area + before - both)
    ratio, stability = area / before, answer.stability
    reason = ""
    if iou < rules.iou:
        reason = f"overlap {iou:.2f} below {rules.iou:.2f}"
    elif not rules.area_ratio[0] <= ratio <= rules.area_ratio[1]:
        reason = f"area changed by a factor of {ratio:.2f}"
    elif stability < rules.stability:
        reason = f"outline unstable ({stability:.2f})"
    elif answer.iou < rules.predicted_iou:
        reason = f"the model itself is unsure ({answer.iou:.2f})"
    return Decision(frame, structure, reason, iou, ratio, stability, answer.iou)


def _composed(
    labels: np.ndarray, asked: dict[Structure, np.ndarray], refined: dict[Structure, np.ndarray]
) -> np.ndarray:
    """Labels with the accepted masks in place of the coarse ones.

    A structure that keeps its coarse mask keeps every pixel of it; among refined ones the larger logit wins; rings
    take what is left inside of them.
    """
    if not refined:
        return labels.copy()
    composed = np.zeros_like(labels)
    for ring in (Structure.THORAX, Structure.WHOLE_HEART):  # from outside to inside
        if ring in refined:
            enclosed = refined[ring] > 0
            # Pieces that were not asked about stay.
            enclosed |= np.isin(labels, [int(s) for s in RING_UNIONS[ring]]) & ~asked[ring]
            composed[enclosed] = ring
        elif (labels == ring).any():
            # Kept as coarse: all that it encloses is its own until an inner structure takes it.
            composed[np.isin(labels, [int(s) for s in RING_UNIONS[ring]])] = ring
    best = np.zeros(labels.shape, dtype=np.float32)
    for structure, logits in refined.items():
        if structure not in RING_UNIONS:
            wins = logits > best
            composed[wins], best[wins] = structure, logits[wins]
    for value in np.unique(labels):
        if value and Structure(int(value)) not in RING_UNIONS:
            kept = labels == value
            if Structure(int(value)) in refined:
                kept &= ~asked[Structure(int(value))]
            composed[kept] = value
    return composed
