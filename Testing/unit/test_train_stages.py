"""Stage 1 step by step, and stage 2 on frozen features."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")
pytest.importorskip("pydantic")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoTrainLib import ema_stage, losses
from FetalEchoTrainLib.dataset_check import check_data
from FetalEchoTrainLib.ema_stage import EmaStep, Student, learning_rate_factor, make_optimizer, unlabelled_weight
from FetalEchoTrainLib.fine_tuning import (
    HeadTraining,
    SeenFrames,
    SegmentationChanged,
    frozen_segmentation,
    ranking,
    reset_head,
    see_frames,
)
from FetalEchoTrainLib.loader import Loader
from FetalEchoTrainLib.pseudo_labels import UNCHANGED
from FetalEchoTrainLib.teacher import Teacher
from training import data_folder, small_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("stages") / "set")


def config_of(folder, **changes):
    return small_config(folder.parent / "runs", folder, **changes)


def data_of(folder, **changes):
    return check_data(config_of(folder, **changes)).data


def first_batch(folder, rank=0, world=1, **changes):
    with Loader(data_of(folder), config_of(folder, **changes), rank, world) as loader:
        return next(loader.batches(0))


def network_of(config):
    torch.manual_seed(0)
    return EchoCare(config.network.echocare())


class Counting(torch.nn.Module):
    """A student that remembers what it was shown."""

    def __init__(self, student):
        super().__init__()
        self.student, self.seen = student, []

    def forward(self, images, perturbed=0):
        self.seen.append((images.detach().clone(), perturbed))
        return self.student(images, perturbed)


def step_of(config, corrections=None, network=None):
    network = network or network_of(config)
    student = Counting(Student(network, config.ema.feature_dropout))
    teacher = Teacher(network, config.ema.decay, config.ema.teacher == "ema")
    return EmaStep(config, student, teacher, torch.ones(7), CPU, corrections), student, network


# Stage 1 --------------------------------------------------------------------------------------------------------------


def test_the_student_sees_labelled_and_both_strong_views_in_one_pass(folder):
    config = config_of(folder)
    batch, (step, student, network) = first_batch(folder), step_of(config)
    found = step.loss(batch, 1.0, nullcontext)
    ((images, perturbed),) = student.seen
    assert (len(images), perturbed) == (12, 0)
    assert torch.equal(images[:4], batch.labelled.images)
    assert torch.equal(images[4:8], batch.unlabelled.mix1.mix(batch.unlabelled.strong1))
    assert torch.equal(images[8:], batch.unlabelled.mix2.mix(batch.unlabelled.strong2))
    found.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert torch.allclose(found.total, found.parts["supervised"] + found.parts["unsupervised"])
    assert float(found.parts["unsupervised"]) > 0


def test_the_weight_of_pseudo_labels_scales_their_loss_alone(folder):
    batch = first_batch(folder)
    parts = [step_of(config_of(folder))[0].loss(batch, weight, nullcontext).parts for weight in (0.0, 0.5)]
    assert float(parts[0]["loss"]) == pytest.approx(float(parts[0]["supervised"]), rel=1e-6)
    expected = parts[1]["supervised"] + 0.5 * parts[1]["unsupervised"]
    assert float(parts[1]["loss"]) == pytest.approx(float(expected), rel=1e-6)


def test_without_unlabelled_frames_this_is_supervised_training(folder):
    config = config_of(folder, arm="labelled-only")
    batch = first_batch(folder, arm="labelled-only")
    step, student, _ = step_of(config)
    found = step.loss(batch, 1.0, nullcontext)
    assert len(student.seen[0][0]) == 4
    assert "unsupervised" not in found.parts
    assert step.log.summary() == {}


def test_a_batch_in_two_processes_costs_what_it_costs_in_one(folder):
    # Means over frames, partners of CutMix side by side: the mean of the halves is the whole.
    config = config_of(folder, ema__cutmix=1.0)
    network = network_of(config)
    whole = step_of(config, network=network)[0].loss(first_batch(folder, ema__cutmix=1.0), 1.0, nullcontext).parts
    halves = [
        step_of(config, network=network)[0].loss(first_batch(folder, rank, 2, ema__cutmix=1.0), 1.0, nullcontext).parts
        for rank in (0, 1)
    ]
    for name, value in whole.items():
        assert float(value) == pytest.approx(float(halves[0][name] + halves[1][name]) / 2, rel=1e-5), name


def test_the_arm_unimatch_labels_itself_and_decodes_perturbed_features(folder):
    config = config_of(folder, arm="unimatch")
    step, student, network = step_of(config)
    found = step.loss(first_batch(folder, arm="unimatch"), 1.0, nullcontext)
    ((images, perturbed),) = student.seen
    assert (len(images), perturbed) == (16, 4)
    assert step._teacher.network is network
    found.total.backward()
    assert network.training


def test_dropped_channels_change_the_perturbed_rows_alone(folder):
    config = config_of(folder)
    student = Student(network_of(config), 0.5)
    images = torch.rand(4, 1, 64, 64)
    plain, perturbed = student(images), student(images, 2)
    assert torch.allclose(plain.segmentation[:2], perturbed.segmentation[:2], atol=1e-5)
    assert not torch.allclose(plain.segmentation[2:], perturbed.segmentation[2:], atol=1e-2)


class Stored:
    """Corrections that turn every frame into background, but for a rim."""

    generation = 3

    def read(self, name):
        found = np.zeros((64, 64), dtype=np.uint8)
        found[:8], found[8:16] = losses.IGNORE, UNCHANGED
        return found


class Distrust:
    """A filter that believes the left half."""

    def agreement(self, batch, labels, teacher):
        agreement = torch.zeros(labels.shape)
        agreement[..., :32] = 1
        return agreement


def test_pseudo_labels_pass_corrections_and_filter_before_they_are_mixed(folder, monkeypatch):
    config = config_of(folder, ema__cutmix=1.0, augmentation__strength=0.0)
    batch = first_batch(folder, ema__cutmix=1.0, augmentation__strength=0.0)
    step, _, _ = step_of(config, Stored())
    step.semantic = Distrust()
    given = []
    original = losses.cross_entropy

    def spy(logits, labels, views, weights=None):
        given.append((labels.clone(), None if weights is None else weights.clone()))
        return original(logits, labels, views, weights)

    monkeypatch.setattr(ema_stage.losses, "cross_entropy", spy)
    step.loss(batch, 1.0, nullcontext)
    (_, none), (labels1, weights1), (labels2, _) = given
    assert none is None
    assert (labels1[:, :8] == losses.IGNORE).any()
    assert (labels1[:, 16:] == 0).all()
    before = torch.zeros(4, 64, 64)
    before[..., 16:, :32] = 1
    assert torch.equal(batch.unlabelled.mix1.mix(before)[:, 16:], weights1[:, 16:])
    assert not torch.equal(labels1, labels2)
    summary = step.log.summary()
    assert summary["semantic_kept_percent"] == pytest.approx(50, abs=8)
    assert {"boundary_changed_percent", "confidence_precision_kept_percent"} <= summary.keys()


def test_encoder_and_rest_have_their_own_rates_and_the_frozen_are_left_out(folder):
    config = config_of(folder, network__lora_rank=2)
    network = network_of(config)
    network.freeze_encoder()
    encoder, rest = make_optimizer(network, config).param_groups
    assert (encoder["lr"], rest["lr"]) == (0.005, 0.01)
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    assert {id(p) for group in (encoder, rest) for p in group["params"]} == trained
    adapters = [p for n, p in network.named_parameters() if "linear_" in n and "Swin" in n]
    assert {id(p) for p in adapters} < {id(p) for p in encoder["params"]}


def test_with_muon_the_matrices_have_rates_of_their_own(folder):
    config = config_of(folder, ema__optimizer="muon", ema__matrix_rate=3.0)
    network = network_of(config)
    groups = make_optimizer(network, config).param_groups
    assert [(g["matrices"], pytest.approx(g["peak"])) for g in groups] == [
        (True, 0.015), (False, 0.005), (True, 0.03), (False, 0.01),
    ]  # fmt: skip
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in network.parameters())
    assert all(p.ndim > 1 for g in groups if g["matrices"] for p in g["params"])


def test_learning_rates_rise_and_fall_as_the_configuration_says(folder):
    poly, cosine, constant = (
        config_of(folder, ema__schedule=s, ema__epochs=10) for s in ("poly", "cosine", "constant")
    )
    for config in (poly, cosine, constant):
        factors = [learning_rate_factor(config, step, 4) for step in range(40)]
        assert 0 < factors[0] < factors[1] < 1
        assert max(factors) == pytest.approx(1, abs=0.02)
        assert all(0 < f <= 1 for f in factors)
    assert learning_rate_factor(poly, 21, 4) == pytest.approx((1 - 19 / 38) ** 0.9)
    assert learning_rate_factor(cosine, 21, 4) == pytest.approx(0.505)
    assert learning_rate_factor(constant, 39, 4) == 1


def test_pseudo_labels_gain_weight_as_a_gaussian(folder):
    config = config_of(folder, ema__ramp_up_epochs=10, ema__unlabelled_weight=2.0)
    assert unlabelled_weight(config, 0) == pytest.approx(2 * math.exp(-5))
    assert unlabelled_weight(config, 5) == pytest.approx(2 * math.exp(-5 / 4))
    assert unlabelled_weight(config, 10) == unlabelled_weight(config, 99) == 2
    assert unlabelled_weight(config_of(folder, ema__ramp_up_epochs=0), 0) == 1


# Stage 2 --------------------------------------------------------------------------------------------------------------


def seen_frames(seed, count=240, versions=2, width=20, known=True):
    """Features in which each condition has a direction of its own, on views in turn."""
    rng = np.random.default_rng(seed)
    views = np.arange(count) % 4 + 1
    truth = (rng.random((count, 7)) < 0.3).astype(np.float32)
    axes = np.random.default_rng(7).normal(size=(7, width))
    features = truth @ axes * 2 + 5 + rng.normal(0, 1.0, (versions, count, width))
    if not known:
        truth[:] = np.nan
    return SeenFrames(
        torch.tensor(features, dtype=torch.float32).transpose(0, 1).contiguous(),
        torch.tensor(views),
        torch.tensor(truth),
    )


def head_training(folder, width=20, unlabelled=None, **changes):
    tuning = {"learning_rate": 0.01, "epochs": 20} | changes
    config = config_of(folder, **{f"fine_tuning__{name}": value for name, value in tuning.items()})
    network = network_of(config)
    reset_head(network, config)
    network.cls_decoder[0] = torch.nn.Linear(width, 16)
    network.cls_decoder[2] = torch.nn.Linear(16, 7)
    return HeadTraining(network, config, seen_frames(0), seen_frames(1), unlabelled), network


def test_the_head_learns_what_the_features_tell(folder):
    training, _ = head_training(folder)
    before = training.validate()
    values = [training.epoch(k) for k in range(20)]
    assert values[-1]["validation_auroc"] > 0.95 > before["validation_auroc"]
    assert values[-1]["validation_macro_f1_best"] > 0.8
    assert values[-1]["loss"] < values[0]["loss"]


def test_confident_predictions_are_learned_from_after_some_epochs(folder):
    training, _ = head_training(folder, unlabelled=seen_frames(2, known=False), self_teaching_from=5)
    values = [training.epoch(k) for k in range(10)]
    assert all("self_taught_percent" not in v for v in values[:5])
    assert all(0 < v["self_taught_percent"] <= 100 for v in values[5:])
    assert all(math.isfinite(v["loss"]) for v in values)


def test_a_continued_head_is_the_uninterrupted_one(folder):
    other = seen_frames(2, known=False)
    whole, _ = head_training(folder, unlabelled=other, self_teaching_from=1)
    for k in range(6):
        whole.epoch(k)
    first, _ = head_training(folder, unlabelled=other, self_teaching_from=1)
    for k in range(3):
        first.epoch(k)
    second, _ = head_training(folder, unlabelled=other, self_teaching_from=1)
    second.load_state_dict(first.state_dict())
    for k in range(3, 6):
        second.epoch(k)
    for a, b in zip(whole.head.parameters(), second.head.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_finished_head_takes_features_as_they_are(folder):
    training, network = head_training(folder)
    training.epoch(0)
    expected = training.predict(seen_frames(1))
    training.finish(training.head.state_dict())
    assert torch.allclose(network.cls_decoder(seen_frames(1).features[:, 0]), expected, atol=1e-4)
    assert not any(p.requires_grad for p in network.cls_decoder.parameters())


def test_heads_are_ranked_by_what_their_views_can_show():
    views, truth = np.array([1, 1, 2, 2]), np.zeros((4, 7))
    truth[0, 0] = truth[0, 6] = 1  # RAA is not to be seen in a four-chamber view
    found = ranking(truth, truth, views)
    assert found["validation_macro_f1_best"] == pytest.approx(1 / 7)
    assert found["validation_auroc"] == 1


@pytest.mark.parametrize("kind", ["plain", "anatomy", "combined"])
def test_the_head_is_trained_on_exactly_what_it_will_see(folder, kind):
    config = config_of(folder, fine_tuning__head=kind)
    network = network_of(config).eval()
    reset_head(network, config)
    frames = data_of(folder).labelled[:5]
    seen = see_frames(network, frames, config, 2, CPU, nullcontext)
    assert seen.features.shape == (5, 2, network.config.condition_features)
    assert seen.views.tolist() == [int(f.view) for f in frames]
    from FetalEchoTrainLib.dataset import read_frame

    image = torch.from_numpy(read_frame(frames[3], 64).image.astype(np.float32) / 255)[None, None]
    with torch.no_grad():
        assert torch.allclose(network.cls_decoder(seen.features[3, 0]), network(image).conditions[0], atol=1e-5)
    assert not torch.allclose(seen.features[:, 0], seen.features[:, 1], atol=1e-3)
    again = see_frames(network, frames, config, 2, CPU, nullcontext)
    assert torch.equal(seen.features, again.features)


@pytest.mark.parametrize("name", ["in_adapter.weight", "seg_net.out.conv.conv.bias", "view_decoder.0.weight"])
def test_touching_the_segmentation_in_stage_2_is_noticed(folder, name):
    network = network_of(config_of(folder))
    images = torch.rand(2, 1, 64, 64)

    def touch():
        with frozen_segmentation(network, images), torch.no_grad():
            network.get_parameter(name).add_(1e-6)

    with pytest.raises(SegmentationChanged, match="no model was written"):
        touch()


def test_a_new_head_leaves_the_segmentation_bit_identical(folder):
    config = config_of(folder)
    network = network_of(config).train()
    with frozen_segmentation(network, torch.rand(2, 1, 64, 64)):
        reset_head(network, config)
        assert not any(p.requires_grad for n, p in network.named_parameters() if not n.startswith("cls_decoder."))
        assert not network.seg_net.training
