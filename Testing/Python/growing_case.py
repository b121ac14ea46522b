"""Phantoms and shortcuts for the tests of growing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from fake_predictor import BallPredictor
from phantoms import OBLIQUE, Phantom, ball, centred_geometry, phantom, tube

from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.growing import grown_state
from CTSAM3DLib.session.growing_rules import GrowingRules, GrowMode
from CTSAM3DLib.session.state import SessionState

MIDDLE = Click((0.0, 0.0, 0.0))


def long_tube(directions=OBLIQUE, length_mm: float = 240.0) -> Phantom:
    """A tube of 12 mm radius along S of the volume's own axes, ending inside the volume."""
    geometry = centred_geometry((70, 60, 320), (1.5, 2.0, 2.5), directions)
    axis = directions @ np.array([0.0, 0.0, length_mm / 2])
    return phantom(geometry, tube(-axis, axis, 12.0))


def encoder_of(truth: Phantom, predictor: BallPredictor, cached: int = 99) -> PatchEncoder:
    geometry = truth.volume.geometry
    return PatchEncoder(truth.volume, model_grid(geometry, 2.0), predictor, cached)


def start_of(encoder: PatchEncoder) -> SessionState:
    return SessionState.empty(encoder.volume.geometry, encoder.grid)


def grow(
    truth: Phantom, predictor: BallPredictor, rules: GrowingRules | None = None, **hooks: Callable
) -> SessionState:
    encoder = encoder_of(truth, predictor)
    return grown_state(encoder, start_of(encoder), MIDDLE, rules, **hooks)


def overlap(mask, truth) -> float:
    return 2.0 * (mask & truth).sum() / (mask.sum() + truth.sum())


PATCH = 32
"""Edge in voxels of the stand-in models: 64 mm of 2 mm, 128 mm of 4 mm, 256 mm of 8 mm."""


def state_of(
    truth: Phantom,
    predictor: BallPredictor,
    mode: str,
    rules: GrowingRules | None = None,
    **hooks: Callable,
) -> SessionState:
    encoder = encoder_of(truth, predictor)
    return grown_state(encoder, start_of(encoder), MIDDLE, rules, mode=GrowMode(mode), **hooks)


def great_ball(directions=None) -> Phantom:
    """100 mm wide: more than a patch of the usual grid, and within one of twice the voxel size."""
    geometry = centred_geometry((140, 140, 140), (1.5, 2.0, 2.5), directions)
    return phantom(geometry, ball((0, 0, 0), 50.0))
