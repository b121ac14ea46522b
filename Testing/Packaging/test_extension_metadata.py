"""CMakeLists.txt, CTSAM3D.s4ext and CTSAM3D.json say the same, as the Extensions Index reads it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
import repository_address

ALLOWED_JSON_KEYS = {
    "$schema",
    "build_dependencies",
    "build_subdirectory",
    "category",
    "enabled",
    "scm_revision",
    "scm_type",
    "scm_url",
    "tier",
}
PATH_IN_REPOSITORY = "/raw/main/"


@pytest.fixture(scope="module")
def cmake(repository: Path) -> dict[str, str]:
    """The EXTENSION_* values, found with a regular expression, as the checker of the index does."""
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    values = re.findall(r'set\(EXTENSION_([A-Z_]+) (?:"([^"]+)"|(\d+))\)', text)
    return {name: quoted or number for name, quoted, number in values}


@pytest.fixture(scope="module")
def s4ext(repository: Path) -> dict[str, str]:
    """The "keyword value" lines."""
    lines = (repository / "CTSAM3D.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    assert len({keyword for keyword, _, _ in pairs}) == len(pairs), "a keyword stands twice"
    return {keyword: value for keyword, _, value in pairs}


@pytest.fixture(scope="module")
def entry(repository: Path) -> dict[str, object]:
    """The catalog entry of the Extensions Index."""
    return json.loads((repository / "CTSAM3D.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "keyword",
    [
        "homepage",
        "category",
        "contributors",
        "description",
        "iconurl",
        "screenshoturls",
        "depends",
        "keywords",
        "tier",
    ],
)
def test_s4ext_equals_cmake(s4ext: dict[str, str], cmake: dict[str, str], keyword: str) -> None:
    assert s4ext[keyword] == cmake[keyword.upper()]


def test_s4ext_has_every_keyword_of_the_format(s4ext: dict[str, str]) -> None:
    assert set(s4ext) == {
        *(
            "scm",
            "scmurl",
            "scmrevision",
            "depends",
            "recommends",
            "build_subdirectory",
            "homepage",
            "contributors",
        ),
        *(
            "category",
            "iconurl",
            "status",
            "tier",
            "description",
            "screenshoturls",
            "enabled",
            "dicom_support_rule",
        ),
        "keywords",
    }


def test_json_equals_s4ext(entry: dict[str, object], s4ext: dict[str, str]) -> None:
    from_entry = {
        "scm": entry["scm_type"],
        "scmurl": entry["scm_url"],
        "scmrevision": entry["scm_revision"],
        "depends": " ".join(entry["build_dependencies"]),
        "build_subdirectory": entry["build_subdirectory"],
        "category": entry["category"],
        "tier": str(entry["tier"]),
        "enabled": str(int(bool(entry["enabled"]))),
    }
    assert from_entry == {keyword: s4ext[keyword] for keyword in from_entry}


def test_json_has_only_what_its_schema_allows(entry: dict[str, object], repository: Path) -> None:
    assert {"$schema", "category", "scm_url"} <= set(entry) <= ALLOWED_JSON_KEYS
    assert str(entry["$schema"]).endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["scm_type"] in {"git", "local"}
    assert entry["tier"] in {1, 2, 3, 4, 5}
    assert b"\r" not in (repository / "CTSAM3D.json").read_bytes()


def test_first_project_is_the_name_of_the_catalog_entry(repository: Path) -> None:
    text = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    names = re.findall(r"project\s*\(\s*([^\s\)]+)", text, re.IGNORECASE)
    assert names == ["CTSAM3D"]
    assert not names[0].lower().startswith("slicer")


def test_repository_name_starts_with_slicer(s4ext: dict[str, str]) -> None:
    assert re.search(r"/Slicer[^/]+\.git$", s4ext["scmurl"])


def test_one_address_everywhere(
    cmake: dict[str, str], s4ext: dict[str, str], repository: Path
) -> None:
    home = cmake["HOMEPAGE"]
    assert s4ext["scmurl"] == f"{home}.git"
    assert [
        url
        for url in (cmake["ICONURL"], *cmake["SCREENSHOTURLS"].split())
        if not url.startswith(f"{home}/")
    ] == []
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert f'repository-code: "{home}"' in citation


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_of_the_addresses_are_in_the_repository(
    cmake: dict[str, str], repository: Path, name: str
) -> None:
    for url in cmake[name].split():
        picture = repository / url.partition(PATH_IN_REPOSITORY)[2]
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", (
            f"{url} is no PNG in the repository"
        )


def test_icon_is_128_pixels_square_with_transparency(repository: Path) -> None:
    header = (repository / "CTSAM3D/Resources/Icons/CTSAM3D.png").read_bytes()[:26]
    width, height, depth, colour_type = struct.unpack(">IIBB", header[16:26])
    assert (width, height, depth, colour_type) == (128, 128, 8, 6)


def test_licence_is_apache_2(repository: Path) -> None:
    words = " ".join((repository / "LICENSE.txt").read_text(encoding="utf-8").split())
    assert words.startswith("Apache License Version 2.0, January 2004")
    assert "9. Accepting Warranty or Additional Liability." in words


def test_changing_the_address_changes_every_file(repository: Path, tmp_path: Path) -> None:
    for name in repository_address.FILES:
        if (repository / name).is_file():
            (tmp_path / name).write_bytes((repository / name).read_bytes())
    old = repository_address.current_address(tmp_path)
    changed = repository_address.replace_address("https://git.example/me/SlicerCTSAM3D", tmp_path)
    assert {"CMakeLists.txt", "CTSAM3D.s4ext", "CTSAM3D.json", "CITATION.cff"} <= set(changed)
    assert [
        path.name for path in tmp_path.iterdir() if old in path.read_text(encoding="utf-8")
    ] == []


@pytest.mark.parametrize(
    "address", ["", "http://host/SlicerCTSAM3D", "https://host/me/CTSAM3D", "https://h/Slicer.git"]
)
def test_wrong_address_is_refused(repository: Path, address: str) -> None:
    with pytest.raises(ValueError, match="expected https://<host>/<owner>/SlicerCTSAM3D, got"):
        repository_address.replace_address(address, repository)
