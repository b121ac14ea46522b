"""Saving and loading through slicer.util, and pictures of the views."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import qt
import slicer
from segmentation_case import SegmentationCase, ball_volume
from view_mouse import click, xy_of

MIDDLE = (48.0, 44.0, 60.0)


class FilesTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.case = SegmentationCase()
        self.case.activate()
        click("Red", MIDDLE)
        self.case.segmentation.GetSegmentation().GetSegment("organ").SetTag("Clicks", "[[1, 2]]")
        self.mask = self.case.mask()

    def tearDown(self):
        self.case.close()

    def check(self, segmentation, volume):
        ids = segmentation.GetSegmentation().GetSegmentIDs()
        self.assertEqual(ids, ("organ", "other"))
        labels = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "organ", volume)
        np.testing.assert_array_equal(labels > 0, self.mask)
        import vtk

        value = vtk.reference("")
        segmentation.GetSegmentation().GetSegment("organ").GetTag("Clicks", value)
        self.assertEqual(str(value), "[[1, 2]]")

    def test_segmentation_file(self):
        path = str(self.folder / "s.seg.nrrd")
        self.assertTrue(slicer.util.saveNode(self.case.segmentation, path))
        self.check(slicer.util.loadSegmentation(path), self.case.volume)

    def test_scene_bundle(self):
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        self.case.close()
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(path)
        volume = slicer.util.getNode("CT")
        self.check(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0], volume)

    def test_editing_goes_on_after_reload(self):
        path = str(self.folder / "scene.mrb")
        slicer.util.saveScene(path)
        self.case.close()
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(path)
        segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
        volume = slicer.util.getNode("CT")
        self.case = SegmentationCase(volume)
        self.case.editor.setSegmentationNode(segmentation)
        self.case.segmentation = segmentation
        self.case.editor.setCurrentSegmentID("organ")
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.case.activate()
        click("Red", (70.0, 44.0, 60.0))
        self.assertGreater(self.case.mask().sum(), self.mask.sum())
        self.case.editor.undo()
        np.testing.assert_array_equal(self.case.mask(), self.mask)

    def test_volume_markups_transform(self):
        volume_path = str(self.folder / "v.nii.gz")
        slicer.util.saveNode(self.case.volume, volume_path)
        volume = slicer.util.loadVolume(volume_path)
        np.testing.assert_array_equal(
            slicer.util.arrayFromVolume(volume), slicer.util.arrayFromVolume(self.case.volume)
        )
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        points.AddControlPointWorld(1, 2, 3)
        path = str(self.folder / "p.mrk.json")
        slicer.util.saveNode(points, path)
        again = slicer.util.loadMarkups(path)
        np.testing.assert_allclose(again.GetNthControlPointPositionWorld(0), (1, 2, 3))
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        path = str(self.folder / "t.h5")
        slicer.util.saveNode(transform, path)
        self.assertTrue(slicer.util.loadTransform(path).IsA("vtkMRMLTransformNode"))

    def test_missing_file(self):
        for load in (slicer.util.loadVolume, slicer.util.loadSegmentation, slicer.util.loadScene):
            with self.subTest(load=load.__name__), self.assertRaisesRegex(RuntimeError, "exist"):
                load(str(self.folder / "missing.nrrd"))


class ViewTest(unittest.TestCase):
    slow = True  # of the stand-in, which all tests of this folder use

    def setUp(self):
        slicer.mrmlScene.Clear()
        if not hasattr(slicer, "headless"):
            self.skipTest("pictures are taken in the test window only")
        self.volume = ball_volume()
        panel = slicer.modules.headlessexample.widgetRepresentation()
        panel.enter()
        self.addCleanup(panel.exit)
        self.window = slicer.headless.TestWindow(panel, 1000, 640)
        self.addCleanup(self.window.release)
        slicer.util.resetSliceViews()

    def picture(self):
        return self.window.picture()

    def pixel(self, view, ras):
        """Return red, green, blue of the window where a view shows a position."""
        x, y = xy_of(view, ras)
        image = self.picture()
        widget = slicer.app.layoutManager().sliceWidget(view).sliceView()
        corner = widget.mapTo(self.window, qt.QPoint(0, 0))
        color = image.pixelColor(corner.x() + x, corner.y() + widget.height - 1 - y)
        return np.array([color.red(), color.green(), color.blue()])

    def test_views_show_the_volume(self):
        inside, outside = MIDDLE, (48.0, 80.0, 60.0)
        self.assertGreater(self.pixel("Red", inside).min(), 200)
        self.assertLess(self.pixel("Red", outside).max(), 50)
        self.assertGreater(self.pixel("Green", inside).min(), 200)

    def test_view_is_not_upside_down(self):
        array = slicer.util.arrayFromVolume(self.volume)
        array[:] = -1000
        array[:, 34:38, 10:14] = 50
        slicer.util.arrayFromVolumeModified(self.volume)
        self.assertGreater(self.pixel("Red", (24.0, 72.0, 60.0)).min(), 150)
        self.assertLess(self.pixel("Red", (72.0, 72.0, 60.0)).max(), 50)
        self.assertLess(self.pixel("Red", (24.0, 20.0, 60.0)).max(), 50)

    def test_segment_is_drawn(self):
        case = SegmentationCase(self.volume)
        case.segmentation.GetSegmentation().GetSegment("organ").SetColor(0, 1, 0)
        before = self.pixel("Red", MIDDLE)
        case.activate()
        click("Red", MIDDLE)
        after = self.pixel("Red", MIDDLE)
        self.assertGreater(int(after[1]) - int(after[0]), 30)
        self.assertLess(abs(int(before[1]) - int(before[0])), 5)
        case.close()

    def test_qt_mouse_reaches_the_view(self):
        case = SegmentationCase(self.volume)
        case.activate()
        view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
        x, y = xy_of("Red", MIDDLE)
        position = qt.QPointF(x, view.height - 1 - y)
        for kind in (qt.QEvent.MouseButtonPress, qt.QEvent.MouseButtonRelease):
            event = qt.QMouseEvent(
                kind,
                position,
                view.mapToGlobal(position),
                qt.Qt.LeftButton,
                qt.Qt.LeftButton,
                qt.Qt.NoModifier,
            )
            slicer.app.sendEvent(view, event)
        np.testing.assert_allclose(case.centre_ras(), MIDDLE, atol=1.5)
        case.close()

    def test_wheel_moves_the_slice(self):
        view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
        node = view.mrmlSliceNode()
        node.JumpSliceByOffsetting(*MIDDLE)
        before = node.GetSliceOffset()
        view.interactor().SetEventInformation(50, 50)
        view.interactor().InvokeEvent("MouseWheelForwardEvent")
        self.assertAlmostEqual(abs(node.GetSliceOffset() - before), 3.0)

    def test_the_3d_view_turns_round_what_is_shown_and_boxes_it(self):
        case = SegmentationCase(self.volume)
        self.addCleanup(case.close)
        view = slicer.app.layoutManager().threeDWidget(0).threeDView()
        renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
        mask = np.zeros((40, 44, 48), np.uint8)
        mask[10:20, 10:20, 30:40] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask, case.segmentation, "organ", self.volume
        )
        case.segmentation.CreateClosedSurfaceRepresentation()
        view.forceRender()
        view.resetFocalPoint()
        focus = renderer.GetActiveCamera().GetFocalPoint()
        np.testing.assert_allclose(focus, (69.0, 29.0, 43.5), atol=1.5)
        bounds = [0.0] * 6
        self.volume.GetRASBounds(bounds)
        shown = np.array(renderer.ComputeVisiblePropBounds())  # of the box and its letters
        self.assertTrue((shown[::2] <= bounds[::2]).all())
        self.assertLess(shown[1] - shown[0], 1.5 * (bounds[1] - bounds[0]))

    def test_picture_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "pictures", "window.png")
            self.window.picture(path)
            self.assertTrue(path.stat().st_size > 10_000)
