"""A simulated user: where the next click goes, given the truth and the present mask.

Three users that differ on purpose, because accuracy drops when test clicks are placed unlike those
of training. One corrects the largest mistake at its centre, one clicks anywhere in the error, and
one is in a hurry: near the border of the largest mistake, sometimes just outside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.region import checked_spacing_kji

Strategy = Literal["largest_error", "uniform_error", "hurried"]
"""Names of the simulated users."""

STRATEGIES: tuple[str, ...] = get_args(Strategy)

_CORE_SHARE = 0.75  # voxels at least this deep, relative to the deepest, count as "the centre"
_RIM_SHARE = 0.35  # voxels at most this deep, relative to the deepest, are near the border
_SLIP = 0.15  # share of hurried clicks that land on a voxel just outside
_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)  # parts that touch at a corner are one mistake


def next_click(
    truth_kji: NDArray[Any],
    prediction_kji: NDArray[Any] | None,
    spacing_mm: Sequence[float],
    rng: np.random.Generator,
    strategy: str = "largest_error",
) -> tuple[tuple[int, int, int], bool] | None:
    """Choose the voxel that a user would click next, and whether the user means the structure.

    'largest_error': in the connected component of the missed or of the wrongly added voxels that
    has most voxels, one of the voxels at least 0.75 times as deep as the deepest. 'uniform_error':
    missed or wrongly added voxels, chosen in proportion to their number, then one voxel with a
    probability proportional to its depth. 'hurried': in the component that 'largest_error' takes, a
    voxel at most 0.35 times as deep as the deepest; 15 % of the clicks land on a voxel that touches
    the component from outside, and keep their sign. Depth is the distance in mm to the border of
    the region; the edge of the array is a border.

    `truth_kji` and `prediction_kji` are 3D arrays of one shape, non-zero inside; no prediction
    means an empty one. `spacing_mm` is along i, j, k. `rng` is the only source of chance. Returns
    (i, j, k) and the sign, which is that of the voxel unless a hurried click slipped; None when the
    mask is right everywhere. Raises GeometryError when the arrays do not match, are not 3D, or a
    spacing is not finite and positive; ValueError when the strategy is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.zeros((5, 5, 9), bool)
    >>> truth[1:4, 1:4, 1:4] = True
    >>> next_click(truth, None, (1, 1, 1), np.random.default_rng(0))
    ((2, 2, 2), True)
    >>> next_click(truth, truth, (1, 1, 1), np.random.default_rng(0)) is None
    True
    """
    truth = np.asarray(truth_kji) != 0
    prediction = np.zeros_like(truth) if prediction_kji is None else np.asarray(prediction_kji) != 0
    if truth.ndim != 3 or prediction.shape != truth.shape:
        raise GeometryError(
            f"expected two 3D masks of one shape, got {truth.shape} and {prediction.shape}"
        )
    spacing_kji = checked_spacing_kji(spacing_mm)
    if strategy not in STRATEGIES:
        raise ValueError(f"expected a strategy of {', '.join(STRATEGIES)}, got {strategy!r}")
    boxes = ndimage.find_objects((truth | prediction).astype(np.uint8))
    if not boxes:
        return None
    box = tuple(slice(max(axis.start - 1, 0), axis.stop + 1) for axis in boxes[0])
    truth, prediction = truth[box], prediction[box]
    missed, added = truth & ~prediction, prediction & ~truth
    if not (missed.any() or added.any()):
        return None
    if strategy == "uniform_error":
        n_missed, n_added = int(np.count_nonzero(missed)), int(np.count_nonzero(added))
        positive = bool(rng.random() * (n_missed + n_added) < n_missed)
        region = missed if positive else added
    else:
        region, positive = _largest_component(missed, added)
    place = _place(region, spacing_kji, rng, strategy)
    k, j, i = (int(p) + axis.start for p, axis in zip(place, box, strict=True))
    return (i, j, k), positive


def _largest_component(
    missed: NDArray[np.bool_], added: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], bool]:
    """Return the largest connected part of either error; on a tie the missed one."""
    most, region, positive = 0, missed, True
    for error, sign in ((missed, True), (added, False)):
        labels, _ = ndimage.label(error, structure=_NEIGHBOURS)
        sizes = np.bincount(labels.ravel(), minlength=2)[1:]
        if sizes.max() > most:
            most, region, positive = sizes.max(), labels == sizes.argmax() + 1, sign
    return region, positive


def _depth_mm(
    region: NDArray[np.bool_], spacing_kji: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Voxels of a region (N, 3) and the distance of each to the nearest voxel outside it."""
    box = ndimage.find_objects(region.astype(np.uint8))[0]
    inside = np.pad(region[box], 1)
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_kji)
    places = np.argwhere(inside)
    start = np.array([axis.start for axis in box])
    return places - 1 + start, np.asarray(depth[tuple(places.T)], dtype=np.float64)


def _place(
    region: NDArray[np.bool_],
    spacing_kji: NDArray[np.float64],
    rng: np.random.Generator,
    strategy: str,
) -> NDArray[np.intp]:
    """Choose a voxel of a region, or, for a hurried click that slips, one that touches it."""
    if strategy == "hurried":
        outside = np.argwhere(ndimage.binary_dilation(region) & ~region)
        if len(outside) and rng.random() < _SLIP:
            return np.asarray(outside[rng.integers(len(outside))])
    places, depth = _depth_mm(region, spacing_kji)
    if strategy == "uniform_error":
        return np.asarray(places[rng.choice(len(places), p=depth / depth.sum())])
    if strategy == "hurried":
        places = places[depth <= max(_RIM_SHARE * depth.max(), depth.min())]
    else:
        places = places[depth >= _CORE_SHARE * depth.max()]
    return np.asarray(places[rng.integers(len(places))])
