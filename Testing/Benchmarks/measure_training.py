"""What training makes of a device: patches a second, ms a patch of drawing and of learning.

Needs torch and numpy alone, and packed data (``train pack`` or ``train cut``).

    PYTHONPATH=. python Testing/Benchmarks/measure_training.py PACKED [--device cuda]
        [--batch 16 64 128] [--config CONFIG] [--repeats 5] [--seconds 20] [--compiled]

Every batch size has a row. On a GPU the rows tell what stops it: ``draw`` and ``learn`` are timed
one by one, ``whole`` is a training without waiting in between, ``launches`` the time that the
processor needs to ask for an iteration. ``share of limit`` compares the operations of the network
with the rate of a large matrix product in bfloat16.

With ``--draws-only`` it prints ms of processor time a patch of drawing alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from CTSAM3DLib.training.batches import Samples
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.stream import SampleBatches
from CTSAM3DLib.training.trainer import Trainer


def seconds_of(action: Callable[[int], object], repeats: int, device: torch.device) -> list[float]:
    """Time each call, the device having finished."""
    times = []
    for number in range(repeats):
        _finish(device)
        began = time.perf_counter()
        action(number)
        _finish(device)
        times.append(time.perf_counter() - began)
    return times


def limit(device: torch.device) -> float:
    """Operations a second of a large matrix product in bfloat16 on a GPU, float32 elsewhere."""
    card = device.type == "cuda"
    size, kind = (8192, torch.bfloat16) if card else (1024, torch.float32)
    a = torch.randn(size, size, device=device, dtype=kind)
    times = seconds_of(lambda _: a @ a, 5, device)
    return 2.0 * size**3 / min(times)


def operations_of(trainer: Trainer, batch: Samples) -> float:
    """Count the operations of an iteration, mean over what is drawn, with rates of 0."""
    config, total = trainer.config, 0.0
    for corrections in range(config.most_silent_rounds + 2):
        jitter = torch.rand(corrections, *batch.target.shape, device=trainer.device)
        with FlopCounterMode(display=False) as counter:
            trainer.optimise(batch, jitter, 0.0)
        chance = config.extra_round_probability / (config.most_silent_rounds + 1)
        if corrections == 0:
            chance = 1.0 - config.extra_round_probability
        total += chance * counter.get_total_flops()
    return total


def row(data: PackedData, config: TrainConfig, args: argparse.Namespace) -> list[str]:
    """Measure one batch size."""
    device, count = data.device, config.batch_size
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder))
        drawn = SampleBatches(data, config)
        draw = median(seconds_of(lambda n: drawn[n], args.repeats, device)) / count
        batch = drawn[0]
        operations = operations_of(trainer, batch) / count
        # Every number of corrections is run, recorded and repeated.
        warm_up = 12 * (config.most_silent_rounds + 2) if device.type == "cuda" else 0
        for _ in range(warm_up):
            trainer.step(batch)
        learn = median(seconds_of(lambda _: trainer.step(batch), args.repeats, device)) / count
        _finish(device)
        began, steps, asked = time.perf_counter(), 0, 0.0
        while steps < args.repeats or time.perf_counter() - began < args.seconds:
            at = time.perf_counter()
            trainer.step()
            asked += time.perf_counter() - at
            steps += 1
            if steps % 20 == 0:
                _finish(device)
        _finish(device)
        whole = (time.perf_counter() - began) / steps / count
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    share = operations / whole / args.limit
    numbers = [1e3 * draw, 1e3 * learn, 1e3 * whole, 1.0 / whole, 1e3 * asked / steps]
    return [str(count), *(f"{n:.3g}" for n in numbers), f"{100 * share:.1f} %", f"{memory:.1f}"]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--draws-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    device = torch.device(args.device)
    config = TrainConfig.read(args.config) if args.config else TrainConfig()
    config = replace(config, patch_size=args.patch)
    data = PackedData(args.packed, device)
    if args.draws_only:
        config = replace(config, batch_size=args.batch[0])
        drawn = SampleBatches(data, config)
        drawn[0]
        began = time.process_time()
        for number in range(args.repeats):
            drawn[1 + number]
        patches = args.repeats * config.batch_size
        print(f"{1e3 * (time.process_time() - began) / patches:.2f}")
        return 0
    args.limit = limit(device)
    print(f"device: {device}; limit: {args.limit / 1e12:.3g} T operations a second")
    names = ["batch", "draw", "learn", "whole", "patches a second", "launches", "share of limit"]
    print("| " + " | ".join([*names, "GB"]) + " |\n" + "|---" * 8 + "|")
    for batch in args.batch:
        own = replace(config, batch_size=batch, compiled=args.compiled)
        print("| " + " | ".join(row(data, own, args)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
