"""Faces of a patch through which a structure leaves what has been decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.session.state import inside_any
from CTSAM3DLib.session.step import PatchAnswer

SLAB_FRACTION = 16
"""What ends within 1/16 of the edge before a face counts as leaving: models are shy there."""

MOVED_BORDER_VOXELS = 2
"""Voxels this near to what a face showed before are a border that moved, not something new."""


@dataclass(frozen=True, eq=False)
class Face:
    """One of the six faces of a patch, and where something new reaches it."""

    patch: BoundingBox
    answer: PatchAnswer  # For that patch
    axis: int  # 0 i, 1 j, 2 k
    side: int  # -1 at the start of the axis, 1 at its stop
    reached: NDArray[np.bool_]  # One layer of voxels: (D, H, W) with 1 along the axis

    def beyond(self, layers: int = 1) -> BoundingBox:
        """Return the first layers of voxels beyond this face."""
        offset = [0, 0, 0]
        offset[self.axis] = self.side * layers
        return _slab(self.patch, self.axis, self.side, layers).shifted(offset)


def slab_layers(patch: BoundingBox, axis: int) -> int:
    """Return how many layers of voxels before (or beyond) a face count as its own."""
    return max(patch.size_ijk[axis] // SLAB_FRACTION, 1)


def faces_of(
    patch: BoundingBox, answer: PatchAnswer, before: NDArray[np.floating]
) -> Iterator[Face]:
    """Yield the faces of a patch with what the answer shows there and nothing showed before.

    `answer` is the model's answer itself, since blending fades it out where background was known;
    `before` are the logits before the click, (D, H, W), NaN where nothing was known.
    """
    for axis in range(3):
        for side in (-1, 1):
            layers = _slab(patch, axis, side, slab_layers(patch, axis)).relative_to(patch)
            old = (before[layers.slices_kji] > 0).view(np.uint8)
            near_old = ndimage.maximum_filter(old, 2 * MOVED_BORDER_VOXELS + 1) > 0
            new = (answer.logits[layers.slices_kji] > 0) & ~near_old
            reached: NDArray[np.bool_] = np.any(new, axis=2 - axis, keepdims=True)
            yield Face(patch, answer, axis, side, reached)


def leads_out(face: Face, covered: Iterable[BoundingBox], grid_shape_kji: IJK) -> NDArray[np.bool_]:
    """Return which voxels of a face, as in `Face.reached`, lead to one that no box covers.

    Nothing lies beyond the border of the grid.
    """
    outside = face.beyond()
    in_grid = inside_any([BoundingBox.from_shape(grid_shape_kji)], outside)
    return in_grid & ~inside_any(covered, outside)


def _slab(patch: BoundingBox, axis: int, side: int, layers: int) -> BoundingBox:
    """Return the outermost layers of voxels of a patch at one of its faces."""
    start, stop = list(patch.start_ijk), list(patch.stop_ijk)
    if side > 0:
        start[axis] = stop[axis] - layers
    else:
        stop[axis] = start[axis] + layers
    return BoundingBox((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
