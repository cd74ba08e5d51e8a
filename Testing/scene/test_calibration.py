"""A new pixel size for a clip that has masks, edits and a spine already."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.scene.calibration import calibrateClip, spacingFromDistance
from FetalEchoSegLib.scene.spine import setSpine, spineOf

import FetalEchoSeg

from .conftest import COLUMNS, ROWS


def test_masks_and_spine_stay_on_the_image(segmented, tmp_path):
    sequence, browser, masks, labels = segmented
    logic = FetalEchoSeg.FetalEchoSegLogic()
    setSpine(sequence, 30, 20, 2)
    calibrateClip(browser, (0.4, 0.5), "user: 10 mm between two points")
    cine = logic.cine(browser)
    assert cine.spacing == (0.4, 0.5)
    assert cine.calibration == "user: 10 mm between two points"
    np.testing.assert_array_equal(logic.labels(masks), labels)
    (row, column), frame = spineOf(sequence)
    assert (row, column, frame) == (pytest.approx(30), pytest.approx(20), 2)
    assert browser.GetProxyNode(sequence).GetSpacing()[:2] == pytest.approx((0.5, 0.4))
    # All layers lie on the clip's grid: none has to be resampled.
    bounds = np.zeros(6)
    browser.GetProxyNode(masks).GetRASBounds(bounds)
    assert -COLUMNS * 0.5 < bounds[0] < bounds[1] < 0.5
    assert -ROWS * 0.4 < bounds[2] < bounds[3] < 0.5

    logic.openScene(logic.saveScene(tmp_path / "clip.mrb"))
    again = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")[0]
    assert logic.cine(again).spacing == (0.4, 0.5)
    np.testing.assert_array_equal(logic.labels(again), labels)


def test_edit_after_calibration_lands_on_its_pixels(segmented):
    sequence, browser, masks, labels = segmented
    calibrateClip(browser, (0.4, 0.4), "user")
    browser.SetSelectedItemNumber(3)
    drawn = np.zeros((1, ROWS, COLUMNS), np.uint8)
    drawn[0, 2:5, 50:60] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        drawn, browser.GetProxyNode(masks), Structure.LEFT_VENTRICLE.info.segment_id, browser.GetProxyNode(sequence)
    )
    expected = labels.copy()
    expected[3][expected[3] == 2] = 0
    expected[3][drawn[0] > 0] = 2
    np.testing.assert_array_equal(FetalEchoSeg.FetalEchoSegLogic().labels(masks), expected)


def test_areas_scale_with_the_pixel(segmented):
    _, browser, masks, _ = segmented
    logic = FetalEchoSeg.FetalEchoSegLogic()
    from FetalEchoSegLib.tables import frame_table

    def areas():
        table = frame_table(logic.cine(browser), logic.prediction(masks))
        return np.concatenate(list(table.areas.values()))

    before = areas()
    calibrateClip(browser, (0.31 * 2, 0.22 * 2), "user")
    np.testing.assert_allclose(areas(), before * 4, rtol=1e-6)


@pytest.mark.parametrize("spacing", [(0.0, 0.2), (float("nan"), 0.2), (50.0, 50.0), (1e-5, 1e-5)])
def test_impossible_size_changes_nothing(segmented, spacing):
    _, browser, _, _ = segmented
    logic = FetalEchoSeg.FetalEchoSegLogic()
    with pytest.raises(InvalidRequest, match="impossible"):
        logic.calibrate(browser, spacing)
    assert logic.cine(browser).spacing == (0.31, 0.22)


def test_distance_between_two_points_gives_the_pixel_size(segmented):
    _, browser, _, _ = segmented
    # 20 columns of 0.22 mm apart: 4.4 mm at present; said to be 8.8 mm.
    first, second = (-5 * 0.22, -10 * 0.31, 0.0), (-25 * 0.22, -10 * 0.31, 0.0)
    assert spacingFromDistance(browser, first, second, 8.8) == pytest.approx((0.62, 0.44))
    with pytest.raises(InvalidRequest, match="same place"):
        spacingFromDistance(browser, first, first, 10)
    with pytest.raises(InvalidRequest, match="more than 0"):
        spacingFromDistance(browser, first, second, 0)
