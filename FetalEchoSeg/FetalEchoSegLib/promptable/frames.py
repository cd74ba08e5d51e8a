"""Any image as the uint8 frame that a promptable model sees."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidRequest

_SHARES = (0.5, 99.5)  # percent of the pixels that become black and white


def as_frame(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 from a slice of any scalar type; uint8 passes as it is.

    image  (H, W), (H, W, 1), (H, W, 3) or (H, W, 4: the last is opacity and dropped)
    Other types are stretched so that half a percent of the pixels is black and half a percent white, whatever window
    and level a viewer shows. Raises InvalidRequest for other shapes and empty images.
    """
    if image.ndim == 3 and image.shape[2] in (1, 4):
        image = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or 0 in image.shape:
        raise InvalidRequest(f"An image to click on must be grey or RGB, not of shape {image.shape}.")
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * np.uint8(255)
    values = image.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(image.shape, dtype=np.uint8)
    low, high = np.percentile(values[finite], _SHARES)
    if high <= low:
        low, high = float(values[finite].min()), float(values[finite].max())
    values[~finite] = low
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
