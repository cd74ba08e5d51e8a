"""The Export section: which frames of the scene go into the data set, and what is known of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import qt
import slicer
from FetalEchoSegLib.anatomy import Condition, permitted_conditions
from FetalEchoSegLib.panel.section import Section
from slicer.i18n import tr as _

from . import rows
from .box_tool import BoxTool

_MOST_FRAMES = 2000  # in the table
_SECONDS_A_TURN = 0.05


class ExportSection(Section):
    """Corrected and accepted frames are ticked to begin with; the data set grows and forgets nothing."""

    uiName = "ExportSection"

    def setup(self) -> None:
        """Fill in what does not change, and connect."""
        ui, state = self.ui, self.state
        self._frames: list[Any] = []
        self._text: list[Any] = []
        self._textSize: tuple[int, int] = (0, 0)
        self._looking: Any = None
        self._looked = 0
        self._lookTimer = qt.QTimer(self.widget)
        self._lookTimer.setInterval(0)
        self._lookTimer.timeout.connect(self._look)
        self._scenes: list[str] = []  # files that are still to be added
        self._added = 0
        self._sceneTimer = qt.QTimer(self.widget)
        self._sceneTimer.setInterval(0)
        self._sceneTimer.timeout.connect(self._addScene)
        self._boxTool = BoxTool(self._onBox)
        rows.prepare(ui.framesTable, [_("Clip"), _("Frame"), _("View"), _("Drawn by"), _("Shows")])
        layout = qt.QGridLayout(ui.conditionsWidget)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes = {}
        for number, condition in enumerate(Condition):
            box = qt.QCheckBox(condition.short)
            box.setObjectName(f"condition{condition.name.title().replace('_', '')}CheckBox")
            box.setToolTip(condition.title)
            layout.addWidget(box, number // 3, number % 3)
            box.connect("toggled(bool)", self._onCondition)
            self._boxes[condition] = box
        ui.datasetDirectoryButton.elideMode = qt.Qt.ElideMiddle
        ui.datasetDirectoryButton.directory = str(state.dataset)
        ui.datasetDirectoryButton.connect("directoryChanged(QString)", self._onDataset)
        ui.correctedOnlyCheckBox.connect("toggled(bool)", self._onRefresh)
        ui.refreshButton.connect("clicked(bool)", self._onRefresh)
        ui.addScenesButton.connect("clicked(bool)", self._onAddScenes)
        ui.framesTable.connect("itemChanged(QTableWidgetItem*)", self._onTick)
        ui.framesTable.connect("currentCellChanged(int,int,int,int)", self._onCurrent)
        ui.hideTextButton.connect("clicked(bool)", self._onHideText)
        ui.drawBoxButton.connect("clicked(bool)", self._onDrawBox)
        ui.showTextButton.connect("clicked(bool)", self._onShowText)
        ui.phantomButton.connect("clicked(bool)", self._onPhantom)
        ui.exportButton.connect("clicked(bool)", self._onExport)
        ui.undoExportButton.connect("clicked(bool)", self._onUndo)
        state.busyChanged.connect(self.update)
        state.datasetChanged.connect(self.showDataset)

    def enter(self) -> None:
        """Look at the scene again."""
        self._onRefresh()
        self.showDataset()

    def exit(self) -> None:
        """Let go of the views."""
        self._stopLooking()
        self._stopAdding()
        self._boxTool.stop()

    def cleanup(self) -> None:
        """Let go of the views."""
        self.exit()

    def forget(self) -> None:
        """Show nothing of a scene that closes."""
        self.exit()
        self._frames = []
        rows.fill(self.ui.framesTable, [])
        self._showClip(None)
        self.update()

    def update(self) -> None:
        """Enable what is possible now."""
        ticked = len(self._ticked())
        self.ui.exportButton.setEnabled(bool(ticked) and not self.state.isBusy)
        text = _("Export 1 frame") if ticked == 1 else _("Export {frames} frames").format(frames=ticked)
        self.ui.exportButton.setText(text if ticked else _("Export"))
        self.ui.refreshButton.setEnabled(not self.state.isBusy)
        self.ui.addScenesButton.setEnabled(not self.state.isBusy)
        if self.state.isBusy:
            self.ui.undoExportButton.setEnabled(False)
        else:
            self.showDataset()

    def showDataset(self) -> None:
        """Say what the data set holds."""
        from FetalEchoSegLib.errors import FetalEchoError
        from FetalEchoSegLib.fetus_layout import TRAIN_LABELED, TRAIN_UNLABELED, read_list

        from ..export import exports

        folder, undoable, isEmpty = self.state.dataset, 0, False
        try:
            counts = [
                len(read_list(folder / name)) if (folder / name).exists() else 0
                for name in (TRAIN_LABELED, TRAIN_UNLABELED)
            ]
            undoable = len(exports(folder))
            isEmpty = not folder.exists() or not any(folder.iterdir())
            text = _("{labelled} labelled and {unlabelled} unlabelled frames.").format(
                labelled=counts[0], unlabelled=counts[1]
            )
        except (FetalEchoError, OSError) as error:
            text = str(error)
        self.ui.datasetStateLabel.setText(text)
        self.ui.undoExportButton.setEnabled(undoable > 0 and not self.state.isBusy)
        self.ui.phantomButton.setEnabled(isEmpty and not self.state.isBusy)

    # saved scenes

    def _onAddScenes(self, checked: bool = False) -> None:
        """Add clips and masks of saved scenes to this one; a second click ends it after the present file."""
        if self._scenes:
            self._stopAdding()
            return
        window = slicer.util.mainWindow()
        self._scenes = list(qt.QFileDialog.getOpenFileNames(window, _("Saved scenes"), "", "*.mrb"))
        self._added = 0
        if self._scenes:
            self.ui.addScenesButton.setText(_("Stop adding"))
            self._announceScene()
            self._sceneTimer.start()

    def _announceScene(self) -> None:
        name = Path(self._scenes[0]).name
        text = _("Adding scene {number} of {total}: {name}")
        total = self._added + len(self._scenes)
        self.panel.showStatus(text.format(number=self._added + 1, total=total, name=name))

    def _addScene(self) -> None:
        """Add one scene; Slicer stays usable between two of them."""
        from FetalEchoSegLib.scene.io import openScene

        if not self._scenes:
            return
        path, *self._scenes = self._scenes  # before a message about it lets the timer go on
        self._added += 1
        with self.panel.showingErrors(_("Adding {name}").format(name=Path(path).name)):
            openScene(path, clear=False)
        if self._scenes:
            self._announceScene()
        else:
            self._stopAdding()
            self._onRefresh()

    def _stopAdding(self) -> None:
        self._scenes = []
        self._sceneTimer.stop()
        self.ui.addScenesButton.setText(_("Add saved scenes..."))

    # frames

    def _onRefresh(self, checked: bool = False) -> None:
        """Begin to look at every frame; a long clip takes seconds, and Slicer stays usable meanwhile."""
        from ..scene.frames import lookAtFrames

        self._frames, self._looking, self._looked = [], lookAtFrames(), 0
        rows.fill(self.ui.framesTable, [])
        self._showClip(None)
        self._lookTimer.start()
        self._look()

    @property
    def isLooking(self) -> bool:
        """Whether frames are still to be looked at."""
        return self._looking is not None

    def _look(self) -> None:
        """Look at some frames more."""
        if self._looking is None:
            return
        end = time.monotonic() + _SECONDS_A_TURN
        correctedOnly, over = self.ui.correctedOnlyCheckBox.checked, True
        with self.panel.showingErrors(_("Looking at the scene")):
            for frame in self._looking:
                self._looked += 1
                if frame is not None and (frame.isCorrected or not correctedOnly):
                    self._frames.append(frame)
                if time.monotonic() > end and len(self._frames) < _MOST_FRAMES:
                    over = False
                    break
        if over:
            self._looking = None
            self._lookTimer.stop()
            self._showFrames()
        else:
            self.panel.showStatus(_("Looking at the scene: {count} frames.").format(count=self._looked))

    def _stopLooking(self) -> None:
        self._looking = None
        self._lookTimer.stop()

    def _showFrames(self) -> None:
        texts = [
            [
                frame.masks.GetName(),
                str(frame.index),
                frame.view.short if frame.view else _("unknown"),
                self._author(frame),
                _structures(len(frame.structures)),
            ]
            for frame in self._frames
        ]
        rows.fill(self.ui.framesTable, texts, [frame.isCorrected for frame in self._frames])
        for row, frame in enumerate(self._frames):
            names = ", ".join(structure.info.title for structure in frame.structures)
            self.ui.framesTable.item(row, 4).setToolTip(names)
        self._showClip(self._frames[0].masks if self._frames else None)
        none = _("Correct or accept frames in FetalEcho Segmentation first.")
        self.panel.showStatus("" if self._frames else none)
        self.update()

    def _author(self, frame: Any) -> str:
        names = {"model": _("model"), "clicks": _("clicks"), "hand": _("hand")}
        name = names.get(frame.drawnBy, "")
        return f"{name} ✓" if frame.accepted else name

    def _ticked(self) -> list[Any]:
        return [frame for row, frame in enumerate(self._frames) if rows.isTicked(self.ui.framesTable, row)]

    def _onTick(self, item: Any = None) -> None:
        self.update()

    def _onCurrent(self, row: int, column: int = 0, *before: int) -> None:
        if 0 <= row < len(self._frames):
            self._showClip(self._frames[row].masks)

    # conditions and text of a clip

    def _showClip(self, masks: Any) -> None:
        from ..scene.frames import conditionsOf, textIn, viewOf

        self._masks = masks
        self.ui.conditionsWidget.setEnabled(masks is not None)
        view = viewOf(masks) if masks is not None else None
        allowed = permitted_conditions(view) if view is not None else tuple(Condition)
        having = conditionsOf(masks) if masks is not None else ()
        for condition, box in self._boxes.items():
            wasBlocked = box.blockSignals(True)
            box.setChecked(condition in having)
            box.setEnabled(condition in allowed)
            box.blockSignals(wasBlocked)
        text = _("What the heart of '{clip}' has:").format(clip=masks.GetName()) if masks is not None else ""
        self.ui.clipConditionsLabel.setText(text)
        self._textSize, self._text = textIn(masks) if masks is not None else ((0, 0), [])
        self._showText()

    def _onCondition(self, checked: bool = False) -> None:
        if self._masks is not None:
            chosen = [condition for condition, box in self._boxes.items() if box.checked]
            self.logic.setConditions(self._masks, chosen)

    def _showText(self) -> None:
        from FetalEchoSegLib.errors import FetalEchoError

        from ..export import scanner_key, text_masks

        try:
            hidden = text_masks(self.state.dataset).get(scanner_key(self._textSize), [])
        except FetalEchoError:
            hidden = []
        size = f"{self._textSize[1]} x {self._textSize[0]}"
        open_ = [box for box in self._text if not any(_inside(box, other) for other in hidden)]
        if open_:
            text = (
                _(
                    "One place of frames of {size} pixels may hold burnt-in text, which can name the patient: hide it,"
                    " or draw boxes over what is text."
                )
                if len(open_) == 1
                else _(
                    "{count} places of frames of {size} pixels may hold burnt-in text, which can name the patient: hide"
                    " them, or draw boxes over what is text."
                )
            ).format(count=len(open_), size=size)
        elif hidden:
            text = (
                _("One box is blacked out in frames of {size} pixels.")
                if len(hidden) == 1
                else _("{count} boxes are blacked out in frames of {size} pixels.")
            ).format(count=len(hidden), size=size)
        elif self._masks is not None:
            text = _("No burnt-in text was found; not every text is found.")
        else:
            text = ""
        self.ui.textWarningLabel.setText(text)
        self.ui.hideTextButton.setEnabled(bool(open_))
        self.ui.drawBoxButton.setEnabled(self._masks is not None)
        self.ui.showTextButton.setEnabled(bool(hidden))

    def _hide(self, more: list[Any]) -> None:
        from ..export import scanner_key, set_text_masks, text_masks

        with self.panel.showingErrors(_("Hiding text")):
            kept = text_masks(self.state.dataset).get(scanner_key(self._textSize), []) if more else []
            set_text_masks(self.state.dataset, self._textSize, [*kept, *more])
        self._showText()

    def _onHideText(self, checked: bool = False) -> None:
        self._hide(self._text)

    def _onShowText(self, checked: bool = False) -> None:
        self._hide([])

    def _onDrawBox(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Drawing a box")):
            self._boxTool.start(self._masks)
            self.panel.showStatus(_("Click two opposite corners of the text in a slice view."))

    def _onBox(self, box: Any) -> None:
        self.panel.showStatus("")
        self._hide([box])

    # the data set

    def _onDataset(self, folder: str = "") -> None:
        if folder:
            self.state.setDataset(Path(folder))
            self._showText()

    def _onPhantom(self, checked: bool = False) -> None:
        """Something to add to: a clip or two are no data set yet."""
        from ..configuration import load_config
        from ..dataset_check import make_phantom

        with self.panel.showingErrors(_("The synthetic data set")):
            config = load_config("demo").changed({"data.folder": str(self.state.dataset)})

            def work(report: Any, cancelled: Any) -> None:
                make_phantom(config.data, lambda done, total: report(done, total, ""), cancelled)

            def finished(result: Any) -> None:
                self.state.setDataset(self.state.dataset)

            self.panel.runJob(_("Making a synthetic data set"), work, finished)

    def _onExport(self, checked: bool = False) -> None:
        from ..export import export_frames
        from ..scene.frames import clipsAround, exportFrames

        folder, chosen = self.state.dataset, self._ticked()
        with self.panel.showingErrors(_("The export")):
            frames = exportFrames(chosen, clipsAround(chosen) if self.ui.wholeClipsCheckBox.checked else ())

            def work(report: Any, cancelled: Any) -> Any:
                return export_frames(folder, frames, report, cancelled)

            self.panel.runJob(_("Exporting"), work, self._onExported)

    def _onExported(self, done: Any) -> None:
        self.state.setDataset(self.state.dataset)
        text = _("Exported frames: {labelled} labelled and {unlabelled} unlabelled, {replaced} of them again.")
        self.panel.showStatus(text.format(labelled=done.labelled, unlabelled=done.unlabelled, replaced=done.replaced))

    def _onUndo(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Undoing the export")):
            undone = self.logic.undoExport(self.state.dataset)
            frames = undone.labelled + undone.unlabelled
            self.panel.showStatus(
                _("Took back 1 frame.") if frames == 1 else _("Took back {frames} frames.").format(frames=frames)
            )
        self.state.setDataset(self.state.dataset)


def _structures(count: int) -> str:
    return str(_("1 structure") if count == 1 else _("{count} structures").format(count=count))


def _inside(box: Any, other: Any) -> bool:
    return bool(other[0] <= box[0] and other[1] <= box[1] and other[2] >= box[2] and other[3] >= box[3])
