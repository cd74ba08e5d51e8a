"""What the effect SAM-Med2D does in the slice views, for one editor.

Nothing here is called when the effect is not active, but for ``setupOptions``, ``setDefaults`` and ``cleanup``. Errors
become sentences in the options; an exception never reaches the event handlers of the views.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from ..errors import FetalEchoError, InvalidRequest
from ..promptable.prompts import Box, Prompts
from ..scene.click_session import Clicked
from ..scene.click_target import FRAMES, ClickTarget, targetOfEditor
from .click_options import ClickOptions
from .click_sharing import clickModelSetting, releaseSession, retainSession, setClickModelSetting
from .click_texts import clickedText, promptsText
from .device_setting import deviceSetting
from .effect_editor import EffectEditor
from .prompt_markers import Marker, ViewMarkers, maskOutline
from .view_planes import isInSight, pixelScale, positionInPlane, project, sliceViews

_MODE, _PREVIEW = "Mode", "Preview"
_POSITIVE, _NEGATIVE = "Positive", "Negative"
# A hand that shakes by less than this, in pixels of a screen of usual resolution, has clicked and drawn no box.
_DRAG = 6.0
# How long a turn of the event loop waits for the threads at work: Slicer holds Python's lock while it waits for events.
_YIELD_SECONDS = 0.015
_PREVIEW_MS = 40
_STATUS_MS = 5000


@dataclass(frozen=True, eq=False)
class _Press:
    """The left button is down."""

    view: Any
    target: ClickTarget
    xy: tuple[float, float]
    position: tuple[float, float]
    positive: bool


def _safely(result: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn errors of a handler into sentences; it returns ``result`` then."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def guarded(self: ClickTool, *arguments: Any) -> Any:
            try:
                return handler(self, *arguments)
            except FetalEchoError as error:
                self._say(str(error))
            except Exception as error:
                logging.exception("SAM-Med2D")
                self._say(_("That did not work: {error}").format(error=error or type(error).__name__))
            return result

        return guarded

    return decorate


class ClickTool(VTKObservationMixin):
    """Clicks, markers and options of one editor; answers come from the session that all editors share."""

    def __init__(self, scriptedEffect: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._effect = scriptedEffect
        self._session: Any = None
        self._options: ClickOptions | None = None
        self._markers: dict[Any, ViewMarkers] = {}
        self._isActive = False
        self._observed: tuple[Any, ...] = ()
        self._target: ClickTarget | None = None
        self._view: Any = None
        self._press: _Press | None = None
        self._drag: tuple[float, float] | None = None
        self._hovered: tuple[Any, int | None] = (None, None)
        self._takesRightRelease = False
        self._preview: tuple[Any, np.ndarray] | None = None
        self._previewAt: tuple[Any, tuple[float, float], bool] | None = None
        self._oldOutcome: Any = None
        self._problem = ""
        self._said = ""
        self._refreshTimer = _timer(0, self._refresh)
        self._previewTimer = _timer(_PREVIEW_MS, self._showPreview)
        self._pollTimer = _timer(0, self._poll, isSingleShot=False)

    # life

    def setupOptions(self) -> None:
        """Make the widgets of the options frame; called once."""
        self._options = ClickOptions(self._onOptionsChanged, self._onModelChosen, self._onRemoveLast, self._onClear)
        self._options.addTo(self._effect)

    def setDefaults(self) -> None:
        """First values of what is kept in the editor's node."""
        self._effect.setParameterDefault(_MODE, _POSITIVE)
        self._effect.setParameterDefault(_PREVIEW, 0)

    def updateOptions(self) -> None:
        """Show what is kept in the editor's node."""
        if self._options is not None and self._effect.parameterSetNode() is not None:
            self._options.showModes(
                self._effect.parameter(_MODE) == _NEGATIVE, self._effect.integerParameter(_PREVIEW) != 0
            )

    @_safely(None)
    def activate(self) -> None:
        """Begin: load the model in the background, follow the editor, draw markers."""
        if self._session is None:
            self._session = retainSession(self)
        self._session.subscribe(self._onSession)
        self._isActive = True
        self._oldOutcome = self._session.outcome
        self._say("")
        self._chooseModel()
        self._refresh()

    @_safely(None)
    def deactivate(self) -> None:
        """End: nothing is observed, drawn or computed any more; what was loaded stays for the next time."""
        self._isActive = False
        for timer in (self._refreshTimer, self._previewTimer, self._pollTimer):
            timer.stop()
        self.removeObservers()
        self._observed = ()
        self._forgetMouse()
        for markers in self._markers.values():
            markers.remove()
        self._markers.clear()
        self._target = self._view = None
        if self._session is not None:
            self._session.unsubscribe(self._onSession)
            self._session.dropWaiting()
            self._session.prepare(None)

    def cleanup(self) -> None:
        """The editor goes away."""
        if self._isActive:
            self.deactivate()
        self._session = None
        releaseSession(self)

    # events of the views

    @_safely(True)
    def onInteraction(self, interactor: Any, event: int, view: Any) -> bool:
        """Handle an event of a view; whether nobody else is to get it."""
        if not self._isActive or view.className() != "qMRMLSliceWidget":
            return False
        xy = tuple(float(value) for value in interactor.GetEventPosition()[:2])
        if event == vtk.vtkCommand.LeftButtonPressEvent:
            return self._onLeftPress(interactor, view, xy)
        if event == vtk.vtkCommand.LeftButtonReleaseEvent:
            return self._onLeftRelease(xy)
        if event == vtk.vtkCommand.MouseMoveEvent:
            return self._onMove(interactor, view, xy)
        if event == vtk.vtkCommand.RightButtonPressEvent:
            return self._onRightPress(view, xy)
        if event == vtk.vtkCommand.RightButtonReleaseEvent:
            taken, self._takesRightRelease = self._takesRightRelease, False
            return taken
        if event == vtk.vtkCommand.LeaveEvent:
            self._hover(None, None)
        return False

    @_safely(None)
    def onViewNode(self, view: Any) -> None:
        """A view shows another part of space."""
        if not self._isActive:
            return
        self._forgetPreview()
        self._draw(view)
        if self._target is None or self._target.key.sequence != FRAMES:
            self._refreshTimer.start()  # another slice of a volume may be shown

    @_safely(None)
    def onLayoutChanged(self) -> None:
        """Views came or went."""
        if self._isActive:
            self._forgetMouse()
            for markers in self._markers.values():
                markers.remove()
            self._markers.clear()
            self._refresh()

    def _onLeftPress(self, interactor: Any, view: Any, xy: tuple[float, float]) -> bool:
        if interactor.GetShiftKey() or interactor.GetAltKey():
            return False  # Slicer's own
        self._forgetMouse()
        self._view = view
        self._refresh()
        if self._session.modelProblem or not (self._session.isReady or self._session.isLoading):
            raise InvalidRequest(self._session.modelProblem or _("There is no model that answers clicks."))
        target = self._targetIn(view)
        position = positionInPlane(view, target.plane, xy)
        Prompts(box=Box(*position, *position)).require_inside(*target.plane.shape)
        confirmed = self._effect.confirmCurrentSegmentVisible()
        if confirmed != self._effect.ConfirmedWithoutDialog:
            return True  # the button was released over the dialog
        positive = self._options.isNegative == bool(interactor.GetControlKey())
        self._press = _Press(view, target, xy, position, positive)
        return True

    def _onLeftRelease(self, xy: tuple[float, float]) -> bool:
        press, drag = self._press, self._drag
        self._forgetMouse()
        if press is None:
            return False
        self._refresh()
        if not press.target.isSame(self._targetIn(press.view)):
            self._draw(press.view)
            return True
        editor = EffectEditor(self._effect)
        if drag is None:
            self._session.addPoint(editor, press.target, *press.position, press.positive)
        else:
            self._session.setBox(editor, press.target, Box.between(press.position, drag))
        return True

    def _onMove(self, interactor: Any, view: Any, xy: tuple[float, float]) -> bool:
        press = self._press
        if press is None:
            markers = self._markers.get(view)
            hit = markers.hit(xy) if markers is not None else None
            self._hover(view, hit.index if hit is not None else None)
            if self._options.isPreviewOn and not interactor.GetShiftKey():
                positive = self._options.isNegative == bool(interactor.GetControlKey())
                self._previewAt = (view, xy, positive)
                if not self._previewTimer.active:
                    self._previewTimer.start()
            return False
        if self._drag is not None or max(abs(a - b) for a, b in zip(xy, press.xy, strict=True)) > _DRAG * pixelScale(
            view
        ):
            self._drag = positionInPlane(press.view, press.target.plane, xy)
            self._draw(press.view)
        return True

    def _onRightPress(self, view: Any, xy: tuple[float, float]) -> bool:
        """On a marker: take that prompt away. Elsewhere it is Slicer's, which zooms and opens a menu."""
        markers = self._markers.get(view)
        hit = markers.hit(xy) if markers is not None else None
        if hit is None and not (markers is not None and markers.hitsBox(xy)):
            return False
        self._takesRightRelease = True
        self._refresh()
        target = self._targetIn(view)
        editor = EffectEditor(self._effect)
        if hit is None:
            self._session.removeBox(editor, target)
        elif hit.isWaiting:
            self._session.removeLast(editor, target)
        else:
            self._session.removePoint(editor, target, hit.index)
        return True

    # the model

    def _chooseModel(self) -> None:
        """Offer what is installed, and load the chosen one unless it is loaded."""
        names, problem = _installedModels()
        chosen = clickModelSetting()
        if chosen not in names:
            chosen = ""
        self._options.showModels(names, chosen)
        if names:
            self._session.chooseModel(chosen or names[0], deviceSetting())
        else:
            self._session.refuse(problem)

    @_safely(None)
    def _onModelChosen(self, name: str) -> None:
        setClickModelSetting(name)
        self._chooseModel()

    # following the editor

    def _observe(self) -> None:
        """Follow the nodes of the target as they are now."""
        node = self._effect.parameterSetNode()
        segmentation, volume = (
            (None, None) if node is None else (node.GetSegmentationNode(), node.GetSourceVolumeNode())
        )
        nodes = (node, segmentation, volume, None if self._target is None else self._target.browser)
        if len(self._observed) == len(nodes) and all(a is b for a, b in zip(nodes, self._observed, strict=True)):
            return
        self.removeObservers()
        self._observed = nodes
        changes = slicer.vtkSegmentation
        events = (
            (vtk.vtkCommand.ModifiedEvent,),
            (
                changes.SourceRepresentationModified,
                changes.SegmentModified,  # all that undo tells
                changes.SegmentAdded,
                changes.SegmentRemoved,
                slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent,
                slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
            ),
            (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent),
            (vtk.vtkCommand.ModifiedEvent,),
        )
        for observed, kinds in zip(nodes, events, strict=True):
            for kind in kinds if observed is not None else ():
                self.addObserver(observed, kind, self._onScene)

    def _onScene(self, caller: Any = None, event: Any = None) -> None:
        # Changes come in bursts: look once they are over, or when the next click needs to know.
        self._refreshTimer.start()

    @_safely(None)
    def _refresh(self) -> None:
        """See what the editor shows now."""
        self._refreshTimer.stop()
        if not self._isActive:
            return
        self._target, self._problem = None, ""
        try:
            self._target = self._targetInSight()
        except InvalidRequest as error:
            self._problem = str(error)
        self._observe()
        if self._press is not None and not self._press.target.isSame(self._target):
            self._forgetMouse()
        self._forgetPreview()
        self._options.showProblem(self._session.modelProblem or self._problem)
        self._session.prepare(self._target)
        self._drawAll()
        self._keepPolling()

    def _targetInSight(self) -> ClickTarget:
        """What a click in the view that was used last means, or else in any that shows the image."""
        views = sorted(sliceViews(), key=lambda view: view != self._view)
        problem = None
        for sliceNode in [view.mrmlSliceNode() for view in views] or [None]:
            try:
                return targetOfEditor(self._effect.parameterSetNode(), sliceNode)
            except InvalidRequest as error:
                problem = problem or error
        raise problem

    def _targetIn(self, view: Any) -> ClickTarget:
        return targetOfEditor(self._effect.parameterSetNode(), view.mrmlSliceNode())

    def _onSession(self) -> None:
        """Prompts, model or waiting clicks have changed."""
        if not self._isActive:
            return
        self._options.showProblem(self._session.modelProblem or self._problem)
        self._say(self._news())
        self._forgetPreview()
        self._drawAll()
        self._keepPolling()

    def _news(self) -> str:
        """What there is to say about the session."""
        outcome = self._session.outcome
        if self._session.isLoading:
            waits = _("the click waits") if self._session.waitingClicks else _("you can click already")
            return _("Loading {name}: {waits}.").format(name=self._session.modelChoice[0], waits=waits)
        if self._session.waitingClicks:
            return _("The image is being prepared: the click waits.")
        if outcome is self._oldOutcome:
            return ""
        return clickedText(outcome) if isinstance(outcome, Clicked) else outcome or ""

    def _keepPolling(self) -> None:
        if self._session.isBusy and not self._pollTimer.active:
            self._pollTimer.start()

    @_safely(None)
    def _poll(self) -> None:
        if self._session is None or not self._session.isBusy:
            self._pollTimer.stop()
            return
        time.sleep(_YIELD_SECONDS)
        self._session.poll()

    def _say(self, text: str) -> None:
        if self._options is not None:
            self._options.showStatus(text)
        if text and text != self._said:
            slicer.util.showStatusMessage(text, _STATUS_MS)
        self._said = text

    # options

    @_safely(None)
    def _onOptionsChanged(self) -> None:
        if self._effect.parameterSetNode() is None:
            return
        self._effect.setParameter(_MODE, _NEGATIVE if self._options.isNegative else _POSITIVE)
        self._effect.setParameter(_PREVIEW, int(self._options.isPreviewOn))
        if not self._options.isPreviewOn:
            self._forgetPreview()
            self._drawAll()

    @_safely(None)
    def _onRemoveLast(self) -> None:
        self._refresh()
        if self._target is not None:
            self._session.removeLast(EffectEditor(self._effect), self._target)

    @_safely(None)
    def _onClear(self) -> None:
        self._refresh()
        if self._target is not None:
            self._session.clear(self._target)

    # drawing

    def _drawAll(self) -> None:
        prompts = self._session.promptsShown(self._target)[0] if self._target is not None else Prompts()
        self._options.showPrompts(promptsText(prompts), prompts.is_said)
        for view in sliceViews():
            self._draw(view)

    def _draw(self, view: Any) -> None:
        """Draw the prompts that belong to what a view shows."""
        markers = self._markers.get(view)
        if markers is None:
            markers = self._markers[view] = ViewMarkers(self._effect, view)
        try:
            target = self._targetIn(view)
        except InvalidRequest:
            markers.show()
            return
        if not isInSight(view, target.plane):
            markers.show()
            return
        prompts, waiting = self._session.promptsShown(target)
        places = project(view, target.plane, [(point.x, point.y) for point in prompts.points])
        answered = len(prompts.points) - min(waiting, len(prompts.points))
        shown = [
            Marker(tuple(xy), point.positive, index >= answered, index)
            for index, (xy, point) in enumerate(zip(places, prompts.points, strict=True))
        ]
        box, isBoxWaiting = prompts.box, waiting > len(prompts.points) - answered
        if self._drag is not None and self._press is not None and self._press.view == view:
            box, isBoxWaiting = Box.between(self._press.position, self._drag), True
        corners = None
        if box is not None:
            at = [(box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)]
            corners = [tuple(xy) for xy in project(view, target.plane, at)]
        outline = None
        if self._preview is not None and self._preview[0] == view:
            lines = maskOutline(self._preview[1])
            outline = project(view, target.plane, lines.reshape(-1, 2)).reshape(-1, 2, 2)
        hovered = self._hovered[1] if self._hovered[0] == view else None
        markers.show(shown, corners, isBoxWaiting, hovered, outline)

    def _hover(self, view: Any, index: int | None) -> None:
        before, self._hovered = self._hovered, (view, index)
        if before == self._hovered:
            return
        for changed in {before[0], view} - {None}:
            if changed in self._markers:
                self._draw(changed)
        if index is not None:
            slicer.util.showStatusMessage(_("Right-click to take this prompt away."), _STATUS_MS)

    def _forgetMouse(self) -> None:
        self._press = self._drag = None
        self._takesRightRelease = False

    def _forgetPreview(self) -> None:
        self._preview = self._previewAt = None
        self._previewTimer.stop()

    @_safely(None)
    def _showPreview(self) -> None:
        """Draw what a click at the mouse would draw, if that costs the decoder only."""
        if self._previewAt is None or self._press is not None or not self._isActive:
            return
        view, xy, positive = self._previewAt
        self._preview = self._previewAt = None
        try:
            target = self._targetIn(view)
            mask = self._session.preview(target, *positionInPlane(view, target.plane, xy), positive)
        except FetalEchoError:
            mask = None
        if mask is not None:
            self._preview = (view, mask)
        self._draw(view)


def _installedModels() -> tuple[list[str], str]:
    """Names of the models that answer clicks, the default first, and what is wrong, "" if nothing is."""
    from ..dependencies import require_installed

    try:
        require_installed()
        from ..promptable.bundle import DEFAULT_PROMPTABLE, list_promptables

        found = sorted((bundle.name for bundle in list_promptables()), key=lambda name: name != DEFAULT_PROMPTABLE)
    except FetalEchoError as error:
        return [], str(error)
    except ImportError as error:
        return [], _("{error}: install it in FetalEcho Segmentation, section Dependencies.").format(error=error)
    if not found:
        return [], _("No model answers clicks: add one in FetalEcho Segmentation, section Model.")
    return found, ""


def _timer(milliseconds: int, action: Callable[[], None], isSingleShot: bool = True) -> Any:
    timer = qt.QTimer()
    timer.setSingleShot(isSingleShot)
    timer.setInterval(milliseconds)
    timer.timeout.connect(action)
    return timer
