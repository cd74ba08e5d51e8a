"""Slice views and image planes: what is where in which."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..errors import InvalidRequest
from ..scene.click_target import ImagePlane


def sliceViews() -> list[Any]:
    """Widgets of all slice views; none without a main window."""
    manager = slicer.app.layoutManager()
    return [manager.sliceWidget(name) for name in manager.sliceViewNames()] if manager is not None else []


def pixelScale(view: Any) -> float:
    """Pixels of the view for one of a screen of usual resolution."""
    return max(1.0, view.sliceView().renderWindow().GetDPI() / 96.0)


def positionInPlane(view: Any, plane: ImagePlane, xy: tuple[float, float]) -> tuple[float, float]:
    """(x, y) in pixels of the plane at a place of a view; raises InvalidRequest where the view does not show it."""
    toWorld = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    x, y, off = plane.fromWorld((toWorld @ (*xy, 0.0, 1.0))[:3])
    if abs(off) > 0.5 + 1e-3:
        raise InvalidRequest(_("The click is outside the image: move the slice view to it."))
    return x, y


def project(view: Any, plane: ImagePlane, positions: Any) -> np.ndarray:
    """(N, 2) places in a view of (N, 2) positions (x, y) in pixels of the plane."""
    toView = np.linalg.inv(slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS()))
    return plane.toWorld(positions) @ toView[:2, :3].T + toView[:2, 3]


def isInSight(view: Any, plane: ImagePlane) -> bool:
    """Whether a view lies in the plane."""
    toWorld = slicer.util.arrayFromVTKMatrix(view.mrmlSliceNode().GetXYToRAS())
    normal = np.cross(toWorld[:3, 0], toWorld[:3, 1])
    normal /= np.linalg.norm(normal)
    rows, columns = plane.shape
    corners = plane.toWorld([(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)])
    distances = np.abs((corners - toWorld[:3, 3]) @ normal)
    return bool(distances.max() <= 0.5 * abs(plane.matrix[:3, 2] @ normal) + 1e-3)
