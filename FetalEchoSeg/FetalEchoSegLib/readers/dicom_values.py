"""Element values of a DICOM header as plain Python, tolerant of what scanners and damaged files put there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pydicom.errors import BytesLengthException, InvalidDicomError

from .common import DAMAGE

# What pydicom raises on damaged headers beyond the usual.
DICOM_DAMAGE = (*DAMAGE, BytesLengthException, InvalidDicomError)
UNREADABLE = "unreadable"


def value(dataset: Any, keyword: str) -> Any:
    """Value of an element, None when it is absent, empty or cannot be parsed."""
    try:
        found = dataset.get(keyword)
    except DICOM_DAMAGE:  # pydicom parses an element when it is asked for it
        return None
    return None if found is None or (isinstance(found, str) and not found.strip()) else found


def numbers(dataset: Any, keyword: str) -> list[float]:
    """All values of an element as floats, NaN for those that are no number; empty when it is absent."""
    found = value(dataset, keyword)
    if found is None:
        return []
    several = found if isinstance(found, Sequence) and not isinstance(found, str | bytes) else [found]
    return [_number(item) for item in several]


def number(dataset: Any, keyword: str) -> float | None:
    """First value of an element as a float, None when it is absent; NaN when it is no number."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def whole(dataset: Any, keyword: str) -> int | None:
    """First value of an element as an int, None when it is absent or no finite number."""
    found = number(dataset, keyword)
    return int(found) if found is not None and math.isfinite(found) else None


def text(dataset: Any, keyword: str) -> str:
    """First value of an element as stripped text, "" when it is absent; for comparing, not for showing."""
    found = value(dataset, keyword)
    if found is None:
        return ""
    if isinstance(found, Sequence) and not isinstance(found, str | bytes):
        found = found[0] if len(found) else ""
    return str(found).strip().strip("\0")


def code(dataset: Any, keyword: str) -> str:
    """Text of a code, identifier or device name that may be shown: "unreadable" when it cannot be one.

    A damaged length lets an element run into its neighbours, and the patient's name is one of them.
    """
    found = text(dataset, keyword)
    return found if re.fullmatch(r"[\w .,/()+-]{0,64}", found, re.ASCII) else UNREADABLE


def items(dataset: Any, keyword: str) -> list[Any]:
    """Items of a sequence element, empty when it is absent or is no sequence."""
    found = value(dataset, keyword)
    try:
        return [item for item in found if hasattr(item, "get")] if found is not None else []
    except DICOM_DAMAGE:
        return []


def _number(item: Any) -> float:
    try:
        return float(item)
    except (TypeError, ValueError, OverflowError):
        return math.nan
