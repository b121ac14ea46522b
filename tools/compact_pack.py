"""Make a packed training file small enough to carry to a machine with a GPU, and large again.

HU are cut at -1024 and 1700 and rounded to 5 in soft tissue, to 16 or 20 elsewhere; fewer voxels of
each target are kept as places to click, and all is compressed: a twentieth of the size.

    python tools/compact_pack.py compact train.npz train.small
    python tools/compact_pack.py expand train.small train.npz

Needs numpy alone.
"""

from __future__ import annotations

import argparse
import json
import lzma
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEVELS_HU = np.concatenate(
    [np.arange(-1024, -200, 16), np.arange(-200, 300, 5), np.arange(300, 1720, 20)]
).astype(np.int16)
POINTS_PER_TARGET = 64
CHUNK_BYTES = 8_000_000
NAMES = ("hu", "labels", "pseudo", "points", "header")


def compact(source: Path, output: Path, threads: int) -> None:
    """Write the small file."""
    with np.load(source) as arrays:
        header = json.loads(arrays["header"].tobytes())
        points = fewer_points(header, arrays["points"])
        between = (LEVELS_HU[1:].astype(np.float32) + LEVELS_HU[:-1]) / 2
        level_of = np.searchsorted(between, np.arange(-(2**15), 2**15)).astype(np.uint8)
        stored = {
            "hu": level_of[arrays["hu"].astype(np.int32) + 2**15],
            "labels": arrays["labels"],
            "pseudo": arrays["pseudo"],
            # Sorted along an axis, one axis after the other: neighbours are alike.
            "points": np.ascontiguousarray(
                np.diff(points.T, axis=1, prepend=np.zeros((3, 1), np.int16))
            ),
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        }
    with ThreadPoolExecutor(threads) as pool, output.open("wb") as file:
        for name in NAMES:
            raw = stored[name].tobytes()
            parts = [raw[n : n + CHUNK_BYTES] for n in range(0, len(raw), CHUNK_BYTES)]
            packed = list(pool.map(lambda part: lzma.compress(part, preset=6), parts))
            np.array([len(packed), *map(len, packed)], "<i8").tofile(file)
            file.writelines(packed)


def fewer_points(
    header: dict[str, list[dict[str, object]]], points: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Keep some points of each target, in the order of their voxels; updates the header."""
    kept, start = [], 0
    for case in header["cases"]:
        for target in case["targets"]:  # type: ignore[attr-defined]
            first, count = int(target["points"]), int(target["count"])
            own = points[first : first + min(count, POINTS_PER_TARGET)]
            kept.append(own[np.lexsort(own.T[::-1])])
            target["points"], target["count"] = start, len(own)
            start += len(own)
    return np.concatenate(kept)


def expand(source: Path, output: Path, threads: int) -> None:
    """Write the large file again."""
    arrays = {}
    with ThreadPoolExecutor(threads) as pool, source.open("rb") as file:
        for name in NAMES:
            (count,) = np.fromfile(file, "<i8", 1)
            sizes = np.fromfile(file, "<i8", int(count))
            parts = [file.read(int(size)) for size in sizes]
            arrays[name] = np.frombuffer(b"".join(pool.map(lzma.decompress, parts)), np.uint8)
    arrays["hu"] = LEVELS_HU[arrays["hu"]]
    steps = arrays["points"].view(np.int16).reshape(3, -1)
    arrays["points"] = np.ascontiguousarray(np.cumsum(steps, axis=1, dtype=np.int16).T)
    np.savez(output, **arrays)


def main() -> int:
    """Compact or expand; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("compact", "expand"))
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    action = compact if args.command == "compact" else expand
    action(args.source, args.output, args.threads)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
