"""The teacher: who makes pseudo-labels while the student learns from them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare


class TeacherOutput(NamedTuple):
    """What the teacher thinks of a batch; no gradient leads to it.

    segmentation  (B, 15, H, W) float32 logits, not masked
    conditions    (B, 7) float32 logits
    features      (B, C, H / 8, W / 8) of its encoder, for the semantic filter
    """

    segmentation: torch.Tensor
    conditions: torch.Tensor
    features: torch.Tensor


class Teacher:
    """The exponential moving average of a student, in eval mode; or the student itself.

    student  the network that is trained
    decay    of the average: min(decay, 1 - 1 / (t + 1)) at its update t, so that a young average follows at once
             (Tarvainen & Valpola 2017)
    average  False: the student itself judges, in eval mode, as in the official baseline (UniMatch)

    Parameters that the student does not train are shared with it and take no memory of their own.
    """

    def __init__(self, student: EchoCare, decay: float = 0.999, average: bool = True) -> None:
        self._student = student
        self._decay = decay
        self.averages = average
        self.updates = 0
        self.network = student if not average else _sharing_copy(student)

    def update(self) -> None:
        """Move towards the student; to be called after every step of its optimizer."""
        if not self.averages:
            return
        decay = min(self._decay, 1 - 1 / (self.updates + 1))
        self.updates += 1
        with torch.no_grad():
            for ours, theirs in zip(self.network.parameters(), self._student.parameters(), strict=True):
                if ours is not theirs:
                    ours.lerp_(theirs, 1 - decay)
            for average, buffer in zip(self.network.buffers(), self._student.buffers(), strict=True):
                average.copy_(buffer)

    def predict(self, images: torch.Tensor, autocast: Any = None) -> TeacherOutput:
        """Judge (B, 1, H, W) images; ``autocast`` is a context for the forward pass."""
        with judging(self.network), torch.no_grad(), autocast or nullcontext():
            features = self.network.encode(images)
            output = self.network.decode(features)
        return TeacherOutput(output.segmentation.float(), output.conditions.float(), features.level3.float())

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What the average has of its own; empty when the student judges."""
        if not self.averages:
            return {}
        return {**self._own(), "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what ``state_dict`` gave; the student must have its parameters already."""
        if not self.averages:
            return
        own = self._own()
        with torch.no_grad():
            for name, tensor in state.items():
                if name != "updates":
                    own[name].copy_(tensor)
        self.updates = int(state["updates"])

    def _own(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers that are not the student's."""
        shared = {id(tensor) for tensor in (*self._student.parameters(), *self._student.buffers())}
        tensors = (*self.network.named_parameters(), *self.network.named_buffers())
        return {name: tensor.detach() for name, tensor in tensors if id(tensor) not in shared}


@contextmanager
def judging(network: torch.nn.Module) -> Iterator[None]:
    """Every module of ``network`` in eval mode inside, as it was afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _sharing_copy(student: EchoCare) -> EchoCare:
    """A copy in eval mode that shares what is not trained."""
    shared = {id(p): p for p in student.parameters() if not p.requires_grad}
    network = copy.deepcopy(student, memo=shared)
    network.requires_grad_(False)
    return network.eval()
