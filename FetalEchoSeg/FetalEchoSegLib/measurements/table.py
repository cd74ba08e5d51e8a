"""All measures of a clip as one table: every row has a value or says why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from .. import nomograms
from ..anatomy import Structure, View, permitted_labels
from ..cine import Cine, to_gray
from ..errors import InvalidRequest, NotMeasurable
from . import cycle, four_chamber, vessels
from .four_chamber import FourChamberFrame
from .geometry import EDGE_ERROR, sector
from .measurement import Measurement

PLAUSIBLE_PIXEL = (0.01, 1.0)  # mm; outside it a calibration is a mistake
PLAUSIBLE_Z = 10.0  # beyond it the calibration or the gestational age is wrong, not the heart
MOST_FRAMES = 24  # frames measured when no moment of the beat is asked for
SECTOR_FRAMES = 6  # frames looked at to find the sector

SHORT_NAME = {
    Structure.LEFT_VENTRICLE: "LV",
    Structure.RIGHT_VENTRICLE: "RV",
    Structure.ASCENDING_AORTA: "AscAo",
    Structure.MAIN_PULMONARY_ARTERY: "MPA",
    Structure.LEFT_PULMONARY_ARTERY: "LPA",
    Structure.RIGHT_PULMONARY_ARTERY: "RPA",
    Structure.DESCENDING_AORTA: "DescAo",
    Structure.SUPERIOR_VENA_CAVA: "SVC",
}
VESSELS: dict[View, tuple[Structure, ...]] = {
    View.FOUR_CHAMBER: (Structure.DESCENDING_AORTA,),
    View.LVOT: (Structure.ASCENDING_AORTA,),
    View.RVOT: (
        Structure.ASCENDING_AORTA,
        Structure.MAIN_PULMONARY_ARTERY,
        Structure.LEFT_PULMONARY_ARTERY,
        Structure.RIGHT_PULMONARY_ARTERY,
        Structure.DESCENDING_AORTA,
        Structure.SUPERIOR_VENA_CAVA,
    ),
    View.THREE_VESSEL_TRACHEA: (
        Structure.MAIN_PULMONARY_ARTERY,
        Structure.AORTIC_ARCH,
        Structure.SUPERIOR_VENA_CAVA,
    ),
}
# Structures whose area shows the beat, best first.
_BEATING: dict[View, tuple[tuple[Structure, ...], ...]] = {
    View.FOUR_CHAMBER: ((Structure.LEFT_VENTRICLE,), (Structure.RIGHT_VENTRICLE,)),
    View.LVOT: ((Structure.LEFT_VENTRICLE,), (Structure.RIGHT_VENTRICLE,)),
    View.RVOT: ((Structure.ASCENDING_AORTA, Structure.MAIN_PULMONARY_ARTERY),),
    View.THREE_VESSEL_TRACHEA: ((Structure.AORTIC_ARCH, Structure.MAIN_PULMONARY_ARTERY),),
}

SPINE_NOT_MARKED = "estimated from the descending aorta, spine not marked"
SQUARE_PIXELS = "not calibrated, pixels taken as square"
NO_END_DIASTOLE = "not at end-diastole: the moment in the heart beat is not known"


@dataclass(frozen=True)
class Found:
    """Median over frames: value, the frame nearest to it, and what qualifies it."""

    value: float
    frame: int | None
    flags: tuple[str, ...] = ()


def measure(
    labels: np.ndarray,
    cine: Cine,
    view: View,
    *,
    gestational_age: float | None = None,
    spine: tuple[float, float] | None = None,
    spine_frame: int | None = None,
    reference: str = nomograms.SCHNEIDER,
    end_diastole: int | None = None,
) -> tuple[Measurement, ...]:
    """Every measure that ``view`` can give, as a value or as "not measurable: reason".

    labels           (T, H, W) uint8 structure ids of all frames of ``cine``; frames without labels are passed over
    gestational_age  weeks; None gives no z-scores
    spine            (row, column) in pixels of a click on the spine; without it axis and position are estimates
    spine_frame      the frame that was clicked in: the click then follows the thorax through the clip
    reference        which z-scores to use where it has the structure, see `nomograms.REFERENCES`
    end_diastole     a frame the user names as end-diastolic, which a still image cannot tell
    Bad masks never raise; InvalidRequest when the arguments do not fit together.
    """
    study = _Study(labels, cine, View(view), gestational_age, spine, spine_frame, reference, end_diastole)
    rows = _four_chamber_rows(study) if view is View.FOUR_CHAMBER else []
    rows += [_vessel_row(study, vessel) for vessel in VESSELS[study.view]]
    if view is View.THREE_VESSEL_TRACHEA:
        rows.append(_isthmus_row(study))
    if view in (View.RVOT, View.THREE_VESSEL_TRACHEA):
        rows.append(_aorta_ratio_row(study))
    if view is View.THREE_VESSEL_TRACHEA:
        rows.append(_trachea_row(study))
    return (*rows, _heart_rate_row(study))


class _Study:
    """What the rows share: checked arguments, the frames worth measuring, the beats."""

    def __init__(
        self,
        labels: np.ndarray,
        cine: Cine,
        view: View,
        gestational_age: float | None,
        spine: tuple[float, float] | None,
        spine_frame: int | None,
        reference: str,
        end_diastole: int | None,
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
        self._frames: dict[int, FourChamberFrame] = {}

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
        for structures in _BEATING[self.view]:
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
        if not self.cine.has_known_times:
            raise NotMeasurable("the frame times are not known")
        reason = NotMeasurable("the masks show no beat")
        for structures in _BEATING[self.view]:
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
        if frame not in self._frames:
            self._frames[frame] = self._followed(
                FourChamberFrame(self.labels[frame], self.spacing, self.visible, self.spine), frame
            )
        return self._frames[frame]

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
        return (1.0, 1.0), f"no calibration ({cine.calibration})"
    row, column = cine.spacing
    if not all(PLAUSIBLE_PIXEL[0] <= s <= PLAUSIBLE_PIXEL[1] for s in cine.spacing):
        # The ratio of the two may still be right, and it is all that ratios need.
        return (row / column, 1.0), f"the calibration of {row:g} × {column:g} mm per pixel is implausible"
    return (float(row), float(column)), None


def _median(compute: Callable[[int], float], frames: Sequence[int], flags: tuple[str, ...] = ()) -> Found:
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


def _row(
    study: _Study,
    name: str,
    title: str,
    unit: str,
    find: Callable[[], Found],
    *,
    limits: tuple[float | None, float | None] = (None, None),
    reference: str = "",
    relative_error: Callable[[Found], float] | None = None,
    error: Callable[[Found], float] | None = None,
    norm: tuple[float, float] | None = None,
    nomogram: str | None = None,
    millimetres: bool = False,
    square: bool = True,
) -> Measurement:
    """Measure one row and add its norm.

    norm         (mean, SD) at this age; nomogram names one of `nomograms` instead
    millimetres  the value needs a calibration; square: without one it needs square pixels
    """
    wanted = nomogram is not None
    table = _reference_with(nomogram, study.reference) if nomogram else None
    reference = table or reference
    try:
        if study.wrong:
            raise NotMeasurable(study.wrong)
        if millimetres and study.no_mm:
            raise NotMeasurable(study.no_mm)
        found = find()
        if not np.isfinite(found.value):
            raise NotMeasurable("the mask does not allow it")
    except NotMeasurable as problem:
        return Measurement(name, title, None, unit, reference=reference, reason=str(problem))
    flags = list(found.flags)
    if study.no_mm and square and study.cine.spacing is None:
        flags.append(SQUARE_PIXELS)
    low, high = limits
    z_score = None
    if nomogram and table:
        flags += [f"{study.reference} has no values for this structure"] * (table != study.reference)
    if (wanted or norm) and study.age is None:
        flags.append(study.age_flag)
    elif norm:
        mean, deviation = norm
        low, high, z_score = mean - 2 * deviation, mean + 2 * deviation, (found.value - mean) / deviation
    elif nomogram and table and study.age is not None:
        try:
            z_score = nomograms.z_score(nomogram, found.value, study.age, table)
            low, high = (nomograms.size_mm(nomogram, study.age, z, table) for z in (-2.0, 2.0))
        except NotMeasurable as problem:
            flags.append(f"no z-score: {problem}")
    if z_score is not None and abs(z_score) > PLAUSIBLE_Z:
        flags.append(f"a z-score of {z_score:.0f} is implausible: check calibration and gestational age")
        z_score = None
    uncertainty = None
    if error:
        uncertainty = error(found)
    elif relative_error:
        uncertainty = abs(found.value) * relative_error(found)
    return Measurement(
        name, title, found.value, unit, found.frame, low, high, z_score, reference, uncertainty, tuple(flags)
    )


def _reference_with(name: str, wanted: str) -> str:
    """The wanted reference if it has the structure, else the first that does."""
    choices = [wanted, *(r for r in nomograms.REFERENCES if r != wanted)]
    with_spread = [r for r in choices if name in nomograms.NOMOGRAMS[r] and nomograms.NOMOGRAMS[r][name].spread]
    return (with_spread or [r for r in choices if name in nomograms.NOMOGRAMS[r]])[0]


# Four chambers --------------------------------------------------------------------------------------------------------


def _four_chamber_rows(study: _Study) -> list[Measurement]:
    def at_diastole(compute: Callable[[FourChamberFrame], float], flags: tuple[str, ...] = ()) -> Callable[[], Found]:
        def find() -> Found:
            frames, extra = study.diastolic_or_some()
            return _median(lambda k: compute(study.four_chamber(k)), frames, flags + extra)

        return find

    def strictly_at_diastole(compute: Callable[[FourChamberFrame], float]) -> Callable[[], Found]:
        return lambda: _median(lambda k: compute(study.four_chamber(k)), study.end_diastolic_frames())

    midline = () if study.spine is not None else (SPINE_NOT_MARKED,)

    def size_error(*parts: str) -> Callable[[Found], float]:
        """Relative error of a ratio of lengths from the sizes of its parts."""

        def error(found: Found) -> float:
            assert found.frame is not None
            frame = study.four_chamber(found.frame)
            sizes = [getattr(frame, part).equivalent_diameter for part in parts]
            return float(EDGE_ERROR * study.pixel * np.sqrt(sum(s**-2 for s in sizes)))

        return error

    def twice(error: Callable[[Found], float]) -> Callable[[Found], float]:
        return lambda found: 2 * error(found)

    whole = size_error("heart", "thorax")
    both = size_error("left_ventricle", "right_ventricle")
    circumference = None if study.age is None else nomograms.cardiac_circumference_mm(study.age)
    diameter = None if study.age is None else nomograms.cardiothoracic_diameter_ratio(study.age)
    none = (np.nan, np.nan)  # asks for the flag that the age is missing
    rows = [
        _row(
            study, "cardiothoracic_area_ratio", "Cardiothoracic area ratio", "",
            at_diastole(four_chamber.cardiothoracic_area_ratio), limits=(0.25, 0.35),
            reference="AHA 2014; Sylwestrzak 2018: 0.30 ± 0.015", relative_error=twice(whole),
        ),
        _row(
            study, "cardiothoracic_circumference_ratio", "Cardiothoracic circumference ratio", "",
            at_diastole(four_chamber.cardiothoracic_circumference_ratio), limits=(None, 0.5),
            reference="AHA 2014", relative_error=whole,
        ),
        _row(
            study, "cardiothoracic_diameter_ratio", "Cardiothoracic diameter ratio", "",
            at_diastole(four_chamber.cardiothoracic_diameter_ratio), norm=diameter or none,
            reference="0.365 + 0.004 weeks", relative_error=whole,
        ),
        _row(
            study, "cardiac_circumference", "Cardiac circumference", "mm",
            at_diastole(four_chamber.cardiac_circumference), norm=circumference or none, millimetres=True,
            reference="−53.11 + 6.56 weeks − 0.035 weeks²", relative_error=size_error("heart"),
        ),
        _row(
            study, "cardiac_axis", "Cardiac axis", "°", at_diastole(four_chamber.cardiac_axis, midline),
            limits=(29.0, 57.0), reference="Shipp 1995: 43 ± 7°, above 57° abnormal",
            error=lambda found: four_chamber.axis_error(study.four_chamber(found.frame or 0)),
        ),
        _row(
            study, "cardiac_position", "Position of the heart's centre, left of the thorax centre", "%",
            at_diastole(four_chamber.cardiac_position, midline), reference="no published normal range",
        ),
        _row(
            study, "posterior_point", "Posterior point of the heart (P), left of the midline", "%",
            at_diastole(four_chamber.posterior_point, midline), reference="no published normal range",
        ),
        _row(
            study, "ventricular_width_ratio", "RV/LV width ratio", "",
            at_diastole(four_chamber.ventricular_width_ratio), limits=(0.86, 1.23),
            reference="Gabbay-Benziv 2015, 16 to 28 weeks", relative_error=both,
        ),
        _row(
            study, "ventricular_area_ratio", "RV/LV area ratio", "",
            at_diastole(four_chamber.ventricular_area_ratio), reference="no published normal range",
            relative_error=twice(both),
        ),
    ]  # fmt: skip
    for ventricle, part in (
        (Structure.LEFT_VENTRICLE, "left_ventricle"),
        (Structure.RIGHT_VENTRICLE, "right_ventricle"),
    ):
        short = SHORT_NAME[ventricle]
        own = size_error(part)
        for name, title, unit, function, nomogram, error in (
            ("area", "area", "mm²", four_chamber.ventricular_area, "area", twice(own)),
            ("length", "length", "mm", four_chamber.ventricular_length, "length", None),
            ("width", "diameter", "mm", four_chamber.ventricular_width, "width", None),
        ):
            rows.append(
                _row(
                    study, f"{short}_{name}", f"{short} end-diastolic {title}", unit,
                    strictly_at_diastole(partial(function, ventricle=ventricle)), millimetres=True,
                    nomogram=f"{short} {nomogram}", relative_error=error,
                    error=None if error else lambda found: EDGE_ERROR * study.pixel,
                )
            )  # fmt: skip
        rows.append(
            _row(
                study, f"{short}_sphericity", f"{short} length over width", "",
                strictly_at_diastole(partial(four_chamber.sphericity, ventricle=ventricle)),
                reference="DeVore 2017; no normal range here", relative_error=own,
            )
        )  # fmt: skip
    for ventricle in (Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE):
        short = SHORT_NAME[ventricle]
        rows.append(
            _row(
                study, f"{short}_fractional_area_change", f"{short} fractional area change", "%",
                partial(_area_change, study, ventricle), reference="DeVore 2019 (formula); no normal range here",
                square=False,
            )
        )  # fmt: skip
    rows += [
        _row(
            study, "atrial_area_ratio", "LA/RA area ratio", "", at_diastole(four_chamber.atrial_area_ratio),
            reference="no published normal range", square=False,
        ),
        _row(
            study, "LA_emptying", "LA emptying", "%", partial(_atrial_emptying, study),
            reference="(largest − smallest area) / largest; no normal range here", square=False,
        ),
    ]  # fmt: skip
    return rows


def _complete(study: _Study, *structures: Structure) -> None:
    """NotMeasurable when a structure cannot be used in most of the clip: a cut chamber still changes its area."""
    study_frames = study.some_frames()
    for structure in structures:
        _median(lambda k, s=structure: study.four_chamber(k).chamber(s).area, study_frames)  # type: ignore[misc]


def _area_change(study: _Study, ventricle: Structure) -> Found:
    beats = study.require_beats()
    _complete(study, ventricle)
    changes = cycle.fractional_area_change(beats, study.area(ventricle))
    return Found(float(np.mean(changes)), beats.end_systole[0], _spread(changes))


def _atrial_emptying(study: _Study) -> Found:
    beats = study.require_beats()
    _complete(study, Structure.LEFT_ATRIUM)
    times, _ = study._times()
    shares = cycle.emptying(beats, times, study.area(Structure.LEFT_ATRIUM))
    return Found(float(np.mean(shares)), beats.end_systole[0], _spread(shares))


def _spread(values: Sequence[float]) -> tuple[str, ...]:
    if len(values) < 2:
        return ("one beat only",)
    return (f"{len(values)} beats, SD {np.std(values, ddof=1):.1f} % from beat to beat",)


# Vessels --------------------------------------------------------------------------------------------------------------


def _vessel_row(study: _Study, vessel: Structure) -> Measurement:
    short = SHORT_NAME.get(vessel, "arch")
    title = vessel.info.title
    if vessel is Structure.AORTIC_ARCH:
        title = "Aortic arch (transverse)"

    def find() -> Found:
        def one(frame: int) -> float:
            return vessels.vessel_diameter(study.labels[frame], vessel, study.view, study.spacing, study.visible)

        return _median(one, study.some_frames())

    return _row(
        study, f"{short}_diameter", f"{title} diameter", "mm", find, millimetres=True,
        nomogram=None if vessel is Structure.AORTIC_ARCH else short,
        reference="no reference for the transverse arch here",
        error=lambda found: EDGE_ERROR * study.pixel,
    )  # fmt: skip


def _isthmus_row(study: _Study) -> Measurement:
    def find() -> Found:
        return _median(
            lambda k: vessels.isthmus_diameter(study.labels[k], study.spacing, study.visible), study.some_frames()
        )

    return _row(
        study, "isthmus_diameter", "Aortic isthmus diameter", "mm", find, millimetres=True, nomogram="isthmus",
        error=lambda found: EDGE_ERROR * study.pixel,
    )  # fmt: skip


def _aorta_ratio_row(study: _Study) -> Measurement:
    aorta = Structure.AORTIC_ARCH if study.view is View.THREE_VESSEL_TRACHEA else Structure.ASCENDING_AORTA

    def find() -> Found:
        def one(frame: int) -> float:
            return vessels.aorta_to_pulmonary_ratio(study.labels[frame], study.view, study.spacing, study.visible)

        return _median(one, study.some_frames())

    def relative_error(found: Found) -> float:
        assert found.frame is not None
        sizes = [
            vessels.vessel_diameter(study.labels[found.frame], v, study.view, study.spacing)
            for v in (aorta, Structure.MAIN_PULMONARY_ARTERY)
        ]
        return float(EDGE_ERROR * study.pixel * np.hypot(1 / sizes[0], 1 / sizes[1]))

    name = "Aortic arch" if aorta is Structure.AORTIC_ARCH else "Ascending aorta"
    return _row(
        study, "aorta_to_pulmonary_ratio", f"{name} / main pulmonary artery", "", find, limits=(0.7, 1.2),
        reference="doi 10.1007/s40556-021-00328-0", relative_error=relative_error,
    )  # fmt: skip


def _trachea_row(study: _Study) -> Measurement:
    def find() -> Found:
        found = _median(
            lambda k: vessels.trachea_side_index(study.labels[k], study.spacing, study.visible), study.some_frames()
        )
        side = "right of both vessels" if found.value < 0 else "between the vessels"
        if found.value > 1:
            side = "left of both vessels"
        return Found(found.value, found.frame, (*found.flags, f"trachea {side}"))

    return _row(
        study, "trachea_side_index", "Trachea: arch 0, pulmonary trunk 1", "", find, limits=(None, 0.0),
        reference="Yagel 2002; 0 to 1: right arch",
    )  # fmt: skip


def _heart_rate_row(study: _Study) -> Measurement:
    return _row(
        study, "heart_rate", "Heart rate", "bpm", study.heart_rate, limits=(110.0, 160.0), square=False,
        reference="baseline 110 to 160 (NICHD 2008)",
    )  # fmt: skip
