"""One section of the panel."""

from __future__ import annotations

from typing import Any

import slicer


class Section:
    """A collapsible part of the panel with its own .ui file.

    uiName  file in Resources/UI, without .ui. Its top widget is a qMRMLWidget that holds a ctkCollapsibleButton;
            widgets with the dynamic property SlicerParameterName follow the parameter node by themselves.

    A section looks at ``self.state`` (clip, masks, frame), ``self.logic`` (what it can do) and
    ``self.parameterNode`` (what persists with the scene; None while a scene closes), and never at other sections.
    """

    uiName = ""

    def __init__(self, panel: Any) -> None:
        self.panel = panel
        self.ui: Any = None
        self.widget: Any = None
        self._guiTag: Any = None
        self.parameterNode: Any = None

    @property
    def logic(self) -> Any:
        """The module's logic."""
        return self.panel.logic

    @property
    def state(self) -> Any:
        """The panel's ``state.PanelState``."""
        return self.panel.state

    def load(self, layout: Any) -> None:
        """Make the widgets and append them to ``layout``; called once."""
        self.widget = slicer.util.loadUI(self.uiFile())
        layout.addWidget(self.widget)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.setup()

    def uiFile(self) -> str:
        """Path of the .ui file."""
        return str(self.panel.resourcePath(f"UI/{self.uiName}.ui"))

    def setup(self) -> None:
        """Connect widgets and state signals; called once, after the widgets were made."""

    def setParameterNode(self, parameterNode: Any) -> None:
        """Follow ``parameterNode``, or none."""
        if self.parameterNode is not None:
            self.parameterNode.disconnectGui(self._guiTag)
        self.parameterNode = parameterNode
        if parameterNode is not None:
            self._guiTag = parameterNode.connectGui(self.ui)
        self.update()

    def update(self) -> None:
        """Show what is the case now; called after every change of the parameter node. Must be quick."""

    def enter(self) -> None:
        """Called each time the user opens the module."""

    def exit(self) -> None:
        """Called each time the user leaves the module: let go of keys and of views."""

    def cleanup(self) -> None:
        """Called once, at the end: stop timers, remove observers."""
