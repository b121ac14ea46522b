"""Losses, optimiser, simulated clicks and image variation of the training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from CTSAM3DLib.network.prompt_maps import render_clicks
from CTSAM3DLib.training import precision
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.intensity import vary_intensity, window
from CTSAM3DLib.training.losses import dice_of, segmentation_loss
from CTSAM3DLib.training.optimiser import Muon, orthogonalise, split_parameters
from CTSAM3DLib.training.pseudo_labels import pseudo_labels
from CTSAM3DLib.training.simulated_clicks import (
    first_clicks,
    interior_scores,
    next_clicks,
    partial_masks,
    render_each,
)
from CTSAM3DLib.training.synthesis import synthesise, tissue_table


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
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_orthogonalise_keeps_directions_and_evens_singular_values(
    shape: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A processor without bfloat16 instructions is more than ten times slower in it.
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: dtype == torch.bfloat16)
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    out = orthogonalise(matrix)
    assert out.dtype == dtype
    out = out.float()
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
    score = interior_scores(ball[None])[0]
    deepest = ndimage.distance_transform_edt(ball.numpy())
    index = np.unravel_index(int(score.argmax()), ball.shape)
    assert deepest[index] >= deepest.max() - 1.0
    assert float(score[~ball].max()) == 0.0


def test_first_clicks_lie_inside_and_differ() -> None:
    ball, generator = _ball(), torch.Generator().manual_seed(0)
    points = [first_clicks(ball[None], generator)[0] for _ in range(20)]
    assert all(bool(ball[tuple(p.long())]) for p in points)
    assert len({tuple(p.tolist()) for p in points}) > 10


def test_next_click_corrects_the_larger_error() -> None:
    ball = _ball()
    half, grown = ball.clone(), torch.ones_like(ball)
    half[:12] = False
    jitter = torch.rand((3, *ball.shape), generator=torch.Generator().manual_seed(0))
    points, labels = next_clicks(ball.expand_as(jitter), torch.stack([half, grown, ball]), jitter)
    assert labels.tolist() == [1, 0, -1]
    assert bool((ball & ~half)[tuple(points[0].long())])
    assert not bool(ball[tuple(points[1].long())])


def test_a_click_anywhere_hits_each_wrong_voxel_as_often() -> None:
    target = torch.zeros((1, 8, 8, 8), dtype=torch.bool)
    target[:, 2:6, 2:6, 2:6] = True
    mask = torch.zeros_like(target)
    mask[:, 7, 7, 6:] = True
    jitter = torch.rand((2000, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    masks = (target.expand_as(jitter), mask.expand_as(jitter))
    points, labels = next_clicks(*masks, jitter, anywhere=True)
    voxels, counts = torch.unique(points, dim=0, return_counts=True)
    assert len(voxels) == 66
    assert 10 <= int(counts.min()) <= int(counts.max()) <= 60
    assert torch.equal(labels == 1, target[0][tuple(points.long().T)])
    assert next_clicks(target, target, jitter[:1], anywhere=True)[1].tolist() == [-1]


def test_batches_of_clicks_are_those_of_each_sample() -> None:
    ball = _ball()
    half = ball.clone()
    half[:12] = False
    masks = torch.stack([half, torch.ones_like(ball), ball])
    target = ball.expand_as(masks)
    points, labels = next_clicks(target, masks, torch.zeros(masks.shape))
    assert labels.tolist() == [1, 0, -1]
    assert bool(ball[tuple(points[0].long())])
    assert not bool(ball[tuple(points[1].long())])
    maps = render_each(points, labels, ball.shape)
    for point, label, found in zip(points, labels, maps, strict=True):
        plain = render_clicks(point[None], label[None], *ball.shape, overwrite=False)
        torch.testing.assert_close(found, plain, atol=1e-6, rtol=0.0)


def test_partial_masks_are_probabilities_of_a_part() -> None:
    ball = _ball()
    priors = partial_masks(ball.expand(24, -1, -1, -1), torch.Generator().manual_seed(0))
    grown = torch.tensor(ndimage.binary_dilation(ball.numpy(), np.ones((5, 5, 5))))
    assert float(priors.min()) >= 0.0
    assert float(priors.max()) < 0.99
    assert float(priors[:, ~grown].max()) == 0.0
    shares = (priors[:, ball] > 0.5).float().mean(1)
    assert float(shares.min()) < 0.4
    assert float(shares.max()) > 0.6


def test_masks_that_are_neither_grown_nor_eroded_are_half_spaces_of_the_target() -> None:
    ball = _ball()
    exact = 0
    for prior in partial_masks(ball.expand(40, -1, -1, -1), torch.Generator().manual_seed(1)):
        # A mean over 27 voxels is at least 14/27 in a flat half space's voxels.
        known = prior > 0.5
        share = float((known & ball).sum()) / float(ball.sum())
        exact += 0.15 < share < 0.95 and not bool((known & ~ball).any())
    assert exact > 10


def test_clicks_of_a_batch_follow_their_own_targets() -> None:
    targets = torch.zeros(3, 20, 20, 20, dtype=torch.bool)
    targets[0, 2:9, 2:9, 2:9] = True
    targets[1, 19, 19, 19] = True
    targets[2, 10:, :, :] = True
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([first_clicks(targets, generator) for _ in range(60)])
    for n, target in enumerate(targets):
        k, j, i = drawn[:, n].long().T
        assert bool(target[k, j, i].all())
    # As often as the square of the score says.
    deep = interior_scores(targets[2:])[0].square().double()
    expected = [float((deep.sum(1).sum(1) * torch.arange(20)).sum() / deep.sum()), 9.5, 9.5]
    many = first_clicks(targets[2].expand(800, -1, -1, -1), generator)
    np.testing.assert_allclose(many.mean(0), expected, atol=0.45)


def test_window_clips_and_scales() -> None:
    hu = torch.tensor([-2000.0, -160.0, 40.0, 240.0, 3000.0]).view(1, 1, 1, 5)
    assert window(hu, ((-160.0, 240.0),)).flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_variation_keeps_structure_and_depends_on_the_seed() -> None:
    hu = torch.where(_ball(), 60.0, -1000.0).expand(6, -1, -1, -1)
    one = vary_intensity(hu, np.random.default_rng(1), torch.Generator().manual_seed(1))
    same = vary_intensity(hu, np.random.default_rng(1), torch.Generator().manual_seed(1))
    other = vary_intensity(hu, np.random.default_rng(1), torch.Generator().manual_seed(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert float((one[:, _ball()].mean(1) - one[:, ~_ball()].mean(1)).min()) > 800
    assert not any(torch.equal(one[0], sample) for sample in one[1:])


def test_variation_has_the_announced_strengths() -> None:
    hu = torch.zeros(400, 8, 8, 8)
    hu[:, :, :, 4:] = 1000.0
    varied = vary_intensity(hu, np.random.default_rng(0), torch.Generator().manual_seed(0))
    low, high = varied[..., :2].mean((1, 2, 3)), varied[..., 6:].mean((1, 2, 3))
    assert float(low.std()) == pytest.approx(12.0, rel=0.25)
    assert float(((high - low) / 1000.0).std()) == pytest.approx(0.04, rel=0.25)
    assert float((high - low).mean()) == pytest.approx(1000.0, rel=0.01)
    noise = (varied[..., 1:3, :, :2] - low[:, None, None, None]).std((1, 2, 3))
    assert 0.3 < float((noise < 0.5).float().mean()) < 0.5  # two fifths have no noise
    edge = varied[:, :, :, 3].mean((1, 2)) - low
    assert 0.15 < float((edge > 40.0).float().mean()) < 0.35  # a quarter is blurred


def test_synthetic_ct_has_the_classes_apart() -> None:
    labels = torch.where(_ball(), 2.0, 1.0).expand(3, -1, -1, -1)
    table = tissue_table({"1": "lung_left", "2": "vertebrae_L1"}).class_hu.expand(3, -1)
    hu = synthesise(labels, table, torch.Generator().manual_seed(0))
    assert hu.shape == labels.shape
    assert float((hu[:, _ball(5.0)].mean(1) - hu[:, ~_ball(9.0)].mean(1)).min()) > 500


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
