"""Click maps against closed forms: peaks, overlap rules, clipping at the border."""

from __future__ import annotations

import math

import pytest
import torch

from CTSAM3DLib.network.prompt_maps import (
    click_kernel,
    render_clicks,
    render_without_reading,
)


def test_kernel_is_the_gaussian_formula() -> None:
    kernel = click_kernel(2.0, 8)
    assert float(kernel[8, 8, 11]) == pytest.approx(math.exp(-9 / 8), rel=1e-6)
    assert float(kernel[7, 6, 8]) == pytest.approx(math.exp(-5 / 8), rel=1e-6)
    assert float(kernel[0, 0, 0]) == 0.0


def test_labels_go_to_their_own_map() -> None:
    points = torch.tensor([[8.0, 8.0, 8.0], [20.0, 20.0, 20.0], [8.0, 20.0, 8.0]])
    maps = render_clicks(points, torch.tensor([1, 0, -1]), 32, 32, 32, False)
    assert float(maps[0, 8, 8, 8]) == 1.0
    assert float(maps[1, 20, 20, 20]) == 1.0
    assert float(maps[0, 20, 20, 20]) == 0.0
    assert float(maps[:, 8, 20, 8].max()) < 1.0  # label -1 is left out


@pytest.mark.parametrize(("overwrite", "expected"), [(True, math.exp(-2.0)), (False, 1.0)])
def test_second_click_four_voxels_away(overwrite: bool, expected: float) -> None:
    points = torch.tensor([[16.0, 16.0, 16.0], [16.0, 16.0, 20.0]])
    maps = render_clicks(points, torch.tensor([1, 1]), 32, 32, 32, overwrite)
    assert float(maps[0, 16, 16, 16]) == pytest.approx(expected, rel=1e-5)
    assert float(maps[0, 16, 16, 20]) == 1.0


@pytest.mark.parametrize(("overwrite", "voxel"), [(True, 5), (False, 6)])
def test_coordinates_are_truncated_or_rounded(overwrite: bool, voxel: int) -> None:
    maps = render_clicks(torch.tensor([[5.7, 5.7, 5.7]]), torch.tensor([1]), 16, 16, 16, overwrite)
    assert float(maps[0, voxel, voxel, voxel]) == 1.0


def test_click_outside_adds_only_its_part_inside() -> None:
    maps = render_clicks(torch.tensor([[-3.0, 8.0, 8.0]]), torch.tensor([1]), 16, 16, 16, False)
    assert float(maps[0].max()) == pytest.approx(math.exp(-9 / 8), rel=1e-6)
    far = render_clicks(torch.tensor([[-30.0, 8.0, 8.0]]), torch.tensor([1]), 16, 16, 16, False)
    assert float(far.max()) == 0.0


def test_no_clicks_give_empty_maps() -> None:
    maps = render_clicks(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 8, 9, 10, False)
    assert maps.shape == (2, 8, 9, 10)
    assert float(maps.abs().max()) == 0.0


def test_scripted_equals_eager() -> None:
    points, labels = torch.tensor([[3.0, 4.0, 5.0], [9.0, 9.0, 9.0]]), torch.tensor([1, 0])
    scripted = torch.jit.script(render_clicks)
    for overwrite in (True, False):
        eager = render_clicks(points, labels, 16, 16, 16, overwrite)
        assert torch.equal(scripted(points, labels, 16, 16, 16, overwrite), eager)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_way_of_a_graphics_card_draws_the_same_bits(overwrite: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(9, 3, generator=generator) * 40.0 - 8.0
    labels = torch.randint(-1, 3, (9,), generator=generator)
    drawn = render_clicks(points, labels, 24, 20, 16, overwrite)
    assert float(drawn.max()) > 0.5
    assert torch.equal(render_without_reading(points, labels, [24, 20, 16], overwrite), drawn)
