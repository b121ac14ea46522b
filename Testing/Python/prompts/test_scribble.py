"""Scribbles: a stroke and its points, in tags and files, and how a session answers it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from fake_predictor import BallPredictor
from phantoms import centred_geometry, empty_volume

from CTSAM3DLib.errors import ClickOutsideVolumeError, ClicksFileError, GeometryError
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.prompts import Click, Prompts, Scribble
from CTSAM3DLib.session import InteractiveSession

BENT = Scribble([(0, 0, 0), (3, 0, 0), (3, 4, 0)])


@pytest.mark.parametrize("step_mm", [0.3, 1.0, 2.0, 50.0])
def test_points_lie_on_the_stroke_at_most_a_step_apart(step_mm: float) -> None:
    points = BENT.points_ras(step_mm)
    assert points[0].tolist() == [0, 0, 0]
    assert points[-1].tolist() == [3, 4, 0]
    assert len(points) == math.ceil(7 / step_mm) + 1
    r, a, s = points.T
    assert (np.isclose(a, 0) | np.isclose(r, 3)).all()
    assert (s == 0).all()
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() <= step_mm + 1e-9
    assert BENT.anchor_ras == (3.0, 0.5, 0.0)


@pytest.mark.parametrize(("step_mm", "count"), [(1.0, 2), (0.2, 3)])
def test_a_model_is_shown_few_points_of_a_stroke(step_mm: float, count: int) -> None:
    points, signs = BENT.shown_ras(step_mm)  # 7 mm long
    assert signs.tolist() == [True] * count
    along = np.where(np.isclose(points[:, 1], 0), points[:, 0], 3 + points[:, 1])
    np.testing.assert_allclose(along, 7 * (np.arange(count) + 0.5) / count)


def test_a_stroke_without_length_is_a_point() -> None:
    for line in ([(1, 2, 3)], [(1, 2, 3), (1, 2, 3)]):
        dot = Scribble(line)
        assert dot.points_ras(1.0).tolist() == [[1, 2, 3]]
        assert dot.anchor_ras == (1, 2, 3)


@pytest.mark.parametrize("line", [[], 3, [(1, 2)], [(1, 2, math.nan)], [(1, 2, "a")]])
def test_a_bad_stroke_is_refused(line: object) -> None:
    with pytest.raises(GeometryError, match="a scribble needs"):
        Scribble(line)  # type: ignore[arg-type]


def test_tags_keep_clicks_and_strokes_in_order() -> None:
    prompts = Prompts([Click((1, 2, 3)), Scribble([(0.1, 0, 0), (9, 0, 0)], False), BENT])
    text = prompts.to_json("CT")
    assert Prompts.from_json(text) == prompts
    assert '{"kind":"scribble","line":[[0.1,0.0,0.0],[9.0,0.0,0.0]],"positive":false}' in text
    assert prompts.clicks == (Click((1, 2, 3)),)


def test_files_keep_clicks_and_strokes_in_order(tmp_path: Path) -> None:
    prompts = Prompts([BENT, Click((1, 2, 3)), Scribble([(0, 0, 9)], False)])
    write_clicks(tmp_path / "clicks.json", {"aorta": prompts})
    assert read_clicks(tmp_path / "clicks.json") == {"aorta": prompts}


def test_a_file_may_have_strokes_beside_clicks_in_lps(tmp_path: Path) -> None:
    path = tmp_path / "clicks.json"
    strokes = [{"line": [[1, 2, 3], [4, 5, 6]], "positive": False}]
    content = {"positive": [[7, 8, 9]], "scribbles": strokes}
    path.write_text(json.dumps({"coordinate_system": "LPS", "structures": {"liver": content}}))
    stroke = Scribble([(-1, -2, 3), (-4, -5, 6)], False)
    assert list(read_clicks(path)["liver"]) == [Click((-7, -8, 9)), stroke]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"scribbles": [[1, 2, 3]]}, 'scribble 1: expected an object with "kind"'),
        ({"scribbles": [{"line": [[1, 2]], "positive": True}]}, "scribble 1: a scribble needs 3"),
        ({"scribbles": [{"line": [[1, 2, 3]]}]}, 'scribble 1: expected "positive"'),
        ({"scribbles": [], "prompts": []}, 'expected "positive" and'),
        ({"prompts": 3}, '"prompts": expected a list'),
    ],
)
def test_bad_strokes_in_files_are_refused(tmp_path: Path, points: dict, message: str) -> None:
    path = tmp_path / "clicks.json"
    path.write_text(json.dumps({"coordinate_system": "RAS", "structures": {"liver": points}}))
    with pytest.raises(ClicksFileError, match=message):
        read_clicks(path)


def opened(grow: str = "off") -> InteractiveSession:
    volume = empty_volume(centred_geometry([120, 100, 50], [1, 1, 2]))
    return InteractiveSession.for_volume(volume, BallPredictor(), 2.0, grow=grow)


def voxels_of(session: InteractiveSession, stroke: Scribble) -> tuple[np.ndarray, ...]:
    voxels = {session.volume.geometry.voxel_from_ras(at) for at in stroke.points_ras(0.1)}
    return tuple(np.array(sorted(voxels)).T[::-1])


@pytest.mark.parametrize("grow", ["off", "auto", "frontier", "coarse"])
def test_every_voxel_under_a_stroke_has_its_sign(grow: str) -> None:
    session = opened(grow)
    inside = Scribble([(-16, 0, 0), (0, 6, 2), (16, 0, 0)])
    session.add(inside)
    assert session.mask[voxels_of(session, inside)].all()
    call = session.predictor.decoded[0]
    assert len(call.labels) == 2
    assert (call.labels == 1).all()
    outside = Scribble([(10, -8, 0), (10, 8, 0)], positive=False)
    before = session.mask
    session.add(outside)
    along = voxels_of(session, outside)
    assert before[along].any()
    assert not session.mask[along].any()
    assert not (session.mask & ~before).any()


def test_a_model_that_ignores_a_stroke_is_overruled_along_it() -> None:
    class Deaf(BallPredictor):
        def logits(self, call):  # noqa: ARG002
            return np.full((self.patch_size,) * 3, -6.0)

    volume = empty_volume(centred_geometry([100] * 3, [1] * 3))
    session = InteractiveSession.for_volume(volume, Deaf(), 2.0)
    stroke = Scribble([(-12, -3, 1), (12, 5, -2)])
    session.add(stroke)
    assert session.mask[voxels_of(session, stroke)].all()
    assert session.mask.sum() < 4000


BALLS = {"left": (9, 16, 16), "right": (23, 16, 16), "far": (16, 27, 16)}


def test_the_change_may_touch_any_point_of_a_stroke() -> None:
    class Two(BallPredictor):
        """Two balls that do not touch, whatever is asked, and a third far from the stroke."""

        def logits(self, call):  # noqa: ARG002
            k, j, i = np.indices((self.patch_size,) * 3)
            balls = [(i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2 for x, y, z in BALLS.values()]
            return 4.0 - np.sqrt(np.min(balls, axis=0))

    volume = empty_volume(centred_geometry([64] * 3, [2] * 3))
    session = InteractiveSession.for_volume(volume, Two(), 2.0)
    session.add(Scribble([(-15, 0, 0), (15, 0, 0)]))
    at = {name: session.grid.ras_from_ijk(voxel) for name, voxel in BALLS.items()}
    for name, position in at.items():
        i, j, k = session.volume.geometry.voxel_from_ras(position)
        assert session.mask[k, j, i] == (name != "far")


def test_a_stroke_is_undone_replaced_and_removed_like_a_click() -> None:
    session = opened()
    session.add_click((-20, 0, 0))
    clicked = session.mask
    stroke = Scribble([(0, 0, 0), (20, 0, 0)])
    session.set_prompts([*session.prompts, stroke])
    drawn, calls = session.mask, session.predictor.decode_calls
    assert drawn[voxels_of(session, stroke)].all()
    session.undo()
    np.testing.assert_array_equal(session.mask, clicked)
    session.set_prompts([Click((-20, 0, 0)), stroke])
    np.testing.assert_array_equal(session.mask, drawn)
    assert session.predictor.decode_calls == calls
    session.remove_click(1)
    np.testing.assert_array_equal(session.mask, clicked)


def test_a_stroke_that_leaves_the_volume_is_refused_and_changes_nothing() -> None:
    session = opened()
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        session.add(Scribble([(0, 0, 0), (0, 0, 80)]))
    assert len(session.prompts) == 0
    assert session.predictor.encode_calls == 0
