"""Packing, training and resuming on two tiny cases written here."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from file_faults import full_disk
from packed_case import write_case

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.cli.train import main
from CTSAM3DLib.errors import CheckpointError, OutputFileError
from CTSAM3DLib.network.build import build_lite
from CTSAM3DLib.network.cross_patch import chance_loss
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.training.batches import Samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.cross_patch_trainer import CrossPatchTrainer
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.trainer import Budget, Trainer

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    patch_size=32,
    widths=(4, 8, 8, 8, 8),
    hidden=4,
    warmup=5,
    learning_rate=3e-3,
    spacing_range_mm=(2.0, 2.5),
)


class Steps:
    """Notes the rate of each step in its place; a clock on which each step takes one second."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def seconds(self) -> float:
        return float(len(self.rates))

    def of(self, trainer: Trainer) -> None:
        def noted(samples: Samples | None = None) -> dict[str, torch.Tensor]:
            self.rates.append(trainer.rate(trainer.iteration))
            trainer.iteration += 1
            return {}

        trainer.step = noted  # type: ignore[method-assign]


def test_draw_follows_the_weights(packed: Path) -> None:
    data = PackedData(packed, CPU)
    rng = np.random.default_rng(0)
    drawn = [data.draw(rng, {"human": 0.75, "synthetic": 0.25}).kind for _ in range(200)]
    assert set(drawn) == {"human", "synthetic"}
    assert 0.65 < drawn.count("human") / 200 < 0.85
    with pytest.raises(ValueError, match="no target for the weights"):
        data.draw(rng, {"human": 0.0})


@pytest.mark.slow
def test_training_learns_the_balls(packed: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, source_weights={"human": 1.0}, prior_probability=0.0, batch_size=4)
    trainer = Trainer(config, PackedData(packed, CPU), tmp_path, PackedData(packed, CPU))
    trainer.run(24, log_every=8, save_every=24)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert losses[-1] < 0.75 * losses[0]
    scores = trainer.validate(PackedData(packed, CPU), batches=2)
    assert set(scores) == {"dice_1", "dice_3", "dice_5"}
    assert scores["dice_5"] > 0.3


@pytest.mark.parametrize("muon", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_resumed_run_equals_an_uninterrupted_one(packed: Path, tmp_path: Path, muon: bool) -> None:
    config = replace(CONFIG, muon=muon)
    data = PackedData(packed, CPU)
    whole = Trainer(config, data, tmp_path / "whole")
    whole.run(2)
    Trainer(config, data, tmp_path / "parts").run(1)
    parts = Trainer(config, data, tmp_path / "parts")
    assert parts.iteration == 1
    parts.run(2)
    for a, b in zip(whole.net.parameters(), parts.net.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.average, parts.average, strict=True):
        assert torch.equal(a, b)


@pytest.mark.skipif(os.name == "nt", reason="no limit of that kind there")
def test_a_full_disk_is_told_and_leaves_the_last_state(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, PackedData(packed, CPU), tmp_path / "run")
    trainer.save()
    before = trainer.checkpoint.read_bytes()
    with (
        full_disk(2000),
        pytest.raises(OutputFileError, match="File too large"),
    ):
        trainer.save()
    assert list(trainer.run_dir.iterdir()) == [trainer.checkpoint]
    assert trainer.checkpoint.read_bytes() == before


@pytest.mark.slow
def test_batches_drawn_by_processes_are_the_same(packed: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, bend_probability=0.5)
    data = PackedData(packed, CPU)
    alone = Trainer(config, data, tmp_path / "alone")
    alone.run(2)
    helped = Trainer(config, data, tmp_path / "helped", workers=min(2, os.cpu_count() or 1))
    helped.run(2)
    for a, b in zip(alone.net.parameters(), helped.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_time_budget_ends_the_run_with_falling_rates(packed: Path, tmp_path: Path) -> None:
    steps = Steps()
    config = replace(CONFIG, warmup=0)
    trainer = Trainer(config, PackedData(packed, CPU), tmp_path, clock=steps.seconds)
    steps.of(trainer)
    trainer.run(10**6, budget=Budget(call_seconds=4.5, cooldown_share=0.5))  # a step is one second
    assert steps.rates == pytest.approx([1.0, 1.0, 1.0, 1.5 / 2.25, 0.5 / 2.25])
    assert trainer.seconds == trainer.iteration == 5
    trainer.run(6)
    assert steps.rates[5] == 1.0  # the next call has a time of its own


def test_work_is_saved_after_a_time(packed: Path, tmp_path: Path) -> None:
    steps = Steps()
    trainer = Trainer(CONFIG, PackedData(packed, CPU), tmp_path, clock=steps.seconds)
    steps.of(trainer)
    saved = []
    trainer.save = lambda: saved.append(trainer.iteration)  # type: ignore[method-assign]
    trainer.run(7, most_unsaved_seconds=3.0)  # a step is one second
    assert saved == [3, 6, 7]


def test_a_cpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    deep, flat = torch.zeros(1, 1, 48, 48, 48), torch.zeros(1, 1, 32, 32, 32)

    def enabled(able: bool, patches: torch.Tensor) -> bool:
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able}, raising=False
        )
        with mixed_precision(patches):
            return bool(torch.is_autocast_enabled("cpu"))

    assert [enabled(True, deep), enabled(True, flat), enabled(False, deep)] == [True, False, False]


def test_one_budget_spans_calls_that_are_cut_short(packed: Path, tmp_path: Path) -> None:
    """Half an hour in runs of ten minutes, here nine seconds in runs of three or so."""
    config = replace(CONFIG, warmup=0)
    data = PackedData(packed, CPU)
    budget = Budget(call_seconds=2.5, seconds=9.0, cooldown_share=0.5)
    rates, iterations = [], []
    for _ in range(5):
        steps = Steps()
        trainer = Trainer(config, data, tmp_path, clock=steps.seconds)
        steps.of(trainer)
        trainer.run(10**6, budget=budget)
        rates += steps.rates
        iterations.append(trainer.iteration)
    assert iterations == [3, 6, 9, 9, 9]
    falling = [(9.0 - n) / 4.5 for n in range(5, 9)]
    assert rates == pytest.approx([1.0] * 5 + falling)
    whole = Steps()
    trainer = Trainer(config, data, tmp_path / "whole", clock=whole.seconds)
    whole.of(trainer)
    trainer.run(10**6, budget=replace(budget, call_seconds=math.inf))
    assert whole.rates == pytest.approx(rates)
    again = Trainer(config, data, tmp_path)
    for a, b in zip(trainer.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("patch_size", [32, pytest.param(48, marks=pytest.mark.slow)])
def test_gradients_are_the_same_whatever_was_in_memory_before(
    packed: Path, tmp_path: Path, patch_size: int
) -> None:
    # In bfloat16, gradients of kernels on maps of 2x2x2 voxels held what memory had held before.
    config = replace(CONFIG, patch_size=patch_size)
    data = PackedData(packed, CPU)
    found = []
    for fill in (0.0, 1e9, -1e9, float("nan")):
        trainer = Trainer(config, data, tmp_path / str(fill))
        waste = [torch.full((size,), fill) for size in range(64, 8192, 64)]
        del waste
        trainer.step()
        found.append([p.detach().clone() for p in trainer.net.parameters()])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.slow
def test_run_starts_from_the_weights_of_a_bundle(packed: Path, tmp_path: Path) -> None:
    sizes = LiteConfig(CONFIG.widths, CONFIG.hidden)
    model = build_lite(sizes, patch_size=32)
    weights = [p.detach().half().float() for p in model.segmenter.parameters()]
    write_bundle(model, tmp_path / "model.pt")
    data = PackedData(packed, CPU)
    trainer = Trainer(CONFIG, data, tmp_path / "run", start_from=tmp_path / "model.pt")
    for wanted, got, mean in zip(weights, trainer.net.parameters(), trainer.average, strict=True):
        assert torch.equal(wanted, got)
        assert torch.equal(wanted, mean)
    with pytest.raises(CheckpointError, match="do not fit the network"):
        Trainer(
            replace(CONFIG, hidden=6), data, tmp_path / "other", start_from=tmp_path / "model.pt"
        )
    (tmp_path / "text.pt").write_text("no bundle")
    with pytest.raises(CheckpointError, match="expected a model bundle"):
        Trainer(CONFIG, data, tmp_path / "third", start_from=tmp_path / "text.pt")


def test_rate_warms_up_and_cools_down(packed: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, warmup=10, cooldown_start=100, cooldown_end=200)
    trainer = Trainer(config, PackedData(packed, CPU), tmp_path)
    assert [trainer.rate(n) for n in (4, 50, 150, 250)] == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_training_ends_at_a_processor_time(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, CPU)
    trainer = Trainer(replace(CONFIG, architecture="concat"), data, tmp_path)
    trainer.run(50, budget=Budget(cpu_seconds=1e-9))
    assert trainer.iteration == 1
    again = Trainer(replace(CONFIG, architecture="concat"), data, tmp_path)
    assert again.cpu_seconds == trainer.cpu_seconds > 0.0
    again.run(50, budget=Budget(cpu_seconds=1e-9))
    assert again.iteration == 1


def test_time_is_that_of_the_wall_where_no_clock_is_given(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, PackedData(packed, CPU), tmp_path)
    trainer.run(50, budget=Budget(call_seconds=0.0))
    assert trainer.iteration == 1
    assert trainer.seconds > 0.0


@pytest.mark.slow
def test_cross_patch_training_lowers_its_error(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, CPU)
    trainer = CrossPatchTrainer(CONFIG, data, tmp_path)
    pairs = [pair for number in range(2) for pair in trainer.batch(data, number)]
    seen = torch.stack([pair.seen for pair in pairs])
    heat = torch.stack([pair.heat for pair in pairs]).flatten(1)

    def error() -> float:
        with torch.no_grad():
            return float(chance_loss(trainer.net.eval().scores(seen), heat))

    before = error()
    trainer.run(16)
    assert error() < 0.9 * before


@pytest.mark.slow
def test_cross_patch_training_resumes(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, CPU)
    trainer = CrossPatchTrainer(CONFIG, data, tmp_path)
    trainer.run(1)
    trainer.run(2, data)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert 0.0 <= lines[-1]["hit_rate"] <= 1.0
    again = CrossPatchTrainer(CONFIG, data, tmp_path)
    assert again.iteration == 2
    first, second = trainer.net.state_dict(), again.net.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing would end the run"),
        (["--workers", "-1"], "expected 0 or more processes, got -1"),
        (["--workers", "2", "--cpu-seconds", "9"], "expected --workers 0"),
        (["--cooldown-share", "65", "--seconds", "9"], "expected a share from 0 to 1, got 65"),
        (["--cooldown-share", "0.5"], "expected --total-seconds or --seconds as well"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["run", "train.npz", "run", *options])
    assert message in capsys.readouterr().err


def test_validation_patches_are_not_bent(packed: Path, tmp_path: Path) -> None:
    data = PackedData(packed, CPU)
    scores = [
        Trainer(replace(CONFIG, bend_probability=share), data, tmp_path / str(share)).validate(
            data, batches=2
        )
        for share in (0.0, 1.0)
    ]
    assert scores[0] == scores[1]


def test_command_line_packs_and_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_case(tmp_path / "data" / "ct" / "balls__1", 1)
    assert main(["pack", str(tmp_path / "data"), str(tmp_path / "train.npz")]) == 0
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**CONFIG.to_dict(), "source_weights": {"human": 1.0}}))
    arguments = ["run", str(tmp_path / "train.npz"), str(tmp_path / "run"), "--iterations", "1"]
    threads = str(torch.get_num_threads())
    assert main([*arguments, "--config", str(config), "--threads", threads]) == 0
    assert (tmp_path / "run" / "last.pt").is_file()
    assert "finished at iteration 1" in capsys.readouterr().out
