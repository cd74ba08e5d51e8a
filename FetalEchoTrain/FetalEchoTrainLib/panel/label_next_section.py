"""The Label next section: which frames to correct next, opened one after another where they are corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from FetalEchoSegLib.panel.section import Section
from FetalEchoSegLib.scene.segmentation_nodes import CINE_REFERENCE
from slicer.i18n import tr as _

from . import rows


class LabelNextSection(Section):
    """Ranks the frames of the scene; opening one shows it in FetalEcho Segmentation with its automatic masks."""

    uiName = "LabelNextSection"

    def setup(self) -> None:
        """Fill in what does not change, and connect."""
        ui = self.ui
        self._queue: list[tuple[Any, int, float]] = []
        rows.prepare(ui.queueTable, [_("Clip"), _("Frame"), _("Confidence")])
        ui.rankButton.connect("clicked(bool)", self._onRank)
        ui.openFrameButton.connect("clicked(bool)", self._onOpen)
        ui.queueTable.connect("itemSelectionChanged()", self.update)
        ui.queueTable.connect("cellDoubleClicked(int,int)", self._onOpenRow)
        self.state.busyChanged.connect(self.update)
        self.update()

    def forget(self) -> None:
        """Show nothing of a scene that closes."""
        self._show([])

    def update(self) -> None:
        """Enable what is possible now."""
        self.ui.rankButton.setEnabled(not self.state.isBusy)
        self.ui.openFrameButton.setEnabled(bool(self._queue) and not self.state.isBusy)
        self.ui.queueTable.setVisible(bool(self._queue))

    def _onRank(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Ranking")):
            from ..scene.candidates import LabelQueue

            queue = LabelQueue(self.ui.mostSpinBox.value, self.ui.perPatientSpinBox.value)
            self.panel.runJob(_("Looking at the frames"), queue.run, self._show)

    def _show(self, queue: list[tuple[Any, int, float]]) -> None:
        self._queue = queue
        texts = [[masks.GetName(), str(frame), f"{confidence:.2f}"] for masks, frame, confidence in queue]
        rows.fill(self.ui.queueTable, texts)
        text = ""
        if queue:
            clips = len({masks.GetID() for masks, _frame, _confidence in queue})
            text = _(
                "{frames} of {clips}, mean confidence {confidence:.2f}: the model doubts them, and they are unlike the"
                " corrected ones. On synthetic clips up to 8 such frames taught a little more than others did,"
                " within the spread of three trainings."
            ).format(
                frames=_("1 frame") if len(queue) == 1 else _("{count} frames").format(count=len(queue)),
                clips=_("1 clip") if clips == 1 else _("{count} clips").format(count=clips),
                confidence=np.mean([confidence for _masks, _frame, confidence in queue]),
            )
            self.ui.queueTable.selectRow(0)
        self.ui.queueLabel.setText(text)
        self.update()

    def _onOpenRow(self, row: int, column: int = 0) -> None:
        self._open(row)

    def _onOpen(self, checked: bool = False) -> None:
        chosen = rows.selectedRows(self.ui.queueTable)
        self._open(chosen[0] if chosen else 0)

    def _open(self, row: int) -> None:
        """Show the frame where it is corrected, and go to the next one of the queue."""
        from FetalEchoSeg import FetalEchoSegLogic

        with self.panel.showingErrors(_("Opening the frame")):
            masks, frame, _confidence = self._queue[row]
            sequence = masks.GetNodeReference(CINE_REFERENCE)
            browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
            browser = next(node for node in browsers if node.IsSynchronizedSequenceNodeID(sequence.GetID(), True))
            if row + 1 < len(self._queue):
                self.ui.queueTable.selectRow(row + 1)
            parameters = FetalEchoSegLogic().getParameterNode()
            parameters.browser = browser
            parameters.masks = masks
            browser.SetSelectedItemNumber(frame)
            slicer.util.selectModule("FetalEchoSeg")
