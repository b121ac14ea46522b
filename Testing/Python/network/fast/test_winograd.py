"""Winograd's convolution against a sum over the 27 taps in float64, written without PyTorch."""

from __future__ import annotations

import io

import numpy as np
import plain_official
import pytest
import torch

from CTSAM3DLib.network.fast import rows as rows_module
from CTSAM3DLib.network.fast.rows import convolve_rows, to_rows
from CTSAM3DLib.network.fast.winograd import convolve_winograd, winograd_applies, winograd_kernels


def example(size, channels, outputs):
    rng = np.random.default_rng(2)
    x = rng.normal(0.5, 2.0, (1, channels, *size))
    weights = {
        "c.weight": rng.normal(0.0, (2.0 / (27 * channels)) ** 0.5, (outputs, channels, 3, 3, 3)),
        "c.bias": rng.normal(size=outputs),
    }
    expected = plain_official.convolve(x, weights, "c")[0].transpose(1, 2, 3, 0)
    rows = to_rows(torch.from_numpy(x).float())
    return rows, torch.from_numpy(weights["c.weight"]).float(), weights["c.bias"], expected


@pytest.mark.parametrize("size", [(2, 2, 1), (4, 6, 5), (8, 2, 3), (6, 10, 7)], ids=str)
@pytest.mark.parametrize("slab_elements", [1, 10**9], ids=["slabs", "at once"])
def test_equals_the_plain_sum(size, slab_elements):
    rows, weight, bias, expected = example(size, 3, 5)
    ours = convolve_winograd(
        rows, winograd_kernels(weight), torch.from_numpy(bias).float(), False, False, slab_elements
    )
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2, 1), (8, 2, 3), (12, 10, 7)], ids=str)
@pytest.mark.parametrize("slab_elements", [1, 200, 10**9])
def test_in_place_gives_the_same_bits(size, slab_elements):
    rows, weight, bias, _ = example(size, 5, 5)
    kernels, bias = winograd_kernels(weight), torch.from_numpy(bias).float()
    expected = convolve_winograd(rows, kernels, bias, False, False, slab_elements)
    ours = convolve_winograd(rows, kernels, bias, False, True, slab_elements)
    assert ours.data_ptr() == rows.data_ptr()
    assert torch.equal(ours, expected)


def test_rows_that_hold_their_border_give_the_inside():
    rows, weight, bias, expected = example((6, 8, 7), 3, 4)
    ours = convolve_winograd(
        rows, winograd_kernels(weight), torch.from_numpy(bias).float(), True, False, 1
    )
    np.testing.assert_allclose(ours.numpy(), expected[1:-1, 1:-1, 1:-1], atol=1e-5)


def test_many_channels_take_it_and_lose_no_more_than_the_direct_way(monkeypatch):
    rows, weight, bias, expected = example((12, 14, 13), 96, 128)
    bias = torch.from_numpy(bias).float()
    calls = []

    def counted(*args):
        calls.append(args)
        return convolve_winograd(*args)

    monkeypatch.setattr(rows_module, "convolve_winograd", counted)
    ours = convolve_rows(rows, weight, bias, False).numpy()
    assert len(calls) == 1
    direct = torch.conv3d(rows.permute(3, 0, 1, 2)[None], weight, bias, padding=1)
    lost = np.abs(to_rows(direct).numpy() - expected).max()
    assert np.abs(ours - expected).max() < max(4 * lost, 1e-5)


@pytest.mark.parametrize(
    ("size", "channels", "dtype", "padded"),
    [
        ((15, 16, 16), 128, torch.float32, False),
        ((16, 15, 16), 128, torch.float32, False),
        ((16, 16, 16), 64, torch.float32, False),
        ((16, 16, 16), 128, torch.bfloat16, False),
        ((16, 16, 16), 128, torch.float64, False),
        ((8, 8, 8), 128, torch.float32, False),
        ((12, 14, 14), 128, torch.float32, True),
    ],
)
def test_stays_away_where_it_cannot_or_does_not_pay(size, channels, dtype, padded):
    weight = torch.zeros(channels, channels, 3, 3, 3, dtype=dtype)
    assert not winograd_applies(torch.zeros(*size, channels, dtype=dtype), weight, padded)


def test_scripted_gives_the_same_bits():
    rows, weight, bias, _ = example((16, 16, 16), 96, 96)
    bias = torch.from_numpy(bias).float()
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(convolve_rows), buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    expected = convolve_rows(rows, weight, bias, False)
    for in_place in (False, True):
        got = loaded(rows, weight, bias, False, 1, rows_module.ONEDNN_ELEMENTS, in_place)
        assert torch.equal(got, expected)
    assert got.data_ptr() == rows.data_ptr()
