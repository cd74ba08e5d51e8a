"""Which frames are marked for a look."""

from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.review import (
    CONFIDENCE_FLOOR,
    JUMP_FACTOR,
    doubtful_structure,
    frames_to_review,
    label_areas,
)

PIXELS = 512 * 512
LV, RV = int(Structure.LEFT_VENTRICLE), int(Structure.RIGHT_VENTRICLE)


def beating(count=40, rate=25.0, beats=150.0):
    """Areas of two chambers that lose half of their area in every beat."""
    phase = 2 * np.pi * np.arange(count) / rate * beats / 60
    areas = np.zeros((count, 15))
    areas[:, LV] = 6000 * (0.75 + 0.25 * np.cos(phase))
    areas[:, RV] = 7000 * (0.75 + 0.25 * np.cos(phase))
    return areas


def sure(count=40):
    return np.full(count, 0.97)


def review(confidence=None, areas=None, **more):
    areas = beating() if areas is None else areas
    confidence = sure(len(areas)) if confidence is None else confidence
    done = more.pop("done", np.ones(len(areas), dtype=bool))
    return frames_to_review(confidence, areas, done, PIXELS, **more)


@pytest.mark.parametrize("rate", [20.0, 25.0, 50.0])
def test_a_beating_heart_needs_no_look(rate):
    assert review(areas=beating(rate=rate)).frames == []


def test_frames_below_the_floor_are_marked_and_nothing_else():
    confidence = sure()
    confidence[[3, 17]] = CONFIDENCE_FLOOR - 0.01, CONFIDENCE_FLOOR
    assert review(confidence).frames == [3]
    assert review(confidence, floor=0.5).frames == []
    assert review(confidence, floor=0.95).frames == [3, 17]


def test_a_clip_that_is_bad_throughout_is_called_so_and_its_worst_quarter_marked():
    confidence = np.linspace(0.5, 0.7, 40)
    found = review(confidence)
    assert found.is_doubtful
    assert found.low_confidence.all()
    assert found.frames == list(range(10))


def test_settling_frames_shortens_the_list_and_marks_no_other():
    settled = np.zeros(40, dtype=bool)
    settled[:4] = True
    assert review(np.linspace(0.5, 0.7, 40), settled=settled).frames == list(range(4, 10))


@pytest.mark.parametrize("gap", [slice(20, 21), slice(20, 22)])
def test_a_structure_that_vanishes_for_a_frame_or_two_is_found(gap):
    areas = beating()
    areas[gap, RV] = 0
    found = review(areas=areas)
    assert found.frames == list(range(40))[gap]
    assert found.jumping(20) == (Structure.RIGHT_VENTRICLE,)


def test_a_structure_that_vanishes_for_good_is_no_jump():
    areas = beating()
    areas[20:, RV] = 0
    assert review(areas=areas).frames == []


def test_a_flickering_structure_is_found_on_the_frames_where_it_is_gone():
    areas = beating()
    areas[[20, 22], RV] = 0
    assert review(areas=areas).frames == [20, 22]


def test_a_structure_that_appears_for_two_frames_is_found():
    areas = beating()
    areas[15:17, int(Structure.ASCENDING_AORTA)] = 900
    assert review(areas=areas).frames == [15, 16]


@pytest.mark.parametrize("factor", [1 / (JUMP_FACTOR + 0.3), JUMP_FACTOR + 0.3])
def test_an_area_unlike_both_sides_is_found(factor):
    areas = beating()
    areas[:, LV] = 6000
    areas[12, LV] *= factor
    assert review(areas=areas).frames == [12]


def test_a_speck_that_comes_and_goes_is_not():
    areas = beating()
    areas[12, int(Structure.TRACHEA)] = 40
    assert review(areas=areas).frames == []


def test_frames_without_a_neighbour_on_both_sides_never_jump():
    areas = beating()
    areas[[0, 39], LV] = 0
    assert review(areas=areas).frames == []


def test_frames_that_were_not_segmented_need_no_look_and_say_nothing_of_others():
    done = np.arange(40) < 10
    confidence = np.where(done, 0.97, np.nan)
    areas = beating()
    areas[~done] = 0
    assert review(confidence, areas, done=done).frames == []
    confidence[5] = 0.4
    assert review(confidence, areas, done=done).frames == [5]


def test_no_frame_segmented_means_no_frame_to_check():
    done = np.zeros(40, dtype=bool)
    found = review(np.full(40, np.nan), np.zeros((40, 15)), done=done)
    assert found.frames == []
    assert not found.is_doubtful


def test_steps_to_the_next_and_previous_go_around():
    confidence = sure()
    confidence[[5, 9, 30]] = 0.5
    found = review(confidence)
    assert [found.next_after(k) for k in (0, 5, 30, 39)] == [5, 9, 5, 5]
    assert [found.previous_before(k) for k in (0, 5, 9, 39)] == [30, 30, 5, 30]
    confidence[[9, 30]] = 0.97
    assert review(confidence).next_after(5) is None
    assert review(confidence).previous_before(5) is None


def test_a_still_is_judged_by_its_confidence():
    assert review(np.array([0.4]), beating(1)).frames == [0]
    assert review(np.array([0.97]), beating(1)).frames == []


def test_areas_are_counted_by_label():
    labels = np.zeros((4, 5), dtype=np.uint8)
    labels[0] = 14
    areas = label_areas(labels)
    assert areas.shape == (15,)
    assert (areas[0], areas[14]) == (15, 5)


def test_arrays_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="do not belong to 40 frames"):
        frames_to_review(sure(39), beating(), np.ones(40, dtype=bool), PIXELS)


def test_the_doubtful_structure_is_the_one_that_jumps_else_the_largest_chamber():
    lv, rv, thorax = Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, Structure.THORAX
    areas = np.zeros((7, 15), dtype=np.int64)
    areas[:, lv], areas[:, rv], areas[:, thorax] = 900, 1000, 9000
    areas[3, lv] = 300
    found = frames_to_review(np.full(7, 0.97), areas, np.ones(7, bool), 100_000)
    assert doubtful_structure(found, areas, 3) is lv
    assert doubtful_structure(found, areas, 1) is rv
    areas[1, [lv, rv]] = 0
    assert doubtful_structure(found, areas, 1) is thorax
    areas[1] = 0
    assert doubtful_structure(found, areas, 1) is None
