"""Bundles: saved, loaded, verified, listed, found, installed; and every way in which one can be bad."""

import errno
import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import yaml
from FetalEchoSegLib import bundle as bundle_module
from FetalEchoSegLib import bundle_install, resources
from FetalEchoSegLib.bundle import find_bundle, install_bundle, list_bundles, load_bundle, save_bundle
from FetalEchoSegLib.bundle_card import CARD_FILE, WEIGHTS_FILE, Card
from FetalEchoSegLib.bundle_folders import bundle_folders, user_bundle_folder
from FetalEchoSegLib.conditions import ConditionThreshold
from FetalEchoSegLib.errors import Cancelled, FetalEchoError, UnusableBundle, UnwritableOutput
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoSegLib.networks.parameters import parameter_shapes

CONFIG = EchoCareConfig.tiny(embed_dim=8, decoder_features=4, depths=(1, 1, 1, 1), image_size=64)


@pytest.fixture(autouse=True)
def _models_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FETALECHO_MODELS", str(tmp_path / "installed"))
    monkeypatch.setattr(bundle_module, "_verified", set())


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return EchoCare(CONFIG).eval()


def card(name="test-model", **more):
    return Card.new(name, "1.0", CONFIG, licence="Apache-2.0", notice="Synthetic data only.", **more)


@pytest.fixture
def saved(tmp_path, network):
    return save_bundle(tmp_path / "made" / "test-model", card(), network.state_dict())


def zipped(bundle, path, top="test-model/", extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        for file in bundle.path.iterdir():
            archive.write(file, top + file.name)
        for name, content in extra:
            archive.writestr(name, content)
    return path


def edit_card(bundle, **changes):
    path = bundle.path / CARD_FILE
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def assert_one_sentence(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")


# ---------------------------------------------------------------------------------------------- what a good one does


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 3, "depths": (0, 1, 3, 2)}, {"input_channels": 3, "n_views": 0}])
def test_the_table_of_parameters_is_that_of_the_network(changes):
    config = EchoCareConfig.tiny(**changes)
    actual = {name: tuple(tensor.shape) for name, tensor in EchoCare(config).state_dict().items()}
    assert parameter_shapes(config) == actual


def test_the_full_size_has_499_parameters():
    shapes = parameter_shapes(EchoCareConfig.full(n_views=0))
    assert len(shapes) == 499
    floats = sum(int(np.prod(s)) for n, s in shapes.items() if "position_index" not in n)
    assert floats == 174_552_913


def test_a_saved_bundle_gives_the_same_network_back(saved, network):
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected = network(image)
        trainable = load_bundle(saved.path).build_trainable().eval()(image)
    lean = load_bundle(saved.path).build_network()(image)
    assert torch.equal(trainable.segmentation, expected.segmentation)
    assert torch.allclose(lean.segmentation, expected.segmentation, atol=1e-4)
    assert torch.allclose(lean.views, expected.views, atol=1e-4)


def test_a_trainable_network_learns_without_touching_its_file(saved):
    before = saved.weights_path.read_bytes()
    trainable = load_bundle(saved.path).build_trainable()
    optimizer = torch.optim.SGD(trainable.parameters(), lr=0.1)
    trainable(torch.rand(1, 1, 64, 64)).segmentation.mean().backward()
    optimizer.step()
    assert saved.weights_path.read_bytes() == before


def test_building_from_a_file_leaves_new_layers_initialised_as_ever(saved):
    saved.build_trainable()
    torch.manual_seed(0)
    first = torch.nn.Linear(4, 4).weight
    torch.manual_seed(0)
    expected = torch.nn.init.kaiming_uniform_(torch.empty(4, 4), a=5**0.5)
    assert torch.equal(first, expected)


def test_half_precision_storage_halves_the_file_and_keeps_the_network(tmp_path, saved, network):
    half = save_bundle(tmp_path / "half", card("half"), network.state_dict(), storage="fp16")
    assert half.weights_path.stat().st_size < 0.6 * saved.weights_path.stat().st_size
    image = torch.rand(1, 1, 64, 64)
    full, small = saved.build_network()(image), half.build_network()(image)
    assert full.segmentation.dtype == small.segmentation.dtype == torch.float32
    assert 0 < (full.segmentation - small.segmentation).abs().max() < 0.05


def test_the_card_survives_with_thresholds_in_the_order_of_conditions(tmp_path, network):
    thresholds = [ConditionThreshold(0.1 * k + 0.05, 0.1 * k, 0.1 * k + 0.1) for k in range(7)]
    saved = save_bundle(
        tmp_path / "b",
        card(thresholds=thresholds, calibration="validation part of the phantom", metrics={"same": {"dsc": 87.5}}),
        network.state_dict(),
    )
    loaded = load_bundle(saved.path)
    assert loaded.card == saved.card
    assert list(loaded.card.thresholds) == thresholds
    assert loaded.card.metrics["same"]["dsc"] == 87.5
    assert loaded.card.architecture.config == CONFIG
    assert loaded.card.preprocessing.size == 64
    identity = loaded.identity()
    assert (identity.name, identity.version, identity.notice) == ("test-model", "1.0", "Synthetic data only.")
    assert identity.sha256 == hashlib.sha256(loaded.weights_path.read_bytes()).hexdigest()


def test_an_unchanged_card_is_parsed_once_whatever_kind_of_model_is_looked_for(saved, monkeypatch):
    from FetalEchoSegLib import bundle_card

    parsed, parse = [], bundle_card.yaml.load
    monkeypatch.setattr(bundle_card.yaml, "load", lambda text, **how: parsed.append(text) or parse(text, **how))
    folder = saved.path
    card = folder / "bundle.yaml"
    card.write_text(card.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert bundle_card.read_card(folder) == bundle_card.read_card(folder)
    assert bundle_card.architecture_name(bundle_card.read_card_table(folder)) == "echocare"
    assert len(parsed) == 1
    card.write_text(card.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    bundle_card.read_card(folder)
    assert len(parsed) == 2


def test_reading_a_card_does_not_import_torch(saved):
    code = (
        "import sys; from FetalEchoSegLib.bundle import find_bundle, list_bundles;"
        f"find_bundle({str(saved.path)!r}); list_bundles();"
        "assert not {'torch', 'monai', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_building_for_inference_does_not_import_monai(saved):
    code = (
        "import sys; from FetalEchoSegLib.bundle import find_bundle;"
        f"find_bundle({str(saved.path)!r}).build_network();"
        "assert 'torch' in sys.modules and 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_bundles_are_listed_from_all_folders_and_the_first_of_a_name_wins(tmp_path, saved, network):
    other = save_bundle(tmp_path / "shipped" / "other", card("other"), network.state_dict())
    save_bundle(tmp_path / "shipped" / "test-model", card(), network.state_dict())
    found = list_bundles([saved.path.parent, tmp_path / "shipped", tmp_path / "absent"])
    assert {b.name: b.path for b in found} == {"test-model": saved.path, "other": other.path}


def test_a_bad_bundle_does_not_hide_the_good_ones(tmp_path, saved, caplog):
    bad = saved.path.parent / "bad"
    bad.mkdir()
    (bad / CARD_FILE).write_text("{")
    assert [b.name for b in list_bundles([saved.path.parent])] == ["test-model"]
    assert str(bad / CARD_FILE) in caplog.text


def test_a_bundle_is_found_by_name_and_by_folder(saved):
    assert find_bundle("test-model", [saved.path.parent]).path == saved.path
    assert find_bundle(saved.path).path == saved.path
    with pytest.raises(UnusableBundle, match="test-model") as error:
        find_bundle("absent", [saved.path.parent])
    assert_one_sentence(error)


def test_shipped_resources_are_found():
    assert resources.resource_path("Terminology", "FetalEcho.term.json").is_file()
    with pytest.raises(FetalEchoError, match="missing"):
        resources.resource_path("Models", "no such model")


# ------------------------------------------------------------------------------------------------------ bad bundles


def test_wrong_hash_is_refused_before_a_network_is_built(saved):
    content = bytearray(saved.weights_path.read_bytes())
    content[-3] ^= 1
    saved.weights_path.write_bytes(bytes(content))
    for use in (lambda: load_bundle(saved.path), lambda: find_bundle(saved.path).build_network()):
        with pytest.raises(UnusableBundle, match="SHA-256") as error:
            use()
        assert_one_sentence(error)


def test_a_change_after_a_good_check_is_noticed(saved):
    saved.verify()
    content = bytearray(saved.weights_path.read_bytes())
    content[-3] ^= 1
    saved.weights_path.write_bytes(bytes(content))
    os.utime(saved.weights_path, ns=(1, 1))
    with pytest.raises(UnusableBundle, match="SHA-256"):
        saved.verify()


MARKER = "fetalecho-pickle-was-run"


class _Evil:
    def __reduce__(self):
        return (os.system, (f"touch {MARKER}",))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pickle.dumps(_Evil(), protocol=2), "pickle"),
        (b"PK\x03\x04" + b"\0" * 40, "pickle or a torch checkpoint"),
        (b"", "another format"),
        (b"\x10" + b"\0" * 7, "another format"),
        (b"\x04" + b"\0" * 7 + b"[[[[", "damaged"),
        (b"\x02" + b"\0" * 7 + b"[]", "damaged"),
    ],
)
def test_weights_of_another_kind_are_refused_even_with_the_right_hash(saved, content, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved.weights_path.write_bytes(content)
    edit_card(saved, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(UnusableBundle, match=says) as error:
        load_bundle(saved.path)
    assert_one_sentence(error)
    assert not Path(MARKER).exists()


def test_weights_that_do_not_fit_the_card_are_refused(saved):
    edit_card(saved, architecture={"name": "echocare", "arguments": CONFIG.to_dict() | {"decoder_features": 8}})
    with pytest.raises(UnusableBundle, match="do not fit the architecture") as error:
        load_bundle(saved.path)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format_version": 2}, "format version '2'"),
        ({"format_version": None}, "no format version"),
        ({"architecture": {"name": "resnet", "arguments": {}}}, "'resnet' is unknown"),
        ({"architecture": {"name": "echocare", "arguments": {"layers": 3}}}, "layers"),
        ({"architecture": {"name": "echocare", "arguments": {"image_size": 100}}}, "image_size"),
        ({"name": "../../etc"}, "name"),
        ({"structures": ["LA"]}, "structures"),
        ({"conditions": []}, "conditions"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_card_that_is_wrong_says_where(saved, changes, says):
    edit_card(saved, **changes)
    with pytest.raises(UnusableBundle, match=says) as error:
        load_bundle(saved.path)
    assert_one_sentence(error)


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "{", "\x00", "!!python/object/apply:os.system ['true']", "a: " * 9999]
)
def test_a_card_that_is_not_a_card_is_refused(saved, text):
    (saved.path / CARD_FILE).write_text(text)
    with pytest.raises(UnusableBundle) as error:
        load_bundle(saved.path)
    assert_one_sentence(error)


@pytest.mark.parametrize("file", [CARD_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(saved, file):
    (saved.path / file).unlink()
    with pytest.raises(UnusableBundle, match=file) as error:
        load_bundle(saved.path)
    assert_one_sentence(error)


def test_parameters_that_do_not_fit_or_are_not_finite_are_not_saved(tmp_path, network):
    state = dict(network.state_dict())
    with pytest.raises(ValueError, match=r"out\.conv\.conv\.bias is missing"):
        save_bundle(tmp_path / "b", card(), {k: v for k, v in state.items() if k != "seg_net.out.conv.conv.bias"})
    state["seg_net.out.conv.conv.bias"] = torch.full((15,), 1e6)
    with pytest.raises(ValueError, match="not finite in fp16"):
        save_bundle(tmp_path / "b", card(), state, storage="fp16")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_earlier_bundle(saved, network, monkeypatch):
    import safetensors.torch

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UnwritableOutput, match="disk is full") as error:
        save_bundle(saved.path, card(), network.state_dict())
    assert_one_sentence(error)
    monkeypatch.undo()
    load_bundle(saved.path).verify()
    assert [p.name for p in saved.path.parent.iterdir()] == ["test-model"]


# ----------------------------------------------------------------------------------------------------- installation


def installed_folder():
    return Path(os.environ["FETALECHO_MODELS"])


def test_a_folder_and_a_zip_are_installed_and_found_by_name(saved, tmp_path):
    (saved.path / "README.md").write_text("read me")
    (saved.path / "run.py").write_text("raise SystemExit")
    for source in (saved.path, zipped(saved, tmp_path / "a.zip"), zipped(saved, tmp_path / "b.zip", top="")):
        steps = []
        bundle = install_bundle(source, progress=lambda *step, steps=steps: steps.append(step))
        assert bundle.path == installed_folder() / "test-model"
        assert sorted(p.name for p in bundle.path.iterdir()) == ["README.md", CARD_FILE, WEIGHTS_FILE]
        assert find_bundle("test-model").path == bundle.path
        assert (saved.weights_path.stat().st_size,) * 2 in steps
    assert [p.name for p in installed_folder().iterdir()] == ["test-model"]


def test_the_hash_of_the_archive_is_checked(saved, tmp_path):
    archive = zipped(saved, tmp_path / "a.zip")
    good = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert install_bundle(archive, sha256=good.upper()).name == "test-model"
    with pytest.raises(UnusableBundle, match="not the file that was expected") as error:
        install_bundle(archive, sha256="0" * 64)
    assert_one_sentence(error)


@pytest.mark.parametrize("name", ["../evil.md", "/etc/evil.md", "a/../../evil.md", "..\\evil.md", "C:\\evil.md"])
def test_an_archive_that_points_outside_is_refused(saved, tmp_path, name):
    archive = zipped(saved, tmp_path / "a.zip", extra=[(name, "x")])
    with pytest.raises(UnusableBundle, match="outside") as error:
        install_bundle(archive)
    assert_one_sentence(error)
    assert list(installed_folder().iterdir()) == []


def test_a_link_in_an_archive_is_refused(saved, tmp_path):
    entry = zipfile.ZipInfo("test-model/link.md")
    entry.external_attr = 0o120777 << 16
    with pytest.raises(UnusableBundle, match="outside"):
        install_bundle(zipped(saved, tmp_path / "a.zip", extra=[(entry, "/etc/passwd")]))


def test_a_bad_bundle_leaves_an_installed_one_untouched(saved, tmp_path):
    installed = install_bundle(saved.path)
    saved.weights_path.write_bytes(saved.weights_path.read_bytes()[:-10])
    for source in (saved.path, zipped(saved, tmp_path / "a.zip")):
        with pytest.raises(UnusableBundle):
            install_bundle(source)
    find_bundle("test-model").verify()
    assert [p.name for p in installed_folder().iterdir()] == [installed.path.name]


def test_a_bad_bundle_is_named_by_where_the_user_has_it(saved):
    saved.weights_path.write_bytes(saved.weights_path.read_bytes()[:-10])
    with pytest.raises(UnusableBundle, match="do not match their card") as error:
        install_bundle(saved.path)
    assert str(saved.weights_path) in str(error.value)
    assert ".partial" not in str(error.value)


def test_what_is_no_model_is_said_with_what_to_do(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.zip").touch()
    for name, says in {
        "folder": "folder is not a model bundle: it has no bundle.yaml",
        "file.zip": "file.zip is a file: give the folder of a bundle, or install this one",
        "nonsense": "There is no model 'nonsense': install one or give a bundle's folder",
    }.items():
        with pytest.raises(UnusableBundle, match=says) as error:
            find_bundle(name, folders=[tmp_path / "none"])
        assert_one_sentence(error)
    with pytest.raises(UnusableBundle, match="choose one of test-model, or give a bundle's folder"):
        find_bundle("nonsense", folders=[saved.path.parent])


def test_a_user_without_a_home_has_the_shipped_models(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FETALECHO_MODELS")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(sys, "platform", "linux")
    assert bundle_folders() == [folder / "Models" for folder in resources.resource_folders()]
    with pytest.raises(UnwritableOutput, match="name a folder in FETALECHO_MODELS"):
        user_bundle_folder()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(UnusableBundle) as error:
        install_bundle(path)
    assert_one_sentence(error)


def test_cancelling_leaves_nothing(saved):
    with pytest.raises(Cancelled):
        install_bundle(saved.path, cancelled=lambda: True)
    assert list(installed_folder().iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="permission bits")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(saved, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(UnwritableOutput, match="locked"):
        install_bundle(saved.path, folder=folder / "models")


class _Response(io.BytesIO):
    def __init__(self, content, announced=None):
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content) if announced is None else announced)}


def test_an_https_address_is_downloaded_and_checked(saved, tmp_path, monkeypatch):
    content = zipped(saved, tmp_path / "a.zip").read_bytes()
    asked = []

    def answer(self, address, timeout):
        asked.append(address)
        return _Response(content)

    monkeypatch.setattr("urllib.request.OpenerDirector.open", answer)
    bundle = install_bundle("https://example.org/m.zip", sha256=hashlib.sha256(content).hexdigest())
    assert bundle.path.parent == installed_folder()
    assert asked == ["https://example.org/m.zip"]
    monkeypatch.setattr(
        "urllib.request.OpenerDirector.open", lambda self, address, timeout: _Response(content[:-9], len(content))
    )
    with pytest.raises(UnusableBundle, match="broke off early") as error:
        install_bundle("https://example.org/m.zip")
    assert_one_sentence(error)


@pytest.mark.parametrize("address", ["http://example.org/m.zip", "ftp://example.org/m.zip", "file:///etc/passwd"])
def test_other_addresses_are_refused_without_a_connection(address, monkeypatch):
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *a, **k: pytest.fail("connected"))
    with pytest.raises(UnusableBundle, match="https only"):
        install_bundle(address)


def test_a_redirect_away_from_https_is_refused():
    with pytest.raises(UnusableBundle, match="https only"):
        bundle_install._HttpsOnly().redirect_request(None, None, 302, "", {}, "http://example.org/m.zip")


def test_an_unreachable_host_is_said_in_one_sentence(monkeypatch):
    import urllib.error

    def unreachable(self, address, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", unreachable)
    with pytest.raises(UnusableBundle, match="Cannot download") as error:
        install_bundle("https://example.org/m.zip")
    assert_one_sentence(error)
