"""A changed box is written as a change: what lies outside it costs nothing and stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs the slicer-core wheel or Slicer")

from CTSAM3DLib.geometry.grid import BoundingBox  # noqa: E402
from CTSAM3DLib.geometry.volume import MaskUpdate  # noqa: E402
from CTSAM3DLib.mrml.labelmaps import (  # noqa: E402
    box_of,
    stored_box,
    stored_mask,
    stored_part,
)
from CTSAM3DLib.mrml.segments import mask_digest  # noqa: E402
from CTSAM3DLib.mrml.writing import Plan, write_segment  # noqa: E402
from Testing.MRML.cases import (  # noqa: E402
    EDITOR,
    OLD,
    SHAPE,
    Case,
    box,
    changed_box,
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, BoundingBox]]:
    """What is handed to Slicer: segment and box of each call."""
    calls = []
    modify = Plan.modify

    def watched(self, segment_id, image, mode, bypass_masks):
        calls.append((segment_id, box_of(image)))
        modify(self, segment_id, image, mode, bypass_masks)

    monkeypatch.setattr(Plan, "modify", watched)
    return calls


def bounds(mask: np.ndarray) -> BoundingBox:
    return BoundingBox.from_mask(mask)


def test_only_what_changes_is_handed_to_slicer(mrml, written) -> None:
    case = Case(mrml)
    lost, added = OLD & box((0, 5), (0, 22), (0, 24)), box((16, 18), (3, 5), (6, 9))
    new = (OLD & ~lost) | added
    write_segment(case.target, changed_box(OLD, new))
    assert written == [("organ", bounds(lost)), ("organ", bounds(added))]
    np.testing.assert_array_equal(case.read(), new)


def test_a_change_that_only_adds_is_one_call(mrml, written) -> None:
    case = Case(mrml)
    added = box((16, 18), (3, 5), (6, 9))
    write_segment(case.target, changed_box(OLD, OLD | added))
    assert written == [("organ", bounds(added))]


@pytest.mark.parametrize("shared", [True, False])
def test_others_give_way_inside_the_changed_box_alone(mrml, written, shared: bool) -> None:
    case = Case(mrml)
    if shared:
        case.share_labelmaps()
    case.node.SetOverwriteMode(EDITOR.OverwriteAllSegments)
    before = case.read("container")
    added = box((14, 17), (8, 11), (5, 9)) & ~OLD
    write_segment(case.target, changed_box(OLD, OLD | added))
    assert (before & OLD).any()
    np.testing.assert_array_equal(case.read("container"), before & ~added)
    np.testing.assert_array_equal(case.read(), OLD | added)
    assert [one for one, _ in written] == ["organ", "container"][::-1]


def test_undo_takes_back_a_step_without_a_change_and_not_the_one_before(mrml) -> None:
    case = Case(mrml)
    new = OLD | box((16, 18), (3, 5), (6, 9))
    write_segment(case.target, changed_box(OLD, new))
    same = MaskUpdate(new[2:9], BoundingBox((0, 0, 2), (24, 22, 9)))
    write_segment(case.target, same)
    case.logic.Undo()
    np.testing.assert_array_equal(case.read(), new)
    case.logic.Undo()
    np.testing.assert_array_equal(case.read(), OLD)


@pytest.mark.parametrize("shared", [True, False])
def test_boxes_and_parts_are_those_of_the_whole(mrml, shared: bool) -> None:
    case = Case(mrml)
    if shared:
        case.share_labelmaps()
    for name in ("organ", "container", "neighbour"):
        lattice, found = stored_box(case.segmentation, name)
        whole = case.read(name)
        assert found == bounds(whole)
        np.testing.assert_allclose(lattice, case.ijk_to_segmentation, atol=1e-9)
        wide = BoundingBox((-3, -2, -1), (30, 25, 22))
        part = stored_part(case.segmentation, name, wide)
        inside = BoundingBox.from_shape(SHAPE).relative_to(wide).slices_kji
        np.testing.assert_array_equal(part[inside], whole)
        assert part.sum() == whole.sum()
        np.testing.assert_array_equal(
            stored_mask(case.segmentation, name)[1].mask_kji, whole[found.slices_kji]
        )


def test_the_digest_sees_every_voxel(mrml, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(mrml)
    seen = {mask_digest(case.segmentation, "organ")}
    for voxel in [(2, 9, 10), (8, 9, 10), (14, 9, 10)]:
        mask = OLD.copy()
        mask[voxel] = ~mask[voxel]
        write_segment(case.target, mask)
        seen.add(mask_digest(case.segmentation, "organ"))
    assert len(seen) == 4
    write_segment(case.target, OLD)
    assert mask_digest(case.segmentation, "organ") in seen
    monkeypatch.setattr("CTSAM3DLib.mrml.labelmaps.SLAB", 3)
    assert stored_box(case.segmentation, "organ")[1] == bounds(OLD)
