"""Lassos: a closed curve in a slice, its inside in tags and files, and how a session answers it."""

from __future__ import annotations

import json
import math
from collections.abc import Container
from pathlib import Path as FilePath

import numpy as np
import pytest
from fake_predictor import BallPredictor
from matplotlib.path import Path
from phantoms import centred_geometry, empty_volume
from slow_values import slow

from CTSAM3DLib.errors import ClickOutsideVolumeError, ClicksFileError, GeometryError
from CTSAM3DLib.geometry import Geometry, Volume
from CTSAM3DLib.io.clicks import read_clicks, write_clicks
from CTSAM3DLib.prompts import Box, Click, Lasso, Prompts, Scribble
from CTSAM3DLib.session import InteractiveSession

BEAN_MM = [(0, 0), (18, -4), (26, 6), (18, 16), (12, 5), (2, 14), (-8, 8)]
"""A polygon that is not convex, in a plane."""


def tilted(points_mm: list[tuple[float, float]], seed: int) -> tuple[list, np.ndarray, np.ndarray]:
    """Return points of a plane in space, the plane's origin and its axes (3, 3)."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0].T
    origin = rng.uniform(-40, 40, 3)
    return (origin + np.array(points_mm, float) @ axes[:2]).tolist(), origin, axes


@pytest.mark.parametrize("seed", [0, 1, *slow(2, 3, 4)])
def test_points_are_those_that_matplotlib_has_inside(seed: int) -> None:
    line, origin, axes = tilted(BEAN_MM, seed)
    lasso = Lasso(line)
    points = (lasso.points_ras(0.7) - origin) @ axes.T
    np.testing.assert_allclose(points[:, 2], 0, atol=1e-9)
    bean = Path([*BEAN_MM, BEAN_MM[0]], closed=True)
    near = bean.contains_points(points[:, :2], radius=1e-6)
    assert (near | bean.contains_points(points[:, :2], radius=-1e-6)).all()
    shown = (lasso.shown_ras(0.7)[0] - origin) @ axes.T
    assert bean.contains_points(shown[:, :2]).all()
    # The other way round: what lies inside has a point next to it.
    u, v = np.meshgrid(np.arange(-9, 27, 0.31), np.arange(-5, 17, 0.31))
    dense = np.stack([u.ravel(), v.ravel()], axis=-1)
    wanted = dense[
        bean.contains_points(dense, radius=-0.7) & bean.contains_points(dense, radius=0.7)
    ]
    gaps = np.linalg.norm(wanted[:, None] - points[None, :, :2], axis=-1).min(axis=1)
    assert len(wanted) > 1000
    assert gaps.max() <= 0.35 + 1e-9
    assert bean.contains_point(((np.array(lasso.anchor_ras) - origin) @ axes.T)[:2])


def test_the_anchor_is_far_from_the_curve() -> None:
    horseshoe = [(0, 0), (30, 0), (30, 30), (20, 30), (20, 10), (10, 10), (10, 30), (0, 30)]
    r, a, s = Lasso([(u, v, 4.0) for u, v in horseshoe]).anchor_ras
    assert s == pytest.approx(4.0)
    assert Path(horseshoe).contains_point((r, a), radius=4.0)
    assert Path(horseshoe).contains_point((r, a), radius=-4.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "at least 3 positions, got 0"),
        ([(0, 0, 0), (9, 0, 0)], "at least 3 positions, got 2"),
        ([(0, 0, 0), (9, 0, 0), (4, 0, 0)], "surround an area"),
        ([(0, 0, 0), (9, 0, 0), (9, 9, 8), (0, 9, 0)], "in one plane"),
        ([(0, 0, 0), (9, 0, 0), (9, math.nan, 0)], "finite numbers"),
        (3, "needs positions"),
    ],
)
def test_a_bad_curve_is_refused(line: object, message: str) -> None:
    with pytest.raises(GeometryError, match=f"a lasso needs .*{message}|{message}"):
        Lasso(line)  # type: ignore[arg-type]


def test_tags_and_files_keep_lassos(tmp_path: FilePath) -> None:
    prompts = Prompts([Click((1, 2, 3)), Lasso(tilted(BEAN_MM, 1)[0], False)])
    assert Prompts.from_json(prompts.to_json("CT")) == prompts
    write_clicks(tmp_path / "clicks.json", {"colon": prompts})
    assert read_clicks(tmp_path / "clicks.json") == {"colon": prompts}


def test_a_file_may_have_lassos_beside_clicks_in_lps(tmp_path: FilePath) -> None:
    path = tmp_path / "clicks.json"
    rows = [{"line": [[1, 2, 3], [4, 5, 3], [1, 9, 3]], "positive": False}]
    content = {"positive": [[7, 8, 9]], "lassos": rows}
    path.write_text(json.dumps({"coordinate_system": "LPS", "structures": {"liver": content}}))
    lasso = Lasso([(-1, -2, 3), (-4, -5, 3), (-1, -9, 3)], False)
    assert list(read_clicks(path)["liver"]) == [Click((-7, -8, 9)), lasso]
    content["lassos"] = [{"line": [[1, 2, 3]], "positive": True}]
    path.write_text(json.dumps({"coordinate_system": "LPS", "structures": {"liver": content}}))
    with pytest.raises(ClicksFileError, match="lasso 1: a lasso needs at least 3"):
        read_clicks(path)


OBLIQUE = np.array([[0.8, 0.6, 0, 0], [-0.6, 0.8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
GRIDS = {
    "anisotropic": centred_geometry([120, 100, 160], [1, 1, 4]),
    "oblique": Geometry(OBLIQUE @ np.diag([1, 1.3, 2.5, 1]), (40, 80, 90)),
}


def inside_in_slice(geometry: Geometry, k: int, at_ijk: np.ndarray) -> np.ndarray:
    """Return which voxels of a volume a polygon in slice k surrounds, by matplotlib."""
    j, i = np.indices(geometry.shape_kji[1:])
    voxels = np.stack([i.ravel(), j.ravel()], axis=-1)
    mask = np.zeros(geometry.shape_kji, bool)
    mask[k] = Path(at_ijk[:, :2]).contains_points(voxels).reshape(geometry.shape_kji[1:])
    return mask


@pytest.mark.parametrize(("side_mm", "counts"), [(2, {1}), (20, {3}), (200, range(20, 120))])
def test_a_model_is_shown_points_far_apart_and_away_from_the_curve(
    side_mm: float, counts: Container[int]
) -> None:
    square = Lasso([(0, 0, 5), (side_mm, 0, 5), (side_mm, side_mm, 5), (0, side_mm, 5)])
    points, signs = square.shown_ras(1.0)
    assert signs.all()
    assert len(points) in counts
    np.testing.assert_allclose(points[0], square.anchor_ras)
    np.testing.assert_allclose(points[:, 2], 5.0)
    depth = np.minimum(points, side_mm - points)[:, :2].min(axis=1)
    assert (depth >= depth[0] / 2 - 1e-6).all()
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)[np.triu_indices(len(points), 1)]
    assert (gaps >= 2.0).all()


@pytest.mark.parametrize("grow", ["auto", *slow("off", "coarse")])
@pytest.mark.parametrize("name", GRIDS)
def test_every_voxel_in_a_lasso_has_its_sign(name: str, grow: str) -> None:
    geometry = GRIDS[name]
    session = InteractiveSession.for_volume(empty_volume(geometry), BallPredictor(), 2.0, grow=grow)
    middle = np.array([geometry.size_ijk[0] // 2, geometry.size_ijk[1] // 2])
    at_ijk = np.array([[*(middle + np.array(one)), 17.0] for one in BEAN_MM])
    lasso = Lasso(geometry.ras_from_ijk(at_ijk).tolist())
    inside = inside_in_slice(geometry, 17, at_ijk)
    session.add(lasso)
    assert session.mask[inside].all()
    # A lasso is shown with few points, whose sign the model knows.
    assert 3 <= len(session.predictor.decoded[0].labels) <= 6
    assert session.predictor.decoded[0].labels.all()
    cut = at_ijk - (3, 2, 0)
    outside = inside_in_slice(geometry, 17, cut)
    before = session.mask
    session.add(Lasso(geometry.ras_from_ijk(cut).tolist(), positive=False))
    assert (before & outside).any()
    assert not (session.mask & outside).any()
    assert not (session.mask & ~before).any()
    session.undo()
    np.testing.assert_array_equal(session.mask, before)
    session.redo()
    replayed = session.for_another_structure(Prompts.from_json(session.prompts.to_json()))
    np.testing.assert_array_equal(replayed.mask, session.mask)


def test_a_lasso_larger_than_a_patch_is_obeyed_as_a_whole() -> None:
    session = InteractiveSession.for_volume(
        empty_volume(centred_geometry([150, 150, 20], [1, 1, 2])), BallPredictor(), 2.0
    )
    corners = [(-70, -70, 0), (70, -70, 0), (70, 70, 0), (-70, 70, 0)]
    session.add(Lasso(corners))
    i, j, k = session.volume.geometry.voxel_from_ras((0, 0, 0))
    assert session.mask[k, j - 68 : j + 68, i - 68 : i + 68].all()
    session.add(Lasso(corners, positive=False))
    assert not session.mask[k, j - 68 : j + 68, i - 68 : i + 68].any()


def test_a_lasso_that_leaves_the_volume_is_refused() -> None:
    volume = Volume(np.zeros((20, 40, 40), np.int16), Geometry(np.eye(4), (20, 40, 40)))
    session = InteractiveSession.for_volume(volume, BallPredictor(), 2.0)
    with pytest.raises(ClickOutsideVolumeError, match="inside the volume"):
        session.add(Lasso([(5, 5, 5), (60, 5, 5), (5, 30, 5)]))
    assert len(session.prompts) == 0


def test_markups_files_of_slicer_give_strokes_lassos_and_boxes(tmp_path: FilePath) -> None:
    points = [{"position": one} for one in ([-1, -2, 3], [-9, -2, 3], [-5, -8, 3])]
    roi = {
        "type": "ROI",
        "name": "liver negative",
        "roiType": "Box",
        "center": [-1, -2, 3],
        "orientation": [-0.8, 0.6, 0, -0.6, -0.8, 0, 0, 0, 1],
        "size": [10, 20, 5],
        "controlPoints": points[:1],
    }
    curve = {"type": "Curve", "name": "liver", "controlPoints": points}
    closed = {"type": "ClosedCurve", "name": "CC", "controlPoints": points}
    path = tmp_path / "liver.mrk.json"
    path.write_text(json.dumps({"markups": [curve, closed, roi]}))
    line = [(1, 2, 3), (9, 2, 3), (5, 8, 3)]
    box = Box((1, 2, 3), [(8, 6, 0), (-12, 16, 0), (0, 0, 5)], False)
    assert read_clicks(path) == {"liver": Prompts([Scribble(line), Lasso(line), box])}
    for change, message in (
        ({"roiType": "BoundingBox"}, "a ROI of the type Box, got 'BoundingBox'"),
        ({"size": [1, 2]}, "3 numbers as center and size"),
        ({"orientation": None}, "3 numbers as center and size"),
        ({"size": [1, 0, 2]}, "a box needs three edges"),
    ):
        path.write_text(json.dumps({"markups": [curve, roi | change]}))
        with pytest.raises(ClicksFileError, match=f"point list 2: .*{message}"):
            read_clicks(path)
