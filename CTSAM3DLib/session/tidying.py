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
from CTSAM3DLib.geometry.region import MaskPart, checked_mask, checked_spacing_kji, checked_voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer[Any]]

_ACROSS_CORNERS = ndimage.generate_binary_structure(3, 3)
_REACH_SIGMAS = 2.0  # how far a smoothed surface may move, and a restored click reaches
_TIE = 1e-5  # blurred values of symmetric voxels differ by about 1e-7
_SLACK = 1 - 1e-9  # a volume equal to the minimum up to rounding is large enough


def keep_components(
    mask_kji: Mask,
    spacing_mm: Sequence[float],
    seeds_kji: ArrayLike = (),
    minimum_mm3: float = np.inf,
) -> Mask:
    """Keep the connected parts that hold a positive click.

    Parameters
    ----------
    mask_kji : (K, J, I) bool array
        Not changed.
    spacing_mm : 3 floats
        Voxel spacing along i, j, k (the reverse of the array axes).
    seeds_kji : (N, 3) integers
        Voxels of the positive clicks. Those outside the mask count for nothing; if none is
        inside, the largest part stays (of equals the one that comes first in the array).
    minimum_mm3 : float
        A part without a click stays as well if it is at least this large; by default none does.

    Raises
    ------
    GeometryError
        Not a 3D bool mask, a spacing or `minimum_mm3` that is not valid, a seed outside the array.

    Examples
    --------
    >>> row = np.array([[[1, 1, 1, 0, 1, 1, 0, 1]]], bool)
    >>> keep_components(row, (1, 1, 1), [(0, 0, 4)]).astype(int).ravel().tolist()
    [0, 0, 0, 0, 1, 1, 0, 0]
    >>> keep_components(row, (1, 1, 1)).astype(int).ravel().tolist()
    [1, 1, 1, 0, 0, 0, 0, 0]
    >>> keep_components(row, (1, 1, 1), [(0, 0, 7)], minimum_mm3=3).astype(int).ravel().tolist()
    [1, 1, 1, 0, 0, 0, 0, 1]
    """
    part = MaskPart.of(mask_kji)
    labels, sizes = _labelled(part.mask_kji)
    wanted = sizes >= _smallest_count(minimum_mm3, spacing_mm)
    seeded = _labels_at(labels, part.local(seeds_kji))
    wanted[seeded if seeded.size else sizes.argmax()] = True
    wanted[0] = False
    return part.whole(wanted[labels])


def remove_small(
    mask_kji: Mask,
    spacing_mm: Sequence[float],
    minimum_mm3: float,
    seeds_kji: ArrayLike = (),
) -> Mask:
    """Remove connected parts below a volume, but none that holds a positive click.

    Parameters
    ----------
    mask_kji : (K, J, I) bool array
        Not changed.
    spacing_mm : 3 floats
        Voxel spacing along i, j, k.
    minimum_mm3 : float
        Smaller parts go; those of just this volume stay.
    seeds_kji : (N, 3) integers
        Voxels of the positive clicks.

    Returns
    -------
    (K, J, I) bool array
        Empty when every part is too small.

    Raises
    ------
    GeometryError
        See `keep_components`.

    Examples
    --------
    >>> row = np.array([[[1, 1, 1, 0, 1, 1, 0, 1]]], bool)
    >>> remove_small(row, (1, 1, 2.5), 5.0).astype(int).ravel().tolist()
    [1, 1, 1, 0, 1, 1, 0, 0]
    """
    part = MaskPart.of(mask_kji)
    labels, sizes = _labelled(part.mask_kji)
    wanted = sizes >= _smallest_count(minimum_mm3, spacing_mm)
    wanted[_labels_at(labels, part.local(seeds_kji))] = True
    wanted[0] = False
    return part.whole(wanted[labels])


def fill_holes(
    mask_kji: Mask, slice_axis: int | None = None, negatives_kji: ArrayLike = ()
) -> Mask:
    """Fill cavities, but none that holds a negative click.

    Parameters
    ----------
    mask_kji : (K, J, I) bool array
        Not changed. What opens to the edge of the array is no cavity.
    slice_axis : 0, 1 or 2, optional
        Also fill what is enclosed within single slices across this array axis: 0 for the axial
        slices of a volume that is stored axially, as nearly all CTs are. Tubes are filled too.
    negatives_kji : (N, 3) integers
        Voxels of the negative clicks.

    Raises
    ------
    GeometryError
        Not a 3D bool mask, no such axis, a click outside the array.

    Examples
    --------
    >>> ball = np.ones((3, 3, 3), bool)
    >>> ball[1, 1, 1] = False
    >>> int(fill_holes(ball).sum()), int(fill_holes(ball, negatives_kji=[(1, 1, 1)]).sum())
    (27, 26)
    >>> ring = ball[1:2]
    >>> int(fill_holes(ring).sum()), int(fill_holes(ring, slice_axis=0).sum())
    (8, 9)
    """
    if slice_axis not in (None, 0, 1, 2):
        raise GeometryError(f"expected slice_axis 0, 1, 2 or None, got {slice_axis!r}")
    part = MaskPart.of(mask_kji)
    clicks = part.local(negatives_kji)
    filled = part.mask_kji | _holes(part.mask_kji, (0, 1, 2), clicks)
    if slice_axis is not None:
        within = tuple(axis for axis in range(3) if axis != slice_axis)
        filled |= _holes(filled, within, clicks)
    return part.whole(filled)


def smooth(
    mask_kji: Mask,
    spacing_mm: Sequence[float],
    sigma_mm: float,
    positives_kji: ArrayLike = (),
    negatives_kji: ArrayLike = (),
    *,
    keep_volume: bool = True,
) -> Mask:
    """Smooth the surface: blur the mask with a Gaussian and cut it again.

    Parameters
    ----------
    mask_kji : (K, J, I) bool array
        Not changed. At the edge of the array its voxels count as continued beyond.
    spacing_mm : 3 floats
        Voxel spacing along i, j, k.
    sigma_mm : float
        Standard deviation of the Gaussian, the same in mm along every axis; 0 changes nothing.
    positives_kji, negatives_kji : (N, 3) integers
        Voxels of the clicks. Where smoothing would disobey one that `mask_kji` obeys, the mask
        stays as it was within two standard deviations of it.
    keep_volume : bool
        True: cut where the number of voxels stays the same, up to ties of symmetric voxels.
        False: cut at 0.5, which takes off what is convex or thinner than `sigma_mm`.

    Raises
    ------
    GeometryError
        Not a 3D bool mask, a spacing or `sigma_mm` that is not valid, a click outside the array.

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
    after = _cut(field, int(np.count_nonzero(before))) if keep_volume else field > 0.5
    obeyed = (*positives[before[tuple(positives.T)]], *negatives[~before[tuple(negatives.T)]])
    for voxel in obeyed:
        if after[tuple(voxel)] != before[tuple(voxel)]:
            near = _ellipsoid(voxel, _REACH_SIGMAS * sigma_kji, before.shape)
            after[near] = before[near]
    return part.whole(after)


def obey(mask_kji: Mask, positives_kji: ArrayLike = (), negatives_kji: ArrayLike = ()) -> Mask:
    """Set the voxels of positive clicks and clear those of negative ones.

    Parameters
    ----------
    mask_kji : (K, J, I) bool array
        Not changed.
    positives_kji, negatives_kji : (N, 3) integers
        Voxels of the clicks; a voxel in both lists is cleared.

    Raises
    ------
    GeometryError
        Not a 3D bool mask, or a click outside the array.

    Examples
    --------
    >>> row = np.array([[[1, 0, 0]]], bool)
    >>> obey(row, [(0, 0, 2)], [(0, 0, 0)]).astype(int).ravel().tolist()
    [0, 0, 1]
    """
    result = checked_mask(mask_kji).copy()
    result[tuple(checked_voxels(positives_kji, result.shape).T)] = True
    result[tuple(checked_voxels(negatives_kji, result.shape).T)] = False
    return result


def _smallest_count(minimum_mm3: float, spacing_mm: Sequence[float]) -> float:
    """Return from how many voxels on a part is large enough."""
    if not minimum_mm3 >= 0:
        raise GeometryError(f"expected minimum_mm3 >= 0, got {minimum_mm3!r}")
    return minimum_mm3 * _SLACK / float(np.prod(checked_spacing_kji(spacing_mm)))


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


def _holes(mask_kji: Mask, axes: tuple[int, ...], clicks: NDArray[np.intp]) -> Mask:
    """Return what the mask encloses along `axes`, without holes in which a click lies."""
    steps = ndimage.generate_binary_structure(3, 1)
    width, middle = [(0, 0)] * 3, [slice(None)] * 3
    for axis in range(3):
        if axis in axes:
            width[axis], middle[axis] = (1, 1), slice(1, -1)
        else:
            np.moveaxis(steps, axis, 0)[[0, 2]] = False
    labels, count = ndimage.label(~np.pad(mask_kji, width), structure=steps)
    hole = np.arange(count + 1) > 0
    for axis in axes:
        hole[labels.take((0, -1), axis=axis)] = False
    labels = labels[tuple(middle)]
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
