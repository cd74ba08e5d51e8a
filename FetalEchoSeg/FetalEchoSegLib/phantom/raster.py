"""Contours to maps: label masks in image pixels, tissue maps on the polar grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .section import Layer, Placement
from .sector import SectorGeometry

_SHIFT = 8  # fractional bits of OpenCV's fixed-point vertices


def rasterise_labels(
    layers: Sequence[Layer], placement: Placement, geometry: SectorGeometry, time: float
) -> np.ndarray:
    """Mask (rows, columns) uint8 of a stack at ``time`` seconds.

    Labels are painted in order, ``None`` leaves the mask as it is and 0 erases to background; what lies outside the
    visible fan is background. A pixel belongs to a contour when its centre does.
    """
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    for layer in layers:
        if layer.label is not None:
            fill_centres(mask, geometry.to_pixels(placement.to_probe(layer.contour, time)), int(layer.label))
    return geometry.keep_visible(mask)


def rasterise_tissue(
    layers: Sequence[Layer], placement: Placement, geometry: SectorGeometry, time: float, background: np.ndarray
) -> np.ndarray:
    """Tissue classes (n_range, n_lines) uint8 of a stack painted over ``background``, on the polar grid."""
    tissue = background.copy()
    for layer in layers:
        fill_touched(tissue, geometry.to_grid(placement.to_probe(layer.contour, time)), int(layer.tissue))
    return tissue


def fill_centres(image: np.ndarray, contour: np.ndarray, value: int) -> None:
    """Paint ``value`` where pixel centres lie inside a closed contour of (N, 2) fractional (x, y) indices.

    Exact even-odd rule with the contour's full precision. OpenCV's fill also paints every pixel that the outline
    touches and rounds vertices to rows: measured, that adds 5 % to the area of a vessel ten pixels wide.
    """
    rows, columns = image.shape
    start, stop = contour, np.roll(contour, -1, axis=0)
    first = np.ceil(np.minimum(start[:, 1], stop[:, 1]))
    last = np.ceil(np.maximum(start[:, 1], stop[:, 1]))  # exclusive: a vertex on a row counts once
    first = np.clip(first, 0, rows).astype(np.int64)
    count = np.clip(last, 0, rows).astype(np.int64) - first
    total = int(count.sum())
    if total == 0:
        return
    edge = np.repeat(np.arange(len(contour)), count)
    row = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (stop[edge, 0] - start[edge, 0]) / (stop[edge, 1] - start[edge, 1])
    crossing = np.ceil(start[edge, 0] + slope * (row - start[edge, 1]))
    column = np.clip(crossing, 0, columns).astype(np.int64)

    top, left = int(row.min()), int(column.min())
    height, width = int(row.max()) - top + 1, int(column.max()) - left + 1
    toggles = np.bincount((row - top) * width + (column - left), minlength=height * width).astype(np.uint8)
    inside = np.add.accumulate(toggles.reshape(height, width), axis=1, dtype=np.uint8) & 1
    window = image[top : top + height, left : left + width]
    window[inside[:, : window.shape[1]].astype(bool)] = value


def fill_touched(image: np.ndarray, contour: np.ndarray, value: int) -> None:
    """Paint ``value`` inside a closed contour of (N, 2) fractional (x, y) indices, never losing a thin one.

    On the polar grid a valve leaflet can be narrower than a scan line and must not become a dotted line, so OpenCV's
    fill, which paints what the outline touches, is used; the contour is drawn half a sample further inside (along
    the axis that the outline steps over) to undo the widening that this causes.
    """
    import cv2

    if len(contour) < 3:
        return
    following, preceding = np.roll(contour, -1, axis=0), np.roll(contour, 1, axis=0)
    tangent = following - preceding
    area = float(np.sum(contour[:, 0] * following[:, 1] - following[:, 0] * contour[:, 1]))
    length = np.hypot(tangent[:, 0], tangent[:, 1])
    inward = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    step = 0.5 * np.abs(inward).max(axis=1, keepdims=True)
    inset = contour + np.sign(area) * step * inward
    vertices = np.round(np.clip(inset, -4096, 8192) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(image, [vertices], value, lineType=cv2.LINE_8, shift=_SHIFT)
