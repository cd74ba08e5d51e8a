"""Which runs a user asks for, and carrying one out in its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from FetalEchoSegLib.errors import Cancelled, FetalEchoError, InvalidRequest
from FetalEchoSegLib.output_files import reason

from .configuration import TrainConfig
from .events import Events, Stream
from .run_folder import RunFolder


@dataclass(frozen=True)
class PlannedRun:
    """One run: its configuration, arm and seed applied, and its folder."""

    config: TrainConfig
    folder: RunFolder


def plan(
    config: TrainConfig, arms: Sequence[str] = (), seeds: int = 1, folder: Path | None = None
) -> tuple[PlannedRun, ...]:
    """Every arm with every seed, seed by seed, so that an early look compares arms.

    arms    names of arms; the configuration's own if empty
    seeds   how many, from the configuration's seed on
    folder  of the one run, or the folder that gets a folder for each of several
    Raises InvalidConfig for an unknown arm.
    """
    configs = [
        config.changed({"arm": arm, "seed": config.seed + k})
        for k in range(seeds)
        for arm in dict.fromkeys(arms or (config.arm,))
    ]
    if folder is not None and len(configs) > 1:
        configs = [one.changed({"run.folder": str(folder)}) for one in configs]
        folder = None
    return tuple(PlannedRun(one, RunFolder(folder) if folder else RunFolder.of(one)) for one in configs)


def carry_out(planned: PlannedRun, resume: bool, *streams: Stream, queue: bool = False) -> Path:
    """Train in a run's folder and return the bundle's; every event also goes to ``streams``.

    resume  go on with an earlier run of the folder; without, a folder that holds one is refused
    queue   wait until no other training has the device; a request to stop that is there already counts, because whoever
            queued the run cleared it before
    Whatever ends the run early is its last event and is raised again: FetalEchoError, OSError, MemoryError. Of several
    processes (``accelerate launch``) the first one has the folder and the events; the others only compute.
    """
    from .trainer import train

    run = planned.folder
    if int(os.environ.get("RANK", "0")):
        return train(planned.config, run, Events(), resume)
    if not resume and (run.path / "config.yaml").exists():
        raise InvalidRequest(
            f"{run} holds a run already: go on with it by --resume, or choose another folder by --run."
        )
    with run.held(), run.open_events() as file:
        events = Events(*streams, file)
        if not queue:
            run.clear_stop()
        try:
            with _turn(planned, events) if queue else nullcontext():
                return train(planned.config, run, events, resume)
        except Cancelled as stop:  # no failure: the run can go on
            events.log(sentence(stop))
            raise
        except (FetalEchoError, OSError, MemoryError) as error:
            events.error(sentence(error))
            raise


def _turn(planned: PlannedRun, events: Events) -> AbstractContextManager[None]:
    from FetalEchoSegLib.devices import choose_device

    from .device_queue import turn_on

    wanted = planned.config.run
    return turn_on(choose_device(wanted.device, wanted.precision).device, planned.folder, events)


def sentence(error: Exception) -> str:
    """What to say about an error, in one line."""
    if isinstance(error, MemoryError):
        return "There is not enough memory: lower ema.labelled_batch, ema.unlabelled_batch or network.image_size."
    if isinstance(error, OSError):
        return f"{error.filename or 'A file or the output'} cannot be used: {reason(error)}."
    return " ".join(str(error).split())
