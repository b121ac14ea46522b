"""Train the bundled architecture and its controls at equal compute, and compare them.

Every variant is trained from random weights with the same data, seed, optimiser and processor
time (or number of iterations), then clicked by the same simulated user on real validation cases
with real labels.

Usage, from the root of the repository (packed data: ``python -m CTSAM3DLib train pack``):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/run_ablations.py
        train.npz FOLDER_OF_RUNS --data FOLDER_OF_CASES --cpu-seconds 900 --table ablations.md

Runs that are there already are gone on with, finished ones are taken as they are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.from_training import model_from_checkpoint
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.evaluation.cases import find_cases
from CTSAM3DLib.evaluation.methods import ModelMethod
from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.run import evaluate
from CTSAM3DLib.evaluation.summary import Result, rows_of
from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedData
from CTSAM3DLib.training.trainer import Budget, Trainer

SOURCES = {"human": 0.25, "machine": 0.35, "synthetic": 0.25, "pseudo": 0.15}
BASE = {"seed": 11, "source_weights": SOURCES, "extra_round_probability": 0.6}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "psap": ("the bundled architecture: PSAP at every scale, prompt resized by maximum", {}),
    "concat": (
        "U1: plain residual U-Net, prompt concatenated to the image",
        {"architecture": "concat", "widths": [16, 32, 64, 128, 256]},
    ),
    "official": (
        "L1: the official architecture in small, one HU window, patches of 64 voxels",
        {"architecture": "official", "patch_size": 64, "windows_hu": [[-160, 240]]},
    ),
    "trilinear": (
        "prompt resized trilinearly, as officially, in place of by maximum",
        {"prompt_resize": "trilinear"},
    ),
    "no-pseudo": ("without pseudo-labels", {"source_weights": {**SOURCES, "pseudo": 0.0}}),
    "no-synthetic": (
        "without CT made from label maps",
        {"source_weights": {**SOURCES, "synthetic": 0.0}},
    ),
    "typical": (
        "three quarters of the CT made from label maps with the HU of their anatomies",
        {"typical_synthesis": 0.75},
    ),
}
"""Name to what it is and its difference from the base settings."""

GROUPS = {"abdomen slab": "abdomen_slab", "head and neck": "openkbp"}
CLICKS = (1, 3, 5, 10)
NOTE = (
    "Dice on the whole volume after 1 / 3 / 5 / 10 clicks, structures of at least 300 voxels; "
    "in brackets the difference from psap after 5 clicks, with its standard error over structures."
)


def train(
    name: str, data: PackedData, folder: Path, iterations: int, cpu_seconds: float
) -> Trainer:
    """Train one variant, or go on with it."""
    config = TrainConfig.from_dict({**BASE, **VARIANTS[name][1]})
    trainer = Trainer(config, data, folder / name)
    trainer.run(iterations, budget=Budget(cpu_seconds=cpu_seconds))
    return trainer


def predictor_of(checkpoint: Path) -> TorchPredictor:
    """Load a checkpoint as the bundle that it would become."""
    path = checkpoint.with_name("bundle.pt")
    write_bundle(model_from_checkpoint(checkpoint, checkpoint.parent.name), path, half=False)
    return TorchPredictor(path, "cpu")


def scores(
    data: Path,
    pattern: str,
    predictors: dict[str, TorchPredictor],
    limit: int | None,
    split: str = "validation",
    protocol: ClickProtocol | None = None,
) -> list[Result]:
    """Click all structures of some cases with every predictor."""
    cases = find_cases(data, split, pattern, limit)
    methods = [ModelMethod(predictor, None, name) for name, predictor in predictors.items()]
    settings = next(iter(predictors.values())).settings
    found: list[Result] = []
    for _, results, _ in evaluate(cases, methods, protocol or ClickProtocol(), settings):
        found += results
    return found


def difference(results: Sequence[Result], name: str, base: str, clicks: int) -> tuple[float, float]:
    """Mean difference of Dice over structures, and its standard error."""
    dice = {
        method: [r.trace.dice_after(clicks) for r in results if r.method == method]
        for method in (name, base)
    }
    gaps = np.subtract(dice[name], dice[base])
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(len(gaps)))


def table(found: dict[str, list[Result]], trainers: dict[str, Trainer]) -> str:
    """Return the Markdown table."""
    head = ["variant", "what", "iterations", "CPU s", *found]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    rows = {group: {r.method: r for r in rows_of(f, ClickProtocol())} for group, f in found.items()}
    for name, trainer in trainers.items():
        cells = [name, VARIANTS[name][0], str(trainer.iteration), f"{trainer.cpu_seconds:.0f}"]
        for group, results in found.items():
            text = " / ".join(f"{rows[group][name].dice[n]:.3f}" for n in CLICKS)
            if name != "psap":
                gap, error = difference(results, name, "psap", 5)
                text += f" ({gap:+.3f} ± {error:.3f})"
            cells.append(text)
        lines.append("| " + " | ".join(cells) + " |")
    counts = ", ".join(f"{g}: {len(f) // len(trainers)} structures" for g, f in found.items())
    return f"{NOTE} {counts}.\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Train, click, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packed", type=Path, help="packed training cases")
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled cases")
    equal = parser.add_mutually_exclusive_group(required=True)
    equal.add_argument(
        "--cpu-seconds", type=float, default=math.inf, help="of training, for each variant"
    )
    equal.add_argument("--iterations", type=int, default=10**9, help="of training, likewise")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="with commas, psap first")
    parser.add_argument("--limit-cases", type=int, help="most cases of each group")
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = PackedData(args.packed, torch.device("cpu"))
    trainers = {}
    for name in args.variants.split(","):
        trainers[name] = train(name, data, args.runs, args.iterations, args.cpu_seconds)
        print(f"{name}: {trainers[name].iteration} iterations", flush=True)
    predictors = {name: predictor_of(trainer.checkpoint) for name, trainer in trainers.items()}
    found = {
        group: scores(args.data, pattern, predictors, args.limit_cases)
        for group, pattern in GROUPS.items()
    }
    text = table(found, trainers)
    print(text)
    if args.table:
        args.table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
