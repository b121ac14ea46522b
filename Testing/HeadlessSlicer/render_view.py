"""A Qt widget around an off-screen render window: paints its pixels, gives it the mouse."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.HeadlessSlicer.native import native_class

FIRST_SIZE = (300, 300)
BUTTONS = {
    QtCore.Qt.MouseButton.LeftButton: "LeftButton",
    QtCore.Qt.MouseButton.MiddleButton: "MiddleButton",
    QtCore.Qt.MouseButton.RightButton: "RightButton",
}
KEYS = {
    QtCore.Qt.Key.Key_Delete: "Delete",
    QtCore.Qt.Key.Key_Backspace: "BackSpace",
    QtCore.Qt.Key.Key_Return: "Return",
    QtCore.Qt.Key.Key_Escape: "Escape",
}


def _modifiers(event: Any) -> tuple[bool, bool]:
    """Return whether Ctrl and Shift are held."""
    held = event.modifiers()
    keys = QtCore.Qt.KeyboardModifier
    return bool(held & keys.ControlModifier), bool(held & keys.ShiftModifier)


@native_class()
class ctkVTKAbstractView(QtWidgets.QWidget):
    """Base of the views."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*FIRST_SIZE)
        self._renderer = vtk.vtkRenderer()
        self._renderer.SetBackground(0, 0, 0)
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.SetSize(*FIRST_SIZE)
        self._managers: Any = None
        self._style: Any = None
        self._timer = QtCore.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.forceRender)
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(80, 80)

    def _start(self, managers: Any, style: Any, node: Any) -> None:
        self._managers, self._style = managers, style
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        style.SetInteractor(self._interactor)
        style.SetDisplayableManagers(managers)
        managers.SetMRMLDisplayableNode(node)
        self._managers_tag = managers.AddObserver(
            vtk.vtkCommand.UpdateEvent, lambda caller, event: self.scheduleRender()
        )
        self._interactor.Initialize()
        self._size_changed(*FIRST_SIZE)
        self._window.Render()

    def _end(self) -> None:
        """Let go of the scene and of the graphics memory."""
        self._timer.stop()
        self._managers.RemoveObserver(self._managers_tag)
        self._managers.SetMRMLDisplayableNode(None)
        # As in Slicer: they go while the renderer and the window are there.
        self._style = self._managers = None
        self._window.Finalize()

    def _before_render(self) -> None:
        """Derived views bring their image up to date here."""

    def _size_changed(self, width: int, height: int) -> None:
        """Derived views tell their logic of the size here."""

    # ---- what the real class offers

    def renderWindow(self) -> Any:
        """Return the render window."""
        return self._window

    def interactor(self) -> Any:
        """Return the interactor."""
        return self._interactor

    def interactorStyle(self) -> Any:
        """Return the style of interaction."""
        return self._style

    def scheduleRender(self) -> None:
        """Render when the application is idle; as in Slicer, not while nobody can see the view."""
        if self.isVisible() and not self._timer.active:
            self._timer.start(0)

    def showEvent(self, event: Any) -> None:
        """Render what has changed while the view was hidden."""
        self.scheduleRender()

    def forceRender(self) -> None:
        """Render now."""
        self._timer.stop()
        scene = slicer.mrmlScene
        if scene.IsClosing() or scene.IsBatchProcessing():
            return
        self._before_render()
        self._window.Render()
        self.update()

    # ---- pixels and events

    def _pixels(self) -> QtGui.QImage:
        width, height = self._window.GetSize()
        data = vtk.vtkUnsignedCharArray()
        self._window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, data)
        image = QtGui.QImage(
            bytes(memoryview(data)), width, height, QtGui.QImage.Format.Format_RGBX8888
        )
        return image.mirrored(False, True)

    def paintEvent(self, event: Any) -> None:
        """Paint the rendered pixels."""
        painter = QtGui.QPainter(self)
        painter.drawImage(0, 0, self._pixels())
        painter.end()

    def resizeEvent(self, event: Any) -> None:
        """Render in the size of the widget."""
        width, height = event.size().width(), event.size().height()
        self._window.SetSize(width, height)
        self._interactor.SetSize(width, height)
        self._size_changed(width, height)
        self.scheduleRender()

    def _send(self, event: Any, name: str) -> None:
        position = event.position()
        control, shift = _modifiers(event)
        y = self._window.GetSize()[1] - 1 - int(position.y())
        self._interactor.SetEventInformation(int(position.x()), y, int(control), int(shift))
        self._interactor.InvokeEvent(name)

    def mousePressEvent(self, event: Any) -> None:
        """Press a button."""
        self._send(event, f"{BUTTONS[event.button()]}PressEvent")

    def mouseReleaseEvent(self, event: Any) -> None:
        """Release a button."""
        self._send(event, f"{BUTTONS[event.button()]}ReleaseEvent")

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Click twice."""
        self._send(event, f"{BUTTONS[event.button()]}DoubleClickEvent")

    def mouseMoveEvent(self, event: Any) -> None:
        """Move the mouse."""
        self._send(event, "MouseMoveEvent")

    def wheelEvent(self, event: Any) -> None:
        """Turn the wheel."""
        forward = event.angleDelta().y() > 0
        self._send(event, f"MouseWheel{'Forward' if forward else 'Backward'}Event")

    def keyPressEvent(self, event: Any) -> None:
        """Press a key."""
        control, shift = _modifiers(event)
        character = event.text()[:1] or "\0"
        name = KEYS.get(event.key(), character)
        self._interactor.SetKeyEventInformation(int(control), int(shift), character, 1, name)
        self._interactor.InvokeEvent("KeyPressEvent")

    def enterEvent(self, event: Any) -> None:
        """The mouse comes."""
        self._send(event, "EnterEvent")
