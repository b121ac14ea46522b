"""Sequences whose prompts and masks are carried from frame to frame, in the console."""

from __future__ import annotations

import logging

import numpy as np
import slicer
from ball_predictor import BallPredictor
from console_case import ConsoleCase
from CTSAM3DModuleLib.scripting.carrying import DRIFT_TAG, carry_on, tracks_of
from segmentation_case import SHAPE_KJI, SPACING

from CTSAM3DLib.engine import ModelChoice, SegmentationEngine
from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.overlap import dice
from CTSAM3DLib.mrml import get_prompts, segment_model, set_segment_model

RADIUS_MM = 14.0


class BrightPredictor(BallPredictor):
    """Takes what is bright for the object."""

    def encode(self, patch_hu):
        super().encode(patch_hu)
        return patch_hu

    def decode(self, embedding, points_kji, labels, previous_logits):
        return ((embedding - 0.0) / 50.0).astype(np.float32)


def ball(shift_mm, radius_mm=RADIUS_MM):
    """Return where a ball lies that has moved to the left."""
    k, j, i = np.indices(SHAPE_KJI)
    at = np.stack([i, j, k], axis=-1) * SPACING
    return np.linalg.norm(at - (30.0 + shift_mm, 44.0, 60.0), axis=-1) < radius_mm


def frame(shift_mm, radius_mm=RADIUS_MM):
    array = np.where(ball(shift_mm, radius_mm), 100, -100).astype(np.int16)
    return slicer.util.addVolumeFromArray(array, np.diag([*SPACING, 1.0]), "CT")


CLICKS = {"liver": {"positive": [[30.0, 44.0, 60.0]]}}


class CarryingTest(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.predictor = BrightPredictor()

    def test_the_clicks_of_the_first_frame_follow_the_structure(self):
        shifts = (0.0, 7.0, 14.0, 21.0)
        volumes = [frame(shift) for shift in shifts]
        carried = self.logic.segmentSequence(volumes, CLICKS, carry=True)
        repeated = self.logic.segmentSequence(volumes, CLICKS)
        for node, volume, shift in zip(carried, volumes, shifts, strict=True):
            self.assertGreater(dice(self.mask(node, volume), ball(shift)), 0.95)
            (click,) = get_prompts(node, self.segment_id(node))
            self.assertLess(abs(click.position_ras[0] - 30.0 - shift), 2.0)
            segment = node.GetSegmentation().GetSegment(self.segment_id(node))
            self.assertFalse(segment.HasTag(DRIFT_TAG))
        self.assertLess(dice(self.mask(repeated[-1], volumes[-1]), ball(21.0)), 0.5)

    def test_a_structure_that_changes_much_is_told(self):
        volumes = [frame(0.0), frame(0.0, 8.0)]
        with self.assertLogs(level=logging.WARNING) as told:
            nodes = self.logic.segmentSequence(volumes, CLICKS, carry=True)
        self.assertIn("liver: differs much from the frame before", "".join(told.output))
        segment = nodes[1].GetSegmentation().GetSegment(self.segment_id(nodes[1]))
        self.assertTrue(segment.HasTag(DRIFT_TAG))

    def test_a_model_of_a_segments_own_goes_along(self):
        volumes, loaded = [frame(0.0), frame(3.0)], []
        (first,) = self.logic.segmentSequence(volumes[:1], CLICKS)
        set_segment_model(first, self.segment_id(first), "mine")
        tracks = tracks_of(first, volumes[0], ["liver"])
        self.logic.setEngine(
            SegmentationEngine(lambda model, device: loaded.append(model) or self.predictor)
        )
        node = carry_on(self.logic, volumes[1], tracks, ModelChoice(), None, "next")
        self.assertEqual(loaded, ["mine"])
        self.assertEqual(segment_model(node, self.segment_id(node)), "mine")

    def test_progress_and_cancel(self):
        told = []
        volumes = [frame(0.0), frame(3.0), frame(6.0)]
        nodes = self.logic.segmentSequence(
            volumes,
            CLICKS,
            carry=True,
            progress=lambda *step: told.append(step) or len(told) < 3,
        )
        self.assertEqual([step[1:] for step in told], [(1, 3), (2, 3), (3, 3)])
        self.assertEqual(len(nodes), 2)
        self.assertEqual(self.logic.segmentSequence([], CLICKS, carry=True), [])

    def test_frames_on_other_grids_are_refused(self):
        other = frame(0.0)
        other.SetOrigin(5.0, 0.0, 0.0)
        with self.assertRaisesRegex(VolumeError, "frames of one voxel grid"):
            self.logic.segmentSequence([frame(0.0), other], CLICKS, carry=True)
