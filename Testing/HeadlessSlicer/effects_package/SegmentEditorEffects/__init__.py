"""Stand-in for Slicer's package of scripted effects: the base class that an effect derives from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer

__all__ = ["AbstractScriptedSegmentEditorEffect"]


def _numbers(vector: Any, kind: type = float) -> list[Any]:
    return [kind(vector.x()), kind(vector.y()), kind(vector.z())]


class AbstractScriptedSegmentEditorEffect:
    """Base of scripted effects: registration, and coordinates as lists instead of Qt's classes."""

    def __init__(self, scriptedEffect: Any) -> None:
        self.scriptedEffect = scriptedEffect

    def register(self) -> None:
        """Register the effect with the factory."""
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self) -> None:
        """Disconnect signals; derived effects do it."""

    def rasToXy(self, ras: Sequence[float], viewWidget: Any) -> list[int]:
        """Return the pixel of a position in RAS."""
        point = self.scriptedEffect.rasToXy(qt.QVector3D(*ras), viewWidget)
        return [point.x(), point.y()]

    def xyzToRas(self, xyz: Sequence[float], viewWidget: Any) -> list[float]:
        """Return the position in RAS of a pixel with its lightbox page."""
        return _numbers(self.scriptedEffect.xyzToRas(qt.QVector3D(*xyz), viewWidget))

    def xyToRas(self, xy: Sequence[int], viewWidget: Any) -> list[float]:
        """Return the position in RAS of a pixel."""
        return _numbers(self.scriptedEffect.xyToRas(qt.QPoint(*xy), viewWidget))

    def xyzToIjk(
        self, xyz: Sequence[float], viewWidget: Any, image: Any, parentTransformNode: Any = None
    ) -> list[int]:
        """Return the voxel under a pixel with its lightbox page."""
        vector = qt.QVector3D(*xyz)
        return _numbers(
            self.scriptedEffect.xyzToIjk(vector, viewWidget, image, parentTransformNode), int
        )

    def xyToIjk(
        self, xy: Sequence[int], viewWidget: Any, image: Any, parentTransformNode: Any = None
    ) -> list[int]:
        """Return the voxel under a pixel."""
        point = qt.QPoint(*xy)
        return _numbers(
            self.scriptedEffect.xyToIjk(point, viewWidget, image, parentTransformNode), int
        )
