"""The two outflow planes: the left ventricle into the aorta, and the pulmonary trunk into its branches.

Both are drawn with all their anatomy, but only the structures FETUS permits in the view carry a label.
"""

from __future__ import annotations

import numpy as np

from ..anatomy import Condition, Structure
from .cases import PhantomCase
from .contours import area, ellipse, grown, resample, smooth_line, smooth_outline, strip, tube, wrapped
from .four_chamber import (
    ATRIAL_WALL,
    Heart,
    HeartMotion,
    _carried,
    _curve,
    _orifice,
    leaflets,
    long_axis_mode,
    mediastinum,
    papillary_muscles,
    place_heart,
    right_ventricle_muscle,
    septal_defect,
    squeeze_mode,
)
from .motion import Cycle, Mode, MovingStack, Part, dilation, translation
from .section import Tissue
from .thorax import Chest, chest, chest_parts, round_vessel, vessel


def unlabelled_chest(case: PhantomCase, body: Chest) -> list[Part]:
    """The chest without the thorax label, for views whose masks have no thorax."""
    return [
        Part(p.name, p.tissue, None if p.label is None else 0, p.contour, p.opened, p.opening)
        for p in chest_parts(case, body)
    ]


def semilunar_leaflets(
    name: str, center: np.ndarray, flow: np.ndarray, diameter: float, motion: float, thickness: float, doming: float
) -> list[Part]:
    """Two cusps of a valve across a vessel: closed they meet in the middle, open they lie along the wall.

    flow    direction of blood; motion 1 opens fully, small values stop half-way
    doming  mm the closed and half-open cusps bulge downstream
    """
    flow = flow / np.linalg.norm(flow)
    across = np.array([-flow[1], flow[0]])
    turn = np.stack([flow, across], axis=1)
    half = diameter / 2
    parts = []
    for side in (-1.0, 1.0):
        hinge = np.array([0.0, side * half])
        closed = _curve(hinge, np.array([0.30 * half + doming, -0.08 * side * half]), bulge=-0.12 * half + doming / 2)
        gap = 0.80 * motion * half
        opened = _curve(hinge, np.array([0.95 * half, side * gap]), bulge=0.10 * half + doming / 2)
        parts.append(
            Part(
                f"{name} cusp {'left' if side > 0 else 'right'}",
                Tissue.VALVE,
                None,
                strip(center + closed @ turn.T, thickness),
                strip(center + opened @ turn.T, thickness),
                "semilunar_valve",
            )
        )
    return parts


class LeftOutflowSection(MovingStack):
    """The long axis of the left ventricle with the aorta leaving it, septum in front and mitral valve behind."""

    def __init__(self, case: PhantomCase) -> None:
        heart, healthy = Heart(case), Heart(case.healthy())
        body = chest(case, area(healthy.pericardium()) / case.area_ratio)
        frame = place_heart(case, healthy, body)
        self.heart, self.chest, self.frame = heart, body, frame
        k = heart.k
        ascending, annulus = case.size("AscAo"), case.size("AoV")
        # The root lies on the septal half of the left ventricle's base and crosses to the right and front. Its
        # course belongs to the fetus, not to its width: it is laid out for the healthy diameter.
        root = np.array([heart.base, -0.30 * heart.septum - 0.30 * healthy.lv_width])
        bend = case.rng("aortic course").normal(0.0, 0.25 * k, 2)
        course = smooth_line(
            np.array(
                [
                    root,
                    root + np.array([-2.6, 0.7]) * k,
                    root + np.array([-6.0, 2.4]) * k + bend,
                    root + np.array([-9.6, 5.2]) * k + 1.5 * bend,
                ]
            ),
            0.2,
        )
        lumen = self._aortic_widths(course, annulus, ascending, case, k)
        la = smooth_outline(self._left_atrium(heart, healthy))
        rv = self._right_ventricle(heart)
        wall = ATRIAL_WALL * k
        appendage = ellipse(
            (heart.base - 3.6 * k, 0.5 * heart.septum + 0.62 * healthy.rv_width), (1.9 * k, 1.5 * k), 30.0
        )
        outline = wrapped(
            [
                (appendage, wall),
                (heart.lv, heart.left_wall),
                (rv, heart.right_wall),
                (la, wall),
                (course[: len(course) // 2], 0.5 * annulus + wall),
            ],
            1.2 * k,
        )
        in_body = [frame.to_anatomy(c) for c in (heart.lv, rv, la)]
        half = heart.septum / 2
        modes: list[Mode] = [
            squeeze_mode(frame, heart.lv, -half - 0.25 * heart.lv_width, 0.15),
            squeeze_mode(frame, rv, half + 0.25 * heart.rv_width, 0.15),
            squeeze_mode(frame, la, float(la[:, 1].min() * 0.6 + la[:, 1].max() * 0.4), 0.8, reach=0.9),
            long_axis_mode(
                frame,
                heart.base,
                max(heart.lv[:, 0].max(), rv[:, 0].max()),
                heart.roof,
                1.25 * np.abs(outline[:, 1]).max(),
            ),
            dilation(frame.to_anatomy(course[::4]), ascending / 2),
            dilation(body.aorta[np.newaxis], case.size("DescAo") / 2),
            translation((0.25, -0.2), tuple(frame.origin), 20.0 * case.scale),
        ]
        rise = 1.0 / (1.0 - case.atrial_emptying) - 1.0
        motion = self.motion = HeartMotion(
            case,
            list(zip(in_body, (-case.area_change[0], -case.area_change[1], 0.85 * rise), strict=True)),
            modes,
            long_axis=case.shortening * min(heart.lv_length, heart.rv_length),
            vessels=2,
        )
        findings = case.findings
        septal, lateral = self._mitral(heart, healthy, case)
        local = [
            Part("pericardium", Tissue.VESSEL_WALL, 0, grown(outline, 0.3 * k)),
            Part("myocardium", Tissue.MYOCARDIUM, 0, outline),
            Part("right atrial appendage", Tissue.BLOOD, None, appendage),
            *_orifice("mitral", heart.base, (septal, lateral), k),
            Part("left atrium", Tissue.BLOOD, int(Structure.LEFT_ATRIUM), la),
            Part("left ventricle", Tissue.BLOOD, int(Structure.LEFT_VENTRICLE), heart.lv),
            Part("right ventricle", Tissue.BLOOD, int(Structure.RIGHT_VENTRICLE), rv),
            Part("aorta wall", Tissue.VESSEL_WALL, 0, tube(course, lumen + 0.8, round_end=False)),
            Part(
                "outflow",
                Tissue.BLOOD,
                int(Structure.LEFT_VENTRICLE),
                tube(
                    np.stack(
                        [np.linspace(heart.base + 1.8 * k, heart.base - 0.2 * k, 12), np.full(12, root[1])], axis=1
                    ),
                    np.full(12, 0.95 * annulus),
                ),
            ),
            Part("ascending aorta", Tissue.BLOOD, int(Structure.ASCENDING_AORTA), tube(course, lumen)),
            *septal_defect(case, healthy, heart),
            *right_ventricle_muscle(case, heart),
            *papillary_muscles(case, heart),
            *leaflets("mitral", heart.base, (septal, lateral), findings.mitral_motion, findings.mitral_thickness, k),
            *semilunar_leaflets(
                "aortic",
                course[2],
                course[6] - course[0],
                annulus,
                findings.aortic_motion,
                findings.aortic_thickness * k,
                0.5 * k if findings.aortic_thickness > 0.6 else 0.0,
            ),
        ]
        parts = unlabelled_chest(case, body) + mediastinum(case, body)
        parts += round_vessel("descending aorta", 0, body.aorta, case.size("DescAo"))
        parts += [_carried(part, frame) for part in local]
        super().__init__(parts, modes, motion, motion.cycle, body.extent)

    @staticmethod
    def _aortic_widths(course: np.ndarray, annulus: float, ascending: float, case: PhantomCase, k: float) -> np.ndarray:
        """Diameter along the aorta: annulus, sinuses, then the ascending aorta."""
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(course, axis=0), axis=1))]) / k
        sinus = 1.07 * max(annulus, ascending)
        return np.interp(along, [0.0, 0.5, 1.6, 3.2, 20.0], [annulus, annulus, sinus, ascending, ascending])

    @staticmethod
    def _mitral(heart: Heart, healthy: Heart, case: PhantomCase) -> tuple[float, float]:
        """Hinges behind the aortic root: the front leaflet hangs from the wall it shares with the aorta."""
        septal = -0.30 * heart.septum - 0.30 * healthy.lv_width - 0.5 * healthy.case.size("AoV")
        lateral = -heart.septum / 2 - 0.93 * heart.lv_width
        return septal, min(lateral, septal - 1.6 * heart.k)

    @staticmethod
    def _left_atrium(heart: Heart, healthy: Heart) -> np.ndarray:
        """Left atrium behind the aortic root, (K, 2) control points in heart coordinates."""
        k, gap = heart.k, 0.6 * heart.k
        front = -0.30 * heart.septum - 0.30 * healthy.lv_width - 0.5 * healthy.case.size("AoV") - 0.9 * k
        shape = np.array(
            [
                (0.0, 0.25),
                (0.12, 0.06),
                (0.38, -0.04),
                (0.66, -0.12),
                (0.92, 0.10),
                (1.0, 0.45),
                (0.92, 0.78),
                (0.70, 0.96),
                (0.42, 1.0),
                (0.16, 0.92),
                (0.01, 0.72),
                (-0.01, 0.46),
            ]
        )
        return np.stack(
            [heart.base - gap - shape[:, 0] * 0.98 * heart.la_length, front - shape[:, 1] * 0.92 * heart.la_width],
            axis=1,
        )

    @staticmethod
    def _right_ventricle(heart: Heart) -> np.ndarray:
        """The right ventricle in front of the septum, its outflow side rounded: no tricuspid valve in this plane."""
        shape = np.array(
            [
                (-0.04, 0.20),
                (0.04, 0.03),
                (0.30, 0.00),
                (0.60, 0.02),
                (0.82, 0.08),
                (0.95, 0.14),
                (1.00, 0.26),
                (0.94, 0.43),
                (0.80, 0.60),
                (0.62, 0.78),
                (0.40, 0.95),
                (0.18, 1.00),
                (0.00, 0.84),
                (-0.07, 0.50),
            ]
        )
        return smooth_outline(
            np.stack(
                [heart.rv_base + shape[:, 0] * heart.rv_length, heart.septum / 2 + shape[:, 1] * heart.rv_width], axis=1
            )
        )


def upper_chest(case: PhantomCase) -> Chest:
    """The chest at the level of the great vessels, a little smaller than at the four chambers."""
    size = float(np.exp(np.clip(case.rng("upper chest").normal(0.0, 0.05), -0.1, 0.1)))
    return chest(case, 1600.0 * case.scale**2 * size)


class VesselMotion:
    """Amplitudes of planes without chambers: one pulse for every vessel, then the sway of the mediastinum."""

    def __init__(self, case: PhantomCase, vessels: int) -> None:
        self.cycle = Cycle(case.heart_rate, case.phase)
        self._case, self._vessels = case, vessels

    def __call__(self, time: float) -> np.ndarray:
        """(K,) mode amplitudes at ``time`` seconds."""
        pulse = self._case.pulsation * self.cycle.curve("pulse", time)
        return np.concatenate([np.full(self._vessels, pulse), [self.cycle.curve("sway", time)]])


def thymus(case: PhantomCase, body: Chest, behind: float) -> Part:
    """Thymus between sternum and vessels, from the front of the cavity to A = ``behind`` mm; no label in any view."""
    rng = case.rng("thymus")
    k, width = case.scale, float(rng.uniform(8.0, 9.5))
    top = body.front - 0.6 * k
    shape = np.array(
        [
            (-0.75, -0.10),
            (-0.3, 0.0),
            (0.3, 0.0),
            (0.75, -0.10),
            (1.0, -0.55),
            (0.85, -0.95),
            (0.4, -1.0),
            (0.0, -0.9),
            (-0.45, -1.0),
            (-0.9, -0.92),
            (-1.0, -0.50),
        ]
    )
    points = np.stack([shape[:, 0] * width * k, top + shape[:, 1] * (top - behind)], axis=1)
    return Part("thymus", Tissue.THYMUS, None, smooth_outline(points + rng.normal(0, 0.15 * k, points.shape)))


class PulmonaryBifurcationSection(MovingStack):
    """The right outflow plane of FETUS: pulmonary trunk and branches around aorta and superior vena cava."""

    def __init__(self, case: PhantomCase) -> None:
        body = self.chest = upper_chest(case)
        k, rng, findings = case.scale, case.rng("vessel course"), case.findings
        sizes = {name: case.size(name) for name in ("AscAo", "MPA", "LPA", "RPA", "DescAo", "SVC", "PV")}
        normal = {name: case.healthy().size(name) for name in ("AscAo", "MPA", "RPA")}
        shift = np.array([1.0, body.front / k - 20.0]) + rng.normal(0.0, 0.5, 2)

        def at(left: float, front: float, freedom: float = 0.25) -> np.ndarray:
            return k * (np.array([left, front]) + shift + rng.normal(0.0, freedom, 2))

        pulmonary_valve, trunk_end = at(3.2, 8.4), at(4.6, -2.4)
        knee = at(4.6, 3.0)
        trunk = smooth_line(np.array([pulmonary_valve, knee, trunk_end]), 0.2)
        # The right branch passes behind the aorta and the superior vena cava.
        aorta = at(-0.6, 3.2)
        cava = at(-5.6, 1.2)
        behind = aorta[1] - 0.5 * normal["AscAo"] - 0.5 * normal["RPA"] - 1.1 * k
        right = smooth_line(
            np.array(
                [
                    trunk_end + np.array([0.2, 0.7]) * k,
                    [aorta[0] + 1.2 * k, behind + 0.1 * k],
                    [cava[0] + 0.4 * k, min(behind, cava[1] - 2.4 * k)],
                    at(-10.0, -4.6),
                ]
            ),
            0.2,
        )
        left = smooth_line(np.array([trunk_end + np.array([-0.1, 0.6]) * k, at(7.2, -5.4), at(10.2, -8.4)]), 0.2)
        trunk_width = np.interp(
            np.linspace(0, 1, len(trunk)), [0.0, 0.12, 0.3, 1.0], [sizes["PV"], sizes["PV"], sizes["MPA"], sizes["MPA"]]
        )

        labels = {s: int(s) for s in Structure}
        double_outlet = Condition.DORV in case.conditions
        parts = unlabelled_chest(case, body)
        parts.append(
            self._pleural_space(case, [trunk, right, left, aorta[np.newaxis], cava[np.newaxis], body.aorta[np.newaxis]])
        )
        parts.append(thymus(case, body, pulmonary_valve[1] + 2.2 * k))
        parts += self._outflow(case, pulmonary_valve, trunk, normal["MPA"], aorta, double_outlet)
        parts += round_vessel("descending aorta", labels[Structure.DESCENDING_AORTA], body.aorta, sizes["DescAo"])
        branches: list[tuple[str, Structure, np.ndarray, np.ndarray | float]] = [
            ("right pulmonary artery", Structure.RIGHT_PULMONARY_ARTERY, right, sizes["RPA"]),
            ("left pulmonary artery", Structure.LEFT_PULMONARY_ARTERY, left, sizes["LPA"]),
            ("main pulmonary artery", Structure.MAIN_PULMONARY_ARTERY, trunk, trunk_width),
        ]
        walls, lumens = [], []
        for name, structure, line, width in branches:
            round_end = structure is Structure.MAIN_PULMONARY_ARTERY
            wall, lumen = vessel(name, labels[structure], line, width, round_end=round_end)
            walls.append(wall)
            lumens.append(lumen)
        parts += walls + lumens  # all walls first: blood is continuous through the bifurcation
        parts += round_vessel(
            "superior vena cava",
            labels[Structure.SUPERIOR_VENA_CAVA],
            cava,
            sizes["SVC"],
            stretch=float(rng.uniform(1.0, 1.25)),
            angle=float(rng.uniform(0, 180)),
        )
        oval = float(rng.uniform(1.0, 1.12))
        if double_outlet:
            course = self._parallel_aorta(aorta, pulmonary_valve, trunk, normal, k)
            parts += vessel(
                "ascending aorta", labels[Structure.ASCENDING_AORTA], course, sizes["AscAo"], round_end=True
            )
            parts += semilunar_leaflets("aortic", course[4], course[8] - course[0], sizes["AscAo"], 1.0, 0.4 * k, 0.0)
        else:
            course = aorta[np.newaxis]
            parts += round_vessel(
                "ascending aorta", labels[Structure.ASCENDING_AORTA], aorta, sizes["AscAo"], stretch=oval
            )
        parts += semilunar_leaflets(
            "pulmonary",
            trunk[3],
            trunk[8] - trunk[0],
            sizes["PV"],
            findings.pulmonary_motion,
            findings.pulmonary_thickness * k,
            0.6 * k if findings.pulmonary_thickness > 0.6 else 0.0,
        )
        modes: list[Mode] = [
            dilation(trunk[::4], sizes["MPA"] / 2),
            dilation(course[::4], sizes["AscAo"] / 2),
            dilation(body.aorta[np.newaxis], sizes["DescAo"] / 2),
            translation((0.25, 0.35), tuple(aorta), 13.0 * k),
        ]
        motion = VesselMotion(case, vessels=3)
        super().__init__(parts, modes, motion, motion.cycle, body.extent)

    @staticmethod
    def _pleural_space(case: PhantomCase, lines: list[np.ndarray]) -> Part:
        """Mediastinal connective tissue around the vessels, between the lungs."""
        margin = 1.3 * case.scale
        return Part(
            "mediastinum",
            Tissue.SOFT_TISSUE,
            0,
            wrapped(
                [
                    (
                        resample(line, 0.5, closed=False) if len(line) > 1 else np.repeat(line, 2, axis=0),
                        2.0 * case.scale + margin,
                    )
                    for line in lines[:2] + lines[3:]
                ],
                2.0 * case.scale,
            ),
        )

    @staticmethod
    def _outflow(
        case: PhantomCase, valve: np.ndarray, trunk: np.ndarray, width: float, aorta: np.ndarray, double_outlet: bool
    ) -> list[Part]:
        """The muscular outflow of the right ventricle in front of the valve, shared by both vessels in DORV."""
        k = case.scale
        flow = trunk[6] - trunk[0]
        flow = flow / np.linalg.norm(flow)
        center = valve - 1.9 * k * flow
        reach = 0.5 * width
        if double_outlet:
            center = center + np.array([0.5 * (aorta[0] - valve[0]) - 0.3 * k, 0.0])
            reach = 0.5 * abs(valve[0] - aorta[0]) + 0.62 * width
        return [
            Part("infundibulum wall", Tissue.MYOCARDIUM, 0, ellipse(center, (reach + 1.5 * k, 3.2 * k), power=2.5)),
            Part("infundibulum", Tissue.BLOOD, 0, ellipse(center, (reach, 2.0 * k), power=2.5)),
        ]

    @staticmethod
    def _parallel_aorta(
        aorta: np.ndarray, valve: np.ndarray, trunk: np.ndarray, normal: dict[str, float], k: float
    ) -> np.ndarray:
        """Double outlet: the aorta leaves the same ventricle, right of the pulmonary trunk and parallel to it."""
        apart = 0.5 * normal["AscAo"] + 0.5 * normal["MPA"] + 1.0 * k
        start = valve + np.array([-apart - 0.3 * k, 0.3 * k])
        stop = np.array([min(aorta[0], start[0] + 0.3 * k), aorta[1] - 0.4 * k])
        return smooth_line(np.array([start, (start + stop) / 2 + np.array([0.25 * k, 0.0]), stop]), 0.2)
