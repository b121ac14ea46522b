"""Prompts in the air round the body, which are told of, and in the gas of organs, which are not."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.prompts import Box, Click, Lasso, Scribble
from CTSAM3DLib.session.air import air_notices

AIR = (5.0, 20.0, 4.0)
SHAPE = (9, 40, 40)


def body() -> np.ndarray:
    """Return a block of soft tissue in air, (K, J, I) HU."""
    array = np.full(SHAPE, -1000.0)
    array[:, 10:30, 10:30] = 40
    return array


def told(array: np.ndarray, position: tuple[float, ...]) -> bool:
    return bool(air_notices(Volume.from_array(array, (1, 1, 1)), [Click(position)]))


def test_the_hu_at_the_prompt_and_its_kind_are_named() -> None:
    array = body()
    array[4, 20, 5] = -987
    volume = Volume.from_array(array, (1, 1, 1))
    line = [AIR, (6.0, 21.0, 4.0), (6.0, 19.0, 4.0)]
    found = air_notices(volume, [Click(AIR), Scribble(line), Lasso(line)])
    assert [text.split(" lies")[0] for text in found] == ["The point", "The stroke", "The lasso"]
    assert "-987 HU" in found[0]


def test_what_lies_outside_the_structure_may_lie_in_air() -> None:
    volume = Volume.from_array(body(), (1, 1, 1))
    assert air_notices(volume, [Click(AIR, False), Scribble([AIR, AIR], False)]) == ()
    assert air_notices(volume, [Box.of_corners((1, 1, 1), (39, 39, 7))]) == ()  # its middle counts


def test_gas_inside_and_an_open_airway_are_no_air_outside() -> None:
    array = body()
    array[:, 18:22, 18:22] = -1000
    assert not told(array, (20.0, 20.0, 4.0))
    array[:, 19:21, 5:20] = -1000  # open to one side, as a nose
    assert not told(array, (20.0, 20.0, 4.0))
    array[:] = np.where(np.arange(SHAPE[0])[:, None, None] == 4, array, -1000)  # open above, below
    assert not told(array, (20.0, 20.0, 4.0))


def test_a_lung_that_the_image_cuts_off_is_no_air() -> None:
    array = np.full(SHAPE, -860.0)
    assert not told(array, (5.0, 20.0, 4.0))
    array[:, :, 20:] = 40
    assert not told(array, (5.0, 20.0, 4.0))


def test_padding_corners_and_a_single_slice() -> None:
    array = body()
    array[:, :5] = -3024
    for position in ((0.0, 0.0, 0.0), (39.0, 39.0, 8.0), (20.0, 2.0, 4.0)):
        assert told(array, position)
    assert air_notices(Volume.from_array(array[4:5], (1, 1, 1)), [Click((5, 20, 0))])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_axial_whatever_the_order_of_axes(order: tuple[int, int, int]) -> None:
    """A tube of gas along S is open at both ends; each order of the array sees it as closed."""
    array = body()
    array[:, 18:22, 18:22] = -1000
    matrix = np.eye(4)[:, [*(2 - np.array(order))[::-1], 3]]  # columns: R, A, S of i, j, k
    turned = array.transpose(order)
    volume = Volume(turned, Geometry(matrix, turned.shape))
    assert not air_notices(volume, [Click((20, 20, 4))])
    assert not air_notices(volume, [Click((12, 12, 4))])
    assert air_notices(volume, [Click(AIR)])


def test_the_torso_has_lungs_and_gas_without_a_false_alarm() -> None:
    volume, truth = torso_phantom(4.0)
    array = volume.array_kji
    gas = np.argwhere((array < -700) & np.any(list(truth.values()), axis=0))[::97]
    assert len(gas) > 50
    inside = [Click(volume.geometry.ras_from_ijk(kji[::-1])) for kji in gas]
    assert air_notices(volume, inside) == ()
    last = np.subtract(array.shape, 1)[::-1]
    outside = [Click(volume.geometry.ras_from_ijk(last * corner)) for corner in np.ndindex(2, 2, 2)]
    assert len(air_notices(volume, outside)) == 8
