"""Resizing of feature maps and prompts that scripts into files older PyTorch versions can read.

Scripting ``torch.nn.functional.interpolate`` writes its whole body into the file, with every
operator that the writing PyTorch knows: a file written by PyTorch 2.13 then does not load in 2.2
(``Unknown builtin op: aten::_upsample_lanczos2d_aa``). The single operator called here is in both.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resize_trilinear(grid: Tensor, size: list[int]) -> Tensor:
    """Resize (B, C, D, H, W) to ``size`` = [d, h, w]; corners not aligned, no anti-aliasing.

    Parameters
    ----------
    grid : Tensor
        Float tensor (B, C, D, H, W).
    size : list of int
        Target size.

    Examples
    --------
    >>> resize_trilinear(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 1, 2), [1, 1, 4]).flatten()
    tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """
    resized: Tensor = torch.ops.aten.upsample_trilinear3d(grid, size, False)
    return resized


def resize_prompt(prompt: Tensor, size: list[int], mode: str) -> Tensor:
    """Bring the prompt (B, 3, D, H, W) to a coarser grid of ``size`` = [d, h, w].

    Parameters
    ----------
    prompt : Tensor
        Float tensor (B, 3, D, H, W).
    size : list of int
        Target size.
    mode : str
        ``"trilinear"`` samples without anti-aliasing, as the official network does; ``"area"``
        averages and ``"max"`` keeps the peak of each block, so that no click is lost.

    Raises
    ------
    ValueError
        Unknown mode.

    Examples
    --------
    >>> prompt = torch.zeros(1, 3, 8, 8, 8)
    >>> prompt[0, 1, 0, 0, 0] = 1.0
    >>> [float(resize_prompt(prompt, [2, 2, 2], m).max()) for m in ("trilinear", "max")]
    [0.0, 1.0]
    """
    if mode == "trilinear":
        return resize_trilinear(prompt, size)
    if mode == "area":
        return functional.adaptive_avg_pool3d(prompt, (size[0], size[1], size[2]))
    if mode == "max":
        return functional.adaptive_max_pool3d(prompt, size)
    raise ValueError("prompt resize mode: expected trilinear, area or max, got " + mode)
