"""Slice views: Slicer's own slice logic and displayable managers, drawn off screen, in widgets that take Qt's events.

A click into the widget goes the way it goes in Slicer: Qt event, VTK interactor, observers by priority (effects and
modules first), interactor style, displayable managers.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Qt
from vtk.util.numpy_support import vtk_to_numpy

from .mrml_widgets import qMRMLWidget
from .uiloader import register

# In the application, loadable modules register the last ones.
_SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
)
_BUTTONS = {Qt.LeftButton: "Left", Qt.RightButton: "Right", Qt.MiddleButton: "Middle"}
_VIEW_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}


class VTKWidget(QtWidgets.QWidget):
    """Shows an off-screen render window, and hands Qt's events to its interactor."""

    def __init__(self, window: Any, interactor: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self.window_, self.interactor_ = window, interactor
        self.resized_: Any = None
        self._image: Any = None
        window.SetOffScreenRendering(1)
        window.SetShowWindow(False)
        window.SetMultiSamples(0)
        interactor.SetRenderWindow(window)
        interactor.Initialize()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.StrongFocus)

    def _outdate(self) -> None:
        """Render again when Qt next paints."""
        self._image = None
        self.update()

    def _picture(self) -> Any:
        """What is rendered now, as a QImage; None while the widget has no size."""
        width, height = self.window_.GetSize()
        if self._image is None and min(width, height) > 1:
            self.window_.Render()
            pixels = vtk.vtkUnsignedCharArray()
            self.window_.GetPixelData(0, 0, width - 1, height - 1, 0, pixels, 0)
            rows = vtk_to_numpy(pixels).reshape(height, width, 3)[::-1].copy()
            self._image = QtGui.QImage(rows.data, width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()
        return self._image

    def _place(self, event: Any, repeat: int = 0) -> Any:
        """The interactor, told where the mouse is; VTK counts rows from the bottom."""
        point = event.pos() if hasattr(event, "pos") else event.position()  # of a wheel event
        keys = event.modifiers()
        control, shift = bool(keys & Qt.ControlModifier), bool(keys & Qt.ShiftModifier)
        row = self.height - 1 - int(point.y())
        self.interactor_.SetEventInformation(int(point.x()), row, control, shift, "\0", repeat, None)
        self.interactor_.SetAltKey(bool(keys & Qt.AltModifier))
        return self.interactor_

    def mousePressEvent(self, event: Any) -> None:
        if event.button() in _BUTTONS:
            self._place(event).InvokeEvent(f"{_BUTTONS[event.button()]}ButtonPressEvent")

    def mouseDoubleClickEvent(self, event: Any) -> None:
        if event.button() in _BUTTONS:
            interactor = self._place(event, 1)
            interactor.InvokeEvent(f"{_BUTTONS[event.button()]}ButtonPressEvent")
            interactor.InvokeEvent(f"{_BUTTONS[event.button()]}ButtonDoubleClickEvent")

    def mouseReleaseEvent(self, event: Any) -> None:
        if event.button() in _BUTTONS:
            self._place(event).InvokeEvent(f"{_BUTTONS[event.button()]}ButtonReleaseEvent")

    def mouseMoveEvent(self, event: Any) -> None:
        self._place(event).InvokeEvent("MouseMoveEvent")

    def enterEvent(self, event: Any) -> None:
        self._place(event).InvokeEvent("EnterEvent")

    def leaveEvent(self, event: Any) -> None:
        self.interactor_.InvokeEvent("LeaveEvent")

    def wheelEvent(self, event: Any) -> None:
        direction = "Forward" if event.angleDelta().y() > 0 else "Backward"
        self._place(event).InvokeEvent(f"MouseWheel{direction}Event")

    def keyPressEvent(self, event: Any) -> None:
        self._key(event)
        self.interactor_.InvokeEvent("KeyPressEvent")
        self.interactor_.InvokeEvent("CharEvent")
        event.ignore()

    def keyReleaseEvent(self, event: Any) -> None:
        self._key(event)
        self.interactor_.InvokeEvent("KeyReleaseEvent")
        event.ignore()

    def _key(self, event: Any) -> None:
        keys, text = event.modifiers(), event.text()
        name = text or QtGui.QKeySequence(event.key()).toString()
        control, shift = bool(keys & Qt.ControlModifier), bool(keys & Qt.ShiftModifier)
        self.interactor_.SetKeyEventInformation(control, shift, (text or "\0")[0], 0, name)

    def resizeEvent(self, event: Any) -> None:
        if min(self.width, self.height) > 1:
            self.window_.SetSize(self.width, self.height)
            self.interactor_.UpdateSize(self.width, self.height)
            if self.resized_ is not None:
                self.resized_(self.width, self.height)
            self._outdate()

    def paintEvent(self, event: Any) -> None:
        image = self._picture()
        if image is not None:
            painter = QtGui.QPainter(self)
            painter.drawImage(0, 0, image)
            painter.end()


@register
class qMRMLSliceView(QtWidgets.QWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._window = vtk.vtkRenderWindow()
        self._window.SetAlphaBitPlanes(1)
        self._window.SetNumberOfLayers(2)
        renderer, overlay = vtk.vtkRenderer(), vtk.vtkRenderer()
        overlay.SetLayer(1)
        for layer in (renderer, overlay):
            layer.GetActiveCamera().ParallelProjectionOn()
            self._window.AddRenderer(layer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._vtkWidget = VTKWidget(self._window, self._interactor)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._vtkWidget)
        # The image comes before the managers' actors: 2D actors are drawn in the order in which they were added.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._image.SetVisibility(False)
        renderer.AddViewProp(self._image)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in _SLICE_MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = factory.InstantiateDisplayableManagers(renderer)
        self._managers.AddObserver(vtk.vtkCommand.UpdateEvent, lambda _caller, _event: self.scheduleRender())
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetDisplayableManagers(self._managers)
        self._cornerAnnotation = vtk.vtkCornerAnnotation()
        self._node: Any = None

    def setImageDataConnection(self, connection: Any) -> None:
        if connection is not self._mapper.GetInputConnection(0, 0):
            self._mapper.SetInputConnection(connection)
            self._image.SetVisibility(connection is not None)
        self.scheduleRender()

    def setMRMLSliceNode(self, node: Any) -> None:
        self._node = node
        self._managers.SetMRMLDisplayableNode(node)

    def mrmlSliceNode(self) -> Any:
        return self._node

    def VTKWidget(self) -> VTKWidget:
        return self._vtkWidget

    def renderWindow(self) -> Any:
        return self._window

    def interactor(self) -> Any:
        return self._interactor

    def interactorStyle(self) -> Any:
        return self._interactor.GetInteractorStyle()

    def sliceViewInteractorStyle(self) -> Any:
        return self._style

    def interactorObserver(self) -> Any:
        return self._style

    def cornerAnnotation(self) -> Any:
        return self._cornerAnnotation

    def scheduleRender(self) -> None:
        self._vtkWidget._outdate()

    def forceRender(self) -> None:
        self._vtkWidget._outdate()
        self._vtkWidget._picture()

    def displayableManagerByClassName(self, name: str) -> Any:
        return self._managers.GetDisplayableManagerByClassName(name)

    def getDisplayableManagers(self, collection: Any) -> None:
        for index in range(self._managers.GetDisplayableManagerCount()):
            collection.AddItem(self._managers.GetNthDisplayableManager(index))

    def convertDeviceToXYZ(self, xy: Any) -> tuple[float, ...]:
        xyz = [0.0, 0.0, 0.0]
        self._converter().ConvertDeviceToXYZ(xy[0], xy[1], xyz)
        return tuple(xyz)

    def convertXYZToRAS(self, xyz: Any) -> tuple[float, ...]:
        ras = [0.0, 0.0, 0.0]
        self._converter().ConvertXYZToRAS(list(xyz), ras)
        return tuple(ras)

    def convertRASToXYZ(self, ras: Any) -> tuple[float, ...]:
        xyz = [0.0, 0.0, 0.0]
        self._converter().ConvertRASToXYZ(list(ras), xyz)
        return tuple(xyz)

    def _converter(self) -> Any:
        return self.displayableManagerByClassName("vtkMRMLCrosshairDisplayableManager")

    def setViewCursor(self, cursor: Any) -> None:
        self._vtkWidget.setCursor(cursor)

    def unsetViewCursor(self) -> None:
        self._vtkWidget.unsetCursor()

    def setDefaultViewCursor(self, cursor: Any) -> None:
        self._vtkWidget.setCursor(cursor)


@register
class qMRMLSliceControllerWidget(qMRMLWidget):
    """The bar above a slice view: its name, and a slider for the offset."""

    _STEPS = 1000

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._name = QtWidgets.QLabel()
        self._slider = QtWidgets.QSlider(Qt.Horizontal)
        self._slider.setRange(0, self._STEPS)
        self._offset = QtWidgets.QLabel()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        for widget in (self._name, self._slider, self._offset):
            layout.addWidget(widget)
        self._slider.valueChanged.connect(self._onMoved)

    def setSliceLogic(self, logic: Any) -> None:
        self._logic = logic
        name = logic.GetSliceNode().GetLayoutName()
        self._name.setText(f" {name[:1]} ")
        self._name.setStyleSheet(f"background-color: {_VIEW_COLORS.get(name, '#8c8c8c')}; color: black")

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def setSliceLink(self, linked: bool) -> None:
        self._logic.GetSliceCompositeNode().SetLinkedControl(linked)

    def setSliceOffsetValue(self, offset: float) -> None:
        self._logic.SetSliceOffset(offset)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def _range(self) -> tuple[float, float]:
        low_high, resolution = [0.0, 1.0], vtk.reference(1.0)
        self._logic.GetSliceOffsetRangeResolution(low_high, resolution)
        return low_high[0], low_high[1]

    def _onMoved(self, position: int) -> None:
        low, high = self._range()
        self._logic.SetSliceOffset(low + (high - low) * position / self._STEPS)

    def _update(self) -> None:
        (low, high), offset = self._range(), self._logic.GetSliceOffset()
        self._slider.blockSignals(True)
        self._slider.setValue(round((offset - low) / (high - low) * self._STEPS) if high > low else 0)
        self._slider.blockSignals(False)
        self._offset.setText(f"{offset:.2f}mm")


@register
class qMRMLSliceWidget(qMRMLWidget):
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._logic: Any = None
        self._controller = qMRMLSliceControllerWidget()
        self._view = qMRMLSliceView()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._controller)
        layout.addWidget(self._view, 1)

    def setMRMLSliceNode(self, node: Any) -> None:
        """Show ``node``, which the layout logic has put in the scene; called once."""
        applicationLogic = slicer.app.applicationLogic()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(node)
        self._controller.setSliceLogic(self._logic)
        style = self._view.sliceViewInteractorStyle()
        style.SetSliceLogic(self._logic)
        style.SetInteractor(self._view.interactor())
        self._view.setMRMLSliceNode(node)
        self._view.VTKWidget().resized_ = self._logic.ResizeSliceNode
        self.setObjectName(f"qMRMLSliceWidget{node.GetLayoutName()}")
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: self._update())
        self._update()

    def _update(self) -> None:
        self._view.setImageDataConnection(self._logic.GetImageDataConnection())
        self._controller._update()

    def sliceLogic(self) -> Any:
        return self._logic

    def logic(self) -> Any:
        return self._logic

    def sliceView(self) -> qMRMLSliceView:
        return self._view

    def viewWidget(self) -> qMRMLSliceView:
        return self._view

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def controllerWidget(self) -> qMRMLSliceControllerWidget:
        return self._controller

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlAbstractViewNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def interactorStyle(self) -> Any:
        return self._view.sliceViewInteractorStyle()

    def fitSliceToBackground(self) -> None:
        self._controller.fitSliceToBackground()

    def setSliceOrientation(self, orientation: str) -> None:
        self.mrmlSliceNode().SetOrientation(orientation)

    sliceViewName = Property(str, lambda self: self.mrmlSliceNode().GetLayoutName())
    sliceViewLabel = Property(str, lambda self: self.mrmlSliceNode().GetLayoutLabel())
    sliceOrientation = Property(str, lambda self: self.mrmlSliceNode().GetOrientation(), setSliceOrientation)
