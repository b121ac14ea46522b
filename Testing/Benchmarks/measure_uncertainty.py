"""Calibrate the probabilities of a model on validation data, and measure what they are worth.

A simulated user clicks each labelled structure. The logits after 1 and 3 clicks are counted by
value, with and without the truth; all that follows is made of these counts. Two halves of the
patients are calibrated apart, and each half is measured with the calibration of the other one.

    python Testing/Benchmarks/measure_uncertainty.py DATA OUT.npz [--pattern openkbp --limit 20]
    python Testing/Benchmarks/measure_uncertainty.py OUT.npz [OUT.npz ...] --table T.md --plot P.png
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import spearmanr

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.evaluation.cases import Structure, find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.protocol import generator_for
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.models.calibration import CALIBRATION_FILE, Calibration
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.resources import resource_path
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.uncertainty import NEAR_MM

EDGES = np.linspace(-20.0, 20.0, 801)
CENTRES = (EDGES[:-1] + EDGES[1:]) / 2
KNOTS = np.arange(-12.0, 12.5, 1.0)
CLICKS = (1, 3)
LEAST_ERROR = 0.02  # smaller ones count as this where logarithms are fitted


def collect(data: Path, output: Path, pattern: str, limit: int) -> None:
    """Click the structures of validation cases and store the counts of their logits."""
    predictor = load_predictor(None, "cpu")
    rows: list[tuple[str, str, int, float]] = []
    counts: list[NDArray[np.int64]] = []
    for case in find_cases(data, "validation", pattern, limit):
        volume, labels = load_case(case)
        shared = InteractiveSession.for_volume(volume, predictor)
        for structure in structures_of(case, volume, labels):
            session = shared.for_another_structure(anatomy=structure.anatomy)
            rng = generator_for(structure, 0)
            mask = None
            for number in range(1, max(CLICKS) + 1):
                spacing = volume.geometry.spacing_mm
                chosen = next_click(structure.truth_kji, mask, spacing, rng)
                if chosen is None:
                    break
                position = volume.geometry.ras_from_ijk(np.array(chosen[0], dtype=float))
                session.add_click(position.tolist(), chosen[1])
                mask = session.mask
                if number in CLICKS:
                    score = dice(structure.truth_kji, mask)
                    rows.append((case.name, structure.anatomy, number, score))
                    counts.append(counted(session.state, structure))
        print(f"{case.name}: {len(rows)} results", flush=True)
        columns = {
            name: np.array(values)
            for name, values in zip(
                ("case", "anatomy", "clicks", "dice"), zip(*rows, strict=True), strict=True
            )
        }
        np.savez_compressed(output, counts=np.stack(counts), **columns)


def counted(state: SessionState, structure: Structure) -> NDArray[np.int64]:
    """Return counts of the known logits, (all or near, background or structure, bins)."""
    box = BoundingBox.empty()
    for patch in state.patches:
        box = box.union(patch)
    box = box.clipped(state.grid.shape_kji)
    logits = state.logits.read(box).astype(np.float32)
    truth = on_grid(structure.truth_kji, state.geometry, state.grid, box)
    known = ~np.isnan(logits)
    far_mm = ndimage.distance_transform_edt(~(logits > 0), state.grid.spacing_mm[::-1])
    found = np.zeros((2, 2, len(CENTRES)), np.int64)
    for kind, region in enumerate((known, known & (far_mm <= NEAR_MM))):
        for is_inside in (0, 1):
            values = logits[region & (truth == bool(is_inside))]
            found[kind, is_inside] = np.histogram(values.clip(-19.99, 19.99), EDGES)[0]
    return found


def on_grid(
    mask_kji: NDArray[np.bool_], geometry: Geometry, grid: Geometry, box: BoundingBox
) -> NDArray[np.bool_]:
    """Return the mask of the volume at the nearest voxels of a box of the model grid."""
    indices = []
    for axis in range(3):
        points = np.zeros((box.shape_kji[2 - axis], 3))
        points[:, axis] = np.arange(box.start_ijk[axis], box.stop_ijk[axis])
        nearest = np.rint(geometry.ijk_from_ras(grid.ras_from_ijk(points))[:, axis]).astype(int)
        indices.append(nearest.clip(0, geometry.size_ijk[axis] - 1))
    return mask_kji[np.ix_(*indices[::-1])]


@dataclass(frozen=True)
class Results:
    """One row a structure and number of clicks."""

    case: NDArray[np.str_]
    clicks: NDArray[np.int64]
    dice: NDArray[np.float64]
    counts: NDArray[np.int64]  # (rows, all or near, background or structure, bins)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Results:
        """Join stored counts."""
        files = [np.load(path) for path in paths]
        names = ("case", "clicks", "dice", "counts")
        return cls(*(np.concatenate([file[name] for file in files]) for name in names))

    def of(self, chosen: NDArray[np.bool_]) -> Results:
        """Return some of the rows."""
        return Results(*(values[chosen] for values in vars(self).values()))

    @property
    def voxels(self) -> NDArray[np.int64]:
        """Size of each mask on the model grid."""
        return self.counts[:, 1][:, :, CENTRES > 0].sum(axis=(1, 2))

    @property
    def half(self) -> NDArray[np.bool_]:
        """Which half of the patients a row belongs to: every second name."""
        names = np.unique(self.case)
        return np.isin(self.case, names[::2])


def fitted(results: Results) -> Calibration:
    """Return the rising curve that fits best near the masks, and the scale of errors by size."""
    background, structure = results.counts[:, 1].sum(axis=0).astype(float)
    curve = isotonic(structure, background + structure)
    points = tuple(float(value) for value in KNOTS)
    values = tuple(round(float(value), 4) for value in np.interp(KNOTS, CENTRES, curve))
    one = Calibration(points, values)
    expected, error = uncertainties(results, one), 1 - results.dice
    found = results.voxels > 0
    ratio = np.log(np.maximum(error, LEAST_ERROR)[found] / expected[found])
    slope = np.polyfit(np.log(results.voxels[found]), ratio, 1)[0]
    one = replace(one, size_power=round(float(-slope), 3))
    scale = error.mean() / uncertainties(results, one).mean()
    return replace(one, scale=round(float(scale), 3))


def isotonic(inside: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rising curve of fractions with the least squares: pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for one, weight in zip(inside, np.maximum(total, 1e-9), strict=True):
        pools.append((one, weight, 1))
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            pools[-2:] = [tuple(np.add(pools[-2], pools[-1]))]
    return np.concatenate([np.full(int(count), one / weight) for one, weight, count in pools])


def reliability(results: Results, one: Calibration, kind: int, bins: int = 15) -> NDArray[Any]:
    """Return voxels, mean probability and fraction inside of each bin of probabilities."""
    background, structure = results.counts[:, kind].sum(axis=0).astype(float)
    probabilities = one.probabilities(CENTRES).astype(float)
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    total = np.bincount(places, background + structure, bins)
    filled = np.maximum(total, 1)
    mean = np.bincount(places, probabilities * (background + structure), bins) / filled
    return np.stack([total, mean, np.bincount(places, structure, bins) / filled])


def expected_error(results: Results, one: Calibration, kind: int) -> float:
    """Return the expected calibration error of voxels."""
    total, mean, truth = reliability(results, one, kind)
    return float((total * np.abs(mean - truth)).sum() / total.sum())


def uncertainties(results: Results, one: Calibration) -> NDArray[np.float64]:
    """Return what `uncertainty_of` gives for each row, from its counts near the mask."""
    near = results.counts[:, 1].sum(axis=1)
    probabilities = one.probabilities(CENTRES)
    positive = CENTRES > 0
    inside = results.voxels
    overlap = near[:, positive] @ probabilities[positive]
    error = 1 - 2 * overlap / np.maximum(inside + near @ probabilities, 1)
    return np.where(inside, one.error_of(error, np.maximum(inside, 1)), 1.0)


def worst_quarter(error: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[float, float]:
    """Return the shares of the errors above 0.2 in the worst quarter: as ranked, and at best."""
    bad = error > 0.2
    count = max(1, len(error) // 4)
    return float(bad[np.argsort(-found)[:count]].sum() / bad.sum()), min(1.0, count / bad.sum())


def excess(error: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the share of what errors exceed 0.2 by, in sum, that the worst quarter has."""
    above = np.maximum(error - 0.2, 0)
    return float(above[np.argsort(-found)[: max(1, len(error) // 4)]].sum() / above.sum())


def report(results: Results, table: Path, plot: Path) -> Calibration:
    """Write table and reliability plot; return the calibration of all data."""
    half = results.half
    halves = [(half, fitted(results.of(~half))), (~half, fitted(results.of(half)))]
    found = np.zeros(len(half))
    for chosen, one in halves:
        found[chosen] = uncertainties(results.of(chosen), one)
    lines = ["| voxels | logits as they are | calibrated on the other half |", "|---|---|---|"]
    for kind, name in enumerate(("all in the patches", f"up to {NEAR_MM:g} mm from the mask")):
        parts = [
            (expected_error(results.of(c), o, kind), results.of(c).counts[:, kind].sum())
            for c, o in halves
        ]
        error = np.average([p[0] for p in parts], weights=[p[1] for p in parts])
        raw = expected_error(results, Calibration(), kind)
        lines.append(f"| {name} | {raw:.4f} | {error:.4f} |")
    heads = ["clicks", "results", "mean 1 - Dice", "mean uncertainty", "rank correlation"]
    heads += ["errors above 0.2", "of them in the worst quarter", "at best", "of the sum above 0.2"]
    lines += ["", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    error = 1 - results.dice
    for number in CLICKS:
        rows = results.clicks == number
        share, best = worst_quarter(error[rows], found[rows])
        correlation = spearmanr(error[rows], found[rows]).statistic
        lines.append(
            f"| {number} | {rows.sum()} | {error[rows].mean():.3f} | {found[rows].mean():.3f} | "
            f"{correlation:.2f} | {(error[rows] > 0.2).sum()} | {share:.2f} | {best:.2f} | "
            f"{excess(error[rows], found[rows]):.2f} |"
        )
    final = fitted(results)
    powers = " and ".join(f"{one.size_power:g}" for _, one in halves)
    lines.append(f"\nScale of all: {final.scale:g}; power of the size: {final.size_power:g}.")
    lines.append(f"Power of the size in each half: {powers}.")
    table.write_text("\n".join(lines) + "\n")
    draw(results, halves, found, plot)
    return final


def draw(
    results: Results,
    halves: Sequence[tuple[NDArray[np.bool_], Calibration]],
    found: NDArray[np.float64],
    path: Path,
) -> None:
    """Draw reliability of voxels, and uncertainty against error of structures."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, pairs in (
        ("as they are", [(np.ones_like(halves[0][0]), Calibration())]),
        ("calibrated on the other half", halves),
    ):
        sums = sum(
            (
                np.stack([n, n * m, n * t])
                for n, m, t in (reliability(results.of(c), o, 1) for c, o in pairs)
            ),
        )
        filled = sums[0] > 0
        left.plot(
            sums[1][filled] / sums[0][filled],
            sums[2][filled] / sums[0][filled],
            "o-",
            ms=3,
            label=label,
        )
    left.plot([0, 1], [0, 1], color="grey", lw=0.8)
    left.set(xlabel="probability", ylabel=f"fraction inside, up to {NEAR_MM:g} mm from the mask")
    left.legend(fontsize=8)
    for number in CLICKS:
        rows = results.clicks == number
        right.plot(found[rows], 1 - results.dice[rows], ".", ms=4, label=f"{number} clicks")
    right.plot([0, 1], [0, 1], color="grey", lw=0.8)
    right.set(xlabel="uncertainty", ylabel="1 - Dice", xlim=(0, 1), ylim=(0, 1))
    right.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--pattern", default="")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(argv)
    if options.table is None:
        collect(*options.inputs, options.pattern, options.limit)
        return 0
    one = report(Results.read(options.inputs), options.table, options.plot)
    entry = resolve_model(None)
    row = {"model": entry.model_id, "version": entry.settings.version, "sha256": entry.sha256}
    row |= {
        "scale": one.scale,
        "size_power": one.size_power,
        "logits": one.logits,
        "probabilities": one.probabilities_there,
    }
    content = {"schema": 1, "calibrations": [row]}
    text = re.sub(r"\s*\n\s*(?=-?[\d.]+,?\n|\])", " ", json.dumps(content, indent=1))
    resource_path(CALIBRATION_FILE).write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
