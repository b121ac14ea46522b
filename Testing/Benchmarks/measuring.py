"""What the benchmarks share: a generated CT, clocks, peak memory, tables."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume

RESULTS = Path(__file__).resolve().parent / "results"
SPACING_MM = (0.7, 0.7, 1.0)
MB = 1e6
_STARTED = perf_counter()


def generated_ct(shape_kji: tuple[int, int, int], organ_mm: Sequence[float]) -> Volume:
    """Return a volume of fat with an ellipsoid of muscle in its middle, int16, with noise.

    Parameters
    ----------
    shape_kji : tuple of int
        Size in voxels of 0.7 x 0.7 x 1 mm.
    organ_mm : sequence of 3 floats
        Half axes of the ellipsoid along i, j, k.
    """
    noise = np.random.default_rng(0).integers(-15, 16, (64, 64, 64), np.int16)
    repeats = [-(-size // 64) for size in shape_kji]
    array = np.tile(noise, repeats)[: shape_kji[0], : shape_kji[1], : shape_kji[2]].copy()
    middle = (np.array(shape_kji[::-1]) - 1) / 2
    j, i = np.ogrid[: shape_kji[1], : shape_kji[2]]
    plane = ((i - middle[0]) * SPACING_MM[0] / organ_mm[0]) ** 2
    plane = plane + ((j - middle[1]) * SPACING_MM[1] / organ_mm[1]) ** 2
    for k in range(shape_kji[0]):
        inside = plane + ((k - middle[2]) * SPACING_MM[2] / organ_mm[2]) ** 2 < 1
        array[k] += np.where(inside, 60, -100).astype(np.int16)
    return Volume(array, Geometry(np.diag([*SPACING_MM, 1.0]), shape_kji), "generated")


def middle_of(volume: Volume) -> np.ndarray:
    """Return the middle of a volume in RAS, mm."""
    return volume.geometry.ras_from_ijk((np.array(volume.geometry.size_ijk) - 1) / 2)


def seconds_of(function: Callable[[], object]) -> float:
    """Return how long a function takes."""
    started = perf_counter()
    function()
    return perf_counter() - started


def best_ms(contestants: list[Callable[[], object]], repeats: int) -> list[float]:
    """Minimum time of each contestant in ms, taking turns, after one warm-up."""
    best = [float("inf")] * len(contestants)
    for turn in range(repeats + 1):
        for index, contestant in enumerate(contestants):
            start = perf_counter()
            contestant()
            if turn > 0:
                best[index] = min(best[index], 1e3 * (perf_counter() - start))
    return best


def say(text: str) -> None:
    """Tell how far a benchmark has come."""
    print(f"{perf_counter() - _STARTED:5.0f} s  {text}", file=sys.stderr, flush=True)


class PeakMemory:
    """Peak of the resident memory of this process since `reset`; NaN where Linux is not."""

    def reset(self) -> float:
        """Forget the peak; return the memory in use, in MB."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return float("nan")
        return self._read("VmRSS")

    def peak(self) -> float:
        """Return the peak since `reset`, in MB."""
        return self._read("VmHWM")

    @staticmethod
    def _read(name: str) -> float:
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return float("nan")
        (line,) = (line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024 / MB


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def hardware(threads: int) -> str:
    """Return the machine in words, and what else it did: other work makes all times longer."""
    machine = {"x86_64": "x86-64", "AMD64": "x86-64"}.get(platform.machine(), platform.machine())
    words = f"{os.cpu_count()} cores of an {machine} machine, {platform.system()}"
    if hasattr(os, "getloadavg"):
        words += f" (mean load {os.getloadavg()[1]:.0f})"
    return f"{words}, {threads} thread{'s' if threads > 1 else ''}"
