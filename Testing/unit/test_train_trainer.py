"""Whole runs: what they leave behind, that they resume exactly, and how they end early."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for package in ("monai", "pydantic", "accelerate"):
    pytest.importorskip(package)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.anatomy import Condition
from FetalEchoSegLib.bundle import load_bundle
from FetalEchoSegLib.errors import Cancelled, InvalidConfig, InvalidRequest
from FetalEchoSegLib.readers import read_cine
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoTrainLib import ema_training
from FetalEchoTrainLib.ema_stage import EmaStep, StepLoss
from FetalEchoTrainLib.fine_tuning import HeadTraining
from FetalEchoTrainLib.run_context import Diverged
from FetalEchoTrainLib.run_folder import RunFolder
from training import carry_out, data_folder, losses, small_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def data(folder):
    return data_folder(folder / "set")


@pytest.fixture(scope="module")
def whole(folder, data):
    """A run of the whole method without interruption: (configuration, bundle's folder, run, events)."""
    config = small_config(folder, data)
    return config, *carry_out(config, folder / "whole")


def of_kind(events, kind):
    return [event for event in events if event["event"] == kind]


def logged(events):
    return " ".join(event["text"] for event in of_kind(events, "log"))


# What a run leaves --------------------------------------------------------------------------------------------------


def test_a_run_ends_in_a_bundle_that_segments(whole, data):
    _, path, _, _ = whole
    bundle = load_bundle(path)
    prediction = Segmenter(bundle, device="cpu", precision="fp32").segment(read_cine(data / "images" / "1.h5"))
    assert prediction.labels.shape == (1, 64, 64)
    assert np.isfinite(prediction.clip_conditions[:2]).all()


def test_the_card_says_how_the_model_came_about(whole):
    config, path, run, _ = whole
    card = load_bundle(path).card
    assert (card.name, card.training["arm"], card.training["seed"]) == ("small", "full", 0)
    assert card.training["fingerprint"] == run.dataset_record()["fingerprint"]
    assert card.training["configuration"]["ema"]["epochs"] == config.ema.epochs
    assert card.metrics["test"]["frames"] == 4
    assert set(card.metrics["calibration"]) == {c.short for c in Condition}
    assert "Platt" in card.calibration
    assert "decides" in card.licence


def test_the_figures_are_those_of_the_official_evaluator(whole):
    _, path, run, _ = whole
    parts = run.results()["parts"]
    assert parts["test"]["dice"] == pytest.approx(load_bundle(path).card.metrics["test"]["DSC"], abs=0.01)
    assert parts["test"]["images"] == 4
    assert run.results()["seconds"] > 0
    assert run.state == "finished"


def test_values_of_every_epoch_are_kept(whole):
    _, _, run, _ = whole
    names = {m.name for m in run.metrics() if m.stage == "ema"}
    assert {"loss", "supervised", "unsupervised", "validation_dsc", "validation_nsd", "validation_macro_f1",
            "loader_idle_percent", "images_per_second", "confidence_kept_percent", "semantic_kept_percent",
            "confidence_precision_kept_percent", "confidence_precision_dropped_percent"} <= names  # fmt: skip
    assert [m.step for m in run.metrics() if m.stage == "ema" and m.name == "loss"] == [4, 8]
    assert len([m for m in run.metrics() if m.stage == "fine_tuning" and m.name == "validation_auroc"]) == 4


def test_events_tell_the_whole_story(whole):
    _, path, _, events = whole
    stages = [event["stage"] for event in of_kind(events, "progress")]
    assert list(dict.fromkeys(stages)) == ["data", "ema", "fine_tuning", "calibration", "test"]
    assert [event["best"] for event in of_kind(events, "checkpoint")].count(True) >= 1
    (result,) = of_kind(events, "result")
    assert result["bundle"] == str(path)
    assert set(result["values"]["test"]) == {"dice", "nsd", "macro_f1"}
    said = logged(events)
    assert "the teacher's own encoder features serve" in said
    assert "No model for boundary refinement" in said
    assert "bit-identical" in said


def test_a_finished_run_is_not_trained_again(whole, folder):
    config, path, run, _ = whole
    before = (path / "model.safetensors").stat().st_mtime_ns
    again, _, events = carry_out(config, run.path, resume=True)
    assert again == path
    assert (path / "model.safetensors").stat().st_mtime_ns == before
    assert "is finished" in logged(events)


def weights(path):
    return load_bundle(path).state()


def same_weights(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# Arms ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["labelled-only", "unimatch"])
def test_control_arms_run_to_the_end(folder, data, arm):
    config = small_config(folder, data, arm=arm, ema__epochs=1, ema__steps_per_epoch=2)
    path, run, events = carry_out(config, folder / arm)
    assert load_bundle(path).card.training["arm"] == arm
    names = {m.name for m in run.metrics()}
    assert ("unsupervised" in names) == (arm == "unimatch")
    assert not [m for m in run.metrics() if m.stage == "fine_tuning"]
    assert "Semantic filter" not in logged(events)


def test_the_anatomy_head_ends_in_a_bundle_as_well(folder, data):
    config = small_config(folder, data, ema__epochs=1, ema__steps_per_epoch=1, fine_tuning__head="anatomy",
                          fine_tuning__epochs=2, arm="no-dino")  # fmt: skip
    path, _, _ = carry_out(config, folder / "anatomy")
    bundle = load_bundle(path)
    assert bundle.card.architecture.config.condition_head == "anatomy"
    prediction = Segmenter(bundle, device="cpu", precision="fp32").segment(read_cine(data / "images" / "2.h5"))
    assert np.isfinite(prediction.clip_conditions).any()


def test_a_frozen_encoder_a_start_from_a_bundle_and_bf16(whole, folder, data):
    _, start, _, _ = whole
    config = small_config(folder, data, network__initial=str(start), network__encoder="all", run__precision="bf16",
                          ema__epochs=1, ema__steps_per_epoch=2, ema__accumulation=2, arm="full-no-cft",
                          ema__boundary_weight=0.5)  # fmt: skip
    path, run, events = carry_out(config, folder / "from-bundle")
    assert f"come from {start}" in logged(events)
    assert math.isfinite(losses(run)[0])
    assert {"boundary"} <= {m.name for m in run.metrics()}
    assert path.is_dir()


def test_fine_tuning_alone_is_what_follows_stage_1(whole, folder, data):
    """Several ways of fine-tuning can be compared on one stage 1, and the first of them is the run itself."""
    _, both, _, _ = whole
    stage_1, _, _ = carry_out(small_config(folder, data, arm="full-no-cft"), folder / "stage-1")
    config = small_config(folder, data, network__initial=str(stage_1), ema__epochs=0)
    path, run, events = carry_out(config, folder / "fine-tuned")
    assert same_weights(path, both)
    assert "without stage 1" in logged(events)
    assert "bit-identical" in logged(events)
    assert not [m for m in run.metrics() if m.stage == "ema"]


def test_fine_tuning_alone_is_resumed(folder, data, whole, monkeypatch):
    _, start, _, _ = whole
    config = small_config(folder, data, network__initial=str(start), ema__epochs=0)
    expected, _, _ = carry_out(config, folder / "at-once")
    run = RunFolder(folder / "in-two")
    seen, original = [], HeadTraining.epoch

    def epoch(self, number):
        seen.append(number)
        if len(seen) == 2:
            run.request_stop()
        return original(self, number)

    monkeypatch.setattr(HeadTraining, "epoch", epoch)
    with pytest.raises(Cancelled, match="Stopped in stage 2"):
        carry_out(config, run.path)
    path, _, _ = carry_out(config, run.path, resume=True)
    assert sorted(seen) == list(range(config.fine_tuning.epochs))
    assert same_weights(path, expected)


# Going on -----------------------------------------------------------------------------------------------------------


def stop_after(monkeypatch, step, how):
    """Ask for the end once stage 1 has seen ``step`` batches."""
    seen, original = [], EmaStep.loss

    def loss(self, *arguments):
        seen.append(1)
        if len(seen) == step:
            how()
        return original(self, *arguments)

    monkeypatch.setattr(EmaStep, "loss", loss)
    return seen


def lasting(run):
    """Values that do not depend on how fast the machine is."""
    timed = ("images_per_second", "loader_idle_percent")
    return [(m.stage, m.step, m.name, m.value) for m in run.metrics() if m.name not in timed]


@pytest.mark.parametrize(("step", "signalled"), [(3, False), (6, True)], ids=["stop file", "SIGTERM"])
def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(whole, folder, monkeypatch, step, signalled):
    config, path, run, _ = whole
    here = folder / f"stopped-{step}"
    with monkeypatch.context() as patch:
        how = (lambda: os.kill(os.getpid(), signal.SIGTERM)) if signalled else RunFolder(here).request_stop
        seen = stop_after(patch, step, how)
        with pytest.raises(Cancelled, match="resum"):
            carry_out(config, here)
        assert len(seen) == step  # within one step
    assert RunFolder(here).state == "stopped"
    again, resumed, events = carry_out(config, here, resume=True)
    assert "Resumed from" in logged(events)
    assert losses(resumed) == losses(run)
    assert same_weights(again, path)
    assert lasting(resumed) == lasting(run)


def test_stage_2_is_resumed_as_well(whole, folder, monkeypatch):
    config, path, _, _ = whole
    here, original = folder / "stopped-in-stage-2", HeadTraining.epoch

    def epoch(self, number):
        if number == 1:
            RunFolder(here).request_stop()
        return original(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(HeadTraining, "epoch", epoch)
        with pytest.raises(Cancelled, match="stage 2, epoch 2"):
            carry_out(config, here)
        patch.setattr(ema_training.EmaTraining, "run", lambda self: pytest.fail("stage 1 was done"))
        patch.setattr(HeadTraining, "epoch", original)
        again, _, _ = carry_out(config, here, resume=True)
    assert same_weights(again, path)


def test_a_folder_that_holds_a_run_is_refused_without_resume(whole):
    config, _, run, _ = whole
    with pytest.raises(InvalidRequest, match="--resume"):
        carry_out(config, run.path)


def test_adding_up_two_batches_of_two_is_one_batch_of_four(folder, data):
    changes = {"augmentation__strength": 0.0, "ema__cutmix": 0.0, "arm": "labelled-only", "ema__epochs": 1,
               "ema__unlabelled_batch": 4}  # fmt: skip
    runs = []
    for batch, accumulation in ((4, 1), (2, 2)):
        config = small_config(folder, data, ema__labelled_batch=batch, ema__accumulation=accumulation, **changes)
        runs.append(carry_out(config, folder / f"accumulate-{accumulation}")[1])
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-4)


def test_training_ends_when_the_validation_has_not_improved_for_long(folder, data, monkeypatch):
    config = small_config(folder, data, ema__epochs=9, ema__steps_per_epoch=1, ema__patience=2, arm="labelled-only")
    monkeypatch.setattr(ema_training, "Validation", _scored([10.0, 30.0, 20.0, 25.0, 99.0]))
    _, run, events = carry_out(config, folder / "patience")
    assert "stage 1 ends early" in logged(events)
    assert len(losses(run)) == 4
    run.results_file.unlink()  # as if it had been killed soon after
    carry_out(config, run.path, resume=True)
    assert len(losses(run)) == 4


def _scored(scores):
    left = iter(scores)

    class Scored:
        def __init__(self):
            self.score = next(left)

        @classmethod
        def of(cls, results):
            return cls()

        def values(self):
            return {"validation_dsc": self.score}

    return Scored


# Losses that are no numbers -----------------------------------------------------------------------------------------


def spoil(monkeypatch, steps):
    """The losses of these calls are no numbers."""
    calls, original = [], EmaStep.loss

    def loss(self, *arguments):
        calls.append(1)
        found = original(self, *arguments)
        if len(calls) in steps:
            return StepLoss(found.total * float("nan"), found.parts | {"loss": found.parts["loss"] * float("nan")})
        return found

    monkeypatch.setattr(EmaStep, "loss", loss)
    return calls


def test_a_loss_that_is_no_number_takes_the_run_back_to_its_last_checkpoint(folder, data, monkeypatch):
    config = small_config(folder, data, arm="labelled-only")
    calls = spoil(monkeypatch, {7})
    _, run, events = carry_out(config, folder / "nan-once")
    assert len(calls) == 9  # the seventh, at step 3 of epoch 2, was repeated from the checkpoint after step 2
    (warning,) = [e for e in of_kind(events, "log") if e["level"] == "warning" and "Returned" in e["text"]]
    assert "0.5 times the learning rate" in warning["text"]
    assert "epoch 2, step 3" in warning["text"]
    assert all(math.isfinite(value) for value in losses(run))


def test_a_run_that_cannot_be_saved_stops_with_a_sentence_and_good_weights(folder, data, monkeypatch):
    from FetalEchoTrainLib.checkpoint import load_newest

    config = small_config(folder, data, arm="labelled-only", run__roll_backs=1)
    spoil(monkeypatch, range(6, 99))
    with pytest.raises(Diverged, match=r"after 1 returns.*epoch 2, step 1.*lower ema\.learning_rate"):
        carry_out(config, folder / "nan-always")
    state = load_newest(folder / "nan-always" / "checkpoints").state
    assert all(torch.isfinite(t).all() for t in state["network"].values() if t.is_floating_point())
    assert RunFolder(folder / "nan-always").state == "failed"


# Memory and models --------------------------------------------------------------------------------------------------


def test_too_little_memory_is_said_with_what_to_lower(folder, data, monkeypatch):
    def full(self, *arguments):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(EmaStep, "loss", full)
    config = small_config(folder, data)
    with pytest.raises(InvalidRequest, match=r"cpu for a step of 4 labelled and 4 unlabelled.*ema\.labelled_batch"):
        carry_out(config, folder / "memory")


def test_a_folder_of_the_wrong_dino_model_is_said_before_training(folder, data):
    pytest.importorskip("transformers", reason="DINOv3 models are read with transformers")
    config = small_config(folder, data, semantic_filter__model=str(folder))
    with pytest.raises(InvalidConfig, match=r"semantic_filter\.model.*has no config\.json"):
        carry_out(config, folder / "wrong-dino")


def test_dino_features_weight_and_outlines_are_refined_in_a_run(folder, data):
    transformers = pytest.importorskip("transformers", reason="DINOv3 models are made with transformers")
    if importlib.util.find_spec("segment_anything") is None:  # its import needs torchvision, and so does not tell
        pytest.skip("outlines are refined by segment-anything")
    from promptables import random_promptable

    tiny = transformers.DINOv3ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1])
    torch.manual_seed(0)
    transformers.DINOv3ConvNextModel(tiny).save_pretrained(folder / "dino")
    refiner = random_promptable(folder / "refiner")
    config = small_config(
        folder, data, ema__epochs=2, ema__steps_per_epoch=1, semantic_filter__model=str(folder / "dino"),
        semantic_filter__image_size=64, boundary__model=str(refiner.path), boundary__start_epoch=1,
        fine_tuning__epochs=1,
    )  # fmt: skip
    _, run, events = carry_out(config, folder / "filters")
    values = {m.name: m.value for m in run.metrics() if m.stage == "ema"}
    assert 0 <= values["semantic_kept_percent"] <= 100
    assert "semantic_precision_kept_percent" in values or "semantic_precision_dropped_percent" in values
    assert "refinement_accepted_percent" in values
    assert "boundary refinement of 8 frames" in logged(events)
    assert (folder / "features").is_dir()
    assert len(list((run.path / "corrections").rglob("*.png"))) == 8
