"""Sessions with a model that answers balls, and what tests of several topics ask of them."""

from __future__ import annotations

import math

import numpy as np
from fake_predictor import BallPredictor
from numpy.typing import NDArray
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.session.session import InteractiveSession

BALL_RADIUS_MM = 12.0  # BallPredictor: 6 voxels of 2 mm
BALL_SIZE_MM3 = 4.0 / 3.0 * math.pi * BALL_RADIUS_MM**3


def ball_session(geometry: Geometry, **settings_of_predictor) -> InteractiveSession:
    predictor = BallPredictor(**settings_of_predictor)
    return open_session(empty_volume(geometry), predictor)


def cube(size_mm: float = 100.0, spacing_mm: float = 2.0) -> Geometry:
    return centred_geometry([size_mm] * 3, [spacing_mm] * 3)


def mask_size_mm3(session: InteractiveSession) -> float:
    return float(session.mask.sum()) * math.prod(session.volume.geometry.spacing_mm)


def applied(mask: NDArray[np.bool_], update: MaskUpdate) -> NDArray[np.bool_]:
    result = mask.copy()
    if not update.bbox.is_empty:
        result[update.bbox.slices_kji] = update.mask_kji
    return result
