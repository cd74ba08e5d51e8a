"""What the anatomy of the phantom hands to its echo formation.

An anatomical plane is a stack of layers, closed contours painted in order, in an anatomical frame in mm: first
coordinate L toward the fetal left, second A toward the fetal front (the spine lies at negative A), origin at the
thorax centre. A `Placement` puts that frame under the transducer: probe coordinates are (x, z) in mm, x to the right
of the image, z the depth below the transducer's face centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np


class Tissue(IntEnum):
    """Tissue class of a layer: echo formation gives each its backscatter, impedance and attenuation."""

    SOFT_TISSUE = 0
    CHEST_WALL = 1
    LUNG = 2
    MYOCARDIUM = 3
    BLOOD = 4
    VESSEL_WALL = 5
    VALVE = 6
    BONE = 7
    FLUID = 8
    THYMUS = 9
    AIRWAY_WALL = 10
    AIRWAY_LUMEN = 11
    SKIN = 12


@dataclass(frozen=True)
class Layer:
    """One closed contour; later layers cover earlier ones.

    tissue   what it is made of
    label    structure id painted into the mask (0 erases to background), or None to leave the mask unchanged
    contour  (N, 2) float64 mm in the anatomical frame, dense enough that straight edges between points do not show
    """

    name: str
    tissue: Tissue
    label: int | None
    contour: np.ndarray


class Section(Protocol):
    """An anatomical plane in motion."""

    def layers(self, time: float) -> list[Layer]:
        """The stack at ``time`` seconds."""
        ...

    def displacement(self, points: np.ndarray, time: float) -> np.ndarray:
        """(..., 2) mm: how far the material now at ``points`` (..., 2) has moved from its reference position.

        Material coordinates are ``points - displacement``: speckle fixed in them travels with the tissue.
        """
        ...


@dataclass(frozen=True)
class Placement:
    """Position of the anatomical frame under the probe.

    center        (x, z) mm of the thorax centre in probe coordinates
    rotation      degrees; 0 puts the fetal front toward the probe, positive turns clockwise in the image
    mirror        +1 or -1; +1 with rotation 0 shows the fetal left on the image's right
    drift         (x, z) mm amplitude of slow probe and breathing movement, drift_period in seconds
    """

    center: tuple[float, float]
    rotation: float
    mirror: int = 1
    drift: tuple[float, float] = (0.0, 0.0)
    drift_period: float = 4.0
    drift_phase: float = 0.0

    def _matrix(self) -> np.ndarray:
        angle = np.deg2rad(self.rotation)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # L becomes +x (times mirror), A becomes -z: the front faces the probe.
        return turn @ np.array([[float(self.mirror), 0.0], [0.0, -1.0]])

    def _origin(self, time: float) -> np.ndarray:
        swing = np.sin(2 * np.pi * time / self.drift_period + self.drift_phase)
        return np.asarray(self.center) + swing * np.asarray(self.drift)

    def to_probe(self, points: np.ndarray, time: float) -> np.ndarray:
        """(..., 2) anatomical (L, A) mm to probe (x, z) mm at ``time``."""
        return points @ self._matrix().T + self._origin(time)

    def to_anatomy(self, points: np.ndarray, time: float) -> np.ndarray:
        """(..., 2) probe (x, z) mm to anatomical (L, A) mm at ``time``."""
        return (points - self._origin(time)) @ np.linalg.inv(self._matrix()).T
