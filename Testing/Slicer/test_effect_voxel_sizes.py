"""What a segment is decides with which voxels the model sees it."""

from __future__ import annotations

import unittest
from dataclasses import replace

import numpy as np
import slicer
from ball_predictor import RADIUS, BallPredictor
from console_case import INSIDE
from ctsam3d_case import CTSAM3DCase
from segmentation_case import SPACING, ball_volume
from view_mouse import click_and_wait

OWN = {"hip_left": 3.0}
VOXEL_MM = 2.0
NAMES = {"Left hip": 3.0, "hip_left": 3.0, "Liver": VOXEL_MM, "my lesion": VOXEL_MM}


def volume_mm3(mask):
    return np.count_nonzero(mask) * np.prod(SPACING)


def ball_mm3(voxel_mm):
    return 4.0 / 3.0 * np.pi * (RADIUS * voxel_mm) ** 3


class VoxelSizeTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        predictor = BallPredictor(VOXEL_MM)
        predictor.settings = replace(predictor.settings, voxel_sizes_mm=OWN)
        self.case = CTSAM3DCase(ball_volume(), predictor)
        self.addCleanup(self.case.close)

    def assert_ball(self, mask, voxel_mm):
        self.assertAlmostEqual(volume_mm3(mask) / ball_mm3(voxel_mm), 1.0, delta=0.1)

    def test_a_click_on_segments_of_different_names(self):
        for number, (name, voxel_mm) in enumerate(NAMES.items()):
            with self.subTest(name=name):
                segmentation = self.case.segmentation.GetSegmentation()
                segment_id = segmentation.AddEmptySegment(f"s{number}", name)
                self.case.editor.setCurrentSegmentID(segment_id)
                click_and_wait(self.case, INSIDE)
                self.assert_ball(self.case.mask(segment_id), voxel_mm)

    def test_after_another_name_the_mask_stays_and_the_next_point_counts(self):
        click_and_wait(self.case, INSIDE)
        before = self.case.mask()
        self.assert_ball(before, VOXEL_MM)
        self.case.segmentation.GetSegmentation().GetSegment("organ").SetName("Left hip")
        self.case.settle()
        np.testing.assert_array_equal(self.case.mask(), before)
        beside = np.add(INSIDE, (4.0, 0.0, 0.0))
        click_and_wait(self.case, beside)
        after = self.case.mask()
        self.assertTrue(after[before].all())
        self.assertGreater(volume_mm3(after), 0.9 * ball_mm3(3.0))
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), before)

    def test_the_console_does_the_same(self):
        prompts = {name: {"positive": [INSIDE]} for name in ("Left hip", "Liver")}
        node = self.case.logic.segment(self.case.volume, prompts)
        segmentation = node.GetSegmentation()
        for number, voxel_mm in enumerate((3.0, VOXEL_MM)):
            labels = slicer.util.arrayFromSegmentBinaryLabelmap(
                node, segmentation.GetNthSegmentID(number), self.case.volume
            )
            self.assert_ball(labels > 0, voxel_mm)
