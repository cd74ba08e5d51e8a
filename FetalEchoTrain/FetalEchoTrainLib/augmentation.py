"""What differs between scans of one anatomy: position, device settings, shadows. Never the side.

A frame is first placed (``draw_geometry``: turn, zoom, shift, and what of depth and sector is shown), image and masks
alike. Its appearance is varied on top of that (``vary_appearance``), which leaves masks as they are: so the weak view
of an unlabelled frame and its strong views share one geometry, and what a teacher says of the first holds for the
others.

No flip and no quarter turn: laterality is the diagnosis of a right aortic arch. Turns are small, and no matrix mirrors.

Written with OpenCV: MONAI's random transforms cover turns, smoothing and contrast, in some twenty times the time per
frame, and none of what is special to ultrasound (time-gain compensation, speckle, shadows along beams, sector, depth).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .configuration import AugmentationConfig

# What the grey scale of a log-compressed image spans; device settings are in dB and images are not.
_DYNAMIC_RANGE_DB = 60.0
# Below this grey value the frame is its black surround, which no gain lights up.
_BLACK = 0.06
_REFERENCE_SIZE = 256
# Degrees, whatever the configuration: half way to a quarter turn left and right would begin to be up and down.
_LARGEST_TURN = 44.0


@dataclass(frozen=True)
class Geometry:
    """How a frame of (S, S) pixels is placed in a view of it.

    matrix  (2, 3) from the frame's pixels (x, y) to the view's
    shown   (N, 2) corners (x, y) of the convex part of the view that is not black, None for all of it
    """

    size: int
    matrix: np.ndarray
    shown: np.ndarray | None = None

    @classmethod
    def identity(cls, size: int) -> Geometry:
        """The frame as it is."""
        return cls(size, np.eye(2, 3))

    def warp(self, image: np.ndarray, fill: float = 0) -> np.ndarray:
        """(S, S) uint8 labels (by nearest pixel) or float32 values (linearly) in the view, ``fill`` where none are."""
        import cv2

        linear = image.dtype.kind == "f"
        flags = cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST
        moved = cv2.warpAffine(image, self.matrix, (self.size, self.size), flags=flags, borderValue=fill)
        if self.shown is not None:
            moved[self._hidden()] = fill
        return np.asarray(moved)

    def _hidden(self) -> np.ndarray:
        import cv2

        shown = np.zeros((self.size, self.size), dtype=np.uint8)
        cv2.fillConvexPoly(shown, np.round(np.asarray(self.shown)).astype(np.int32), 1)
        return shown == 0


def augment(
    image: np.ndarray, mask: np.ndarray, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One random view of an (S, S) uint8 frame, float32 in 0..1, and of its (S, S) uint8 mask."""
    geometry = draw_geometry(config, image.shape[0], rng)
    placed = geometry.warp(image.astype(np.float32) / 255)
    return vary_appearance(placed, config, rng), geometry.warp(mask)


def draw_geometry(config: AugmentationConfig, size: int, rng: np.random.Generator) -> Geometry:
    """A random placement of a frame of (size, size) pixels."""
    import cv2

    strength = config.strength
    angle = rng.uniform(-1, 1) * min(config.rotation * strength, _LARGEST_TURN)
    zoom = 1 + rng.uniform(-1, 1) * min(config.zoom * strength, 0.9)
    shift = rng.uniform(-1, 1, 2) * config.shift * strength * size
    centre = (size - 1) / 2
    matrix = np.asarray(cv2.getRotationMatrix2D((centre, centre), angle, zoom))
    matrix[:, 2] = matrix[:, 2] + shift
    cropped = rng.random() < min(config.depth_crop * strength, 1)
    return Geometry(size, matrix, _field_of_view(size, rng) if cropped else None)


def _field_of_view(size: int, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) corners of what a smaller depth or a narrower sector leaves: one side of the image cut off."""
    last = size - 1.0
    cut = rng.uniform(0.05, 0.22) * size
    side = int(rng.integers(4))
    if side == 0:  # near field
        return np.array([(0, cut), (last, cut), (last, last), (0, last)])
    if side == 1:  # far field
        return np.array([(0, 0), (last, 0), (last, last - cut), (0, last - cut)])
    # A beam from above the image is the new border: more is missing deep than at the top.
    near, far = rng.uniform(0, 0.5) * cut, cut
    if side == 2:
        return np.array([(near, 0), (last, 0), (last, last), (far, last)])
    return np.array([(0, 0), (last - near, 0), (last - far, last), (0, last)])


def vary_appearance(image: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """(S, S) float32 in 0..1 as another device, with other settings, would show the same section."""
    strength = config.strength
    image = _with_gain(image, config, rng)
    image = image ** np.float32(np.exp(rng.uniform(-1, 1) * config.contrast * strength))
    if rng.random() < 0.5:
        image = _blurred(image, config.blur * strength, rng)
    if rng.random() < 0.7:
        image = _with_speckle(image, config.speckle * strength, rng)
    if rng.random() < min(config.shadow * strength, 1):
        image = image * _shadow(image.shape[0], rng)
    image = np.clip(image, 0, 1).astype(np.float32)
    if rng.random() < min(config.jpeg * strength, 1):
        image = _compressed(image, int(rng.integers(25, 85)))
    return image


def _with_gain(image: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """Gain of the whole and by depth: added in dB, because the image is log-compressed."""
    sliders = rng.uniform(-1, 1, 6) * config.tgc
    rows = np.arange(image.shape[0])
    curve = np.interp(rows, np.linspace(0, image.shape[0] - 1, len(sliders)), sliders)
    gain = (rng.uniform(-1, 1) * config.gain + curve) * config.strength / _DYNAMIC_RANGE_DB
    seen = np.minimum(image / _BLACK, 1)
    return np.clip(image + seen * gain[:, None].astype(np.float32), 0, 1)


def _blurred(image: np.ndarray, largest: float, rng: np.random.Generator) -> np.ndarray:
    """Blurred along depth and, more, across it, as wider beams do; or sharpened by the same amount."""
    import cv2

    deviation = max(rng.random() * largest * image.shape[0] / _REFERENCE_SIZE, 0.05)
    smooth = cv2.GaussianBlur(image, (0, 0), sigmaX=deviation * rng.uniform(1, 2), sigmaY=deviation)
    return np.asarray(smooth if rng.random() < 0.7 else 1.6 * image - 0.6 * smooth)


def _with_speckle(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Multiplied by noise with the grain of speckle: finer along depth than across."""
    import cv2

    size = image.shape[0]
    scale = size / _REFERENCE_SIZE
    noise = rng.standard_normal((size, size), dtype=np.float32)
    across, along = rng.uniform(0.6, 1.6) * scale, rng.uniform(0.4, 0.9) * scale
    grain = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=max(across, 0.05), sigmaY=max(along, 0.05)))
    return image * (1 + np.float32(rng.random() * deviation / (grain.std() + 1e-6)) * grain)


def _shadow(size: int, rng: np.random.Generator) -> np.ndarray:
    """(S, S) float32 factor of a shadow: a wedge of beams behind some depth, 8 to 25 dB darker, with soft borders."""
    x, y = np.meshgrid(np.linspace(-1, 1, size, dtype=np.float32), np.linspace(0, 2, size, dtype=np.float32))
    apex = rng.uniform(0.5, 1.2)  # above the image
    angle = np.arctan2(x, y + apex)
    middle, half = rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.12)
    across = _soft_step((half - np.abs(angle - middle)) / 0.015)
    behind = _soft_step((y - rng.uniform(0.1, 1.2)) / 0.05)
    # Grey values fall as dB do.
    darkness = rng.uniform(8, 25) / _DYNAMIC_RANGE_DB
    return (1 - min(2.2 * darkness, 0.95) * across * behind).astype(np.float32)


def _soft_step(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    import cv2

    _, data = cv2.imencode(".jpg", (image * 255 + 0.5).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)).astype(np.float32) / 255
