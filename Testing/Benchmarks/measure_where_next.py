"""Print how often the place that `where_next` names lies in the largest mistake, as a table.

Usage, from the root of the repository (12 structures of 3 mm voxels: a few minutes on one core):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_where_next.py
        CASE_FOLDER [CASE_FOLDER ...] [--most 12]

After each of the first clicks of the simulated user who corrects the largest mistake, the place is
compared with a random voxel of the border of the mask: is it in the largest connected mistake, is
it in any mistake, and how much does one click there (with the sign that the truth has) gain.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.evaluation.cases import Structure, find_cases, load_case, structures_of
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.session import InteractiveSession

CLICKS = 3
NEIGHBOURS = np.ones((3, 3, 3), bool)
IJK = tuple[int, int, int]


def largest_mistake(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of the missed or of the wrongly added voxels."""
    best = np.zeros_like(truth)
    for wrong in (truth & ~mask, mask & ~truth):
        parts, count = ndimage.label(wrong, structure=NEIGHBOURS)
        if count:
            sizes = np.bincount(parts.ravel())[1:]
            if sizes.max() > best.sum():
                best = parts == 1 + int(sizes.argmax())
    return best


def border_voxel(mask: NDArray[np.bool_], rng: np.random.Generator) -> IJK | None:
    """Return a random voxel on either side of the border of a mask."""
    border = ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)
    places = np.argwhere(border)
    if not len(places):
        return None
    k, j, i = places[rng.integers(len(places))].tolist()
    return i, j, k


def rows_of(
    shared: InteractiveSession, structure: Structure, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Yield what both places are worth after each click of the user."""
    truth, geometry = structure.truth_kji, shared.volume.geometry
    session = shared.for_another_structure()
    for number in range(1, CLICKS + 1):
        wanted = next_click(truth, session.mask, geometry.spacing_mm, rng)
        if wanted is None:
            return
        session.add_click(geometry.ras_from_ijk(wanted[0]).tolist(), wanted[1])
        found = session.where_next()
        random = border_voxel(session.mask, rng)
        mistake = largest_mistake(truth, session.mask)
        if found is None or random is None or not mistake.any():
            return
        places = {"named": geometry.voxel_from_ras(found.position_ras), "random": random}
        row: dict[str, object] = {"click": number, "reason": found.reason}
        for name, voxel in places.items():
            row.update(_worth(session, truth, mistake, geometry, name, voxel))
        yield row


def _worth(
    session: InteractiveSession,
    truth: NDArray[np.bool_],
    mistake: NDArray[np.bool_],
    geometry: Geometry,
    name: str,
    voxel: IJK,
) -> dict[str, float]:
    i, j, k = voxel
    before = dice(truth, session.mask)
    wrong = bool(truth[k, j, i] != session.mask[k, j, i])
    in_largest = bool(mistake[k, j, i])
    session.add_click(geometry.ras_from_ijk(voxel).tolist(), bool(truth[k, j, i]))
    gain = dice(truth, session.mask) - before
    session.undo()
    return {f"{name} in largest": in_largest, f"{name} in any": wrong, f"{name} gain": gain}


def table(rows: Sequence[dict[str, object]]) -> Iterator[str]:
    """Yield the lines of the table, by the number of clicks before and by reason."""
    columns = [name for name in rows[0] if name not in ("click", "reason")]
    yield "| | places | " + " | ".join(columns) + " |"
    yield "|---|" + "---|" * (len(columns) + 1)
    groups = [("after click", "click"), ("reason", "reason")]
    for title, key in groups:
        for value in sorted({row[key] for row in rows}):
            own = [row for row in rows if row[key] == value]
            yield _line(f"{title} {value}" if key == "click" else str(value), own, columns)
    yield _line("all", list(rows), columns)


def _line(title: str, rows: list[dict[str, object]], columns: list[str]) -> str:
    means = [f"{np.mean([float(row[name]) for row in rows]):.3f}" for name in columns]
    return f"| {title} | {len(rows)} | " + " | ".join(means) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases named on the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--model", help="id or file; default: the bundled model")
    parser.add_argument("--most", type=int, default=12, help="structures of each case")
    options = parser.parse_args(argv)
    predictor = load_predictor(options.model, "cpu")
    rng = np.random.default_rng(0)
    rows = []
    for folder in options.cases:
        (case,) = find_cases(folder.parent, "all", f"^{re.escape(folder.name)}$")
        volume, labels = load_case(case)
        shared = InteractiveSession.for_volume(volume, predictor)
        structures = list(structures_of(case, volume, labels))
        every = -(-len(structures) // options.most)
        for structure in structures[::every]:
            rows += list(rows_of(shared, structure, rng))
    print("\n".join(table(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
