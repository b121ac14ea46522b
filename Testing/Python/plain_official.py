"""A second, deliberately plain implementation of the official network: NumPy, float64, no torch.

Written from the formulas alone, as an oracle for ``CTSAM3DLib.network``: convolutions are sums over
shifted copies, resizing is a matrix per axis, and nothing is fast. Arrays are (B, C, D, H, W);
``weights`` maps official state-dict keys to float64 arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def convolve(x: Array, weights: Weights, name: str, stride: int = 1) -> Array:
    """Zero-padded convolution with an odd kernel; depthwise where the kernel has one channel."""
    kernel = weights[f"{name}.weight"]
    bias = weights.get(f"{name}.bias", np.zeros(len(kernel)))
    size = kernel.shape[2]
    pad = size // 2
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad), (pad, pad)])
    counts = [(n - 1) // stride + 1 for n in x.shape[2:]]
    out = np.zeros((len(x), len(kernel), *counts)) + bias[:, None, None, None]
    depthwise = kernel.shape[1] == 1 and x.shape[1] > 1
    for tap in itertools.product(range(size), repeat=3):
        window = [
            slice(t, t + stride * (n - 1) + 1, stride) for t, n in zip(tap, counts, strict=True)
        ]
        shifted = padded[:, :, window[0], window[1], window[2]]
        if depthwise:
            out += kernel[:, 0][(..., *tap)][:, None, None, None] * shifted
        else:
            out += np.einsum("oc,bcxyz->boxyz", kernel[(..., *tap)], shifted, optimize=True)
    return out


def convolve_transposed(x: Array, weights: Weights, name: str) -> Array:
    """Transposed convolution of stride 2 that doubles the grid, for kernels of 2 and of 3."""
    kernel = weights[f"{name}.weight"]
    size = kernel.shape[2]
    out_shape = [2 * n for n in x.shape[2:]]
    full = np.zeros((len(x), kernel.shape[1], *[n + 2 for n in out_shape]))
    for tap in itertools.product(range(size), repeat=3):
        a, b, c = (slice(t, t + 2 * (n - 1) + 1, 2) for t, n in zip(tap, x.shape[2:], strict=True))
        full[:, :, a, b, c] += np.einsum("co,bcxyz->boxyz", kernel[(..., *tap)], x, optimize=True)
    first = (size - 1) // 2
    d, h, w = (slice(first, first + n) for n in out_shape)
    return full[:, :, d, h, w] + weights[f"{name}.bias"][:, None, None, None]


def resize_trilinear(x: Array, size: tuple[int, ...]) -> Array:
    """Linear interpolation at the new voxel centres, axis by axis, without anti-aliasing."""
    for axis, new in enumerate(size, start=2):
        old = x.shape[axis]
        matrix = np.zeros((new, old))
        for i in range(new):
            position = max((i + 0.5) * old / new - 0.5, 0.0)
            low = math.floor(position)
            matrix[i, low] += 1.0 - (position - low)
            matrix[i, min(low + 1, old - 1)] += position - low
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return x


def resize_blocks(x: Array, size: tuple[int, ...], mode: str) -> Array:
    """Mean or maximum over the blocks of a grid that is a multiple of the new one."""
    shape = [n for new, old in zip(size, x.shape[2:], strict=True) for n in (new, old // new)]
    blocks = x.reshape(*x.shape[:2], *shape)
    return blocks.mean(axis=(3, 5, 7)) if mode == "area" else blocks.max(axis=(3, 5, 7))


def normalise(x: Array, axes: int | tuple[int, ...], epsilon: float) -> Array:
    """Zero mean and unit (biased) variance over the axes."""
    variance = x.var(axis=axes, keepdims=True)
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(variance + epsilon)


def channel_norm(x: Array, weights: Weights, name: str) -> Array:
    """Layer norm over axis 1 with weight and bias."""
    tail = (1,) * (x.ndim - 2)
    scale = weights[f"{name}.weight"].reshape(-1, *tail)
    return normalise(x, 1, 1e-6) * scale + weights[f"{name}.bias"].reshape(-1, *tail)


def gelu(x: Array) -> Array:
    """Exact GELU."""
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def sigmoid(x: Array) -> Array:
    """Logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def linear(x: Array, weights: Weights, name: str) -> Array:
    """Linear layer on axis 1 of (B, C, D, H, W)."""
    product = np.einsum("oc,bcxyz->boxyz", weights[f"{name}.weight"], x, optimize=True)
    return product + weights[f"{name}.bias"][:, None, None, None]


def attention(x: Array, weights: Weights, name: str, heads: int, stride: int) -> Array:
    """Attention of every voxel to the strided grid, plus the stretched and normed values."""
    batch, width, *grid = x.shape
    keys = x
    if stride > 1:
        keys = channel_norm(convolve(x, weights, f"{name}.sr", stride), weights, f"{name}.sr_norm")
    pair = linear(keys, weights, f"{name}.kv")
    key, value = pair[:, :width], pair[:, width:]
    query = linear(x, weights, f"{name}.q")
    mixed = np.zeros((batch, width, math.prod(grid)))
    per_head = width // heads
    for item, head in itertools.product(range(batch), range(heads)):
        rows = slice(head * per_head, (head + 1) * per_head)
        q, k, v = (a[item, rows].reshape(per_head, -1) for a in (query, key, value))
        scores = np.exp(q.T @ k / math.sqrt(per_head))
        mixed[item, rows] = v @ (scores / scores.sum(axis=1, keepdims=True)).T
    stretched = channel_norm(resize_trilinear(value, tuple(grid)), weights, f"{name}.up_norm")
    return linear(mixed.reshape(x.shape) + stretched, weights, f"{name}.proj")


def stem(x: Array, weights: Weights, name: str) -> Array:
    """Two strided convolutions with batch norm at its running statistics, then a 1³ one."""
    for conv, norm in ((0, 1), (3, 4)):
        x = convolve(x, weights, f"{name}.{conv}", stride=2)
        stats = {
            part: weights[f"{name}.{norm}.{part}"][:, None, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        }
        x = (x - stats["running_mean"]) / np.sqrt(stats["running_var"] + 1e-5)
        x = np.maximum(x * stats["weight"] + stats["bias"], 0.0)
    return convolve(x, weights, f"{name}.6")


def encode(weights: Weights, patch: Array, heads: tuple[int, ...]) -> list[Array]:
    """Feature maps at 1/4, 1/8, 1/16 and 1/32 of a normalised patch (B, 1, D, H, W)."""
    maps = []
    x = patch
    for stage in range(1, 5):
        entry = "image_encoder.stem" if stage == 1 else f"image_encoder.patch_{stage}"
        if stage == 1:
            x = stem(x, weights, f"{entry}.proj")
        else:
            x = convolve(x, weights, f"{entry}.proj", stride=2)
        x = x * sigmoid(convolve(x, weights, f"{entry}.pos.pa_conv"))
        x = channel_norm(x, weights, f"{entry}.norm")
        block = 0
        while f"image_encoder.stage{stage}.{block}.norm1.weight" in weights:
            name = f"image_encoder.stage{stage}.{block}"
            normed = channel_norm(x, weights, f"{name}.norm1")
            x = x + attention(normed, weights, f"{name}.attn", heads[stage - 1], 2 ** (4 - stage))
            hidden = gelu(
                linear(channel_norm(x, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1")
            )
            x = x + linear(hidden, weights, f"{name}.mlp.fc2")
            block += 1
        maps.append(convolve(x, weights, f"image_encoder.channel_mapper{stage}"))
    return maps


def prompt_norm(x: Array, prompt: Array, weights: Weights, name: str) -> Array:
    """Instance norm, scaled and shifted by what convolutions read from the prompt."""
    hidden = np.maximum(convolve(prompt, weights, f"{name}.mlp_shared.0"), 0.0)
    gamma = convolve(hidden, weights, f"{name}.mlp_gamma")
    beta = convolve(hidden, weights, f"{name}.mlp_beta")
    return normalise(x, (2, 3, 4), 1e-5) * (1.0 + gamma) + beta


def psap(x: Array, prompt: Array, weights: Weights, name: str) -> Array:
    """One residual block of two prompt-conditioned norms."""
    coarse = resize_trilinear(prompt, x.shape[2:])
    change = x
    for n in (0, 1):
        change = prompt_norm(change, coarse, weights, f"{name}.norm_{n}")
        change = np.where(change > 0.0, change, 0.2 * change)
        change = convolve(change, weights, f"{name}.conv_{n}")
    return x + change


def decode(
    weights: Weights, maps: list[Array], mask: Array, positive: Array, negative: Array
) -> Array:
    """Logits (B, channels, D, H, W) of the mask head from three (B, 1, D, H, W) prompt maps."""
    prompt = np.concatenate([mask, positive, negative], axis=1)
    x = maps[3]
    for level in range(1, 6):
        x = psap(x, prompt, weights, f"mask_decoder.spade{level}")
        x = convolve_transposed(x, weights, f"mask_decoder.upscale{level}.cna.0")
        x = gelu(channel_norm(x, weights, f"mask_decoder.upscale{level}.cna.1"))
        if level < 4:
            x = np.concatenate([x, maps[3 - level]], axis=1)
    return convolve(x, weights, "mask_decoder.mask_prediction_head.0")


def activated(x: Array, weights: Weights, name: str) -> Array:
    """Instance norm and PReLU of one weight, as in every unit of the cross-patch predictor."""
    x = normalise(x, (2, 3, 4), 1e-5)
    return np.where(x > 0.0, x, float(weights[f"{name}.adn.A.weight"][0]) * x)


def residual_unit(x: Array, weights: Weights, name: str, stride: int) -> Array:
    """Two activated convolutions plus a convolved shortcut."""
    out = convolve(x, weights, f"{name}.conv.unit0.conv", stride)
    out = activated(out, weights, f"{name}.conv.unit0")
    out = activated(
        convolve(out, weights, f"{name}.conv.unit1.conv"), weights, f"{name}.conv.unit1"
    )
    return out + convolve(x, weights, f"{name}.residual", stride)


def cross_patch(weights: Weights, pair: Array, name: str = "cpp_predictor.model") -> Array:
    """Heat map of a click in the neighbour, level by level from the finest."""
    down = residual_unit(pair, weights, f"{name}.0", stride=2)
    inner = f"{name}.1.submodule"
    if f"{inner}.0.residual.weight" in weights:
        deeper = cross_patch(weights, down, inner)
    else:
        deeper = residual_unit(down, weights, inner, stride=1)
    x = np.concatenate([down, deeper], axis=1)
    x = activated(convolve_transposed(x, weights, f"{name}.2.0.conv"), weights, f"{name}.2.0")
    last = convolve(x, weights, f"{name}.2.1.conv.unit0.conv")
    if f"{name}.2.1.conv.unit0.adn.A.weight" in weights:
        last = activated(last, weights, f"{name}.2.1.conv.unit0")
    return x + last
