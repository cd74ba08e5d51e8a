"""FetalEcho Training: module, panel, logic and self-test."""

from typing import Any, NamedTuple

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import *

#
# FetalEchoTrain
#


class FetalEchoTrain(ScriptedLoadableModule):
    """Train FetalEcho models from corrected frames."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("FetalEcho Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["FetalEchoSeg"]
        self.parent.contributors = ["FetalEcho contributors"]
        self.parent.helpText = _(
            "Lists the frames whose masks were corrected. Exporting them, training on them and using the new model"
            " will follow in a later version."
        )
        self.parent.acknowledgementText = ""


#
# FetalEchoTrainWidget
#


class FetalEchoTrainWidget(ScriptedLoadableModuleWidget):
    """Panel: which frames of the scene were corrected."""

    def setup(self) -> None:
        """Build the panel, once, when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/FetalEchoTrain.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = FetalEchoTrainLogic()
        self.ui.refreshButton.connect("clicked(bool)", self.onRefreshButton)

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.onRefreshButton()

    def onRefreshButton(self) -> None:
        """Count the corrected frames again."""
        frames = self.logic.correctedFrames()
        clips = {frame.masks.GetID() for frame in frames}
        self.ui.correctedFramesLabel.setText(
            _("{frames} in {clips} clips").format(frames=len(frames), clips=len(clips))
        )


#
# FetalEchoTrainLogic
#


class CorrectedFrame(NamedTuple):
    """A frame that a person corrected: the mask sequence, the frame's number, and "clicks" or "hand"."""

    masks: Any
    frame: int
    drawnBy: str


class FetalEchoTrainLogic(ScriptedLoadableModuleLogic):
    """What training can use from the scene.

    >>> FetalEchoTrainLogic().correctedFrames()  # doctest: +SKIP
    """

    def correctedFrames(self) -> list[CorrectedFrame]:
        """Frames of the scene whose masks were drawn or changed by a person, clip by clip in order of time."""
        from FetalEchoSegLib.scene.segmentation_nodes import BY_CLICKS, BY_HAND, drawnBy

        found = []
        for masks in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
            if masks.GetDataNodeClassName() != "vtkMRMLSegmentationNode":
                continue
            for frame in range(masks.GetNumberOfDataNodes()):
                author = drawnBy(masks, frame)
                if author in (BY_CLICKS, BY_HAND):
                    found.append(CorrectedFrame(masks, frame, author))
        return found


#
# FetalEchoTrainTest
#


class FetalEchoTrainTest(ScriptedLoadableModuleTest):
    """Runs in Slicer (Reload and Test, CTest) and headless."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self) -> None:
        """Called by Reload and Test."""
        self.setUp()
        self.test_correctedFramesAreFound()

    def test_correctedFramesAreFound(self) -> None:
        """The frame that was drawn is listed, the others are not."""
        import numpy as np
        from FetalEchoSegLib.cine import Cine
        from FetalEchoSegLib.scene.cine_nodes import addCineToScene
        from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, setFrameLabels

        sequence, browser = addCineToScene(Cine.from_array(np.zeros((4, 32, 32), np.uint8)), "Clip")
        masks = addEmptyMasksToScene(sequence, browser, "Masks")
        logic = FetalEchoTrainLogic()
        assert logic.correctedFrames() == []
        setFrameLabels(masks, 2, np.full((32, 32), 2, np.uint8), drawnBy="hand")
        assert [(f.frame, f.drawnBy) for f in logic.correctedFrames()] == [(2, "hand")]
        self.delayDisplay("Test passed")
