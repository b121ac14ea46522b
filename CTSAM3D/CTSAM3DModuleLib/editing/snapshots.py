"""What segmentations are like while answers are awaited: tells an undo from anything else."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer

from CTSAM3DLib.mrml import prompts_text
from CTSAM3DLib.mrml.labelmaps import box_of, layer_of, voxels_of
from CTSAM3DLib.mrml.tags import segment_of

Content = dict[str, tuple[Any, ...]]


class Snapshots:
    """Cheap: the prompts of each segment, and which labelmap holds it; voxels as a checksum.

    Slicer's undo and redo put another labelmap in place, other tools mostly change it in place.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._taken: dict[Any, tuple[Any, ...]] = {}
        self._sums: dict[Any, dict[Any, int]] = {}

    def take(self, segmentation_nodes: Iterable[Any]) -> None:
        """Take these as they are now, and forget all others."""
        self._taken = {node: snapshot(node) for node in segmentation_nodes}
        self._sums = {node: sums for node, sums in self._sums.items() if node in self._taken}

    def differ(self, segmentation_node: Any) -> bool:
        """Tell whether a segmentation in the scene is another one than when it was taken."""
        taken = self._taken.get(segmentation_node)
        if taken is None or not self._scene.IsNodePresent(segmentation_node):
            return False
        return snapshot(segmentation_node) != taken

    def content(self, segmentation_node: Any) -> Content:
        """Return prompts and voxels of each segment."""
        known, self._sums[segmentation_node] = self._sums.get(segmentation_node, {}), {}
        return {
            one: (text, self._voxels(segmentation_node, one, layer, known))
            for one, text, layer in snapshot(segmentation_node)
        }

    def holds(self, segmentation_node: Any, content: Content) -> bool:
        """Tell whether all segments that there were are as they were."""
        return content.items() <= self.content(segmentation_node).items()

    def _voxels(self, node: Any, one: str, layer: Any, known: dict[Any, int]) -> tuple[Any, ...]:
        """Return what tells voxels apart; a labelmap is gone through once for all its segments."""
        if layer is None or box_of(layer).is_empty:
            return ()
        sums, stamp = self._sums[node], (layer.GetAddressAsString(""), layer.GetMTime())
        if stamp not in sums:
            sums[stamp] = known.get(stamp) or zlib.crc32(np.ascontiguousarray(voxels_of(layer)))
        return (segment_of(node, one).GetLabelValue(), layer.GetExtent(), sums[stamp])


def snapshot(segmentation_node: Any) -> tuple[Any, ...]:
    """Return what tells a segmentation from another state of it."""
    return tuple(
        (one, prompts_text(segmentation_node, one), layer_of(segmentation_node, one))
        for one in segmentation_node.GetSegmentation().GetSegmentIDs()
    )
