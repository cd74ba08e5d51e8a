"""Two clicks in a slice view that give a box in pixels of a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
from FetalEchoSegLib.panel.ruler import Ruler
from FetalEchoSegLib.scene.cine_nodes import cineSequence
from FetalEchoSegLib.scene.segmentation_nodes import CINE_REFERENCE


class BoxTool:
    """Calls ``drawn`` with (left, top, right, bottom) after the second click."""

    def __init__(self, drawn: Callable[[tuple[int, int, int, int]], None]) -> None:
        self._drawn = drawn
        self._volume: Any = None
        self._ruler = Ruler()
        self._ruler.changed.connect(self._onChanged)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._finish)

    def start(self, masks: Any) -> None:
        """Let the next two clicks in a view be corners of a box in the clip of ``masks``."""
        self._volume = cineSequence(masks.GetNodeReference(CINE_REFERENCE)).GetNthDataNode(0)
        self._ruler.start()

    def stop(self) -> None:
        """Wait for no click any more."""
        self._volume = None
        self._timer.stop()
        self._ruler.stop()

    def _onChanged(self) -> None:
        if self._volume is not None and len(self._ruler.points) == 2:
            # Not now: the node whose click is being handled would be deleted under the hands of VTK.
            self._timer.start()

    def _finish(self) -> None:
        if self._volume is None or len(self._ruler.points) < 2:
            return
        import vtk

        toIndex = vtk.vtkMatrix4x4()
        self._volume.GetRASToIJKMatrix(toIndex)
        width, height, _ = self._volume.GetImageData().GetDimensions()
        corners = np.array([toIndex.MultiplyPoint((*point, 1.0))[:2] for point in self._ruler.points])
        self.stop()
        left, top = np.clip(np.floor(corners.min(0)), 0, (width - 1, height - 1)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(corners.max(0)), 1, (width, height)).astype(int).tolist()
        self._drawn((left, top, max(right, left + 1), max(bottom, top + 1)))
