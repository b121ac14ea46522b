"""How many steps of undo the panel keeps: fewer where each would take much memory."""

from __future__ import annotations

import slicer

from CTSAM3DLib.mrml.labelmaps import voxels_of

MOST, FEWEST = 24, 3  # Slicer takes one for the present state
BUDGET_BYTES = 600_000_000


def undo_states(segmentation_node: slicer.vtkMRMLSegmentationNode | None) -> int:
    """Return how many states to keep of a segmentation.

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
