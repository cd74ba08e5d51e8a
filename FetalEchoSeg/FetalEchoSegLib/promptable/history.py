"""Which prompts belong to which segment of which frame, with undo and redo, and as text for the scene.

The Segment Editor has its own undo, which knows masks and not prompts. Every step here therefore remembers the
fingerprint of the mask it led to; ``follow`` finds the step again when the mask came back, whoever brought it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..errors import InvalidRequest
from .prompts import Prompts

_FORMAT = 1
_NOTHING = Prompts()


class Target(NamedTuple):
    """One segment in one frame of one sequence; ``sequence`` is a node's id, or a volume's."""

    sequence: str
    frame: int
    segment: str


def mask_fingerprint(mask: np.ndarray) -> str:
    """Text that two masks of one shape share if and only if they are equal; "" for an empty one."""
    if not mask.any():
        return ""
    return hashlib.blake2b(np.packbits(mask != 0).tobytes(), digest_size=12).hexdigest()


@dataclass
class _Track:
    """Steps of one target; ``position`` is the one in force."""

    steps: list[tuple[Prompts, str]] = field(default_factory=lambda: [(_NOTHING, "")])
    position: int = 0


class PromptHistory:
    """Prompts of every target, and the way they came about.

    limit  steps kept for a target; the editor keeps ten masks
    """

    def __init__(self, limit: int = 50) -> None:
        self._limit = limit
        self._tracks: dict[Target, _Track] = {}

    def __getitem__(self, target: Target) -> Prompts:
        """Prompts in force; empty ones for a target that has none."""
        track = self._tracks.get(target)
        return track.steps[track.position][0] if track else _NOTHING

    def targets(self) -> list[Target]:
        """Targets with a point or a box in force, in order."""
        return sorted(target for target in self._tracks if self[target].is_said)

    def known(self) -> list[Target]:
        """Targets that have or had prompts, in order."""
        return sorted(self._tracks)

    def begin(self, target: Target, fingerprint: str) -> None:
        """Say what the mask was before the first prompt, or after somebody else changed it: undo can lead here."""
        track = self._tracks.setdefault(target, _Track())
        prompts, known = track.steps[track.position]
        if known == fingerprint:
            return
        if not prompts.is_said:
            track.steps[track.position] = (prompts, fingerprint)
        else:
            # The points still mark what the user means, but the remembered answer is not what is drawn any more.
            self._push(track, prompts.with_mask(None), fingerprint)

    def record(self, target: Target, prompts: Prompts, fingerprint: str) -> None:
        """A step: these prompts led to the mask with this fingerprint. What was undone before is forgotten."""
        self._push(self._tracks.setdefault(target, _Track()), prompts, fingerprint)

    def can_undo(self, target: Target) -> bool:
        """Whether there is an earlier step."""
        return target in self._tracks and self._tracks[target].position > 0

    def can_redo(self, target: Target) -> bool:
        """Whether a step was undone."""
        return target in self._tracks and self._tracks[target].position + 1 < len(self._tracks[target].steps)

    def undo(self, target: Target) -> Prompts:
        """Go one step back, if there is one; returns the prompts then in force."""
        if self.can_undo(target):
            self._tracks[target].position -= 1
        return self[target]

    def redo(self, target: Target) -> Prompts:
        """Go one step forward, if one was undone; returns the prompts then in force."""
        if self.can_redo(target):
            self._tracks[target].position += 1
        return self[target]

    def follow(self, target: Target, fingerprint: str) -> Prompts | None:
        """Go to the nearest step whose mask this is; None if there is none (the mask was changed by other means)."""
        track = self._tracks.get(target)
        if track is None:
            return None
        found = [i for i, (_, known) in enumerate(track.steps) if known == fingerprint]
        if not found:
            return None
        # Of equally near ones the earlier: undo is what one does.
        track.position = min(found, key=lambda i: (abs(i - track.position), i))
        return self[target]

    def clear(self, target: Target) -> None:
        """Forget one target's prompts and steps."""
        self._tracks.pop(target, None)

    def clear_sequence(self, sequence: str) -> None:
        """Forget everything about a sequence, which was closed or replaced."""
        for target in [target for target in self._tracks if target.sequence == sequence]:
            del self._tracks[target]

    def to_json(self) -> str:
        """Text of the prompts in force, without steps and remembered answers."""
        entries = [{**target._asdict(), **self[target].to_dict()} for target in self.targets()]
        return json.dumps({"format": _FORMAT, "prompts": entries}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PromptHistory:
        """History from such a text ("" for none), each target at its first step. Raises InvalidRequest."""
        history = cls()
        if not text.strip():
            return history
        try:
            table = json.loads(text)
            if table["format"] != _FORMAT:
                raise InvalidRequest("The prompts in this scene were saved by another version: update FetalEcho.")
            for entry in table["prompts"]:
                target = Target(str(entry["sequence"]), int(entry["frame"]), str(entry["segment"]))
                history._tracks[target] = _Track([(Prompts.from_dict(entry), "")])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest("The prompts saved in this scene are damaged and were left out.") from error
        return history

    def _push(self, track: _Track, prompts: Prompts, fingerprint: str) -> None:
        del track.steps[track.position + 1 :]
        track.steps.append((prompts, fingerprint))
        del track.steps[: max(0, len(track.steps) - self._limit)]
        track.position = len(track.steps) - 1
