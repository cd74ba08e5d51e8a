"""The host's Segment Editor does to an unchanged scripted effect what Slicer's does."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest
import slicer
import vtk
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from vtk.util.numpy_support import vtk_to_numpy

from .host import driver, leaks, pythonqt

ROWS, COLUMNS = 60, 80
EFFECT = """
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


@pytest.mark.parametrize(
    ("name", "orientation"),
    [("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"), ("Red", "Sagittal"), ("Yellow", "Coronal")],
)
@pytest.mark.parametrize("zoom", [0.6, 1.0, 3.0])
def test_every_orientation_and_zoom_leads_to_the_voxel(editor, volume, name, orientation, zoom):
    view, ijk = driver.slice_view(name), (43, 27, 1)
    node = view.mrmlSliceNode()
    node.SetOrientation(orientation)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    node.JumpSliceByCentering(*matrix.MultiplyPoint((*ijk, 1))[:3])
    x, y, z = node.GetFieldOfView()
    node.SetFieldOfView(x / zoom, y / zoom, z)
    driver.click_slice(view, ijk=ijk)
    assert editor.activeEffect().self().ijk == list(ijk)


def test_an_oblique_view_leads_to_the_voxel(editor, volume):
    view = driver.slice_view("Red")
    turn = vtk.vtkTransform()
    turn.RotateZ(25)
    matrix = view.mrmlSliceNode().GetSliceToRAS()
    vtk.vtkMatrix4x4.Multiply4x4(turn.GetMatrix(), matrix, matrix)
    view.mrmlSliceNode().UpdateMatrices()
    driver.click_slice(view, ijk=(50, 20, 1))
    assert editor.activeEffect().self().ijk == [50, 20, 1]


def test_helpers_turn_places_into_each_other(editor):
    effect, widget = editor.activeEffect().self(), slicer.app.layoutManager().sliceWidget("Red")
    image = effect.scriptedEffect.defaultModifierLabelmap()
    ras = effect.xyToRas((120, 90), widget)
    assert effect.xyzToRas((120, 90, 0), widget) == pytest.approx(ras)
    assert effect.rasToXy(ras, widget) in ([120, 90], [119, 90], [120, 89], [119, 89])  # cut, not rounded
    assert effect.xyzToIjk((120, 90, 0), widget, image) == effect.xyToIjk((120, 90), widget, image)


def test_events_reach_the_effect_with_their_keys(editor):
    view, calls = driver.slice_view("Red"), editor.activeEffect().self().calls
    calls.clear()
    driver.click_slice(view, ijk=(40, 30, 1), modifiers=["ctrl"])
    assert ("LeftButtonPressEvent", True, False) in calls
    driver.click_slice(view, ijk=(40, 30, 1), button="right", modifiers=["shift"])
    assert ("RightButtonPressEvent", False, True) in calls
    driver.hover_slice(view, ijk=(30, 30, 1), modifiers=["shift"])
    assert ("MouseMoveEvent", False, True) in calls
    driver.wheel_slice(view, ijk=(30, 30, 1), steps=-2)
    assert calls.count(("MouseWheelBackwardEvent", False, False)) == 2
    driver.double_click(view.VTKWidget(), driver.view_position(view, ijk=(40, 30, 1)))
    assert ("LeftButtonDoubleClickEvent", False, False) in calls
    driver.key(view.VTKWidget(), "A")
    assert [name for name, *_ in calls[-2:]] == ["KeyPressEvent", "KeyReleaseEvent"]


def test_a_taken_event_goes_no_further(editor):
    view, seen = driver.slice_view("Red"), []
    tag = view.interactor().AddObserver("LeftButtonPressEvent", lambda *_: seen.append("press"), 0.5)
    driver.click_slice(view, ijk=(40, 30, 1))
    assert seen == []
    driver.choose_effect(editor, "")
    driver.click_slice(view, ijk=(40, 30, 1))
    view.interactor().RemoveObserver(tag)
    assert seen == ["press"]


def test_views_are_observed_while_an_effect_is_active(editor):
    view = driver.slice_view("Red")
    effect = editor.activeEffect().self()
    offset = view.mrmlSliceNode().GetSliceOffset()
    effect.calls.clear()
    view.mrmlSliceNode().SetSliceOffset(offset + 1)
    assert "Red view" in effect.calls
    driver.choose_effect(editor, "")
    assert effect.calls[-1] == "deactivate"
    effect.calls.clear()
    driver.click_slice(view, ijk=(40, 30, 2))
    view.mrmlSliceNode().SetSliceOffset(offset)
    assert effect.calls == []
    driver.choose_effect(editor, "Disk")
    assert effect.calls == ["updateGUIFromMRML", "activate"]


def test_a_new_layout_is_told_and_observed(editor):
    effect = editor.activeEffect().self()
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert "layoutChanged" in effect.calls
    driver.process_events()
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert effect.ijk == [40, 30, 1]


def test_undo_and_redo(editor, segmentation):
    undo, redo = driver.find(editor, "UndoButton"), driver.find(editor, "RedoButton")
    assert not undo.enabled
    driver.click_slice(driver.slice_view("Red"), ijk=(20, 30, 1))
    one = int(voxels(segmentation).sum())
    driver.click_slice(driver.slice_view("Red"), ijk=(60, 30, 1))
    assert voxels(segmentation).sum() == 2 * one
    driver.click(undo)
    assert voxels(segmentation).sum() == one
    driver.click(redo)
    assert voxels(segmentation).sum() == 2 * one
    driver.click(undo)
    driver.click(undo)
    assert voxels(segmentation).sum() == 0
    assert not undo.enabled
    assert redo.enabled


def test_the_number_of_undo_states_is_bound(editor):
    editor.setMaximumNumberOfUndoStates(3)  # the present one is among them
    for column in (20, 40, 60):
        driver.click_slice(driver.slice_view("Red"), ijk=(column, 30, 1))
    steps = 0
    while driver.find(editor, "UndoButton").enabled:
        driver.click(driver.find(editor, "UndoButton"))
        steps += 1
    assert steps == 2


def test_a_drawn_mask_is_erased_with_ctrl(editor, segmentation):
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1), modifiers=["ctrl"])
    assert voxels(segmentation).sum() == 0


@pytest.mark.parametrize(
    ("mode", "hidden", "keeps"),
    [
        ("Overwrite all", False, False),
        ("Overwrite visible", False, False),
        ("Overwrite visible", True, True),
        ("Allow overlap", False, True),
    ],
)
def test_overwriting(editor, segmentation, mode, hidden, keeps):
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    driver.select_segment(editor, "RV")
    segmentation.GetDisplayNode().SetSegmentVisibility("LV", not hidden)
    driver.choose(driver.find(editor, "OverwriteModeComboBox"), mode)
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert voxels(segmentation, "RV")[1, 30, 40] == 1
    assert voxels(segmentation, "LV")[1, 30, 40] == keeps


def test_the_editable_area(editor, segmentation):
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    before = voxels(segmentation)
    driver.select_segment(editor, "RV")
    driver.choose(driver.find(editor, "OverwriteModeComboBox"), "Allow overlap")
    driver.choose(driver.find(editor, "MaskModeComboBox"), "Inside LV")
    driver.click_slice(driver.slice_view("Red"), ijk=(42, 30, 1))
    inside = voxels(segmentation, "RV")
    assert 0 < inside.sum() < before.sum()
    assert not (inside & ~before.astype(bool)).any()
    driver.choose(driver.find(editor, "MaskModeComboBox"), "Everywhere")
    driver.click_slice(driver.slice_view("Red"), ijk=(42, 30, 1))
    assert voxels(segmentation, "RV").sum() == before.sum()


def test_the_editable_intensities(editor, segmentation, volume):
    node = editor.mrmlSegmentEditorNode()
    driver.click(driver.find(editor, "SourceVolumeIntensityMaskCheckBox"))
    low, high = node.GetSourceVolumeIntensityMaskRange()
    assert (low, high) == (0.25 * (volume.GetImageData().GetScalarRange()[1]), 0.75 * (3 * ROWS * COLUMNS - 1))
    intensities = slicer.util.arrayFromVolume(volume)
    middle = int(intensities[1, 30, 40])
    driver.find(editor, "SourceVolumeIntensityMaskRangeWidget").setValues(middle, middle + 1)
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert [tuple(place) for place in np.argwhere(voxels(segmentation))] == [(1, 30, 40), (1, 30, 41)]


def test_options_live_in_the_editors_node(editor, segmentation):
    effect, node = editor.activeEffect(), editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("Disk.Radius") == "3"
    driver.type_text(driver.find(editor, "radiusSpinBox"), "1")
    assert node.GetAttribute("Disk.Radius") == "1"
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert voxels(segmentation).sum() == 7
    effect.setParameter("Radius", 2)
    assert driver.find(editor, "radiusSpinBox").value == 2
    assert driver.find(editor, "OptionsGroupBox").title == "Disk brush"


def test_parameters_are_texts_and_may_be_shared(editor):
    effect, node = editor.activeEffect(), editor.mrmlSegmentEditorNode()
    effect.setCommonParameter("BrushSize", 1.0 / 3)
    assert node.GetAttribute("BrushSize") == "0.333333"
    assert effect.doubleParameter("BrushSize") == pytest.approx(1 / 3, abs=1e-6)
    assert not effect.parameterDefined("BrushSize")
    effect.setParameter("BrushSize", "2")
    assert effect.integerParameter("BrushSize") == 2
    effect.setCommonParameterDefault("BrushSize", 7)
    assert effect.parameter("BrushSize") == "2"
    with pytest.raises(TypeError, match="not True"):
        effect.setParameter("Negative", True)


def test_nodes_are_references_of_the_editors_node(editor, volume):
    effect = editor.activeEffect()
    assert effect.nodeReference("Prompts") is None
    effect.setNodeReference("Prompts", volume)
    assert effect.nodeReference("Prompts") is volume
    assert editor.mrmlSegmentEditorNode().GetNodeReference("Disk.Prompts") is volume


def test_two_editors_have_two_clones(editor, segmentation, volume):
    second = driver.segment_editor()
    second.setSegmentationNode(segmentation)
    second.setSourceVolumeNode(volume)
    assert second.effectByName("Disk") is not editor.effectByName("Disk")
    assert second.activeEffect() is None
    driver.type_text(driver.find(editor, "radiusSpinBox"), "1")
    driver.choose_effect(editor, "")
    other = driver.choose_effect(second, "Disk")
    assert other.integerParameter("Radius") == 3
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert other.self().ijk == [40, 30, 1]
    assert editor.effectByName("Disk").self().ijk is None


def test_an_effect_needs_what_it_says(registered, segmentation, volume):
    editor = driver.segment_editor()
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Empty")
    editor.setSegmentationNode(empty)
    button, add = driver.find(editor, "Disk"), driver.find(editor, "AddSegmentButton")
    assert not button.enabled
    assert not add.enabled  # nothing says where voxels are
    editor.setSourceVolumeNode(volume)
    assert not button.enabled
    driver.click(add)
    assert len(empty.GetSegmentation().GetSegmentIDs()) == 1
    assert editor.currentSegmentID() == empty.GetSegmentation().GetNthSegmentID(0)
    assert button.enabled
    driver.choose_effect(editor, "Disk")
    driver.click(driver.find(editor, "RemoveSegmentButton"))
    assert editor.currentSegmentID() == ""
    assert not button.enabled


def test_without_a_selected_segment_the_effect_ends(editor, segmentation):
    segmentation.GetSegmentation().RemoveSegment("LV")
    driver.process_events()
    assert editor.activeEffect() is None
    driver.select_segment(editor, "RV")
    assert driver.find(editor, "Disk").enabled


def test_the_table_and_the_node_agree_about_the_segment(editor):
    chosen = []
    editor.connect("currentSegmentIDChanged(QString)", chosen.append)
    driver.select_segment(editor, "RV")
    assert (editor.currentSegmentID(), chosen) == ("RV", ["RV"])
    editor.setCurrentSegmentID("LV")
    assert driver.find(editor, "SegmentsTableView").selectedSegmentIDs() == ("LV",)
    assert chosen == ["RV"]  # in Slicer too


def test_a_read_only_editor_edits_nothing(editor):
    editor.setReadOnly(True)
    assert editor.activeEffect() is None
    for name in ("Disk", "UndoButton", "RemoveSegmentButton"):
        assert not driver.find(editor, name).enabled


def test_a_hidden_segment_is_edited_after_a_question(editor, segmentation):
    segmentation.GetDisplayNode().SetSegmentVisibility("LV", False)
    driver.script_dialog(QMessageBox.Cancel, about="hidden")
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert voxels(segmentation).sum() == 0
    driver.script_dialog(QMessageBox.Yes, about="hidden")
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert voxels(segmentation)[1, 30, 40] == 1
    assert segmentation.GetDisplayNode().GetSegmentVisibility("LV")


def test_placing_points_ends_the_effect(editor):
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.Place)
    assert editor.activeEffect() is None
    driver.choose_effect(editor, "Disk")
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_another_segmentation_ends_the_effect(editor, volume):
    other = addSegmentation(volume, "Spine")
    driver.choose(driver.find(editor, "SegmentationNodeComboBox"), other)
    assert editor.activeEffect() is None
    assert editor.currentSegmentID() == "Spine"
    assert editor.sourceVolumeNode() is volume


def test_images_of_the_effect(editor, segmentation, volume):
    effect = editor.activeEffect()
    source = vtk_to_numpy(effect.sourceVolumeImageData().GetPointData().GetScalars())
    assert (source == slicer.util.arrayFromVolume(volume).ravel()).all()
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    selected = vtk_to_numpy(effect.selectedSegmentLabelmap().GetPointData().GetScalars())
    assert selected.sum() == voxels(segmentation).sum()
    assert effect.modifierLabelmap() is effect.defaultModifierLabelmap()
    assert not vtk_to_numpy(effect.modifierLabelmap().GetPointData().GetScalars()).any()
    assert effect.referenceGeometryImage().GetDimensions() == (COLUMNS, ROWS, 3)


def test_a_part_of_the_mask_is_modified(editor, segmentation):
    effect = editor.activeEffect()
    labelmap = effect.defaultModifierLabelmap()
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = 1
    labelmap.Modified()
    effect.modifySelectedSegmentByLabelmap(labelmap, effect.ModificationModeAdd, [10, 19, 20, 24, 1, 1])
    assert voxels(segmentation).sum() == 50
    effect.modifySelectedSegmentByLabelmap(labelmap, effect.ModificationModeRemove, [10, 19, 20, 20, 1, 1], True)
    assert voxels(segmentation).sum() == 40
    with pytest.raises(ValueError, match="six numbers"):
        effect.modifySelectedSegmentByLabelmap(labelmap, effect.ModificationModeAdd, [1, 2], True)


def test_an_actor_is_drawn_where_the_effect_puts_it(editor):
    effect, widget = editor.activeEffect(), slicer.app.layoutManager().sliceWidget("Red")
    text = vtk.vtkTextActor()
    text.SetInput("HHH")
    text.GetTextProperty().SetFontSize(20)
    text.GetTextProperty().SetColor(1, 0, 0)
    text.SetPosition(20, 20)

    def red():
        image = widget.sliceView().VTKWidget().grab().toImage()
        colors = [image.pixelColor(x, image.height() - 1 - y) for x in range(20, 60) for y in range(15, 40)]
        return sum(color.red() > 200 and color.green() < 50 for color in colors)

    assert red() == 0
    effect.addActor2D(widget, text)
    assert red() > 20
    effect.removeActor2D(widget, text)
    assert red() == 0


def test_slicers_own_effects_are_not_here(editor):
    assert editor.effectByName("Paint") is None
    assert "Disk" in editor.availableEffectNames()


def test_the_order_of_effects(effectFile):
    register(effectFile)
    text = effectFile.read_text()
    for name in ("Square", "Ring"):
        file = effectFile.parent.parent / f"{name}Lib" / "SegmentEditorEffect.py"
        file.parent.mkdir()
        file.write_text(text.replace('"Disk"', f'"{name}"'))
        register(file)
        del sys.modules[file.parent.name]
        delattr(slicer, file.parent.name)
    editor = driver.segment_editor()
    editor.unorderedEffectsVisible = False
    editor.setEffectNameOrder(["Ring", "Disk", "Paint"])
    shown = [editor.effectByIndex(index) for index in range(editor.effectCount())]
    assert [effect and effect.name for effect in shown] == [None, "Ring", "Disk"]
    assert not driver.find(editor, "Square").visible
    editor.unorderedEffectsVisible = True
    assert driver.find(editor, "Square").visible


def test_a_name_is_registered_once(effectFile):
    factory, heard = slicer.qSlicerSegmentEditorEffectFactory.instance(), []
    factory.connect("effectRegistered(QString)", heard.append)
    first, second = register(effectFile), register(effectFile)
    factory.disconnect("effectRegistered(QString)", heard.append)
    assert heard == ["Disk"]
    assert not factory.registerEffect(second)
    assert [effect for effect in factory.registeredEffects() if effect.name == "Disk"] == [first]


def test_an_effect_without_a_name_is_refused():
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    effect.name = ""
    assert not slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(effect)
    assert "empty name" in pythonqt.slot_errors.pop()


def test_an_effect_that_is_registered_later_is_heard_of(effectFile, segmentation, volume):
    editor = driver.segment_editor()
    factory = slicer.qSlicerSegmentEditorEffectFactory.instance()
    factory.connect("effectRegistered(QString)", editor.updateEffectList)
    register(effectFile)
    factory.disconnect("effectRegistered(QString)", editor.updateEffectList)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    assert driver.choose_effect(editor, "Disk").name == "Disk"


def test_who_does_not_stop_hearing_of_effects_is_found(effectFile):
    watch = leaks.Watch([effectFile.parent])
    factory, hear = slicer.qSlicerSegmentEditorEffectFactory.instance(), register(effectFile).self().helpText
    factory.connect("effectRegistered(QString)", hear)
    left = watch.leaks()
    factory.disconnect("effectRegistered(QString)", hear)
    assert [line.split(" to ")[1] for line in left] == ["qSlicerSegmentEditorEffectFactory.effectRegistered(QString)"]


def test_closing_the_scene_ends_the_effect(editor):
    effect = editor.activeEffect().self()
    driver.close_scene()
    assert editor.mrmlSegmentEditorNode() is None
    assert effect.scriptedEffect.parameterSetNode() is None
    assert editor.segmentationNode() is None
    effect.calls.clear()
    driver.process_events()
    assert effect.calls == []
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    assert editor.activeEffect() is None
    assert not driver.find(editor, "Disk").enabled


def test_a_singleton_node_stays_when_the_scene_closes(registered, segmentation, volume):
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
    node.UnRegister(None)
    node.SetSingletonTag("Test")
    editor = driver.segment_editor()
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNode(node))
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    effect = driver.choose_effect(editor, "Disk")
    effect.setParameter("Radius", 5)
    driver.close_scene()
    assert editor.mrmlSegmentEditorNode() is node
    assert editor.activeEffect() is None
    assert effect.integerParameter("Radius") == 3


def test_another_frame_of_a_sequence_has_no_undo(editor, segmentation):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    for index in range(2):
        sequence.SetDataNodeAtValue(segmentation, str(index))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(segmentation, sequence, False)
    browser.SetSaveChanges(sequence, True)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    driver.process_events()
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    undo = driver.find(editor, "UndoButton")
    assert undo.enabled
    browser.SetSelectedItemNumber(1)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    assert not undo.enabled
    assert voxels(segmentation).sum() == 0
    assert editor.activeEffect().name == "Disk"
    assert editor.currentSegmentID() == "LV"
    driver.click_slice(driver.slice_view("Red"), ijk=(20, 30, 1))
    browser.SetSelectedItemNumber(0)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    assert not undo.enabled
    assert voxels(segmentation)[1, 30, 40] == 1
    assert voxels(segmentation)[1, 30, 20] == 0


def test_keys_choose_effects_and_segments_and_undo(editor, segmentation):
    window = driver.main_window()
    editor.installKeyboardShortcuts()
    driver.key(window, "Esc")
    assert editor.activeEffect() is None
    driver.key(window, "Space")
    assert editor.activeEffect().name == "Disk"
    index = next(i for i in range(editor.effectCount()) if editor.effectByIndex(i) is editor.activeEffect())
    driver.key(window, str(index))
    assert editor.activeEffect() is None
    driver.key(window, str(index))
    driver.key(window, "W")
    assert editor.currentSegmentID() == "RV"
    driver.key(window, "Q")
    driver.key(window, "Q")
    assert editor.currentSegmentID() == "LV"
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    driver.key(window, "Z")
    assert voxels(segmentation).sum() == 0
    driver.key(window, "Y")
    assert voxels(segmentation).sum() > 0
    driver.key(window, "Ctrl+Z")
    assert voxels(segmentation).sum() == 0
    driver.key(window, "I")
    assert editor.mrmlSegmentEditorNode().GetSourceVolumeIntensityMask()
    editor.uninstallKeyboardShortcuts()
    driver.key(window, "Y")
    assert voxels(segmentation).sum() == 0


def test_parts_can_be_hidden(editor):
    for name, part in (
        ("segmentationNodeSelectorVisible", "SegmentationNodeComboBox"),
        ("sourceVolumeNodeSelectorVisible", "SourceVolumeNodeComboBox"),
        ("addRemoveSegmentButtonsVisible", "AddSegmentButton"),
        ("show3DButtonVisible", "Show3DButton"),
        ("maskingSectionVisible", "MaskingGroupBox"),
        ("undoEnabled", "UndoRedoGroupBox"),
    ):
        assert driver.find(editor, part).visible, name
        setattr(editor, name, False)
        assert not driver.find(editor, part).visible
        assert getattr(editor, name) is False
    driver.choose_effect(editor, "")
    driver.choose_effect(editor, "Disk")
    assert not driver.find(editor, "MaskingGroupBox").visible


def test_the_cursor_is_the_effects(editor):
    view = driver.slice_view("Red").VTKWidget()
    effect = editor.activeEffect()
    effect.cursorOff(slicer.app.layoutManager().sliceWidget("Red"))
    assert view.cursor.shape() == Qt.BlankCursor
    driver.choose_effect(editor, "")
    assert view.cursor.shape() == Qt.ArrowCursor


def test_the_end_of_an_editor_cleans_up_its_effects(editor):
    effect = editor.activeEffect().self()
    driver.close_editors()
    assert effect.calls[-1] == "cleanup"
    effect.calls.clear()
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert effect.calls == []


def test_the_file_becomes_the_module_of_its_folder(effectFile):
    """Slicer's trap: the folder is taken for a module, unless somebody has imported it as a package before."""
    (effectFile.parent / "__init__.py").write_text("from .SegmentEditorEffect import *\n")
    register(effectFile)
    module = sys.modules["SegmentEditorDiskLib"]
    assert module.__file__ == str(effectFile)
    assert not hasattr(module, "__path__")
    assert slicer.SegmentEditorDiskLib.scriptedEffect.name == "Disk"


def test_an_imported_package_is_used(effectFile, monkeypatch):
    (effectFile.parent / "__init__.py").write_text("from .SegmentEditorEffect import *\n")
    monkeypatch.syspath_prepend(effectFile.parent.parent)
    import SegmentEditorDiskLib

    effect = register(effectFile)
    assert type(effect.self()) is SegmentEditorDiskLib.SegmentEditorEffect
    assert sys.modules["SegmentEditorDiskLib"] is SegmentEditorDiskLib
    del sys.modules["SegmentEditorDiskLib.SegmentEditorEffect"]


def test_a_file_of_another_name_needs_a_class_of_that_name(effectFile):
    other = effectFile.with_name("Disk.py")
    effectFile.rename(other)
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    assert not effect.setPythonSource(other.as_posix())
    assert "class DiskEffect was not found" in pythonqt.slot_errors.pop()


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("            return True\n", "            return 1\n", "expected to return a bool, not 1"),
        ('integerParameter("Radius") ** 2', 'integerParameter("Size") ** 2', "Parameter named Size cannot be found"),
        ("                return True\n", "                raise KeyError('lost')\n", ""),
        ("self.scriptedEffect.saveStateForUndo()", "self.scriptedEffect.saveState()", "has no attribute"),
    ],
)
def test_what_slicer_only_logs_fails_a_test(effectFile, segmentation, volume, right, wrong, complaint):
    text = effectFile.read_text()
    assert right.strip() in text
    effectFile.write_text(text.replace(right.strip(), wrong.strip()))
    register(effectFile)
    editor = driver.segment_editor()
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    driver.choose_effect(editor, "Disk")
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    errors = "".join(pythonqt.slot_errors)
    pythonqt.slot_errors.clear()
    assert errors
    assert complaint in errors


def test_an_effect_that_draws_outlines_fills_them(editor):
    view, widget = driver.slice_view("Red"), slicer.app.layoutManager().sliceWidget("Red")
    points = vtk.vtkPoints()
    for corner in ((29.5, 19.5, 1), (49.5, 19.5, 1), (49.5, 39.5, 1), (29.5, 39.5, 1)):
        x, y = driver.view_position(view, ijk=corner)
        points.InsertNextPoint(x, view.VTKWidget().height - 1 - y, 0)
    outline = vtk.vtkPolyData()
    outline.SetPoints(points)
    image = editor.activeEffect().defaultModifierLabelmap()
    slicer.qSlicerSegmentEditorScriptedLabelEffect(None).appendPolyMask(image, outline, widget)
    drawn = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(3, ROWS, COLUMNS)
    assert drawn[1, 20:39, 30:49].all()
    assert drawn.sum() == pytest.approx(20 * 20, abs=41)  # the filter counts its rim


UI = """
<ui version="4.0"><class>Panel</class><widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="rows">
<item><widget class="qMRMLSegmentEditorWidget" name="editor"/></item></layout></widget>
<customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends></customwidget><customwidget>
<class>qMRMLSegmentEditorWidget</class><extends>qMRMLWidget</extends></customwidget></customwidgets>
<connections><connection><sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>editor</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""


def test_an_editor_in_a_ui_file(registered, segmentation, volume, tmp_path):
    file = tmp_path / "Panel.ui"
    file.write_text(UI)
    panel = slicer.util.loadUI(str(file))
    panel.setMRMLScene(slicer.mrmlScene)
    editor = slicer.util.childWidgetVariables(panel).editor
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    panel.show()
    effect = driver.choose_effect(editor, "Disk").self()
    driver.click_slice(driver.slice_view("Red"), ijk=(40, 30, 1))
    assert voxels(segmentation)[1, 30, 40] == 1
    del editor
    panel.deleteLater()
    driver.process_events()
    assert effect.calls[-1] == "cleanup"
