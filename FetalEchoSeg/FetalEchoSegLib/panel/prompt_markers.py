"""Prompts drawn in a slice view: points as discs with a plus or minus, a box, and the outline of a preview.

A point that is not answered yet is an amber ring instead of a disc.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

_GREEN, _RED, _AMBER, _WHITE, _BLACK = (
    (0.1, 0.65, 0.2),
    (0.85, 0.1, 0.1),
    (1.0, 0.75, 0.1),
    (1.0, 1.0, 1.0),
    (0.0, 0.0, 0.0),
)
_BOX_GREEN = (0.3, 1.0, 0.4)
_RADIUS = 7.0  # of a point, in pixels of a screen of usual resolution, as all sizes here
_HOVERED_RADIUS = 9.5
_REACH = 10.0  # distance from its centre at which a point is hit
_LINE, _RIM = 2.0, 4.0  # widths of the colored line and of the dark one under it, which shows on bright images
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 25)), np.sin(np.linspace(0, 2 * np.pi, 25))], axis=1)
_PLUS = (((-0.6, 0.0), (0.6, 0.0)), ((0.0, -0.6), (0.0, 0.6)))


@dataclass(frozen=True)
class Marker:
    """A point in a view.

    xy        place in pixels of the view, from its lower left corner
    positive  or negative                 isWaiting  not answered yet
    index     of the point among the prompts
    """

    xy: tuple[float, float]
    positive: bool
    isWaiting: bool
    index: int


class ViewMarkers:
    """What is drawn in one slice view."""

    def __init__(self, scriptedEffect: Any, viewWidget: Any) -> None:
        self._effect, self._view = scriptedEffect, viewWidget
        self._scale = max(1.0, scriptedEffect.renderWindow(viewWidget).GetDPI() / 96.0)
        line, rim = _LINE * self._scale, _RIM * self._scale
        # In the order in which they are drawn.
        self._rim = _Lines(_BLACK, rim)
        self._discs = {color: _Discs(color) for color in (_GREEN, _RED)}
        self._lines = {color: _Lines(color, line) for color in (_BOX_GREEN, _AMBER, _WHITE)}
        self._markers: tuple[Marker, ...] = ()
        self._box: Sequence[tuple[float, float]] | None = None
        for shapes in self._shapes():
            scriptedEffect.addActor2D(viewWidget, shapes.actor)

    def _shapes(self) -> list[_Shapes]:
        return [self._rim, *self._discs.values(), *self._lines.values()]

    def remove(self) -> None:
        """Take everything out of the view."""
        for shapes in self._shapes():
            self._effect.removeActor2D(self._view, shapes.actor)

    def hit(self, xy: tuple[float, float]) -> Marker | None:
        """The point marker at a place of the view, the nearest one; None if there is none."""
        distances = [(np.hypot(m.xy[0] - xy[0], m.xy[1] - xy[1]), m.index, m) for m in self._markers]
        reached = [found for found in distances if found[0] <= _REACH * self._scale]
        return min(reached)[2] if reached else None

    def hitsBox(self, xy: tuple[float, float]) -> bool:
        """Whether a place of the view is on the border of the box."""
        if self._box is None:
            return False
        corners = np.array([*self._box, self._box[0]], dtype=float)
        starts, along = corners[:-1], np.diff(corners, axis=0)
        lengths = np.maximum((along**2).sum(1), 1e-9)
        share = np.clip(((np.array(xy) - starts) * along).sum(1) / lengths, 0, 1)
        nearest = starts + share[:, None] * along
        return bool(np.hypot(*(nearest - xy).T).min() <= 0.6 * _REACH * self._scale)

    def show(
        self,
        markers: Iterable[Marker] = (),
        box: Sequence[tuple[float, float]] | None = None,
        isBoxWaiting: bool = False,
        hovered: int | None = None,
        outline: np.ndarray | None = None,
    ) -> None:
        """Draw these and nothing else.

        box      four corners in pixels of the view
        hovered  index of the point under the mouse
        outline  (N, 2, 2) lines of a preview, in pixels of the view
        """
        self._markers, self._box = tuple(markers), box
        lines: dict[Any, list[np.ndarray]] = {color: [] for color in self._lines}
        discs: dict[Any, list[np.ndarray]] = {color: [] for color in self._discs}
        rims: list[np.ndarray] = []
        for marker in self._markers:
            radius = (_HOVERED_RADIUS if marker.index == hovered else _RADIUS) * self._scale
            circle, *glyph = (np.array(marker.xy) + radius * line for line in _glyph(marker.positive))
            rims.append(circle)
            if marker.isWaiting:
                lines[_AMBER] += [circle, *glyph]
            else:
                discs[_GREEN if marker.positive else _RED].append(circle)
                lines[_WHITE] += glyph
        if box is not None:
            border = np.array([*box, box[0]], dtype=float)
            rims.append(border)
            lines[_AMBER if isBoxWaiting else _BOX_GREEN].append(border)
        if outline is not None:
            rims += list(outline)
            lines[_WHITE] += list(outline)
        self._rim.draw(rims)
        for color, drawn in discs.items():
            self._discs[color].draw(drawn)
        for color, drawn in lines.items():
            self._lines[color].draw(drawn)
        self._effect.scheduleRender(self._view)


def maskOutline(mask: np.ndarray) -> np.ndarray:
    """(N, 2, 2) lines (x, y) between the pixels of a (H, W) bool mask and the others, in pixels of the image."""
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    upright = np.stack([np.stack([columns, rows - 1], 1), np.stack([columns, rows], 1)], 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    level = np.stack([np.stack([columns - 1, rows], 1), np.stack([columns, rows], 1)], 1)
    return np.concatenate([upright, level]) - 0.5


def _glyph(positive: bool) -> list[np.ndarray]:
    return [_CIRCLE, *(np.array(line) for line in _PLUS[: 2 if positive else 1])]


class _Shapes:
    """An actor of polylines or polygons in one color."""

    def __init__(self, color: tuple[float, float, float]) -> None:
        self._data = vtk.vtkPolyData()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetColor(*color)
        self.actor.SetVisibility(False)

    def draw(self, shapes: list[np.ndarray]) -> None:
        """Show these, each by its corners (N, 2)."""
        self.actor.SetVisibility(bool(shapes))
        if not shapes:
            return
        corners = np.concatenate(shapes)
        points = vtk.vtkPoints()
        points.SetData(numpy_to_vtk(np.column_stack([corners, np.zeros(len(corners))]).astype(np.float32), deep=True))
        offsets = np.cumsum([0, *(len(shape) for shape in shapes)])
        cells = vtk.vtkCellArray()
        cells.SetData(
            numpy_to_vtkIdTypeArray(offsets.astype(np.int64), deep=True),
            numpy_to_vtkIdTypeArray(np.arange(len(corners), dtype=np.int64), deep=True),
        )
        self._data.SetPoints(points)
        self._setCells(cells)
        self._data.Modified()

    def _setCells(self, cells: Any) -> None:
        raise NotImplementedError


class _Lines(_Shapes):
    def __init__(self, color: tuple[float, float, float], width: float) -> None:
        super().__init__(color)
        self.actor.GetProperty().SetLineWidth(width)

    def _setCells(self, cells: Any) -> None:
        self._data.SetLines(cells)


class _Discs(_Shapes):
    def _setCells(self, cells: Any) -> None:
        self._data.SetPolys(cells)
