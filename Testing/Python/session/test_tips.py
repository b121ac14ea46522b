"""Whether two answers for a tip count, on masks that are drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.session.tips import TipRules, beyond_border, both_say, deep_voxels, farthest

RULES = TipRules()
SIZE = 32


def bar(start: int, stop: int) -> np.ndarray:
    """A bar of 8 x 8 voxels along k; the tip of the known one is in the middle of the patch."""
    mask = np.zeros((SIZE,) * 3, bool)
    mask[start:stop, 12:20, 12:20] = True
    return mask


def logits(mask: np.ndarray, sure: float = 4.0) -> np.ndarray:
    return np.where(mask, sure, -sure).astype(np.float32)


KNOWN = bar(0, 16)
VOXELS = 4 * int(KNOWN.sum())


UNSEEN = np.where(bar(16, SIZE), np.nan, logits(KNOWN))
"""Nothing is known where the bar may go on."""


def said(told: np.ndarray, blind: np.ndarray, voxels: int = VOXELS) -> np.ndarray | None:
    return both_say(logits(KNOWN), told, blind, voxels, RULES)


def test_what_both_answers_add_is_added() -> None:
    result = said(logits(bar(0, 28)), logits(bar(4, 24)))
    np.testing.assert_array_equal(result > 0, bar(0, 24))
    assert result.dtype == np.float32


def test_what_was_known_keeps_its_logits() -> None:
    result = said(logits(bar(0, 28)), logits(bar(8, 24)))
    np.testing.assert_array_equal(result[~bar(16, 24)], logits(KNOWN)[~bar(16, 24)])


def test_unknown_voxels_that_are_not_added_stay_unknown() -> None:
    known = np.where(bar(0, 20) | ~bar(0, 32), logits(KNOWN), np.nan)
    result = both_say(known, logits(bar(0, 28)), logits(bar(4, 24)), VOXELS, RULES)
    np.testing.assert_array_equal(result > 0, bar(0, 24))
    np.testing.assert_array_equal(np.isnan(result), bar(24, 32))


def test_what_answers_have_seen_and_left_out_must_be_surer() -> None:
    longer, unsure = logits(bar(0, 26)), logits(bar(0, 26), 2.0)
    assert said(longer, longer) is not None
    assert said(unsure, longer) is None
    assert both_say(UNSEEN, unsure, longer, VOXELS, RULES) is not None


def test_most_of_the_mask_is_found_or_the_additions_are_the_same() -> None:
    mask = KNOWN.copy()
    mask[0:4, 4:28, 4:28] = True  # far from the tip, and not found again
    known = logits(mask)
    told, blind = logits(bar(0, 26) | mask), logits(bar(4, 26))
    assert both_say(known, told, blind, VOXELS, RULES) is not None
    other = bar(4, 26)
    other[19:26, 12:17, 12:20] = False
    assert both_say(known, told, logits(other), VOXELS, RULES) is None


def test_a_border_that_moved_adds_nothing() -> None:
    wider = np.zeros_like(KNOWN)
    wider[0:19, 10:22, 10:22] = True
    assert not beyond_border(KNOWN, logits(wider), RULES).any()
    assert said(logits(wider), logits(wider)) is None


def test_a_border_that_moved_far_from_what_is_new_is_not_added() -> None:
    wider = bar(0, 26)
    wider[2:6, 10:22, 10:22] = True
    result = said(logits(wider), logits(wider))
    np.testing.assert_array_equal(result > 0, bar(0, 26))


def test_what_does_not_touch_the_mask_is_not_added() -> None:
    both = bar(0, 26)
    both[20:24, 12:20, 22:26] = True  # two voxels beside the bar
    result = said(logits(both), logits(both))
    np.testing.assert_array_equal(result > 0, bar(0, 26))


def test_answers_that_add_different_things_do_not_count() -> None:
    aside = KNOWN.copy()
    aside[8:16, 12:20, 20:32] = True
    assert said(logits(bar(0, 28)), logits(aside)) is None


def test_a_structure_that_does_not_hold_the_known_mask_is_another_one() -> None:
    # Unsure answers: three quarters of the 8 known layers round the tip must be found again.
    unsure = logits(bar(0, 26), 1.0)
    assert both_say(UNSEEN, unsure, logits(bar(9, 26)), VOXELS, RULES) is not None
    assert both_say(UNSEEN, unsure, logits(bar(11, 26)), VOXELS, RULES) is None
    # Sure ones: two fifths.
    assert said(logits(bar(0, 26)), logits(bar(11, 26))) is not None
    assert said(logits(bar(0, 26)), logits(bar(14, 26))) is None


@pytest.mark.parametrize(("voxels", "counts"), [(600, False), (2000, True), (200_000, False)])
def test_too_much_and_too_little_do_not_count(voxels, counts) -> None:
    longer = logits(bar(0, 26))
    assert (said(longer, longer, voxels) is not None) is counts


def test_deep_voxels_are_far_from_the_border() -> None:
    patch = BoundingBox((5, 0, 0), (5 + SIZE, SIZE, SIZE))
    found = deep_voxels(KNOWN, patch)
    assert len(found) == 14 * 6 * 6  # 4 voxels deep at most, so at least 2
    assert (found.min(axis=0).tolist(), found.max(axis=0).tolist()) == ([1, 13, 18], [14, 18, 23])
    assert not len(deep_voxels(np.zeros_like(KNOWN), patch))
    thin = np.zeros((9, 9, 9), bool)
    thin[4, 4, :] = True
    assert len(deep_voxels(thin, BoundingBox.from_shape(thin.shape))) == 9


def test_the_farthest_point_of_all_that_were_asked() -> None:
    voxels = np.array([[0, 0, 2], [0, 0, 9], [0, 8, 0]])
    assert farthest(voxels, [(0, 0, 0)], 8.0) == (0, 0, 9)
    assert farthest(voxels, [(0, 0, 0), (0, 0, 9)], 8.0) == (0, 8, 0)
    assert farthest(voxels, [(0, 0, 0), (0, 0, 9), (0, 8, 0)], 8.0) is None
    assert farthest(voxels[:0], [(0, 0, 0)], 8.0) is None
