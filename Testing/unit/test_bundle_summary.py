"""A model's card in a few lines, and installing it only after a question."""

import gc

import pytest

pytest.importorskip("torch")
from bundles import random_bundle
from FetalEchoSegLib.bundle import find_bundle, list_bundles
from FetalEchoSegLib.bundle_folders import user_bundle_folder
from FetalEchoSegLib.bundle_staging import stage_bundle
from FetalEchoSegLib.bundle_summary import summarize
from FetalEchoSegLib.errors import UnusableBundle


@pytest.fixture(autouse=True)
def _models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FETALECHO_MODELS", str(tmp_path / "installed"))


@pytest.fixture
def made(tmp_path):
    bundle = random_bundle(tmp_path / "made" / "test-random")
    (bundle.path / "LICENSE.txt").write_text("You may use this for tests.")
    return bundle


def folders_left():
    return sorted(path.name for path in user_bundle_folder().iterdir())


def test_the_demo_models_card_says_what_matters():
    bundle = find_bundle("demo-tiny")
    summary = summarize(bundle)
    assert summary.notice.startswith("Trained on synthetic data only")
    assert summary.notice not in summary.about
    assert summary.about == "Tiny EchoCare network for trying FetalEcho out."
    assert "no patient data" in summary.trained
    assert summary.licence == "Apache-2.0"
    assert summary.figures[0].startswith("same devices (400 frames): DSC 86.6, NSD (2 px) 77")
    assert len(summary.figures) == 2
    assert summary.facts.startswith("version 2, ")
    assert summary.facts.endswith(f"SHA-256 {bundle.card.sha256[:12]}")


def test_a_card_that_says_little_has_empty_lines(made):
    summary = summarize(made)
    assert (summary.about, summary.trained, summary.figures) == ("", "", ())


def test_an_imported_checkpoint_tells_how_much_of_it_matched(made):
    training = {"source": "EchoCare encoder", "tensors_matched": 170, "tensors_missing": ["a"] * 4}
    card = made.card.model_copy(update={"training": training})
    made = type(made)(made.path, card)
    assert summarize(made).trained == "unknown; EchoCare encoder, 170 of 174 tensors matched, 4 start at random"


def test_a_staged_bundle_is_not_in_use_until_it_is_installed(made):
    staged = stage_bundle(made.path)
    assert staged.bundle.name == "test-random"
    assert staged.licence_text() == "You may use this for tests."
    assert not staged.replaces
    assert "test-random" not in [bundle.name for bundle in list_bundles()]
    installed = staged.install()
    assert installed.path == user_bundle_folder() / "test-random"
    assert (installed.path / "LICENSE.txt").is_file()
    assert folders_left() == ["test-random"]
    assert stage_bundle(made.path).replaces


def test_a_declined_bundle_leaves_nothing(made):
    stage_bundle(made.path).discard()
    assert folders_left() == []


def test_a_forgotten_bundle_leaves_nothing(made):
    """Its panel went away before anybody could be asked."""
    staged = stage_bundle(made.path)
    assert len(folders_left()) == 1
    del staged
    gc.collect()
    assert folders_left() == []


def test_a_damaged_bundle_is_named_with_what_is_wrong(made):
    installed = stage_bundle(made.path).install()
    (installed.path / "bundle.yaml").write_text("format_version: 1\nname: [")
    problems = []
    assert "test-random" not in [bundle.name for bundle in list_bundles(problems=problems)]
    assert len(problems) == 1
    with pytest.raises(UnusableBundle, match=r"bundle\.yaml cannot be read .*: copy the bundle again"):
        find_bundle("test-random")
