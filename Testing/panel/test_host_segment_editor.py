"""The host's Segment Editor does to an unchanged scripted effect what Slicer's does."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest
import slicer

from .host import driver

ROWS, COLUMNS = 60, 80
EFFECT = """
    import logging

    import numpy as np
    import qt
    import slicer
    import vtk
    from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
    from vtk.util.numpy_support import vtk_to_numpy


    class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
        '''Paints a disk where one clicks.'''

        def __init__(self, scriptedEffect):
            scriptedEffect.name = "Disk"
            scriptedEffect.title = "Disk brush"
            scriptedEffect.perSegment = True
            AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
            self.calls = []
            self.ijk = None

        def clone(self):
            import qSlicerSegmentationsEditorEffectsPythonQt as effects

            clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
            clonedEffect.setPythonSource(__file__.replace("\\\\", "/"))
            return clonedEffect

        def helpText(self):
            return "Click to paint."

        def setupOptionsFrame(self):
            self.radius = qt.QSpinBox()
            self.radius.setObjectName("radiusSpinBox")
            self.scriptedEffect.addLabeledOptionsWidget("Radius:", self.radius)
            self.radius.connect("valueChanged(int)", lambda value: self.updateMRMLFromGUI())

        def setMRMLDefaults(self):
            self.scriptedEffect.setParameterDefault("Radius", 3)

        def updateGUIFromMRML(self):
            self.calls.append("updateGUIFromMRML")
            blocked = self.radius.blockSignals(True)
            self.radius.setValue(self.scriptedEffect.integerParameter("Radius"))
            self.radius.blockSignals(blocked)

        def updateMRMLFromGUI(self):
            self.scriptedEffect.setParameter("Radius", self.radius.value)

        def activate(self):
            self.calls.append("activate")

        def deactivate(self):
            self.calls.append("deactivate")

        def cleanup(self):
            self.calls.append("cleanup")

        def sourceVolumeNodeChanged(self):
            self.calls.append("sourceVolumeNodeChanged")

        def layoutChanged(self):
            self.calls.append("layoutChanged")

        def processViewNodeEvents(self, viewNode, eventId, viewWidget):
            if eventId == vtk.vtkCommand.ModifiedEvent:
                self.calls.append(f"{viewNode.GetLayoutName()} view")

        def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
            name = vtk.vtkCommand.GetStringFromEventId(eventId)
            self.calls.append((name, bool(callerInteractor.GetControlKey()), bool(callerInteractor.GetShiftKey())))
            if viewWidget.className() != "qMRMLSliceWidget" or eventId != vtk.vtkCommand.LeftButtonPressEvent:
                return False
            if self.scriptedEffect.confirmCurrentSegmentVisible() == self.scriptedEffect.NotConfirmed:
                return True
            labelmap = self.scriptedEffect.defaultModifierLabelmap()
            node = self.scriptedEffect.parameterSetNode().GetSegmentationNode()
            xy = callerInteractor.GetEventPosition()
            self.ijk = self.xyToIjk(xy, viewWidget, labelmap, node.GetParentTransformNode())
            shape = tuple(reversed(labelmap.GetDimensions()))
            voxels = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(shape)
            places = np.moveaxis(np.indices(shape), 0, -1) - self.ijk[::-1]
            voxels[(places**2).sum(-1) <= self.scriptedEffect.integerParameter("Radius") ** 2] = 1
            labelmap.Modified()
            self.scriptedEffect.saveStateForUndo()
            modes = slicer.qSlicerSegmentEditorAbstractEffect
            mode = modes.ModificationModeRemove if callerInteractor.GetControlKey() else modes.ModificationModeAdd
            self.scriptedEffect.modifySelectedSegmentByLabelmap(labelmap, mode)
            return True
"""


@pytest.fixture
def effectFile(tmp_path):
    folder = tmp_path / "SegmentEditorDiskLib"
    folder.mkdir()
    file = folder / "SegmentEditorEffect.py"
    file.write_text(textwrap.dedent(EFFECT))
    yield file
    sys.modules.pop(folder.name, None)
    vars(slicer).pop(folder.name, None)


@pytest.fixture
def registered(effectFile):
    return register(effectFile)


def register(file):
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    assert effect.setPythonSource(file.as_posix())
    effect.self().register()
    return effect


@pytest.fixture
def volume():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Clip")
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetSpacing(0.5, 0.5, 1.0)
    slicer.util.updateVolumeFromArray(node, np.arange(3 * ROWS * COLUMNS, dtype=np.int16).reshape(3, ROWS, COLUMNS))
    node.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def segmentation(volume):
    return addSegmentation(volume)


def addSegmentation(volume, *names):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Heart")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in names or ("LV", "RV"):
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


def voxels(segmentation, segmentID="LV", volume=None):
    """(K, J, I) uint8, in the geometry of the volume."""
    reference = volume or slicer.util.getNode("Clip")
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, reference)


@pytest.fixture
def editor(registered, segmentation, volume):
    """An editor on the clip, with the effect in use."""
    editor = driver.segment_editor()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    driver.choose_effect(editor, "Disk")
    return editor


@pytest.mark.parametrize("ijk", [(40, 30, 1), (10, 12, 1), (70.3, 50.2, 1)])
def test_the_effect_sees_the_voxel_that_is_clicked(editor, segmentation, ijk):
    driver.click_slice(driver.slice_view("Red"), ijk=ijk)
    i, j, k = (round(value) for value in ijk)
    assert editor.activeEffect().self().ijk == [i, j, k]
    painted = voxels(segmentation)
    assert painted[k, j, i] == painted[k, j, i + 3] == 1
    assert painted[k, j, i + 4] == 0
