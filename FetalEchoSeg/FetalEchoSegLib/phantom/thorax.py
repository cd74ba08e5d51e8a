"""The fetal chest in cross-section: skin, muscle, ribs, spine, sternum and lungs, shared by all planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..anatomy import Structure
from .cases import PhantomCase
from .contours import area, band, ellipse, grown, resample, smooth_outline, tube
from .motion import Part
from .section import Tissue


@dataclass(frozen=True)
class Chest:
    """Chest wall and its landmarks, mm in the anatomical frame.

    cavity     (N, 2) inner border of the rib cage
    spine      (2,) centre of the vertebral body
    aorta      (2,) usual place of the descending aorta
    front      A coordinate of the cavity behind the sternum
    half_width L semi-axis of the cavity
    """

    cavity: np.ndarray
    spine: np.ndarray
    aorta: np.ndarray
    front: float
    half_width: float

    @property
    def extent(self) -> float:
        """Half width of a square that holds the chest wall."""
        return float(np.abs(self.cavity).max()) + 9.0


def chest(case: PhantomCase, cavity_area: float) -> Chest:
    """Chest of ``case`` whose cavity has ``cavity_area`` mm²; a little wider than deep, flattened at the back."""
    rng = case.rng("chest")
    aspect = float(np.clip(rng.normal(1.13, 0.04), 1.04, 1.22))
    half_depth = float(np.sqrt(cavity_area / np.pi / aspect))
    half_width = half_depth * aspect
    angle = np.deg2rad(np.arange(0, 360, 30) + 90.0)  # from the front, counter-clockwise over the fetal right
    reach = np.array([0.985, 1.0, 1.02, 1.0, 1.02, 1.02, 0.95, 1.02, 1.02, 1.0, 1.02, 1.0])
    reach = reach * (1 + rng.normal(0.0, 0.008, reach.size))
    cavity = smooth_outline(np.stack([np.cos(angle) * half_width * reach, np.sin(angle) * half_depth * reach], axis=1))
    cavity = cavity * np.sqrt(cavity_area / area(cavity))
    front, back = float(cavity[:, 1].max()), float(cavity[np.abs(cavity[:, 0]) < 1.0, 1].min())
    scale = case.scale
    spine = np.array([rng.normal(0.0, 0.4), back + 1.9 * scale])
    aorta = spine + scale * np.array([rng.normal(3.6, 0.4), rng.normal(4.6, 0.4)])
    return Chest(cavity, spine, aorta, front, half_width)


def chest_parts(case: PhantomCase, body: Chest) -> list[Part]:
    """Everything behind the heart and vessels: skin, wall, bones and lungs, painted outside in.

    The cavity carries the thorax label; the spine is taken out of it again.
    """
    rng = case.rng("chest wall")
    scale = case.scale
    wall = float(rng.uniform(2.2, 3.4)) * scale
    muscle = grown(body.cavity, wall)
    # Back muscles and the arms' roots thicken the wall away from the front.
    lower = np.clip(-muscle[:, 1] / np.abs(muscle[:, 1]).max(), 0.0, 1.0)[:, np.newaxis]
    muscle = muscle * (1 + 0.10 * lower**2)
    skin = grown(muscle, 0.9 * scale)
    thorax = int(Structure.THORAX)
    parts = [
        Part("skin", Tissue.SKIN, 0, resample(skin, 0.5)),
        Part("chest wall", Tissue.CHEST_WALL, 0, resample(muscle, 0.5)),
        Part("pleura", Tissue.VESSEL_WALL, 0, grown(body.cavity, 0.25)),
        Part("lungs", Tissue.LUNG, thorax, body.cavity),
    ]
    parts += _ribs(body, wall, rng, scale)
    parts += _sternum(body, wall, rng, scale)
    parts += _spine(body, rng, scale)
    return parts


def _ribs(body: Chest, wall: float, rng: np.random.Generator, scale: float) -> list[Part]:
    """Bone arcs in the chest wall. A plane meets each rib obliquely, so arcs alternate with intercostal gaps."""
    line = grown(body.cavity, 0.45 * wall)
    angle = np.degrees(np.arctan2(line[:, 0], -line[:, 1]))  # 0 at the spine, positive toward the fetal left
    order = np.argsort(angle)
    angle, line = angle[order], line[order]
    ribs = []
    for side in (-1, 1):
        at = rng.uniform(24.0, 34.0)
        for number in range(int(rng.integers(2, 4))):
            length = rng.uniform(20.0, 34.0) if number == 0 else rng.uniform(9.0, 22.0)
            start, stop = sorted((side * at, side * (at + length)))
            arc = line[(angle >= start) & (angle <= stop)]
            if len(arc) > 6 and at + length < 150.0:
                outline = band(resample(arc, closed=False), rng.uniform(0.75, 1.05) * scale)
                ribs.append(Part(f"rib {'left' if side > 0 else 'right'} {number + 1}", Tissue.BONE, None, outline))
            at += length + rng.uniform(14.0, 34.0)
    return ribs


def _sternum(body: Chest, wall: float, rng: np.random.Generator, scale: float) -> list[Part]:
    center = np.array([0.0, body.front + 0.5 * wall])
    cartilage = ellipse(center, (3.2 * scale, 0.36 * wall), power=2.6)
    parts = [Part("sternum", Tissue.SOFT_TISSUE, 0, cartilage)]
    if rng.random() < 0.5:  # an ossification centre is there or not at this age
        parts.append(Part("sternal ossification", Tissue.BONE, None, ellipse(center, (0.9 * scale, 0.45 * scale))))
    return parts


def _spine(body: Chest, rng: np.random.Generator, scale: float) -> list[Part]:
    """Vertebral body and two arches: the three ossification centres around the canal, in unossified cartilage."""
    at = body.spine
    outline = smooth_outline(
        at
        + scale
        * np.array(
            [
                (0, 3.0),
                (2.4, 2.0),
                (2.9, -0.8),
                (4.4, -4.0),
                (3.6, -6.4),
                (0.0, -7.2),
                (-3.6, -6.4),
                (-4.4, -4.0),
                (-2.9, -0.8),
                (-2.4, 2.0),
            ]
        )
    )
    body_bone = ellipse(at + scale * np.array([0.0, 0.5]), (1.9 * scale, 1.25 * scale), power=2.4)
    canal = ellipse(at + scale * np.array([0.0, -3.2]), (1.55 * scale, 1.35 * scale))
    parts = [
        Part("vertebra", Tissue.SOFT_TISSUE, 0, outline),
        Part("vertebral body", Tissue.BONE, 0, body_bone),
        Part("spinal canal", Tissue.FLUID, 0, canal),
        Part("cord", Tissue.SOFT_TISSUE, 0, ellipse(at + scale * np.array([0.0, -3.2]), (0.75 * scale, 0.6 * scale))),
    ]
    for side in (-1, 1):
        arch = at + scale * np.array([(side * 2.5, -2.0), (side * 2.9, -3.6), (side * 1.7, -5.2 + rng.normal(0, 0.1))])
        line = resample(arch, 0.2, closed=False)
        parts.append(Part(f"vertebral arch {'left' if side > 0 else 'right'}", Tissue.BONE, 0, band(line, 1.1 * scale)))
    return parts


def vessel(
    name: str, label: int | None, line: np.ndarray, widths: np.ndarray | float, wall: float = 0.35, **ends: bool
) -> list[Part]:
    """A vessel along ``line``: a thin bright wall, which keeps the label below it, and a lumen with ``label``."""
    widths = np.broadcast_to(np.asarray(widths, dtype=float), (len(line),))
    return [
        Part(f"{name} wall", Tissue.VESSEL_WALL, None, tube(line, widths + 2 * wall, **ends)),
        Part(name, Tissue.BLOOD, label, tube(line, widths, **ends)),
    ]


def round_vessel(
    name: str,
    label: int | None,
    center: np.ndarray,
    diameter: float,
    wall: float = 0.35,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> list[Part]:
    """A vessel cut across; ``stretch`` makes it oval (long over short axis) at equal area."""

    def ring(d: float) -> np.ndarray:
        return ellipse(center, (d / 2 * np.sqrt(stretch), d / 2 / np.sqrt(stretch)), angle, step=0.15)

    return [
        Part(f"{name} wall", Tissue.VESSEL_WALL, None, ring(diameter + 2 * wall)),
        Part(name, Tissue.BLOOD, label, ring(diameter)),
    ]
