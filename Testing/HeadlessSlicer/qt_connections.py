"""Connections by C++ signatures: `sender.connect("clicked(bool)", slot)`, as PythonQt makes them.

Unlike PythonQt, which prints a line and goes on, an unknown signal or slot raises: a misspelt
signature fails a test.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

Slot = Callable[..., Any]

_qt_connect = QtCore.QObject.connect
_qt_disconnect = QtCore.QObject.disconnect
# By C++ address, never by id of the wrapper, which Python uses again.
_connections: dict[tuple[int, str], list[tuple[Slot, QtCore.QMetaObject.Connection]]] = {}
_watched: set[int] = set()


def signature_of(sender: QtCore.QObject, signal: str) -> str:
    """Return the Qt signature behind a C++ signature; raise if the sender has no such signal."""
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode()
    for cls in type(sender).__mro__:
        translated = cls.__dict__.get("__cpp_signals__", {}).get(normalized)
        if translated:
            return str(translated)
    if "PyObject" in normalized or type(sender).staticMetaObject.indexOfSignal(normalized) < 0:
        message = f"{type(sender).staticMetaObject.className()} has no signal {signal}"
        raise ValueError(message)
    return normalized


def positional_count(function: Slot) -> int:
    """Return how many positional arguments a function takes at most."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 100
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 100
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters)


def _with_arity(function: Slot, argument_count: int) -> Slot:
    """Return a function of exactly this many arguments that gives the slot as many as it takes."""
    taken = min(argument_count, positional_count(function))

    def call(*arguments: Any) -> None:
        function(*[tuple(a) if isinstance(a, list) else a for a in arguments[:taken]])

    wrappers: list[Slot] = [
        lambda: call(),
        lambda a: call(a),
        lambda a, b: call(a, b),
        lambda a, b, c: call(a, b, c),
        lambda a, b, c, d: call(a, b, c, d),
    ]
    return wrappers[argument_count]


def _argument_count(signature: str) -> int:
    arguments = signature[signature.index("(") + 1 : -1]
    return arguments.count(",") + 1 if arguments else 0


def _target(receiver_and_slot: tuple[Any, ...]) -> Slot:
    """Return the callable meant by `slot`, or by `receiver, "slot(types)"`."""
    if len(receiver_and_slot) == 1 and callable(receiver_and_slot[0]):
        return receiver_and_slot[0]
    if len(receiver_and_slot) == 2 and isinstance(receiver_and_slot[1], str):
        receiver, slot = receiver_and_slot
        return slot_named(receiver, slot)
    message = f"connect needs a callable, or an object and a slot, got {receiver_and_slot!r}"
    raise TypeError(message)


def slot_named(receiver: QtCore.QObject, slot: str) -> Slot:
    """Return the slot (or signal, or property setter) of an object by its C++ signature."""
    name = slot.partition("(")[0].strip()
    function = getattr(receiver, name, None)
    if function is not None and not callable(function):
        message = (
            f"{name} of {type(receiver).staticMetaObject.className()} is a property, not a slot"
        )
        raise ValueError(message)
    if function is None:
        message = f"{type(receiver).staticMetaObject.className()} has no slot {slot}"
        raise ValueError(message)
    if isinstance(function, QtCore.SignalInstance):
        return function.emit
    if _argument_count(slot.strip()) == 0:
        return lambda: function()
    return function


def connect(sender: QtCore.QObject, signal: Any, *receiver_and_slot: Any) -> Any:
    """Connect a signal, given as C++ signature, with a callable or with a receiver and its slot."""
    if not isinstance(
        signal, str
    ):  # PySide's own call, from SignalInstance.connect: sender, signal, ...
        return _qt_connect(signal, *receiver_and_slot)
    if signal[:1].isdigit():
        return _qt_connect(sender, signal, *receiver_and_slot)
    signature = signature_of(sender, signal)
    slot = _target(receiver_and_slot)
    wrapper = _with_arity(slot, _argument_count(signature))
    connection = _qt_connect(sender, "2" + signature, wrapper)
    if not connection:
        message = f"{type(sender).staticMetaObject.className()}.{signal} cannot be connected"
        raise ValueError(message)
    address = shiboken6.getCppPointer(sender)[0]
    _connections.setdefault((address, signature), []).append((slot, connection))
    if address not in _watched:
        _watched.add(address)
        _qt_connect(sender, "2destroyed()", functools.partial(_forget, address))
    return True


def disconnect(sender: QtCore.QObject, signal: Any, *receiver_and_slot: Any) -> bool:
    """Undo `connect`; without a slot, all connections of the signal that were made by signature."""
    if not isinstance(signal, str):
        return bool(_qt_disconnect(signal, *receiver_and_slot))
    if signal[:1].isdigit():
        return bool(_qt_disconnect(sender, signal, *receiver_and_slot))
    signature = signature_of(sender, signal)
    known = _connections.get((shiboken6.getCppPointer(sender)[0], signature), [])
    slot = _target(receiver_and_slot) if receiver_and_slot else None
    gone = [entry for entry in known if slot is None or entry[0] == slot]
    for entry in gone:
        known.remove(entry)
        QtCore.QObject.disconnect(entry[1])
    return bool(gone)


def _forget(address: int) -> None:
    _watched.discard(address)
    for key in [key for key in _connections if key[0] == address]:
        del _connections[key]
