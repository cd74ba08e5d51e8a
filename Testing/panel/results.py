"""Clips and results for tests of panels, made without a network."""

from __future__ import annotations

import numpy as np
from FetalEchoSegLib.anatomy import View, permitted_conditions, permitted_labels
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.prediction import BundleIdentity, Prediction

NOTICE = "Trained on synthetic data only."


def makeCine(frames=12, shape=(96, 128)):
    """A clip of noise at 25 frames a second, calibrated."""
    pixels = np.random.default_rng(7).integers(0, 256, (frames, *shape), dtype=np.uint8)
    return Cine.from_array(pixels, frame_rate=25.0, timing="FrameTime", spacing=(0.3, 0.3), calibration="user")


def makeResult(cine, confidence, view=View.FOUR_CHAMBER, notes=()):
    """Every structure of the view as a disc that beats, and probabilities; NaN in ``confidence`` was not segmented."""
    confidence = np.asarray(confidence, dtype=np.float32)
    done = np.isfinite(confidence)
    labels = np.zeros((len(cine), *cine.image_shape), dtype=np.uint8)
    rows, columns = np.indices(cine.image_shape)
    structures = permitted_labels(view)[1:]
    for frame in np.flatnonzero(done):
        for position, label in enumerate(structures):
            radius = 7 + np.cos(2 * np.pi * frame / 10)
            middle = (20 + 30 * (position // 4), 20 + 28 * (position % 4))
            labels[frame][np.hypot(rows - middle[0], columns - middle[1]) < radius] = label
    conditions = np.full((len(cine), 7), np.nan, dtype=np.float32)
    conditions[np.ix_(done, [int(c) for c in permitted_conditions(view)])] = 0.6
    return Prediction(
        labels=labels,
        view=view,
        view_probabilities=np.array([0.7, 0.1, 0.15, 0.05], dtype=np.float32),
        view_source="predicted",
        condition_probabilities=conditions,
        clip_conditions=conditions[done].mean(axis=0),
        confidence=confidence,
        done=done,
        bundle=BundleIdentity("demo-tiny", "1", "ab" * 32, NOTICE),
        notes=(*notes, NOTICE),
    )
