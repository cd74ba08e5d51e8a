"""A whole run: both stages, calibration and the finished bundle, in a folder from which it can be resumed exactly.

``train`` is what the command, the worker and the panel call. Where a run stands is in its newest checkpoint, and
everything random follows from the seed and that position. Several processes (``accelerate launch``) each take their
rows of every batch; one of them writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from FetalEchoSegLib.errors import InvalidRequest

if TYPE_CHECKING:
    from .checkpoint import Loaded
    from .configuration import TrainConfig
    from .events import Events
    from .processes import Processes
    from .run_context import RunContext
    from .run_folder import RunFolder
    from .stopping import StopRequests


def train(config: TrainConfig, run: RunFolder, events: Events, resume: bool = False) -> Path:
    """Carry out the run that ``config`` describes in the folder ``run`` and return its bundle's folder.

    resume  go on from the newest checkpoint, where there is one
    Raises Cancelled when a signal or the stop file ended it (it can be resumed then), and whatever FetalEchoError says
    why it cannot begin or go on. Earlier checkpoints are kept in any case.
    """
    from .processes import Processes
    from .stopping import StopRequests

    if resume and run.results_file.exists() and run.bundle.is_dir():
        events.log(f"{run} is finished.")
        return run.bundle
    with StopRequests(run) as stop, Processes.of(config) as processes, _memory_explained(config, processes):
        return _train(_begin(config, run, events, processes, stop, resume), resume)


def _begin(
    config: TrainConfig, run: RunFolder, events: Events, processes: Processes, stop: StopRequests, resume: bool
) -> RunContext:
    """Check the data and write down what the run is."""
    from .dataset_check import check_data
    from .run_context import Pace, RunContext

    pace = Pace()

    def report(done: int, total: int) -> None:
        if pace.due(done == total):
            events.progress("data", 0, 1, done, total)

    with processes.first_alone():
        checked = check_data(config, report, lambda: stop.requested)
    checked.require_usable()
    if processes.is_main:
        run.begin(config, checked, resume, processes.describe())
    for problem in checked.warnings:
        events.log(str(problem), "warning")
    events.log(f"Training on {processes.describe()}.")
    return RunContext(config, run, events, processes, stop, checked.data)


def _train(context: RunContext, resume: bool) -> Path:
    from .checkpoint import load_best
    from .ema_training import EmaTraining
    from .fine_tuning_run import fine_tune
    from .finishing import finish
    from .starting_network import starting_network

    loaded = _newest(context) if resume else None
    network, said, licence = starting_network(context.config)
    network.to(context.processes.device)
    state: Mapping[str, Any] = {} if loaded is None else loaded.state
    if not context.config.ema.epochs:
        context.log(f"{said} It is fine-tuned as it is, without stage 1.")
        best = number = 0
    elif state.get("stage") != "fine_tuning":
        context.log(said)
        stage_1 = EmaTraining(context, network)
        if loaded is not None:
            stage_1.load_state_dict(state)
        best, number, state = stage_1.run(), stage_1.number, {}
        del stage_1  # its optimizer and teacher have done their work
    else:
        best, number = state["best"], state["after"]
    if context.config.ema.epochs:
        network.load_state_dict(load_best(context.run.checkpoints, "ema", best)["network"])
    if context.config.fine_tuning.enabled:
        fine_tune(context, network, _saving(context, best, number), state.get("head"))
    if context.processes.is_main:
        bundle, parts = finish(context, network, licence)
        context.run.write_results(parts, seconds=context.elapsed)
        figures = {part: {k: found[k] for k in ("dice", "nsd", "macro_f1")} for part, found in parts.items()}
        context.events.result(bundle.path, figures)
    return context.run.bundle


def _newest(context: RunContext) -> Loaded | None:
    from .checkpoint import load_newest

    loaded = load_newest(context.run.checkpoints)
    if loaded is None:
        context.log("There is no checkpoint yet: the run begins anew.")
        return None
    for sentence in loaded.damaged:
        context.log(f"{sentence} The one before it is used.", warning=True)
    context.seconds = loaded.state["seconds"]
    context.log(f"Resumed from {loaded.path.name}.")
    return loaded


def _saving(context: RunContext, best: int, number: int) -> Any:
    """What stage 2 writes its checkpoints with: small ones, because only the head changes."""
    from .checkpoint import save_checkpoint

    def save(epoch: int, head: Mapping[str, Any]) -> None:
        if context.processes.is_main:
            state = {
                "stage": "fine_tuning", "best": best, "after": number, "seconds": context.elapsed, "head": dict(head),
            }  # fmt: skip
            keep = context.config.run.checkpoints
            path = save_checkpoint(context.run.checkpoints, number + epoch, state, keep)
            context.events.checkpoint(path, epoch, 0)

    return save


@contextmanager
def _memory_explained(config: TrainConfig, processes: Processes) -> Iterator[None]:
    """Turn what devices say when they are full into what to do about it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # PyTorch has a class of its own for some devices only.
        text = str(error)
        if not (isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text):
            raise
        ema = config.ema
        frames = f"{ema.labelled_batch} labelled" + (
            f" and {ema.unlabelled_batch} unlabelled" if ema.unlabelled else ""
        )
        raise InvalidRequest(
            f"There is not enough memory on {processes.device} for a step of {frames} frames of "
            f"{config.network.image_size} pixels: lower ema.labelled_batch and ema.unlabelled_batch and raise "
            "ema.accumulation instead, switch network.activation_checkpointing on, or lower network.image_size; then "
            "resume."
        ) from error
