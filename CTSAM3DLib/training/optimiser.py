"""Muon for convolution kernels: momentum, made orthogonal by a Newton-Schulz iteration.

torch.optim.Muon takes matrices only; a kernel (out, in, k, k, k) is the matrix (out, in * k^3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from CTSAM3DLib.training.precision import quick_dtype

# Quintic Newton-Schulz coefficients of the published method: fast growth of small singular values.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values of (..., M, N) near 1 by Newton-Schulz steps; see `quick_dtype`."""
    x = matrix.to(quick_dtype(matrix))
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    out: Tensor = x.mT if tall else x
    return out


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates.

    `params` are kernels of at least two axes. The update has root mean square ``0.2 * lr``, like an
    AdamW step of 0.2 * lr. The weight decay is decoupled, times ``lr``, a number or a tensor.
    """

    def __init__(
        self,
        params: list[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for alike in shapes.values():
                self._update(alike, group)

    def _update(self, alike: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Update kernels of one shape together, which is faster on a GPU."""
        momenta = []
        for parameter in alike:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"]
            momentum.lerp_(parameter.grad, 1.0 - group["momentum"])
            momenta.append(momentum)
        gradients = torch.stack([p.grad for p in alike if p.grad is not None])
        blend = torch.lerp(gradients, torch.stack(momenta), group["momentum"])
        updates = orthogonalise(blend.flatten(2)).to(gradients.dtype).view_as(gradients)
        size = max(blend.flatten(2).shape[1:]) ** 0.5
        for parameter, update in zip(alike, updates, strict=True):
            parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
            parameter.sub_(update * (0.2 * size * group["lr"]))


def split_parameters(net: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split into kernels for Muon and the rest for AdamW.

    Kernels with fewer than 8 rows or columns (stem, head, prompt input) gain nothing from it.
    """
    kernels: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in net.parameters():
        matrix = parameter.ndim >= 2 and min(parameter.shape[:2]) >= 8
        (kernels if matrix else rest).append(parameter)
    return kernels, rest
