"""Segmentations of the scene, written as cases that `learn` reads. Main thread only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CTSAM3DLib.errors import NodeError
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.segment import RegionMask, Segment
from CTSAM3DLib.io.segmentation import write_segmentation
from CTSAM3DLib.io.segmentation_reader import check_names
from CTSAM3DLib.io.simpleitk import silent_simpleitk
from CTSAM3DLib.mrml import read_segment, volume_from_node
from CTSAM3DModuleLib.panel.nodes import reference_volume


def write_cases(folder: Path, segmentations: Sequence[Any], volume_node: Any = None) -> int:
    """Write a case for each segmentation node; returns how many there are.

    Each goes with the CT that is its source volume, else with `volume_node`. Empty segments and
    segmentations without any other are left out. Raises NodeError: a segmentation has no CT, or
    cannot be brought onto its voxels; SegmentationFileError: two segments have one name; OSError: a
    file cannot be written.
    """
    count = 0
    for number, node in enumerate(segmentations, start=1):
        ct_node = reference_volume(node) or volume_node
        if ct_node is None:
            text = _("{name} has no source volume: choose its CT in the Segment Editor")
            raise NodeError(text.format(name=node.GetName()))
        segments = _segments(node, ct_node)
        if not segments:
            continue
        count += 1
        place = folder / f"case-{number}"
        place.mkdir(parents=True, exist_ok=True)
        volume = volume_from_node(ct_node)
        _write_volume(place / "ct.nrrd", volume)
        write_segmentation(place / "organs.seg.nrrd", segments, volume.geometry)
    return count


def _segments(node: Any, ct_node: Any) -> list[Segment]:
    found = []
    segmentation = node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        mask = read_segment(node, segment_id, ct_node)
        name = segmentation.GetSegment(segment_id).GetName().strip() or segment_id
        if not mask.bbox.is_empty:
            found.append(Segment(name, RegionMask(mask.mask_kji, mask.bbox)))
    check_names([segment.name for segment in found])
    return found


def _write_volume(path: Path, volume: Volume) -> None:
    with silent_simpleitk() as sitk:
        image = sitk.GetImageFromArray(volume.array_kji)
        origin, spacing, direction = volume.geometry.lps()
        image.SetOrigin(origin)
        image.SetSpacing(spacing)
        image.SetDirection(direction)
        try:
            sitk.WriteImage(image, str(path), True)
        except RuntimeError as error:
            raise OSError(_("cannot write {path}: is the disk full?").format(path=path)) from error
