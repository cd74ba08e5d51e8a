"""The network that a run starts from: random weights, a bundle's, or a foreign checkpoint's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from FetalEchoSegLib.networks.echocare import EchoCare

    from .configuration import TrainConfig

FOREIGN_LICENCE = "unknown: the licence of the weights it was started from holds; do not pass it on"


def starting_network(config: TrainConfig) -> tuple[EchoCare, str, str]:
    """The network, what was loaded into it in a sentence, and the licence of that ("" for random weights).

    Raises UnusableBundle, listing what did not fit, when less than 90 % of the tensors of ``network.initial`` do.
    """
    import torch
    from FetalEchoSegLib.networks.echocare import EchoCare

    torch.manual_seed(config.seed)
    network = EchoCare(config.network.echocare(), config.network.activation_checkpointing)
    said, licence = "The network starts from random weights.", ""
    if config.network.initial:
        said, licence = _fill(network, config.network.initial)
    choice = config.network.encoder
    if choice == "adapters" or (choice == "auto" and config.network.initial and network.config.lora_rank):
        network.freeze_encoder()
    return network, said, licence


def _fill(network: EchoCare, name: str) -> tuple[str, str]:
    from FetalEchoSegLib.bundle import find_bundle
    from FetalEchoSegLib.networks.checkpoints import match_encoder, match_network, read_checkpoint

    path = Path(name)
    if path.is_file():
        tensors, licence = read_checkpoint(path), FOREIGN_LICENCE
    else:
        bundle = find_bundle(name)
        tensors, licence, path = bundle.state(), bundle.card.licence, bundle.path
    match = match_network(tensors, network.config)
    if match.share < 0.9:
        encoder = match_encoder(tensors, network.config)
        match = encoder if encoder.share > match.share else match
    match.require(path, "a checkpoint of this network or of its encoder: choose another network.initial or size")
    network.load_state_dict(match.matched, strict=False)
    return f"{len(match.matched)} tensors of the network come from {path}.", licence
