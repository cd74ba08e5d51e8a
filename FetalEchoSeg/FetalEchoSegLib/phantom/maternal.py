"""What lies between the transducer and the fetus: abdominal wall, uterus, placenta, amniotic fluid."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from .section import Placement
from .sector import SectorGeometry

_FETAL_RADIUS = 27.0  # mm around the placement that the fetal chest may fill


class Maternal(IntEnum):
    """Tissue classes of the background, numbered after those of the fetus."""

    SKIN = 16
    FAT = 17
    FASCIA = 18
    MUSCLE = 19
    UTERUS = 20
    PLACENTA = 21
    AMNIOTIC_FLUID = 22
    SURROUNDING_TISSUE = 23


def maternal_background(geometry: SectorGeometry, placement: Placement, rng: np.random.Generator) -> np.ndarray:
    """Tissue classes (n_range, n_lines) uint8 around the fetus, on the polar grid.

    Layers follow the transducer face with a slow waviness. The wall takes what room the fetus leaves above it;
    behind and beside the fetus, patches of fluid alternate with limbs, placenta and uterine wall.
    """
    ranges, angles = geometry.ranges[:, None], geometry.angles[None, :]
    room = max(placement.center[1] - _FETAL_RADIUS, 6.0)
    wall = room * rng.uniform(0.55, 0.9)
    shares = np.array([0.10, 0.34, 0.05, 0.22, 0.04, 0.25]) * rng.uniform(0.75, 1.25, size=6)
    kinds = (Maternal.SKIN, Maternal.FAT, Maternal.FASCIA, Maternal.MUSCLE, Maternal.FASCIA, Maternal.UTERUS)
    edges = np.cumsum(shares / shares.sum()) * wall

    tissue = _surroundings(geometry, placement, rng)
    above = np.full(angles.shape, np.inf)
    for kind, edge, share in reversed(list(zip(kinds, edges, shares, strict=True))):
        lower = edge + 0.25 * share * wall * _waves(angles, rng, 3)
        lower = np.minimum(lower, above)
        tissue[ranges < lower] = kind
        above = lower
    # Fat and muscle are laminated: thin bright sheets along the skin.
    for _ in range(int(rng.integers(4, 9))):
        level = rng.uniform(edges[0], edges[3]) + 0.6 * _waves(angles, rng, 4)
        start, stop = np.sort(rng.uniform(geometry.angle_start, -geometry.angle_start, size=2))
        sheet = (np.abs(ranges - level) < 0.14) & (angles > start) & (angles < stop)
        tissue[sheet] = Maternal.FASCIA
    return tissue


def _surroundings(geometry: SectorGeometry, placement: Placement, rng: np.random.Generator) -> np.ndarray:
    points = geometry.polar_points().astype(np.float32)
    offset = points - np.asarray(placement.center, dtype=np.float32)
    field = np.zeros(offset.shape[:-1], dtype=np.float32)
    for _ in range(7):
        angle, wavelength = rng.uniform(0, np.pi), rng.uniform(26, 90)
        along = points[..., 0] * np.cos(angle) + points[..., 1] * np.sin(angle)
        field += np.sin(2 * np.pi * along / wavelength + rng.uniform(0, 2 * np.pi))
    field /= np.float32(np.sqrt(3.5))
    tissue = np.full(field.shape, Maternal.SURROUNDING_TISSUE, dtype=np.uint8)
    pockets = field > rng.uniform(0.5, 1.5)
    tissue[pockets] = Maternal.AMNIOTIC_FLUID
    if rng.random() < 0.35:
        side = rng.uniform(-np.pi, 0.15 * np.pi)  # mostly anterior or lateral
        toward = offset[..., 0] * np.cos(side) + offset[..., 1] * np.sin(side)
        tissue[toward + 1.5 * field > _FETAL_RADIUS + rng.uniform(1, 8)] = Maternal.PLACENTA
    back = placement.center[1] + _FETAL_RADIUS + rng.uniform(4, 16)
    floor = back + 2.0 * _waves(geometry.angles[None, :], rng, 3) + 6 * np.square(geometry.angles[None, :])
    behind = geometry.ranges[:, None] - floor
    tissue[behind > 0] = Maternal.UTERUS
    tissue[behind > rng.uniform(5, 9)] = Maternal.SURROUNDING_TISSUE
    return tissue


def _waves(angles: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth random curve over the scan lines, about ±1."""
    wave = np.zeros(angles.shape)
    for _ in range(count):
        wave += np.sin(angles * rng.uniform(2, 14) + rng.uniform(0, 2 * np.pi))
    return wave / np.sqrt(count / 2) / 1.5
