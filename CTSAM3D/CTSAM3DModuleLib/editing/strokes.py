"""Scribbles as lines in the views: shown, not to be dragged. Main thread only."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk

from CTSAM3DLib.mrml import world_line
from CTSAM3DLib.prompts import Prompts, Scribble
from CTSAM3DModuleLib.editing.markers import hidden_markup

LINE_WIDTH = 0.4  # of the glyphs of the points


class Strokes:
    """The scribbles of one segment as curves, which are not saved and not offered in selectors.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where the curves live.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._nodes: dict[Scribble, Any] = {}
        self._volume: Any = None

    def show(self, prompts: Prompts, volume_node: Any) -> None:
        """Show the scribbles among prompts on a volume; what is shown already stays."""
        if volume_node is not self._volume:
            self.remove()
        self._volume = volume_node
        wanted = [prompt for prompt in prompts if isinstance(prompt, Scribble)]
        for scribble in [one for one in self._nodes if one not in wanted]:
            self._take_out(scribble)
        for scribble in wanted:
            node = self._nodes.get(scribble)
            if node is None or not self._scene.IsNodePresent(node):
                self._nodes[scribble] = self._new_node(scribble.positive)
                _set_line(self._nodes[scribble], world_line(scribble, volume_node))

    def remove(self) -> None:
        """Take all curves out of the scene."""
        for scribble in list(self._nodes):
            self._take_out(scribble)

    def _take_out(self, scribble: Scribble) -> None:
        node = self._nodes.pop(scribble)
        if self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)

    def _new_node(self, positive: bool) -> Any:
        node = hidden_markup(self._scene, "vtkMRMLMarkupsCurveNode", positive)
        node.SetCurveTypeToLinear()
        display = node.GetDisplayNode()
        display.SetLineThickness(LINE_WIDTH)
        display.SetGlyphScale(0.1)
        node.SetLocked(True)
        return node


def _set_line(node: Any, line_world_ras: NDArray[np.float64]) -> None:
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(line_world_ras, deep=True))
    node.SetControlPointPositionsWorld(points)
