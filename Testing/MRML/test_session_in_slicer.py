"""From a placed point to a segment: node, session, undo of the segment editor and back."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from fake_predictor import BallPredictor  # noqa: E402

from CTSAM3DLib.mrml import (  # noqa: E402
    SegmentTarget,
    add_segment,
    click_from_control_point,
    get_prompts,
    prepare_segmentation,
    volume_from_node,
    write_segment,
)
from CTSAM3DLib.session.session import InteractiveSession  # noqa: E402
from Testing.MRML.mrml_scene import rigid, sorted_points, world_voxels  # noqa: E402

OBLIQUE_LEFT_HANDED = rigid((1, 2, 3), 25, (10, -20, 30)) @ np.diag([-1.5, 1.6, 2.5, 1])
MOVED = rigid((3, 1, -2), 70, (100, 30, -80))
VOXELS = [(12, 11, 8), (16, 12, 10), (12, 14, 9)]


def test_points_become_voxels_and_undo_leads_back(mrml):
    volume_node = mrml.volume(np.full((20, 22, 24), 40, dtype=np.int16), OBLIQUE_LEFT_HANDED)
    mrml.linear(MOVED, volume_node)
    segmentation, points = mrml.segmentation(), mrml.points("liver")
    prepare_segmentation(segmentation, volume_node)
    segment_id = add_segment(segmentation, "liver")
    logic = mrml.editor(segmentation, volume_node)
    target = SegmentTarget(segmentation, segment_id, volume_node, logic)
    session = InteractiveSession.for_volume(volume_from_node(volume_node), BallPredictor())

    masks = []
    for number, voxel in enumerate(VOXELS):
        world = (MOVED @ OBLIQUE_LEFT_HANDED @ [*voxel, 1.0])[:3]
        index = points.AddControlPointWorld(world)
        if number == 2:
            points.SetNthControlPointDescription(index, "negative")
        click = click_from_control_point(points, index, volume_node)
        update = session.add_click(click.position_ras, click.positive)
        write_segment(target, update, session.clicks)
        masks.append(session.mask.copy())
        k, j, i = voxel[::-1]
        assert masks[-1][k, j, i] == (number < 2)

    np.testing.assert_array_equal(mrml.exported(segmentation, segment_id, volume_node), masks[2])
    expected = sorted_points(np.argwhere(masks[2])[:, ::-1], MOVED @ OBLIQUE_LEFT_HANDED)
    np.testing.assert_allclose(world_voxels(segmentation, segment_id), expected, atol=1e-4)

    logic.Undo()
    session.set_clicks(get_prompts(segmentation, segment_id))
    assert len(session.clicks) == 2
    np.testing.assert_array_equal(session.mask, masks[1])
    np.testing.assert_array_equal(mrml.exported(segmentation, segment_id, volume_node), masks[1])
