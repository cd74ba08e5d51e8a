"""The Report section of the panel: where to, in which forms, and what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..output_files import file_stem
from ..report import FORMATS, report_names
from .section import Section

_FOLDER_SETTING, _FORMATS_SETTING = "FetalEcho/ReportFolder", "FetalEcho/ReportFormats"


class ReportSection(Section):
    """Writes the report of the shown masks as they are now, with the gestational age and the spine of Measure.

    Folder and forms are choices of this machine, not of the case.
    """

    uiName = "ReportSection"

    def setup(self) -> None:
        """Show the choices of this machine and connect."""
        ui, state = self.ui, self.state
        self._written: tuple[Path, ...] = ()
        documents = qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation)
        ui.reportDirectoryButton.elideMode = qt.Qt.ElideMiddle
        ui.reportDirectoryButton.directory = slicer.util.settingsValue(_FOLDER_SETTING, documents)
        chosen = slicer.util.settingsValue(_FORMATS_SETTING, "html,pdf").split(",")
        self._boxes = {"html": ui.htmlCheckBox, "pdf": ui.pdfCheckBox, "csv": ui.csvCheckBox}
        for name, box in self._boxes.items():
            box.setChecked(name in chosen)
            box.connect("toggled(bool)", self._onFormat)
        ui.reportDirectoryButton.connect("directoryChanged(QString)", self._onFolder)
        ui.writeReportButton.connect("clicked(bool)", self._onWrite)
        ui.openReportButton.connect("clicked(bool)", self._onOpen)
        ui.openFolderButton.connect("clicked(bool)", self._onOpenFolder)
        state.masksChanged.connect(self._forget)
        state.busyChanged.connect(self.update)
        self._forget()

    def update(self) -> None:
        """Enable what is possible now."""
        ui = self.ui
        possible = self.state.masks is not None and bool(self._formats()) and not self.state.isBusy
        ui.writeReportButton.setEnabled(possible)
        ui.openReportButton.setVisible(any(path.suffix in (".html", ".pdf") for path in self._written))
        ui.openFolderButton.setVisible(bool(self._written))
        if self._written:
            names = "\n".join(path.name for path in self._written)
            ui.reportStateLabel.setText(_("Written:") + "\n" + names)
        elif self.state.masks is None:
            ui.reportStateLabel.setText(_("Segment the clip first."))
        elif not self._formats():
            ui.reportStateLabel.setText(_("Choose at least one form."))
        else:
            ui.reportStateLabel.setText("")

    def _formats(self) -> tuple[str, ...]:
        return tuple(name for name in FORMATS if self._boxes[name].checked)

    def _forget(self) -> None:
        self._written = ()
        self.update()

    def _onFolder(self, folder: str = "") -> None:
        qt.QSettings().setValue(_FOLDER_SETTING, folder)

    def _onFormat(self, checked: bool = False) -> None:
        qt.QSettings().setValue(_FORMATS_SETTING, ",".join(self._formats()))
        self.update()

    def _onWrite(self, checked: bool = False) -> None:
        folder, formats = Path(self.ui.reportDirectoryButton.directory), self._formats()
        with self.panel.showingErrors(_("The report")):
            task = self.logic.reportTask(self.state.masks, self.parameterNode.gestationalAge)
            stem = file_stem(task.name)
            there = [name for name in report_names(formats, stem) if (folder / name).exists()]
            if there and not self._mayReplace(folder, there):
                return

            def work(report: Any, cancelled: Any) -> tuple[Path, ...]:
                return task.run(folder, formats, report, cancelled, stem)

            self._forget()
            self.panel.runJob(_("Writing the report"), work, self._onWritten)

    def _mayReplace(self, folder: Path, names: list[str]) -> bool:
        """Another clip may have the same name."""
        text = _("{folder} already holds {names}. Replace them?").format(folder=folder, names=", ".join(names))
        return slicer.util.confirmOkCancelDisplay(text, windowTitle=_("FetalEcho Segmentation"))

    def _onWritten(self, written: tuple[Path, ...]) -> None:
        self._written = written
        self.update()
        self.panel.showStatus(_("Report written to {folder}").format(folder=written[0].parent))

    def _onOpen(self, checked: bool = False) -> None:
        pages = [path for path in self._written if path.suffix in (".html", ".pdf")]
        self._openInSystem(pages[0])

    def _onOpenFolder(self, checked: bool = False) -> None:
        self._openInSystem(self._written[0].parent)

    def _openInSystem(self, path: Path) -> None:
        if not path.exists():
            self.panel.showStatus(_("{path} is no longer there.").format(path=path))
        elif not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path))):
            self.panel.showStatus(_("No program of this computer opens {path}.").format(path=path))
