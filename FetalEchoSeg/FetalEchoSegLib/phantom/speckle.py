"""Speckle: complex Gaussian textures fixed in material coordinates, and receiver noise.

Scatterers far below the resolution add up to a circular complex Gaussian field, whose envelope is Rayleigh
distributed (mean over standard deviation 1.91). The field is sampled at the reference position of the material, so
speckle travels with the tissue. It is band-limited to a few texture samples, which makes bilinear look-up at any
sub-sample position free of flicker; being the complex envelope (baseband), it needs no carrier to be resampled.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

TEXTURE_STEP = 0.1  # mm per texture sample
TEXTURE_SIZE = 640  # samples; the texture repeats after 64 mm, wider than most chests, and fits a processor's cache
# Blur of the scatterer field in mm, narrower than every pulse and beam. Scan lines lie 0.35 mm apart: without the
# lateral part a scatterer would vanish between two of them and speckle would boil whenever tissue moves sideways.
AXIAL_SIGMA, LATERAL_SIGMA = 0.11, 0.22
_ANGLES = 12  # beam directions for which a texture is kept: each 6.5 MB
_GRAIN_SIGMA = 0.35  # mm
_BANK_SEED = 20050726


@lru_cache(maxsize=_ANGLES)
def _oriented_scatterers(index: int) -> np.ndarray:
    """(N, N, 4) float32: real and imaginary part of two independent fields of unit power.

    Periodic on a grid of ``TEXTURE_STEP``; blurred for a beam along the angle index·180°/12 from the x axis. The one
    set of scatterers serves all clips, which differ by where they look into it (0.1 s on first use of an angle).
    """
    from scipy import fft

    angle = np.pi * index / _ANGLES
    along_x = fft.rfftfreq(TEXTURE_SIZE, TEXTURE_STEP).astype(np.float32)[None, :]
    along_y = fft.fftfreq(TEXTURE_SIZE, TEXTURE_STEP).astype(np.float32)[:, None]
    axial = along_x * np.float32(np.cos(angle)) + along_y * np.float32(np.sin(angle))
    lateral = along_y * np.float32(np.cos(angle)) - along_x * np.float32(np.sin(angle))
    transfer = np.exp(-2 * np.pi**2 * (np.square(AXIAL_SIGMA * axial) + np.square(LATERAL_SIGMA * lateral)))
    fields = []
    for spectrum in _white_spectra():
        field = fft.irfft2(spectrum * transfer, s=(TEXTURE_SIZE, TEXTURE_SIZE))
        fields.append((field - field.mean()) / (field.std() * np.sqrt(2)))
    return np.ascontiguousarray(np.stack(fields, axis=-1), dtype=np.float32)


@lru_cache(maxsize=1)
def _white_spectra() -> tuple[np.ndarray, ...]:
    from scipy import fft

    rng = np.random.default_rng(_BANK_SEED)
    return tuple(fft.rfft2(rng.standard_normal((TEXTURE_SIZE, TEXTURE_SIZE), dtype=np.float32)) for _ in range(4))


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """(N, N) float32 of zero mean and about unit spread with sparse peaks; modulates backscatter in dB."""
    rng = np.random.default_rng(_BANK_SEED + 1)
    shape = (TEXTURE_SIZE, TEXTURE_SIZE)
    fine = blur_periodic(rng.standard_normal(shape, dtype=np.float32), _GRAIN_SIGMA / TEXTURE_STEP)
    coarse = blur_periodic(rng.standard_normal(shape, dtype=np.float32), 6 * _GRAIN_SIGMA / TEXTURE_STEP)
    grain = 0.6 * fine / fine.std() + 0.8 * coarse / coarse.std()
    # Sparse strong scatterers (about one in 4 mm²): partially developed speckle, homodyned-K rather than Rayleigh.
    peaks = (rng.random(shape, dtype=np.float32) < 0.25 * TEXTURE_STEP**2).astype(np.float32)
    peaks = blur_periodic(peaks, 1.2)
    grain += 2.2 * peaks / peaks.max()
    return grain - np.float32(grain.mean())


def blur_periodic(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a periodic float32 map (OpenCV's filters know no wrapping border)."""
    import cv2

    margin = int(np.ceil(4 * sigma))
    wrapped = cv2.copyMakeBorder(field, margin, margin, margin, margin, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(wrapped, (0, 0), sigma)
    return np.ascontiguousarray(blurred[margin:-margin, margin:-margin])


def material_maps(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 2) float32 material mm to texture indices (x, y) float32, wrapped into one period."""
    maps = []
    for axis in (0, 1):
        index = points[..., axis] * np.float32(1 / TEXTURE_STEP)
        index -= TEXTURE_SIZE * np.floor(index * np.float32(1 / TEXTURE_SIZE))  # np.mod is ten times slower
        maps.append(index)
    return maps[0], maps[1]


def sample_scatterers(
    map_x: np.ndarray, map_y: np.ndarray, beam: np.ndarray, phase: float, looks: int = 1
) -> np.ndarray:
    """Complex field (..., 2·looks) float32 of unit power at texture indices; one or two independent looks.

    ``beam`` (2,) is the mean direction of the scan lines in material coordinates. ``phase`` radians turns one
    independent field into another: two moments with phases a and b are correlated by cos(a - b), the slow
    decorrelation that tissue leaving the plane causes.
    """
    import cv2

    index = round(float(np.arctan2(beam[1], beam[0])) / np.pi * _ANGLES) % _ANGLES
    both = cv2.remap(_oriented_scatterers(index), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    turn = np.array([[np.cos(phase), np.sin(phase)], [-np.sin(phase), np.cos(phase)]])[:looks]
    return cv2.transform(both, np.kron(turn, np.eye(2)))


def sample_grain(map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """Grain (...) float32 at texture indices."""
    import cv2

    return cv2.remap(_grain(), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def noise_bank(rng: np.random.Generator, shape: tuple[int, int], axial_sigma: float) -> np.ndarray:
    """Receiver noise (2·rows, lines + 64, 2) float32 of unit power, band-limited along the range like the pulse."""
    import cv2

    noise: np.ndarray = rng.standard_normal((2 * shape[0], shape[1] + 64, 2), dtype=np.float32)
    if axial_sigma > 0:
        noise = cv2.GaussianBlur(noise, (1, 0), sigmaX=0.01, sigmaY=axial_sigma)
    return noise / np.float32(np.sqrt(np.mean(noise**2) * 2))
