"""Measures of the great vessels: diameters, the ratio of aorta and pulmonary artery, the side of the trachea."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..anatomy import N_LABELS, Structure, View
from ..errors import NotMeasurable
from .geometry import Course, Region, course, diameter, region

# Part of a vessel's course, from its front end, over which its width is taken in the three-vessel and trachea view:
# behind it the pulmonary trunk narrows into the duct, the arch into the isthmus.
PROXIMAL = (0.10, 0.40)
ISTHMUS = (0.80, 0.95)
TOUCHING = 0.2  # share of a round vessel's outline that may touch another structure


def vessel_region(
    labels: np.ndarray, vessel: Structure, spacing: tuple[float, float], visible: np.ndarray | None = None
) -> Region:
    """A vessel in one frame; NotMeasurable as `geometry.region`."""
    return region(labels, (vessel,), vessel.info.title.lower(), spacing, visible)


def _require_uncovered(labels: np.ndarray, vessel: Region) -> None:
    """NotMeasurable when another structure hides part of a vessel that is cut across: its area is then too small.

    The thorax around the descending aorta hides nothing.
    """
    rows, columns = vessel.mask.shape
    top, left = vessel.offset
    padded = np.pad(labels, 1)[top + 1 : top + 1 + rows, left + 1 : left + 1 + columns]
    around = ndimage.binary_dilation(vessel.mask) & ~vessel.mask
    beside = padded[around]
    touching = beside[(beside != 0) & (beside != Structure.THORAX) & (beside < N_LABELS)]
    if len(touching) > TOUCHING * len(beside):
        other = Structure(int(np.bincount(touching).argmax()))
        raise NotMeasurable(f"the {vessel.name} is partly covered by the {other.info.title.lower()}")


def vessel_diameter(
    labels: np.ndarray,
    vessel: Structure,
    view: View,
    spacing: tuple[float, float],
    visible: np.ndarray | None = None,
) -> float:
    """Inner diameter of a vessel in mm, with sub-pixel resolution.

    labels (H, W) uint8. Cut across: of the circle of equal area. Cut along: median width perpendicular to the
    centre-line, in the three-vessel and trachea view over the front part of trunk and arch (`PROXIMAL`).
    Raises NotMeasurable when the vessel is missing, in pieces or cut by the picture's edge.
    Source: inner edge to inner edge as in Schneider 2005.
    """
    found = vessel_region(labels, vessel, spacing, visible)
    if view is View.THREE_VESSEL_TRACHEA and vessel in _MEETING:
        try:
            along = course_from_front(labels, vessel, spacing, visible)
        except NotMeasurable:
            return diameter(found)
        width = along.width(*PROXIMAL)
        return width if np.isfinite(width) else along.width()
    if vessel in _CUT_ACROSS.get(view, ()):
        _require_uncovered(labels, found)
    return diameter(found)


def isthmus_diameter(labels: np.ndarray, spacing: tuple[float, float], visible: np.ndarray | None = None) -> float:
    """Width in mm of the aortic arch shortly before it meets the duct (three-vessel and trachea view).

    Source: Krishnan 2016 (isthmus).
    """
    width = course_from_front(labels, Structure.AORTIC_ARCH, spacing, visible).width(*ISTHMUS)
    if not np.isfinite(width):
        raise NotMeasurable("the aortic arch is too short to show the isthmus")
    return width


# Vessels that the plane cuts across and that touch no other structure in health.
_CUT_ACROSS = {
    View.FOUR_CHAMBER: (Structure.DESCENDING_AORTA,),
    View.RVOT: (Structure.ASCENDING_AORTA, Structure.DESCENDING_AORTA, Structure.SUPERIOR_VENA_CAVA),
    View.THREE_VESSEL_TRACHEA: (Structure.SUPERIOR_VENA_CAVA,),
}
_MEETING = {
    Structure.MAIN_PULMONARY_ARTERY: Structure.AORTIC_ARCH,
    Structure.AORTIC_ARCH: Structure.MAIN_PULMONARY_ARTERY,
}


def course_from_front(
    labels: np.ndarray, vessel: Structure, spacing: tuple[float, float], visible: np.ndarray | None = None
) -> Course:
    """Centre-line of the pulmonary trunk or the arch from its front end to where the two meet, with widths.

    Trunk with duct and arch meet in front of the spine, so the front end is the one farther from the other vessel.
    Raises NotMeasurable when either vessel is missing.
    """
    path = course(vessel_region(labels, vessel, spacing, visible))
    other = vessel_region(labels, _MEETING[vessel], spacing, None).points
    away = [np.linalg.norm(other - end, axis=1).min() for end in (path.line[0], path.line[-1])]
    return path if away[0] >= away[1] else path.reversed()


def aorta_to_pulmonary_ratio(
    labels: np.ndarray, view: View, spacing: tuple[float, float], visible: np.ndarray | None = None
) -> float:
    """Diameter of the aorta over that of the main pulmonary artery.

    The ascending aorta in the RVOT view, the transverse arch in the three-vessel and trachea view.
    Source: 0.7 to 1.2; below, coarctation; above, Fallot (10.1007/s40556-021-00328-0).
    """
    aorta = Structure.AORTIC_ARCH if view is View.THREE_VESSEL_TRACHEA else Structure.ASCENDING_AORTA
    return vessel_diameter(labels, aorta, view, spacing, visible) / vessel_diameter(
        labels, Structure.MAIN_PULMONARY_ARTERY, view, spacing, visible
    )


def trachea_side_index(labels: np.ndarray, spacing: tuple[float, float], visible: np.ndarray | None = None) -> float:
    """Place of the trachea on the line from the arch (0) to the pulmonary trunk and duct (1), at its own level.

    labels (H, W) uint8 of a three-vessel and trachea view. Below 0 it lies right of both: a left arch. From 0 to 1
    it lies between them: a right arch ("U"). Above 1 it lies left of both: a right arch with a right duct.
    No user input and no laterality is needed: only the order of the vessels counts.
    Source: the "V" and "U" signs of the three-vessel and trachea view (Yagel 2002).
    """
    trachea = vessel_region(labels, Structure.TRACHEA, spacing, visible)
    trunk = vessel_region(labels, Structure.MAIN_PULMONARY_ARTERY, spacing, None)
    arch = vessel_region(labels, Structure.AORTIC_ARCH, spacing, None)
    along = trunk.ellipse.direction
    across = np.array([-along[1], along[0]])
    places = []
    for vessel in (arch, trunk):
        level = np.abs((vessel.points - trachea.center) @ along)
        window = max(0.5 * trachea.equivalent_diameter, float(level.min()) + 2 * trachea.pixel)
        places.append(float(np.median((vessel.points[level <= window] - trachea.center) @ across)))
    gap = places[1] - places[0]
    if abs(gap) < 2 * trachea.pixel:
        raise NotMeasurable("arch and pulmonary trunk coincide at the level of the trachea")
    return -places[0] / gap
