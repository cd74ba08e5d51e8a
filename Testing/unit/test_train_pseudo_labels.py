from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from FetalEchoSegLib.anatomy import Structure, View, permitted_labels
from FetalEchoTrainLib.losses import IGNORE
from FetalEchoTrainLib.pseudo_labels import (
    UNCHANGED,
    FilterLog,
    PseudoLabels,
    condition_targets,
    corrected,
    pseudo_labels,
    weighted,
)

VIEWS = torch.tensor([1, 2, 3, 4])


def test_by_class_a_structure_is_measured_by_its_own_certainty():
    # background sure everywhere, a structure that is rather unsure: one threshold for both drops all of it
    logits = torch.full((1, 15, 1, 8), -20.0)
    logits[0, 0, 0, :4] = 5.0
    logits[0, 2, 0, 4:] = torch.tensor([0.1, 0.4, 0.8, 1.0])
    logits[0, 0, 0, 4:] = 0.0
    views = torch.tensor([1])
    plain = pseudo_labels(logits, views, 0.9)
    fair = pseudo_labels(logits, views, 0.9, by_class=True)
    assert plain.labels.tolist() == fair.labels.tolist() == [[[0, 0, 0, 0, 2, 2, 2, 2]]]
    assert plain.weights.tolist() == [[[1, 1, 1, 1, 0, 0, 0, 0]]]
    assert fair.weights.tolist() == [[[1, 1, 1, 1, 0, 1, 1, 1]]]


def test_only_what_the_view_shows_is_ever_named_and_masking_comes_before_the_softmax():
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, 15, 32, 32)
    logits[0, 13] = 50  # an aortic arch in a four-chamber view, by far the largest
    found = pseudo_labels(logits, VIEWS, 0.6)
    for row, view in enumerate(View):
        assert set(found.labels[row].unique().tolist()) <= set(permitted_labels(view))
    # With the arch in the softmax no pixel of the first frame would be sure of anything.
    assert found.weights[0].mean() > 0.2


def test_confidence_decides_from_exactly_the_threshold():
    logits = torch.full((1, 15, 1, 2), -1e4)
    logits[0, 0] = 0
    logits[0, 2, 0] = torch.tensor([0.0, -20.0])  # one half, and nearly nothing
    assert pseudo_labels(logits, VIEWS[:1], 0.5).weights.tolist() == [[[1, 1]]]
    assert pseudo_labels(logits, VIEWS[:1], 0.51).weights.tolist() == [[[0, 1]]]


def example():
    labels = torch.tensor([[[0, 1, 2, 3]]])
    return PseudoLabels(labels, torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]))


def test_corrections_change_pixels_count_fully_and_mute_the_rim():
    changes = torch.tensor([[[UNCHANGED, 2, IGNORE, 13]]], dtype=torch.uint8)
    found = corrected(example(), changes, VIEWS[:1])
    assert found.labels.tolist() == [[[0, 2, IGNORE, IGNORE]]]  # 13: not in a four-chamber view
    assert found.weights.tolist() == [[[1, 1, 0, 0]]]


def test_agreement_weights_and_never_relabels():
    found = weighted(example(), torch.tensor([[[0.5, 1.0, 0.0, 0.25]]]), floor=0.1)
    assert torch.equal(found.labels, example().labels)
    assert torch.allclose(found.weights, torch.tensor([[[0.5, 0.0, 0.1, 0.25]]]))


def test_conditions_count_where_they_are_sure_on_either_side():
    targets, weights = condition_targets(torch.tensor([[3.0, -3.0, 0.2]]), 0.9)
    assert targets.tolist() == [[1, 0, 1]]
    assert weights.tolist() == [[1, 1, 0]]


def test_the_log_knows_the_precision_of_what_was_kept_and_of_what_was_dropped():
    log = FilterLog()
    pseudo = PseudoLabels(torch.tensor([[[1, 1, 1, 2, 2, 0]]]), torch.tensor([[[1.0, 1, 0, 1, 0, 1]]]))
    truth = torch.tensor([[[1, 2, 1, 2, 1, IGNORE]]])
    log.add_confidence(pseudo, truth)
    found = log.summary()
    assert found["confidence_kept_percent"] == pytest.approx(100 * 4 / 6)
    assert found["confidence_precision_kept_percent"] == pytest.approx(100 * 2 / 3)
    assert found["confidence_precision_dropped_percent"] == pytest.approx(50)
    assert found[f"confidence_kept_percent_{Structure(1).info.short}"] == pytest.approx(100 * 2 / 3)
    assert found["confidence_kept_percent_background"] == 100


def test_without_truth_the_log_claims_no_precision():
    log = FilterLog()
    log.add_confidence(example(), None)
    assert log.summary()["confidence_kept_percent"] == 75
    assert not [name for name in log.summary() if "precision" in name]
    assert FilterLog().summary() == {}


def test_the_log_says_whether_corrected_pixels_became_right():
    log = FilterLog()
    changes = torch.tensor([[[UNCHANGED, 2, IGNORE, 4]]])
    log.add_boundary(example(), corrected(example(), changes, VIEWS[:1]), torch.tensor([[[0, 2, 2, 3]]]))
    found = log.summary()
    assert found["boundary_changed_percent"] == 50
    assert found["boundary_before_precision_changed_percent"] == 50
    assert found["boundary_after_precision_changed_percent"] == 50


def test_the_semantic_filter_is_judged_on_what_counted_before():
    log = FilterLog()
    before = example()
    log.add_semantic(before, weighted(before, torch.tensor([[[0.9, 0.9, 0.1, 0.5]]])), torch.tensor([[[0, 1, 1, 3]]]))
    found = log.summary()
    assert found["semantic_kept_percent"] == pytest.approx(100 * 2 / 3)
    assert (found["semantic_precision_kept_percent"], found["semantic_precision_dropped_percent"]) == (100, 0)


def test_a_log_continues_from_its_state():
    log, again = FilterLog(), FilterLog()
    log.add_confidence(example(), None)
    again.load_state_dict(log.state_dict())
    assert again.summary() == log.summary()
