"""The training loop: exact resume, weight average, validation curve."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from CTSAM3DLib.bundles.from_training import fill_from_bundle
from CTSAM3DLib.errors import CheckpointError
from CTSAM3DLib.network.segmenters import Segmenter, build_segmenter
from CTSAM3DLib.training.batches import Samples, draw_samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.episodes import Episode, click_through
from CTSAM3DLib.training.iteration import Iteration
from CTSAM3DLib.training.losses import dice_of
from CTSAM3DLib.training.state_file import NO_STATE, write_state
from CTSAM3DLib.training.stream import SampleBatches, batches_from, random_sources, write_log

VALIDATION_SEED = 12345
VALIDATION_CLICKS = (1, 3, 5)
AFTER_DRAWING = 2**40
MEASURED = ("loss", "first", "last")


@dataclass(frozen=True)
class Budget:
    """How long a run may take.

    Examples
    --------
    >>> Budget(seconds=100.0, cooldown_share=0.5).rate(75.0, 10.0)
    0.5
    """

    call_seconds: float = math.inf  # Time of one call, over which alone it counts
    seconds: float = math.inf  # Time of the steps, over all resumptions
    # Processor time of the steps, over all resumptions, without processes that draw batches
    cpu_seconds: float = math.inf
    # The rates fall linearly to 0 over this last share of `seconds`, without it of `call_seconds`
    cooldown_share: float = 0.0

    def lasts(self, seconds: float, cpu_seconds: float) -> bool:
        """Say whether a run goes on whose steps have taken this time."""
        return seconds < self.seconds and cpu_seconds < self.cpu_seconds

    def rate(self, seconds: float, call_seconds: float) -> float:
        """Return the share of the rates when the steps, and this call, have taken this time."""
        if self.cooldown_share <= 0.0:
            return 1.0
        whole = self.seconds < math.inf
        used = seconds / self.seconds if whole else call_seconds / self.call_seconds
        return min(1.0, max(0.0, (1.0 - used) / self.cooldown_share))


class Trainer:
    """Trains the lite segmenter on packed data.

    Checkpoints (``last.pt``) and the log (``log.jsonl``) go to `run_dir`; an existing checkpoint is
    resumed. `validation` has the cases for the curve. `start_from` is a bundle whose weights a new
    run starts from. `device` is that of the network, by default that of the data. `workers`
    processes draw the batches, the data lying in main memory; 0 draws them in between, on the
    device of the data. From main memory an iteration gets the same batch either way; a GPU has
    other random numbers. On a GPU an iteration is one CUDA graph. `clock` gives seconds for the
    budget of `run` and the log. Raises CheckpointError when the weights of `start_from` do not fit
    the sizes of `config`.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: PackedData,
        run_dir: Path,
        validation: PackedData | None = None,
        start_from: Path | None = None,
        device: torch.device | None = None,
        workers: int = 0,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.config, self.data, self.run_dir, self.validation = config, data, run_dir, validation
        self.device = data.device if device is None else device
        self.workers = workers
        torch.manual_seed(config.seed)
        self.net = segmenter_of(self.config).to(self.device)
        if start_from is not None:
            fill_from_bundle(self.net, start_from)
        self.optimise = Iteration(self.net, config, record=self.device.type == "cuda")
        self.average = [p.detach().clone() for p in self.net.parameters()]
        self.iteration = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.time_share = 1.0
        run_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            self.resume()

    @property
    def checkpoint(self) -> Path:
        """Where the newest state is kept."""
        return self.run_dir / "last.pt"

    def rate(self, iteration: int) -> float:
        """Share of the peak learning rate: warm-up, constant, linear cool-down."""
        c = self.config
        share = min(1.0, (iteration + 1) / max(c.warmup, 1))
        if c.cooldown_end > c.cooldown_start:
            left = (c.cooldown_end - iteration) / (c.cooldown_end - c.cooldown_start)
            share *= min(1.0, max(0.0, left))
        return share * self.time_share

    def step(self, samples: Samples | None = None) -> dict[str, Tensor]:
        """Run one iteration; its random draws depend on the seed and its number alone.

        `samples` is its batch, if that has been drawn already. Returns loss, and Dice after the
        first and the last decode, still on the device.
        """
        if samples is None:
            samples = SampleBatches(self.data, self.config)[self.iteration]
        # Beyond the number of any batch: other draws than those of the batches.
        number = AFTER_DRAWING + self.iteration
        rng, generator = random_sources(self.device, self.config.seed, number)
        jitter = torch.rand(
            (corrections(self.config, rng), *samples.target.shape),
            generator=generator,
            device=self.device,
        )
        self.net.train()
        measured = self.optimise(samples.to(self.device), jitter, self.rate(self.iteration))
        decay = min(self.config.ema, (1 + self.iteration) / (10 + self.iteration))
        update = get_ema_multi_avg_fn(decay)
        update(self.average, [p.detach() for p in self.net.parameters()], self.iteration)
        self.iteration += 1
        return dict(zip(MEASURED, measured.unbind(), strict=True))

    def run(
        self,
        iterations: int,
        log_every: int = 50,
        save_every: int = 250,
        most_unsaved_seconds: float = 300.0,
        budget: Budget | None = None,
    ) -> None:
        """Train up to a total number of iterations, saving and logging on the way.

        `iterations` counts from the start of the run and not from where it is resumed. The state
        is saved every `save_every` iterations, and whenever `most_unsaved_seconds` have passed.
        `budget` may end it before.
        """
        budget = Budget() if budget is None else budget
        batches = SampleBatches(self.data, self.config)
        pin = self.workers > 0 and self.device.type == "cuda"
        stream = batches_from(batches, self.iteration, iterations, self.workers, pin)
        gathered: list[dict[str, Tensor]] = []
        began = last = saved = self.clock()
        cpu_last = time.process_time()
        self.time_share = budget.rate(self.seconds, 0.0)
        while self.iteration < iterations and budget.lasts(self.seconds, self.cpu_seconds):
            gathered.append(self.step(next(stream)))
            now, cpu_now = self.clock(), time.process_time()
            self.seconds += now - last
            self.cpu_seconds += cpu_now - cpu_last
            if self.iteration % log_every == 0:
                means = {k: float(torch.stack([g[k] for g in gathered]).mean()) for k in MEASURED}
                self._log({"kind": "train", **means})
                gathered = []
            if self.iteration % save_every == 0 or now - saved >= most_unsaved_seconds:
                self.save()
                saved = now
            if self.validation is not None and self.iteration % (4 * save_every) == 0:
                self._log({"kind": "validation", **self.validate(self.validation)})
            last, cpu_last = self.clock(), time.process_time()
            if last - began > budget.call_seconds:
                break
            self.time_share = budget.rate(self.seconds, last - began)
        self.save()

    def validate(self, data: PackedData, batches: int = 16) -> dict[str, float]:
        """Dice of the averaged weights after 1, 3 and 5 clicks on fixed patches."""
        net = self.averaged()
        totals: dict[str, list[float]] = {}
        weights = {"human": 0.4, "machine": 0.6}
        config = replace(self.config, batch_size=2, source_weights=weights)
        config = replace(config, prior_probability=0.0, bend_probability=0.0)
        for number in range(batches):
            rng = np.random.default_rng((VALIDATION_SEED, number))
            seed = VALIDATION_SEED + number
            generator = torch.Generator(data.device).manual_seed(seed)
            there = torch.Generator(self.device).manual_seed(seed)
            samples = draw_samples(data, config, rng, generator).to(self.device)
            episode = Episode.of(samples, config)
            answers = click_through(net, episode, there, max(VALIDATION_CLICKS))
            for clicks in VALIDATION_CLICKS:
                score = float(dice_of(answers[clicks - 1], episode.target).mean())
                totals.setdefault(f"dice_{clicks}", []).append(score)
        return {name: float(np.mean(scores)) for name, scores in totals.items()}

    def averaged(self) -> Segmenter:
        """Return a copy of the network with the averaged weights, in evaluation mode."""
        net = segmenter_of(self.config).to(self.device)
        with torch.no_grad():
            for parameter, mean in zip(net.parameters(), self.average, strict=True):
                parameter.copy_(mean)
            for buffer, mean in zip(net.buffers(), self.net.buffers(), strict=True):
                buffer.copy_(mean)
        return net.eval()

    def save(self) -> None:
        """Write the whole state, replacing the last one at once."""
        state = {
            "config": self.config.to_dict(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "net": self.net.state_dict(),
            "average": self.averaged().state_dict(),
            "optimisers": [o.state_dict() for o in self.optimise.optimisers],
        }
        write_state(self.checkpoint, state)

    def resume(self) -> None:
        """Read the last state; CheckpointError: it is none, or of a network of other sizes."""
        try:
            state: dict[str, Any] = torch.load(
                self.checkpoint, map_location=self.device, weights_only=True
            )
            self.net.load_state_dict(state["net"])
            for mean, (name, _) in zip(self.average, self.net.named_parameters(), strict=True):
                mean.copy_(state["average"][name])
            self.optimise.load(state["optimisers"])
        except NO_STATE as error:
            raise CheckpointError(
                f"{self.checkpoint} is no state of a training with these settings. Give those it "
                "was begun with, or another folder"
            ) from error
        self.iteration, self.seconds = int(state["iteration"]), float(state["seconds"])
        self.cpu_seconds = float(state.get("cpu_seconds", self.seconds))

    def _log(self, values: dict[str, Any]) -> None:
        facts = {"iteration": self.iteration, "seconds": round(self.seconds, 1)}
        write_log(self.run_dir, {**facts, **values})


def segmenter_of(config: TrainConfig) -> Segmenter:
    """Build the network of a configuration, with random weights."""
    return build_segmenter(
        config.architecture,
        config.widths,
        config.hidden,
        len(config.windows_hu),
        config.prompt_resize,
    )


def corrections(config: TrainConfig, rng: np.random.Generator) -> int:
    """Draw how many corrections a batch gets before its last decode, 0 for one decode alone."""
    if rng.random() >= config.extra_round_probability:
        return 0
    return 1 + int(rng.integers(0, config.most_silent_rounds + 1))
