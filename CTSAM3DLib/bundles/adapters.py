"""Adapters: small changes of a decoder for some anatomies, kept in the bundle beside its weights.

A change of a kernel is the product of two thin matrices (LoRA, arXiv 2106.09685), so that a group
of anatomies costs a fiftieth of the decoder; the changes of small parameters are kept whole.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from CTSAM3DLib.errors import BundleError

ADAPTERS_FILE = "adapters.npz"
"""File in a bundle: arrays ``ADAPTER/PARAMETER/0`` and, where there are two factors, ``.../1``."""
CHANGE_FILE = "adapter.pt"
"""File of a training run: anatomies, the change of each parameter, checksum of the bundle."""
SMALL = 3000
"""The change of a parameter of so few numbers is kept whole."""

Adapter: TypeAlias = Mapping[str, tuple[Tensor, ...]]
"""By the name of a parameter of the segmenter: its change, or (rows, rank) and (rank, others)."""


def low_rank(change: Mapping[str, Tensor], rank: int) -> dict[str, tuple[Tensor, ...]]:
    """Return the adapter that is nearest to a change of parameters; parameters without one are out.

    Examples
    --------
    >>> kernel = torch.arange(64.0)[:, None] * torch.ones(1, 64)
    >>> left, right = low_rank({"kernel": kernel}, 1)["kernel"]
    >>> left.shape, right.shape, torch.allclose(left @ right, kernel, atol=1e-3)
    (torch.Size([64, 1]), torch.Size([1, 64]), True)
    """
    result: dict[str, tuple[Tensor, ...]] = {}
    for name, value in change.items():
        if not value.any():
            continue
        if value.ndim < 2 or value.numel() <= SMALL:
            result[name] = (value,)
        else:
            left, weights, right = torch.linalg.svd(value.flatten(1), full_matrices=False)
            root = weights[:rank].sqrt()
            result[name] = (left[:, :rank] * root, root[:, None] * right[:rank])
    return result


def adapted(module: Any, adapter: Adapter) -> Any:
    """Return a copy of a promptable model whose segmenter has the changes of an adapter."""
    with torch.no_grad():
        module = deepcopy(module)
        parameters = dict(module.segmenter.named_parameters())
        for name, factors in adapter.items():
            parameter = parameters[name]
            parts = [part.to(parameter) for part in factors]
            change = parts[0] if len(parts) == 1 else parts[0] @ parts[1]
            parameter.add_(change.reshape(parameter.shape))
    return module


def to_bytes(adapters: Mapping[str, Adapter]) -> bytes:
    """Return the content of `ADAPTERS_FILE`, float16; empty for no adapters."""
    arrays = {
        f"{adapter}/{name}/{number}": np.asarray(factor.tolist(), np.float16)
        for adapter, changes in adapters.items()
        for name, factors in changes.items()
        for number, factor in enumerate(factors)
    }
    if not arrays:
        return b""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(content: bytes, path: Path) -> dict[str, dict[str, tuple[Tensor, ...]]]:
    """Read what `to_bytes` has written; `path` is the bundle, for messages.

    Raises BundleError: it is damaged, or would unpack to more than it is.
    """
    found: dict[str, dict[str, tuple[Tensor, ...]]] = {}
    if not content:
        return found
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("its arrays are compressed")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for key in arrays.files:
                adapter, name, number = key.split("/")
                factors = found.setdefault(adapter, {}).setdefault(name, ())
                if int(number) != len(factors):
                    raise ValueError(f"{key} is out of order")
                array = arrays[key].astype(np.float32)
                factor = torch.frombuffer(bytearray(array.tobytes()), dtype=torch.float32)
                found[adapter][name] = (*factors, factor.view(array.shape))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is damaged: its {ADAPTERS_FILE}: {error}") from error
    return found


def check_fit(adapters: Mapping[str, Adapter], module: Any, path: Path) -> None:
    """Raise BundleError unless each change has the size of a parameter of the segmenter."""
    shapes = {name: p.shape for name, p in module.segmenter.named_parameters()}
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
    finite = all(bool(torch.isfinite(factor).all()) for factor in factors)
    if len(factors) == 1:
        return finite and factors[0].shape == shape
    if len(factors) != 2 or any(factor.ndim != 2 for factor in factors) or not shape:
        return False
    (rows, rank), (inner, others) = factors[0].shape, factors[1].shape
    return finite and rank == inner and rows == shape[0] and rows * others == shape.numel()
