"""Print the Dice after one prompt of each kind on labelled CTs, as a Markdown table.

Usage, from the root of the repository (one case of 3 mm voxels: some 4 minutes on one core):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_prompts.py
        CASE_FOLDER [CASE_FOLDER ...] [--most 30]

The prompts are made from the truth: a click where it is deepest, a straight stroke through the
deepest point of its largest axial slice, a lasso round that slice, one voxel further in, and its
bounding box with two voxels more on each side. A box is compared with a click in its middle, a
stroke and a lasso with as many clicks as they take seconds by hand (3, a click taking one).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.evaluation.cases import Structure, find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.prompts import Box, Click, Lasso, Prompt, Scribble
from CTSAM3DLib.session import InteractiveSession

MARGIN_VOXELS = 2
DIRECTIONS = 36
SECONDS_BY_HAND = 3
"""A stroke or a lasso takes about so long to draw; a click takes a second."""


def prompts_of(truth: NDArray[np.bool_], geometry: Geometry) -> Iterator[tuple[str, Prompt]]:
    """Yield the prompts of a user who knows the truth, by the name of their column."""
    k = int(truth.sum(axis=(1, 2)).argmax())
    part = _largest_part(truth[k])
    yield "click", Click(geometry.ras_from_ijk(_deepest(truth, geometry.spacing_mm[::-1])[::-1]))
    ends = [(i, j, k) for i, j in _longest_run(part)]
    yield "stroke", Scribble(geometry.ras_from_ijk(ends).tolist())
    inner = _largest_part(ndimage.binary_erosion(part))
    shown = inner if inner.sum() >= 4 else part
    outline = max(find_contours(np.pad(shown, 1).astype(float), 0.5), key=len)[:-1] - 1.0
    yield "lasso", Lasso(geometry.ras_from_ijk([(i, j, k) for j, i in outline]).tolist())
    tight = BoundingBox.from_mask(truth).padded(MARGIN_VOXELS)
    start, stop = np.array(tight.start_ijk) - 0.5, np.array(tight.stop_ijk) - 0.5
    middle = geometry.ras_from_ijk((start + stop) / 2).tolist()
    yield "click in the box's middle", Click(middle)
    yield "box", Box(middle, ((stop - start)[:, None] * geometry.ijk_to_ras[:3, :3].T).tolist())


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of a slice."""
    parts, count = ndimage.label(mask)
    if count == 0:
        return mask
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def _deepest(mask: NDArray[np.bool_], sampling: Sequence[float]) -> tuple[int, ...]:
    """Return the voxel that is farthest from the border, as an index of the array."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=sampling)
    return tuple(int(at) - 1 for at in np.unravel_index(depth.argmax(), depth.shape))


def _longest_run(part: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return both ends (i, j) of the longest straight line inside through the deepest voxel."""
    j, i = _deepest(part, (1.0, 1.0))
    runs = []
    for angle in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        ends = [
            _last_inside(part, (i, j), sign * np.array([np.cos(angle), np.sin(angle)]))
            for sign in (1, -1)
        ]
        runs.append(ends)
    return max(runs, key=lambda run: float(np.hypot(*np.subtract(*run))))


def _last_inside(
    part: NDArray[np.bool_], start: tuple[int, int], step: NDArray[np.float64]
) -> tuple[int, int]:
    """Return the last voxel (i, j) inside on the way from a start."""
    last = start
    for number in range(max(part.shape)):
        i, j = np.rint(np.array(start) + number * step).astype(int).tolist()
        if not (0 <= j < part.shape[0] and 0 <= i < part.shape[1] and part[j, i]):
            break
        last = (i, j)
    return last


def scores(
    shared: InteractiveSession, structure: Structure, grow: bool
) -> dict[str, tuple[float, float]]:
    """Return Dice and seconds after one prompt, by the name of its column."""
    found = {f"{SECONDS_BY_HAND} clicks": _clicks(shared, structure, grow)}
    for name, prompt in prompts_of(structure.truth_kji, shared.volume.geometry):
        session = InteractiveSession(shared.encoder, grow=grow)
        started = perf_counter()
        session.add(prompt)
        found[name] = dice(structure.truth_kji, session.mask), perf_counter() - started
    return found


def _clicks(shared: InteractiveSession, structure: Structure, grow: bool) -> tuple[float, float]:
    """Return Dice and seconds after the clicks of the user who corrects the largest mistake."""
    session = InteractiveSession(shared.encoder, grow=grow)
    geometry, truth, rng = shared.volume.geometry, structure.truth_kji, np.random.default_rng(0)
    mask: NDArray[np.bool_] | None = None
    seconds = 0.0
    for _ in range(SECONDS_BY_HAND):
        chosen = next_click(truth, mask, geometry.spacing_mm, rng)
        if chosen is None:
            break
        started = perf_counter()
        session.add(Click(geometry.ras_from_ijk(np.array(chosen[0], float)), chosen[1]))
        seconds += perf_counter() - started
        mask = session.mask
    return dice(truth, session.mask), seconds


def table(rows: Sequence[tuple[str, dict[str, tuple[float, float]]]]) -> Iterator[str]:
    """Yield the lines of the table: mean Dice in each size class, and how often a box is worse."""
    names = list(rows[0][1])
    yield "| size class | structures | " + " | ".join(names) + " | box worse than that click |"
    yield "|---|" + "---|" * (len(names) + 2)
    for size in [*sorted({size for size, _ in rows}), "all"]:
        own = [found for its, found in rows if size in (its, "all")]
        means = [f"{np.mean([found[name][0] for found in own]):.3f}" for name in names]
        worse = sum(found["box"][0] < found[names[-2]][0] - 0.001 for found in own)
        yield f"| {size} | {len(own)} | " + " | ".join(means) + f" | {worse} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases named on the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--model", help="id or file; default: the bundled model")
    parser.add_argument("--most", type=int, default=30, help="structures of each case")
    parser.add_argument("--grow", action="store_true", help="follow structures beyond the patch")
    parser.add_argument("--each", action="store_true", help="print every structure, too")
    options = parser.parse_args(argv)
    predictor = load_predictor(options.model, "cpu")
    rows = []
    for folder in options.cases:
        (case,) = find_cases(folder.parent, "all", f"^{re.escape(folder.name)}$")
        volume, labels = load_case(case)
        shared = InteractiveSession.for_volume(volume, predictor)
        patch_mm = predictor.settings.patch_size * shared.grid.spacing_mm[0]
        structures = list(structures_of(case, volume, labels))
        every = -(-len(structures) // options.most)
        for structure in structures[::every]:
            found = scores(shared, structure, options.grow)
            rows.append((structure.size_class(patch_mm), found))
            if options.each:
                values = " ".join(f"{name} {one[0]:.3f}" for name, one in found.items())
                print(f"{structure.anatomy}, {rows[-1][0]}: {values}", flush=True)
    print("\n".join(table(rows)))
    seconds = {name: np.mean([found[name][1] for _, found in rows]) for name in rows[0][1]}
    print("\nMean seconds: " + ", ".join(f"{name} {one:.2f}" for name, one in seconds.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
