"""The journal of a batch: a killed run loses no finished case, and large batches stay fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from CTSAM3DLib.batch.records import (
    DAMAGED_NAME,
    JOURNAL_NAME,
    REPORT_NAME,
    TABLE_NAME,
    BatchRecords,
    reported,
)
from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io import text


def entry(number: int, status: str = "done") -> dict[str, Any]:
    return {"case": f"c{number}", "status": status, "report": {"structures": []}}


def test_cases_after_the_last_report_are_found_again(tmp_path: Path) -> None:
    killed = BatchRecords(tmp_path, {})
    for number in range(60):
        killed.note(entry(number))
    written = reported(tmp_path / REPORT_NAME)[0]
    assert 50 <= len(written) < 60
    with (tmp_path / JOURNAL_NAME).open("ab") as file:
        file.write(b'{"case": "c60", "sta')  # cut off
    again = BatchRecords(tmp_path, {})
    assert [again.earlier(f"c{number}")["status"] for number in range(60)] == ["done"] * 60
    assert again.earlier("c60") == {}
    again.finish()
    assert len(reported(tmp_path / REPORT_NAME)[0]) == 60
    assert not (tmp_path / JOURNAL_NAME).exists()


def test_two_runs_keep_the_cases_of_each_other(tmp_path: Path) -> None:
    first, second = BatchRecords(tmp_path, {}), BatchRecords(tmp_path, {})
    for number in range(0, 140, 2):
        first.note(entry(number))
        second.note(entry(number + 1))
    second.finish()
    first.finish()
    assert len(reported(tmp_path / REPORT_NAME)[0]) == 140


def test_the_reports_of_a_large_batch_are_rarely_rewritten(tmp_path: Path) -> None:
    records, sizes = BatchRecords(tmp_path, {}), set()
    for number in range(300):
        records.note(entry(number))
        sizes.add((tmp_path / REPORT_NAME).stat().st_size)
    assert len(reported(tmp_path / REPORT_NAME)[0]) >= 270
    assert len(sizes) < 50 + 25  # one for each of the first 50, then when a tenth is new
    records.finish()
    content = json.loads((tmp_path / REPORT_NAME).read_text())
    assert [one["case"] for one in content["cases"]] == [f"c{n}" for n in range(300)]


def test_a_case_that_ran_again_has_its_newest_entry(tmp_path: Path) -> None:
    records = BatchRecords(tmp_path, {})
    records.note(entry(1, "failed"))
    records.note(entry(1))
    assert BatchRecords(tmp_path, {}).earlier("c1")["status"] == "done"


def test_a_report_of_any_size_keeps_its_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = BatchRecords(tmp_path, {})
    for number in range(10):
        first.note(entry(number))
    monkeypatch.setattr(text, "MOST_BYTES", 100)
    resumed = BatchRecords(tmp_path, {})
    assert resumed.earlier("c5")["status"] == "done"
    resumed.note(entry(10))
    assert len(reported(tmp_path / REPORT_NAME)[0]) == 11


@pytest.mark.parametrize("name", [REPORT_NAME, JOURNAL_NAME])
def test_what_cannot_be_read_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first = BatchRecords(tmp_path, {})
    for number in range(52):
        first.note(entry(number))
    before = {file.name: file.read_bytes() for file in tmp_path.glob("batch_*")}
    assert name in before
    read_bytes = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(13, "in use", str(path))
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused)
        resumed = BatchRecords(tmp_path, {})
        for ask in (lambda: resumed.note(entry(60)), lambda: resumed.earlier("c1")):
            with pytest.raises(OutputFileError, match=r"cannot read the earlier report: .*in use"):
                ask()
    assert {file.name: file.read_bytes() for file in tmp_path.glob("batch_*")} == before


def test_a_damaged_report_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    (tmp_path / REPORT_NAME).write_text('{"cases": [{"case": "c1", "sta')
    records = BatchRecords(tmp_path, {})
    records.note(entry(2))
    records.note(entry(3))
    assert (tmp_path / DAMAGED_NAME).read_text() == '{"cases": [{"case": "c1", "sta'
    assert set(reported(tmp_path / REPORT_NAME)[0]) == {"c2", "c3"}


def test_a_table_that_somebody_changed_is_kept_beside_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / TABLE_NAME
    for number in (1, 2):
        BatchRecords(tmp_path, {}).note(entry(1), entry(2, "failed") | {"error": f"{number}: ä"})
        written = table.read_text("utf-8")
        remark = f"{written}checked by Z\n"
        table.write_text(remark, "utf-8")
        BatchRecords(tmp_path, {}).finish()
        assert table.read_text("utf-8") == written
        assert (tmp_path / f"batch_report.changed-{number}.csv").read_text("utf-8") == remark
        assert f"is kept as batch_report.changed-{number}.csv" in caplog.text
    BatchRecords(tmp_path, {}).finish()
    assert len([*tmp_path.glob("batch_report.changed*")]) == 2
