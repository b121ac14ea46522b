"""What a user may change about an official model when it is imported: a small file of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import CheckpointError

HU_RANGE = (-2000.0, 10000.0)
SMALLEST_WINDOW_HU = 10.0
SPACING_RANGE_MM = (0.5, 5.0)

_EXAMPLE = '{"window_hu": [-125, 225], "spacing_mm": 1.5}'
_KEYS = ("window_hu", "spacing_mm")


@dataclass(frozen=True)
class ImportConfig:
    """Values that differ from those of the authors; None: theirs.

    Parameters
    ----------
    window_hu : tuple of float, optional
        Hounsfield units that become 0 and 1.
    spacing_mm : float, optional
        Isotropic voxel size of the patches.
    """

    window_hu: tuple[float, float] | None = None
    spacing_mm: float | None = None


def read_import_config(path: Path) -> ImportConfig:
    """Read the values of a configuration; it is never run.

    Parameters
    ----------
    path : Path
        JSON: an object with ``window_hu`` (two numbers), ``spacing_mm`` (one number, or three equal
        ones), or both.

    Returns
    -------
    ImportConfig
        Checked.

    Raises
    ------
    CheckpointError
        Python instead of JSON, a file that cannot be read, an unknown entry, or a value that no CT
        could have.

    Examples
    --------
    >>> read_import_config(Path("config.py"))
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.CheckpointError: config.py: expected JSON, got Python, which would be ...
    """
    if path.suffix.lower() in (".py", ".pyc", ".ipynb"):
        message = (
            f"{path}: expected JSON, got Python, which would be executed to be read; the import "
            f"never does that. Put the values that differ into a file such as {_EXAMPLE}; these "
            "two are all that may differ"
        )
        raise CheckpointError(message)
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: expected a readable JSON file such as {_EXAMPLE}, got {error}"
        raise CheckpointError(message) from error
    if not isinstance(values, Mapping) or not set(values) <= set(_KEYS):
        got = sorted(set(values) - set(_KEYS)) if isinstance(values, Mapping) else values
        message = (
            f"{path}: expected window_hu, spacing_mm or both and nothing else, got {got!r:.80}"
        )
        raise CheckpointError(message)
    window, spacing = values.get("window_hu"), values.get("spacing_mm")
    return ImportConfig(
        None if window is None else _window(window, path),
        None if spacing is None else _spacing(spacing, path),
    )


def _window(value: Any, path: Path) -> tuple[float, float]:
    """Return an HU window."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # a list of windows; the network has one input channel
    numbers = _numbers(value)
    if len(numbers) == 2:
        low, high = numbers
        if HU_RANGE[0] <= low and low + SMALLEST_WINDOW_HU <= high <= HU_RANGE[1]:
            return low, high
    message = (
        f'{path}: "window_hu": expected [low, high] in HU, at least {SMALLEST_WINDOW_HU:g} apart, '
        f"from {HU_RANGE[0]:g} to {HU_RANGE[1]:g}, got {value!r:.80}"
    )
    raise CheckpointError(message)


def _spacing(value: Any, path: Path) -> float:
    """Return a voxel size in mm."""
    numbers = _numbers(value if isinstance(value, list) else [value])
    if len(numbers) in (1, 3) and len(set(numbers)) == 1:
        low, high = SPACING_RANGE_MM
        if low <= numbers[0] <= high:
            return numbers[0]
    message = (
        f'{path}: "spacing_mm": expected one number (or three equal ones) from '
        f"{SPACING_RANGE_MM[0]:g} to {SPACING_RANGE_MM[1]:g}, got {value!r:.80}"
    )
    raise CheckpointError(message)


def _numbers(value: Any) -> list[float]:
    """Return the finite numbers of a list; nothing if it holds anything else."""
    if not isinstance(value, list):
        return []
    numbers = [float(v) for v in value if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(value) and all(map(math.isfinite, numbers)) else []
