from __future__ import annotations

from FetalEchoSegLib.ordering import natural_order


def test_names_are_sorted_by_number():
    assert sorted(["10", "9", "1a", "a"], key=natural_order) == ["1a", "9", "10", "a"]
    assert sorted(["Frame10.png", "frame2.png"], key=natural_order) == ["frame2.png", "Frame10.png"]


def test_digits_beyond_any_number_and_other_scripts_do_not_break_the_order():
    assert sorted(["9" * 5000, "1", "²"], key=natural_order)[0] == "1"
