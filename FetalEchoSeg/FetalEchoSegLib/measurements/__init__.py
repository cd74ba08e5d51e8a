"""Measures of the fetal heart from masks: sizes, ratios, axis, function, vessels, each with its norm and its gates.

`measure` gives the whole table of a view; the functions behind it are public in `four_chamber`, `vessels` and `cycle`.
"""

from .measurement import Measurement
from .table import measure

__all__ = ["Measurement", "measure"]
