"""The Measure section of the panel: gestational age, spine, table of measures, areas over time."""

from __future__ import annotations

import time
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..errors import FetalEchoError
from ..nomograms import AGE_RANGE
from ..prediction import view_notes
from ..scene.measuring import measurementTask, showMeasurements
from ..scene.plots import curvesChart, moveCursor
from ..scene.result_nodes import resultNodes
from .jobs import Job
from .measure_curves import CurvesView
from .measure_spine import SpineMarker
from .measure_table import MeasureTable
from .section import Section

# Measuring that takes longer is left to the button once the masks are being edited.
_QUICK_SECONDS = 2.0
# The chart is drawn anew when its cursor moves: not for every frame while the user runs through the clip.
_CURSOR_PAUSE_MS = 60


class MeasureSection(Section, VTKObservationMixin):
    """Measures what the masks show, by itself whenever they, the age or the spine change.

    It works in a thread of its own and never stands in the way of the panel's job: a job's masks are measured when it
    is done. Nothing is measured while the section is closed.
    """

    uiName = "MeasureSection"

    def __init__(self, panel: Any) -> None:
        Section.__init__(self, panel)
        VTKObservationMixin.__init__(self)
        self._job: Job | None = None
        self._isDue = False
        self._seconds = 0.0
        self._age = 0.0
        self._measured: tuple[int, ...] = ()
        self._doubts: tuple[str, ...] = ()
        self._orphans: list[str] = []

    def setup(self) -> None:
        """Connect widgets and state."""
        ui, state = self.ui, self.state
        self._table = MeasureTable(ui.measureTable, ui.measureDetailsLabel)
        self._curves = CurvesView(ui.curvesContainer)
        self._spine = SpineMarker(lambda: self.state.frame)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._start)
        self._cursorTimer = qt.QTimer()
        self._cursorTimer.setSingleShot(True)
        self._cursorTimer.setInterval(_CURSOR_PAUSE_MS)
        self._cursorTimer.timeout.connect(self._moveCursor)
        self._orphanTimer = qt.QTimer()
        self._orphanTimer.setSingleShot(True)
        self._orphanTimer.setInterval(0)
        self._orphanTimer.timeout.connect(self._removeOrphans)

        ui.weeksSpinBox.connect("valueChanged(int)", self._onAge)
        ui.daysSpinBox.connect("valueChanged(int)", self._onAge)
        ui.markSpineButton.connect("clicked(bool)", self._onMarkSpine)
        ui.removeSpineButton.connect("clicked(bool)", self._onRemoveSpine)
        ui.measureButton.connect("clicked(bool)", self._onMeasure)
        ui.measureCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        self._table.frameClicked.connect(state.showFrame)
        self._spine.changed.connect(self._onSpineChanged)
        self._spine.placingChanged.connect(self._showState)
        state.clipChanged.connect(self._onClipChanged)
        state.masksChanged.connect(self._onMasksChanged)
        state.masksEdited.connect(self._onMasksEdited)
        state.frameChanged.connect(self._cursorTimer.start)
        state.busyChanged.connect(self._onBusyChanged)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
        self._onMasksChanged()

    def update(self) -> None:
        """Show the gestational age of the parameter node; measure with it if it is another one."""
        age = self.parameterNode.gestationalAge if self.parameterNode is not None else 0.0
        days = round(age * 7)
        for spinBox, value in ((self.ui.weeksSpinBox, days // 7), (self.ui.daysSpinBox, days % 7)):
            blocked = spinBox.blockSignals(True)
            spinBox.setValue(value)
            spinBox.blockSignals(blocked)
        self.ui.daysSpinBox.setEnabled(age > 0)
        if self.parameterNode is None:
            self._letGo()
        elif age != self._age:
            self._age = age
            self._request()

    def enter(self) -> None:
        """Measure what has changed while another module was open."""
        if self._isDue:
            self._request()

    def exit(self) -> None:
        """A click in a view is no longer for the spine."""
        self._spine.stop()

    def cleanup(self) -> None:
        """Let go of everything."""
        self._letGo()
        self._spine.cleanup()
        self.removeObservers()

    # when to measure

    def _request(self) -> None:
        """Measure soon, once for many requests; what is being measured now is out of date."""
        self._isDue = True
        self._abandon()
        self._timer.start()
        self._showState()

    def _start(self) -> None:
        if not self._isDue or self._job is not None or self.state.isBusy or self.state.masks is None:
            return
        if self.ui.measureCollapsibleButton.collapsed or self.parameterNode is None:
            return
        self._isDue = False
        masks = self.state.masks
        self._measured = _modificationTimes(masks)
        try:
            task = measurementTask(masks, self._age)
        except FetalEchoError as error:
            self._clear(str(error))
            return
        began = time.monotonic()

        def work(report: Any, cancelled: Any) -> Any:
            return task.run(cancelled)

        def finished(result: Any) -> None:
            self._job = None
            self._seconds = time.monotonic() - began
            measures, frames = result
            prediction = task.prediction
            self._doubts = view_notes(prediction.view, prediction.view_source, prediction.view_probabilities)
            showMeasurements(masks, measures, frames, prediction.view, self.state.frame)
            self._table.show(measures.rows)
            self._showCurves()
            self._showState()

        def failed(error: BaseException) -> None:
            self._job = None
            with self.panel.showingErrors(_("Measuring")):
                raise error
            self._showState()

        self._job = Job(work, finished, failed)
        self._job.start()
        self._showState()

    def _abandon(self) -> None:
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _onCollapsed(self, collapsed: bool = False) -> None:
        if not collapsed and self._isDue:
            self._request()

    def _onBusyChanged(self) -> None:
        if not self.state.isBusy and self._isDue:
            self._timer.start()
        self._showState()

    def _onClipChanged(self) -> None:
        self._spine.follow(self.state.sequence)
        self._onMasksChanged()

    def _onMasksChanged(self) -> None:
        self._seconds = 0.0
        self._measured = ()
        self._abandon()
        self._table.show(())
        self._showCurves()
        if self.state.masks is None:
            self._clear("")
        else:
            self._request()

    def _onMasksEdited(self) -> None:
        if self.state.masks is None or _modificationTimes(self.state.masks) == self._measured:
            return  # told late: these masks are those that were measured
        if self._seconds < _QUICK_SECONDS:
            self._request()
        else:
            self._isDue = True
            self._showState()

    def _onMeasure(self, checked: bool = False) -> None:
        self._request()

    def _onSpineChanged(self) -> None:
        if self.state.masks is not None:
            self._request()
        self._showState()

    # what the user enters

    def _onAge(self, value: int = 0) -> None:
        if self.parameterNode is not None:
            weeks = self.ui.weeksSpinBox.value
            self.parameterNode.gestationalAge = weeks + self.ui.daysSpinBox.value / 7 if weeks else 0.0

    def _onMarkSpine(self, checked: bool = False) -> None:
        if checked:
            self._spine.start()
        else:
            self._spine.stop()

    def _onRemoveSpine(self, checked: bool = False) -> None:
        self._spine.remove()

    # what is shown

    def _clear(self, text: str) -> None:
        self._isDue = False
        self._abandon()
        self._table.show(())
        self._showCurves()
        self._showState()
        if text:
            self.ui.measureStateLabel.setText(text)

    def _showCurves(self) -> None:
        chart = curvesChart(self.state.masks)
        owner = self.parameterNode.parameterNode if self.parameterNode is not None else None
        isClip = self.state.frameCount > 1
        self._curves.show(chart if owner is not None and self._hasRows and isClip else None, owner)

    @property
    def _hasRows(self) -> bool:
        return self.ui.measureTable.rowCount > 0

    def _moveCursor(self) -> None:
        if self.state.masks is not None and not self.ui.measureCollapsibleButton.collapsed:
            moveCursor(self.state.masks, self.state.frame)

    def _showState(self) -> None:
        ui, hasMasks = self.ui, self.state.masks is not None
        ui.measureButton.setEnabled(hasMasks and not self.state.isBusy and self._job is None)
        ui.markSpineButton.setEnabled(self.state.sequence is not None)
        ui.markSpineButton.setChecked(self._spine.isPlacing)
        spine = self._spine.spine
        ui.removeSpineButton.setEnabled(spine is not None)
        if self._spine.isPlacing:
            ui.spineLabel.setText(_("click on it in a view"))
        elif spine is None:
            ui.spineLabel.setText(_("not marked"))
        else:
            ui.spineLabel.setText(_("marked in frame {frame}").format(frame=spine[1]))
        ui.measureTable.setVisible(self._hasRows)
        ui.measureStateLabel.setText(self._stateText(hasMasks))

    def _stateText(self, hasMasks: bool) -> str:
        if not hasMasks:
            return _("Segment the clip first.")
        if self._job is not None:
            return _("Measuring...")
        if self._isDue and self.state.isBusy:
            return _("The masks are measured when the running task is done.")
        if self._isDue and self._hasRows and self._seconds >= _QUICK_SECONDS:
            return _("Masks were edited since: measure again.")
        if not self._hasRows:
            return ""
        low, high = AGE_RANGE
        lines = list(self._doubts)
        if not self._age:
            lines.append(_("No z-scores: enter the gestational age."))
        elif not low <= self._age <= high:
            text = _("No z-scores: the references hold from {low:.0f} to {high:.0f} weeks.")
            lines.append(text.format(low=low, high=high))
        return "\n".join(lines)

    # nodes that go

    def _letGo(self) -> None:
        """The scene closes, or the panel ends."""
        for timer in (self._timer, self._cursorTimer, self._orphanTimer):
            timer.stop()
        self._orphans = []
        self._age = 0.0
        self._spine.follow(None)
        self._clear("")
        self._curves.sceneClosed()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        """Tables and charts go with the masks they are of, but not inside this event."""
        if slicer.mrmlScene.IsClosing():
            return
        if node.IsA("vtkMRMLMarkupsFiducialNode") and node is self._spine.node:
            self._spine.forget()
        elif node.IsA("vtkMRMLSequenceNode"):
            self._orphans += [result.GetID() for result in resultNodes(node)]
            if self._orphans:
                self._orphanTimer.start()

    def _removeOrphans(self) -> None:
        orphans, self._orphans = self._orphans, []
        for nodeId in orphans:
            node = slicer.mrmlScene.GetNodeByID(nodeId)
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)


def _modificationTimes(masks: Any) -> tuple[int, ...]:
    """When the masks of each frame were changed last, as VTK counts."""
    representation = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    times = []
    for index in range(masks.GetNumberOfDataNodes()):
        segmentation = masks.GetNthDataNode(index).GetSegmentation()
        segments = [segmentation.GetNthSegment(number) for number in range(segmentation.GetNumberOfSegments())]
        images = [segment.GetRepresentation(representation) for segment in segments]
        times.append(max([segmentation.GetMTime(), *(image.GetMTime() for image in images if image is not None)]))
    return tuple(times)
