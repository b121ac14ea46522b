"""An iteration as a GPU would run it: nothing is read back, and no two devices meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from CTSAM3DLib.training import batches, episodes, trainer
from CTSAM3DLib.training.batches import Samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.iteration import Iteration, Recorded
from CTSAM3DLib.training.optimiser import Muon
from CTSAM3DLib.training.stream import SampleBatches
from CTSAM3DLib.training.trainer import Trainer, segmenter_of

META = torch.device("meta")  # tensors without values: to read one is an error
CONFIG = TrainConfig(
    patch_size=32,
    batch_size=3,
    widths=(4, 8, 8, 8, 8),
    hidden=4,
    warmup=0,
    spacing_range_mm=(2.0, 4.0),
    source_weights={"human": 0.4, "synthetic": 0.6},
    typical_synthesis=0.5,
    bend_probability=0.5,
    prior_probability=0.5,
    extra_round_probability=1.0,
)


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, other than a copy or a single number."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in tensors if t.ndim > 0}
        if len(devices) > 1 and "copy" not in str(func):
            message = f"{func} on {devices}"
            raise AssertionError(message)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def without_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the training run on tensors without values, as it runs on a GPU."""

    def sources(_: torch.device, *key: int) -> tuple[np.random.Generator, torch.Generator]:
        return np.random.default_rng(key), torch.Generator()

    monkeypatch.setattr("CTSAM3DLib.training.stream.random_sources", sources)
    monkeypatch.setattr(trainer, "random_sources", sources)
    monkeypatch.setattr(episodes, "mixed_precision", lambda _: contextlib.nullcontext())
    # PyTorch's own, which reads its step back on devices that have no graphs.
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_: None)
    with OneDevice():
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("without_values")
@pytest.mark.parametrize("steps", [3, 6])
def test_nothing_is_read_back_from_a_card(packed_balls: Path, tmp_path: Path, steps: int) -> None:
    training = Trainer(CONFIG, PackedData(packed_balls, META), tmp_path)
    assert batches.draws_together(META)
    kinds = set()
    for _ in range(steps):
        measured = training.step()
        assert {value.device for value in measured.values()} == {META}
        assert all(value.shape == () for value in measured.values())
        number = training.iteration - 1
        rng = np.random.default_rng((CONFIG.seed, trainer.AFTER_DRAWING + number))
        kinds.add(trainer.corrections(CONFIG, rng))
    assert len(kinds) > steps // 3


@pytest.mark.usefixtures("without_values")
def test_what_is_read_back_would_be_found() -> None:
    values = torch.ones(3, device=META)
    with pytest.raises(RuntimeError, match="item"):
        bool(values.sum() > 0)
    with pytest.raises(AssertionError, match="index_select"):
        values.index_select(0, torch.tensor([1]))


def test_shapes_are_few_so_that_records_are_few(packed_balls: Path) -> None:
    data = PackedData(packed_balls, torch.device("cpu"))
    drawn = SampleBatches(data, CONFIG)
    shapes = {tuple(value.shape for value in drawn[n].values()) for n in range(4)}
    assert len(shapes) == 1
    rounds = {trainer.corrections(CONFIG, np.random.default_rng(n)) for n in range(200)}
    assert rounds == {1, 2, 3, 4, 5}
    some = replace(CONFIG, extra_round_probability=0.5)
    without = [trainer.corrections(some, np.random.default_rng(n)) == 0 for n in range(400)]
    assert 0.4 < np.mean(without) < 0.6


def test_gradients_that_are_not_finite_change_no_weight(packed_balls: Path) -> None:
    data = PackedData(packed_balls, torch.device("cpu"))
    torch.manual_seed(0)
    net = segmenter_of(CONFIG).train()
    optimise = Iteration(net, CONFIG)
    samples = SampleBatches(data, CONFIG)[0]
    jitter = torch.rand(1, *samples.target.shape)
    hu = samples.hu.clone()
    hu[0, 3, 3, 3] = float("nan")
    before = [p.detach().clone() for p in net.parameters()]
    broken = Samples(hu, *samples.values()[1:])
    optimise(broken, jitter, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    loss = optimise(samples, jitter, 1.0)
    assert bool(torch.isfinite(loss).all())
    moved = [not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
    assert all(moved)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())


def test_states_with_plain_rates_are_read(packed_balls: Path) -> None:
    """Checkpoints from before hold numbers as rates."""
    net = segmenter_of(CONFIG)
    optimise = Iteration(net, CONFIG)
    states = [o.state_dict() for o in optimise.optimisers]
    for state in states:
        state["param_groups"][0]["lr"] = 0.5
    optimise.load(states)
    data = PackedData(packed_balls, torch.device("cpu"))
    samples = SampleBatches(data, CONFIG)[0]
    before = [p.detach().clone() for p in net.parameters()]
    optimise(samples, torch.rand(0, *samples.target.shape), 0.0)  # at no rate nothing moves
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_rates_of_muon_may_be_tensors() -> None:
    found = []
    for lr in (0.01, torch.tensor(0.01)):
        torch.manual_seed(0)
        kernel = torch.nn.Parameter(torch.randn(16, 16, 3, 3, 3))
        kernel.grad = torch.randn_like(kernel)
        Muon([kernel], lr=lr).step()  # type: ignore[arg-type]
        found.append(kernel.detach())
    torch.testing.assert_close(found[0], found[1])


def test_without_a_card_a_function_is_called_each_time() -> None:
    calls = []

    def doubled(values: torch.Tensor) -> torch.Tensor:
        calls.append(values)
        return 2 * values

    call = Recorded(doubled, recording=False)
    assert [float(call(torch.tensor(n))) for n in (1.0, 2.0)] == [2.0, 4.0]
    assert len(calls) == 2
