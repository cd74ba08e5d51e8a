"""What Slicer offers to Python, by class: the facts that surface.py and module_lint.py hold code against.

qt_names.json      PythonQt's wrappers of Qt 5.15, see qt_names.py
slicer_names.json  the ctk, qMRML and qSlicer classes that the host plays, with their bases, and Python modules,
                   see surface.py
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

FOLDER = Path(__file__).parent
QT_TABLE = FOLDER / "qt_names.json"
SLICER_TABLE = FOLDER / "slicer_names.json"


@functools.cache
def classes() -> dict[str, dict[str, str]]:
    """By class: its base; its own properties, read-only ones among them, signals (signatures) and other names."""
    return _read(QT_TABLE) | _read(SLICER_TABLE).get("classes", {})


@functools.cache
def qt_classes() -> frozenset[str]:
    """Classes of Qt."""
    return frozenset(_read(QT_TABLE))


def python_names(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of one of Slicer's Python modules: in every version from 5.10 on; in some of them only."""
    found = _read(SLICER_TABLE).get("python", {}).get(module, {})
    return frozenset(found.get("always", "").split()), frozenset(found.get("sometimes", "").split())


def bases(cls: str) -> list[str]:
    """``cls`` and its bases, as far as they are known."""
    found = []
    while cls in classes():
        found.append(cls)
        cls = classes()[cls].get("base", "")
    return found


def properties(cls: str) -> frozenset[str]:
    """Names that read as values."""
    return _entries(cls, "properties")


def readonly(cls: str) -> frozenset[str]:
    """Properties that cannot be written (of Slicer's and CTK's classes)."""
    found: dict[str, bool] = {}
    for base in reversed(bases(cls)):  # a class can make an inherited property writable
        unwritable = classes()[base].get("readonly", "").split()
        found |= {name: name in unwritable for name in classes()[base].get("properties", "").split()}
    return frozenset(name for name, unwritable in found.items() if unwritable)


def signals(cls: str) -> frozenset[str]:
    """Signatures of signals."""
    return _entries(cls, "signals")


@functools.cache
def attributes(cls: str) -> frozenset[str]:
    """Every attribute."""
    return _entries(cls, "properties") | _entries(cls, "names") | {signal.split("(")[0] for signal in signals(cls)}


@functools.cache
def _entries(cls: str, kind: str) -> frozenset[str]:
    return frozenset(name for base in bases(cls) for name in classes()[base].get(kind, "").split())


@functools.cache
def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(path: Path, table: dict) -> None:
    """Write a table, one entry a line."""
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in table.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")
