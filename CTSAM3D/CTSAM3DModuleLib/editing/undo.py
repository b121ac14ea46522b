"""Steps of undo: kept in every editor of a segmentation, so that each can take them back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import slicer
import vtk

from CTSAM3DLib.mrml.labelmaps import voxels_of
from CTSAM3DModuleLib.editing.snapshots import snapshot

AT_ONCE = 3  # so many steps may be undone before it is noticed
MOST, FEWEST = 24, 3  # Slicer takes one for the present state
BUDGET_BYTES = 600_000_000


class UndoStates:
    """Saves the state of a segmentation before it is written.

    `keepers` are functions of editors by editor, called with a segmentation node; they save its
    state and return True if they edit it. `steppers` are such that undo or redo, by the sign of a
    number.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self.keepers: dict[Hashable, Callable[[Any], bool]] = {}
        self.steppers: dict[Hashable, Callable[[Any, int], bool]] = {}
        self._scene = scene
        self._logics: dict[str, slicer.vtkSlicerSegmentEditorLogic] = {}

    def editor_logic(self, editor_node: Any) -> slicer.vtkSlicerSegmentEditorLogic:
        """Return the editor that writes with the settings of a node, with undo steps of its own.

        It serves where there is no Segment Editor widget: for the panel and for scripts.
        """
        logic = self._logics.get(editor_node.GetID())
        if logic is None or logic.GetSegmentEditorNode() is not editor_node:
            logic = self._logics[editor_node.GetID()] = self._new_logic(editor_node)
        return logic

    @contextmanager
    def writer(
        self, segmentation_node: Any, volume_node: Any, editor_node: Any
    ) -> Iterator[slicer.vtkSlicerSegmentEditorLogic]:
        """Give an editor that writes a segmentation with the settings of a node.

        The node itself may edit another one by now.
        """
        if editor_node.GetSegmentationNode() is segmentation_node:
            yield self.editor_logic(editor_node)
            return
        copy = self._scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        copy.UnRegister(None)
        copy.Copy(editor_node)
        copy.SetSingletonTag(None)
        copy.SetHideFromEditors(True)
        copy.SetSaveWithScene(False)
        self._scene.AddNode(copy)
        try:
            copy.SetAndObserveSegmentationNode(segmentation_node)
            copy.SetAndObserveSourceVolumeNode(volume_node)
            yield self._new_logic(copy)
        finally:
            self._scene.RemoveNode(copy)

    def _new_logic(self, editor_node: Any) -> slicer.vtkSlicerSegmentEditorLogic:
        logic = slicer.vtkSlicerSegmentEditorLogic()
        logic.SetMRMLScene(self._scene)
        logic.SetSegmentEditorNode(editor_node)
        return logic

    def save(self, segmentation_node: Any, editor_node: Any) -> None:
        """Save the state in every editor of a segmentation, or else in our own."""
        kept = [keep(segmentation_node) for keep in list(self.keepers.values())]
        if not any(kept) and editor_node.GetSegmentationNode() is segmentation_node:
            self.editor_logic(editor_node).SaveStateForUndo()

    def bring_back(
        self, segmentation_node: Any, is_back: Callable[[], bool]
    ) -> list[Callable[[], object]]:
        """Bring back the steps that were just undone in an editor; return what undoes each again.

        `is_back` tells whether the segmentation is as before; without that nothing comes back.
        """
        for step in list(self.steppers.values()):
            done = 0
            while done < AT_ONCE:
                before = snapshot(segmentation_node)
                with _silent_vtk():  # Slicer warns where there is nothing to redo
                    is_stepped = step(segmentation_node, 1)
                if not is_stepped or snapshot(segmentation_node) == before:
                    break
                done += 1
                if is_back():
                    return [partial(step, segmentation_node, -1)] * done
            for _ in range(done):  # it was no undo
                step(segmentation_node, -1)
        return []

    def clear(self) -> None:
        """Forget our own editors and their steps."""
        self._logics.clear()


def undo_states(segmentation_node: slicer.vtkMRMLSegmentationNode | None) -> int:
    """Return how many states to keep of a segmentation: fewer where each takes much memory.

    Slicer copies the whole labelmap that a step changes, 390 MB where it covers a CT of
    512 x 512 x 1500 voxels.
    """
    if segmentation_node is None:
        return MOST
    segmentation = segmentation_node.GetSegmentation()
    layers = (
        segmentation.GetLayerDataObject(number)
        for number in range(segmentation.GetNumberOfLayers())
    )
    largest = max((voxels_of(layer).nbytes for layer in layers if layer is not None), default=0)
    return max(FEWEST, min(MOST, BUDGET_BYTES // max(1, largest)))


@contextmanager
def _silent_vtk() -> Iterator[None]:
    """Keep warnings of VTK out of the log."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.SetGlobalWarningDisplay(0)
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)
