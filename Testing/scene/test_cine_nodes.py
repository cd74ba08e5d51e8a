"""A clip in the scene is the clip, and nothing else becomes one."""

# ruff: noqa: N803 - MRML code is camelCase

from __future__ import annotations

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.cine import Cine, Origin
from FetalEchoSegLib.errors import InvalidRequest, UnreadableInput
from FetalEchoSegLib.scene.cine_nodes import addCineToScene, cineFromSequence


def test_gray_clip_comes_back_equal(cine):
    cine.view = View.LVOT
    cine.notes = ('An assumed frame time; "40 ms" | größer',)
    cine.origin = Origin(uid="1.2.840.1", patient_hash="0123456789abcdef")
    _, browser = addCineToScene(cine, "Clip")
    back = cineFromSequence(browser)
    np.testing.assert_array_equal(back.frames, cine.frames)
    np.testing.assert_allclose(back.times, cine.times, atol=5e-7)
    for name in ("spacing", "calibration", "timing", "view", "notes", "origin", "shape"):
        assert getattr(back, name) == getattr(cine, name), name


def test_colour_clip_keeps_its_channels(frames):
    colour = np.stack([frames, frames[::-1], 255 - frames], axis=-1)
    sequence, browser = addCineToScene(Cine.from_array(colour, frame_rate=30.0), "Doppler")
    assert sequence.GetNthDataNode(0).GetClassName() == "vtkMRMLVectorVolumeNode"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(browser.GetProxyNode(sequence))[0], colour[0])
    np.testing.assert_array_equal(cineFromSequence(sequence).frames, colour)


def test_still_is_a_sequence_of_one(frames):
    sequence, _ = addCineToScene(Cine.from_array(frames[0]), "Still")
    still = cineFromSequence(sequence)
    assert sequence.GetNumberOfDataNodes() == 1
    assert still.frame_rate is None
    np.testing.assert_array_equal(still.frame(0), frames[0])


def test_frame_is_upright_in_an_axial_view(cine):
    sequence, browser = addCineToScene(cine, "Clip")
    matrix = np.array(
        [[slicer.util.arrayFromVTKMatrix(frameMatrix(sequence))[r, c] for c in range(4)] for r in range(4)]
    )
    # Patient left is on the right of an axial view, posterior at its bottom: both axes are negative in RAS.
    np.testing.assert_allclose(matrix, np.diag([-0.22, -0.31, 1.0, 1.0]))
    assert browser.GetProxyNode(sequence).GetSpacing() == pytest.approx((0.22, 0.31, 1.0))


def frameMatrix(sequence):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    sequence.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    return matrix


def test_frames_closer_than_a_millisecond_stay_apart(frames):
    times = np.arange(len(frames)) * 0.0004
    sequence, browser = addCineToScene(Cine.from_array(frames, times=times), "M-mode")
    assert sequence.GetNumberOfDataNodes() == len(frames)
    for index in range(len(frames)):
        browser.SetSelectedItemNumber(index)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(browser.GetProxyNode(sequence))[0], frames[index])
    np.testing.assert_allclose(cineFromSequence(sequence).times, times, atol=1e-9)


def test_frames_closer_than_a_microsecond_are_refused(frames):
    with pytest.raises(InvalidRequest, match="one microsecond"):
        addCineToScene(Cine.from_array(frames, times=np.arange(len(frames)) * 1e-7), "Broken")
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")


def test_clip_is_not_held_twice(cine):
    sequence, _ = addCineToScene(cine, "Clip")
    cine.frames[2] = 77
    assert (cineFromSequence(sequence).frame(2) == 77).all()


def test_pixels_outlive_the_clip_and_its_array(scene):
    frames = np.full((3, 500, 500), 9, dtype=np.uint8)
    sequence, _ = addCineToScene(Cine.from_array(frames), "Clip")
    del frames
    np.full((50, 500, 500), 1, dtype=np.uint8)  # would reuse freed memory
    assert (cineFromSequence(sequence).frames == 9).all()


def test_read_only_frames_are_accepted(frames):
    frames.setflags(write=False)
    sequence, _ = addCineToScene(Cine.from_array(frames[:, ::2, ::2]), "Clip")
    np.testing.assert_array_equal(cineFromSequence(sequence).frames, frames[:, ::2, ::2])


def test_unknown_calibration_stays_unknown(frames):
    cine = Cine.from_array(frames, calibration="unknown: two regions contradict each other")
    sequence, _ = addCineToScene(cine, "Clip")
    assert sequence.GetAttribute("FetalEcho.Calibrated") == "no"
    assert sequence.GetNthDataNode(0).GetSpacing() == (1.0, 1.0, 1.0)
    back = cineFromSequence(sequence)
    assert back.spacing is None
    assert back.calibration == "unknown: two regions contradict each other"


def test_one_millimetre_pixels_that_are_calibrated_stay_calibrated(frames):
    sequence, _ = addCineToScene(Cine.from_array(frames, spacing=(1.0, 1.0), calibration="user"), "Clip")
    assert cineFromSequence(sequence).spacing == (1.0, 1.0)


def test_unknown_times_stay_unknown(frames):
    sequence, browser = addCineToScene(Cine.from_array(frames), "Clip")
    assert not cineFromSequence(sequence).has_known_times
    assert browser.GetPlaybackRateFps() == 10.0  # Slicer's own default


def test_playback_runs_at_the_frame_rate_of_the_clip(cine):
    _, browser = addCineToScene(cine, "Clip")
    assert browser.GetPlaybackRateFps() == pytest.approx(25.0)


def foreignSequence(frames, indexName="frame", unit="", values=None, spacing=(1.0, 1.0)):
    """A sequence as Slicer's DICOM plugin writes it: no FetalEcho attributes."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "DICOM")
    sequence.SetIndexName(indexName)
    sequence.SetIndexUnit(unit)
    template = slicer.vtkMRMLScalarVolumeNode()
    template.SetSpacing(spacing[1], spacing[0], 1.0)
    for index, frame in enumerate(frames):
        slicer.util.updateVolumeFromArray(template, np.atleast_3d(frame[None]))
        template.SetAttribute("DICOM.instanceUIDs", "1.2.3 4.5.6")
        sequence.SetDataNodeAtValue(template, values[index] if values else str(index))
    return sequence


def test_sequence_of_slicers_dicom_plugin_is_read(frames):
    cine = cineFromSequence(foreignSequence(frames))
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.spacing is None
    assert cine.calibration.startswith("unknown")
    assert not cine.has_known_times
    assert cine.origin.uid == "1.2.3"


def test_calibrated_and_timed_foreign_sequence_is_trusted(frames):
    values = [f"{i * 40}" for i in range(len(frames))]
    cine = cineFromSequence(foreignSequence(frames, "time", "ms", values, spacing=(0.5, 0.25)))
    assert cine.spacing == (0.5, 0.25)
    assert cine.frame_rate == pytest.approx(25.0)


def test_sixteen_bit_frames_of_eight_bit_images_are_read(frames):
    cine = cineFromSequence(foreignSequence(frames.astype(np.int16)))
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.frames.dtype == np.uint8


@pytest.mark.parametrize("bad", [np.float32("nan"), -1.0, 300.0])
def test_frames_without_a_grey_level_are_refused(frames, bad):
    values = frames.astype(np.float32)
    values[0, 0, 0] = bad
    with pytest.raises(UnreadableInput, match="Frame 0"):
        cineFromSequence(foreignSequence(values))


def test_frames_of_two_sizes_are_refused(frames):
    sequence = foreignSequence(frames)
    sequence.GetNthDataNode(3).GetImageData().SetDimensions(8, 8, 1)
    sequence.GetNthDataNode(3).GetImageData().AllocateScalars(3, 1)
    with pytest.raises(UnreadableInput, match=r"Frame 3 of 'DICOM' is 8 x 8"):
        cineFromSequence(sequence).frame(3)


def test_volumes_are_not_frames(frames):
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "CT")
    template = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(template, frames)
    sequence.SetDataNodeAtValue(template, "0")
    with pytest.raises(InvalidRequest, match=f"{len(frames)} slices"):
        cineFromSequence(sequence)


def test_other_nodes_are_no_clips(segmented):
    _, _, masks, _ = segmented
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "Empty")
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Table")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    for node in (None, empty, table, browser, masks):
        with pytest.raises(InvalidRequest):
            cineFromSequence(node)
