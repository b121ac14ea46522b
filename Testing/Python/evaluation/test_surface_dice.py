"""Surface Dice against closed forms, brute force and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.evaluation.surface_dice import nsd, surface_distances
from CTSAM3DLib.geometry.overlap import dice


def ball(shape, center_mm, radius_mm, spacing_mm):
    grid = np.indices(shape).astype(float)
    spacing_kji = np.asarray(spacing_mm)[::-1]
    squared = sum(
        (grid[a] * spacing_kji[a] - np.asarray(center_mm)[::-1][a]) ** 2 for a in range(3)
    )
    return squared <= radius_mm**2


@pytest.fixture
def random_pair():
    rng = np.random.default_rng(3)
    return rng.random((7, 9, 8)) < 0.3, rng.random((7, 9, 8)) < 0.4


@pytest.mark.parametrize("metric", [dice, lambda a, b: nsd(a, b, (1, 1, 1))])
def test_empty_masks_are_defined(metric):
    empty = np.zeros((4, 4, 4), bool)
    full = np.ones((4, 4, 4), bool)
    assert metric(empty, empty) == 1.0
    assert metric(empty, full) == 0.0
    assert metric(full, empty) == 0.0
    assert metric(full, full) == 1.0


def test_hausdorff_of_shifted_boxes_agrees_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    spacing = (0.7, 1.3, 2.5)
    a = np.zeros((14, 15, 16), bool)
    a[3:8, 4:9, 5:11] = True
    b = np.roll(a, (2, 0, 3), axis=(0, 1, 2))
    images = []
    for mask in (a, b):
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(spacing)
        images.append(image)
    oracle = sitk.HausdorffDistanceImageFilter()
    oracle.Execute(*images)
    found = surface_distances(a, b, spacing)
    largest = max(found.a_to_b_mm.max(), found.b_to_a_mm.max())
    assert largest == pytest.approx(oracle.GetHausdorffDistance(), rel=1e-6)


def test_distances_agree_with_brute_force(random_pair):
    spacing = (0.8, 1.7, 3.1)
    a, b = random_pair
    surfaces = []
    for mask in (a, b):
        padded = np.pad(mask, 1)
        points = [
            (np.array(index) + 0.5) * spacing[::-1]
            for index in np.ndindex(*(n - 1 for n in padded.shape))
            if 0 < padded[tuple(slice(n, n + 2) for n in index)].sum() < 8
        ]
        surfaces.append(np.array(points))
    table = cdist(*surfaces)
    found = surface_distances(a, b, spacing)
    np.testing.assert_allclose(np.sort(found.a_to_b_mm), np.sort(table.min(1)), atol=1e-9)
    np.testing.assert_allclose(np.sort(found.b_to_a_mm), np.sort(table.min(0)), atol=1e-9)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.0)])
def test_area_of_a_sphere(spacing):
    shape = tuple(int(60 / s) for s in spacing[::-1])
    mask = ball(shape, (30, 29.5, 30.3), 22.0, spacing)
    # Binary voxels overstate a curved surface by 6-9 %, as marching cubes on them does.
    assert surface_distances(mask, mask, spacing).areas_a_mm2.sum() == pytest.approx(
        1.075 * 4 * np.pi * 22**2, rel=0.03
    )


def test_area_of_a_large_box_face_is_exact():
    mask = np.zeros((5, 40, 40), bool)
    mask[2, 1:39, 1:39] = True
    spacing = (2.0, 3.0, 0.5)
    # Interior elements of both faces are exact; the rim rounds the edges, so it may only lose area.
    faces = 2 * (38 * 2.0) * (38 * 3.0)
    assert surface_distances(mask, mask, spacing).areas_a_mm2.sum() == pytest.approx(
        faces, rel=0.05
    )


def test_nsd_of_concentric_spheres_jumps_at_their_gap():
    spacing = (1.0, 1.0, 1.0)
    small = ball((64, 64, 64), (31.5, 31.5, 31.5), 20, spacing)
    large = ball((64, 64, 64), (31.5, 31.5, 31.5), 24, spacing)
    assert nsd(small, large, spacing, 2.5) < 0.02
    assert nsd(small, large, spacing, 5.5) == 1.0


def test_nsd_of_shifted_spheres_agrees_with_the_closed_form():
    """A point at angle t of one sphere is |sqrt(r2 + d2 - 2 r d cos t) - r| from the other."""
    radius, shift, tolerance = 24.0, 8.0, 3.0
    spacing = (0.5, 0.5, 0.6)
    shape = (106, 128, 136)
    a = ball(shape, (31.0, 31.5, 31.2), radius, spacing)
    b = ball(shape, (31.0 + shift, 31.5, 31.2), radius, spacing)
    cosines = np.linspace(-1, 1, 200_001)
    gap = np.abs(np.sqrt(radius**2 + shift**2 - 2 * radius * shift * cosines) - radius)
    # Elements sit up to 0.87 voxel off the surface: within the gap of a tolerance +- 0.5 mm.
    found = nsd(a, b, spacing, tolerance)
    assert np.mean(gap <= tolerance - 0.5) < found < np.mean(gap <= tolerance + 0.5)


def test_nsd_uses_the_spacing_of_the_right_axis():
    a = np.zeros((20, 20, 20), bool)
    a[5:12, 5:12, 5:12] = True
    along_i = np.roll(a, 1, axis=2)
    assert nsd(a, along_i, (1.0, 5.0, 5.0), 1.0) == 1.0
    assert nsd(a, along_i, (5.0, 1.0, 1.0), 1.0) < 0.9


def test_result_does_not_depend_on_empty_margin(random_pair):
    a, b = random_pair
    margin = [(5, 2), (0, 7), (3, 3)]
    assert nsd(np.pad(a, margin), np.pad(b, margin), (1, 2, 3), 2.0) == pytest.approx(
        nsd(a, b, (1, 2, 3), 2.0), abs=1e-12
    )


def test_wrong_input_is_named():
    a = np.zeros((3, 3, 3), bool)
    with pytest.raises(GeometryError, match=r"one shape, got \(3, 3, 3\) and \(3, 3, 2\)"):
        dice(a, a[..., :2])
    with pytest.raises(GeometryError, match="3 finite spacings > 0 mm"):
        nsd(a, a, (1.0, 0.0, 1.0))
    with pytest.raises(GeometryError, match="3D masks, got 2 dimensions"):
        nsd(a[0], a[0], (1.0, 1.0, 1.0))
    with pytest.raises(GeometryError, match="finite tolerance"):
        nsd(a, a, (1.0, 1.0, 1.0), -1.0)
