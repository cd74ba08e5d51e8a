"""Structures of the shown frame: which are visible, in which colour, how opaque."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ..scene.display import appearance, spreadAppearance

_MOST_ROWS = 8


class StructuresTable(VTKObservationMixin):
    """Keeps Slicer's segments table, two buttons and a slider on the proxy of a mask sequence.

    Visibility and opacity belong to the proxy's display node. A colour or name belongs to the segment of one frame, so
    a change is carried to the other frames.
    """

    def __init__(self, table: Any, showAllButton: Any, hideAllButton: Any, opacitySlider: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._table = table
        self._slider = opacitySlider
        self._masks: Any = None
        self._proxy: Any = None
        self._look: dict[str, Any] = {}
        table.setOpacityColumnVisible(False)
        table.setStatusColumnVisible(False)
        table.setLayerColumnVisible(False)
        table.setHeaderVisible(False)
        showAllButton.connect("clicked(bool)", self._onShowAll)
        hideAllButton.connect("clicked(bool)", self._onHideAll)
        opacitySlider.connect("valueChanged(double)", self._onOpacity)

    def setMasks(self, masks: Any, proxy: Any) -> None:
        """Show the segments of ``proxy``, which shows a frame of ``masks``; None for nothing."""
        if proxy is not self._proxy:
            self.removeObservers()
            self._table.setSegmentationNode(proxy)
            if proxy is not None:
                self.addObserver(proxy, slicer.vtkSegmentation.SegmentModified, self._onSegmentModified)
                self.addObserver(proxy, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._onDisplayModified)
        self._masks, self._proxy = masks, proxy
        self._look = appearance(proxy.GetSegmentation()) if proxy is not None else {}
        self._onDisplayModified()

    def setHiddenRows(self, segmentIds: Iterable[str]) -> None:
        """Leave these segments out of the table; the height follows."""
        hidden = set(segmentIds)
        self._table.setHideSegments(sorted(hidden))
        rows = len([segmentId for segmentId in self._look if segmentId not in hidden])
        height = self._table.tableWidget().verticalHeader().defaultSectionSize
        self._table.setFixedHeight(max(min(rows, _MOST_ROWS), 1) * height + 4)

    def cleanup(self) -> None:
        """Let go of the nodes."""
        self.setMasks(None, None)

    @property
    def _display(self) -> Any:
        return self._proxy.GetDisplayNode() if self._proxy is not None else None

    def _onShowAll(self, checked: bool = False) -> None:
        if self._display is not None:
            self._display.SetAllSegmentsVisibility(True)

    def _onHideAll(self, checked: bool = False) -> None:
        if self._display is not None:
            self._display.SetAllSegmentsVisibility(False)

    def _onOpacity(self, percent: float = 0.0) -> None:
        if self._display is not None:
            self._display.SetOpacity2DFill(percent / 100)

    def _onDisplayModified(self, caller: Any = None, event: Any = None) -> None:
        if self._display is None:
            return
        wasBlocked = self._slider.blockSignals(True)
        self._slider.setValue(100 * self._display.GetOpacity2DFill())
        self._slider.blockSignals(wasBlocked)

    def _onSegmentModified(self, caller: Any = None, event: Any = None) -> None:
        look = appearance(self._proxy.GetSegmentation())
        if look == self._look:  # its pixels were modified
            return
        self._look = look
        browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(self._proxy)
        if browser is not None:
            spreadAppearance(self._masks, browser.GetSelectedItemNumber())
