"""Which widget shows which type of parameter, by the exact type of the widget as in Slicer."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import ctk
import qt
import slicer

from .validators import Choice, Decimals, SingleStep, bounds

BOOL_WIDGETS = {
    qt.QCheckBox: "stateChanged(int)",
    ctk.ctkCheckBox: "stateChanged(int)",
    qt.QPushButton: "toggled(bool)",
}
INT_WIDGETS = (qt.QSlider, qt.QSpinBox)
FLOAT_WIDGETS = (
    qt.QDoubleSpinBox,
    ctk.ctkSliderWidget,
    ctk.ctkDoubleSpinBox,
    slicer.qMRMLSliderWidget,
    slicer.qMRMLSpinBox,
)
TEXT_WIDGETS = (qt.QLineEdit, qt.QLabel)
CHOICE_WIDGETS = (qt.QComboBox, ctk.ctkComboBox)
BOUNDED_WIDGETS = (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget)
INT_LIMIT = 2**31


class Connector:
    """One widget bound to one parameter: reads it, writes it, tells of changes by its user."""

    def __init__(
        self, widget: Any, signal: str | None, read: Callable[[], Any], write: Callable[[Any], None]
    ) -> None:
        self.widget = widget
        self.read = read
        self.write = write
        self._signal = signal
        self._callback: Callable[[], None] | None = None

    def connect(self, callback: Callable[[], None]) -> None:
        """Call the function when the widget changes."""
        self._callback = callback
        if self._signal:
            self.widget.connect(self._signal, callback)

    def disconnect(self) -> None:
        """Undo `connect`."""
        if self._signal and self._callback:
            self.widget.disconnect(self._signal, self._callback)


def _by_attribute(
    widget: Any, signal: str | None, attribute: str, convert: Callable[[Any], Any]
) -> Connector:
    def write(value: Any) -> None:
        if getattr(widget, attribute) != value:
            setattr(widget, attribute, value)

    return Connector(widget, signal, lambda: convert(getattr(widget, attribute)), write)


def _limit(widget: Any, annotations: Sequence[Any], unlimited: float) -> None:
    least, greatest = bounds(annotations)
    if type(widget) in BOUNDED_WIDGETS and (least is None or greatest is None):
        message = f"A {widget.className()} needs a parameter with minimum and maximum"
        raise RuntimeError(message)
    widget.minimum = -unlimited if least is None else least
    widget.maximum = unlimited - (type(widget) in INT_WIDGETS) if greatest is None else greatest
    for annotation in annotations:
        if isinstance(annotation, SingleStep):
            widget.singleStep = annotation.value


def _number(widget: Any, kind: type, annotations: Sequence[Any]) -> Connector:
    if type(widget) in INT_WIDGETS:
        _limit(widget, annotations, INT_LIMIT)
        return _by_attribute(widget, "valueChanged(int)", "value", int)
    if kind is int:
        widget.decimals = 0
    for annotation in annotations:
        if isinstance(annotation, Decimals) and kind is float:
            widget.decimals = annotation.value
    _limit(widget, annotations, float("inf"))
    return _by_attribute(widget, "valueChanged(double)", "value", kind)


def _items(widget: Any, labels: Sequence[str], values: Sequence[Any]) -> Connector:
    widget.clear()
    for label in labels:
        widget.addItem(label)

    def write(value: Any) -> None:
        widget.currentIndex = list(values).index(value)

    return Connector(widget, "currentIndexChanged(int)", lambda: values[widget.currentIndex], write)


def _node(widget: Any, kind: type) -> Connector:
    widget.nodeTypes = [kind().GetClassName()]  # Slicer makes one: no abstract class will do
    return Connector(
        widget,
        "currentNodeChanged(vtkMRMLNode*)",
        lambda: widget.currentNode(),
        lambda value: widget.setCurrentNode(value),
    )


def _choice(widget: Any, kind: type, annotations: Sequence[Any]) -> Connector | None:
    if issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda member: member.name)
        return _items(widget, [label(member) for member in kind], list(kind))
    for annotation in annotations:
        if isinstance(annotation, Choice):
            values = annotation.choices
            return _items(widget, [str(value) for value in values], values)
    return None


def _text(widget: Any) -> Connector:
    signal = "textChanged(QString)" if type(widget) is qt.QLineEdit else None
    return _by_attribute(widget, signal, "text", str)


def create(widget: Any, kind: type, annotations: Sequence[Any]) -> Connector:
    """Return the connector of a widget and a type; raise where none is known."""
    exact = type(widget)
    connector = None
    if kind is bool and exact in BOOL_WIDGETS:
        if exact is qt.QPushButton:
            widget.checkable = True
        connector = _by_attribute(widget, BOOL_WIDGETS[exact], "checked", bool)
    elif (kind is int and exact in INT_WIDGETS) or (
        kind in (int, float) and exact in FLOAT_WIDGETS
    ):
        connector = _number(widget, kind, annotations)
    elif kind is str and exact in TEXT_WIDGETS:
        connector = _text(widget)
    elif exact in CHOICE_WIDGETS:
        connector = _choice(widget, kind, annotations)
    elif exact is slicer.qMRMLNodeComboBox and issubclass(kind, slicer.vtkMRMLNode):
        connector = _node(widget, kind)
    if connector is None:
        message = f"No connection between a {kind.__name__} parameter and a {exact.__name__}"
        raise NotImplementedError(message)
    return connector
