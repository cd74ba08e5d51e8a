# ruff: noqa: PT009 - Slicer's naming, and unittest is what Slicer's test runner knows
"""Self-tests for the Slicer application (CTest runs them); pytest runs the same bodies on slicer-core.

They need no network and no model.
"""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer


class FetalEchoSceneSelfTest(unittest.TestCase):
    """A segmented clip in the scene, through a file, and through the editor."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def makeClip(self):
        from FetalEchoSegLib.cine import Cine
        from FetalEchoSegLib.scene.cine_nodes import addCineToScene
        from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

        frames = np.arange(5 * 40 * 50, dtype=np.uint32).reshape(5, 40, 50).astype(np.uint8)
        sequence, browser = addCineToScene(Cine.from_array(frames, frame_rate=25.0, spacing=(0.3, 0.2)), "Clip")
        masks = addEmptyMasksToScene(sequence, browser, "Masks")
        labels = np.zeros((5, 40, 50), dtype=np.uint8)
        for index in range(5):
            labels[index, 5 + index : 15 + index, 10:30] = 2
            labels[index, 20 + index : 30 + index, 10:30] = 4
            setFrameLabels(masks, index, labels[index])
        return browser, masks, frames, labels

    def test_browsingDoesNotAnnotate(self):
        from FetalEchoSegLib.scene.segmentation_nodes import labelsFromSegmentationSequence

        browser, masks, _, labels = self.makeClip()
        for index in (0, 4, 2, 3, 1):
            browser.SetSelectedItemNumber(index)
        np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)

    def test_editStaysOnItsFrame(self):
        from FetalEchoSegLib.scene.segmentation_nodes import labelsFromSegmentationSequence

        browser, masks, _, labels = self.makeClip()
        browser.SetSelectedItemNumber(3)
        reference = browser.GetProxyNode(browser.GetMasterSequenceNode())
        drawn = np.zeros((1, 40, 50), dtype=np.uint8)
        drawn[0, 0:4, 40:50] = 1
        proxy = browser.GetProxyNode(masks)
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, proxy, "Trachea", reference)
        browser.SetSelectedItemNumber(0)
        labels[3, 0:4, 40:50] = 14
        np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), labels)

    def test_sceneComesBackEqual(self):
        from FetalEchoSegLib.scene.cine_nodes import cineFromSequence
        from FetalEchoSegLib.scene.io import openScene, saveScene
        from FetalEchoSegLib.scene.segmentation_nodes import labelsFromSegmentationSequence

        _, _, frames, labels = self.makeClip()
        with tempfile.TemporaryDirectory() as folder:
            openScene(saveScene(Path(folder, "clip.mrb")))
        browser = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
        np.testing.assert_array_equal(labelsFromSegmentationSequence(browser), labels)
        cine = cineFromSequence(browser)
        np.testing.assert_array_equal(cine.frames, frames)
        self.assertEqual(cine.spacing, (0.3, 0.2))
        self.assertAlmostEqual(cine.frame_rate, 25.0)


if __name__ == "__main__":
    unittest.main()
