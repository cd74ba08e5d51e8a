"""Prompts, where they land, and the history they leave."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed", allow_module_level=True)
import torch.nn.functional as F
from FetalEchoSegLib.errors import InvalidRequest
from FetalEchoSegLib.promptable.configuration import PromptableConfig
from FetalEchoSegLib.promptable.frames import as_frame
from FetalEchoSegLib.promptable.geometry import MASK_PROMPT_LOGIT, Geometry
from FetalEchoSegLib.promptable.history import PromptHistory, Target, mask_fingerprint
from FetalEchoSegLib.promptable.model import PromptableModel
from FetalEchoSegLib.promptable.parameters import parameter_shapes
from FetalEchoSegLib.promptable.prompts import Box, Point, Prompts
from promptables import SMALL, position_model, seeded_frame, seeded_state

SIZES = [(256, 256), (512, 512), (768, 1024), (300, 412), (1080, 1920), (200, 90), (64, 100)]
NETWORKS = {"16-pixel tokens": 16, "8-pixel tokens": 8}
SAMPLINGS = ["nearest", "area"]


def small_config(patch_size=8):
    return PromptableConfig(**(SMALL | {"image_size": 256, "patch_size": patch_size, "depth": 0, "global_blocks": ()}))


@pytest.fixture(scope="module", params=[(s, p) for s in SAMPLINGS for p in NETWORKS.values()], ids=str)
def model(request):
    sampling, patch_size = request.param
    return position_model(small_config(patch_size), sampling, radius=16.0)


def centre(mask):
    rows, columns = np.nonzero(mask)
    return columns.mean(), rows.mean()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_mask_lies_where_it_was_clicked(model, size):
    height, width = size
    embedding = model.embed(np.zeros(size, dtype=np.uint8))
    for u, v in [(0.5, 0.5), (0.31, 0.72), (0.83, 0.17)]:
        x, y = round(u * width) + 0.25, round(v * height) - 0.3
        found = centre(model.answer(embedding, [Prompts((Point(x, y),))])[0].mask)
        assert found == pytest.approx((x, y), abs=0.5), size


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_box_comes_back_with_its_sides(model, size):
    height, width = size
    box = Box(round(0.2 * width), round(0.3 * height), round(0.6 * width), round(0.9 * height))
    mask = model.answer(model.embed(np.zeros(size, dtype=np.uint8)), [Prompts(box=box)])[0].mask
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    sides = columns[0], rows[0], columns[-1], rows[-1]
    # Corners are pixel centres, on the border of the drawn box: whether that pixel is in is a matter of rounding.
    assert sides == pytest.approx((box.left, box.top, box.right, box.bottom), abs=1)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("color", [False, True])
def test_the_network_sees_what_lies_at_the_prompt(sampling, size, color):
    """A bright spot in the frame is, in the network's square, where a click on it is told to the prompt encoder."""
    height, width = size
    geometry = Geometry(height, width, 256, 64, sampling)
    x, y = 0.62 * width, 0.37 * height
    rows, columns = np.mgrid[:height, :width]
    spot = np.exp(-(((columns - x) / width) ** 2 + ((rows - y) / height) ** 2) / (2 * 0.05**2))
    frame = (255 * spot).astype(np.uint8)
    image = geometry.network_image(np.stack([frame] * 3, -1) if color else frame)
    weights = image[1] - image[1].min()
    rows, columns = np.mgrid[:256, :256]
    found = (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()
    told = geometry.to_network(np.array([x, y]))
    in_frame_pixels = np.abs(np.array(found) - told) * [width / 256, height / 256]
    # nearest takes a pixel up to one below where it is told; the published implementation has the same slack
    assert in_frame_pixels.max() < (0.5 if sampling == "area" or min(size) >= 256 else 0.6)


def test_grey_and_equal_channels_are_the_same():
    geometry = Geometry(90, 70, 64, 16, "area")
    grey = seeded_frame(90, 70, color=False)
    assert np.array_equal(geometry.network_image(grey), geometry.network_image(np.stack([grey] * 3, -1)))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_a_slice_of_any_type_is_seen_alike(dtype):
    """Whatever its numbers: a click must not depend on window and level."""
    grey = seeded_frame(60, 80, color=False).astype(np.float64)
    frame = as_frame((grey * 7 - 500).astype(dtype) if dtype != np.uint16 else (grey * 7).astype(dtype))
    assert frame.dtype == np.uint8
    stretched = np.clip((grey - grey.min()) / np.ptp(grey) * 255, 0, 255)
    assert np.abs(frame - stretched).max() < 10  # half a percent at either end is cut off
    assert (frame.min(), frame.max()) == (0, 255)


def test_odd_images_become_frames_or_are_refused():
    grey = seeded_frame(20, 30, color=False)
    assert as_frame(grey) is grey
    assert np.array_equal(as_frame(grey[..., None]), grey)
    assert as_frame(np.zeros((20, 30, 4), dtype=np.uint8)).shape == (20, 30, 3)
    assert as_frame(grey > 100).max() == 255
    assert as_frame(np.full((4, 4), 7.5)).max() == 0
    assert as_frame(np.full((4, 4), np.nan)).max() == 0
    holes = np.linspace(0, 1, 400).reshape(20, 20)
    holes[3, 3] = np.inf
    assert as_frame(holes)[3, 3] == 0
    for wrong in (np.zeros((4, 4, 2)), np.zeros(9), np.zeros((0, 4)), np.zeros((2, 3, 4, 3))):
        with pytest.raises(InvalidRequest, match="grey or RGB"):
            as_frame(wrong)


def test_color_reaches_the_network():
    geometry = Geometry(90, 70, 64, 16)
    red, blue = np.zeros((2, 90, 70, 3), dtype=np.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert geometry.network_image(red)[0].mean() > geometry.network_image(blue)[0].mean() + 3


def test_masks_are_enlarged_as_torch_does_it():
    """The published post-processing, where its and our sampling agree (centred)."""
    geometry = Geometry(300, 412, 256, 64, "area")
    low = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    square = F.interpolate(torch.from_numpy(low)[None], (256, 256), mode="bilinear", align_corners=False)
    expected = F.interpolate(square, (300, 412), mode="bilinear", align_corners=False)[0].numpy()
    assert np.abs(geometry.to_frame(low) - expected).max() < 5e-5


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("size", [(512, 512), (300, 412), (40, 60), (1, 80), (80, 1)], ids=str)
def test_a_mask_survives_as_a_prompt(sampling, size):
    """Down to the low resolution and back up: the same area at the same place."""
    height, width = size
    geometry = Geometry(height, width, 256, 128, sampling)
    rows, columns = np.mgrid[:height, :width]
    mask = ((rows + 0.5 - 0.5 * height) / (0.3 * height)) ** 2 + (
        (columns + 0.5 - 0.5 * width) / (0.25 * width)
    ) ** 2 < 1
    prompt = geometry.mask_prompt(mask)
    assert prompt.shape == (128, 128)
    assert np.abs(prompt).max() <= MASK_PROMPT_LOGIT
    back = geometry.to_frame(prompt) > 0
    assert np.count_nonzero(back & mask) / np.count_nonzero(back | mask) > 0.97
    assert np.array(centre(back)) == pytest.approx(np.array(centre(mask)), abs=0.5)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (2000, 3)], ids=str)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_any_size_can_be_clicked(size, sampling):
    config = PromptableConfig(**SMALL)
    model = PromptableModel(config, seeded_state(parameter_shapes(config)), sampling)
    (answer,) = model.answer(model.embed(np.full(size, 99, np.uint8)), [Prompts((Point(0, 0),))])
    assert answer.mask.shape == size
    assert np.isfinite(answer.logits).all()


def test_the_mask_with_the_largest_predicted_iou_is_taken(model):
    embedding = model.embed(np.zeros((256, 256), dtype=np.uint8))
    (answer,) = model.answer(embedding, [Prompts((Point(100, 120),))])
    assert answer.iou == pytest.approx(0.9)
    assert answer.mask[120, 100]
    assert not answer.mask[0, 0]


def test_structures_in_one_batch_are_answered_as_alone():
    config = PromptableConfig(**SMALL)
    model = PromptableModel(config, seeded_state(parameter_shapes(config)))
    embedding = model.embed(seeded_frame(80, 120))
    mask = np.linspace(-3, 3, config.mask_size**2, dtype=np.float32).reshape(config.mask_size, -1)
    point, other = Point(30, 40), Point(90, 20, positive=False)
    prompts = [
        Prompts((point,)),
        Prompts((point, other)),
        Prompts(box=Box(10, 10, 60, 50)),
        Prompts((other,), mask=mask),
        Prompts((point,), Box(5, 5, 70, 70), mask),
        Prompts(mask=mask),
    ]
    together = model.answer(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = model.answer(embedding, [prompt])[0]
        assert np.abs(alone.logits - answer.logits).max() < 1e-4
        assert alone.iou == pytest.approx(answer.iou, abs=1e-4)
    assert len({answer.iou for answer in together}) == len(prompts)


def test_nothing_said_is_no_question():
    config = PromptableConfig(**SMALL)
    model = PromptableModel(config, seeded_state(parameter_shapes(config)))
    with pytest.raises(ValueError, match="nothing to answer"):
        model.answer(model.embed(seeded_frame(20, 20)), [Prompts()])


def test_boxes_of_drags_and_masks():
    assert Box.between((7, 2), (3, 9)) == Box(3, 2, 7, 9)
    mask = np.zeros((20, 30), dtype=bool)
    mask[4:8, 10:20] = True
    assert Box.around(mask) == Box(10, 4, 19, 7)
    assert Box.around(mask, 0.1) == Box(9, 3.6, 20, 7.4)
    assert Box.around(np.ones((4, 4), dtype=bool), 1.0) == Box(0, 0, 3, 3)
    with pytest.raises(ValueError, match="empty"):
        Box.around(np.zeros((4, 4), dtype=bool))
    with pytest.raises(ValueError, match="left"):
        Box(3, 0, 1, 2)


@pytest.mark.parametrize(
    "prompts", [Prompts((Point(100, 5),)), Prompts((Point(5, -1),)), Prompts(box=Box(200, 0, 210, 9))], ids=str
)
def test_outside_of_the_image_is_refused(prompts):
    with pytest.raises(InvalidRequest, match="outside the image of 100 x 50"):
        prompts.require_inside(50, 100)
    Prompts((Point(99.4, 49.4), Point(-0.4, 0)), Box(-5, -5, 200, 200)).require_inside(50, 100)


def test_prompts_as_a_table():
    prompts = Prompts((Point(1.5, 2), Point(3, 4, positive=False)), Box(0, 1, 2, 3), np.zeros((4, 4)))
    found = Prompts.from_dict(prompts.to_dict())
    assert (found.points, found.box, found.mask) == (prompts.points, prompts.box, None)
    for wrong in ({"points": [[1, 2]]}, {"box": [1, 2, 3]}, {"points": [[1, float("nan"), 1]]}, {"points": 3}, []):
        with pytest.raises(ValueError):  # noqa: PT011 - any of several sentences
            Prompts.from_dict(wrong)


LV = Target("clip", 12, "LeftVentricle")
ONE, TWO = Prompts((Point(1, 1),)), Prompts((Point(1, 1), Point(2, 2)))


def recorded():
    history = PromptHistory()
    history.begin(LV, "before")
    history.record(LV, ONE, "first")
    history.record(LV, TWO, "second")
    return history


def test_undo_takes_the_prompt_back_and_redo_brings_it_again():
    history = recorded()
    assert history[LV] is TWO
    assert history.undo(LV) is ONE
    assert history.undo(LV).is_empty
    assert not history.can_undo(LV)
    assert history.undo(LV).is_empty
    assert history.redo(LV) is ONE
    assert history.redo(LV) is TWO
    assert not history.can_redo(LV)
    history.undo(LV)
    history.record(LV, Prompts((Point(9, 9),)), "other")
    assert not history.can_redo(LV)


def test_prompts_follow_the_mask_whoever_brought_it_back():
    history = recorded()
    assert history.follow(LV, "first") is ONE
    assert history.follow(LV, "before").is_empty
    assert history.follow(LV, "second") is TWO
    assert history.follow(LV, "painted by hand") is None
    assert history[LV] is TWO
    assert history.follow(Target("clip", 13, "LeftVentricle"), "first") is None


def test_a_mask_edited_by_hand_is_not_remembered_as_the_answer():
    history = PromptHistory()
    logits = np.zeros((4, 4), dtype=np.float32)
    history.record(LV, ONE.with_mask(logits), "first")
    history.begin(LV, "first")
    assert history[LV].mask is logits
    history.begin(LV, "painted by hand")
    assert history[LV].points == ONE.points
    assert history[LV].mask is None
    assert history.undo(LV).mask is logits


def test_targets_keep_apart_and_can_be_forgotten():
    history = recorded()
    other = Target("clip", 13, "LeftVentricle")
    foreign = Target("another clip", 12, "LeftVentricle")
    history.record(other, ONE, "x")
    history.record(foreign, ONE, "y")
    history.undo(other)
    assert history[LV] is TWO
    assert history.targets() == sorted([LV, foreign])
    history.clear(foreign)
    assert history[foreign].is_empty
    history.clear_sequence("clip")
    assert history.targets() == []


def test_only_so_many_steps_are_kept():
    history = PromptHistory(limit=3)
    for number in range(10):
        history.record(LV, Prompts((Point(number, 0),)), str(number))
    steps = 0
    while history.can_undo(LV):
        history.undo(LV)
        steps += 1
    assert steps == 2
    assert history[LV].points[0].x == 7


def test_prompts_come_back_with_the_scene():
    history = recorded()
    history.record(Target("clip", 3, "Trachea"), Prompts(box=Box(1, 2, 3, 4)), "z")
    found = PromptHistory.from_json(history.to_json())
    assert found.targets() == history.targets()
    assert found[LV].points == TWO.points
    assert found[Target("clip", 3, "Trachea")].box == Box(1, 2, 3, 4)
    assert not found.can_undo(LV)
    assert PromptHistory.from_json("").targets() == []


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 9, "prompts": []}', '{"format": 1, "prompts": [{"frame": 1}]}']
)
def test_damaged_prompts_are_one_sentence(text):
    with pytest.raises(InvalidRequest, match="prompts"):
        PromptHistory.from_json(text)


def test_fingerprints_tell_masks_apart():
    mask = np.zeros((30, 31), dtype=np.uint8)
    assert mask_fingerprint(mask) == ""
    mask[3, 4] = 7
    first = mask_fingerprint(mask)
    assert first == mask_fingerprint(mask > 0)
    mask[3, 5] = 7
    assert mask_fingerprint(mask) != first
