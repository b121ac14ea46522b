"""Small CTs with corrected segmentations, and a tiny model that learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from random_weights import with_random_weights

from CTSAM3DLib.bundles.export import export_model
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.io.segmentation import write_segmentation
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.lite import LiteConfig

SHAPE = (24, 26, 28)


def geometry() -> Geometry:
    """Return a grid in LPS order with 2.5 mm voxels."""
    return Geometry(np.diag([-2.5, -2.5, 2.5, 1.0]), SHAPE)


def scan(seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return HU and masks, K, J, I: two balls of different HU in a body, moved by the seed."""
    rng = np.random.default_rng(seed)
    hu = np.full(SHAPE, -1000.0)
    hu[2:22, 2:24, 2:26] = 0.0
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    masks = {}
    for name, centre, level in (("spleen", (10, 12, 9), 150), ("cyst", (13, 14, 19), -80)):
        at = centre + rng.integers(-1, 2, 3)
        ball = (k - at[0]) ** 2 + (j - at[1]) ** 2 + (i - at[2]) ** 2 < 20
        hu[ball], masks[name] = level, ball
    return (hu + rng.normal(0, 10, SHAPE)).astype(np.int16), masks


def write_image(path: Path, array_kji: np.ndarray, place: Geometry | None = None) -> Path:
    """Write voxels of `geometry`, or of another place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array_kji)
    origin, spacing, direction = (place or geometry()).lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return path


def write_case(folder: Path, seed: int, names: tuple[str, ...] = ("spleen", "cyst")) -> Path:
    """Write a case: ``ct.nrrd`` and ``organs.seg.nrrd``."""
    hu, masks = scan(seed)
    write_image(folder / "ct.nrrd", hu)
    segments = [Segment(name, RegionMask.from_full(masks[name])) for name in names]
    write_segmentation(folder / "organs.seg.nrrd", segments, geometry())
    return folder


def write_model(folder: Path, adapted: tuple[str, ...] = ()) -> Path:
    """Write the tiny model "tiny" with random weights into a folder of models; returns its file.

    It decodes the anatomies `adapted` with an adapter.
    """
    model = build_lite(LiteConfig((4, 8, 8, 8, 8), hidden=4), "tiny", patch_size=32)
    with_random_weights(model)
    model.settings = replace(model.settings, adapters=dict.fromkeys(adapted, "belly"))
    adapters = {"belly": {"head.bias": (torch.ones(1),)}} if adapted else {}
    card = {"licence": "MIT", "training_data": [{"name": "balls", "licence": "MIT"}]}
    return export_model(model, folder / "models.json", card, adapters=adapters)


def ticking() -> Callable[[], float]:
    """Return a clock that goes on by a second each time it is looked at."""
    seconds = iter(range(10**6))
    return lambda: float(next(seconds))
