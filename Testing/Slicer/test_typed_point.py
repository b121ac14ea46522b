"""Positions that are typed as points, in mm or as voxels, in effect and panel."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from CTSAM3DModuleLib.typed_point import typed_position
from mouse_case import MouseCase
from panel_case import StateTestCase
from segmentation_case import ijk_to_ras

from CTSAM3DLib.errors import GeometryError


class TextTest(unittest.TestCase):
    def test_what_the_views_and_people_write(self):
        for text, expected in {
            "1 2 3": (1, 2, 3),
            " -1.5;+2, .5 ": (-1.5, 2, 0.5),
            "(R 12.5mm, A 3.0mm, S 40.0mm)": (12.5, 3, 40),
            "L 12.5, p3, I 1e2": (-12.5, -3, -100),
        }.items():
            with self.subTest(text=text):
                self.assertEqual(tuple(typed_position(text)), expected)

    def test_all_else_is_refused(self):
        for text in (
            "",
            "1 2",
            "1 2 3 4",
            "1, 2, x",
            "nan 1 2",
            "one 1 2 3",
            "1.2.3 4",
            "1-2-3",
            "1.5m, 2, 3",
            "R1A2S3",
            "1,5 2,5 3,5",
            "1,,2,3",
        ):
            with self.subTest(text=text), self.assertRaisesRegex(GeometryError, "three numbers"):
                typed_position(text)

    def test_letters_of_another_axis_are_refused(self):
        for text in ("A 3, L 12.5, I 40", "1, 2, R 3", "S 1 2 3"):
            with self.subTest(text=text), self.assertRaisesRegex(GeometryError, "order R, A, S"):
                typed_position(text)


def typed(row, text, unit=0, positive=True):
    row.unitBox.currentIndex = unit
    row.edit.text = text
    row.buttons[positive].click()


def view_positions():
    names = ("Red", "Green", "Yellow")
    nodes = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode() for name in names]
    return [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3] for node in nodes]


class EffectTest(MouseCase):
    def setUp(self):
        super().setUp()
        self.row = self.case.effect.options.typedPoint
        self.row.edit.parentWidget().collapsed = False  # the user opens the section
        self.text = lambda: self.case.effect.options.statusLabel.text

    def test_a_position_of_the_world_under_a_transform(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 100.0)
        transform.SetMatrixTransformToParent(matrix)
        for node in (self.case.volume, self.case.segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
        typed(self.row, "R 148, A 44, S 60")
        self.case.settle()
        (point,) = self.case.clicks()
        np.testing.assert_allclose(point.position_ras, (48, 44, 60), atol=1e-6)
        for at in view_positions():
            np.testing.assert_allclose(at, (148, 44, 60), atol=1.6)
        self.case.effect.onClear()
        typed(self.row, "24 22 20", unit=1, positive=False)
        self.case.settle()
        (point,) = self.case.clicks()
        inside = ijk_to_ras(self.case.volume).MultiplyPoint((24, 22, 20, 1))[:3]
        np.testing.assert_allclose(point.position_ras, inside, atol=1e-6)
        self.assertFalse(point.positive)
        for at in view_positions():
            np.testing.assert_allclose(at, np.add(inside, (100, 0, 0)), atol=1.6)

    def test_what_is_wrong_is_told_and_adds_nothing(self):
        typed(self.row, "1, 2")
        self.assertIn("expected three numbers", self.text())
        typed(self.row, "1000 0 0")
        self.assertIn("outside the CT", self.text())
        typed(self.row, "48 22 20", unit=1)  # there are 48, from 0
        self.assertIn("outside the CT", self.text())
        self.case.settle()
        self.assertEqual(len(self.case.clicks()), 0)


class PanelTest(StateTestCase):
    def test_a_voxel_inside_and_a_position_outside(self):
        self.start()
        row = self.case.widget.panel.typed
        typed(row, "24 22 20", unit=1)
        self.assertIn("Choose a volume and a segment", self.case.status)
        self.case.add("liver")
        typed(row, "24 22 20", unit=1)
        self.case.settle()
        typed(row, "70, 44, 60", positive=False)
        self.case.settle()
        found = [(tuple(np.round(p.position_ras, 6)), p.positive) for p in self.case.clicks()]
        self.assertEqual(found, [((48, 44, 60), True), ((70, 44, 60), False)])
        self.assertTrue(self.case.mask()[20, 22, 24])
        typed(row, "abc")
        self.assertIn("expected three numbers", self.case.status)
