"""A batch of samples: planned on the processor, cut, bent and varied as a whole on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.training.config import TrainConfig
from CTSAM3DLib.training.data import PackedCase, PackedData, Stored, Target
from CTSAM3DLib.training.intensity import upload, vary_intensity
from CTSAM3DLib.training.resampling import linear_at, nearest_at, positions
from CTSAM3DLib.training.sampling import PatchPlacement, block_steps, random_bends, random_placement
from CTSAM3DLib.training.simulated_clicks import first_clicks, partial_masks
from CTSAM3DLib.training.synthesis import synthesise, synthesise_typical

# A patch must show enough of its target to be worth clicking.
SMALLEST_IN_PATCH = 20
TRIES = 8


@dataclass(frozen=True)
class Samples:
    """A drawn batch as it travels to the device of the network: short numbers, no copies."""

    hu: Tensor  # (B, D, H, W) float16 HU
    target: Tensor  # (B, D, H, W) bool
    prior: Tensor  # (B, D, H, W) float16 previous mask probability
    points: Tensor  # (B, 3) float32 first clicks, KJI
    labels: Tensor  # (B,) int64: 1, or -1 for a sample that begins with its previous mask alone

    @classmethod
    def join(cls, parts: list[Samples]) -> Samples:
        """Join batches."""
        return cls(
            *(torch.cat(values) for values in zip(*(p.values() for p in parts), strict=True))
        )

    def pin_memory(self) -> Samples:
        """Move into memory that a GPU reads without a copy."""
        return Samples(*(value.pin_memory() for value in self.values()))

    def to(self, device: torch.device) -> Samples:
        """Move to a device."""
        return Samples(*(value.to(device, non_blocking=True) for value in self.values()))

    def values(self) -> tuple[Tensor, ...]:
        """Return all tensors, in order."""
        return self.hu, self.target, self.prior, self.points, self.labels


@dataclass(frozen=True)
class Plan:
    """What is drawn of one sample before any voxel is read."""

    drawn: Target
    case: PackedCase
    placement: PatchPlacement
    inside: NDArray[np.float64]  # (3,) KJI, where in the patch the voxel lies that it is placed by
    bend: float = 0.0  # Strength, see `random_bends`
    typical: bool = False  # CT made from labels has the HU of its anatomies
    click_inside: bool = False  # The first click is made there, if that is the target
    has_prior: bool = False
    prior_alone: bool = False  # Nothing is clicked where there is a previous mask

    @property
    def origin(self) -> str:
        """Where its HU come from: ``cut`` from a CT, or ``typical`` or ``random`` by labels."""
        if self.case.stored_hu:
            return "cut"
        return "typical" if self.typical else "random"


def draw_samples(
    data: PackedData, config: TrainConfig, rng: np.random.Generator, generator: torch.Generator
) -> Samples:
    """Draw a batch: targets, patches, first clicks, and for some a previous mask.

    `rng` and `generator` alone decide the result, which is on the device of the data. On a GPU the
    batch is one piece and nothing is read back. On a processor each sample is a piece of its own,
    which stays in its caches.
    """
    plans = [plan_sample(data, config, rng) for _ in range(config.batch_size)]
    together = len(plans) if draws_together(data.device) else 1
    parts = [plans[n : n + together] for n in range(0, len(plans), together)]
    return Samples.join([_draw(data, part, rng, generator) for part in parts])


def draws_together(device: torch.device) -> bool:
    """Say whether a batch is drawn in one piece."""
    return device.type != "cpu"


def plan_sample(data: PackedData, config: TrainConfig, rng: np.random.Generator) -> Plan:
    """Draw a target and a patch that shows at least `SMALLEST_IN_PATCH` voxels of it."""
    for _ in range(TRIES):
        drawn = data.draw(rng, config.source_weights)
        case = data.cases[drawn.case]
        voxel = drawn.points[int(rng.integers(len(drawn.points)))].astype(np.float64)
        placement, inside = random_placement(
            rng, voxel, case.spacing_kji_mm, config.patch_size, config.spacing_range_mm
        )
        if voxels_shown(drawn, placement) < SMALLEST_IN_PATCH:
            continue
        bent = rng.random() < config.bend_probability
        return Plan(
            drawn,
            case,
            placement,
            inside,
            bend=float(rng.uniform(0.0, config.most_bend_voxels)) if bent else 0.0,
            typical=rng.random() < config.typical_synthesis,
            click_inside=rng.random() < 0.5,
            has_prior=rng.random() < config.prior_probability,
            prior_alone=rng.random() < 0.5,
        )
    raise RuntimeError(
        f"no target with {SMALLEST_IN_PATCH} voxels in its patch after {TRIES} tries"
    )


def voxels_shown(target: Target, placement: PatchPlacement) -> float:
    """Reckon how many voxels of a patch show a target, from the points that are known of it."""
    share = float(placement.inside(target.points.astype(np.float64)).mean())
    return share * target.voxels / abs(float(np.linalg.det(placement.matrix)))


def _draw(
    data: PackedData, plans: list[Plan], rng: np.random.Generator, generator: torch.Generator
) -> Samples:
    device = data.device
    bends = None
    if any(p.bend > 0.0 for p in plans):
        bends = random_bends(_floats([p.bend for p in plans], device), generator)
    places = [p.case.stored[p.drawn.volume] for p in plans]
    labels = nearest_at(
        data.labels, *_stored(places, device), _positions(plans, places, bends, device)
    )
    values = upload(np.array([p.drawn.value for p in plans], np.uint8), device)
    target = labels == values.view(-1, 1, 1, 1)
    hu = torch.empty(labels.shape, device=device)
    for origin in ("cut", "typical", "random"):
        numbers = np.flatnonzero([p.origin == origin for p in plans])
        if len(numbers):
            index = upload(numbers, device)
            own = None if bends is None else bends.index_select(0, index)
            chosen = [plans[n] for n in numbers]
            made = _hu(origin, data, chosen, labels.index_select(0, index), own, generator)
            hu.index_copy_(0, index, made)
    hu = vary_intensity(hu, rng, generator)
    prior = torch.zeros_like(hu)
    numbers = np.flatnonzero([p.has_prior for p in plans])
    if len(numbers):
        index = upload(numbers, device)
        prior.index_copy_(0, index, partial_masks(target.index_select(0, index), generator))
    return Samples(hu.half(), target, prior.half(), *_clicked(plans, target, prior, generator))


def _clicked(
    plans: list[Plan], target: Tensor, prior: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    device = target.device
    at = upload(np.array([np.rint(p.inside) for p in plans], np.int64), device)
    flat = (at[:, 0] * target.shape[2] + at[:, 1]) * target.shape[3] + at[:, 2]
    there = target.flatten(1).gather(1, flat[:, None])[:, 0]
    there &= upload(np.array([p.click_inside for p in plans]), device)
    points = torch.where(there[:, None], at.float(), first_clicks(target, generator))
    # Where nothing is shown of the target there is nothing to click.
    silent = ~target.flatten(1).any(1)
    silent |= upload(np.array([p.prior_alone for p in plans]), device) & prior.flatten(1).any(1)
    return points, 1 - 2 * silent.long()


def _hu(
    origin: str,
    data: PackedData,
    plans: list[Plan],
    labels: Tensor,
    bends: Tensor | None,
    generator: torch.Generator,
) -> Tensor:
    """HU of samples of one origin."""
    device = data.device
    if origin == "cut":
        places = [p.case.hu_for(block_steps(p.placement.matrix)) for p in plans]
        at = _positions(plans, places, bends, device)
        return linear_at(data.hu, *_stored(places, device), at)
    table = data.tissues.take(upload(np.array([p.drawn.case for p in plans]), device))
    if origin == "random":
        return synthesise(labels, table.class_hu, generator)
    spacing_mm = _floats([p.placement.spacing_mm for p in plans], device)
    return synthesise_typical(labels, table, spacing_mm, generator)


def _positions(
    plans: list[Plan], places: list[Stored], bends: Tensor | None, device: torch.device
) -> list[Tensor]:
    """Where the voxels of the patches lie in volumes whose voxels are blocks."""
    matrices, centres = [], []
    for plan, place in zip(plans, places, strict=True):
        steps = np.asarray(place.steps)
        matrices.append(plan.placement.matrix / steps[:, None])
        centres.append((plan.placement.centre - (steps - 1) / 2) / steps)
    return positions(
        _floats(matrices, device), _floats(centres, device), plans[0].placement.size, bends
    )


def _stored(places: list[Stored], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return starts and shapes as `nearest_at` wants them."""
    starts = upload(np.array([p.start for p in places], np.int64), device)
    return starts, upload(np.array([p.shape for p in places], np.int32), device)


def _floats(values: Sequence[object], device: torch.device) -> Tensor:
    return upload(np.asarray(values, np.float32), device)
