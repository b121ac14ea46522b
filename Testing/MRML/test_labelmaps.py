"""Masks on lattices: resampling against a plain loop, boxes anywhere."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from CTSAM3DLib.geometry.grid import BoundingBox  # noqa: E402
from CTSAM3DLib.geometry.volume import MaskUpdate  # noqa: E402
from CTSAM3DLib.mrml.labelmaps import (  # noqa: E402
    box_of,
    lattice_of,
    oriented_image,
    resampled,
    same_lattice,
    tight,
    voxels_of,
)
from Testing.MRML.mrml_scene import rigid  # noqa: E402

OBLIQUE_LEFT_HANDED = rigid((1, 2, 3), 25, (10, -20, 30)) @ np.diag([-0.8, 0.9, 2.5, 1])
# Shifts that put no voxel centre of one lattice on a voxel border of another.
SHEARED = np.array([[1, 0.3, 0, 2.013], [0, 1.1, -0.2, 3.021], [0.1, 0, 2, -4.017], [0, 0, 0, 1.0]])
STRETCHED = np.array([[0.7, 0, 0, 0.013], [0, 1.9, 0, 0.011], [0, 0, 1.3, 0.017], [0, 0, 0, 1]])
SOMEWHERE = BoundingBox((-3, 5, -7), (6, 12, 1))


def random_mask(bbox=SOMEWHERE):
    return MaskUpdate(np.random.default_rng(4).random(bbox.shape_kji) > 0.5, bbox)


@pytest.mark.parametrize("source", [np.eye(4), OBLIQUE_LEFT_HANDED, SHEARED])
@pytest.mark.parametrize("target", [STRETCHED, rigid((3, 1, 2), 33, (2, 1, 0)), SHEARED])
def test_resampling_takes_the_value_at_each_centre(source, target):
    mask = random_mask()

    moved, covered = resampled(mask, source, target)

    hits = 0
    to_source = np.linalg.inv(source) @ target
    for k, j, i in np.ndindex(moved.bbox.shape_kji):
        index = np.array([i, j, k]) + moved.bbox.start_ijk
        at = np.floor((to_source @ [*index, 1])[:3] + 0.5).astype(int)
        inside = mask.bbox.contains(at.tolist())
        assert covered[k, j, i] == inside
        expected = False
        if inside:
            local = at - mask.bbox.start_ijk
            expected = mask.mask_kji[local[2], local[1], local[0]]
            hits += 1
        assert moved.mask_kji[k, j, i] == expected
    # No centre inside the mask lies outside the returned box.
    volumes = np.linalg.det(source[:3, :3]), np.linalg.det(target[:3, :3])
    assert hits == pytest.approx(mask.mask_kji.size * abs(volumes[0] / volumes[1]), rel=0.25)


def test_resampling_nothing_gives_nothing():
    empty = MaskUpdate(np.zeros((0, 0, 0), dtype=bool), BoundingBox.empty())
    moved, covered = resampled(empty, np.eye(4), SHEARED)
    assert moved.bbox.is_empty
    assert covered.size == 0


@pytest.mark.parametrize("matrix", [np.eye(4), OBLIQUE_LEFT_HANDED, SHEARED])
def test_images_keep_content_place_and_negative_extents(matrix):
    mask = random_mask()

    image = oriented_image(matrix, mask)

    assert box_of(image) == SOMEWHERE
    np.testing.assert_allclose(lattice_of(image), matrix, atol=1e-9)
    np.testing.assert_array_equal(voxels_of(image) > 0, mask.mask_kji)
    k, j, i = np.argwhere(mask.mask_kji)[7]
    index = np.array([i, j, k]) + SOMEWHERE.start_ijk
    assert image.GetScalarComponentAsDouble(*index.tolist(), 0) == 1


def test_boxes_are_cut_and_filled():
    mask = random_mask()
    bigger = mask.content(SOMEWHERE.padded(2))
    np.testing.assert_array_equal(bigger[2:-2, 2:-2, 2:-2], mask.mask_kji)
    assert bigger.sum() == mask.mask_kji.sum()
    assert not mask.content(SOMEWHERE.shifted((100, 0, 0))).any()
    again = tight(MaskUpdate(bigger, SOMEWHERE.padded(2)))
    np.testing.assert_array_equal(again.content(SOMEWHERE), mask.mask_kji)


def test_lattices_differ_when_any_voxel_of_the_box_moves():
    tilted = rigid((0, 0, 1), 0.01, (0, 0, 0))
    assert same_lattice(np.eye(4), tilted, BoundingBox((0, 0, 0), (10, 10, 10)))
    assert not same_lattice(np.eye(4), tilted, BoundingBox((0, 0, 0), (512, 10, 10)))
    shifted = np.eye(4)
    shifted[0, 3] = 1
    assert not same_lattice(np.eye(4), shifted, BoundingBox((0, 0, 0), (10, 10, 10)))
