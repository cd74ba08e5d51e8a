"""Showing a clip in Slicer's views."""

from __future__ import annotations

from typing import Any

import slicer


def showClip(browser: Any) -> None:
    """Show a clip's frame in the slice views, upright and fitted, its masks over it, and its playback in the toolbar.

    Without views (no main window, headless) only the toolbar is left out, too.
    """
    layoutManager = getattr(slicer.app, "layoutManager", lambda: None)()
    if layoutManager is None:
        return
    slicer.modules.sequences.setToolBarActiveBrowserNode(browser)
    for name in layoutManager.sliceViewNames():
        node = layoutManager.sliceWidget(name).mrmlSliceNode()
        if name == "Red":
            node.SetOrientation("Axial")
    slicer.util.setSliceViewerLayers(background=browser.GetProxyNode(browser.GetMasterSequenceNode()), fit=True)
