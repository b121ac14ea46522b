"""Reading DICOM Segmentation objects (SEG) onto the voxels of their CT, by ``highdicom``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import GeometryError, SegmentationFileError, VolumeError
from CTSAM3DLib.geometry.grid import Geometry, ras_from_lps
from CTSAM3DLib.io.dicom import dicom_files

SAME_PLACE_MM = 0.01
_HALF = 0.5  # of the largest value: a fractional voxel from here on belongs to the segment
_KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")


def read_dicom_seg(
    path: str | Path, geometry: Geometry, ct: str | Path | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Read the segments of a DICOM SEG as masks (K, J, I) on the voxels of its CT, by their labels.

    The SEG is of type BINARY, FRACTIONAL or LABELMAP. Each frame is placed by its own position and
    orientation. A voxel of a fractional segment belongs to it from half of the largest value on.
    `geometry` is of the CT as it was read; with `ct`, its DICOM folder or file, the frame of
    reference of both must be one.

    Raises SegmentationFileError: ``highdicom`` is not installed, the file is no SEG that can be
    read, two segments have one label, or a frame has no place; GeometryError: the frame of
    reference is another, or a frame does not lie on the voxels of the CT.
    """
    dataset = _opened(path)
    _check_frame_of_reference(path, dataset, ct)
    kind = str(dataset.SegmentationType)
    if kind not in _KINDS:
        raise SegmentationFileError(f"{path}: expected one of {', '.join(_KINDS)}, got {kind}")
    names = _labels(path, dataset)
    masks = {number: np.zeros(geometry.shape_kji, bool) for number in names}
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for number, frame in enumerate(frames, 1):
        try:
            values = np.asarray(dataset.get_stored_frame(number))
            parts = _parts(dataset, frame, kind, values)
            steps = _steps(dataset, frame)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise SegmentationFileError(
                f"{path}, frame {number}: expected voxels with segment, position, orientation and "
                f"spacing, got {error}. Save the segmentation again, or as .seg.nrrd"
            ) from error
        for segment, inside in parts:
            if segment not in masks:
                raise SegmentationFileError(
                    f"{path}, frame {number}: expected one of the segments {sorted(masks)}, got "
                    f"{segment}"
                )
            try:
                _place(masks[segment], geometry, inside, steps)
            except GeometryError as error:
                raise GeometryError(f"{path}, frame {number}: {error}") from error
    return {name: masks[number] for number, name in names.items()}


def highdicom() -> Any:
    """Return the package, or raise SegmentationFileError without it."""
    try:
        return import_module("highdicom")
    except ImportError as error:
        raise SegmentationFileError(
            "DICOM SEG needs the package highdicom. Install it: pip install highdicom"
        ) from error


def _opened(path: str | Path) -> Any:
    """Return the SEG as highdicom understands it."""
    package = highdicom()
    try:
        return package.seg.segread(path)
    except Exception as error:  # of any kind: pydicom and highdicom meet all sorts of damage
        raise SegmentationFileError(
            f"{path}: expected a DICOM SEG that highdicom can read, got "
            f"{type(error).__name__}: {error}. Save the segmentation again, or as .seg.nrrd"
        ) from error


def _check_frame_of_reference(path: str | Path, dataset: Any, ct: str | Path | None) -> None:
    """Raise when CT and SEG count their positions from other places."""
    import pydicom

    if ct is None:
        return
    try:
        first = dicom_files(ct)[0]
    except VolumeError:
        return  # no DICOM: the positions of the frames decide
    header = pydicom.dcmread(first, stop_before_pixels=True)
    wanted = header.get("FrameOfReferenceUID")
    got = dataset.get("FrameOfReferenceUID")
    if wanted and got != wanted:
        raise GeometryError(
            f"{path}: expected the frame of reference of {ct}, {wanted}, got {got}. Take the SEG "
            "that was made on this CT"
        )


def _labels(path: str | Path, dataset: Any) -> dict[int, str]:
    """Return number and label of each segment; 0 is the background of a label map."""
    pairs = [(int(s.SegmentNumber), str(s.SegmentLabel)) for s in dataset.SegmentSequence]
    names = {number: label for number, label in pairs if number > 0}
    if len(set(names.values())) < len(names):
        raise SegmentationFileError(
            f"{path}: expected segments with different labels, got {', '.join(names.values())}. "
            "Rename one"
        )
    return names


def _parts(
    dataset: Any, frame: Any, kind: str, values: NDArray[Any]
) -> list[tuple[int, NDArray[np.bool_]]]:
    """Return the segments of a frame, each with its (rows, columns) mask."""
    if kind == "LABELMAP":
        return [(int(value), values == value) for value in np.unique(values) if value > 0]
    item = _group(dataset, frame, "SegmentIdentificationSequence")
    largest = float(dataset.MaximumFractionalValue) if kind == "FRACTIONAL" else 1.0
    return [(int(item.ReferencedSegmentNumber), values >= _HALF * largest)]


def _steps(dataset: Any, frame: Any) -> tuple[NDArray[np.float64], ...]:
    """Return the first voxel, and the steps along rows and columns, RAS mm."""
    position = _group(dataset, frame, "PlanePositionSequence").ImagePositionPatient
    cosines = _group(dataset, frame, "PlaneOrientationSequence").ImageOrientationPatient
    spacing = _group(dataset, frame, "PixelMeasuresSequence").PixelSpacing
    along_row, along_column = np.array(cosines, float).reshape(2, 3)
    down, right = (float(value) for value in spacing)
    return tuple(
        ras_from_lps(vector)
        for vector in (np.array(position, float), along_column * down, along_row * right)
    )


def _group(dataset: Any, frame: Any, name: str) -> Any:
    """Return an item of a frame, or the one that all frames share."""
    for groups in (frame, *(dataset.get("SharedFunctionalGroupsSequence") or [])):
        if items := groups.get(name):
            return items[0]
    raise KeyError(f"no {name}")


def _place(
    mask_kji: NDArray[np.bool_],
    geometry: Geometry,
    inside: NDArray[np.bool_],
    steps_ras: Sequence[NDArray[np.float64]],
) -> None:
    """Set the voxels of one frame in the mask."""
    first_ras, down_ras, right_ras = steps_ras
    rows, columns = (np.array([[0], [size - 1]]) for size in inside.shape)
    ends_ras = first_ras + rows[[0, 0, 1, 1]] * down_ras + columns[[0, 1, 0, 1]] * right_ras
    ijk = geometry.ras_to_ijk[:3, :3]
    first, down, right = (
        np.rint(v).astype(int)
        for v in (geometry.ijk_from_ras(first_ras), ijk @ down_ras, ijk @ right_ras)
    )
    ends_ijk = first + rows[[0, 0, 1, 1]] * down + columns[[0, 1, 0, 1]] * right
    away_mm = float(np.abs(geometry.ras_from_ijk(ends_ijk) - ends_ras).max())
    if not away_mm <= SAME_PLACE_MM or not np.abs(down).sum() == np.abs(right).sum() == 1:
        raise GeometryError(
            f"expected voxels that lie on those of the CT, got some {away_mm:.2f} mm away or of "
            "another size. Resample the segmentation to its CT"
        )
    found = np.argwhere(inside)
    voxels = first + found[:, :1] * down + found[:, 1:] * right
    if ((voxels < 0) | (voxels >= geometry.size_ijk)).any():
        raise GeometryError(
            "expected a segment inside the CT, got voxels outside. Read the whole CT, or cut the "
            "segmentation"
        )
    mask_kji[voxels[:, 2], voxels[:, 1], voxels[:, 0]] = True
