"""The segments of a segmentation as rows of a table: name, colour, points, volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.mrml.labelmaps import lattice_of, layer_of, voxels_of
from CTSAM3DLib.prompts import ClickHistory

MM3_PER_CM3 = 1000.0


@dataclass(frozen=True)
class Row:
    """One segment.

    Parameters
    ----------
    segment_id, name : str
        As in the segmentation.
    rgb : tuple of int
        0 to 255.
    inside, outside : int, optional
        Number of points; None if they cannot be read.
    volume_cm3 : float, optional
        None if the segment is not stored as voxels.
    """

    segment_id: str
    name: str
    rgb: tuple[int, int, int]
    inside: int | None
    outside: int | None
    volume_cm3: float | None


class SegmentRows:
    """Reads rows; a volume is counted again only after its labelmap has changed."""

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, str], tuple[Any, float]] = {}

    def read(
        self,
        segmentation_node: slicer.vtkMRMLSegmentationNode | None,
        clicks_of: Callable[[str], ClickHistory],
    ) -> list[Row]:
        """Return one row a segment, in their order.

        Parameters
        ----------
        segmentation_node : vtkMRMLSegmentationNode, optional
            None gives no rows.
        clicks_of : callable
            From segment id to clicks; may raise CTSAM3DError.
        """
        if segmentation_node is None:
            self._volumes.clear()
            return []
        rows = []
        for segment_id in segmentation_node.GetSegmentation().GetSegmentIDs():
            segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
            r, g, b = (round(255 * value) for value in segment.GetColor())
            try:
                clicks = clicks_of(segment_id)
                counts = (len(clicks.positives()), len(clicks.negatives()))
            except CTSAM3DError:  # a tag that is not ours
                counts = (None, None)
            volume = self._volume_cm3(segmentation_node, segment_id)
            rows.append(Row(segment_id, segment.GetName(), (r, g, b), *counts, volume))
        return rows

    def _volume_cm3(self, node: Any, segment_id: str) -> float | None:
        layer = layer_of(node, segment_id)
        if layer is None:
            source = node.GetSegmentation().GetSourceRepresentationName()
            converter = slicer.vtkSegmentationConverter
            is_labelmap = source == converter.GetSegmentationBinaryLabelmapRepresentationName()
            return 0.0 if is_labelmap else None
        label = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
        stamp = (layer.GetAddressAsString("vtkObject"), layer.GetMTime(), label)
        key = (node.GetID(), segment_id)
        known = self._volumes.get(key)
        if known is None or known[0] != stamp:
            voxels = np.count_nonzero(voxels_of(layer) == label)
            mm3 = voxels * abs(np.linalg.det(lattice_of(layer)[:3, :3]))
            known = (stamp, float(mm3) / MM3_PER_CM3)
            self._volumes[key] = known
        return known[1]
