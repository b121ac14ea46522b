"""Outputs that would destroy an input or each other."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from CTSAM3DLib.errors import OutputFileError
from CTSAM3DLib.io.outputs import check_outputs


def group(folder: Path, stem: str = "x") -> dict[str, Path]:
    return {
        "segmentation": folder / f"{stem}.seg.nrrd",
        "picture": folder / f"{stem}.png",
        "report": folder / f"{stem}.json",
    }


def test_distinct_files_are_accepted_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    inputs = [tmp_path / "ct", tmp_path / "c.json"]
    check_outputs([group(tmp_path / "o"), group(tmp_path / "ct2")], inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "segmentation",
            "x.nrrd",
            r"x\.nrrd cannot hold a seg.* with \.seg\.nrrd",
        ),
        ("picture", "x.jpg", r"x\.jpg cannot hold a picture"),
        ("report", "x.seg.nrrd", r"x\.seg\.nrrd cannot hold a report"),
        ("report", "In/C.json", r"C\.json is an input. Write the report to"),
        ("report", "in/../in/c.json", r"c\.json is an input"),
        (
            "report",
            "in/dicom/deep/x.json",
            r"x\.json lies in the DICOM folder .*dicom\. ",
        ),
        (
            "report",
            "in/DICOM/x.json",
            r"x\.json lies in the DICOM folder .*dicom\. ",
        ),
    ],
)
def test_harm_is_named(tmp_path: Path, kind: str, name: str, said: str) -> None:
    (tmp_path / "in" / "dicom").mkdir(parents=True)
    (tmp_path / "in" / "c.json").write_text("{}")
    outputs = {**group(tmp_path / "o"), kind: tmp_path / name}
    with pytest.raises(OutputFileError, match=said):
        check_outputs([outputs], [tmp_path / "in" / "dicom", tmp_path / "in" / "c.json"])


def test_the_same_file_twice_is_refused_also_in_other_letters(tmp_path: Path) -> None:
    text = f"{tmp_path / 'x.seg.nrrd'} and {tmp_path / 'X.seg.nrrd'} are one file."
    with pytest.raises(OutputFileError, match=re.escape(text)):
        check_outputs([group(tmp_path), group(tmp_path, "X")], [])


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_an_input_is_the_input(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "x.json").symlink_to(tmp_path / "c.json")
    with pytest.raises(OutputFileError, match="is an input"):
        check_outputs([group(tmp_path)], [tmp_path / "c.json"])


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_hard_link_to_an_input_and_another_way_into_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}")
    os.link(tmp_path / "c.json", tmp_path / "x.json")
    with pytest.raises(OutputFileError, match="is an input"):
        check_outputs([group(tmp_path)], [tmp_path / "c.json"])
    (tmp_path / "dicom").mkdir()
    (tmp_path / "o").symlink_to(tmp_path / "dicom")
    with pytest.raises(OutputFileError, match="in the DICOM folder"):
        check_outputs([group(tmp_path / "o")], [tmp_path / "dicom"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "o").write_text("")
    with pytest.raises(OutputFileError, match=r"cannot write .*x\.seg\.nrrd: .* is a file"):
        check_outputs([group(tmp_path / "o")], [])


def test_a_name_that_begins_with_a_tilde_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_outputs([{"report": Path("~no-such-user.json")}], [Path("~a.nii.gz")])
    with pytest.raises(OutputFileError, match=r"~a\.json is an input"):
        check_outputs([{"report": Path("~a.json")}], [Path("~a.json")])
