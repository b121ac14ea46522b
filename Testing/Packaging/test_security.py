"""docs/security.md: each line has a test, and those that span the whole program stand here."""

from __future__ import annotations

import ast
import gzip
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_cases import stack, write_slice

from CTSAM3DLib.errors import BundleError, ClicksFileError, SegmentationFileError, VolumeError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.models.manifest import read_manifest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = re.findall(r"\| `([^`]*test_[^`]*)` \|$", PAGE, re.MULTILINE)
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_NAMES = {
    ("pickle", "load"), ("pickle", "loads"), ("pickle", "Unpickler"), ("os", "system"),
    ("os", "popen"), ("marshal", "loads"), ("shelve", "open"), ("yaml", "load"),
    ("joblib", "load"),
}  # fmt: skip


def test_every_threat_has_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    assert len(TESTS) == len(rows) - 2 > 15


@pytest.mark.parametrize("name", TESTS)
def test_the_test_of_a_threat_exists(name: str) -> None:
    file, _, function = name.partition("::")
    text = (REPOSITORY / "Testing" / "Python" / file).read_text(encoding="utf-8")
    assert f"def {function}(" in text if function else "def test_" in text


def _source_files() -> list[Path]:
    return [*REPOSITORY.glob("CTSAM3DLib/**/*.py"), *REPOSITORY.glob("CTSAM3D/**/*.py")]


def _faults(tree: ast.AST) -> list[str]:
    """Return the calls in a module that run text or open pickles."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
            found.append(called.id)
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            name = (called.value.id, called.attr)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in FORBIDDEN_NAMES or given.get("shell") == "True":
                found.append(".".join(name))
            if name == ("torch", "load") and given.get("weights_only") != "True":
                found.append("torch.load without weights_only")
            if name == ("np", "load") and given.get("allow_pickle") == "True":
                found.append("np.load with pickles")
    return found


def test_nothing_evaluates_text_or_opens_a_pickle() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix(): faults
        for path in _source_files()
        if (faults := _faults(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text", ["eval('1')", "torch.load(path)", "pickle.loads(b'')",
             "subprocess.run(x, shell=True)", "np.load(f, allow_pickle=True)"],
)  # fmt: skip
def test_such_a_line_would_be_found(text: str) -> None:
    assert _faults(ast.parse(text))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
@pytest.mark.parametrize(
    ("read", "error"), [(read_clicks, ClicksFileError), (read_manifest, BundleError)]
)
def test_deep_json_is_an_error(tmp_path: Path, text: str, read, error: type) -> None:
    (tmp_path / "deep.json").write_text(text)
    with pytest.raises(error):
        read(tmp_path / "deep.json")


def test_huge_numbers_in_json_are_an_error(tmp_path: Path) -> None:
    for number in ("1e999", "9" * 5000, "NaN", "-Infinity"):
        text = json.dumps({"coordinate_system": "RAS", "structures": {"a": {"positive": []}}})
        (tmp_path / "a.json").write_text(text.replace("[]", f"[[{number}, 0, 0]]"))
        with pytest.raises(ClicksFileError):
            read_clicks(tmp_path / "a.json")


def test_a_segmentation_that_claims_too_much_is_an_error(tmp_path: Path) -> None:
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 100000 100000 100000\nencoding: gzip\n\n"
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(head.encode() + gzip.compress(bytes(1000)))
    with pytest.raises(SegmentationFileError, match="expected at most"):
        read_segmentation(path)
    path.write_bytes(head.replace("100000", "2000").encode() + gzip.compress(bytes(1000)))
    with pytest.raises(SegmentationFileError, match="the file is truncated or its header is wrong"):
        read_segmentation(path)


@pytest.mark.slow
def test_a_dicom_file_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.dcm"
    write_slice(path, np.zeros((4, 4), np.int16), stack(1)[0])
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert read_scan(path).volume.array_kji.shape == (1, 4, 4)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS))
    for _ in range(1 + (1 << 30) // (1 << 24)):
        packed += packer.compress(bytes(1 << 24))
    path.write_bytes(content[:start] + packed + packer.flush())
    with pytest.raises(VolumeError, match="it inflates to more than 1073741824 bytes"):
        read_scan(path)
