"""One step as a pure function."""

from __future__ import annotations

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.errors import ClickOutsideVolumeError
from CTSAM3DLib.geometry.grid import model_grid
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.step import next_state


def encoder() -> PatchEncoder:
    volume = empty_volume(centred_geometry([100] * 3, [2] * 3))
    return PatchEncoder(volume, model_grid(volume.geometry, 2.0), BallPredictor())


def start(patches: PatchEncoder) -> SessionState:
    return SessionState.empty(patches.volume.geometry, patches.grid)


def test_a_step_leaves_the_earlier_state_as_it_was() -> None:
    patches = encoder()
    empty = start(patches)
    one = next_state(patches, empty, Click((0.0, 0.0, 0.0)))
    before = one.mask.dense(), one.logits.dense()
    two = next_state(patches, one, Click((8.0, 0.0, 0.0), positive=False))
    assert two.parent is one
    assert one.parent is empty
    np.testing.assert_array_equal(one.mask.dense(), before[0])
    np.testing.assert_array_equal(one.logits.dense(), before[1])
    assert not empty.mask.dense().any()
    assert np.isnan(empty.logits.dense()).all()
    assert (one.mask.dense() != two.mask.dense()).any()


def test_a_click_outside_is_refused_before_the_model_runs() -> None:
    patches = encoder()
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        next_state(patches, start(patches), Click((0.0, 0.0, 51.0)))
    assert patches.predictor.encode_calls == 0
