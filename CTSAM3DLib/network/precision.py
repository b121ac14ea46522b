"""Number formats of a loaded model: float32, or bfloat16 where the hardware computes with it."""

from __future__ import annotations

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
