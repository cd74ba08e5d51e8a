# ruff: noqa: PT009 - Slicer's naming, and unittest is what Slicer's test runner knows
"""Self-tests of the panel for the Slicer application (CTest runs them); pytest runs the same bodies in the test host.

They need no network; the one that segments is skipped where the dependencies are not installed. They work without a
main window, as CTest starts Slicer.
"""

import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer


@unittest.skipUnless(hasattr(slicer, "qMRMLNodeComboBox"), "a panel needs Slicer's widgets")
class FetalEchoPanelSelfTest(unittest.TestCase):
    """The panel, by its own buttons: open, segment, accept, measure, report, save, open again."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        self.representation = slicer.modules.fetalechoseg.widgetRepresentation()
        self.representation.enter()
        self.addCleanup(self.representation.exit)
        self.panel = self.representation.self()
        self.state = self.panel.state
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def widget(self, name):
        return slicer.util.findChild(self.representation, name)

    def waitUntil(self, predicate, seconds=60):
        end = time.monotonic() + seconds
        while not predicate():
            self.assertLess(time.monotonic(), end, f"nothing happened within {seconds} s")
            slicer.app.processEvents()
            time.sleep(0.002)  # gives Python's lock to worker threads

    def isIdle(self):
        return not self.state.isBusy

    def makeClip(self):
        from FetalEchoSegLib.anatomy import View
        from FetalEchoSegLib.phantom.clip import make_named_clip

        return make_named_clip(View.FOUR_CHAMBER, seed=38, frames=12, frame_rate=30.0, image_shape=(128, 128))

    def showTruth(self):
        """A clip with its true masks, as if a model had drawn them."""
        from FetalEchoSegLib.anatomy import View
        from FetalEchoSegLib.prediction import BundleIdentity, Prediction

        made = self.makeClip()
        frames = len(made.labels)
        prediction = Prediction(
            labels=made.labels,
            view=View.FOUR_CHAMBER,
            view_probabilities=np.array([0.97, 0.01, 0.01, 0.01], np.float32),
            view_source="predicted",
            condition_probabilities=np.full((frames, 7), np.nan, np.float32),
            clip_conditions=np.full(7, np.nan, np.float32),
            confidence=np.linspace(0.5, 0.99, frames, dtype=np.float32),
            done=np.ones(frames, bool),
            bundle=BundleIdentity("truth", "1", "0" * 64, "Masks of a phantom."),
        )
        browser = self.panel.logic.addCine(made.cine, "Phantom")
        masks = self.panel.logic.addPrediction(prediction, browser)
        parameters = self.panel.logic.getParameterNode()
        parameters.browser, parameters.masks = browser, masks
        self.waitUntil(lambda: self.state.masks is masks)
        return masks

    def test_fileIsReadAndDescribed(self):
        from PIL import Image

        made = self.makeClip()
        for index in range(3):
            Image.fromarray(made.cine.frame(index)).save(self.folder / f"{index}.png")
        self.widget("pathLineEdit").setCurrentPath(str(self.folder))
        self.widget("loadButton").click()
        self.waitUntil(lambda: self.isIdle() and self.state.frameCount == 3)
        self.assertIn("128 × 128", self.widget("clipLabel").text)
        self.assertIn("no millimetres", self.widget("clipLabel").text)

    def test_resultIsReviewedMeasuredAndReported(self):
        masks = self.showTruth()
        self.state.showFrame(0)
        self.widget("acceptButton").click()
        self.assertEqual(self.panel.logic.acceptedFrames(masks), [0])
        self.widget("nextCheckButton").click()
        self.assertNotEqual(self.state.frame, 0)
        self.widget("weeksSpinBox").setValue(22)
        table = self.widget("measureTable")
        self.waitUntil(lambda: table.rowCount > 0)
        self.assertEqual(table.item(0, 0).text(), "Cardiothoracic area ratio")
        self.widget("reportDirectoryButton").setProperty("directory", str(self.folder))
        for name, wanted in (("htmlCheckBox", False), ("pdfCheckBox", False), ("csvCheckBox", True)):
            self.widget(name).setChecked(wanted)
        self.widget("writeReportButton").click()
        self.waitUntil(lambda: self.isIdle() and len(list(self.folder.glob("*.csv"))) == 3)

    def test_choicesComeBackWithTheScene(self):
        masks = self.showTruth()
        self.widget("weeksSpinBox").setValue(24)
        self.widget("viewComboBox").setCurrentText("4CH")
        self.panel.logic.acceptFrame(masks, 5)
        self.waitUntil(lambda: self.widget("measureTable").rowCount > 0)
        path = self.panel.logic.saveScene(self.folder / "scene.mrb")
        slicer.mrmlScene.Clear(0)
        self.assertIsNone(self.state.browser)
        self.panel.logic.openScene(path)
        self.waitUntil(lambda: self.state.masks is not None)
        self.assertEqual(self.state.frameCount, 12)
        parameters = self.panel.logic.getParameterNode()
        self.assertAlmostEqual(parameters.gestationalAge, 24.0)
        self.assertEqual(parameters.view.value, "4CH")
        self.assertEqual(self.panel.logic.acceptedFrames(self.state.masks), [5])

    def test_applySegments(self):
        from FetalEchoSegLib.dependencies import require_installed
        from FetalEchoSegLib.errors import FetalEchoError

        try:
            require_installed()
        except FetalEchoError as error:
            self.skipTest(str(error))
        browser = self.panel.logic.addCine(self.makeClip().cine, "Phantom")
        self.panel.logic.getParameterNode().browser = browser
        apply = self.widget("applyButton")
        apply.click()
        self.assertEqual(apply.text, "Cancel")
        self.waitUntil(lambda: self.isIdle() and self.state.masks is not None, 300)
        self.assertTrue(self.state.prediction().done.all())
        self.assertEqual(apply.text, "Apply")


if __name__ == "__main__":
    unittest.main()
