"""One scene for the process, empty for every test; an error that VTK only prints fails the test."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="scene tests need the slicer-core package")

from FetalEchoSegLib.anatomy import View, permitted_conditions, permitted_labels
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.prediction import BundleIdentity, Prediction
from FetalEchoSegLib.scene.headless import collectedVtkErrors, startHeadlessSlicer

startHeadlessSlicer()  # before anything that imports slicer's nodes

from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.segmentation_nodes import addPredictionToScene

REPOSITORY = Path(__file__).resolve().parents[2]
for module in ("FetalEchoSeg", "FetalEchoTrain"):
    sys.path.insert(0, str(REPOSITORY / module))

FRAMES, ROWS, COLUMNS = 6, 48, 64


@pytest.fixture(autouse=True)
def scene():
    """The empty scene."""
    import slicer

    slicer.mrmlScene.Clear(0)
    with collectedVtkErrors() as errors:
        yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)
    assert not errors, errors


@pytest.fixture
def frames():
    return np.random.default_rng(7).integers(0, 256, (FRAMES, ROWS, COLUMNS), dtype=np.uint8)


@pytest.fixture
def cine(frames):
    return Cine.from_array(
        frames, frame_rate=25.0, timing="FrameTime", spacing=(0.31, 0.22), calibration="dicom region 0"
    )


def makeLabels(view=View.FOUR_CHAMBER, shape=(FRAMES, ROWS, COLUMNS)):
    """Every label that the view permits, as a bar that moves down by one row a frame."""
    labels = np.zeros(shape, dtype=np.uint8)
    for frame in labels:
        for position, label in enumerate(permitted_labels(view)[1:]):
            frame[4 + position * 5 : 8 + position * 5, 3 + label : 20 + label] = label
    return np.stack([np.roll(frame, t, axis=0) for t, frame in enumerate(labels)])


def makePrediction(labels, view=View.FOUR_CHAMBER, done=None):
    count = len(labels)
    rng = np.random.default_rng(3)
    conditions = np.full((count, 7), np.nan, dtype=np.float32)
    permitted = [int(c) for c in permitted_conditions(view)]
    conditions[:, permitted] = rng.random((count, len(permitted)), dtype=np.float32)
    done = np.ones(count, dtype=bool) if done is None else done
    conditions[~done] = np.nan
    return Prediction(
        labels=labels,
        view=view,
        view_probabilities=np.array([0.7, 0.1, 0.15, 0.05], dtype=np.float32),
        view_source="predicted",
        condition_probabilities=conditions,
        clip_conditions=conditions[done].mean(axis=0),
        confidence=rng.random(count, dtype=np.float32),
        done=done,
        bundle=BundleIdentity("demo-tiny", "1.0", "ab" * 32, "Trained on synthetic data only"),
        notes=('Größe; "quoted" | piped',),
    )


@pytest.fixture
def segmented(cine):
    """(clip sequence, browser, mask sequence, labels) of a segmented four-chamber clip."""
    labels = makeLabels()
    sequence, browser = addCineToScene(cine, "Clip")
    masks = addPredictionToScene(makePrediction(labels), sequence, browser)
    return sequence, browser, masks, labels
