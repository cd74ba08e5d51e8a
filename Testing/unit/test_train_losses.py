from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from FetalEchoSegLib.anatomy import View, permitted_labels
from FetalEchoSegLib.networks.masking import mask_segmentation_logits
from FetalEchoTrainLib import losses

VIEWS = torch.tensor([1, 2, 3, 4])


def frames(seed=0, side=16):
    """Random logits and permitted labels of the four views."""
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.choice(permitted_labels(view), (side, side)) for view in View])
    logits = rng.normal(0, 2, (4, 15, side, side))
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)


def perfect_logits(labels, strength=30.0):
    return strength * torch.nn.functional.one_hot(labels, 15).movedim(-1, 1).float()


SEGMENTATION = [losses.cross_entropy, losses.dice, losses.boundary]


@pytest.mark.parametrize("loss", SEGMENTATION)
def test_a_perfect_answer_costs_nothing_and_a_random_one_something(loss):
    logits, labels = frames()
    assert loss(perfect_logits(labels), labels, VIEWS).max() < 1e-3
    assert loss(logits, labels, VIEWS).min() > 0.1


@pytest.mark.parametrize("loss", SEGMENTATION)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_labels_outside_the_view_never_overflow_and_never_count(loss, dtype):
    # Label 13 (aortic arch) in a four-chamber frame would be a cross-entropy of the masked logit.
    logits, labels = frames()
    spoilt = labels.clone()
    spoilt[0, :3] = 13
    spoilt[0, 3:5] = losses.IGNORE
    ignored = spoilt.clone()
    ignored[0, :3] = losses.IGNORE
    logits = logits.to(dtype).requires_grad_()
    values = loss(logits, spoilt, VIEWS)
    assert values.dtype == torch.float32
    assert torch.equal(values, loss(logits, ignored, VIEWS))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", SEGMENTATION)
def test_channels_of_other_views_get_no_gradient(loss):
    logits, labels = frames()
    logits.requires_grad_()
    loss(logits, labels, VIEWS).sum().backward()
    for row, view in enumerate(View):
        touched = logits.grad[row].flatten(1).abs().sum(1).nonzero().flatten().tolist()
        assert set(touched) <= set(permitted_labels(view))
        assert touched


@pytest.mark.parametrize("loss", SEGMENTATION)
def test_a_batch_costs_the_mean_of_its_frames(loss):
    # What gradient accumulation and several processes rest on.
    logits, labels = frames()
    labels[1] = 0
    labels[2, :8] = losses.IGNORE
    together = loss(logits, labels, VIEWS)
    single = torch.cat([loss(logits[k : k + 1], labels[k : k + 1], VIEWS[k : k + 1]) for k in range(4)])
    assert torch.allclose(together, single, atol=1e-6)


@pytest.mark.parametrize("loss", SEGMENTATION)
def test_a_frame_that_is_ignored_altogether_costs_nothing(loss):
    logits, labels = frames()
    logits.requires_grad_()
    values = loss(logits, torch.full_like(labels, losses.IGNORE), VIEWS)
    assert values.tolist() == [0, 0, 0, 0]
    values.sum().backward()
    assert not logits.grad.any()


def test_cross_entropy_equals_torch_where_nothing_is_masked():
    logits, labels = frames()
    for row, view in enumerate(View):
        permitted = list(permitted_labels(view))
        position = torch.tensor([permitted.index(int(v)) for v in labels[row].flatten()]).view(1, 16, 16)
        expected = torch.nn.functional.cross_entropy(logits[row : row + 1, permitted], position)
        found = losses.cross_entropy(logits[row : row + 1], labels[row : row + 1], VIEWS[row : row + 1])
        assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_a_weight_scales_the_pixel_and_not_the_mean():
    logits, labels = frames()
    half = torch.full(labels.shape, 0.5)
    full = losses.cross_entropy(logits, labels, VIEWS)
    assert torch.allclose(losses.cross_entropy(logits, labels, VIEWS, half), full / 2)


def test_dice_is_that_of_monai_where_pixels_count_alike():
    from monai.losses import DiceLoss

    logits, labels = frames()
    probabilities = mask_segmentation_logits(logits, VIEWS).softmax(1)[:, 1:]
    truth = (labels[:, None] == torch.arange(1, 15).view(1, -1, 1, 1)).float()
    whole = DiceLoss(reduction="none", smooth_nr=1.0, smooth_dr=1.0)(probabilities, truth).flatten(1)
    present = truth.flatten(2).any(2)
    expected = torch.stack([row[chosen].mean() for row, chosen in zip(whole, present, strict=True)])
    assert torch.allclose(losses.dice(logits, labels, VIEWS), expected, atol=1e-6)


def test_a_pixel_that_weighs_less_is_pulled_the_same_way_in_dice():
    _, labels = frames()
    logits = perfect_logits(labels, strength=12.0)
    logits[:, 0] = 10.0  # the only other choice is background
    logits.requires_grad_()
    weights = torch.ones(labels.shape)
    weights[:, ::2] = 0.2
    losses.dice(logits, labels, VIEWS, weights).sum().backward()
    own = logits.grad.gather(1, labels[:, None])[:, 0]
    assert (own[labels > 0] <= 0).all()
    assert (own[:, ::2][labels[:, ::2] > 0] < 0).any()


def test_a_right_answer_of_half_the_weight_is_right_in_dice():
    _, labels = frames()
    half = torch.full(labels.shape, 0.5)
    assert losses.dice(perfect_logits(labels), labels, VIEWS, half).max() < 1e-3


def test_pixels_of_weight_zero_do_not_count_in_dice():
    logits, labels = frames()
    weights = torch.ones(labels.shape)
    weights[:, :8] = 0
    ignored = labels.clone()
    ignored[:, :8] = losses.IGNORE
    assert torch.allclose(losses.dice(logits, labels, VIEWS, weights), losses.dice(logits, ignored, VIEWS))


def test_boundary_forgives_two_pixels_and_no_more():
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, 20:40, 20:40] = 2
    found = []
    for shift in (0, 2, 4, 8):
        moved = perfect_logits(torch.roll(labels, shift, 2))
        found.append(float(losses.boundary(moved, labels, VIEWS[:1])))
    assert found[1] < 0.05
    assert found[1] < found[2] < found[3]


def test_conditions_that_the_view_cannot_show_cost_nothing():
    logits = torch.zeros(4, 7, requires_grad=True)
    truth = torch.ones(4, 7)
    for loss in (losses.binary_cross_entropy, losses.asymmetric):
        logits.grad = None
        loss(logits, truth, VIEWS).sum().backward()
        touched = [row.nonzero().flatten().tolist() for row in logits.grad]
        assert touched == [[0, 1], [0, 2, 3], [4, 5], [2, 5, 6]]


def test_unknown_conditions_cost_nothing():
    logits, truth = torch.randn(4, 7), torch.ones(4, 7)
    truth[0, 0] = float("nan")
    known = losses.binary_cross_entropy(logits, truth, VIEWS)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[0, 1], torch.ones(()))
    assert float(known[0]) == pytest.approx(float(expected))


def test_asymmetric_loss_without_asymmetry_is_cross_entropy():
    logits, truth = torch.randn(4, 7), torch.rand(4, 7)
    plain = losses.asymmetric(logits, truth, VIEWS, gamma_positive=0, gamma_negative=0, clip=0)
    assert torch.allclose(plain, losses.binary_cross_entropy(logits, truth, VIEWS), atol=1e-5)


def test_asymmetric_loss_forgets_easy_negatives_and_is_finite_at_the_ends():
    truth = torch.zeros(1, 7)
    easy = losses.asymmetric(torch.full((1, 7), -5.0), truth, VIEWS[:1])
    assert float(easy) == 0  # below the clip
    for value in (-1e4, 1e4):
        for label in (0.0, 1.0):
            logits = torch.full((1, 7), value, requires_grad=True)
            loss = losses.asymmetric(logits, torch.full((1, 7), label), VIEWS[:1])
            loss.sum().backward()
            assert torch.isfinite(loss).all()
            assert torch.isfinite(logits.grad).all()


def test_positive_weights_count_only_frames_that_can_show_the_condition():
    views = np.array([1, 1, 1, 1, 3, 3])
    conditions = np.zeros((6, 7), dtype=np.float32)
    conditions[0, 0] = 1  # VSD in one of four four-chamber frames
    conditions[4, 0] = 1  # not shown by an RVOT frame
    weights = losses.positive_weights(conditions, views)
    assert weights[0] == 3
    assert weights[6] == 1  # no frame shows it at all
    assert weights[1] == 10  # none positive
