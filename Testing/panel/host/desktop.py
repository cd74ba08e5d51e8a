"""What would leave the test: modal dialogs, settings and opened addresses. Tests script and read them here."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from . import pythonqt


class UnexpectedDialogError(RuntimeError):
    """A modal dialog for which the test scripted no answer: it would wait for ever."""


class Dialogs:
    """Answers to modal dialogs, in their order, and what was asked.

    log  one line a dialog, "QMessageBox.question | title | text"
    """

    def __init__(self) -> None:
        self.pending: deque[tuple[Any, str]] = deque()
        self.log: list[str] = []

    def answer(self, answer: Any, about: str = "") -> None:
        """Answer the next dialog with ``answer``: its result, or a function that gets the dialog, may click in it, and
        gives the result. ``about`` must occur in the dialog's line of the log."""
        self.pending.append((answer, about))

    def reset(self) -> None:
        """Forget answers and log."""
        self.pending.clear()
        self.log.clear()

    def ask(self, what: str, dialog: Any = None) -> Any:
        """What a dialog does instead of showing itself."""
        self.log.append(what)
        answer, about = self.pending.popleft() if self.pending else (None, None)
        if about is None or about not in what:
            expected = f"the next answer is for '{about}'" if about else "no answer is scripted"
            try:
                raise UnexpectedDialogError(f"modal dialog {what}: {expected}")
            except UnexpectedDialogError:
                pythonqt.record_error()  # module code may swallow it
                raise
        return answer(dialog) if callable(answer) and not isinstance(answer, type) else answer


dialogs = Dialogs()
opened_urls: list[str] = []
"""Addresses given to QDesktopServices.openUrl, which opens none."""
_settings_folder = tempfile.TemporaryDirectory(prefix="fetalecho-settings-")


def clear_settings() -> None:
    """Empty every QSettings of the process."""
    QtCore.QSettings().clear()


def install() -> None:
    """Put the above in the place of Qt's."""
    settings = QtCore.QSettings
    settings.setDefaultFormat(settings.Format.IniFormat)
    for file_format in (settings.Format.IniFormat, settings.Format.NativeFormat):
        for scope in (settings.Scope.UserScope, settings.Scope.SystemScope):
            settings.setPath(file_format, scope, _settings_folder.name)

    def execute(self: Any, *arguments: Any) -> Any:
        words = [pythonqt.class_name(self), self.windowTitle, getattr(self, "text", ""), getattr(self, "labelText", "")]
        return dialogs.ask(" | ".join(word for word in words if isinstance(word, str) and word), self)

    for cls in pythonqt.cpp_classes():
        if issubclass(cls, QtWidgets.QDialog | QtWidgets.QMenu | QtGui.QDrag):
            for name in ("exec", "exec_"):
                if name in vars(cls):
                    setattr(cls, name, execute)
    QtWidgets.QMenu.__getattribute__ = QtCore.QObject.__getattribute__  # its own finds exec past the class
    for cls, names in {
        QtWidgets.QFileDialog: ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"),
        QtWidgets.QMessageBox: ("about", "critical", "information", "question", "warning"),
        QtWidgets.QInputDialog: ("getDouble", "getInt", "getItem", "getMultiLineText", "getText"),
        QtWidgets.QColorDialog: ("getColor",),
        QtWidgets.QFontDialog: ("getFont",),
    }.items():
        for name in names:
            setattr(cls, name, staticmethod(_static_dialog(f"{cls.__name__}.{name}")))

    def open_url(url: QtCore.QUrl) -> bool:
        opened_urls.append(url.toString())
        return True

    QtGui.QDesktopServices.openUrl = staticmethod(open_url)


def _static_dialog(name: str) -> Any:
    def ask(*arguments: Any) -> Any:
        return dialogs.ask(" | ".join([name, *(a for a in arguments if isinstance(a, str) and a)]))

    return ask
