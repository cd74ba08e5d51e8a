from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from FetalEchoSegLib.anatomy import View, permitted_labels
from FetalEchoSegLib.errors import InvalidConfig
from FetalEchoSegLib.fetus_layout import write_image, write_label
from FetalEchoSegLib.networks.configuration import EchoCareConfig
from FetalEchoSegLib.networks.echocare import EchoCare
from FetalEchoTrainLib.augmentation import Geometry
from FetalEchoTrainLib.dataset import Frame, digest_of
from FetalEchoTrainLib.losses import IGNORE
from FetalEchoTrainLib.pseudo_labels import PseudoLabels, weighted
from FetalEchoTrainLib.semantic_filter import DinoFilter, Prototypes, TeacherFilter
from FetalEchoTrainLib.teacher import Teacher, TeacherOutput


def example(view=1, seed=0, width=8, grid=8, noise=0.05):
    """Features that point where their label says, and the mask, 16 pixels to a patch."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(permitted_labels(View(view)), (grid, grid))
    axes = np.random.default_rng(99).normal(size=(15, width))
    features = axes[labels] + 3 + noise * rng.normal(size=(grid, grid, width))
    mask = np.kron(labels, np.ones((16, 16))).astype(np.uint8)
    return torch.tensor(features, dtype=torch.float32).movedim(-1, 0), mask, view, torch.tensor(labels)


def fitted(views=(1, 2, 3, 4), per_label=2):
    examples = [example(view, seed)[:3] for view in views for seed in range(3)]
    return Prototypes.fit(examples, per_label, 0.1)


def test_a_patch_agrees_with_the_label_that_labelled_frames_gave_its_like():
    prototypes = fitted()
    for view in View:
        features, _, number, labels = example(int(view), seed=7)
        shares = prototypes.shares(features[None], torch.tensor([number]))[0]
        assert torch.equal(shares.argmax(0), labels)
        assert float(shares.gather(0, labels[None]).mean()) > 0.8
        forbidden = [k for k in range(15) if k not in permitted_labels(view)]
        assert not shares[forbidden].any()


def test_shares_of_a_place_sum_to_one():
    features, _, view, _ = example(seed=5)
    shares = fitted().shares(features[None], torch.tensor([view]))
    assert torch.allclose(shares.sum(1), torch.ones(1, 8, 8), atol=1e-5)


def test_a_label_that_no_labelled_frame_has_meets_no_opinion():
    features, mask, view, _ = example()
    mask[mask == 2] = 0
    prototypes = Prototypes.fit([(features, mask, view)], 2, 0.1)
    shares = prototypes.shares(features[None], torch.tensor([view]))[0]
    assert (shares[2] == 1).all()
    assert torch.allclose(shares.sum(0) - shares[2], torch.ones(8, 8), atol=1e-5)
    other_view = prototypes.shares(features[None], torch.tensor([2]))[0]
    assert (other_view[list(permitted_labels(View(2)))] == 1).all()


def test_a_structure_smaller_than_a_patch_has_a_prototype_all_the_same():
    features, mask, view, _ = example()
    mask[:] = 0
    mask[40:44, 40:44] = 6
    shares = Prototypes.fit([(features, mask, view)], 2, 0.1).shares(features[None], torch.tensor([view]))[0]
    assert float(shares[6].max()) == float(shares[6, 2, 2]) > 0.5


def test_several_looks_of_one_structure_get_a_prototype_each():
    # Their mean looks like neither, but like the background.
    features = torch.zeros(4, 4, 4)
    features[0, :, :2], features[1, :, 2:] = 1, 1
    features[:2, 3] = 1
    mask = np.full((64, 64), 2, dtype=np.uint8)
    mask[48:] = 0
    one, two = (
        Prototypes.fit([(features, mask, 1)], count, 0.5).shares(features[None], torch.tensor([1]))[0, 2, :3].min()
        for count in (1, 2)
    )
    assert two > one + 0.05


def test_prototypes_do_not_depend_on_chance():
    first, second = fitted(), fitted()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    again = Prototypes.from_state(first.state_dict(), 0.1)
    features, _, view, _ = example(seed=3)
    views = torch.tensor([view])
    assert torch.equal(again.shares(features[None], views), first.shares(features[None], views))


def test_a_label_that_looks_like_its_neighbours_is_not_doubted_where_it_is_drawn():
    """Two labels with the same features share every pixel; that says nothing against either."""
    view = int(View(1))
    features, mask = torch.zeros(2, 8, 8), np.zeros((128, 128), np.uint8)
    features[0, :, 4:], features[1, :, :4] = 1, 1
    mask[:64, 64:], mask[64:, 64:] = 2, 3
    prototypes = Prototypes.fit([(features, mask, view)], 1, 0.1)
    shares = prototypes.shares(features[None], torch.tensor([view]))[0]
    agreement = prototypes.agreement(features[None], torch.tensor([view]))[0]
    assert float(shares[2, 0, 7]) == pytest.approx(0.5, abs=0.01)
    assert float(agreement[2, 0, 7]) == pytest.approx(1, abs=1e-4)
    assert float(agreement[2, 0, 0]) < 0.1  # where the background is


def batch_of(shares_size=8, size=128, matrix=None):
    """One four-chamber frame in a batch, placed by ``matrix``."""
    geometry = Geometry(size, np.eye(2, 3) if matrix is None else matrix)
    return SimpleNamespace(views=torch.tensor([1]), ids=("a",), geometries=(geometry,))


def no_teacher():
    empty = torch.zeros(1, 1, 1, 1)
    return TeacherOutput(empty, empty, empty)


def test_the_filter_weights_and_never_relabels():
    prototypes = fitted()
    features, mask, view, _ = example(seed=7)
    shares = prototypes.shares(features[None], torch.tensor([view]))[0][list(permitted_labels(View(1)))]
    right = torch.from_numpy(mask.astype(np.int64))[None]
    wrong = torch.from_numpy(np.random.default_rng(1).permutation(mask.ravel()).reshape(1, 128, 128).astype(np.int64))
    found = []
    for labels in (right, wrong):
        before = PseudoLabels(labels.clone(), torch.ones(1, 128, 128))
        after = weighted(before, DinoFilter({"a": shares}).agreement(batch_of(), labels, no_teacher()))
        assert torch.equal(after.labels, labels)
        assert (after.weights <= before.weights).all()
        found.append(float(after.weights.mean()))
    assert found[0] > 0.6
    assert found[1] < 0.35


def test_maps_follow_the_frame_into_its_view():
    shares = torch.zeros(8, 8, 8)
    shares[1, 2, 5] = 1  # pixels 32 to 47 down, 80 to 95 across
    labels = torch.ones(1, 128, 128, dtype=torch.int64)
    still = DinoFilter({"a": shares}).agreement(batch_of(), labels, no_teacher())[0]
    moved = DinoFilter({"a": shares}).agreement(
        batch_of(matrix=np.array([[1.0, 0, -16], [0, 1, 32]])), labels, no_teacher()
    )[0]
    assert divmod(int(still.argmax()), 128) in [(r, c) for r in (39, 40) for c in (87, 88)]
    assert torch.allclose(moved[64:96, 48:88], still[32:64, 64:104], atol=1e-5)
    turned = np.array([[0.0, 1, 0], [-1, 0, 127]])  # by 90 degrees, which no augmentation does
    around = DinoFilter({"a": shares}).agreement(batch_of(matrix=turned), labels, no_teacher())[0]
    assert torch.allclose(around, torch.rot90(still, 1), atol=1e-4)


def test_unknown_frames_and_ignored_pixels_meet_no_opinion():
    labels = torch.full((1, 128, 128), IGNORE)
    assert (DinoFilter({}).agreement(batch_of(), labels, no_teacher()) == 1).all()
    assert (DinoFilter({"a": torch.zeros(8, 8, 8)}).agreement(batch_of(), labels, no_teacher()) == 1).all()
    assert (TeacherFilter(2, 0.1).agreement(batch_of(), labels, no_teacher()) == 1).all()


def write_frame(folder: Path, number: int, view: View, labelled=True):
    rng = np.random.default_rng(number)
    labels = np.kron(rng.choice(permitted_labels(view), (4, 4)), np.ones((32, 32))).astype(np.uint8)
    grey = np.clip(labels * 16 + rng.integers(0, 8, labels.shape), 0, 255).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, 2)
    path, label = folder / f"{number}.h5", folder / f"{number}_label.h5"
    write_image(path, image, view)
    write_label(label, labels, np.zeros(7, dtype=np.uint8))
    return Frame(path, view, str(number), "train", digest_of(image), label if labelled else None)


def test_the_teachers_own_features_serve_without_a_model(tmp_path):
    torch.manual_seed(0)
    network = EchoCare(EchoCareConfig.tiny(image_size=64, embed_dim=8, decoder_features=4, depths=(0, 1, 1, 1)))
    teacher = Teacher(network)
    frames = [write_frame(tmp_path, k, View.FOUR_CHAMBER) for k in range(3)]
    own, seen = TeacherFilter(2, 0.1), []
    own.renew(teacher, frames, 64, torch.device("cpu"), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    output = teacher.predict(torch.rand(1, 1, 64, 64))
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 0, 0] = IGNORE
    agreement = own.agreement(batch_of(size=64), labels, output)
    assert agreement.shape == (1, 64, 64)
    assert float(agreement[0, 0, 0]) == 1
    assert 0 < float(agreement[0, 1:].min()) < float(agreement[0, 1:].max()) <= 1


# DINOv3 ---------------------------------------------------------------------------------------------------------------

transformers = pytest.importorskip("transformers", reason="DINOv3 models are made and read with transformers")
from FetalEchoTrainLib.dino import Dino, FeatureCache


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a tiny ViT and a tiny ConvNeXt, with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino")
    vit = transformers.DINOv3ViTConfig(
        hidden_size=96, intermediate_size=384, num_hidden_layers=3, num_attention_heads=3, num_register_tokens=4,
        image_size=256,
    )  # fmt: skip
    convnext = transformers.DINOv3ConvNextConfig(hidden_sizes=[16, 32, 64, 96], depths=[1, 1, 2, 1])
    transformers.DINOv3ViTModel(vit).save_pretrained(folder / "vit")
    transformers.DINOv3ConvNextModel(convnext).save_pretrained(folder / "convnext")
    return folder


@pytest.mark.parametrize(("kind", "width"), [("vit", 96), ("convnext", 64)])
def test_any_dinov3_model_gives_one_feature_for_sixteen_pixels(models, kind, width):
    dino = Dino(str(models / kind), image_size=128)
    image = torch.zeros(1, 1, 128, 128)
    before = dino.features(image)
    assert before.shape == (1, width, 8, 8)
    image[:, :, 32:48, 80:96] = 1
    change = (dino.features(image) - before).abs().sum(1)[0]
    assert divmod(int(change.argmax()), 8) == (2, 5)
    assert dino.features(torch.zeros(2, 1, 64, 64)).shape == (2, width, 8, 8)  # resized


def test_pixels_are_normalised_as_the_models_folder_says(models, tmp_path):
    import shutil

    shutil.copytree(models / "vit", tmp_path / "satellite")
    (tmp_path / "satellite" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.43, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}'
    )
    image = torch.rand(1, 1, 64, 64)
    web, satellite = (Dino(str(p), 64).features(image) for p in (models / "vit", tmp_path / "satellite"))
    assert not torch.allclose(web, satellite, atol=1e-2)


def test_features_equal_those_of_the_recipe_by_hand(models):
    image = torch.rand(1, 1, 128, 128)
    model = transformers.AutoModel.from_pretrained(models / "vit", local_files_only=True).eval()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        hidden = model((image.repeat(1, 3, 1, 1) - mean) / std).last_hidden_state
    assert torch.allclose(Dino(str(models / "vit"), 128).features(image)[0, :, 0, 3], hidden[0, 5 + 3], atol=1e-5)


@pytest.mark.parametrize("case", ["empty", "other", "damaged", "pickle", "nothing", "half"])
def test_a_folder_of_the_wrong_model_gets_one_sentence(models, tmp_path, case):
    folder = tmp_path / "model"
    folder.mkdir()
    config = (models / "vit" / "config.json").read_text()
    weights = (models / "vit" / "model.safetensors").read_bytes()
    if case == "other":
        transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2).save_pretrained(folder)
    elif case == "damaged":
        (folder / "config.json").write_text(config)
        (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    elif case == "pickle":
        (folder / "config.json").write_text(config)
        torch.save({}, folder / "pytorch_model.bin")
    elif case == "nothing":
        folder = tmp_path / "no-such-model"
    elif case == "half":
        from safetensors.torch import load_file, save_file

        (folder / "config.json").write_text(config)
        tensors = load_file(models / "vit" / "model.safetensors")
        save_file(dict(list(tensors.items())[::2]), folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InvalidConfig, match=r"semantic_filter\.model") as caught:
        Dino(str(folder))
    assert str(folder) in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_features_are_computed_once_and_no_connection_is_opened(models, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    frames = [write_frame(tmp_path, k, View.FOUR_CHAMBER) for k in range(3)]
    dino = Dino(str(models / "vit"), 128)
    first = list(FeatureCache(dino, tmp_path / "cache").of(frames))
    counted = []
    monkeypatch.setattr(dino, "features", lambda images: counted.append(len(images)))
    second = list(FeatureCache(dino, tmp_path / "cache").of(frames))
    assert counted == []
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_damaged_entry_and_another_model_are_computed_again(models, tmp_path):
    frames = [write_frame(tmp_path, 0, View.FOUR_CHAMBER)]
    dino = Dino(str(models / "vit"), 128)
    (whole,) = FeatureCache(dino, tmp_path / "cache").of(frames)
    (entry,) = (tmp_path / "cache").rglob("*.npy")
    entry.write_bytes(entry.read_bytes()[:100])
    (again,) = FeatureCache(dino, tmp_path / "cache").of(frames)
    assert torch.equal(whole, again)
    (other,) = FeatureCache(Dino(str(models / "convnext"), 128), tmp_path / "cache").of(frames)
    assert other.shape != whole.shape


def test_prepared_frames_are_judged_by_the_frozen_model(models, tmp_path):
    labelled = [write_frame(tmp_path, k, View.FOUR_CHAMBER) for k in range(4)]
    unlabelled = [write_frame(tmp_path, 10, View.FOUR_CHAMBER, labelled=False)]
    seen = []
    cache = FeatureCache(Dino(str(models / "convnext"), 128), tmp_path / "cache")
    dino = DinoFilter.prepare(cache, labelled, unlabelled, 2, 0.1, lambda done, total: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(1, 6)]
    batch = batch_of()
    batch.ids = (unlabelled[0].digest,)
    agreement = dino.agreement(batch, torch.zeros(1, 128, 128, dtype=torch.int64), no_teacher())
    assert 0 <= float(agreement.min()) < float(agreement.max()) < 1
