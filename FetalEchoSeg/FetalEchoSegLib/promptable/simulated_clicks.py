"""Simulated clicks: where a user would click next, and how good a promptable model is at answering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..anatomy import RING_UNIONS, Structure
from .prompts import Point, Prompts

if TYPE_CHECKING:
    from .model import PromptableModel

Clicker = Callable[[np.ndarray, np.ndarray, np.random.Generator], Point]


@dataclass(frozen=True)
class Case:
    """One structure of one frame.

    image  (H, W) or (H, W, 3) uint8
    truth  (H, W) bool; of a ring, with what it encloses
    start  (H, W) bool mask to correct, None to start from nothing
    """

    image: np.ndarray
    structure: Structure
    truth: np.ndarray
    start: np.ndarray | None = None


def structure_mask(labels: np.ndarray, structure: Structure) -> np.ndarray:
    """(H, W) bool of what a click on a structure means: a ring with what it encloses."""
    return np.isin(labels, [int(s) for s in RING_UNIONS.get(structure, (structure,))])


def random_click(truth: np.ndarray, found: np.ndarray, rng: np.random.Generator) -> Point:
    """A point anywhere in what is wrong, as in SAM-Med2D's evaluation; anywhere inside when nothing is."""
    wrong = np.flatnonzero((truth != found).ravel())
    if not len(wrong):
        wrong = np.flatnonzero(truth.ravel())
    row, column = np.unravel_index(int(rng.choice(wrong)), truth.shape)
    return Point(float(column), float(row), bool(truth[row, column]))


def centre_click(truth: np.ndarray, found: np.ndarray, rng: np.random.Generator) -> Point:
    """The middle of the largest wrong piece, as a careful user clicks and as NoC is counted (RITM, Sofiiuk 2022)."""
    import cv2

    best_depth, best = 0.0, None
    for wrong, positive in ((truth & ~found, True), (found & ~truth, False)):
        padded = np.pad(wrong.astype(np.uint8), 1)
        depth = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))[1:-1, 1:-1]
        if depth.max() > best_depth:
            best_depth = float(depth.max())
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            best = Point(float(column), float(row), positive)
    return best if best is not None else random_click(truth, found, rng)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap of two masks, 1 for two empty ones."""
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return 2 * np.count_nonzero(first & second) / total if total else 1.0


def click_through(
    model: PromptableModel, case: Case, clicks: int, clicker: Clicker, rng: np.random.Generator
) -> list[float]:
    """Dice before any click and after each of ``clicks``, every answer remembered for the next."""
    embedding = model.embed(case.image)
    found = np.zeros_like(case.truth) if case.start is None else case.start
    memory = None if case.start is None else embedding.geometry.mask_prompt(case.start)
    prompts = Prompts(mask=memory)
    scores = [dice(found, case.truth)]
    for _ in range(clicks):
        prompts = prompts.with_point(clicker(case.truth, found, rng))
        (answer,) = model.answer(embedding, [prompts])
        found, prompts = answer.mask, prompts.with_mask(answer.logits)
        scores.append(dice(found, case.truth))
    return scores


@dataclass(frozen=True)
class ClickFigures:
    """What clicking achieves.

    dice_after  number of random clicks to mean Dice
    needed      mean number of clicks in the middle of the largest error until Dice reaches 0.90 (NoC@90), 0 where the
                start has it, ``limit`` where it was not reached
    reached     share of the cases that reached it
    """

    cases: int
    dice_after: dict[int, float]
    needed: float
    reached: float
    limit: int

    def to_dict(self) -> dict[str, object]:
        """Plain table for a card."""
        return {
            "cases": self.cases,
            **{f"Dice after {n}": round(value, 3) for n, value in self.dice_after.items()},
            "NoC@90": round(self.needed, 2),
            "share that reached 0.90": round(self.reached, 3),
            "clicks at most": self.limit,
        }


def measure_clicks(
    model: PromptableModel, cases: Sequence[Case], counts: Sequence[int] = (1, 3, 5), limit: int = 10, seed: int = 0
) -> ClickFigures:
    """Click through all ``cases``, once at random and once in the middle of the errors."""
    rng = np.random.default_rng(seed)
    scores = np.array([click_through(model, case, max(counts), random_click, rng) for case in cases])
    careful = np.array([click_through(model, case, limit, centre_click, rng) for case in cases])
    reached = careful >= 0.90
    needed = np.where(reached.any(1), reached.argmax(1), limit)
    return ClickFigures(
        cases=len(cases),
        dice_after={n: float(scores[:, n].mean()) for n in counts},
        needed=float(needed.mean()),
        reached=float(reached.any(1).mean()),
        limit=limit,
    )
