"""The border of an answer by the intensities of the CT: the model sees shapes better than edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.geometry.box import BoundingBox

_BORDER_VOXELS = 3  # Logits change up to here from the border, on both sides
_RING_VOXELS = 4  # Up to here from the mask its surroundings count
_SURE_LOGIT = 1.5  # Voxels teach the intensities of a side where the model is so sure of it
_LEAST_VOXELS = 20  # of each side; with fewer an answer stays as it is
_BINS = 60  # of a histogram; it reaches six deviations and `_MARGIN_HU` to each side
_MARGIN_HU = 100.0
_LEAST_DEVIATION_HU = 20.0
_SMOOTH_BINS = 1.5
_FLOOR = 1e-3  # added to each share, so that a rare intensity says little
_MOST_LOG_RATIO = 3.0
_NEAR_VOXELS = 4  # Up to here the sides count that a voxel has nearby
_LEAST_SHARE = 2e-3  # of the voxels there, for a side to be there
_NOISE_HU = 15.0


def sharpened(
    logits: NDArray[np.float32], image_hu: NDArray[np.float32], weight: float
) -> NDArray[np.float32]:
    """Return an answer whose border follows the intensities.

    The voxels of which the model is sure teach how often an intensity occurs inside, and in the
    surroundings: p(HU | inside) and p(HU | outside), smoothed histograms. Near the border the
    logit of the model grows by `weight` times log p(HU | inside) / p(HU | outside), which is Bayes'
    rule where the model and the intensity of a voxel are independent (weight 1). In favour of the
    structure an intensity says no more than with the normal densities of both sides near the
    voxel: so a heart in the lungs does not grow into the liver. What it gains is in
    Testing/Benchmarks/results/intensities.md. `logits` and `image_hu` are (D, H, W); the logits
    stay as they are where `weight` is 0, or too few voxels are sure.

    Examples
    --------
    A model that puts the right border of a bright bar two voxels too far:

    >>> image = np.zeros((12, 12, 16), np.float32)
    >>> image[3:9, 3:9, 2:10] = 300.0
    >>> logits = np.full(image.shape, -2.0, np.float32)
    >>> logits[3:9, 3:9, 2:10], logits[3:9, 3:9, 10:12] = 2.0, 0.5
    >>> better = sharpened(logits, image, 1.0)
    >>> [int(np.argmin(one[5, 5, 3:] > 0)) + 3 for one in (logits, better)]
    [12, 10]
    """
    box = BoundingBox.from_mask(logits > 0).padded(_RING_VOXELS).clipped(logits.shape)
    if weight == 0 or box.is_empty:
        return logits
    part, image = logits[box.slices_kji], image_hu[box.slices_kji]
    mask = (part > 0).view(np.uint8)
    ring = ndimage.maximum_filter(mask, 2 * _RING_VOXELS + 1) > 0
    inside, outside = part > _SURE_LOGIT, ring & (part < -_SURE_LOGIT)
    if min(inside.sum(), outside.sum()) < _LEAST_VOXELS:
        return logits
    size = 2 * _BORDER_VOXELS + 1
    border = ndimage.maximum_filter(mask, size) > ndimage.minimum_filter(mask, size)
    ratio = _log_ratio(image[inside], image[outside], image[border])
    nearby = _log_ratio_nearby(image, inside, outside)[border]
    told = np.where(ratio > 0, np.minimum(ratio, np.maximum(nearby, 0.0)), ratio)
    result = logits.copy()
    result[box.slices_kji][border] = part[border] + weight * told
    return result


def _log_ratio(
    inside: NDArray[np.float32], outside: NDArray[np.float32], hu: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return log p(HU | inside) / p(HU | outside) at some intensities, limited to both sides."""
    low, middle, high = np.percentile(inside, (16, 50, 84))
    reach = 6.0 * max(float(high - low) / 2.0, _LEAST_DEVIATION_HU) + _MARGIN_HU
    edges = np.linspace(middle - reach, middle + reach, _BINS + 1)
    shares = []
    for values in (inside, outside):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        shares.append(ndimage.gaussian_filter1d(counts / values.size, _SMOOTH_BINS) + _FLOOR)
    ratio = np.clip(np.log(shares[0] / shares[1]), -_MOST_LOG_RATIO, _MOST_LOG_RATIO)
    # Between the middles of two bins: so a tiny change of the image changes little.
    told: NDArray[np.float32] = np.interp(hu, (edges[1:] + edges[:-1]) / 2.0, ratio).astype("f4")
    return told


def _log_ratio_nearby(
    image: NDArray[np.float32], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the same with the normal densities of both sides near each voxel; 0 without both."""
    hu = np.clip(image, -1000.0, 1000.0).astype(np.float32)
    logs, there = [], np.ones(hu.shape, bool)
    for side in (inside, outside):
        share, first, second = (
            ndimage.uniform_filter(one, 2 * _NEAR_VOXELS + 1, mode="nearest")
            for one in (side.astype(np.float32), side * hu, side * hu**2)
        )
        there &= share > _LEAST_SHARE
        share = np.maximum(share, _LEAST_SHARE)
        mean = first / share
        variance = np.maximum(second / share - mean**2, 0.0) + _NOISE_HU**2
        logs.append(-0.5 * ((hu - mean) ** 2 / variance + np.log(variance)))
    return np.where(there, logs[0] - logs[1], 0.0).astype(np.float32)
