"""What the user says about one structure in one frame: points, a box, an earlier mask.

Positions are (x, y) in pixels of the frame, 0 at the centre of the first pixel, fractions allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InvalidRequest


@dataclass(frozen=True)
class Point:
    """A click: inside the structure if positive, outside of it otherwise."""

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True)
class Box:
    """Two opposite corners; ``Box.around`` sorts them."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (self.left <= self.right and self.top <= self.bottom):
            raise ValueError(f"a box needs left <= right and top <= bottom: {self}")

    @classmethod
    def between(cls, first: tuple[float, float], second: tuple[float, float]) -> Box:
        """Box with these two corners (x, y), in whatever order a drag gave them."""
        (x0, y0), (x1, y1) = first, second
        return cls(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))

    @classmethod
    def around(cls, mask: np.ndarray, margin: float = 0.0) -> Box:
        """Box of a (H, W) bool mask, from first to last pixel, wider by ``margin`` of its sides, within the frame.

        Raises ValueError for an empty mask.
        """
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise ValueError("an empty mask has no box")
        top, bottom, left, right = (float(v) for v in (rows[0], rows[-1], columns[0], columns[-1]))
        dy, dx = margin * (bottom - top + 1), margin * (right - left + 1)
        height, width = mask.shape
        return cls(max(left - dx, 0), max(top - dy, 0), min(right + dx, width - 1), min(bottom + dy, height - 1))


@dataclass(frozen=True, eq=False)
class Prompts:
    """Everything said about one structure in one frame.

    points  in the order they were clicked
    box     or None
    mask    low-resolution logits (M, M) float32 of an earlier answer or ``Geometry.mask_prompt``, or None
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: np.ndarray | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not self.points and self.box is None and self.mask is None

    @property
    def is_said(self) -> bool:
        """Whether the user placed anything (a mask alone is a memory, not a wish)."""
        return bool(self.points) or self.box is not None

    def with_point(self, point: Point) -> Prompts:
        """The same and one more point."""
        return replace(self, points=(*self.points, point))

    def with_box(self, box: Box | None) -> Prompts:
        """The same with this box instead of the former."""
        return replace(self, box=box)

    def with_mask(self, mask: np.ndarray | None) -> Prompts:
        """The same with these logits instead of the former."""
        return replace(self, mask=mask)

    def without_point(self, index: int) -> Prompts:
        """The same without the point of that number; raises IndexError if there is none."""
        points = list(self.points)
        del points[index]
        return replace(self, points=tuple(points))

    def require_inside(self, height: int, width: int) -> None:
        """Raise InvalidRequest when a point or the whole box is outside a frame of this size."""
        for point in self.points:
            if not (-0.5 <= point.x < width - 0.5 and -0.5 <= point.y < height - 0.5):
                raise InvalidRequest(
                    f"The point ({point.x:.0f}, {point.y:.0f}) is outside the image of {width} x {height} pixels: "
                    "click inside it."
                )
        box = self.box
        if box is not None and not (
            box.right >= -0.5 and box.bottom >= -0.5 and box.left < width - 0.5 and box.top < height - 0.5
        ):
            raise InvalidRequest(f"The box is outside the image of {width} x {height} pixels: draw it inside.")

    def to_dict(self) -> dict[str, Any]:
        """Plain table of points and box, for a scene; the mask is left out, because the segment keeps it."""
        table: dict[str, Any] = {"points": [[p.x, p.y, int(p.positive)] for p in self.points]}
        if self.box is not None:
            table["box"] = [self.box.left, self.box.top, self.box.right, self.box.bottom]
        return table

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Prompts:
        """Prompts from such a table; raises ValueError for anything else."""
        try:
            points = tuple(Point(float(x), float(y), bool(positive)) for x, y, positive in table.get("points", ()))
            box = table.get("box")
            found = cls(points, None if box is None else Box(*(float(v) for v in box)))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not a table of prompts: {error}") from error
        numbers = [v for p in found.points for v in (p.x, p.y)] + ([] if box is None else [float(v) for v in box])
        if not all(np.isfinite(numbers)):
            raise ValueError("a prompt's position must be a finite number")
        return found
