"""A hand at the effect: a case for tests by real events of mouse and keys."""

from __future__ import annotations

import unittest

import slicer
from ctsam3d_case import CTSAM3DCase
from view_mouse import interactor_of, press_key

MIDDLE = (48.0, 44.0, 60.0)
ASIDE = (70.0, 44.0, 60.0)


class MouseCase(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        self.case = CTSAM3DCase()
        self.addCleanup(self.case.close)
        self.interaction = slicer.app.applicationLogic().GetInteractionNode()
        self.addCleanup(
            lambda: self.interaction.SetCurrentInteractionMode(self.interaction.ViewTransform)
        )

    def signs(self):
        self.case.settle()
        return [c.positive for c in self.case.clicks()]

    def fov(self):
        node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        return node.GetXYZOrigin()

    def seen(self, event):
        """Return the list to which an event is added that the effect lets through."""
        seen = []
        interactor = interactor_of("Red")
        before_slicer = 0.9  # and after the Segment Editor
        tag = interactor.AddObserver(event, lambda c, e: seen.append(e), before_slicer)
        self.addCleanup(interactor.RemoveObserver, tag)
        return seen

    def let_go_of_segmentation(self):
        """Have Slicer forget the display node that it blended: it outlives the scene otherwise."""
        for _ in range(2):
            press_key("Red", (20, 20), "g", "g")
