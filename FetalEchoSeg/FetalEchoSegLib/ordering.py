"""The order people expect of numbered names."""

from __future__ import annotations

import re


def natural_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorting key that puts "frame 2" before "frame 10", whatever the case of the letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    # Digits too many for an int conversion limit stay text.
    return tuple((0, int(part)) if part[0] in "0123456789" and len(part) < 1000 else (1, part) for part in parts)
