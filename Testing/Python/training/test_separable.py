"""Products along axes against scipy, NumPy and PyTorch's own interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from CTSAM3DLib.training.separable import (
    along_axes,
    between_knots,
    blur,
    box_mean,
    boxes,
    smooth_fields,
)


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_each_axis_has_its_own_matrix_in_each_sample() -> None:
    values = _values(2, 3, 4, 5)
    first, second, third = _values(2, 6, 3), _values(7, 4), _values(2, 8, 5)
    expected = torch.einsum("bdhw,bxd,yh,bzw->bxyz", values, first, second, third)
    torch.testing.assert_close(along_axes(values, (first, second, third)), expected)


@pytest.mark.parametrize("width", [3, 5, 13])
def test_box_means_are_those_of_scipy(width: int) -> None:
    values = _values(2, 9, 16, 11)
    expected = [ndimage.uniform_filter(v, width, mode="constant") for v in values.numpy()]
    np.testing.assert_allclose(box_mean(values, width), expected, atol=1e-5)


def test_boxes_differ_between_samples() -> None:
    values = _values(2, 9, 9, 9)
    found = along_axes(values, boxes(values.shape[1:], torch.tensor([1, 3])))
    torch.testing.assert_close(found[0], box_mean(values, 3)[0])
    torch.testing.assert_close(found[1], box_mean(values, 7)[1])


def test_blur_is_a_gaussian_of_five_taps_and_keeps_the_faces() -> None:
    values = _values(2, 8, 12, 10)
    for values_of, sigma, found in zip(
        values.numpy(), (0.8, 0.5), blur(values, torch.tensor([0.8, 0.5])), strict=True
    ):
        expected = ndimage.gaussian_filter(values_of, sigma, mode="nearest", radius=2)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_knots_are_interpolated_as_pytorch_does() -> None:
    knots = _values(2, 5, 4, 6)
    expected = torch.nn.functional.interpolate(
        knots[None], [12, 9, 16], mode="trilinear", align_corners=True
    )[0]
    found = between_knots(knots, torch.Size([12, 9, 16]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)


def test_fewer_knots_of_a_sample_are_those_that_it_counts() -> None:
    knots = _values(2, 6, 6, 6)
    shape = torch.Size([10, 10, 10])
    found = between_knots(knots, shape, torch.tensor([6, 4]))
    torch.testing.assert_close(found[0], between_knots(knots[:1], shape)[0])
    torch.testing.assert_close(found[1], between_knots(knots[1:, :4, :4, :4], shape)[0])


def test_smooth_fields_have_about_unit_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    fields = smooth_fields(torch.Size([24] * 3), torch.tensor([5.0, 11.0] * 20), 11, generator)
    assert 0.7 < float(fields.std()) < 1.3
    steps = (fields[:, 1:] - fields[:, :-1]).abs().mean((1, 2, 3))
    assert float(steps[1::2].mean()) > 1.5 * float(steps[::2].mean())  # more knots, rougher
