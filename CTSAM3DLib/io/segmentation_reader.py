"""Reading Slicer's segmentation files (.seg.nrrd), ours and those that Slicer saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import ClicksFileError, SegmentationFileError
from CTSAM3DLib.geometry.box import IJK
from CTSAM3DLib.geometry.grid import Geometry, ras_from_lps
from CTSAM3DLib.io.content_mark import mark_of
from CTSAM3DLib.io.nrrd import NrrdHeader, read_nrrd, read_nrrd_header
from CTSAM3DLib.io.segment import (
    MASK_TAG,
    PLACE_TAG,
    TERMINOLOGY_TAG,
    RegionMask,
    Segment,
    Segmentation,
)
from CTSAM3DLib.io.text import found_instead
from CTSAM3DLib.prompts import CLICKS_TAG, Prompts

_MOVED = 0.1  # voxels: a mask so far from its place was moved
_REFERENCE = "Reference image geometry"


def read_segmentation(path: str | Path) -> Segmentation:
    """Read a ``.seg.nrrd`` file of this library or of Slicer 4.11 and later, as binary labelmap.

    Raises SegmentationFileError: the file cannot be read, holds no segments, or its fields
    contradict each other.
    """
    header, array = read_nrrd(path)
    try:
        layers = _with_layer_axis(header, array)
        geometry, offset = _geometry(header, layers.shape[:3])
        numbers = _segment_numbers(header.keys)
        is_ours = mark_of(path) is not None
        segments = tuple(
            _segment(header.keys, number, layers, offset, geometry, is_ours) for number in numbers
        )
        for segment in segments:
            segment.mask.check_inside(geometry.shape_kji)
    except (SegmentationFileError, ClicksFileError, ValueError, OverflowError) as error:
        raise SegmentationFileError(f"{path}: {error}") from error
    return Segmentation(segments, geometry)


def is_segmentation(path: str | Path) -> bool:
    """Tell whether a file begins as an NRRD file does.

    Examples
    --------
    >>> is_segmentation(__file__)
    False
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == b"NRRD"
    except OSError:
        return False


def check_names(names: Sequence[str]) -> None:
    """Check that segments can be told apart by name: else all but one would be dropped.

    Raises SegmentationFileError: a name comes twice.
    """
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SegmentationFileError(
            f"expected every name once, got {', '.join(map(repr, doubled))} for several segments; "
            "rename them in Slicer"
        )


def read_prompts(path: str | Path) -> dict[str, Prompts]:
    """Read the prompts in the tags of a ``.seg.nrrd`` file by structure, without its voxels.

    Structures without prompts are left out. Raises SegmentationFileError: the file cannot be read,
    holds no segments, or two with prompts have one name; ClicksFileError: a tag cannot be read.
    """
    try:
        keys = read_nrrd_header(path)[0].keys
    except OSError as error:
        raise SegmentationFileError(
            f"{path}: expected a readable file, {found_instead(error)}"
        ) from error
    found: list[tuple[str, Prompts]] = []
    for number in _segment_numbers(keys):
        tags = _tags(keys, number)
        name = keys.get(f"Segment{number}_Name", keys[f"Segment{number}_ID"])
        if CLICKS_TAG in tags and (prompts := Prompts.from_json(tags[CLICKS_TAG])):
            found.append((name, prompts))
    check_names([name for name, _ in found])
    return dict(found)


def _tags(keys: Mapping[str, str], number: int) -> dict[str, str]:
    text = keys.get(f"Segment{number}_Tags", "")
    return dict(part.partition(":")[::2] for part in text.split("|") if part)


def _with_layer_axis(header: NrrdHeader, array: NDArray[Any]) -> NDArray[Any]:
    """Return the voxels as (K, J, I, layers); ITK and SimpleITK call the layers a vector."""
    if array.ndim == 4 and header.fields.get("kinds", "").split()[:1] in (["list"], ["vector"]):
        return array
    if array.ndim == 3:
        return array[..., None]
    raise SegmentationFileError(f"expected 3D voxels or a list of them, got {array.ndim}D")


def _geometry(header: NrrdHeader, shape_kji: tuple[int, ...]) -> tuple[Geometry, IJK]:
    """Return the whole volume's geometry and where in it the stored box begins."""
    axes = [axis for axis in header.vectors("space directions") if axis is not None]
    origins = [place for place in header.vectors("space origin") if place is not None]
    if header.fields.get("space", "").lower() not in ("left-posterior-superior", "lps"):
        got = header.fields.get("space")
        raise SegmentationFileError(f"expected the space left-posterior-superior, got {got!r}")
    if len(axes) != 3 or len(origins) != 1:
        raise SegmentationFileError("expected three space directions and an origin, got others")
    matrix = np.eye(4)
    matrix[:3, :3] = ras_from_lps(axes).T
    matrix[:3, 3] = ras_from_lps(origins[0])
    box = Geometry(matrix, (shape_kji[0], shape_kji[1], shape_kji[2]))
    reference = _reference(header.keys)
    offset = header.keys.get("Segmentation_ReferenceImageExtentOffset", "0 0 0").split()
    if reference is None or len(offset) != 3:
        return box, (0, 0, 0)
    extent = [int(value) for value in reference[16:]]
    spacing = np.linalg.norm(np.array(reference[:16], float).reshape(4, 4)[:3, :3], axis=0)
    # Slicer stores smaller voxels where it oversamples, and where a segment is empty.
    if not np.allclose(spacing, box.spacing_mm, rtol=1e-3):
        return box, (0, 0, 0)  # the extent counts other voxels
    start = [int(value) - first for value, first in zip(offset, extent[0::2], strict=True)]
    matrix[:3, 3] = box.ras_from_ijk([-value for value in start])
    i, j, k = (last - first + 1 for first, last in zip(extent[0::2], extent[1::2], strict=True))
    return Geometry(matrix, (k, j, i)), (start[0], start[1], start[2])


def _reference(keys: Mapping[str, str]) -> list[str] | None:
    """Return the reference image's matrix (16 numbers) and extent (6); None without them."""
    for part in keys.get("Segmentation_ConversionParameters", "").split("&"):
        name, _, rest = part.partition("|")
        if name == _REFERENCE:
            values = [value for value in rest.split("|")[0].split(";") if value]
            return values if len(values) == 22 else None
    return None


def _segment_numbers(keys: Mapping[str, str]) -> list[int]:
    """Return the numbers n of the fields ``Segment<n>_ID``."""
    found = (re.fullmatch("Segment(0|[1-9][0-9]{0,8})_ID", key) for key in keys)
    numbers = sorted(int(match[1]) for match in found if match)
    if not numbers:
        raise SegmentationFileError(
            "expected fields such as Segment0_ID, got an image without segments. Give the file "
            "that Slicer saved for a segmentation (.seg.nrrd)"
        )
    return numbers


def _is_as_computed(tags: Mapping[str, str], mask: RegionMask, geometry: Geometry) -> bool:
    """Whether a mask has the form and the place that its tags tell; old files tell no place."""
    if tags[MASK_TAG] != mask.digest:
        return False
    told = [float(value) for value in tags.get(PLACE_TAG, "").split()]
    ends = mask.ends_ras(geometry)
    near = _MOVED * min(geometry.spacing_mm)
    return not told or (len(told) == len(ends) and np.allclose(told, ends, rtol=0, atol=near))


def _segment(
    keys: Mapping[str, str],
    number: int,
    layers: NDArray[Any],
    offset_ijk: IJK,
    geometry: Geometry,
    is_ours: bool,
) -> Segment:
    """Return one segment; very old files have one layer a segment and no label values."""

    def value(name: str, default: str) -> str:
        return keys.get(f"Segment{number}_{name}", default)

    layer = int(value("Layer", str(number if layers.shape[3] > 1 else 0)))
    if not 0 <= layer < layers.shape[3]:
        raise SegmentationFileError(f"segment {number}: expected a stored layer, got {layer}")
    region = RegionMask.from_full(layers[..., layer] == int(value("LabelValue", "1")))
    if not region.bbox.is_empty:
        region = RegionMask(region.mask_kji, region.bbox.shifted(offset_ijk))
    tags = _tags(keys, number)
    red, green, blue = (round(255 * float(x)) for x in value("Color", "0.5 0.5 0.5").split())
    return Segment(
        name=value("Name", value("ID", "")),
        mask=region,
        clicks=Prompts.from_json(tags[CLICKS_TAG]) if CLICKS_TAG in tags else Prompts(),
        rgb=(red, green, blue),
        terminology=tags.get(TERMINOLOGY_TAG, ""),
        corrected=not (_is_as_computed(tags, region, geometry) if MASK_TAG in tags else is_ours),
    )
