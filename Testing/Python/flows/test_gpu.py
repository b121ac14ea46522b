"""A real GPU, where there is one: the answers of a processor, and what happens when it is full.

Needs torch, numpy and pytest alone:

    PYTHONPATH=.:Testing/Python python -m pytest --noconftest Testing/Python/flows/test_gpu.py
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_weights import with_random_weights

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.fallback import FallbackPredictor, stages_from
from CTSAM3DLib.bundles.predictor import TorchPredictor, exact_float32
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.official.sizes import L1
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.cross_patch_trainer import CrossPatchTrainer
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.iteration import Iteration
from CTSAM3DLib.training.stream import SampleBatches
from CTSAM3DLib.training.trainer import Trainer, segmenter_of

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: what needs a card is not tested here"
)

RNG = np.random.default_rng(0)
HU = RNG.normal(0, 200, (64, 64, 64)).astype(np.float32)
POINTS = np.array([[33, 30, 36], [20, 30, 40], [45, 20, 20]], np.float32)
LABELS = np.array([1, 1, 0])


@pytest.fixture(scope="module", params=["lite", "official"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build_lite(LiteConfig()) if request.param == "lite" else build_official(L1, "l1")
    path = tmp_path_factory.mktemp(request.param) / "model.pt"
    write_bundle(with_random_weights(model), path)
    return path


def answers(predictor: TorchPredictor) -> list[NDArray[np.float32]]:
    """Probabilities after a first and a third click, and the heat map of a neighbour."""
    embedding = predictor.encode(HU)
    first = predictor.decode(embedding, POINTS[:1], LABELS[:1], None)
    third = predictor.decode(embedding, POINTS, LABELS, first)
    heat = predictor.cross_patch(HU, HU > 0, HU[::-1])
    return [1.0 / (1.0 + np.exp(-logits)) for logits in (first, third)] + [heat]


def test_float32_gives_the_answers_of_a_processor(bundle: Path) -> None:
    expected = answers(TorchPredictor(bundle, "cpu"))
    for want, got in zip(expected, answers(TorchPredictor(bundle, "cuda")), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-4)


def test_float32_is_not_rounded_on_the_card() -> None:
    x, weight = torch.randn(1, 64, 32, 32, 32), torch.randn(64, 64, 3, 3, 3)
    exact = torch.conv3d(x.double(), weight.double())
    with exact_float32():
        got = torch.conv3d(x.cuda(), weight.cuda()).cpu().double()
    assert float((got - exact).norm() / exact.norm()) < 3e-6


@pytest.fixture
def full_card() -> Iterator[None]:
    """Leave this process some megabytes of the card."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 48e6 / total))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_a_full_card_costs_no_click(bundle: Path, full_card: None) -> None:
    expected = answers(TorchPredictor(bundle, "cpu"))
    predictor = FallbackPredictor(
        stages_from("cuda:0"), lambda stage: TorchPredictor(bundle, stage)
    )
    embedding = predictor.encode(HU)
    first = predictor.decode(embedding, POINTS[:1], LABELS[:1], None)
    found = 1.0 / (1.0 + np.exp(-first))
    np.testing.assert_allclose(found, expected[0], atol=2e-4)
    assert predictor.device == "cpu"
    (notice,) = predictor.take_notices()
    assert notice.startswith("The GPU has too little free memory")


# ---- training

CONFIG = TrainConfig(
    patch_size=32, batch_size=4, widths=(8, 8, 16, 16, 16), hidden=8, spacing_range_mm=(2.0, 2.5)
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case: a bright ball in a body."""
    shape = (48, 48, 48)
    ball = sum((axis - 24.0) ** 2 for axis in np.ogrid[:48, :48, :48]) < 100
    hu = np.where(ball, 150, 0) + np.random.default_rng(0).normal(0, 10, shape)
    points = np.argwhere(ball)[::7].astype(np.int16)
    target = {"kind": "labels", "value": 1, "name": "liver", "points": 0, "count": len(points)}
    case = {
        "name": "ball",
        "family": "test",
        "shape": shape,
        "spacing_kji_mm": [2.0, 2.0, 2.0],
        "label_origin": "human (test)",
        "label_names": {"1": "liver"},
        "hu": 0,
        "labels": 0,
        "pseudo": None,
        "targets": [target],
    }
    path = tmp_path_factory.mktemp("packed") / "train.npz"
    np.savez(
        path,
        hu=hu.astype(np.int16).ravel(),
        labels=ball.astype(np.uint8).ravel(),
        pseudo=np.zeros(0, np.uint8),
        points=points,
        header=np.frombuffer(json.dumps({"version": 1, "cases": [case]}).encode(), np.uint8),
    )
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_training_on_a_card_learns(packed: Path, tmp_path: Path, workers: int) -> None:
    card = torch.device("cuda")
    data = PackedData(packed, torch.device("cpu") if workers else card)
    trainer = Trainer(replace(CONFIG, warmup=5), data, tmp_path, device=card, workers=workers)
    trainer.run(40, log_every=10)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]


def test_the_cross_patch_predictor_learns_on_a_card(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, torch.device("cuda"))
    trainer = CrossPatchTrainer(CONFIG, data, tmp_path, segmenter_of(CONFIG))
    trainer.run(4, every=4)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert np.isfinite(json.loads(line)["loss"])


def test_a_step_does_not_wait_for_the_card(packed: Path, tmp_path: Path) -> None:
    """Once every number of corrections is recorded, drawing and learning read nothing back."""
    config = replace(CONFIG, most_silent_rounds=1, bend_probability=0.5, prior_probability=0.5)
    trainer = Trainer(config, PackedData(packed, torch.device("cuda")), tmp_path)
    for _ in range(30):
        trainer.step()
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            measured = trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(bool(torch.isfinite(value)) for value in measured.values())


def test_a_recorded_iteration_is_the_one_that_was_recorded(packed: Path) -> None:
    card = torch.device("cuda")
    drawn = SampleBatches(PackedData(packed, card), CONFIG)
    found = []
    for record in (False, True):
        torch.manual_seed(0)
        net = segmenter_of(CONFIG).to(card).train()
        optimise = Iteration(net, CONFIG, record=record)
        torch.manual_seed(1)
        for number in range(9):
            samples = drawn[number]
            jitter = torch.rand(number % 3, *samples.target.shape, device=card)
            losses = optimise(samples, jitter, 1.0)
        found.append((losses, [p.detach().clone() for p in net.parameters()]))
    (plain_losses, plain), (losses, recorded) = found
    torch.testing.assert_close(losses, plain_losses, atol=0.02, rtol=0.02)
    apart = sum(float((a - b).square().sum()) for a, b in zip(plain, recorded, strict=True))
    size = sum(float(a.square().sum()) for a in plain)
    assert (apart / size) ** 0.5 < 0.02  # kernels round in an order of their own


def test_a_card_draws_what_a_processor_draws(packed: Path) -> None:
    """Random numbers differ, what follows from the plan alone does not."""
    config = replace(CONFIG, batch_size=16)
    here, there = (
        SampleBatches(PackedData(packed, torch.device(d)), config)[0] for d in ("cpu", "cuda")
    )
    agree = (here.target == there.target.cpu()).float().mean()
    assert float(agree) > 0.999
    apart = (here.hu.float() - there.hu.cpu().float()).mean((1, 2, 3))
    assert float(apart.abs().median()) < 60.0
    k, j, i = there.points.long().cpu().T
    assert bool(there.target.cpu()[torch.arange(16), k, j, i].all())
