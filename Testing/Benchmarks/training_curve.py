"""Dice against iterations of training, on cases that were trained on and on cases that were not.

What more training would give, and what other data would: where both curves still rise, compute is
short; where they part, data are. Every bundle is clicked by the same simulated user with the
present pipeline.

Usage, from the root of the repository; older bundles are in its history:

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/training_curve.py
        7650=first.pt 26150=Resources/Models/ctsam3d-lite.pt --data FOLDER_OF_CASES
        [--limit-cases 10] [--table curve.md] [--plot curve.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import table
from run_ablations import scores

from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.evaluation.protocol import ClickProtocol
from CTSAM3DLib.evaluation.summary import Result, rows_of

CLICKS = (1, 3, 5)
PROTOCOL = ClickProtocol(max_clicks=max(CLICKS), checkpoints=CLICKS)


@dataclass(frozen=True)
class Group:
    """Cases whose structures are averaged."""

    name: str
    split: str
    pattern: str


GROUPS = (
    Group("abdomen slab, not trained on", "validation", "abdomen_slab"),
    Group("thorax slab, trained on", "train", "thorax_slab"),
    Group("head and neck, not trained on", "validation", "openkbp"),
    Group("head and neck, trained on", "train", "openkbp"),
)


def curves(found: Sequence[Result]) -> dict[int, dict[int, float]]:
    """Mean Dice by iterations and number of clicks."""
    return {int(row.method): row.dice for row in rows_of(found, PROTOCOL)}


def page(results: dict[str, list[Result]], iterations: Sequence[int]) -> str:
    """Return the Markdown table."""
    cells = []
    means = {name: curves(found) for name, found in results.items()}
    for n in iterations:
        dice = [" / ".join(f"{mean[n][c]:.3f}" for c in CLICKS) for mean in means.values()]
        cells.append([n, *dice])
    head = [f"{name} ({len(f) // len(iterations)})" for name, f in results.items()]
    return (
        f"Dice on the whole volume after {' / '.join(map(str, CLICKS))} clicks, by iterations; the "
        "number of structures in brackets.\n\n" + table(["iterations", *head], cells)
    )


def draw(path: Path, results: dict[str, list[Result]]) -> None:
    """Draw Dice after one and after five clicks against iterations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, clicks in zip(axes, (1, 5), strict=True):
        for index, (name, found) in enumerate(results.items()):
            mean = curves(found)
            style = "--" if "not trained" not in name else "-"
            dice = [mean[n][clicks] for n in sorted(mean)]
            ax.plot(sorted(mean), dice, style, marker="o", color=f"C{index // 2}", label=name)
        ax.set(xscale="log", xlabel="iterations", title=f"after {clicks} click{'s'[: clicks - 1]}")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("Dice")
    axes[0].legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Click, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", nargs="+", help="ITERATIONS=BUNDLE, in rising order")
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled cases")
    parser.add_argument("--limit-cases", type=int, help="most cases of each group")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [point.split("=", 1) for point in args.points]
    predictors = {n: TorchPredictor(Path(path), "cpu") for n, path in pairs}
    results = {
        g.name: scores(args.data, g.pattern, predictors, args.limit_cases, g.split, PROTOCOL)
        for g in GROUPS
    }
    text = page(results, [int(n) for n in predictors])
    print(text)
    if args.table:
        args.table.write_text(text, encoding="utf-8")
    if args.plot:
        draw(args.plot, results)


if __name__ == "__main__":
    main()
