"""Random text and bytes for every parser: an answer, or an error of ours and no other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_corpus import make

from CTSAM3DLib.batch.table import read_table
from CTSAM3DLib.errors import CTSAM3DError, VolumeError
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.io.image import read_scan
from CTSAM3DLib.io.segmentation import read_segmentation
from CTSAM3DLib.models.manifest import read_manifest

numbers = st.one_of(st.floats(), st.integers(), st.just(10**400))
plain = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))
KEYS = ["coordinate_system", "structures", "positive", "negative", "clicks", "prompts", "kind",
        "markups", "type", "controlPoints", "position", "label", "boxes", "corners", "line",
        "schema", "models", "id", "file", "sha256", "bytes", "center", "size"]  # fmt: skip
WORDS = ["RAS", "LPS", "Fiducial", "Curve", "ROI", "click", "box", "lasso", "liver", "a.pt"]
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=4))
anything = st.recursive(
    st.one_of(plain, st.sampled_from(WORDS)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=20,
)
points = st.lists(st.lists(numbers, min_size=2, max_size=4), max_size=3)
clicks_files = st.fixed_dictionaries(
    {
        "coordinate_system": st.sampled_from(["RAS", "LPS", "IJK", 1]),
        "structures": st.dictionaries(
            st.text(max_size=5),
            st.dictionaries(keys, st.one_of(points, anything), max_size=3),
            max_size=3,
        ),
    }
)
markups_files = st.fixed_dictionaries(
    {
        "markups": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Fiducial", "Curve", "ClosedCurve", "ROI", "Plane"]),
                    "controlPoints": st.lists(
                        st.fixed_dictionaries(
                            {"position": st.one_of(st.lists(numbers, max_size=4), plain)},
                            optional={"label": plain, "positionStatus": plain},
                        ),
                        max_size=3,
                    ),
                },
                optional={"center": anything, "size": anything, "orientation": anything},
            ),
            max_size=3,
        )
    }
)
READERS: dict[str, Callable[[Path], Any]] = {
    "a.json": read_clicks,
    "models.json": read_manifest,
    "table.csv": lambda path: read_table(path, path.parent, warn=lambda _: None),
    "a.seg.nrrd": read_segmentation,
}


def _read(name: str, content: bytes, read: Callable[[Path], Any]) -> None:
    """Any error but one of ours fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with suppress(CTSAM3DError):
            read(path)


@given(st.one_of(anything, clicks_files, markups_files))
def test_json_of_any_content(value: Any) -> None:
    content = json.dumps(value).encode("utf-8", "surrogatepass")
    for name in ("a.json", "models.json"):
        _read(name, content, READERS[name])


@given(st.lists(st.lists(st.text(max_size=6), max_size=5), max_size=5), st.sampled_from(",;\t"))
def test_tables_of_any_content(rows: list[list[str]], delimiter: str) -> None:
    text = "\n".join(["ct,clicks".replace(",", delimiter), *map(delimiter.join, rows)])
    _read("table.csv", text.encode("utf-8", "surrogatepass"), READERS["table.csv"])


@given(st.text(max_size=80))
def test_point_lists_of_any_content(text: str) -> None:
    head = "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
    for start in (head, "# columns = id,x,y,z,label\n", "#"):
        _read("F.fcsv", (start + text).encode("utf-8", "surrogatepass"), read_clicks)


@pytest.mark.parametrize("name", READERS)
@given(content=st.binary(max_size=300))
def test_any_bytes_as_text(name: str, content: bytes) -> None:
    _read(name, content, READERS[name])


STARTS = {
    "ct.nii": b"\x5c\x01\0\0", "ct.nrrd": b"NRRD0004\ntype: short\ndimension: 3\n",
    "ct.mha": b"ObjectType = Image\nNDims = 3\n", "ct.dcm": bytes(128) + b"DICM",
    "ct.mhd": b"NDims = 3\nDimSize = 2 2 2\nElementDataFile = ", "ct.vtk": b"# vtk DataFile",
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
@given(content=st.binary(max_size=600))
def test_any_bytes_as_an_image(name: str, content: bytes) -> None:
    _read(name, STARTS[name] + content, read_scan)
    _read(name, content, read_scan)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_headers_that_are_overwritten(seed: int, at: int, piece: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), seed)
        file = made.path if made.path.is_file() else sorted(made.path.iterdir())[0]
        content = bytearray(file.read_bytes())
        at %= max(1, min(len(content), 700))
        content[at : at + len(piece)] = piece
        file.write_bytes(content)
        with suppress(VolumeError):
            read_scan(made.path)
