"""Batches drawn ahead of the training by processes of their own, and its log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from CTSAM3DLib.training.batches import Samples, draw_samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData

# Batches that each process keeps ready.
AHEAD = 2


def random_sources(device: torch.device, *key: int) -> tuple[np.random.Generator, torch.Generator]:
    """Return random sources that a key alone decides, such as the seed and an iteration."""
    rng = np.random.default_rng(key)
    generator = torch.Generator(device)
    generator.manual_seed(int(rng.integers(2**62)))
    return rng, generator


def write_log(run_dir: Path, values: Mapping[str, Any]) -> None:
    """Add a line to the log of a run."""
    with (run_dir / "log.jsonl").open("a") as log:
        log.write(json.dumps(values) + "\n")


class SampleBatches(Dataset[Samples]):
    """The batch of each iteration, counted from the start of the run."""

    def __init__(self, data: PackedData, config: TrainConfig) -> None:
        self.data, self.config = data, config

    def __getitem__(self, iteration: int) -> Samples:
        """Draw a batch, always the same one for an iteration."""
        rng, generator = random_sources(self.data.device, self.config.seed, iteration)
        return draw_samples(self.data, self.config, rng, generator)


def batches_from(
    batches: SampleBatches, first: int, last: int, workers: int, pin: bool
) -> Iterator[Samples]:
    """Yield the batches of the iterations `first` to `last`, the latter left out, in order.

    With `workers` processes the data lies in main memory and is shared; 0 draws each batch when it
    is asked for. `pin` gives memory that a GPU reads without a copy.
    """
    # Elsewhere processes start anew, and the volumes are handed to them.
    context = "fork" if workers and sys.platform == "linux" else None
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=range(first, last),
            num_workers=workers,
            pin_memory=pin,
            prefetch_factor=AHEAD if workers else None,
            multiprocessing_context=context,
        )
    )
