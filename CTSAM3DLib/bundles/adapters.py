"""Adapters: small changes of a decoder for some anatomies, kept in the bundle beside its weights.

A change of a kernel is the product of two thin matrices (LoRA, arXiv 2106.09685), so that a group
of anatomies costs a sixtieth of the decoder; the changes of small parameters are kept whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.errors import BundleError

ADAPTERS_FILE = "adapters.bin"
"""File in a bundle: a line of JSON, a list of [adapter, parameter, shape], then of all arrays of
this list one after the other first the steps, one float32 (little-endian) for each row, then the
numbers, int8: a value is number times step. An array of one axis is one row."""
CHANGE_FILE = "adapter.pt"
"""File of a training run: anatomies, the change of each parameter, checksum of the bundle."""
SMALL = 3000
"""The change of a parameter of so few numbers is kept whole."""

Adapter: TypeAlias = Mapping[str, tuple[Tensor, ...]]
"""By the name of a parameter of the segmenter: its change, or (rank, rows) and (rank, others)."""


def low_rank(change: Mapping[str, Tensor], rank: int) -> dict[str, tuple[Tensor, ...]]:
    """Return the adapter that is nearest to a change of parameters; parameters without one are out.

    Examples
    --------
    >>> kernel = torch.arange(64.0)[:, None] * torch.ones(1, 64)
    >>> left, right = low_rank({"kernel": kernel}, 1)["kernel"]
    >>> left.shape, right.shape, torch.allclose(left.T @ right, kernel, atol=1e-3)
    (torch.Size([1, 64]), torch.Size([1, 64]), True)
    """
    result: dict[str, tuple[Tensor, ...]] = {}
    for name, value in change.items():
        if not value.any():
            continue
        if value.ndim < 2 or value.numel() <= SMALL:
            result[name] = (value,)
        else:
            left, weights, right = torch.linalg.svd(value.flatten(1), full_matrices=False)
            root = weights[:rank, None].sqrt()
            result[name] = (root * left.T[:rank], root * right[:rank])
    return result


def adapted(module: Any, adapter: Adapter) -> Any:
    """Return a copy of a promptable model whose segmenter has the changes of an adapter."""
    with torch.no_grad():
        module = deepcopy(module)
        parameters = dict(module.segmenter.named_parameters())
        for name, factors in adapter.items():
            parameter = parameters[name]
            parts = [part.to(parameter) for part in factors]
            change = parts[0] if len(parts) == 1 else parts[0].T @ parts[1]
            parameter.add_(change.reshape(parameter.shape))
    return module


def to_bytes(adapters: Mapping[str, Adapter]) -> bytes:
    """Return the content of `ADAPTERS_FILE`; empty for no adapters.

    What `from_bytes` has read becomes the same bytes again.
    """
    arrays = [
        (adapter, name, np.asarray(factor.tolist(), np.float64))
        for adapter, changes in adapters.items()
        for name, factors in changes.items()
        for factor in factors
    ]
    if not arrays:
        return b""
    header = json.dumps([[adapter, name, array.shape] for adapter, name, array in arrays])
    rows = [array.reshape(_row_count(array.shape), -1) for _, _, array in arrays]
    steps = [_steps(values) for values in rows]
    numbers = [
        np.rint(v / np.where(s > 0, s, 1.0)[:, None]) for v, s in zip(rows, steps, strict=True)
    ]
    return b"".join(
        [
            header.encode() + b"\n",
            *(step.astype("<f4").tobytes() for step in steps),
            *(number.astype(np.int8).tobytes() for number in numbers),
        ]
    )


def from_bytes(content: bytes, path: Path) -> dict[str, dict[str, tuple[Tensor, ...]]]:
    """Read what `to_bytes` has written; `path` is the bundle, for messages.

    Raises BundleError: it is damaged.
    """
    found: dict[str, dict[str, tuple[Tensor, ...]]] = {}
    if not content:
        return found
    try:
        header, _, rest = content.partition(b"\n")
        arrays = [(str(a), str(n), tuple(map(int, shape))) for a, n, shape in json.loads(header)]
        if any(n <= 0 for _, _, shape in arrays for n in shape):
            raise ValueError("an array has no numbers")
        rows = [_row_count(shape) for _, _, shape in arrays]
        sizes = [math.prod(shape) for _, _, shape in arrays]
        if 4 * sum(rows) + sum(sizes) != len(rest):
            raise ValueError(f"expected {4 * sum(rows) + sum(sizes)} bytes, got {len(rest)}")
        steps = np.frombuffer(rest, "<f4", sum(rows))
        if not (np.abs(steps) <= np.finfo(np.float32).max / 128).all():
            raise ValueError("it holds NaN or infinity")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: its {ADAPTERS_FILE}: {error}") from error
    numbers = np.frombuffer(rest, np.int8, offset=steps.nbytes)
    for (adapter, name, shape), count, size in zip(arrays, rows, sizes, strict=True):
        values = numbers[:size].reshape(count, -1) * steps[:count, None].astype(np.float32)
        numbers, steps = numbers[size:], steps[count:]
        changes = found.setdefault(adapter, {})
        factor = torch.frombuffer(bytearray(values.tobytes()), dtype=torch.float32).view(shape)
        changes[name] = (*changes.get(name, ()), factor)
    return found


def check_fit(adapters: Mapping[str, Adapter], module: Any, path: Path) -> None:
    """Raise BundleError unless each change has the size of a parameter of the segmenter."""
    segmenter = getattr(module, "segmenter", None)
    shapes = {name: p.shape for name, p in segmenter.named_parameters()} if segmenter else {}
    for adapter, changes in adapters.items():
        for name, factors in changes.items():
            expected = shapes.get(name)
            if expected is None or not _fits(factors, expected):
                got = [tuple(factor.shape) for factor in factors]
                raise BundleError(
                    f"{path} is damaged: adapter {adapter!r} changes {name!r} by {got}, expected "
                    f"{'no such parameter' if expected is None else tuple(expected)}"
                )


def _fits(factors: tuple[Tensor, ...], shape: torch.Size) -> bool:
    if len(factors) == 1:
        return factors[0].shape == shape
    if len(factors) != 2 or any(factor.ndim != 2 for factor in factors) or not shape:
        return False
    (rank, rows), (inner, others) = factors[0].shape, factors[1].shape
    return rank == inner and rows == shape[0] and rows * others == shape.numel()


def _row_count(shape: Sequence[int]) -> int:
    return shape[0] if len(shape) > 1 else 1


def _steps(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """127 steps reach the largest value of a row; of 11 bits, so that its multiples are exact."""
    mantissa, exponent = np.frexp(np.abs(rows).max(1) / 127)
    steps: NDArray[np.float64] = np.ldexp(np.ceil(mantissa * 2048) / 2048, exponent)
    return steps
