"""Number formats of a loaded model: float32, or bfloat16 where the hardware computes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from CTSAM3DLib.errors import DeviceError


def check_precision(precision: str, device: torch.device) -> None:
    """Raise where a precision is unknown, or would be slower than float32.

    Parameters
    ----------
    precision : str
        ``float32``, or ``bfloat16``: about 1.7 times faster on a processor with AVX512-BF16, and
        probabilities differ by up to some hundredths.
    device : torch.device
        Where the model runs.

    Raises
    ------
    DeviceError
        Another name, or hardware that does not compute with bfloat16.

    Examples
    --------
    >>> check_precision("float32", torch.device("cpu"))
    >>> check_precision("int8", torch.device("cpu"))
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.DeviceError: expected precision float32 or bfloat16, got 'int8'
    """
    if precision not in ("float32", "bfloat16"):
        message = f"expected precision float32 or bfloat16, got {precision!r}"
        raise DeviceError(message)
    if precision == "bfloat16" and not computes_bfloat16(device):
        name = "graphics card" if device.type == "cuda" else "processor"
        message = (
            f"precision bfloat16 makes no sense here: this {name} does not compute with it and "
            "would be slower, not faster; use float32"
        )
        raise DeviceError(message)


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for bfloat16.

    Examples
    --------
    >>> computes_bfloat16(torch.device("meta"))
    False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    # Newer PyTorch tells whether there are such instructions, older whether oneDNN can do it.
    asked = [
        getattr(torch.cpu, name)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if hasattr(torch.cpu, name)
    ]
    return any(asked) if asked else bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let a graphics card multiply float32 as float32 while a block runs.

    PyTorch lets cuDNN round the factors of float32 convolutions to the 11 digits of TF32 unless it
    is told otherwise, and other code in the process may have allowed it for products of matrices.
    The settings are those of the process; they are put back as they were.

    Examples
    --------
    >>> before = torch.backends.cudnn.allow_tf32
    >>> with exact_float32():
    ...     pass
    >>> torch.backends.cudnn.allow_tf32 == before
    True
    """
    backends: Any = torch.backends
    newer = hasattr(backends.cuda.matmul, "fp32_precision")  # since PyTorch 2.9
    name, exact = ("fp32_precision", "ieee") if newer else ("allow_tf32", False)
    holders = (backends.cudnn.conv if newer else backends.cudnn, backends.cuda.matmul)
    before = [getattr(holder, name) for holder in holders]
    try:
        for holder in holders:
            setattr(holder, name, exact)
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            setattr(holder, name, value)


def narrow_segmenter(module: Any) -> None:
    """Turn the segmenter of a float32 bundle to bfloat16; its cross-patch predictor stays.

    Parameters
    ----------
    module : ScriptModule
        A bundle, changed in place.
    """
    module.segmenter.to(torch.bfloat16)
    # In official models it is part of the segmenter.
    module.cross_patch_net.to(torch.float32)
