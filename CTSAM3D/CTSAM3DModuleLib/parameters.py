"""The parameters of the panel; import it late, when Slicer has the classes of its modules."""

from __future__ import annotations

from typing import Annotated

from slicer import vtkMRMLMarkupsNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class CTSAM3DParameterNode:
    """What the panel shows; saved with the scene.

    `segmentId` is the structure that gets the points; `model` is empty for the default model.
    """

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    segmentId: str  # noqa: N815 - the name in saved scenes
    importPoints: vtkMRMLMarkupsNode  # noqa: N815
    smoothingMm: Annotated[float, WithinRange(0.5, 10.0), Default(2.0)]  # noqa: N815
    grow: bool = True
    apart: bool
    model: str
    device: str = "auto"
