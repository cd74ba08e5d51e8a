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
    def text(self) -> str:
        """Value with unit and error, or "not measurable: reason"."""
        if self.value is None:
            return f"not measurable: {self.reason}"
        digits = 0 if self.unit in ("bpm", "mm²") else 1 if self.unit in ("°", "%", "mm") else 2
        # An error that rounds to nothing says nothing.
        shown = self.error is not None and round(self.error, digits) > 0
        error = f" ± {self.error:.{digits}f}" if shown else ""
        space = "" if self.unit in ("", "°") else " "
        return f"{self.value:.{digits}f}{error}{space}{self.unit}"
