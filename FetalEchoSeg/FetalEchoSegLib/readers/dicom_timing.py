"""Frame times of a DICOM cine.

The elements, most exact first (PS3.3 C.7.6.5, Cine Module): FrameTimeVector (ms between frames, the first value
belongs to the first frame and is usually 0), FrameTime (ms), CineRate (frames/s), RecommendedDisplayFrameRate
(frames/s). One that is there but cannot be true is passed over with a note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .common import SHORTEST_STEP, assumed_times, increasing
from .dicom_values import number, numbers


@dataclass(frozen=True)
class FrameTimes:
    """Times (T,) in s, where they come from (``Cine.timing``) and sentences for the user."""

    times: np.ndarray
    timing: str
    notes: tuple[str, ...] = ()


def frame_times(dataset: Any, count: int) -> FrameTimes:
    """Times of ``count`` frames; "unknown: ..." with 0.1 s steps when no element gives them."""
    if count == 1:
        return FrameTimes(np.zeros(1), "still")
    notes = []
    vector = numbers(dataset, "FrameTimeVector")
    if vector:
        times, problem = _from_vector(vector, count)
        if times is not None:
            return FrameTimes(times, "FrameTimeVector")
        notes.append(f"FrameTimeVector {problem} and was not used.")
    for keyword, unit in (
        ("FrameTime", "ms"),
        ("CineRate", "frames/s"),
        ("RecommendedDisplayFrameRate", "frames/s"),
    ):
        stated = number(dataset, keyword)
        if stated is None:
            continue
        step = (stated / 1000 if unit == "ms" else 1 / stated) if math.isfinite(stated) and stated > 0 else math.nan
        if math.isfinite(step) and SHORTEST_STEP <= step <= 3600:
            return FrameTimes(np.arange(count) * step, keyword, tuple(notes))
        notes.append(f"{keyword} is {stated:g} {unit}, which cannot be true, and was not used.")
    reason = "no usable frame time in the file" if notes else "no frame time in the file"
    times, timing = assumed_times(count, reason)
    notes.append("The frame times are unknown: heart rate and curves over seconds cannot be given.")
    return FrameTimes(times, timing, tuple(notes))


def _from_vector(vector: list[float], count: int) -> tuple[np.ndarray | None, str]:
    if len(vector) != count:
        return None, f"has {len(vector)} values for {count} frames"
    steps = np.asarray(vector, dtype=np.float64)
    if not np.isfinite(steps).all():
        return None, "holds values that are not numbers"
    # What the first value counts from is outside the clip.
    times = np.concatenate(([0.0], np.cumsum(steps[1:] / 1000)))
    if not increasing(times):
        return None, "holds steps that are zero, negative or shorter than a millisecond"
    return times, ""
