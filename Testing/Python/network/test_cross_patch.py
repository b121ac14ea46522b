"""Cross-patch predictor against the plain oracle, and its shapes."""

from __future__ import annotations

import numpy as np
import plain_official
import pytest
import torch
from random_weights import float64_weights, with_random_weights

from CTSAM3DLib.network.cross_patch import (
    OFFICIAL_WIDTHS,
    SMALL_WIDTHS,
    CrossPatchPredictor,
)

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.mark.parametrize("widths", [(4, 6), (4, 6, 10)])
def test_predictor_equals_the_plain_oracle(widths):
    predictor = with_random_weights(CrossPatchPredictor(widths))
    pair = np.random.default_rng(0).random((2, 3, 8, 12, 16))
    with torch.inference_mode():
        heat = predictor(torch.from_numpy(pair).float()).numpy()
    expected = plain_official.cross_patch(float64_weights(predictor), pair, "model")
    assert expected.std() > 0.1
    np.testing.assert_allclose(heat, expected, atol=1e-5)


def test_official_widths_have_the_official_number_of_parameters():
    with torch.device("meta"):
        predictor = CrossPatchPredictor(OFFICIAL_WIDTHS)
    assert sum(p.numel() for p in predictor.parameters()) == 4_807_262


def test_small_widths_have_a_quarter_of_the_official_parameters():
    with torch.device("meta"):
        small, official = CrossPatchPredictor(SMALL_WIDTHS), CrossPatchPredictor(OFFICIAL_WIDTHS)
    count = sum(p.numel() for p in small.parameters())
    assert count / sum(p.numel() for p in official.parameters()) == pytest.approx(0.25, abs=0.01)


def test_scripted_equals_eager_for_one_and_two_pairs():
    predictor = with_random_weights(CrossPatchPredictor(SMALL_WIDTHS))
    scripted = torch.jit.script(predictor)
    pair = torch.rand(2, 3, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        both = predictor(pair)
        assert both.shape == (2, 1, 64, 64, 64)
        torch.testing.assert_close(scripted(pair), both, atol=1e-5, rtol=0.0)
        torch.testing.assert_close(scripted(pair[1:]), both[1:], atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_every_input_channel_matters(channel):
    predictor = with_random_weights(CrossPatchPredictor((4, 8, 16)))
    pair = torch.rand(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = pair.clone()
    changed[:, channel] = changed[:, channel].flip(1)
    with torch.inference_mode():
        assert (predictor(pair) - predictor(changed)).abs().max() > 0.01


def test_heat_map_is_linear_at_the_end_so_it_can_be_negative():
    predictor = with_random_weights(CrossPatchPredictor((4, 8)))
    with torch.inference_mode():
        heat = predictor(torch.rand(1, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert heat.min() < 0.0 < heat.max()


def test_every_weight_is_trained():
    predictor = CrossPatchPredictor((4, 8, 16))
    predictor(torch.rand(1, 3, 16, 16, 16)).square().mean().backward()
    untrained = [n for n, p in predictor.named_parameters() if p.grad is None]
    assert untrained == []


def test_one_width_is_refused():
    with pytest.raises(ValueError, match=r"expected at least 2, got \(8,\)"):
        CrossPatchPredictor((8,))
