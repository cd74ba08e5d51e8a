"""The recipe of the demo bundle that answers clicks: a minute's worth of it, on easy shapes."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.geometry import Geometry
from FetalEchoSegLib.promptable.model import PromptableModel
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from FetalEchoSegLib.promptable.simulated_clicks import (
    Case,
    centre_click,
    click_through,
    dice,
    measure_clicks,
    random_click,
    structure_mask,
)
from FetalEchoTrainLib import demo_promptable as recipe
from FetalEchoTrainLib.demo_model import Samples
from promptables import SMALL, BrightModel, seeded_state

CONFIG = PromptableConfig(**(SMALL | {"adapters": False, "patch_size": 8, "window_size": 4}))
SIDE = CONFIG.image_size


def shapes(count, seed=0):
    """Two bright ellipses of different structures in each frame, on noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, masks = [], []
    for _ in range(count):
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        for value, left in ((9, 16), (12, 46)):
            x, y = left + rng.integers(-5, 6), rng.integers(18, 46)
            a, b = rng.integers(6, 12, 2)
            mask[((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1] = value
        images.append(np.clip(60 + 90 * (mask > 0) + rng.normal(0, 12, mask.shape), 0, 255).astype(np.uint8))
        masks.append(mask)
    return Samples(np.stack(images), np.stack(masks), np.full(count, 3), np.zeros((count, 7), dtype=np.float32))


SCHEDULE = recipe.ClickSchedule(
    stages=(recipe.Stage(SIDE, 6, 2e-3, 0.3),), batch_size=4, structures=2, clicks=1, ema_decay=0.9
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return recipe.train_clicks(shapes(64), SCHEDULE, tmp_path_factory.mktemp("work"), config=CONFIG)


def cases(seed=9):
    held_out = shapes(12, seed)
    return [
        Case(i, Structure(v), structure_mask(m, Structure(v)))
        for i, m in zip(held_out.images, held_out.masks, strict=True)
        for v in (9, 12)
    ]


def test_training_teaches_to_answer_clicks(trained):
    before = PromptableModel(CONFIG, seeded_state(parameter_shapes(CONFIG)), "area")
    after = PromptableModel(CONFIG, trained, "area")
    untaught, taught = (measure_clicks(model, cases(), (1,), limit=2) for model in (before, after))
    assert taught.dice_after[1] > max(0.4, untaught.dice_after[1] + 0.2)
    assert taught.cases == 24


def test_an_interrupted_training_goes_on_exactly(tmp_path, monkeypatch):
    schedule = replace(SCHEDULE, stages=(recipe.Stage(SIDE // 2, 2, 2e-3, 0.3), recipe.Stage(SIDE, 1, 1e-3)))
    whole = recipe.train_clicks(shapes(8), schedule, tmp_path / "whole", config=CONFIG)
    keep = recipe._keep

    def interrupted(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "_keep", interrupted)
    for _ in range(2):  # within a stage and between two
        with pytest.raises(KeyboardInterrupt):
            recipe.train_clicks(shapes(8), schedule, tmp_path / "parts", config=CONFIG)
    monkeypatch.setattr(recipe, "_keep", keep)
    resumed = recipe.train_clicks(shapes(8), schedule, tmp_path / "parts", config=CONFIG)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_decoding_many_images_at_once_equals_one_by_one():
    network = recipe_network()
    features = torch.randn(3, CONFIG.prompt_dim, CONFIG.grid, CONFIG.grid)
    points, labels = torch.tensor([[[5.0, 9.0]], [[30.0, 30.0]], [[50.0, 12.0]]]), torch.ones(3, 1)
    with torch.inference_mode():
        logits, iou = recipe._decode(network, features, points, labels, None, None)
        for k in range(3):
            sparse, dense = network.prompt_encoder((points[k : k + 1], labels[k : k + 1]), None, None)
            alone = network.mask_decoder.predict_masks(
                features[k : k + 1], network.prompt_encoder.get_dense_pe(), sparse, dense
            )
            assert torch.allclose(logits[k], alone[0][0], atol=1e-5)
            assert torch.allclose(iou[k], alone[1][0], atol=1e-5)


def recipe_network():
    from FetalEchoSegLib.promptable.network import build_network

    network = build_network(CONFIG)
    network.load_state_dict(seeded_state(parameter_shapes(CONFIG)))
    return network


def test_the_memory_of_a_mask_is_that_of_inference():
    mask = shapes(1).masks[0] == 9
    geometry = Geometry.of(mask, CONFIG, "area")
    cell = SIDE // CONFIG.mask_size
    found = recipe._memory(torch.from_numpy(mask)[None], cell)[0, 0].numpy()
    assert np.abs(found - geometry.mask_prompt(mask)).max() < 1e-5


def test_training_clicks_lie_in_what_is_wrong():
    torch.manual_seed(0)
    truth = torch.from_numpy(shapes(6).masks == 9)
    found = torch.roll(truth, (6, 0), (1, 2))
    for _ in range(5):
        points, labels = recipe._error_click(truth, found)
        for k, ((x, y), label) in enumerate(zip(points[:, 0].long().tolist(), labels[:, 0].tolist(), strict=True)):
            assert truth[k, y, x] != found[k, y, x]
            assert bool(label) == bool(truth[k, y, x])
    points, labels = recipe._error_click(truth, truth)
    assert labels.all()


def test_clicks_drawn_on_a_smaller_mask_lie_in_the_middle_of_its_pixel():
    truth = torch.zeros(1, 16, 16, dtype=torch.bool)
    truth[0, 5, 9] = True
    points, _ = recipe._error_click(truth, torch.zeros_like(truth), cell=2)
    assert points.tolist() == [[[18.5, 10.5]]]


def test_spoilt_masks_and_their_boxes_stay_near_the_truth():
    torch.manual_seed(0)
    truth = torch.from_numpy(shapes(20).masks == 9)
    spoilt = recipe._spoilt(truth.float())
    overlaps = [dice(a, b) for a, b in zip(truth.numpy(), spoilt.numpy(), strict=True)]
    assert 0.5 < np.mean(overlaps) < 0.97
    grossly = [dice(a, b) for a, b in zip(truth.numpy(), recipe._spoilt(truth.float(), 1.0).numpy(), strict=True)]
    assert 0.3 < np.mean(grossly) < np.mean(overlaps) - 0.05
    boxes = recipe._boxes(truth)
    rows, columns = (truth.any(axis).numpy() for axis in (2, 1))
    for box, filled_rows, filled_columns in zip(boxes.tolist(), rows, columns, strict=True):
        sides = [np.flatnonzero(filled_columns)[k] for k in (0, -1)], [np.flatnonzero(filled_rows)[k] for k in (0, -1)]
        assert box == pytest.approx([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], abs=3)


def disc_case(start=None):
    rows, columns = np.mgrid[:80, :100]
    truth = np.hypot(columns - 60, rows - 30) <= 15
    return Case(np.where(truth, 200, 10).astype(np.uint8), Structure.TRACHEA, truth, start)


def test_clicks_are_counted_until_the_contour_is_right():
    figures = measure_clicks(BrightModel(), [disc_case()], (1, 3), limit=4)
    assert figures.needed == 1
    assert figures.reached == 1
    assert figures.dice_after[1] > 0.97
    right = measure_clicks(BrightModel(), [disc_case(disc_case().truth)], (1,), limit=4)
    assert right.needed == 0

    class Deaf(BrightModel):
        def answer(self, embedding, prompts, multimask=True):
            answers = super().answer(embedding, prompts)
            return [type(a)(-np.abs(a.logits) - 1, a.iou, a.geometry) for a in answers]

    deaf = measure_clicks(Deaf(), [disc_case()], (1,), limit=4)
    assert (deaf.needed, deaf.reached, deaf.dice_after[1]) == (4, 0, 0)


def test_simulated_clicks_lie_where_a_user_would_click():
    truth = disc_case().truth
    rng = np.random.default_rng(0)
    first = centre_click(truth, np.zeros_like(truth), rng)
    assert (first.x, first.y, first.positive) == (60, 30, True)
    flooded = truth.copy()
    flooded[:, :30] = True
    second = centre_click(truth, flooded, rng)
    assert not second.positive
    assert second.x < 30
    for _ in range(20):
        click = random_click(truth, flooded, rng)
        assert not click.positive
        assert click.x < 30
    assert random_click(truth, truth, rng).positive
    assert centre_click(truth, truth, rng).positive


def test_a_ring_means_what_it_encloses():
    labels = np.array([[7, 5, 2, 5, 7, 0, 6]])
    assert structure_mask(labels, Structure.WHOLE_HEART).tolist() == [[False, True, True, True, False, False, False]]
    assert structure_mask(labels, Structure.THORAX).tolist() == [[True] * 5 + [False, True]]
    assert structure_mask(labels, Structure.LEFT_VENTRICLE).sum() == 1


def test_dice_before_and_after_every_click_is_kept():
    scores = click_through(BrightModel(), disc_case(), 3, centre_click, np.random.default_rng(0))
    assert len(scores) == 4
    assert scores[0] == 0
    assert min(scores[1:]) > 0.97
