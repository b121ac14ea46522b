"""Losses, optimiser, simulated clicks and image variation of the training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from CTSAM3DLib.network.prompt_maps import render_clicks
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import class_hu
from CTSAM3DLib.training.intensity import blur, vary_intensity, window
from CTSAM3DLib.training.losses import dice_of, segmentation_loss
from CTSAM3DLib.training.optimiser import Muon, orthogonalise, split_parameters
from CTSAM3DLib.training.pseudo_labels import pseudo_labels
from CTSAM3DLib.training.simulated_clicks import (
    correcting_click,
    first_click,
    interior_score,
    next_clicks,
    partial_mask,
    render_each,
)
from CTSAM3DLib.training.synthesis import synthesise


def _ball(radius: float = 7.0, size: int = 24) -> torch.Tensor:
    z, y, x = np.ogrid[:size, :size, :size]
    middle = size / 2
    return torch.tensor((z - middle) ** 2 + (y - middle) ** 2 + (x - middle) ** 2 < radius**2)


def test_loss_is_the_formula() -> None:
    logits, target = torch.randn(2, 1, 3, 4, 5), (torch.rand(2, 1, 3, 4, 5) > 0.5).float()
    p, t = torch.sigmoid(logits).numpy(), target.numpy()
    entropy = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    dice = [(2 * (p[b] * t[b]).sum() + 1) / (p[b].sum() + t[b].sum() + 1) for b in (0, 1)]
    expected = entropy + 1 - np.mean(dice)
    assert float(segmentation_loss(logits, target)) == pytest.approx(expected, rel=1e-4)


def test_dice_of_shifted_boxes() -> None:
    target = torch.zeros(1, 1, 8, 8, 8)
    target[..., :4] = 1.0
    logits = torch.full_like(target, -1.0)
    logits[..., 2:6] = 1.0
    assert float(dice_of(logits, target)) == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_orthogonalise_keeps_directions_and_evens_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    out = orthogonalise(matrix).float()
    values = torch.linalg.svdvals(out)
    assert float(values.max()) < 1.4
    assert float(values.min()) > 0.4
    along = torch.diag(u.T @ out @ vt.T)
    assert float(along.min()) > 0.4


def test_muon_step_has_the_announced_size() -> None:
    torch.manual_seed(0)
    conv = nn.Conv3d(16, 16, 3)
    kernels, rest = split_parameters(conv)
    assert [p.ndim for p in kernels] == [5]
    assert [p.ndim for p in rest] == [1]
    before = conv.weight.detach().clone()
    conv.weight.grad = torch.randn_like(conv.weight)
    Muon(kernels, lr=0.01, weight_decay=0.0).step()
    rms = float((conv.weight.detach() - before).square().mean().sqrt())
    assert rms == pytest.approx(0.2 * 0.01, rel=0.25)


def test_interior_score_is_highest_at_the_deepest_voxel() -> None:
    ball = _ball()
    score = interior_score(ball)
    deepest = ndimage.distance_transform_edt(ball.numpy())
    index = np.unravel_index(int(score.argmax()), ball.shape)
    assert deepest[index] >= deepest.max() - 1.0
    assert float(score[~ball].max()) == 0.0


def test_first_clicks_lie_inside_and_differ() -> None:
    ball, generator = _ball(), torch.Generator().manual_seed(0)
    points = [first_click(ball, generator) for _ in range(20)]
    assert all(bool(ball[tuple(p.long())]) for p in points)
    assert len({tuple(p.tolist()) for p in points}) > 10


def test_next_click_corrects_the_larger_error() -> None:
    ball, generator = _ball(), torch.Generator().manual_seed(0)
    half = ball.clone()
    half[:12] = False
    point, label = correcting_click(ball, half, generator)
    assert label == 1
    assert bool((ball & ~half)[tuple(point.long())])
    grown = torch.ones_like(ball)
    point, label = correcting_click(ball, grown, generator)
    assert label == 0
    assert not bool(ball[tuple(point.long())])
    assert correcting_click(ball, ball, generator)[1] == -1


def test_batches_of_clicks_are_those_of_each_sample() -> None:
    ball = _ball()
    half = ball.clone()
    half[:12] = False
    masks = torch.stack([half, torch.ones_like(ball), ball])
    target = ball.expand_as(masks)
    points, labels = next_clicks(target, masks, torch.Generator().manual_seed(0))
    assert labels.tolist() == [1, 0, -1]
    assert bool(ball[tuple(points[0].long())])
    assert not bool(ball[tuple(points[1].long())])
    maps = render_each(points, labels, ball.shape)
    for point, label, found in zip(points, labels, maps, strict=True):
        plain = render_clicks(point[None], label[None], *ball.shape, overwrite=False)
        torch.testing.assert_close(found, plain, atol=1e-6, rtol=0.0)


def test_partial_masks_are_probabilities_of_a_part() -> None:
    ball = _ball()
    shares = []
    for seed in range(12):
        prior = partial_mask(ball, torch.Generator().manual_seed(seed))
        assert float(prior.min()) >= 0.0
        assert float(prior.max()) < 0.99
        shares.append(float((prior[ball] > 0.5).float().mean()))
        grown = torch.tensor(ndimage.binary_dilation(ball.numpy(), np.ones((5, 5, 5))))
        assert float(prior[~grown].max()) == 0.0
    assert min(shares) < 0.4
    assert max(shares) > 0.6


def test_window_clips_and_scales() -> None:
    hu = torch.tensor([-2000.0, -160.0, 40.0, 240.0, 3000.0]).view(1, 1, 1, 5)
    assert window(hu, ((-160.0, 240.0),)).flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_blur_is_a_gaussian() -> None:
    point = torch.zeros(11, 11, 11)
    point[5, 5, 5] = 1.0
    taps = np.exp(-0.5 * (np.arange(-2, 3) / 0.8) ** 2)
    taps /= taps.sum()
    assert float(blur(point, 0.8)[5, 6, 7]) == pytest.approx(taps[2] * taps[3] * taps[4], rel=1e-4)


def test_variation_keeps_structure_and_depends_on_the_seed() -> None:
    hu = torch.where(_ball(), 60.0, -1000.0)
    one = vary_intensity(hu, np.random.default_rng(1), torch.Generator().manual_seed(1))
    same = vary_intensity(hu, np.random.default_rng(1), torch.Generator().manual_seed(1))
    other = vary_intensity(hu, np.random.default_rng(2), torch.Generator().manual_seed(1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float(one[_ball()].mean() - one[~_ball()].mean()) > 800


def test_synthetic_ct_has_the_classes_apart() -> None:
    labels = torch.where(_ball(), 2.0, 1.0)
    table = class_hu({"1": "lung_left", "2": "vertebrae_L1"})
    hu = synthesise(labels, table, np.random.default_rng(0), torch.Generator().manual_seed(0))
    assert hu.shape == labels.shape
    assert float(hu[_ball(5.0)].mean()) > float(hu[~_ball(9.0)].mean()) + 500


def test_pseudo_labels_find_bone_and_split_soft_tissue() -> None:
    hu = np.full((40, 40, 40), -1000, np.int16)
    hu[4:36, 4:36, 4:20] = 40
    hu[4:36, 4:36, 20:36] = 110
    hu[10:20, 10:20, 8:16] = 600
    labels = pseudo_labels(hu, (2.0, 2.0, 2.0))
    bone = labels[11:19, 11:19, 9:15]
    assert bone.min() == bone.max() > 0
    left, right = labels[28, 28, 10], labels[28, 28, 30]
    assert left > 0
    assert right > 0
    assert len({int(left), int(right), int(bone[0, 0, 0])}) == 3
    assert labels[1, 1, 1] == 0


def test_config_round_trips_and_refuses_unknown_settings(tmp_path: object) -> None:
    config = TrainConfig(seed=7, widths=(4, 8))
    assert TrainConfig.from_dict(config.to_dict()) == config
    with pytest.raises(TypeError, match="learning_rat"):
        TrainConfig.from_dict({"learning_rat": 1.0})
    assert math.isclose(sum(config.source_weights.values()), 1.0)
