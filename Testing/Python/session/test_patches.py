"""Which patch answers a click."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.errors import GeometryError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.session.patches import (
    centred_patch,
    choose_spacing_mm,
    coarse_spacings_mm,
    patch_beyond,
    plan_patch,
)

SIZE = 16
SETTINGS = ModelSettings("demo", 64, (1.5, 4.0), 2.0, ((-100.0, 200.0),))
shapes = st.tuples(*[st.integers(1, 70)] * 3)


@st.composite
def grids_with_voxels(draw: st.DrawFn, count: int) -> tuple[tuple[int, int, int], list]:
    shape = draw(shapes)
    voxel = st.tuples(*[st.integers(0, size - 1) for size in shape[::-1]])
    return shape, draw(st.lists(voxel, min_size=count, max_size=count))


@given(grids_with_voxels(1))
def test_a_new_patch_holds_the_click_and_wastes_nothing(case) -> None:
    shape, (voxel,) = case
    patch = centred_patch(voxel, shape, SIZE)
    assert patch.size_ijk == (SIZE,) * 3
    assert patch.contains(voxel)
    for axis in range(3):
        start, stop, size = patch.start_ijk[axis], patch.stop_ijk[axis], shape[2 - axis]
        if size >= SIZE:
            assert start >= 0
            assert stop <= size
            free = start not in (0, size - SIZE)
            # On the lattice of 2 voxels, the click in the middle or one voxel beside it.
            assert not free or (
                start % 2 == 0 and voxel[axis] - start in (SIZE // 2 - 1, SIZE // 2)
            )
        else:
            assert start <= 0
            assert stop >= size
            assert 0 <= (stop - size) - (-start) <= 1


@given(grids_with_voxels(6))
def test_the_planned_patch_keeps_the_click_away_from_inner_faces(case) -> None:
    shape, voxels = case
    patches: list[BoundingBox] = []
    for voxel in voxels:
        patch = plan_patch(voxel, patches, shape, SIZE)
        for axis in range(3):
            low = voxel[axis] - patch.start_ijk[axis]
            high = patch.stop_ijk[axis] - 1 - voxel[axis]
            assert low >= SIZE // 8 or patch.start_ijk[axis] <= 0
            assert high >= SIZE // 8 or patch.stop_ijk[axis] >= shape[2 - axis]
        assert patch in patches or patch == centred_patch(voxel, shape, SIZE)
        patches.append(patch)


def box_at(start: tuple[int, int, int]) -> BoundingBox:
    return BoundingBox(start, tuple(value + SIZE for value in start))


def test_the_margin_decides_between_reuse_and_a_new_patch() -> None:
    known = box_at((20, 20, 20))
    grid = (100, 100, 100)
    assert plan_patch((22, 28, 28), [known], grid, SIZE) == known
    assert plan_patch((21, 28, 28), [known], grid, SIZE) == box_at((14, 20, 20))
    assert plan_patch((28, 28, 33), [known], grid, SIZE) == known
    assert plan_patch((28, 28, 34), [known], grid, SIZE) == box_at((20, 20, 26))


@pytest.mark.parametrize("size", [8, 16, 48, 64])
def test_all_voxels_of_a_cell_ask_for_the_same_patch(size) -> None:
    step = size // 8
    grid = (4 * size, 4 * size, 4 * size)
    starts = [centred_patch((at, at, at), grid, size).start_ijk[0] for at in range(4 * size)]
    free = [start for start in starts if 0 < start < 3 * size]
    assert sorted(set(free)) == list(range(step, 3 * size, step))
    assert all(free.count(start) == step for start in set(free))
    # The nearest of the lattice: nobody is further than half a cell from the middle.
    for at, start in enumerate(starts):
        if 0 < start < 3 * size:
            assert abs(at - start - size // 2) <= step / 2


@given(grids_with_voxels(1), st.integers(0, 2), st.sampled_from([-1, 1]))
def test_a_patch_beyond_a_face_continues_it_and_overlaps(case, axis, side) -> None:
    shape, (voxel,) = case
    patch = centred_patch(voxel, shape, SIZE)
    outward = patch.stop_ijk[axis] if side > 0 else patch.start_ijk[axis] - 1
    if not 0 <= outward < shape[2 - axis]:
        return
    beyond = patch_beyond(patch, axis, side, shape)
    assert beyond.size_ijk == (SIZE,) * 3
    assert beyond.start_ijk[axis] <= outward < beyond.stop_ijk[axis]
    assert 0 <= beyond.start_ijk[axis] <= shape[2 - axis] - SIZE
    shift = (beyond.start_ijk[axis] - patch.start_ijk[axis]) * side
    inside = beyond.start_ijk[axis] not in (0, shape[2 - axis] - SIZE)
    assert 0 < shift <= 11
    assert not inside or (shift >= 9 and beyond.start_ijk[axis] % 2 == 0)
    for other in {0, 1, 2} - {axis}:
        assert beyond.start_ijk[other] == patch.start_ijk[other]


def test_faces_at_the_border_need_no_margin() -> None:
    corner = box_at((0, 0, 0))
    assert plan_patch((0, 0, 0), [corner], (100, 100, 100), SIZE) == corner
    far = box_at((84, 84, 84))
    assert plan_patch((99, 99, 99), [far], (100, 100, 100), SIZE) == far
    assert plan_patch((99, 99, 99), [far], (100, 100, 101), SIZE) == box_at((85, 84, 84))


def test_the_most_central_patch_is_taken_and_the_first_of_equals() -> None:
    left, right = box_at((20, 20, 20)), box_at((28, 20, 20))
    grid = (100, 100, 100)
    assert plan_patch((30, 28, 28), [left, right], grid, SIZE) == left
    assert plan_patch((34, 28, 28), [left, right], grid, SIZE) == right
    above, below = box_at((20, 20, 20)), box_at((20, 20, 21))
    assert plan_patch((24, 28, 28), [above, below], grid, SIZE) == above
    assert plan_patch((24, 28, 28), [below, above], grid, SIZE) == below


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((0.7, 0.7, 1.0), 2.0),
        ((2.5, 2.5, 2.5), 2.0),
        ((3.0, 3.0, 3.0), 2.25),
        ((1.0, 1.0, 27.0), 2.25),
        ((9.0, 9.0, 9.0), 4.0),
    ],
)
def test_automatic_spacing(spacing, expected) -> None:
    geometry = Geometry(np.diag([*spacing, 1.0]), (5, 5, 5))
    assert choose_spacing_mm(geometry, SETTINGS) == pytest.approx(expected)
    assert choose_spacing_mm(geometry, SETTINGS, spacing_mm=0.9) == 0.9


@pytest.mark.parametrize("wish", [0.0, -1.0, math.nan, math.inf, "fine", (2.0, 2.0, 2.0)])
def test_an_impossible_spacing_is_refused(wish) -> None:
    geometry = Geometry(np.eye(4), (5, 5, 5))
    with pytest.raises(GeometryError, match=r"model spacing above 0 mm, got"):
        choose_spacing_mm(geometry, SETTINGS, spacing_mm=wish)


@pytest.mark.parametrize(
    ("spacing", "largest", "expected"),
    [
        (1.5, 4.0, (3.0, 4.0)),
        (2.0, 4.0, (4.0,)),
        (2.5, 4.0, (4.0,)),
        (3.2, 4.0, (4.0,)),
        (3.3, 4.0, ()),
        (1.5, 1.5, ()),
        (5.0, 4.0, ()),
    ],
)
def test_voxel_sizes_for_a_look_from_further_away(spacing, largest, expected) -> None:
    assert coarse_spacings_mm(spacing, (1.0, largest)) == expected
