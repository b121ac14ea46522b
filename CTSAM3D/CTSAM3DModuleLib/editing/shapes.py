"""Strokes, lassos and boxes in the views: shown, not to be dragged. Main thread only."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from CTSAM3DLib.mrml import MARKUPS_CLASSES, set_markup_points, world_points
from CTSAM3DLib.prompts import Prompt, Prompts
from CTSAM3DModuleLib.editing.markers import hidden_markup

GLYPH_SCALE = 0.1  # percent of the screen: the corners are not to be seen
LINE_WIDTH = 5.0  # glyphs


class Shapes:
    """The prompts of one segment that are no points, as Markups that are neither saved nor offered.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the Markups live.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._shown: dict[Prompt, tuple[Any, NDArray[np.float64]]] = {}  # node and its points

    def show(self, prompts: Prompts, volume_node: Any) -> None:
        """Show the shapes among prompts where the volume lies now; what is right already stays."""
        wanted = [prompt for prompt in prompts if prompt.kind in MARKUPS_CLASSES]
        for prompt in [one for one in self._shown if one not in wanted]:
            self._take_out(prompt)
        for prompt in wanted:
            points = world_points(prompt, volume_node)
            node, before = self._shown.get(prompt, (None, None))
            if node is None or not self._scene.IsNodePresent(node):
                node, before = self._new_node(prompt), None
            if before is None or not np.array_equal(points, before):
                set_markup_points(node, points)
            self._shown[prompt] = (node, points)

    def remove(self) -> None:
        """Take all of them out of the scene."""
        for prompt in list(self._shown):
            self._take_out(prompt)

    def _take_out(self, prompt: Prompt) -> None:
        node, _ = self._shown.pop(prompt)
        if self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)

    def _new_node(self, prompt: Prompt) -> Any:
        node = hidden_markup(self._scene, MARKUPS_CLASSES[prompt.kind], prompt.positive)
        display = node.GetDisplayNode()
        display.SetLineThickness(LINE_WIDTH)
        display.SetGlyphScale(GLYPH_SCALE)
        display.SetFillVisibility(False)
        if prompt.kind == "box":
            display.SetHandlesInteractive(False)
        else:
            node.SetCurveTypeToLinear()
        node.SetLocked(True)
        return node
