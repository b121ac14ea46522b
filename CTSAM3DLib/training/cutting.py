"""Make a packed file small enough to carry to a machine with a GPU.

HU are cut at -1024 and 1700 and rounded to 5 in soft tissue, to 16 or 20 elsewhere. Fewer voxels of
each target are kept as places to click. All is compressed, to a twentieth of the size, and where
that is still too much, cases are left out. Training reads the small file as it reads the large one.
"""

from __future__ import annotations

import json
import lzma
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.io.outputs import check_outputs
from CTSAM3DLib.io.safe_write import written_atomically
from CTSAM3DLib.io.text import found_instead

LEVELS_HU = np.concatenate(
    [np.arange(-1024, -200, 16), np.arange(-200, 300, 5), np.arange(300, 1720, 20)]
).astype(np.int16)
POINTS_PER_TARGET = 64
VOLUMES = ("hu", "labels", "pseudo")

_DAMAGED = (zipfile.BadZipFile, zlib.error, tokenize.TokenError)  # zip, its content, a header
_UNREADABLE = (OSError, ValueError, TypeError, EOFError, RuntimeError, *_DAMAGED)


def cut_pack(source: Path, output: Path, megabytes: float) -> dict[str, Any]:
    """Write a small file of at most that many megabytes (10^6 bytes); returns its header.

    Left out are, one after the other, the cases with the most bytes for each of their targets.
    Raises LearningError: not even one case is as small as that, or `source` is no packed file;
    OutputFileError: the file cannot be written, or is `source`.
    """
    check_outputs([{"packed data": output}], [source])
    arrays = read_pack(source)
    header = json.loads(arrays["header"].tobytes())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blobs = _compressed(header["cases"], arrays, pool)
    sizes = {
        number: sum(len(blobs[key]) for key in _keys(case, number))
        for number, case in enumerate(header["cases"])
    }
    kept = sorted(sizes, key=lambda n: sizes[n] / max(1, len(header["cases"][n]["targets"])))
    while kept:
        chosen = sorted(kept)
        content = _content(header, chosen, arrays["points"], blobs)
        if sum(array.nbytes + 512 for array in content.values()) <= megabytes * 1e6:
            # Uncompressed: it holds compressed bytes already.
            with written_atomically(output) as temporary, temporary.open("wb") as opened:
                np.savez(opened, **content)  # type: ignore[arg-type]
            return dict(json.loads(content["header"].tobytes()))
        kept.pop()
    raise LearningError(f"no case of {source} fits into {megabytes} MB: allow more megabytes")


def read_pack(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a packed file, a cut one or not; LearningError when it is neither."""
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            if "header" not in file:
                raise ValueError("expected an array 'header', got none")
            arrays = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        raise LearningError(
            f"{path}: expected packed data, which the command train pack makes, "
            f"{found_instead(error)}"
        ) from error
    if "parts" not in arrays:
        return arrays
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _expanded(arrays, pool)


def _keys(case: Mapping[str, Any], number: int) -> list[tuple[str, int]]:
    """Where the volumes of a case are kept, a CT that several share once."""
    return [
        (kind, int(case["hu"]) if kind == "hu" else number)
        for kind in VOLUMES
        if case[kind] is not None
    ]


def _compressed(
    cases: list[dict[str, Any]], arrays: Mapping[str, NDArray[Any]], pool: ThreadPoolExecutor
) -> dict[tuple[str, int], bytes]:
    between = (LEVELS_HU[1:].astype(np.float32) + LEVELS_HU[:-1]) / 2
    level_of = np.searchsorted(between, np.arange(-(2**15), 2**15)).astype(np.uint8)

    def small(kind: str, start: int, count: int) -> bytes:
        values = arrays[kind][start : start + count]
        if kind == "hu":
            values = level_of[values.astype(np.int32) + 2**15]
        return lzma.compress(values.tobytes(), preset=6)

    jobs = {
        key: pool.submit(small, key[0], int(case[key[0]]), math.prod(case["shape"]))
        for number, case in enumerate(cases)
        for key in _keys(case, number)
    }
    return {key: job.result() for key, job in jobs.items()}


def _content(
    header: Mapping[str, Any],
    chosen: list[int],
    points: NDArray[np.int16],
    blobs: Mapping[tuple[str, int], bytes],
) -> dict[str, NDArray[Any]]:
    """Arrays of the small file: compressed volumes, one after the other, and what they become."""
    sizes = dict.fromkeys(VOLUMES, 0)
    starts: dict[tuple[str, int], int] = {}
    parts: list[tuple[int, int, int, int]] = []  # kind, start, count of values, count of bytes
    cases, count_kept = [], 0
    places = [np.zeros((0, 3), np.int16)]
    for number in chosen:
        case = dict(header["cases"][number])
        for key in _keys(case, number):
            kind, count = key[0], math.prod(case["shape"])
            if key not in starts:
                starts[key] = sizes[kind]
                parts.append((VOLUMES.index(kind), sizes[kind], count, len(blobs[key])))
                sizes[kind] += count
            case[kind] = starts[key]
        targets = []
        for target in case["targets"]:
            first = int(target["points"])
            own = points[first : first + min(int(target["count"]), POINTS_PER_TARGET)]
            targets.append({**target, "points": count_kept, "count": len(own)})
            count_kept += len(own)
            places.append(own[np.lexsort(own.T[::-1])])
        cases.append({**case, "targets": targets})
    # The first of a CT that is shared has its bytes.
    joined = b"".join(blobs[key] for key in starts)
    # Sorted along an axis, one axis after the other: neighbours are alike.
    steps = np.diff(np.concatenate(places).T, axis=1, prepend=np.zeros((3, 1), np.int16))
    text = json.dumps({**header, "cases": cases}).encode()
    return {
        "header": np.frombuffer(text, np.uint8),
        "parts": np.array(parts, np.int64),
        "volumes": np.frombuffer(joined, np.uint8),
        "points": np.frombuffer(lzma.compress(np.ascontiguousarray(steps).tobytes()), np.uint8),
    }


def _expanded(
    arrays: Mapping[str, NDArray[Any]], pool: ThreadPoolExecutor
) -> dict[str, NDArray[Any]]:
    parts = arrays["parts"]
    out: dict[str, NDArray[Any]] = {"header": arrays["header"]}
    for number, kind in enumerate(VOLUMES):
        total = int(parts[parts[:, 0] == number, 2].sum())
        out[kind] = np.zeros(total, np.int16 if kind == "hu" else np.uint8)
    ends = np.cumsum(parts[:, 3])

    def expand(part: NDArray[np.int64], end: int) -> None:
        number, start, count, size = (int(n) for n in part)
        values = np.frombuffer(
            lzma.decompress(arrays["volumes"][end - size : end].tobytes()), np.uint8
        )
        kind = VOLUMES[number]
        out[kind][start : start + count] = LEVELS_HU[values] if kind == "hu" else values

    for _ in pool.map(expand, parts, ends):
        pass
    steps = np.frombuffer(lzma.decompress(arrays["points"].tobytes()), np.int16).reshape(3, -1)
    out["points"] = np.ascontiguousarray(np.cumsum(steps, axis=1, dtype=np.int16).T)
    return out
