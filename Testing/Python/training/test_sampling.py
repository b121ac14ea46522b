"""Augmented patches against scipy's affine resampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from CTSAM3DLib.training.intensity import between_knots
from CTSAM3DLib.training.sampling import PatchPlacement, cut, random_bend, random_placement

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


@pytest.mark.parametrize("seed", range(4))
def test_bent_patch_equals_scipy_and_labels_bend_alike(seed: int) -> None:
    volume = _volume()
    placement = _placement(seed)
    bend = random_bend(16, 1.5, torch.Generator().manual_seed(seed))
    assert float(bend.abs().max()) > 1.0
    patch = cut(
        torch.tensor(volume), placement, nearest=False, fill=-1024.0, smooth=False, bend=bend
    ).numpy()
    at = np.indices((16, 16, 16)) + bend.numpy() - 8.0
    at = np.einsum("ab,bdhw->adhw", placement.matrix, at) + placement.centre[:, None, None, None]
    expected = ndimage.map_coordinates(volume, at, order=1, cval=np.nan)
    inside = np.isfinite(expected)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(patch[inside], expected[inside], atol=0.1)
    labels = (volume > 0).astype(np.float32)
    found = cut(torch.tensor(labels), placement, nearest=True, fill=0.0, bend=bend).numpy()
    nearest = ndimage.map_coordinates(labels, at, order=0, cval=0.0)
    assert (found == nearest)[inside].mean() > 0.999


def test_knots_are_interpolated_as_pytorch_does() -> None:
    knots = torch.randn((2, 5, 4, 6), generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        knots[None], [12, 9, 16], mode="trilinear", align_corners=True
    )[0]
    found = between_knots(knots, torch.Size([12, 9, 16]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)
