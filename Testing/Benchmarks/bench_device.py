"""What a device makes of a click: ms of every part, and the share of its limit, as Markdown.

The models are loaded as in use. The limit is the rate of the fastest of a few float32
convolutions on the same device in the same run; operations are counted by PyTorch for the plain
network, so that a decoder that leaves some out can exceed it.

    PYTHONPATH=. .venv/bin/python Testing/Benchmarks/bench_device.py [--device auto] [--quick]
        [--results Testing/Benchmarks/results]

writes device-NAME.md, NAME being the type of the device: cpu, cuda.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, best_ms, hardware, table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.predictor import TorchPredictor, exact_float32, resolve_device
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.lite import LiteConfig
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.official.sizes import L1, OFFICIAL_VARIANTS

sys.path.insert(0, str(Path(__file__).parents[1] / "Python"))
from random_weights import with_random_weights

PATCH = (64, 64, 64)
POINTS = np.array([[33, 30, 36], [20, 30, 40], [45, 20, 20]], np.float32)
LABELS = np.array([1, 1, 0])
WORKLESS = ("view", "permute", "select", "slice", "unsqueeze", "expand", "transpose", "as_strided")


class Operations(TorchDispatchMode):
    """Counts what a device has to be asked for; views cost it nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count and pass on."""
        self.count += not any(word in str(function) for word in WORKLESS)
        return function(*args, **(kwargs or {}))


@dataclass
class Work:
    """Operations that an action asks a device for, and the products in them, in 1e9."""

    operations: int
    gmac: float

    @classmethod
    def of(cls, action: Callable[[], object]) -> Work:
        """Run it where shapes alone are known."""
        with (
            torch.inference_mode(),
            Operations() as operations,
            FlopCounterMode(display=False) as f,
        ):
            action()
        return cls(operations.count, f.get_total_flops() / 2e9)


def works_of(model: PromptableModel) -> dict[str, Work]:
    """Count what the plain network does, by part."""
    model = model.to("meta").eval()
    hu = torch.zeros(PATCH, device="meta")
    points = [torch.zeros(n, 3, device="meta") for n in (1, 3)]
    labels = [torch.ones(n, dtype=torch.int64) for n in (1, 3)]
    with torch.inference_mode():
        embedding = model.encode(hu)
    return {
        "encode": Work.of(lambda: model.encode(hu)),
        "first click": Work.of(lambda: model.decode(embedding, points[0], labels[0], None)),
        "third click": Work.of(lambda: model.decode(embedding, points[1], labels[1], hu)),
        "neighbour": Work.of(lambda: model.cross_patch(hu[None], hu[None], hu[None])),
    }


def actions_of(predictor: TorchPredictor) -> dict[str, Callable[[], object]]:
    """What is timed: numpy in, numpy out, as a session does it."""
    hu = np.random.default_rng(0).normal(0, 200, PATCH).astype(np.float32)
    embedding = predictor.encode(hu)
    previous = predictor.decode(embedding, POINTS[:1], LABELS[:1], None)
    mask = np.indices(PATCH)[0] < PATCH[0] // 2
    return {
        "encode": lambda: finished(predictor.encode(hu)),
        "first click": lambda: predictor.decode(embedding, POINTS[:1], LABELS[:1], None),
        "third click": lambda: predictor.decode(embedding, POINTS, LABELS, previous),
        "neighbour": lambda: predictor.cross_patch(hu, mask, hu),
    }


def finished(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    """Wait for a card that still computes."""
    if maps[0].device.type == "cuda":
        torch.cuda.synchronize(maps[0].device)
    return maps


def peak_gmac_per_s(device: torch.device, repeats: int) -> float:
    """Rate of the fastest of a few 3³ convolutions, either layout."""
    rates = []
    for width, side in ((128, 32), (256, 16), (64, 64)):
        weight = torch.randn(width, width, 3, 3, 3, device=device)
        x = torch.randn(1, width, side, side, side, device=device)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            maps, kernel = x.to(memory_format=layout), weight.to(memory_format=layout)
            with torch.inference_mode(), exact_float32():
                (ms,) = best_ms(
                    [lambda m=maps, k=kernel: finished([torch.conv3d(m, k, padding=1)])],
                    2 * repeats,
                )
            rates.append(27 * width**2 * side**3 / ms / 1e6)
    return max(rates)


def rows_of(
    name: str, model: PromptableModel, device: torch.device, repeats: int, peak: float
) -> list[list[object]]:
    """Time every part of a model."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        write_bundle(with_random_weights(model), path, half=False)
        works = works_of(model)
        for part, action in actions_of(TorchPredictor(path, str(device))).items():
            (ms,), work = best_ms([action], repeats), works[part]
            share = work.gmac / (ms / 1e3) / peak
            cells = [name, part, f"{ms:.1f}", work.operations, f"{work.gmac:.1f}"]
            rows.append([*cells, f"{100 * share:.0f} %"])
    return rows


def report(device: torch.device, repeats: int, quick: bool) -> str:
    """Measure, and return the page."""
    peak = peak_gmac_per_s(device, repeats)
    small = L1 if quick else OFFICIAL_VARIANTS["tiny"]
    rows = rows_of("lite", build_lite(LiteConfig()), device, repeats, peak)
    rows += rows_of(
        f"official {small.name}", build_official(small, small.name), device, repeats, peak
    )
    where = hardware(torch.get_num_threads())
    if device.type == "cuda":
        where = f"{torch.cuda.get_device_name(device)}, on {where}"
    head = ["model", "part", "ms", "operations", "GMAC", "of the limit"]
    return (
        f"# A click on this device: {device.type}\n\n"
        f"Printed by `Testing/Benchmarks/bench_device.py`: {where},\n"
        f"PyTorch {torch.__version__}. Random weights, patch of 64³, array to array, shortest of "
        f"{repeats} runs.\nLimit, measured in the same run: {2e-3 * peak:.2f} TFLOPS.\n"
        "Operations and products are those of the plain network, so that a decoder which leaves "
        "some out can exceed it.\n\n" + table(head, rows)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="once, with a small network: a trial")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    device = resolve_device(options.device)
    text = report(device, 1 if options.quick else options.repeats, options.quick)
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"device-{device.type}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
