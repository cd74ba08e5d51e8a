"""A model's card in a few lines that a person reads before choosing it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .bundle_card import WEIGHTS_FILE

if TYPE_CHECKING:
    from .bundle import Bundle
    from .promptable.bundle import PromptableBundle

_MOST_FIGURES = 4


@dataclass(frozen=True)
class BundleSummary:
    """What matters of a card, each a plain text, "" if the card does not say.

    about    what the model is
    notice   the sentence to show with every result
    trained  on what
    figures  what was measured, one line a data set
    licence  of the weights
    facts    version, size and hash
    """

    about: str
    notice: str
    trained: str
    figures: tuple[str, ...]
    licence: str
    facts: str


def summarize(bundle: Bundle | PromptableBundle) -> BundleSummary:
    """The card of ``bundle`` in a few lines."""
    card = bundle.card
    try:
        size = f"{_size((bundle.path / WEIGHTS_FILE).stat().st_size)}, "
    except OSError:
        size = ""
    return BundleSummary(
        # The notice stands alone and need not be said twice.
        about=card.description.replace(card.notice, "").strip() if card.notice else card.description,
        notice=card.notice,
        trained=_trained(card.training),
        figures=_figures(card.metrics),
        licence=card.licence,
        facts=f"version {card.version}, {size}SHA-256 {card.sha256[:12] or 'missing'}",
    )


def _trained(training: Mapping[str, Any]) -> str:
    if data := training.get("data"):
        return str(data)
    if "tensors_matched" not in training:
        return ""
    matched = int(training["tensors_matched"])
    left = len(training.get("tensors_missing", ())) + len(training.get("tensors_of_other_shape", ()))
    rest = f", {left} start at random" if left else ""
    return f"unknown; {training.get('source', 'imported')}, {matched} of {matched + left} tensors matched{rest}"


def _figures(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    lines = []
    alone = _numbers(metrics)
    if alone:
        lines.append(alone)
    for name, table in metrics.items():
        if isinstance(table, Mapping) and (numbers := _numbers(table)):
            frames = table.get("frames")
            on = f" ({frames} frames)" if isinstance(frames, int) else ""
            lines.append(f"{name}{on}: {numbers}")
    return tuple(lines[:_MOST_FIGURES])


def _numbers(table: Mapping[str, Any]) -> str:
    """The table's own numbers; tables inside it, one number a structure, are too much here."""
    found = []
    for name, value in table.items():
        if name != "frames" and isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(f"{name} {value:.3g}")
    return ", ".join(found)


def _size(count: int) -> str:
    if count < 1 << 20:
        return f"{count / 1024:.0f} kB"
    return f"{count / (1 << 20):.1f} MB" if count < 100 << 20 else f"{count >> 20} MB"
