"""Prompts as voxels of a grid."""

from __future__ import annotations

import numpy as np

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.session.points import nearest_voxels


def test_rounding_at_the_edge_stays_inside_the_grid() -> None:
    grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (5, 6, 7))
    points = np.array([[-1.0000000001, -1.0, 4.0], [13.0000000001, 11.0, 9.0]])
    assert nearest_voxels(points, grid).tolist() == [[0, 0, 2], [6, 5, 4]]
