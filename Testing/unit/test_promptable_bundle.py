"""Promptable bundles, and import of foreign checkpoints in the layouts of the public files, made here from seeds."""

import importlib.util
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import FetalEchoSegLib.commands as commands
import torch.nn.functional as F
from bundles import random_bundle
from FetalEchoSegLib.bundle import find_bundle, install_bundle, list_bundles, load_bundle
from FetalEchoSegLib.bundle_card import OtherKindOfModel
from FetalEchoSegLib.errors import UnusableBundle
from FetalEchoSegLib.promptable.bundle import find_promptable, list_promptables, load_promptable
from FetalEchoSegLib.promptable.checkpoints import import_promptable, resize_positions
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from FetalEchoSegLib.promptable.prompts import Point, Prompts
from promptables import SMALL, random_promptable, seeded_frame, seeded_state

CONFIG = PromptableConfig(**SMALL)


def fork_file(path, state):
    """As SAM-Med2D's trainer writes it."""
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"model": state, "optimizer": optimizer}, path)
    return path


@pytest.fixture
def state():
    return seeded_state(parameter_shapes(CONFIG), 5)


def answer_of(model):
    return model.answer(model.embed(seeded_frame(50, 70)), [Prompts((Point(30, 20),))])[0]


def test_a_fork_checkpoint_becomes_the_same_model(tmp_path, state):
    path = fork_file(tmp_path / "sam-med2d_b.pth", state)
    bundle = import_promptable(path, folder=tmp_path / "models", config=CONFIG)
    assert bundle.name == "sam-med2d_b"
    assert bundle.card.training["tensors_matched"] == len(state)
    assert bundle.card.preprocessing.sampling == "nearest"
    assert bundle.notice == ""
    from FetalEchoSegLib.promptable.model import PromptableModel

    expected = answer_of(PromptableModel(CONFIG, state))
    found = answer_of(load_promptable(bundle.path).build("cpu", "fp32"))
    assert np.array_equal(found.logits, expected.logits)


def test_adapters_can_be_left_out(tmp_path, state):
    path = fork_file(tmp_path / "sam-med2d_b.pth", state)
    bundle = import_promptable(path, name="plain", folder=tmp_path, adapters=False, config=CONFIG)
    assert not bundle.card.architecture.config.adapters
    assert "adapters left out" in bundle.card.description
    assert not any("Adapter" in name for name in bundle.state())


def test_a_segment_anything_checkpoint_is_brought_to_the_image_size(tmp_path):
    """Meta's file is a bare state at 1024 pixels; here 128 becomes 64."""
    large = PromptableConfig(**(SMALL | {"image_size": 128, "adapters": False}))
    state = seeded_state(parameter_shapes(large), 6)
    torch.save(state, tmp_path / "sam_vit_b_01ec64.pth")
    bundle = import_promptable(tmp_path / "sam_vit_b_01ec64.pth", folder=tmp_path, config=CONFIG)
    found = bundle.state()
    # one absolute table, and the two relative ones of the block that attends to everything
    assert bundle.card.training["position_tables_interpolated"] == 3
    position = state["image_encoder.pos_embed"]
    halved = position.view(1, 16, 2, 16, 2, -1).mean((2, 4))
    assert torch.allclose(found["image_encoder.pos_embed"], halved, atol=1e-6)
    table = state["image_encoder.blocks.1.attn.rel_pos_h"]
    resized = F.interpolate(table.T[None], 31, mode="linear")[0].T
    assert torch.equal(found["image_encoder.blocks.1.attn.rel_pos_h"], resized)
    # the middle of a relative table is offset zero, before and after
    assert torch.allclose(resized[15], table[31], atol=1e-6)
    assert bundle.card.preprocessing.sampling == "area"


def test_full_size_tables_have_the_shapes_of_the_public_files():
    """sam_vit_b: 64 x 64 positions, 127 offsets in blocks 2, 5, 8, 11; the windows' 27 stay."""
    public = parameter_shapes(PromptableConfig.vit_b(image_size=1024, adapters=False))
    names = [name for name in public if "pos_embed" in name or "rel_pos" in name]
    assert public["image_encoder.pos_embed"] == (1, 64, 64, 768)
    assert public["image_encoder.blocks.11.attn.rel_pos_w"] == (127, 64)
    config = PromptableConfig.vit_b()
    resized, changed = resize_positions({name: torch.zeros(public[name]) for name in names}, config)
    assert len(changed) == 1 + 2 * 4
    assert {name: tuple(t.shape) for name, t in resized.items()} == {n: parameter_shapes(config)[n] for n in names}


def test_a_few_missing_tensors_are_said_and_seeded(tmp_path, state):
    short = {name: tensor for name, tensor in state.items() if "mask_downscaling.6" not in name}
    path = fork_file(tmp_path / "short.pth", short)
    first, second = (import_promptable(path, name=n, folder=tmp_path, config=CONFIG) for n in ("a", "b"))
    assert first.notice == "2 tensors of this model were not in short.pth and are untrained."
    assert len(first.card.training["tensors_missing"]) == 2
    assert first.card.sha256 == second.card.sha256


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s: {n: t for n, t in s.items() if not n.startswith("mask_decoder")}, "missing: mask_decoder"),
        (lambda s: {n: t[:1] for n, t in s.items()}, "other shape"),
        (lambda s: {"encoder.weight": torch.zeros(3)}, "unknown: encoder.weight"),
    ],
    ids=["decoder missing", "another size", "another network"],
)
def test_another_architecture_is_refused_with_what_did_not_fit(tmp_path, state, spoil, says):
    path = fork_file(tmp_path / "other.pth", spoil(state))
    with pytest.raises(UnusableBundle, match=says) as error:
        import_promptable(path, folder=tmp_path / "models", config=CONFIG)
    assert str(path) in str(error.value)
    assert not (tmp_path / "models").exists()


def test_adapters_that_are_not_there_cannot_be_kept(tmp_path, state):
    path = fork_file(tmp_path / "vit.pth", {n: t for n, t in state.items() if "Adapter" not in n})
    with pytest.raises(UnusableBundle, match="no adapters"):
        import_promptable(path, folder=tmp_path, adapters=True, config=CONFIG)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_code_in_a_checkpoint_does_not_run(tmp_path, monkeypatch, state):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "optimizer": Trap()}, tmp_path / "evil.pth")
    with pytest.raises(UnusableBundle, match="could run code"):
        import_promptable(tmp_path / "evil.pth", folder=tmp_path, config=CONFIG)
    assert not (tmp_path / "trapped").exists()


def test_the_two_kinds_stay_out_of_each_others_lists(tmp_path, caplog):
    segments = random_bundle(tmp_path / "segments")
    answers = random_promptable(tmp_path / "answers")
    assert [bundle.name for bundle in list_bundles([tmp_path])] == [segments.name]
    assert [bundle.name for bundle in list_promptables([tmp_path])] == [answers.name]
    assert caplog.text == ""
    with pytest.raises(OtherKindOfModel, match="answers clicks"):
        load_bundle(answers.path)
    with pytest.raises(OtherKindOfModel, match="does not answer clicks"):
        load_promptable(segments.path)
    with pytest.raises(UnusableBundle, match="no model 'x' that answers clicks: choose one of test-clicks"):
        find_promptable("x", [tmp_path])
    with pytest.raises(OtherKindOfModel):
        find_bundle(answers.path)


def test_a_changed_weight_is_noticed(tmp_path):
    bundle = random_promptable(tmp_path / "answers")
    content = bytearray(bundle.weights_path.read_bytes())
    content[-1] ^= 1
    bundle.weights_path.write_bytes(content)
    with pytest.raises(UnusableBundle, match="do not match their card"):
        bundle.build("cpu")


def test_an_impossible_card_is_one_sentence(tmp_path):
    bundle = random_promptable(tmp_path / "answers")
    card = bundle.path / "bundle.yaml"
    card.write_text(card.read_text().replace("num_heads: 4", "num_heads: 5"))
    with pytest.raises(UnusableBundle, match="5 heads") as error:
        load_promptable(bundle.path)
    assert "\n" not in str(error.value)


def test_the_command_line_installs_imports_lists_and_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FETALECHO_MODELS", str(tmp_path / "models"))
    random_promptable(tmp_path / "answers")
    assert install_bundle(tmp_path / "answers").path == tmp_path / "models" / "test-clicks"
    assert commands.main(["models"]) == 0
    assert "answers clicks" in capsys.readouterr().out
    for name in ("test-clicks", str(tmp_path / "answers")):
        assert commands.main(["models", "--show", name]) == 0
        assert "sam-med2d" in capsys.readouterr().out
    assert commands.main(["models", "--verify", "test-clicks"]) == 0
    path = fork_file(tmp_path / "other.pth", {"prompt_encoder.a": torch.zeros(1)})
    assert commands.main(["models", "--import-checkpoint", str(path)]) != 0
    assert "SAM-Med2D or segment-anything" in capsys.readouterr().err
