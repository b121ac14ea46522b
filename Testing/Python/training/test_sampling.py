"""Augmented patches against scipy's affine resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from CTSAM3DLib.training.resampling import linear_at, nearest_at, positions
from CTSAM3DLib.training.sampling import PatchPlacement, cut, random_bends, random_placement

SPACING = (3.0, 1.0, 0.8)


def _volume() -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 400, (20, 40, 44))
    return ndimage.gaussian_filter(noise, 1.5).astype(np.float32) * 5


def _placement(seed: int) -> PatchPlacement:
    """Place a patch of 16 voxels somewhere round the middle of the volume."""
    voxel = np.array([10.0, 20.0, 22.0])
    return random_placement(np.random.default_rng(seed), voxel, SPACING, 16, (0.8, 1.5))[0]


@pytest.mark.parametrize("seed", range(6))
def test_linear_patch_equals_scipy_inside_the_volume(seed: int) -> None:
    volume = _volume()
    placement = _placement(seed)
    patch = cut(torch.tensor(volume), placement, nearest=False, fill=-1024.0, smooth=False).numpy()
    offset = placement.centre - placement.matrix @ np.full(3, 8.0)
    expected = ndimage.affine_transform(
        volume, placement.matrix, offset, (16, 16, 16), order=1, cval=np.nan
    )
    inside = np.isfinite(expected)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(patch[inside], expected[inside], atol=0.05)


@pytest.mark.parametrize("nearest", [True, False])
def test_an_even_bend_is_a_shift_of_the_patch(nearest: bool) -> None:
    volume, placement = torch.tensor(_volume()), _placement(1)
    shift = np.array([3.0, -6.0, 5.0])
    bends = torch.tensor(shift, dtype=torch.float32).view(1, 3, 1, 1, 1).expand(1, 3, 6, 6, 6)
    moved = replace(placement, centre=placement.centre + placement.matrix @ shift)
    bent = cut(volume, placement, nearest=nearest, fill=-1024.0, bends=bends)
    expected = cut(volume, moved, nearest=nearest, fill=-1024.0)
    assert torch.isclose(bent, expected, atol=0.1).float().mean() > 0.999
    assert not torch.allclose(bent, cut(volume, placement, nearest=nearest, fill=-1024.0), atol=1.0)


def test_outside_the_volume_is_air() -> None:
    placement = PatchPlacement(8, np.array([500.0, 5.0, 5.0]), np.eye(3), 1.0)
    patch = cut(torch.zeros(10, 10, 10), placement, nearest=False, fill=-1024.0)
    assert float(patch.max()) == float(patch.min()) == -1024.0


def test_a_sliver_thinner_than_a_block_is_sampled() -> None:
    placement = PatchPlacement(8, np.array([12.5, 14.0, 16.0]), np.diag([3.0, 3.0, 3.0]), 3.0)
    patch = cut(torch.full((2, 32, 32), 70.0), placement, nearest=False, fill=0.0)
    assert patch.shape == (8, 8, 8)
    assert float(patch.max()) == pytest.approx(70.0)


def test_coarse_patches_are_averaged_without_a_shift() -> None:
    z, y, x = np.ogrid[:32, :32, :32]
    ramp = (2.0 * z + 3.0 * y - x).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 100, ramp.shape).astype(np.float32)
    placement = PatchPlacement(4, np.array([13.2, 14.0, 15.7]), np.eye(3) * 4.0, 4.0)
    patch = cut(torch.tensor(ramp), placement, nearest=False, fill=0.0).numpy()
    at = [c + 4.0 * (np.arange(4) - 2) for c in placement.centre]
    expected = 2.0 * at[0][:, None, None] + 3.0 * at[1][:, None] - at[2]
    np.testing.assert_allclose(patch, expected, atol=1e-3)
    # Means over at least 4^3 voxels: noise of 100 HU falls to an eighth or less.
    noisy = cut(torch.tensor(noise), placement, nearest=False, fill=0.0)
    assert float(noisy.std()) < 15.0


def test_the_voxel_lies_where_the_placement_says() -> None:
    labels = torch.zeros(30, 40, 50)
    labels[12, 17, 31] = 1.0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        voxel = np.array([12.0, 17.0, 31.0])
        placement, inside = random_placement(rng, voxel, SPACING, 24, (1.0, 2.0))
        found = placement.matrix @ (inside - 12) + placement.centre
        np.testing.assert_allclose(found, voxel, atol=1e-9)
        assert (inside >= 3).all()
        assert (inside <= 21).all()


def test_spacing_is_the_length_of_a_step_in_mm() -> None:
    lengths = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        placement, _ = random_placement(rng, np.zeros(3), SPACING, 16, (1.5, 4.0))
        step_mm = np.diag(SPACING) @ placement.matrix
        mean = float(np.linalg.norm(step_mm, axis=0).mean())
        assert mean == pytest.approx(placement.spacing_mm, rel=0.12)
        lengths.append(placement.spacing_mm)
    assert 1.5 <= min(lengths) < 2.0
    assert 3.3 < max(lengths) <= 4.0


def test_points_in_a_patch_are_those_that_its_voxels_show() -> None:
    placement = _placement(3)
    number = np.arange(20 * 40 * 44, dtype=np.float32).reshape(20, 40, 44)
    shown = cut(torch.tensor(number), placement, nearest=True, fill=-1.0).numpy()
    points = np.indices(number.shape).reshape(3, -1).T.astype(np.float64)
    at = np.linalg.solve(placement.matrix, (points - placement.centre).T) + 8
    inside = placement.inside(points)
    assert inside.sum() > 500
    # The voxel of the patch that is nearest to such a point is near it as well.
    near = shown[tuple(np.rint(at[:, inside]).astype(int))]
    found = np.stack(np.unravel_index(near.astype(int), number.shape), 1)
    step = np.abs(placement.matrix).sum(1)
    assert (np.abs(found - points[inside]) <= step / 2 + 1.0).all()
    outside = np.abs(at - 7.5).max(0) > 8.0
    assert not inside[outside].any()


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_from_many_volumes_equals_scipy_and_labels_bend_alike(seed: int) -> None:
    volumes = [_volume(), _volume()[:14, 5:], _volume()[::-1, :33, 7:].copy()]
    placements = [_placement(10 * seed + n) for n in range(3)]
    padded = [np.pad(v, 1, constant_values=-1024.0).ravel() for v in volumes]
    # In the flat array they lie in another order, with something between them.
    flat = np.concatenate([padded[2], np.full(7, np.nan), padded[0], padded[1]])
    starts = torch.tensor([len(padded[2]) + 7, len(padded[2]) + 7 + len(padded[0]), 0])
    shapes = torch.tensor([v.shape for v in volumes], dtype=torch.int32)
    bends = random_bends(torch.tensor([1.5, 0.0, 3.0]), torch.Generator().manual_seed(seed))
    at = positions(
        torch.tensor(np.array([p.matrix for p in placements]), dtype=torch.float32),
        torch.tensor(np.array([p.centre for p in placements]), dtype=torch.float32),
        16,
        bends,
    )
    found = linear_at(torch.tensor(flat), starts, shapes, at).numpy()
    labels = (flat > 0).astype(np.uint8)
    nearest = nearest_at(torch.tensor(labels), starts, shapes, at).numpy()
    for n, (volume, placement) in enumerate(zip(volumes, placements, strict=True)):
        # Knots at the faces of the patch, interpolated linearly.
        knots_at = np.indices((16, 16, 16)) * (5.0 / 15.0)
        bend = [
            ndimage.map_coordinates(k, knots_at, order=1, mode="nearest") for k in bends[n].numpy()
        ]
        place = np.indices((16, 16, 16)) + np.array(bend) - 8.0
        place = np.einsum("ab,bdhw->adhw", placement.matrix, place)
        place += placement.centre[:, None, None, None]
        filled = np.pad(volume, 1, constant_values=-1024.0)
        expected = ndimage.map_coordinates(filled, place + 1, order=1, mode="nearest")
        np.testing.assert_allclose(found[n], expected, atol=0.2)
        whole = ndimage.map_coordinates(
            (filled > 0).astype(float), place + 1, order=0, mode="nearest"
        )
        assert (nearest[n] == whole).mean() > 0.999
    assert float(bends[1].abs().max()) == 0.0 < float(bends[2].abs().max())
