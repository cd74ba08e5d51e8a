"""The View section of the panel: which standard plane it is, as chosen and as the model sees it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import qt
from slicer.i18n import tr as _

from ..anatomy import View
from ..errors import FetalEchoError
from ..prediction import CONFIDENT_VIEW
from ..scene.segmentation_nodes import predictionFromSequence
from .bars import Bar, BarChart
from .section import Section


class ViewSection(Section):
    """Chooses the view, and shows the four probabilities of the shown result.

    The combo box follows the parameter node by itself. A choice after a run changes nothing that was made: it says so.
    """

    uiName = "ViewSection"

    def setup(self) -> None:
        """Add the bars, follow the masks."""
        self._prediction: Any = None
        self._bars = BarChart()
        self._bars.setObjectName("viewBars")
        self.ui.viewBarsLayout.addWidget(self._bars)
        self.ui.viewBarsContainer.setVisible(False)
        self.state.masksChanged.connect(self._onMasks)
        self.state.busyChanged.connect(self._onBusy)
        self._onMasks()

    def update(self) -> None:
        """Show the views of the result, and whether the choice still is the one it was made with."""
        for index, view in enumerate(View, start=1):  # the entry before them is Automatic
            self.ui.viewComboBox.setItemData(index, view.title, qt.Qt.ToolTipRole)
        prediction = self._prediction
        probabilities = None if prediction is None else prediction.view_probabilities
        known = probabilities is not None and bool(np.isfinite(probabilities).all())
        self.ui.viewBarsContainer.setVisible(known)
        self._bars.setBars(_viewBars(prediction) if known else ())
        self.ui.viewResultLabel.setText(self._resultText(prediction, known))
        warning = "" if prediction is None else self._warning(prediction, known)
        self.ui.viewWarningLabel.setVisible(bool(warning))
        self.ui.viewWarningLabel.setText(warning)

    def _onMasks(self) -> None:
        self._prediction = None
        if self.state.masks is not None:
            with suppress(FetalEchoError):  # raised for masks drawn by hand
                # Quick: the masks themselves are not read.
                self._prediction = predictionFromSequence(self.state.masks, withMasks=False)
        self.update()

    def _onBusy(self) -> None:
        self.ui.viewComboBox.setEnabled(not self.state.isBusy)

    def _resultText(self, prediction: Any, known: bool) -> str:
        if prediction is None:
            if self.state.masks is None:
                return _("No result yet.")
            return _("These masks do not come from a model.")
        source = {
            "user": _("chosen by you"),
            "file": _("named by the file"),
            "predicted": _("found by the model"),
        }[prediction.view_source]
        text = _("Result made as {view}, {source}.").format(view=prediction.view.short, source=source)
        if not known:
            text += " " + _("The model tells no views apart.")
        return text

    def _warning(self, prediction: Any, known: bool) -> str:
        chosen = self._chosenView()
        if chosen is not None and chosen is not prediction.view:
            return _("The result was made as {made}, not as {chosen}: press Apply again.").format(
                made=prediction.view.short, chosen=chosen.short
            )
        if not known:
            return ""
        probabilities = 100 * prediction.view_probabilities
        own = float(probabilities[prediction.view.index])
        if prediction.view_source == "predicted" and own < 100 * CONFIDENT_VIEW:
            return _("The view is doubtful ({view} with {percent:.0f} %): choose it, then press Apply again.").format(
                view=prediction.view.short, percent=own
            )
        best = View(int(probabilities.argmax()) + 1)
        if best is not prediction.view and probabilities[best.index] >= 100 * CONFIDENT_VIEW:
            return _("The model takes this clip for {view} ({percent:.0f} %): check the view.").format(
                view=best.short, percent=probabilities[best.index]
            )
        return ""

    def _chosenView(self) -> View | None:
        """The view in the combo box, None for automatic."""
        if self.parameterNode is None or self.parameterNode.view.name not in View.__members__:
            return None
        return View[self.parameterNode.view.name]


def _viewBars(prediction: Any) -> list[Bar]:
    return [
        Bar(view.short, float(prediction.view_probabilities[view.index]), marked=view is prediction.view)
        for view in View
    ]
