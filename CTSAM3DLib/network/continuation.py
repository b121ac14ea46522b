"""Our form of cross-patch prompting: where in a neighbouring patch does a structure go on.

The official predictor lays a patch, its mask and the neighbour on top of each other as they are,
so that it has to guess by how much they are shifted. Here everything lies on the neighbour's grid:
its image, what is known of the structure there, and where it is known. The answer is a choice
among the unknown voxels and "it ends here", so its peak is the probability that it goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CTSAM3DLib.network.cross_patch import SMALL_WIDTHS, CrossPatchPredictor


class ContinuationPredictor(nn.Module):
    """Scores for each voxel of the neighbour, and the heat map made of them.

    Parameters
    ----------
    image_channels : int
        HU windows of the image.
    widths : tuple of int
        See `CrossPatchPredictor`.

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

        Parameters
        ----------
        seen : Tensor
            (B, image_channels + 2, D, H, W), all of the neighbour: its image, windowed to [0, 1];
            the structure where it is known, in {0, 1}; where it is known, in {0, 1}.

        Returns
        -------
        Tensor
            (B, 1 + D * H * W) logits of a choice: "it ends here" first, then the voxels in
            order; known voxels cannot be chosen (-inf).
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
        """Heat map (B, 1, D, H, W): its peak is the probability that the structure goes on."""
        chance = torch.softmax(self.scores(seen), 1)
        goes_on = (1.0 - chance[:, :1]).clamp(0.0, 1.0)
        voxels = chance[:, 1:]
        highest = voxels.amax(1, keepdim=True).clamp(min=1e-30)
        return (goes_on * voxels / highest).view_as(seen[:, :1])


def chance_loss(scores: Tensor, heat: Tensor) -> Tensor:
    """Cross-entropy between the choice and where a user would click.

    Parameters
    ----------
    scores : Tensor
        (B, 1 + N) from `ContinuationPredictor.scores`.
    heat : Tensor
        (B, N) at least 0: a Gaussian at the place of the click, all 0 where the structure ends.

    Returns
    -------
    Tensor
        Mean over the batch, nats.

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
