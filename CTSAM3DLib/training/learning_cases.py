"""Pairs of CT and segmentation from which a model learns: found, read, and divided by patient."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import LearningError
from CTSAM3DLib.evaluation.cases import check_same_voxels
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.dicom_seg_reader import read_dicom_seg
from CTSAM3DLib.io.hounsfield import check_hu
from CTSAM3DLib.io.image import read_volume
from CTSAM3DLib.io.other_files import IMAGE_SUFFIXES, check_letters, image_stem
from CTSAM3DLib.io.segmentation_reader import check_names, read_segmentation
from CTSAM3DLib.io.text import decoded, found_instead, read_bounded, read_json, table_of

SEGMENTATION_SUFFIX = ".seg.nrrd"
DICOM_SUFFIX = ".dcm"
SMALLEST_VOXELS = 60
"""A structure of fewer voxels is left out."""
HELD_OUT_SHARE = 0.25
DRAWS = 8
"""So often patients are drawn until a structure is both learnt and held out."""


@dataclass(frozen=True)
class CasePaths:
    """Where a case lies."""

    name: str  # For messages and the report
    patient: str  # Cases of one patient are learnt from, or held out, together
    ct: Path  # Image file or DICOM folder
    segmentation: Path  # ``.seg.nrrd``, DICOM SEG (``.dcm``), or a label map
    names: Path | None = None  # JSON of a label map: value to name


@dataclass(frozen=True, eq=False)
class LearningCase:
    """One CT with the masks of its structures."""

    name: str
    patient: str
    volume: Volume
    masks: Mapping[str, NDArray[np.bool_]]  # Name to (K, J, I) bool on the voxels of the CT

    def only(self, names: Sequence[str]) -> LearningCase:
        """Return the case with some of its structures."""
        return replace(self, masks={n: m for n, m in self.masks.items() if n in names})


def find_learning_cases(source: Path) -> list[CasePaths]:
    """Find the cases of a folder or a table.

    In a folder, a case is a folder with ``ct`` (image file or DICOM folder) and one ``.seg.nrrd``,
    ``labels`` (image file) with ``labels.json``, or one DICOM SEG (``.dcm``); or files side by
    side: ``NAME.seg.nrrd`` next to ``NAME.nrrd``, ``NAME.nii.gz`` or another image. A table is CSV
    with the columns ``ct``, ``segmentation`` and optionally ``patient``, ``name`` and ``names``;
    relative paths count from its folder. Without a column ``patient`` each case is a patient.
    Raises LearningError: there is no case, the table lacks a column or a value, or a file is
    missing.
    """
    if source.is_dir():
        folders = [p for p in sorted(source.iterdir()) if p.is_dir()]
        inside = (_in_folder(folder) for folder in (source, *folders))
        found = [case for case in inside if case is not None] or _side_by_side(source)
    elif source.is_file():
        found = _in_table(source)
    else:
        raise LearningError(
            f"{source}: expected a folder of cases or a CSV table, found nothing there"
        )
    if not found:
        raise LearningError(
            f"{source}: found no case. Expected folders with ct.nii.gz and one .seg.nrrd (or a "
            "DICOM SEG, or labels.nii.gz and labels.json), or NAME.seg.nrrd beside NAME.nrrd"
        )
    return found


def read_learning_case(paths: CasePaths) -> LearningCase:
    """Read a case.

    Raises LearningError: the label map has no names, or no structure has `SMALLEST_VOXELS` voxels;
    GeometryError: the segmentation is not on the voxels of the CT; VolumeError,
    SegmentationFileError: a file cannot be read, or two segments have one name.
    """
    volume = read_volume(paths.ct)
    check_hu(volume)
    expected = f"{paths.segmentation}: expected"
    if paths.segmentation.name.lower().endswith(SEGMENTATION_SUFFIX):
        content = read_segmentation(paths.segmentation)
        check_same_voxels(volume, content.geometry, expected, paths.ct)
        check_names([segment.name for segment in content.segments])
        shape = volume.geometry.shape_kji
        masks = {segment.name: segment.mask.full(shape) for segment in content.segments}
    elif paths.segmentation.suffix.lower() == DICOM_SUFFIX:
        masks = read_dicom_seg(paths.segmentation, volume.geometry, paths.ct)
    else:
        labels = read_volume(paths.segmentation)
        check_same_voxels(volume, labels.geometry, expected, paths.ct)
        masks = {n: labels.array_kji == v for v, n in _names(paths).items()}
    masks = {n: m for n, m in masks.items() if np.count_nonzero(m) >= SMALLEST_VOXELS}
    if not masks:
        raise LearningError(
            f"{paths.segmentation}: expected a structure of at least {SMALLEST_VOXELS} voxels, "
            "got none. Correct it, or leave the case out"
        )
    return LearningCase(paths.name, paths.patient, volume, masks)


def one_patient_where_equal(cases: Sequence[LearningCase]) -> list[LearningCase]:
    """Give cases with the same CT voxels one patient, so that no CT is on both sides."""
    patients: dict[str, str] = {}
    out = []
    for case in cases:
        mark = hashlib.sha256(np.ascontiguousarray(case.volume.array_kji).tobytes()).hexdigest()
        out.append(replace(case, patient=patients.setdefault(mark, case.patient)))
    return out


@dataclass(frozen=True)
class Division:
    """What is learnt from, and what is held out to be scored."""

    learnt: tuple[LearningCase, ...]
    held_out: tuple[LearningCase, ...]
    kind: str  # ``patients``, ``structures`` or ``nothing`` is held out


def divide(cases: Sequence[LearningCase], seed: int = 0) -> Division:
    """Hold out a quarter of the patients; of one patient, a quarter of the structures.

    With one structure of one patient, or no structure that two patients have, nothing is held out:
    the cases themselves are scored, with clicks that they were not learnt with. Raises
    LearningError: there is no case.
    """
    if not cases:
        raise LearningError("expected at least one case with a structure to learn, got none")
    rng = np.random.default_rng(seed)
    patients = sorted({case.patient for case in cases})
    for _ in range(DRAWS if len(patients) > 1 else 0):
        held = set(_some(patients, rng))
        learnt = tuple(c for c in cases if c.patient not in held)
        scored = tuple(c for c in cases if c.patient in held)
        if set(structures_of(learnt)) & set(structures_of(scored)):
            return Division(learnt, scored, "patients")
    names = structures_of(cases)
    if len(names) > 1 and len(patients) == 1:
        held_names = _some(names, rng)
        kept = [name for name in names if name not in held_names]
        return Division(_with(cases, kept), _with(cases, held_names), "structures")
    return Division(tuple(cases), tuple(cases), "nothing")


def structures_of(cases: Iterable[LearningCase]) -> list[str]:
    """Return the names of all structures of cases, sorted."""
    return sorted({name for case in cases for name in case.masks})


def _some(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Draw a quarter of the items, at least one."""
    count = max(1, round(HELD_OUT_SHARE * len(items)))
    return [items[int(n)] for n in rng.permutation(len(items))[:count]]


def _with(cases: Sequence[LearningCase], names: Sequence[str]) -> tuple[LearningCase, ...]:
    return tuple(c for c in (case.only(names) for case in cases) if c.masks)


def _names(paths: CasePaths) -> dict[int, str]:
    if paths.names is None or not paths.names.is_file():
        missing = paths.names or f"{_stem(paths.segmentation)}.json"
        raise LearningError(
            f"{paths.segmentation}: expected the names of its values in {missing}, such as "
            '{"1": "liver"}'
        )
    try:
        values = read_json(paths.names)
        names = {int(value): str(name) for value, name in values.items() if int(value) > 0}
        if len(set(names.values())) < sum(int(value) > 0 for value in values):
            raise ValueError("a value or a name twice")
        return names
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise LearningError(
            f'{paths.names}: expected names such as {{"1": "liver"}}, {found_instead(error)}'
        ) from error


def _in_folder(folder: Path) -> CasePaths | None:
    """Return the case that a folder is; None if it is none."""
    ct = _image(folder, "ct") or (folder / "ct" if (folder / "ct").is_dir() else None)
    if ct is None:
        return None
    if (segmentation := _only(folder, SEGMENTATION_SUFFIX)) is not None:
        return CasePaths(folder.name, folder.name, ct, segmentation)
    if (labels := _image(folder, "labels")) is not None:
        return CasePaths(folder.name, folder.name, ct, labels, folder / "labels.json")
    if (segmentation := _only(folder, DICOM_SUFFIX)) is not None:
        return CasePaths(folder.name, folder.name, ct, segmentation)
    return None


def _only(folder: Path, suffix: str) -> Path | None:
    """Return the one file of a folder with this suffix, None when there is none."""
    paths = sorted(folder.glob(f"[!.]*{suffix}"))  # macOS puts a file ._NAME beside each
    if len(paths) > 1:
        raise LearningError(
            f"{folder}: expected one {suffix}, got {', '.join(path.name for path in paths)}"
        )
    return paths[0] if paths else None


def _side_by_side(folder: Path) -> list[CasePaths]:
    found = []
    for path in sorted(folder.glob(f"[!.]*{SEGMENTATION_SUFFIX}")):
        name = path.name[: -len(SEGMENTATION_SUFFIX)]
        ct = _image(folder, name)
        if ct is None:
            raise LearningError(
                f"{path}: expected its CT beside it, as {name}.nrrd or {name}.nii.gz"
            )
        found.append(CasePaths(name, name, ct, path))
    return found


def _in_table(table: Path) -> list[CasePaths]:
    try:
        text, delimiter = table_of(decoded(read_bounded(table)))
        stream = io.StringIO(text, newline="")
        rows = list(csv.DictReader(stream, delimiter=delimiter, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LearningError(
            f"{table}: expected a readable CSV table, {found_instead(error)}"
        ) from error
    found = []
    for number, row in enumerate(rows, start=2):
        cells = {str(key).strip().lower(): str(value or "").strip() for key, value in row.items()}
        if not cells.get("ct") or not cells.get("segmentation"):
            raise LearningError(
                f"{table}, line {number}: expected values for ct and segmentation, got {cells}"
            )
        ct, segmentation = (table.parent / cells[key] for key in ("ct", "segmentation"))
        for path in (ct, segmentation):
            check_letters(path, LearningError)
            if not os.path.exists(path):  # noqa: PTH110 - no error for a name that is too long
                raise LearningError(f"{table}, line {number}: there is no {path}")
        stem = _stem(segmentation)
        name = cells.get("name") or stem.name
        names = table.parent / (cells.get("names") or f"{stem}.json")
        patient = cells.get("patient") or f"case {number - 1}"
        found.append(CasePaths(name, patient, ct, segmentation, names))
    return _named_apart(found)


def _named_apart(found: list[CasePaths]) -> list[CasePaths]:
    """Return cases with a number behind the names that several have."""
    times = Counter(paths.name for paths in found)
    return [
        replace(paths, name=f"{paths.name} ({number})") if times[paths.name] > 1 else paths
        for number, paths in enumerate(found, start=1)
    ]


def _image(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _stem(path: Path) -> Path:
    """Return a path without the suffix of an image."""
    return path.with_name(image_stem(path.name))
