"""The Train section: a configuration, what the data set holds, what it would take, and the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from FetalEchoSegLib.panel.section import Section
from slicer.i18n import tr as _

from .config_form import ConfigForm

_PLACES = ("data.folder", "run.folder")  # have widgets of their own


class TrainSection(Section):
    """The text of the configuration is the truth: the form writes into it, and Start takes what it says."""

    uiName = "TrainSection"

    def setup(self) -> None:
        """Fill in what does not change, and connect."""
        ui, state = self.ui, self.state
        self._form: Any = None
        self._config: Any = None
        self._isReady = False
        for button, folder in (
            (ui.trainDatasetButton, state.dataset),
            (ui.runsDirectoryButton, state.runs),
        ):
            button.elideMode = qt.Qt.ElideMiddle
            button.directory = str(folder)
        ui.checkTextEdit.setVisible(False)
        ui.configComboBox.connect("currentIndexChanged(int)", self._onConfig)
        ui.trainDatasetButton.connect("directoryChanged(QString)", self._onFolder)
        ui.runsDirectoryButton.connect("directoryChanged(QString)", self._onRunsFolder)
        # A keystroke is not yet a configuration.
        self._textTimer = qt.QTimer(self.widget)
        self._textTimer.setSingleShot(True)
        self._textTimer.setInterval(400)
        self._textTimer.timeout.connect(self._onText)
        ui.configTextEdit.connect("textChanged()", self._textTimer.start)
        ui.checkButton.connect("clicked(bool)", self._onCheck)
        ui.startButton.connect("clicked(bool)", self._onStart)
        state.busyChanged.connect(self.update)
        state.datasetChanged.connect(self._onDataset)

    def enter(self) -> None:
        """List the configurations, once the packages are there that read them."""
        if self._isReady:
            return
        try:
            from ..configuration import shipped_configs
        except ImportError:  # before the dependencies are installed
            self._say(_("Install the dependencies first."))
            return
        self._isReady = True
        self._form = ConfigForm(self.ui.commonWidget, self._onForm)
        box = self.ui.configComboBox
        wasBlocked = box.blockSignals(True)
        for name, path in shipped_configs().items():
            box.addItem(name, str(path))
        box.addItem(_("File..."), "")
        box.setCurrentIndex(max(box.findText("demo"), 0))
        box.blockSignals(wasBlocked)
        self._onConfig()

    def cleanup(self) -> None:
        """Stop the timer."""
        self._textTimer.stop()

    def update(self) -> None:
        """Enable what is possible now."""
        if not self.state.isBusy:
            self.enter()  # the job that has ended may have been the installation
        possible = self._config is not None and not self.state.isBusy
        self.ui.checkButton.setEnabled(possible)
        self.ui.startButton.setEnabled(possible)

    # the configuration

    def _onConfig(self, index: int = 0) -> None:
        box = self.ui.configComboBox
        path = box.itemData(box.currentIndex)
        if not path:
            path = qt.QFileDialog.getOpenFileName(
                self.widget, _("Configuration"), "", _("Configurations (*.yaml *.yml)")
            )
            if not path:
                return
        from ..configuration import load_config

        with self.panel.showingErrors(_("The configuration")):
            self._take(load_config(Path(path)))

    def _take(self, config: Any, fromText: bool = False) -> None:
        """Show a configuration, with the folders that are chosen here."""
        config = config.changed(
            {
                "data.folder": str(Path(self.ui.trainDatasetButton.directory)),
                "run.folder": str(Path(self.ui.runsDirectoryButton.directory)),
            }
        )
        self._config = config
        self._form.show(config)
        if not fromText:
            wasBlocked = self.ui.configTextEdit.blockSignals(True)
            self.ui.configTextEdit.setPlainText(config.to_yaml())
            self.ui.configTextEdit.blockSignals(wasBlocked)
        self._say("")
        self.update()

    def _say(self, problem: str) -> None:
        self.ui.configProblemLabel.setText(problem)
        self.ui.configProblemLabel.setVisible(bool(problem))

    def _onText(self) -> None:
        from FetalEchoSegLib.errors import FetalEchoError

        from ..configuration import config_from_text

        try:
            found = config_from_text(self.ui.configTextEdit.plainText, _("The text"))
            for button, folder in (
                (self.ui.trainDatasetButton, found.data.folder),
                (self.ui.runsDirectoryButton, found.run.folder),
            ):
                if str(folder) != button.directory:
                    button.directory = str(folder)
            self._take(found, fromText=True)
        except FetalEchoError as error:
            self._config = None
            self._say(str(error))
            self.update()

    def _onForm(self, name: str, value: Any) -> None:
        from FetalEchoSegLib.errors import FetalEchoError

        if self._config is None:
            return
        try:
            self._take(self._config.changed({name: value}))
        except FetalEchoError as error:
            self._say(str(error))

    def _onDataset(self) -> None:
        self.ui.trainDatasetButton.directory = str(self.state.dataset)

    def _onFolder(self, folder: str = "") -> None:
        if self._config is not None:
            self._take(self._config)

    def _onRunsFolder(self, folder: str = "") -> None:
        self._onFolder()
        if folder:
            self.state.setRuns(Path(folder))

    # check, start

    def _onCheck(self, checked: bool = False) -> None:
        config = self._config

        def work(report: Any, cancelled: Any) -> str:
            from ..dataset_check import check_data
            from ..estimate import estimate

            found = check_data(config, lambda done, total: report(done, total, ""), cancelled)
            if found.fatal:
                return str(found)
            report(0, 0, "")
            return f"{found}\n\n{estimate(config, found.data)}"

        self.panel.runJob(_("Checking the data set"), work, self._onChecked)

    def _onChecked(self, text: str) -> None:
        edit = self.ui.checkTextEdit
        edit.setVisible(True)
        edit.setPlainText(text)

    def _onStart(self, checked: bool = False) -> None:
        from ..process import start
        from ..run_folder import RunFolder

        with self.panel.showingErrors(_("The training")):
            run = RunFolder.of(self._config)
            start(self._config, run)
            self.state.setRuns(Path(self.ui.runsDirectoryButton.directory))
            self.state.setRun(run)
            self.panel.showStatus(_("Started {run}.").format(run=run.path.name))
