"""Packages that FetalEcho needs: which, in which version, what for, and what is there. Imports none of them.

This table and ``pyproject.toml`` name the same requirements; a test compares them. An installed Slicer module has no
``pyproject.toml``, and the table says more: what a package is for, and whether Slicer brings it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Literal

from .errors import MissingDependency

BASE = ""
Problem = Literal["", "missing", "too old"]


@dataclass(frozen=True)
class Requirement:
    """One package.

    package     name for pip
    version     lowest version that works
    module      what is imported
    purpose     what it is for, in a few words
    group       BASE, or the extra of pyproject.toml that asks for it; only BASE must be there
    with_slicer Slicer brings it: it is never installed or updated, because other versions break Slicer
    needs_torch pip would fetch torch with it, so torch must be there before
    also_as     other packages that provide the same module
    """

    package: str
    version: str
    module: str
    purpose: str
    group: str = BASE
    with_slicer: bool = False
    needs_torch: bool = False
    also_as: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.package}>={self.version}"


def _needs(package: str, version: str, purpose: str, module: str = "", **more: object) -> Requirement:
    return Requirement(package, version, module or package, purpose, **more)  # type: ignore[arg-type]


_OTHER_OPENCV = ("opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")

REQUIREMENTS: tuple[Requirement, ...] = (
    _needs("numpy", "2.0", "arrays", with_slicer=True),
    _needs("scipy", "1.13", "filters and distances", with_slicer=True),
    _needs("pydicom", "2.4.4", "DICOM clips", with_slicer=True),
    _needs("pillow", "10.4", "pictures", module="PIL", with_slicer=True),
    _needs("SimpleITK", "2.4", "MetaImage, NRRD", with_slicer=True),
    _needs("packaging", "24", "comparing versions", with_slicer=True),
    _needs("torch", "2.5", "the networks"),
    _needs("monai", "1.4", "network blocks", needs_torch=True),
    _needs("safetensors", "0.4.5", "weights of models"),
    _needs("einops", "0.8", "network blocks"),
    _needs("pydantic", "2.8", "cards of models"),
    _needs("PyYAML", "6.0.2", "cards of models", module="yaml"),
    _needs("h5py", "3.11", "FETUS HDF5 files"),
    _needs("scikit-image", "0.24", "contours", module="skimage"),
    _needs("opencv-python-headless", "4.10", "resizing and outlines", module="cv2", also_as=_OTHER_OPENCV),
    _needs("matplotlib", "3.9", "curves of the report"),
    _needs("Jinja2", "3.1.4", "the report", module="jinja2"),
    _needs("fpdf2", "2.8", "the report as PDF", module="fpdf"),
    _needs("tqdm", "4.66", "console progress"),
    _needs("psutil", "6.0", "memory"),
    _needs("av", "13", "video files", group="video"),
    _needs("pylibjpeg", "2.0", "compressed DICOM", group="codecs"),
    _needs("pylibjpeg-libjpeg", "2.2", "JPEG in DICOM", module="libjpeg", group="codecs"),
    _needs("pylibjpeg-openjpeg", "2.3", "JPEG 2000 in DICOM", module="openjpeg", group="codecs"),
    _needs("pyjpegls", "1.4", "JPEG-LS in DICOM", module="jpeg_ls", group="codecs"),
    _needs("accelerate", "1.0", "training", group="train", needs_torch=True),
    _needs("transformers", "4.56", "training schedules", group="train"),
    _needs("segment-anything", "1.0", "segmenting by clicks", module="segment_anything", group="refine"),
    _needs("tensorboard", "2.17", "training curves", group="train"),
)
SEGMENTATION_GROUPS = (BASE, "video", "codecs", "refine")


@dataclass(frozen=True)
class Status:
    """A requirement and what is there.

    installed  its version, "?" when it is there without saying which, "" when it is not there
    problem    what is wrong with that, "" if nothing
    """

    requirement: Requirement
    installed: str
    problem: Problem

    @property
    def blocks(self) -> bool:
        """Whether FetalEcho cannot work as it is; an older package of Slicer's own is only worth telling."""
        if self.requirement.group != BASE:
            return False
        return self.problem == "missing" or (self.problem == "too old" and not self.requirement.with_slicer)

    @property
    def installable(self) -> bool:
        """Whether installing would help and is allowed."""
        return bool(self.problem) and not self.requirement.with_slicer


def requirements(groups: Iterable[str] = (BASE,)) -> list[Requirement]:
    """The requirements of ``groups``, which are BASE and extras of pyproject.toml; raises ValueError for another."""
    wanted = set(groups)
    if unknown := wanted - {entry.group for entry in REQUIREMENTS}:
        raise ValueError(f"there is no group of requirements {sorted(unknown)}")
    return [entry for entry in REQUIREMENTS if entry.group in wanted]


def check(groups: Iterable[str] = (BASE,)) -> list[Status]:
    """What is there of the requirements of ``groups``, looked up afresh; imports nothing."""
    importlib.invalidate_caches()
    return [_status(requirement) for requirement in requirements(groups)]


def missing(groups: Iterable[str] = (BASE,)) -> list[Requirement]:
    """Requirements without which FetalEcho cannot work."""
    return [status.requirement for status in check(groups) if status.blocks]


def require_installed(groups: Iterable[str] = (BASE,)) -> None:
    """Raise MissingDependency, naming what is missing, when FetalEcho cannot work yet."""
    lacking = [requirement.package for requirement in missing(groups)]
    if lacking:
        verb = "is" if len(lacking) == 1 else "are"
        raise MissingDependency(
            f"{_listed(lacking)} {verb} not installed: press Install in the panel's section Dependencies."
        )


def installed_versions(packages: Iterable[str] | None = None) -> dict[str, str]:
    """Version by package of those of ``packages`` that are installed; of all requirements if None."""
    names = [entry.package for entry in REQUIREMENTS] if packages is None else packages
    found = {name: _version(name) for name in names}
    return {name: version for name, version in found.items() if version}


# What Slicer brings and FetalEcho uses at most through others: an update by the way would break Slicer.
_KEEP = ("vtk", "requests", "torch", "torchvision")


def pins() -> str:
    """Text of a pip constraints file that holds what Slicer brings, and torch, at the versions that are there."""
    names = [entry.package for entry in REQUIREMENTS if entry.with_slicer]
    versions = installed_versions([*names, *_KEEP])
    return "".join(f"{name}=={version}\n" for name, version in versions.items())


def torch_is_built_for_cuda() -> bool | None:
    """Whether the installed torch can use NVIDIA GPUs, read from its files; None when that is not known."""
    spec = _spec("torch")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        try:
            text = (Path(folder) / "version.py").read_text(encoding="utf-8")
        except OSError:
            continue
        for line in text.splitlines():
            name, separator, value = line.partition("=")
            if separator and name.partition(":")[0].strip() == "cuda":
                return value.strip() not in ("None", "''", '""')
    return None


def _status(requirement: Requirement) -> Status:
    if _spec(requirement.module) is None:
        return Status(requirement, "", "missing")
    versions = (_version(name) for name in (requirement.package, *requirement.also_as))
    installed = next((version for version in versions if version), "?")
    too_old = installed != "?" and not _at_least(installed, requirement.version)
    return Status(requirement, installed, "too old" if too_old else "")


def _spec(module: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: half-initialised by an import that failed
        return None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package) or ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def _at_least(installed: str, needed: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        # The release alone: Slicer's SimpleITK calls itself a candidate of the release that it is.
        return Version(Version(installed).base_version) >= Version(needed)
    except InvalidVersion:
        return True


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
