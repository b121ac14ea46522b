"""Dice against closed forms and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.overlap import dice


def test_dice_of_half_overlapping_boxes_is_exact():
    a = np.zeros((6, 6, 6), bool)
    b = a.copy()
    a[0:4], b[2:6] = True, True
    assert dice(a, b) == pytest.approx(0.5)


def test_dice_agrees_with_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(3)
    a, b = rng.random((7, 9, 8)) < 0.3, rng.random((7, 9, 8)) < 0.4
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(
        sitk.GetImageFromArray(a.astype(np.uint8)), sitk.GetImageFromArray(b.astype(np.uint8))
    )
    assert dice(a, b) == pytest.approx(measure.GetDiceCoefficient(), abs=1e-12)


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(
        GeometryError, match=r"expected two masks of one shape, got \(2,\) and \(3,\)"
    ):
        dice(np.zeros(2, bool), np.zeros(3, bool))
