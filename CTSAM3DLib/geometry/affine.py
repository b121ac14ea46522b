"""Checks and decisions on the 4x4 matrices that place a voxel grid in the world."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from CTSAM3DLib.errors import GeometryError

ORTHOGONALITY_TOLERANCE = 1e-3  # largest |cos| between two axes; 0.057 degrees off square
PARALLEL_TOLERANCE = 1e-4  # rad; 0.05 voxel over a grid of 512


def finite_array(values: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """Return `values` as a finite float64 array of `shape`.

    Raises GeometryError: not numeric, another shape, or NaN or infinite numbers; `what` names the
    value.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GeometryError(f"expected {what} of numbers, got {values!r}") from error
    if array.shape != shape:
        raise GeometryError(f"expected {what} of shape {shape}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise GeometryError(f"expected {what} of finite numbers, got {array.tolist()}")
    return array


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of `array` that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def validated_affine(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return a (4, 4) index-to-world matrix as read-only float64, checked.

    float64 because float32 steps are 0.06 mm at 1000 mm, more than a tenth of a fine voxel. Raises
    GeometryError: not 4x4, not finite, last row not (0, 0, 0, 1), an axis of length zero, or axes
    that are not at right angles (sheared or tilted acquisition).
    """
    affine = finite_array(matrix, (4, 4), "a matrix")
    if not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise GeometryError(
            f"expected a matrix with last row (0, 0, 0, 1), got {affine[3].tolist()}"
        )
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (lengths > 0).all():
        raise GeometryError(
            f"expected a voxel spacing > 0 mm along every axis, got {lengths.tolist()}"
        )
    directions = affine[:3, :3] / lengths
    for first, second in itertools.combinations(range(3), 2):
        cosine = float(directions[:, first] @ directions[:, second])
        if abs(cosine) > ORTHOGONALITY_TOLERANCE:
            angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            pair = f"{'ijk'[first]} and {'ijk'[second]}"
            raise GeometryError(f"expected orthogonal axes, got {angle:.3f} degrees between {pair}")
    # Adding zero turns -0.0 into 0.0: equal geometries then have equal bytes and hashes.
    return read_only(affine + 0.0)


def nearest_axes(directions: NDArray[np.float64]) -> tuple[tuple[int, int, int], NDArray[Any]]:
    """Pair every world axis with the grid axis that runs along it, and say which way.

    `directions` (3, 3) has the unit vectors of the grid axes as columns, in the world frame. The
    result is (axes, signs): axes[w] is the grid axis along world axis w, signs[w] is +1 where both
    point the same way, else -1. The pairing maximises the summed |cos| over the six permutations,
    so it stays a permutation at 45 degrees; ties go to the first permutation in lexicographic
    order. The reordered and flipped axes of any orthogonal frame are right-handed.

    Examples
    --------
    >>> axes, signs = nearest_axes(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    >>> axes, signs.tolist()
    ((1, 0, 2), [1.0, -1.0, 1.0])
    """
    world = np.arange(3)
    best, best_score = (0, 1, 2), -1.0
    for i, j, k in itertools.permutations(range(3)):
        score = float(np.abs(directions[world, [i, j, k]]).sum())
        if score > best_score + 1e-9:  # rounding must not decide a tie
            best, best_score = (i, j, k), score
    return best, np.where(directions[world, list(best)] < 0, -1.0, 1.0)


def tie_slack(spacing_mm: float) -> float:
    """Return how near to the border of two cells a point counts as lying on it, in cells.

    The same scan stored as NIfTI and as DICOM differs by some 0.0005 mm. The limit is 0.005 mm,
    between the positions that people and programs write with two digits.

    Examples
    --------
    >>> tie_slack(2.5)
    0.002
    """
    return min(0.005 / spacing_mm, 0.01)


def isotropic_grid(
    ijk_to_world: NDArray[np.float64], size_ijk: tuple[int, int, int], spacing_mm: float
) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Return matrix and size (i, j, k) of the isotropic grid along the axes of another grid.

    The new axes are the old ones, reordered and flipped to run along the world axes. The new voxels
    of `spacing_mm` cover the old ones edge to edge, and both grids have the same centre. Raises
    GeometryError: spacing not finite or not > 0.
    """
    if not (np.isfinite(spacing_mm) and spacing_mm > 0):
        raise GeometryError(f"expected a finite grid spacing > 0 mm, got {spacing_mm}")
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    axes, signs = nearest_axes(ijk_to_world[:3, :3] / spacing)
    order = list(axes)
    size = np.asarray(size_ijk)
    # A little less, so that the last digits of a header add no layer of voxels.
    cells = np.ceil((size * spacing)[order] / spacing_mm - tie_slack(spacing_mm)).clip(min=1)
    matrix = np.eye(4)
    matrix[:3, :3] = (ijk_to_world[:3, :3] / spacing)[:, order] * signs * spacing_mm
    centre = ijk_to_world[:3, :3] @ ((size - 1) / 2) + ijk_to_world[:3, 3]
    matrix[:3, 3] = centre - matrix[:3, :3] @ ((cells - 1) / 2)
    i, j, k = cells.astype(int).tolist()
    return matrix, (i, j, k)


def matched_axes(
    ijk_to_world: NDArray[np.float64], grid_to_world: NDArray[np.float64]
) -> tuple[tuple[int, int, int], NDArray[np.float64], NDArray[np.float64]]:
    """Return the map from grid index to volume index when both have the same axes.

    The map is (axes, scales, offsets): the index along volume axis axes[g] (0 i, 1 j, 2 k) is
    scales[g] * (index along grid axis g) + offsets[g]; scales may be negative. Raises
    GeometryError: the axes are not parallel within 1e-4 rad.
    """
    to_volume = np.linalg.inv(ijk_to_world)
    spacing = np.linalg.norm(ijk_to_world[:3, :3], axis=0)
    grid_spacing = np.linalg.norm(grid_to_world[:3, :3], axis=0)
    linear = to_volume[:3, :3] @ grid_to_world[:3, :3]
    cosines = linear * spacing[:, None] / grid_spacing
    axes, _ = nearest_axes(cosines.T)
    rest = np.abs(cosines)
    rest[list(axes), range(3)] = 0
    if rest.max() > PARALLEL_TOLERANCE:
        angle = np.degrees(np.arcsin(min(1.0, rest.max())))
        raise GeometryError(
            f"expected grids with parallel axes, got {angle:.3f} degrees between them"
        )
    offsets = to_volume[:3, :3] @ grid_to_world[:3, 3] + to_volume[:3, 3]
    return axes, linear[list(axes), range(3)], offsets[list(axes)]
