"""Parts from which the stand-ins of C++ widget classes are made.

A stand-in is a Python class that must answer as its C++ original does under PythonQt: declared
properties are attributes, nothing else can be assigned, and signals are known by their C++
signatures. `native_property` declares a property, `native_class` a class.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6 import QtCore

Class = TypeVar("Class", bound=type)

_SETTERS: dict[int, tuple[type, Callable[[Any, Any], None] | None]] = {}
_KEEP_ALIVE: list[QtCore.Property] = []


def accepts(kind: type, value: object) -> bool:
    """Tell whether a property of this type takes this value with its meaning unchanged."""
    if kind is bool:
        return isinstance(value, bool | int)
    if kind is int:
        return hasattr(value, "__index__")
    if kind is float:
        return isinstance(value, float) or hasattr(value, "__index__")
    if kind is list:
        return isinstance(value, list | tuple)
    return kind is object or isinstance(value, kind)


def cpp_property(
    kind: type, getter: Callable[[Any], Any], setter: Callable[[Any, Any], None] | None = None
) -> QtCore.Property:
    """Declare a Q_PROPERTY with functions; without a setter it is read-only."""
    qt_type = "QVariantList" if kind is list else "QVariant" if kind is object else kind
    declared = (
        QtCore.Property(qt_type, getter, setter) if setter else QtCore.Property(qt_type, getter)
    )
    _SETTERS[id(declared)] = (kind, setter)
    _KEEP_ALIVE.append(declared)
    return declared


def native_property(
    name: str,
    default: Any,
    kind: type | None = None,
    on_change: Callable[[Any], None] | None = None,
) -> QtCore.Property:
    """Declare a Q_PROPERTY that is stored in the object; `on_change(self)` follows a change."""
    kind = kind or type(default)

    def getter(self: Any) -> Any:
        return self.__dict__.get(f"_{name}", default)

    def setter(self: Any, value: Any) -> None:
        changed = getter(self) != value
        self.__dict__[f"_{name}"] = tuple(value) if kind is list else value
        if changed and on_change is not None:
            on_change(self)

    return cpp_property(kind, getter, setter)


def assign_declared(owner: Any, name: str, declared: QtCore.Property, value: Any) -> None:
    """Assign to a property that `cpp_property` declared, with its checks."""
    kind, setter = _SETTERS[id(declared)]
    if setter is None:
        message = f"Property '{name}' of {type(owner).__name__} is read-only"
        raise AttributeError(message)
    if kind is int and isinstance(value, enum.Enum):  # enums are numbers in PythonQt
        value = value.value
    if not accepts(kind, value):
        message = (
            f"Property '{name}' of type {kind.__name__} does not accept {value!r} "
            f"of type {type(value).__name__}"
        )
        raise AttributeError(message)
    setter(owner, float(value) if kind is float else value)


def is_declared(attribute: object) -> bool:
    """Tell whether a class attribute was made by `cpp_property`."""
    return id(attribute) in _SETTERS


def native_class(signals: dict[str, str] | None = None) -> Callable[[Class], Class]:
    """Mark a class as a stand-in of a C++ class.

    Parameters
    ----------
    signals
        C++ signature of each signal with a pointer argument, and that of its Python signal:
        `{"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)"}`.
    """

    def mark(cls: Class) -> Class:
        cls.__cpp_signals__ = dict(signals or {})  # type: ignore[attr-defined]
        cls.__is_native__ = True  # type: ignore[attr-defined]
        NATIVE_CLASSES[cls.__name__] = cls
        return cls

    return mark


NATIVE_CLASSES: dict[str, type] = {}


def writable_properties(cls: type) -> set[str]:
    """Return the names of the declared properties that can be written."""
    return {
        name
        for base in cls.__mro__
        for name, attribute in base.__dict__.items()
        if is_declared(attribute) and _SETTERS[id(attribute)][1] is not None
    }


def add_setters(cls: type, methods: set[str]) -> None:
    """Add those of the methods that set a declared property (`setReadOnly` for `readOnly`)."""
    for name in writable_properties(cls):
        setter = f"set{name[0].upper()}{name[1:]}"
        if setter in methods and not hasattr(cls, setter):
            setattr(cls, setter, lambda self, value, name=name: setattr(self, name, value))


def is_native(cls: type) -> bool:
    """Tell whether instances of exactly this class stand for plain C++ objects."""
    return bool(cls.__dict__.get("__is_native__")) or cls.__module__.startswith("PySide6")
