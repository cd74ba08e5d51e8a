"""Measures of one four-chamber frame: the size, position and axis of the heart in the chest, and the chambers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..anatomy import HEART_UNION, THORAX_UNION, Structure
from ..errors import NotMeasurable
from .geometry import EDGE_ERROR, Region, region

# Usual angle at the thorax centre between the spine and the descending aorta, which lies in front of it on the left.
AORTA_BESIDE_SPINE = 14.0  # degrees
AORTA_VARIES = 6.0  # degrees, 1.96 SD of that angle in the phantom; no published value is known here
SEPTUM_FADES = 0.1  # share of its thickness by which the gap between the ventricles may grow along the septum


@dataclass(frozen=True)
class Septum:
    """The line midway between the two ventricles.

    point   (2,) its middle, mm (row, column)
    along   (2,) unit vector toward the apex
    left    (2,) unit vector across it toward the left ventricle
    length  mm over which the ventricles face each other
    """

    point: np.ndarray
    along: np.ndarray
    left: np.ndarray
    length: float


@dataclass(frozen=True)
class FourChamberFrame:
    """One labelled four-chamber frame; each property raises NotMeasurable when its structure cannot be used.

    labels   (H, W) uint8, structure ids
    spacing  (row, column) mm per pixel; (1, 1) when not calibrated
    visible  (H, W) bool, what the sector shows, or None
    spine    (row, column) in pixels of a click on the spine, or None
    """

    labels: np.ndarray
    spacing: tuple[float, float]
    visible: np.ndarray | None = None
    spine: tuple[float, float] | None = None

    def chamber(self, structure: Structure) -> Region:
        """An atrium, a ventricle or the descending aorta."""
        return region(self.labels, (structure,), structure.info.title.lower(), self.spacing, self.visible)

    @cached_property
    def left_ventricle(self) -> Region:
        """Left ventricle."""
        return self.chamber(Structure.LEFT_VENTRICLE)

    @cached_property
    def right_ventricle(self) -> Region:
        """Right ventricle."""
        return self.chamber(Structure.RIGHT_VENTRICLE)

    @cached_property
    def heart(self) -> Region:
        """The whole heart with its chambers."""
        return region(self.labels, HEART_UNION, "heart", self.spacing, self.visible)

    @cached_property
    def thorax(self) -> Region:
        """The thorax with its content, convex: the notch that the spine leaves in some masks belongs to it."""
        found = region(self.labels, THORAX_UNION, "thorax", self.spacing, self.visible)
        if not np.isin(self.labels, (int(Structure.THORAX),)).any():
            raise NotMeasurable("no thorax in the mask")
        whole = found.hull()
        if found.area < 0.85 * whole.area:
            raise NotMeasurable("the mask of the thorax is incomplete or ragged")
        return whole

    @cached_property
    def septum(self) -> Septum:
        """The septal line: a straight line through the points as near to one ventricle as to the other."""
        left, right = self.left_ventricle, self.right_ventricle
        pixel = left.pixel
        height, width = self.labels.shape
        corner = np.minimum(left.offset, right.offset)
        far = np.maximum(np.add(left.offset, left.mask.shape), np.add(right.offset, right.mask.shape))
        far = np.minimum(far, (height, width))
        corner = np.maximum(corner, 0)
        away = []
        for chamber in (left, right):
            canvas = np.ones(far - corner, dtype=bool)
            pixels = np.argwhere(chamber.mask) + chamber.offset - corner
            canvas[tuple(pixels.T)] = False
            away.append(ndimage.distance_transform_edt(canvas, sampling=self.spacing))
        midway = (np.abs(away[0] - away[1]) <= pixel) & (away[0] > 0) & (away[1] > 0)
        if np.count_nonzero(midway) < 5:
            raise NotMeasurable("the ventricles do not face each other")
        gap = (away[0] + away[1])[midway]
        # Beyond its own thickness the line leaves the septum: toward the apex and over the atrioventricular crux.
        # Weights that fade, rather than a limit, keep it from jumping with single pixels.
        thickness = float(np.percentile(gap, 15))
        weight = np.exp(-0.5 * (np.maximum(gap - thickness, 0.0) / (SEPTUM_FADES * thickness + pixel)) ** 2)
        points = (np.argwhere(midway) + corner) * np.asarray(self.spacing)
        middle = np.average(points, axis=0, weights=weight)
        arms = points - middle
        along = np.linalg.eigh((weight[:, None] * arms).T @ arms)[1][:, 1]
        extent = (arms @ along)[weight > 0.5]
        ventricles = (left.center + right.center) / 2
        along = along * np.sign(along @ (ventricles - self._atria) or 1.0)
        across = np.array([-along[1], along[0]])
        across = across * np.sign(across @ (left.center - right.center) or 1.0)
        if extent.max() - extent.min() < 4 * pixel:
            raise NotMeasurable("the ventricles face each other over too short a line")
        return Septum(middle, along, across, float(extent.max() - extent.min()))

    @cached_property
    def _atria(self) -> np.ndarray:
        """(2,) mean position of the atria that are there; the line from them to the ventricles points to the apex."""
        seen = np.isin(self.labels, (int(Structure.LEFT_ATRIUM), int(Structure.RIGHT_ATRIUM)))
        if np.count_nonzero(seen) < 12:
            raise NotMeasurable("no atria in the mask, so base and apex cannot be told apart")
        return np.argwhere(seen).mean(axis=0) * np.asarray(self.spacing)

    @cached_property
    def fetal_left(self) -> float:
        """+1 when turning from the front to the fetal left is turning from rows to columns, else -1.

        A single frame does not tell whether it is mirrored; the ventricles do, because in the usual (D-looped) heart
        turning from the apex to the left ventricle is turning from the front to the left of the fetus.
        """
        septum = self.septum
        return float(np.sign(septum.along[0] * septum.left[1] - septum.along[1] * septum.left[0]))

    @cached_property
    def front(self) -> np.ndarray:
        """(2,) unit vector along the spine-sternum line toward the sternum.

        From the clicked spine through the centre of the thorax; without a click the descending aorta stands in for
        the spine, turned by its usual place beside it (`AORTA_BESIDE_SPINE`).
        """
        center = self.thorax.center
        if self.spine is not None:
            arm = center - np.asarray(self.spine) * np.asarray(self.spacing)
            return _unit(arm, "the click on the spine lies at the centre of the thorax")
        aorta = self.chamber(Structure.DESCENDING_AORTA)
        arm = _unit(center - aorta.center, "the descending aorta lies at the centre of the thorax")
        return _turned(arm, self.fetal_left * np.deg2rad(AORTA_BESIDE_SPINE))

    @cached_property
    def left(self) -> np.ndarray:
        """(2,) unit vector across the spine-sternum line toward the fetal left."""
        return _turned(self.front, self.fetal_left * np.pi / 2)


def _unit(arm: np.ndarray, reason: str) -> np.ndarray:
    length = float(np.linalg.norm(arm))
    if length < 1e-6:
        raise NotMeasurable(reason)
    return arm / length


def _turned(vector: np.ndarray, angle: float) -> np.ndarray:
    """Vector turned by ``angle`` radians from rows to columns."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]])


def cardiothoracic_area_ratio(frame: FourChamberFrame) -> float:
    """Heart area over thorax area; both count with their content.

    Source: AHA scientific statement 2014 (normal 0.25 to 0.35); Sylwestrzak 2018 (0.30 ± 0.015, n = 609).
    """
    return frame.heart.area / frame.thorax.area


def cardiothoracic_circumference_ratio(frame: FourChamberFrame) -> float:
    """Circumference of the heart over that of the thorax, each of its fitted ellipse.

    Source: AHA scientific statement 2014 (normal below 0.5).
    """
    return frame.heart.ellipse.perimeter / frame.thorax.ellipse.perimeter


def cardiothoracic_diameter_ratio(frame: FourChamberFrame) -> float:
    """Largest width of the heart across its septum over the largest transverse diameter of the thorax.

    The transverse diameter runs across the spine-sternum line. Source: Sirilert 2019, see
    `nomograms.cardiothoracic_diameter_ratio`.
    """
    return frame.heart.largest_chord(frame.septum.left) / frame.thorax.largest_chord(frame.left)


def cardiac_circumference(frame: FourChamberFrame) -> float:
    """Circumference of the ellipse fitted to the heart, mm; norm in `nomograms.cardiac_circumference_mm`."""
    return frame.heart.ellipse.perimeter


def cardiac_axis(frame: FourChamberFrame) -> float:
    """Angle in degrees from the spine-sternum line to the septal line, positive toward the fetal left.

    Without a click on the spine it is an estimate from the descending aorta (`FourChamberFrame.front`).
    Source: Shipp 1995 (43 ± 7°, above 57° abnormal).
    """
    along = frame.septum.along
    return float(np.degrees(np.arctan2(along @ frame.left, along @ frame.front)))


def cardiac_position(frame: FourChamberFrame) -> float:
    """Where the heart's centre of mass lies beside the thorax centre, % of the thorax width, positive to the left.

    Source: position from masks as in RIKEN/Showa (Bioengineering 2026;13:303); no published normal range.
    """
    offset = (frame.heart.center - frame.thorax.center) @ frame.left
    return float(100 * offset / frame.thorax.largest_chord(frame.left))


def posterior_point(frame: FourChamberFrame) -> float:
    """Where the septal line leaves the heart at the back, % of thorax width beside the midline, positive to the left.

    The midline runs through the thorax centre along the spine-sternum line. Source: the P-point of RIKEN/Showa
    (Bioengineering 2026;13:303); no published normal range.
    """
    septum, heart = frame.septum, frame.heart
    reach = np.arange(0.0, 2 * heart.ellipse.major, 0.25 * heart.pixel)
    inside = heart.sample(septum.point - reach[:, None] * septum.along) > 0.5
    if not inside.any():
        raise NotMeasurable("the septal line does not meet the heart")
    border = septum.point - reach[np.flatnonzero(inside)[-1]] * septum.along
    return float(100 * ((border - frame.thorax.center) @ frame.left) / frame.thorax.largest_chord(frame.left))


def ventricular_width(frame: FourChamberFrame, ventricle: Structure) -> float:
    """Largest inner width of a ventricle perpendicular to the septum, mm (end-diastolic diameter at end-diastole)."""
    return _ventricle(frame, ventricle).largest_chord(frame.septum.left)


def ventricular_length(frame: FourChamberFrame, ventricle: Structure) -> float:
    """Largest inner length of a ventricle along the septum, annulus to apex, mm."""
    return _ventricle(frame, ventricle).largest_chord(frame.septum.along)


def ventricular_area(frame: FourChamberFrame, ventricle: Structure) -> float:
    """Area of a ventricle, mm²."""
    return _ventricle(frame, ventricle).area


def ventricular_width_ratio(frame: FourChamberFrame) -> float:
    """Right over left ventricular width. Source: Gabbay-Benziv 2015 (1.03, 0.86 to 1.23 at 16 to 28 weeks)."""
    return ventricular_width(frame, Structure.RIGHT_VENTRICLE) / ventricular_width(frame, Structure.LEFT_VENTRICLE)


def ventricular_area_ratio(frame: FourChamberFrame) -> float:
    """Right over left ventricular area; no published normal range."""
    return frame.right_ventricle.area / frame.left_ventricle.area


def sphericity(frame: FourChamberFrame, ventricle: Structure) -> float:
    """Length over width of a ventricle at end-diastole: 1 is a sphere.

    Source: DeVore 2018 (sphericity index, 10.1002/uog.17505), here with the largest width instead of 24 of them.
    """
    return ventricular_length(frame, ventricle) / ventricular_width(frame, ventricle)


def atrial_area_ratio(frame: FourChamberFrame) -> float:
    """Left over right atrial area; about 1 in health, no published normal range."""
    return frame.chamber(Structure.LEFT_ATRIUM).area / frame.chamber(Structure.RIGHT_ATRIUM).area


def axis_error(frame: FourChamberFrame) -> float:
    """Degrees by which the septal line may turn when its ends move by the mask's resolution.

    Without a click on the spine, the spread of the aorta's place beside it (`AORTA_VARIES`) comes on top.
    """
    septum = float(np.degrees(np.arctan2(EDGE_ERROR * frame.heart.pixel, frame.septum.length)))
    return septum if frame.spine is not None else float(np.hypot(septum, AORTA_VARIES))


def _ventricle(frame: FourChamberFrame, ventricle: Structure) -> Region:
    if ventricle is Structure.LEFT_VENTRICLE:
        return frame.left_ventricle
    return frame.right_ventricle
