"""Where bfloat16 is safe in training."""

from __future__ import annotations

import torch
from torch import Tensor

HALVINGS = 4
SMALLEST_CPU_SIDE = 3


def mixed_precision(patches: Tensor) -> torch.autocast:
    """Return the autocast context for a step on a batch of patches.

    On a CPU it is switched off where the coarsest map has a side below 3 voxels: for such maps
    the bfloat16 weight gradient of a 3x3x3 convolution came back with uninitialised memory in it
    (oneDNN in PyTorch 2.13, measured; float32, larger maps and GPUs are right).

    Parameters
    ----------
    patches : Tensor
        (B, C, D, H, W); its device and its sides decide.

    Returns
    -------
    torch.autocast
        To be used with ``with``.

    Examples
    --------
    >>> with mixed_precision(torch.zeros(1, 1, 32, 32, 32)):
    ...     torch.is_autocast_enabled("cpu")
    False
    >>> with mixed_precision(torch.zeros(1, 1, 48, 48, 48)):
    ...     torch.is_autocast_enabled("cpu")
    True
    """
    device = patches.device.type
    safe = device != "cpu" or min(patches.shape[2:]) >> HALVINGS >= SMALLEST_CPU_SIDE
    return torch.autocast(device, torch.bfloat16, enabled=safe)
