"""The heart along its long axis, and the four-chamber plane.

Heart coordinates are (s, t) in mm: s from base to apex along the septum, t to the right and front across it. The
label of a chamber covers its blood pool, trabeculae and leaflets included, closed along the valve annulus; the label
of the whole heart is the rest inside the pericardium.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from ..anatomy import Structure
from .cases import PhantomCase
from .contours import area, band, ellipse, grown, resample, smooth_line, smooth_outline, strip, tube, wrapped
from .motion import AreaTargets, Cycle, Mode, MovingStack, Part, dilation, translation
from .section import Tissue
from .thorax import Chest, chest, chest_parts, round_vessel

SEPTUM = 2.0  # mm at 22 weeks, as the other walls below
ATRIAL_SEPTUM = 1.0
FREE_WALL = (1.9, 1.7)  # left, right ventricle
ATRIAL_WALL = 0.9
ANNULUS_GAP = 0.6  # between the blood pools of an atrium and its ventricle
TRICUSPID_OFFSET = 1.2  # the tricuspid valve inserts nearer the apex

# Ventricle outlines: (share of length from the base, share of width from the septal edge), from the septal corner
# of the annulus over the apex and the free wall back to the annulus. Left: a bullet. Right: a triangle.
_LEFT_VENTRICLE = np.array(
    [
        (0.00, 0.10),
        (0.16, 0.02),
        (0.36, 0.00),
        (0.60, 0.03),
        (0.80, 0.12),
        (0.94, 0.27),
        (1.00, 0.45),
        (0.945, 0.67),
        (0.80, 0.86),
        (0.60, 0.97),
        (0.38, 1.00),
        (0.17, 0.96),
        (0.025, 0.86),
        (-0.012, 0.48),
    ]
)
_RIGHT_VENTRICLE = np.array(
    [
        (0.00, 0.08),
        (0.18, 0.01),
        (0.40, 0.00),
        (0.62, 0.03),
        (0.82, 0.08),
        (0.95, 0.14),
        (1.00, 0.26),
        (0.94, 0.43),
        (0.80, 0.60),
        (0.62, 0.77),
        (0.42, 0.92),
        (0.22, 1.00),
        (0.035, 0.92),
        (-0.012, 0.50),
    ]
)
# Atria: (share of length from the annulus to the roof, share of width from the septum).
_LEFT_ATRIUM = np.array(
    [
        (0.00, 0.22),
        (0.10, 0.05),
        (0.35, 0.00),
        (0.65, 0.03),
        (0.90, 0.20),
        (1.00, 0.50),
        (0.92, 0.80),
        (0.70, 0.97),
        (0.42, 1.00),
        (0.16, 0.92),
        (0.01, 0.72),
        (-0.01, 0.46),
    ]
)
_RIGHT_ATRIUM = np.array(
    [
        (0.00, 0.20),
        (0.10, 0.05),
        (0.35, 0.00),
        (0.68, 0.02),
        (0.93, 0.17),
        (1.00, 0.45),
        (0.94, 0.76),
        (0.74, 0.96),
        (0.45, 1.02),
        (0.18, 0.96),
        (0.01, 0.76),
        (-0.01, 0.48),
    ]
)


@dataclass(frozen=True)
class HeartFrame:
    """Where the heart's own axes lie in the anatomical frame.

    origin  (L, A) mm
    axis    degrees between the septum and the spine-sternum line, toward the fetal left
    """

    origin: np.ndarray
    axis: float

    @property
    def along(self) -> np.ndarray:
        """(2,) unit vector from base to apex."""
        angle = np.deg2rad(self.axis)
        return np.array([np.sin(angle), np.cos(angle)])

    @property
    def across(self) -> np.ndarray:
        """(2,) unit vector to the right and front."""
        angle = np.deg2rad(self.axis)
        return np.array([-np.cos(angle), np.sin(angle)])

    def to_anatomy(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) heart coordinates (s, t) to anatomical (L, A)."""
        points = np.asarray(points, dtype=float)
        return self.origin + points[..., :1] * self.along + points[..., 1:] * self.across

    def from_anatomy(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) anatomical (L, A) to heart coordinates (s, t)."""
        arm = points - self.origin
        return np.stack([arm @ self.along, arm @ self.across], axis=-1)

    def vector(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Displacement along the two axes as anatomical vectors."""
        return s[..., np.newaxis] * self.along + t[..., np.newaxis] * self.across


class Heart:
    """Chambers at end-diastole in heart coordinates, with sizes, valves and motion of one case."""

    def __init__(self, case: PhantomCase) -> None:
        self.case = case
        rng = case.rng("heart")
        k = self.k = case.size_ratio
        self.lv_length, self.lv_width = case.size("LV length"), case.size("LV width")
        self.rv_length, self.rv_width = case.size("RV length"), case.size("RV width")
        healthy = case.healthy()
        # The atrioventricular plane is the heart's fixed landmark: a small ventricle ends short of the apex.
        self.base = -0.215 * healthy.size("LV length")
        self.septum = SEPTUM * k * float(rng.uniform(0.9, 1.1))
        self.offset = TRICUSPID_OFFSET * k * float(rng.uniform(0.85, 1.2))
        self.left_wall = FREE_WALL[0] * k * case.findings.wall_thickness
        self.right_wall = FREE_WALL[1] * k
        half = self.septum / 2
        self.lv = smooth_outline(
            np.stack(
                [self.base + _LEFT_VENTRICLE[:, 0] * self.lv_length, -half - _LEFT_VENTRICLE[:, 1] * self.lv_width],
                axis=1,
            )
        )
        self.rv_base = self.base + self.offset
        self.rv = smooth_outline(
            np.stack(
                [self.rv_base + _RIGHT_VENTRICLE[:, 0] * self.rv_length, half + _RIGHT_VENTRICLE[:, 1] * self.rv_width],
                axis=1,
            )
        )
        # Atria at their smallest; the area follows the left atrium's .34 cm² at 21 weeks (3.7 mm² more at 22).
        stretch = float(rng.uniform(0.94, 1.06))
        self.la_length, self.la_width = 6.9 * k * stretch, 6.6 * k / stretch
        self.ra_length, self.ra_width = 6.7 * k * float(rng.uniform(0.94, 1.06)), 6.6 * k
        edge = ATRIAL_SEPTUM * k / 2
        gap = ANNULUS_GAP * k
        self.la = smooth_outline(
            np.stack(
                [self.base - gap - _LEFT_ATRIUM[:, 0] * self.la_length, -edge - _LEFT_ATRIUM[:, 1] * self.la_width],
                axis=1,
            )
        )
        self.ra = smooth_outline(
            np.stack(
                [
                    self.rv_base - gap - _RIGHT_ATRIUM[:, 0] * (self.ra_length + self.offset),
                    edge + _RIGHT_ATRIUM[:, 1] * self.ra_width,
                ],
                axis=1,
            )
        )
        self.roof = float(min(self.la[:, 0].min(), self.ra[:, 0].min())) - ATRIAL_WALL * k

    def outline(self) -> np.ndarray:
        """Epicardium in heart coordinates."""
        wall = ATRIAL_WALL * self.k
        return wrapped(
            [(self.lv, self.left_wall), (self.rv, self.right_wall), (self.la, wall), (self.ra, wall)],
            rounding=1.3 * self.k,
        )

    def pericardium(self) -> np.ndarray:
        """Outer border of what is labelled as the heart, in heart coordinates."""
        return grown(self.outline(), 0.3 * self.k)

    def mitral(self) -> tuple[float, float]:
        """Septal and lateral hinge (t) of the mitral valve."""
        center = -self.septum / 2 - 0.46 * self.lv_width
        half = min(0.5 * self.case.size("MV"), 0.47 * self.lv_width)
        return center + half, center - half

    def tricuspid(self) -> tuple[float, float]:
        """Septal and lateral hinge (t) of the tricuspid valve."""
        center = self.septum / 2 + 0.46 * self.rv_width
        half = min(0.5 * self.case.size("TV"), 0.47 * self.rv_width)
        return center - half, center + half


def long_axis_mode(frame: HeartFrame, base: float, apex: float, roof: float, half_width: float) -> Mode:
    """Descent of the atrioventricular plane toward a fixed apex: 1 mm at the plane per unit amplitude."""
    profile = PchipInterpolator(
        [roof - 12.0, roof - 4.0, roof, base, base + 0.5 * (apex - base), apex, apex + 4.0, apex + 20.0],
        [0.0, 0.0, 0.12, 1.0, 0.5, 0.02, 0.0, 0.0],
        extrapolate=False,
    )

    def mode(points: np.ndarray) -> np.ndarray:
        local = frame.from_anatomy(points)
        reach = np.abs(local[..., 1]) / half_width
        along = np.nan_to_num(profile(local[..., 0])) * np.exp(-(reach**6) * 0.5)
        return frame.vector(along, np.zeros_like(along))

    return mode


def squeeze_mode(frame: HeartFrame, contour: np.ndarray, toward: float, share_long: float, reach: float = 1.0) -> Mode:
    """Growth (positive) or contraction of a chamber about a centre, fading out across its wall.

    contour     chamber in heart coordinates
    toward      t of the line about which the width changes: nearer the septum, so that the free wall moves most
    share_long  how much of the growth acts along s
    reach       how far the motion carries beyond the chamber
    """
    low, high = contour.min(axis=0), contour.max(axis=0)
    center, semi = (low + high) / 2, (high - low) / 2

    def mode(points: np.ndarray) -> np.ndarray:
        local = frame.from_anatomy(points)
        rho = (((local - center) / (semi * 1.22 * reach)) ** 2).sum(axis=-1)
        window = np.exp(-0.55 * rho**2)
        return frame.vector(share_long * (local[..., 0] - center[0]) * window, (local[..., 1] - toward) * window)

    return mode


class HeartMotion:
    """Amplitudes of a heart's modes over time: prescribed area curves, long-axis shortening, pulse and sway.

    chambers  reference contours in the anatomical frame, ventricles and atria in the order of their squeeze modes
    """

    def __init__(
        self,
        case: PhantomCase,
        chambers: list[tuple[np.ndarray, float]],
        modes: list[Mode],
        long_axis: float,
        vessels: int,
    ) -> None:
        self.cycle = Cycle(case.heart_rate, case.phase)
        self._case = case
        self._areas = AreaTargets([c for c, _ in chambers], modes)
        self._change = np.array([change for _, change in chambers])  # negative shrinks in systole
        self._long_axis = long_axis
        self._vessels = vessels

    def target_areas(self, time: float) -> np.ndarray:
        """(n,) areas of the chambers at ``time``, mm²."""
        contraction = self.cycle.curve("contraction", time)
        filling = self.cycle.curve("atrial_filling", time)
        share = np.where(self._change < 0, contraction, filling)
        return self._areas.reference * (1.0 + self._change * share)

    def __call__(self, time: float) -> np.ndarray:
        """(K,) mode amplitudes at ``time`` seconds."""
        other = np.concatenate(
            [
                [self._long_axis * self.cycle.curve("contraction", time)],
                np.full(self._vessels, self._case.pulsation * self.cycle.curve("pulse", time)),
                [self.cycle.curve("sway", time)],
            ]
        )
        return self._areas.solve(self.target_areas(time), other)


class FourChamberSection(MovingStack):
    """The four-chamber plane: all four chambers, the septum with the crux, lungs, spine and descending aorta."""

    def __init__(self, case: PhantomCase) -> None:
        heart, healthy = Heart(case), Heart(case.healthy())
        heart_area = area(healthy.pericardium())
        body = chest(case, heart_area / case.area_ratio)
        frame = self.frame = place_heart(case, healthy, body)
        self.heart, self.chest = heart, body
        in_body = {name: frame.to_anatomy(getattr(heart, name)) for name in ("lv", "rv", "la", "ra")}
        half = heart.septum / 2
        modes = [
            squeeze_mode(frame, heart.lv, -half - 0.25 * heart.lv_width, 0.15),
            squeeze_mode(frame, heart.rv, half + 0.25 * heart.rv_width, 0.15),
            squeeze_mode(frame, heart.la, float(heart.la[:, 1].mean()), 0.8),
            squeeze_mode(frame, heart.ra, float(heart.ra[:, 1].mean()), 0.8),
            long_axis_mode(
                frame,
                heart.base,
                max(heart.lv[:, 0].max(), heart.rv[:, 0].max()),
                heart.roof,
                1.25 * np.abs(healthy.outline()[:, 1]).max(),
            ),
            dilation(body.aorta[np.newaxis], case.size("DescAo") / 2),
            translation((0.25, -0.2), tuple(frame.origin), 20.0 * case.scale),
        ]
        rise = 1.0 / (1.0 - case.atrial_emptying) - 1.0
        motion = self.motion = HeartMotion(
            case,
            [
                (in_body["lv"], -case.area_change[0]),
                (in_body["rv"], -case.area_change[1]),
                (in_body["la"], rise),
                (in_body["ra"], 0.92 * rise),
            ],
            modes,
            long_axis=case.shortening * min(heart.lv_length, heart.rv_length),
            vessels=1,
        )
        parts = chest_parts(case, body)
        parts += mediastinum(case, body)
        parts += round_vessel("descending aorta", int(Structure.DESCENDING_AORTA), body.aorta, case.size("DescAo"))
        parts += [_carried(part, frame) for part in heart_parts(case, heart, healthy)]
        super().__init__(parts, modes, motion, motion.cycle, body.extent)


def place_heart(case: PhantomCase, healthy: Heart, body: Chest) -> HeartFrame:
    """The heart left of the midline, its front some mm behind the sternum."""
    rng = case.rng("place heart")
    frame = HeartFrame(np.zeros(2), case.axis)
    outline = frame.to_anatomy(healthy.outline())
    left = (0.20 + rng.normal(0.0, 0.02)) * body.half_width
    front = body.front - float(rng.uniform(3.6, 5.6)) * case.scale
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    origin = np.array([left - middle[0], front - outline[:, 1].max()])
    # A long heart would push its apex through the ribs: move it back until 2 mm of lung remain.
    angle = np.arctan2(body.cavity[:, 1], body.cavity[:, 0])
    order = np.argsort(angle)
    reach = np.linalg.norm(body.cavity, axis=1)[order]
    for _ in range(8):
        points = outline + origin
        room = np.interp(np.arctan2(points[:, 1], points[:, 0]), angle[order], reach, period=2 * np.pi)
        short = np.linalg.norm(points, axis=1) + 2.0 * case.scale - room
        worst = int(short.argmax())
        if short[worst] <= 0:
            break
        origin = origin - points[worst] / np.linalg.norm(points[worst]) * short[worst]
    return HeartFrame(origin, case.axis)


def mediastinum(case: PhantomCase, body: Chest) -> list[Part]:
    """Soft tissue between sternum, heart and spine, which keeps the thorax label."""
    k = case.scale
    front = np.array([(-5.5, 0.3), (0.0, -0.4), (6.0, 0.3), (5.0, -5.0), (0.0, -7.0), (-4.5, -5.0)]) * k
    around = body.aorta + np.array([-1.0, -0.2]) * k
    return [
        Part(
            "anterior mediastinum", Tissue.THYMUS, None, smooth_outline(front + np.array([0.5 * k, body.front - 0.6]))
        ),
        Part("posterior mediastinum", Tissue.SOFT_TISSUE, None, ellipse(around, (3.8 * k, 2.6 * k), 15.0)),
    ]


def _carried(part: Part, frame: HeartFrame) -> Part:
    opened = None if part.opened is None else frame.to_anatomy(part.opened)
    return Part(part.name, part.tissue, part.label, frame.to_anatomy(part.contour), opened, part.opening)


def heart_parts(case: PhantomCase, heart: Heart, healthy: Heart) -> list[Part]:
    """The heart of the four-chamber plane in heart coordinates, painted outside in."""
    k, findings = heart.k, case.findings
    ring = int(Structure.WHOLE_HEART)
    outline = heart.outline()
    parts = [
        Part("pericardium", Tissue.VESSEL_WALL, ring, heart.pericardium()),
        Part("myocardium", Tissue.MYOCARDIUM, ring, outline),
        *_pulmonary_veins(case, heart),
        *_orifice("mitral", heart.base, heart.mitral(), k),
        *_orifice("tricuspid", heart.rv_base, heart.tricuspid(), k),
        Part("left atrium", Tissue.BLOOD, int(Structure.LEFT_ATRIUM), heart.la),
        Part("right atrium", Tissue.BLOOD, int(Structure.RIGHT_ATRIUM), heart.ra),
        Part("left ventricle", Tissue.BLOOD, int(Structure.LEFT_VENTRICLE), heart.lv),
        Part("right ventricle", Tissue.BLOOD, int(Structure.RIGHT_VENTRICLE), heart.rv),
        *septal_defect(case, healthy, heart),
        *right_ventricle_muscle(case, heart),
        *papillary_muscles(case, heart),
        *_foramen(heart),
        Part(
            "crux",
            Tissue.VESSEL_WALL,
            None,
            ellipse((heart.base + 0.25 * heart.offset, 0.0), (0.55 * heart.offset + 0.5 * k, 0.42 * heart.septum)),
        ),
    ]
    parts += leaflets("mitral", heart.base, heart.mitral(), findings.mitral_motion, findings.mitral_thickness, k)
    parts += leaflets(
        "tricuspid", heart.rv_base, heart.tricuspid(), findings.tricuspid_motion, findings.tricuspid_thickness, k
    )
    return parts


def _orifice(name: str, base: float, hinges: tuple[float, float], k: float) -> list[Part]:
    """Blood between an atrium and its ventricle; the label there stays that of the whole heart."""
    low, high = min(hinges), max(hinges)
    middle = (low + high) / 2
    outline = ellipse((base - ANNULUS_GAP * k / 2, middle), (1.3 * k, (high - low) / 2), power=5.0)
    return [Part(f"{name} orifice", Tissue.BLOOD, None, outline)]


def leaflets(
    name: str, base: float, hinges: tuple[float, float], motion: float, thickness: float, k: float
) -> list[Part]:
    """Two leaflets from their hinges: closed they meet in the annulus, open they point into the ventricle.

    motion  share of the normal excursion; thickness in mm
    """
    septal, lateral = hinges
    meet = septal + 0.55 * (lateral - septal)
    at = base - 0.1 * k
    parts = []
    for side, hinge in (("septal", septal), ("lateral", lateral)):
        length = abs(meet - hinge)
        toward = np.sign(meet - hinge)
        tip_closed = np.array([at + 0.55 * k, meet + 0.3 * k * toward])
        closed = _curve(np.array([at, hinge]), tip_closed, bulge=-0.3 * k)
        reach = 1.05 * length
        swing = np.deg2rad(12.0 + 66.0 * motion)
        tip_open = np.array([at + reach * np.sin(swing), hinge + toward * reach * np.cos(swing)])
        opened = _curve(np.array([at, hinge]), tip_open, bulge=0.35 * k * motion)
        parts.append(
            Part(
                f"{name} leaflet {side}",
                Tissue.VALVE,
                None,
                strip(closed, thickness * k),
                strip(opened, thickness * k),
                "atrioventricular_valve",
            )
        )
    return parts


def _curve(start: np.ndarray, stop: np.ndarray, bulge: float, count: int = 14) -> np.ndarray:
    """Quadratic curve from ``start`` to ``stop`` whose middle is pushed along +s by ``bulge`` mm."""
    share = np.linspace(0.0, 1.0, count)[:, np.newaxis]
    control = (start + stop) / 2 + np.array([2 * bulge, 0.0])
    return (1 - share) ** 2 * start + 2 * share * (1 - share) * control + share**2 * stop


def septal_defect(case: PhantomCase, healthy: Heart, heart: Heart) -> list[Part]:
    """Blood across the ventricular septum with bright edges; chambers are traced along it, so no label moves."""
    gap = case.findings.vsd_gap
    if gap <= 0:
        return []
    s = healthy.base + case.findings.vsd_position * healthy.lv_length
    reach = heart.septum / 2 + 0.14 * max(heart.lv_width, heart.rv_width)
    line = np.stack([np.full(24, s), np.linspace(-reach, reach, 24)], axis=1)
    parts = [Part("septal defect", Tissue.BLOOD, None, tube(line, np.full(24, gap)))]
    for side in (-1, 1):
        edge = ellipse((s + side * (gap / 2 + 0.15), 0.0), (0.28 * heart.k, 0.48 * heart.septum))
        parts.append(Part(f"septal defect edge {'apical' if side > 0 else 'basal'}", Tissue.VALVE, None, edge))
    return parts


def right_ventricle_muscle(case: PhantomCase, heart: Heart) -> list[Part]:
    """Moderator band and trabeculae: muscle inside the right ventricle, which keeps its label."""
    rng = case.rng("trabeculae")
    half, length, width = heart.septum / 2, heart.rv_length, heart.rv_width

    def at(x: float, y: float) -> tuple[float, float]:
        return heart.rv_base + x * length, half + y * width

    start, stop = rng.uniform(0.62, 0.68), rng.uniform(0.70, 0.78)
    line = smooth_line(np.array([at(start, -0.02), at(0.5 * (start + stop) + 0.02, 0.3), at(stop, 0.72)]), 0.2)
    parts = [Part("moderator band", Tissue.MYOCARDIUM, None, band(line, rng.uniform(0.9, 1.3) * heart.k, 0.15))]
    for number in range(5):
        x = rng.uniform(0.76, 0.95)
        free = 0.60 - 2.0 * (x - 0.80)
        y = rng.uniform(0.10, max(free, 0.2))
        blob = ellipse(
            at(x, y), (rng.uniform(0.5, 1.1) * heart.k, rng.uniform(0.25, 0.45) * heart.k), rng.uniform(-30, 30)
        )
        parts.append(Part(f"trabecula {number + 1}", Tissue.MYOCARDIUM, None, blob))
    return parts


def papillary_muscles(case: PhantomCase, heart: Heart) -> list[Part]:
    """Left ventricular papillary muscle at the free wall, sometimes with an echogenic focus."""
    rng = case.rng("papillary")
    half = heart.septum / 2
    s = heart.base + rng.uniform(0.50, 0.62) * heart.lv_length
    t = -half - 0.80 * heart.lv_width
    muscle = ellipse((s, t), (0.15 * heart.lv_length, 0.09 * heart.lv_width), rng.uniform(2.0, 10.0))
    parts = [Part("papillary muscle", Tissue.MYOCARDIUM, None, muscle)]
    if rng.random() < 0.12:
        spot = ellipse(
            (s - 0.08 * heart.lv_length, t + 0.04 * heart.lv_width), (0.6 * heart.k, 0.45 * heart.k), step=0.1
        )
        parts.append(Part("echogenic focus", Tissue.VALVE, None, spot))
    return parts


def _foramen(heart: Heart) -> list[Part]:
    """Oval foramen in the atrial septum and its flap, which blows into the left atrium."""
    k = heart.k
    edge = ATRIAL_SEPTUM * k / 2
    top = heart.base - 0.30 * heart.la_length
    bottom = heart.base - 0.72 * heart.la_length
    middle = np.stack([np.linspace(top, bottom, 16), np.zeros(16)], axis=1)
    gap = tube(middle, np.full(16, 2 * edge + 0.9 * k), step=0.15)
    share = np.linspace(0.0, 1.0, 14)
    s = top + 0.25 * k + (bottom - 0.3 * k - top) * share
    bow = np.sin(np.pi * share)
    slack, full = (np.stack([s, -edge - depth * k * bow], axis=1) for depth in (0.7, 1.9))
    return [
        Part("oval foramen", Tissue.BLOOD, None, gap),
        Part("foramen flap", Tissue.VALVE, None, strip(slack, 0.4 * k), strip(full, 0.4 * k), "foramen_flap"),
    ]


def _pulmonary_veins(case: PhantomCase, heart: Heart) -> list[Part]:
    """Stubs of two pulmonary veins into the back of the left atrium; outside the atrium they carry no label."""
    rng = case.rng("pulmonary veins")
    k = heart.k
    low, high = heart.la.min(axis=0), heart.la.max(axis=0)
    center = (low + high) / 2
    parts = []
    for name, angle in (("left", rng.uniform(-62.0, -42.0)), ("right", rng.uniform(5.0, 25.0))):
        turn = np.deg2rad(angle)
        direction = np.array([-np.cos(turn), np.sin(turn)])
        start = center + 0.55 * np.array([(high - low)[0] / 2, (high - low)[1] / 2]) * direction
        stop = center + direction * ((high - low).mean() / 2 + rng.uniform(2.6, 4.0) * k)
        line = resample(np.stack([start, stop]), 0.3, closed=False)
        widths = np.linspace(1.7, 1.2, len(line)) * k
        parts += [
            Part(f"pulmonary vein {name} wall", Tissue.VESSEL_WALL, None, tube(line, widths + 0.6 * k)),
            Part(f"pulmonary vein {name}", Tissue.BLOOD, None, tube(line, widths)),
        ]
    return parts
