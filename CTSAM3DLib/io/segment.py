"""Segments: a named mask without the empty space around it, its colour, codes and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import SegmentationFileError
from CTSAM3DLib.geometry.box import IJK, BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import MaskUpdate
from CTSAM3DLib.io.terminology import colour, terminology_entry
from CTSAM3DLib.prompts import Prompts

TERMINOLOGY_TAG = "TerminologyEntry"
"""Name of the segment tag that holds the terminology."""
MASK_TAG = "CTSAM3D.Mask"
"""Name of the segment tag that holds `RegionMask.digest` of the mask as it was computed."""
PLACE_TAG = "CTSAM3D.Place"
"""Name of the segment tag that holds `RegionMask.ends_ras` of that mask; old files have none."""
CORRECTED = "corrected"
"""What that tag holds for a mask that a person has changed."""


class RegionMask(MaskUpdate):
    """A whole mask of a volume, kept as the part in a box; every voxel outside it is empty.

    Raises VolumeError as `MaskUpdate`.

    Examples
    --------
    >>> whole = np.zeros((5, 6, 7), dtype=bool)
    >>> whole[1:3, 2:4, 3] = True
    >>> region = RegionMask.from_full(whole)
    >>> region.mask_kji.shape, region.voxel_count
    ((2, 2, 1), 4)
    >>> bool((region.full((5, 6, 7)) == whole).all())
    True
    """

    @classmethod
    def from_full(cls, mask_kji: NDArray[np.bool_]) -> RegionMask:
        """Return a copy of the occupied box of a whole volume's mask, a 3D bool array."""
        if mask_kji.dtype != np.bool_ or mask_kji.ndim != 3:
            raise SegmentationFileError(
                f"expected a 3D bool mask, got {mask_kji.dtype} of shape {mask_kji.shape}"
            )
        bbox = BoundingBox.from_mask(mask_kji)
        return cls(mask_kji[bbox.slices_kji].copy(), bbox)

    @property
    def voxel_count(self) -> int:
        """Number of voxels inside the structure."""
        return int(np.count_nonzero(self.mask_kji))

    @property
    def digest(self) -> str:
        """32 letters that change with the form of the mask, whatever its place."""
        tight = BoundingBox.from_mask(self.mask_kji)
        content = np.packbits(self.mask_kji[tight.slices_kji]).tobytes()
        return sha256(repr(tight.shape_kji).encode() + content).hexdigest()[:32]

    def ends_ras(self, geometry: Geometry) -> list[float]:
        """Return where the occupied box begins and ends, six numbers; none for an empty mask."""
        tight = BoundingBox.from_mask(self.mask_kji)
        if tight.is_empty:
            return []
        tight = tight.shifted(self.bbox.start_ijk)
        return geometry.ras_from_ijk([tight.start_ijk, tight.stop_ijk]).ravel().tolist()

    def full(self, shape_kji: IJK) -> NDArray[np.bool_]:
        """Return the mask of the whole volume, (K, J, I) bool.

        Raises SegmentationFileError: the box reaches outside a volume of that shape.
        """
        self.check_inside(shape_kji)
        whole = np.zeros(shape_kji, dtype=np.bool_)
        whole[self.bbox.slices_kji] = self.mask_kji
        return whole

    def check_inside(self, shape_kji: IJK) -> None:
        """Raise SegmentationFileError when the box reaches outside a volume of that shape."""
        if self.bbox.clipped(shape_kji) != self.bbox and not self.bbox.is_empty:
            raise SegmentationFileError(
                f"expected a mask inside a volume of shape {shape_kji}, got {self.bbox}"
            )


@dataclass(frozen=True, eq=False)
class Segment:
    """One structure of a segmentation.

    Raises SegmentationFileError: an empty name, a colour out of range, or a terminology that Slicer
    could not read.

    Examples
    --------
    >>> segment = Segment("liver", RegionMask.from_full(np.ones((2, 2, 2), dtype=bool)))
    >>> segment.rgb, segment.mask.voxel_count
    ((221, 130, 101), 8)
    """

    name: str  # Shown in Slicer; not empty
    mask: RegionMask  # Its voxels in the volume
    # The clicks that made it, kept in the segment tag ``CTSAM3D.Clicks``
    clicks: Prompts = field(default_factory=Prompts)
    # Colour, 0 to 255; by default the one of the anatomy
    rgb: tuple[int, int, int] = ()  # type: ignore[assignment]  # filled in below
    terminology: str = ""  # Seven parts joined by ``~``; by default those of the anatomy
    # Whether a person has changed the mask, so that it does not follow from the prompts
    corrected: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SegmentationFileError("expected a name for every segment, got an empty one")
        rgb = tuple(self.rgb) or colour(self.name)
        entry = self.terminology or terminology_entry(self.name)
        if len(rgb) != 3 or not all(0 <= value <= 255 for value in rgb):
            raise SegmentationFileError(f"segment {self.name!r}: expected 3 x 0..255, got {rgb}")
        if len(entry.split("~")) != 7 or "|" in entry:
            raise SegmentationFileError(
                f"segment {self.name!r}: expected 7 parts joined by ~ and no |, got {entry!r}"
            )
        object.__setattr__(self, "rgb", rgb)
        object.__setattr__(self, "terminology", entry)


def common_box(segments: Sequence[Segment]) -> BoundingBox:
    """Return the box round all segments; one voxel when they are all empty."""
    box = BoundingBox.empty()
    for segment in segments:
        box = box.union(segment.mask.bbox)
    return BoundingBox((0, 0, 0), (1, 1, 1)) if box.is_empty else box


@dataclass(frozen=True, eq=False)
class Base:
    """A mask that is kept, for example since a person corrected it."""

    mask: RegionMask  # On the voxels of the volume
    # Prompts that the mask answers already; the model is not asked again
    answered: Prompts = field(default_factory=Prompts)
    further: Prompts = field(default_factory=Prompts)  # Prompts that change it

    @property
    def prompts(self) -> Prompts:
        """All prompts."""
        return Prompts((*self.answered, *self.further))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmentation file holds."""

    segments: tuple[Segment, ...]  # In the order of the file
    geometry: Geometry  # Of the whole volume when the file names it, else of the stored box

    def __getitem__(self, name: str) -> Segment:
        """Return the segment of a name; KeyError when there is none."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        raise KeyError(name)
