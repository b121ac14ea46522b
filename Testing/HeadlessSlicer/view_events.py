"""Brings the events of the views to the active effect of a Segment Editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

BUTTON_EVENTS = [
    f"{button}Button{action}Event"
    for button in ("Left", "Middle", "Right")
    for action in ("Press", "Release", "DoubleClick")
]
OTHER_EVENTS = [
    "MouseMoveEvent",
    "MouseWheelForwardEvent",
    "MouseWheelBackwardEvent",
    "KeyPressEvent",
    "KeyReleaseEvent",
    "EnterEvent",
    "LeaveEvent",
]
# Before the observers of the view itself, so that an effect can keep an event from them.
PRIORITY = 1.0


class ViewEvents:
    """The observations of one editor widget."""

    def __init__(self, editor: Any) -> None:
        self._editor = editor
        self._observed: list[tuple[Any, int]] = []

    def observe_views(self) -> None:
        """Listen to all views in which the segmentation can be shown; to no others."""
        self.stop()
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            self._observe(widget, widget.sliceView().interactor(), widget.mrmlSliceNode())
        for index in range(manager.threeDViewCount):
            widget = manager.threeDWidget(index)
            self._observe(widget, widget.threeDView().interactor(), widget.mrmlViewNode())

    def stop(self) -> None:
        """Listen to no view."""
        for subject, tag in self._observed:
            subject.RemoveObserver(tag)
        self._observed.clear()

    def _observe(self, widget: Any, interactor: Any, view_node: Any) -> None:
        for event in BUTTON_EVENTS + OTHER_EVENTS:
            tags: list[int] = []
            tags.append(interactor.AddObserver(event, self._deliver(widget, tags), PRIORITY))
            self._observed.append((interactor, tags[0]))
        tag = view_node.AddObserver(
            vtk.vtkCommand.ModifiedEvent,
            lambda caller, event: self._deliver_view_node(widget, caller),
            PRIORITY,
        )
        self._observed.append((view_node, tag))

    def _effect(self) -> Any:
        scene = self._editor.mrmlScene()
        if scene is None or scene.IsClosing() or self._editor.mrmlSegmentEditorNode() is None:
            return None
        return self._editor.activeEffect()

    def _deliver(self, widget: Any, tags: list[int]) -> Callable[[Any, str], None]:
        def deliver(interactor: Any, event: str) -> None:
            effect = self._effect()
            if effect is None:
                return
            event_id = vtk.vtkCommand.GetEventIdFromString(event)
            if effect.processInteractionEvents(interactor, event_id, widget):
                interactor.GetCommand(tags[0]).SetAbortFlag(1)

        return deliver

    def _deliver_view_node(self, widget: Any, view_node: Any) -> None:
        effect = self._effect()
        if effect is not None:
            effect.processViewNodeEvents(view_node, vtk.vtkCommand.ModifiedEvent, widget)
