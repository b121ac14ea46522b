"""What was done to one CT, as JSON: versions, model, device, clicks, volumes and times."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from CTSAM3DLib.api import SegmentationResult
from CTSAM3DLib.geometry.shape import Shape
from CTSAM3DLib.io.content_mark import BLANK, KEY, write_marked_text
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.prompts import Click
from CTSAM3DLib.version import versions


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def report_of(
    result: SegmentationResult,
    ct: str,
    entry: ModelEntry | None,
    seconds: Mapping[str, float],
    files: Mapping[str, str],
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the report of one segmented CT, of JSON types only.

    `ct` is the path as the user gave it, `entry` that of a model that came from a file, `seconds`
    are further times by name, such as reading and the whole run, `files` the written files by kind,
    and `warnings` say why the result may be wrong.
    """
    model: dict[str, Any] = {"id": result.settings.model_id, "version": result.settings.version}
    if entry is not None:
        model |= {"file": entry.path.name, "sha256": entry.sha256, "licence": entry.licence}
    return {
        "created": now(),
        "versions": versions(),
        "ct": {
            "path": ct,
            "name": result.volume_name,
            "size_ijk": list(result.geometry.size_ijk),
            "spacing_mm": [round(value, 6) for value in result.geometry.spacing_mm],
        },
        "model": {
            **model,
            "grid_spacing_mm": round(result.grid_spacing_mm, 6),
            "grow": result.grow,
        },
        "device": result.device,
        "warnings": list(warnings),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "structures": _structures(result),
        "files": dict(files),
    }


def write_report(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, whole or not at all, with a mark of its content."""
    text = json.dumps({KEY: BLANK, **report}, indent=1, ensure_ascii=False) + "\n"
    write_marked_text(path, text)


SHAPE_COLUMNS = (
    "voxels",
    *(f"centre_{axis}_mm" for axis in "ras"),
    *(f"size_{axis}_mm" for axis in "ras"),
    *(f"axis_{number}_mm" for number in (1, 2, 3)),
    "parts",
    "largest_part",
    "uncertainty",
)
"""What `shape_row` gives for a structure."""


def shape_row(structure: Mapping[str, Any]) -> dict[str, Any]:
    """Return size and shape of a structure of a report by column."""
    shape = structure.get("shape")
    row = {key: structure[key] for key in ("voxels", "uncertainty") if key in structure}
    if shape is None:
        return row
    values = [*shape["centre_ras"], *shape["size_ras_mm"], *shape["axes_mm"]]
    values += [shape["parts"], shape["largest_part"]]
    return {**row, **dict(zip(SHAPE_COLUMNS[1:-1], values, strict=True))}


def write_table(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write volume and shape of the structures of a report as CSV, whole or not at all.

    The name of the last column, which is empty, holds the mark of the content.
    """
    mark = f"{KEY}={BLANK}    "  # the blanks stand where a PNG has its checksum
    columns = ("structure", "volume_cm3", *SHAPE_COLUMNS, mark)
    rows = [
        {"structure": one["name"], "volume_cm3": one["volume_cm3"], **shape_row(one)}
        for one in report["structures"]
    ]
    write_marked_text(path, csv_text(columns, rows))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a table as CSV; a value that a row lacks is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _structures(result: SegmentationResult) -> list[dict[str, Any]]:
    volumes_cm3 = result.volumes_cm3
    found = []
    for segment in result.segments:
        name, mask = segment.name, segment.mask
        shape = Shape.of(mask.mask_kji, mask.bbox.start_ijk, result.geometry)
        clicks = {
            "positive": [list(click.position_ras) for click in segment.clicks.positives()],
            "negative": [list(click.position_ras) for click in segment.clicks.negatives()],
        }
        others = [row for row in segment.clicks.rows() if row["kind"] != Click.kind]
        one: dict[str, Any] = {
            "name": name,
            "volume_cm3": round(volumes_cm3[name], 4),
            "voxels": mask.voxel_count,
            "shape": None if shape is None else shape.rows(),
            "seconds": round(result.seconds[name], 3),
            "terminology": segment.terminology,
        }
        if name in result.uncertainty:
            one["uncertainty"] = round(result.uncertainty[name], 4)
        if segment.corrected:
            one["corrected"] = True
        found.append({**one, "clicks": {**clicks, **({"others": others} if others else {})}})
    return found
