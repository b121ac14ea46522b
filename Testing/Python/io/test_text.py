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
