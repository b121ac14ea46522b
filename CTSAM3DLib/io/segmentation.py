"""Segmentation files of 3D Slicer (.seg.nrrd): one segment a structure, overlaps kept.

The fields are those that Slicer 5.12 itself writes (``Segment0_Name`` and so on). Structures that
do not overlap share a layer of label values; others get a further layer. Only the box that all
structures need is stored, with its place in the volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry, lps_from_ras
from CTSAM3DLib.io.nrrd import NrrdHeader, write_nrrd
from CTSAM3DLib.io.segment import (
    CORRECTED,
    MASK_TAG,
    PLACE_TAG,
    TERMINOLOGY_TAG,
    RegionMask,
    Segment,
    Segmentation,
    common_box,
)
from CTSAM3DLib.io.segmentation_reader import read_segmentation
from CTSAM3DLib.prompts import CLICKS_TAG

__all__ = ["RegionMask", "Segment", "Segmentation", "read_segmentation", "write_segmentation"]

SUFFIX = ".seg.nrrd"
_Labels = NDArray[np.uint8] | NDArray[np.uint16]


def write_segmentation(
    path: str | Path, segments: Sequence[Segment], geometry: Geometry, volume_id: str | None = None
) -> None:
    """Write a segmentation (``.seg.nrrd``) that Slicer opens; one that exists is replaced whole.

    There is at least one segment; empty masks are kept as empty segments. `geometry` is of the
    volume that the masks belong to; `volume_id`, the name of the clicked volume, is stored with the
    prompts. Raises SegmentationFileError: no segments, a mask outside the volume, or a name that
    does not end as it should; OSError: the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from CTSAM3DLib.io.segment import RegionMask
    >>> path = Path(tempfile.mkdtemp()) / "organs.seg.nrrd"
    >>> liver = Segment("liver", RegionMask.from_full(np.ones((3, 4, 5), bool)))
    >>> write_segmentation(path, [liver], Geometry(np.eye(4), (3, 4, 5)))
    >>> read_segmentation(path)["liver"].mask.voxel_count
    60
    """
    check_name(path)
    if not segments:
        raise SegmentationFileError("expected at least one segment, got none")
    for segment in segments:
        segment.mask.check_inside(geometry.shape_kji)
    box = common_box(segments)
    layers, places = _layers(segments, box)
    keys: dict[str, str] = {}
    identifiers = _identifiers(segments)
    for number, (segment, place) in enumerate(zip(segments, places, strict=True)):
        values = {"ID": identifiers[number], "Layer": str(place[0]), "LabelValue": str(place[1])}
        values |= _segment_fields(segment, box, geometry, volume_id)
        keys |= {f"Segment{number}_{name}": value for name, value in sorted(values.items())}
    keys |= _common_keys(geometry, box)
    fields = _geometry_fields(geometry.cropped(box), len(layers))
    planes = (np.stack([layer[k] for layer in layers], axis=-1) for k in range(len(layers[0])))
    write_nrrd(path, NrrdHeader(fields, keys), planes, layers[0].dtype)


def check_name(path: str | Path) -> None:
    """Raise SegmentationFileError unless a file name ends with ``.seg.nrrd``.

    Slicer opens other names as an image.
    """
    if not str(path).lower().endswith(SUFFIX):
        raise SegmentationFileError(
            f"expected a file name ending with {SUFFIX}, got {path}; for a NIfTI label map as well "
            "use --nifti or write_label_map"
        )


def _layers(
    segments: Sequence[Segment], box: BoundingBox
) -> tuple[list[_Labels], list[tuple[int, int]]]:
    """Return label arrays of the box without overlaps, and layer and label of each segment."""
    dtype = np.dtype(np.uint8 if len(segments) <= 255 else np.uint16)
    layers: list[_Labels] = []
    used: list[int] = []
    places = []
    for segment in segments:
        mask = segment.mask.mask_kji
        bbox = segment.mask.bbox
        inside = bbox if bbox.is_empty else bbox.shifted([-start for start in box.start_ijk])
        for number in count():
            if number == len(layers):
                layers.append(np.zeros(box.shape_kji, dtype))
                used.append(0)
            part = layers[number][inside.slices_kji]
            if not part[mask].any():
                break
        used[number] += 1
        part[mask] = used[number]
        places.append((number, used[number]))
    return layers, places


def _identifiers(segments: Sequence[Segment]) -> list[str]:
    """Return a distinct identifier for every segment, its name where possible."""
    found: list[str] = []
    for segment in segments:
        stem = "".join(x if x.isascii() and x.isalnum() else "_" for x in segment.name.strip())
        candidates = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        found.append(next(name for name in candidates if name not in found))
    return found


def _segment_fields(
    segment: Segment, box: BoundingBox, geometry: Geometry, volume_id: str | None
) -> dict[str, str]:
    """Return the header fields of one segment that do not depend on the others."""
    bbox = segment.mask.bbox
    extent = "0 -1 0 -1 0 -1"
    if not bbox.is_empty:
        starts = [a - b for a, b in zip(bbox.start_ijk, box.start_ijk, strict=True)]
        ends = [a - b - 1 for a, b in zip(bbox.stop_ijk, box.start_ijk, strict=True)]
        extent = " ".join(f"{a} {b}" for a, b in zip(starts, ends, strict=True))
    tags = {TERMINOLOGY_TAG: segment.terminology}
    if len(segment.clicks):
        tags[CLICKS_TAG] = segment.clicks.to_json(volume_id)
    tags[MASK_TAG] = CORRECTED if segment.corrected else segment.mask.digest
    if not segment.corrected and (where := segment.mask.ends_ras(geometry)):
        tags[PLACE_TAG] = " ".join(f"{value:.4f}" for value in where)
    return {
        "Color": " ".join(f"{value / 255:.6g}" for value in segment.rgb),
        "ColorAutoGenerated": "0",
        "Extent": extent,
        "Name": segment.name,
        "NameAutoGenerated": "0",
        "Tags": "".join(f"{tag}:{tags[tag]}|" for tag in sorted(tags)),
    }


def _common_keys(geometry: Geometry, box: BoundingBox) -> dict[str, str]:
    """Return what Slicer keeps about the segmentation as a whole."""
    matrix = ";".join(repr(value) for value in geometry.ijk_to_ras.ravel().tolist())
    extent = ";".join(f"0;{size - 1}" for size in geometry.size_ijk)
    return {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{matrix};{extent};|&",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": " ".join(str(i) for i in box.start_ijk),
    }


def _geometry_fields(geometry: Geometry, layer_count: int) -> dict[str, str]:
    """Return the NRRD fields for the place of the stored box, in LPS."""
    axes = geometry.ijk_to_ras[:3, :3].T  # rows: one step along i, j, k
    vectors = [_vector(axis) for axis in lps_from_ras(axes).tolist()]
    several = layer_count > 1
    sizes = [layer_count] * several + list(geometry.size_ijk)
    return {
        "dimension": str(len(sizes)),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, sizes)),
        "space directions": " ".join(["none"] * several + vectors),
        "kinds": " ".join(["list"] * several + ["domain"] * 3),
        "space origin": _vector(lps_from_ras(geometry.origin_ras).tolist()),
    }


def _vector(values: Sequence[float]) -> str:
    """Return (x,y,z), exact."""
    return "(" + ",".join(repr(value + 0.0) for value in values) + ")"
