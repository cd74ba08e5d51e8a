"""Embeddings ahead of the click, the Refiner's answers, and masks carried through a clip."""

import importlib.util
import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.errors import Cancelled, InvalidRequest
from FetalEchoSegLib.promptable import model as model_module
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.embeddings import EmbeddingCache, FrameKey
from FetalEchoSegLib.promptable.geometry import Geometry
from FetalEchoSegLib.promptable.lean import LeanEncoder
from FetalEchoSegLib.promptable.model import Embedding, PromptableModel
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from FetalEchoSegLib.promptable.prompts import Box, Point, Prompts
from FetalEchoSegLib.promptable.refiner import CineFrames, Refiner
from promptables import SMALL, BrightModel, seeded_frame, seeded_state

PATIENCE = 20.0


def disc(x, y, radius=12, shape=(80, 100)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns - x, rows - y) <= radius


def moving_clip(centres, radius=12):
    """A bright disc at these places; the first pixel of every frame is its number."""
    frames = np.stack([np.where(disc(x, y, radius), 200, 10).astype(np.uint8) for x, y in centres])
    frames[:, 0, 0] = np.arange(len(frames))
    return CineFrames(Cine.from_array(frames), "clip")


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def encoding(refiner):
    """The frame in work, held back by a gate."""
    current = refiner._worker._current
    return None if current is None else current.frame


@pytest.fixture
def clip():
    return moving_clip([(40 + i, 40) for i in range(12)])


@pytest.fixture
def opened():
    """Makes Refiners and closes them after the test."""
    made = []

    def make(model, **options):
        made.append(Refiner(model, **options))
        return made[-1]

    yield make
    for refiner in made:
        refiner.close()


def embedding_of(size):
    return Embedding(torch.zeros(size // 4), Geometry(8, 8, 64, 16))


def test_the_cache_drops_what_was_not_used_for_longest():
    cache = EmbeddingCache(max_bytes=300)
    a, b, c, d = (FrameKey("clip", 1, frame) for frame in range(4))
    for key in (a, b, c):
        cache.put(key, embedding_of(100))
    assert cache.nbytes == 300
    cache.get(a)
    cache.put(d, embedding_of(100))
    assert [key in cache for key in (a, b, c, d)] == [True, False, True, True]
    cache.put(b, embedding_of(5000))
    assert (len(cache), cache.nbytes) == (1, 5000)


def test_a_changed_volume_is_encoded_again():
    cache = EmbeddingCache()
    cache.put(FrameKey("clip", 1, 0), embedding_of(100))
    assert cache.get(FrameKey("clip", 2, 0)) is None
    cache.put(FrameKey("clip", 2, 0), embedding_of(100))
    assert (len(cache), cache.nbytes) == (1, 100)
    cache.put(FrameKey("other", 1, 0), embedding_of(100))
    cache.discard("clip")
    assert len(cache) == 1
    cache.discard()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_click_is_answered(opened, clip):
    refiner = opened(BrightModel())
    reply = refiner.answer(clip, 3, Prompts((Point(43, 40),)))
    assert reply.waited
    assert np.count_nonzero(reply.answer.mask ^ disc(43, 40)) < 40
    again = refiner.answer(clip, 3, Prompts((Point(45, 42),)))
    assert not again.waited
    assert refiner.model.encoded == [3]


def test_the_current_frame_comes_first_then_its_neighbours(opened, clip):
    refiner = opened(BrightModel(), ahead=3)
    refiner.prepare(clip, 2)
    wait_until(lambda: len(refiner.model.encoded) == 6)
    assert refiner.model.encoded == [2, 3, 1, 4, 0, 5]
    assert refiner.is_ready(clip, 5)
    assert not refiner.is_ready(clip, 6)


def test_a_click_overtakes_what_is_encoded_ahead(opened, clip):
    gate = threading.Event()
    refiner = opened(BrightModel(gate), ahead=4)
    refiner.prepare(clip, 2)
    future = refiner.wait_for(clip, 9)
    wait_until(lambda: encoding(refiner) == 9)
    gate.set()
    future.result(PATIENCE)
    wait_until(lambda: refiner._worker.pending == 0)
    assert refiner.model.encoded[0] == 9
    # what was abandoned for it is not lost
    assert sorted(refiner.model.encoded) == [0, 1, 2, 3, 4, 5, 6, 9]


def test_another_frame_drops_earlier_wishes(opened, clip):
    gate = threading.Event()
    refiner = opened(BrightModel(gate), ahead=1)
    refiner.prepare(clip, 2)
    refiner.prepare(clip, 8)
    wait_until(lambda: encoding(refiner) == 8)
    gate.set()
    wait_until(lambda: refiner._worker.pending == 0)
    assert refiner.model.encoded == [8, 9, 7]


def test_a_waiting_click_survives_a_change_of_frame(opened, clip):
    gate = threading.Event()
    refiner = opened(BrightModel(gate), ahead=1)
    future = refiner.wait_for(clip, 5)
    wait_until(lambda: encoding(refiner) == 5)
    refiner.prepare(clip, 0)
    second = refiner.wait_for(clip, 5)
    gate.set()
    assert future.result(PATIENCE) is second.result(PATIENCE)
    wait_until(lambda: refiner._worker.pending == 0)
    assert refiner.model.encoded == [5, 0, 1]


def test_clicks_on_two_frames_are_both_answered(opened, clip):
    gate = threading.Event()
    refiner = opened(BrightModel(gate))
    first = refiner.wait_for(clip, 5)
    wait_until(lambda: encoding(refiner) == 5)
    second = refiner.wait_for(clip, 6)
    wait_until(lambda: encoding(refiner) == 6)
    gate.set()
    assert first.result(PATIENCE) is not second.result(PATIENCE)
    assert refiner.model.encoded == [6, 5]


def test_waiting_can_be_cancelled(opened, clip):
    refiner = opened(BrightModel(threading.Event()))
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        refiner.answer(clip, 5, Prompts((Point(3, 3),)), cancelled)


def test_closing_leaves_no_thread_and_no_open_question(opened, clip):
    refiner = opened(BrightModel(threading.Event()))
    future = refiner.wait_for(clip, 5)
    refiner.prepare(clip, 2)
    thread = refiner._worker._thread
    refiner.close()
    assert not thread.is_alive()
    with pytest.raises(CancelledError):
        future.result(0)
    with pytest.raises(Cancelled):
        refiner.wait_for(clip, 5)
    refiner.close()


def test_forgetting_a_volume_frees_it(opened, clip):
    refiner = opened(BrightModel())
    refiner.answer(clip, 3, Prompts((Point(43, 40),)))
    refiner.forget("clip")
    assert not refiner.is_ready(clip, 3)
    refiner.answer(clip, 3, Prompts((Point(43, 40),)))
    assert refiner.model.encoded == [3, 3]


def test_a_damaged_frame_reaches_the_one_who_asked_and_nobody_else(opened, clip, caplog):
    class Damaged(CineFrames):
        def frame(self, index):
            if index == 4:
                raise InvalidRequest("Frame 4 is damaged.")
            return super().frame(index)

    source = Damaged(clip.cine, "clip")
    refiner = opened(BrightModel(), ahead=1)
    refiner.prepare(source, 3)
    wait_until(lambda: refiner._worker.pending == 0)
    assert "damaged" in caplog.text
    with pytest.raises(InvalidRequest, match="damaged"):
        refiner.answer(source, 4, Prompts((Point(3, 3),)))
    assert refiner.answer(source, 5, Prompts((Point(45, 40),))).answer.mask.any()


@pytest.mark.parametrize(
    ("frame", "prompts", "says"),
    [
        (12, Prompts((Point(3, 3),)), "frames 0 to 11"),
        (-1, Prompts((Point(3, 3),)), "frames 0 to 11"),
        (0, Prompts((Point(200, 3),)), "outside the image"),
        (0, Prompts(), "click inside"),
    ],
)
def test_impossible_questions_are_refused(opened, clip, frame, prompts, says):
    with pytest.raises(InvalidRequest, match=says):
        opened(BrightModel()).answer(clip, frame, prompts)


def test_a_first_click_starts_from_the_contour_that_is_there(opened, clip):
    refiner = opened(BrightModel())
    mask = disc(40, 40)
    prompts = refiner.starting_from(clip, 0, mask, Prompts((Point(40, 40),)))
    assert np.count_nonzero((Geometry.of(mask, refiner.model.config, "area").to_frame(prompts.mask) > 0) ^ mask) < 40
    assert refiner.starting_from(clip, 0, mask & False, Prompts()).mask is None
    logits = np.ones((128, 128), dtype=np.float32)
    assert refiner.starting_from(clip, 0, mask, Prompts(mask=logits)).mask is logits


def test_a_mask_is_carried_to_the_end(opened, clip):
    refiner = opened(BrightModel())
    seen = []
    carried = refiner.propagate(clip, 2, disc(42, 40), progress=lambda done, total: seen.append((done, total)))
    assert carried.stopped == ""
    assert [f.frame for f in carried.frames] == list(range(3, 12))
    assert seen[-1] == (9, 9)
    for found in carried.frames:
        assert np.count_nonzero(found.mask ^ disc(40 + found.frame, 40)) < 40
        assert 0.8 < found.agreement <= 1


def test_backward_and_only_so_far(opened, clip):
    carried = opened(BrightModel()).propagate(clip, 9, disc(49, 40), direction=-1, limit=3)
    assert [f.frame for f in carried.frames] == [8, 7, 6]
    assert carried.stopped == ""


def test_it_stops_where_the_structure_jumps(opened):
    clip = moving_clip([(40, 40), (41, 40), (42, 40), (58, 40), (59, 40)])
    carried = opened(BrightModel()).propagate(clip, 0, disc(40, 40))
    assert [f.frame for f in carried.frames] == [1, 2]
    assert "frame 3" in carried.stopped
    assert 0 < carried.agreement < 0.7


def test_it_stops_where_the_structure_is_gone(opened):
    clip = moving_clip([(40, 40), (41, 40), (-90, -90)])
    carried = opened(BrightModel()).propagate(clip, 0, disc(40, 40))
    assert [f.frame for f in carried.frames] == [1]
    assert "not found" in carried.stopped


def test_a_leak_does_not_find_its_way_back(opened):
    """A second blob joins; what grew into it overlaps well with the mask before, but not the other way round."""
    frames = np.full((2, 80, 100), 10, dtype=np.uint8)
    frames[0][disc(40, 40, 12)] = 200
    frames[0][disc(60, 40, 5)] = 200
    frames[1][disc(40, 40, 12) | disc(60, 40, 5)] = 200
    frames[1, 39:42, 50:58] = 200

    class Returning(BrightModel):
        def answer(self, embedding, prompts, multimask=True):
            if embedding.features[40, 53] < 128 and prompts[0].box.right > 60:
                prompts = [Prompts((Point(60, 40),))]
            return super().answer(embedding, prompts)

    carried = opened(Returning()).propagate(CineFrames(Cine.from_array(frames), "clip"), 0, disc(40, 40, 12))
    assert carried.frames == ()
    assert carried.agreement == 0


def test_cancelling_keeps_the_frames_that_were_reached(opened, clip):
    done = []
    carried = opened(BrightModel()).propagate(
        clip, 0, disc(40, 40), progress=lambda d, t: done.append(d), cancelled=lambda: len(done) == 2
    )
    assert [f.frame for f in carried.frames] == [1, 2]
    assert "2 of 11" in carried.stopped


@pytest.mark.parametrize(
    ("frame", "mask", "says"),
    [
        (0, np.zeros((80, 100), dtype=bool), "empty"),
        (99, disc(40, 40), "no frame 99"),
        (0, np.ones((8, 8), dtype=bool), "8 x 8 pixels and the frame 100 x 80"),
    ],
)
def test_an_impossible_start_is_refused(opened, clip, frame, mask, says):
    with pytest.raises(InvalidRequest, match=says):
        opened(BrightModel()).propagate(clip, frame, mask)


@pytest.fixture
def real_model():
    config = PromptableConfig(**SMALL)
    return PromptableModel(config, seeded_state(parameter_shapes(config)))


def test_the_real_encoder_stops_in_the_middle(real_model):
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(Cancelled):
        real_model.embed(seeded_frame(40, 40), cancelled)
    assert len(asked) == 6


def test_out_of_memory_goes_on_on_the_cpu_and_says_so(real_model, monkeypatch):
    expected = real_model.embed(seeded_frame(40, 40)).features

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    real_model._parts.device, real_model._parts.encoder = "cuda", full
    embedding = real_model.embed(seeded_frame(40, 40))
    assert torch.equal(embedding.features, expected)
    assert real_model.device == "cpu"
    assert real_model.notes == ("There is not enough memory on cuda: clicking goes on on the CPU, more slowly.",)
    answer = real_model.answer(embedding, [Prompts((Point(20, 20),), Box(5, 5, 30, 30))])[0]
    assert np.isfinite(answer.logits).all()


def test_an_error_of_another_kind_is_not_swallowed(real_model):
    def broken(*arguments):
        raise RuntimeError("CUDA error: illegal address")

    real_model._parts.device, real_model._parts.encoder = "cuda", broken
    with pytest.raises(RuntimeError, match="illegal"):
        real_model.embed(seeded_frame(40, 40))
    assert real_model.device == "cuda"
    assert model_module.logger.name.endswith("promptable.model")


def test_a_clip_can_be_stepped_while_it_is_encoded(opened, real_model):
    """Two threads at one model: answers while the worker encodes equal answers when it is idle."""
    frames = np.stack([seeded_frame(48, 64, seed) for seed in range(12)])
    clip = CineFrames(Cine.from_array(frames), "clip")
    prompts = Prompts((Point(20, 20), Point(50, 30, positive=False)))
    idle = [real_model.answer(real_model.embed(frame), [prompts])[0].logits for frame in frames]
    refiner = opened(real_model)
    refiner.prepare(clip, 0)
    for frame in reversed(range(12)):
        assert np.array_equal(refiner.answer(clip, frame, prompts).answer.logits, idle[frame])


def test_threads_that_share_a_model_encode_one_after_the_other(monkeypatch):
    """The encoder reads each layer when it first runs, and is not made for two at that moment."""
    config = PromptableConfig(**SMALL)
    model = PromptableModel(config, seeded_state(parameter_shapes(config)))
    encode, inside, most = LeanEncoder.__call__, [], []

    def counted(self, image):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        try:
            return encode(self, image)
        finally:
            inside.pop()

    monkeypatch.setattr(LeanEncoder, "__call__", counted)
    frame, found = seeded_frame(40, 50), []
    threads = [threading.Thread(target=lambda: found.append(model.embed(frame))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert max(most) == 1
    assert len(found) == 4
    assert all(torch.equal(embedding.features, found[0].features) for embedding in found)
