from __future__ import annotations

import json

import numpy as np
import pytest
from FetalEchoSegLib.anatomy import View
from FetalEchoSegLib.commands import build_parser, main
from FetalEchoSegLib.fetus_layout import image_path, label_path, write_image, write_label, write_prediction


def fails(capsys, *arguments):
    """Exit code 1 and one sentence, without a traceback."""
    assert main([str(a) for a in arguments]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("fetalecho: ")
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    return said


def test_a_missing_file_is_one_sentence(capsys, tmp_path):
    assert "missing.dcm" in fails(capsys, "info", tmp_path / "missing.dcm")


def test_an_unknown_model_names_the_choices(capsys, tmp_path):
    pytest.importorskip("torch")
    said = fails(capsys, "segment", tmp_path / "x.dcm", "--out", tmp_path / "out", "--model", "nonsense")
    assert "There is no model 'nonsense'" in said


def test_a_file_in_the_way_of_the_output_folder_is_said_before_the_work(capsys, tmp_path):
    (tmp_path / "out").write_text("a file")
    said = fails(capsys, "segment", tmp_path / "x.dcm", "--out", tmp_path / "out" / "sub")
    assert "Cannot write" in said


def test_debug_shows_the_error_itself(tmp_path):
    from FetalEchoSegLib.errors import UnreadableInput

    with pytest.raises(UnreadableInput):
        main(["--debug", "info", str(tmp_path / "missing.dcm")])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["segment", "a", "--out", "b", "--view", "5CH"], "choose one of 4CH, LVOT, RVOT, 3VT"),
        (["segment", "a", "--out", "b", "--frames", "9-2"], "not a frame range such as 0-59"),
        (["segment", "a", "--out", "b", "--spacing", "-1"], "not a spacing in mm"),
        (["phantom", "--out", "b", "--frames", "0"], "not a whole number of 1 or more"),
        (["phantom", "--out", "b", "--condition", "flu"], "unknown condition 'flu': VSD"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_why(capsys, arguments, complaint):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err


def test_values_are_parsed_into_what_the_work_needs():
    parse = build_parser().parse_args
    options = parse(["segment", "a.dcm", "--out", "o", "--view", "3vt", "--frames", "4-9", "--spacing", "0.2"])
    assert options.view is View.THREE_VESSEL_TRACHEA
    assert list(options.frames) == [4, 5, 6, 7, 8, 9]
    assert options.spacing == (0.2, 0.2)
    assert parse(["segment", "a", "--out", "o", "--spacing", "0.2,0.3"]).spacing == (0.2, 0.3)
    assert parse(["segment", "a", "--out", "o", "--view", "AUTO"]).view == "auto"


def test_evaluate_writes_the_official_keys(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        view = View(number)
        write_image(image_path(tmp_path, str(number)), rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), view)
        mask = np.zeros((64, 64), dtype=np.uint8)
        mask[20:40, 20:40] = {1: 2, 2: 2, 3: 9, 4: 9}[number]
        write_label(label_path(tmp_path, str(number)), mask, np.zeros(7, dtype=np.uint8))
        write_prediction(tmp_path / "predictions" / f"{number}.h5", np.roll(mask, 1, 0), np.zeros(7, dtype=np.uint8))
    target = tmp_path / "scores.json"
    table = tmp_path / "scores.csv"
    code = main(["evaluate", str(tmp_path / "predictions"), str(tmp_path), "--json", str(target), "--csv", str(table)])
    assert code == 0
    scores = json.loads(target.read_text())
    assert {"dice", "nsd", "macro_f1", "score", "dice_class", "nsd_class", "f1_class"} <= set(scores)
    assert scores["dice"] == pytest.approx(95.0)  # 20 rows, one of them off on either side
    assert scores["nsd"] == pytest.approx(100.0)
    assert "95.0" in capsys.readouterr().out
    assert table.read_text().count("\n") > 14


def test_info_describes_a_still(capsys, tmp_path):
    write_image(image_path(tmp_path, "1"), np.zeros((64, 48, 3), dtype=np.uint8), View.RVOT)
    assert main(["info", str(image_path(tmp_path, "1"))]) == 0
    said = capsys.readouterr().out
    assert "64" in said
    assert "pulmonary bifurcation" in said
    assert "unknown" in said
