"""One row of the table of measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Measurement:
    """A measured value, or the reason why there is none.

    name       stable identifier ("cardiac_axis"), for files
    title      for people
    value      in ``unit``, or None when it is not measurable
    unit       "mm", "mm²", "%", "°", "bpm", or "" for a ratio
    frame      frame of the clip that shows the value best; None for measures of the whole clip or without value
    low, high  normal range in ``unit``, None where there is none
    z_score    standard deviations from the mean for the gestational age, or None
    reference  where the normal range or the formula comes from
    error      ± in ``unit``, from the pixel size of the mask: not the reader's nor the model's error
    flags      sentences that qualify the value ("axis estimated from the descending aorta, spine not marked")
    reason     why it is not measurable, None when there is a value
    """

    name: str
    title: str
    value: float | None
    unit: str
    frame: int | None = None
    low: float | None = None
    high: float | None = None
    z_score: float | None = None
    reference: str = ""
    error: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"{self.name} needs either a value or a reason")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"{self.name} is not finite")

    @property
    def is_outside(self) -> bool:
        """Whether the value lies outside its normal range; False without a value or a range."""
        return self.side in ("below", "above")

    @property
    def side(self) -> str:
        """Where the value lies: "below", "within" or "above" its normal range; "" without a value or a range."""
        if self.value is None or (self.low is None and self.high is None):
            return ""
        if self.low is not None and self.value < self.low:
            return "below"
        return "above" if self.high is not None and self.value > self.high else "within"

    @property
    def digits(self) -> int:
        """Decimals that mean something in ``unit``."""
        return 0 if self.unit in ("bpm", "mm²") else 1 if self.unit in ("°", "%", "mm") else 2

    @property
    def text(self) -> str:
        """Value with unit and error, or "not measurable: reason"."""
        if self.value is None:
            return f"not measurable: {self.reason}"
        # An error that rounds to nothing says nothing.
        shown = self.error is not None and round(self.error, self.digits) > 0
        error = f" ± {self.error:.{self.digits}f}" if shown else ""
        space = "" if self.unit in ("", "°") else " "
        return f"{number_text(self.value, self.digits)}{error}{space}{self.unit}"

    @property
    def range_text(self) -> str:
        """Normal range as "0.25 – 0.35", "below 0.5", or "" where there is none; in the digits of the value at most."""
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        digits = self.digits
        while digits and all(round(bound, digits) == round(bound, digits - 1) for bound in bounds):
            digits -= 1
        texts = [number_text(bound, digits) for bound in bounds]
        if len(texts) == 2:
            return " – ".join(texts)
        return f"{'below' if self.low is None else 'above'} {texts[0]}" if texts else ""

    @property
    def z_text(self) -> str:
        """Z-score with its sign and one decimal, "" where there is none."""
        return "" if self.z_score is None else number_text(self.z_score, 1, "+")


def number_text(value: float, digits: int, sign: str = "") -> str:
    """A number for people: with a minus sign instead of a hyphen, and never "−0.0"."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}".replace("-", "−")
