"""What one more prompt may change, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from CTSAM3DLib.session.rules import allowed_change

NO_POINTS = np.zeros((0, 3), int), np.zeros(0, bool)


def connected(old, new, *own_kji, positive=True) -> np.ndarray:
    """The change without any prompt to obey, connected to voxels of the newest one."""
    return allowed_change(old, new, *NO_POINTS, positive, np.array(own_kji))


def obeyed(logits, points) -> np.ndarray:
    """The answer where nothing was known, with voxels (k, j, i) and signs of all prompts."""
    places, labels = (np.array(column) for column in zip(*points, strict=True))
    return allowed_change(np.full_like(logits, np.nan), logits, places, labels, True)


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_changes_known_logits_in_its_own_direction_only(positive) -> None:
    rng = np.random.default_rng(3)
    old = rng.normal(0, 5, (4, 5, 6)).astype(np.float16)
    old[rng.random(old.shape) < 0.3] = np.nan
    new = rng.normal(0, 5, old.shape).astype(np.float32)
    result = allowed_change(old, new, *NO_POINTS, positive)
    for index in np.ndindex(old.shape):
        if np.isnan(old[index]):
            assert result[index] == new[index]
        else:
            choose = max if positive else min
            assert result[index] == choose(float(old[index]), float(new[index]))


@pytest.mark.parametrize(("first", "share", "gap"), [(False, 0.02, 2), (True, 0.2, 0)])
@pytest.mark.parametrize("seed", range(8))
def test_only_the_change_at_the_click_counts(seed, first, share, gap) -> None:
    rng = np.random.default_rng(seed)
    shape = (9, 14, 16)
    old = np.full(shape, np.nan if first else -2.0, np.float16)
    old[rng.random(shape) < 0.05] = np.nan
    new = np.where(rng.random(shape) < share, 3.0, -1.0).astype(np.float32)
    click = tuple(int(value) for value in rng.choice(np.argwhere(new > 0)))
    reached, found = {click}, [click]
    flipped = [tuple(voxel) for voxel in np.argwhere(new > 0).tolist()]
    while found:  # from voxel to voxel, with so many between them
        at = found.pop()
        for other in flipped:
            steps = sum(abs(a - b) for a, b in zip(at, other, strict=True))
            if steps <= gap + 1 and other not in reached:
                reached.add(other)
                found.append(other)
    result = connected(old, new, click)
    for index in np.ndindex(shape):
        if new[index] > 0 and index not in reached:
            assert result[index] == (-20.0 if np.isnan(old[index]) else -2.0)
        else:
            assert result[index] == new[index]
    assert len(reached) < len(flipped), "the case tests nothing"


@pytest.mark.parametrize("known", [-1.0, 1.0, np.nan])
def test_an_answer_that_does_not_obey_the_click_counts_whole(known) -> None:
    """Outside and outside again, or inside in spite of a click that takes away."""
    old = np.full((1, 1, 20), known, np.float16)
    new = np.full((1, 1, 20), 2.0 if known == 1.0 else -2.0, np.float32)
    new[0, 0, [1, 18]] *= -1
    whole = allowed_change(old, new, *NO_POINTS, known != 1.0)
    result = connected(old, new, (0, 0, 9), positive=known != 1.0)
    np.testing.assert_array_equal(result, whole)


def test_a_click_inside_what_is_there_adds_only_to_that() -> None:
    old = np.full((1, 1, 20), -3.0, np.float16)
    old[0, 0, 5:9] = 3.0
    new = old.astype(np.float32)
    new[0, 0, [9, 10, 13, 16, 19]] = 2.0  # touching, and gaps of two, two and two
    result = connected(old, new, (0, 0, 6))
    assert (result[0, 0] > 0).nonzero()[0].tolist() == [5, 6, 7, 8, 9, 10, 13, 16, 19]
    new[0, 0, 13] = -3.0
    result = connected(old, new, (0, 0, 6))
    assert (result[0, 0] > 0).nonzero()[0].tolist() == [5, 6, 7, 8, 9, 10]
    assert (result[0, 0, [13, 16, 19]] == -3.0).all()


def test_where_nothing_was_known_at_the_click_parts_must_touch() -> None:
    old = np.full((1, 1, 20), np.nan, np.float16)
    old[0, 0, 10:] = -3.0
    new = np.full((1, 1, 20), -1.0, np.float32)
    new[0, 0, [7, 8, 9, 10, 12]] = 2.0
    unknown, known = connected(old, new, (0, 0, 8)), connected(old, new, (0, 0, 12))
    assert (unknown[0, 0] > 0).nonzero()[0].tolist() == [7, 8, 9, 10]
    assert (known[0, 0] > 0).nonzero()[0].tolist() == [7, 8, 9, 10, 12]
    assert unknown[0, 0, 12] == -3.0


def test_obeyed_clicks_change_nothing() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-20, 20, (9, 9, 9)).astype(np.float32)
    logits[4, 3, 2], logits[1, 1, 1] = 1.0, -1.5
    np.testing.assert_array_equal(obeyed(logits, [((4, 3, 2), True), ((1, 1, 1), False)]), logits)


@pytest.mark.parametrize("positive", [True, False])
def test_a_disobeyed_click_gets_a_gaussian_of_the_missing_height(positive) -> None:
    sign = 1.0 if positive else -1.0
    logits = np.full((21, 21, 21), -6.0 * sign, np.float32)
    result = obeyed(logits, [((9, 10, 12), positive)])
    for k, j, i in np.ndindex(*logits.shape):
        squared = (i - 12) ** 2 + (j - 10) ** 2 + (k - 9) ** 2
        expected = sign * (-6.0 + 7.0 * math.exp(-squared / (2 * 1.5**2)))
        assert result[k, j, i] == pytest.approx(expected, abs=2e-3)
    assert (logits == -6.0 * sign).all()


def test_a_click_too_weak_is_lifted_to_one() -> None:
    logits = np.full((5, 5, 5), 0.25, np.float32)
    assert obeyed(logits, [((2, 2, 2), True)])[2, 2, 2] == pytest.approx(1.0)


def test_the_newer_of_two_contradicting_clicks_wins() -> None:
    logits = np.zeros((5, 5, 5), np.float32)
    here = (2, 2, 2)
    assert obeyed(logits, [(here, True), (here, False)])[2, 2, 2] == pytest.approx(-1.0)
    assert obeyed(logits, [(here, False), (here, True)])[2, 2, 2] == pytest.approx(1.0)


def test_clicks_at_the_corner_of_the_patch() -> None:
    logits = np.full((4, 5, 6), -20.0, np.float32)
    result = obeyed(logits, [((0, 0, 0), True), ((3, 4, 5), True)])
    assert result[0, 0, 0] == pytest.approx(1.0, abs=0.01)
    assert result[3, 4, 5] == pytest.approx(1.0)
    assert result.min() >= -20.0
