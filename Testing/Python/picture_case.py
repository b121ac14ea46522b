"""Volumes for pictures, and the finished figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import Segment
from CTSAM3DLib.picture.picture import draw_picture

SHAPE = (20, 24, 30)
C, S = np.cos(0.2), np.sin(0.2)
DIRECTIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "left-handed": np.diag([-1.0, 1, 1]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "sagittal": np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "oblique": np.array([[-C, S, 0], [-S, -C, 0], [0, 0, -1]]),
}


def ball(geometry: Geometry, centre_ijk: Any, radius_mm: float) -> NDArray[np.bool_]:
    k, j, i = np.indices(geometry.shape_kji)
    offset = np.stack([i, j, k], axis=-1) - np.asarray(centre_ijk)
    mask: NDArray[np.bool_] = np.linalg.norm(offset * geometry.spacing_mm, axis=-1) <= radius_mm
    return mask


def body_volume(shape: tuple[int, int, int] = (40, 60, 80)) -> tuple[Volume, NDArray[np.bool_]]:
    """Return a CT of a ball of water in air, off the middle, and the mask of the ball."""
    geometry = Geometry(np.diag([-1.0, -1, 1, 1]), shape)
    inside = ball(geometry, (30, 20, shape[0] // 2), 14)
    hu = np.where(inside, 40, -1000).astype(np.int16)
    return Volume(hu, geometry, "ball"), inside


def drawn(volume: Volume, segments: list[Segment]) -> Any:
    """Return the figure of a picture, laid out."""
    figure = draw_picture(volume, segments, "title")
    figure.draw_without_rendering()
    return figure
