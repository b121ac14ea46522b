"""Prompts as maps: clicks as Gaussians, and the prompt on coarser grids.

Two behaviours, chosen by a flag of the model: ``official`` (a later click overwrites the box round
it, coordinates are truncated) for the authors' weights, and the mended one (maximum over clicks,
nearest voxel) for ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CLICK_SIGMA = 2.0
CLICK_RADIUS = 8
# Smallest kernel value that is kept: float32 epsilon, the peak being 1.
KERNEL_FLOOR = 1.1920929e-07


def click_kernel(sigma: float, radius: int) -> Tensor:
    """Gaussian kernel of one click: (K, K, K) float32 with peak 1, K = 2 * radius + 1.

    `sigma` and `radius` are in patch voxels; values below `KERNEL_FLOOR` are 0.
    """
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    square = offsets * offsets
    distance = square.view(-1, 1, 1) + square.view(1, -1, 1) + square.view(1, 1, -1)
    kernel = torch.exp(-distance / (2.0 * sigma * sigma))
    return torch.where(kernel < 1.1920929e-07, torch.zeros_like(kernel), kernel)


def render_clicks(
    points_kji: Tensor,
    labels: Tensor,
    depth: int,
    height: int,
    width: int,
    overwrite: bool,
    sigma: float = 2.0,
    radius: int = 8,
) -> Tensor:
    """Render clicks into a positive and a negative map: (2, D, H, W) float32 in [0, 1].

    `points_kji` are (N, 3) float32 voxels of the patch; `labels` (N,) int64, 1 positive, 0
    negative, others are left out. `sigma` and `radius` (half the edge of a click's box) are in
    voxels. With `overwrite` (the official quirk) a click replaces its whole box and coordinates are
    truncated; else the maximum over clicks counts and coordinates go to the nearest voxel. Clicks
    outside the patch still add the part of their box that lies inside.

    Examples
    --------
    >>> points = torch.tensor([[4.0, 4.0, 4.0], [12.0, 4.0, 4.0]])
    >>> maps = render_clicks(points, torch.tensor([1, 0]), 16, 16, 16, overwrite=False)
    >>> float(maps[0, 4, 4, 4]), float(maps[1, 12, 4, 4]), float(maps[0, 15, 15, 15])
    (1.0, 1.0, 0.0)
    """
    if points_kji.device.type != "cpu":
        size = [depth, height, width]
        return render_without_reading(points_kji, labels, size, overwrite, sigma, radius)
    kernel = click_kernel(sigma, radius)
    maps = torch.zeros((2, depth, height, width))
    shift = 0.0 if overwrite else 0.5
    centres = torch.floor(points_kji + shift).to(torch.int64)
    for index in range(centres.shape[0]):
        label = int(labels[index])
        if label == 0 or label == 1:
            k, j, i = int(centres[index, 0]), int(centres[index, 1]), int(centres[index, 2])
            k0, k1 = max(k - radius, 0), min(k + radius + 1, depth)
            j0, j1 = max(j - radius, 0), min(j + radius + 1, height)
            i0, i1 = max(i - radius, 0), min(i + radius + 1, width)
            if k0 < k1 and j0 < j1 and i0 < i1:
                part = kernel[
                    k0 - k + radius : k1 - k + radius,
                    j0 - j + radius : j1 - j + radius,
                    i0 - i + radius : i1 - i + radius,
                ]
                box = maps[1 - label, k0:k1, j0:j1, i0:i1]
                box.copy_(part if overwrite else torch.maximum(box, part))
    return maps


def render_without_reading(
    points_kji: Tensor,
    labels: Tensor,
    size: list[int],
    overwrite: bool,
    sigma: float = 2.0,
    radius: int = 8,
) -> Tensor:
    """Do what `render_clicks` does on whole volumes, so that no number has to leave a GPU.

    `size` is depth, height and width. The result is bit for bit that of `render_clicks`.
    """
    device = points_kji.device
    shift = 0.0 if overwrite else 0.5
    centres = torch.floor(points_kji + shift)
    channels = torch.arange(2, device=device).view(2, 1, 1, 1)
    k = torch.arange(size[0], device=device).view(-1, 1, 1)
    j = torch.arange(size[1], device=device).view(1, -1, 1)
    i = torch.arange(size[2], device=device).view(1, 1, -1)
    maps = torch.zeros((2, size[0], size[1], size[2]), device=device)
    for index in range(centres.shape[0]):
        dk, dj, di = k - centres[index, 0], j - centres[index, 1], i - centres[index, 2]
        value = torch.exp(-(dk * dk + dj * dj + di * di) / (2.0 * sigma * sigma))
        value = torch.where(value < 1.1920929e-07, torch.zeros_like(value), value)
        inside = (dk.abs() <= radius) & (dj.abs() <= radius) & (di.abs() <= radius)
        chosen = inside & (channels == 1 - labels[index])
        drawn = value if overwrite else torch.maximum(maps, value)
        maps = torch.where(chosen, drawn, maps)
    return maps


def resize_trilinear(grid: Tensor, size: list[int]) -> Tensor:
    """Resize (B, C, D, H, W) to ``size`` = [d, h, w]; corners not aligned, no anti-aliasing.

    A script of ``interpolate`` holds operators of the newest PyTorch, so that older ones cannot
    load it. The single operator called here is in all of them.
    """
    resized: Tensor = torch.ops.aten.upsample_trilinear3d(grid, size, False)
    return resized


def resize_prompt(prompt: Tensor, size: list[int], mode: str) -> Tensor:
    """Bring the prompt (B, 3, D, H, W) to a coarser grid of ``size`` = [d, h, w].

    ``trilinear`` samples without anti-aliasing, as the official network does; ``area`` averages;
    ``max`` keeps the peak of each block, so that no click is lost. Raises ValueError: unknown mode.
    """
    if mode == "trilinear":
        return resize_trilinear(prompt, size)
    if mode == "area":
        return functional.adaptive_avg_pool3d(prompt, (size[0], size[1], size[2]))
    if mode == "max":
        return functional.adaptive_max_pool3d(prompt, size)
    raise ValueError("prompt resize mode: expected trilinear, area or max, got " + mode)
