"""One case from files to files: CT and clicks in; segmentation, picture and report out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from CTSAM3DLib.api import Progress, SegmentationResult, segment
from CTSAM3DLib.batch.report import report_of, write_report, write_table
from CTSAM3DLib.batch.starts import read_starts
from CTSAM3DLib.geometry.volume import Volume
from CTSAM3DLib.io.dicom_seg import check_dicom_seg, write_dicom_seg
from CTSAM3DLib.io.hounsfield import check_hu, hu_warning
from CTSAM3DLib.io.image import Scan, read_scan, size_warning
from CTSAM3DLib.io.label_map import names_path, write_label_map
from CTSAM3DLib.io.other_files import image_stem
from CTSAM3DLib.io.terminology import find, meant
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DLib.picture.picture import write_picture
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.session.memory import memory_warning

_COMMON_NAMES = {"ct", "ct_image", "data", "image", "img", "input", "scan", "vol", "volume"}


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to use."""

    predictor: Predictor
    entry: ModelEntry | None = None  # Where it came from, for the report


@dataclass(frozen=True)
class Case:
    """What to read and what to write."""

    ct: Path  # Image file or DICOM folder
    clicks: tuple[Path, ...]  # One or several clicks files, or ``.seg.nrrd`` files with prompts
    output: Path  # The ``.seg.nrrd`` to write
    # picture, report: PNG and JSON to write as well
    picture: Path | None = None
    report: Path | None = None
    # Above the picture; by default the name of the CT, after that of its folder where many
    # CTs have that name
    title: str = ""
    series: str = ""  # Series Instance UID in a DICOM folder; by default the one with most slices
    # label_map, dicom_seg, table: NIfTI label map with names, DICOM SEG, and CSV with
    # volume and shape of each structure to write as well
    label_map: Path | None = None
    dicom_seg: Path | None = None
    table: Path | None = None
    # Make structures that a person corrected in a ``.seg.nrrd`` among `clicks` anew
    recompute: bool = False
    points: tuple[tuple[str, Click], ...] = ()

    @property
    def files(self) -> dict[str, Path]:
        """The files to write, by kind."""
        found = {
            "segmentation": self.output,
            "picture": self.picture,
            "label map": self.label_map,
            "label names": None if self.label_map is None else names_path(self.label_map),
            "DICOM SEG": self.dicom_seg,
            "table": self.table,
            "report": self.report,
        }
        return {kind: path for kind, path in found.items() if path is not None}

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files and folders to read."""
        return (self.ct, *self.clicks)


def load_model(model: str | Path | None = None, device: str = "auto") -> LoadedModel:
    """Find, verify and load a model for several cases; arguments and errors as `open_session`."""
    from CTSAM3DLib.bundles.predictor import load_predictor

    entry = resolve_model(model)
    return LoadedModel(load_predictor(model, device), entry)


def run_case(
    case: Case,
    model: LoadedModel,
    spacing_mm: float | None = None,
    grow: bool | str = False,
    warn: Callable[[str], None] | None = None,
    click_progress: Progress | None = None,
) -> tuple[SegmentationResult, dict[str, Any]]:
    """Segment one CT, write its files, and return result and report.

    Each file is written whole or not at all, the report last. `warn` is told at once what is in the
    list ``warnings`` of the report: why the result may be wrong. For `spacing_mm` and `grow` see
    `open_session`, for `click_progress` see `segment`. Raises CTSAM3DError: CT, clicks or model
    cannot be used; OSError: a file cannot be written.
    """
    start = perf_counter()
    starts = partial(
        read_starts,
        case.clicks,
        recompute=case.recompute,
        further=case.points,
        ct_name=case.ct.name if case.ct.is_dir() else image_stem(case.ct.name),
    )
    starts()  # tells what is wrong before the CT is read
    if case.dicom_seg is not None:
        check_dicom_seg(case.ct, case.series)
    scan = read_scan(case.ct, case.series)
    volume = scan.volume
    check_hu(volume)
    clicks, kept = starts(volume.geometry)
    warnings = [*_warnings(scan, model, spacing_mm), *_slips(clicks), *kept]
    _tell(warn, warnings)
    memory = memory_warning(volume, model.predictor, spacing_mm, grow)
    if memory is not None:  # which `segment` logs
        warnings.append(memory)
    seconds = {"read": perf_counter() - start}
    begun = perf_counter()
    result = segment(
        volume,
        clicks,
        model.predictor,
        spacing_mm=spacing_mm,
        grow=grow,
        click_progress=click_progress,
    )
    warnings += result.notices
    _tell(warn, result.notices)
    seconds["segment"] = perf_counter() - begun
    begun = perf_counter()
    warnings += _written(case, volume, result, warn)
    seconds["write"] = perf_counter() - begun
    seconds["total"] = perf_counter() - start
    files = {kind: str(path) for kind, path in case.files.items()}
    report = report_of(result, str(case.ct), model.entry, seconds, files, warnings)
    if case.table is not None:
        write_table(case.table, report)
    if case.report is not None:
        write_report(case.report, report)
    return result, report


def _written(
    case: Case, volume: Volume, result: SegmentationResult, warn: Callable[[str], None] | None
) -> list[str]:
    """Write segmentation, picture, label map and DICOM SEG; return what must be told."""
    found = []
    result.save(case.output)
    if case.picture is not None:
        write_picture(case.picture, volume, result.segments, case.title or picture_title(case.ct))
    if case.label_map is not None:
        hidden = write_label_map(case.label_map, result.segments, result.geometry)
        if hidden:
            found.append(
                f"{hidden} voxels lie in several structures; the label map gives them to the "
                "smallest one. The .seg.nrrd has all"
            )
    if case.dicom_seg is not None:
        model = result.settings.model_id
        write_dicom_seg(
            case.dicom_seg, result.segments, result.geometry, case.ct, case.series, model
        )
    _tell(warn, found)
    return found


def _tell(warn: Callable[[str], None] | None, texts: Sequence[str]) -> None:
    if warn is not None:
        for text in texts:
            warn(text)


def picture_title(ct: Path) -> str:
    """Return the name of a CT, after that of its folder where many CTs are called so.

    The name of a DICOM folder is left to the volume, which tells the series as well.
    """
    if ct.is_dir():
        return ""
    plain = ct.name.split(".")[0].lower() in _COMMON_NAMES
    folder = ct.absolute().parent.name
    return f"{folder}/{ct.name}" if plain and folder else ct.name


def _warnings(scan: Scan, model: LoadedModel, spacing_mm: float | None) -> list[str]:
    """Return why the result may not be what the user expects."""
    low, high = model.predictor.settings.spacing_range_mm
    found = [*scan.notes, hu_warning(scan.volume), size_warning(scan.volume)]
    if spacing_mm is not None and not low <= spacing_mm <= high:
        found.append(
            f"expected a voxel size of {low:g} to {high:g} mm, for which the model was trained, "
            f"got {spacing_mm:g} mm"
        )
    return [text for text in found if text is not None]


def _slips(names: Iterable[str]) -> Iterator[str]:
    """Yield which names of structures may be slips of the pen."""
    first: dict[str, str] = {}
    for name in names:
        anatomy = meant(name)
        if anatomy is not None:
            yield (
                f"structure '{name}' is none of the known anatomies; if you mean '{anatomy}', "
                "write that: it gives the segment its colour and codes"
            )
        known = find(name)
        if known is not None and first.setdefault(known.name, name) != name:
            yield (
                f"structures '{first[known.name]}' and '{name}' are one anatomy, but two segments; "
                "if you mean one, spell them alike"
            )
