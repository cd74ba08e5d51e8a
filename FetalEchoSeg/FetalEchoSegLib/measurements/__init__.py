"""Measures of the fetal heart from masks: sizes, ratios, axis, function, vessels, each with its norm and its gates.

`measure` gives the whole table of a view, `heart_beats` its end-diastoles and end-systoles; the functions behind them
are public in `four_chamber`, `vessels` and `cycle`.
"""

from .measurement import Measurement
from .table import heart_beats, measure

__all__ = ["Measurement", "heart_beats", "measure"]
