"""Print how much growing beyond the patch gains on labelled CTs, as a Markdown table.

Usage, from the root of the repository:

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_growing.py
        CASE_FOLDER [CASE_FOLDER ...]
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

from CTSAM3DLib.click_simulation import next_click
from CTSAM3DLib.evaluation.cases import Case, find_cases, load_case
from CTSAM3DLib.metrics import dice
from CTSAM3DLib.network.torch_predictor import load_predictor
from CTSAM3DLib.predictor import Predictor
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.volume import Volume

CLICKS = 3
STRUCTURES = {
    "left lung": "lung_.*_left",
    "right lung": "lung_.*_right",
    "left lower lobe": "lung_lower_lobe_left",
    "right lower lobe": "lung_lower_lobe_right",
    "aorta": "aorta",
    "vertebrae": "vertebrae_.*",
    "sternum": "sternum",
    "spinal cord": "spinal_cord",
    "left back muscle": "autochthon_left",
    "heart": "heart",
    "liver": "liver",
    "spleen": "spleen",
    "right kidney": "kidney_right",
    "colon": "colon",
}
"""Name to the labels that belong to it; those that fit into a patch are the control."""


@dataclass(frozen=True)
class Score:
    """What a number of clicks has come to."""

    dice: float
    patches: int
    seconds: float


def clicked(session: InteractiveSession, truth: NDArray[np.bool_]) -> Iterator[Score]:
    """Click as `click_simulation` says and yield the score after each click."""
    rng = np.random.default_rng(0)
    geometry = session.volume.geometry
    mask, seconds = None, 0.0
    for _ in range(CLICKS):
        found = next_click(truth, mask, geometry.spacing_mm, rng)
        if found is None:
            return
        voxel, positive = found
        started = perf_counter()
        session.add_click(geometry.ras_from_ijk(voxel), positive)
        seconds += perf_counter() - started
        mask = session.mask
        yield Score(dice(truth, mask), len(session.state.patches), seconds)


def truths(case: Case, labels: NDArray[np.integer]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield name and mask of the structures that the case has."""
    for name, pattern in STRUCTURES.items():
        values = [value for value, text in case.anatomies.items() if re.fullmatch(pattern, text)]
        truth = np.isin(labels, values)
        if values and truth.sum() > 1000:
            yield name, truth


def rows(case: Case, predictor: Predictor, spacings: Sequence[float]) -> Iterator[str]:
    """Yield the lines of the table for one case."""
    volume, labels = load_case(case)
    for name, truth in truths(case, labels):
        for spacing in spacings:
            scores = [scored(volume, predictor, spacing, grow, truth) for grow in (False, True)]
            cells = [f"{name}, {truth_size(truth, volume)}", f"{spacing:g}"]
            for number in (0, CLICKS - 1):
                off, on = (one[min(number, len(one) - 1)] for one in scores)
                cells += [f"{off.dice:.3f}", f"**{on.dice:.3f}**", f"{off.patches} / {on.patches}"]
                cells += [f"{off.seconds:.1f} / {on.seconds:.1f}"]
            yield "| " + " | ".join(cells) + " |"


def scored(
    volume: Volume, predictor: Predictor, spacing: float, grow: bool, truth: NDArray[np.bool_]
) -> list[Score]:
    """Return the scores after 1, 2, ... clicks."""
    session = InteractiveSession.for_volume(volume, predictor, spacing, grow=grow)
    return list(clicked(session, truth))


def truth_size(truth: NDArray[np.bool_], volume: Volume) -> str:
    """Return the longest extent of a structure in cm."""
    extents = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        at = np.flatnonzero(truth.any(axis=others))
        extents.append((at[-1] - at[0] + 1) * volume.geometry.spacing_mm[2 - axis])
    return f"{max(extents) / 10:.0f} cm"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases named on the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--spacings", type=float, nargs="+", default=[1.5, 2.5])
    options = parser.parse_args(argv)
    predictor = load_predictor(None, "cpu")
    print(f"Model {predictor.settings.model_id} on {predictor.device}.")
    for folder in options.cases:
        (case,) = find_cases(folder.parent, "all", f"^{re.escape(folder.name)}$")
        print(f"\n## {case.name} ({case.split} split)\n")
        print(
            "| structure | mm | Dice 1 click, off | on | patches off / on | s off / on "
            "| Dice 3 clicks, off | on | patches off / on | s off / on |"
        )
        print("|---|---|" + "---|" * 8)
        for row in rows(case, predictor, options.spacings):
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
