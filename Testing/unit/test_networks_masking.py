"""View-specific hard masking of logits."""

import pytest

torch = pytest.importorskip("torch")
from FetalEchoSegLib.anatomy import View, permitted_conditions, permitted_labels
from FetalEchoSegLib.networks.masking import mask_condition_logits, mask_segmentation_logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("view", list(View))
def test_forbidden_labels_get_no_probability_in_any_precision(view, dtype):
    logits = torch.randn(2, 15, 8, 8).to(dtype) * 20
    probabilities = mask_segmentation_logits(logits, view).softmax(1)
    forbidden = [k for k in range(15) if k not in permitted_labels(view)]
    assert probabilities[:, forbidden].abs().max() == 0
    assert torch.isfinite(probabilities).all()
    doubled = mask_segmentation_logits(logits, view) + mask_segmentation_logits(logits, view)
    assert torch.isfinite(doubled).all()


def test_permitted_logits_are_untouched_and_each_frame_has_its_own_view():
    logits = torch.randn(2, 15, 4, 4)
    masked = mask_segmentation_logits(logits, torch.tensor([1, 4]))
    for row, view in enumerate((View.FOUR_CHAMBER, View.THREE_VESSEL_TRACHEA)):
        allowed = list(permitted_labels(view))
        assert torch.equal(masked[row, allowed], logits[row, allowed])
        assert set(masked[row].flatten(1).argmax(0).tolist()) <= set(allowed)
    assert torch.equal(masked, mask_segmentation_logits(logits, [View.FOUR_CHAMBER, View.THREE_VESSEL_TRACHEA]))


def test_no_gradient_reaches_a_forbidden_channel():
    logits = torch.randn(1, 15, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), 3)
    torch.nn.functional.cross_entropy(mask_segmentation_logits(logits, View.FOUR_CHAMBER), target).backward()
    assert logits.grad is not None
    assert logits.grad[:, 8:].abs().max() == 0
    assert logits.grad[:, :8].abs().max() > 0


def test_a_label_outside_its_view_gives_a_finite_loss():
    logits = torch.randn(1, 15, 4, 4)
    loss = torch.nn.functional.cross_entropy(mask_segmentation_logits(logits, View.LVOT), torch.full((1, 4, 4), 14))
    assert torch.isfinite(loss)


def test_forbidden_conditions_have_probability_zero():
    masked = mask_condition_logits(torch.full((4, 7), 30.0), list(View))
    for row, view in enumerate(View):
        shown = torch.zeros(7)
        shown[[int(c) for c in permitted_conditions(view)]] = 1
        assert torch.equal(masked[row].sigmoid(), shown)


@pytest.mark.parametrize("views", [torch.tensor([0]), torch.tensor([5]), torch.tensor([], dtype=torch.long)])
def test_an_unknown_view_is_refused(views):
    with pytest.raises(ValueError, match="1 to 4"):
        mask_segmentation_logits(torch.zeros(1, 15, 2, 2), views)


def test_views_that_do_not_fit_the_batch_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        mask_segmentation_logits(torch.zeros(3, 15, 2, 2), torch.tensor([1, 2]))
