"""Overlap of two masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from CTSAM3DLib.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dice(a_kji: NDArray[Any], b_kji: NDArray[Any]) -> float:
    """Dice overlap of two masks of one shape and any dtype, where non-zero is inside, 0 to 1.

    Twice the common volume over the sum of the volumes; 1.0 when both masks are empty, 0.0 when
    exactly one is. Raises GeometryError when the shapes differ.

    Examples
    --------
    >>> a = np.array([1, 1, 0, 0], bool)
    >>> dice(a, np.array([0, 1, 1, 1], bool))
    0.4
    >>> dice(a[:0], a[:0])
    1.0
    """
    a, b = checked_pair(a_kji, b_kji)
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    if total == 0:
        return 1.0
    return 2.0 * int(np.count_nonzero(a & b)) / total


def checked_pair(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks of one shape as bool.

    Raises GeometryError: the shapes differ.
    """
    first, second = np.asarray(a) != 0, np.asarray(b) != 0
    if first.shape != second.shape:
        raise GeometryError(
            f"expected two masks of one shape, got {first.shape} and {second.shape}"
        )
    return first, second
