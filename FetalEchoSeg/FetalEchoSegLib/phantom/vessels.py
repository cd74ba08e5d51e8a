"""The three-vessel and trachea plane: pulmonary trunk with duct, aortic arch, superior vena cava, trachea, thymus."""

from __future__ import annotations

import numpy as np

from ..anatomy import Condition, Structure
from .cases import PhantomCase
from .contours import ellipse, resample, smooth_line, wrapped
from .motion import Mode, MovingStack, Part, dilation, translation
from .outflow import VesselMotion, thymus, unlabelled_chest, upper_chest
from .section import Tissue
from .thorax import round_vessel, vessel

TRACHEA = 2.0  # mm across the lumen at 22 weeks
TRANSVERSE_ARCH = 0.92  # share of the ascending aorta's diameter


class ThreeVesselTracheaSection(MovingStack):
    """Duct and arch meet in a V left of the spine; the trachea lies right of it, the vena cava right of the arch.

    With a right arch the trachea lies between the vessels: a U around it, or a V right of it with a right duct.
    """

    def __init__(self, case: PhantomCase) -> None:
        body = self.chest = upper_chest(case)
        k, rng = case.scale, case.rng("vessel course")
        sizes = {name: case.size(name) for name in ("MPA", "duct", "AscAo", "isthmus", "SVC")}
        shift = np.array([0.4, body.front / k - 20.0]) + rng.normal(0.0, 0.5, 2)
        back = body.spine[1] / k + 5.6  # the vessels meet in front of the spine, whatever the depth of the chest
        right_arch = Condition.RIGHT_AORTIC_ARCH in case.conditions
        right_duct = right_arch and case.findings.raa_with_right_duct

        def at(left: float, front: float, freedom: float = 0.25) -> np.ndarray:
            # A from the usual +8 (front of the trunk) to -12 (meeting point), stretched to this chest.
            depth = np.interp(front, [-12.0, 8.0], [back, 8.0 + shift[1]])
            return k * np.array([left + shift[0] + rng.normal(0, freedom), depth + rng.normal(0, freedom)])

        # Every point is drawn in health too, so that a condition never reshuffles the others.
        trunk_points = np.array([at(3.1, 8.0), at(3.9, 1.0), at(4.2, -6.0), at(4.0, -12.2, 0.1)])
        arch_points = np.array([at(-3.9, 5.6), at(-2.9, 0.0), at(-0.2, -6.4), at(2.8, -12.2, 0.1)])
        cava, airway = at(-8.2, 1.6), at(-3.4, -8.6)
        around = np.array([at(-4.0, 1.0), at(-5.3, -4.0), at(-5.8, -9.2), at(-2.4, -12.6), at(2.6, -12.8)])
        airway_between, right_meeting = at(-0.9, -7.2), at(-4.6, -12.2)
        if right_duct:
            trunk_points = np.array(
                [trunk_points[0], at(1.4, 2.0), at(-2.0, -6.0), right_meeting + np.array([0.7 * k, 0])]
            )
            arch_points = np.array([arch_points[0], around[0], around[1], right_meeting])
            airway = at(1.6, -8.6)
        elif right_arch:
            arch_points = np.vstack([arch_points[:1], around])
            airway = airway_between

        trunk, arch = smooth_line(trunk_points, 0.2), smooth_line(arch_points, 0.2)
        trunk_width = np.interp(
            np.linspace(0, 1, len(trunk)),
            [0.0, 0.4, 0.75, 1.0],
            [sizes["MPA"], 0.97 * sizes["MPA"], sizes["duct"], sizes["duct"]],
        )
        transverse = TRANSVERSE_ARCH * sizes["AscAo"]
        isthmus = min(sizes["isthmus"], transverse)
        arch_width = np.interp(
            np.linspace(0, 1, len(arch)), [0.0, 0.45, 0.85, 1.0], [transverse, 0.97 * transverse, isthmus, isthmus]
        )

        parts = unlabelled_chest(case, body)
        parts.append(self._mediastinum(case, [trunk, arch], [cava, airway]))
        parts.append(thymus(case, body, float(trunk_points[0, 1]) - 0.4 * k))
        trunk_wall, trunk_lumen = vessel(
            "main pulmonary artery",
            int(Structure.MAIN_PULMONARY_ARTERY),
            trunk,
            trunk_width,
            round_start=True,
            round_end=True,
        )
        arch_wall, arch_lumen = vessel(
            "aortic arch", int(Structure.AORTIC_ARCH), arch, arch_width, round_start=True, round_end=True
        )
        parts += [trunk_wall, trunk_lumen, arch_wall, arch_lumen]
        parts += round_vessel(
            "superior vena cava",
            int(Structure.SUPERIOR_VENA_CAVA),
            cava,
            sizes["SVC"],
            stretch=float(case.rng("cava").uniform(1.0, 1.3)),
            angle=float(case.rng("cava").uniform(0, 180)),
        )
        bore = TRACHEA * k * float(np.exp(case.rng("trachea").normal(0.0, 0.06)))
        parts += [
            Part(
                "trachea wall",
                Tissue.AIRWAY_WALL,
                int(Structure.TRACHEA),
                ellipse(airway, (bore / 2 + 0.4 * k,) * 2, step=0.15),
            ),
            Part("trachea", Tissue.AIRWAY_LUMEN, int(Structure.TRACHEA), ellipse(airway, (bore / 2,) * 2, step=0.15)),
        ]
        modes: list[Mode] = [
            dilation(trunk[::4], sizes["MPA"] / 2),
            dilation(arch[::4], transverse / 2),
            translation((0.2, 0.3), (0.0, float(trunk[:, 1].mean())), 12.0 * k),
        ]
        motion = VesselMotion(case, vessels=2)
        super().__init__(parts, modes, motion, motion.cycle, body.extent)

    @staticmethod
    def _mediastinum(case: PhantomCase, lines: list[np.ndarray], points: list[np.ndarray]) -> Part:
        margin = 2.6 * case.scale
        outlines = [(resample(line, 0.5, closed=False), margin) for line in lines]
        outlines += [(np.repeat(point[np.newaxis], 2, axis=0), margin) for point in points]
        return Part("mediastinum", Tissue.SOFT_TISSUE, 0, wrapped(outlines, 1.5 * case.scale))
