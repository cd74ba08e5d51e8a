"""Showing a clip in Slicer's views."""

from __future__ import annotations

from typing import Any

import slicer


def showClip(browser: Any) -> None:
    """Show a clip's frame upright and fitted in the Red view, and its playback in the toolbar.

    A clip has one slice, so the layout becomes the Red view alone. Nothing happens without views (no main window).
    """
    layoutManager = getattr(slicer.app, "layoutManager", lambda: None)()
    if layoutManager is None:
        return
    slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    red = layoutManager.sliceWidget("Red")
    if red is not None:
        red.mrmlSliceNode().SetOrientation("Axial")
    slicer.util.setSliceViewerLayers(background=browser.GetProxyNode(browser.GetMasterSequenceNode()), fit=True)
