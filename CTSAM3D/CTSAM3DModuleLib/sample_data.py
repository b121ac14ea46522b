"""Sample data: a generated torso CT, which needs no download, with stored clicks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

# Slicer loads this at its start: what takes time to import is imported where it is used.
if TYPE_CHECKING:
    from CTSAM3DLib.geometry.volume import Volume

CATEGORY = "CT-SAM3D"
TORSO = "CTSAM3DTorso"
TORSO_CLICKS = "SampleData/torso_phantom_clicks.json"
WINDOW_HU, LEVEL_HU = 400.0, 40.0


def register(icons: Path) -> bool:
    """Offer the torso in Slicer's Sample Data; False without that module."""
    try:
        import SampleData
    except ImportError:  # a Slicer that is built without it
        return False
    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY, title=CATEGORY)
    thumbnail = icons / f"{TORSO}.png"
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=TORSO,
        # Nothing to download; Slicer demands lists of one length.
        uris=[],
        fileNames=[],
        nodeNames=[],
        customDownloader=TorsoSource(),
        thumbnailFileName=str(thumbnail) if thumbnail.is_file() else None,
    )
    return True


@dataclass(frozen=True)
class TorsoSource:
    """What the button of the torso does; equal to itself after a reload, so it is offered once."""

    def __call__(self, source: Any = None) -> list[Any]:
        """Load volume and clicks."""
        slicer.util.showStatusMessage(_("Generating a torso CT ..."), 3000)
        return load_torso()


def load_torso() -> list[Any]:
    """Generate the torso, show it, and return its node and a point list for each anatomy."""
    from CTSAM3DLib.phantom import torso_phantom
    from CTSAM3DLib.resources import resource_path

    volume, _truth = torso_phantom()
    node = add_volume(volume, TORSO)
    return [node, *load_clicks(node, resource_path(TORSO_CLICKS))]


def add_volume(volume: Volume, name: str) -> Any:
    """Return a new node with a copy of a CT, shown in a soft tissue window in the slice views."""
    node = slicer.util.addVolumeFromArray(volume.array_kji, volume.geometry.ijk_to_ras, name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevel(WINDOW_HU, LEVEL_HU)
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


def load_clicks(volume_node: Any, path: str | Path) -> list[Any]:
    """Add the clicks of a file as point lists where the volume lies now, one a structure.

    Label and description of a point outside say ``negative``. Raises ClicksFileError: the file
    cannot be understood; ClickOutsideVolumeError: a click lies outside the volume; nothing is
    added.
    """
    from CTSAM3DLib.io.clicks import read_clicks
    from CTSAM3DLib.mrml.frames import geometry_from_node

    structures = read_clicks(path)
    geometry = geometry_from_node(volume_node)
    for prompts in structures.values():
        geometry.voxels_from_ras([click.position_ras for click in prompts.clicks])
    return [_point_list(name, prompts, volume_node) for name, prompts in structures.items()]


def _point_list(name: str, prompts: Any, volume_node: Any) -> Any:
    import vtk

    from CTSAM3DLib.io.terminology import colour, find
    from CTSAM3DLib.mrml import world_from_click

    known = find(name)
    label = name if known is None else known.label
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", label)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*(value / 255 for value in colour(name)))
    node.GetDisplayNode().SetPointLabelsVisibility(False)  # they would hide the organs
    for number, click in enumerate(prompts.clicks, 1):
        position = vtk.vtkVector3d(*world_from_click(click, volume_node))
        index = node.AddControlPointWorld(position)
        sign = "" if click.positive else " negative"
        node.SetNthControlPointLabel(index, f"{label}{sign}-{number}")
        node.SetNthControlPointDescription(index, sign.strip())
    return node
