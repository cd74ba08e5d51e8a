"""Segment Editor effect: correct a segment by clicks that SAM-Med2D answers."""

from pathlib import Path
from typing import Any

import qt
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """What Slicer calls; ``panel.click_tool.ClickTool`` does it."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = "SAM-Med2D"  # not translated: parameters of saved scenes begin with it
        scriptedEffect.title = _("SAM-Med2D")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self._tool: Any = None

    @property
    def tool(self) -> Any:
        """Made when an editor first needs it: Slicer makes the effect itself at every start."""
        if self._tool is None:
            from FetalEchoSegLib.panel.click_tool import ClickTool

            self._tool = ClickTool(self.scriptedEffect)
        return self._tool

    def clone(self) -> Any:
        """The effect for another editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(effectSource())
        return clonedEffect

    def icon(self) -> Any:
        """Icon of the button."""
        return qt.QIcon(str(Path(__file__).parent / "SegmentEditorEffect.png"))

    def helpText(self) -> str:
        """What the effect does, above its options."""
        return _(
            "<html>Click inside the structure that the segment is to show; Ctrl + click where it is not."
            " Drag to draw a box around it. Right-click a marker to take it away.<p>"
            "Each click is one undo step. What is drawn already is corrected, not replaced.</html>"
        )

    def setupOptionsFrame(self) -> None:
        """Make the options."""
        self.tool.setupOptions()

    def setMRMLDefaults(self) -> None:
        """First values of the parameters."""
        self.tool.setDefaults()

    def updateGUIFromMRML(self) -> None:
        """Show the parameters."""
        self.tool.updateOptions()

    def activate(self) -> None:
        """The effect was chosen."""
        self.tool.activate()

    def deactivate(self) -> None:
        """Another effect was chosen, or the module was left."""
        self.tool.deactivate()

    def cleanup(self) -> None:
        """The editor goes away."""
        if self._tool is not None:
            self._tool.cleanup()

    def processInteractionEvents(self, callerInteractor: Any, eventId: int, viewWidget: Any) -> bool:
        """An event of a view; True keeps it from everybody else."""
        return self.tool.onInteraction(callerInteractor, eventId, viewWidget)

    def processViewNodeEvents(self, callerViewNode: Any, eventId: int, viewWidget: Any) -> None:
        """A view shows another part of space."""
        if viewWidget.className() == "qMRMLSliceWidget":
            self.tool.onViewNode(viewWidget)

    def layoutChanged(self) -> None:
        """Views came or went."""
        self.tool.onLayoutChanged()


def effectSource() -> str:
    """Path of this file, as Slicer wants it."""
    return Path(__file__).with_suffix(".py").as_posix()


def registerEffect() -> None:
    """Offer the effect in all segment editors; nothing happens a second time."""
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    # Slicer takes a folder that nobody has imported for a module that is this very file: the package comes first.
    import SegmentEditorSAMMed2DLib  # noqa: F401

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(effectSource())
    effect.self().register()
