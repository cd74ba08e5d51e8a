"""What a click writes: its segment in its plane, whatever the geometry, and no other pixel than the editor allows."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import slicer
import vtk
from FetalEchoSegLib.anatomy import STRUCTURES, Structure
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.click_session import ClickSession
from FetalEchoSegLib.scene.click_target import clickTarget
from FetalEchoSegLib.scene.plane_masks import segmentMask
from FetalEchoSegLib.scene.segmentation_nodes import addEmptyMasksToScene, labelsOfFrame, setFrameLabels
from promptables import BlobsModel

from .click_scenes import COLUMNS, LEFT, LOW, RIGHT, ROWS, Clicks, addClip, blobs, disc, onClip

LV, RV, RA, HEART, THORAX = Structure(2), Structure(4), Structure(3), Structure.WHOLE_HEART, Structure.THORAX
SLICES = 6


@pytest.fixture
def session():
    made = ClickSession()
    made.useModel(BlobsModel())
    yield made
    made.close()


@pytest.fixture
def clip():
    return addClip()


def draw(labels):
    """(H, W) uint8 of {structure: mask}."""
    image = np.zeros((ROWS, COLUMNS), np.uint8)
    for structure, mask in labels.items():
        image[mask] = structure
    return image


def masks_of(clicks):
    """Own pixels of every segment, overlaps included."""
    target = clicks.target
    return {s: segmentMask(target.of(info.segment_id)) for s, info in STRUCTURES.items()}


# Other segments


@pytest.mark.parametrize(
    ("mode", "hidden", "gives_way"),
    [
        ("OverwriteAllSegments", False, True),
        ("OverwriteAllSegments", True, True),
        ("OverwriteVisibleSegments", False, True),
        ("OverwriteVisibleSegments", True, False),
        ("OverwriteNone", False, False),
    ],
)
def test_other_segments_change_only_as_the_overwrite_mode_says(clip, session, mode, hidden, gives_way):
    _, browser, masks = clip
    half = disc(RIGHT) & (np.arange(COLUMNS) < RIGHT[0])
    setFrameLabels(masks, 0, draw({RV: half, RA: disc(LOW), LV: disc(LEFT, 3)}))
    clicks = onClip(session, browser, masks)
    clicks.node.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    clicks.target.segmentation.GetDisplayNode().SetSegmentVisibility(RV.info.segment_id, not hidden)
    before = masks_of(clicks)
    clicks.click(RIGHT)
    after = masks_of(clicks)
    expected = before | {LV: disc(LEFT) | disc(RIGHT), RV: half & ~gives_way}
    for structure in STRUCTURES:
        np.testing.assert_array_equal(after[structure], expected[structure], err_msg=structure.name)
    clicks.undo()
    after = masks_of(clicks)
    for structure in STRUCTURES:
        np.testing.assert_array_equal(after[structure], before[structure], err_msg=structure.name)
    assert not any(labelsOfFrame(masks, frame).any() for frame in range(1, 4))


def test_the_editable_area_holds(clip, session):
    _, browser, masks = clip
    half = disc(RIGHT) & (np.arange(COLUMNS) < RIGHT[0])
    setFrameLabels(masks, 0, draw({RV: half, LV: disc(LOW, 3)}))
    clicks = onClip(session, browser, masks)
    clicks.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    clicks.click(RIGHT)
    # Its own pixels are a segment's too: they stay as they are.
    np.testing.assert_array_equal(masks_of(clicks)[RV], half)
    np.testing.assert_array_equal(masks_of(clicks)[LV], (disc(RIGHT) & ~half) | disc(LOW))
    clicks.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    clicks.node.SetMaskSegmentID(RV.info.segment_id)
    clicks.click(LEFT)
    assert not masks_of(clicks)[LV][disc(LEFT)].any()


def test_the_intensity_range_holds(clip, session):
    sequence, browser, masks = clip
    item = sequence.GetNthDataNode(0)
    slicer.util.arrayFromVolume(item)[0, :, : LEFT[0]] //= 2
    slicer.util.arrayFromVolumeModified(item)
    browser.SetSelectedItemNumber(1)
    browser.SetSelectedItemNumber(0)
    session.useModel(BlobsModel(level=50))
    clicks = onClip(session, browser, masks)
    clicks.node.SetSourceVolumeIntensityMask(True)
    clicks.node.SetSourceVolumeIntensityMaskRange(150, 255)
    clicks.click(LEFT)
    np.testing.assert_array_equal(masks_of(clicks)[LV], disc(LEFT) & (np.arange(COLUMNS) >= LEFT[0]))


@pytest.mark.parametrize("ring", [HEART, THORAX])
def test_a_ring_is_clicked_as_what_it_encloses_and_keeps_its_content(session, ring):
    """The model finds the whole disc; the chambers in it stay, and what was the ring is part of the start."""
    center, outer = (32, 24), disc((32, 24), 18)
    image = np.where(outer, 220, 20).astype(np.uint8)
    sequence, browser = addCineToScene(Cine.from_array(image[None], spacing=(0.3, 0.2)), "Still")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    left, right = disc((26, 24), 5), disc((38, 24), 5)
    setFrameLabels(masks, 0, draw({ring: disc(center, 12), LV: left, RV: right}))
    asked = []
    answer = session.refiner.model.answer
    session.refiner.model.answer = lambda embedding, prompts: asked.extend(prompts) or answer(embedding, prompts)
    clicks = onClip(session, browser, masks, ring)
    clicks.click((32, 40))
    after = masks_of(clicks)
    np.testing.assert_array_equal(after[ring], outer & ~left & ~right)
    np.testing.assert_array_equal(after[LV], left)
    np.testing.assert_array_equal(after[RV], right)
    geometry = session.refiner.wait_for(clicks.target.source, 0).result().geometry
    np.testing.assert_array_equal(geometry.to_frame(asked[0].mask) > 0, disc(center, 12))


def test_a_chamber_takes_its_pixels_from_the_ring(clip, session):
    _, browser, masks = clip
    setFrameLabels(masks, 0, draw({HEART: disc((30, 24), 22)}))
    clicks = onClip(session, browser, masks)
    clicks.click(LEFT)
    np.testing.assert_array_equal(masks_of(clicks)[LV], disc(LEFT))
    np.testing.assert_array_equal(masks_of(clicks)[HEART], disc((30, 24), 22) & ~disc(LEFT))


# Volumes of several slices


def stack():
    """(K, J, I) uint8: the blobs in every slice."""
    return np.stack([blobs(number) for number in range(SLICES)])


def addVolume(array, matrix=(-0.5, -0.5, 2.0, 1.0)):
    """``matrix`` is IJKToRAS, or its diagonal."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume")
    slicer.util.updateVolumeFromArray(volume, array)
    matrix = np.diag(matrix) if np.ndim(matrix) == 1 else matrix
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return volume


def addSegmentation(volume, names=("A",), transform=None):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Segmentation")
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(transform.GetID() if transform is not None else None)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in names:
        node.GetSegmentation().AddEmptySegment(name, name)
    return node


def view(orientation, volume, ijk):
    """A slice view through a voxel; not in the scene, which would keep it after the test."""
    node = slicer.vtkMRMLSliceNode()
    preset = vtk.vtkMatrix3x3()
    getattr(slicer.vtkMRMLSliceNode, f"Get{orientation}SliceToRASMatrix")(preset)
    for row in range(3):
        for column in range(3):
            node.GetSliceToRAS().SetElement(row, column, preset.GetElement(row, column))
    node.SetDimensions(200, 200, 1)
    node.SetFieldOfView(60, 60, 1)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    node.JumpSliceByCentering(*matrix.MultiplyPoint((*ijk, 1))[:3])
    node.UpdateMatrices()
    return node


def array_of(segmentation, name, volume):
    return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name, volume) > 0


@pytest.mark.parametrize("color", [False, True])
def test_a_click_in_a_volume_changes_its_slice_only(session, color):
    volume = addVolume(stack())
    if color:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Color")
        slicer.util.updateVolumeFromArray(node, np.repeat(stack()[..., None], 3, axis=-1))
        node.CopyOrientation(volume)
        volume = node
        embed = session.refiner.model.embed
        session.refiner.model.embed = lambda frame, cancelled=None: embed(frame[..., 0], cancelled)
    segmentation = addSegmentation(volume)
    clicks = Clicks(session, segmentation, volume, "A", view("Axial", volume, (30, 20, 3)))
    clicks.click((LEFT[0] + 3, LEFT[1]))
    expected = np.zeros((SLICES, ROWS, COLUMNS), bool)
    expected[3] = disc((LEFT[0] + 3, LEFT[1]))
    np.testing.assert_array_equal(array_of(segmentation, "A", volume), expected)
    assert (session.outcome.isSlice, session.outcome.frame) == (True, 3)
    clicks.view.JumpSliceByCentering(0, 0, 2.0)
    clicks.click((RIGHT[0] + 1, RIGHT[1]))
    expected[1] = disc((RIGHT[0] + 1, RIGHT[1]))
    np.testing.assert_array_equal(array_of(segmentation, "A", volume), expected)
    assert len(session.promptsOf(clicks.target).points) == 1
    clicks.undo()
    expected[1] = False
    np.testing.assert_array_equal(array_of(segmentation, "A", volume), expected)
    assert not session.promptsOf(clicks.target).is_said


def test_other_slices_and_what_overlaps_there_stay(session):
    volume = addVolume(stack())
    segmentation = addSegmentation(volume, ("A", "B"))
    drawn = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    drawn[:, 5:20, 5:30] = 1
    for name in ("A", "B"):  # on each other, in every slice
        slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, name, volume)
    clicks = Clicks(session, segmentation, volume, "A", view("Axial", volume, (30, 20, 2)))
    clicks.click((RIGHT[0] + 2, RIGHT[1]))
    clicks.click((LEFT[0] + 2, LEFT[1]), positive=False)
    a, b = (array_of(segmentation, name, volume) for name in "AB")
    expected = drawn > 0
    np.testing.assert_array_equal(b[[0, 1, 3, 4, 5]], expected[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(a[[0, 1, 3, 4, 5]], expected[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(a[2], disc((RIGHT[0] + 2, RIGHT[1])))


def test_the_editable_area_holds_in_a_volume(session):
    volume = addVolume(stack())
    segmentation = addSegmentation(volume, ("A", "B"))
    drawn = np.zeros((SLICES, ROWS, COLUMNS), np.uint8)
    drawn[2, 5:20, 5:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(drawn, segmentation, "A", volume)
    area = np.zeros_like(drawn)
    area[:, :, 40:46] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(area, segmentation, "B", volume)
    clicks = Clicks(session, segmentation, volume, "A", view("Axial", volume, (30, 20, 2)))
    clicks.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    clicks.node.SetMaskSegmentID("B")
    clicks.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
    clicks.click((RIGHT[0] + 2, RIGHT[1]))
    expected = drawn > 0
    expected[2] |= disc((RIGHT[0] + 2, RIGHT[1])) & (area[2] > 0)
    np.testing.assert_array_equal(array_of(segmentation, "A", volume), expected)
    np.testing.assert_array_equal(array_of(segmentation, "B", volume), area > 0)


@pytest.mark.parametrize(
    ("orientation", "axis", "place"),
    [
        ("Axial", 2, lambda i, j, k: (i, j)),
        ("Coronal", 1, lambda i, j, k: (i, k)),
        ("Sagittal", 0, lambda i, j, k: (j, k)),
    ],
)
def test_clicks_in_every_standard_view(session, orientation, axis, place):
    ball = np.indices((24, 30, 36)).astype(float)
    center = (12, 15, 18)  # k, j, i
    ball = np.sqrt(sum((ball[a] - center[a]) ** 2 for a in range(3))) <= 8
    volume = addVolume(np.where(ball, 220, 20).astype(np.uint8), (-1, -1, 1, 1))
    segmentation = addSegmentation(volume)
    ijk = (16, 13, 11)
    clicks = Clicks(session, segmentation, volume, "A", view(orientation, volume, ijk))
    clicks.click(place(*ijk))
    expected = np.zeros_like(ball)
    shown = [slice(None)] * 3
    shown[2 - axis] = ijk[axis]
    expected[tuple(shown)] = ball[tuple(shown)]
    np.testing.assert_array_equal(array_of(segmentation, "A", volume), expected)


def test_volumes_of_any_scalar_type(session):
    volume = addVolume(stack().astype(np.float32) * 17.0 - 1000.0)
    segmentation = addSegmentation(volume)
    Clicks(session, segmentation, volume, "A", view("Axial", volume, (30, 20, 0))).click(LEFT)
    np.testing.assert_array_equal(array_of(segmentation, "A", volume)[0], disc(LEFT))


# Geometry


def turned(degrees, axis="z"):
    transform = vtk.vtkTransform()
    transform.Translate(7, -3, 2)
    getattr(transform, f"Rotate{axis.upper()}")(degrees)
    return transform


def addTransform(degrees):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(turned(degrees).GetMatrix())
    return node


def test_a_rotated_volume_under_a_transform(session):
    """Volume and segmentation under different transforms: what counts is where they lie in the world."""
    matrix = slicer.util.arrayFromVTKMatrix(turned(30, "x").GetMatrix()) @ np.diag([-0.2, -0.3, 1, 1])
    for degrees in (None, 25, -40):  # of the segmentation's transform
        volume = addVolume(blobs()[None], matrix)
        volume.SetAndObserveTransformNodeID(addTransform(25).GetID())
        segmentation = addSegmentation(volume, transform=None if degrees is None else addTransform(degrees))
        clicks = Clicks(session, segmentation, volume, "A")
        clicks.click(LEFT)
        np.testing.assert_array_equal(segmentMask(clicks.target), disc(LEFT))
        # Slicer's own export is exact only where the two transforms turn alike.
        exported = array_of(segmentation, "A", volume)[0]
        assert np.count_nonzero(exported != disc(LEFT)) <= (30 if degrees == -40 else 0)
    # World coordinates of a pixel are those that Slicer has for it.
    found = clicks.target.plane.toWorld([LEFT])[0]
    expected = turned(25).TransformPoint((matrix @ (*LEFT, 0, 1))[:3])
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(clicks.target.plane.fromWorld(found), (*LEFT, 0), atol=1e-9)


def test_transforms_that_differ_move_the_mask_with_the_image(session):
    volume = addVolume(blobs()[None], (-1, -1, 1, 1))
    segmentation = addSegmentation(volume)  # its grid is that of the volume before it was moved
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    moved = np.eye(4)
    moved[:2, 3] = -5, -3
    shift.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    volume.SetAndObserveTransformNodeID(shift.GetID())
    clicks = Clicks(session, segmentation, volume, "A")
    clicks.click(LEFT)
    np.testing.assert_array_equal(segmentMask(clicks.target), disc(LEFT))
    volume.SetAndObserveTransformNodeID(None)
    np.testing.assert_array_equal(segmentMask(clicks.target), disc((LEFT[0] + 5, LEFT[1] + 3)))


def test_a_nonlinear_transform_is_a_sentence(session):
    volume = addVolume(blobs()[None])
    segmentation = addSegmentation(volume)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)):
        before.InsertNextPoint(corner)
        after.InsertNextPoint([value + value % 7 for value in corner])
    spline.SetSourceLandmarks(before)
    spline.SetTargetLandmarks(after)
    node.SetAndObserveTransformToParent(spline)
    for warped in (volume, segmentation):
        warped.SetAndObserveTransformNodeID(node.GetID())
        with pytest.raises(InvalidRequest, match="non-linear transform"):
            clickTarget(segmentation, "A", volume)
        warped.SetAndObserveTransformNodeID(None)


@pytest.mark.parametrize(("factor", "offset"), [(2.0, 0.25), (0.5, 0.1)])
def test_a_segmentation_on_another_grid(session, factor, offset):
    """A finer and a coarser one, which begins elsewhere."""
    step = 1 / factor
    volume = addVolume(blobs()[None], (-1, -1, 1, 1))
    matrix = np.array([[-step, 0, 0, -offset], [0, -step, 0, -offset], [0, 0, 1.0, 0.1], [0, 0, 0, 1]])
    grid = addVolume(np.zeros((1, int(ROWS * factor), int(COLUMNS * factor)), np.uint8), matrix)
    segmentation = addSegmentation(grid)
    clicks = Clicks(session, segmentation, volume, "A")
    clicks.click(LEFT)
    clicks.click(LOW)
    clicks.click(LEFT, positive=False)
    written = array_of(segmentation, "A", grid)[0]
    i, j = np.meshgrid(np.arange(written.shape[1]), np.arange(written.shape[0]))
    x, y = np.floor(i * step + offset + 0.5), np.floor(j * step + offset + 0.5)
    np.testing.assert_array_equal(written, np.hypot(x - LOW[0], y - LOW[1]) <= 7)


def test_a_segmentation_elsewhere_is_a_sentence(session):
    volume = addVolume(blobs()[None])
    far = np.diag([-1.0, -1, 1, 1])
    far[0, 3] = 1000
    segmentation = addSegmentation(addVolume(blobs()[None], far))
    clicks = Clicks(session, segmentation, volume, "A")
    clicks.click(LEFT)
    assert "does not reach this image" in session.outcome
    assert not session.promptsOf(clicks.target).is_said


@pytest.mark.parametrize("shape", [(1, 40), (40, 1)])
def test_frames_of_a_single_row_or_column(session, shape):
    frame = np.full(shape, 20, np.uint8)
    flat = frame.reshape(-1)
    flat[10:25] = 220
    sequence, browser = addCineToScene(Cine.from_array(frame[None], spacing=(0.3, 0.2)), "Line")
    masks = addEmptyMasksToScene(sequence, browser, "Masks")
    clicks = onClip(session, browser, masks)
    clicks.click((15, 0) if shape[0] == 1 else (0, 15))
    found = labelsOfFrame(masks, 0).reshape(-1) == LV
    # The network's mask has 128 cells: it is right within one pixel.
    assert found[11:24].all()
    assert not found[:9].any()
    assert not found[26:].any()


# What is missing


def test_what_is_missing_is_a_sentence(clip):
    sequence, browser, masks = clip
    segmentation, volume = browser.GetProxyNode(masks), browser.GetProxyNode(sequence)
    lv = LV.info.segment_id
    deep = addVolume(stack())
    for arguments, words in (
        ((None, lv, volume), "Choose a segmentation"),
        ((segmentation, lv, None), "Choose a source volume"),
        ((segmentation, "", volume), "Select a segment"),
        ((segmentation, "gone", volume), "Select a segment"),
        ((segmentation, lv, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")), "has no image"),
        ((segmentation, lv, deep), "click in a slice view"),
        ((segmentation, lv, deep, view("Axial", deep, (0, 0, 50))), "shows no slice"),
    ):
        with pytest.raises(InvalidRequest, match=words):
            clickTarget(*arguments)
    oblique = view("Axial", deep, (30, 20, 2))
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(oblique.GetSliceToRAS())
    turn = turned(20, "x")
    vtk.vtkMatrix4x4.Multiply4x4(turn.GetMatrix(), matrix, matrix)
    oblique.GetSliceToRAS().DeepCopy(matrix)
    oblique.UpdateMatrices()
    with pytest.raises(InvalidRequest, match="at an angle"):
        clickTarget(segmentation, lv, deep, oblique)


def test_deleted_nodes_are_no_target(clip, session):
    sequence, browser, masks = clip
    clicks = onClip(session, browser, masks)
    target = clicks.target
    assert target.isShown()
    slicer.mrmlScene.RemoveNode(sequence)
    assert not target.isShown() or target.browser.GetScene() is not None
    slicer.mrmlScene.RemoveNode(browser)
    assert not target.isShown()
    slicer.mrmlScene.RemoveNode(target.segmentation)
    with pytest.raises(InvalidRequest, match="Choose a segmentation"):
        clicks.target  # noqa: B018


def test_frames_that_differ_in_size_are_a_sentence(clip, session):
    sequence, browser, masks = clip
    slicer.util.updateVolumeFromArray(sequence.GetNthDataNode(1), np.zeros((1, 5, 7), np.uint8))
    with pytest.raises(InvalidRequest, match="differ in size"):
        onClip(session, browser, masks).target  # noqa: B018
