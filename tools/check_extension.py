"""Check an extension as the Slicer Extensions Index does: metadata, names, pictures, licence, size.

``python tools/check_extension.py [FOLDER]`` prints what is wrong with a repository.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_MB = 60  # clone and work tree together; the index refuses 100
UNSET_ADDRESS = "https://example.org/"
PNG = b"\x89PNG\r\n\x1a\n"
ENTRY = "CTSAM3D.json"
SCHEMA = "/slicer-extension-catalog-entry-schema-v1.0.1.json#"
ENTRY_KEYS = {
    *("$schema", "build_dependencies", "build_subdirectory", "category", "enabled"),
    *("scm_revision", "scm_type", "scm_url", "tier"),
}
S4EXT_KEYS = {
    *("scm", "scmurl", "scmrevision", "depends", "recommends", "build_subdirectory", "homepage"),
    *("contributors", "category", "iconurl", "status", "tier", "description", "screenshoturls"),
    *("enabled", "dicom_support_rule", "keywords"),
}
_IN_CMAKE = (
    *("homepage", "category", "contributors", "description", "iconurl", "screenshoturls"),
    *("depends", "keywords", "tier"),
)


def faults(root: Path = REPOSITORY) -> list[str]:
    """Return what the index would refuse in a repository, as sentences.

    The size is that of all files, with ``.git`` and whatever else lies in the folder.
    """
    cmake_text = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    s4ext, cmake = read_s4ext(root), read_cmake(root)
    entry = json.loads((root / ENTRY).read_text(encoding="utf-8"))
    return [
        *_differences("CMakeLists.txt", {key: cmake.get(key) for key in _IN_CMAKE}, s4ext),
        *_differences(ENTRY, _as_s4ext(entry), s4ext),
        *_key_faults(entry, s4ext),
        *_name_faults(cmake_text, s4ext.get("scmurl", ""), cmake.get("homepage", "")),
        *_picture_faults(root, cmake),
        *_version_faults(root),
        *_licence_faults(root),
    ]


def size_mb(root: Path) -> float:
    """Return the size of all files under a folder, in MB."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6


def read_cmake(root: Path) -> dict[str, str]:
    """Read the EXTENSION_* values, with a regular expression as the index does."""
    text = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    values = re.findall(r'set\(EXTENSION_([A-Z_]+) (?:"([^"]+)"|(\d+))\)', text)
    return {name.lower(): quoted or number for name, quoted, number in values}


def read_s4ext(root: Path) -> dict[str, str]:
    """Read the lines "keyword value"."""
    lines = (root / "CTSAM3D.s4ext").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    return {keyword: value for keyword, _, value in pairs}


def version(root: Path) -> str:
    """Read the version of the library."""
    text = (root / "CTSAM3DLib" / "version.py").read_text(encoding="utf-8")
    return re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)[0]


def _as_s4ext(entry: dict[str, object]) -> dict[str, str | None]:
    """Return the catalog entry in the words of the .s4ext file."""
    return {
        "scm": str(entry.get("scm_type")),
        "scmurl": str(entry.get("scm_url")),
        "scmrevision": str(entry.get("scm_revision")),
        "depends": " ".join(entry.get("build_dependencies", [])),  # type: ignore[arg-type]
        "build_subdirectory": str(entry.get("build_subdirectory")),
        "category": str(entry.get("category")),
        "tier": str(entry.get("tier")),
        "enabled": str(int(bool(entry.get("enabled")))),
    }


def _differences(name: str, values: dict[str, str | None], s4ext: dict[str, str]) -> Iterator[str]:
    for key, value in values.items():
        if s4ext.get(key) != value:
            yield f"{key}: {name} says {value!r}, CTSAM3D.s4ext {s4ext.get(key)!r}"


def _key_faults(entry: dict[str, object], s4ext: dict[str, str]) -> Iterator[str]:
    if not {"$schema", "category", "scm_url"} <= set(entry) <= ENTRY_KEYS:
        yield f"{ENTRY}: expected keys of {sorted(ENTRY_KEYS)}, got {sorted(entry)}"
    if not str(entry.get("$schema")).endswith(SCHEMA):
        yield f"{ENTRY}: expected a $schema that ends with {SCHEMA}"
    if entry.get("tier") not in {1, 2, 3, 4, 5}:
        yield f"{ENTRY}: expected a tier from 1 to 5, got {entry.get('tier')!r}"
    if set(s4ext) != S4EXT_KEYS:
        yield f"CTSAM3D.s4ext: missing or unknown keywords {sorted(set(s4ext) ^ S4EXT_KEYS)}"


def _name_faults(cmake_text: str, scm_url: str, homepage: str) -> Iterator[str]:
    projects = re.findall(r"project\s*\(\s*([^\s\)]+)", cmake_text, re.IGNORECASE)
    if projects[:1] != [Path(ENTRY).stem]:
        yield f"CMakeLists.txt: expected project {Path(ENTRY).stem}, as {ENTRY}, got {projects[:1]}"
    if not re.search(r"/Slicer[^/]+\.git$", scm_url):
        yield f"the name of the repository must start with Slicer, got {scm_url!r}"
    if scm_url != f"{homepage}.git":
        yield f"scmurl {scm_url!r} is not the homepage {homepage!r} with .git"
    if scm_url.startswith(UNSET_ADDRESS):
        yield f"{UNSET_ADDRESS_FAULT}: run make repository-address URL=https://host/owner/SlicerX"


UNSET_ADDRESS_FAULT = "the public address of the repository is not set"


def _picture_faults(root: Path, cmake: dict[str, str]) -> Iterator[str]:
    prefix = f"{cmake.get('homepage')}/raw/main/"
    for url in f"{cmake.get('iconurl')} {cmake.get('screenshoturls')}".split():
        path = root / url.removeprefix(prefix)
        if not url.startswith(prefix) or not path.is_file() or path.read_bytes()[:8] != PNG:
            yield f"{url} is no PNG of this repository"


def _version_faults(root: Path) -> Iterator[str]:
    wanted = version(root)
    if f"\nversion: {wanted}\n" not in (root / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff: expected version {wanted}, as CTSAM3DLib/version.py"
    if f"\n## [{wanted}]" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md: expected a section [{wanted}], as CTSAM3DLib/version.py"


def _licence_faults(root: Path) -> Iterator[str]:
    path = root / "LICENSE.txt"
    words = " ".join(path.read_text(encoding="utf-8").split()) if path.is_file() else ""
    if not words.startswith("Apache License Version 2.0, January 2004"):
        yield "LICENSE.txt: expected the text of Apache-2.0"


if __name__ == "__main__":
    found = faults(Path(sys.argv[1]) if sys.argv[1:] else REPOSITORY)
    sys.exit("\n".join(found) or 0)
