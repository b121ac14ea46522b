"""The cache of image embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.session.encoder import PatchEncoder


def patch(start: int) -> BoundingBox:
    return BoundingBox((start,) * 3, (start + 32,) * 3)


def encoder_with_room_for(count: int) -> PatchEncoder:
    volume = empty_volume(centred_geometry([100] * 3, [2] * 3))
    return PatchEncoder(volume, model_grid(volume.geometry, 2.0), BallPredictor(), count)


def test_the_patch_used_longest_ago_is_forgotten() -> None:
    encoder = encoder_with_room_for(2)
    numbers = [encoder.embedding(patch(start)).number for start in (0, 1, 0, 2, 0, 1)]
    assert numbers == [1, 2, 1, 3, 1, 4]
    assert len(encoder) == 2
    assert patch(0) in encoder
    assert patch(2) not in encoder


def test_the_image_of_a_patch_is_what_the_model_encodes() -> None:
    encoder = encoder_with_room_for(1)
    image = encoder.image(patch(30))
    assert (image[:20, :20, :20] == -100).all()
    assert (image[20:] == -1024).all()
    assert len(encoder) == 0
    np.testing.assert_array_equal(encoder.embedding(patch(30)).patch_hu, image)


def test_a_failed_encoding_is_not_kept() -> None:
    encoder = encoder_with_room_for(2)
    encoder.predictor.fail_next = RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"):
        encoder.embedding(patch(0))
    assert len(encoder) == 0
    assert encoder.embedding(patch(0)).number == 1


def test_room_for_nothing_is_refused() -> None:
    with pytest.raises(CTSAM3DError, match="room for at least 1 patch, got 0"):
        encoder_with_room_for(0)


def test_the_encoder_of_larger_voxels_is_kept_with_a_cache_of_its_own() -> None:
    encoder = encoder_with_room_for(16)
    coarse = encoder.with_voxels_of(4.0)
    assert encoder.with_voxels_of(4.0) is coarse
    assert coarse.max_patches == 4
    assert coarse.grid == model_grid(encoder.volume.geometry, 4.0)
    coarse.embedding(patch(0))
    assert (len(encoder), len(coarse)) == (0, 1)
    assert encoder_with_room_for(1).with_voxels_of(4.0).max_patches == 1


CLICK = (np.float32([[16, 16, 16]]), np.int64([1]), None)


def test_encoders_with_an_adapter_share_their_embeddings() -> None:
    usual = encoder_with_room_for(4)
    usual.predictor.adapters = {"sacrum": "pelvis", "hip_left": "pelvis", "rib_left_1": "ribs"}
    by_name = {name: usual.for_anatomy(name) for name in ("Sacrum", "hip_left", "liver", "")}
    assert by_name["liver"] is by_name[""] is usual
    assert by_name["hip_left"].for_anatomy("liver") is usual
    for encoder in by_name.values():
        encoder.decode(encoder.embedding(patch(0)), *CLICK)
    assert usual.predictor.encode_calls == 1
    assert [call.adapter for call in usual.predictor.decoded] == ["pelvis", "pelvis", "", ""]
    assert by_name["Sacrum"].for_anatomy("Rib left 1").adapter == "ribs"


def test_an_adapter_stays_on_voxels_of_another_size() -> None:
    usual = encoder_with_room_for(4)
    usual.predictor.adapters = {"sacrum": "pelvis"}
    coarse = usual.for_anatomy("sacrum").with_voxels_of(4.0)
    coarse.decode(coarse.embedding(patch(0)), *CLICK)
    assert usual.predictor.decoded[0].adapter == "pelvis"
    assert usual.with_voxels_of(4.0).adapter == ""
    assert patch(0) in usual.with_voxels_of(4.0)
