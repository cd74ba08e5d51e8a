"""Training configurations: what a file may say, and what is said about one that is wrong."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic")
from FetalEchoSegLib.errors import InvalidConfig
from FetalEchoTrainLib.configuration import (
    ARMS,
    TrainConfig,
    field_names,
    load_config,
    parse_config,
    shipped_configs,
)


def written(folder, text):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(folder, text):
    with pytest.raises(InvalidConfig) as caught:
        load_config(written(folder, text))
    said = str(caught.value)
    assert said.startswith(str(folder / "config.yaml"))
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", ["benchmark", "conditions", "demo", "fetus2026"])
@pytest.mark.parametrize("arm", ARMS)
def test_shipped_configurations_hold_with_every_arm(name, arm):
    config = load_config(name, arm=arm, seed=7)
    assert (config.arm, config.seed, config.name) == (arm, 7, name)
    assert config.network.size == {"fetus2026": "full"}.get(name, "tiny")


def test_an_empty_file_is_the_recipe_for_echocare_full(tmp_path):
    config = load_config(written(tmp_path, ""))
    assert config.network.echocare().embed_dim == 128
    assert config == parse_config({}, "nowhere")


def test_the_arm_sets_its_switches():
    def switches(arm):
        c = load_config("demo", arm=arm)
        return c.ema.unlabelled, c.ema.teacher, c.semantic_filter.enabled, c.boundary.enabled, c.fine_tuning.enabled

    assert switches("labelled-only") == (False, "ema", False, False, False)
    assert switches("ema-dino") == (True, "ema", True, False, False)
    assert switches("full") == (True, "ema", True, True, True)
    assert switches("no-sam") == (True, "ema", True, False, True)
    assert switches("unimatch") == (True, "student", False, False, False)
    assert load_config("demo", arm="unimatch").ema.feature_dropout == 0.5


def test_a_switch_that_contradicts_the_arm_is_refused(tmp_path):
    said = complaint(tmp_path, "arm: full\nboundary:\n  enabled: false\n")
    assert "boundary.enabled is false, but arm 'full' sets it to true: leave boundary.enabled out" in said
    assert "no-sam" in said


def test_another_arm_may_be_chosen_for_a_run_that_was_written_out(tmp_path):
    config = load_config("demo", arm="labelled-only")
    path = written(tmp_path, config.to_yaml())
    assert load_config(path) == config
    assert load_config(path, arm="full") == load_config("demo") == config.changed({"arm": "full"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ema: {epohcs: 3}", "there is no 'ema.epohcs'; the nearest key is 'ema.epochs'."),
        ("emma: {epochs: 3}", "there is no 'emma'; the nearest key is 'ema'."),
        ("learning_rate: 0.1", "there is no 'learning_rate'; the nearest key is 'ema.learning_rate'."),
        ("data: {phantom: {labeled: 3}}", "no 'data.phantom.labeled'; the nearest key is 'data.phantom.labelled'."),
        ("data: {unlabelled_veiw: RVOT}", "the nearest key is 'data.unlabelled_view'."),
        ("zzz: 1", "there is no 'zzz'; the nearest key is '"),
        ("ema: {decay: 1.5}", "ema.decay is 1.5, but must be a number of at least 0 and below 1."),
        ("ema: {epochs: -1}", "ema.epochs is -1, but must be a whole number of at least 0 and at most 10000."),
        ("ema: {epochs: 0}", "ema.epochs is 0, but there is no network to fine-tune: name one in network.initial."),
        ("ema: {epochs: 1.5}", "ema.epochs is 1.5, but must be a whole number"),
        ("ema: {epochs: true}", "ema.epochs is true, but must be a whole number"),
        ("ema: {epochs: many}", "ema.epochs is 'many', but must be a whole number"),
        ("ema: {confidence: .nan}", "ema.confidence is nan, but must be a number of at least 0 and at most 1."),
        ("ema: {steps_per_epoch: []}", "ema.steps_per_epoch is [], but must be a whole number of at least 1"),
        ("network: {image_size: 100}", "network.image_size is 100, but must be a whole number of at least 64"),
        ("network: {size: tinny}", "network.size is 'tinny', but must be one of full, tiny (the nearest is tiny)."),
        ("arm: label-only", "arm is 'label-only', but must be one of full, labelled-only"),
        ("data: {unlabelled_view: 5CH}", "data.unlabelled_view is '5CH', but must be one of 4CH, LVOT, RVOT, 3VT"),
        ("data: {unlabelled: clips}", "data.unlabelled is 'clips', but must be a list."),
        ("data: {folder: 3}", "data.folder is 3, but must be text."),
        ("data: {tests: {a: 1}}", "data.tests.a is 1, but must be text."),
        ("data: 3", "data is 3, but must be a table."),
        ("run: {tensorboard: 'yes'}", "run.tensorboard is 'yes', but must be true or false."),
        ("name: ../x", "name is '../x', but must be text of letters, digits"),
        ("network: {lora_rank: 5, decoder_features: 0}", "network.decoder_features is 0"),
        ("seed: 1\nseed: 2", "line 2: this is not readable as YAML ('seed' comes twice)."),
        ("ema: [", "this is not readable as YAML"),
        ("- 1", "a configuration is a table of names and values"),
        ("!!python/object/apply:os.system ['true']", "this is not readable as YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(tmp_path, text, says):
    assert says in complaint(tmp_path, text)


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    config = load_config(written(tmp_path, "ema: {learning_rate: 1e-4, encoder_learning_rate: 2E-5}"))
    assert (config.ema.learning_rate, config.ema.encoder_learning_rate) == (1e-4, 2e-5)


def test_a_file_that_is_not_there_names_those_that_ship(tmp_path):
    with pytest.raises(
        InvalidConfig, match="there is no such file; name a YAML file, or one of benchmark, conditions, demo, fetus2026"
    ):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(InvalidConfig, match="is a folder: name a YAML file"):
        load_config(tmp_path)
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidConfig, match="not readable as YAML"):
        load_config(tmp_path / "x.yaml")


def test_relative_paths_are_taken_from_the_current_folder(tmp_path, monkeypatch):
    path = written(tmp_path, "data: {folder: set, unlabelled: [clips]}")
    monkeypatch.chdir(tmp_path)
    config = load_config("config.yaml")
    assert (config.data.folder, config.data.unlabelled) == (tmp_path / "set", (tmp_path / "clips",))
    (tmp_path / "best.pth").touch()
    models = parse_config({"network": {"initial": "best.pth"}, "boundary": {"model": "demo-clicks"}}, "")
    assert (models.network.initial, models.boundary.model) == (str(tmp_path / "best.pth"), "demo-clicks")
    assert models.semantic_filter.model == ""
    monkeypatch.chdir("/")
    assert load_config(written(tmp_path, config.to_yaml())).data.folder == tmp_path / "set"
    assert path.exists()


def test_every_field_says_what_it_is_and_a_dozen_are_common():
    fields = dict(field_names())
    assert all(field.description for field in fields.values())
    common = [name for name, field in fields.items() if (field.json_schema_extra or {}).get("common")]
    assert 10 <= len(common) <= 16
    schema = TrainConfig.model_json_schema()
    confidence = schema["$defs"]["EmaConfig"]["properties"]["confidence"]
    assert (confidence["title"], confidence["minimum"], confidence["common"]) == ("Confidence", 0.0, True)


def test_a_configuration_cannot_be_changed_in_place():
    config = load_config("demo")
    with pytest.raises(ValueError, match="frozen"):
        config.ema.epochs = 3
    assert config.changed({"ema.epochs": 3}).ema.epochs == 3
    with pytest.raises(InvalidConfig, match=r"nearest key is 'ema\.epochs'"):
        config.changed({"ema.epohcs": 3})


def test_every_shipped_file_has_its_own_name():
    assert {name: load_config(name).name for name in shipped_configs()} == {n: n for n in shipped_configs()}
