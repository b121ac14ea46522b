"""The nodes that the panel shows, and the structures in them."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.io.terminology import find
from CTSAM3DLib.mrml import add_segment, get_prompts, prepare_segmentation, volume_identity
from CTSAM3DLib.mrml.frames import text_of
from CTSAM3DLib.prompts import Prompts
from CTSAM3DModuleLib.editing.target import EditTarget, same_volume

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class PanelNodes:
    """Volume, segmentation and structures, as the parameters name them."""

    def __init__(self, logic: Any) -> None:
        self.logic = logic
        self.parameters: Any = None

    @property
    def volume(self) -> Any:
        """The volume node, or None."""
        return self.parameters.volume if self.parameters is not None else None

    @property
    def browser(self) -> Any:
        """The sequence browser that shows the volume, None for a volume alone."""
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            if self.volume is not None and browser.GetSequenceNode(self.volume) is not None:
                return browser
        return None

    @property
    def segmentation(self) -> Any:
        """The segmentation node, or None."""
        return self.parameters.segmentation if self.parameters is not None else None

    @property
    def import_node(self) -> Any:
        """The point list to import, or None."""
        return self.parameters.importPoints if self.parameters is not None else None

    @property
    def segment_id(self) -> str:
        """The structure; empty for none."""
        segment_id = self.parameters.segmentId if self.parameters is not None else ""
        return segment_id if segment_id in self.segment_ids() else ""

    def segment_ids(self) -> list[str]:
        """Return the ids of all structures."""
        node = self.segmentation
        return list(node.GetSegmentation().GetSegmentIDs()) if node is not None else []

    @property
    def own_model(self) -> str:
        """The model that the structure has for itself; empty for the one of all."""
        return self.target(self.segment_id).own_model if self.segment_id else ""

    def segment_name(self, segment_id: str) -> str:
        """Return the name of a structure."""
        return text_of(self.segmentation.GetSegmentation().GetSegment(segment_id).GetName())

    def is_hidden(self, segment_id: str) -> bool:
        """Tell whether the views do not show a structure."""
        display = self.segmentation.GetDisplayNode()
        if display is None:
            return False
        return not (display.GetVisibility() and display.GetSegmentVisibility(segment_id))

    def target(self, segment_id: str) -> EditTarget:
        """Return a structure as what the controller edits."""
        apart = self.parameters.apart
        editor_node = self.logic.editorNode()
        return EditTarget(self.segmentation, segment_id, self.volume, editor_node, apart=apart)

    def prompts(self, segment_id: str) -> Prompts:
        """Return the clicks on a structure; raises CTSAM3DError for a tag that is not ours."""
        if self.volume is None:
            return get_prompts(self.segmentation, segment_id)
        return self.logic.controller.prompts(self.target(segment_id))

    def count(self, segment_id: str) -> int:
        """Return how many clicks a structure has; 0 if they cannot be read."""
        try:
            return len(self.prompts(segment_id)) if segment_id else 0
        except CTSAM3DError:
            return 0

    def with_clicks(self) -> list[str]:
        """Return the structures that have clicks."""
        return [one for one in self.segment_ids() if self.count(one)]

    @property
    def volume_reason(self) -> str:
        """Why no structure can be added; empty if it can."""
        return "" if self.volume is not None else _("Choose a CT volume first.")

    @property
    def clicks_reason(self) -> str:
        """Why nothing can be computed again; empty if it can."""
        return "" if self.with_clicks() else _("No structure has points yet.")

    def follow_volume(self) -> str:
        """Leave a segmentation of another CT, for one of the volume or for none; return its name.

        Nothing is left, and the name is empty, where the segmentation may go on with the volume.
        """
        node = self.segmentation
        if node is not None and not self._is_of_another_ct(node):
            return ""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        own = (one for one in nodes if reference_volume(one) is self.volume)
        self.parameters.segmentation = next(own, None)
        return "" if node is None else text_of(node.GetName())

    def _is_of_another_ct(self, node: Any) -> bool:
        """Tell whether a segmentation was made on a volume that lies elsewhere."""
        reference = reference_volume(node)
        try:
            if reference is not None:
                place, present = (volume_identity(one).key for one in (reference, self.volume))
                return not same_volume(place, present)
            targets = map(self.target, node.GetSegmentation().GetSegmentIDs())
            return any(target.prompts_elsewhere() for target in targets)
        except CTSAM3DError:  # no voxels yet, or a tag that is not ours
            return False

    def segment_named(self, name: str) -> str:
        """Return the structure of a name, or of another name of the same anatomy; else empty."""
        anatomy = find(name)
        for segment_id in self.segment_ids():
            other = self.segment_name(segment_id)
            same = anatomy is not None and find(other) is anatomy
            if same or other.casefold() == name.strip().casefold():
                return segment_id
        return ""

    def new_segment(self, name: str) -> str:
        """Add a structure, with a segmentation where there is none.

        Raises CTSAM3DError: the volume has no voxels, or Slicer refuses.
        """
        node = self.segmentation
        if node is None:
            scene = slicer.mrmlScene
            title = scene.GenerateUniqueName(f"{self.volume.GetName()} segmentation")
            node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
            node.CreateDefaultDisplayNodes()
        if not node.GetSegmentation().GetNumberOfSegments():
            prepare_segmentation(node, self.volume)
        segment_id = add_segment(node, name.strip())
        self.parameters.segmentation = node
        return segment_id


def reference_volume(segmentation_node: Any) -> Any:
    """Return the volume that a segmentation was made on, None if that is not known."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    return segmentation_node.GetNodeReference(role)


def default_volume() -> Any:
    """Return the volume that is shown in the slice views, else the first one, else None."""
    scene = slicer.mrmlScene
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        node = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if node is not None and node.GetClassName() == VOLUME_CLASS:
            return node
    volumes = slicer.util.getNodesByClass(VOLUME_CLASS)
    return next((node for node in volumes if node.GetClassName() == VOLUME_CLASS), None)
