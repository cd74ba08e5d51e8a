"""Installs packages into Slicer's Python, on the user's click only, and touches nothing that Slicer brings.

torch comes through the extension PyTorch, which chooses the build for the GPU. The rest comes through
``slicer.packaging`` (Slicer 5.12) or ``slicer.util.pip_install`` (before). Both are held by a constraints file to the
versions of what is there, so that no package brings another numpy. Everything here runs on the main thread: Slicer's
functions make Qt objects, and keep the application alive meanwhile.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..dependencies import Requirement, Status, check, installed_versions, pins
from ..errors import Cancelled, MissingDependency

_REQUESTER = "FetalEcho"
_TORCH = "torch"


class Installer:
    """Installs what is missing of some groups of requirements.

    groups  of ``dependencies.requirements``
    log     called with each line that the installation says
    """

    def __init__(self, groups: Sequence[str], log: Callable[[str], None]) -> None:
        self._groups = tuple(groups)
        self._log = log

    def toInstall(self) -> list[Requirement]:
        """What ``install`` would install, torch first."""
        wanted = [status.requirement for status in check(self._groups) if status.installable]
        return sorted(wanted, key=lambda requirement: requirement.package != _TORCH)

    def install(self) -> bool:
        """Install what is missing; the user was asked before. Returns whether Slicer must be restarted.

        Raises MissingDependency, with what to do, when something could not be installed; what was installed until then
        stays. Raises Cancelled when the user declines a question.
        """
        wanted = self.toInstall()
        before = installed_versions()
        restart = False
        with self._logging():
            if wanted and wanted[0].package == _TORCH:
                wanted = wanted[1:]
                restart = self._installTorch()
            if restart:  # torch comes after it, and what needs torch then, too
                wanted = [requirement for requirement in wanted if not requirement.needs_torch]
            if wanted:
                self._pip([str(requirement) for requirement in wanted])
        if restart:
            return True
        self._requireInstalled()
        return self._updatedWhileLoaded(before)

    def _installTorch(self) -> bool:
        """Install torch through its extension, or the extension first; returns whether Slicer must be restarted."""
        try:
            import PyTorchUtils
        except ImportError:
            self._installTorchExtension()
            return True
        version = next(r.version for r in self.toInstall() if r.package == _TORCH)
        self._log(_("Installing PyTorch through the extension PyTorch"))
        try:
            # The return value is the imported module, which this may not need to keep.
            torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=f">={version}"
            )
        except Exception as error:  # the extension's own errors, pip's, and those of importing a broken torch
            logging.exception("PyTorch could not be installed")
            self._log(f"{type(error).__name__}: {error}")
            raise MissingDependency(
                _(
                    "PyTorch could not be installed ({error}): see the log, then try again in the module PyTorch Util."
                ).format(error=_firstLine(error))
            ) from error
        if torch is None:
            raise Cancelled(_("PyTorch was not installed."))
        return False

    def _installTorchExtension(self) -> None:
        text = _(
            "PyTorch is installed by the extension PyTorch, which chooses the build for this computer, and which is not"
            " installed.\n\nInstall this extension now? Slicer must be restarted afterwards; then press Install again."
        )
        if not slicer.util.confirmOkCancelDisplay(text, windowTitle=_("FetalEcho dependencies")):
            raise Cancelled(_("Not installed: PyTorch needs the extension PyTorch."))
        model = slicer.app.extensionsManagerModel()
        self._log(_("Installing the extension PyTorch"))
        # Slicer itself would ask to restart, before the other packages are there.
        if not model.installExtensionFromServer("PyTorch", False):
            raise MissingDependency(
                _("The extension PyTorch could not be installed: install it in the Extensions Manager, then restart.")
            )

    def _pip(self, requirements: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="fetalecho-") as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text(pins(), encoding="utf-8")
            self._log(_("Installing {packages}").format(packages=", ".join(requirements)))
            try:
                packaging = _slicerPackaging()
                if packaging is not None:
                    packaging.pip_ensure(
                        requirements, constraints=str(constraints), prompt_install=False, requester=_REQUESTER
                    )
                else:
                    for requirement in requirements:
                        slicer.util.pip_install(["--constraint", str(constraints), requirement])
            except subprocess.CalledProcessError as error:
                self._log(str(error))
                raise MissingDependency(
                    _(
                        "pip could not install everything (exit code {code}): see the log, check the network, retry."
                    ).format(code=error.returncode)
                ) from error
            except RuntimeError as error:  # another installation runs, or the user declined
                self._log(str(error))
                raise MissingDependency(
                    _("The packages were not installed: {error}").format(error=_firstLine(error))
                ) from error

    def _requireInstalled(self) -> None:
        lacking = [status for status in check(self._groups) if status.installable]
        if lacking:
            names = ", ".join(status.requirement.package for status in lacking)
            raise MissingDependency(
                _("Still missing after the installation: {packages}. See the log.").format(packages=names)
            )

    def _updatedWhileLoaded(self, before: dict[str, str]) -> bool:
        """Whether a package that runs in this process is another version on disk now."""
        modules = {requirement.package: requirement.module for requirement in map(_requirementOf, check(self._groups))}
        return any(
            modules[package] in sys.modules and package in before and before[package] != version
            for package, version in installed_versions(modules).items()
        )

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        """Pass on what is printed meanwhile: that is how Slicer's functions show the lines of pip."""
        with contextlib.redirect_stdout(_Tee(sys.stdout, self._log)):  # type: ignore[type-var]
            yield


class _Tee:
    """A text stream that hands whole lines to ``log`` as well."""

    def __init__(self, stream: Any, log: Callable[[str], None]) -> None:
        self._stream = stream
        self._log = log
        self._line = ""

    def write(self, text: str) -> int:
        if self._stream is not None:
            self._stream.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()


def _slicerPackaging() -> Any:
    """``slicer.packaging`` of Slicer 5.12 and later, or None."""
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:
        return None
    return packaging if hasattr(packaging, "pip_ensure") else None


def _requirementOf(status: Status) -> Requirement:
    return status.requirement


def _firstLine(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
