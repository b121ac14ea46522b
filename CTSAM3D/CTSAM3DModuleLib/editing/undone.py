"""Undo of a user while answers are awaited: takes back what the user did last."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import slicer

from CTSAM3DModuleLib.editing.edit import Edit
from CTSAM3DModuleLib.editing.snapshots import Snapshots
from CTSAM3DModuleLib.editing.undo import UndoStates


class Undone:
    """Has an undo take back the newest edit that is awaited, and not a step.

    What was drawn after that edit goes first. `edits` are those of each structure, the structure
    that was edited last in the end; their owner changes them.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, undo: UndoStates, edits: dict[Hashable, list[Edit]]
    ) -> None:
        self._undo, self._edits = undo, edits
        self._snapshots = Snapshots(scene)

    @property
    def segmentations(self) -> list[Any]:
        """The segmentations whose answers are awaited, each once."""
        return list(dict.fromkeys(one[0].target.segmentation_node for one in self._edits.values()))

    def newest(self, segmentation_node: Any) -> list[Edit]:
        """Return the edits of the structure that was edited last; none if none is awaited."""
        there = [one for one in self._edits.values() if one[0].is_of(segmentation_node)]
        return there[-1] if there else []

    def follow(self, take_back: Callable[[Any], object]) -> None:
        """Notice an undo; `take_back` takes back the newest edit of a segmentation."""
        for node in self.segmentations:
            is_next = partial(self._is_next, node)
            if not self._snapshots.differ(node) or is_next():  # undone was what came after it
                continue
            for undo in self._undo.bring_back(node, is_next):
                if is_next():
                    take_back(node)
                else:
                    undo()
        self.take()

    def take(self) -> None:
        """Take the segmentations as they are now: what changed was no undo."""
        self._snapshots.take(self.segmentations)

    def asked(self, edit: Edit) -> None:
        """Note what an edit was asked for."""
        edit.base = self._snapshots.content(edit.target.segmentation_node)
        self.take()

    def written(self, written: Edit) -> None:
        """Have the other edits of a segmentation follow the answer of one."""
        node = written.target.segmentation_node
        for edit in [one for edits in self._edits.values() for one in edits]:
            if edit is not written and edit.is_of(node):
                edit.base = self._snapshots.content(node)
        self.take()

    def _is_next(self, segmentation_node: Any) -> bool:
        """Tell whether an undo takes back the newest edit now: nothing came after it.

        Of an edit whose parts were written they go.
        """
        edits = self.newest(segmentation_node)
        if not edits or edits[-1].parts:
            return False
        return self._snapshots.holds(segmentation_node, edits[-1].base)
