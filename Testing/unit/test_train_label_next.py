"""Which frames to label next."""

from __future__ import annotations

import numpy as np
import pytest
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoTrainLib.label_next import Candidate, rank

NOTHING = np.zeros((0, 2))


def frame(index, confidence=0.5, at=(0.0, 0.0), patient="", phase=None, clip="a"):
    return Candidate(clip, index, patient, confidence, np.array(at), phase)


def order(candidates, labelled=NOTHING, most=9, per_patient=9):
    return [candidate.index for candidate in rank(candidates, labelled, most, per_patient)]


def test_the_most_doubtful_comes_first():
    assert order([frame(0, 0.9), frame(1, 0.2), frame(2, 0.5)])[0] == 1


def test_what_is_unlike_the_labelled_comes_first():
    assert order([frame(0, at=(0, 1)), frame(1, at=(0, 5))], np.array([[0.0, 0.0]])) == [1, 0]


def test_a_twin_of_a_chosen_frame_comes_last():
    assert order([frame(0, 0.1), frame(1, 0.2), frame(2, 0.8, at=(3, 3))]) == [0, 2, 1]


def test_a_clip_gives_one_frame_a_phase():
    frames = [frame(0, 0.1, phase=0.1), frame(1, 0.2, at=(1, 1), phase=0.2), frame(2, 0.3, phase=0.6)]
    assert sorted(order(frames)) == [0, 2]


def test_a_phase_that_is_not_known_limits_nothing():
    assert len(order([frame(k, 0.1, at=(k, 1), phase=np.nan) for k in range(3)])) == 3


def test_features_count_whatever_their_units():
    """A feature in thousands does not drown one in thousandths."""
    frames = [frame(0, at=(0, 0.003)), frame(1, at=(1000, 0)), frame(2, at=(0, 0)), frame(3, at=(10, 0.001))]
    assert set(order(frames, np.array([[0.0, 0.0]]), most=2)) == {0, 1}


def test_a_patient_gives_no_more_than_the_limit():
    frames = [frame(k, 0.1 * k, at=(k, 0), patient="p") for k in range(4)] + [frame(9, 0.9, patient="q")]
    chosen = order(frames, per_patient=2)
    assert len(chosen) == 3
    assert 9 in chosen


def test_a_frame_never_segmented_is_refused():
    with pytest.raises(InvalidRequest, match="segment their clips first"):
        order([frame(0, np.nan)])


def test_no_frame_is_ranked_as_none():
    assert order([]) == []
