"""Whether the host is honest: does it offer a name, a property or a signal that the real class lacks?

slicer_names.json holds the part of Slicer's names that is needed for it. Make it again when the host has a new class,
from widgets.json and python.json, which list the names in the headers and Python files of Slicer and CTK:

    python Testing/panel/host/surface.py --extract PATH_TO_widgets.json
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run as a program: begin again as a module of the package
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    runpy.run_module("panel.host.surface", run_name="__main__")
    sys.exit()

from . import names, pythonqt

FLOOR = (5, 10)


def host_classes() -> dict[str, type]:
    """Classes of the host that play C++ ones, by name; boot first."""
    return {cls.__name__: cls for cls in pythonqt.cpp_classes() if not _foreign(cls)}


def violations(cls: type) -> Iterator[str]:
    """What ``cls`` offers and the C++ class of its name does not."""
    name = cls.__name__
    if name not in names.classes() or name in names.qt_classes():
        yield f"{name}: Slicer has no such class, or slicer_names.json was not made again"
        return
    plays, is_a = _qt_base(name), next(base.__name__ for base in cls.__mro__ if _foreign(base))
    if is_a not in names.bases(plays):
        yield f"{name}: is a {is_a} here, and a {plays} in Slicer"
    for attribute, value in sorted(_own_attributes(cls).items()):
        if attribute not in names.attributes(name):
            yield f"{name}.{attribute}: not in Slicer"
        elif isinstance(value, pythonqt.PySignal):
            for signature in sorted(set(value.signatures) - names.signals(name)):
                yield f"{name}: no signal {signature} in Slicer"
        elif _is_property(value) != (attribute in names.properties(name)):
            if not hasattr(getattr(pythonqt.QtWidgets, is_a, None), attribute):  # virtual functions: sizeHint
                yield f"{name}.{attribute}: {'no' if _is_property(value) else 'a'} property in Slicer"
        elif _is_property(value) and value.fset is not None and attribute in names.readonly(name):
            yield f"{name}.{attribute}: cannot be written in Slicer"


def _foreign(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("PySide6", "Shiboken", "shiboken6", "builtins")


def _qt_base(name: str) -> str:
    return next((base for base in names.bases(name) if base in names.qt_classes()), "")


def _own_attributes(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if not _foreign(base):
            found = {k: v for k, v in vars(base).items() if not k.startswith("_") and k != "staticMetaObject"} | found
    return found


def _is_property(value: Any) -> bool:
    return isinstance(value, pythonqt.QtCore.Property)


def extract(widgets: dict[str, Any], python: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Table of the ``wanted`` classes with their bases, and of Slicer's Python modules."""
    table = {"QVTKWidget": {"base": "QOpenGLWidget"}}  # VTK's
    queue = sorted(wanted & set(widgets))
    while queue:
        name = queue.pop()
        entry = widgets[name]
        base = entry["base"].split("::")[-1]
        table[name] = {
            "base": base,
            "properties": " ".join(sorted(entry["properties"])),
            "readonly": " ".join(sorted(k for k, v in entry["properties"].items() if not v["rw"])),
            "signals": " ".join(sorted(s for signatures in entry["signals"].values() for s in signatures)),
            "names": " ".join(sorted({*entry["slots"], *entry["invokables"], *entry["enums"]})),
        }
        table[name] = {kind: value for kind, value in table[name].items() if value}
        if base in widgets and base not in table:
            queue.append(base)
    supported = {
        v for functions in python.values() for facts in functions.values() for v in facts["in"] if _supported(v)
    }
    modules = {module: _by_version(functions, supported) for module, functions in sorted(python.items())}
    return {"classes": dict(sorted(table.items())), "python": modules}


def _supported(version: str) -> bool:
    return tuple(map(int, version.split(".")[:2])) >= FLOOR


def _by_version(functions: dict[str, Any], supported: set[str]) -> dict[str, str]:
    """Names in every supported version, and names in some of them."""
    versions: dict[str, set[str]] = {}
    for function, facts in functions.items():
        versions.setdefault(function.split(".")[0], set()).update(facts["in"])
    always = {name for name, found in versions.items() if supported <= found}
    sometimes = {name for name, found in versions.items() if supported & found} - always
    return {"always": " ".join(sorted(always)), "sometimes": " ".join(sorted(sometimes))}


def main(path: Path) -> None:
    """Write slicer_names.json."""
    from . import boot

    boot.start()
    widgets = json.loads(path.read_text(encoding="utf-8"))
    python = json.loads(path.with_name("python.json").read_text(encoding="utf-8"))
    names.write(names.SLICER_TABLE, extract(widgets, python, set(host_classes())))


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("--extract") + 1]))
