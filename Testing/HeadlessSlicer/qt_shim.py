"""PySide6 patched to answer like PythonQt, and the modules `qt` and `ctk` made of it.

PythonQt is what Slicer's Python code talks to. Its rules: every Q_PROPERTY is an attribute,
`name` is the object name, connections are made by C++ signatures, and a C++ object takes no
unknown attribute. Patching happens once a process and cannot be undone, so only a process that
runs these tests may import this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from Testing.HeadlessSlicer import qt_connections
from Testing.HeadlessSlicer.native import accepts, assign_declared, is_declared, is_native

QT_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
# Not known to PythonQt as Slicer builds it.
HIDDEN_NAMES = {"Signal", "Slot", "Property", "SIGNAL", "SLOT", "QUiLoader"}
# A static function has the same name as the property, and wins.
METHODS_NOT_PROPERTIES = {("QTimer", "singleShot")}
KINDS = {
    "bool": bool,
    "int": int,
    "uint": int,
    "double": float,
    "float": float,
    "QString": str,
    "QStringList": list,
}

_read_property = QtCore.QObject.property
_write_property = QtCore.QObject.setProperty


class PropertyAttribute:
    """A Q_PROPERTY as attribute of a class."""

    def __init__(self, name: str, meta: QtCore.QMetaProperty, method: Any, setter: Any) -> None:
        self.name = name
        self.type_name = meta.typeName()
        self.writable = meta.isWritable()
        self.is_enum = meta.isEnumType() or meta.isFlagType()
        self.method = method
        self.setter = setter
        self._reading: set[int] = set()

    def __get__(self, owner: Any, owner_class: type | None = None) -> Any:
        if owner is None:
            return self.method if self.method is not None else self
        if (
            id(owner) in self._reading
        ):  # Qt asks for a virtual method of this name while it answers us
            return self.method.__get__(owner, owner_class)
        self._reading.add(id(owner))
        try:
            if self.is_enum and callable(
                self.method
            ):  # the method knows the enum, the property only its number
                return self.method(owner)
            value = _read_property(owner, self.name)
        finally:
            self._reading.discard(id(owner))
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, owner: Any, value: Any) -> None:
        if not self.writable:
            message = f"Property '{self.name}' of {type(owner).__name__} is read-only"
            raise AttributeError(message)
        if self.is_enum and isinstance(value, int):
            value = type(self.__get__(owner))(value)
        kind = KINDS.get(self.type_name)
        if (kind is not None and not accepts(kind, value)) or not self._write(owner, value):
            message = (
                f"Property '{self.name}' of type {self.type_name} does not accept {value!r} "
                f"of type {type(value).__name__}"
            )
            raise AttributeError(message)

    def _write(self, owner: Any, value: Any) -> bool:
        if self.setter is None:
            return bool(_write_property(owner, self.name, value))
        try:
            self.setter(owner, value)
        except (TypeError, ValueError):
            return False
        return True


class StaysMethod(PropertyAttribute):
    """A property that is written as attribute, but read as the method of the same name."""

    def __get__(self, owner: Any, owner_class: type | None = None) -> Any:
        return self.method


def _qobject_classes() -> list[type]:
    """Return every QObject class, bases first; PySide6 makes classes when they are asked for."""
    found = {QtCore.QObject}
    for module in QT_MODULES:
        for name in dir(module):
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, QtCore.QObject):
                found.add(value)
    return sorted(found, key=lambda cls: (len(cls.__mro__), cls.__name__))


def _meta_properties(cls: Any) -> Iterator[QtCore.QMetaProperty]:
    meta_object = cls.staticMetaObject
    for index in range(meta_object.propertyCount()):
        yield meta_object.property(index)


def _own(cls: type, name: str) -> Any:
    """Return what the class itself defines under this name, as PySide6 made it."""
    for base in cls.__mro__:
        value = base.__dict__.get(name)
        if value is not None and not isinstance(value, PropertyAttribute):
            return value
        if isinstance(value, PropertyAttribute) and value.method is not None:
            return value.method
    return None


def _add_properties(cls: Any) -> None:
    for meta in _meta_properties(cls):
        name = meta.name()
        own = cls.__dict__.get(name)
        if own is None and isinstance(getattr(cls, name, None), PropertyAttribute):
            continue
        setter = getattr(cls, f"set{name[0].upper()}{name[1:]}", None)
        stays = (cls.__name__, name) in METHODS_NOT_PROPERTIES
        kind = StaysMethod if stays else PropertyAttribute
        method = getattr(cls, name, None) if stays else _own(cls, name)
        setattr(cls, name, kind(name, meta, method, setter))
    if "name" not in dir(cls):
        meta_object = cls.staticMetaObject
        meta = meta_object.property(meta_object.indexOfProperty("objectName"))
        cls.name = PropertyAttribute("objectName", meta, None, cls.setObjectName)


def _getattribute(original: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def getattribute(self: Any, name: str) -> Any:
        if name == "connect":
            return lambda *arguments: qt_connections.connect(self, *arguments)
        if name == "disconnect":
            return lambda *arguments: qt_connections.disconnect(self, *arguments)
        return original(self, name)

    return getattribute


def _setattr(self: Any, name: str, value: Any) -> None:
    if isinstance(value, QtCore.SignalInstance):  # PySide6 itself keeps a signal in the object
        self.__dict__[name] = value
        return
    for cls in type(self).__mro__:
        attribute = cls.__dict__.get(name)
        if attribute is None:
            continue
        if is_declared(attribute):
            assign_declared(self, name, attribute, value)
            return
        if isinstance(attribute, QtCore.Property):
            _write_property(self, name, value)
            return
        if hasattr(type(attribute), "__set__"):
            attribute.__set__(self, value)
            return
        break
    stand_in = type(self).__dict__.get("__is_native__", False)
    if is_native(type(self)) and not (stand_in and name.startswith("_")):
        message = (
            f"Attribute '{name}' of {type(self).__name__} does not exist, "
            "and a C++ object takes no new attributes"
        )
        raise AttributeError(message)
    self.__dict__[name] = value


def _class_name(self: QtCore.QObject) -> str:
    """Return the name of the C++ class, also for an object of a Python subclass."""
    for cls in type(self).__mro__:
        if is_native(cls):
            return cls.__name__
    return str(type(self).staticMetaObject.className())


def _first_of_pair(function: Callable[..., tuple[str, str]]) -> staticmethod[..., str]:
    return staticmethod(lambda *arguments, **keywords: function(*arguments, **keywords)[0])


def _patch_file_dialog() -> None:
    for name in ("getOpenFileName", "getSaveFileName", "getOpenFileNames"):
        setattr(QtWidgets.QFileDialog, name, _first_of_pair(getattr(QtWidgets.QFileDialog, name)))


def _patch() -> None:
    classes = _qobject_classes()
    originals = {cls: cls.__getattribute__ for cls in classes}
    for cls in classes:
        _add_properties(cls)
    for cls in classes:
        cls.__getattribute__ = _getattribute(originals[cls])  # type: ignore[method-assign]
        cls.__setattr__ = _setattr  # type: ignore[assignment]
    QtCore.QObject.className = _class_name  # type: ignore[attr-defined]
    QtCore.QObject.delete = lambda self: self.deleteLater()  # type: ignore[attr-defined]
    _patch_file_dialog()


class _QtModule(ModuleType):
    """The module `qt`: all Qt modules in one."""

    def __getattr__(self, name: str) -> Any:
        if name not in HIDDEN_NAMES and not name.startswith("__"):
            for module in QT_MODULES:
                if hasattr(module, name):
                    return getattr(module, name)
        message = f"module 'qt' has no attribute '{name}'"
        raise AttributeError(message)


def install() -> tuple[ModuleType, ModuleType]:
    """Patch PySide6, put the modules `qt` and `ctk` into `sys.modules`, and return them."""
    if "qt" not in sys.modules:
        _patch()
        sys.modules["qt"] = _QtModule("qt", "Stand-in for PythonQt's Qt")
        sys.modules["ctk"] = ModuleType("ctk", "Stand-in for PythonQt's CTK")
    return sys.modules["qt"], sys.modules["ctk"]
