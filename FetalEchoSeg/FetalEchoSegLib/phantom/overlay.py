"""Burnt-in graphics of a scanner: ruler, focus, orientation mark, settings, banner, calipers.

They are drawn from the device, the geometry and a seed, and from nothing else: no argument carries the view, the
condition or the mask, so a network can learn nothing about the answer from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .devices import Device
from .sector import SectorGeometry

_FONT = 0  # cv2.FONT_HERSHEY_SIMPLEX
_SYLLABLES = ("ba", "lo", "mi", "ren", "ta", "vo", "shi", "kel", "nor", "du", "pra", "es")


@dataclass(frozen=True)
class Overlay:
    """Graphics of one clip.

    color   (H, W, 3) uint8 RGB; where it is brighter than the image it is seen
    opaque  (H, W) bool; here it hides the image whatever its brightness
    """

    color: np.ndarray
    opaque: np.ndarray

    def burn_into(self, image: np.ndarray) -> None:
        """Write the graphics into (H, W) or (H, W, 3) uint8, in place."""
        color = self.color if image.ndim == 3 else self.color.max(axis=-1)
        np.maximum(image, color, out=image)
        image[self.opaque] = color[self.opaque]


def draw_overlay(device: Device, geometry: SectorGeometry, seed: int) -> Overlay:
    """Graphics in the style of ``device``; positions of calipers, numbers and words follow ``seed``."""
    rng = np.random.default_rng([seed, 77])
    canvas = _Canvas(np.zeros((*geometry.shape, 3), dtype=np.uint8), np.zeros(geometry.shape, dtype=bool))
    style = device.overlay
    text = [
        f"MI {rng.uniform(0.6, 1.3):.1f}",
        f"TIS {rng.uniform(0.1, 0.9):.1f}",
        f"Gn {int(rng.integers(35, 75))}",
        f"DR {round(device.dynamic_range)}",
        f"{device.frequency:.1f}MHz",
        f"{device.depth / 10:.1f}cm",
        f"{int(rng.integers(28, 90))}Hz",
    ]
    if style in ("ruler", "dense", "banner", "corner"):
        _ruler(canvas, geometry, right=style != "corner")
    if style in ("ruler", "dense", "banner"):
        _focus(canvas, geometry, device.focus_depth + rng.uniform(-4, 4), right=True)
    if style != "banner":
        _orientation_dot(canvas, geometry, rng, style)
    if style == "banner":
        _banner(canvas, rng, text)
    elif style == "dense":
        _lines(canvas, text, left=True, top=0.12)
        _lines(canvas, [_word(rng).upper(), *text[:2]], left=False, top=0.04)
        _bar(canvas, right=True)
    elif style == "corner":
        _lines(canvas, text[2:6], left=True, top=0.06)
        _bar(canvas, right=False)
    elif style == "ruler":
        _lines(canvas, text[:2], left=False, top=0.05)
        _lines(canvas, text[2:5], left=True, top=0.05)
    else:
        _lines(canvas, text[:1], left=True, top=0.94)
    if rng.random() < 0.18:
        _calipers(canvas, rng)
    return Overlay(canvas.color, canvas.opaque)


@dataclass(frozen=True)
class _Canvas:
    color: np.ndarray
    opaque: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.color.shape[0], self.color.shape[1]

    @property
    def unit(self) -> float:
        """Scale of text and marks: 1 in a 512-pixel frame."""
        return min(self.size) / 512

    def text(self, words: str, x: float, y: float, color: tuple[int, int, int], size: float = 0.36) -> None:
        import cv2

        where = (round(x), round(y))
        cv2.putText(self.color, words, where, _FONT, size * self.unit, color, 1, cv2.LINE_AA)

    def line(self, start: tuple[float, float], stop: tuple[float, float], color: tuple[int, int, int]) -> None:
        import cv2

        cv2.line(self.color, (round(start[0]), round(start[1])), (round(stop[0]), round(stop[1])), color, 1)

    def triangle(self, points: list[tuple[float, float]], color: tuple[int, int, int]) -> None:
        import cv2

        cv2.fillPoly(self.color, [np.round(points).astype(np.int32)], color)

    def disc(self, x: float, y: float, radius: float, color: tuple[int, int, int]) -> None:
        import cv2

        cv2.circle(self.color, (round(x), round(y)), max(1, round(radius)), color, -1, cv2.LINE_AA)


_LIGHT = (205, 205, 205)
_BLUE = (90, 190, 235)
_YELLOW = (235, 225, 120)


def _word(rng: np.random.Generator) -> str:
    return "".join(rng.choice(_SYLLABLES, size=int(rng.integers(2, 4)))).capitalize()


def _ruler(canvas: _Canvas, geometry: SectorGeometry, right: bool) -> None:
    rows, columns = canvas.size
    x = columns - 4 * canvas.unit if right else 4 * canvas.unit
    for millimetres in range(0, int(geometry.depth) + 1, 10):
        row = (millimetres - geometry.origin[1]) / geometry.spacing
        if 0 <= row < rows:
            major = millimetres % 50 == 0
            reach = (9 if major else 5) * canvas.unit * (-1 if right else 1)
            canvas.line((x, row), (x + reach, row), _BLUE if major else _LIGHT)


def _focus(canvas: _Canvas, geometry: SectorGeometry, depth: float, right: bool) -> None:
    rows, columns = canvas.size
    row = float(np.clip((depth - geometry.origin[1]) / geometry.spacing, 8, rows - 8))
    u = canvas.unit
    x = columns - 16 * u if right else 16 * u
    canvas.triangle([(x, row), (x - 7 * u, row - 4 * u), (x - 7 * u, row + 4 * u)], _LIGHT)


def _orientation_dot(canvas: _Canvas, geometry: SectorGeometry, rng: np.random.Generator, style: str) -> None:
    u, (_, columns) = canvas.unit, canvas.size
    x = columns * (0.3 if style != "corner" else 0.68)
    color = ((60, 200, 120), (90, 140, 230), (240, 240, 240))[int(rng.integers(3))]
    canvas.disc(x, 14 * u, 5 * u, color)


def _lines(canvas: _Canvas, lines: list[str], left: bool, top: float) -> None:
    rows, columns = canvas.size
    u = canvas.unit
    for number, words in enumerate(lines):
        x = 8 * u if left else columns - 86 * u
        canvas.text(words, x, top * rows + 15 * u * number, _LIGHT)


def _bar(canvas: _Canvas, right: bool) -> None:
    rows, columns = canvas.size
    u = canvas.unit
    height, width = round(110 * u), max(2, round(8 * u))
    x = round(columns - 30 * u) if right else round(columns - 18 * u)
    y = round(0.22 * rows)
    ramp = np.linspace(255, 12, height).astype(np.uint8)
    canvas.color[y : y + height, x : x + width] = ramp[:, None, None]
    canvas.opaque[y : y + height, x : x + width] = True


def _banner(canvas: _Canvas, rng: np.random.Generator, text: list[str]) -> None:
    _, columns = canvas.size
    u = canvas.unit
    height = round(30 * u)
    canvas.color[:height] = (44, 62, 96)
    canvas.opaque[:height] = True
    canvas.text(f"{_word(rng)} {_word(rng)}", 8 * u, 13 * u, (235, 235, 235))
    canvas.text(f"ID {int(rng.integers(10000, 99999))}", 8 * u, 26 * u, (235, 235, 235), 0.32)
    canvas.text(_word(rng), 0.42 * columns, 20 * u, (235, 235, 235))
    canvas.text("  ".join(text[:2]), columns - 120 * u, 13 * u, (235, 235, 235), 0.32)
    canvas.text("  ".join(text[4:6]), columns - 120 * u, 26 * u, (235, 235, 235), 0.32)
    _lines(canvas, text[2:4], left=True, top=0.94)


def _calipers(canvas: _Canvas, rng: np.random.Generator) -> None:
    rows, columns = canvas.size
    u = canvas.unit
    first = rng.uniform(0.3, 0.7, size=2) * (columns, rows)
    second = first + rng.uniform(-0.16, 0.16, size=2) * (columns, rows)
    for x, y in (first, second):
        canvas.line((x - 5 * u, y), (x + 5 * u, y), _YELLOW)
        canvas.line((x, y - 5 * u), (x, y + 5 * u), _YELLOW)
    for share in np.linspace(0.06, 0.94, 14):
        x, y = first + share * (second - first)
        canvas.disc(x, y, 0.6 * u, _YELLOW)
    # A random number, not the distance: printed sizes must not tell what was measured.
    canvas.text(f"+ D {rng.uniform(2, 40):.1f} mm", 8 * u, 0.86 * rows, _YELLOW)
