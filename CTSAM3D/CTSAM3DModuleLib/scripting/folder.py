"""Segmentation of many files from scripts: CTs with their clicks, reports, and resuming."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from CTSAM3DLib.batch.batch import REPORT_NAME, TABLE_NAME, BatchRun
from CTSAM3DLib.batch.case import Case, LoadedModel
from CTSAM3DLib.batch.table import BatchCase, read_table
from CTSAM3DLib.engine import ModelChoice
from CTSAM3DLib.errors import BundleError, ClicksFileError
from CTSAM3DLib.io.markups import SEPARATORS
from CTSAM3DLib.io.other_files import IMAGE_SUFFIXES, image_stem
from CTSAM3DLib.io.outputs import check_outputs
from CTSAM3DLib.io.segmentation import SUFFIX
from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.models.store import resolve_model
from CTSAM3DModuleLib.scripting.segment import NO_TORCH, Progress

CLICKS = (".json", ".fcsv")


def segment_folder(
    logic: Any,
    folder_or_table: str | Path,
    output_dir: str | Path,
    choice: ModelChoice,
    progress: Progress | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Segment many CTs from files into files; the scene is not touched.

    See `ConsoleMethods.segmentFolder`. Raises ClicksFileError: no cases, a table that cannot be
    understood, or the output folder is the input folder; BundleError, DeviceError, ImportError: the
    model cannot be loaded; OutputFileError: nothing can be written there, or a result would take
    the place of an input.
    """
    source, output = Path(folder_or_table), Path(output_dir)
    if source.is_dir():
        cases = cases_in_folder(source, output)
    else:
        cases = read_table(source, output, pictures=False)
    reports = {"report": output / REPORT_NAME, "table": output / TABLE_NAME}
    inputs = [path for item in cases for path in item.case.inputs]
    tables = [] if source.is_dir() else [source]
    outputs = [item.case.files for item in cases if not item.error]
    check_outputs([*outputs, reports], [*tables, *inputs])
    model = _Model(logic, choice)
    output.mkdir(parents=True, exist_ok=True)
    batch = BatchRun(
        output,
        lambda: model.loaded,
        model.settings,
        choice.spacing_mm,
        overwrite=overwrite,
        grow=choice.grow,
        warn=logging.getLogger(__name__).warning,
    )
    for number, item in enumerate(cases, 1):
        model.on_engine(lambda _, item=item: batch.run(item))
        if progress is not None and progress(item.name, number, len(cases)) is False:
            break
    batch.finish()
    return json.loads((output / REPORT_NAME).read_text(encoding="utf-8"))


def cases_in_folder(folder: Path, output_dir: Path) -> list[BatchCase]:
    """Return the CTs of a folder that have clicks next to them, sorted by name.

    ``patient.nii.gz`` (or ``.nrrd``, ``.mha``, or a folder ``patient`` of DICOM slices) goes with
    ``patient.json``, ``patient_clicks.json``, ``patient liver.mrk.json`` and all other ``.json``
    and ``.fcsv`` files whose name continues after that of the CT with a dot, blank, ``-`` or ``_``.
    A CT without clicks is ignored. Raises ClicksFileError: no CT with clicks, two CTs of one name,
    or the output folder is the folder itself.
    """
    if folder.resolve() == output_dir.resolve():
        raise ClicksFileError(f"the CTs are in {folder}. Choose another folder for the results")
    cts: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = _ct_name(path)
        if name is None or path.resolve() == output_dir.resolve():
            continue
        if name in cts:
            raise ClicksFileError(
                f"expected one CT {name!r} in {folder}, got {cts[name].name} and {path.name}"
            )
        cts[name] = path
    clicks: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in CLICKS or not path.is_file():
            continue
        owner = _owner(path.name, tuple(cts))
        if owner is not None:
            clicks.setdefault(owner, []).append(path)
    if not clicks:
        raise ClicksFileError(
            f"no CT in {folder} has clicks. Name them as the CT: a.nii.gz, a.json"
        )
    return [_case(name, cts[name], clicks[name], output_dir) for name in cts if name in clicks]


class _Model:
    """The model of a batch on the thread of the engine."""

    def __init__(self, logic: Any, choice: ModelChoice) -> None:
        """Load the model, which must be there."""
        self._logic = logic
        self._choice = choice
        try:
            predictor = self.on_engine(lambda predictor: predictor)
        except ModuleNotFoundError as error:
            raise ImportError(NO_TORCH) from error
        entry = _entry(choice.model, predictor)
        self.loaded = LoadedModel(predictor, entry)
        sha256 = predictor.settings.model_id if entry is None else entry.sha256
        self.settings = {"model": choice.model or "default", "sha256": sha256}

    def on_engine(self, function: Any) -> Any:
        """Run a function of the predictor on the thread of the engine, and wait for it."""
        return self._logic.engine.run(function, self._choice).result()


def _entry(model: str | Path | None, predictor: Predictor) -> ModelEntry | None:
    """Return where a predictor came from; None if not from a file."""
    try:
        entry = resolve_model(model)
    except BundleError:
        return None
    return entry if entry.settings.model_id == predictor.settings.model_id else None


def _ct_name(path: Path) -> str | None:
    """Return the name of an image file or folder, None for something else."""
    if path.is_dir():
        return path.name
    name = path.name.lower()
    is_image = name.endswith(IMAGE_SUFFIXES) and not name.endswith(SUFFIX)
    return image_stem(path.name) if is_image else None


def _owner(file_name: str, names: Sequence[str]) -> str | None:
    """Return the CT that a clicks file belongs to: of several the one of the longest name.

    Examples
    --------
    >>> _owner("case_1_liver.mrk.json", ["case", "case_1"]), _owner("case10.json", ["case"])
    ('case_1', None)
    """
    fitting = [
        name for name in names if file_name.startswith(name) and file_name[len(name)] in SEPARATORS
    ]
    return max(fitting, key=len, default=None)


def _case(name: str, ct: Path, clicks: Sequence[Path], output_dir: Path) -> BatchCase:
    """Return what to read and write for one CT."""
    output = output_dir / f"{name}{SUFFIX}"
    report = output.with_name(f"{name}.json")
    return BatchCase(name, Case(ct, tuple(clicks), output, None, report, name))
