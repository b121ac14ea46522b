"""Sizes of the official CT-SAM3D networks and of their small relative, as plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PROMPT_RESIZE_MODES = ("trilinear", "area", "max")


@dataclass(frozen=True)
class OfficialConfig:
    """Every size of an official-type segmenter; the defaults are those of the released model.

    Raises ValueError: a size is inconsistent with another, or a mode is unknown.

    Examples
    --------
    >>> OfficialConfig().encoder_depths
    (1, 2, 6, 2)
    >>> OfficialConfig(prompt_resize="nearest")
    Traceback (most recent call last):
        ...
    ValueError: prompt_resize: expected one of 'trilinear', 'area', 'max', got 'nearest'
    """

    name: str = "tiny"  # Name of the variant
    # tuple of 4 int: channels, transformer blocks and attention heads at scales 1/4, 1/8, 1/16
    # and 1/32
    encoder_widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    encoder_depths: tuple[int, int, int, int] = (1, 2, 6, 2)
    attention_heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    # Channels of the decoder at scales 1/32 to 1/4; must be divisible by 4. Scale 1/2 has half
    # and full resolution a quarter of them.
    decoder_width: int = 256
    # Hidden channels from which each prompt-conditioned norm computes its scale and shift
    prompt_hidden: int = 128
    mask_channels: int = 2  # Output channels of the mask head; only the first is ever used
    # Hidden width of the untrained mask quality head of official checkpoints; 0 leaves it out
    quality_hidden: int = 256
    # Columns of the unused random position buffer of official checkpoints; 0 leaves it out
    position_features: int = 128
    # Channels of the cross-patch prompt predictor, finest scale first; empty leaves it out
    cross_patch_widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    # How the prompt reaches coarse scales: ``"trilinear"`` as in the official network (no
    # anti-aliasing, so a click can fall between the sampled voxels), ``"area"`` or ``"max"``
    prompt_resize: str = "trilinear"

    def __post_init__(self) -> None:
        if self.prompt_resize not in PROMPT_RESIZE_MODES:
            known = ", ".join(repr(mode) for mode in PROMPT_RESIZE_MODES)
            msg = f"prompt_resize: expected one of {known}, got {self.prompt_resize!r}"
            raise ValueError(msg)
        if self.decoder_width % 4:
            msg = f"decoder_width: expected a multiple of 4, got {self.decoder_width}"
            raise ValueError(msg)
        for width, heads in zip(self.encoder_widths, self.attention_heads, strict=True):
            if width % heads:
                msg = f"encoder_widths: expected a multiple of {heads} heads, got {width}"
                raise ValueError(msg)


OFFICIAL_VARIANTS: Mapping[str, OfficialConfig] = MappingProxyType(
    {
        "tiny": OfficialConfig(),
        "small": OfficialConfig(name="small", encoder_depths=(1, 2, 12, 2)),
        "base": OfficialConfig(name="base", encoder_depths=(1, 3, 16, 3)),
        "large": OfficialConfig(
            name="large",
            encoder_widths=(128, 256, 512, 1024),
            encoder_depths=(2, 3, 16, 2),
            attention_heads=(2, 4, 8, 16),
        ),
    }
)
"""The four published sizes; ``tiny`` is the one whose weights were released."""

L1 = OfficialConfig(
    name="l1",
    encoder_widths=(32, 64, 128, 256),
    encoder_depths=(1, 2, 4, 1),
    attention_heads=(1, 2, 4, 8),
    decoder_width=64,
    prompt_hidden=32,
    mask_channels=1,
    quality_hidden=0,
    position_features=0,
    cross_patch_widths=(8, 16, 32, 64, 128),
)
"""The official architecture with small numbers: for fast tests and as a control in evaluation."""
