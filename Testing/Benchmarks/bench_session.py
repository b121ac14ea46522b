"""What a click costs, against the size of the volume and against the number of clicks before.

Run by `make bench`; alone, from the root of the repository:

    PYTHONPATH=. .venv/bin/python Testing/Benchmarks/bench_session.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from measuring import (
    RESULTS,
    SPACING_MM,
    PeakMemory,
    generated_ct,
    hardware,
    middle_of,
    say,
    seconds_of,
    table,
)

from CTSAM3DLib.bundles.predictor import load_predictor
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.geometry.resampling import extract_patch, sample_on_volume
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.session.session import InteractiveSession

ORGAN_MM = (45.0, 45.0, 150.0)
SIZES = [(128,) * 3, (256,) * 3, (200, 512, 512), (400, 512, 512), (800, 512, 512)]
QUICK_SIZES = [(40,) * 3, (64,) * 3]
MEMORY_SIZES = [(400, 512, 512), (1500, 512, 512)]
MEMORY_BAR_MB = 600
STEPS = ("open the session", "first click", "later click", "click far away", "grown organ")
NAIVE_UP_TO = 110_000_000  # voxels; whole volumes take seconds and gigabytes
OFFSETS_MM = [(8, 0, 5), (-9, 4, -6), (3, -10, 8), (-5, 9, 10), (11, 6, -9), (-8, -8, 3)]


@dataclass(frozen=True)
class Cost:
    """What one volume has cost, in ms."""

    name: str
    voxels: int
    encode: float
    decode: float
    first: float
    later: float
    rest: float
    grown: float
    patches: int
    naive: float


def cost_of(shape_kji: tuple[int, int, int], predictor: Predictor, repeats: int) -> Cost:
    """Measure one volume."""
    say(name_of(shape_kji))
    volume = organ_ct(shape_kji)
    middle = middle_of(volume)
    session = InteractiveSession.for_volume(volume, predictor)
    first = seconds_of(lambda: session.add_click(middle))
    encode = session.timings_ms["encode_ms"]
    later, decode = [], []
    for offset in OFFSETS_MM[:repeats]:
        started = perf_counter()
        session.add_click(_near(volume, offset))
        later.append(perf_counter() - started)
        decode.append(session.timings_ms["decode_ms"] / 1000)
    growing = InteractiveSession.for_volume(volume, predictor, grow=True)
    grown = seconds_of(lambda: growing.add_click(middle))
    naive = seconds_of(lambda: whole_volume(session)) if volume.array_kji.size < NAIVE_UP_TO else 0
    rest = [all_of_it - model for all_of_it, model in zip(later, decode, strict=True)]
    return Cost(
        name=name_of(shape_kji),
        voxels=volume.array_kji.size,
        encode=encode,
        decode=1000 * min(decode),
        first=1000 * first,
        later=1000 * min(later),
        rest=1000 * min(rest),
        grown=1000 * grown,
        patches=len(growing.state.patches),
        naive=1000 * naive,
    )


def organ_ct(shape_kji: tuple[int, int, int]) -> Volume:
    """Return a generated CT with a long organ, or as long as the volume allows."""
    extents = [size * step for size, step in zip(shape_kji[::-1], SPACING_MM, strict=True)]
    return generated_ct(
        shape_kji, [min(a, 0.4 * b) for a, b in zip(ORGAN_MM, extents, strict=True)]
    )


def name_of(shape_kji: Sequence[int]) -> str:
    """Return a size as people say it."""
    return " x ".join(map(str, shape_kji[::-1]))


def memory_of(shape_kji: tuple[int, int, int]) -> dict[str, float]:
    """Return the peak memory of each step above the loaded model and CT, in MB, and the CT's.

    For a process of its own: what earlier work leaves behind would hide the peak.
    """
    predictor, volume = load_predictor(None, "cpu"), organ_ct(shape_kji)
    middle, memory = middle_of(volume), PeakMemory()
    found = {"CT": volume.array_kji.nbytes / 1e6}
    before = memory.reset()
    sessions = [InteractiveSession.for_volume(volume, predictor)]
    found[STEPS[0]] = memory.peak() - before
    far = [0, 0, 0.6 * ORGAN_MM[2]]
    actions = (
        lambda: sessions[0].add_click(middle),
        lambda: sessions[0].add_click(_near(volume, OFFSETS_MM[0])),
        lambda: sessions[0].add_click(_near(volume, far)),
        lambda: InteractiveSession(sessions[0].encoder, grow=True).add_click(middle),
    )
    for name, action in zip(STEPS[1:], actions, strict=True):
        memory.reset()
        action()
        found[name] = memory.peak() - before
    return found


def memory_in_own_process(shape_kji: tuple[int, int, int]) -> dict[str, float]:
    """Run `memory_of` in a new process."""
    say(f"memory, {name_of(shape_kji)}")
    command = [sys.executable, __file__, "--memory-of", *map(str, shape_kji)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def whole_volume(session: InteractiveSession) -> np.ndarray:
    """Do what a session avoids: resample all of the CT, and all of the logits back to it."""
    grid = model_grid(session.volume.geometry, session.grid.spacing_mm[0])
    box = BoundingBox.from_shape(grid.shape_kji)
    image = extract_patch(session.volume, grid, box)
    whole = BoundingBox.from_shape(session.volume.geometry.shape_kji)
    return sample_on_volume(image, box, grid, session.volume.geometry, whole) > 0


def clicks_in_a_row(volume: Volume, predictor: Predictor, count: int) -> list[tuple[float, float]]:
    """Return the time of each click on one structure and of its decode, in ms."""
    session = InteractiveSession.for_volume(volume, predictor)
    session.warm_up(middle_of(volume))
    times = []
    for n in range(count):
        offset = np.array(OFFSETS_MM[n % len(OFFSETS_MM)]) * (0.3 + n / 40)
        started = perf_counter()
        session.add_click(_near(volume, offset), positive=n % 4 < 3)
        times.append((1000 * (perf_counter() - started), session.timings_ms["decode_ms"]))
    return times


def _near(volume: Volume, offset: Sequence[float]) -> np.ndarray:
    """Return a point near the middle, in the volume however small it is."""
    reach = np.array(volume.geometry.size_ijk) * SPACING_MM / 2 - 2
    return middle_of(volume) + np.clip(offset, -reach, reach)


def report(
    costs: Sequence[Cost],
    times: Sequence[tuple[float, float]],
    memories: Sequence[tuple[str, dict[str, float]]],
) -> str:
    """Return the text of results/session.md."""
    parts = [_reading(costs, times, [peaks for _, peaks in memories]), _costs_table(costs)]
    parts += [
        "Peak memory above the loaded model and CT, in MB, each size in a process of its own:\n",
        table(
            ["volume", "CT", *STEPS],
            [
                [name, f"{peaks['CT']:.0f}", *[f"{peaks[step]:.0f}" for step in STEPS]]
                for name, peaks in memories
            ],
        ),
        "Clicks in a row on one structure, in ms:\n",
        table(
            ["click", "all", "decode"],
            [[n, f"{total:.0f}", f"{ms:.0f}"] for n, (total, ms) in enumerate(times, 1)],
        ),
    ]
    return "\n".join(parts)


def _reading(
    costs: Sequence[Cost],
    times: Sequence[tuple[float, float]],
    memories: Sequence[dict[str, float]],
) -> str:
    """Return what the numbers say."""
    small, large = costs[0], costs[-1]
    full = [one for one in costs if one.name.startswith("512")] or costs
    early, late = _best(times)
    beside = max(one.rest / one.decode for one in costs)
    naive = max(one.naive / one.decode for one in costs)
    clicks = max(peaks[step] for peaks in memories for step in STEPS[:4])
    grown = max(peaks[STEPS[4]] for peaks in memories)
    return f"""# What a click costs

Made by `make bench` (bench_session.py): {hardware(torch.get_num_threads())}, PyTorch
{torch.__version__}, bundled model. Times in ms, of later clicks the best of five; ratios are
against the decode of the same run. The CT is generated: an ellipsoid of muscle in fat, int16,
0.7 x 0.7 x 1 mm.

- **Size of the volume.** A later click takes {small.later:.0f} ms in {small.name} voxels and
  {large.later:.0f} ms in {large.name}, {large.voxels / small.voxels:.0f} times as many; from
  {full[0].name} to {full[-1].name} voxels its time changes by a factor of
  {full[-1].later / full[0].later:.2f}, and that of the decode, which sees one patch alone and so
  shows what the machine does to the numbers, by {full[-1].decode / full[0].decode:.2f}.
- **Beside the model.** All that is not decode (blending, resampling to the voxels of the CT, the
  changed box, the step of undo) takes at most {beside:.2f} of the decode. Resampling whole
  volumes instead, as a simple program would, takes up to {naive:.1f} times the decode.
- **Number of clicks.** The best of clicks 2 to 6 takes {early:.0f} ms, of the last five of
  {len(times)} clicks {late:.0f} ms.
- **Memory.** The peak above the loaded model and CT is {clicks:.0f} MB for clicks (bar:
  {MEMORY_BAR_MB} MB) and {grown:.0f} MB for a grown organ, embeddings included, which stay.
"""


def _costs_table(costs: Sequence[Cost]) -> str:
    """Return the table of times."""
    header = ["volume", "million voxels", "encode", "decode", "first click", "later click"]
    header += ["... without decode", "/ decode", "grown organ", "patches"]
    header += ["whole volume", "/ decode"]
    rows = []
    for one in costs:
        times = (one.encode, one.decode, one.first, one.later, one.rest)
        row = [one.name, f"{one.voxels / 1e6:.1f}", *[f"{ms:.0f}" for ms in times]]
        row += [f"{one.rest / one.decode:.2f}", f"{one.grown:.0f}", str(one.patches)]
        if one.naive:
            row += [f"{one.naive:.0f}", f"{one.naive / one.decode:.1f}"]
        else:
            row += ["-", "-"]
        rows.append(row)
    return table(header, rows)


def _best(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the best of the clicks 2 to 6 and of the last five."""
    totals = [total for total, _ in times]
    return min(totals[1:6]), min(totals[-5:])


def plot(costs: Sequence[Cost], times: Sequence[tuple[float, float]], path: Path) -> None:
    """Draw both tables."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    voxels = [one.voxels / 1e6 for one in costs]
    for name, label in (("first", "first click"), ("later", "later click"), ("decode", "decode")):
        left.plot(voxels, [getattr(one, name) for one in costs], "o-", label=label)
    left.set(xlabel="million voxels", ylabel="ms", title="size of the volume", ylim=(0, None))
    left.legend()
    numbers = range(1, len(times) + 1)
    right.plot(numbers, [total for total, _ in times], "o-", label="later click")
    right.plot(numbers, [decode for _, decode in times], "o-", color="C2", label="decode")
    right.set(xlabel="number of the click", ylabel="ms", title="clicks before", ylim=(0, None))
    right.legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write results/session.md and session.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small volumes; numbers mean nothing")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--memory-of", type=int, nargs=3, metavar="N", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.memory_of:
        print(json.dumps(memory_of(tuple(options.memory_of))))
        return 0
    sizes, memory_sizes = (QUICK_SIZES, QUICK_SIZES[:1]) if options.quick else (SIZES, MEMORY_SIZES)
    memories = [(name_of(shape), memory_in_own_process(shape)) for shape in memory_sizes]
    predictor = load_predictor(None, "cpu")
    cost_of(sizes[0], predictor, 1)  # plans and buffers of PyTorch
    costs = [cost_of(shape, predictor, 2 if options.quick else 5) for shape in sizes]
    row = organ_ct(sizes[-1] if options.quick else SIZES[3])
    say("clicks in a row")
    times = clicks_in_a_row(row, predictor, 4 if options.quick else 30)
    text = report(costs, times, memories)
    print(text)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "session.md").write_text(text, encoding="utf-8")
    plot(costs, times, options.results / "session.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
