"""Where the structures of a case start: at prompts, or at masks that a person corrected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.segment import Base, RegionMask, Segmentation
from CTSAM3DLib.io.segmentation_reader import (
    check_names,
    is_segmentation,
    read_prompts,
    read_segmentation,
)
from CTSAM3DLib.prompts import Click, Prompts

Start = Prompts | Base

_TOLERANCE = 0.01  # voxels, and mm along an axis


def read_starts(
    paths: Sequence[Path],
    geometry: Geometry | None = None,
    recompute: bool = False,
    further: Sequence[tuple[str, Click]] = (),
    ct_name: str = "",
) -> tuple[dict[str, Start], list[str]]:
    """Read clicks files and segmentations of one CT: the starts, and notes on masks that stay.

    A structure of a ``.seg.nrrd`` starts at its prompts, as if they had been made again, unless a
    person corrected its mask: that mask is kept, and only prompts of further files change it.
    `recompute` makes it anew, too. Without the geometry of the CT the masks stay where the file has
    them. For `further` and `ct_name` see `read_clicks`. Raises ClicksFileError as `read_clicks`; a
    segmentation without prompts and corrected masks; SegmentationFileError: a segmentation cannot
    be read, its masks are not on the voxels of the CT, or two masks that a person corrected have
    one name.
    """
    bases: dict[str, Base] = {}
    notes = []
    if not recompute:
        for path in paths:
            if is_segmentation(path):
                segmentation = read_segmentation(path)
                found = _corrected(segmentation, path, geometry)
                check_names([*bases, *found])
                bases |= found
                notes += _grid_note(path, segmentation, geometry)
                notes += [
                    f"{path.name}: the mask of {name} was corrected by hand, or not made by this "
                    "program, and is kept. The option recompute makes it anew from its prompts"
                    for name in found
                ]
                notes += [
                    f"{path.name}: the mask of {one.name} is empty, and is made from its prompts. "
                    "Delete the segment to leave it out"
                    for one in segmentation.segments
                    if one.corrected and not one.mask.voxel_count and one.clicks
                ]
    others = _prompts(paths, bases, further, ct_name)
    starts: dict[str, Start] = {**others}
    for name, base in bases.items():
        starts[name] = replace(base, further=others.get(name, Prompts()))
    return starts, notes


def _prompts(
    paths: Sequence[Path],
    bases: Mapping[str, Base],
    further: Sequence[tuple[str, Click]],
    ct_name: str,
) -> dict[str, Prompts]:
    """Return the prompts of all files, and further ones, but those that a kept mask answers."""
    drawn = [path for path in paths if bases and is_segmentation(path) and not read_prompts(path)]
    files = [path for path in paths if path not in drawn]
    found = read_clicks(files, bases, further, ct_name) if files or further else {}
    for name, base in bases.items():
        if name in found:
            rest = list(found[name])
            for prompt in base.answered:
                rest.remove(prompt)
            found[name] = Prompts(rest)
    return found


def _corrected(
    segmentation: Segmentation, path: Path, geometry: Geometry | None
) -> dict[str, Base]:
    check_names([one.name for one in segmentation.segments if one.corrected])
    return {
        one.name: Base(_placed(one.mask, segmentation.geometry, path, geometry), one.clicks)
        for one in segmentation.segments
        if one.corrected and one.mask.voxel_count
    }


def _grid_note(path: Path, segmentation: Segmentation, geometry: Geometry | None) -> list[str]:
    """Return what to tell where the prompts of a file were made on another CT."""
    if geometry is None or _offset(segmentation.geometry, geometry) is not None:
        return []
    return [
        f"{path.name} was made on another CT, or on other voxels of this one; took its prompts at "
        "their places in mm. Look whether it belongs to this CT"
    ]


def _offset(own: Geometry, geometry: Geometry) -> tuple[int, int, int] | None:
    """Return where in a CT the voxels of a file begin, None where they are not those of the CT."""
    offset = geometry.ijk_from_ras(own.origin_ras)
    same_axes = np.allclose(
        own.ijk_to_ras[:3, :3], geometry.ijk_to_ras[:3, :3], rtol=0, atol=_TOLERANCE
    )
    if not same_axes or not np.allclose(offset, np.rint(offset), rtol=0, atol=_TOLERANCE):
        return None
    i, j, k = (int(value) for value in np.rint(offset))
    return i, j, k


def _placed(mask: RegionMask, own: Geometry, path: Path, geometry: Geometry | None) -> RegionMask:
    """Return a mask on the voxels of the CT."""
    if geometry is None:
        return mask
    offset = _offset(own, geometry)
    if offset is None:
        raise SegmentationFileError(
            f"{path}: expected masks on the voxels of the CT, {geometry.size_ijk}, got a grid of "
            f"{own.size_ijk}. Use the CT that was segmented, or the option recompute"
        )
    placed = RegionMask(mask.mask_kji, mask.bbox.shifted(offset))
    placed.check_inside(geometry.shape_kji)
    return placed
