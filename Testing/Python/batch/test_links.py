"""Outputs that are links: to elsewhere, in a circle; only their row fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from disk_cases import folder_for_commands, run_command

pytest.importorskip("SimpleITK")


@pytest.mark.parametrize(
    ("target", "workers"), [("elsewhere", 0), ("elsewhere", 1), ("elsewhere/none.seg.nrrd", 0)]
)
def test_only_the_row_whose_output_is_a_link_to_elsewhere_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, workers: int
) -> None:
    folder_for_commands(tmp_path, monkeypatch)
    elsewhere, output = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    output.mkdir()
    other = elsewhere / "x.seg.nrrd"
    other.write_bytes(b"of somebody")
    name = "sub/x" if target == "elsewhere" else "x"
    link = output / ("sub" if target == "elsewhere" else "x.seg.nrrd")
    link.symlink_to(tmp_path / target)
    rows = f"ct.nrrd,clicks.json,{name}.seg.nrrd\nct.nrrd,clicks.json,y.seg.nrrd\n"
    (tmp_path / "t.csv").write_text("ct,clicks,output\n" + rows)
    words = ("--output-dir", output, "--no-pictures", "--workers", workers)
    assert run_command("batch", tmp_path / "t.csv", *words) == 1
    content = json.loads((output / "batch_report.json").read_text())
    entries = {one["case"]: one for one in content["cases"]}
    assert {one: entry["status"] for one, entry in entries.items()} == {name: "failed", "y": "done"}
    assert "a link to elsewhere. Remove the link, or choose" in entries[name]["error"]
    assert [(one.name, one.read_bytes()) for one in elsewhere.iterdir()] == [
        ("x.seg.nrrd", b"of somebody")
    ]


def test_a_link_in_a_circle_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_for_commands(tmp_path, monkeypatch)
    output = tmp_path / "out"
    output.mkdir()
    (output / "ct.seg.nrrd").symlink_to(output / "ct.seg.nrrd")
    (tmp_path / "circle.nrrd").symlink_to(tmp_path / "circle.nrrd")
    (tmp_path / "t.csv").write_text("ct,clicks\nct.nrrd,clicks.json\ncircle.nrrd,clicks.json\n")
    assert run_command("batch", tmp_path / "t.csv", "--output-dir", output, "--no-pictures") == 1
    content = json.loads((output / "batch_report.json").read_text())
    assert {one["case"]: one["status"] for one in content["cases"]} == {
        "ct": "done",
        "circle": "failed",
    }
    assert (output / "ct.seg.nrrd").is_file()
