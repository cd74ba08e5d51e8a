"""What FetalEcho needs, and what of it is there."""

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from FetalEchoSegLib import dependencies
from FetalEchoSegLib.dependencies import BASE, REQUIREMENTS, SEGMENTATION_GROUPS, check, pins, require_installed
from FetalEchoSegLib.errors import MissingDependency

REPOSITORY = Path(__file__).resolve().parents[2]


def lower_bounds(lines):
    """{package: lowest version} of requirement lines such as "numpy>=2.0"; an extra may name another of our extras."""
    foreign = [line for line in lines if not line.startswith("fetalecho[")]
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in foreign)


class Machine:
    """A machine on which all packages of the table are installed, until a test changes that."""

    def __init__(self):
        self.versions = {entry.package: f"{entry.version}.1" for entry in REQUIREMENTS}
        self.modules = {entry.module for entry in REQUIREMENTS}

    def remove(self, package):
        del self.versions[package]
        self.modules.remove(next(entry.module for entry in REQUIREMENTS if entry.package == package))

    def version(self, package):
        if package not in self.versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return self.versions[package]

    def find_spec(self, module):
        return object() if module in self.modules else None


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(importlib.metadata, "version", machine.version)
    monkeypatch.setattr(importlib.util, "find_spec", machine.find_spec)
    return machine


def problems(groups=SEGMENTATION_GROUPS):
    return {status.requirement.package: status.problem for status in check(groups) if status.problem}


def test_the_table_names_what_pyproject_asks_for():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {BASE: project["dependencies"], **project["optional-dependencies"]}
    for group in {entry.group for entry in REQUIREMENTS}:
        table = {entry.package: entry.version for entry in REQUIREMENTS if entry.group == group}
        assert table == lower_bounds(asked[group]), group or "dependencies"


def test_modules_are_those_of_the_packages():
    """Of what is installed here: find_spec of another name would report a package as missing for ever."""
    provided = importlib.metadata.packages_distributions()
    looked_at = 0
    for entry in REQUIREMENTS:
        try:
            importlib.metadata.version(entry.package)
        except importlib.metadata.PackageNotFoundError:
            continue
        looked_at += 1
        assert entry.package.lower() in [name.lower() for name in provided.get(entry.module, [])], entry
    assert looked_at > 10


def test_nothing_is_wrong_where_everything_is_installed(machine):
    assert problems() == {}
    require_installed()


def test_looking_imports_nothing(machine):
    before = set(sys.modules)
    check(SEGMENTATION_GROUPS)
    assert not {name.partition(".")[0] for name in set(sys.modules) - before} & {e.module for e in REQUIREMENTS}


def test_a_missing_package_blocks_and_is_named(machine):
    machine.remove("h5py")
    machine.remove("torch")
    assert problems() == {"h5py": "missing", "torch": "missing"}
    with pytest.raises(MissingDependency, match=r"^torch and h5py are not installed: press Install"):
        require_installed()


def test_an_old_package_blocks(machine):
    machine.versions["pydantic"] = "1.10.21"
    assert problems() == {"pydantic": "too old"}
    with pytest.raises(MissingDependency, match=r"^pydantic is not"):
        require_installed()


def test_an_old_package_of_slicer_is_told_but_neither_blocks_nor_is_installed(machine):
    machine.versions["numpy"] = "1.26.4"
    (status,) = [status for status in check() if status.problem]
    assert (status.problem, status.blocks, status.installable) == ("too old", False, False)
    require_installed()


def test_a_missing_package_of_slicer_blocks_and_is_not_installed(machine):
    machine.remove("scipy")
    (status,) = [status for status in check() if status.problem]
    assert (status.blocks, status.installable) == (True, False)


def test_an_optional_package_is_offered_and_does_not_block(machine):
    machine.remove("av")
    (status,) = [status for status in check(SEGMENTATION_GROUPS) if status.problem]
    assert (status.requirement.group, status.blocks, status.installable) == ("video", False, True)
    assert problems([BASE]) == {}


def test_opencv_of_another_extension_counts(machine):
    """Installing the headless one over it would break both."""
    del machine.versions["opencv-python-headless"]
    machine.versions["opencv-python"] = "4.11.0.86"
    assert problems() == {}


@pytest.mark.parametrize("version", ["2.4.0rc2.dev369", "2.5.1+cu121", "13", "not a version"])
def test_versions_of_builds_count_as_their_release(machine, version):
    machine.versions["SimpleITK"] = version
    assert problems() == {}


def test_a_package_without_metadata_is_there(machine):
    del machine.versions["SimpleITK"]
    (status,) = [status for status in check() if status.requirement.package == "SimpleITK"]
    assert (status.installed, status.problem) == ("?", "")


def test_pins_hold_what_slicer_brings_and_torch(machine):
    machine.versions |= {"torch": "2.5.1+cu121", "vtk": "9.5.0"}
    lines = pins().splitlines()
    assert {"numpy==2.0.1", "torch==2.5.1+cu121", "vtk==9.5.0"} <= set(lines)
    assert not [line for line in lines if line.startswith(("h5py", "monai"))]


def test_an_unknown_group_is_refused():
    with pytest.raises(ValueError, match="no group"):
        check(["trian"])


@pytest.mark.parametrize(
    ("line", "expected"), [("cuda: Optional[str] = '12.4'", True), ("cuda: Optional[str] = None", False)]
)
def test_the_build_of_torch_is_read_without_importing_it(tmp_path, monkeypatch, line, expected):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.5.1'\n{line}\ngit_version = 'abc'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    importlib.invalidate_caches()
    assert dependencies.torch_is_built_for_cuda() is expected
