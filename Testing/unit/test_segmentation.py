from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.anatomy import View, condition_table, label_table
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import Cancelled, InvalidRequest
from FetalEchoSegLib.segmentation import Segmenter


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return random_bundle(tmp_path_factory.mktemp("bundle") / "random")


@pytest.fixture(scope="module")
def segmenter(bundle):
    return Segmenter(bundle, device="cpu", precision="fp32", batch_size=4)


def clip(frames=10, shape=(70, 90), color=False, seed=0):
    size = (frames, *shape, 3) if color else (frames, *shape)
    return Cine.from_array(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8), frame_rate=30)


@pytest.mark.parametrize("view", list(View))
def test_only_what_the_view_permits_is_found(segmenter, view):
    prediction = segmenter.segment(clip(), view=view)
    assert prediction.view is view
    assert prediction.view_source == "user"
    permitted = label_table()[view.index]
    assert permitted[np.unique(prediction.labels)].all()
    assert prediction.labels.any()
    judged = condition_table()[view.index]
    assert np.isfinite(prediction.condition_probabilities[:, judged]).all()
    assert np.isnan(prediction.condition_probabilities[:, ~judged]).all()
    assert np.isfinite(prediction.clip_conditions).tolist() == judged.tolist()
    assert prediction.confidence.min() > 0
    assert prediction.confidence.max() <= 1


def test_labels_have_the_size_of_the_clip(segmenter):
    for shape in [(70, 90), (64, 64), (33, 17), (1, 1)]:
        assert segmenter.segment(clip(2, shape), view=View.LVOT).labels.shape == (2, *shape)


def test_the_batch_size_changes_nothing(bundle, segmenter):
    cine = clip(7)
    one = Segmenter(bundle, "cpu", "fp32", batch_size=1).segment(cine, view=View.RVOT)
    four = segmenter.segment(cine, view=View.RVOT)
    assert (one.labels == four.labels).mean() > 0.9999
    np.testing.assert_allclose(one.clip_conditions, four.clip_conditions, atol=1e-5)
    np.testing.assert_allclose(one.confidence, four.confidence, atol=2e-3)


def test_the_view_is_predicted_when_nobody_names_it(segmenter):
    prediction = segmenter.segment(clip())
    assert prediction.view_source == "predicted"
    assert prediction.view.index == prediction.view_probabilities.argmax()
    assert prediction.view_probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_a_doubtful_view_is_reported(segmenter):
    # Random weights know no view: about a quarter each.
    assert any("view is doubtful" in note for note in segmenter.segment(clip()).notes)


def test_the_users_view_wins_over_the_files(segmenter):
    cine = clip()
    cine.view = View.LVOT
    assert segmenter.segment(cine).view_source == "file"
    assert segmenter.segment(cine).view is View.LVOT
    assert segmenter.segment(cine, view=View.RVOT).view is View.RVOT


def test_a_model_without_view_head_asks_for_the_view(tmp_path):
    segmenter = Segmenter(random_bundle(tmp_path / "b", n_views=0), "cpu", "fp32")
    with pytest.raises(InvalidRequest, match="cannot tell the view: choose one of 4CH, LVOT, RVOT, 3VT"):
        segmenter.segment(clip())
    assert np.isnan(segmenter.segment(clip(), view=View.LVOT).view_probabilities).all()


def test_a_range_leaves_the_other_frames_untouched(segmenter):
    prediction = segmenter.segment(clip(), view=View.LVOT, frames=range(3, 6))
    assert np.flatnonzero(prediction.done).tolist() == [3, 4, 5]
    assert not prediction.labels[~prediction.done].any()
    assert np.isnan(prediction.confidence[~prediction.done]).all()


def test_frames_outside_the_clip_are_refused(segmenter):
    with pytest.raises(InvalidRequest, match="Frames 5 to 10 were asked for, but the clip has frames 0 to 9: choose"):
        segmenter.segment(clip(), view=View.LVOT, frames=range(5, 11))


def test_a_range_far_too_long_for_the_memory_is_refused_at_once(segmenter):
    with pytest.raises(InvalidRequest, match="Frames 0 to 99999999999999999999 were asked for"):
        segmenter.segment(clip(), view=View.LVOT, frames=range(10**20))


def test_a_lack_of_memory_on_the_device_is_a_sentence(bundle):
    def refuse(_images):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    segmenter = Segmenter(bundle, "cpu", "fp32", batch_size=4)
    segmenter._network = refuse
    with pytest.raises(InvalidRequest, match="not enough memory on cpu for 4 frames at a time: choose a smaller batch"):
        segmenter.segment(clip(), view=View.LVOT)


def test_cancel_keeps_the_finished_frames(segmenter):
    calls = []
    prediction = segmenter.segment(
        clip(),
        view=View.LVOT,
        progress=lambda done, total: calls.append((done, total)),
        cancelled=lambda: len(calls) == 2,
    )
    assert calls == [(4, 10), (8, 10)]
    assert prediction.done.sum() == 8
    assert "Cancelled after 8 of 10 frames; the finished ones are kept." in prediction.notes


def test_cancel_before_the_first_frame_raises(segmenter):
    with pytest.raises(Cancelled):
        segmenter.segment(clip(), cancelled=lambda: True)


def test_color_is_seen_by_its_luma(segmenter):
    gray = clip(3)
    color = Cine.from_array(np.repeat(gray.frames[..., None], 3, axis=3), frame_rate=30)
    np.testing.assert_array_equal(
        segmenter.segment(gray, view=View.LVOT).labels, segmenter.segment(color, view=View.LVOT).labels
    )


def test_every_frame_is_decoded_once(segmenter):
    class Counting:
        shape = (9, 40, 40)

        def __init__(self):
            self.reads = []

        def read(self, index):
            self.reads.append(index)
            return np.full((40, 40), index * 20, dtype=np.uint8)

    source = Counting()
    segmenter.segment(Cine(source, np.arange(9) / 30, "FrameTime"))
    assert sorted(source.reads) == list(range(9))


def test_the_notice_of_the_model_travels_with_the_result(segmenter, bundle):
    prediction = segmenter.segment(clip(), view=View.LVOT)
    assert prediction.bundle.notice == "Random weights for a test."
    assert "Random weights for a test." in prediction.notes
    assert prediction.bundle.sha256 == bundle.card.sha256
