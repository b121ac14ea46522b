"""Cross-patch prompting (CPP): predict where a click would go in a neighbouring patch.

`CrossPatchPredictor` is the official one. It reads the image of a patch, its mask and the image of
a neighbour as they are. Its form and attribute names are those of MONAI's residual ``UNet``.

`ContinuationPredictor` is our own. All its inputs lie on the neighbour's grid: the image, the
structure where it is known, and where it is known. It chooses among the unknown voxels and "the
structure ends here".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

CROSS_PATCH_CHANNELS = 3
"""Image of the patch, its binary mask, image of the neighbour, in this order."""

OFFICIAL_WIDTHS = (16, 32, 64, 128, 256)
SMALL_WIDTHS = (8, 16, 32, 64, 128)


class ConvUnit(nn.Module):
    """A 3³ convolution (or its transpose), instance norm without parameters, and one-weight PReLU.

    `width` channels come out of the convolution.
    """

    def __init__(self, conv: nn.Module, width: int) -> None:
        super().__init__()
        self.conv = conv
        self.adn = nn.Sequential(OrderedDict(N=nn.InstanceNorm3d(width), A=nn.PReLU()))

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, C_in, D, H, W) to (B, width, D', H', W')."""
        output: Tensor = self.adn(self.conv(grid))
        return output


class BareConv(nn.Module):
    """A 3³ convolution alone, named as the convolution of a :class:`ConvUnit`."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width_in, width_out, 3, padding=1)

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, C_in, D, H, W) to (B, C_out, D, H, W)."""
        output: Tensor = self.conv(grid)
        return output


class ResidualUnit(nn.Module):
    """Convolution units in a row plus a shortcut that adapts to their channels and grid."""

    def __init__(
        self, units: Sequence[nn.Module], width_in: int, width_out: int, stride: int
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential(OrderedDict((f"unit{i}", u) for i, u in enumerate(units)))
        if stride > 1:
            self.residual: nn.Module = nn.Conv3d(width_in, width_out, 3, stride=stride, padding=1)
        elif width_in != width_out:
            self.residual = nn.Conv3d(width_in, width_out, 1)
        else:
            self.residual = nn.Identity()

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, width_in, D, H, W) to (B, width_out, D / stride, ...)."""
        output: Tensor = self.residual(grid) + self.conv(grid)
        return output


class SkipConcat(nn.Module):
    """Concatenate the input (first) with what the submodule makes of it, over the channels."""

    def __init__(self, submodule: nn.Module) -> None:
        super().__init__()
        self.submodule = submodule

    def forward(self, grid: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C + C_submodule, D, H, W)."""
        return torch.cat([grid, self.submodule(grid)], dim=1)


def _encoder_unit(width_in: int, width_out: int, stride: int) -> ResidualUnit:
    first = nn.Conv3d(width_in, width_out, 3, stride=stride, padding=1)
    second = nn.Conv3d(width_out, width_out, 3, padding=1)
    units = [ConvUnit(first, width_out), ConvUnit(second, width_out)]
    return ResidualUnit(units, width_in, width_out, stride)


def _decoder_unit(width_in: int, width_out: int, *, linear: bool) -> nn.Sequential:
    up = nn.ConvTranspose3d(width_in, width_out, 3, stride=2, padding=1, output_padding=1)
    refine: nn.Module
    if linear:
        refine = BareConv(width_out, width_out)
    else:
        refine = ConvUnit(nn.Conv3d(width_out, width_out, 3, padding=1), width_out)
    return nn.Sequential(
        ConvUnit(up, width_out), ResidualUnit([refine], width_out, width_out, stride=1)
    )


def _level(width_in: int, width_out: int, widths: Sequence[int], *, top: bool) -> nn.Sequential:
    """One scale of the U, all coarser scales inside it; the last two widths end the recursion."""
    inner: nn.Module
    if len(widths) > 2:
        inner, width_inner = _level(widths[0], widths[0], widths[1:], top=False), widths[0]
    else:
        inner, width_inner = _encoder_unit(widths[0], widths[1], stride=1), widths[1]
    return nn.Sequential(
        _encoder_unit(width_in, widths[0], stride=2),
        SkipConcat(inner),
        _decoder_unit(widths[0] + width_inner, width_out, linear=top),
    )


class CrossPatchPredictor(nn.Module):
    """Residual U-Net that predicts the heat map of a click in a neighbouring patch.

    `widths` are channels per scale, finest first, at least two. Each scale but the last halves the
    grid, so patch sizes are multiples of ``2 ** (len(widths) - 1)``. `channels` are those of the
    input. Raises ValueError: fewer than two widths.
    """

    def __init__(
        self, widths: Sequence[int] = OFFICIAL_WIDTHS, channels: int = CROSS_PATCH_CHANNELS
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            msg = f"cross-patch widths: expected at least 2, got {tuple(widths)}"
            raise ValueError(msg)
        self.model = _level(channels, 1, widths, top=True)

    def forward(self, pair: Tensor) -> Tensor:
        """Predict (B, 1, D, H, W) click heat maps on the neighbour's grid, linear (unbounded).

        `pair` is (B, channels, D, H, W): by default normalised image, binary mask of the object in
        it, normalised image of the neighbouring patch.
        """
        heat: Tensor = self.model(pair)
        return heat


class ContinuationPredictor(nn.Module):
    """Scores for each voxel of the neighbour, and the heat map made of them.

    `image_channels` are the HU windows of the image; `widths` as in `CrossPatchPredictor`.

    Examples
    --------
    >>> net = ContinuationPredictor(2, (4, 8, 16))
    >>> known = torch.zeros(1, 1, 16, 16, 16)
    >>> known[:, :, :8] = 1.0
    >>> seen = torch.cat([torch.rand(1, 2, 16, 16, 16), known, known], 1)
    >>> heat = net(seen).detach()
    >>> heat.shape, float(heat[:, :, :8].max()), bool(0.0 < heat.max() < 1.0)
    (torch.Size([1, 1, 16, 16, 16]), 0.0, True)
    """

    def __init__(self, image_channels: int, widths: tuple[int, ...] = SMALL_WIDTHS) -> None:
        super().__init__()
        self.scorer = CrossPatchPredictor(widths, image_channels + 2)

    def scores(self, seen: Tensor) -> Tensor:
        """Score the voxels.

        `seen` is (B, image_channels + 2, D, H, W), all of the neighbour: its image, windowed to [0,
        1]; the structure where it is known, in {0, 1}; where it is known, in {0, 1}. Returns (B, 1
        + D * H * W) logits of a choice: "it ends here" first, then the voxels in order. Known
        voxels cannot be chosen (-inf).
        """
        field: Tensor = self.scorer(seen)
        # Cut, so that half precision stays finite.
        flat = field.flatten(1).float().clamp(-30.0, 30.0)
        hidden = seen[:, -1].flatten(1) > 0.5
        flat = flat.masked_fill(hidden, float("-inf"))
        # As likely as all unknown voxels together while nothing is learnt.
        unknown = (~hidden).sum(1, keepdim=True).clamp(min=1)
        return torch.cat([torch.log(unknown.float()), flat], 1)

    def forward(self, seen: Tensor) -> Tensor:
        """Heat map (B, 1, D, H, W): its peak is the probability that the structure continues."""
        chance = torch.softmax(self.scores(seen), 1)
        goes_on = (1.0 - chance[:, :1]).clamp(0.0, 1.0)
        voxels = chance[:, 1:]
        highest = voxels.amax(1, keepdim=True).clamp(min=1e-30)
        return (goes_on * voxels / highest).view_as(seen[:, :1])


def chance_loss(scores: Tensor, heat: Tensor) -> Tensor:
    """Cross-entropy between the choice and where a user would click: mean over the batch, nats.

    `scores` is (B, 1 + N) from `ContinuationPredictor.scores`. `heat` is (B, N) at least 0: a
    Gaussian at the click, all 0 where the structure ends.

    Examples
    --------
    >>> scores = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    >>> ends = chance_loss(scores, torch.zeros(1, 3))
    >>> round(float(ends), 4)  # log(4)
    1.3863
    """
    allowed = torch.isfinite(scores[:, 1:])
    wanted = torch.where(allowed, heat, torch.zeros_like(heat))
    total = wanted.sum(1, keepdim=True)
    there = (total > 0).float()
    share = torch.cat([1.0 - there, wanted / total.clamp(min=1e-12)], 1)
    logs = torch.log_softmax(scores, 1)
    logs = torch.where(torch.isfinite(logs), logs, torch.zeros_like(logs))
    return -(share * logs).sum(1).mean()
