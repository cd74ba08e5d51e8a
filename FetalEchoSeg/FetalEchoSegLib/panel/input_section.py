"""The Input section of the panel: a clip from a file, from the scene, or dropped; and its pixel size."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..errors import Cancelled
from ..scene.calibration import spacingFromDistance
from ..scene.views import showClip
from .dropping import FileDrop
from .ruler import Ruler
from .section import Section

# A fetal heart beats 110 to 180 times a minute.
_LONGEST_BEAT_SECONDS = 60 / 110
# Notes of the readers that the panel's own lines tell already.
_TOLD = ("No pixel size:", "The frame times are unknown:")


class InputSection(Section):
    """Loads clips in the background, says what was read, and calibrates with two clicks.

    The combo box follows the parameter node by itself. Until a new clip is complete, the former one stays selected.
    """

    uiName = "InputSection"

    def setup(self) -> None:
        """Connect widgets and state signals."""
        self._waiting: list[Path] = []
        self._loading = False
        self._ruler = Ruler()
        self._ruler.changed.connect(self._showCalibration)
        self._drop = FileDrop(self.panel.parent, self.onDrop)
        self.ui.calibrationWidget.setVisible(False)
        self.ui.loadButton.connect("clicked(bool)", self.onLoadButton)
        self.ui.calibrateButton.connect("toggled(bool)", self.onCalibrateButton)
        self.ui.setScaleButton.connect("clicked(bool)", self.onSetScaleButton)
        self.state.clipChanged.connect(self.onClipChanged)
        self.state.busyChanged.connect(self.onBusyChanged)

    def update(self) -> None:
        """Show what was read."""
        cine = self.state.cine()
        self.ui.clipLabel.setText(self._clipText(cine))
        free = not self.state.isBusy and self.parameterNode is not None
        for widget in (self.ui.pathLineEdit, self.ui.loadButton, self.ui.browserSelector):
            widget.setEnabled(free)
        self.ui.calibrateButton.setVisible(cine is not None)
        self.ui.calibrateButton.setEnabled(free)
        calibrated = cine is not None and cine.is_calibrated
        self.ui.calibrateButton.setText(_("Calibrate again...") if calibrated else _("Calibrate with two clicks..."))

    def exit(self) -> None:
        """The user leaves the module: end the calibration."""
        self.ui.calibrateButton.setChecked(False)

    def cleanup(self) -> None:
        """Let go of everything."""
        self._waiting.clear()
        self._ruler.stop()
        self._drop.remove()

    # loading

    def onLoadButton(self, checked: bool = False) -> None:
        """Read what the path field names."""
        with self.panel.showingErrors(_("Loading")):
            from ..errors import InvalidRequest

            path = str(self.ui.pathLineEdit.currentPath).strip()
            if not path:
                raise InvalidRequest(_("Enter the path of a clip, or drop its file on this panel."))
            self.ui.pathLineEdit.addCurrentPathToHistory()
            self._waiting.append(Path(path))
            self._loadNext()

    def onDrop(self, paths: list[str]) -> None:
        """Read dropped files and folders, one after the other."""
        if self.parameterNode is None:
            return
        if self.state.isBusy and not self._loading:
            self.panel.showStatus(_("Busy: drop the files again when the running task has ended."))
            return
        self._waiting += [Path(path) for path in paths]
        self._loadNext()

    def _loadNext(self) -> None:
        if self._loading or not self._waiting:
            return
        path = self._waiting.pop(0)
        # Translated here: the thread must not ask Qt.
        counting = _("{name}: frame {done} of {total}")

        def work(report: Any, cancelled: Any) -> Any:
            from ..readers import read_cine

            # Whether a view is needed is the model's business.
            cine = read_cine(path, view_required=False)
            for index in range(len(cine)):
                if cancelled():
                    raise Cancelled("Cancelled while reading.")
                cine.frame(index)
                report(index + 1, len(cine), counting.format(name=path.name, done=index + 1, total=len(cine)))
            return cine

        def finished(cine: Any) -> None:
            self._loading = False
            try:
                browser = self.logic.addCine(cine, path.name.split(".")[0] or path.name)
                self.parameterNode.browser = browser
                showClip(browser)
                self.panel.showStatus(_("{name} is loaded.").format(name=path.name))
            finally:
                self._loadNext()

        def stopped() -> None:
            self._loading = False
            self._waiting.clear()

        def failed(error: BaseException) -> None:
            self._loading = False
            self._loadNext()

        job = self.panel.runJob(_("Reading {name}").format(name=path.name), work, finished, stopped, failed)
        self._loading = job is not None

    # what was read

    def onClipChanged(self) -> None:
        """Another clip, or none: a calibration that was begun meant the former one."""
        if self.ui.calibrateButton.checked:
            self.ui.calibrateButton.setChecked(False)
        self.update()

    def onBusyChanged(self) -> None:
        """A job has begun or ended."""
        if not self.state.isBusy:
            self._loading = False
        self.update()

    def _clipText(self, cine: Any) -> str:
        if self.state.browser is None:
            return _("No clip yet: choose a file, or drop it here.")
        if cine is None:
            return _("This browser holds no ultrasound clip: choose another one.")
        height, width = cine.image_shape
        facts = [
            _("{count} frames").format(count=len(cine)) if len(cine) > 1 else _("single frame"),
            f"{width} × {height}",
            _("colour") if cine.is_color else _("grey"),
        ]
        rate = cine.frame_rate
        if rate is not None:
            seconds = float(cine.times[-1] - cine.times[0])
            facts.append(_("{rate:.1f} frames/s, {seconds:.2f} s").format(rate=rate, seconds=seconds))
        lines = [escape(" · ".join(facts))]
        if cine.spacing is not None:
            row, column = cine.spacing
            text = _("{column:.3g} × {row:.3g} mm per pixel").format(column=column, row=row)
            lines.append(f"{escape(text)} ({escape(cine.calibration)})")
        else:
            reason = cine.calibration.removeprefix("unknown: ")
            text = _("No pixel size, so no millimetres: {reason}.").format(reason=reason)
            lines.append(f"<b>{escape(text)}</b>")
        if cine.view is not None:
            lines.append(escape(_("View named by the file: {view}").format(view=cine.view.short)))
        notes = (note for note in cine.notes if not note.startswith(_TOLD))
        lines += [escape(text) for text in (*self._timeNotes(cine), *notes)]
        return "<br>".join(lines)

    def _timeNotes(self, cine: Any) -> list[str]:
        if len(cine) == 1:
            return [_("A still: heart rate, ED and ES cannot be measured.")]
        if not cine.has_known_times:
            reason = cine.timing.removeprefix("unknown: ")
            return [_("No frame times, so no heart rate: {reason}.").format(reason=reason)]
        if cine.times[-1] - cine.times[0] < _LONGEST_BEAT_SECONDS:
            return [_("Perhaps shorter than one heart beat: ED and ES may be missing.")]
        return []

    # calibration

    def onCalibrateButton(self, checked: bool = False) -> None:
        """Begin or end the calibration."""
        self.ui.calibrationWidget.setVisible(checked)
        if checked and self.state.sequence is not None:
            showClip(self.state.browser)
            self._ruler.start()
        else:
            self._ruler.stop()
        self._showCalibration()

    def onSetScaleButton(self, checked: bool = False) -> None:
        """Take the distance over."""
        with self.panel.showingErrors(_("Calibration")):
            millimeters = self.ui.distanceSpinBox.value
            first, second = self._ruler.points
            spacing = spacingFromDistance(self.state.browser, first, second, millimeters)
            source = f"user: {millimeters:g} mm between two points"
            self.logic.calibrate(self.state.browser, spacing, source)
            self.ui.calibrateButton.setChecked(False)
            self.state.clipModified()
            showClip(self.state.browser)
            self.panel.showStatus(_("Calibrated: {size:.3g} mm per pixel.").format(size=spacing[0]))

    def _showCalibration(self) -> None:
        count = len(self._ruler.points)
        self.ui.setScaleButton.setEnabled(count == 2)
        self.ui.calibrationLabel.setText(
            (
                _("Click the first of two points a known distance apart, such as two marks of the depth scale."),
                _("Click the second point."),
                _("Enter the distance and press Set. The points can be dragged."),
            )[count]
        )
