"""Clips, volumes, editors and sessions for the tests of clicking: bright blobs, and a model that finds them."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.click_target import targetOfEditor
from FetalEchoSegLib.scene.plane_masks import LogicEditor
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

ROWS, COLUMNS, FRAMES = 48, 64, 4
PATIENCE = 20.0
# Centres (x, y) of the blobs of frame 0; they move right by one pixel a frame.
LEFT, RIGHT, LOW = (14, 14), (44, 14), (30, 36)
RADIUS = 7


def disc(center, radius=RADIUS, shape=(ROWS, COLUMNS)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(x - center[0], y - center[1]) <= radius


def blobs(frame=0, color=False):
    """(H, W) or (H, W, 3) uint8 with three blobs."""
    image = np.full((ROWS, COLUMNS), 20, np.uint8)
    for x, y in (LEFT, RIGHT, LOW):
        image[disc((x + frame, y))] = 220
    return np.repeat(image[..., None], 3, axis=-1) if color else image


def addClip(color=False, frames=FRAMES):
    """(clip sequence, browser, mask sequence) with empty masks."""
    pixels = np.stack([blobs(frame, color) for frame in range(frames)])
    sequence, browser = addCineToScene(Cine.from_array(pixels, frame_rate=25.0, spacing=(0.3, 0.2)), "Clip")
    return sequence, browser, addEmptyMasksToScene(sequence, browser, "Masks")


class Clicks:
    """An editor on a clip or volume, and a session that answers its clicks with the blobs."""

    def __init__(self, session, segmentation, volume, structure=Structure.LEFT_VENTRICLE, view=None):
        self.session, self.view = session, view
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.node.SetAndObserveSegmentationNode(segmentation)
        self.node.SetAndObserveSourceVolumeNode(volume)
        self.editor = LogicEditor(self.node)
        self.select(structure)

    def select(self, structure):
        self.node.SetSelectedSegmentID(structure.info.segment_id if isinstance(structure, Structure) else structure)

    @property
    def target(self):
        return targetOfEditor(self.node, self.view)

    def click(self, position, positive=True):
        self.session.addPoint(self.editor, self.target, *position, positive)
        settle(self.session)

    def undo(self):
        self.editor.logic.Undo()
        self.session.follow(self.target)

    def redo(self):
        self.editor.logic.Redo()
        self.session.follow(self.target)


def onClip(session, browser, masks, structure=Structure.LEFT_VENTRICLE):
    return Clicks(
        session, browser.GetProxyNode(masks), browser.GetProxyNode(browser.GetMasterSequenceNode()), structure
    )


def settle(session):
    """Poll until nothing waits any more."""
    end = time.monotonic() + PATIENCE
    while session.waitingClicks or session.isLoading:
        assert time.monotonic() < end, "waited too long"
        session.poll()
        time.sleep(0.001)
