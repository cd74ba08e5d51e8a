"""Automatic refinement of outlines: what is taken, what stays, and how the rings come out."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import FetalEchoSegLib.commands as commands
import FetalEchoSegLib.workflow as workflow
from bundles import random_bundle
from FetalEchoSegLib.anatomy import HEART_UNION, THORAX_UNION, Structure, View
from FetalEchoSegLib.metrics import compare_masks
from FetalEchoSegLib.phantom.clip import make_named_clip
from FetalEchoSegLib.prediction import BundleIdentity, Prediction
from FetalEchoSegLib.promptable.boundary import Acceptance, interior_points, refine_frame, refine_prediction
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.geometry import Geometry
from FetalEchoSegLib.promptable.model import Answer, Embedding, PromptableModel
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from PIL import Image
from promptables import SMALL, random_promptable, seeded_frame, seeded_state
from scipy import ndimage


class Oracle:
    """Knows the truth: answers with the structure, or union, that overlaps the mask prompt best."""

    def __init__(self, truth, change=lambda mask: mask):
        self.config, self.sampling = PromptableConfig.tiny(), "area"
        self.truth, self.change = truth, change
        self.batches: list[list[int]] = []
        self.frame = -1

    def embed(self, image, cancelled=None):
        self.frame += 1
        return Embedding(torch.zeros(1), Geometry.of(image, self.config, self.sampling))

    def answer(self, embedding, prompts, multimask=True):
        labels = self.truth[self.frame]
        candidates = [labels == v for v in np.unique(labels) if v]
        candidates += [np.isin(labels, HEART_UNION), np.isin(labels, THORAX_UNION)]
        self.batches.append([len(p.points) for p in prompts])
        answers = []
        for prompt in prompts:
            coarse = embedding.geometry.to_frame(prompt.mask) > 0
            overlaps = [np.count_nonzero(c & coarse) / max(np.count_nonzero(c | coarse), 1) for c in candidates]
            mask = self.change(candidates[int(np.argmax(overlaps))])
            answers.append(Answer(4 * embedding.geometry.mask_prompt(mask), 0.95, embedding.geometry))
        return answers


def coarse_version(labels):
    """Outlines a pixel off in both directions, which is much for a vessel."""
    return np.roll(labels, (1, -1), axis=(0, 1))


@pytest.fixture(scope="module", params=list(View), ids=lambda v: v.short)
def clip(request):
    return make_named_clip(request.param, seed=5, frames=2)


def prediction_of(labels, view):
    frames = len(labels)
    return Prediction(
        labels=labels,
        view=view,
        view_probabilities=np.full(4, np.nan, dtype=np.float32),
        view_source="user",
        condition_probabilities=np.full((frames, 7), np.nan, dtype=np.float32),
        clip_conditions=np.full(7, np.nan, dtype=np.float32),
        confidence=np.ones(frames, dtype=np.float32),
        done=np.ones(frames, dtype=bool),
        bundle=BundleIdentity("test", "1", "0" * 64),
    )


def mean_dice(labels, truth):
    return np.mean([np.nanmean(compare_masks(a, b).dice) for a, b in zip(labels, truth, strict=True)])


def test_a_better_model_makes_better_outlines(clip):
    truth = clip.labels
    coarse = prediction_of(np.stack([coarse_version(labels) for labels in truth]), clip.cine.view)
    before = coarse.labels.copy()
    refined = refine_prediction(coarse, clip.cine, Oracle(truth))
    assert np.array_equal(coarse.labels, before)
    assert mean_dice(refined.prediction.labels, truth) > mean_dice(before, truth) + 0.01
    assert mean_dice(refined.prediction.labels, truth) > 0.95
    assert refined.accepted / len(refined.decisions) > 0.8
    assert {d.frame for d in refined.decisions} == {0, 1}
    assert f"{refined.accepted} of {len(refined.decisions)} accepted" in refined.prediction.notes[-1]
    assert set(np.unique(refined.prediction.labels)) <= set(np.unique(before))


def test_a_frame_is_one_batch(clip):
    oracle = Oracle(clip.labels)
    refine_prediction(prediction_of(clip.labels, clip.cine.view), clip.cine, oracle)
    assert len(oracle.batches) == len(clip.labels)
    assert all(set(points) == {3} for points in oracle.batches)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda mask: np.zeros_like(mask), "overlap"),
        (lambda mask: ndimage.binary_dilation(mask, iterations=40), "overlap"),
        (lambda mask: np.roll(mask, 100, axis=1), "overlap"),
    ],
    ids=["nothing", "flooded", "elsewhere"],
)
def test_a_bad_answer_changes_nothing(clip, change, says):
    coarse = np.stack([coarse_version(labels) for labels in clip.labels])
    refined = refine_prediction(prediction_of(coarse, clip.cine.view), clip.cine, Oracle(clip.labels, change))
    rejected = [d for d in refined.decisions if not d.accepted]
    assert all(says in d.reason for d in rejected)
    large = {Structure.WHOLE_HEART, Structure.THORAX}  # 40 pixels are little to a thorax
    assert {d.structure for d in refined.decisions} - {d.structure for d in rejected} <= large
    if refined.accepted == 0:
        assert np.array_equal(refined.prediction.labels, coarse)


def test_an_area_that_changes_too_much_is_refused():
    labels = np.zeros((100, 100), dtype=np.uint8)
    labels[30:60, 30:60] = 9
    shrunk = np.zeros_like(labels)
    shrunk[33:57, 33:57] = 9
    rules = Acceptance(iou=0.5, area_ratio=(0.7, 1.4))
    result, (decision,) = refine_frame(np.zeros_like(labels), labels, Oracle([shrunk]), rules)
    assert "factor of 0.6" in decision.reason
    assert np.array_equal(result, labels)


def test_an_unstable_outline_is_refused():
    labels = np.zeros((100, 100), dtype=np.uint8)
    labels[30:60, 30:60] = 9

    class Vague(Oracle):
        def answer(self, embedding, prompts, multimask=True):
            return [Answer(a.logits / 60, a.iou, a.geometry) for a in super().answer(embedding, prompts)]

    result, (decision,) = refine_frame(np.zeros_like(labels), labels, Vague([labels]))
    assert decision.reason.startswith("outline unstable")
    assert np.array_equal(result, labels)


def test_an_answer_that_the_model_itself_doubts_is_refused():
    labels = np.zeros((100, 100), dtype=np.uint8)
    labels[30:60, 30:60] = 9

    class Doubting(Oracle):
        def answer(self, embedding, prompts, multimask=True):
            return [Answer(a.logits, 0.79, a.geometry) for a in super().answer(embedding, prompts)]

    result, (decision,) = refine_frame(np.zeros_like(labels), labels, Doubting([labels]))
    assert decision.reason == "the model itself is unsure (0.79)"
    assert np.array_equal(result, labels)
    _, (decision,) = refine_frame(np.zeros_like(labels), labels, Doubting([labels]), Acceptance(predicted_iou=0.7))
    assert decision.accepted


def heart(shift=0):
    """Thorax around a heart around one ventricle."""
    rows, columns = np.mgrid[:160, :160]
    distance = np.hypot(rows - 80, columns - 80 - shift)
    labels = np.zeros((160, 160), dtype=np.uint8)
    labels[distance < 70], labels[distance < 45], labels[distance < 20] = 7, 5, 2
    return labels


def test_rings_are_asked_as_what_they_enclose_and_subtracted():
    truth, coarse = heart(4), heart()
    result, decisions = refine_frame(np.zeros_like(coarse), coarse, Oracle([truth]))
    assert [d.structure for d in decisions] == [2, 5, 7]
    assert all(d.accepted for d in decisions)
    # the chamber has not moved out of the heart, nor left a hole where it was
    assert np.count_nonzero(result != truth) < 150
    assert np.count_nonzero(result != coarse) > 500
    assert not np.any((result == 0) & np.isin(truth, THORAX_UNION) & ndimage.binary_erosion(truth > 0, iterations=2))


def test_a_structure_that_stays_keeps_every_pixel():
    truth, coarse = heart(), heart()
    coarse[60:70, 60:70] = 1  # an atrium that the model floods
    truth[60:100, 20:100] = 1
    result, decisions = refine_frame(np.zeros_like(coarse), coarse, Oracle([truth]))
    assert not next(d for d in decisions if d.structure == 1).accepted
    assert np.array_equal(result == 1, coarse == 1)


def test_a_second_piece_is_left_alone():
    labels = heart()
    labels[5:12, 5:12] = 2
    result, _ = refine_frame(np.zeros_like(labels), labels, Oracle([heart(3)]))
    assert (result[5:12, 5:12] == 2).all()


def test_tiny_structures_and_empty_frames_are_not_asked_about():
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[3:6, 3:6] = 14
    oracle = Oracle([labels])
    result, decisions = refine_frame(np.zeros_like(labels), labels, oracle)
    assert np.array_equal(result, labels)
    assert decisions == []
    assert oracle.batches == []


def test_frames_that_are_not_done_are_left_alone(clip):
    coarse = prediction_of(np.stack([coarse_version(labels) for labels in clip.labels]), clip.cine.view)
    coarse.done[0] = False
    refined = refine_prediction(coarse, clip.cine, Oracle(clip.labels[1:]))
    assert np.array_equal(refined.prediction.labels[0], coarse.labels[0])
    assert {d.frame for d in refined.decisions} == {1}


def test_cancelling_keeps_the_coarse_outlines_of_the_rest(clip):
    coarse = prediction_of(np.stack([coarse_version(labels) for labels in clip.labels]), clip.cine.view)
    done = []
    refined = refine_prediction(
        coarse, clip.cine, Oracle(clip.labels), lambda d, t: done.append((d, t)), lambda: bool(done)
    )
    assert done == [(1, 2)]
    assert np.array_equal(refined.prediction.labels[1], coarse.labels[1])
    assert "cancelled after 1 of 2" in refined.prediction.notes[-1]


def test_the_model_and_its_notice_are_named(clip):
    identity = BundleIdentity("clicks", "3", "a" * 64, "Random weights.")
    refined = refine_prediction(
        prediction_of(clip.labels, clip.cine.view), clip.cine, Oracle(clip.labels), identity=identity
    )
    assert "refined by clicks 3" in refined.prediction.notes[0]
    assert refined.prediction.notes[-1] == "Random weights."


def test_random_weights_do_no_harm(clip):
    """A model that knows nothing: its answers are refused, whatever they are."""
    config = PromptableConfig(**SMALL)
    model = PromptableModel(config, seeded_state(parameter_shapes(config)))
    refined = refine_prediction(prediction_of(clip.labels, clip.cine.view), clip.cine, model)
    assert mean_dice(refined.prediction.labels, clip.labels) > 0.97


def test_the_command_line_refines(tmp_path, monkeypatch, capsys):
    """From the option to the result; what is written of it is tested elsewhere."""
    written = []
    monkeypatch.setattr(workflow, "write_results", lambda cine, prediction, *rest: written.append(prediction) or ())
    Image.fromarray(seeded_frame(90, 120, color=False)).save(tmp_path / "frame.png")
    segments, answers = random_bundle(tmp_path / "segments"), random_promptable(tmp_path / "answers")
    arguments = ["segment", str(tmp_path / "frame.png"), "--out", str(tmp_path / "out"), "--view", "3VT"]
    arguments += ["--model", str(segments.path), "--device", "cpu"]
    assert commands.main([*arguments, "--refine", str(answers.path)]) == 0
    assert any("Outlines refined by test-clicks 1" in note for note in written[0].notes)
    assert "Outlines refined" in capsys.readouterr().out
    assert commands.main([*arguments, "--refine", str(segments.path)]) != 0
    assert "does not answer clicks" in capsys.readouterr().err


def test_points_lie_deep_inside_and_apart():
    rows, columns = np.mgrid[:60, :100]
    mask = ((rows - 30) / 12) ** 2 + ((columns - 50) / 40) ** 2 < 1
    points = interior_points(mask)
    assert len(points) == 3
    assert points[0].y == pytest.approx(30, abs=1)
    assert points[0].x == pytest.approx(50, abs=15)  # the ridge is flat
    inside = ndimage.distance_transform_edt(mask)
    assert all(inside[int(p.y), int(p.x)] > 4 for p in points)
    gaps = [np.hypot(a.x - b.x, a.y - b.y) for a in points for b in points if a is not b]
    assert min(gaps) > 10


@pytest.mark.parametrize("pixels", [1, 2, 3, 5])
def test_points_of_a_speck(pixels):
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 2 : 2 + pixels] = True
    points = interior_points(mask)
    assert len(points) == 3
    assert len(set(points)) == min(pixels, 3)
    assert all(mask[int(p.y), int(p.x)] for p in points)
