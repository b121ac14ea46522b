"""Metadata, names, pictures, version and licence agree; what the index refuses is named."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import check_extension
import pytest
import repository_address

FILES = (
    *("CMakeLists.txt", "CTSAM3D.s4ext", "CTSAM3D.json", "CITATION.cff", "CHANGELOG.md"),
    *("LICENSE.txt", "README.md", "CTSAM3DLib/version.py"),
)
PICTURES = ("CTSAM3D/Resources/Icons/CTSAM3D.png", "Resources/Screenshots")


@pytest.fixture
def tree(repository: Path, tmp_path: Path) -> Path:
    """A copy of the files that the check reads."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    for name in PICTURES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (repository / name).is_dir():
            shutil.copytree(repository / name, tmp_path / name)
        else:
            shutil.copy(repository / name, tmp_path / name)
    repository_address.replace_address("https://git.example/me/SlicerCTSAM3D", tmp_path)
    return tmp_path


def test_the_repository_is_as_the_index_wants_it(repository: Path, tree: Path) -> None:
    assert check_extension.faults(tree) == []
    unset = [
        check_extension.UNSET_ADDRESS_FAULT in one for one in check_extension.faults(repository)
    ]
    assert all(unset)  # nothing else is wrong, also before the address is known


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("CMakeLists.txt", 'CATEGORY "Segmentation"', 'CATEGORY "Other"', "category: CMakeLists"),
        ("CMakeLists.txt", "project(CTSAM3D)", "project(SlicerCTSAM3D)", "expected project"),
        ("CMakeLists.txt", "Icons/CTSAM3D.png", "Icons/None.png", "is no PNG of this repository"),
        ("CTSAM3D.s4ext", "tier 1", "tier 2", "tier: CTSAM3D.json says '1'"),
        ("CTSAM3D.s4ext", "dicom_support_rule", "other", "unknown keywords"),
        ("CTSAM3D.s4ext", "me/SlicerCTSAM3D.git", "me/CTSAM3D.git", "must start with Slicer"),
        ("CTSAM3D.json", '"tier": 1', '"tier": 9', "expected a tier from 1 to 5, got 9"),
        ("CTSAM3D.json", '"tier"', '"other"', "CTSAM3D.json: expected keys of"),
        ("CTSAM3D.json", "-v1.0.1.json", "-v0.json", "expected a $schema"),
        ("CTSAM3DLib/version.py", '"0.', '"9.', "CITATION.cff: expected version 9."),
        ("CTSAM3DLib/version.py", '"0.', '"9.', "CHANGELOG.md: expected a section [9."),
        ("LICENSE.txt", "Apache License", "Some License", "expected the text of Apache-2.0"),
    ],
)
def test_each_fault_is_named(tree: Path, name: str, old: str, new: str, said: str) -> None:
    text = (tree / name).read_text(encoding="utf-8")
    assert old in text
    (tree / name).write_text(text.replace(old, new), encoding="utf-8")
    assert said in "\n".join(check_extension.faults(tree))


def test_icon_is_128_pixels_square_with_transparency(repository: Path) -> None:
    header = (repository / "CTSAM3D/Resources/Icons/CTSAM3D.png").read_bytes()[:26]
    width, height, depth, colour_type = struct.unpack(">IIBB", header[16:26])
    assert (width, height, depth, colour_type) == (128, 128, 8, 6)


@pytest.mark.parametrize("name", ["effect", "panel"])
def test_shaded_surfaces_have_no_bands_of_a_palette(repository: Path, name: str) -> None:
    content = (repository / f"Resources/Screenshots/{name}.png").read_bytes()
    assert (content[25], len(content) < 500_000) == (2, True)  # 2: red, green and blue


def test_changing_the_address_changes_every_file(tree: Path) -> None:
    old = repository_address.current_address(tree)
    changed = repository_address.replace_address("https://git.example/you/SlicerCTSAM3D", tree)
    assert {"CMakeLists.txt", "CTSAM3D.s4ext", "CTSAM3D.json", "CITATION.cff"} <= set(changed)
    texts = [(tree / name).read_text(encoding="utf-8") for name in FILES]
    assert [text for text in texts if old in text] == []


@pytest.mark.parametrize(
    "address", ["", "http://host/SlicerCTSAM3D", "https://host/me/CTSAM3D", "https://h/Slicer.git"]
)
def test_wrong_address_is_refused(repository: Path, address: str) -> None:
    with pytest.raises(ValueError, match="expected https://<host>/<owner>/SlicerCTSAM3D, got"):
        repository_address.replace_address(address, repository)
