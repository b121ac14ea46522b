"""Draw the thumbnail of the sample data: a coronal slice of the torso phantom, organs in colour."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.image import imsave

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from CTSAM3DLib.io.terminology import colour  # noqa: E402
from CTSAM3DLib.phantom import torso_phantom  # noqa: E402

WIDTH, HEIGHT = 260, 280
SPACING_MM = 2.0
CORONAL_MM = 5.0  # towards the front: liver, stomach and heart
WINDOW_HU = (-160.0, 240.0)
OPACITY = 0.55


def draw(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return the picture as (height, width, 3) float RGB in [0, 1]; row 0 is the head."""
    volume, truth = torso_phantom(SPACING_MM)
    _, row, _ = volume.geometry.voxel_from_ras((0.0, CORONAL_MM, 0.0))
    low, high = WINDOW_HU
    grey = np.clip((volume.array_kji[:, row, :] - low) / (high - low), 0, 1)
    picture = np.repeat(grey[..., None], 3, axis=2).astype(float)
    for name, mask in truth.items():
        inside = mask[:, row, :]
        rgb = np.array(colour(name)) / 255
        picture[inside] = (1 - OPACITY) * picture[inside] + OPACITY * rgb
    picture = picture[::-1]
    if volume.geometry.ijk_to_ras[0, 0] > 0:  # right on the left, as radiologists look
        picture = picture[:, ::-1]
    return _scaled(picture, width, height)


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return a picture cropped to the wanted shape from its middle and scaled, linearly."""
    rows, columns, _ = picture.shape
    scale = min(rows / height, columns / width)
    y = (rows - 1) / 2 + (np.arange(height) - (height - 1) / 2) * scale
    x = (columns - 1) / 2 + (np.arange(width) - (width - 1) / 2) * scale
    return _along(_along(picture, y, 0), x, 1)


def _along(picture: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    """Return a picture read at places along an axis, linearly."""
    places = places.clip(0, picture.shape[axis] - 1)
    first = np.minimum(np.floor(places).astype(int), picture.shape[axis] - 2)
    share = (places - first).reshape([-1 if a == axis else 1 for a in range(3)])
    return picture.take(first, axis) * (1 - share) + picture.take(first + 1, axis) * share


if __name__ == "__main__":
    folder = REPOSITORY / "CTSAM3D" / "Resources" / "Icons"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "CTSAM3DTorso.png"
    imsave(target, draw(), metadata={"Software": None})
    print(f"Wrote {target}")
