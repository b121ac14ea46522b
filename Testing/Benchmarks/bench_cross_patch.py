"""What asking the neighbours of a patch costs: plain formulas against the predictor as loaded.

The plain contestant is the network in float32 going the way of training; the other is the bundle as
in use, from array to array, once a neighbour as growing asks. Contestants take turns in one
process; the minimum of the repeats counts.

    PYTHONPATH=. .venv/bin/python Testing/Benchmarks/bench_cross_patch.py [--repeats 6] [--quick]
        [--output Testing/Benchmarks/results/cross-patch.md]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import best_ms, hardware, table

from CTSAM3DLib.bundles.export import write_bundle
from CTSAM3DLib.bundles.predictor import TorchPredictor
from CTSAM3DLib.network.build import build_lite, build_official
from CTSAM3DLib.network.model import PromptableModel
from CTSAM3DLib.network.official.sizes import L1, OFFICIAL_VARIANTS

sys.path.insert(0, str(Path(__file__).parents[1] / "Python"))
from random_weights import with_random_weights

PATCH = (64, 64, 64)
NEIGHBOURS = (1, 6)


def row(name: str, model: PromptableModel, repeats: int) -> list[object]:
    """Time a decode, and both ways of asking one and six neighbours."""
    model = with_random_weights(model).requires_grad_(False)
    rng = np.random.default_rng(0)
    own, *others = (rng.normal(0, 200, PATCH).astype(np.float32) for _ in range(7))
    mask = np.indices(PATCH)[0] < PATCH[0] // 2
    tensors = [torch.from_numpy(array)[None] for array in (own, *others)]
    inside = torch.from_numpy(mask.astype(np.float32))[None]

    def plain(count: int) -> list[torch.Tensor]:
        with torch.enable_grad():
            return [model.cross_patch(tensors[0], inside, one) for one in tensors[1 : count + 1]]

    with tempfile.TemporaryDirectory() as folder:
        write_bundle(model, Path(folder) / "model.pt", half=False)
        predictor = TorchPredictor(Path(folder) / "model.pt", "cpu")

    def loaded(count: int) -> list[np.ndarray]:
        return [predictor.cross_patch(own, mask, one) for one in others[:count]]

    embedding = predictor.encode(own)
    click = np.array([[33, 30, 36]], np.float32), np.array([1])
    decode = best_ms([lambda: predictor.decode(embedding, *click, None)], repeats)
    cells: list[object] = [name, f"{decode[0]:.0f}"]
    for count in NEIGHBOURS:
        times = best_ms([lambda n=count: plain(n), lambda n=count: loaded(n)], repeats)
        cells += [f"{times[0]:.0f}", f"{times[1]:.0f}", f"{times[0] / times[1]:.2f}"]
    expected, found = plain(1)[0][0].numpy(), loaded(1)[0]
    return [*cells, f"{np.abs(expected - found).max():.1e}"]


def report(repeats: int, quick: bool) -> str:
    """Measure, and return the page."""
    size = L1 if quick else OFFICIAL_VARIANTS["tiny"]
    rows = [
        row(f"official {size.name}", build_official(size, size.name), repeats),
        row("lite", build_lite(), repeats),
    ]
    head = ["model", "first click, ms"]
    for count in NEIGHBOURS:
        word = f"{count} neighbour{'s' if count > 1 else ''}"
        head += [f"{word}, plain, ms", "as loaded, ms", "ratio"]
    return (
        "# What asking the neighbours costs\n\n"
        f"Printed by `Testing/Benchmarks/bench_cross_patch.py`: "
        f"{hardware(torch.get_num_threads())},\nPyTorch {torch.__version__}. Random weights, "
        f"patches of 64³, float32, minimum of {repeats} repeats taking turns.\nThe difference is "
        "that of the heat maps.\n\n" + table([*head, "max difference"], rows)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and, where asked for, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--quick", action="store_true", help="once, with a small network: a trial")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(argv)
    text = report(1 if options.quick else options.repeats, options.quick)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
