"""The run of stage 2: what the head sees of every frame, the epochs of the head, and the proof at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from FetalEchoSegLib.errors import Cancelled

from .dataset import Frame, read_frame
from .fine_tuning import HeadTraining, SeenFrames, frozen_segmentation, reset_head, see_frames
from .run_context import Diverged, RunContext

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

Save = Callable[[int, Mapping[str, Any]], None]
_SECONDS_BETWEEN_SAVES = 20.0  # an epoch takes a fraction of a second
_PROOF_FRAMES = 4


def fine_tune(context: RunContext, network: EchoCare, save: Save, state: Mapping[str, Any] | None = None) -> None:
    """Train the condition head of ``network`` anew; nothing else of it changes, which is checked at the end.

    save   called with the epochs done and what ``state`` needs to go on from there
    Raises SegmentationChanged, Diverged, Cancelled.
    """
    with frozen_segmentation(network, _proof_images(context)):
        reset_head(network, context.config)
        training = _training(context, network)
        training.finish(_epochs(context, training, save, state))
    context.log("The segmentation after fine-tuning is bit-identical to that before.")


def _training(context: RunContext, network: EchoCare) -> HeadTraining:
    config, data, tuning = context.config, context.data, context.config.fine_tuning

    def seen(frames: Sequence[Frame], versions: int) -> SeenFrames:
        report = context.stoppable("fine_tuning")
        return see_frames(
            network, frames, config, versions, context.processes.device, context.processes.autocast, report
        )

    teaches = tuning.self_teaching_weight > 0 and tuning.self_teaching_from < tuning.epochs and config.ema.unlabelled
    return HeadTraining(
        network,
        config,
        labelled=seen(data.labelled, tuning.views_per_frame),
        validation=seen(data.validation, 1),
        unlabelled=seen(data.unlabelled, min(2, tuning.views_per_frame)) if teaches and data.unlabelled else None,
    )


def _epochs(
    context: RunContext, training: HeadTraining, save: Save, state: Mapping[str, Any] | None
) -> Mapping[str, torch.Tensor]:
    """The head of the best epoch: macro-F1 at each condition's best threshold, and area under the ROC curve, halved.

    With a handful of positives F1 alone jumps; the area ranks the same scores smoothly.
    """
    epochs, first, best_score = context.config.fine_tuning.epochs, 0, -math.inf
    best = _copy(training)
    if state is not None:
        training.load_state_dict(state["training"])
        first, best_score, best = state["epoch"], state["best_score"], state["best"]
    saved = time.monotonic()
    for epoch in range(first, epochs):
        values = training.epoch(epoch)
        if not math.isfinite(values["loss"]):
            raise Diverged(
                f"Training stopped: the loss of fine-tuning is not a finite number in epoch {epoch + 1}; lower "
                "fine_tuning.learning_rate, and resume."
            )
        score = (values["validation_macro_f1_best"] + values["validation_auroc"]) / 2
        if score > best_score:
            best_score, best = score, _copy(training)
        context.measured("fine_tuning", epoch, epoch + 1, values)
        context.progress("fine_tuning", epoch, epochs, 1, 1, loss=values["loss"])
        stop = context.processes.world == 1 and context.stop.requested
        if stop or time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            now = {"epoch": epoch + 1, "training": training.state_dict(), "best": best, "best_score": best_score}
            save(epoch + 1, now)
            saved = time.monotonic()
        if stop:
            raise Cancelled(f"Stopped in stage 2, epoch {epoch + 1}; go on by resuming the run.")
    return best


def _copy(training: HeadTraining) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in training.head.state_dict().items()}


def _proof_images(context: RunContext) -> torch.Tensor:
    frames = context.data.validation[:_PROOF_FRAMES]
    images = np.stack([read_frame(frame, context.config.network.image_size).image for frame in frames])
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None].to(context.processes.device)
