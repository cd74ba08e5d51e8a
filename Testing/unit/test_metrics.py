"""DSC, NSD and F1 equal a straightforward implementation of the challenge's definition in every digit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from FetalEchoSegLib import metrics
from FetalEchoSegLib.anatomy import Condition, Structure, View, condition_table
from FetalEchoSegLib.conditions import UNCALIBRATED, ConditionThreshold, decisions, verdict

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_metrics.py"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("bench_metrics", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(reference):
    rng = np.random.default_rng(3)
    for view in View:
        prediction, truth = reference.smooth_masks(view, seed=int(view), size=128)
        yield prediction, truth
        stray = prediction.copy()
        stray[rng.random(stray.shape) < 0.003] = rng.integers(0, 15)
        yield stray, truth
        yield np.roll(truth, (3, -2), (0, 1)), truth
    for size in (1, 2, 3, 40):
        for labels in (2, 15):
            yield rng.integers(0, labels, (size, size)), rng.integers(0, labels, (size, size))
    yield rng.integers(0, 15, (1, 30)), rng.integers(0, 15, (1, 30))
    empty, full = np.zeros((20, 20), np.uint8), np.full((20, 20), 7, np.uint8)
    yield from [(empty, empty), (empty, full), (full, empty), (full, full)]


@pytest.mark.parametrize("tolerance", [2.0, 0.0, 1.0, 1.5, 3.0, 5.0])
def test_every_digit_equals_the_straightforward_definition(reference, tolerance):
    for prediction, truth in cases(reference):
        ours = metrics.compare_masks(prediction, truth, tolerance)
        theirs = reference.straightforward_agreement(prediction, truth, tolerance)
        np.testing.assert_array_equal(np.stack([ours.dice, ours.nsd]), theirs)


def test_one_stray_pixel_of_an_absent_structure_costs_a_full_zero():
    truth = np.zeros((16, 16), np.uint8)
    prediction = truth.copy()
    prediction[4, 4] = Structure.TRACHEA
    agreement = metrics.compare_masks(prediction, truth)
    assert agreement.dice[Structure.TRACHEA - 1] == agreement.nsd[Structure.TRACHEA - 1] == 0
    assert np.isnan(np.delete(agreement.dice, Structure.TRACHEA - 1)).all()


def test_two_pixels_off_is_within_tolerance_and_three_are_not():
    truth = np.zeros((32, 32), np.uint8)
    truth[5:15, 5:15] = 1
    two, three = np.roll(truth, 2, axis=0), np.roll(truth, 3, axis=0)
    assert metrics.compare_masks(two, truth).nsd[0] == 1.0
    assert metrics.compare_masks(three, truth).nsd[0] < 1.0


def test_the_image_border_is_surface():
    surfaces = metrics.structure_surfaces(np.full((5, 5), 7, np.uint8))
    assert surfaces[0].all()
    assert surfaces[:, -1].all()
    assert not surfaces[1:-1, 1:-1].any()


@pytest.mark.parametrize(
    ("prediction", "truth"),
    [
        (np.zeros((4, 4), int), np.zeros((4, 5), int)),
        (np.full((4, 4), 15), np.zeros((4, 4), int)),
        (np.full((4, 4), -1), np.zeros((4, 4), int)),
        (np.zeros((4, 4)), np.zeros((4, 4), int)),
        (np.zeros((4, 4, 1), int), np.zeros((4, 4, 1), int)),
    ],
)
def test_other_arrays_are_refused(prediction, truth):
    with pytest.raises(ValueError, match=r"mask|labels"):
        metrics.compare_masks(prediction, truth)


def test_overall_means_run_over_structures_not_over_images():
    def agreement(**dice):
        values = np.full(14, np.nan)
        for name, value in dice.items():
            values[Structure[name] - 1] = value
        return metrics.MaskAgreement(values, values / 2)

    score = metrics.segmentation_score([agreement(LEFT_ATRIUM=1.0, THORAX=0.0), *[agreement(LEFT_ATRIUM=0.5)] * 3])
    assert score.dice_class[0] == 62.5
    assert score.dice == (62.5 + 0.0) / 2
    assert score.nsd == score.dice / 2
    assert score.counts.tolist() == [4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert metrics.segmentation_score([]).dice == 0.0


def test_sums_run_in_image_order_in_double_precision():
    values = np.random.default_rng(0).random(1001)
    rows = [np.full(14, v) for v in values]
    expected = 0.0
    for value in values:
        expected += float(value)
    score = metrics.segmentation_score([metrics.MaskAgreement(r, r) for r in rows])
    assert score.dice_class[3] == 100.0 * expected / 1001


def straightforward_f1(truth, decision, views):
    """Precision and recall by counting, one condition at a time."""
    result = []
    for condition in Condition:
        seen = [i for i, v in enumerate(views) if condition_table()[v.index, condition]]
        hits = sum(truth[i, condition] and decision[i, condition] for i in seen)
        said = sum(int(decision[i, condition]) for i in seen)
        true = sum(int(truth[i, condition]) for i in seen)
        result.append(2 * hits / (said + true) if said + true else 0.0)
    return np.array(result, dtype=np.float32)


def test_f1_counts_only_images_whose_view_can_show_the_condition():
    rng = np.random.default_rng(1)
    for rate in (0.0, 0.1, 0.5, 1.0):
        views = [View(int(v)) for v in rng.integers(1, 5, 90)]
        truth, decision = rng.random((90, 7)) < rate, rng.random((90, 7)) < 0.3
        score = metrics.classification_score(truth, decision, views)
        expected = straightforward_f1(truth, decision, views)
        np.testing.assert_array_equal(score.f1_class, expected)
        assert score.macro_f1 == float(expected.mean())
        assert score.f1_class.dtype == np.float32


def test_a_false_alarm_in_a_view_that_cannot_show_it_is_ignored():
    truth, decision = np.zeros((2, 7), bool), np.zeros((2, 7), bool)
    truth[0, Condition.VSD] = decision[0, Condition.VSD] = True
    decision[1, Condition.VSD] = True  # the three-vessel view has no septum
    score = metrics.classification_score(truth, decision, [View.FOUR_CHAMBER, View.THREE_VESSEL_TRACHEA])
    assert score.f1_class[Condition.VSD] == 1.0
    assert score.support[Condition.VSD] == 1
    assert score.macro_f1 == pytest.approx(1 / 7)


def test_no_images_give_zero_not_an_error():
    score = metrics.classification_score(np.zeros((0, 7)), np.zeros((0, 7)), [])
    assert score.macro_f1 == 0.0
    assert score.support.tolist() == [0] * 7


def test_scores_reproduce_a_published_result_of_the_challenge():
    # A team's test result: F1 8.81 %, DSC 70.88, NSD 46.28, time score 97.33, score 40.06.
    assert metrics.challenge_score(70.88, 46.28, 0.0881, 97.33) == pytest.approx(40.06, abs=0.01)
    assert metrics.challenge_score(100, 100, 1) == 90
    assert metrics.validation_score(79.99, 61.62, 0.4120) == pytest.approx(44.80, abs=0.01)
    assert metrics.selection_score(100, 100, 1) == 200
    assert metrics.time_score(82.0) == pytest.approx(98.38, abs=0.01)
    assert (metrics.time_score(45), metrics.time_score(818)) == (100, 0)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.0, "not suspected"),
        (0.29, "not suspected"),
        (0.3, "uncertain"),
        (0.5, "uncertain"),
        (0.7, "suspected"),
        (1.0, "suspected"),
        (np.nan, "not shown by this view"),
    ],
)
def test_verdict_abstains_inside_the_band(probability, expected):
    assert verdict(probability, ConditionThreshold(0.5, 0.3, 0.7)) == expected


def test_an_empty_band_never_abstains():
    sharp = ConditionThreshold(0.5, 0.5, 0.5)
    assert [verdict(p, sharp) for p in (0.49, 0.5)] == ["not suspected", "suspected"]


def test_decisions_ignore_the_band_and_hidden_conditions():
    assert decisions(np.array([[0.5, 0.49, np.nan, 1, 0, 0.6, 0.1]]), [UNCALIBRATED] * 7).tolist() == [
        [1, 0, 0, 1, 0, 1, 0]
    ]


def test_a_band_must_hold_its_threshold():
    with pytest.raises(ValueError, match="low <= threshold"):
        ConditionThreshold(0.5, 0.6, 0.7)
