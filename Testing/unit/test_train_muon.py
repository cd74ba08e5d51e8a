"""The optimizer that trains from random weights, against the two of PyTorch that it joins."""

import copy

import pytest

torch = pytest.importorskip("torch")
from FetalEchoTrainLib.muon import MuonAdamW, is_matrix
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.GELU(), nn.Linear(32, 20))


def learn(module, optimizers, steps=5):
    for step in range(steps):
        torch.manual_seed(step)
        module(torch.randn(8, 20)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def groups(module):
    matrices = [p for p in module.parameters() if p.ndim == 2]
    rest = [p for p in module.parameters() if p.ndim != 2]
    return matrices, rest


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has Muon since 2.9")
def test_matrices_move_as_in_torchs_muon_and_the_rest_as_in_its_adamw():
    ours, theirs = model(), model()
    matrices, rest = groups(ours)
    learn(ours, [MuonAdamW([{"params": matrices, "lr": 4e-3, "matrices": True}, {"params": rest}], lr=1e-3)])
    matrices, rest = groups(theirs)
    muon = torch.optim.Muon(matrices, lr=4e-3, weight_decay=1e-2, adjust_lr_fn="match_rms_adamw")
    learn(theirs, [muon, torch.optim.AdamW(rest, lr=1e-3)])
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kernel_moves_as_the_matrix_of_its_columns(layout):
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(16, 4, 3, 3).to(memory_format=layout))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    gradient = torch.randn(16, 4, 3, 3)
    for parameter in (kernel, matrix):
        parameter.grad = gradient.clone().view_as(parameter)
        MuonAdamW([{"params": [parameter], "matrices": True}], lr=1e-2).step()
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=0, atol=0)


def test_a_restored_optimizer_goes_on_exactly():
    def optimizer(module):
        matrices, rest = groups(module)
        return MuonAdamW([{"params": matrices, "matrices": True}, {"params": rest}], lr=1e-3)

    whole = model()
    first = optimizer(whole)
    learn(whole, [first], 3)
    rest = copy.deepcopy(whole)
    second = optimizer(rest)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    learn(whole, [first], 2)
    learn(rest, [second], 2)
    for mine, its in zip(whole.parameters(), rest.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=0)
    assert [group["matrices"] for group in first.param_groups] == [True, False]


@pytest.mark.parametrize(
    ("layer", "name", "expected"),
    [
        (nn.Linear(32, 32), "weight", True),
        (nn.Linear(32, 32), "bias", False),
        (nn.Linear(32, 7), "weight", False),
        (nn.Conv2d(16, 16, 3), "weight", True),
        (nn.Conv2d(1, 16, 3), "weight", False),
        (nn.Embedding(32, 32), "weight", False),
        (nn.LayerNorm(32), "weight", False),
    ],
)
def test_only_large_layers_take_steps_of_muon(layer, name, expected):
    assert is_matrix(layer, name, getattr(layer, name)) is expected
