"""Memory of long work and of large CTs: 2,000 clicks with undo, and ten structures in 1,500 slices.

Usage, from the root of the repository (some ten minutes on one core; Linux):

    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_long.py clicks
    PYTHONPATH=. OMP_NUM_THREADS=1 .venv/bin/python Testing/Benchmarks/measure_long.py large

`clicks` works with the effect in the stand-in for Slicer, whose segments, undo and events are
Slicer's; the answers are balls, so that the time is not that of a network. `large` runs the command
`segment` with the bundled model as a process that may have 8 GiB of addresses and no more.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from measuring import SPACING_MM, PeakMemory, generated_ct, hardware, say, table

LIMIT_BYTES = 8 << 30
SHAPE_KJI = (1500, 512, 512)
RADIUS_MM = 40.0
MOST_CLICKS = 20  # of a structure, then it is begun anew


def long_work(clicks: int, each: int) -> list[tuple[int, float, int, int]]:
    """Return after how many clicks there were how many MB, nodes and threads."""
    from Testing import HeadlessSlicer

    slicer = HeadlessSlicer.start()
    from Testing.HeadlessSlicer import window

    root = Path(__file__).resolve().parents[2]
    window.create_views()
    sys.path.append(str(root / "Testing" / "Slicer"))
    HeadlessSlicer.load_modules(sorted((root / "CTSAM3D").glob("*.py")))
    from ctsam3d_case import CTSAM3DCase

    case, rng, rows = CTSAM3DCase(), random.Random(1), []
    for done in range(clicks + 1):
        if done % each == 0:
            gc.collect()
            nodes, memory = slicer.mrmlScene.GetNumberOfNodes(), PeakMemory().reset()
            rows.append((done, memory, nodes, threading.active_count()))
            say(f"{done} clicks, {memory:.0f} MB")
        if len(case.clicks()) >= MOST_CLICKS:
            case.effect.onClear()
            case.settle()
        place = [rng.uniform(low, high) for low, high in ((36, 68), (34, 52), (50, 72))]
        case.effect.onClick(place, rng.random() < 0.8)
        case.settle()
        for action in rng.choice([(), (), (), ("undo",), ("undo", "redo"), ("undo", "undo")]):
            getattr(case.editor, action)()
            case.settle()
    case.close()
    HeadlessSlicer.stop()
    return rows


def large_ct(folder: Path) -> tuple[Path, Path]:
    """Write a CT with ten balls of muscle in fat, and clicks: two in each."""
    import nrrd

    volume = generated_ct(SHAPE_KJI, (1.0, 1.0, 1.0))
    array, structures = volume.array_kji.copy(), {}
    for number in range(10):
        ijk = np.array([150 if number % 2 else 360, 256, 130 + 135 * number])
        reach = np.ceil(RADIUS_MM / np.array(SPACING_MM)).astype(int)
        box = tuple(slice(a - b, a + b + 1) for a, b in zip(ijk[::-1], reach[::-1], strict=True))
        grids = np.ogrid[box]
        away = sum(
            ((grid - at) * mm) ** 2
            for grid, at, mm in zip(grids, ijk[::-1], SPACING_MM[::-1], strict=True)
        )
        array[box] += np.where(away < RADIUS_MM**2, 160, 0).astype(np.int16)
        points = [volume.geometry.ras_from_ijk(ijk + step).tolist() for step in (0, (20, 0, 0))]
        structures[f"ball_{number}"] = {"positive": points}
    clicks = folder / "clicks.json"
    clicks.write_text(json.dumps({"coordinate_system": "RAS", "structures": structures}))
    header = {"space": "RAS", "space directions": np.diag(SPACING_MM), "encoding": "raw"}
    header["space origin"] = np.zeros(3)
    nrrd.write(str(folder / "ct.nrrd"), array, header, index_order="C")
    return folder / "ct.nrrd", clicks


def large(grow: Sequence[str]) -> dict[str, float]:
    """Run the command; return seconds, GB at the peak, and the volume of each structure in cm3."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ct, clicks = large_ct(folder)
        gc.collect()
        say(f"{ct.stat().st_size / 1e9:.2f} GB of CT written")
        words = ["segment", ct, "--clicks", clicks, "--output", folder / "out.seg.nrrd"]
        words += ["--picture", folder / "out.png", "--report", folder / "out.json", *grow]
        started = perf_counter()
        subprocess.run(
            [sys.executable, "-m", "CTSAM3DLib", *map(str, words)],
            check=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES,) * 2),
        )
        seconds = perf_counter() - started
        report = json.loads((folder / "out.json").read_text(encoding="utf-8"))
        found = {f"{s['name']} cm3": s["volume_cm3"] for s in report["structures"]}
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "peak GB": peak, **found}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["clicks", "large"])
    parser.add_argument("--clicks", type=int, default=2000)
    parser.add_argument("--each", type=int, default=200, help="clicks between two rows")
    parser.add_argument("--grow", action="store_true", help="let structures grow")
    options = parser.parse_args(argv)
    print(hardware(1) + "\n")
    if options.what == "large":
        found = large(["--grow"] * options.grow)
        print(table(["what", "measured"], [(k, f"{v:.1f}") for k, v in found.items()]))
        return 0
    rows = long_work(options.clicks, options.each)
    shown = [(done, f"{memory:.0f}", *rest) for done, memory, *rest in rows]
    print(table(["clicks", "memory in use, MB", "nodes", "threads"], shown))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
