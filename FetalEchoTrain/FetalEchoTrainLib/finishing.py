"""The end of a run: calibration, the bundle, and its figures on the test parts, through the code that users run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from FetalEchoSegLib import __version__
from FetalEchoSegLib.anatomy import Condition, Structure
from FetalEchoSegLib.bundle import save_bundle
from FetalEchoSegLib.bundle_card import Card
from FetalEchoSegLib.evaluation import Evaluation, evaluate
from FetalEchoSegLib.segmentation import Segmenter
from FetalEchoSegLib.submission import write_submission

from .calibration import Calibration, calibrate, summary_values
from .fine_tuning import see_frames
from .run_folder import environment

if TYPE_CHECKING:
    from FetalEchoSegLib.bundle import Bundle
    from FetalEchoSegLib.networks.echocare import EchoCare

    from .run_context import RunContext

SYNTHETIC = "Trained on synthetic data only (FetalEcho phantom): its output on patients is meaningless."
_OWN_LICENCE = "not stated: whoever owns the data it was trained on decides"


def finish(context: RunContext, network: EchoCare, licence: str) -> tuple[Bundle, dict[str, dict[str, Any]]]:
    """Calibrate ``network``, write the run's bundle, and measure it.

    licence  of the weights that training began with, "" for none
    Returns the bundle and ``Evaluation.to_dict()`` of each test part. Raises UnwritableOutput, Cancelled.
    """
    calibration = _calibrate(context, network)
    state = network.state_dict()
    draft = save_bundle(context.run.path / "draft", _card(context, network, calibration, licence), state)
    found = {name: _measure(context, draft, name) for name in context.data.tests}
    metrics = {name: _figures(evaluation) for name, evaluation in found.items()}
    card = draft.card.model_copy(update={"metrics": {**metrics, "calibration": calibration.to_dict()}})
    bundle = save_bundle(context.run.bundle, card, state)
    for folder in ("draft", "predictions"):
        shutil.rmtree(context.run.path / folder, ignore_errors=True)
    return bundle, {name: evaluation.to_dict() for name, evaluation in found.items()}


def _calibrate(context: RunContext, network: EchoCare) -> Calibration:
    """Fit on the calibration part and fold the scaling into the head."""
    import torch

    config, device = context.config, context.processes.device
    frames = context.data.calibration
    seen = see_frames(
        network.eval(), frames, config, 1, device, context.processes.autocast, context.stoppable("calibration")
    )
    with torch.no_grad():
        logits = network.cls_decoder(seen.features[:, 0].to(device)).float().cpu().numpy()
    truth, views = seen.conditions.numpy(), seen.views.numpy()
    settings = config.calibration
    calibration = calibrate(
        logits, truth, views, settings.method == "platt", settings.resamples, settings.band, config.seed
    )
    calibration.fold_into(network.cls_decoder)
    context.measured("calibration", 0, 0, summary_values(calibration))
    return calibration


def _card(context: RunContext, network: EchoCare, calibration: Calibration, licence: str) -> Card:
    config, data = context.config, context.data
    synthetic = config.data.phantom is not None
    made_with = environment(context.processes.describe())
    return Card.new(
        config.name,
        "1",
        network.config,
        licence or ("Apache-2.0" if synthetic else _OWN_LICENCE),
        calibration.thresholds,
        description=f"EchoCare trained by FetalEcho, arm {config.arm}, seed {config.seed}."
        + (f" {SYNTHETIC}" if synthetic else ""),
        notice=SYNTHETIC if synthetic else "",
        calibration=calibration.description,
        training={
            "data": f"{len(data.labelled)} labelled and {len(data.unlabelled)} unlabelled frames",
            "fingerprint": data.fingerprint,
            "arm": config.arm,
            "seed": config.seed,
            "hours": round(context.elapsed / 3600, 3),
            "device": context.processes.describe(),
            "fetalecho": __version__,
            "commit": made_with["commit"],
            "configuration": config.model_dump(mode="json", exclude={"data", "run"}),
        },
    )


def _measure(context: RunContext, bundle: Bundle, part: str) -> Evaluation:
    """Segment a test part as a user would and evaluate as the challenge does."""
    folder, dataset = context.config.data.folder, context.config.data.folder
    name = context.config.data.tests[part]
    predictions = Path(context.run.path / "predictions" / name).with_suffix("")
    segmenter = Segmenter(bundle, str(context.processes.device), context.processes.precision)
    images = [frame.path for frame in context.data.tests[part]]
    write_submission(segmenter, dataset, predictions, images, context.stoppable("test"))
    return evaluate(predictions, dataset, list_file=folder / name)


def _figures(evaluation: Evaluation) -> dict[str, object]:
    """What a card shows of a part."""
    masks, conditions = evaluation.segmentation, evaluation.classification
    return {
        "frames": len(evaluation.names),
        "DSC": round(float(masks.dice), 2),
        "NSD (2 px)": round(float(masks.nsd), 2),
        "macro-F1": round(float(conditions.macro_f1), 3),
        "DSC by structure": _by_name([s.info.short for s in Structure], masks.dice_class, 1),
        "NSD by structure": _by_name([s.info.short for s in Structure], masks.nsd_class, 1),
        "F1 by condition": _by_name([c.short for c in Condition], conditions.f1_class, 2),
    }


def _by_name(names: list[str], values: np.ndarray, digits: int) -> dict[str, float]:
    return {name: round(float(value), digits) for name, value in zip(names, values, strict=True)}
