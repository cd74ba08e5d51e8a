"""Measures of the great vessels in one frame: diameters, ratio of aorta and pulmonary artery, side of the trachea."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

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

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _once(method: Callable[Concatenate[VesselFrame, _P], _T]) -> Callable[Concatenate[VesselFrame, _P], _T]:
    """Compute once for each set of arguments, also when the answer is NotMeasurable."""

    @wraps(method)
    def remembered(self: VesselFrame, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        key = (method.__name__, args, tuple(kwargs.items()))
        if key not in self._kept:
            try:
                self._kept[key] = method(self, *args, **kwargs)
            except NotMeasurable as problem:
                self._kept[key] = problem
        found = self._kept[key]
        if isinstance(found, NotMeasurable):
            raise NotMeasurable(str(found))
        return found

    return remembered


@dataclass(frozen=True, eq=False)
class VesselFrame:
    """One labelled frame; every method raises NotMeasurable when a structure it needs cannot be used.

    labels   (H, W) uint8, structure ids
    view     decides which vessels run along the plane and which across it
    spacing  (row, column) mm per pixel; (1, 1) when not calibrated
    visible  (H, W) bool, what the sector shows, or None
    """

    labels: np.ndarray
    view: View
    spacing: tuple[float, float]
    visible: np.ndarray | None = None
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def aorta(self) -> Structure:
        """The part of the aorta that is compared with the pulmonary trunk: ascending, or the transverse arch."""
        return Structure.AORTIC_ARCH if self.view is View.THREE_VESSEL_TRACHEA else Structure.ASCENDING_AORTA

    @_once
    def region(self, vessel: Structure, may_be_cut: bool = False) -> Region:
        """The vessel's mask.

        may_be_cut  accept a vessel that the edge of the sector cuts: enough to know where it lies
        """
        visible = None if may_be_cut else self.visible
        return region(self.labels, (vessel,), vessel.info.title.lower(), self.spacing, visible)

    @_once
    def diameter(self, vessel: Structure) -> float:
        """Inner diameter of a vessel in mm, with sub-pixel resolution.

        Cut across: of the circle of equal area. Cut along: median width perpendicular to the centre-line, in the
        three-vessel and trachea view over the front part of trunk and arch (`PROXIMAL`).
        Source: inner edge to inner edge as in Schneider 2005.
        """
        found = self.region(vessel)
        if self.view is View.THREE_VESSEL_TRACHEA and vessel in _MEETING:
            try:
                along = self.course_from_front(vessel)
            except NotMeasurable:
                return diameter(found)
            width = along.width(*PROXIMAL)
            return width if np.isfinite(width) else along.width()
        if vessel in _CUT_ACROSS.get(self.view, ()):
            self._require_uncovered(found)
        return diameter(found)

    @_once
    def course_from_front(self, vessel: Structure) -> Course:
        """Centre-line of the pulmonary trunk or the arch from its front end to where the two meet, with widths.

        Trunk with duct and arch meet in front of the spine, so the front end is the one farther from the other vessel.
        """
        path = course(self.region(vessel))
        other = self.region(_MEETING[vessel], may_be_cut=True).points
        away = [np.linalg.norm(other - end, axis=1).min() for end in (path.line[0], path.line[-1])]
        return path if away[0] >= away[1] else path.reversed()

    def isthmus_diameter(self) -> float:
        """Width in mm of the aortic arch shortly before it meets the duct (three-vessel and trachea view).

        Source: Krishnan 2016 (isthmus).
        """
        width = self.course_from_front(Structure.AORTIC_ARCH).width(*ISTHMUS)
        if not np.isfinite(width):
            raise NotMeasurable("the aortic arch is too short to show the isthmus")
        return width

    def aorta_to_pulmonary_ratio(self) -> float:
        """Diameter of the aorta (`aorta`) over that of the main pulmonary artery.

        Source: 0.7 to 1.2; below, coarctation; above, Fallot (10.1007/s40556-021-00328-0).
        """
        return self.diameter(self.aorta) / self.diameter(Structure.MAIN_PULMONARY_ARTERY)

    def trachea_side_index(self) -> float:
        """Place of the trachea on the line from the arch (0) to the pulmonary trunk and duct (1), at its own level.

        Below 0 it lies right of both: a left arch. From 0 to 1 it lies between them: a right arch ("U"). Above 1 it
        lies left of both: a right arch with a right duct. No user input and no laterality is needed: only the order
        of the vessels counts.
        Source: Achiron 2002 (Ultrasound Obstet Gynecol 20:553): V with the trachea behind and beside it in a left arch,
        U with the trachea between the vessels in a right or double arch.
        """
        trachea = self.region(Structure.TRACHEA)
        trunk = self.region(Structure.MAIN_PULMONARY_ARTERY, may_be_cut=True)
        arch = self.region(Structure.AORTIC_ARCH, may_be_cut=True)
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

    def _require_uncovered(self, vessel: Region) -> None:
        """NotMeasurable when another structure hides part of a vessel that is cut across: its area is then too small.

        The thorax around the descending aorta hides nothing.
        """
        rows, columns = vessel.mask.shape
        top, left = vessel.offset
        padded = np.pad(self.labels, 1)[top + 1 : top + 1 + rows, left + 1 : left + 1 + columns]
        around = ndimage.binary_dilation(vessel.mask) & ~vessel.mask
        beside = padded[around]
        touching = beside[(beside != 0) & (beside != Structure.THORAX) & (beside < N_LABELS)]
        if len(touching) > TOUCHING * len(beside):
            other = Structure(int(np.bincount(touching).argmax()))
            raise NotMeasurable(f"the {vessel.name} is partly covered by the {other.info.title.lower()}")
