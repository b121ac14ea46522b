"""The lite network again, from its formulas: NumPy, float64, no torch; see plain_official."""

from __future__ import annotations

import numpy as np
from plain_official import Array, Weights, convolve, convolve_transposed, normalise, resize_blocks


def leaky(x: Array, slope: float) -> Array:
    """Leaky ReLU."""
    return np.where(x > 0.0, x, slope * x)


def affine_norm(x: Array, weights: Weights, name: str) -> Array:
    """Instance norm with one weight and bias per channel."""
    scale, shift = (weights[f"{name}.{part}"][:, None, None, None] for part in ("weight", "bias"))
    return normalise(x, (2, 3, 4), 1e-5) * scale + shift


def residual(x: Array, weights: Weights, name: str) -> Array:
    """Residual block of stride 2."""
    y = leaky(affine_norm(convolve(x, weights, f"{name}.conv0", 2), weights, f"{name}.norm0"), 0.1)
    y = affine_norm(convolve(y, weights, f"{name}.conv1"), weights, f"{name}.norm1")
    return leaky(y + convolve(x, weights, f"{name}.shortcut", 2), 0.1)


def encode(weights: Weights, image: Array, levels: int) -> list[Array]:
    """Coarsest features, then lateral maps from coarse to fine."""
    features = [leaky(affine_norm(convolve(image, weights, "stem"), weights, "stem_norm"), 0.1)]
    for level in range(levels):
        features.append(residual(features[-1], weights, f"stages.{level}"))
    laterals = [
        convolve(features[level], weights, f"laterals.{levels - 1 - level}")
        for level in range(levels - 1, 0, -1)
    ]
    return [features[-1], *laterals, convolve(features[0], weights, "fine_lateral")]


def psap(x: Array, prompt: Array, weights: Weights, name: str) -> Array:
    """Two modulated norms, each followed by a convolution, and the shortcut."""
    hidden = np.maximum(convolve(prompt, weights, f"{name}.prompt"), 0.0)
    half = hidden.shape[1] // 2
    y = x
    for n, part in enumerate((hidden[:, :half], hidden[:, half:])):
        gamma, beta = np.split(convolve(part, weights, f"{name}.modulate{n}"), 2, axis=1)
        y = leaky(normalise(y, (2, 3, 4), 1e-5) * (1.0 + gamma) + beta, 0.2)
        y = convolve(y, weights, f"{name}.conv{n}")
    return x + y


def decode(weights: Weights, embedding: list[Array], prompt: Array, mode: str = "max") -> Array:
    """Logits (B, 1, D, H, W)."""
    levels = len(embedding) - 1
    x = embedding[0]
    for n in range(levels):
        size = tuple(side >> (levels - n) for side in prompt.shape[2:])
        x = psap(x, resize_blocks(prompt, size, mode), weights, f"psap.{n}")
        x = convolve_transposed(x, weights, f"upscale.{n}")
        if n < levels - 1:
            x = x + embedding[n + 1]
    x = convolve(x, weights, "refine_features") + embedding[-1]
    x = leaky(
        affine_norm(x + convolve(prompt, weights, "refine_prompt"), weights, "refine_norm"), 0.1
    )
    return convolve(x, weights, "head")
