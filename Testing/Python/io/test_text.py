"""Text files of any length and encoding."""

from __future__ import annotations

from pathlib import Path

import pytest

from CTSAM3DLib.batch.table import read_table
from CTSAM3DLib.errors import ClicksFileError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.text import MOST_BYTES


@pytest.mark.parametrize("read", [read_clicks, lambda path: read_table(path, path.parent)])
def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path: Path, read: object) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(b" " * 1024)
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ClicksFileError, match="more than 64 MiB of text"):
        read(path)  # type: ignore[operator]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;\r", "sep=;;;"])
def test_the_line_of_excel_that_names_the_separator_is_read(tmp_path: Path, line: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"{line}\nct;clicks;a,b,c,d\n\na.nrrd;c.json;\n", encoding="utf-8-sig")
    (found,) = read_table(table, tmp_path / "out", warn=lambda text: None)
    assert (found.case.ct, found.name) == (tmp_path / "a.nrrd", "a")
    table.write_text(f"{line}\nct;clicks\na.nrrd\n")
    with pytest.raises(ClicksFileError, match="line 3: expected a value for each of ct, clicks"):
        read_table(table, tmp_path / "out")
