"""Print what following a structure beyond its patch gains on labelled CTs, as Markdown tables.

Usage, from the root of the repository (two cases at 1.5 mm: some 10 minutes on one core):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_growing.py
        CASE_FOLDER [CASE_FOLDER ...] [--spacings 1.5 2.5] [--modes off auto frontier coarse]
        [--clicks 10] [--seeds 1] [--structures NAME ...]
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.evaluation.cases import LabelledCase, find_cases, load_case
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.resampling import volume_bbox_of_grid_bbox
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.patches import MARGIN_FRACTION
from CTSAM3DLib.session.session import InteractiveSession

FIRST_CLICKS = (1, 3)
GOALS = (0.85, 0.9)
STRUCTURES = {
    "liver": "liver",
    "left lung": "lung_.*_left",
    "right lung": "lung_.*_right",
    "left lower lobe": "lung_lower_lobe_left",
    "heart": "heart",
    "spleen": "spleen",
    "aorta": "aorta",
    "right kidney": "kidney_right",
}
"""Name to the labels that belong to it; those that fit into a patch are the control."""


@dataclass(frozen=True)
class Score:
    """What a number of clicks has come to."""

    dice: float
    patches: int
    seconds: float


@dataclass(frozen=True)
class Single:
    """What one patch can give: truth cut to it, and the best Dice of its first three clicks."""

    bound: float
    best: float


def clicked(
    session: InteractiveSession, truth: NDArray[np.bool_], clicks: int, seed: int
) -> Iterator[Score]:
    """Click as `click_simulation` says and yield the score after each click.

    It ends when the highest goal is reached, yet not before the last of `FIRST_CLICKS`.
    """
    rng = np.random.default_rng(seed)
    geometry = session.volume.geometry
    mask, seconds = None, 0.0
    for number in range(1, clicks + 1):
        found = next_click(truth, mask, geometry.spacing_mm, rng)
        if found is None:
            return
        voxel, positive = found
        started = perf_counter()
        session.add_click(geometry.ras_from_ijk(voxel), positive)
        seconds += perf_counter() - started
        mask = session.mask
        score = Score(dice(truth, mask), len(session.state.patches), seconds)
        yield score
        if number >= max(FIRST_CLICKS) and score.dice >= max(GOALS):
            return


def single_patch(session: InteractiveSession, truth: NDArray[np.bool_], seed: int) -> Single:
    """Score one patch: that of the first click, with all three clicks in its middle 3/4.

    There they are answered by that patch; the largest error that they correct is the one in it.
    """
    rng = np.random.default_rng(seed)
    geometry = session.volume.geometry
    (i, j, k), _ = next_click(truth, None, geometry.spacing_mm, rng)
    session.add_click(geometry.ras_from_ijk((i, j, k)))
    (patch,) = session.state.patches
    margin = patch.size_ijk[0] // MARGIN_FRACTION
    start, stop = (np.array(end) for end in (patch.start_ijk, patch.stop_ijk))
    inner = BoundingBox(tuple((start + margin).tolist()), tuple((stop - margin).tolist()))
    shown, middle = (_voxels_in(box, session) for box in (patch, inner))
    best = dice(truth, session.mask)
    for _ in range(2):
        found = next_click(truth & middle, session.mask & middle, geometry.spacing_mm, rng)
        if found is None:
            break
        session.add_click(geometry.ras_from_ijk(found[0]), found[1])
        best = max(best, dice(truth, session.mask))
    if session.state.patches != (patch,):
        raise RuntimeError(f"expected one patch, got {len(session.state.patches)}")
    return Single(dice(truth, truth & shown), best)


def _voxels_in(box: BoundingBox, session: InteractiveSession) -> NDArray[np.bool_]:
    """Return which voxels of the volume lie in a box of the model grid."""
    geometry = session.volume.geometry
    inside = np.zeros(geometry.shape_kji, bool)
    inside[volume_bbox_of_grid_bbox(box, session.grid, geometry).slices_kji] = True
    return inside


def truths(
    case: LabelledCase, labels: NDArray[np.integer], names: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield name and mask of the structures that the case has."""
    for name in names:
        pattern = STRUCTURES[name]
        values = [value for value, text in case.anatomies.items() if re.fullmatch(pattern, text)]
        truth = np.isin(labels, values)
        if values and truth.sum() > 1000:
            yield name, truth


def truth_size(truth: NDArray[np.bool_], volume: Volume) -> str:
    """Return the longest extent of a structure in cm."""
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        at = np.flatnonzero(truth.any(axis=others))
        extents.append((at[-1] - at[0] + 1) * volume.geometry.spacing_mm[2 - axis])
    return f"{max(extents) / 10:.0f} cm"


def row(name: str, single: Single | None, runs: Sequence[Sequence[Score]]) -> str:
    """Return a line of the table: mean over the runs, which differ by their seed."""
    cells = [name]
    cells += ["", ""] if single is None else [f"{single.bound:.3f}", f"{single.best:.3f}"]
    for number in FIRST_CLICKS:
        there = [run[min(number, len(run)) - 1] for run in runs]
        cells.append(f"{np.mean([one.dice for one in there]):.3f}")
        cells.append(f"{np.mean([one.seconds for one in there]):.1f}")
    cells.append(f"{np.mean([run[-1].patches for run in runs]):.0f}")
    for goal in GOALS:
        cells.append(reached(goal, runs))
    return "| " + " | ".join(cells) + " |"


def reached(goal: float, runs: Sequence[Sequence[Score]]) -> str:
    """Return mean clicks and seconds to a Dice, or in how many runs it was not reached."""
    firsts = [next((n for n, one in enumerate(run) if one.dice >= goal), None) for run in runs]
    found = [(run[n].seconds, n + 1) for run, n in zip(runs, firsts, strict=True) if n is not None]
    if not found:
        return "no"
    seconds, clicks = np.mean(found, axis=0)
    missing = f", {len(runs) - len(found)} no" if len(found) < len(runs) else ""
    return f"{clicks:.3g} ({seconds:.1f} s){missing}"


def measure(
    case: LabelledCase, predictor: Predictor, options: argparse.Namespace, spacing: float
) -> Iterator[str]:
    """Yield the lines of the table for one case and spacing."""
    volume, labels = load_case(case)
    for name, truth in truths(case, labels, options.structures):
        seeds = range(options.seeds)
        singles = [single_patch(opened(volume, predictor, spacing), truth, seed) for seed in seeds]
        single: Single | None = Single(
            float(np.mean([one.bound for one in singles])),
            float(np.mean([one.best for one in singles])),
        )
        label = f"{name}, {truth_size(truth, volume)}"
        for mode in options.modes:
            runs = [
                [*clicked(opened(volume, predictor, spacing, mode), truth, options.clicks, seed)]
                for seed in seeds
            ]
            yield row(f"{label}: {mode}", single, runs)
            single = None


def opened(
    volume: Volume, predictor: Predictor, spacing: float, mode: str = "off"
) -> InteractiveSession:
    """Open a session with nothing computed, so that times are those of a first structure."""
    return InteractiveSession.for_volume(volume, predictor, spacing, grow=mode)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases named on the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--spacings", type=float, nargs="+", default=[1.5])
    parser.add_argument("--modes", nargs="+", choices=[*GrowMode], default=[*GrowMode])
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1, help="simulated users for each structure")
    parser.add_argument("--structures", nargs="+", choices=[*STRUCTURES], default=[*STRUCTURES])
    parser.add_argument("--model", help="id or file; default: the bundled model")
    options = parser.parse_args(argv)
    predictor = load_predictor(options.model, "cpu")
    print(f"Model {predictor.settings.model_id} on {predictor.device}, {options.seeds} seed(s).")
    for folder in options.cases:
        (case,) = find_cases(folder.parent, "all", f"^{re.escape(folder.name)}$")
        for spacing in options.spacings:
            print(f"\n## {case.name} ({case.split} split), {spacing:g} mm\n")
            print(
                "| structure: mode | truth in one patch | one patch, 3 clicks | Dice 1 click | s "
                "| Dice 3 clicks | s | patches at the end | clicks to 0.85 | clicks to 0.9 |"
            )
            print("|---|" + "---|" * 9)
            for line in measure(case, predictor, options, spacing):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
