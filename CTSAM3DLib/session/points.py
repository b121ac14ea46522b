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
from CTSAM3DLib.session.rules import PROMPT_LOGIT

STEP_VOXELS = 2
"""A model is shown a point of a stroke in every second voxel: more would outweigh clicks."""


def nearest_voxels(points_ras: NDArray[np.float64], grid: Geometry) -> NDArray[np.intp]:
    """Return the voxels i, j, k of a model grid that hold points of its volume, (N, 3) RAS mm.

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


def obeyed_voxels(prompt: Prompt, geometry: Geometry) -> NDArray[np.intp]:
    """Return the voxels i, j, k of a volume that have the sign of a prompt in every result, (N, 3).

    Those that hold a point of it, or whose centre lies in its box; none of a positive box. Raises
    ClickOutsideVolumeError: its anchor is not inside the volume; or, unless it has a box, one of
    its points.

    Examples
    --------
    >>> from CTSAM3DLib.prompts import Box, Scribble
    >>> geometry = Geometry(np.eye(4), (9, 9, 9))
    >>> obeyed_voxels(Scribble([(0, 0, 0), (2, 0, 0)]), geometry).tolist()
    [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    >>> obeyed_voxels(Box.of_corners((-1, -1, 0), (1.6, 1.4, 1.2), False), geometry).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    """
    geometry.voxel_from_ras(prompt.anchor_ras)
    box = prompt.bounds
    if box is None:
        return geometry.voxels_from_ras(prompt.points_ras(min(geometry.spacing_mm)))
    if prompt.positive:
        return np.zeros((0, 3), np.intp)
    shares = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), axis=-1).reshape(-1, 3)
    corners_ijk = geometry.ijk_from_ras(box.middle_ras + shares @ np.array(box.edges_ras))
    lower = np.ceil(corners_ijk.min(axis=0) - 1e-6).astype(np.intp)
    stop = np.floor(corners_ijk.max(axis=0) + 1e-6).astype(np.intp) + 1
    ends = zip(lower, stop, geometry.size_ijk, strict=True)
    near = [np.arange(max(first, 0), min(last, size)) for first, last, size in ends]
    voxels = np.stack(np.meshgrid(*near, indexing="ij"), axis=-1).reshape(-1, 3)
    return voxels[box.contains_ras(geometry.ras_from_ijk(voxels))]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a prompt is obeyed: voxels i, j, k, (N, 3), of the volume, and those of a grid."""

    positive: bool
    voxels: NDArray[np.intp]
    on_grid: NDArray[np.intp]

    @classmethod
    def of(cls, prompt: Prompt, geometry: Geometry, grid: Geometry) -> Place:
        """Return the place of a prompt in a volume and on its model grid; see `obeyed_voxels`."""
        voxels = obeyed_voxels(prompt, geometry)
        if prompt.bounds is None:
            points_ras = prompt.points_ras(min(geometry.spacing_mm))
        else:
            points_ras = geometry.ras_from_ijk(voxels)
        return cls(prompt.positive, voxels, nearest_voxels(points_ras, grid))


def anchor_voxel(prompt: Prompt, grid: Geometry) -> tuple[int, int, int]:
    """Return the voxel (i, j, k) of a model grid that holds the anchor of a prompt."""
    i, j, k = nearest_voxels(np.array([prompt.anchor_ras]), grid)[0].tolist()
    return i, j, k


Labelled = tuple[NDArray[np.intp], NDArray[np.bool_]]
"""Voxels k, j, i of a box, (N, 3), and whether they are positive, (N,)."""


def obeyed_in(prompts: Iterable[Prompt], grid: Geometry, bbox: BoundingBox) -> Labelled:
    """Return the points of prompts in a box of a grid that must be obeyed, oldest prompt first.

    Of each prompt, every voxel once. See `Labelled` for shapes.
    """
    step_mm = STEP_VOXELS * grid.spacing_mm[0]
    found = [(prompt.points_ras(step_mm), prompt.positive) for prompt in prompts]
    given = [(points, np.full(len(points), positive)) for points, positive in found]
    return _distinct_in(given, grid, bbox)


def shown_in(prompts: Iterable[Prompt], grid: Geometry, bbox: BoundingBox) -> Labelled:
    """Return the points of prompts in a box of a grid that a model is shown; see `obeyed_in`."""
    step_mm = STEP_VOXELS * grid.spacing_mm[0]
    return _distinct_in([prompt.shown_ras(step_mm) for prompt in prompts], grid, bbox)


def _distinct_in(
    given: Iterable[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    grid: Geometry,
    bbox: BoundingBox,
) -> Labelled:
    """Return the voxels of a box that hold the given points: of each prompt every one once."""
    found: list[tuple[int, ...]] = []
    labels: list[bool] = []
    for points_ras, positive in given:
        at = grid.ijk_from_ras(points_ras)
        # A model grid covers its volume: points beyond it are those of a box that reaches out.
        within = ((at >= -0.5 - 1e-6) & (at <= np.array(grid.size_ijk) - 0.5 + 1e-6)).all(axis=1)
        voxels = nearest_voxels(points_ras[within], grid).tolist()
        distinct = dict(zip(map(tuple, voxels), positive[within].tolist(), strict=True))
        inside = {voxel: sign for voxel, sign in distinct.items() if bbox.contains(voxel)}
        found += inside.keys()
        labels += inside.values()
    points = np.array(found, np.intp).reshape(-1, 3) - np.array(bbox.start_ijk)
    return points[:, ::-1], np.array(labels, np.bool_)


def cut_off(
    prompt: Prompt,
    grid: Geometry,
    bbox: BoundingBox,
    answer: NDArray[np.float32],
    known: NDArray[np.floating],
) -> NDArray[np.float32]:
    """Return an answer to a prompt as far as its box reaches; all of it for one without a box.

    `answer` and `known` are logits, (D, H, W); outside the box of the prompt the result is what was
    known, or background where that is NaN.
    """
    if prompt.bounds is None:
        return answer
    inside = prompt.bounds.contains_ras(centres_ras(grid, bbox))
    outside = np.where(np.isnan(known), np.minimum(answer, -PROMPT_LOGIT), known)
    return np.where(inside, answer, outside).astype(np.float32)


def centres_ras(grid: Geometry, bbox: BoundingBox) -> NDArray[np.float64]:
    """Return the centres of the voxels of a box of a grid, (D, H, W, 3), mm RAS."""
    kji = np.moveaxis(np.indices(bbox.shape_kji), 0, -1)
    return grid.ras_from_ijk(kji[..., ::-1] + bbox.start_ijk)


def contained(boxes: Sequence[BoundingBox], voxels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which of some voxels, (N, 3) IJK, lie in one of the boxes."""
    inside = np.zeros(len(voxels), bool)
    for box in boxes:
        inside |= ((voxels >= box.start_ijk) & (voxels < box.stop_ijk)).all(axis=1)
    return inside


def box_of(voxels: NDArray[np.intp]) -> BoundingBox:
    """Return the smallest box that holds voxels, (N, 3) IJK."""
    if len(voxels) == 0:
        return BoundingBox.empty()
    (i, j, k), (i1, j1, k1) = voxels.min(axis=0).tolist(), (voxels.max(axis=0) + 1).tolist()
    return BoundingBox((i, j, k), (i1, j1, k1))
