"""Labelled CTs on disk, and the structures in them that can be scored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import CTSAM3DError, GeometryError
from CTSAM3DLib.geometry.box import BoundingBox
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.image import read_volume
from CTSAM3DLib.io.text import read_json

SAME_PLACE_MM = 0.01
_FILES = ("ct.nii.gz", "labels.nii.gz", "labels.json", "meta.json")


@dataclass(frozen=True)
class LabelledCase:
    """One folder with ``ct.nii.gz``, ``labels.nii.gz``, ``labels.json`` and ``meta.json``."""

    folder: Path  # Where the files are
    split: str  # For example ``"train"`` or ``"validation"``
    region: str  # What the scan shows
    label_kind: str  # ``"human"``, ``"machine"`` or ``"annotated"``: who drew the labels
    anatomies: dict[int, str]  # Voxel value to name; nothing else is known about the case
    labels_folder: Path  # Where ``labels.nii.gz`` and ``labels.json`` are

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def family(self) -> str:
        """Region and kind of labels: results of different families are never averaged alone."""
        return f"{self.region}, {self.label_kind} labels"


@dataclass(frozen=True)
class Structure:
    """One labelled anatomy of one case."""

    # Where it comes from and what it is
    case_name: str
    family: str
    anatomy: str
    truth_kji: NDArray[np.bool_]  # Its mask on the voxels of the volume
    volume_cm3: float  # Size of that mask
    extent_mm: tuple[float, float, float]  # Size of its tight box along i, j, k

    @classmethod
    def of(
        cls,
        case_name: str,
        family: str,
        anatomy: str,
        truth_kji: NDArray[np.bool_],
        spacing_mm: tuple[float, float, float],
    ) -> Structure:
        """Measure a mask, (K, J, I) bool, of voxels of a size along i, j, k."""
        sizes = zip(BoundingBox.from_mask(truth_kji).size_ijk, spacing_mm, strict=True)
        i, j, k = (float(count * step) for count, step in sizes)
        volume_cm3 = float(np.count_nonzero(truth_kji) * np.prod(spacing_mm) / 1000.0)
        return cls(case_name, family, anatomy, truth_kji, volume_cm3, (i, j, k))

    def size_class(self, patch_mm: float) -> str:
        """Return ``small`` (< 5 cm3), ``larger than a patch`` or ``medium``."""
        if max(self.extent_mm) > patch_mm:
            return "larger than a patch"
        return "small (< 5 cm3)" if self.volume_cm3 < 5.0 else "medium"


_SHAPES = {
    "bone": r"vertebra|rib_|sternum|hip_|sacrum|femur|humerus|scapula|clavicula|skull|mandible",
    "bowel": r"colon|small_bowel|duodenum",
    "tubular": r"aorta|vena|vein|arter|trunk|carotid|oesophagus|esophagus|trachea|ureter|spinal_c",
}


def shape_class(anatomy: str) -> str:
    """Return ``bone``, ``bowel``, ``tubular`` or ``compact``, by the name of an anatomy.

    Examples
    --------
    >>> [shape_class(name) for name in ("hip_left", "colon", "portal_vein", "liver")]
    ['bone', 'bowel', 'tubular', 'compact']
    """
    found = (shape for shape, names in _SHAPES.items() if re.search(names, anatomy))
    return next(found, "compact")


def is_human(label_origin: str) -> bool:
    """Return whether people drew the labels: the text begins with ``human``."""
    return label_origin.strip().lower().startswith("human")


def find_cases(
    data: Path,
    split: str,
    pattern: str | None = None,
    limit: int | None = None,
    annotations: Path | None = None,
) -> list[LabelledCase]:
    """List the labelled cases of a split, sorted by name.

    `data` is a folder of case folders, or one that holds them in ``ct/``. `split` is as in
    ``meta.json``; ``"all"`` takes every split. `pattern` is a regular expression that must occur in
    the name, `limit` the most cases. With `annotations`, label map and names come from the folder
    of the same name there, and other cases are left out. Raises CTSAM3DError when there is no such
    case, or a file is damaged.
    """
    root = data / "ct" if (data / "ct").is_dir() else data
    folders = sorted(path.parent for path in root.glob("*/meta.json"))
    pairs = [(f, f if annotations is None else annotations / f.name) for f in folders]
    cases = [
        _case(folder, labelled)
        for folder, labelled in pairs
        if all(((labelled if "labels" in name else folder) / name).is_file() for name in _FILES)
        and re.search(pattern or "", folder.name)
    ]
    chosen = [case for case in cases if split in {"all", case.split} and case.anatomies]
    if not chosen:
        where = root if annotations is None else f"{root} and {annotations}"
        raise CTSAM3DError(
            f"expected cases of split {split!r} with {', '.join(_FILES)} in {where}, "
            f"found none among {len(folders)} folders"
        )
    return chosen[:limit]


def load_case(case: LabelledCase) -> tuple[Volume, NDArray[Any]]:
    """Read CT (HU) and labels, of its shape and with the values of `LabelledCase.anatomies`.

    Raises VolumeError: a file cannot be read; GeometryError: they are not on the same voxels.
    """
    volume = read_volume(case.folder / "ct.nii.gz")
    labels = read_volume(case.labels_folder / "labels.nii.gz")
    check_same_voxels(volume, labels.geometry, f"{case.name}: expected labels on", "the CT")
    return volume, labels.array_kji


def check_same_voxels(volume: Volume, geometry: Geometry, expected: str, ct: str | Path) -> None:
    """Raise GeometryError unless a segmentation lies on the voxels of a volume."""
    shape, got = volume.geometry.shape_kji, geometry.shape_kji
    if got != shape or not volume.geometry.allclose(geometry, SAME_PLACE_MM):
        raise GeometryError(
            f"{expected} the voxels of {ct}, {shape}, got {got} or another place. Save the "
            "segmentation with this CT as its source volume"
        )


def structures_of(
    case: LabelledCase, volume: Volume, labels_kji: NDArray[Any], min_voxels: int = 300
) -> list[Structure]:
    """Return the labelled anatomies of at least `min_voxels` voxels, by label value.

    Volume and labels are those of `load_case`.
    """
    values = labels_kji.astype(np.int64)
    counts = np.bincount(values.ravel())
    spacing_mm = volume.geometry.spacing_mm
    return [
        Structure.of(case.name, case.family, anatomy, values == value, spacing_mm)
        for value, anatomy in sorted(case.anatomies.items())
        if value < len(counts) and counts[value] >= min_voxels
    ]


def _case(folder: Path, labelled: Path) -> LabelledCase:
    try:
        meta = read_json(folder / "meta.json")
        names = read_json(labelled / "labels.json")
        anatomies = {int(value): str(name) for value, name in names.items()}
        human = is_human(str(meta["label_origin"]))
        return LabelledCase(
            folder=folder,
            split=str(meta["split"]),
            region=str(meta["body_region"]),
            label_kind="annotated" if labelled != folder else "human" if human else "machine",
            anatomies=anatomies,
            labels_folder=labelled,
        )
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CTSAM3DError(f"{folder} is not a labelled case: {error!r}") from error
