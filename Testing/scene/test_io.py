"""What is saved comes back equal, or nothing is left behind."""

# ruff: noqa: N806 - MRML code is camelCase

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import STRUCTURES, Structure
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import InvalidRequest, UnreadableInput, UnwritableOutput
from FetalEchoSegLib.scene.cine_nodes import addCineToScene, cineFromSequence
from FetalEchoSegLib.scene.io import openScene, saveMasks, saveScene
from FetalEchoSegLib.scene.segmentation_nodes import (
    addPredictionToScene,
    drawnBy,
    labelsFromSegmentationSequence,
    maskSequence,
    predictionFromSequence,
    setFrameLabels,
)
from FetalEchoSegLib.scene.tables import addTableToScene, fillTable, tableRows

from .conftest import FRAMES, makeLabels, makePrediction
from .test_segmentation_nodes import LV, Editor


def namesIn(folder):
    return [path.name for path in folder.iterdir()]


def onlyBrowser():
    (browser,) = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return browser


def segmentProperties(masks):
    """Ids, names, colours, tags of every item."""
    found = []
    for index in range(masks.GetNumberOfDataNodes()):
        segmentation = masks.GetNthDataNode(index).GetSegmentation()
        for segmentId in segmentation.GetSegmentIDs():
            segment = segmentation.GetSegment(segmentId)
            tags = {}
            for name in ("TerminologyEntry", "FetalEcho.DrawnBy", "FetalEcho.Label"):
                import vtk

                value = vtk.mutable("")
                tags[name] = str(value) if segment.GetTag(name, value) else None
            color = tuple(round(255 * channel) for channel in segment.GetColor())
            found.append((index, segmentId, segment.GetName(), color, tags))
    return found


@pytest.mark.parametrize("folder", ["plain", "with space and Größe"])
def test_scene_comes_back_equal(tmp_path, segmented, cine, folder):
    _, browser, masks, labels = segmented
    editor = Editor(browser, masks)
    editor.draw(3, LV, np.s_[0:4], np.s_[50:60])
    setFrameLabels(masks, 4, labels[5], drawnBy="clicks")
    browser.GetProxyNode(masks).GetDisplayNode().SetSegmentVisibility(LV, False)
    browser.SetSelectedItemNumber(2)
    headers, rows = ["Condition", "Probability", "Frame"], [["VSD", 0.25, 1], ["Größe", None, 2]]
    addTableToScene("Conditions", headers, rows)
    before = labelsFromSegmentationSequence(masks)
    properties = segmentProperties(masks)
    prediction = predictionFromSequence(masks)
    authors = [drawnBy(masks, i) for i in range(FRAMES)]

    path = saveScene(tmp_path / folder / "Fall 1 ü.mrb")
    assert namesIn(path.parent) == [path.name]
    slicer.mrmlScene.Clear(0)
    openScene(path)

    browser = onlyBrowser()
    masks = maskSequence(browser)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks), before)
    assert segmentProperties(masks) == properties
    assert [drawnBy(masks, i) for i in range(FRAMES)] == authors == ["model"] * 3 + ["hand", "clicks", "model"]
    assert browser.GetSaveChanges(masks)
    assert not browser.GetOverwriteProxyName(masks)
    assert browser.GetPlaybackRateFps() == pytest.approx(25.0)
    assert browser.GetSelectedItemNumber() == 2
    assert not browser.GetProxyNode(masks).GetDisplayNode().GetSegmentVisibility(LV)
    back = cineFromSequence(browser)
    np.testing.assert_array_equal(back.frames, cine.frames)
    np.testing.assert_allclose(back.times, cine.times, atol=5e-7)
    for name in ("spacing", "calibration", "timing", "view", "notes", "origin"):
        assert getattr(back, name) == getattr(cine, name), name
    again = predictionFromSequence(masks)
    for name in ("view_probabilities", "condition_probabilities", "clip_conditions", "confidence", "done", "labels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prediction, name), err_msg=name)
    assert (again.bundle, again.notes, again.view) == (prediction.bundle, prediction.notes, prediction.view)
    assert tableRows(slicer.util.getNode("Conditions")) == (headers, rows)


def test_edit_after_opening_lands_on_its_frame_and_is_saved_again(tmp_path, segmented):
    labels = segmented[3]
    path = saveScene(tmp_path / "clip.mrb")
    for frame in (0, 4):  # the frame that the scene opens on, and another one
        openScene(path)
        browser = onlyBrowser()
        Editor(browser, maskSequence(browser)).draw(frame, LV, np.s_[0:4], np.s_[50:60])
        labels[frame, 0:4, 50:60] = Structure.LEFT_VENTRICLE
        saveScene(path)
    openScene(path)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(onlyBrowser()), labels)


def test_proxy_shares_its_item_after_opening(tmp_path, segmented):
    path = saveScene(tmp_path / "clip.mrb")
    openScene(path)
    browser = onlyBrowser()
    masks = maskSequence(browser)
    item = masks.GetNthDataNode(browser.GetSelectedItemNumber())
    assert browser.GetProxyNode(masks).GetSegmentation() is item.GetSegmentation()


def test_setting_a_frame_survives_an_edit_even_if_slicer_opened_the_scene(tmp_path, segmented):
    labels = segmented[3]
    path = saveScene(tmp_path / "clip.mrb")
    slicer.mrmlScene.ReadFromMRB(str(path), True)  # as File > Open does: proxies are copies of their own
    browser = onlyBrowser()
    masks = maskSequence(browser)
    new = np.roll(labels[0], 9, axis=1)
    setFrameLabels(masks, 0, new)
    Editor(browser, masks).draw(0, LV, np.s_[0:4], np.s_[50:60])
    new[0:4, 50:60] = Structure.LEFT_VENTRICLE
    browser.SetSelectedItemNumber(1)
    browser.SetSelectedItemNumber(0)
    np.testing.assert_array_equal(labelsFromSegmentationSequence(masks)[0], new)


@pytest.mark.parametrize("colour", [False, True])
def test_fast_and_uncalibrated_clips_survive_the_file(tmp_path, frames, colour):
    pixels = np.stack([frames, frames // 2, frames // 3], axis=-1) if colour else frames
    clip = Cine.from_array(pixels, times=np.arange(FRAMES) * 0.0004)
    labels = makeLabels()
    sequence, browser = addCineToScene(clip, "Fast")
    addPredictionToScene(makePrediction(labels), sequence, browser)
    openScene(saveScene(tmp_path / "fast.mrb"))
    back = cineFromSequence(onlyBrowser())
    np.testing.assert_array_equal(back.frames, pixels)
    np.testing.assert_allclose(back.times, clip.times, atol=1e-9)
    assert back.spacing is None
    np.testing.assert_array_equal(labelsFromSegmentationSequence(onlyBrowser()), labels)


def test_masks_are_read_by_slicer_and_itk(tmp_path, segmented):
    sitk = pytest.importorskip("SimpleITK")
    sequence, browser, masks, labels = segmented
    setFrameLabels(masks, 4, labels[5], drawnBy="clicks")
    labels[4] = labels[5]
    path = saveMasks(tmp_path / "Masken ü 1.seq.nrrd", browser)
    assert namesIn(tmp_path) == [path.name]

    image = sitk.ReadImage(str(path))
    stack = sitk.GetArrayFromImage(image)  # (1, H, W, T)
    np.testing.assert_array_equal(np.moveaxis(stack[0], -1, 0), labels)
    assert image.GetSpacing()[:2] == pytest.approx((0.22, 0.31))
    times = [float(value) for value in image.GetMetaData("axis 3 index values").split()]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25.0, atol=1e-6)
    classes = json.loads(image.GetMetaData("FetalEcho.Classes"))
    assert classes == {str(int(s)): info.title for s, info in STRUCTURES.items()}
    assert image.GetMetaData("axis 3 item 0004 FetalEcho.DrawnBy") == "clicks"
    assert json.loads(image.GetMetaData("FetalEcho.Prediction"))["bundle"]["name"] == "demo-tiny"

    read = slicer.modules.sequences.logic().AddSequence(str(path))
    assert read.GetNthDataNode(0).GetClassName() == "vtkMRMLLabelMapVolumeNode"
    assert [read.GetNthIndexValue(i) for i in range(FRAMES)] == [sequence.GetNthIndexValue(i) for i in range(FRAMES)]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(read.GetNthDataNode(4))[0], labels[4])


def test_masks_of_a_fast_clip_are_not_merged_when_slicer_reads_them(tmp_path, frames):
    labels = makeLabels()
    sequence, browser = addCineToScene(Cine.from_array(frames, times=np.arange(FRAMES) * 0.0004), "Fast")
    masks = addPredictionToScene(makePrediction(labels), sequence, browser)
    read = slicer.modules.sequences.logic().AddSequence(str(saveMasks(tmp_path / "fast.seq.nrrd", masks)))
    assert read.GetIndexUnit() == "ms"
    stack = [slicer.util.arrayFromVolume(read.GetNthDataNode(i))[0] for i in range(read.GetNumberOfDataNodes())]
    np.testing.assert_array_equal(stack, labels)


@pytest.mark.skipif(os.name == "nt", reason="folder permissions and file limits are POSIX")
@pytest.mark.parametrize("save", [saveScene, saveMasks])
def test_unwritable_folder_is_named(tmp_path, segmented, save):
    blocker = tmp_path / "file"
    blocker.write_text("a file where a folder is needed")
    path = blocker / ("a.mrb" if save is saveScene else "a.seq.nrrd")
    arguments = () if save is saveScene else (segmented[1],)
    with pytest.raises(UnwritableOutput, match="folder"):
        save(path, *arguments)
    assert namesIn(tmp_path) == ["file"]
    if os.geteuid() != 0:  # root writes everywhere
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(UnwritableOutput, match="permission"):
            save(locked / path.name, *arguments)
        assert namesIn(locked) == []


_FULL_DISK = """
import resource, signal, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from scene.conftest import makeLabels, makePrediction
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import UnwritableOutput
from FetalEchoSegLib.scene.cine_nodes import addCineToScene
from FetalEchoSegLib.scene.io import saveMasks, saveScene
from FetalEchoSegLib.scene.segmentation_nodes import addPredictionToScene
frames = np.random.default_rng(0).integers(0, 256, (6, 256, 256), dtype=np.uint8)
labels = np.random.default_rng(0).integers(1, 8, (6, 256, 256), dtype=np.uint8)
sequence, browser = addCineToScene(Cine.from_array(frames), "Clip")
masks = addPredictionToScene(makePrediction(labels), sequence, browser)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
folder = Path(sys.argv[1])
for save, arguments in ((saveScene, (folder / "a.mrb",)), (saveMasks, (folder / "a.seq.nrrd", masks))):
    try:
        save(*arguments)
    except UnwritableOutput as error:
        print("refused", str(error).splitlines()[0])
"""


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_full_disk_leaves_earlier_files_and_nothing_half_written(tmp_path):
    earlier = {name: f"earlier {name}" for name in ("a.mrb", "a.seq.nrrd")}
    for name, text in earlier.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path), str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused Cannot write") == 2, done.stdout
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == earlier


def test_damaged_scene_is_refused_and_the_present_one_kept(tmp_path, segmented):
    path = saveScene(tmp_path / "clip.mrb")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for position in range(2000, len(whole) - 3000, 97):
        damaged[position] ^= 0xFF
    other = tmp_path / "other.mrb"
    with zipfile.ZipFile(other, "w") as bundle:
        bundle.writestr("readme.txt", "no scene")
    cases = {"cut.mrb": whole[: len(whole) // 2], "empty.mrb": b"", "text.mrb": b"hello", "bits.mrb": bytes(damaged)}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    for name in (*cases, "other.mrb", "missing.mrb", "."):
        with pytest.raises(UnreadableInput):
            openScene(tmp_path / name)
    assert maskSequence(onlyBrowser()) is segmented[2]


def test_wrong_endings_are_refused(tmp_path, segmented):
    with pytest.raises(InvalidRequest, match=r"\.mrb"):
        saveScene(tmp_path / "clip.mrml")
    with pytest.raises(InvalidRequest, match=r"\.seq\.nrrd"):
        saveMasks(tmp_path / "clip.nrrd", segmented[1])
    assert not namesIn(tmp_path)


def test_masks_of_a_clip_without_masks_are_refused(tmp_path, cine):
    _, browser = addCineToScene(cine, "Clip")
    with pytest.raises(InvalidRequest, match="segment it first"):
        saveMasks(tmp_path / "a.seq.nrrd", browser)
    assert not namesIn(tmp_path)


def test_table_columns_have_the_type_of_their_cells(scene):
    headers = ["text", "number", "count", "mixed", "truth"]
    rows = [["a", 1.5, 1, "x", True], ["b", float("nan"), 2, 3, False]]
    node = addTableToScene("Table", headers, rows)
    classes = [node.GetTable().GetColumn(i).GetClassName() for i in range(5)]
    assert classes == ["vtkStringArray", "vtkDoubleArray", "vtkTypeInt64Array", "vtkStringArray", "vtkStringArray"]
    assert tableRows(node) == (headers, [["a", 1.5, 1, "x", "yes"], ["b", None, 2, "3", "no"]])


def test_table_can_be_filled_again(scene):
    node = addTableToScene("Table", ["a", "b"], [[1, 2]])
    fillTable(node, ["c"], [])
    assert tableRows(node) == (["c"], [])
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        fillTable(node, ["c"], [[1, 2]])
    assert tableRows(node) == (["c"], [])
