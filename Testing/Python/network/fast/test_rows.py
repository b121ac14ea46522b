"""Operations on voxel rows against plain convolutions and statistics in float64."""

from __future__ import annotations

import numpy as np
import plain_official
import pytest
import torch
from random_weights import float64_weights, with_random_weights
from torch import nn

from CTSAM3DLib.network.fast.mask_fold import fused_tail, head_rows, upscale_rows
from CTSAM3DLib.network.fast.rows import (
    bias_of,
    channel_statistics,
    convolve_rows,
    multiply_rows,
    normalise_rows,
    to_maps,
    to_rows,
)
from CTSAM3DLib.network.official.decoder import Upscale


def random_maps(channels, size, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, (1, channels, *size))


def rows_of(maps):
    return to_rows(torch.from_numpy(maps.astype(np.float32)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("size", [(4, 6, 8), (5, 4, 7), (3, 3, 3), (9, 32, 6)], ids=str)
@pytest.mark.parametrize("channels", [3, 80])
def test_convolution_equals_the_plain_one(channels, size, padded, stride):
    conv = with_random_weights(nn.Conv3d(channels, 5, 3))
    maps = random_maps(channels, size)
    weights = {f"c.{name}": value for name, value in float64_weights(conv).items()}
    expected = plain_official.convolve(maps, weights, "c")
    if padded:
        expected = expected[:, :, 1:-1, 1:-1, 1:-1]
    expected = expected[:, :, ::stride, ::stride, ::stride]
    with torch.no_grad():
        ours = convolve_rows(rows_of(maps), conv.weight, conv.bias, padded, stride)
        halves = convolve_rows(rows_of(maps), conv.weight, conv.bias, padded, stride, 10**9)
    np.testing.assert_allclose(to_maps(ours).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(to_maps(halves).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("count", [1, 7, 16, 48])
def test_product_with_a_matrix(count):
    rng = np.random.default_rng(count)
    rows, matrix, bias = rng.normal(size=(count, 5)), rng.normal(size=(9, 5)), rng.normal(size=9)
    ours = multiply_rows(*(torch.from_numpy(a).float() for a in (rows, matrix, bias)))
    np.testing.assert_allclose(ours.numpy(), rows @ matrix.T + bias, atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2, 2), (5, 7, 9), (48, 48, 48), (64, 64, 64)], ids=str)
def test_statistics_keep_six_digits(size):
    """Channels-last sums of PyTorch lose half of them over 64³ voxels."""
    rows = rows_of(np.random.default_rng(1).normal(3.0, 1.0, (1, 4, *size)))
    flat = rows.numpy().astype(np.float64).reshape(-1, 4)
    mean, variance = channel_statistics(rows)
    np.testing.assert_allclose(mean.numpy(), flat.mean(axis=0), rtol=2e-6)
    np.testing.assert_allclose(variance.numpy(), flat.var(axis=0), rtol=2e-6)
    normal, _, reciprocal = normalise_rows(rows, None, None)
    expected = (flat - flat.mean(axis=0)) / np.sqrt(flat.var(axis=0) + 1e-5)
    np.testing.assert_allclose(normal.numpy().reshape(-1, 4), expected, atol=3e-5)
    np.testing.assert_allclose(reciprocal.numpy(), 1 / np.sqrt(flat.var(axis=0) + 1e-5), rtol=2e-6)


@pytest.mark.parametrize("affine", [False, True])
def test_normalising_in_place(affine):
    rng = np.random.default_rng(4)
    rows = rows_of(rng.normal(3.0, 1.5, (1, 6, 9, 8, 7)))
    flat = rows.numpy().astype(np.float64).reshape(-1, 6)
    scale, shift = (rng.normal(size=6) if affine else None for _ in range(2))
    expected = (flat - flat.mean(axis=0)) / np.sqrt(flat.var(axis=0) + 1e-5)
    if affine:
        expected = expected * scale + shift
    weights = [None if w is None else torch.from_numpy(w).float() for w in (scale, shift)]
    normal, mean, _ = normalise_rows(rows, *weights, in_place=True)
    assert normal.data_ptr() == rows.data_ptr()
    np.testing.assert_allclose(normal.numpy().reshape(-1, 6), expected, atol=3e-5)
    np.testing.assert_allclose(mean.numpy(), flat.mean(axis=0), rtol=2e-6)


@pytest.mark.parametrize("size", [(2, 2, 2), (3, 5, 4), (6, 32, 20)], ids=str)
def test_upscaling_and_the_fused_tail_equal_the_plain_layers(size):
    up, head = with_random_weights(Upscale(6, 4)), with_random_weights(nn.Conv3d(4, 2, 3), 1)
    maps, skip = random_maps(6, size), random_maps(3, tuple(2 * n for n in size), 1)
    weights = {f"up.{name}": value for name, value in float64_weights(up).items()}
    weights |= {f"head.{name}": value for name, value in float64_weights(head).items()}
    fine = plain_official.convolve_transposed(maps, weights, "up.cna.0")
    fine = plain_official.gelu(plain_official.channel_norm(fine, weights, "up.cna.1"))
    logits = plain_official.convolve(fine, weights, "head")[:, :1]
    with torch.no_grad():
        joined = upscale_rows(rows_of(maps), up.weights(), torch.from_numpy(skip).float())
        tail = fused_tail(rows_of(maps), up.weights(), head.weight[0], head.bias[:1])
    expected = np.concatenate([fine, skip], axis=1)
    np.testing.assert_allclose(to_maps(joined).numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(tail.numpy(), logits, atol=2e-5)


@pytest.mark.parametrize("size", [(2, 2, 2), (6, 4, 10)], ids=str)
def test_head_equals_a_convolution_to_one_channel(size):
    head = with_random_weights(nn.Conv3d(3, 1, 3))
    maps = random_maps(3, size)
    weights = {f"head.{name}": value for name, value in float64_weights(head).items()}
    with torch.no_grad():
        ours = head_rows(rows_of(maps), head.weight[0], head.bias)
    np.testing.assert_allclose(
        ours.numpy(), plain_official.convolve(maps, weights, "head"), atol=1e-5
    )


def test_a_layer_without_bias_is_refused():
    with pytest.raises(ValueError, match="expected a layer with a bias"):
        bias_of(nn.Conv3d(1, 1, 3, bias=False).bias)
