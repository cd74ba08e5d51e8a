"""Closed outlines the anatomy is drawn with: splines, tubes, bands and hulls. All lengths are mm."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import ConvexHull

STEP = 0.25  # mm between contour points: a third of a pixel's diagonal at the usual 0.19 mm per pixel is invisible


def area(contour: np.ndarray) -> float:
    """Area enclosed by (N, 2) points, mm², positive whatever the direction of travel."""
    x, y = contour[:, 0], contour[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def resample(contour: np.ndarray, step: float = STEP, closed: bool = True) -> np.ndarray:
    """Points at equal distances of about ``step`` along the outline (at least 12)."""
    points = np.vstack([contour, contour[:1]]) if closed else contour
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    count = max(12, int(np.ceil(length[-1] / step)))
    at = np.linspace(0.0, length[-1], count, endpoint=not closed)
    return np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], axis=1)


def smooth_outline(controls: np.ndarray, step: float = STEP) -> np.ndarray:
    """Periodic cubic spline through (K, 2) control points, by chord length."""
    points = np.vstack([controls, controls[:1]])
    chord = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))  # centripetal: no overshoot at tight turns
    at = np.concatenate([[0.0], np.cumsum(chord)])
    spline = CubicSpline(at, points, bc_type="periodic")
    return resample(spline(np.linspace(0.0, at[-1], 40 * len(controls), endpoint=False)), step)


def smooth_line(controls: np.ndarray, step: float = STEP) -> np.ndarray:
    """Open cubic spline through (K, 2) control points."""
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(controls, axis=0), axis=1))])
    dense = np.linspace(0.0, at[-1], 30 * len(controls))
    if len(controls) < 3:
        return resample(np.asarray(controls, dtype=float), step, closed=False)
    return resample(CubicSpline(at, controls, bc_type="natural")(dense), step, closed=False)


def ellipse(
    center: tuple[float, float] | np.ndarray,
    semi_axes: tuple[float, float],
    angle: float = 0.0,
    power: float = 2.0,
    step: float = STEP,
) -> np.ndarray:
    """Superellipse; ``angle`` in degrees turns its first axis counter-clockwise, power 2 is an ellipse."""
    at = np.linspace(0.0, 2 * np.pi, 360, endpoint=False)
    cosine, sine = np.cos(at), np.sin(at)
    x = semi_axes[0] * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    y = semi_axes[1] * np.sign(sine) * np.abs(sine) ** (2 / power)
    turn = np.deg2rad(angle)
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    return resample(points + np.asarray(center), step)


def normals(line: np.ndarray) -> np.ndarray:
    """(N, 2) unit normals of an open line, to the left of the direction of travel."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def tube(
    line: np.ndarray, widths: np.ndarray, round_start: bool = False, round_end: bool = False, step: float = STEP
) -> np.ndarray:
    """Outline of a vessel along an open ``line`` (N, 2) whose diameter is ``widths`` (N,).

    round_start, round_end  close the end with a half circle instead of a straight cut
    """
    normal = normals(line)
    half = np.asarray(widths)[:, np.newaxis] / 2
    left, right = line + normal * half, line - normal * half
    pieces = [left]
    if round_end:
        pieces.append(_cap(line[-1], left[-1], right[-1]))
    pieces.append(right[::-1])
    if round_start:
        pieces.append(_cap(line[0], right[0], left[0]))
    return resample(np.vstack(pieces), step)


def _cap(center: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Half circle from ``start`` to ``stop`` about their middle, turning clockwise (tubes run left side first)."""
    arm = start - center
    angle = -np.linspace(0.0, np.pi, 14)[1:-1]
    return center + np.stack(
        [arm[0] * np.cos(angle) - arm[1] * np.sin(angle), arm[0] * np.sin(angle) + arm[1] * np.cos(angle)], axis=1
    )


def band(line: np.ndarray, thickness: float | np.ndarray, step: float = STEP) -> np.ndarray:
    """A thin strip along an open line with tapered ends: a leaflet, a rib, a moderator band."""
    at = np.linspace(0.0, 1.0, len(line))
    taper = np.clip(6 * np.minimum(at, 1 - at) + 0.35, 0.0, 1.0)
    return tube(line, np.asarray(thickness) * taper, round_start=True, round_end=True, step=step)


def strip(line: np.ndarray, thickness: float) -> np.ndarray:
    """Like ``band`` but with exactly twice as many points as ``line``, so that two states can be blended."""
    at = np.linspace(0.0, 1.0, len(line))
    half = thickness / 2 * np.clip(8 * np.minimum(at, 1 - at) + 0.4, 0.0, 1.0)[:, np.newaxis]
    normal = normals(line)
    return np.vstack([line + normal * half, (line - normal * half)[::-1]])


def grown(contour: np.ndarray, margin: float, step: float = STEP) -> np.ndarray:
    """Outline moved outward by ``margin`` mm (inward when negative); meant for shapes without narrow bays."""
    x, y = contour[:, 0], contour[:, 1]
    counter_clockwise = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)) > 0
    tangent = np.roll(contour, -1, axis=0) - np.roll(contour, 1, axis=0)
    tangent = gaussian_filter1d(tangent, 1.5, axis=0, mode="wrap")
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    outward = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) * (1 if counter_clockwise else -1)
    return resample(contour + margin * outward, step)


def wrapped(parts: list[tuple[np.ndarray, float]], rounding: float, step: float = STEP) -> np.ndarray:
    """Smooth outline around several contours, each with its own wall thickness: the outer border of the heart.

    rounding  mm of smoothing along the outline, which turns the hull's straight runs into gentle curves
    """
    circle = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    cloud = np.vstack([(c[::2, np.newaxis, :] + wall * ring).reshape(-1, 2) for c, wall in parts])
    hull = resample(cloud[ConvexHull(cloud).vertices], 0.2)
    soft = gaussian_filter1d(hull, rounding / 0.2, axis=0, mode="wrap")
    # Smoothing shrinks convex outlines; give back the area so that wall thicknesses keep their meaning.
    center = soft.mean(axis=0)
    return resample(center + (soft - center) * np.sqrt(area(hull) / area(soft)), step)
