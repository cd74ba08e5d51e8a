"""The beating heart: cardiac-cycle curves and the displacement of material points.

Motion is a sum of fixed spatial modes with time-varying amplitudes: x = X + Σ a_k(t) U_k(X). The same modes move
the contours and, inverted, tell which material point lies at a place, so speckle travels with the tissue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import map_coordinates

from .section import Layer, Tissue

SYSTOLE = 0.45  # share of the cycle

Mode = Callable[[np.ndarray], np.ndarray]  # (..., 2) mm -> (..., 2) mm per unit amplitude


def _cycle(knots: Sequence[tuple[float, float]]) -> np.ndarray:
    """1024 samples of one cycle of a periodic curve through (phase, value) knots."""
    phase = np.array([k[0] for k in knots])
    value = np.array([k[1] for k in knots])
    wrapped_phase = np.concatenate([phase - 1.0, phase, phase + 1.0])
    curve = PchipInterpolator(wrapped_phase, np.tile(value, 3))
    return curve(np.arange(1024) / 1024)


# Fetal filling: the late (atrial) part is the larger one.
_CURVES = {
    # 0 at end-diastole, 1 at end-systole
    "contraction": _cycle(
        [
            (0.0, 0.0),
            (0.06, 0.06),
            (0.25, 0.72),
            (SYSTOLE, 1.0),
            (0.53, 0.93),
            (0.66, 0.55),
            (0.78, 0.44),
            (0.90, 0.14),
            (0.97, 0.01),
        ]
    ),
    # 0 at the atria's smallest, 1 just before the atrioventricular valves open
    "atrial_filling": _cycle(
        [
            (0.0, 0.0),
            (0.06, 0.08),
            (0.25, 0.66),
            (SYSTOLE + 0.03, 1.0),
            (0.56, 0.88),
            (0.68, 0.56),
            (0.79, 0.50),
            (0.90, 0.16),
            (0.97, 0.01),
        ]
    ),
    "atrioventricular_valve": _cycle(
        [
            (0.0, 0.10),
            (0.03, 0.0),
            (SYSTOLE + 0.03, 0.0),
            (0.55, 0.95),
            (0.63, 1.0),
            (0.75, 0.55),
            (0.86, 0.95),
            (0.92, 0.8),
        ]
    ),
    "semilunar_valve": _cycle(
        [(0.0, 0.0), (0.05, 0.0), (0.11, 1.0), (0.28, 0.95), (0.40, 0.6), (SYSTOLE + 0.01, 0.0), (0.75, 0.0)]
    ),
    # Diameter of the great vessels, -1 to 1, a quarter cycle behind contraction
    "pulse": _cycle([(0.08, -1.0), (0.34, 1.0), (0.58, 0.35), (0.80, -0.45)]),
    "foramen_flap": _cycle([(0.0, 0.3), (0.2, 0.9), (SYSTOLE, 0.7), (0.6, 0.2), (0.72, 0.75), (0.85, 0.3)]),
    "sway": _cycle([(0.05, -1.0), (0.35, 1.0), (0.7, -0.2)]),
}


@dataclass(frozen=True)
class Cycle:
    """Position in the cardiac cycle.

    heart_rate  beats per minute
    phase       position at time 0; 0 and 1 are end-diastole
    """

    heart_rate: float
    phase: float = 0.0

    def at(self, time: float) -> float:
        """Phase in [0, 1) at ``time`` seconds."""
        return (self.phase + time * self.heart_rate / 60.0) % 1.0

    def curve(self, name: str, time: float) -> float:
        """Value of a cardiac-cycle curve (see `_CURVES`) at ``time`` seconds."""
        at = self.at(time) * 1024
        low = int(at)
        table = _CURVES[name]
        return float(table[low % 1024] + (at - low) * (table[(low + 1) % 1024] - table[low % 1024]))


@dataclass(frozen=True)
class Part:
    """A layer at its reference position (end-diastole, valves closed).

    opened   contour with as many points as ``contour`` that the part takes when ``opening`` is 1 (a valve leaflet)
    opening  name of the cycle curve that blends the two, "" for parts that only follow the tissue
    """

    name: str
    tissue: Tissue
    label: int | None
    contour: np.ndarray
    opened: np.ndarray | None = None
    opening: str = ""


class MovingStack:
    """A stack of parts moved by modes: the `Section` every plane builds on.

    extent  half width in mm of the square, about the origin, in which the modes are sampled; they vanish outside
    """

    GRID_STEP = 0.5

    def __init__(
        self,
        parts: Sequence[Part],
        modes: Sequence[Mode],
        amplitudes: Callable[[float], np.ndarray],
        cycle: Cycle,
        extent: float,
    ) -> None:
        self.parts = tuple(parts)
        self.cycle = cycle
        self._modes = tuple(modes)
        self._amplitudes = amplitudes
        self._bounds = np.cumsum([0, *(len(p.contour) for p in self.parts)])
        self._closed = np.vstack([p.contour for p in self.parts])
        self._opened = np.vstack([p.contour if p.opened is None else p.opened for p in self.parts])
        self._moves_closed = self._sample(self._closed)
        self._moves_opened = self._sample(self._opened)
        self._blend = [(slice(*self._bounds[i : i + 2]), p.opening) for i, p in enumerate(self.parts) if p.opening]
        side = np.arange(-extent, extent + self.GRID_STEP / 2, self.GRID_STEP)
        self._extent = extent
        self._grid = self._sample(np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1))
        self._field: tuple[float, np.ndarray] = (np.nan, np.zeros(0))

    def _sample(self, points: np.ndarray) -> np.ndarray:
        """(K, ..., 2) displacement of each mode at reference ``points``."""
        return np.stack([mode(points) for mode in self._modes])

    def amplitudes(self, time: float) -> np.ndarray:
        """(K,) amplitude of each mode at ``time`` seconds."""
        return self._amplitudes(time)

    def layers(self, time: float) -> list[Layer]:
        """The stack at ``time`` seconds."""
        weights = self._amplitudes(time)
        points, moves = self._closed, self._moves_closed
        if self._blend:
            points, moves = points.copy(), moves.copy()
            for where, curve in self._blend:
                share = self.cycle.curve(curve, time)
                points[where] += share * (self._opened[where] - points[where])
                moves[:, where] += share * (self._moves_opened[:, where] - moves[:, where])
        points = points + np.tensordot(weights, moves, axes=1)
        return [
            Layer(part.name, part.tissue, part.label, points[start:stop])
            for part, start, stop in zip(self.parts, self._bounds[:-1], self._bounds[1:], strict=True)
        ]

    def displacement(self, points: np.ndarray, time: float) -> np.ndarray:
        """(..., 2) mm the material now at ``points`` has moved from its reference position.

        Solves X + u(X) = x by fixed-point iteration on the sampled modes: X <- x - u(X).
        """
        cached = self._field  # read once: frames are rendered by several threads
        if cached[0] != time:
            cached = (time, np.tensordot(self._amplitudes(time), self._grid, axes=1))
            self._field = cached
        field = cached[1]
        here = np.asarray(points, dtype=np.float64)
        moved = np.zeros_like(here)
        for _ in range(12):
            before = moved
            at = np.moveaxis((here - moved + self._extent) / self.GRID_STEP, -1, 0)
            moved = np.stack(
                [map_coordinates(field[..., axis], at, order=1, mode="constant", cval=0.0) for axis in (0, 1)], axis=-1
            )
            if np.abs(moved - before).max(initial=0.0) < 0.01:  # mm, a twentieth of a pixel
                break
        return moved


def dilation(line: np.ndarray, radius: float) -> Mode:
    """Mode that widens a vessel: unit amplitude doubles the diameter along its centre-line ``line`` (N, 2)."""
    center = line if len(line) > 1 else np.vstack([line, line])

    def mode(points: np.ndarray) -> np.ndarray:
        flat = points.reshape(-1, 2)
        nearest = _nearest(flat, center)
        arm = flat - nearest
        # Flat inside the lumen, gone half a diameter outside it.
        reach = np.linalg.norm(arm, axis=1, keepdims=True) / (1.45 * radius)
        return (arm * np.exp(-(reach**8))).reshape(points.shape)

    return mode


def _nearest(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Nearest points on a polyline, (N, 2)."""
    start, step = line[:-1], np.diff(line, axis=0)
    length = np.maximum((step**2).sum(axis=1), 1e-12)
    best = np.full(len(points), np.inf)
    found = np.zeros_like(points)
    for a, d, square in zip(start, step, length, strict=True):
        share = np.clip(((points - a) @ d) / square, 0.0, 1.0)
        foot = a + share[:, np.newaxis] * d
        distance = ((points - foot) ** 2).sum(axis=1)
        closer = distance < best
        best[closer], found[closer] = distance[closer], foot[closer]
    return found


def translation(direction: tuple[float, float], center: tuple[float, float], reach: float) -> Mode:
    """Mode that shifts a region as a whole by ``direction`` mm, fading out over ``reach`` mm."""

    def mode(points: np.ndarray) -> np.ndarray:
        distance = ((points - np.asarray(center)) ** 2).sum(axis=-1, keepdims=True) / reach**2
        return np.asarray(direction) * np.exp(-(distance**2))

    return mode


class AreaTargets:
    """Finds mode amplitudes that give chambers prescribed areas.

    The area of X + Σ a_k U_k is a quadratic form in a, so a few Newton steps on precomputed coefficients meet the
    target to machine precision without touching a contour.

    contours  reference contours whose area is prescribed, one for each of the first ``len(contours)`` modes
    """

    def __init__(self, contours: Sequence[np.ndarray], modes: Sequence[Mode]) -> None:
        self._count = len(contours)
        self._forms = np.stack([self._form(c, [np.ones_like, *modes]) for c in contours])

    @staticmethod
    def _form(contour: np.ndarray, modes: Sequence[Mode]) -> np.ndarray:
        """(K + 1, K + 1) symmetric form F with area(a) = [1, a] F [1, a]; the first entry is the contour itself."""
        fields = [contour, *(mode(contour) for mode in modes[1:])]
        form = np.array(
            [
                [(f[:, 0] * np.roll(g[:, 1], -1) - g[:, 1] * np.roll(f[:, 0], -1)).sum() / 2 for g in fields]
                for f in fields
            ]
        )
        form = (form + form.T) / 2
        return form if form[0, 0] > 0 else -form

    @property
    def reference(self) -> np.ndarray:
        """(n,) areas at rest, mm²."""
        return self._forms[:, 0, 0]

    def solve(self, targets: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(K,) amplitudes: the first n meet ``targets`` (n,) mm², the rest are given by ``other``."""
        state = np.concatenate([[1.0], np.zeros(self._count), other])
        for _ in range(6):
            gradient = self._forms @ state
            error = gradient @ state - targets
            state[1 : self._count + 1] -= np.linalg.solve(2 * gradient[:, 1 : self._count + 1], error)
        return state[1:]
