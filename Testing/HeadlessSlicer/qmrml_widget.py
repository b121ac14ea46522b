"""Base classes of the widgets that know a scene."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from Testing.HeadlessSlicer.native import native_class

SCENE_SIGNAL = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}


class _SceneWidget(QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.__dict__["_scene"] = None

    def setMRMLScene(self, scene: Any) -> None:
        """Set the scene; passed on to whoever is connected with `mrmlSceneChanged`."""
        if scene is not self.__dict__["_scene"]:
            self.__dict__["_scene"] = scene
            self.mrmlSceneChanged.emit(scene)


@native_class(SCENE_SIGNAL)
class qMRMLWidget(_SceneWidget):
    """Base of the widgets of MRML."""

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return self.__dict__["_scene"]


@native_class(SCENE_SIGNAL)
class qSlicerWidget(_SceneWidget):
    """Base of the widgets of Slicer's modules."""


def observe(owner: Any, key: str, subject: Any, events: dict[Any, Any]) -> None:
    """Let a widget observe another VTK object under a key; None or its own end ends it.

    Parameters
    ----------
    owner
        Widget that keeps the tags.
    key
        Name of this observation in the widget.
    subject
        VTK object, or None.
    events
        Event and function of each observation; the function takes caller and event.
    """
    if "_observations" not in owner.__dict__:
        owner.__dict__["_observations"] = observations = {}
        owner.destroyed.connect(lambda: [_end(observations, each) for each in list(observations)])
    kept = owner.__dict__["_observations"]
    _end(kept, key)
    if subject is not None:
        kept[key] = (
            subject,
            [subject.AddObserver(event, function) for event, function in events.items()],
        )


def _end(observations: dict[str, Any], key: str) -> None:
    """End what is observed under a key."""
    subject, tags = observations.pop(key, (None, []))
    for tag in tags:
        subject.RemoveObserver(tag)
