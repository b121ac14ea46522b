"""What a learner is shown: patches of the user's structures, and places for its old model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.training.batches import SMALLEST_IN_PATCH
from CTSAM3DLib.training.intensity import vary_intensity
from CTSAM3DLib.training.learning_scan import LearningScan
from CTSAM3DLib.training.sampling import (
    AIR_HU,
    PatchPlacement,
    cut,
    random_bends,
    random_placement,
)
from CTSAM3DLib.training.simulated_clicks import first_clicks

SPACING_FACTORS = (0.88, 1.14)
"""Patches are learnt at the voxel size at which a session looks, times a factor in this range."""
TRIES = 8


@dataclass(frozen=True)
class LearnerConfig:
    """What decides how a model goes on learning."""

    seconds: float = 600.0  # Time of learning; the rate falls to 0 at its end
    patch_size: int = 48  # Edge of a patch in voxels, a multiple of 16
    rate: float = 1e-3  # Peak rate of Adam
    warmup: int = 10  # Iterations until the peak
    lessons: int = 2  # Patches of the user in a step, and as many of the old model
    clicks: int = 2  # First clicks in each of the user's
    replay: float = 4.0  # Weight of the old model's answers
    torso_share: float = 0.3  # Share of them on CT that is not the user's
    bent: float = 0.5  # Share of patches that are bent, so that few patients become many
    most_bend_voxels: float = 3.0  # The strength of a bend (`random_bends`) is drawn up to this
    slabs: float = 0.2  # Share of the old model's lessons on a slab of a CT, with air beyond it
    rounds: float = 0.3  # Probability of a second decode after a correction
    hasty: float = 0.0  # Share of the user's clicks that are anywhere, not deep inside
    priors: float = 0.0  # Share of steps of an adapter that begin with a part of the mask
    save_every_s: float = 60.0
    seed: int = 0
    mark: str = ""  # Names model and cases: a state with another one is refused


@dataclass(frozen=True)
class Lesson:
    """One sample."""

    hu: Tensor  # (D, H, W) float32
    target: Tensor  # (D, H, W) bool: what is to be learnt, in a lesson of the teacher all of it
    points: Tensor  # (N, 3) float32: first clicks, KJI, each of a sample of its own


class Lessons:
    """Draws lessons: `scans` are learnt, on `others` too the old answers are kept."""

    def __init__(
        self, scans: Sequence[LearningScan], others: Sequence[LearningScan], config: LearnerConfig
    ) -> None:
        self.scans, self._others, self._config = list(scans), list(others), config
        self.names = sorted({name for scan in self.scans for name in scan.names})

    def own(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        """Draw a structure, then one of its cases, then clicks in it."""
        for _ in range(TRIES):
            name = self.names[int(rng.integers(len(self.names)))]
            having = [scan for scan in self.scans if name in scan.names]
            scan = having[int(rng.integers(len(having)))]
            own = scan.names.index(name)
            points = scan.anywhere[own] if self.hasty(rng) else scan.points[own]
            placement, inside = self._place(scan, points, scan.looks_mm[own], rng)
            bends = self._bends(rng, generator)
            target = cut(scan.masks[own], placement, nearest=True, fill=0.0, bends=bends) > 0
            if int(target.sum()) >= SMALLEST_IN_PATCH:
                clicks = []
                for number in range(self._config.clicks):
                    # Where the patch was placed, then deep inside.
                    k, j, i = (int(v) for v in _rounded(inside))
                    there = number == 0 and bool(target[k, j, i])
                    deep = None if there else first_clicks(target[None], generator)[0]
                    clicks.append(_rounded(inside) if deep is None else deep)
                image = self._image(scan, placement, bends, rng, generator)
                return Lesson(image, target, torch.stack(clicks))
        raise LearningError(
            f"no structure of {', '.join(self.names)} has {SMALLEST_IN_PATCH} voxels in a patch: "
            "they are too small for this model"
        )

    def hasty(self, rng: np.random.Generator) -> bool:
        """Say whether the next click is anywhere; where none is, nothing is drawn."""
        return self._config.hasty > 0 and rng.random() < self._config.hasty

    def other(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        """Draw a click in something else."""
        scans = self.scans
        if self._others and rng.random() < self._config.torso_share:
            scans = self._others
        scan = scans[int(rng.integers(len(scans)))]
        if scans is self._others and scan.points:
            number = int(rng.integers(len(scan.points)))
            places, look_mm = scan.points[number], scan.looks_mm[number]
        else:
            # What looks like the learnt structures is most at risk; at any size a session uses.
            places = scan.alike if len(scan.alike) and rng.random() < 0.5 else scan.elsewhere
            look_mm = scan.look_mm
            if scan.sizes_mm and rng.random() < 0.5:
                look_mm = scan.sizes_mm[int(rng.integers(len(scan.sizes_mm)))]
        placement, inside = self._place(scan, places, look_mm, rng)
        bends = self._bends(rng, generator)
        known = torch.zeros([self._config.patch_size] * 3, dtype=torch.bool)
        if scans is self.scans:
            for mask in scan.masks:
                known |= cut(mask, placement, nearest=True, fill=0.0, bends=bends) > 0
        image = self._image(scan, placement, bends, rng, generator)
        point = _rounded(inside)
        if rng.random() < self._config.slabs:
            image = _slab(image, point, rng)
        return Lesson(image, known, point[None])

    def _place(
        self, scan: LearningScan, points: Tensor, look_mm: float, rng: np.random.Generator
    ) -> tuple[PatchPlacement, NDArray[np.float64]]:
        if not len(points):
            points = torch.tensor([[n // 2 for n in scan.hu.shape]])
        voxel = points[int(rng.integers(len(points)))].numpy().astype(np.float64)
        low, high = (look_mm * factor for factor in SPACING_FACTORS)
        return random_placement(
            rng, voxel, scan.spacing_kji_mm, self._config.patch_size, (low, high)
        )

    def _bends(self, rng: np.random.Generator, generator: torch.Generator) -> Tensor | None:
        if rng.random() >= self._config.bent:
            return None
        return random_bends(
            torch.tensor([rng.uniform(0.0, self._config.most_bend_voxels)]), generator
        )

    def _image(
        self,
        scan: LearningScan,
        placement: PatchPlacement,
        bends: Tensor | None,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> Tensor:
        hu = cut(scan.hu, placement, nearest=False, fill=AIR_HU, bends=bends)
        return vary_intensity(hu[None], rng, generator)[0] if rng.random() < 0.5 else hu


def _slab(hu: Tensor, point: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a patch of a CT that is a slab along a random axis: what is beyond it is air."""
    axis = int(rng.integers(3))
    below, above = (int(n) for n in rng.integers(2, len(hu) // 4, 2))
    at = int(point[axis])
    result = torch.full_like(hu, AIR_HU)
    there = [slice(None)] * 3
    there[axis] = slice(max(0, at - below), at + above + 1)
    result[tuple(there)] = hu[tuple(there)]
    return result


def _rounded(inside: NDArray[np.float64]) -> Tensor:
    return torch.tensor([float(round(float(v))) for v in inside])
