"""Makes qt_names.json, what Slicer's ``qt`` offers to Python: PythonQt's wrappers, and Qt's properties, slots, signals.

It is made from the generated headers of PythonQt 3.6.1 (Slicer 5.10; the same classes and names as in 4.1.0)
by an interpreter that has PySide2 5.15, for the part that Qt's meta objects know:

    python Testing/panel/host/qt_names.py PYTHONQT/generated_cpp_515

Names of Qt 6 are thus missing, and the host takes from PySide6 what Qt 5.15 lacks: both Qt's of Slicer run the panel.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import names  # beside it, as this runs by itself

_MODULES = ("QtCore", "QtGui", "QtWidgets", "QtNetwork", "QtSvg", "QtXml", "QtUiTools", "QtPrintSupport")
_FOLDERS = ("core", "gui", "network", "svg", "uitools", "xml")
_WRAPPER = re.compile(r"^class PythonQtWrapper_(\w+) : public QObject\n\{(.*?)^\};", re.DOTALL | re.MULTILINE)
_METHOD = re.compile(r"[ *&>](\w+)\(\w*")
_ENUM = re.compile(r"^enum (\w+)\{(.*?)\};", re.DOTALL | re.MULTILINE)
_OF_EVERY_OBJECT = (
    "className children connect delete disconnect findChild findChildren help metaObject name parent property setParent"
    " setProperty tr"
)


def extract(folder: Path) -> dict[str, dict[str, str]]:
    """The table, from generated headers and PySide2."""
    wrapped: dict[str, set[str]] = {}
    for header in sorted(folder.glob("com_trolltech_qt_*/*.h")):
        if header.parent.name.removeprefix("com_trolltech_qt_").removesuffix("_builtin") in _FOLDERS:
            for cls, body in _WRAPPER.findall(header.read_text(encoding="utf-8")):
                wrapped.setdefault(cls, set()).update(_wrapped_names(cls, body))
    wrapped["QObject"].update(_OF_EVERY_OBJECT.split())
    wrapped["QTimer"].add("singleShot")
    classes = _pyside2_classes()
    result = {}
    for cls, found in sorted(wrapped.items()):
        entry = {"names": found}
        if cls in classes:
            entry |= _meta_object(classes[cls], found)
        result[cls] = {kind: " ".join(sorted(values)) for kind, values in entry.items() if values}
        inherited = [
            b.__name__ for b in getattr(classes.get(cls), "__mro__", ()) if b.__name__ in wrapped.keys() - {cls}
        ]
        if inherited:
            result[cls]["base"] = inherited[0]
    return result


def _wrapped_names(cls: str, body: str) -> set[str]:
    found = set()
    for kind, values in _ENUM.findall(body):
        found.update((kind, *re.findall(r"(\w+) =", values)))
    for line in body.splitlines():
        method = _METHOD.search(line)
        if method and not method[1].startswith(("new_", "delete_")) and "enum" not in line:
            found.add(re.sub(rf"^(static_{cls}_|py_q_|promoted_)", "", method[1]))
    return {name for name in found if not name.startswith("__")}


def _pyside2_classes() -> dict[str, Any]:
    import importlib

    modules = [importlib.import_module(f"PySide2.{name}") for name in _MODULES]
    return {name: getattr(module, name) for module in modules for name in dir(module) if name.startswith("Q")}


def _meta_object(cls: Any, found: set[str]) -> dict[str, set[str]]:
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None:
        return {}
    own = {meta.property(i).name() for i in range(meta.propertyOffset(), meta.propertyCount())}
    signals = set()
    for i in range(meta.methodOffset(), meta.methodCount()):
        method = meta.method(i)
        if int(method.methodType()) == 1:
            signals.add(bytes(method.methodSignature()).decode())
        elif not bytes(method.name()).startswith(b"_q_"):
            found.add(bytes(method.name()).decode())
    for i in range(meta.enumeratorOffset(), meta.enumeratorCount()):
        enum = meta.enumerator(i)
        found.update((enum.name(), *(enum.key(k) for k in range(enum.keyCount()))))
    return {"properties": own, "signals": signals, "names": found - own}


if __name__ == "__main__":
    names.write(names.QT_TABLE, extract(Path(sys.argv[1])))
