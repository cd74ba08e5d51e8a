from __future__ import annotations

import gc
import shutil
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.anatomy import View, condition_table, label_table
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import Cancelled, InvalidRequest, UnusableBundle
from FetalEchoSegLib.prediction import merged
from FetalEchoSegLib.segmentation import Segmenter, cached_segmenter, forget_segmenter


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


def refusing(segmenter, limit):
    """A network with memory for ``limit`` frames."""
    network = segmenter._network

    class Refusing:
        label_map = staticmethod(network.label_map)

        def __call__(self, images):
            if len(images) > limit:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            return network(images)

    return Refusing()


def test_a_lack_of_memory_on_the_device_is_a_sentence(bundle):
    segmenter = Segmenter(bundle, "cpu", "fp32", batch_size=4)
    segmenter._network = refusing(segmenter, 0)
    with pytest.raises(InvalidRequest, match="not enough memory on cpu for one frame: close other programs or choose"):
        segmenter.segment(clip(), view=View.LVOT)


def test_a_batch_that_does_not_fit_the_memory_is_halved(bundle, segmenter):
    small = Segmenter(bundle, "cpu", "fp32", batch_size=4)
    small._network = refusing(small, 1)
    found = small.segment(clip())
    whole = segmenter.segment(clip())
    assert found.done.all()
    assert found.view is whole.view
    assert (found.labels == whole.labels).mean() > 0.9999


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


def test_cancel_leaves_the_network_in_the_middle_of_a_pass(segmenter):
    asked = []

    def cancelled():
        asked.append(0)
        return len(asked) > 3000

    run = segmenter.start(clip(40), View.LVOT)
    run.go(cancelled=cancelled)
    # Without asking inside a pass, it would be asked once per batch of four.
    assert 0 < run.finished < 40
    assert len(asked) == 3001
    assert run.prediction().done.sum() == run.finished


def test_finished_frames_can_be_had_while_the_network_is_stuck(bundle):
    segmenter = Segmenter(bundle, "cpu", "fp32", batch_size=2)
    network, stuck, release = segmenter._network, threading.Event(), threading.Event()

    class Sticking:
        label_map = staticmethod(network.label_map)
        passes = 0

        def __call__(self, images):
            self.passes += 1
            if self.passes == 3:
                stuck.set()
                release.wait(10)
            return network(images)

    segmenter._network = Sticking()
    run = segmenter.start(clip(8))
    worker = threading.Thread(target=run.go)
    worker.start()
    try:
        assert stuck.wait(10)
        prediction = run.prediction()
    finally:
        release.set()
        worker.join()
    assert prediction.done.sum() == 4
    assert "Cancelled after 4 of 8 frames; the finished ones are kept." in prediction.notes
    assert run.prediction().done.all()


def test_interactive_batches_grow_with_the_speed_of_the_network(bundle, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("FetalEchoSegLib.segmentation_run.time", SimpleNamespace(monotonic=lambda: now[0]))

    def sizes(seconds_a_frame):
        segmenter = Segmenter(bundle, "cpu", "fp32", batch_size=4)
        network, seen = segmenter._network, []

        class Timed:
            label_map = staticmethod(network.label_map)

            def __call__(self, images):
                seen.append(len(images))
                now[0] += seconds_a_frame * len(images)
                return network(images)

        segmenter._network = Timed()
        segmenter.start(clip(12), View.LVOT, seconds_per_batch=0.4).go()
        return seen

    assert sizes(0.01) == [1, 2, 4, 4, 1]
    assert sizes(0.15)[:3] == [1, 2, 2]
    assert sizes(4.4) == [1] * 12


def test_single_frames_find_the_same_view_as_a_batch(segmenter):
    run = segmenter.start(clip(), seconds_per_batch=1e-9)
    run.go()
    whole = segmenter.segment(clip())
    assert run.prediction().view is whole.view
    np.testing.assert_allclose(run.prediction().view_probabilities, whole.view_probabilities, atol=1e-5)


def test_a_clip_in_two_parts_is_the_clip_in_one(segmenter):
    whole = segmenter.segment(clip(), view=View.FOUR_CHAMBER)
    first = segmenter.segment(clip(), view=View.FOUR_CHAMBER, frames=range(6))
    second = segmenter.segment(clip(), view=View.FOUR_CHAMBER, frames=range(4, 10))
    both = merged(first, second, range(6, 10))
    np.testing.assert_array_equal(both.labels, whole.labels)
    for name in ("clip_conditions", "view_probabilities", "frame_views", "confidence", "condition_probabilities"):
        np.testing.assert_allclose(getattr(both, name), getattr(whole, name), atol=1e-5, err_msg=name)
    assert both.notes == whole.notes
    np.testing.assert_array_equal(first.done, np.arange(10) < 6)


def test_predictions_of_two_views_or_models_are_not_mixed(segmenter, tmp_path):
    here = segmenter.segment(clip(2), view=View.LVOT)
    with pytest.raises(ValueError, match=r"LVOT by .* and RVOT by"):
        merged(here, segmenter.segment(clip(2), view=View.RVOT), [0])
    other = Segmenter(random_bundle(tmp_path / "b", seed=1), "cpu", "fp32").segment(clip(2), view=View.LVOT)
    with pytest.raises(ValueError, match="differ"):
        merged(here, other, [0])


def test_the_last_segmenter_is_kept_until_its_files_change(tmp_path):
    forget_segmenter()
    folder = tmp_path / "random"
    random_bundle(folder)
    kept = cached_segmenter(folder, "cpu", "fp32")
    assert cached_segmenter(folder, "cpu", "fp32") is kept
    random_bundle(folder, seed=1)
    changed = cached_segmenter(folder, "cpu", "fp32")
    assert changed is not kept
    assert changed.bundle.identity() != kept.bundle.identity()
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None
    shutil.rmtree(folder)
    with pytest.raises(UnusableBundle, match="There is no model"):
        cached_segmenter(folder, "cpu", "fp32")
    gone = weakref.ref(changed)
    del changed
    gc.collect()
    assert gone() is None


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
