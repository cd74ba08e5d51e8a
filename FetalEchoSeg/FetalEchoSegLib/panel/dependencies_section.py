"""The Dependencies section of the panel: Python packages that are needed, and their installation on a click."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..dependencies import BASE, SEGMENTATION_GROUPS, Requirement, Status, check
from ..errors import Cancelled
from .installer import Installer
from .section import Section


class DependenciesSection(Section):
    """What is needed, what is there, and a button that installs the rest.

    Nothing is looked up in the network or installed before the button is pressed. While something is missing the
    section is open, and a line at the top of the panel says so.
    """

    uiName = "DependenciesSection"
    groups = SEGMENTATION_GROUPS

    def setup(self) -> None:
        """Fill the table, and put the line at the top of the panel."""
        self._statuses: list[Status] = []
        self._isNew = True
        table = self.ui.dependenciesTable
        headers = [_("Package"), _("Needed"), _("Installed"), _("For")]
        table.setColumnCount(len(headers))
        table.setHorizontalHeaderLabels(headers)
        table.verticalHeader().setVisible(False)
        for header in (table.horizontalHeader(), table.verticalHeader()):
            header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self.ui.dependenciesLog.setVisible(False)
        self._note = qt.QLabel()
        self._note.setObjectName("dependenciesNoteLabel")
        self._note.setWordWrap(True)
        self._note.setToolTip(_("FetalEcho cannot segment yet; click to install what is missing"))
        self._note.linkActivated.connect(self._onNote)
        self.panel.layout.insertWidget(0, self._note)
        self.ui.installDependenciesButton.clicked.connect(self._onInstall)
        self.ui.checkDependenciesButton.clicked.connect(self._onCheck)
        self.state.busyChanged.connect(self._updateButtons)
        self.check()
        # Once: later the user decides.
        self.ui.dependenciesCollapsibleButton.collapsed = not self._isMissing()

    def enter(self) -> None:
        """Look again: another module may have installed something."""
        if self._isNew:
            self._isNew = False
        else:
            self.check()

    def check(self) -> None:
        """Look at what is installed, and show it."""
        # What is wrong comes first.
        self._statuses = sorted(check(self.groups), key=lambda status: not status.problem)
        self._fillTable()
        self._updateButtons()
        missing = [status.requirement.package for status in self._statuses if status.blocks]
        optional = [s.requirement.package for s in self._statuses if s.installable and not s.blocks]
        outdated = [s.requirement.package for s in self._statuses if s.problem and s.requirement.with_slicer]
        if missing:
            text = _("Not installed: {packages}. Press Install.").format(packages=", ".join(missing))
        elif optional:
            text = _("Everything that is necessary is installed; not installed: {packages}.").format(
                packages=", ".join(optional)
            )
        else:
            text = _("Everything is installed.")
        if outdated:
            text += " " + _("Update Slicer for a newer {packages}.").format(packages=", ".join(outdated))
        self.ui.dependenciesStateLabel.setText(text)
        self._note.setVisible(bool(missing))
        self._note.setText(
            _(
                'FetalEcho needs {count} Python packages that are not installed: <a href="install">install them</a>.'
            ).format(count=len(missing))
        )

    def _isMissing(self) -> bool:
        return any(status.blocks for status in self._statuses)

    def _fillTable(self) -> None:
        table = self.ui.dependenciesTable
        table.setRowCount(len(self._statuses))
        for row, status in enumerate(self._statuses):
            requirement = status.requirement
            cells = (requirement.package, requirement.version, _installedText(status), _purposeText(requirement))
            for column, text in enumerate(cells):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(_toolTip(status))
                if status.problem and column < 3:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                table.setItem(row, column, item)

    def _updateButtons(self) -> None:
        free = not self.state.isBusy
        self.ui.checkDependenciesButton.setEnabled(free)
        self.ui.installDependenciesButton.setEnabled(free and any(status.installable for status in self._statuses))

    def _onNote(self, link: str = "") -> None:
        self.ui.dependenciesCollapsibleButton.collapsed = False
        if self.ui.installDependenciesButton.enabled:
            self._onInstall()

    def _onCheck(self, checked: bool = False) -> None:
        self.check()

    def _onInstall(self, checked: bool = False) -> None:
        installer = Installer(self.groups, self._appendLog)
        wanted = [str(requirement) for requirement in installer.toInstall()]
        text = _(
            "{count} Python packages will be downloaded and installed into Slicer:\n\n{packages}\n\n"
            "PyTorch alone takes up to 3 GB. Nothing that Slicer brings is changed. This can take some minutes."
        ).format(count=len(wanted), packages=", ".join(wanted))
        if not slicer.util.confirmOkCancelDisplay(text, windowTitle=_("FetalEcho dependencies")):
            self.panel.showStatus(_("Nothing was installed."))
            return
        self.ui.dependenciesLog.clear()
        self._setInstalling(True)
        restart: bool | None = None
        try:
            with self.panel.showingErrors(_("Installation")):
                try:
                    restart = installer.install()
                except Cancelled as error:
                    self.panel.showStatus(str(error))
        finally:
            self._setInstalling(False)
            self.check()
        if restart is not None:
            self._conclude(restart)

    def _conclude(self, restart: bool) -> None:
        if not restart:
            self.panel.showStatus(_("Everything is installed."))
            self.ui.dependenciesCollapsibleButton.collapsed = True
            return
        self.panel.showStatus(_("Restart Slicer to use what was installed."))
        text = _("Slicer must be restarted to use what was installed.\n\nRestart now? Save your work before.")
        if slicer.util.confirmYesNoDisplay(text, windowTitle=_("FetalEcho dependencies")):
            slicer.util.restart()

    def _setInstalling(self, installing: bool) -> None:
        # Slicer handles events while pip runs: nothing must start on half of the packages.
        self.state.setBusy(installing)
        self.ui.dependenciesCollapsibleButton.collapsed = False
        self.ui.dependenciesLog.setVisible(True)
        if installing:
            self.panel.showStatus(_("Installing..."))
            slicer.app.processEvents()

    def _appendLog(self, line: str) -> None:
        self.ui.dependenciesLog.appendPlainText(line)


def _purposeText(requirement: Requirement) -> str:
    if requirement.group == BASE:
        return requirement.purpose
    return _("{purpose} (optional)").format(purpose=requirement.purpose)


def _toolTip(status: Status) -> str:
    requirement = status.requirement
    text = _("{package} {version} or later: {purpose}.").format(
        package=requirement.package, version=requirement.version, purpose=_purposeText(requirement)
    )
    return text + " " + _("It comes with Slicer and is never changed.") if requirement.with_slicer else text


def _installedText(status: Status) -> str:
    if status.problem == "missing":
        return _("no")
    version: Any = status.installed if status.installed != "?" else _("yes")
    return _("{version}, too old").format(version=version) if status.problem else version
