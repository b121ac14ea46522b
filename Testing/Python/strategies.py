"""Hypothesis strategies: voxel grids as they occur, and as they hardly ever occur, in CT."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from CTSAM3DLib.geometry.grid import BoundingBox, Geometry

SIGNED_PERMUTATIONS = [
    np.eye(3)[:, list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]

spacings_mm = st.sampled_from([0.4, 0.7421875, 1.0, 1.5, 2.5, 5.0]) | st.floats(0.3, 6.0)


@st.composite
def rotations(draw: st.DrawFn, largest_degrees: float = 180.0) -> NDArray[np.float64]:
    """Right-handed rotations (3, 3) about any axis; the usual angles are drawn often."""
    # Rounded, because ITK cannot invert matrices with entries like 1e-200.
    axis = np.round(draw(st.tuples(*[st.floats(-1, 1)] * 3)), 4)
    if np.linalg.norm(axis) < 0.1:
        axis = np.array([0.0, 0.0, 1.0])
    usual = [angle for angle in (0.0, 10.0, 45.0, 90.0, 180.0) if angle <= largest_degrees]
    degrees = draw(st.sampled_from(usual) | st.floats(-largest_degrees, largest_degrees))
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(np.round(degrees, 4))
    # Rodrigues' formula.
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


@st.composite
def geometries(
    draw: st.DrawFn,
    largest_degrees: float = 180.0,
    largest_size: int = 9,
    spacings: st.SearchStrategy[float] = spacings_mm,
) -> Geometry:
    """Oblique, permuted, flipped, left-handed, anisotropic grids; often one voxel thick."""
    directions = draw(rotations(largest_degrees)) @ draw(st.sampled_from(SIGNED_PERMUTATIONS))
    spacing = draw(st.tuples(spacings, spacings, spacings))
    shape = draw(st.tuples(*[st.just(1) | st.integers(2, largest_size)] * 3))
    matrix = np.eye(4)
    matrix[:3, :3] = directions * spacing
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-1500, 1500)] * 3))
    return Geometry(matrix, shape)


@st.composite
def boxes(draw: st.DrawFn, lowest: int = -4, highest: int = 8, longest: int = 7) -> BoundingBox:
    """Boxes that may be empty and may reach outside any grid."""
    starts = draw(st.tuples(*[st.integers(lowest, highest)] * 3))
    sizes = draw(st.tuples(*[st.integers(0, longest)] * 3))
    stops = [start + size for start, size in zip(starts, sizes, strict=True)]
    return BoundingBox(starts, (stops[0], stops[1], stops[2]))


@st.composite
def boxes_near(
    draw: st.DrawFn, geometry: Geometry, margin: int = 3, longest: int = 16
) -> BoundingBox:
    """Non-empty boxes that overlap a grid or lie just beside it."""
    starts = [draw(st.integers(-margin, size)) for size in geometry.size_ijk]
    stops = [
        draw(st.integers(start + 1, min(size + margin, start + longest)))
        for start, size in zip(starts, geometry.size_ijk, strict=True)
    ]
    return BoundingBox((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


def voxels(geometry: Geometry, seed: int, dtype: type = np.int16) -> NDArray[np.generic]:
    """Random HU for a grid."""
    numbers = np.random.default_rng(seed).integers(-1024, 2000, geometry.shape_kji)
    return numbers.astype(dtype)
