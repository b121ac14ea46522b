"""Prompts as voxels of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.affine import tie_slack
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.prompts import Prompt

STEP_VOXELS = 2
"""A model is shown a point of a stroke in every second voxel: more would outweigh clicks."""


def nearest_voxels(points_ras: NDArray[np.float64], grid: Geometry) -> NDArray[np.intp]:
    """Return the voxels of a model grid that hold points of its volume.

    Parameters
    ----------
    points_ras : ndarray, (N, 3)
        Inside the volume, mm.
    grid : Geometry
        Model grid, which covers the volume.

    Returns
    -------
    ndarray, int, (N, 3)
        Voxels i, j, k.

    Examples
    --------
    >>> grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (9, 9, 9))
    >>> nearest_voxels(np.array([[3.2, 0.0, 1.0]]), grid).tolist()
    [[2, 0, 1]]
    """
    # A point on the border of two cells, or just before it, belongs to the second one.
    past_ties = grid.ijk_from_ras(points_ras) + 0.5 + tie_slack(grid.spacing_mm[0])
    nearest = np.floor(past_ties).astype(np.intp)
    # The grid may end a little before the volume: hence the clip.
    return np.clip(nearest, 0, np.array(grid.size_ijk) - 1)


@dataclass(frozen=True, eq=False)
class Place:
    """Where a prompt lies: voxels i, j, k of its points, (N, 3), in the volume and on a grid."""

    positive: bool
    voxels: NDArray[np.intp]
    on_grid: NDArray[np.intp]

    @classmethod
    def of(cls, prompt: Prompt, geometry: Geometry, grid: Geometry) -> Place:
        """Return the place of a prompt in a volume and on its model grid.

        Raises
        ------
        ClickOutsideVolumeError
            If a point of the prompt lies outside the volume.
        """
        points_ras = prompt.points_ras(min(geometry.spacing_mm))
        voxels = geometry.voxels_from_ras(points_ras)
        return cls(prompt.positive, voxels, nearest_voxels(points_ras, grid))


def anchor_voxel(prompt: Prompt, grid: Geometry) -> tuple[int, int, int]:
    """Return the voxel (i, j, k) of a model grid that holds the anchor of a prompt."""
    i, j, k = nearest_voxels(np.array([prompt.anchor_ras]), grid)[0].tolist()
    return i, j, k


def points_in(
    prompts: Iterable[Prompt], grid: Geometry, bbox: BoundingBox
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the points of prompts in a box of a grid, oldest prompt first.

    Parameters
    ----------
    prompts : iterable of Prompt
        Inside the volume.
    grid : Geometry
        A model grid over the volume.
    bbox : BoundingBox
        On the grid.

    Returns
    -------
    points_kji : ndarray, int, (N, 3)
        Voxels of the box; of each prompt, every voxel once.
    labels : ndarray, bool, (N,)
        Whether their prompt is positive.

    Examples
    --------
    >>> from CTSAM3DLib.prompts import Click
    >>> grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (9, 9, 9))
    >>> box = BoundingBox((1, 0, 0), (3, 3, 3))
    >>> points_kji, labels = points_in([Click((4.0, 0.0, 2.0)), Click((0.0, 0.0, 0.0))], grid, box)
    >>> points_kji.tolist(), labels.tolist()
    ([[1, 0, 1]], [True])
    """
    found, labels = [], []
    for prompt in prompts:
        voxels = nearest_voxels(prompt.points_ras(STEP_VOXELS * grid.spacing_mm[0]), grid)
        distinct = dict.fromkeys(map(tuple, voxels.tolist()))
        inside = [voxel for voxel in distinct if bbox.contains(voxel)]
        found += inside
        labels += [prompt.positive] * len(inside)
    points = np.array(found, np.intp).reshape(-1, 3) - np.array(bbox.start_ijk)
    return points[:, ::-1], np.array(labels, bool)


def contained(boxes: Sequence[BoundingBox], voxels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which of some voxels, (N, 3) IJK, lie in one of the boxes.

    Examples
    --------
    >>> contained([BoundingBox((0, 0, 0), (1, 1, 1))], np.array([[0, 0, 0], [0, 1, 0]])).tolist()
    [True, False]
    """
    inside = np.zeros(len(voxels), bool)
    for box in boxes:
        inside |= ((voxels >= box.start_ijk) & (voxels < box.stop_ijk)).all(axis=1)
    return inside


def box_of(voxels: NDArray[np.intp]) -> BoundingBox:
    """Return the smallest box that holds voxels, (N, 3) IJK.

    Examples
    --------
    >>> box_of(np.array([[1, 2, 3], [1, 4, 3]]))
    BoundingBox(start_ijk=(1, 2, 3), stop_ijk=(2, 5, 4))
    """
    if len(voxels) == 0:
        return BoundingBox.empty()
    (i, j, k), (i1, j1, k1) = voxels.min(axis=0).tolist(), (voxels.max(axis=0) + 1).tolist()
    return BoundingBox((i, j, k), (i1, j1, k1))
