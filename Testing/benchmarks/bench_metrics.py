"""DSC and NSD: the product's version against a straightforward one of the same definition, in one run."""

from __future__ import annotations

import time

import numpy as np
from FetalEchoSegLib.anatomy import N_LABELS, View, permitted_structures
from FetalEchoSegLib.metrics import compare_masks
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter


def straightforward_agreement(prediction: np.ndarray, truth: np.ndarray, tolerance: float = 2.0) -> np.ndarray:
    """(2, 14) DSC and NSD, NaN where not counted: one structure at a time, by erosion and distance transform."""
    result = np.full((2, N_LABELS - 1), np.nan)
    for label in range(1, N_LABELS):
        ours, theirs = prediction == label, truth == label
        pixels = int(ours.sum()) + int(theirs.sum())
        if pixels == 0:
            continue
        result[0, label - 1] = 2.0 * int((ours & theirs).sum()) / (pixels + 1e-8)
        result[1, label - 1] = _straightforward_nsd(ours, theirs, tolerance)
    return result


def _straightforward_nsd(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> float:
    if not ours.any() or not theirs.any():
        return 0.0
    our_surface, their_surface = ours ^ binary_erosion(ours), theirs ^ binary_erosion(theirs)
    to_theirs = distance_transform_edt(~their_surface)[our_surface]
    to_ours = distance_transform_edt(~our_surface)[their_surface]
    return (float((to_theirs <= tolerance).mean()) + float((to_ours <= tolerance).mean())) / 2.0


def smooth_masks(view: View, seed: int, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """A random truth with the view's structures as smooth regions, and a prediction that is a little off."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, *permitted_structures(view)], dtype=np.uint8)
    fields = np.stack([gaussian_filter(rng.standard_normal((size, size)), size / 16) for _ in labels])
    other = fields + 0.15 * fields.std() * np.stack(
        [gaussian_filter(rng.standard_normal((size, size)), size / 64) * size / 8 for _ in labels]
    )
    fields[0] += fields.std()
    other[0] += fields.std()
    return labels[other.argmax(axis=0)], labels[fields.argmax(axis=0)]


def run(repeats: int = 3, images_per_view: int = 3) -> list[tuple[str, float, str]]:
    """(name, value, unit); fails when the two versions differ in any digit."""
    rows: list[tuple[str, float, str]] = []
    totals = np.zeros(2)
    for view in View:
        times = np.zeros(2)
        for seed in range(images_per_view):
            prediction, truth = smooth_masks(view, seed)
            best = np.full(2, np.inf)
            for _ in range(repeats):
                begin = time.perf_counter()
                fast = compare_masks(prediction, truth)
                middle = time.perf_counter()
                slow = straightforward_agreement(prediction, truth)
                best = np.minimum(best, (middle - begin, time.perf_counter() - middle))
                np.testing.assert_array_equal(np.stack([fast.dice, fast.nsd]), slow)
            times += best / images_per_view
        totals += times
        rows.append((f"DSC + NSD, {view.short}, straightforward, 512 x 512", 1e3 * times[1], "ms/image"))
        rows.append((f"DSC + NSD, {view.short}, ours, every digit equal", 1e3 * times[0], "ms/image"))
        rows.append((f"DSC + NSD, {view.short}, speed-up (goal 20)", times[1] / times[0], "x"))
    rows.append(("DSC + NSD, all views, speed-up (goal 20)", totals[1] / totals[0], "x"))
    return rows


if __name__ == "__main__":
    for name, value, unit in run():
        print(f"{name:60} {value:8.2f} {unit}")
