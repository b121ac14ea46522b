"""Class-free targets from the CT itself: components of HU bands, and supervoxels of soft tissue.

A click-driven network has to learn what a boundary is before it learns what an organ is; these
targets teach it on every voxel of every CT, labelled or not. Needs SimpleITK and scipy,
so it runs when the data is packed, never in training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# HU bands whose connected components are structures of their own: lung, fat, contrast, bone.
HU_BANDS: tuple[tuple[float, float], ...] = ((-970, -500), (-160, -40), (130, 350), (200, 2500))
SOFT_TISSUE_HU = (-30.0, 200.0)
SMALLEST_MM3 = 1500.0


def pseudo_labels(
    hu_kji: NDArray[np.int16], spacing_kji_mm: tuple[float, float, float], most: int = 250
) -> NDArray[np.uint8]:
    """Label supervoxels of soft tissue and components of HU bands of a (K, J, I) CT.

    The result is (K, J, I) uint8: 0 is no target, each other value one target. At most `most` are
    kept, large ones first. `spacing_kji_mm` is the voxel size along K, J, I.
    """
    sigma = [1.5 / s for s in spacing_kji_mm]
    smooth = ndimage.gaussian_filter(hu_kji.astype(np.float32), sigma)
    voxel_mm3 = float(np.prod(spacing_kji_mm))
    smallest = max(60, int(SMALLEST_MM3 / voxel_mm3))
    layers = [_supervoxels(smooth, spacing_kji_mm)]
    layers += [
        np.asarray(ndimage.label((smooth > low) & (smooth < high))[0]) for low, high in HU_BANDS
    ]
    out = np.zeros(hu_kji.shape, np.uint8)
    candidates: list[tuple[int, int, int]] = []
    for number, layer in enumerate(layers):
        counts = np.bincount(layer.ravel())
        candidates += [
            (int(c), number, label) for label, c in enumerate(counts) if label and c >= smallest
        ]
    candidates.sort(reverse=True)
    # Small targets last, so that they stay visible where bands and supervoxels overlap.
    chosen = candidates[: min(most, 255)]
    tables = [np.zeros(int(layer.max()) + 1, np.uint8) for layer in layers]
    for value, (_, number, label) in enumerate(chosen, start=1):
        tables[number][label] = value
    for layer, table in zip(layers, tables, strict=True):
        painted = table[layer]
        out = np.where(painted > 0, painted, out)
    return out


def _supervoxels(
    smooth: NDArray[np.float32], spacing_kji_mm: tuple[float, float, float]
) -> NDArray[Any]:
    """Watershed of the gradient inside soft tissue (SimpleITK, level by dynamics)."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(smooth)
    image.SetSpacing([float(s) for s in spacing_kji_mm[::-1]])
    gradient = SimpleITK.GradientMagnitudeRecursiveGaussian(image, sigma=2.0)
    regions = SimpleITK.GetArrayFromImage(
        SimpleITK.MorphologicalWatershed(
            gradient, level=1.5, markWatershedLine=False, fullyConnected=False
        )
    )
    inside = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1])
    return np.where(inside, regions, 0)
