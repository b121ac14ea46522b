"""``--resume``: the report is believed unless an input changed or a file is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from disk_cases import ball_model, write_clicks_file, write_ct

from CTSAM3DLib.batch.batch import BatchRun
from CTSAM3DLib.batch.table import BatchCase, read_table

pytest.importorskip("SimpleITK")


def status(item: BatchCase, **options: Any) -> str:
    run = BatchRun(item.case.output.parent, ball_model, {"model": "fake"}, **options)
    return str(run.run(item)["status"])


def test_resume_believes_the_report_unless_inputs_changed_or_files_are_missing(
    tmp_path: Path,
) -> None:
    write_ct(tmp_path / "a.nrrd")
    write_clicks_file(tmp_path / "clicks.json")
    (tmp_path / "t.csv").write_text("ct,clicks\na.nrrd,clicks.json\n")
    (item,) = read_table(tmp_path / "t.csv", tmp_path / "out", pictures=False)
    assert status(item) == "done"
    item.case.output.write_bytes(b"damaged")
    assert status(item, resume=True) == "skipped"
    assert status(item) == "kept"
    assert status(item, overwrite=True, resume=True) == "done"
    item.case.output.unlink()
    assert status(item, resume=True) == "done"
    write_clicks_file(tmp_path / "clicks.json", {"spleen": {"positive": [[2, 0, 6]]}})
    assert status(item, resume=True) == "done"
