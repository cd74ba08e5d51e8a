from __future__ import annotations

import csv

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.cine import Cine
from FetalEchoSegLib.measurements import Measurement
from FetalEchoSegLib.prediction import BundleIdentity, Prediction
from FetalEchoSegLib.tables import measurement_table


def test_an_error_that_rounds_to_nothing_is_not_shown():
    assert Measurement("x", "X", 0.321, "", error=0.0004).text == "0.32"
    assert Measurement("x", "X", 7.64, "mm", error=0.12).text == "7.6 ± 0.1 mm"


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.25, 0.35, "", "0.25 – 0.35"),
        (None, 0.5, "", "below 0.5"),
        (110.0, None, "bpm", "above 110"),
        (12.0, 20.83, "mm", "12.0 – 20.8"),
        (0.3471, 0.5589, "", "0.35 – 0.56"),
        (65.4, 1820.0, "mm²", "65 – 1820"),
        (None, 0.0, "", "below 0"),
        (None, None, "", ""),
    ],
)
def test_normal_ranges_have_the_digits_of_the_value_at_most(low, high, unit, text):
    assert Measurement("x", "X", 1.0, unit, low=low, high=high).range_text == text


def test_negative_numbers_have_a_minus_sign_and_nothing_is_minus_zero():
    assert Measurement("x", "X", -13.94, "%").text == "−13.9 %"
    assert Measurement("x", "X", -0.04, "%").text == "0.0 %"
    assert Measurement("x", "X", 1.0, "", z_score=-0.72).z_text == "−0.7"
    assert Measurement("x", "X", 1.0, "", z_score=-0.02).z_text == "+0.0"
    assert Measurement("x", "X", 1.0, "").z_text == ""


def test_every_measure_of_the_view_has_a_line_in_the_file_with_a_value_or_a_reason(tmp_path):
    empty = Prediction(
        labels=np.zeros((3, 64, 64), dtype=np.uint8),
        view=View.THREE_VESSEL_TRACHEA,
        view_probabilities=np.full(4, 0.25, dtype=np.float32),
        view_source="user",
        condition_probabilities=np.full((3, 7), np.nan, dtype=np.float32),
        clip_conditions=np.full(7, np.nan, dtype=np.float32),
        confidence=np.zeros(3, dtype=np.float32),
        done=np.ones(3, dtype=bool),
        bundle=BundleIdentity("test", "1", "0" * 64, "Random weights."),
    )
    cine = Cine.from_array(np.zeros((3, 64, 64), dtype=np.uint8), frame_rate=30)
    table = measurement_table(cine, empty, gestational_age=22)
    table.to_csv(tmp_path / "measurements.csv")
    lines = list(csv.DictReader((tmp_path / "measurements.csv").read_text(encoding="utf-8").splitlines()))
    assert [line["measure"] for line in lines] == [row.name for row in table.rows]
    assert all(line["not_measurable"] and not line["value"] for line in lines)
    assert all("Random weights." in line["model"] for line in lines)
