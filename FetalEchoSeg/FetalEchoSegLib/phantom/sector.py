"""Geometry of a curvilinear sector: probe millimetres, polar sampling grid and image pixels.

Probe coordinates are (x, z) in mm, x to the right of the image and z the depth below the centre of the transducer
face. The face is an arc of radius R centred at (0, -R), so a point has range sqrt(x² + (z + R)²) - R along its
scan line and angle atan2(x, z + R). The polar grid is stored (range, line); images are (row, column).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .devices import Device
    from .section import Placement

_FINEST_RANGE_STEP = 0.14  # mm; a third of the shortest pulse
_LINE_PITCH = 0.32  # mm at mid depth; half of the narrowest beam
_MOST_RANGES = 640
_MOST_LINES = 320


@dataclass(frozen=True)
class SectorGeometry:
    """Where the scan lines run and which part of the sector the image shows.

    radius       mm, curvature of the transducer face
    half_angle   radians, half of the opening of the sector
    depth        mm, last range of the sector
    origin       (x, z) mm of the centre of pixel (row 0, column 0)
    spacing      mm between pixel centres, the same in both directions
    shape        (rows, columns) of the image
    range_start, range_step, n_range    polar rows in mm: only what the image shows is simulated
    angle_start, angle_step, n_lines    polar columns in radians
    """

    radius: float
    half_angle: float
    depth: float
    origin: tuple[float, float]
    spacing: float
    shape: tuple[int, int]
    range_start: float
    range_step: float
    n_range: int
    angle_start: float
    angle_step: float
    n_lines: int

    @classmethod
    def plan(cls, device: Device, placement: Placement, image_shape: tuple[int, int] = (512, 512)) -> SectorGeometry:
        """Frame a sector as an operator would: the whole fan, or a zoom on the fetal chest.

        ``device.crop`` is the share of the fan's extent that fills the image (1 shows all of it); a zoomed window is
        centred on the placement plus ``device.crop_offset`` (fractions of the window) and kept over the fan.
        """
        rows, columns = image_shape
        half_angle = float(np.deg2rad(device.sector_angle) / 2)
        left = (device.radius + device.depth) * np.sin(half_angle)
        top = device.radius * (np.cos(half_angle) - 1)  # corners of the face lie above its centre
        width, height = 2 * left, device.depth - top
        spacing = float(device.crop * max(width / columns, height / rows) * (1.04 if device.crop >= 0.98 else 1.0))
        window = np.array([columns * spacing, rows * spacing])
        low = np.array([-left, top])
        room = np.array([width, height]) - window
        wanted = np.asarray(placement.center) + np.asarray(device.crop_offset) * window - window / 2
        # Along an axis where the window is larger than the fan, the fan sits in the middle.
        corner = np.where(room > 0, np.clip(wanted, low, low + np.maximum(room, 0)), low + room / 2)
        origin = (float(corner[0] + spacing / 2), float(corner[1] + spacing / 2))

        edge_x = origin[0] + spacing * np.arange(columns)
        edge_z = origin[1] + spacing * np.arange(rows)
        grid_x, grid_z = np.meshgrid(edge_x, edge_z)
        ranges = np.hypot(grid_x, grid_z + device.radius) - device.radius
        angles = np.arctan2(grid_x, grid_z + device.radius)
        inside = (ranges >= 0) & (ranges <= device.depth) & (np.abs(angles) <= half_angle)
        range_start = max(0.0, float(ranges[inside].min()) - 3.0)
        range_stop = min(device.depth, float(ranges[inside].max()) + 1.0)
        angle_start = max(-half_angle, float(angles[inside].min()) - 0.02)
        angle_stop = min(half_angle, float(angles[inside].max()) + 0.02)

        extent = range_stop - range_start
        n_range = int(np.clip(np.ceil(extent / _FINEST_RANGE_STEP), 64, _MOST_RANGES))
        arc = (angle_stop - angle_start) * (device.radius + (range_start + range_stop) / 2)
        n_lines = int(np.clip(np.ceil(arc / _LINE_PITCH), 32, _MOST_LINES))
        return cls(
            radius=device.radius,
            half_angle=half_angle,
            depth=device.depth,
            origin=origin,
            spacing=spacing,
            shape=(rows, columns),
            range_start=range_start,
            range_step=extent / (n_range - 1),
            n_range=n_range,
            angle_start=angle_start,
            angle_step=(angle_stop - angle_start) / (n_lines - 1),
            n_lines=n_lines,
        )

    @property
    def ranges(self) -> np.ndarray:
        """(n_range,) mm of the polar rows."""
        return self.range_start + self.range_step * np.arange(self.n_range)

    @property
    def angles(self) -> np.ndarray:
        """(n_lines,) radians of the scan lines."""
        return self.angle_start + self.angle_step * np.arange(self.n_lines)

    @property
    def line_pitch(self) -> np.ndarray:
        """(n_range,) mm between neighbouring scan lines at each range."""
        return (self.radius + self.ranges) * self.angle_step

    def to_polar(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) probe (x, z) mm to (range mm, angle radians)."""
        x, z = points[..., 0], points[..., 1] + self.radius
        return np.stack([np.hypot(x, z) - self.radius, np.arctan2(x, z)], axis=-1)

    def from_polar(self, ranges: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Broadcast ranges (mm) and angles (radians) to (..., 2) probe (x, z) mm."""
        reach = self.radius + ranges
        return np.stack(np.broadcast_arrays(reach * np.sin(angles), reach * np.cos(angles) - self.radius), axis=-1)

    def to_grid(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) probe (x, z) mm to fractional (line, range) indices of the polar grid: OpenCV's (x, y) order."""
        polar = self.to_polar(points)
        return np.stack(
            [
                (polar[..., 1] - self.angle_start) / self.angle_step,
                (polar[..., 0] - self.range_start) / self.range_step,
            ],
            axis=-1,
        )

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) probe (x, z) mm to fractional (column, row) pixel indices: OpenCV's (x, y) order."""
        return (points - np.asarray(self.origin)) / self.spacing

    def polar_points(self) -> np.ndarray:
        """(n_range, n_lines, 2) probe (x, z) mm of the polar samples."""
        return self.from_polar(self.ranges[:, None], self.angles[None, :])

    def image_points(self) -> np.ndarray:
        """(rows, columns, 2) probe (x, z) mm of the pixel centres."""
        rows, columns = self.shape
        x = self.origin[0] + self.spacing * np.arange(columns)
        z = self.origin[1] + self.spacing * np.arange(rows)
        return np.stack(np.meshgrid(x, z), axis=-1)

    @cached_property
    def visible(self) -> np.ndarray:
        """(rows, columns) bool: pixels inside the fan."""
        polar = self.to_polar(self.image_points())
        return (polar[..., 0] >= 0) & (polar[..., 0] <= self.depth) & (np.abs(polar[..., 1]) <= self.half_angle)

    @cached_property
    def _visible_mask(self) -> np.ndarray:
        return self.visible.astype(np.uint8)

    def keep_visible(self, mask: np.ndarray) -> np.ndarray:
        """(rows, columns) uint8 with zero outside the fan."""
        import cv2

        return cv2.copyTo(mask, self._visible_mask)

    @cached_property
    def _scan_tables(self) -> tuple[np.ndarray, np.ndarray]:
        import cv2

        grid = self.to_grid(self.image_points()).astype(np.float32)
        # Fixed-point tables are half the memory and faster; 1/32 sample is far below the pulse length.
        return cv2.convertMaps(grid[..., 0], grid[..., 1], cv2.CV_16SC2)

    def scan_convert(self, polar: np.ndarray) -> np.ndarray:
        """(n_range, n_lines) uint8 or float32 to the (rows, columns) image; zero outside the fan."""
        import cv2

        coordinates, fractions = self._scan_tables
        image = cv2.remap(polar, coordinates, fractions, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return cv2.copyTo(image, self._visible_mask)
