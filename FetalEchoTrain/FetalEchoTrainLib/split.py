"""Holding out a part of the frames: whole patients, in the proportions of the whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from FetalEchoSegLib.anatomy import N_CONDITIONS, View

from .dataset import Frame

# A frame counts for its view, and in its view for each condition that it has.
_N_STRATA = len(View) * (1 + N_CONDITIONS)


def hold_out(frames: Sequence[Frame], share: float, seed: int) -> tuple[tuple[Frame, ...], tuple[Frame, ...]]:
    """(kept, held out) of ``frames``, each in the given order.

    ``share`` of every view and of every view × condition is held out. Patients are dealt out whole, those of the rarest
    stratum first, each to the side that lacks most of it (iterative stratification, Sechidis 2011, with groups for
    samples). With two patients or more neither side is empty. The same frames, share and seed give the same split,
    whatever the order of the frames.
    """
    groups = sorted({frame.group for frame in frames})
    if len(groups) < 2 or not 0 < share < 1:
        return tuple(frames), ()
    counts = np.zeros((len(groups), _N_STRATA))
    rows = {group: row for row, group in enumerate(groups)}
    for frame in frames:
        counts[rows[frame.group], _strata(frame)] += 1
    held = _deal(counts, share, np.random.default_rng(seed))
    chosen = {group for group, out in zip(groups, held, strict=True) if out}
    return tuple(f for f in frames if f.group not in chosen), tuple(f for f in frames if f.group in chosen)


def _strata(frame: Frame) -> list[int]:
    first = frame.view.index * (1 + N_CONDITIONS)
    return [first, *(first + 1 + k for k, positive in enumerate(frame.conditions or ()) if positive)]


def _deal(counts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(G,) bool: which groups are held out, by how often each stratum occurs in them, (G, strata)."""
    shares = np.array([1 - share, share])
    wanted = shares[:, None] * counts.sum(axis=0)  # what each side still lacks, (2, strata)
    held = np.zeros(len(counts), dtype=bool)
    open_groups = rng.permutation(len(counts)).tolist()
    while open_groups:
        left = counts[open_groups].sum(axis=0)
        rarest = int(np.where(left > 0, left, np.inf).argmin())
        # Large groups first, while there is room to make up for them.
        turn = sorted((g for g in open_groups if counts[g, rarest]), key=lambda g: -counts[g].sum())
        for group in turn:
            lack = wanted[:, rarest]
            tied = lack[0] == lack[1]
            side = int((wanted.sum(axis=1) if tied else lack).argmax())
            held[group] = bool(side)
            wanted[side] -= counts[group]
            open_groups.remove(group)
    if held.all() or not held.any():
        smallest = int(counts.sum(axis=1).argmin())
        held[smallest] = not held[smallest]
    return held
