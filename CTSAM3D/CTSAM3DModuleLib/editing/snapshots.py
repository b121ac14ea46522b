"""What segmentations are like while answers are awaited: tells an undo from anything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import slicer

from CTSAM3DLib.mrml import prompts_text
from CTSAM3DLib.mrml.labelmaps import layer_of


class Snapshots:
    """Cheap: the prompts of each segment, and which labelmap holds it, not its voxels.

    Slicer's undo and redo put another labelmap in place.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._taken: dict[Any, tuple[Any, ...]] = {}

    def take(self, segmentation_nodes: Iterable[Any]) -> None:
        """Take these as they are now, and forget all others."""
        self._taken = {node: snapshot(node) for node in segmentation_nodes}

    def differ(self, segmentation_node: Any) -> bool:
        """Tell whether a segmentation in the scene is another one than when it was taken."""
        taken = self._taken.get(segmentation_node)
        if taken is None or not self._scene.IsNodePresent(segmentation_node):
            return False
        return snapshot(segmentation_node) != taken

    def is_back(self, segmentation_node: Any) -> bool:
        """Tell whether prompts and extents of a segmentation are those that were taken."""
        taken = self._taken.get(segmentation_node, ())
        return _content(snapshot(segmentation_node)) == _content(taken)


def snapshot(segmentation_node: Any) -> tuple[Any, ...]:
    """Return what tells a segmentation from another state of it."""
    return tuple(
        (one, prompts_text(segmentation_node, one), layer_of(segmentation_node, one))
        for one in segmentation_node.GetSegmentation().GetSegmentIDs()
    )


def _content(taken: tuple[Any, ...]) -> list[Any]:
    return [(one, text, layer and layer.GetExtent()) for one, text, layer in taken]
