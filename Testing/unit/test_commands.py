from __future__ import annotations

import json

import h5py
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
        (["segment", "a", "--out", "b", "--spacing", "0.2;0.2"], "not a spacing in mm"),
        (["segment", "a", "--out", "b", "--spacing", "-1"], "-1 × -1 mm is impossible: give row and column, each from"),
        (["segment", "a", "--out", "b", "--spacing", "nan"], "nan × nan mm is impossible"),
        (["segment", "a", "--out", "b", "--spacing", "50"], "50 × 50 mm is impossible"),
        (["phantom", "--out", "b", "--frames", "0"], "not a whole number of 1 or more"),
        (["phantom", "--out", "b", "--condition", "flu"], "unknown condition 'flu': VSD"),
        (["phantom", "--out", "b", "--seed", "-1"], "not a whole number of 0 or more"),
        (["phantom", "--out", "b", "--frames", "²"], "not a whole number of 1 or more"),
        (["phantom", "--out", "b", "--size", "32"], "not a size in pixels, 64 to 2048"),
        (["segment", "a", "--out", ""], "the path is empty"),
        (["info", ""], "the path is empty"),
        (["models", "--show", "a", "--verify", "a"], "not allowed with"),
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


def test_a_line_break_in_a_file_name_does_not_break_the_sentence(capsys, tmp_path):
    (tmp_path / "new\nline.png").write_bytes(b"xx")
    assert "new line.png" in fails(capsys, "info", tmp_path / "new\nline.png")


def test_what_the_system_refuses_is_a_sentence_too(capsys, monkeypatch, tmp_path):
    def refuse(_path):
        raise OSError(28, "No space left on device", "scene.tmp")

    monkeypatch.setattr("FetalEchoSegLib.readers.describe", refuse)
    assert "scene.tmp cannot be used: the disk is full; free some space" in fails(capsys, "info", tmp_path)


def test_a_lack_of_memory_comes_with_advice(capsys, monkeypatch, tmp_path):
    def refuse(_path):
        raise MemoryError("Unable to allocate 745. GiB for an array with shape (99999999999,)")

    monkeypatch.setattr("FetalEchoSegLib.readers.describe", refuse)
    said = fails(capsys, "info", tmp_path)
    assert "use a smaller --batch or fewer frames" in said
    assert "array" not in said


def test_warnings_of_libraries_are_for_debugging_only(capsys, monkeypatch, tmp_path):
    import logging
    import warnings

    def noisy(_path):
        warnings.warn("deprecated since 3.1", UserWarning, stacklevel=1)
        logging.getLogger("matplotlib").warning("created a temporary cache directory")
        return "a clip"

    monkeypatch.setattr("FetalEchoSegLib.readers.describe", noisy)
    assert main(["info", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_a_terminal_without_the_letter_gets_a_replacement(monkeypatch, tmp_path):
    import io
    import sys

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    write_image(image_path(tmp_path, "1"), np.zeros((64, 48, 3), dtype=np.uint8), View.RVOT)
    assert main(["info", str(image_path(tmp_path, "1"))]) == 0
    assert b"48 ? 64 pixels" in written.getvalue()


def test_a_closed_output_does_not_matter(monkeypatch, tmp_path):
    import sys

    monkeypatch.setattr(sys, "stdout", None)
    write_image(image_path(tmp_path, "1"), np.zeros((64, 48, 3), dtype=np.uint8), View.RVOT)
    assert main(["info", str(image_path(tmp_path, "1"))]) == 0


def test_wrong_arguments_are_one_sentence(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "clip.dcm"])
    said = capsys.readouterr().err
    assert said == "fetalecho: The following arguments are required: --out. See fetalecho segment --help.\n"


@pytest.mark.parametrize("lone", [["--sha256", "a" * 64], ["--name", "x"], ["--show", "a", "--name", "x"]])
def test_an_option_of_models_that_would_do_nothing_is_refused(capsys, lone):
    assert "give both or neither" in fails(capsys, "models", *lone)


def test_models_says_when_there_is_none(capsys, monkeypatch):
    monkeypatch.setattr("FetalEchoSegLib.bundle.list_bundles", list)
    monkeypatch.setattr("FetalEchoSegLib.promptable.bundle.list_promptables", list)
    assert main(["models"]) == 0
    assert "No model is installed; install one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stray", "says"),
    [
        (["--dataset", "--view", "RVOT"], "--view is for a single clip: leave out --dataset"),
        (["--dataset", "--new-device"], "--new-device is for a single clip"),
        (["--labelled", "0"], "--labelled is for a data set: add --dataset"),
        (["--even"], "--even is for a data set"),
        (["--per-case", "2"], "--per-case is for a data set"),
    ],
)
def test_phantom_refuses_options_that_would_do_nothing(capsys, tmp_path, stray, says):
    assert says in fails(capsys, "phantom", "--out", tmp_path / "out", *stray)


def test_phantom_looks_at_its_folder_before_the_work(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("FetalEchoSegLib.phantom.clip.make_named_clip", lambda *_a, **_k: pytest.fail("too late"))
    (tmp_path / "file").write_text("in the way")
    assert "a part of the path is a file" in fails(capsys, "phantom", "--out", tmp_path / "file" / "clip")


def test_info_describes_a_still(capsys, tmp_path):
    write_image(image_path(tmp_path, "1"), np.zeros((64, 48, 3), dtype=np.uint8), View.RVOT)
    assert main(["info", str(image_path(tmp_path, "1"))]) == 0
    said = capsys.readouterr().out
    assert "64" in said
    assert "pulmonary bifurcation" in said
    assert "unknown" in said


def test_a_data_set_is_made_as_asked(tmp_path):
    out = tmp_path / "set"
    counts = ["--labelled", "4", "--unlabelled", "2", "--validation", "2", "--calibration", "2", "--same", "1"]
    shape = ["--new", "1", "--size", "64", "--per-case", "1", "--even", "--seed", "2"]
    assert main(["phantom", "--dataset", "--out", str(out), *counts, *shape]) == 0
    assert len(list((out / "images").iterdir())) == 12
    assert len(list((out / "truth").iterdir())) == 2
    assert len(json.loads((out / "calibration.json").read_text())) == 2
    with h5py.File(out / "images" / "1.h5") as file:
        assert file["image"].shape == (64, 64, 3)


class Package:
    """An installed package that brings a command, or one that cannot be imported."""

    def __init__(self, name, add=None):
        self.name, self.value, self._add = name, f"{name}:add", add

    def load(self):
        if self._add is None:
            raise ImportError(self.name)
        return self._add


def test_packages_add_commands_and_a_broken_one_is_left_out(monkeypatch, capsys):
    from FetalEchoSegLib.command_line import GROUP, add_command, say

    def add(commands):
        parser = add_command(commands, "greet", lambda options: say(f"hello {options.who}"), "Say hello.")
        parser.add_argument("who")

    packages = {GROUP: [Package("broken"), Package("polite", add)]}
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: packages[group])
    assert main(["greet", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Say hello." in capsys.readouterr().out
