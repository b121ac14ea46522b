"""Prompts as voxels of a grid."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor

from CTSAM3DLib.geometry.grid import Geometry, model_grid
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.session import InteractiveSession
from CTSAM3DLib.session.patches import choose_spacing_mm
from CTSAM3DLib.session.points import nearest_voxels


def test_rounding_at_the_edge_stays_inside_the_grid() -> None:
    grid = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), (5, 6, 7))
    points = np.array([[-1.0000000001, -1.0, 4.0], [13.0000000001, 11.0, 9.0]])
    assert nearest_voxels(points, grid).tolist() == [[0, 0, 2], [6, 5, 4]]


# The same scan in two files ---------------------------------------------------------------------

JITTER_MM = 0.0005  # positions in DICOM are often written with few digits, NIfTI has float32


def stored_anew(geometry: Geometry, rng: np.random.Generator) -> Geometry:
    """The geometry as another file format gives it: other last digits of origin and spacing."""
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 3] += rng.uniform(-JITTER_MM, JITTER_MM, 3)
    matrix[:3, :3] *= 1.0 + rng.uniform(-1.0, 1.0) * JITTER_MM / geometry.extent_ras.max()
    return Geometry(matrix, geometry.shape_kji)


def grid_cases() -> list[tuple[Geometry, float]]:
    spacings = (3.0, 3.0, 3.0), (1.5, 1.5, 5.0), (0.8, 0.8, 2.5), (1.0, 1.0, 1.0)
    return [
        (Geometry(np.diag([-i, -j, k, 1.0]), (40, 60, 70)), spacing_mm)
        for i, j, k in spacings
        for spacing_mm in (1.5, 2.5, 4.0)
    ]


@pytest.mark.parametrize(("geometry", "spacing_mm"), grid_cases())
def test_last_digits_decide_neither_over_grid_nor_cell(geometry, spacing_mm, rng) -> None:
    grid = model_grid(geometry, spacing_mm)
    voxels = rng.integers(0, np.array(geometry.size_ijk), (200, 3))
    clicks = np.concatenate([voxels[:100], voxels[100:] - 0.5])  # centres and borders of voxels
    points = geometry.ras_from_ijk(clicks)
    for _ in range(20):
        other = model_grid(stored_anew(geometry, rng), spacing_mm)
        moved = points + rng.uniform(-JITTER_MM, JITTER_MM, points.shape)
        assert other.shape_kji == grid.shape_kji
        np.testing.assert_array_equal(nearest_voxels(moved, other), nearest_voxels(points, grid))


def test_last_digits_do_not_decide_over_the_spacing_of_the_grid() -> None:
    settings = ModelSettings("demo", 64, (1.0, 4.0), 1.5, ((-100.0, 200.0),))
    for spacing in (2.998, 3.002, 3.33, 4.006):
        chosen = {
            choose_spacing_mm(Geometry(np.diag([at, at, at, 1.0]), (9, 9, 9)), settings)
            for at in (spacing - 1e-6, spacing, spacing + 1e-6)
        }
        assert len(chosen) == 1


def test_a_click_between_two_cells_gives_the_same_answer_for_the_same_scan(rng) -> None:
    """Voxels of 3 mm on a grid of 2.5 mm: every fifth centre lies between two cells."""
    array = np.zeros((40, 40, 40), np.int16)
    geometry = Geometry(np.diag([3.0, 3.0, 3.0, 1.0]), array.shape)
    for _ in range(40):
        answers = []
        click = geometry.ras_from_ijk(rng.integers(0, 40, 3))
        for stored, moved in ((geometry, 0.0), (stored_anew(geometry, rng), JITTER_MM)):
            session = InteractiveSession.for_volume(Volume(array, stored), BallPredictor(), 2.5)
            session.add_click(click + rng.uniform(-moved, moved, 3))
            answers.append(session)
        one, other = answers
        assert one.state.patches == other.state.patches
        calls = [session.predictor.decoded[0].points_kji.tolist() for session in answers]
        assert calls[0] == calls[1]
        assert (one.mask != other.mask).sum() <= 0.01 * one.mask.sum() + 1
