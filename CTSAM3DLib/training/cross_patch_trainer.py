"""Train the cross-patch predictor: from what a patch shows of a structure, the next click.

Pairs of overlapping patches of one CT; the target is a Gaussian at the deepest voxel of the same
structure in the part of the neighbour that the patch does not show, and "it ends here" where there
is none (paper figure, part C; the form of input and loss is our own, see `network.cross_patch`).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from CTSAM3DLib.network.cross_patch import ContinuationPredictor, chance_loss
from CTSAM3DLib.network.segmenters import Segmenter
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.cross_patch_data import Pair, draw_pair
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.precision import mixed_precision
from CTSAM3DLib.training.state_file import write_state
from CTSAM3DLib.training.stream import random_sources, write_log


class CrossPatchTrainer:
    """Trains the predictor; resumes exactly from ``last.pt`` of its folder.

    Patch size, batch size, rates, windows and seed of `config` are used. `run_dir` has checkpoint
    and log. The predictor learns from the masks of `segmenter`, which stays as it is.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: PackedData,
        run_dir: Path,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.config, self.data, self.run_dir = config, data, run_dir
        self.segmenter = None if segmenter is None else segmenter.to(data.device).eval()
        torch.manual_seed(config.seed)
        self.net = ContinuationPredictor(len(config.windows_hu)).to(data.device)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), config.learning_rate, weight_decay=0.01
        )
        self.iteration = 0
        run_dir.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            state = torch.load(self.checkpoint, map_location=data.device, weights_only=True)
            self.net.load_state_dict(state["cross_patch"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.iteration = int(state["iteration"])

    @property
    def checkpoint(self) -> Path:
        """Where the newest state is kept."""
        return self.run_dir / "last.pt"

    def batch(self, data: PackedData, number: int) -> list[Pair]:
        """Draw the batch of an iteration; it depends on the seed and the number alone."""
        rng, generator = random_sources(data.device, self.config.seed, 7, number)
        return [
            draw_pair(data, self.config, rng, generator, self.segmenter)
            for _ in range(2 * self.config.batch_size)
        ]

    def run(self, iterations: int, validation: PackedData | None = None, every: int = 250) -> None:
        """Train up to a total number of iterations; the rate falls linearly to 0 at the end."""
        start, losses = time.perf_counter(), []
        self.net.train()
        while self.iteration < iterations:
            pairs = self.batch(self.data, self.iteration)
            heat = torch.stack([pair.heat for pair in pairs]).flatten(1)
            loss = chance_loss(self._scores(pairs), heat)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
            left = 1.0 - self.iteration / iterations
            warm = min(1.0, (self.iteration + 1) / max(self.config.warmup, 1))
            self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * left * warm
            self.optimiser.step()
            self.iteration += 1
            losses.append(float(loss.detach()))
            if self.iteration % every == 0 or self.iteration == iterations:
                scores = self.validate(validation) if validation is not None else {}
                seconds = time.perf_counter() - start
                self._save({"loss": float(np.mean(losses)), "seconds": seconds, **scores})
                losses = []

    def _scores(self, pairs: list[Pair]) -> Tensor:
        seen = torch.stack([pair.seen for pair in pairs])
        with mixed_precision(seen):
            return self.net.scores(seen)

    def validate(self, data: PackedData, batches: int = 24) -> dict[str, float]:
        """Measure on fixed pairs, always the same ones.

        ``hit_rate``: share of peaks inside the structure where it goes on; ``chance_rate``: the
        same for a random unknown voxel; ``presence_auc``: how well the height of the peak tells
        where it goes on from where it ends; ``goes_on``: share of pairs where it does.
        """
        self.net.eval()
        hits: list[float] = []
        chances: list[float] = []
        present: list[float] = []
        absent: list[float] = []
        with torch.no_grad():
            for number in range(batches):
                pairs = self.batch(data, 10**9 + number)
                chance = torch.softmax(self._scores(pairs), 1)
                for pair, row in zip(pairs, chance, strict=True):
                    height = 1.0 - float(row[0])
                    (present if pair.goes_on else absent).append(height)
                    if pair.goes_on:
                        hits.append(float(pair.beyond.flatten()[int(row[1:].argmax())]))
                        chances.append(float(pair.beyond.sum() / (pair.known < 0.5).sum()))
        self.net.train()
        higher = np.subtract.outer(np.asarray(present), np.asarray(absent))
        return {
            "hit_rate": _mean(hits),
            "chance_rate": _mean(chances),
            "presence_auc": _mean((higher > 0).ravel()),
            "goes_on": len(present) / max(len(present) + len(absent), 1),
        }

    def _save(self, values: dict[str, float]) -> None:
        state = {
            "config": self.config.to_dict(),
            "iteration": self.iteration,
            "cross_patch": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_state(self.checkpoint, state)
        write_log(self.run_dir, {"iteration": self.iteration, **values})


def _mean(values: object) -> float:
    numbers = np.asarray(values, np.float64)
    return float(numbers.mean()) if numbers.size else float("nan")
