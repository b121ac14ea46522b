"""Clicks to quality: a simulated user corrects a method, and every mask is scored."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.evaluation.cases import Structure
from CTSAM3DLib.evaluation.methods import Attempt
from CTSAM3DLib.evaluation.simulated_user import next_click
from CTSAM3DLib.evaluation.surface_dice import nsd
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.prompts import Click


@dataclass(frozen=True)
class ClickProtocol:
    """How a structure is clicked and scored."""

    strategy: str = "largest_error"  # Simulated user, see `click_simulation`
    seed: int = 0  # With case and anatomy it decides all chance
    max_clicks: int = 10  # Clicks for each method and structure
    # Numbers of clicks after which NSD is measured too
    checkpoints: tuple[int, ...] = (1, 3, 5, 10)
    tolerance_mm: float = 2.0  # Tolerance of NSD

    def is_checkpoint(self, n_clicks: int) -> bool:
        """Tell whether NSD is measured after so many clicks."""
        return n_clicks in self.checkpoints or n_clicks == self.max_clicks


@dataclass(frozen=True)
class Step:
    """One click and the mask after it."""

    click: Click  # Where, and of which sign
    seconds: float  # Time of the method until its mask was there
    dice: float  # On the whole volume
    nsd: float | None  # On the whole volume; only at checkpoints and at the last click
    # Whether the clicked voxel is in the mask after a positive click, or not after a negative
    obeyed: bool = True


@dataclass(frozen=True)
class Trace:
    """All clicks of one method on one structure."""

    # In order; fewer than asked for when a mask was right everywhere or the method failed
    steps: tuple[Step, ...]
    error: str = ""  # Why the method failed, or nothing

    def dice_after(self, n_clicks: int) -> float:
        """Dice after n clicks; a user who stopped earlier keeps the mask, a failure scores 0."""
        return self.steps[min(n_clicks, len(self.steps)) - 1].dice if self._has(n_clicks) else 0.0

    def nsd_after(self, n_clicks: int) -> float:
        """NSD after n clicks, one of the checkpoints."""
        if not self._has(n_clicks):
            return 0.0
        value = self.steps[min(n_clicks, len(self.steps)) - 1].nsd
        if value is None:
            raise CTSAM3DError(f"expected a checkpoint, got {n_clicks} clicks")
        return value

    def clicks_to(self, quality: float) -> int | None:
        """Return the number of clicks until Dice first reaches a quality, None if it never does."""
        return next((n for n, step in enumerate(self.steps, 1) if step.dice >= quality), None)

    def _has(self, n_clicks: int) -> bool:
        return bool(self.steps) and not (self.error and n_clicks > len(self.steps))


def simulate(
    attempt: Attempt,
    structure: Structure,
    volume: Volume,
    protocol: ClickProtocol,
    clicks: Sequence[Click] | None = None,
) -> Trace:
    """Let the simulated user correct a method on its own mistakes.

    The first click does not depend on the method, so all methods get the same one. With `clicks`,
    those of another method, the method gets them all.
    """
    rng = generator_for(structure, protocol.seed)
    spacing = volume.geometry.spacing_mm
    mask: NDArray[np.bool_] | None = None
    steps: list[Step] = []
    most = protocol.max_clicks if clicks is None else len(clicks)
    for number in range(1, most + 1):
        if clicks is None:
            chosen = next_click(structure.truth_kji, mask, spacing, rng, protocol.strategy)
            if chosen is None:
                break
            r, a, s = volume.geometry.ras_from_ijk(np.array(chosen[0], dtype=float)).tolist()
            click = Click((r, a, s), chosen[1])
        else:
            click = clicks[number - 1]
        checkpoint = protocol.is_checkpoint(number) or number == most
        try:
            step, mask = _step(attempt, click, structure, volume, protocol, checkpoint)
        except (CTSAM3DError, RuntimeError) as error:
            return Trace(tuple(steps), f"click {number}: {error}")
        steps.append(step)
    return Trace(tuple(steps))


def generator_for(structure: Structure, seed: int) -> np.random.Generator:
    """Return the source of chance of a structure, the same for every method and every order."""
    name = zlib.crc32(f"{structure.case_name}/{structure.anatomy}".encode())
    return np.random.default_rng([seed, name])


def _step(
    attempt: Attempt,
    click: Click,
    structure: Structure,
    volume: Volume,
    protocol: ClickProtocol,
    with_surface: bool,
) -> tuple[Step, NDArray[np.bool_]]:
    start = time.perf_counter()
    mask = attempt(click)
    seconds = time.perf_counter() - start
    overlap = dice(structure.truth_kji, mask)
    surface = None
    if with_surface or overlap == 1.0:  # a perfect mask is the last one
        spacing = volume.geometry.spacing_mm
        surface = nsd(structure.truth_kji, mask, spacing, protocol.tolerance_mm)
    i, j, k = volume.geometry.voxel_from_ras(click.position_ras)
    return Step(click, seconds, overlap, surface, bool(mask[k, j, i]) == click.positive), mask
