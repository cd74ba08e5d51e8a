"""The Model section of the panel: which model segments, and on which device."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..bundle_folders import bundle_name
from ..errors import FetalEchoError, UnwritableOutput
from .device_setting import AUTOMATIC, deviceSetting, setDeviceSetting
from .jobs import Job
from .model_dialogs import askDownload, askImport, askLicence
from .section import Section


class ModelSection(Section):
    """Models on this machine, the card of the chosen one, and ways to get more; the device.

    The choice is the parameter node's: a model that a scene names stays chosen when this machine does not have it, and
    Apply then says so. Nothing is read from the network before the user gave an address.
    """

    uiName = "ModelSection"

    def setup(self) -> None:
        """Connect widgets; the models are listed when the section is first shown."""
        # None: not listed yet. Names of the entries of the combo box, in its order.
        self._bundles: dict[str, Any] | None = None
        self._problems: list[str] = []
        self._default = ""
        self._names: list[str] = []
        self._machine: Any = None
        self._look: Any = None
        self._devices: list[str] = []
        self._addMenu()
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self._onModel)
        self.ui.deviceComboBox.connect("currentIndexChanged(int)", self._onDevice)
        self.state.busyChanged.connect(self._onBusy)
        self._showDevices()
        self._lookAtDevices()

    def enter(self) -> None:
        """Look again: models may have been installed or removed meanwhile, also by the command line."""
        self.refresh()
        self._lookAtDevices()

    def cleanup(self) -> None:
        """Forget a look at the devices that still runs."""
        if self._look is not None:
            self._look.abandon()

    def refresh(self) -> None:
        """List the models on this machine again."""
        self._list()
        self.update()
        self.state.modelsChanged.emit()

    def _list(self) -> None:
        self._bundles, self._problems = {}, []
        try:
            from ..bundle import DEFAULT_BUNDLE, list_bundles
        except ImportError:  # the Dependencies section says what is missing
            return
        problems: list[FetalEchoError] = []
        found = {bundle.name: bundle for bundle in list_bundles(problems=problems)}
        self._default = DEFAULT_BUNDLE
        if DEFAULT_BUNDLE in found:
            self._bundles[DEFAULT_BUNDLE] = found.pop(DEFAULT_BUNDLE)
        self._bundles.update(found)
        self._problems = [str(problem) for problem in problems]

    def update(self) -> None:
        """Show the chosen model."""
        if self._bundles is None:
            self.refresh()
            return
        wanted = (self.parameterNode.model if self.parameterNode is not None else "") or self._default
        names = list(self._bundles)
        if wanted and wanted not in names:
            names.append(wanted)
        self._fill(names, wanted)
        self._showCard(wanted)
        self._updateEnabled()

    # the list

    def _fill(self, names: list[str], wanted: str) -> None:
        combo = self.ui.modelComboBox
        blocked = combo.blockSignals(True)
        if names != self._names:
            combo.clear()
            self._names = names
            for name in names:
                combo.addItem(name)
        for index, name in enumerate(names):
            shown = name if name in self._bundles else _("{name} (not installed here)").format(name=name)
            combo.setItemText(index, shown)
        combo.setCurrentIndex(names.index(wanted) if wanted in names else -1)
        combo.blockSignals(blocked)

    def _onModel(self, index: int = -1) -> None:
        if self.parameterNode is not None and 0 <= index < len(self._names):
            name = self._names[index]
            # Empty means the default of the machine where the scene is opened.
            self.parameterNode.model = "" if name == self._default else name

    def _showCard(self, name: str) -> None:
        bundle = self._bundles.get(name)
        problem = "" if bundle is not None else self._problemOf(name)
        if bundle is None and not problem:  # a folder, given by a script
            bundle = self._bundleAt(name)
        notice = card = path = ""
        if bundle is not None:
            from ..bundle_summary import summarize

            summary = summarize(bundle)
            notice, card, path = summary.notice, _cardText(summary), str(bundle.path)
        others = [text for text in self._problems if text != problem]
        for label, text in (
            (self.ui.modelNoticeLabel, notice),
            (self.ui.modelCardLabel, card),
            (self.ui.modelProblemLabel, "\n".join(filter(None, (problem, *others)))),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        if path:
            self.ui.modelCardLabel.setToolTip(_("The model's card, from {folder}").format(folder=path))

    def _problemOf(self, name: str) -> str:
        """Why the chosen model cannot be used."""
        if not name:
            return _("There is no model yet: install the dependencies.")
        from ..bundle import find_bundle

        try:
            find_bundle(name)
        except FetalEchoError as error:
            damaged = next((text for text in self._problems if text == str(error)), "")
            return damaged or _("The model {name} is not installed on this machine: add it or choose another.").format(
                name=name
            )
        return ""

    def _bundleAt(self, name: str) -> Any:
        from ..bundle import find_bundle

        return find_bundle(name)

    def _onBusy(self) -> None:
        if self.state.isBusy:
            self._updateEnabled()
        else:
            # A run may have found the model gone, or have imported torch, which knows more of the devices.
            self.refresh()
            self._lookAtDevices()

    def _updateEnabled(self) -> None:
        free = not self.state.isBusy
        self.ui.modelComboBox.setEnabled(free and bool(self._names))
        self.ui.modelMenuButton.setEnabled(free and bool(self._default))
        self.ui.deviceComboBox.setEnabled(free)

    # more models

    def _addMenu(self) -> None:
        self._menu = qt.QMenu(self.ui.modelMenuButton)
        self._menu.setObjectName("modelMenu")
        self._menu.setToolTipsVisible(True)
        for name, text, tip, slot in (
            (
                "downloadModelAction",
                _("Download..."),
                _("Install a model from an https address, after its licence was shown"),
                self._onDownload,
            ),
            (
                "installFileAction",
                _("From file..."),
                _("Install a model from a .zip file on this machine"),
                self._onInstallFile,
            ),
            (
                "installFolderAction",
                _("From folder..."),
                _("Install a model from its folder on this machine"),
                self._onInstallFolder,
            ),
            (
                "importCheckpointAction",
                _("Import checkpoint..."),
                _("Make a model of a .pth or .safetensors file: FETUS 2026 baseline, EchoCare encoder, SAM-Med2D"),
                self._onImport,
            ),
            ("", "", "", None),
            (
                "openModelFolderAction",
                _("Open folder"),
                _("Show the folder of installed models in the file manager"),
                self._onOpenFolder,
            ),
            ("refreshModelsAction", _("Look again"), _("List the models on this machine again"), self._onRefresh),
        ):
            if slot is None:
                self._menu.addSeparator()
                continue
            action = self._menu.addAction(text)
            action.setObjectName(name)
            action.setToolTip(tip)
            action.triggered.connect(slot)
        self.ui.modelMenuButton.setMenu(self._menu)

    def _onRefresh(self, checked: bool = False) -> None:
        self.refresh()

    def _onOpenFolder(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Opening the folder")):
            from ..bundle_folders import user_bundle_folder
            from ..output_files import reason

            folder = user_bundle_folder()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UnwritableOutput(f"Cannot make the folder {folder}: {reason(error)}.") from error
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))

    def _onDownload(self, checked: bool = False) -> None:
        asked = askDownload()
        if asked is not None:
            address, sha256 = asked
            self._install(address, sha256 or None, _("Downloading"))

    def _onInstallFile(self, checked: bool = False) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Install a model"), "", _("Models (*.zip)") + ";;" + _("All files (*)")
        )
        if path:
            self._install(path, None, _("Installing"))

    def _onInstallFolder(self, checked: bool = False) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Install a model"), "")
        if path:
            self._install(path, None, _("Installing"))

    def _install(self, source: str, sha256: str | None, title: str) -> None:
        # Texts are translated here: the thread must not ask Qt.
        counting = _("{title}, {done:.0f} of {total:.0f} MB")
        counted = _("{title}, {done:.0f} MB")

        def work(report: Any, cancelled: Any) -> Any:
            from ..bundle_staging import stage_bundle

            def progress(done: int, total: int) -> None:
                text = (counting if total else counted).format(title=title, done=done / 2**20, total=total / 2**20)
                # In kB: Qt's progress bar counts to 2^31.
                report(done >> 10, total >> 10, text)

            return stage_bundle(source, sha256, progress, cancelled)

        def finished(staged: Any) -> None:
            try:
                if not askLicence(staged):
                    self.panel.showStatus(_("The licence was not accepted; nothing was installed."))
                    return
                self._take(staged.install(), _("Installed {name}."))
            finally:
                staged.discard()

        self.panel.runJob(title, work, finished)

    def _onImport(self, checked: bool = False) -> None:
        file = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(),
            _("Import a checkpoint"),
            "",
            _("Checkpoints (*.pth *.pt *.safetensors)") + ";;" + _("All files (*)"),
        )
        if not file:
            return
        path = Path(file)
        asked = askImport(path, bundle_name(path), set(self._names))
        if asked is None:
            return
        name, kind = asked

        def work(report: Any, cancelled: Any) -> Any:
            from ..bundle_import import import_model

            return import_model(path, name, kind)

        def finished(bundle: Any) -> None:
            training = bundle.card.training
            left = len(training.get("tensors_missing", ())) + len(training.get("tensors_of_other_shape", ()))
            matched = training.get("tensors_matched", 0)
            text = _("Imported {{name}}: {matched} of {total} tensors matched.")
            self._take(bundle, text.format(matched=matched, total=matched + left))

        self.panel.runJob(_("Importing {file}").format(file=path.name), work, finished)

    def _take(self, bundle: Any, text: str) -> None:
        """List a model that has come, and choose it if it segments."""
        self.refresh()
        text = text.format(name=bundle.name)
        if bundle.name in self._bundles:
            if self.parameterNode is not None:
                self.parameterNode.model = "" if bundle.name == self._default else bundle.name
        else:
            text += " " + _("It answers clicks in the Segment Editor.")
        self.panel.showStatus(text)

    # the device

    def _lookAtDevices(self) -> None:
        """Look what this machine has, aside: drivers answer slowly."""
        if self._look is not None:
            return
        from ..hardware import look

        def found(machine: Any) -> None:
            self._look = None
            self._machine = machine
            self._showDevices()

        def failed(error: BaseException) -> None:
            self._look = None

        self._look = Job(lambda report, cancelled: look(), found, failed)
        self._look.start()

    def _showDevices(self) -> None:
        chosen = deviceSetting()
        entries = {AUTOMATIC: _("Automatic")}
        if self._machine is not None:
            entries[AUTOMATIC] = _("Automatic ({device})").format(device=self._machine.automatic)
            entries |= {device.device: str(device) for device in self._machine.usable}
            if "cuda" not in entries and chosen == "cuda":
                chosen = "cuda:0"
        if chosen not in entries:
            entries[chosen] = chosen if self._machine is None else _("{device} (not found)").format(device=chosen)
        combo = self.ui.deviceComboBox
        blocked = combo.blockSignals(True)
        combo.clear()
        self._devices = list(entries)
        for text in entries.values():
            combo.addItem(text)
        combo.setCurrentIndex(self._devices.index(chosen))
        combo.blockSignals(blocked)
        self._showAdvice()

    def _showAdvice(self) -> None:
        chosen, machine = deviceSetting(), self._machine
        advice = machine.advice if machine is not None else ""
        if (
            machine is not None
            and chosen != AUTOMATIC
            and chosen.split(":")[0] not in {device.device.split(":")[0] for device in machine.usable}
        ):
            advice = advice or _("The chosen device is not on this machine: choose another.")
        self.ui.deviceAdviceLabel.setText(advice)
        self.ui.deviceAdviceLabel.setVisible(bool(advice))

    def _onDevice(self, index: int = -1) -> None:
        if 0 <= index < len(self._devices):
            setDeviceSetting(self._devices[index])
            self._showAdvice()


def _cardText(summary: Any) -> str:
    """The card as rich text; every value is escaped, because cards come from anywhere."""
    lines = [html.escape(summary.about)] if summary.about else []
    for title, texts in (
        (_("Trained on:"), [summary.trained]),
        (_("Measured:"), summary.figures),
        (_("Licence:"), [summary.licence]),
    ):
        value = "<br>".join(html.escape(text) for text in texts if text)
        if value:
            lines.append(f"<b>{html.escape(title)}</b> {value}")
    lines.append(html.escape(summary.facts[:1].upper() + summary.facts[1:]))
    return "<br>".join(lines)
