from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import Condition, View, condition_table
from FetalEchoTrainLib.calibration import (
    area_under_roc,
    best_f1,
    best_threshold,
    calibrate,
    expected_calibration_error,
    f1_score,
    fit_platt,
    fit_threshold,
    fit_thresholds,
    summary_values,
)


def test_thresholds_have_the_best_f1_and_an_ordered_band():
    rng = np.random.default_rng(2)
    views = rng.integers(1, 5, 800)
    truth = ((rng.random((800, 7)) < 0.3) & condition_table()[views - 1]).astype(np.float32)
    probabilities = np.clip(0.3 + 0.3 * truth + rng.normal(0, 0.1, truth.shape), 0, 1)
    for condition, fitted in zip(Condition, fit_thresholds(probabilities, truth, views), strict=True):
        rows = condition_table()[views - 1, condition]
        p, t = probabilities[rows, condition], truth[rows, condition] > 0

        def f1(cut, p=p, t=t):
            return 2 * ((p >= cut) & t).sum() / ((p >= cut).sum() + t.sum())

        assert f1(fitted.threshold) == pytest.approx(max(f1(cut) for cut in np.linspace(0, 1, 501)), abs=0.01)
        assert 0.3 < fitted.low <= fitted.threshold <= fitted.high < 0.7


def test_a_condition_without_positives_keeps_one_half_and_claims_nothing():
    views = np.full(50, View.LVOT)
    fitted = fit_thresholds(np.random.default_rng(3).random((50, 7)), np.zeros((50, 7)), views)
    vsd = fitted[Condition.VSD]
    assert (vsd.threshold, vsd.low, vsd.high) == (0.5, 0.0, 1.0)


def test_probabilities_that_know_nothing_claim_nothing():
    rng = np.random.default_rng(4)
    views = rng.integers(1, 5, 400)
    truth = ((rng.random((400, 7)) < 0.2) & condition_table()[views - 1]).astype(np.float32)
    for fitted in fit_thresholds(0.5 + rng.normal(0, 1e-4, (400, 7)), truth, views):
        assert (fitted.low, fitted.high) == (0.0, 1.0)


def overconfident(count=600, seed=0, factor=3.0):
    """Logits three times too large, and labels that follow the true probability."""
    rng = np.random.default_rng(seed)
    true_logit = rng.normal(-1, 1.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-true_logit))
    return factor * true_logit, truth


def test_platt_finds_the_scale_and_never_turns_the_order_round():
    logits, truth = overconfident(20_000)
    slope, intercept = fit_platt(logits, truth)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert intercept == pytest.approx(0, abs=0.06)
    assert fit_platt(-logits, truth)[0] == 0
    assert fit_platt(logits, np.zeros_like(truth)) == (1, 0)


def test_separable_frames_do_not_give_certainty():
    logits = np.r_[np.full(5, 50.0), np.full(45, -50.0)]
    slope, intercept = fit_platt(logits, logits > 0)
    top = 1 / (1 + np.exp(-(slope * 50 + intercept)))
    assert 0.8 < top < 0.9  # (5 + 1) / (5 + 2)


def test_calibration_error_is_that_of_confidence_and_frequency():
    truth = np.array([True] * 3 + [False] * 7)
    assert expected_calibration_error(np.full(10, 0.3), truth[np.random.default_rng(0).permutation(10)]) > 0.3
    rng = np.random.default_rng(0)
    p = rng.random(50_000)
    assert expected_calibration_error(p, rng.random(50_000) < p) < 0.01
    assert expected_calibration_error(p, rng.random(50_000) < p / 2) == pytest.approx(0.25, abs=0.01)
    assert np.isnan(expected_calibration_error(p[:0], truth[:0]))


def example(seed=0, count=900):
    rng = np.random.default_rng(seed)
    views = rng.integers(1, 5, count)
    logits, truth = np.zeros((count, 7)), np.zeros((count, 7), dtype=np.float32)
    for condition in Condition:
        logits[:, condition], found = overconfident(count, seed + condition)
        truth[:, condition] = found & condition_table()[views - 1, condition]
    truth[:, Condition.AORTIC_VALVE_STENOSIS] = 0  # one class absent
    return logits, truth, views


def test_calibration_helps_on_frames_left_out_and_says_how_sure_it_is():
    logits, truth, views = example()
    found = calibrate(logits, truth, views, resamples=30)
    for condition, fitted in zip(Condition, found.conditions, strict=True):
        if condition is Condition.AORTIC_VALVE_STENOSIS:
            continue
        assert fitted.frames == condition_table()[views - 1, condition].sum()
        assert fitted.ece.value < fitted.ece_before.value
        assert fitted.ece.low <= fitted.ece.value <= fitted.ece.high
        assert 0.6 < fitted.auroc.low < fitted.auroc.high < 1
        assert 0.3 < fitted.f1.low < fitted.f1.value < fitted.f1.high < 1
        assert 0 < fitted.threshold.low <= fitted.threshold.threshold <= fitted.threshold.high < 1
    values = summary_values(found)
    assert values["calibration_ece"] < values["calibration_ece_before"] - 0.03
    assert calibrate(logits, truth, views, resamples=30).to_dict() == found.to_dict()


def test_an_absent_class_is_left_as_it_is_and_claims_nothing():
    fitted = calibrate(*example(), resamples=20).conditions[Condition.AORTIC_VALVE_STENOSIS]
    assert (fitted.slope, fitted.intercept, fitted.positives) == (1, 0, 0)
    assert (fitted.threshold.threshold, fitted.threshold.low, fitted.threshold.high) == (0.5, 0, 1)
    assert np.isnan(fitted.f1.value)
    assert fitted.to_dict()["F1"] == {"value": None, "low": None, "high": None}


def test_a_view_without_frames_is_no_obstacle():
    logits, truth, views = example()
    only = views == View.FOUR_CHAMBER
    found = calibrate(logits[only], truth[only], views[only], resamples=20)
    assert found.conditions[Condition.RIGHT_AORTIC_ARCH].frames == 0
    assert found.conditions[Condition.VSD].frames == only.sum()


def test_a_folded_head_gives_calibrated_logits():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    head = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 7))
    inputs = torch.randn(10, 5)
    before = head(inputs).detach().numpy()
    found = calibrate(*example(), resamples=20)
    found.fold_into(head)
    expected = before * [c.slope for c in found.conditions] + [c.intercept for c in found.conditions]
    assert np.allclose(head(inputs).detach().numpy(), expected, atol=1e-5)


def test_without_scaling_scores_stay_as_they_are():
    found = calibrate(*example(), scaling=False, resamples=20)
    assert all((c.slope, c.intercept) == (1, 0) for c in found.conditions)
    assert found.conditions[0].ece.value == found.conditions[0].ece_before.value


def test_f1_of_nothing_is_zero_and_of_everything_right_is_one():
    nothing, some = np.zeros(4, dtype=bool), np.array([True, False, True, False])
    assert f1_score(nothing, nothing) == 0
    assert f1_score(some, some) == 1
    assert best_f1(some.astype(float), some) == 1
    assert best_f1(some.astype(float), nothing) == 0
    assert best_threshold(some.astype(float), some) == 0.5


def test_the_area_under_the_curve_is_the_chance_of_the_right_order():
    truth = np.array([True, True, False, False])
    assert area_under_roc(np.array([0.9, 0.3, 0.5, 0.1]), truth) == 0.75
    assert area_under_roc(np.full(4, 0.5), truth) == 0.5
    assert area_under_roc(truth.astype(float), np.ones(4, dtype=bool)) == 0.5


def test_a_narrower_band_abstains_less():
    logits, truth = overconfident(300)
    p = 1 / (1 + np.exp(-logits))
    wide, narrow = (fit_threshold(p, truth, np.random.default_rng(0), 100, band) for band in (0.9, 0.3))
    assert wide.low <= narrow.low <= narrow.high <= wide.high
    assert wide.high - wide.low > narrow.high - narrow.low
