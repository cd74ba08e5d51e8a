"""What the Model section asks: an address to download from, what a checkpoint is, whether its licence is accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _


def askDownload() -> tuple[str, str] | None:
    """Ask for the address and the SHA-256 of a bundle; None when the user declines."""
    dialog, form, okButton = _dialog(_("Download a model"))
    address = qt.QLineEdit()
    address.setObjectName("addressLineEdit")
    address.setPlaceholderText("https://")
    address.setToolTip(_("Address of the model's .zip file; https only"))
    sha256 = qt.QLineEdit()
    sha256.setObjectName("sha256LineEdit")
    sha256.setPlaceholderText(_("64 digits, if its author gives it"))
    sha256.setToolTip(_("Expected SHA-256 of the .zip file: the download is refused if it differs"))
    form.insertRow(0, _("Address:"), address)
    form.insertRow(1, _("SHA-256:"), sha256)

    def check(text: str = "") -> None:
        isAddress = re.fullmatch(r"https://[^\s/]+/\S+", address.text.strip(), re.IGNORECASE) is not None
        isHash = re.fullmatch(r"([0-9a-fA-F]{64})?", sha256.text.strip()) is not None
        okButton.setEnabled(isAddress and isHash)

    address.textChanged.connect(check)
    sha256.textChanged.connect(check)
    check()
    if dialog.exec_() != qt.QDialog.Accepted:
        return None
    return address.text.strip(), sha256.text.strip()


def askImport(path: Path, name: str, taken: Any) -> tuple[str, str] | None:
    """Ask how to import a checkpoint: (name, kind of ``bundle_import.import_model``), None when the user declines.

    name   proposed
    taken  names of the models that are there
    """
    dialog, form, okButton = _dialog(_("Import {file}").format(file=path.name))
    nameEdit = qt.QLineEdit()
    nameEdit.setObjectName("nameLineEdit")
    nameEdit.setText(name)
    nameEdit.setToolTip(_("What the model is called here: letters, digits, dots, - and _"))
    kinds = (
        ("auto", _("Find out")),
        ("network", _("FETUS 2026 baseline (best.pth)")),
        ("encoder", _("EchoCare encoder, a start for training")),
        ("promptable", _("SAM-Med2D or Segment Anything, answers clicks")),
    )
    kindCombo = qt.QComboBox()
    kindCombo.setObjectName("kindComboBox")
    kindCombo.setToolTip(_("What the file holds"))
    for _kind, text in kinds:
        kindCombo.addItem(text)
    note = qt.QLabel()
    note.setObjectName("nameNoteLabel")
    note.setWordWrap(True)
    form.insertRow(0, _("Name:"), nameEdit)
    form.insertRow(1, _("Kind:"), kindCombo)
    form.insertRow(2, note)

    def check(text: str = "") -> None:
        name = nameEdit.text.strip()
        okButton.setEnabled(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) is not None)
        note.setText(_("This replaces the model {name}.").format(name=name) if name in taken else "")

    nameEdit.textChanged.connect(check)
    check()
    if dialog.exec_() != qt.QDialog.Accepted:
        return None
    return nameEdit.text.strip(), kinds[kindCombo.currentIndex][0]


def askLicence(staged: Any) -> bool:
    """Show what would be installed and under which licence; whether the user accepts it.

    staged  a ``bundle_staging.StagedBundle``
    """
    from ..bundle_summary import summarize

    summary = summarize(staged.bundle)
    lines = [_("{name}, {facts}").format(name=staged.bundle.name, facts=summary.facts), summary.about, summary.notice]
    if summary.trained:
        lines.append(_("Trained on: {data}").format(data=summary.trained))
    lines.append(_("Licence: {licence}").format(licence=summary.licence))
    if staged.replaces:
        lines.append(_("This replaces the installed model of the same name."))
    lines.append(_("Do you accept this licence and install the model?"))
    text = "\n\n".join(line for line in lines if line)
    details = staged.licence_text()
    more = {"detailedText": details} if details else {}
    return bool(slicer.util.confirmYesNoDisplay(text, windowTitle=_("Install a model"), **more))


def _dialog(title: str) -> tuple[Any, Any, Any]:
    """An empty form with OK and Cancel."""
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(title)
    dialog.setMinimumWidth(420)
    form = qt.QFormLayout(dialog)
    buttons = qt.QDialogButtonBox()
    buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    form.addRow(buttons)
    return dialog, form, buttons.button(qt.QDialogButtonBox.Ok)
