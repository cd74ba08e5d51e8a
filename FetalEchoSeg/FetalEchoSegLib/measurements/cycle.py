"""The heart beat in a clip, from the area of a structure over time: period, end-diastole and end-systole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import NotMeasurable

RATES = (60.0, 240.0)  # beats per minute between which a beat is looked for
SLOWEST_NORMAL = 110.0  # a clip as long as one of these beats holds a whole beat
HARMONICS = 5  # of a beat, where the frame rate can show them
LEAST_REGULARITY = 0.65  # share of the curve's variance that equal beats must explain
LEAST_CHANGE = 0.08  # share of its maximum that a chamber's area must lose in systole


@dataclass(frozen=True)
class Beats:
    """Where a clip's beats lie.

    period         seconds, or frames when times are unknown; None when only one beat was seen
    end_diastole   frames of largest area, one a beat, in order
    end_systole    frames of smallest area, one a beat, in order
    curve          (T,) the area with outliers and gaps replaced
    """

    period: float | None
    end_diastole: tuple[int, ...]
    end_systole: tuple[int, ...]
    curve: np.ndarray


def cleaned(area: np.ndarray) -> np.ndarray:
    """(T,) area over time without its outliers: frames far from the median of their neighbours, and empty frames.

    Raises NotMeasurable when fewer than eight frames, or fewer than 60 %, can be used.
    """
    curve = np.where(np.isfinite(area) & (area > 0), area, np.nan).astype(float)
    if len(curve) < 8:
        raise NotMeasurable(f"a clip of {len(curve)} frame{'s' * (len(curve) > 1)} shows no heart beat")
    curve[_outliers(curve)] = np.nan
    good = np.isfinite(curve)
    if good.sum() < max(8, 0.6 * len(curve)):
        raise NotMeasurable("the structure that shows the beat is missing in too many frames")
    index = np.arange(len(curve))
    return np.interp(index, index[good], curve[good])


def period(times: np.ndarray, area: np.ndarray, seconds: bool = True) -> float:
    """Length of a heart beat, in the unit of ``times``.

    times    (T,) strictly increasing, seconds or frame numbers
    area     (T,) a structure's area; outliers and gaps are allowed
    seconds  times are seconds: only 60 to 240 beats per minute are considered
    The first clear peak of the autocorrelation gives the beat, a least-squares fit of equal beats (harmonics and a slow
    drift) at the true frame times refines it.
    Raises NotMeasurable for a clip shorter than two beats, a frame rate too low, or no regular beat.
    """
    curve = cleaned(area)
    step = float(np.median(np.diff(times)))
    duration = float(times[-1] - times[0])
    shortest, longest = (60.0 / RATES[1], 60.0 / RATES[0]) if seconds else (5.0, np.inf)
    longest = min(longest, (duration + step) / 2)
    if shortest < 4 * step and seconds:
        shortest = 4 * step  # fewer samples in a beat cannot show its shape
    grid = np.arange(times[0], times[-1] + step / 2, step)
    even = np.interp(grid, times, curve)
    even = even - np.polyval(np.polyfit(grid, even, 1), grid)
    if not even.std() > 0.01 * curve.mean():
        raise NotMeasurable("the area hardly changes over the clip, so no beat can be seen")
    first, last = int(np.ceil(shortest / step - 1e-9)), int(np.floor(longest / step + 1e-9))
    if last - first < 2:
        raise NotMeasurable("the clip is shorter than two heart beats, or its frame rate is too low")
    lags = np.arange(max(first - 1, 1), min(last + 1, len(even) - 2) + 1)
    likeness = np.array([_correlation(even[:-lag], even[lag:]) for lag in lags])
    peaks = [k for k in range(1, len(lags) - 1) if likeness[k] >= likeness[k - 1] and likeness[k] >= likeness[k + 1]]
    peaks = [k for k in peaks if likeness[k] > 0.3]
    if not peaks:
        raise NotMeasurable("no two equal heart beats were found in the clip")
    highest = max(likeness[k] for k in peaks)
    lag = lags[next(k for k in peaks if likeness[k] > 0.8 * highest)] * step
    for reach, count in ((0.12, 49), (0.01, 41)):
        candidates = np.linspace(lag * (1 - reach), lag * (1 + reach), count)
        explained = [_fit(times, curve, candidate)[1] for candidate in candidates]
        lag = float(candidates[int(np.argmax(explained))])
    if max(explained) < LEAST_REGULARITY:
        raise NotMeasurable("the beats in the clip are too unequal")
    return lag


def heart_rate(times: np.ndarray, area: np.ndarray) -> float:
    """Beats per minute from a structure's area (T,) at ``times`` (T,) seconds; raises NotMeasurable as `period`."""
    return 60.0 / period(times, area)


def find_beats(times: np.ndarray, area: np.ndarray, seconds: bool = True) -> Beats:
    """End-diastole and end-systole of a ventricle from its area over time.

    times    (T,) seconds, or frame numbers with ``seconds`` False
    area     (T,) of a ventricle: largest at end-diastole
    With two or more beats, the mean beat says where in each beat to look, so that a few bad frames do no harm; with
    one beat, the largest and the smallest area of the smoothed curve are taken.
    Raises NotMeasurable when the clip is shorter than a beat or the area does not change like a ventricle's.
    """
    curve = cleaned(area)
    step = float(np.median(np.diff(times)))
    try:
        beat = period(times, area, seconds)
    except NotMeasurable:
        if not seconds or times[-1] - times[0] + step < 60.0 / SLOWEST_NORMAL:
            raise NotMeasurable("the clip is too short or too irregular to find a whole heart beat") from None
        beat = None
    if beat is None:
        smooth = ndimage.gaussian_filter1d(curve, max(0.8, 0.012 / step), mode="nearest")
        diastole, systole = [int(smooth.argmax())], [int(smooth.argmin())]
    else:
        smooth = ndimage.gaussian_filter1d(curve, max(0.6, 0.025 * beat / step), mode="nearest")
        wave, _ = _fit(times, curve, beat)
        phase = np.arange(200) / 200
        mean_beat = _wave(wave, phase)
        diastole = _extremes(times, smooth, beat, phase[mean_beat.argmax()])
        systole = _extremes(times, -smooth, beat, phase[mean_beat.argmin()])
    if not diastole or not systole:
        raise NotMeasurable("the clip does not show both end-diastole and end-systole")
    large, small = smooth[diastole].mean(), smooth[systole].mean()
    if large - small < LEAST_CHANGE * large:
        raise NotMeasurable("the area of the ventricle does not change enough to find end-diastole and end-systole")
    return Beats(beat, tuple(diastole), tuple(systole), curve)


def fractional_area_change(beats: Beats, area: np.ndarray) -> tuple[float, ...]:
    """(EDA − ESA) / EDA in % of each beat: of the ventricle whose ``area`` (T,) is given, at the frames of ``beats``.

    Each end-systole is compared with the nearest end-diastole before it, or after it in the first beat.
    Source: DeVore 2019.
    """
    curve = cleaned(area)
    changes = []
    for systole in beats.end_systole:
        before = [d for d in beats.end_diastole if d < systole]
        diastole = before[-1] if before else beats.end_diastole[0]
        changes.append(100.0 * float(1 - curve[systole] / curve[diastole]))
    return tuple(changes)


def emptying(beats: Beats, times: np.ndarray, area: np.ndarray) -> tuple[float, ...]:
    """(largest − smallest) / largest area in % of each beat: how much of an atrium leaves.

    times and area (T,) as for `find_beats`; one value a whole beat. Source: LA emptying fraction, .43 at 21 weeks.
    """
    curve = cleaned(area)
    if beats.period is None:
        windows = [np.arange(len(curve))]
    else:
        starts = times[0] + beats.period * np.arange(int((times[-1] - times[0]) / beats.period + 1e-6))
        windows = [np.flatnonzero((times >= s) & (times < s + beats.period)) for s in starts]
    # The extremes of noisy samples lie outside those of the curve: smooth as lightly as the curve's own shape allows.
    length = np.median([len(w) for w in windows]) if windows else len(curve)
    smooth = ndimage.gaussian_filter1d(curve, max(0.3, 0.012 * float(length)), mode="nearest")
    return tuple(100.0 * float(1 - smooth[w].min() / smooth[w].max()) for w in windows if len(w) > 3)


def _outliers(curve: np.ndarray) -> np.ndarray:
    """(T,) bool: frames that neither continue their neighbours nor resemble their median.

    A chamber may gain 15 % from one frame to the next, so the neighbours' values alone say little: a frame is judged
    by what they predict (between them, and continued from either side). Two bad frames in a row spoil each other's
    prediction; those stand out from the median of five when they are far off.
    """
    padded = np.pad(curve, 2, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 5)
    predictions = np.stack(
        [
            (around[:, 1] + around[:, 3]) / 2,
            (4 * (around[:, 1] + around[:, 3]) - around[:, 0] - around[:, 4]) / 6,
            2 * around[:, 1] - around[:, 0],
            2 * around[:, 3] - around[:, 4],
        ]
    )
    off = np.abs(curve - _median(predictions, axis=0))
    apart = np.abs(curve - _median(around, axis=1))
    usual = 1.4826 * np.nanmedian(off) if np.isfinite(off).any() else 0.0
    level = float(np.nanmedian(curve)) if np.isfinite(curve).any() else 0.0
    # A frame at the end of the clip or of a gap is only continued from one side, which says less.
    one_sided = ~np.isfinite(around[:, 1]) | ~np.isfinite(around[:, 3])
    limit = np.where(one_sided, 4.0, 1.0) * max(6.0 * usual, 0.06 * level)
    with np.errstate(invalid="ignore"):
        return (off > limit) | (apart > 0.4 * level)


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Median without NaN; NaN where there is nothing else."""
    found = np.full(np.delete(values.shape, axis), np.nan)
    some = np.isfinite(values).any(axis=axis)
    found[some] = np.nanmedian(np.compress(some, values, axis=1 - axis), axis=axis)
    return found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def _fit(times: np.ndarray, curve: np.ndarray, beat: float) -> tuple[np.ndarray, float]:
    """Harmonics of equal beats of length ``beat`` beside a linear drift, and the share of variance they explain."""
    sampled = beat / float(np.median(np.diff(times)))
    count = int(np.clip(sampled / 2 - 1, 1, HARMONICS))  # above half the frame rate, harmonics imitate lower ones
    angle = 2 * np.pi * np.outer(times, np.arange(1, count + 1)) / beat
    drift = np.stack([np.ones_like(times), times - times.mean()], axis=1)
    design = np.hstack([drift, np.cos(angle), np.sin(angle)])
    weights = np.linalg.lstsq(design, curve, rcond=None)[0]
    still = curve - drift @ np.linalg.lstsq(drift, curve, rcond=None)[0]
    rest = curve - design @ weights
    # Adjusted for the number of free weights: pure noise explains nothing.
    freedom = max(len(curve) - 2, 1) / max(len(curve) - design.shape[1], 1)
    return weights[2:], 1.0 - freedom * float(rest @ rest) / max(float(still @ still), 1e-12)


def _wave(weights: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Mean beat at phases (0 to 1) counted from time zero."""
    angle = 2 * np.pi * np.outer(phase, np.arange(1, len(weights) // 2 + 1))
    return np.hstack([np.cos(angle), np.sin(angle)]) @ weights


def _extremes(times: np.ndarray, smooth: np.ndarray, beat: float, phase: float) -> list[int]:
    """Frame of the largest value near ``phase`` in each beat; a beat whose place lies outside the clip has none."""
    found = []
    for number in range(int(np.floor(times[0] / beat)) - 1, int(np.ceil(times[-1] / beat)) + 2):
        at = (number + phase) * beat
        near = np.flatnonzero(np.abs(times - at) <= 0.12 * beat)
        if times[0] - 0.02 * beat <= at <= times[-1] + 0.02 * beat and len(near):
            found.append(int(near[smooth[near].argmax()]))
    return found
