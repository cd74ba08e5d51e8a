"""The run of stage 1: epochs, filters, validation, and going back when a loss is no number."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from FetalEchoSegLib.errors import Cancelled

from .boundary_masks import Corrections, refine_pseudo_masks
from .checkpoint import forget_after, load_newest, save_best, save_checkpoint
from .ema_stage import EmaStep, Student, learning_rate_factor, make_optimizer, seed_torch, unlabelled_weight
from .loader import Batch, Loader
from .losses import positive_weights
from .run_context import STAGES, Diverged, RunContext
from .samples import write_samples
from .semantic_filter import DinoFilter, Prototypes, TeacherFilter
from .teacher import Teacher
from .validation import Validation, validate

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

    from .configuration import BoundaryConfig, SemanticFilterConfig

_MOST_SKIPPED = 30  # steps in a row that the scaler of fp16 may skip while it looks for its scale
_ADVICE = "lower ema.learning_rate, or set run.precision to fp32"


class NotFinite(Exception):
    """A loss, a gradient or a weight is no number; the message says which and where."""


@dataclass
class Standing:
    """Where stage 1 stands; all of it is in every checkpoint.

    step         batches of the epoch that are done
    updates      of the optimizer, all epochs together
    rate_factor  of the learning rate: halved by every return to a checkpoint
    best_score   of a validation, at the checkpoint number ``best_number``; ``waited``: epochs since
    generation   of the boundary corrections in use, -1 for none
    sums         of the values of the epoch so far, over ``summed`` updates
    """

    epoch: int = 0
    step: int = 0
    updates: int = 0
    rate_factor: float = 1.0
    roll_backs: int = 0
    best_score: float = -math.inf
    best_number: int = -1
    waited: int = 0
    generation: int = -1
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0


class EmaTraining:
    """Trains ``network``; its teacher's best weights end up in a file of their own (``checkpoint.save_best``)."""

    def __init__(self, context: RunContext, network: EchoCare) -> None:
        config, processes = context.config, context.processes
        self._context, self._config, self._processes = context, config, processes
        self._network = network
        self._teacher = Teacher(network, config.ema.decay, config.ema.teacher == "ema")
        self._student, self._optimizer = processes.prepare(
            Student(network, config.ema.feature_dropout),
            make_optimizer(network, config),
        )
        self._uses_unlabelled = config.ema.unlabelled and bool(context.data.unlabelled)
        self._corrections = self._make_corrections()
        self._step = EmaStep(
            config, self._student, self._teacher, self._positive_weights(), processes.device, self._corrections
        )
        self._own_filter, self._dino = self._make_filters()
        self._loader = Loader(context.data, config, processes.rank, processes.world)
        self._skipped = 0
        self._pace: float | None = None  # seconds of a step, smoothed
        self.at = Standing()

    @property
    def number(self) -> int:
        """Of a checkpoint taken now: batches since the beginning."""
        return self.at.epoch * self._loader.steps + self.at.step

    def run(self) -> int:
        """All epochs that are left; returns the number of the best weights."""
        with self._loader:
            if self.number == 0:
                self._save()
            while self.at.epoch < self._config.ema.epochs and not self._gives_up():
                try:
                    self._run_epoch()
                except NotFinite as problem:
                    self._roll_back(str(problem))
        return self.at.best_number

    def _gives_up(self) -> bool:
        """Whether validation has not improved for as many epochs as the configuration allows."""
        patience = self._config.ema.patience
        over = bool(patience) and self.at.waited >= patience
        if over:
            self._context.log(f"No better validation for {self.at.waited} epochs: stage 1 ends early.")
        return over

    # ------------------------------------------------------------------------------------------------ an epoch

    def _run_epoch(self) -> None:
        at, config, context = self.at, self._config, self._context
        epoch = at.epoch
        if at.step == 0:
            self._renew_filters()
        self._choose_filter()
        began, images = time.monotonic(), 0
        for batch in self._loader.batches(epoch, at.step):
            self._learn(batch)
            images += len(batch.labelled.images) + (3 * len(batch.unlabelled.weak) if batch.unlabelled else 0)
            for report in self._loader.take_reports():
                context.log(report, warning=True)
        seconds = max(time.monotonic() - began, 1e-9)
        values = {name: total / max(at.summed, 1) for name, total in at.sums.items()}
        values["images_per_second"] = images * self._processes.world / seconds
        values["loader_idle_percent"] = 100 * self._loader.idle_share
        values |= self._processes.summary(self._step.log)
        at.epoch, at.step, at.sums, at.summed = epoch + 1, 0, {}, 0
        self._step.log.counts.zero_()
        if at.epoch % config.ema.validate_every == 0 or at.epoch == config.ema.epochs:
            values |= self._validated().values()
        context.measured("ema", epoch, at.updates, values)
        self._save()
        self._stop_if_asked()

    def _learn(self, batch: Batch) -> None:
        """One batch, and an update of the weights where it is the last of one."""
        at, config, processes = self.at, self._config, self._processes
        accumulation, steps = config.ema.accumulation, self._loader.steps
        update = (at.step + 1) % accumulation == 0
        began = time.monotonic()
        seed_torch(config.seed, at.epoch, at.step)
        weight = unlabelled_weight(config, at.epoch + at.step / steps)
        with nullcontext() if update else processes.not_yet(self._student):
            loss = self._step.loss(batch, weight, processes.autocast)
            processes.backward(loss.total / accumulation)
        values = processes.means(loss.parts)
        self._require_finite("loss", values["loss"])
        for name, value in values.items():
            at.sums[name] = at.sums.get(name, 0.0) + value / accumulation
        if update:
            factor = at.rate_factor * learning_rate_factor(config, at.updates, steps // accumulation)
            for group in self._optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            norm = processes.clip(self._student, config.ema.gradient_clip)
            self._require_finite("gradient", norm)
            self._optimizer.step()
            self._optimizer.zero_grad()
            if math.isfinite(norm):
                self._teacher.update()
            at.updates += 1
            at.summed += 1
        at.step += 1
        self._pace = (time.monotonic() - began) * 0.1 + 0.9 * (self._pace or time.monotonic() - began)
        left = self._pace * (config.ema.epochs * steps - self.number)
        self._context.progress("ema", at.epoch, config.ema.epochs, at.step, steps, left, loss=values["loss"])
        if update and at.step < steps:
            saved = at.updates % config.run.checkpoint_steps == 0
            if saved:
                self._save()
            self._stop_if_asked(saved)

    def _require_finite(self, what: str, value: float) -> None:
        """The scaler of fp16 looks for its scale by gradients that overflow; anything else is a failure."""
        if math.isfinite(value):
            self._skipped = 0 if what == "gradient" else self._skipped
            return
        self._skipped += 1
        if what == "gradient" and self._processes.scales and self._skipped <= _MOST_SKIPPED:
            return
        raise NotFinite(f"the {what} is not a finite number in epoch {self.at.epoch + 1}, step {self.at.step + 1}")

    def _stop_if_asked(self, saved: bool = True) -> None:
        if self._processes.any(self._context.stop.requested):
            if not saved:
                self._save()
            raise Cancelled(
                f"Stopped in stage 1, epoch {self.at.epoch + 1}, step {self.at.step}; go on by resuming the run."
            )

    # ------------------------------------------------------------------------------------------------ filters

    def _positive_weights(self) -> torch.Tensor:
        frames = self._context.data.labelled
        conditions = np.array([frame.conditions for frame in frames], dtype=np.float32)
        views = np.array([int(frame.view) for frame in frames])
        return torch.from_numpy(positive_weights(conditions, views, largest=self._config.ema.positive_weight_limit))

    def _make_corrections(self) -> Corrections | None:
        boundary = self._config.boundary
        if not (boundary.enabled and self._uses_unlabelled):
            return None
        if not boundary.model:
            self._context.log("No model for boundary refinement is named: outlines stay as the teacher draws them.")
            return None
        return Corrections(self._context.run.path / "corrections")

    def _make_filters(self) -> tuple[TeacherFilter | None, DinoFilter | None]:
        """The semantic filter by the teacher's features, or by those of a DINOv3 model, which are computed here."""
        config, context = self._config.semantic_filter, self._context
        if not (config.enabled and self._uses_unlabelled):
            return None, None
        if not config.model:
            context.log("Semantic filter: no DINOv3 model is named, the teacher's own encoder features serve.")
            return TeacherFilter(config.prototypes, config.temperature), None
        from .dino import Dino, FeatureCache

        folder = context.run.path.parent / "features"
        context.log(f"Semantic filter: features of {config.model}, kept in {folder}.")
        cache = FeatureCache(Dino(config.model, config.image_size, self._processes.device), folder)
        with self._processes.first_alone():
            return None, DinoFilter.prepare(
                cache, context.data.labelled, context.data.unlabelled, config.prototypes, config.temperature,
                context.stoppable("data"),
            )  # fmt: skip

    def _renew_filters(self) -> None:
        """What is due before an epoch: prototypes of the teacher's features, refinement of outlines."""
        epoch, semantic, boundary = self.at.epoch, self._config.semantic_filter, self._config.boundary
        own = self._own_filter
        if own is not None and (_due(epoch, semantic) or (own.prototypes is None and epoch >= semantic.start_epoch)):
            own.renew(
                self._teacher, self._context.data.labelled, self._config.network.image_size, self._processes.device,
                self._context.stoppable("ema"),
            )  # fmt: skip
        if self._corrections is not None and _due(epoch, boundary):
            self._refine_outlines(self._corrections)

    def _choose_filter(self) -> None:
        if self._own_filter is not None:
            self._step.semantic = self._own_filter if self._own_filter.prototypes is not None else None
        elif self._dino is not None and self.at.epoch >= self._config.semantic_filter.start_epoch:
            self._step.semantic = self._dino

    def _refine_outlines(self, corrections: Corrections) -> None:
        from FetalEchoSegLib.promptable.boundary import Acceptance
        from FetalEchoSegLib.promptable.bundle import find_promptable

        config, at, processes = self._config.boundary, self.at, self._processes
        rules = Acceptance(
            config.iou,
            config.stability,
            (config.smallest_ratio, config.largest_ratio),
            predicted_iou=config.predicted_iou,
        )
        model = find_promptable(config.model).build(str(processes.device), processes.precision)
        corrections.use(at.epoch)
        frames = processes.share(self._context.data.unlabelled)
        report = refine_pseudo_masks(
            frames, self._teacher, model, corrections, self._config.network.image_size, processes.device, rules,
            round(config.rim * self._config.network.image_size / 256), self._context.stoppable("ema"),
        )  # fmt: skip
        processes.wait()
        at.generation = at.epoch
        if processes.is_main:
            corrections.forget_others()
        self._context.log(str(report))
        self._context.measured("ema", at.epoch, at.updates, report.values())

    # ------------------------------------------------------------------------------------------------ validation

    def _validated(self) -> Validation:
        """Validate the teacher; keep its weights where they are the best so far."""
        at, processes, context = self.at, self._processes, self._context
        frames, network = context.data.validation, self._teacher.network
        mine = validate(network, processes.share(frames), processes.device, processes.precision)
        found = Validation.of(processes.gather(mine, len(frames)))
        better = found.score > at.best_score
        at.waited = 0 if better else at.waited + self._config.ema.validate_every
        if better:
            at.best_score, at.best_number = found.score, self.number
        if not processes.is_main:
            return found
        if better:
            path = save_best(context.run.checkpoints, "ema", self.number, {"network": network.state_dict()})
            context.events.checkpoint(path, at.epoch - 1, at.step, best=True)
        if shown := frames[: self._config.run.samples]:
            picture = context.run.samples / f"epoch-{at.epoch:05d}.png"
            write_samples(picture, shown, (network, self._network), processes.device)
        return found

    # ------------------------------------------------------------------------------------------------ checkpoints

    def _save(self) -> None:
        """Write a checkpoint; raises UnwritableOutput, and NotFinite for weights that must not replace good ones."""
        for name, parameter in self._network.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise NotFinite(f"{name} holds values that are not finite numbers")
        if self._processes.is_main:
            run = self._context.run
            path = save_checkpoint(run.checkpoints, self.number, self.state_dict(), self._config.run.checkpoints)
            self._context.events.checkpoint(path, self.at.epoch, self.at.step)
        self._processes.wait()

    def _roll_back(self, why: str) -> None:
        """Return to the newest checkpoint with half the learning rate."""
        at = self.at
        if at.roll_backs >= self._config.run.roll_backs:
            after = f" after {at.roll_backs} returns to the last checkpoint" if at.roll_backs else ""
            raise Diverged(f"Training stopped{after}: {why}; {_ADVICE}, and resume.")
        loaded = load_newest(self._context.run.checkpoints)
        if loaded is None:
            raise Diverged(f"Training stopped: {why}, and there is no checkpoint to return to; {_ADVICE}.")
        factor, roll_backs = at.rate_factor / 2, at.roll_backs + 1
        self._optimizer.zero_grad()
        self.load_state_dict(loaded.state)
        self.at.rate_factor, self.at.roll_backs, self._skipped = factor, roll_backs, 0
        self._context.log(
            f"Returned to {loaded.path.name} with {factor:g} times the learning rate: {why}.", warning=True
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that going on exactly needs; torch's random numbers follow from the position."""
        own = self._own_filter
        return {
            "stage": "ema",
            "at": {**vars(self.at), "sums": dict(self.at.sums)},
            "seconds": self._context.elapsed,
            "network": self._network.state_dict(),
            "teacher": self._teacher.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._processes.scaler_state(),
            "log": dict(self._step.log.state_dict()),
            "prototypes": own.prototypes.state_dict() if own is not None and own.prototypes is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where ``state_dict`` was taken; what came after it is forgotten."""
        self.at = Standing(**state["at"])
        self._network.load_state_dict(state["network"])
        self._teacher.load_state_dict(state["teacher"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._processes.load_scaler_state(state["scaler"])
        self._step.log.load_state_dict(state["log"])
        if self._own_filter is not None:
            found = state["prototypes"]
            temperature = self._config.semantic_filter.temperature
            self._own_filter.prototypes = None if found is None else Prototypes.from_state(found, temperature)
        if self._corrections is not None:
            self._corrections.use(self.at.generation)
        if self._processes.is_main:
            forget_after(self._context.run.checkpoints, self.number)
            self._context.run.forget_metrics_after(STAGES, "ema", self.at.updates)


def _due(epoch: int, config: SemanticFilterConfig | BoundaryConfig) -> bool:
    return epoch >= config.start_epoch and (epoch - config.start_epoch) % config.every == 0
