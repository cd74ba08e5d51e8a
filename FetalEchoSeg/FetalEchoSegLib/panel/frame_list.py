"""Frame numbers in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from slicer.i18n import tr as _

_MOST_RUNS = 8


def listed(frames: Iterable[int]) -> str:
    """Frame numbers in order as a user writes them, such as "2, 5 to 9, 12"; long lists are cut."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    texts = [
        str(first) if first == last else _("{first} to {last}").format(first=first, last=last) for first, last in runs
    ]
    shown = texts[:_MOST_RUNS]
    text = ", ".join(shown)
    return text if len(shown) == len(texts) else _("{list} and more").format(list=text)
