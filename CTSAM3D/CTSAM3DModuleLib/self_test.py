"""What the self test of the module needs: a predictor for a Slicer without PyTorch, and a check."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.engine import SegmentationEngine
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.mrml import read_segment
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DModuleLib.sample_data import TorsoSource
from CTSAM3DModuleLib.scripting.clicks import segment_named

STRUCTURES = ("liver", "lung_right")
LEAST_DICE = 0.6
VOLUME_RANGE = (0.6, 1.5)
"""Of the true volume. Measured with the stored clicks: 0.74 and 1.29 with `SimilarVoxels`."""


class SimilarVoxels:
    """A predictor of numpy: voxels about as bright as the clicked ones, connected to them.

    Not a model of anything, and never offered to users. Dice on the torso phantom with the
    stored clicks: liver 0.74, lung_right 0.85; ctsam3d-lite 1 has 0.79 and 0.91.
    """

    settings = ModelSettings("similar-voxels", 64, (1.0, 8.0), 4.0, ((-1000.0, 1000.0),))
    device = "cpu"

    def encode(self, patch_hu: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the patch without its noise."""
        return ndimage.gaussian_filter(np.asarray(patch_hu, np.float32), 0.7)

    def decode(
        self,
        embedding: NDArray[np.float32],
        points_kji: NDArray[np.float32],
        labels: NDArray[np.int64],
        previous_logits: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Return 4 inside and -4 outside."""
        found = np.zeros(embedding.shape, bool)
        if previous_logits is not None:
            found |= previous_logits > 0
        last = np.array(embedding.shape) - 1
        voxels = np.clip(np.floor(np.asarray(points_kji) + 0.5).astype(int), 0, last)
        for voxel in voxels[np.asarray(labels) == 1]:
            found |= self._alike(embedding, tuple(voxel))
        for voxel in voxels[np.asarray(labels) == 0]:
            found[tuple(slice(max(v - 2, 0), v + 3) for v in voxel)] = False
        return np.where(found, np.float32(4), np.float32(-4))

    @staticmethod
    def _alike(patch_hu: NDArray[np.float32], voxel: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return what is about as bright as a voxel and connected to it."""
        level = float(patch_hu[voxel])
        alike = np.abs(patch_hu - level) < 30 + 0.15 * abs(level)
        opened = ndimage.binary_opening(alike, iterations=2)
        opened[voxel] = True
        parts, _count = ndimage.label(opened)
        body: NDArray[np.bool_] = parts == parts[voxel]
        return ndimage.binary_dilation(body, iterations=2) & alike


def engine() -> SegmentationEngine:
    """Return an engine with the bundled model, without PyTorch one with `SimilarVoxels`."""
    if importlib.util.find_spec("torch") is not None:
        return SegmentationEngine()
    return SegmentationEngine(similar_voxels)


def similar_voxels(model: str | Path | None, device: str) -> SimilarVoxels:  # noqa: ARG001
    """Return a stand-in for a model; what is asked for does not matter."""
    return SimilarVoxels()


def scores(logic: Any) -> dict[str, tuple[float, float]]:
    """Load the sample data, segment two organs on the CPU from the stored clicks, and compare.

    Returns, by structure, Dice against the phantom's exact structure, and the volume as a multiple
    of the true one.
    """
    volume_node, *points = TorsoSource()()
    wanted = [node for node in points if _structure(node) in STRUCTURES]
    segmentation_node = logic.segment(volume_node, wanted, device="cpu")
    volumes_cm3 = logic.volumesCm3(segmentation_node)
    volume, truth = torso_phantom()
    voxel_cm3 = float(np.prod(volume.geometry.spacing_mm)) / 1000
    found = {}
    for name in STRUCTURES:
        segment_id = segment_named(segmentation_node, name)
        whole = BoundingBox.from_shape(volume.geometry.shape_kji)
        mask = read_segment(segmentation_node, segment_id, volume_node).content(whole)
        true_cm3 = truth[name].sum() * voxel_cm3
        label = segmentation_node.GetSegmentation().GetSegment(segment_id).GetName()
        ratio = volumes_cm3[label] / true_cm3
        found[name] = (float(dice(mask, truth[name])), float(ratio))
    return found


def _structure(points_node: Any) -> str:
    """Return the name of the anatomy of a point list."""
    known = find(points_node.GetName())
    return "" if known is None else known.name
