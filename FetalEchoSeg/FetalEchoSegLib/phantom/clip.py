"""Clips of the synthetic fetal heart: a case, placed under a probe, imaged by a device."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..anatomy import Condition, View
from ..cine import Cine, Origin, hash_patient
from ..errors import InvalidRequest
from .cases import PhantomCase, sample_case
from .four_chamber import FourChamberSection
from .motion import MovingStack
from .outflow import LeftOutflowSection, PulmonaryBifurcationSection
from .section import Placement
from .vessels import ThreeVesselTracheaSection

if TYPE_CHECKING:
    from .devices import Device

MOST_FRAMES = 10_000  # 5 GB of frames and masks at 512 x 512
NOTICE = "Synthetic phantom, not patient data."

_SECTIONS: dict[View, Callable[[PhantomCase], MovingStack]] = {
    View.FOUR_CHAMBER: FourChamberSection,
    View.LVOT: LeftOutflowSection,
    View.RVOT: PulmonaryBifurcationSection,
    View.THREE_VESSEL_TRACHEA: ThreeVesselTracheaSection,
}


@dataclass(frozen=True)
class PhantomClip:
    """A synthetic clip with its truth.

    cine         the frames, calibrated and timed
    labels       (T, H, W) uint8 structure ids
    case         the fetus
    device_name  the scanner
    """

    cine: Cine
    labels: np.ndarray
    case: PhantomCase
    device_name: str


def make_section(case: PhantomCase) -> MovingStack:
    """The plane of ``case`` in motion."""
    return _SECTIONS[case.view](case)


def place(case: PhantomCase) -> Placement:
    """Where the fetus of ``case`` lies under the probe; independent of its conditions.

    The chest lies 1 to 2 cm below the transducer, as deep as its own half width requires.
    """
    rng = case.rng("placement")
    reach = 29.0 * case.scale
    return Placement(
        center=(float(rng.normal(0.0, 3.0)), reach + float(rng.uniform(10.0, 22.0))),
        rotation=case.rotation,
        mirror=case.mirror,
        drift=(float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.5, 0.5))),
        drift_period=float(rng.uniform(2.5, 6.0)),
        drift_phase=float(rng.uniform(0.0, 2 * np.pi)),
    )


def make_clip(
    case: PhantomCase,
    *,
    frames: int = 60,
    frame_rate: float = 50.0,
    device: Device | None = None,
    image_shape: tuple[int, int] = (512, 512),
    seed: int | None = None,
) -> PhantomClip:
    """Image ``case`` for ``frames`` frames at ``frame_rate`` Hz.

    device  None draws one of the training devices by ``seed``
    seed    of speckle, surroundings and device; None takes the case's own. Same arguments, same bytes.
    Raises InvalidRequest for an impossible number of frames or frame rate.
    """
    if frames < 1 or not 1.0 <= frame_rate <= 1000.0:
        raise InvalidRequest(f"A clip needs at least 1 frame at 1 to 1000 Hz, not {frames} at {frame_rate:g} Hz.")
    if frames > MOST_FRAMES:
        raise InvalidRequest(f"A phantom clip has at most {MOST_FRAMES} frames, not {frames}: make several.")
    from .devices import sample_device
    from .echo import render_clip

    seed = case.seed if seed is None else seed
    device = device or sample_device(seed)
    times = np.arange(frames) / frame_rate
    rendered = render_clip(make_section(case), place(case), device, times, seed, image_shape)
    cine = Cine.from_array(
        rendered.frames,
        times,
        timing="phantom",
        spacing=rendered.spacing,
        calibration="phantom",
        view=case.view,
        origin=Origin(uid=f"{case.patient}-{case.view.short}", patient_hash=hash_patient(case.patient)),
        notes=(NOTICE,),
    )
    return PhantomClip(cine, rendered.labels, case, device.name)


def make_named_clip(
    view: View,
    *,
    conditions: Iterable[Condition] = (),
    seed: int = 0,
    frames: int = 60,
    frame_rate: float = 50.0,
    new_device: bool = False,
    image_shape: tuple[int, int] = (512, 512),
) -> PhantomClip:
    """The fetus of ``seed`` with exactly these ``conditions``; ``new_device`` images it with a held-out device.

    Raises InvalidRequest when the view cannot show a condition.
    """
    from .devices import sample_device

    case = sample_case(view, seed, conditions)
    device = sample_device(seed, held_out=new_device)
    return make_clip(case, frames=frames, frame_rate=frame_rate, device=device, image_shape=image_shape)


def describe_case(made: PhantomClip) -> str:
    """The fetus behind a clip as JSON: what the truth is beyond the masks."""
    case = made.case
    facts = {
        "notice": NOTICE,
        "view": case.view.short,
        "conditions": sorted(condition.short for condition in case.conditions),
        "not_visible_in_one_frame": sorted(condition.short for condition in case.findings.undetermined),
        "seed": case.seed,
        "device": made.device_name,
        "gestational_age_weeks": round(case.gestational_age, 2),
        "heart_rate_bpm": round(case.heart_rate, 1),
        "cardiac_axis_degrees": round(case.axis, 1),
        "mirrored": case.mirror < 0,
        "z_scores": {name: round(float(z), 2) for name, z in sorted(case.z_scores.items())},
    }
    return json.dumps(facts, indent=1) + "\n"
