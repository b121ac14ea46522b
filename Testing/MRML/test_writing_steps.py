"""Each write as a step: undo and redo with clicks, failures that leave no trace, refusals."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from CTSAM3DLib.errors import NodeError, VolumeError  # noqa: E402
from CTSAM3DLib.geometry.grid import BoundingBox  # noqa: E402
from CTSAM3DLib.geometry.volume import MaskUpdate  # noqa: E402
from CTSAM3DLib.mrml.tags import get_prompts, prompts_text  # noqa: E402
from CTSAM3DLib.mrml.writing import write_segment  # noqa: E402
from CTSAM3DLib.prompts import ClickHistory  # noqa: E402
from Testing.MRML.cases import (  # noqa: E402
    EDIT,
    NEW,
    OLD,
    Case,
    changed_box,
    history,
)


def test_undo_and_redo_restore_voxels_and_clicks(mrml):
    case = Case(mrml)
    one, two = history((1, 2, 3)), history((1, 2, 3), (4, 5, 6))
    write_segment(case.target, changed_box(OLD, NEW), one)
    write_segment(case.target, changed_box(NEW, OLD | NEW), two)

    case.logic.Undo()
    np.testing.assert_array_equal(case.read(), NEW)
    assert get_prompts(case.segmentation, "organ") == one
    case.logic.Undo()
    np.testing.assert_array_equal(case.read(), OLD)
    assert prompts_text(case.segmentation, "organ") is None
    assert not case.logic.CanUndo()
    case.logic.Redo()
    case.logic.Redo()
    np.testing.assert_array_equal(case.read(), OLD | NEW)
    assert get_prompts(case.segmentation, "organ") == two


def test_a_click_that_changes_no_voxel_can_be_undone(mrml):
    case = Case(mrml)
    one, two = history((1, 2, 3)), history((1, 2, 3), (4, 5, 6))
    write_segment(case.target, changed_box(OLD, NEW), one)
    write_segment(case.target, MaskUpdate(np.zeros((0, 0, 0), bool), BoundingBox.empty()), two)
    assert get_prompts(case.segmentation, "organ") == two

    case.logic.Undo()

    assert get_prompts(case.segmentation, "organ") == one
    np.testing.assert_array_equal(case.read(), NEW)


def test_the_state_can_be_saved_by_another_editor(mrml):
    case = Case(mrml)
    widget = mrml.editor(case.segmentation, case.volume)
    widget.SetSegmentEditorNode(case.node)

    write_segment(case.target, NEW, history((1, 2, 3)), save_state=widget.SaveStateForUndo)

    assert not case.logic.CanUndo()
    widget.Undo()
    np.testing.assert_array_equal(case.read(), OLD)
    assert prompts_text(case.segmentation, "organ") is None


def test_clicks_are_in_the_tag_before_the_voxels_change(mrml):
    case = Case(mrml)
    seen = []
    case.segmentation.GetSegmentation().AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified,
        lambda *_: seen.append(prompts_text(case.segmentation, "organ")),
    )
    write_segment(case.target, NEW, history((1, 2, 3)))
    assert seen
    assert all(ClickHistory.from_json(text) == history((1, 2, 3)) for text in seen)


def test_a_failed_write_leaves_segment_and_tag_as_they_were(mrml):
    case = Case(mrml)
    write_segment(case.target, NEW, history((1, 2, 3)))
    case.node.SetSourceVolumeIntensityMask(True)
    empty = mrml.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    case.logic.SetSourceVolumeNode(empty)

    with pytest.raises(NodeError, match=r"to write segment 'organ' of .*Unable to update volume"):
        write_segment(case.target, OLD, history((4, 5, 6)))

    np.testing.assert_array_equal(case.read(), NEW)
    assert get_prompts(case.segmentation, "organ") == history((1, 2, 3))
    assert not case.logic.GetVerbose()
    with pytest.raises(NodeError, match="Unable to update volume"):
        write_segment(case.of("neighbour"), OLD, history((4, 5, 6)))
    assert prompts_text(case.segmentation, "neighbour") is None
    with pytest.raises(NodeError, match="Unable to update volume"):
        write_segment(case.target, OLD)
    assert get_prompts(case.segmentation, "organ") == history((1, 2, 3))


def test_settings_that_cannot_be_used_are_named(mrml):
    case = Case(mrml)

    def refused(expected):
        with pytest.raises(NodeError, match=expected):
            write_segment(case.target, NEW)
        np.testing.assert_array_equal(case.read(), OLD)

    case.node.SetMaskMode(EDIT.EditAllowedInsideSingleSegment)
    refused("expected a segment as the mask of the segment editor, got None")
    case.node.SetMaskSegmentID("gone")
    refused("mask of the segment editor, got 'gone'")
    case.node.SetMaskMode(EDIT.EditAllowedEverywhere)
    case.node.SetSourceVolumeIntensityMask(True)
    case.logic.SetSourceVolumeNode(None)
    refused("expected a source volume of the segment editor")
    case.node.SetSourceVolumeIntensityMask(False)
    case.node.SetMaskMode(EDIT.EditAllowedInsideVisibleSegments)
    case.segmentation.SetAndObserveDisplayNodeID(None)
    refused(r"expected .* to have a display node")
    case.logic.SetSegmentEditorNode(None)
    refused('expected a segment editor of "Segmentation", got none')
    case.logic.SetSegmentEditorNode(case.node)
    other = mrml.segmentation()
    other.SetName("Other")
    case.logic.SetSegmentationNode(other)
    refused('expected a segment editor of "Segmentation", got "Other"')


def test_wrong_targets_and_masks_are_named(mrml):
    case = Case(mrml)
    with pytest.raises(NodeError, match=r"\['organ', 'container', 'neighbour'\], got 'liver'"):
        write_segment(case.of("liver"), NEW)
    with pytest.raises(VolumeError, match=r"bool mask of shape \(20, 22, 24\), got uint8"):
        write_segment(case.target, NEW.astype(np.uint8))
    with pytest.raises(VolumeError, match=r"bool mask of shape .* of shape \(20, 22, 23\)"):
        write_segment(case.target, NEW[:, :, 1:])
    beyond = MaskUpdate(np.ones((1, 1, 1), bool), BoundingBox((24, 0, 0), (25, 1, 1)))
    with pytest.raises(VolumeError, match=r"a box inside a volume of size \(24, 22, 20\)"):
        write_segment(case.target, beyond)
    np.testing.assert_array_equal(case.read(), OLD)


def test_a_segmentation_of_surfaces_asks_for_conversion(mrml):
    case = Case(mrml)
    segmentation = case.segmentation.GetSegmentation()
    assert segmentation.CreateRepresentation("Closed surface")
    segmentation.SetSourceRepresentationName("Closed surface")

    with pytest.raises(NodeError, match="SetSourceRepresentationToBinaryLabelMap"):
        write_segment(case.target, NEW)

    assert case.logic.SetSourceRepresentationToBinaryLabelMap()
    write_segment(case.target, NEW)
    np.testing.assert_array_equal(case.read(), NEW)
