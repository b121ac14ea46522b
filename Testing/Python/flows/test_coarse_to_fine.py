"""A look with larger voxels, and finer patches after it, on phantoms larger than a patch."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import ComponentPredictor, DecodeCall
from growing_case import (
    MIDDLE,
    great_ball,
    long_tube,
    overlap,
    state_of,
)
from phantoms import ORIENTATIONS, centred_geometry, phantom, tube
from slow_values import slow

from CTSAM3DLib.api import open_session
from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.session.growing_rules import BEST, GrowingRules, GrowMode
from CTSAM3DLib.session.state import SessionState

# Found whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oblique left-handed coronal", *slow("axial", "oblique")])
def test_an_object_larger_than_a_patch_is_found_whole_from_one_click(name) -> None:
    truth = great_ball(ORIENTATIONS[name])
    session = open_session(truth.volume, ComponentPredictor(), grow="coarse")
    session.add_click(MIDDLE.position_ras)
    assert overlap(session.mask, truth.mask_kji) > 0.97
    alone = open_session(truth.volume, ComponentPredictor())
    alone.add_click(MIDDLE.position_ras)
    assert overlap(alone.mask, truth.mask_kji) < 0.7


def test_the_coarse_answer_alone_finds_it_with_few_decodes() -> None:
    truth = great_ball()
    predictor = ComponentPredictor()
    state = state_of(truth, predictor, "coarse", GrowingRules(max_patches=2))
    assert predictor.decode_calls == 2
    assert len(state.patches) == len(state.coarse) == 1
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.95


def test_what_leaves_the_coarse_patch_too_is_asked_for_in_still_larger_voxels() -> None:
    truth = long_tube(np.eye(3))  # 240 mm
    predictor = ComponentPredictor()
    state = state_of(truth, predictor, "coarse", GrowingRules(max_patches=3))
    assert predictor.decode_calls == 3
    assert state.coarse[0].size_ijk[2] == 128  # of 2 mm
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.9
    smaller = state_of(great_ball(np.eye(3)), ComponentPredictor(), "coarse")
    assert smaller.coarse[0].size_ijk == (64, 64, 64)


def test_finer_patches_see_the_coarse_answer_and_sharpen_it() -> None:
    truth = long_tube()
    predictor = ComponentPredictor()
    told: list[SessionState] = []
    state = state_of(truth, predictor, "coarse", on_patch=told.append)
    coarse, refined = (overlap(one.mask.dense(), truth.mask_kji) for one in (told[1], told[-1]))
    assert refined > coarse + 0.01
    assert refined > 0.96
    assert told[-1] is state
    assert [len(one.patches) for one in told] == [1, 1, 2, 3, 4, 5, 6, 7]
    assert told[0].coarse == () != told[1].coarse
    for call in predictor.decoded[3:]:
        assert (call.previous_logits > 0).any()
        seen = call.embedding.patch_hu > -1000  # in the grid
        assert (call.previous_logits[seen] < 0).any()


def test_a_patch_within_what_is_known_is_not_decoded() -> None:
    predictor = ComponentPredictor()
    state = state_of(long_tube(), predictor, "coarse")
    # 7 patches along the tube, the click's own among them, and looks at 4 and at 8 mm.
    assert len(state.patches) == 7
    assert predictor.decode_calls == 9


@pytest.mark.parametrize("mode", ["frontier", "coarse"])
def test_a_small_object_costs_one_decode_and_is_the_same_as_without(mode) -> None:
    truth = long_tube(length_mm=40.0)
    predictor, plain = ComponentPredictor(), ComponentPredictor()
    session = open_session(truth.volume, predictor, grow=mode)
    other = open_session(truth.volume, plain)
    for one in (session, other):
        one.add_click(MIDDLE.position_ras)
    assert predictor.decode_calls == predictor.encode_calls == plain.decode_calls == 1
    np.testing.assert_array_equal(session.mask, other.mask)
    np.testing.assert_array_equal(session.state.logits.dense(), other.state.logits.dense())
    assert session.state.coarse == ()


# Leaks -----------------------------------------------------------------------------------------


def combed() -> Volume:
    """An object, and a neighbour behind a comb that larger voxels do not resolve; 2 mm voxels."""
    geometry = centred_geometry((120, 120, 320), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[50:70, 20:40, 20:40] = -300.0
    hu[70:130, 20:40, 20:40] = 100.0
    hu[50:70, 20:40, 20:40:2] = 100.0
    hu[5:50, 20:40, 20:40] = 100.0
    return Volume(hu, geometry)


def test_a_leak_is_stopped_by_what_the_coarse_answer_shows() -> None:
    masks = {}
    for mode in ("frontier", "coarse"):
        session = open_session(combed(), ComponentPredictor(), grow=mode)
        session.add_click(session.volume.geometry.ras_from_ijk((30, 30, 90)))
        masks[mode] = session.mask
        assert session.mask[70:130, 20:40, 20:40].mean() > 0.97
    assert masks["frontier"][5:50].any()
    assert not masks["coarse"][5:50].any()
    # Finer patches move the coarse surface by no more than the band: 6 voxels.
    assert not masks["coarse"][50:63].any()


def test_a_coarse_answer_that_does_not_know_the_object_is_not_used() -> None:
    class Everything(ComponentPredictor):
        """From further away it takes all of the patch for the object."""

        def logits(self, call: DecodeCall):
            if (call.embedding.patch_hu < -1000).any():
                return np.full((self.patch_size,) * 3, 9.0)
            return super().logits(call)

    geometry = centred_geometry((110, 110, 320), (2, 2, 2))  # narrower than a coarse patch
    truth = phantom(geometry, tube((0, 0, -120), (0, 0, 120), 12.0))
    predictor = Everything()
    state = state_of(truth, predictor, "coarse")
    assert predictor.decode_calls == 3  # its own patch, and looks at 4 and 8 mm
    assert state.coarse == ()
    expected = state_of(truth, ComponentPredictor(), "off")
    np.testing.assert_array_equal(state.mask.dense(), expected.mask.dense())
    trusting = state_of(truth, Everything(), "coarse", GrowingRules(coarse_dice=0.1))
    assert trusting.coarse != ()


def test_a_finer_patch_that_disagrees_with_the_coarse_answer_is_refused() -> None:
    class Lost(ComponentPredictor):
        """Finds nothing in finer patches without a click."""

        def logits(self, call: DecodeCall):
            if len(call.labels):
                return super().logits(call)
            return np.full((self.patch_size,) * 3, -9.0)

    predictor = Lost()
    state = state_of(long_tube(), predictor, "coarse")
    assert predictor.decode_calls > 3
    assert len(state.patches) == 1
    coarse_only = state_of(long_tube(), ComponentPredictor(), "coarse", GrowingRules(max_patches=3))
    np.testing.assert_array_equal(state.mask.dense(), coarse_only.mask.dense())


# Models without larger voxels, and names -------------------------------------------------------


def test_a_model_of_one_voxel_size_grows_as_if_nothing_else_was_asked() -> None:
    truth = long_tube()
    masks = {}
    for mode in ("off", "frontier", "coarse"):
        predictor = ComponentPredictor(spacing_range_mm=(1.0, 2.0))
        session = open_session(truth.volume, predictor, grow=mode)
        session.add_click(MIDDLE.position_ras)
        masks[mode] = session.mask
        assert session.state.coarse == ()
    np.testing.assert_array_equal(masks["coarse"], masks["off"])
    assert masks["frontier"].sum() > 2 * masks["off"].sum()


def test_true_and_false_stand_for_the_best_mode_and_off() -> None:
    truth = long_tube()
    for wish, mode in ((True, BEST), (False, GrowMode.OFF), ("coarse", GrowMode.COARSE)):
        assert open_session(truth.volume, ComponentPredictor(), grow=wish).grow is mode
    with pytest.raises(CTSAM3DError, match="got 'sideways'"):
        open_session(truth.volume, ComponentPredictor(), grow="sideways")
    with pytest.raises(CTSAM3DError, match="off, auto, frontier or coarse, got 'both'"):
        open_session(truth.volume, ComponentPredictor(), grow="both")
    with pytest.raises(CTSAM3DError, match="got 1"):
        open_session(truth.volume, ComponentPredictor(), grow=1)
