"""Tidying up a finished mask: stray parts, holes and rough surfaces.

Every function takes a (K, J, I) bool array and returns a new one. The work is done inside the tight
box round the mask, so a small organ in a large volume is quick. Parts hang together across faces,
edges and corners; a hole is closed when it meets the outside at most across edges or corners (26
and 6 neighbours, which go together). Clicks are voxels (k, j, i), the order of the array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.region import MaskPart, checked_spacing_kji

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer[Any]]

_ACROSS_CORNERS = ndimage.generate_binary_structure(3, 3)
_REACH_SIGMAS = 2.0  # how far a smoothed surface may move, and a restored click reaches
_TIE = 1e-5  # blurred values of symmetric voxels differ by about 1e-7


def keep_components(
    mask_kji: Mask,
    seeds_kji: ArrayLike = (),
) -> Mask:
    """Return the connected parts of a mask (K, J, I) that hold a positive click.

    Seeds (N, 3) outside the mask count for nothing; if none is inside, the largest part stays (of
    equals the one that comes first in the array). Raises GeometryError: not a 3D bool mask, or a
    seed outside the array.

    Examples
    --------
    >>> row = np.array([[[1, 1, 1, 0, 1, 1, 0, 1]]], bool)
    >>> keep_components(row, [(0, 0, 4)]).astype(int).ravel().tolist()
    [0, 0, 0, 0, 1, 1, 0, 0]
    >>> keep_components(row).astype(int).ravel().tolist()
    [1, 1, 1, 0, 0, 0, 0, 0]
    """
    part = MaskPart.of(mask_kji)
    labels, sizes = _labelled(part.mask_kji)
    wanted = np.zeros(sizes.size, dtype=bool)
    seeded = _labels_at(labels, part.local(seeds_kji))
    wanted[seeded if seeded.size else sizes.argmax()] = True
    wanted[0] = False
    return part.whole(wanted[labels])


def fill_holes(mask_kji: Mask, negatives_kji: ArrayLike = ()) -> Mask:
    """Fill the cavities of a mask (K, J, I), but none that holds a negative click (N, 3).

    What opens to the edge of the array is no cavity. Raises GeometryError: not a 3D bool mask, or a
    click outside the array.

    Examples
    --------
    >>> ball = np.ones((3, 3, 3), bool)
    >>> ball[1, 1, 1] = False
    >>> int(fill_holes(ball).sum()), int(fill_holes(ball, negatives_kji=[(1, 1, 1)]).sum())
    (27, 26)
    """
    part = MaskPart.of(mask_kji)
    return part.whole(part.mask_kji | _holes(part.mask_kji, part.local(negatives_kji)))


def smooth(
    mask_kji: Mask,
    spacing_mm: Sequence[float],
    sigma_mm: float,
    positives_kji: ArrayLike = (),
    negatives_kji: ArrayLike = (),
) -> Mask:
    """Smooth the surface of a mask (K, J, I): blur with a Gaussian and cut at the same volume.

    `spacing_mm` is along i, j, k; `sigma_mm` is the same along every axis, and 0 changes nothing.
    At the edge of the array its voxels count as continued beyond. Where smoothing would disobey a
    click, positive or negative (N, 3), that the mask obeys, the mask stays as it was within two
    standard deviations of it. Raises GeometryError: not a 3D bool mask, a spacing or `sigma_mm`
    that is not valid, a click outside the array.

    Examples
    --------
    >>> mask = np.zeros((11, 11, 11), bool)
    >>> mask[3:8, 3:8, 3:8] = mask[1, 5, 5] = True
    >>> bool(smooth(mask, (1, 1, 1), 1.0)[1, 5, 5])
    False
    >>> bool(smooth(mask, (1, 1, 1), 1.0, positives_kji=[(1, 5, 5)])[1, 5, 5])
    True
    """
    if not (np.isfinite(sigma_mm) and sigma_mm >= 0):
        raise GeometryError(f"expected a finite sigma_mm >= 0, got {sigma_mm!r}")
    sigma_kji = sigma_mm / checked_spacing_kji(spacing_mm)
    part = MaskPart.of(mask_kji, _REACH_SIGMAS * sigma_kji)
    before = part.mask_kji
    positives, negatives = part.local(positives_kji), part.local(negatives_kji)
    if sigma_mm == 0 or part.bbox.is_empty:
        return mask_kji.copy()
    field = ndimage.gaussian_filter(before.astype(np.float32), sigma_kji, mode="nearest")
    after = _cut(field, int(np.count_nonzero(before)))
    obeyed = (*positives[before[tuple(positives.T)]], *negatives[~before[tuple(negatives.T)]])
    for voxel in obeyed:
        if after[tuple(voxel)] != before[tuple(voxel)]:
            near = _ellipsoid(voxel, _REACH_SIGMAS * sigma_kji, before.shape)
            after[near] = before[near]
    return part.whole(after)


def _labelled(mask_kji: Mask) -> tuple[Labels, NDArray[np.intp]]:
    """Return the parts of a mask as labels 1, 2, ... and the voxel count of each, 0 for label 0."""
    labels, count = ndimage.label(mask_kji, structure=_ACROSS_CORNERS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def _labels_at(labels: Labels, voxels: NDArray[np.intp]) -> Labels:
    """Return the labels of voxels without the background."""
    found = labels[tuple(voxels.T)]
    return np.asarray(found[found > 0])


def _holes(mask_kji: Mask, clicks: NDArray[np.intp]) -> Mask:
    """Return what the mask encloses, without holes in which a click lies."""
    labels, count = ndimage.label(~np.pad(mask_kji, 1))
    hole = np.arange(count + 1) > 0
    hole[labels[0, 0, 0]] = False  # the padding is connected
    labels = labels[1:-1, 1:-1, 1:-1]
    hole[labels[tuple(clicks.T)]] = False
    return np.asarray(hole[labels])


def _cut(field: NDArray[np.float32], count: int) -> Mask:
    """Return the highest voxels of a field, `count` of them as far as ties allow."""
    place = field.size - count
    level = float(np.partition(field, place, axis=None)[place])
    more, fewer = field > level - _TIE, field > level + _TIE
    excess, lack = np.count_nonzero(more) - count, count - np.count_nonzero(fewer)
    return np.asarray(more if excess <= lack else fewer)


def _ellipsoid(
    centre: NDArray[np.intp], radii_kji: NDArray[np.float64], shape: tuple[int, ...]
) -> Mask:
    """Return the voxels within a distance given per axis."""
    k, j, i = (
        ((np.arange(size) - place) / radius) ** 2
        for size, place, radius in zip(shape, centre, radii_kji, strict=True)
    )
    return np.asarray(k[:, None, None] + j[:, None] + i <= 1)
