"""Shapes of masks; SimpleITK measures the same as an oracle."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.shape import Shape

sitk = pytest.importorskip("SimpleITK")


def test_centre_and_axes_are_those_of_simpleitk() -> None:
    matrix = np.diag([-0.8, -0.9, 2.5, 1.0])
    matrix[:3, 3] = (10, 20, 30)
    geometry = Geometry(matrix, (12, 30, 40))
    k, j, i = np.ogrid[:12, :30, :40]
    mask = ((k - 6) / 4) ** 2 + ((j - 14) / 12) ** 2 + ((i - 20 - (j - 14) / 2) / 9) ** 2 < 1
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    origin, spacing, direction = geometry.lps()
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    oracle = sitk.LabelShapeStatisticsImageFilter()
    oracle.Execute(image)
    shape = Shape.of(mask[2:], (0, 0, 2), geometry)
    assert shape is not None
    assert np.allclose(shape.centre_ras, np.array([-1, -1, 1]) * oracle.GetCentroid(1), atol=1e-3)
    moments = np.sqrt(20 * np.array(oracle.GetPrincipalMoments(1)))[::-1]
    assert np.allclose(shape.axes_mm, moments, rtol=0.02)
    assert shape.parts == 1


def test_an_empty_mask_has_no_shape() -> None:
    mask = np.zeros((2, 2, 2), bool)
    assert Shape.of(mask, (0, 0, 0), Geometry(np.eye(4), (2, 2, 2))) is None
