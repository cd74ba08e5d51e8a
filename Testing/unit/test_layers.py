"""The core knows nothing of Slicer, and light modules nothing of heavy packages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
APPLICATION = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PySide6", "mrml", "sitkUtils"}
HEAVY = {
    "torch", "torchvision", "monai", "transformers", "pydicom", "pydantic", "yaml", "SimpleITK", "skimage", "cv2",
    "matplotlib", "h5py", "av", "PIL", "safetensors", "segment_anything", "jinja2", "accelerate",
}  # fmt: skip
LIBRARIES = (REPOSITORY / "FetalEchoSeg" / "FetalEchoSegLib", REPOSITORY / "FetalEchoTrain" / "FetalEchoTrainLib")
SLICER_LAYERS = {"scene", "panel"}
# What Slicer imports at start-up or for the first look at a scene.
LIGHT = ("__init__", "anatomy", "cine", "prediction", "errors", "conditions", "output_files", "scene/terminology")


def core_files() -> list[Path]:
    return [
        path
        for library in LIBRARIES
        for path in sorted(library.rglob("*.py"))
        if not SLICER_LAYERS & set(path.relative_to(library).parts)
    ]


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    """First parts of the names that ``path`` imports absolutely."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    nodes = _run_at_import(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


def _run_at_import(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_at_import(child)


def test_there_is_a_core():
    assert len(core_files()) > 10


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_core_never_imports_the_application(path):
    assert not imported(path) & APPLICATION


@pytest.mark.parametrize("path", core_files(), ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_core_never_uses_the_scene_at_import(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _run_at_import(tree):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] != "scene"
            assert "FetalEchoSegLib.scene" not in (node.module or "")


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_import_nothing_heavy(name):
    assert not imported(LIBRARIES[0] / f"{name}.py", top_level_only=True) & HEAVY


@pytest.mark.parametrize("module", ["FetalEchoSeg", "FetalEchoTrain"])
def test_module_files_import_only_slicer_at_start(module):
    found = imported(REPOSITORY / module / f"{module}.py", top_level_only=True)
    standard = {"collections", "contextlib", "enum", "logging", "pathlib", "traceback", "typing"}
    assert found <= {"slicer", "vtk", *standard}


@pytest.mark.parametrize("path", sorted((LIBRARIES[0] / "panel").glob("*.py")), ids=lambda path: path.name)
def test_panel_opens_before_anything_is_installed(path):
    """The panel says what is missing, so it must not need it."""
    assert not imported(path, top_level_only=True) & HEAVY


def test_segmentation_never_depends_on_training():
    for path in sorted(LIBRARIES[0].rglob("*.py")):
        assert "FetalEchoTrainLib" not in imported(path), path
