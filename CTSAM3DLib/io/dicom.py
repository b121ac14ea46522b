"""One CT series out of a folder of DICOM files, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from CTSAM3DLib.errors import VolumeError
from CTSAM3DLib.geometry.grid import Geometry
from CTSAM3DLib.io.dicom_frames import BrokenSliceError, Frame, is_dicom, read_frames
from CTSAM3DLib.io.dicom_stack import HU_UNITS, slices_of, stacked
from CTSAM3DLib.io.other_files import others_in
from CTSAM3DLib.io.simpleitk import printable

_SUFFIXES = {".dcm", ".dicom", ".ima"}
_FOLDERS_DEEPER = 4  # as on discs: DICOM, patient, study, series
_CONTENTS = "DICOMDIR"  # the list of the files on a disc
_OF_MACOS = "._"  # begins names of files with what macOS keeps beside another file
_NAMES = 4  # in a message


def _ending(file: Path) -> str:
    """Return the end of a name; slices often have none, or a number that counts them."""
    end = file.suffix.lower()
    return "" if end[1:].isdecimal() else end


@dataclass
class _Study:
    """Series of a folder, and the files that look like DICOM but cannot be read."""

    series: dict[str, list[Frame]] = field(default_factory=dict)
    broken: dict[Path, BrokenSliceError] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Iterable[Path]) -> _Study:
        """Read the headers of files of any kind."""
        study = cls()
        kinds = {file: is_dicom(file) for file in sorted(files)}
        named = [file for file, is_one in kinds.items() if is_one and file.name != _CONTENTS]
        alike = {_ending(file) for file in named} | _SUFFIXES
        for file, is_one in kinds.items():
            try:
                if not is_one:
                    if _ending(file) in alike and not file.name.startswith("."):
                        raise BrokenSliceError(
                            f"{printable(file.name)} is empty or no DICOM file; copy it again"
                        )
                    continue
                for frame in read_frames(file):
                    study.series.setdefault(frame.series, []).append(frame)
            except BrokenSliceError as error:
                study.broken[file] = error
        return study

    @property
    def has_volume(self) -> bool:
        """Whether there is a series that is no overview picture and has a place."""
        return any(self._rank(uid)[:2] == (False, False) for uid in self.series)

    @property
    def notes(self) -> list[str]:
        """What to tell about the files that cannot be read; of many, the first few."""
        notes = [f"left out a file: {error}" for error in self.broken.values()]
        more = len(notes) - _NAMES
        return notes if more <= 0 else [*notes[:_NAMES], f"left out {more} more files like these"]

    @property
    def ranked(self) -> list[str]:
        """UIDs, the one to take first: a volume of CT with most places, then in text order."""
        return sorted(self.series, key=self._rank)

    def _rank(self, uid: str) -> tuple[bool, bool, bool, bool, int, str]:
        frames = slices_of(self.series[uid])
        first = frames[0]
        is_picture = first.is_localizer or first.samples != 1
        places = {frame.position for frame in frames}  # fewer than frames in phases and pictures
        is_derived = bool(first.projection) or first.unit not in HU_UNITS
        is_other = first.modality != "CT"
        return is_picture, not first.position, is_other, is_derived, -len(places), uid


def read_dicom_folder(
    folder: Path, series: str = ""
) -> tuple[NDArray[Any], Geometry, str, list[str]]:
    """Read one series of a folder; by default, the CT with slices at most places.

    When the folder holds no volume, its subfolders are searched, four levels deep. Returns voxels
    and geometry as `stacked` does, the name of folder and series, and notes for the user. Raises
    VolumeError: no DICOM image, no such series, several studies in subfolders, a slice that cannot
    be read, or slices that do not form an even, straight stack.
    """
    study, elsewhere = _study_in(folder, series)
    uid = series or study.ranked[0]
    if uid not in study.series:
        raise VolumeError(
            f"expected the series {uid} in {printable(folder)}, got {', '.join(study.ranked)}"
        )
    for error in study.broken.values():
        if error.series == uid:
            raise VolumeError(
                f"expected whole slices in series {uid}, got {error}, or move it away"
            ) from error
    frames = study.series[uid]
    places = sorted({frame.file.parent for frame in frames} - {folder})
    notes = [f"found the slices in {', '.join(map(printable, places))}"] if places else []
    choice = _choice_note(study, uid, folder)
    notes += choice + elsewhere + study.notes
    try:
        array, geometry, found = stacked(frames, f"series {uid}")
    except VolumeError as error:
        raise VolumeError("; ".join([str(error), *choice, *elsewhere, *study.notes])) from error
    count = len({frame.file for frame in slices_of(frames)})
    name = f"{printable(folder.resolve().name)} (series {uid}, {count} files)"
    return array, geometry, name, notes + found


def read_dicom_file(file: Path) -> tuple[NDArray[Any], Geometry, list[str]]:
    """Read the frames of one DICOM file; see `read_dicom_folder`."""
    frames = read_frames(file)
    if not frames:
        wanted = "its folder" if file.name.upper() == _CONTENTS else "a slice of the CT"
        raise VolumeError(f"expected a DICOM image, got a DICOM file without one; give {wanted}")
    array, geometry, notes = stacked(frames, f"series {frames[0].series}")
    if len(array) == 1 and any(other != file and is_dicom(other) for other in _files(file.parent)):
        notes.append("read one slice alone; give its folder to read the whole series")
    return array, geometry, notes


def dicom_files(path: str | Path, series: str = "") -> list[Path]:
    """Return the files of the series that `read_scan` reads, by name; VolumeError without one."""
    place = Path(path)
    if place.is_dir():
        study, _ = _study_in(place, series)
        frames = study.series.get(series or study.ranked[0], [])
    else:
        frames = read_frames(place) if place.is_file() and is_dicom(place) else []
    if not frames:
        found = "got" if place.exists() else "found nothing at"
        raise VolumeError(f"expected a DICOM folder or file, {found} {printable(place)}")
    return sorted({frame.file for frame in slices_of(frames)})


def _study_in(folder: Path, series: str) -> tuple[_Study, list[str]]:
    """Return what a folder holds, or the first level of its subfolders with a volume, and notes."""
    level = [folder]
    pictures: _Study | None = None
    broken: dict[Path, BrokenSliceError] = {}
    for _ in range(_FOLDERS_DEEPER + 1):
        study = _Study.of(file for one in level for file in _files(one))
        broken |= study.broken
        level = [path for one in level for path in sorted(one.iterdir()) if path.is_dir()]
        if series in study.series if series else study.has_volume:
            study.broken = broken
            _check_one_study(study, folder)
            return study, _below_note(level)
        if pictures is None and study.series:
            pictures = study
    if pictures is not None:
        pictures.broken = broken
        _check_one_study(pictures, folder)
        return pictures, []
    reasons = "; ".join(
        [*filter(None, [others_in(folder, _files(folder))]), *map(str, [*broken.values()][:_NAMES])]
    )
    raise VolumeError(
        f"expected a folder with a DICOM image series, found none in {printable(folder)}, nor in "
        f"its subfolders; give the folder of the slices{'; ' if reasons else ''}{reasons}"
    )


def _below_note(folders: list[Path]) -> list[str]:
    found = [one for one in folders if any(is_dicom(file) for file in _files(one))]
    if not found:
        return []
    shown = ", ".join(map(printable, found[:_NAMES])) + (" and more" if found[_NAMES:] else "")
    return [
        f"did not read the DICOM files in the subfolders {shown}; if the series goes on there, "
        "put its slices into one folder"
    ]


def _files(folder: Path) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return [path for path in files if not path.name.startswith(_OF_MACOS)]


def _check_one_study(study: _Study, folder: Path) -> None:
    """Raise VolumeError when subfolders hold several studies: a choice might be another patient."""
    places: dict[str, Path] = {}
    for frames in study.series.values():
        for frame in frames:
            places.setdefault(frame.study, frame.file.parent)
    if len(places) > 1 and folder not in places.values():
        shown = ", ".join(printable(place) for place in list(places.values())[:_NAMES])
        raise VolumeError(
            f"expected one study below {printable(folder)}, got {len(places)}; give the folder of "
            f"one of them: {shown}"
        )


def _choice_note(study: _Study, taken: str, folder: Path) -> list[str]:
    """Return which of several series was taken."""
    if len(study.series) == 1:
        return []

    def shown(uid: str) -> str:
        frames = slices_of(study.series[uid])
        kinds = [f"{len(frames)} slices"]
        if frames[0].modality != "CT":
            kinds.append(frames[0].modality or "no modality")
        if frames[0].is_localizer:
            kinds.append("localizer")
        return f"{uid} ({', '.join(kinds)})"

    others = ", ".join(shown(uid) for uid in study.ranked if uid != taken)
    return [
        f"took series {shown(taken)} of {printable(folder)}; the option series takes another: "
        f"{others}"
    ]
