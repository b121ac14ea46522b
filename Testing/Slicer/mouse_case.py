"""A hand at the effect: a case for tests by real events of mouse and keys."""

from __future__ import annotations

import slicer
from ctsam3d_case import MIDDLE, EffectTestCase
from view_mouse import drag_xy, hover, interactor_of, press_key, xy_of

from CTSAM3DLib.mrml import MARKUPS_CLASSES

ROUND = [(-30, 0), (-20, 25), (0, 35), (20, 25), (30, 0), (20, -25), (0, -35), (-20, -25)]


class MouseCase(EffectTestCase):
    def setUp(self):
        super().setUp()
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


class ShapeCase(MouseCase):
    def setUp(self):
        super().setUp()
        self.middle = xy_of("Red", MIDDLE)

    def way(self, steps=ROUND):
        return [(self.middle[0] + x, self.middle[1] + y) for x, y in steps]

    def draw_along(self, pixels):
        """Press at the first pixel, go along all others, release at the last."""
        interactor = interactor_of("Red")
        hover("Red", pixels[0])
        interactor.LeftButtonPressEvent()
        for xy in pixels[1:]:
            hover("Red", xy)
        interactor.LeftButtonReleaseEvent()
        slicer.app.processEvents()

    def lasso(self):
        press_key("Red", self.middle, "l", "l")
        self.draw_along(self.way())
        press_key("Red", self.middle, "l", "l")

    def box(self, half=(40, 30)):
        press_key("Red", self.middle, "x", "x")
        (x, y), (w, h) = self.middle, half
        drag_xy("Red", (x - w, y - h), (x + w, y + h))
        press_key("Red", self.middle, "x", "x")

    def kinds(self):
        self.case.settle()
        return [(prompt.kind, prompt.positive) for prompt in self.case.clicks()]

    def markups(self, kind):
        """Return the nodes that show a kind of prompt."""
        nodes = slicer.util.getNodesByClass(MARKUPS_CLASSES[kind])
        return [node for node in nodes if node.GetClassName() == MARKUPS_CLASSES[kind]]
