"""The Deploy section: the run's model where it is used, held against the masks that are there, and back again."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import qt
import slicer
from FetalEchoSegLib.anatomy import Structure
from FetalEchoSegLib.panel.section import Section
from slicer.i18n import tr as _

from . import rows

# Table in JSON: by the name of a deployed model, the one that was in use before it.
_BEFORE_SETTING = "FetalEcho/ModelsBefore"


class DeploySection(Section):
    """Works on the run that is selected in the section Runs."""

    uiName = "DeploySection"

    def setup(self) -> None:
        """Fill in what does not change, and connect."""
        ui, state = self.ui, self.state
        self._masks: list[Any] = []
        self._deployed = ""
        rows.prepare(ui.beforeAfterTable, [_("Structure"), _("DSC")])
        rows.prepare(ui.measuresTable, [_("Measure"), _("Before"), _("After")])
        ui.deployButton.connect("clicked(bool)", self._onDeploy)
        ui.withdrawButton.connect("clicked(bool)", self._onWithdraw)
        ui.beforeAfterButton.connect("clicked(bool)", self._onBeforeAfter)
        state.runChanged.connect(self.refresh)
        state.statusChanged.connect(self.refresh)
        state.busyChanged.connect(self.update)
        self.refresh()

    def enter(self) -> None:
        """List the clips of the scene."""
        self.refresh()

    def forget(self) -> None:
        """Show nothing of a scene that closes."""
        self._masks = []
        self.ui.clipComboBox.clear()
        self._forgetComparison()
        self.update()

    def refresh(self) -> None:
        """Look again at the run and at the scene."""
        from ..scene.frames import maskSequences

        self._forgetComparison()
        chosen = self.ui.clipComboBox.currentText
        self._masks = maskSequences()
        self.ui.clipComboBox.clear()
        for masks in self._masks:
            self.ui.clipComboBox.addItem(masks.GetName())
        self.ui.clipComboBox.setCurrentIndex(max(self.ui.clipComboBox.findText(chosen), 0))
        self._deployed = ""
        if self._isFinished():
            from ..deploy import deployed

            with self.panel.showingErrors(_("The model")):
                self._deployed = deployed(self.state.run)
        self.update()

    def update(self) -> None:
        """Enable what is possible now."""
        ui, run = self.ui, self.state.run
        finished, free = self._isFinished(), not self.state.isBusy
        if run is None:
            text = _("Select a finished run in the section Runs.")
        elif not finished:
            text = _("{run} is not finished: it has no model yet.").format(run=run.path.name)
        elif self._deployed:
            text = _("{run} is the model '{name}' of FetalEcho Segmentation.").format(
                run=run.path.name, name=self._deployed
            )
        else:
            text = _("{run} is finished; its model is not used yet.").format(run=run.path.name)
        ui.deployRunLabel.setText(text)
        ui.deployButton.setEnabled(finished and free and not self._deployed)
        ui.withdrawButton.setEnabled(finished and free and bool(self._deployed))
        ui.clipComboBox.setEnabled(bool(self._masks))
        ui.beforeAfterButton.setEnabled(finished and free and bool(self._masks))

    def _isFinished(self) -> bool:
        return self.state.run is not None and self.state.run.results_file.exists()

    def _forgetComparison(self) -> None:
        self.ui.beforeAfterLabel.setText("")
        rows.fill(self.ui.beforeAfterTable, [])
        self.ui.beforeAfterTable.setVisible(False)
        rows.fill(self.ui.measuresTable, [])
        self.ui.measuresTable.setVisible(False)

    # the model

    def _onDeploy(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Using the model")):
            name = self.logic.deploy(self.state.run)
            parameters = _segmentationParameters()
            _setModelsBefore(_modelsBefore() | {name: parameters.model})
            parameters.model = name
            self.panel.showStatus(_("FetalEcho Segmentation now uses '{name}'.").format(name=name))
        self.refresh()

    def _onWithdraw(self, checked: bool = False) -> None:
        with self.panel.showingErrors(_("Going back")):
            parameters, name, models = _segmentationParameters(), self._deployed, _modelsBefore()
            before = models.pop(name, "")
            self.logic.withdraw(self.state.run, name)
            # One that was deployed on top of it has a model to go back to as well.
            _setModelsBefore({later: before if one == name else one for later, one in models.items()})
            if parameters.model == name:
                parameters.model = before
            self.panel.showStatus(_("FetalEcho Segmentation uses the model from before."))
        self.refresh()

    # before and after

    def _onBeforeAfter(self, checked: bool = False) -> None:
        from FetalEchoSegLib.bundle import load_bundle
        from FetalEchoSegLib.measurements.table import measure
        from FetalEchoSegLib.scene.cine_nodes import cineSequence
        from FetalEchoSegLib.scene.segmentation_nodes import CINE_REFERENCE, labelsFromSegmentationSequence
        from FetalEchoSegLib.scene.snapshot import cineSnapshot
        from FetalEchoSegLib.scene.spine import spineOf

        from ..scene.frames import viewOf

        with self.panel.showingErrors(_("The comparison")):
            masks = self._masks[self.ui.clipComboBox.currentIndex]
            before = labelsFromSegmentationSequence(masks)
            view = viewOf(masks)
            sequence = cineSequence(masks.GetNodeReference(CINE_REFERENCE))
            cine, folder = cineSnapshot(sequence), self.state.run.bundle
            spine, spineFrame = spineOf(sequence) or (None, None)

            def work(report: Any, cancelled: Any) -> Any:
                from FetalEchoSegLib.segmentation import Segmenter

                segmenter = Segmenter(load_bundle(folder))
                prediction = segmenter.segment(
                    cine, view=view, progress=lambda done, total: report(done, total, ""), cancelled=cancelled
                )
                both = [
                    measure(labels, cine, prediction.view, spine=spine, spine_frame=spineFrame, cancelled=cancelled)
                    for labels in (before, prediction.labels)
                ]
                return prediction, both

            def finished(result: Any) -> None:
                prediction, (measuredBefore, measuredAfter) = result
                self._showComparison(masks, before, prediction)
                self._showMeasures(measuredBefore, measuredAfter)

            self.panel.runJob(_("Segmenting with the new model"), work, finished)

    def _showComparison(self, masks: Any, before: np.ndarray, prediction: Any) -> None:
        from FetalEchoSegLib.scene.segmentation_nodes import CINE_REFERENCE, addPredictionToScene

        after, done = prediction.labels, prediction.done
        texts, values = [], []
        for structure in Structure:
            one, other = before[done] == structure, after[done] == structure
            total = int(one.sum()) + int(other.sum())
            if total:
                value = 200.0 * int((one & other).sum()) / total
                values.append(value)
                texts.append([structure.info.title, f"{value:.1f} %"])
        rows.fill(self.ui.beforeAfterTable, texts)
        self.ui.beforeAfterTable.setVisible(bool(texts))
        mean = f"{np.mean(values):.1f}" if values else "0"
        self.ui.beforeAfterLabel.setText(
            _(
                "DSC between the masks before and those of the new model, mean over structures: {mean} %. It tells how"
                " much changes, not which is right. The new masks are in the scene beside the old ones."
            ).format(mean=mean)
        )
        sequence = masks.GetNodeReference(CINE_REFERENCE)
        browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
        browser = next(node for node in browsers if node.IsSynchronizedSequenceNodeID(sequence.GetID(), True))
        name = _("{clip}, {run}").format(clip=masks.GetName(), run=self.state.run.path.name)
        addPredictionToScene(prediction, sequence, browser, name)

    def _showMeasures(self, before: Any, after: Any) -> None:
        """What either gives a value for; the other's reason why it has none is the tooltip."""
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a.value is not None or b.value is not None]
        table = self.ui.measuresTable
        rows.fill(table, [[a.title, _value(a), _value(b)] for a, b in pairs])
        for number, pair in enumerate(pairs):
            for column, measured in enumerate(pair, start=1):
                table.item(number, column).setToolTip(measured.reason or measured.reference)
        table.setVisible(bool(pairs))


def _value(measured: Any) -> str:
    return "-" if measured.value is None else f"{measured.value:.3g} {measured.unit}".rstrip()


def _modelsBefore() -> dict[str, str]:
    """What was in use before each deployed model."""
    with suppress(ValueError, AttributeError):
        found = json.loads(slicer.util.settingsValue(_BEFORE_SETTING, "{}"))
        return {str(name): str(before) for name, before in found.items()}
    return {}


def _setModelsBefore(models: dict[str, str]) -> None:
    qt.QSettings().setValue(_BEFORE_SETTING, json.dumps(models))


def _segmentationParameters() -> Any:
    """The parameter node of FetalEcho Segmentation."""
    from FetalEchoSeg import FetalEchoSegLogic

    return FetalEchoSegLogic().getParameterNode()
