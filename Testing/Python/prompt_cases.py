"""Prompts that reach every way of decoding: borders, corners, full and empty masks, soft edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int, int]
Prompt = NDArray[np.float64]


def gaussian(center_kji: tuple[float, float, float], size: Size) -> Prompt:
    """Click map as the models draw it: sigma 2, peak 1, nothing beyond 8 voxels."""
    distance = np.indices(size) - np.array(center_kji).reshape(3, 1, 1, 1)
    drawn = np.exp(-(distance**2).sum(axis=0) / 8.0)
    return np.where(np.abs(distance).max(axis=0) <= 8, drawn, 0.0)


def ball(center_kji: tuple[float, float, float], radius: float, edge: float, size: Size) -> Prompt:
    """Mask probability of a ball, exactly 0 and 1 away from its edge of some voxels."""
    distance = np.indices(size) - np.array(center_kji).reshape(3, 1, 1, 1)
    inside = radius - np.sqrt((distance**2).sum(axis=0))
    return np.clip(0.5 + inside / max(edge, 1e-9), 0.0, 1.0)


def prompt_cases(size: Size) -> dict[str, Prompt]:
    """Named prompts (1, 3, D, H, W): mask, positive, negative."""
    d, h, w = size
    none = np.zeros(size)
    centre = gaussian((d // 2, h // 2, w // 2 + 1), size)
    corner, last = gaussian((0, 0, 0), size), gaussian((d - 1, h - 1, w - 1), size)
    face = gaussian((d // 2, 0, w // 3), size)
    half = np.broadcast_to(np.indices(size)[2] < w // 2 - 1, size).astype(float)
    soft = 1.0 / (1.0 + np.exp(-(np.indices(size)[0] - d / 3) / 2.0))
    cases = {
        "nothing": (none, none, none),
        "centre": (none, centre, none),
        "first corner": (none, corner, none),
        "last corner": (none, none, last),
        "face": (none, face, none),
        "two clicks": (none, np.maximum(corner, face), none),
        "positive and negative": (none, centre, face),
        "ball": (ball((d / 2, h / 2, w / 2), d / 4, 0.0, size), centre, none),
        "ball at the border": (ball((2, h / 2, w), d / 3, 3.0, size), centre, corner),
        "half full": (half, face, none),
        "full": (none + 1.0, none, none),
        "full with clicks": (none + 1.0, centre, last),
        "soft": (soft, centre, none),
    }
    return {name: np.stack(maps)[None] for name, maps in cases.items()}
