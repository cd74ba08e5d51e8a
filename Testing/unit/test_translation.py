"""What a panel says can be translated: every text goes through ``_()``, as one literal."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = [
    path
    for module in ("FetalEchoSeg", "FetalEchoTrain")
    for path in (
        REPOSITORY / module / f"{module}.py",
        *sorted((REPOSITORY / module / f"{module}Lib" / "panel").glob("*.py")),
    )
]
# Calls whose first text a user reads.
_SHOWING = re.compile(
    r"set(Text|ToolTip|Title|WindowTitle|LabelText|PlaceholderText|StatusTip|Prefix|Suffix|SpecialValueText)"
    r"|add(Item|Button|Action|Menu|Tab)|showStatus|showingErrors|(error|info|warning|confirm\w+)Display|runJob"
    r"|Q(Label|PushButton|CheckBox|RadioButton|GroupBox|Action|TableWidgetItem)"
)
_WORD = re.compile(r"[^\W\d_]{2}")


def problems(source: str) -> list[str]:
    """One line for each text that no translator would ever see."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "windowTitle")]
        if name == "_" and not (len(node.args) == 1 and _literal(node.args[0])):
            found.append(f"line {node.lineno}: _() wants one literal")
        if _SHOWING.fullmatch(name):
            found += [f"line {node.lineno}: {name}({ast.unparse(text)})" for text in texts if _untranslated(text)]
    return found


def _literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _untranslated(node: ast.expr) -> bool:
    """A text with words that are not an argument of ``_()``."""
    if isinstance(node, ast.JoinedStr):
        return any(_untranslated(part) for part in node.values if isinstance(part, ast.Constant))
    if isinstance(node, ast.BinOp):
        return _untranslated(node.left) or _untranslated(node.right)
    if isinstance(node, ast.IfExp):
        return _untranslated(node.body) or _untranslated(node.orelse)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _untranslated(node.func.value)
    return _literal(node) and _WORD.search(node.value.removeprefix("https://")) is not None


@pytest.mark.parametrize(
    "source",
    [
        'label.setText("Ready")',
        'label.setText(f"Frame {n}")',
        'label.setText("{n} frames".format(n=3))',
        'label.setText(_("Frame") if one else "Frames")',
        'slicer.util.errorDisplay(_("It failed"), windowTitle="FetalEcho")',
        'box.addButton("Keep", role)',
        '_(f"Frame {n}")',
        '_("Frame " + name)',
    ],
)
def test_what_cannot_be_translated_is_found(source):
    assert len(problems(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        'label.setText("")',
        'label.setText(_("{n} frames").format(n=3))',
        'label.setText(f"{width} × {height}")',
        'item.setObjectName("strip")',
        'logging.info("Reading")',
    ],
)
def test_what_is_translated_or_no_text_passes(source):
    assert problems(source) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_panels_can_be_translated(path):
    assert problems(path.read_text(encoding="utf-8")) == []
