"""Loading of .ui files as PythonQt's QUiLoader does it, but strict where that one is silent.

Qt builds the `<extends>` class for a class it does not know, and makes a dynamic property of a
misspelt one. Here both raise. Connections are made through the shim, because they carry
signatures of MRML classes.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from Testing.HeadlessSlicer import qt_connections
from Testing.HeadlessSlicer.native import NATIVE_CLASSES

OWN_PREFIXES = ("ctk", "qMRML", "qSlicer")


class UiFileError(ValueError):
    """A .ui file names something that does not exist."""


def known_class(name: str) -> type | None:
    """Return the class of a widget in a .ui file, ours or Qt's."""
    return NATIVE_CLASSES.get(name) or getattr(QtWidgets, name, None)


@cache
def _has_property(cls: Any, name: str) -> bool:
    """Whether a class of widgets has a property; asked once, as PySide may drop what tells it."""
    return bool(cls.staticMetaObject.indexOfProperty(name) >= 0)


def _check(root: ElementTree.Element) -> None:
    for widget in root.iter("widget"):
        class_name = widget.get("class", "")
        cls: Any = known_class(class_name)
        if cls is None:
            message = f"The .ui file uses {class_name}, which the stand-in for Slicer does not have"
            raise UiFileError(message)
        for entry in widget.findall("property"):
            name = entry.get("name", "")
            dynamic = entry.get("stdset") == "0"
            if not dynamic and not _has_property(cls, name):
                message = f"{class_name} '{widget.get('name')}' has no property {name}"
                raise UiFileError(message)


def _named(top: QtWidgets.QWidget, name: str) -> Any:
    found = top if top.objectName == name else top.findChild(QtCore.QObject, name)
    if found is None:
        message = (
            f"{name} of the .ui file was not made; its constructor failed, or a connection is wrong"
        )
        raise UiFileError(message)
    return found


def _connect(top: QtWidgets.QWidget, connections: ElementTree.Element) -> None:
    for entry in connections.findall("connection"):
        part = {child.tag: (child.text or "").strip() for child in entry}
        sender, receiver = _named(top, part["sender"]), _named(top, part["receiver"])
        try:
            qt_connections.connect(sender, part["signal"], receiver, part["slot"])
        except ValueError as error:
            raise UiFileError(str(error)) from error


class QUiLoader:
    """What `qt.QUiLoader` offers to Python code of Slicer."""

    def load(
        self, file: QtCore.QFile, parent: QtWidgets.QWidget | None = None
    ) -> QtWidgets.QWidget:
        """Build the widget of an open .ui file."""
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        _check(root)
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)
        loader = QtUiTools.QUiLoader()
        for name in {widget.get("class", "") for widget in root.iter("widget")}:
            if name.startswith(OWN_PREFIXES):
                loader.registerCustomWidget(NATIVE_CLASSES[name])
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = loader.load(buffer, parent)
        if widget is None:
            raise UiFileError(loader.errorString())
        for entry in root.iter("widget"):
            _named(widget, entry.get("name", ""))
        if connections is not None:
            _connect(widget, connections)
        return widget
