"""Batches from packed data: voxels, places and clicks of samples, whatever they are drawn with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from CTSAM3DLib.training import batches
from CTSAM3DLib.training.batches import SMALLEST_IN_PATCH, draw_samples, plan_sample, voxels_shown
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.sampling import PatchPlacement, block_steps, cut
from CTSAM3DLib.training.stream import SampleBatches, random_sources

CPU = torch.device("cpu")
SHAPE = (24, 60, 52)
SPACING = [3.0, 1.0, 1.2]
CONFIG = TrainConfig(
    patch_size=16,
    batch_size=6,
    spacing_range_mm=(1.5, 4.0),
    source_weights={"human": 0.5, "pseudo": 0.2, "synthetic": 0.3},
    bend_probability=0.5,
    typical_synthesis=0.5,
    prior_probability=0.4,
)


def _labels() -> np.ndarray:
    k, j, i = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    labels = np.zeros(SHAPE, np.uint8)
    labels[(3 * (k - 12)) ** 2 + (j - 20) ** 2 + (1.2 * (i - 20)) ** 2 < 15**2] = 1
    labels[4:7, 40:46, 30:36] = 2
    labels[20, 55, 10:14] = 3
    return labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedData:
    """A CT with labels and pseudo-labels, the same CT with labels of its own, a map without CT."""
    labels = _labels()
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 900, SHAPE), 1.0)
    hu = (noise + 200.0 * labels).astype(np.int16)
    arrays = {"hu": [hu], "labels": [labels, labels, labels], "pseudo": [labels]}
    points, cases = [], []
    starts = [("hu0", 0), ("hu0", None), (None, None)]
    for number, (ct, pseudo) in enumerate(starts):
        targets = []
        for kind in ["labels"] if pseudo is None else ["labels", "pseudo"]:
            for value in (1, 2, 3):
                at = np.argwhere(labels == value)[::2].astype(np.int16)
                targets.append(
                    {
                        "kind": kind,
                        "value": value,
                        "name": "" if kind == "pseudo" else f"organ {value}",
                        "voxels": int((labels == value).sum()),
                        "points": sum(map(len, points)),
                        "count": len(at),
                    }
                )
                points.append(at)
        cases.append(
            {
                "name": f"case {number}",
                "family": "test",
                "shape": SHAPE,
                "spacing_kji_mm": SPACING,
                "label_origin": "human (test)",
                "label_names": {"1": "liver", "2": "rib_left_1", "3": "aorta"},
                "hu": None if ct is None else 0,
                "labels": number * labels.size,
                "pseudo": pseudo,
                "targets": targets,
            }
        )
    path = tmp_path_factory.mktemp("packed") / "train.npz"
    np.savez(
        path,
        **{kind: np.concatenate([a.ravel() for a in parts]) for kind, parts in arrays.items()},
        points=np.concatenate(points),
        header=np.frombuffer(json.dumps({"version": 1, "cases": cases}).encode(), np.uint8),
    )
    return PackedData(path, CPU, 4.0)


def _only(data: PackedData, monkeypatch: pytest.MonkeyPatch, plans: list[batches.Plan]) -> None:
    """Let the next batch be of these plans, with intensities as they are."""
    given = iter(plans)
    monkeypatch.setattr(batches, "plan_sample", lambda *_: next(given))
    monkeypatch.setattr(batches, "vary_intensity", lambda hu, rng, generator: hu)


def test_one_ct_is_stored_once_with_coarser_copies(data: PackedData) -> None:
    first, second, third = data.cases
    assert first.stored_hu == second.stored_hu
    assert third.hu is None
    assert third.stored_hu == ()
    assert [s.steps for s in first.stored_hu] == [
        (1, 1, 1), (1, 2, 1), (1, 2, 2), (1, 3, 2), (1, 3, 3), (1, 4, 3)
    ]  # fmt: skip
    assert first.hu is not None
    hu = first.hu.numpy().astype(np.float64)
    copy = first.stored_hu[2].of(data.hu).numpy()
    mean = hu.reshape(24, 30, 2, 26, 2).mean((2, 4))
    assert np.abs(copy - mean).max() <= 0.5
    at = [first.hu_for(np.array(steps)).steps for steps in ([1, 2, 2], [1, 3, 1], [9, 9, 9])]
    assert at == [(1, 2, 2), (1, 2, 1), (1, 4, 3)]


def test_samples_are_the_patches_that_are_cut_one_by_one(
    data: PackedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, bend_probability=0.0, source_weights={"human": 1.0}, batch_size=16)
    rng, generator = random_sources(CPU, 1)
    plans = [plan_sample(data, config, rng) for _ in range(16)]
    _only(data, monkeypatch, plans)
    samples = draw_samples(data, config, rng, generator)
    smoothed = 0
    for plan, hu, target in zip(plans, samples.hu.float(), samples.target, strict=True):
        case = plan.case
        assert case.hu is not None
        labels = cut(case.labels, plan.placement, nearest=True, fill=0.0)
        assert torch.equal(target, labels == plan.drawn.value)
        alone = cut(case.hu, plan.placement, nearest=False, fill=-1024.0)
        if case.hu_for(block_steps(plan.placement.matrix)).steps == (1, 1, 1):
            torch.testing.assert_close(hu, alone, atol=1.0, rtol=0.0)  # half precision
        else:
            smoothed += 1
            # Blocks begin elsewhere, so each value is the mean of other voxels.
            assert float((hu - alone).abs().mean()) < 0.35 * float(alone.std())
    assert 0 < smoothed < 16


def test_labels_and_ct_bend_together(data: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, bend_probability=1.0, source_weights={"human": 1.0})
    rng, generator = random_sources(CPU, 2)
    plans = [replace(plan_sample(data, config, rng), bend=3.0) for _ in range(6)]
    _only(data, monkeypatch, plans)
    # A CT that is its own label map tells where the labels were read.
    case = data.cases[0]
    own = [s.of(data.hu).clone() for s in case.stored_hu]
    for place in case.stored_hu:
        k, j, i = (torch.arange(n) * s for n, s in zip(place.shape, place.steps, strict=True))
        place.of(data.hu).copy_(case.labels[k][:, j][:, :, i] * 100)
    samples = draw_samples(data, config, rng, generator)
    for place, values in zip(case.stored_hu, own, strict=True):
        place.of(data.hu).copy_(values)
    for plan, hu, target in zip(plans, samples.hu, samples.target, strict=True):
        shown = (hu > 100 * plan.drawn.value - 50) & (hu < 100 * plan.drawn.value + 50)
        overlap = 2 * int((shown & target).sum()) / int(shown.sum() + target.sum())
        assert overlap > 0.6
        straight = cut(plan.case.labels, plan.placement, nearest=True, fill=0.0)
        assert not torch.equal(straight == plan.drawn.value, target)


def test_patches_show_enough_of_their_target(data: PackedData) -> None:
    rng = np.random.default_rng(0)
    shown, reckoned = [], []
    for _ in range(60):
        target = data.targets[int(rng.integers(len(data.targets)))]
        centre = target.points[0] + rng.normal(0, 6, 3)
        size = rng.uniform(1.0, 4.0)
        placement = PatchPlacement(16, centre, np.diag(size / np.array(SPACING)), size)
        labels = cut(data.cases[target.case].labels, placement, nearest=True, fill=0.0)
        shown.append(int((labels == target.value).sum()))
        reckoned.append(voxels_shown(target, placement))
    enough = np.array(shown) >= SMALLEST_IN_PATCH
    assert ((np.array(reckoned) >= SMALLEST_IN_PATCH) == enough).mean() > 0.9
    assert np.corrcoef(shown, reckoned)[0, 1] > 0.99
    plans = [plan_sample(data, CONFIG, rng) for _ in range(200)]
    # The third structure has 4 voxels: fewer than a patch has to show.
    assert {p.drawn.value for p in plans} == {1, 2}
    with pytest.raises(RuntimeError, match="no target with 20 voxels"):
        plan_sample(data, replace(CONFIG, spacing_range_mm=(90.0, 99.0)), rng)


def test_clicks_are_on_the_target_and_priors_say_when_they_are_left_out(data: PackedData) -> None:
    drawn = SampleBatches(data, replace(CONFIG, batch_size=60))[0]
    k, j, i = drawn.points.long().T
    assert bool(drawn.target[torch.arange(60), k, j, i].all())
    with_prior = drawn.prior.flatten(1).any(1)
    assert 0.2 < float(with_prior.float().mean()) < 0.6
    assert bool((drawn.labels[~with_prior] == 1).all())
    assert set(drawn.labels[with_prior].tolist()) == {1, -1}
    middle = (drawn.points == 8.0).all(1).float().mean()
    assert 0.1 < float(middle) < 0.5  # a quarter is clicked where the patch is centred


def test_nothing_to_click_is_no_click(data: PackedData, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, generator = random_sources(CPU, 3)
    plan = plan_sample(data, CONFIG, rng)
    empty = replace(plan, drawn=replace(plan.drawn, value=77))
    _only(data, monkeypatch, [empty] * CONFIG.batch_size)
    assert draw_samples(data, CONFIG, rng, generator).labels.tolist() == [-1] * CONFIG.batch_size


def test_the_number_of_an_iteration_decides_its_batch(data: PackedData) -> None:
    batches_of = SampleBatches(data, CONFIG)
    later, first, again = batches_of[5], batches_of[0], SampleBatches(data, CONFIG)[5]
    assert all(torch.equal(a, b) for a, b in zip(later.values(), again.values(), strict=True))
    assert not torch.equal(first.hu, later.hu)


def test_together_or_one_by_one_samples_are_alike(
    data: PackedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU draws in one piece, a processor draws in pieces of one."""
    config = replace(CONFIG, prior_probability=0.0, typical_synthesis=0.0, batch_size=16)
    rng, _ = random_sources(CPU, 4)
    plans = [replace(plan_sample(data, config, rng), bend=0.0) for _ in range(16)]
    drawn = []
    for together in (False, True):
        _only(data, monkeypatch, plans)
        monkeypatch.setattr(batches, "draws_together", lambda _, value=together: value)
        drawn.append(draw_samples(data, config, *random_sources(CPU, 5)))
    alone, joined = drawn
    assert torch.equal(alone.target, joined.target)
    assert torch.equal(alone.labels, joined.labels)
    from_ct = [n for n, p in enumerate(plans) if p.case.stored_hu]
    torch.testing.assert_close(alone.hu[from_ct], joined.hu[from_ct])
    assert 0 < len(from_ct) < 16


def test_a_pack_without_labels_is_refused(tmp_path: Path, data: PackedData) -> None:
    entry = {"name": "x", "shape": [1, 1, 1], "hu": None, "labels": None, "pseudo": None}
    header = json.dumps({"version": 1, "cases": [{**entry, "spacing_kji_mm": [1, 1, 1]}]})
    none = np.zeros(0, np.uint8)
    np.savez(
        tmp_path / "bad.npz",
        hu=none, labels=none, pseudo=none, points=none,
        header=np.frombuffer(header.encode(), np.uint8),
    )  # fmt: skip
    with pytest.raises(ValueError, match="case 'x' has no labels array"):
        PackedData(tmp_path / "bad.npz", data.device)
