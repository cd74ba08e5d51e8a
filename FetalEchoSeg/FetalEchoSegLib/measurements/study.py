"""A clip with its masks, as the rows of the table look at it: checked arguments, frames worth measuring, the beats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import nomograms
from ..anatomy import Structure, View, permitted_labels
from ..cine import Cine, to_gray
from ..errors import Cancelled, InvalidRequest, NotMeasurable
from . import cycle
from .four_chamber import FourChamberFrame
from .geometry import sector
from .vessels import VesselFrame

PLAUSIBLE_PIXEL = (0.01, 1.0)  # mm; outside it a calibration is a mistake
MOST_FRAMES = 24  # frames measured when no moment of the beat is asked for
SECTOR_FRAMES = 6  # frames looked at to find the sector

# Structures whose area shows the beat, best first.
BEATING: dict[View, tuple[tuple[Structure, ...], ...]] = {
    View.FOUR_CHAMBER: ((Structure.LEFT_VENTRICLE,), (Structure.RIGHT_VENTRICLE,)),
    View.LVOT: ((Structure.LEFT_VENTRICLE,), (Structure.RIGHT_VENTRICLE,)),
    View.RVOT: ((Structure.ASCENDING_AORTA, Structure.MAIN_PULMONARY_ARTERY),),
    View.THREE_VESSEL_TRACHEA: ((Structure.AORTIC_ARCH, Structure.MAIN_PULMONARY_ARTERY),),
}

NO_END_DIASTOLE = "not at end-diastole: the moment in the heart beat is not known"


@dataclass(frozen=True)
class Found:
    """Median over frames: value, the frame nearest to it, and what qualifies it."""

    value: float
    frame: int | None
    flags: tuple[str, ...] = ()


class Study:
    """What the rows share: checked arguments, the frames worth measuring, the beats."""

    def __init__(
        self,
        labels: np.ndarray,
        cine: Cine,
        view: View,
        gestational_age: float | None = None,
        spine: tuple[float, float] | None = None,
        spine_frame: int | None = None,
        reference: str = nomograms.SCHNEIDER,
        end_diastole: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        if labels.ndim != 3 or labels.shape != (len(cine), *cine.image_shape):
            raise InvalidRequest(f"The masks {labels.shape} do not fit the clip {(len(cine), *cine.image_shape)}.")
        if reference not in nomograms.REFERENCES:
            raise InvalidRequest(
                f"There is no reference called '{reference}': choose one of {', '.join(nomograms.REFERENCES)}."
            )
        for what, frame in (("End-diastole", end_diastole), ("The clicked frame", spine_frame)):
            if frame is not None and not 0 <= frame < len(cine):
                raise InvalidRequest(f"{what} cannot be frame {frame} of {len(cine)} frames.")
        self.labels, self.cine, self.view = labels, cine, view
        self.reference, self.spine, self.spine_frame, self.named = reference, spine, spine_frame, end_diastole
        self.age, self.age_flag = _checked_age(gestational_age)
        self.spacing, self.no_mm = _checked_spacing(cine)
        self.counts = np.stack([np.bincount(frame.ravel(), minlength=256)[:256] for frame in labels])
        self.marked = np.flatnonzero(self.counts[:, 1:].sum(axis=1))
        self._cancelled = cancelled
        self._frames: dict[int, FourChamberFrame] = {}
        self._vessels: dict[int, VesselFrame] = {}

    @cached_property
    def wrong(self) -> str | None:
        """Why nothing can be measured at all."""
        if not len(self.marked):
            return "the masks are empty"
        foreign = np.ones(256, dtype=bool)
        foreign[list(permitted_labels(self.view))] = False
        everything = self.counts[:, 1:].sum()
        if self.counts[:, foreign].sum() > 0.1 * everything:
            return f"the masks hold structures that the {self.view.short} view does not show: check the view"
        return None

    @cached_property
    def visible(self) -> np.ndarray | None:
        """(H, W) bool, the sector."""
        at = np.unique(np.linspace(0, len(self.cine) - 1, SECTOR_FRAMES).astype(int))
        return sector(to_gray(self.cine.frame(int(k))) for k in at)

    def area(self, *structures: Structure) -> np.ndarray:
        """(T,) area in pixels, 0 where a structure is missing."""
        columns = self.counts[:, [int(s) for s in structures]]
        return np.where((columns > 0).all(axis=1), columns.sum(axis=1), 0).astype(float)

    @cached_property
    def beats(self) -> cycle.Beats | str:
        """The beats, or why there are none."""
        times, seconds = self._times()
        reason = "the ventricles do not show the beat"
        for structures in BEATING[self.view]:
            try:
                return cycle.find_beats(times, self.area(*structures), seconds)
            except NotMeasurable as problem:
                reason = str(problem)
        return reason

    def _times(self) -> tuple[np.ndarray, bool]:
        if self.cine.has_known_times:
            return self.cine.times, True
        return np.arange(len(self.cine), dtype=float), False

    def heart_rate(self) -> Found:
        """Beats per minute."""
        if len(self.cine) == 1:
            raise NotMeasurable("a single frame shows no heart beat")
        if not self.cine.has_known_times:
            raise NotMeasurable("the frame times are not known")
        reason = NotMeasurable("the masks show no beat")
        for structures in BEATING[self.view]:
            try:
                rate = cycle.heart_rate(self.cine.times, self.area(*structures))
            except NotMeasurable as problem:
                reason = problem
                continue
            vessel = structures[0] not in (Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE)
            flags = ["from the pulsation of the great arteries"] if vessel else []
            if structures == (Structure.RIGHT_VENTRICLE,):
                flags.append("from the right ventricle")
            return Found(rate, None, tuple(flags))
        raise reason

    def require_beats(self) -> cycle.Beats:
        """The beats; NotMeasurable says why there are none."""
        if isinstance(self.beats, str):
            raise NotMeasurable(self.beats)
        return self.beats

    def end_diastolic_frames(self) -> tuple[int, ...]:
        """Frames at end-diastole: the one the user names, or one a beat."""
        if self.named is not None:
            return (self.named,)
        if isinstance(self.beats, str):
            raise NotMeasurable(f"end-diastole not found: {self.beats}")
        return self.beats.end_diastole

    def some_frames(self) -> tuple[int, ...]:
        """Frames spread over the clip, among those with labels."""
        at = np.unique(np.linspace(0, len(self.marked) - 1, MOST_FRAMES).round().astype(int))
        return tuple(int(k) for k in self.marked[at])

    def diastolic_or_some(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """End-diastolic frames, or frames of the whole clip with a flag that says so."""
        try:
            return self.end_diastolic_frames(), ()
        except NotMeasurable:
            return self.some_frames(), (NO_END_DIASTOLE,)

    def four_chamber(self, frame: int) -> FourChamberFrame:
        """Geometry of one frame, kept for the other rows."""
        self._go_on()
        if frame not in self._frames:
            self._frames[frame] = self._followed(
                FourChamberFrame(self.labels[frame], self.spacing, self.visible, self.spine), frame
            )
        return self._frames[frame]

    def _go_on(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Measuring was cancelled.")

    def _followed(self, found: FourChamberFrame, frame: int) -> FourChamberFrame:
        """The frame with the clicked spine moved as far as the thorax has moved since the clicked frame."""
        if self.spine is None or self.spine_frame is None or frame == self.spine_frame:
            return found
        try:
            moved = found.thorax.center - self.four_chamber(self.spine_frame).thorax.center
        except NotMeasurable:
            return found
        row, column = np.asarray(self.spine) + moved / np.asarray(self.spacing)
        return replace(found, spine=(float(row), float(column)))

    def vessels(self, frame: int) -> VesselFrame:
        """Vessels of one frame, kept for the other rows."""
        self._go_on()
        if frame not in self._vessels:
            self._vessels[frame] = VesselFrame(self.labels[frame], self.view, self.spacing, self.visible)
        return self._vessels[frame]

    @property
    def pixel(self) -> float:
        """Side of a square as large as a pixel, in mm or pixels."""
        return float(np.sqrt(self.spacing[0] * self.spacing[1]))


def _checked_age(age: float | None) -> tuple[float | None, str]:
    low, high = nomograms.AGE_RANGE
    if age is None:
        return None, "gestational age not entered: no z-score"
    if not low <= age <= high:
        return None, f"a gestational age of {age:g} weeks is outside {low:g} to {high:g}: no z-score"
    return float(age), ""


def _checked_spacing(cine: Cine) -> tuple[tuple[float, float], str | None]:
    """Pixel size in mm, or square pixels and the reason why there are no millimetres."""
    if cine.spacing is None:
        return (1.0, 1.0), f"no calibration: {cine.calibration.removeprefix('unknown: ')}"
    row, column = cine.spacing
    if not all(PLAUSIBLE_PIXEL[0] <= s <= PLAUSIBLE_PIXEL[1] for s in cine.spacing):
        # The ratio of the two may still be right, and it is all that ratios need.
        return (row / column, 1.0), f"the calibration of {row:g} × {column:g} mm per pixel is implausible"
    return (float(row), float(column)), None


def median(compute: Callable[[int], float], frames: Sequence[int], flags: tuple[str, ...] = ()) -> Found:
    """Median of a measure over frames; frames that cannot be measured are left out.

    Raises NotMeasurable with the most frequent reason when no frame can be measured.
    """
    values, used, reasons = [], [], Counter[str]()
    for frame in frames:
        try:
            value = compute(frame)
        except NotMeasurable as problem:
            reasons[str(problem)] += 1
        else:
            if np.isfinite(value):
                values.append(value)
                used.append(frame)
    if not values:
        raise NotMeasurable(reasons.most_common(1)[0][0] if reasons else "no frame can be measured")
    middle = float(np.median(values))
    if len(values) < len(frames):
        flags = (
            *flags,
            f"measured in {len(values)} of {len(frames)} frames: {reasons.most_common(1)[0][0]}"
            if reasons
            else f"measured in {len(values)} of {len(frames)} frames",
        )
    return Found(middle, int(used[int(np.abs(np.array(values) - middle).argmin())]), flags)
