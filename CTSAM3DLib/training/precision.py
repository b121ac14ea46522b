"""In which precision a processor or graphics card learns fastest."""

from __future__ import annotations

import torch
from torch import Tensor

HALVINGS = 4
SMALLEST_CPU_SIDE = 3


def mixed_precision(patches: Tensor) -> torch.autocast:
    """Return the autocast context for a step on patches (B, C, D, H, W).

    A CPU without bfloat16 instructions is 10 to 50 times slower in bfloat16 than in float32, so
    there it is switched off. On other CPUs it is off where the coarsest map has a side below 3
    voxels: oneDNN of PyTorch 2.13 returns uninitialised memory in bfloat16 gradients of 3x3x3
    convolutions.
    """
    device = patches.device.type
    deep_enough = min(patches.shape[2:]) >> HALVINGS >= SMALLEST_CPU_SIDE
    useful = device != "cpu" or (deep_enough and cpu_has_bfloat16())
    return torch.autocast(device, torch.bfloat16, enabled=useful)


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor multiplies in bfloat16; PyTorch before 2.9 does not know."""
    can: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def quick_dtype(tensor: Tensor) -> torch.dtype:
    """Return in what the device of a tensor multiplies matrices fast: bfloat16 or float32."""
    quick = tensor.device.type != "cpu" or cpu_has_bfloat16()
    return torch.bfloat16 if quick else torch.float32
