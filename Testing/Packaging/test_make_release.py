"""A release is one commit with the version as tag, and nothing that the index would refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import make_release
import pytest
import sbom

PLACEHOLDER = "https://example.org/SlicerCTSAM3D"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def source(repository: Path) -> Path:
    """The repository, where git knows it."""
    if shutil.which("git") is None or not (repository / ".git").exists():
        pytest.skip("this is a source archive: a release is made from a git repository")
    return repository


@pytest.mark.slow
def test_a_release_is_the_tree_of_head_in_one_tagged_commit(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "SlicerCTSAM3D"
    lines = make_release.make_release(folder, source, allow_unset_address=True)
    assert git(folder, "rev-list", "--count", "--all") == "1"
    assert git(folder, "describe", "--tags") == f"v{make_release.version(source)}"
    assert git(folder, "rev-parse", "HEAD^{tree}") == git(source, "rev-parse", "HEAD^{tree}")
    assert git(folder, "status", "--porcelain") == ""
    assert make_release.size_mb(folder) < make_release.MOST_MB
    listed = folder.with_name("SlicerCTSAM3D.cdx.json")
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, listed.name}
    assert json.loads(listed.read_text("utf-8")) == sbom.bill(source)
    if shutil.which("cmake") and shutil.which("cc"):
        assert lines[1].startswith("built and installed ")
    with pytest.raises(make_release.ReleaseError, match="exists: name a new folder"):
        make_release.make_release(folder, source)


@pytest.mark.slow
def test_what_the_index_refuses_is_named_and_nothing_is_left(tmp_path: Path, source: Path) -> None:
    changed = tmp_path / "changed"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{source}", str(changed))
    s4ext = changed / "CTSAM3D.s4ext"
    address = s4ext.read_text("utf-8").partition("\nhomepage ")[2].partition("\n")[0]
    s4ext.write_text(s4ext.read_text("utf-8").replace("tier 1", "tier 4"), "utf-8")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    git(changed, *who, "commit", "-q", "-a", "--no-verify", "-m", "test: other tier")
    with pytest.raises(make_release.ReleaseError) as caught:
        make_release.make_release(tmp_path / "new" / "SlicerCTSAM3D", changed, most_mb=0.1)
    assert "MB with .git, at most 0.1 MB" in str(caught.value)
    assert "tier: CMakeLists.txt says '1', CTSAM3D.s4ext '4'" in str(caught.value)
    assert ("public address" in str(caught.value)) == (address == PLACEHOLDER)
    assert list((tmp_path / "new").iterdir()) == []


def test_every_pin_is_listed_and_is_what_is_installed(repository: Path) -> None:
    components = sbom.bill(repository)["components"]
    listed = {(part["name"], part["version"]) for part in components}
    lines = [
        line.partition(";")[0].strip()
        for file in (repository / "requirements").glob("*.txt")
        for line in file.read_text("utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    ]
    pins = {(re.sub(r"[-_.]+", "-", n).lower(), v) for n, v in (x.split("==") for x in lines)}
    assert listed == pins
    required = {part["name"] for part in components if part["scope"] == "required"}
    assert {"numpy", "torch", "simpleitk", "pydicom"} <= required
    assert ("numpy", version("numpy")) in listed
    assert len({part["bom-ref"] for part in components}) == len(components)


def test_every_pin_has_checksums_and_nothing_else_has(repository: Path, tmp_path: Path) -> None:
    assert sbom.hash_faults(repository) == []
    shutil.copytree(repository / "requirements", tmp_path / "requirements")
    runtime = tmp_path / "requirements" / "runtime.txt"
    runtime.write_text(runtime.read_text("utf-8").replace("pydicom==3.0.2", "pydicom==3.0.9"))
    lock = tmp_path / "requirements" / "hashes.lock"
    without = re.sub(r"(?m)(^tqdm==\S+) .*\n(    --hash.*\n)+", r"\1\n", lock.read_text("utf-8"))
    lock.write_text(without)
    faults = [fault.partition("; ")[2] for fault in sbom.hash_faults(tmp_path)]
    tqdm = version("tqdm")
    expected = [
        "pydicom==3.0.9 is pinned",
        f"tqdm=={tqdm} is pinned",
        "pydicom==3.0.2 is not pinned",
    ]
    assert faults == expected


def test_pip_refuses_a_file_with_another_checksum(repository: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "tqdm-4.70.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tqdm/__init__.py", "")
        archive.writestr("tqdm-4.70.1.dist-info/METADATA", "Name: tqdm\nVersion: 4.70.1\n")
        archive.writestr("tqdm-4.70.1.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("tqdm-4.70.1.dist-info/RECORD", "")
    lock = (repository / "requirements" / "hashes.lock").read_text("utf-8")
    only = re.search(r"^tqdm==.*\n(?:    --hash.*\n)+", lock, re.MULTILINE)
    assert only
    (tmp_path / "only.lock").write_text(only[0])
    words = ["install", "--no-index", "--find-links", tmp_path, "--no-deps", "--target", "to"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--require-hashes", "-r", "only.lock"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "to").exists()


def test_a_line_that_pins_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "runtime.txt").write_text("numpy>=2")
    with pytest.raises(ValueError, match="expected name==version, got 'numpy>=2'"):
        sbom.bill(tmp_path)
