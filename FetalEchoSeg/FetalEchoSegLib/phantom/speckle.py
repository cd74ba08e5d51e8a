"""Speckle: complex Gaussian textures fixed in material coordinates, and receiver noise.

Scatterers far below the resolution add up to a circular complex Gaussian field, whose envelope is Rayleigh
distributed (mean over standard deviation 1.91). The field is sampled at the reference position of the material, so
speckle travels with the tissue. It is band-limited to a few texture samples, which makes bilinear look-up at any
sub-sample position free of flicker; being the complex envelope (baseband), it needs no carrier to be resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

TEXTURE_STEP = 0.1  # mm per texture sample
TEXTURE_SIZE = 1024  # samples; the texture repeats after 102 mm, wider than any chest
TEXTURE_SIGMA = 0.11  # mm, Gaussian blur of the scatterer field: below every pulse length
_GRAIN_SIGMA = 0.35  # mm
_BANK_SEED = 20050726


@dataclass(frozen=True)
class Textures:
    """Periodic maps on a grid of ``TEXTURE_STEP``.

    scatterers  (N, N, 4) float32: real and imaginary part of two independent fields of unit power
    grain       (N, N) float32: zero mean, unit spread, with sparse peaks; modulates backscatter in dB
    """

    scatterers: np.ndarray
    grain: np.ndarray


@lru_cache(maxsize=1)
def textures() -> Textures:
    """The one bank of textures; clips differ by where they look into it (0.3 s on first use)."""
    rng = np.random.default_rng(_BANK_SEED)
    shape = (TEXTURE_SIZE, TEXTURE_SIZE)
    fields = []
    for _ in range(4):
        field = blur_periodic(rng.standard_normal(shape, dtype=np.float32), TEXTURE_SIGMA / TEXTURE_STEP)
        fields.append((field - field.mean()) / (field.std() * np.sqrt(2)))
    grain = blur_periodic(rng.standard_normal(shape, dtype=np.float32), _GRAIN_SIGMA / TEXTURE_STEP)
    coarse = blur_periodic(rng.standard_normal(shape, dtype=np.float32), 6 * _GRAIN_SIGMA / TEXTURE_STEP)
    grain = 0.6 * grain / grain.std() + 0.8 * coarse / coarse.std()
    # Sparse strong scatterers (about one in 4 mm²): partially developed speckle, homodyned-K rather than Rayleigh.
    peaks = (rng.random(shape, dtype=np.float32) < 0.25 * TEXTURE_STEP**2).astype(np.float32)
    peaks = blur_periodic(peaks, 1.2)
    grain += 2.2 * peaks / peaks.max()
    return Textures(np.ascontiguousarray(np.stack(fields, axis=-1)), grain - np.float32(grain.mean()))


def blur_periodic(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a periodic float32 map (OpenCV's filters know no wrapping border)."""
    import cv2

    margin = int(np.ceil(4 * sigma))
    wrapped = cv2.copyMakeBorder(field, margin, margin, margin, margin, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(wrapped, (0, 0), sigma)
    return np.ascontiguousarray(blurred[margin:-margin, margin:-margin])


def material_maps(points: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 2) material mm to texture indices (x, y) float32, wrapped into one period."""
    period = TEXTURE_SIZE * TEXTURE_STEP
    index = np.mod(points + offset, period) * np.float32(1 / TEXTURE_STEP)
    return np.ascontiguousarray(index[..., 0], dtype=np.float32), np.ascontiguousarray(index[..., 1], dtype=np.float32)


def sample_scatterers(map_x: np.ndarray, map_y: np.ndarray, phase: float, looks: int = 1) -> np.ndarray:
    """Complex field (..., 2·looks) float32 of unit power at texture indices; one or two independent looks.

    ``phase`` radians turns one independent field into another: two moments with phases a and b are correlated by
    cos(a - b), the slow decorrelation that tissue leaving the plane causes.
    """
    import cv2

    both = cv2.remap(textures().scatterers, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    turn = np.array([[np.cos(phase), np.sin(phase)], [-np.sin(phase), np.cos(phase)]])[:looks]
    return cv2.transform(both, np.kron(turn, np.eye(2)))


def sample_grain(map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """Grain (...) float32 at texture indices."""
    import cv2

    return cv2.remap(textures().grain, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def noise_bank(rng: np.random.Generator, shape: tuple[int, int], axial_sigma: float) -> np.ndarray:
    """Receiver noise (2·rows, lines + 64, 2) float32 of unit power, band-limited along the range like the pulse."""
    import cv2

    noise: np.ndarray = rng.standard_normal((2 * shape[0], shape[1] + 64, 2), dtype=np.float32)
    if axial_sigma > 0:
        noise = cv2.GaussianBlur(noise, (1, 0), sigmaX=0.01, sigmaY=axial_sigma)
    return noise / np.float32(np.sqrt(np.mean(noise**2) * 2))
