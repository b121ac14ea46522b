"""Stand-in for `slicer.parameterNodeWrapper`: typed parameters of a node, bound to widgets.

A subset: bool, int, float, str, node and Enum parameters with the annotations of `validators.py`.
Whatever else a module asks for raises NotImplementedError, so that it cannot use more than is
checked here.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk

from .connectors import Connector, create
from .validators import (
    SUPPORTED_ANNOTATIONS,
    Choice,
    Decimals,
    Default,
    Maximum,
    Minimum,
    SingleStep,
    Validator,
    WithinRange,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "SingleStep",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
WIDGET_PROPERTY = "SlicerParameterName"


class _Parameter:
    """One parameter: how it is checked, and how it is kept in the node."""

    def __init__(self, name: str, annotated: Any) -> None:
        self.name = name
        self.kind: type = annotated
        self.annotations: tuple[Any, ...] = ()
        if typing.get_origin(annotated) is typing.Annotated:
            self.kind, *annotations = typing.get_args(annotated)
            self.annotations = tuple(annotations)
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        self.is_enum = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        if not (self.is_node or self.is_enum or self.kind in (bool, int, float, str)):
            message = f"Parameter {name}: type {self.kind} is not supported by the stand-in"
            raise NotImplementedError(message)
        for annotation in self.annotations:
            if not isinstance(annotation, SUPPORTED_ANNOTATIONS):
                message = (
                    f"Parameter {name}: annotation {annotation!r} is not supported by the stand-in"
                )
                raise NotImplementedError(message)

    def default(self) -> Any:
        for annotation in self.annotations:
            if isinstance(annotation, Default):
                return annotation.value
        if self.is_node:
            return None
        return next(iter(self.kind)) if self.is_enum else self.kind()  # type: ignore[call-overload]

    def check(self, value: Any) -> None:
        if self.is_node and value is None:
            return
        allowed: Any = (int, float) if self.kind is float else self.kind
        if value is None or not isinstance(value, allowed):
            error = ValueError if value is None else TypeError
            message = f"Parameter {self.name} takes {self.kind.__name__}, got {value!r}"
            raise error(message)
        for annotation in self.annotations:
            if isinstance(annotation, Validator):
                annotation.validate(value)

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        if self.is_node:
            with slicer.util.NodeModify(node):
                node.SetParameter(self.name, "")  # tells "None was chosen" from "never set"
                node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if self.is_enum else str(value))

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if self.is_enum else self.kind(text)  # type: ignore[index]


def _attribute(parameter: _Parameter) -> property:
    return property(
        lambda self: parameter.read(self.parameterNode),
        lambda self, value: parameter.write(self.parameterNode, value),
    )


class _Wrapper:
    """Methods that every wrapped class gets."""

    allParameters: dict[str, _Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            message = "A prefix is not supported by the stand-in"
            raise NotImplementedError(message)
        self.parameterNode = parameterNode
        self._bindings: dict[int, tuple[dict[str, Connector], int]] = {}
        self._refreshing = False
        for parameter in self.allParameters.values():
            if not parameterNode.HasParameter(parameter.name):
                parameter.write(parameterNode, parameter.default())

    def _parameter(self, name: str) -> _Parameter:
        if name not in self.allParameters:
            message = f"No parameter {name}; there are {sorted(self.allParameters)}"
            raise ValueError(message)
        return self.allParameters[name]

    def getValue(self, name: str) -> Any:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default())

    def connectGui(self, gui: Any) -> int:
        """Bind widgets with a property SlicerParameterName; return a tag for `disconnectGui`."""
        isWidget = isinstance(gui, qt.QWidget)
        widgets = gui.findChildren(qt.QWidget) if isWidget else list(vars(gui).values())
        named = {widget.property(WIDGET_PROPERTY): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        connectors = {}
        for name, widget in mapping.items():
            parameter = self._parameter(name)
            connectors[name] = create(widget, parameter.kind, parameter.annotations)
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(self._follower(name, connector))
        tag = max(self._bindings, default=-1) + 1
        observer = self.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._refresh()
        )
        self._bindings[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        if tag in self._bindings:
            connectors, observer = self._bindings.pop(tag)
            for connector in connectors.values():
                connector.disconnect()
            self.RemoveObserver(observer)

    def _follower(self, name: str, connector: Connector) -> Callable[[], None]:
        def follow() -> None:
            with slicer.util.NodeModify(self):
                if not self._refreshing:
                    self.setValue(name, connector.read())

        return follow

    def _refresh(self) -> None:
        if self._refreshing:
            return
        self._refreshing = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in list(self._bindings.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._refreshing = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> int:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


RESERVED = [name for name in vars(_Wrapper) if not name.startswith("__")]


def _wrap(cls: type) -> type:
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {}
    for name, annotated in hints.items():
        if name in RESERVED:
            message = f"Cannot use the reserved name '{name}' for a parameter"
            raise ValueError(message)
        parameter = _Parameter(name, annotated)
        if hasattr(cls, name):
            parameter.annotations += (Default(getattr(cls, name)),)
        parameters[name] = parameter
        setattr(cls, name, _attribute(parameter))
    for name, member in vars(_Wrapper).items():
        if callable(member) and (name == "__init__" or not name.startswith("__")):
            setattr(cls, name, member)
    cls.allParameters = parameters  # type: ignore[attr-defined]
    cls._is_parameter_node_wrapper = True  # type: ignore[attr-defined]
    return cls


def isParameterNodeWrapper(classOrObject: Any) -> bool:
    """Tell whether this is a wrapped class or an object of one."""
    return bool(getattr(classOrObject, "_is_parameter_node_wrapper", False))


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Turn the annotations of a class into parameters; usable with and without parentheses."""
    return _wrap if classtype is None else _wrap(classtype)
