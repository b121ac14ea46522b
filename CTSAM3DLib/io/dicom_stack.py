"""The frames of one DICOM series as one grid: sorted, and even and straight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.affine import ORTHOGONALITY_TOLERANCE
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.dicom_frames import Frame
from CTSAM3DLib.io.dicom_pixels import read_pixels
from CTSAM3DLib.io.header_numbers import (
    TOLD_MM,
    checked_origin,
    checked_spacing,
    squared_directions,
    squared_note,
)

# A slice this fraction of the spacing away from its even place is missing, doubled or uneven.
SLICE_TOLERANCE = 0.1
_LEAST_TILT = 0.5  # degrees
_WIDE_GAP = 1.5  # times the thickness: slices may be missing
_ONE = {"study": "study", "patient": "patient", "reference": "frame of reference"}
_MAY_CHANGE = ("Acquisition Number", "Acquisition Time", "Acquisition DateTime", "Trigger Time")
_NAMES = 4  # in a message
HU_UNITS = ("", "HU", "US")
"""Units that the numbers of a CT in HU are said to have; US is for unspecified."""


def slices_of(frames: list[Frame]) -> list[Frame]:
    """Return the frames of a series that are no pictures; all when it has no others."""
    return [frame for frame in frames if not frame.is_picture] or frames


def stacked(frames: list[Frame], name: str) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Put the frames of one series into one grid: HU (K, J, I), geometry, and notes for the user.

    The frames are in any order; overview pictures among slices are left out. The geometry follows
    from position, orientation and pixel spacing of every slice; the slice step is the mean. `name`
    is that of the series, for messages. Raises VolumeError: a segmentation, slices without a place,
    of different size, spacing or orientation, of several stacks, doubled, missing, uneven or
    tilted, or one that cannot be decoded.
    """
    slices = slices_of(frames)
    first = slices[0]
    if first.modality == "SEG":
        raise VolumeError(
            f"expected a CT, got a segmentation (DICOM SEG) in {name}; give the CT that it was "
            "made on"
        )
    _check_alike(slices, name)
    axes, squared = _axes(first)
    origins = np.array([frame.position for frame in slices], np.float64)
    order = np.argsort(origins @ axes[:, 2], kind="stable")
    slices, origins = [slices[index] for index in order], origins[order]
    notes = _kind_notes(frames, slices) + squared + _likeness_notes(slices, first)
    checked_origin(origins[0], f"Image Position (Patient) in {slices[0].name}")
    checked_origin(origins[-1], f"Image Position (Patient) in {slices[-1].name}")
    if len(slices) == 1:
        step, told = _thickness(first)
        notes += told
    else:
        step = _slice_step(slices, origins, axes, name)
        notes += _distance_notes(slices, step)
    columns, rows = first.size
    spacing = checked_spacing(
        (first.spacing[1], first.spacing[0], step), (columns, rows, len(slices)), "voxel spacing"
    )
    even = origins[0] + np.arange(len(slices))[:, None] * step * axes[:, 2]
    apart = float(np.linalg.norm(origins - even, axis=1).max())
    if apart > TOLD_MM:
        notes.append(
            f"slices lie up to {apart:.2g} mm from even steps of {step:.4g} mm; took these"
        )
    pixels, told = read_pixels(slices)
    notes += _mark_notes(slices) + told + _empty_notes(slices, pixels)
    geometry = Geometry.from_lps(
        origins[0].tolist(), spacing.tolist(), axes, (len(slices), rows, columns)
    )
    return np.stack(pixels), geometry, notes


def _axes(frame: Frame) -> tuple[NDArray[np.float64], list[str]]:
    """Return directions as columns, LPS, and what to tell; made square as Slicer does it."""
    row, column = (np.array(axis, np.float64) for axis in (frame.row, frame.column))
    what = f"Image Orientation (Patient) in {frame.name}"
    for axis in (row, column):
        length = float(np.linalg.norm(axis))
        if not 0.99 < length < 1.01:
            shown = ", ".join(f"{value:g}" for value in (*frame.row, *frame.column))
            raise VolumeError(
                f"expected directions of length 1 as {what}, got {shown}; export it again"
            )
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    normal = np.cross(row, column)
    squared_directions(np.stack([row, column, normal], axis=1), (1, 1, 1), what)
    normal = normal / np.linalg.norm(normal)
    square = np.cross(normal, row)
    moved = float(np.linalg.norm(square - column)) * frame.spacing[0] * frame.size[1]
    return np.stack([row, square, normal], axis=1), squared_note(moved, "rows and columns")


def _check_alike(slices: list[Frame], name: str) -> None:
    """Raise VolumeError unless frames have a place and share size, spacing and orientation."""
    first = slices[0]
    if first.samples != 1:
        raise VolumeError(
            f"expected one value per voxel in {name}, got {first.samples} (a colour image)"
        )
    for what, tag in (
        ("position", "Image Position (Patient)"),
        ("row", "Image Orientation (Patient)"),
        ("spacing", "Pixel Spacing"),
    ):
        without = [frame for frame in slices if not getattr(frame, what)]
        if without:
            is_file = len(without) < len(slices) and all(frame.count == 1 for frame in without)
            raise VolumeError(
                f"expected {tag} in every slice of {name}, got none in {_names(without)}; export "
                "the CT again with it" + ", or move these files away" * is_file
            )
    without = [frame for frame in slices if not frame.is_rescaled]
    if 0 < len(without) < len(slices):
        raise VolumeError(
            f"expected Rescale Slope and Rescale Intercept in every slice of {name} or in none, "
            f"got none in {_names(without)}; export the CT again"
        )
    for frame in slices:
        checked_spacing(frame.spacing, frame.size[::-1], f"Pixel Spacing in {frame.name}")
        checked_origin(frame.position, f"Image Position (Patient) in {frame.name}")
        same = np.allclose(_plane(frame), _plane(first), rtol=0, atol=1e-3)
        if (frame.size, frame.samples) != (first.size, first.samples) or not same:
            raise VolumeError(
                f"expected slices of one size, spacing and orientation in {name}, got "
                f"{first.text} in slice {1 + slices.index(first)} and {frame.text} in slice "
                f"{1 + slices.index(frame)} ({first.name} and {frame.name}); export one stack, or "
                "move away what does not belong to it"
            )
    for what, shown in _ONE.items():
        values = {getattr(frame, what): frame for frame in slices}
        ones = [frame for value, frame in values.items() if value or what != "reference"]
        if len(ones) > 1:
            raise VolumeError(
                f"expected slices of one {shown} in {name}, got those of {len(ones)}: "
                f"{_names(ones)}; sort the files by {shown} first"
            )
    stacks = sorted({frame.stack for frame in slices} - {""})
    if len(stacks) > 1:
        raise VolumeError(
            f"expected one stack in {name}, got stacks {', '.join(stacks)}; export one of them"
        )


def _plane(frame: Frame) -> NDArray[np.float64]:
    """Directions and pixel spacing, which all slices must share."""
    return np.array([*frame.row, *frame.column, *frame.spacing])


def _kind_notes(frames: list[Frame], slices: list[Frame]) -> list[str]:
    """Return what to tell about slices that are read or left out for what they are."""
    notes = []
    left_out = [frame for frame in frames if frame.is_localizer]
    pages = [frame for frame in frames if frame.is_picture and not frame.is_localizer]
    if slices[0].is_localizer:
        notes.append("the series is a localizer, an overview picture and no CT volume")
    elif left_out:
        notes.append(f"left out {len(left_out)} localizer pictures: {_names(left_out)}")
    if pages:
        notes.append(f"left out {len(pages)} pictures in colours, no slices: {_names(pages)}")
    kinds = sorted({frame.modality or "none" for frame in slices} - {"CT"})
    if kinds:
        notes.append(f"expected the modality CT, got {', '.join(kinds)}; the model knows CT alone")
    for kind in sorted({frame.projection for frame in slices} - {""}):
        notes.append(f"the slices are projections ({kind}), not cuts; expect a poor result")
    units = sorted({frame.unit for frame in slices}.difference(HU_UNITS))
    if units:
        notes.append(f"expected values in HU, got {', '.join(units)}")
    inverted = [frame for frame in slices if frame.is_inverted]
    if inverted:
        notes.append(
            f"took HU by slope and intercept in {_names(inverted)} (MONOCHROME1); Slicer shows "
            "such slices inverted"
        )
    return notes


def _likeness_notes(slices: list[Frame], taken: Frame) -> list[str]:
    """Return what to tell about slices that are not quite alike."""

    def sides(frame: Frame) -> NDArray[np.float64]:
        lengths = np.array(frame.spacing[::-1]) * frame.size
        return np.array([frame.row, frame.column]) * lengths[:, None]

    apart = max(float(np.linalg.norm(sides(one) - sides(taken), axis=1).sum()) for one in slices)
    notes = []
    if apart > TOLD_MM:
        notes.append(
            f"orientation or pixel spacing differs between slices, by up to {apart:.2g} mm at "
            f"their far corner; took those of {taken.name}"
        )
    if len({frame.reference for frame in slices}) > 1:
        notes.append("some slices name no frame of reference; took that of the others for them")
    return notes


def _mark_notes(slices: list[Frame]) -> list[str]:
    """Return what to tell about slices that may be of two scans under one name."""
    odd = []
    for name in slices[0].marks:
        values = [frame.marks[name] for frame in slices]
        changes = sum(a != b for a, b in pairwise(values))
        # Acquisitions follow one another along the patient, but do not take turns.
        if changes > (len(set(values)) - 1 if name.endswith(_MAY_CHANGE) else 0):
            odd.append(name)
    notes = [
        f"slices differ in {', '.join(odd)}, as where two scans were mixed; look whether all "
        "slices belong together, and move away those that do not"
    ] * bool(odd)
    instances = Counter({frame.file: frame.instance for frame in slices}.values())
    if any(count > 1 for count in instances.values()):
        notes.append("several files have one SOP Instance UID; look whether all belong together")
    parts = max(frame.part[1] for frame in slices)
    found = len({frame.part[0] for frame in slices})
    if found < parts:
        notes.append(
            f"the scan was cut into {parts} files (a concatenation), got {found}; give a folder "
            "with all of them"
        )
    if not slices[0].series:
        notes.append("the files name no series (Series Instance UID); took all as one")
    if any(abs(frame.tilt) > _LEAST_TILT for frame in slices):
        notes.append(
            f"the header names a gantry tilt of {max(abs(frame.tilt) for frame in slices):g} "
            "degrees, the places show none; took the places, as Slicer does"
        )
    return notes


def _empty_notes(slices: list[Frame], pixels: list[NDArray[Any]]) -> list[str]:
    """Return what to tell about slices of one value among others."""
    empty = [one for one, hu in zip(slices, pixels, strict=True) if hu.min() == hu.max()]
    return [f"all pixels are alike in {_names(empty)}; if the file is damaged, copy it again"] * (
        0 < len(empty) < len(slices)
    )


def _distance_notes(slices: list[Frame], step: float) -> list[str]:
    """Return what to tell where the header names another distance than the places give."""
    named = [frame for frame in slices if frame.between]
    apart = [f for f in named if abs(abs(f.between or 0) - step) > SLICE_TOLERANCE * step]
    thickness = max((frame.thickness or step for frame in slices), default=step)
    if not apart and step > _WIDE_GAP * thickness:
        return [
            f"slices of {thickness:g} mm lie {step:.4g} mm apart; took the places. Look whether "
            "slices are missing"
        ]
    if not apart:
        return []
    return [
        f"the header names {abs(apart[0].between or 0):g} mm between slices ({apart[0].name}), "
        f"their places are {step:.4g} mm apart; took the places. Look whether slices are missing"
    ]


def _thickness(frame: Frame) -> tuple[float, list[str]]:
    """Return the thickness of a single slice, mm, and what to tell."""
    if frame.thickness is None:
        return 1.0, ["one slice without Slice Thickness; took 1 mm as its voxel size"]
    thickness = checked_spacing([frame.thickness], [1], f"Slice Thickness in {frame.name}")
    return float(thickness[0]), [
        f"one slice; took its Slice Thickness of {thickness[0]:g} mm as voxel size"
    ]


def _names(frames: Sequence[Frame]) -> str:
    """Return the names of frames, the first few."""
    names = [frame.name for frame in frames[:_NAMES]]
    more = len(frames) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _slice_step(
    slices: list[Frame], origins: NDArray[np.float64], axes: NDArray[np.float64], name: str
) -> float:
    """Return the distance, mm, of two or more sorted slices; VolumeError if it is uneven."""
    mean = (origins[-1] - origins[0]) / (len(origins) - 1)
    step = float(mean @ axes[:, 2])
    even = origins[0] + np.arange(len(origins))[:, None] * mean
    deviation = np.linalg.norm(origins - even, axis=1)
    worst = int(deviation.argmax())
    if step <= TOLD_MM or deviation[worst] > SLICE_TOLERANCE * step:
        raise VolumeError(
            f"expected evenly spaced slices in {name}, got slice {worst + 1} of {len(origins)} "
            f"({slices[worst].name}) {deviation[worst]:.2f} mm away from a step of {step:.2f} mm; "
            f"slices are missing, doubled or of mixed spacing{_gaps(slices, origins, axes)}"
        )
    sideways = float(np.linalg.norm(mean - step * axes[:, 2]))
    if sideways > ORTHOGONALITY_TOLERANCE * step:
        angle = np.degrees(np.arctan2(sideways, step))
        raise VolumeError(
            f"expected slices stacked at right angles in {name}, got a gantry tilt of "
            f"{angle:.2f} degrees; resample the series to a regular grid first, in Slicer with "
            "Resample Scalar/Vector/DWI Volume"
        )
    return step


def _gaps(slices: list[Frame], origins: NDArray[np.float64], axes: NDArray[np.float64]) -> str:
    """Return between which files the steps are odd, as the end of a sentence."""
    steps = np.diff(origins @ axes[:, 2])
    usual = float(np.median(steps))
    if (steps <= TOLD_MM).any():
        places = Counter(np.round(origins @ axes[:, 2], 2).tolist()).values()
        often = min(places)
        if often > 1:
            return f": every place occurs {often} times, as in several phases; export one of them"
        at = int(np.argmax(steps <= TOLD_MM))
        return f": {slices[at].name} and {slices[at + 1].name} lie at one place; keep one of them"
    at = int(np.abs(steps - usual).argmax())
    return (
        f": {steps[at]:.2f} mm between {slices[at].name} and {slices[at + 1].name}, usual are "
        f"{usual:.2f} mm; copy the missing files or remove what does not belong"
    )
