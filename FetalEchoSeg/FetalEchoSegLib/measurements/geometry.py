"""Sub-pixel geometry of masks: areas, ellipses, chords and the width of vessels.

Positions and directions are (row, column) in mm. Without a calibration one pixel counts as one millimetre: lengths
are then pixels, and only ratios and angles mean anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import ConvexHull, QhullError

from ..errors import NotMeasurable

SMALLEST_AREA = 12  # pixels; below this a width is all rounding
LARGEST_PIECE = 0.8  # share of a structure that its largest piece must hold
ON_BORDER = 0.03  # share of the outline that may lie on the edge of the picture

# Both borders of a width are known to half a pixel, independently of each other.
EDGE_ERROR = 0.5 * np.sqrt(2.0)  # pixels


@dataclass(frozen=True)
class Ellipse:
    """Ellipse with the area and the second moments of a region; lengths are full axes in mm."""

    center: np.ndarray
    major: float
    minor: float
    direction: np.ndarray

    @property
    def perimeter(self) -> float:
        """Circumference in mm, exact to 1e-5 (Ramanujan 1914, second approximation)."""
        a, b = self.major / 2, self.minor / 2
        h = ((a - b) / (a + b)) ** 2
        return float(np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))))


@dataclass(frozen=True)
class Region:
    """One connected structure, cropped.

    name     for messages ("left ventricle")
    mask     (h, w) bool, with at least one empty pixel around it
    offset   (row, column) of mask[0, 0] in the frame
    spacing  (row, column) mm per pixel
    """

    name: str
    mask: np.ndarray
    offset: tuple[int, int]
    spacing: tuple[float, float]

    @property
    def pixel(self) -> float:
        """Side in mm of a square as large as a pixel."""
        return float(np.sqrt(self.spacing[0] * self.spacing[1]))

    @property
    def area(self) -> float:
        """Area in mm²."""
        return float(np.count_nonzero(self.mask)) * self.spacing[0] * self.spacing[1]

    @property
    def equivalent_diameter(self) -> float:
        """Diameter in mm of a circle of the same area: averages the rounding of the whole outline."""
        return float(2 * np.sqrt(self.area / np.pi))

    @cached_property
    def points(self) -> np.ndarray:
        """(N, 2) pixel centres in mm."""
        return self.to_mm(np.argwhere(self.mask))

    @cached_property
    def center(self) -> np.ndarray:
        """(2,) centre of mass in mm."""
        return self.points.mean(axis=0)

    @cached_property
    def ellipse(self) -> Ellipse:
        """The ellipse of the same area and second moments (Haralick & Shapiro 1992, Appendix A)."""
        arms = self.points - self.center
        # A pixel is a square, not a point: it adds its own moment.
        moments = arms.T @ arms / len(arms) + np.diag(np.square(self.spacing)) / 12
        values, vectors = np.linalg.eigh(moments)
        minor, major = 4 * np.sqrt(values)
        scale = np.sqrt(self.area / (np.pi * major * minor / 4))
        return Ellipse(self.center, float(major * scale), float(minor * scale), vectors[:, 1])

    def to_mm(self, pixels: np.ndarray) -> np.ndarray:
        """(..., 2) (row, column) of the crop to mm in the frame."""
        return (pixels + np.asarray(self.offset)) * np.asarray(self.spacing)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) mm in the frame to fractional (row, column) of the crop."""
        return points / np.asarray(self.spacing) - np.asarray(self.offset)

    def sample(self, points: np.ndarray) -> np.ndarray:
        """Share 0 to 1 of the structure at (..., 2) points in mm, linear between pixel centres.

        The integral of these shares along a line is its length inside the structure, without rounding to pixels.
        """
        at = np.moveaxis(self.to_pixels(points), -1, 0)
        return ndimage.map_coordinates(self.mask.astype(np.float32), at, order=1, mode="constant", cval=0.0)

    def chords(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths in mm of the lines through the region along ``direction``, and where each runs.

        direction  (2,) unit vector
        Returns (K,) positions across it relative to the centre of mass, and (K,) lengths, smoothed over a pixel.
        """
        across = np.array([-direction[1], direction[0]])
        arms = self.points - self.center
        step = 0.5 * min(self.spacing)
        axes = []
        for unit in (direction, across):
            low, high = (arms @ unit).min() - 2 * self.pixel, (arms @ unit).max() + 2 * self.pixel
            axes.append(np.arange(low, high + step, step))
        grid = self.center + axes[0][:, None, None] * direction + axes[1][None, :, None] * across
        lengths = self.sample(grid).sum(axis=0) * step
        return axes[1], ndimage.gaussian_filter1d(lengths, self.pixel / step)

    def largest_chord(self, direction: np.ndarray) -> float:
        """Longest line through the region along ``direction`` (2,), mm."""
        return float(self.chords(direction)[1].max())

    def hull(self) -> Region:
        """The region's convex hull; itself when it has no width."""
        outline = np.argwhere(self.mask & ~ndimage.binary_erosion(self.mask))
        try:
            facets = ConvexHull(outline).equations
        except QhullError:
            return self
        rows, columns = np.indices(self.mask.shape)
        inside = np.ones(self.mask.shape, dtype=bool)
        for a, b, c in facets:
            inside &= a * rows + b * columns + c <= 1e-9
        return replace(self, mask=inside)


def region(
    labels: np.ndarray,
    structures: Iterable[int],
    name: str,
    spacing: tuple[float, float],
    visible: np.ndarray | None = None,
) -> Region:
    """The largest piece of a structure in one frame, its holes filled.

    labels      (H, W) uint8
    structures  labels that count together: the rings count with their content
    visible     (H, W) bool, what the sector shows; None if that is not known
    Raises NotMeasurable when there is nothing, too little, several pieces, or an outline cut by the picture's edge.
    """
    chosen = np.zeros(256, dtype=bool)
    chosen[[int(s) for s in structures]] = True
    found = chosen[labels]  # ten times as fast as np.isin on a whole frame
    filled = [np.flatnonzero(found.any(axis=axis)) for axis in (1, 0)]
    if not len(filled[0]):
        raise NotMeasurable(f"no {name} in the mask")
    rows, columns = (slice(int(at[0]), int(at[-1]) + 1) for at in filled)
    crop = np.pad(found[rows, columns], 1)
    pieces, count = ndimage.label(crop, np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    if sizes.max() < SMALLEST_AREA:
        raise NotMeasurable(f"the mask of the {name} is too small: {sizes.max()} of at least {SMALLEST_AREA} pixels")
    if count > 1 and sizes.max() < LARGEST_PIECE * sizes.sum():
        raise NotMeasurable(f"the mask of the {name} is in {count} pieces")
    mask = ndimage.binary_fill_holes(pieces == 1 + sizes.argmax())
    offset = (rows.start - 1, columns.start - 1)
    edge = _cut_by(mask, offset, labels.shape, visible)
    if edge:
        raise NotMeasurable(f"the {name} is cut by the edge of the {edge}")
    return Region(name, mask, offset, spacing)


def _cut_by(
    mask: np.ndarray, offset: tuple[int, int], shape: tuple[int, ...], visible: np.ndarray | None
) -> str | None:
    """What cuts the outline of a cropped mask: "image", "sector" or None."""
    outline = np.argwhere(mask & ~ndimage.binary_erosion(mask)) + offset
    few = max(2.0, ON_BORDER * len(outline))
    if np.count_nonzero(((outline == 0) | (outline == np.array(shape) - 1)).any(axis=1)) > few:
        return "image"
    if visible is None:
        return None
    # The sector is known to a pixel or two: look two pixels beyond the outline.
    low, high = np.maximum(outline.min(axis=0) - 3, 0), outline.max(axis=0) + 4
    window = visible[low[0] : high[0], low[1] : high[1]]
    near_edge = ndimage.binary_dilation(~window, iterations=2)
    return "sector" if np.count_nonzero(near_edge[tuple((outline - low).T)]) > few else None


@dataclass(frozen=True)
class Course:
    """A vessel's centre-line with its width.

    line    (K, 2) mm
    along   (K,) position of each point from 0 (first end of the mask) to 1
    widths  (K,) mm perpendicular to the line; NaN within half a width of the ends, where it has no sides
    length  mm
    """

    line: np.ndarray
    along: np.ndarray
    widths: np.ndarray
    length: float

    def width(self, start: float = 0.0, stop: float = 1.0) -> float:
        """Median width between two positions, mm; NaN when no point lies there."""
        chosen = self.widths[(self.along >= start) & (self.along <= stop)]
        chosen = chosen[np.isfinite(chosen)]
        return float(np.median(chosen)) if len(chosen) else float("nan")

    def reversed(self) -> Course:
        """The same vessel from its other end."""
        return Course(self.line[::-1], 1 - self.along[::-1], self.widths[::-1], self.length)


def course(vessel: Region) -> Course:
    """Centre-line and perpendicular widths of an elongated, possibly bent region.

    The line joins the centres of bands at equal walking distance from one end, then moves to the middle of its own
    chords. Widths are integrals of the mask, so they are not multiples of a pixel.
    Raises NotMeasurable when the region is too short to have a direction.
    """
    distance = _walking_distance(vessel)
    band = 2.0 * vessel.pixel
    number = (distance / band).astype(int)
    counts = np.bincount(number)
    centers = np.stack(
        [np.bincount(number, weights=vessel.points[:, axis]) / np.maximum(counts, 1) for axis in (0, 1)], axis=1
    )[counts > 0]
    if len(centers) < 4:
        raise NotMeasurable(f"the mask of the {vessel.name} is too short")
    reach = 1.3 * float(ndimage.distance_transform_edt(vessel.mask, sampling=vessel.spacing).max()) + vessel.pixel
    line = _resampled(_smooth(centers, reach / band), vessel.pixel)
    for _ in range(2):
        middle, _ = _across(vessel, line, reach)
        line = _resampled(_smooth(middle, reach / vessel.pixel), vessel.pixel)
    _, widths = _across(vessel, line, reach)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    # The smoothed line ends short of the mask; the mask's own length is the walking distance.
    missing = max(float(distance.max()) - at[-1], 0.0) / 2
    length = at[-1] + 2 * missing
    along = (at + missing) / length
    typical = float(np.median(widths))
    widths = np.where((along * length < 0.6 * typical) | ((1 - along) * length < 0.6 * typical), np.nan, widths)
    return Course(line, along, widths, float(length))


def _walking_distance(vessel: Region) -> np.ndarray:
    """(N,) mm from one end of the region to each of its points, inside the region."""
    index = np.full(vessel.mask.shape, -1)
    index[vessel.mask] = np.arange(len(vessel.points))
    starts, stops, lengths = [], [], []
    for row, column in ((0, 1), (1, 0), (1, 1), (1, -1)):
        # The crop has an empty margin, so rolling never joins opposite sides.
        other = np.roll(index, (-row, -column), axis=(0, 1))
        linked = (index >= 0) & (other >= 0)
        starts.append(index[linked])
        stops.append(other[linked])
        lengths.append(np.full(len(starts[-1]), np.hypot(row * vessel.spacing[0], column * vessel.spacing[1])))
    size = len(vessel.points)
    graph = coo_array((np.concatenate(lengths), (np.concatenate(starts), np.concatenate(stops))), (size, size)).tocsr()
    arms = np.linalg.norm(vessel.points - vessel.center, axis=1)
    end = int(arms.argmax())
    for _ in range(2):
        distance = dijkstra(graph, directed=False, indices=end)
        distance[~np.isfinite(distance)] = 0.0
        end = int(distance.argmax())
    return distance


def _across(vessel: Region, line: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Middle (K, 2) and length (K,) of the chord perpendicular to ``line`` at each of its points."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    step = 0.2 * vessel.pixel
    arm = (np.arange(int(np.ceil(reach / step))) + 0.5) * step
    sides = []
    for sign in (1.0, -1.0):
        inside = vessel.sample(line[:, None] + sign * arm[None, :, None] * normal[:, None])
        # Only the chord itself: a bent vessel's other limb lies beyond the first gap.
        alive = np.minimum.accumulate(inside > 0.02, axis=1)
        sides.append((inside * alive).sum(axis=1) * step)
    return line + normal * ((sides[0] - sides[1]) / 2)[:, None], sides[0] + sides[1]


def _smooth(line: np.ndarray, sigma: float) -> np.ndarray:
    """Line smoothed along its length; its ends are continued straight, so that they are not pulled inward."""
    count = min(len(line) - 1, int(np.ceil(3 * sigma)))
    before, after = 2 * line[0] - line[count:0:-1], 2 * line[-1] - line[-2 : -count - 2 : -1]
    long = np.vstack([before, line, after])
    return ndimage.gaussian_filter1d(long, 0.5 * sigma, axis=0)[count : count + len(line)]


def _resampled(line: np.ndarray, step: float) -> np.ndarray:
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    count = max(4, int(np.ceil(at[-1] / step)))
    return np.stack([np.interp(np.linspace(0, at[-1], count), at, line[:, axis]) for axis in (0, 1)], axis=1)


def diameter(vessel: Region) -> float:
    """Diameter of a vessel in mm: of a circle of equal area if it is cut across, else its median width.

    An oval section means that the plane cuts the vessel obliquely or that it is not round; equal area lies between
    its two diameters and is the least sensitive to the outline.
    Source: fetal vessels are measured from inner edge to inner edge (Schneider 2005); a mask holds the lumen.
    """
    shape = vessel.ellipse
    if shape.major < 1.45 * shape.minor:
        return vessel.equivalent_diameter
    try:
        width = course(vessel).width()
    except NotMeasurable:
        width = float("nan")
    return width if np.isfinite(width) else vessel.largest_chord(np.array([-shape.direction[1], shape.direction[0]]))


def sector(frames: Iterable[np.ndarray]) -> np.ndarray | None:
    """(H, W) bool of the pixels inside the ultrasound sector, from a few frames of one clip; None if there is none.

    frames  (H, W) uint8 grey. The sector is the convex hull of the largest area that is bright in any frame, so
    shadows do not count as edges; text and rulers beside it are pieces of their own.
    """
    brightest: np.ndarray | None = None
    for frame in frames:
        brightest = frame.copy() if brightest is None else np.maximum(brightest, frame)
    if brightest is None or min(brightest.shape) < 16:
        return None
    bright = ndimage.binary_opening(ndimage.uniform_filter(brightest.astype(np.float32), 5) > 6.0, iterations=3)
    pieces, count = ndimage.label(bright)
    if not count:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    if sizes.max() < 0.1 * bright.size:
        return None
    hull = Region("sector", pieces == 1 + sizes.argmax(), (0, 0), (1.0, 1.0)).hull().mask
    # The average over 5 pixels reaches 2 pixels beyond a bright edge.
    return ndimage.binary_erosion(hull, iterations=2, border_value=1)
