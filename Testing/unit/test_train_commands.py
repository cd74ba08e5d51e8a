"""`fetalecho train` and `fetalecho compare`: what they plan, say, refuse and leave behind."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("pydantic")
pytest.importorskip("cv2")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from FetalEchoSegLib.commands import main
from FetalEchoSegLib.errors import Cancelled, InvalidConfig, InvalidDataset, InvalidRequest
from FetalEchoTrainLib.configuration import load_config, parse_value
from FetalEchoTrainLib.console import Console, duration
from FetalEchoTrainLib.dataset_check import check_data
from FetalEchoTrainLib.events import Events
from FetalEchoTrainLib.run_folder import RunFolder
from FetalEchoTrainLib.runs import carry_out, plan
from test_train_comparison import figures
from training_data import small_dataset


@pytest.fixture(autouse=True)
def installed():
    """The commands come by an entry point, which an environment made before they existed does not have."""
    import importlib.metadata

    if not importlib.metadata.entry_points(group="fetalecho.commands"):
        pytest.skip("the package was installed before it had entry points: install it again")


@pytest.fixture
def config_file(tmp_path):
    small_dataset(tmp_path / "set")
    path = tmp_path / "small.yaml"
    lines = [
        "name: small",
        f"data: {{folder: {tmp_path / 'set'}}}",
        "network: {size: tiny, image_size: 64, decoder_features: 4}",
        "ema: {epochs: 2, labelled_batch: 4, unlabelled_batch: 4}",
        f"run: {{folder: {tmp_path / 'runs'}, threads: 1}}",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def one_trial(monkeypatch):
    """Every trial step is done once, not until it has been timed well."""
    monkeypatch.setattr("FetalEchoTrainLib.estimate._REPEATS", 1)


@pytest.fixture
def trainer(monkeypatch):
    """A trainer that takes no time; ``trainer.fails`` maps (arm, seed) to the error that ends the run."""
    fake = types.ModuleType("FetalEchoTrainLib.trainer")
    fake.calls, fake.fails = [], {}

    def train(config, run, events, resume):
        fake.calls.append((config.arm, config.seed, run.path.name, resume))
        run.begin(config, check_data(config), resume)
        events.progress("ema", 0, 2, 1, 3, seconds_left=65)
        if error := fake.fails.get((config.arm, config.seed)):
            raise error
        values = {"loss": 0.5, "validation_dsc": 50.0 + config.seed, "validation_macro_f1": 0.25}
        events.metric("ema", 0, 3, values)
        run.add_metrics("ema", 0, 3, values)
        events.log("Without a DINOv3 model the teacher's own features serve.", level="warning")
        run.write_results({"new devices": figures(50.0 + config.seed + 10 * (config.arm == "full"), 0.3)}, seconds=60)
        events.result(run.bundle, {})
        return run.bundle

    fake.train = train
    monkeypatch.setitem(sys.modules, "FetalEchoTrainLib.trainer", fake)
    return fake


def fails(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("fetalecho: ")
    assert len(said.splitlines()) == 1
    return said


def test_one_run_goes_to_its_own_folder_and_says_how_it_went(config_file, trainer, capsys, tmp_path):
    assert main(["train", str(config_file)]) == 0
    said = capsys.readouterr().out
    assert trainer.calls == [("full", 0, "small-full-0", False)]
    assert "ema, epoch 1: loss 0.5, dsc 50, macro f1 0.25" in said
    assert "Note: Without a DINOv3 model" in said
    assert f"Finished: {tmp_path / 'runs' / 'small-full-0' / 'bundle'}" in said
    run = RunFolder(tmp_path / "runs" / "small-full-0")
    assert run.state == "finished"
    assert [event["event"] for event in run.events()] == ["progress", "metric", "log", "result"]


def test_arms_and_seeds_run_one_after_another_and_are_compared(config_file, trainer, capsys):
    assert (
        main(["train", str(config_file), "--arm", "labelled-only", "--arm", "full", "--seeds", "2", "--seed", "5"]) == 0
    )
    assert [call[:3] for call in trainer.calls] == [
        ("labelled-only", 5, "small-labelled-only-5"), ("full", 5, "small-full-5"),
        ("labelled-only", 6, "small-labelled-only-6"), ("full", 6, "small-full-6"),
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "2 of 4: full, seed 5" in said
    assert "+10.0 ± 0.0: gain" in said


def test_a_folder_that_holds_a_run_is_refused_before_anything_else(config_file, trainer, capsys, tmp_path):
    assert main(["train", str(config_file), "--run", str(tmp_path / "mine")]) == 0
    said = fails(capsys, "train", config_file, "--run", tmp_path / "mine")
    assert "holds a run already: go on with it by --resume, or choose another folder by --run" in said
    assert len(trainer.calls) == 1


def test_resuming_goes_on_and_leaves_finished_runs_alone(config_file, trainer, capsys, tmp_path):
    trainer.fails[("full", 1)] = InvalidDataset("x.h5: the file is damaged.")
    both = ["train", str(config_file), "--seeds", "2"]
    assert main(both) == 1
    captured = capsys.readouterr()
    assert "small-full-1: x.h5: the file is damaged." in captured.err
    rows = [[cell.strip() for cell in line.split("|")] for line in captured.out.splitlines()]
    assert ["", "full", "1", "60.0", "50.0", "0.300", ""] in rows  # the comparison of what is finished
    run = RunFolder(tmp_path / "runs" / "small-full-1")
    assert run.state == "failed"
    assert run.events()[-1]["text"] == "x.h5: the file is damaged."
    trainer.fails.clear()
    assert main([*both, "--resume"]) == 0
    assert trainer.calls[-1] == ("full", 1, "small-full-1", True)
    assert len(trainer.calls) == 3
    assert "small-full-0 is finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory: lower ema.labelled_batch, ema.unlabelled_batch or network.image_size"),
        (OSError(28, "No space left on device", "checkpoint.pt"), "checkpoint.pt cannot be used: the disk is full"),
        (InvalidRequest("The loss is not finite."), "The loss is not finite."),
    ],
)
def test_why_a_run_ended_is_its_last_event(config_file, trainer, tmp_path, error, says, capsys):
    trainer.fails[("full", 0)] = error
    assert main(["train", str(config_file)]) == 1
    run = RunFolder(tmp_path / "runs" / "small-full-0")
    assert says in run.events()[-1]["text"]
    assert not run.is_held
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_cancelled_run_ends_the_whole_series(config_file, trainer, capsys):
    trainer.fails[("full", 0)] = Cancelled("Stopped at step 7; go on with --resume.")
    assert "Stopped at step 7" in fails(capsys, "train", config_file, "--seeds", "3")
    assert len(trainer.calls) == 1


def test_of_several_processes_only_the_first_has_the_folder_and_the_events(config_file, trainer, tmp_path, monkeypatch):
    stream = io.StringIO()
    (planned,) = plan(load_config(config_file))
    with planned.folder.held():  # by the first process
        monkeypatch.setenv("RANK", "1")
        trainer.train = lambda config, run, events, resume: events.log("from the second") or run.bundle
        assert carry_out(planned, False, stream) == planned.folder.bundle
    assert stream.getvalue() == ""
    assert planned.folder.events() == []


def test_any_value_can_be_set(config_file, trainer, tmp_path):
    more = small_dataset(tmp_path / "other", labelled=8)
    arguments = ["--set", "ema.epochs=7", "--set", "ema.learning_rate=1e-4", "--data", str(more)]
    assert main(["train", str(config_file), *arguments]) == 0
    config = RunFolder(tmp_path / "runs" / "small-full-0").config()
    assert (config.ema.epochs, config.ema.learning_rate, config.data.folder) == (7, 1e-4, more)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "there is no such file; name a YAML file, or one of benchmark, conditions, demo, fetus2026"),
        (["demo", "--arm", "fool"], "arm is 'fool', but must be one of full"),
        (["demo", "--arm", "full", "--arm", "fool"], "arm is 'fool', but must be one of full"),
        (["demo", "--set", "ema.epohcs=3"], "there is no 'ema.epohcs'; the nearest key is 'ema.epochs'"),
        (["demo", "--set", "ema.epochs"], "write KEY=VALUE, such as ema.epochs=5"),
        (["demo", "--set", "ema.epochs=[1"], "its value is not readable as YAML"),
        (["demo", "--set", "ema.teacher=student"], "ema.teacher is 'student', but arm 'full' sets it to 'ema'"),
    ],
)
def test_a_wrong_argument_is_one_sentence(arguments, says, capsys, trainer, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert says in fails(capsys, "train", *arguments)
    assert trainer.calls == []
    assert not list(tmp_path.iterdir())


def test_values_are_read_as_in_a_file():
    assert parse_value("ema.epochs=5") == ("ema.epochs", 5)
    assert parse_value("data.unlabelled=[a, b]") == ("data.unlabelled", ["a", "b"])
    assert parse_value("semantic_filter.model=a=b") == ("semantic_filter.model", "a=b")
    with pytest.raises(InvalidConfig):
        parse_value("=3")


def test_several_runs_share_the_folder_that_is_named(tmp_path):
    config = load_config("demo")
    (one,) = plan(config, folder=tmp_path / "run")
    assert one.folder.path == tmp_path / "run"
    several = plan(config, ["ema", "full", "ema"], seeds=2, folder=tmp_path / "runs")
    assert [run.folder.path for run in several] == [
        tmp_path / "runs" / name for name in ("demo-ema-0", "demo-full-0", "demo-ema-1", "demo-full-1")
    ]
    assert plan(config)[0].folder.path == Path.cwd() / "runs" / "demo-full-0"


# Dry runs ------------------------------------------------------------------------------------------------------------


def test_a_dry_run_checks_measures_and_writes_nothing(config_file, one_trial, capsys, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(config_file), "--dry-run", "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert ["labelled", "16", "4"] in [line.split()[:3] for line in said.splitlines()]
    assert f"{tmp_path / 'runs' / 'small-full-0'}: new" in said
    assert "full: about " in said
    assert "measured by steps with 2 and 4 frames" in said
    assert "4 + 4, 8 steps" in said  # sixteen labelled frames in batches of four, two epochs
    assert "2 runs: about" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_with_wrong_data_lists_all_of_it_and_fails(config_file, capsys, tmp_path):
    for number in (2, 5):
        (tmp_path / "set" / "labels" / f"{number}_label.h5").unlink()
    assert main(["train", str(config_file), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "Must be corrected:" in said
    assert "2_label.h5: there is no such file" in said
    assert "5_label.h5: there is no such file" in said


def test_an_estimate_grows_with_the_batch_and_says_what_to_lower(config_file, one_trial):
    pytest.importorskip("torch")
    pytest.importorskip("monai")
    from FetalEchoTrainLib.estimate import Estimate, _line, estimate

    assert _line(1.0, 1.5, 4) == pytest.approx(2.5)
    assert _line(1.0, 0.9, 4) == pytest.approx(1.0)
    config = load_config(config_file)
    found = estimate(config, check_data(config).data)
    assert found.seconds > 0
    assert 50e6 < found.memory_bytes < 20e9
    tight = Estimate(100.0, 12 << 30, 8 << 30, "cpu in fp32", "measured")
    assert "That is too much: lower ema.labelled_batch" in str(tight)
    assert str(tight).startswith("about 1:40 on cpu in fp32, 12.0 of 8.0 GiB")


def test_where_memory_is_short_nothing_is_tried(config_file, monkeypatch):
    pytest.importorskip("torch")
    from FetalEchoTrainLib import estimate as module

    monkeypatch.setattr(module, "_free_bytes", lambda device: 1 << 20)
    monkeypatch.setattr(module, "_try", lambda *_: pytest.fail("tried"))
    config = load_config(config_file)
    found = module.estimate(config, check_data(config).data)
    assert not found.fits
    assert "an unknown time" in str(found)
    assert "computed from" in str(found)
    assert "nothing was tried" in str(found)


# Compare and console -------------------------------------------------------------------------------------------------


def test_compare_prints_the_table_and_writes_what_was_asked_for(config_file, trainer, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    main(["train", str(config_file), "--arm", "labelled-only", "--arm", "full", "--seeds", "2"])
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "runs"), "--out", str(tmp_path / "page")]) == 0
    said = capsys.readouterr().out
    assert "## new devices" in said
    assert str(tmp_path / "page" / "comparison.md") in said
    assert (tmp_path / "page" / "figures-by-arm.png").is_file()
    assert "holds no training run" in fails(capsys, "compare", tmp_path / "set")
    (tmp_path / "file").write_text("")
    assert "Cannot write" in fails(capsys, "compare", tmp_path / "runs", "--out", tmp_path / "file")


def test_the_console_ignores_what_is_no_event_and_steps_of_training(capsys):
    console = Console()
    console.write("a library says hello\n")
    events = Events(console)
    events.metric("ema", 0, 5, {"loss": 0.1})
    events.checkpoint(Path("x"), 0, 5)
    events.progress("calibration", 0, 1, 2, 5)
    console.close()
    assert capsys.readouterr().out == ""


def test_quick_epochs_do_not_flood_the_console(capsys):
    events = Events(Console())
    for epoch in range(50):
        events.metric("fine_tuning", epoch, epoch, {"loss": 0.5, "validation_auroc": 0.75})
    assert capsys.readouterr().out.strip().partition("  ")[2] == "fine_tuning, epoch 1: loss 0.5, auroc 0.75"


def test_durations_read_as_clocks_do():
    assert [duration(s) for s in (0, 65, 3599.7, 36610)] == ["0:00", "1:05", "1:00:00", "10:10:10"]
