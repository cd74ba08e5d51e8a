"""Finds in module code what works in the host, or only when it is never reached, and fails in Slicer.

    python Testing/panel/host/module_lint.py [FILES]    without files: this project's modules

The class of an expression is known for ``qt.QLabel(...)``, ``ctk.…``, ``slicer.q…``, ``slicer.app``, the children of
the section's .ui file (``self.ui.<name>``), ``scriptedEffect`` of an effect, and variables and attributes that are only
ever assigned expressions of one class. Of others nothing is claimed.
"""

from __future__ import annotations

import ast
import functools
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a program: begin again as a module of the package
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    runpy.run_module("panel.host.module_lint", run_name="__main__")
    sys.exit()

from . import names

REPOSITORY = Path(__file__).resolve().parents[3]
MODULE_FILES = (
    "FetalEchoSeg/FetalEchoSeg.py",
    "FetalEchoSeg/SegmentEditor*Lib/*.py",
    "FetalEchoTrain/FetalEchoTrain.py",
    "FetalEchoSeg/FetalEchoSegLib/panel/**/*.py",
    "FetalEchoSeg/FetalEchoSegLib/scene/**/*.py",
)
_GONE_IN_QT6 = {"QDesktopWidget", "QDirModel", "QMatrix", "QRegExp", "QRegExpValidator", "QTextCodec", "QTextDecoder"}
_QUICK_TO_IMPORT = {
    "FetalEchoSegLib", "FetalEchoTrainLib", "SegmentEditorEffects", "SegmentEditorSAMMed2DLib", "ctk", "numpy", "qt",
    "slicer", "vtk", "vtkmodules",
}  # fmt: skip
_IN_SLICER = {"packaging", "requests", "scipy"}
_EFFECT_BASES = {"AbstractScriptedSegmentEditorEffect", "AbstractScriptedSegmentEditorLabelEffect"}
_SCRIPTED_EFFECT = "qSlicerSegmentEditorScriptedEffect"
# Methods of an effect that C++ calls, and with how many arguments.
_EFFECT_METHODS = dict.fromkeys(
    (
        "clone",
        "icon",
        "helpText",
        "setupOptionsFrame",
        "setMRMLDefaults",
        "updateGUIFromMRML",
        "updateMRMLFromGUI",
        "activate",
        "deactivate",
        "cleanup",
        "layoutChanged",
        "sourceVolumeNodeChanged",
        "masterVolumeNodeChanged",
    ),
    0,
) | {"createCursor": 1, "interactionNodeModified": 1, "processInteractionEvents": 3, "processViewNodeEvents": 3}
_NEVER_CALLED = {"referenceGeometryChanged": "no Slicer from 5.10 on calls it"}


@dataclass(frozen=True, order=True)
class Finding:
    """Something that Slicer will not do."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def lint(path: Path) -> list[Finding]:
    """Findings in one file of a module; its .ui files lie in Resources/UI of the module's folder."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {*_check_names(tree), *_check_idioms(tree), *_check_imports(tree, path), *_check_effects(tree, path)}
    for node in tree.body:
        found |= set(_Scope(node, path).check())
    return sorted(Finding(path.name, line, text) for line, text in found)


def module_files() -> list[Path]:
    """Files of this project that run in Slicer."""
    return sorted(path for pattern in MODULE_FILES for path in REPOSITORY.glob(pattern))


#
# Names of modules
#


def _dotted(node: ast.AST) -> list[str]:
    """["slicer", "util", "loadUI"] for slicer.util.loadUI; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _class_of_name(parts: list[str]) -> str:
    """Class that qt.QLabel, ctk.ctkComboBox or slicer.qMRMLWidget name."""
    if len(parts) == 2 and (parts[0] in ("qt", "ctk") or (parts[0] == "slicer" and parts[1].startswith("q"))):
        return parts[1]
    return ""


def _check_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    guarded = _guarded(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "slicer.util":
            for alias in node.names:
                yield from _check_util(alias.name, node.lineno, guarded)
        parts = _dotted(node)
        if not parts:
            continue
        line = node.lineno  # type: ignore[attr-defined]
        cls = _class_of_name(parts[:2])
        if len(parts) == 2 and cls:
            known = names.qt_classes() if parts[0] == "qt" else names.classes().keys() - names.qt_classes()
            if cls not in known:
                yield line, f"{'.'.join(parts)}: not in Slicer, or not in the host"
            if cls in _GONE_IN_QT6:
                yield line, f"{'.'.join(parts)}: not in Qt 6"
        elif len(parts) >= 3 and cls in names.classes():
            if parts[2] not in names.attributes(cls) and not parts[2].startswith("__"):
                yield line, f"{'.'.join(parts[:3])}: {cls} has no '{parts[2]}'"
            elif len(parts) == 4 and parts[2][0].isupper():
                yield line, f"{'.'.join(parts)}: enum values are reached through the class: {parts[1]}.{parts[3]}"
        elif len(parts) == 3 and parts[:2] == ["slicer", "util"]:
            yield from _check_util(parts[2], line, guarded)
        elif parts[:2] == ["slicer", "packaging"] and "packaging" not in guarded:
            yield line, "slicer.packaging: only in Slicer 5.12 and later; ask with hasattr before"


def _check_util(name: str, line: int, guarded: set[str]) -> Iterator[tuple[int, str]]:
    always, sometimes = names.python_names("slicer.util")
    if name in sometimes and name not in guarded:
        yield line, f"slicer.util.{name}: not in every Slicer from 5.10 on; ask with hasattr before"
    elif name not in always | sometimes:
        yield line, f"slicer.util.{name}: not in Slicer"


def _guarded(tree: ast.Module) -> set[str]:
    """Names that the file asks for with hasattr."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "hasattr"]
    return {call.args[1].value for call in calls if isinstance(call.args[1], ast.Constant)}  # type: ignore[misc]


#
# Idioms
#


def _check_idioms(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "print":
            yield node.lineno, "print: use logging"
        elif name in ("isinstance", "issubclass") and len(node.args) == 2:
            kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
            for kind in kinds:
                if _class_of_name(_dotted(kind)):
                    yield node.lineno, f"{name}(…, {ast.unparse(kind)}): true for the exact class only; ask inherits()"
        elif name == "_" and node.args and isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call):
            yield node.lineno, "_(): translates texts that are known beforehand; call format() on its result"
        if node.keywords and (_class_of_name(_dotted(node.func)[:2])):
            yield node.lineno, f"{name}(): PythonQt takes no keyword arguments"


def _check_imports(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """A module file is imported at each start of Slicer, its panel when it is opened; the packages may not be there."""
    if "scene" in path.parts:  # what of it the panel imports is found there
        return
    quick = _QUICK_TO_IMPORT | (_IN_SLICER if "panel" in path.parts else set())
    for line, module in _top_imports(tree, path):
        slow = _slow_import(module, path, quick, set())
        if slow:
            yield line, f"import of {slow}: import it in the function that needs it"


def _top_imports(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every module imported when the file is."""
    package = [p.name for p in path.parents if (p / "__init__.py").is_file()][::-1]
    for node in _executed_at_import(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{module}.{alias.name}"
                yield node.lineno, submodule if _source(submodule, path) else module


def _executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not typing_only:
            yield child
            yield from _executed_at_import(child)


def _slow_import(module: str, path: Path, quick: set[str], seen: set[str]) -> str:
    """The first third-party module that importing ``module`` imports, with the way to it; empty if there is none."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or module in seen:
        return ""
    seen.add(module)
    source = _source(module, path)
    if source is None:
        return "" if top in quick else top
    for imported in _imports_of(source):
        slow = _slow_import(imported, path, quick, seen)
        if slow:
            return f"{module} > {slow}"
    return ""


@functools.cache
def _imports_of(source: Path) -> list[str]:
    return [module for _, module in _top_imports(ast.parse(source.read_text(encoding="utf-8")), source)]


def _source(module: str, path: Path) -> Path | None:
    """File of one of this project's modules."""
    for folder in (*path.parents, *(REPOSITORY / name for name in ("FetalEchoSeg", "FetalEchoTrain"))):
        stem = folder.joinpath(*module.split("."))
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file() and module.startswith("FetalEcho"):
                return candidate
    return None


#
# Effects of the Segment Editor
#


def _check_effects(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """What the adaptor of an effect asks of its file."""
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        if not any(ast.unparse(base).split(".")[-1] in _EFFECT_BASES for base in cls.bases):
            continue
        expected = path.stem if path.stem.endswith("Effect") else f"{path.stem}Effect"
        if cls.name != expected:
            yield cls.lineno, f"class {cls.name}: the effect in {path.name} has to be called {expected}"
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield node.lineno, "relative import: Slicer may load the effect's file outside of its package"
        methods = {node.name: node for node in cls.body if isinstance(node, ast.FunctionDef)}
        if "clone" not in methods:
            yield cls.lineno, f"class {cls.name}: an effect has to have a method clone"
        for name, method in methods.items():
            yield from _check_effect_method(name, method)


def _check_effect_method(name: str, method: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    if name in _NEVER_CALLED:
        yield method.lineno, f"{name}(): {_NEVER_CALLED[name]}"
    count, arguments = _EFFECT_METHODS.get(name), method.args
    takes = len(arguments.posonlyargs) + len(arguments.args) - 1
    if count is not None and not (takes - len(arguments.defaults) <= count and (takes >= count or arguments.vararg)):
        yield method.lineno, f"{name}(): Slicer calls it with {count} arguments"
    if name == "processInteractionEvents":
        returns = [n for n in _own_statements(method) if isinstance(n, ast.Return)]
        for node in returns:
            if node.value is None or (isinstance(node.value, ast.Constant) and not isinstance(node.value.value, bool)):
                yield node.lineno, "processInteractionEvents(): has to return a bool, True for a taken event"
        if not isinstance(method.body[-1], ast.Return | ast.Raise | ast.If | ast.Match | ast.Try | ast.With):
            yield method.lineno, "processInteractionEvents(): has to return a bool, True for a taken event"
    for node in ast.walk(method) if name == "__init__" else ():
        named = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("scriptedEffect.name")
        if named and isinstance(node.value, ast.Call | ast.JoinedStr):
            yield node.lineno, "the name of an effect is written into scenes: translate its title instead"


def _own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Without those of functions inside."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from _own_statements(child)


#
# Objects of known class
#


class _Scope:
    """A class or another statement of a module, and the classes of the objects in it.

    ui     class by name of the widgets of its .ui file, None when it names no .ui file
    types  class by expression ("self._timer", "label"); "" when it is assigned different things
    """

    def __init__(self, node: ast.stmt, path: Path) -> None:
        self.node = node
        self.ui = _widgets_of_ui(node, path)
        self.types: dict[str, str] = {}
        assignments = [n for n in ast.walk(node) if isinstance(n, ast.Assign | ast.AnnAssign | ast.NamedExpr)]
        for _ in range(2):  # the second time follows aliases
            types: dict[str, str] = {}
            for assignment in assignments:
                for target, value in _pairs(assignment):
                    kind = "self.ui" if ast.unparse(value) == "self.ui" else self.kind(value)
                    key = ast.unparse(target)
                    empty = isinstance(value, ast.Constant) and value.value is None
                    if not empty:
                        types[key] = kind if types.get(key, kind) == kind else ""
            for function in (n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.Lambda)):
                for argument in (*function.args.args, *function.args.kwonlyargs):
                    types[argument.arg] = ""
            for loop in (n for n in ast.walk(node) if isinstance(n, ast.For | ast.comprehension)):
                for target in ast.walk(loop.target):
                    types[ast.unparse(target)] = ""
            self.types = types

    def kind(self, node: ast.expr) -> str:
        """Class of what an expression gives, or nothing."""
        if ast.unparse(node).split(".")[-1] == "scriptedEffect":
            return _SCRIPTED_EFFECT
        if isinstance(node, ast.Call):
            parts = _dotted(node.func)
            cls = _class_of_name(parts[:-1] if parts[2:] == ["instance"] else parts)
            return cls if cls in names.classes() else ""
        if _dotted(node) == ["slicer", "app"]:
            return "qSlicerApplication"
        if self._is_widget_of_ui(node):
            return (self.ui or {}).get(node.attr, "")  # type: ignore[attr-defined]
        return self.types.get(ast.unparse(node), "")

    def _is_widget_of_ui(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Attribute):
            return False
        owner = ast.unparse(node.value)
        return owner == "self.ui" or self.types.get(owner) == "self.ui"

    def check(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.node):
            if isinstance(node, ast.Attribute):
                yield from self._check_attribute(node)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield from self._check_call(node, node.func)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    yield from self._check_assignment(target)
        if isinstance(self.node, ast.ClassDef):
            yield from self._check_subclass(self.node)

    def _check_attribute(self, node: ast.Attribute) -> Iterator[tuple[int, str]]:
        if self.ui is not None and self._is_widget_of_ui(node) and node.attr not in self.ui:
            yield node.lineno, f"{ast.unparse(node)}: no such widget in the .ui file"
        cls = self.kind(node.value)
        if cls in names.classes() and node.attr.rstrip("_") not in names.attributes(cls) and not self._is_child(node):
            yield node.lineno, f"{ast.unparse(node)}: {cls} has no '{node.attr}'"

    def _is_child(self, node: ast.Attribute) -> bool:
        return node.attr in (self.ui or {})

    def _check_call(self, call: ast.Call, function: ast.Attribute) -> Iterator[tuple[int, str]]:
        cls = self.kind(function.value)
        what = ast.unparse(function)
        if cls in names.classes():
            if function.attr in names.properties(cls) and function.attr != "singleShot":
                yield call.lineno, f"{what}(): '{function.attr}' of {cls} is a value in PythonQt, not a method"
            if cls == _SCRIPTED_EFFECT and function.attr.startswith(("setParameter", "setCommonParameter")):
                yield from self._check_parameter(call, what)
            signature = ast.unparse(call.args[0]).strip("'") if call.args else ""
            connects = function.attr in ("connect", "disconnect") and "(" in signature
            if connects and signature.replace(" ", "") not in names.signals(cls):
                yield call.lineno, f"{cls} has no signal {signature}"
        elif function.attr in ("connect", "disconnect", "emit") and isinstance(function.value, ast.Attribute):
            yield from self._check_signal(function.value, function.attr)

    def _check_parameter(self, call: ast.Call, what: str) -> Iterator[tuple[int, str]]:
        value = call.args[1] if len(call.args) == 2 else None
        truth = isinstance(value, ast.Constant) and isinstance(value.value, bool)
        negated = isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
        checked = isinstance(value, ast.Attribute) and value.attr in ("checked", "enabled", "visible")
        if truth or negated or checked or isinstance(value, ast.Compare):
            yield call.lineno, f"{what}(): a bool becomes one text or another, by the version of PythonQt; pass 1 or 0"

    def _check_signal(self, signal: ast.Attribute, verb: str) -> Iterator[tuple[int, str]]:
        cls = self.kind(signal.value)
        if cls not in names.classes():
            return
        overloads = [s for s in names.signals(cls) if s.split("(")[0] == signal.attr]
        if not overloads:
            yield signal.lineno, f"{cls} has no signal {signal.attr}"
        longest = max(overloads, key=len, default="")
        if any(
            not longest.startswith(s.rstrip(")").rstrip("(")) for s in overloads
        ):  # clicked() is part of clicked(bool)
            yield signal.lineno, f"{cls}.{signal.attr} is overloaded: {verb} by signature, one of {sorted(overloads)}"

    def _check_assignment(self, target: ast.expr) -> Iterator[tuple[int, str]]:
        if not isinstance(target, ast.Attribute):
            return
        cls = self.kind(target.value)
        if cls not in names.classes():
            return
        setter = f"set{target.attr[0].upper()}{target.attr[1:]}"
        if setter in names.attributes(cls):
            yield target.lineno, f"{ast.unparse(target)} = …: call {setter}"
        elif target.attr not in names.properties(cls) - names.readonly(cls):
            yield target.lineno, f"{ast.unparse(target)} = …: no property of {cls}, and new attributes are refused"

    def _check_subclass(self, node: ast.ClassDef) -> Iterator[tuple[int, str]]:
        """``self.width()`` in a Python subclass of a widget."""
        base = next((cls for cls in (_class_of_name(_dotted(b)) for b in node.bases) if cls), "")
        own = {f.name for f in node.body if isinstance(f, ast.FunctionDef)}
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)):
            name = call.func.attr  # type: ignore[attr-defined]
            if _dotted(call.func) == ["self", name] and name in names.properties(base) and name not in own:
                yield call.lineno, f"self.{name}(): '{name}' of {base} is a value in PythonQt, not a method"


def _pairs(assignment: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Targets with their values; ``a, b = x, y`` is two of them."""
    if assignment.value is None:
        return
    for target in assignment.targets if isinstance(assignment, ast.Assign) else [assignment.target]:
        if isinstance(target, ast.Tuple):
            values = assignment.value.elts if isinstance(assignment.value, ast.Tuple) else []
            fill = [ast.Name("…")] * (len(target.elts) - len(values))
            yield from zip(target.elts, [*values, *fill], strict=False)
        else:
            yield target, assignment.value


def _widgets_of_ui(node: ast.stmt, path: Path) -> dict[str, str] | None:
    """Classes of the widgets in the .ui file that a class names by ``uiName`` or in a string "….ui"."""
    if not isinstance(node, ast.ClassDef):
        return None
    found = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and str(n.value).endswith(".ui")]
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "uiName":
            found = [f"{ast.literal_eval(statement.value)}.ui"]
    if len(found) != 1:
        return None
    file = next((f for p in path.parents if (f := p / "Resources" / "UI" / Path(str(found[0])).name).is_file()), None)
    if file is None:
        return None
    tree = ElementTree.parse(file)
    return {e.get("name", ""): e.get("class", "") for e in tree.iter() if e.tag in ("widget", "layout", "action")}


if __name__ == "__main__":
    findings = [f for path in map(Path, sys.argv[1:]) for f in lint(path)] if sys.argv[1:] else []
    findings += [f for path in module_files() for f in lint(path)] if not sys.argv[1:] else []
    sys.stdout.write("".join(f"{finding}\n" for finding in findings))
    sys.exit(bool(findings))
