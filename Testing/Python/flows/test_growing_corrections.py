"""Growing with further clicks, given masks, and the hints of a cross-patch predictor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fake_predictor import BallPredictor, ComponentPredictor, DecodeCall
from growing_case import MIDDLE, grow, long_tube, overlap
from phantoms import OBLIQUE, centred_geometry
from scipy import ndimage

from CTSAM3DLib.api import open_session
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.volume import MaskUpdate, Volume
from CTSAM3DLib.models.contract import ModelSettings
from CTSAM3DLib.session.growing_rules import GrowingRules
from CTSAM3DLib.session.session import InteractiveSession

# Corrections -----------------------------------------------------------------------------------


def forked() -> Volume:
    """Two parallel bars 20 mm apart, both longer than three patches."""
    geometry = centred_geometry((80, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[5:115, 18:24, 12:18] = 100.0
    hu[5:115, 18:24, 24:30] = 100.0
    return Volume(hu, geometry)


def test_a_correction_inside_costs_one_patch_and_grows_only_through_new_faces() -> None:
    session = open_session(forked(), ComponentPredictor(), grow="frontier")
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((15, 21, 60)))
    assert session.mask[:, :, :20].sum() > 0.95 * 110 * 36
    assert not session.mask[:, :, 22:].any()
    patches, calls = len(session.state.patches), session.predictor.decode_calls
    # The same bar again: nothing new leaves a patch.
    session.add_click(at((15, 22, 64)))
    assert session.predictor.decode_calls == calls + 1
    # The other bar, with its own click in patches that are all known: faces are covered.
    session.add_click(at((27, 21, 60)))
    assert session.mask[60, 21, 27]
    assert len(session.state.patches) == patches
    assert session.predictor.decode_calls == calls + 2


def test_a_click_on_something_that_leaves_all_patches_grows_again() -> None:
    geometry = centred_geometry((240, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[50:56, 18:24, 10:110] = 100.0
    hu[62:110, 18:24, 57:63] = 100.0
    session = open_session(Volume(hu, geometry), ComponentPredictor(), grow="frontier")
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((60, 21, 53)))
    assert session.mask.sum() == pytest.approx(6 * 6 * 100, rel=0.02)
    before = session.predictor.decode_calls
    session.add_click(at((60, 21, 63)))
    # In the patch of the first click, where all near its faces was known to be background, and
    # out through its upper face.
    assert session.predictor.decoded[before].embedding.number == 1
    assert session.predictor.decode_calls > before + 1
    assert session.mask.sum() == pytest.approx(6 * 6 * 148, rel=0.02)


def test_a_negative_click_recomputes_its_own_patch_alone() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow="frontier")
    session.add_click(MIDDLE.position_ras)
    calls, before = session.predictor.decode_calls, session.mask
    position = OBLIQUE @ (0.0, 0.0, 60.0)
    session.add_click(position, positive=False)
    assert session.predictor.decode_calls == calls + 1
    i, j, k = truth.volume.geometry.voxel_from_ras(position)
    assert before[k, j, i]
    assert not session.mask[k, j, i]
    assert overlap(session.mask, before) > 0.97


def test_a_negative_click_neither_adds_nor_grows_whatever_the_model_says() -> None:
    class Contrary(ComponentPredictor):
        """Takes everything bright for the object once it has been told what is not."""

        def logits(self, call: DecodeCall):
            if (call.labels == 1).all():
                return super().logits(call)
            return np.where(call.embedding.patch_hu > 0, 5.0, -20.0)

    geometry = centred_geometry((240, 80, 240), (2, 2, 2))
    hu = np.full(geometry.shape_kji, -100.0, np.float32)
    hu[50:56, 18:24, 10:110] = 100.0
    hu[62:110, 18:24, 57:63] = 100.0
    session = open_session(Volume(hu, geometry), Contrary(), grow="frontier")
    at = session.volume.geometry.ras_from_ijk
    session.add_click(at((60, 21, 53)))
    calls = session.predictor.decode_calls
    before = session.mask.copy()
    session.add_click(at((60, 30, 53)), positive=False)
    assert not session.mask[63, 21, 60]
    assert not (session.mask & ~before).any()
    assert session.predictor.decode_calls == calls + 1


def test_clicks_are_obeyed_in_the_patches_that_follow() -> None:
    truth = long_tube()
    session = open_session(truth.volume, ComponentPredictor(), grow="frontier")
    barred = OBLIQUE @ (0.0, 0.0, 90.0)
    session.add_click(barred, positive=False)
    assert session.predictor.decode_calls == 0
    session.add_click(MIDDLE.position_ras)
    i, j, k = truth.volume.geometry.voxel_from_ras(barred)
    assert not session.mask[k, j, i]
    seen = [call.labels.tolist() for call in session.predictor.decoded]
    assert seen[0] == [1]
    assert [0] in seen
    assert overlap(session.mask, truth.mask_kji) > 0.94


def test_a_given_mask_is_continued_and_kept() -> None:
    truth = long_tube(np.eye(3))
    given = truth.mask_kji.copy()
    given[truth.mask_kji.shape[0] // 2 :] = False
    given[:4, :4, :4] = True
    box = BoundingBox.from_mask(given)
    session = InteractiveSession.for_volume(
        truth.volume,
        ComponentPredictor(),
        base=MaskUpdate(given[box.slices_kji], box),
        grow="frontier",
    )
    session.add_click((0.0, 0.0, 10.0))
    assert overlap(session.mask, truth.mask_kji | given) > 0.97
    # Towards the upper end only: the lower half was there before.
    assert min(patch.start_ijk[2] for patch in session.state.patches) > 60
    low = np.s_[:50]
    np.testing.assert_array_equal(session.mask[low], given[low])


def test_a_border_that_moves_a_little_opens_no_face() -> None:
    class Fatter(BallPredictor):
        def logits(self, call: DecodeCall):
            mask = call.previous_logits > 0
            return np.where(ndimage.binary_dilation(mask, iterations=1), 15.0, -20.0)

    truth = long_tube(np.eye(3))
    box = BoundingBox.from_mask(truth.mask_kji)
    given = MaskUpdate(truth.mask_kji[box.slices_kji], box)
    session = InteractiveSession.for_volume(truth.volume, Fatter(), base=given, grow="frontier")
    session.add_click((0.0, 0.0, 0.0))
    assert session.mask.sum() > truth.mask_kji.sum()
    assert session.predictor.decode_calls == 1


# Cross-patch prompting -------------------------------------------------------------------------


@dataclass
class Prompting(ComponentPredictor):
    """A trained cross-patch predictor with a peak of given height on bright voxels."""

    peak: float = 0.8
    asked: list[tuple] = field(default_factory=list)

    @property
    def settings(self) -> ModelSettings:
        return replace(super().settings, cross_patch_trained=True)

    def cross_patch(self, patch_hu, mask, neighbour_hu):
        super().cross_patch(patch_hu, mask, neighbour_hu)
        self.asked.append((patch_hu, mask, neighbour_hu))
        heat = np.zeros(mask.shape, np.float32)
        depth = np.where(neighbour_hu > 50, neighbour_hu, -1)
        heat[np.unravel_index(depth.argmax(), depth.shape)] = self.peak
        return heat


def test_the_peak_of_the_heat_map_is_a_positive_click() -> None:
    truth = long_tube()
    predictor = Prompting()
    state = grow(truth, predictor)
    assert overlap(state.mask.dense(), truth.mask_kji) > 0.96
    assert len(predictor.asked) == predictor.decode_calls - 1
    for (patch_hu, mask, neighbour_hu), call in zip(
        predictor.asked, predictor.decoded[1:], strict=True
    ):
        assert call.labels.tolist() == [1]
        k, j, i = (int(value) for value in call.points_kji[0])
        assert neighbour_hu[k, j, i] > 50
        np.testing.assert_array_equal(call.embedding.patch_hu, neighbour_hu)
        assert (patch_hu[mask] > 0).mean() > 0.95


@dataclass
class Aligned(Prompting):
    """As our own model: everything lies on the neighbour's grid."""

    @property
    def settings(self) -> ModelSettings:
        return replace(super().settings, cross_patch_aligned=True)

    def cross_patch(self, patch_hu, mask, neighbour_hu):
        heat = super().cross_patch(np.nan_to_num(patch_hu), mask, neighbour_hu)
        self.asked[-1] = (patch_hu, mask, neighbour_hu)
        return heat


def test_an_aligned_predictor_sees_what_is_known_on_the_neighbours_grid() -> None:
    predictor = Aligned()
    grow(long_tube(), predictor)
    assert len(predictor.asked) == predictor.decode_calls - 1 >= 4
    for (patch_hu, mask, neighbour_hu), call in zip(
        predictor.asked, predictor.decoded[1:], strict=True
    ):
        known = ~np.isnan(patch_hu)
        assert 0.2 < known.mean() < 0.8
        np.testing.assert_array_equal(patch_hu[known], neighbour_hu[known])
        # What the segmenter is shown as known is the same; elsewhere it gets -20.
        np.testing.assert_array_equal(mask, call.previous_logits > 0)
        assert mask.any()
        assert not mask[~known].any()
        assert (call.previous_logits[~known] == -20.0).all()


def test_a_low_peak_is_the_end_of_the_object() -> None:
    predictor = Prompting(peak=0.29)
    state = grow(long_tube(), predictor)
    assert len(state.patches) == predictor.decode_calls == 1
    assert len(predictor.asked) == 2
    assert len(grow(long_tube(), Prompting(peak=0.29), GrowingRules(heat_peak=0.2)).patches) == 7


def test_no_peak_counts_where_background_is_known() -> None:
    @dataclass
    class Pointing(Prompting):
        """Points to air, most of all where the first patch has seen it."""

        rises: bool = True

        def cross_patch(self, patch_hu, mask, neighbour_hu):
            super().cross_patch(patch_hu, mask, neighbour_hu)
            slope = np.linspace(0.9, 0.4, self.patch_size, dtype=np.float32)
            along = slope if self.rises else slope[::-1]
            return np.where(neighbour_hu < 0, along[:, None, None], np.float32(0.0))

    truth = long_tube(np.eye(3))
    for rises in (True, False):
        predictor = Pointing(rises=rises)
        rules = GrowingRules(max_patches=3, overlap_dice=0.0)
        grow(truth, predictor, rules)
        # The second patch lies below the first one, the third above it.
        call = predictor.decoded[2 if rises else 1]
        k, j, i = (int(value) for value in call.points_kji[0])
        unknown = call.previous_logits == -20.0
        assert unknown[k, j, i]
        # Steepest towards what is known, so the peak lies just beyond it.
        shared = 12 if rises else 20
        assert k == (shared if rises else shared - 1)


def test_an_untrained_cross_patch_predictor_is_not_asked() -> None:
    class Forbidden(ComponentPredictor):
        def cross_patch(self, *arguments):
            raise AssertionError(f"asked about {len(arguments)} arrays")

    assert len(grow(long_tube(), Forbidden()).patches) == 7


def test_whether_the_cross_patch_predictor_is_trained_is_stored_with_the_model() -> None:
    stored = Prompting().settings.to_dict()
    assert ModelSettings.from_dict(stored).cross_patch_trained
    del stored["cross_patch_trained"]
    assert not ModelSettings.from_dict(stored).cross_patch_trained
